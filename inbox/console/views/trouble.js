// What did not go as it should: dead letters, deliveries of which nobody knows, what waits, what nobody could parse.

import { get, post } from "../core/api.js";
import { confirm, dialog } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { channelMark } from "../core/icons.js";
import { fault, say } from "../core/notices.js";
import { link } from "../core/router.js";
import { may } from "../core/session.js";
import { moment, size, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import * as names from "../desk/names.js";
import { fresh } from "../floor/fresh.js";
import { chip, doing, empty, facts, page, redraw, tabs } from "../floor/page.js";
import { paged } from "../floor/table.js";

const TABS = ["dead", "uncertain", "scheduled", "shunted"];

export async function view(ctx) {
  const bar = h("div");
  const lead = h("p.meta");
  const body = h("div");
  const element = page("/trouble", { title: t("trouble.title"), lead: t("trouble.lead") }, bar, lead, body);
  const state = { tab: "", list: null };
  const kinds = new Map((await get("/channels")).items.map((one) => [one.id, one.kind]));

  function show(query) {
    const tab = TABS.includes(query.tab) ? query.tab : "dead";
    if (tab === state.tab) return state.list.reload();
    state.tab = tab;
    state.list = tab === "shunted" ? shunted(again) : deliveries(tab, again, kinds);
    lead.textContent = t(`trouble.${tab}_how`);
    redraw(body, state.list.element);
    counts().catch(fault);
    return state.list.reload();
  }

  async function counts() {
    const { needs } = await get("/board");
    redraw(bar, tabs(t("trouble.title"), TABS.map((name) => [name, t(`trouble.${name}`), needs[name]]), state.tab, (name) => link("/trouble", { tab: name })));
  }

  const work = () => Promise.all([counts(), state.list.reload()]);
  const again = () => news.now();
  const news = fresh(work, { on: "delivery.changed", every: 15_000 });
  await show(ctx.query);
  return { element, stop: news.stop, update: (next) => show(next.query).catch(fault) };
}

function deliveries(tab, again, kinds) {
  const columns = [
    { title: t("trouble.when"), cell: (one) => timeElement(one.changed_at, moment) },
    { title: t("trouble.what"), head: true, cell: (one) => h("span.row.tight", channelMark(kinds.get(one.channel), one.channel), where(one)) },
    { title: t("trouble.why"), wide: true, cell: (one) => reason(one) },
    { title: t("trouble.tries"), number: true, cell: (one) => String(one.attempts) },
    { title: "", cell: (one) => h("div.row.end", actions(tab, one, again)) },
  ];
  return paged(t(`trouble.${tab}`), columns, (cursor) => get("/deliveries", { state: tab, cursor }), {
    key: (one) => one.id,
    nothing: () => empty("check", t(`trouble.${tab}_none`)),
  });
}

function where(one) {
  const lane = said("lane.", one.lane);
  const conversation = one.conversation ?? one.about;
  return h("span", conversation ? h("a", { href: link(`/conversations/${conversation}`) }, lane) : lane, " ", h("span.meta", one.channel));
}

function reason(one) {
  if (one.waits_for === "customer") return t("trouble.waits_customer");
  if (one.waits_for === "time" && one.due_at) return [t("trouble.waits_time"), " ", timeElement(one.due_at, moment)];
  return [names.failure(one.error) ?? t("trouble.unknown"), one.code && [" ", h("code.meta", one.code)]];
}

function actions(tab, one, again) {
  const act = (path, words) => async () => {
    await post(path);
    say(words, { tone: "good" });
    again();
  };
  const key = (name) => `${name}-${one.id}`;
  const list = [];
  if (may("agent") && tab === "dead") {
    list.push(doing(t("trouble.retry"), act(`/dead/${one.id}/retry`, t("trouble.retried")), fault, { kind: "small", key: key("retry"), name: "retry" }));
    if (may("supervisor")) list.push(doing(t("trouble.drop"), async () => {
      if (await confirm(t("trouble.drop_title"), t("trouble.drop_text"), t("trouble.drop"), { danger: true })) await act(`/dead/${one.id}/drop`, t("trouble.dropped"))();
    }, fault, { kind: "small", key: key("drop") }));
  }
  if (may("agent") && tab === "uncertain") {
    list.push(doing(t("trouble.confirm"), act(`/deliveries/${one.id}/confirm`, t("trouble.confirmed")), fault, { kind: "small", key: key("confirm"), name: "check" }));
    list.push(doing(t("trouble.again"), async () => {
      if (await confirm(t("trouble.again_title"), t("trouble.again_text"), t("trouble.again"), { danger: true })) await act(`/deliveries/${one.id}/retry`, t("trouble.retried"))();
    }, fault, { kind: "small", key: key("again"), name: "retry" }));
  }
  if (may("agent") && tab === "scheduled") {
    list.push(doing(t("trouble.cancel"), async () => {
      if (await confirm(t("trouble.cancel_title"), t("trouble.cancel_text"), t("trouble.cancel"), { danger: true })) await act(`/deliveries/${one.id}/cancel`, t("trouble.cancelled"))();
    }, fault, { kind: "small", key: key("cancel") }));
  }
  list.push(doing(t("trouble.story"), () => story(one.id), fault, { kind: "small plain", key: key("story") }));
  return list;
}

async function story(id) {
  const one = await get(`/deliveries/${id}`);
  dialog(t("trouble.story"), h(
    "div.stack",
    facts([
      [t("trouble.address"), one.address],
      [t("trouble.lane"), said("lane.", one.lane)],
      [t("trouble.channel"), one.channel],
      [t("trouble.state"), said("delivery.", one.state)],
      [t("trouble.ids"), one.external_ids.join("、")],
      ["id", h("code", one.id)],
    ]),
    h("ol.story", one.history.map((step) => h(
      "li",
      h("div.row.tight", timeElement(step.at, moment), chip(said("delivery.", step.state), { dead: "bad", failed: "bad", uncertain: "warn", sent: "good", delivered: "good", read: "good" }[step.state]),
        h("span.meta", [said("cause.", step.cause), step.attempt && t("trouble.attempt", { n: step.attempt }), step.by].filter(Boolean).join(" · "))),
      step.error && h("p", names.failure(step.error), step.code && [" ", h("code.meta", step.code)]),
      step.due_at && h("p.meta", t("trouble.due"), " ", timeElement(step.due_at, moment)),
    ))),
  ), { wide: true });
}

function shunted(again) {
  const columns = [
    { title: t("trouble.when"), cell: (one) => timeElement(one.at, moment) },
    { title: t("trouble.channel"), head: true, cell: (one) => one.channel },
    { title: t("trouble.why"), wide: true, cell: (one) => [one.error, " ", chip(t(`trouble.stage_${one.stage}`))] },
    { title: t("trouble.size"), number: true, cell: (one) => size(one.size) },
    { title: "", cell: (one) => h("div.row.end", payload(one, again)) },
  ];
  return paged(t("trouble.shunted"), columns, (cursor) => get("/shunted", { cursor }), {
    key: (one) => one.id,
    nothing: () => empty("check", t("trouble.shunted_none")),
  });
}

function payload(one, again) {
  if (!may("admin")) return h("span.meta", t("trouble.admin_only"));
  return [
    doing(t("trouble.replay"), async () => {
      await post(`/shunted/${one.id}/replay`);
      say(t("trouble.replayed"), { tone: "good" });
      again();
    }, fault, { kind: "small", key: `replay-${one.id}`, name: "retry" }),
    doing(t("trouble.forget"), async () => {
      if (!(await confirm(t("trouble.forget_title"), t("trouble.forget_text"), t("trouble.forget"), { danger: true }))) return;
      await post(`/shunted/${one.id}/drop`);
      again();
    }, fault, { kind: "small", key: `forget-${one.id}` }),
    doing(t("trouble.raw"), async () => {
      const whole = await get(`/shunted/${one.id}`);
      dialog(t("trouble.raw"), h("div.stack", h("p.meta", whole.error), h("pre.raw", { tabindex: "0" }, whole.raw)), { wide: true });
    }, fault, { kind: "small plain", key: `raw-${one.id}` }),
  ];
}
