// The customer beside the thread: who it is on every channel, what is known, what was before.

import { all, get, put } from "../core/api.js";
import { field, form } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { channelMark, icon } from "../core/icons.js";
import { fault } from "../core/notices.js";
import { link } from "../core/router.js";
import { may } from "../core/session.js";
import { brief, full, moment, span, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import { clockList } from "./clocks.js";
import { mergeInto, splitOff } from "./merging.js";
import * as names from "./names.js";

const PAST = 20;

/** Build the card of a conversation; *tools* has untag(tag), tag(), trail(). */
export function card(conversation, tools) {
  let shown = conversation;
  let contact = { ...conversation.contact };
  let turn = 0;
  const element = h("aside.customer", { "aria-label": t("card.label") });
  const parts = Object.fromEntries(["head", "here", "order", "consent", "past", "same"].map((name) => [name, h("section", { hidden: true })]));
  fill(element, Object.values(parts));

  function put_(name, ...children) {
    const filled = children.flat().some(Boolean);
    parts[name].hidden = !filled;
    fill(parts[name], children);
  }

  function drawHead() {
    put_("head",
      h("div.person", h("span.avatar", names.initial(names.customer(contact))), h("div.grow", h("h2.cut", names.customer(contact)), contact.tier && h("span.chip.accent", contact.tier)),
        may("agent") && h("button.plain.small.square", { type: "button", "aria-label": t("card.edit"), title: t("card.edit"), onclick: edit }, icon("pencil", 16))),
      h("ul.addresses", contact.addresses.map((one) => h("li", channelMark(one.split(":")[0], names.scheme(one), 13), h("span.cut", { title: one }, names.address(one))))),
      contact.tags.length > 0 && h("div.row", contact.tags.map((tag) => h("span.chip", tag))),
      (contact.language || contact.channel) && h("p.meta", [contact.language && said("language.", contact.language), contact.channel && t("card.prefers", { channel: contact.channel })].filter(Boolean).join(" · ")),
      h("a.meta", { href: link(`/contacts/${contact.id}`) }, t("card.open")));
  }

  function drawHere() {
    put_("here", h("h3", t("card.here")), h("dl.facts",
      row("field.team", shown.team && names.team(shown.team)), row("field.agent", shown.agent && names.agent(shown.agent)), row("field.stage", shown.stage && said("stage.", shown.stage)),
      row("field.priority", shown.priority !== "normal" && said("priority.", shown.priority)), row("field.channel", shown.channel),
      row("field.opened", timeElement(shown.opened_at, moment)), row("field.first_reply", shown.first_reply_at && span(Date.parse(shown.first_reply_at) - Date.parse(shown.opened_at)))),
      clockList(shown.sla),
      h("div.row", shown.tags.map((tag) => h("span.chip", tag, may("agent") && h("button", { type: "button", "aria-label": t("tag.remove", { tag }), onclick: () => tools.untag(tag) }, "×"))),
        may("agent") && h("button.plain.small", { type: "button", onclick: () => tools.tag() }, icon("plus", 14), t("do.tag"))),
      h("button.link.meta", { type: "button", onclick: () => tools.trail() }, t("trail.title")));
  }

  const row = (label, value) => (value ? [h("dt", t(label)), h("dd", value)] : null);

  async function drawMore() {
    const own = (turn += 1);
    const id = contact.id;
    const still = (work) => (value) => own === turn && work(value);
    await Promise.allSettled([
      get(`/contacts/${id}`).then(still((one) => {
        contact = one;
        drawHead();
        drawMerged(one.merges ?? []);
      })),
      get(`/contacts/${id}/consent`).then(still((one) => put_("consent", consentList(one.items ?? [])))),
      get(`/contacts/${id}/conversations`, { limit: PAST }).catch(() => get("/conversations", { q: shown.contact.addresses[0], limit: PAST })).then(still(({ items }) => put_("past", past(items)))),
      all(`/conversations/${shown.id}/trail`, {}, 20).then(still((items) => put_("order", orderFacts(items)))),
      may("agent") && get(`/contacts/${id}/suggestions`).then(still(({ items }) => drawSame(items))),
    ]);
  }

  function past(items) {
    const others = items.filter((one) => one.id !== shown.id);
    return others.length > 0 && [h("h3", t("card.past", { n: others.length })), h("ul.past", others.map((one) =>
      h("li", h("a", { href: link(`/conversations/${one.id}`) }, channelMark(one.kind, names.kind(one.kind), 13), h("span.cut.grow", one.subject || one.tags.join(" · ") || said("stage.", one.stage ?? "none")), h("span.chip", t(`status.${one.status}`)), timeElement(one.last_message_at, brief)))))];
  }

  let merged = [];
  function drawMerged(list) {
    merged = list;
    drawSame();
  }
  let suggested = [];
  function drawSame(list = suggested) {
    suggested = list;
    put_("same",
      merged.length > 0 && [h("h3", t("merge.merged")), h("ul.past", merged.map((one) => h("li", h("span.cut.grow", one.name || names.address(one.addresses?.[0])), may("agent") && h("button.link.meta", { type: "button", onclick: () => splitOff(contact, one).then((done) => done && refresh()) }, t("do.split")))))],
      suggested.length > 0 && [h("h3", t("merge.suggested")), h("ul.past", suggested.map((one) => h("li",
        h("div.grow", h("strong.cut", names.customer(one.contact)), h("p.meta", one.because.map((why) => `${said("because.", why.kind)}: ${why.value}`).join(" · "))),
        h("button.small", { type: "button", onclick: () => mergeInto(contact, one.contact).then((done) => done && refresh()) }, t("do.merge")))))]);
  }

  const refresh = () => drawMore();

  async function edit() {
    const control = (name, value, more = {}) => h("input", { name, value: value ?? "", maxlength: 60, ...more });
    const done = await form(t("card.edit"), [
      field(t("field.tags"), control("tags", contact.tags.join(", "), { maxlength: 2000 }), t("card.tags_how")),
      field(t("field.tier"), control("tier", contact.tier)),
      field(t("field.language"), h("select", { name: "language" }, ["", "zh-CN", "zh-TW", "en", "ja", "ko"].map((one) => h("option", { value: one, selected: one === (contact.language ?? "") }, one ? said("language.", one) : t("card.unknown"))))),
    ], t("do.save"), (data) => put(`/contacts/${contact.id}`, { tags: data.get("tags").split(/[,，]/).map((tag) => tag.trim()).filter(Boolean), tier: data.get("tier").trim() || null, language: data.get("language") || null }));
    if (done) {
      contact = done;
      drawHead();
    }
  }

  drawHead();
  drawHere();
  drawMore().catch(fault);
  return {
    element,
    contact: () => contact,
    refresh,
    update(next) {
      const moved = next.contact.id !== shown.contact.id;
      shown = next;
      drawHere();
      if (moved) {
        contact = next.contact;
        drawHead();
        drawMore();
      }
    },
    stop() {
      turn += 1;
    },
  };
}

function consentList(items) {
  const known = items.filter((one) => one.state !== "unknown");
  return known.length > 0 && [h("h3", t("card.consent")), h("ul.past", known.map((one) => h("li",
    h("span.chip", { class: one.state === "opted_out" ? "bad" : "good" }, said("consent.", one.state)), h("span.cut.grow", names.address(one.address)),
    h("span.meta", { title: one.at && full(one.at) }, [one.channel !== "*" && one.channel, one.lane !== "*" && said("lane.", one.lane)].filter(Boolean).join(" · ")))))];
}

function orderFacts(items) {
  const found = items.find((one) => one.facts?.order && typeof one.facts.order === "object");
  if (!found) return null;
  const { outcome, ...facts } = found.facts.order;
  const known = Object.entries(facts.facts ?? facts.found ?? facts).filter(([, value]) => value !== null && typeof value !== "object");
  return known.length > 0 && [h("h3", icon("order", 16), t("card.order")), h("dl.facts", known.map(([name, value]) => [h("dt", said("order.", name)), h("dd", typeof value === "boolean" ? t(value ? "yes" : "no") : String(value))])), h("p.meta", moment(found.at))];
}
