// The texts of the configuration as customers will read them, and what the policy about words says of any text.

import { get, post } from "../core/api.js";
import { field } from "../core/dialogs.js";
import { fill, h, settled } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { said, t } from "../core/words.js";
import { obstacles } from "../floor/forecast.js";
import { chip, empty, facts, page, part, redraw } from "../floor/page.js";
import { table } from "../floor/table.js";

const PAUSE = 300;
const LANES = ["reply", "notice", "survey", "campaign"];

export async function view() {
  const [templates, channels] = await Promise.all([get("/templates"), get("/channels")]);
  const shown = h("div", { "aria-live": "polite" });
  const columns = [
    { title: t("templates.name"), head: true, cell: (one) => h("button.link", { type: "button", dataset: { key: one.id }, onclick: () => redraw(shown, preview(one, channels.items)) }, one.id) },
    { title: t("templates.languages"), cell: (one) => one.languages.map((name) => said("language.", name)).join("、") },
    { title: t("templates.where"), cell: (one) => [...one.channels, ...one.kinds].join("、") || t("templates.everywhere") },
    { title: t("templates.variables"), wide: true, cell: (one) => one.variables.map((name) => h("span", h("code", { class: one.needs.includes(name) ? "" : "meta" }, name), " ")) },
    { title: t("templates.approved"), cell: (one) => one.platforms.join("、") || "–" },
  ];
  const element = page(
    "/templates",
    { title: t("templates.title"), lead: t("templates.lead"), wide: true },
    h(
      "div.columns",
      h("div.stack", part(t("templates.all"), {}, templates.items.length ? table(t("templates.all"), columns, templates.items, { key: (one) => one.id }) : empty("note", t("templates.none"))), shown),
      guard(channels.items),
    ),
  );
  return { element, stop() {} };
}

/** Show how a text reads: choose the channel and the language, give values to its own variables. */
function preview(one, channels) {
  const channel = h("select", h("option", { value: "" }, t("templates.any_channel")), channels.map((each) => h("option", { value: each.id }, each.id)));
  const tongue = h("select", h("option", { value: "" }, t("templates.usual")), one.languages.map((name) => h("option", { value: name }, said("language.", name))));
  const conversation = h("input", { placeholder: "c7-1795303839084-0", maxlength: 60 });
  const own = Object.fromEntries(one.needs.map((name) => [name, h("input", { maxlength: 500 })]));
  const result = h("div");
  const draw = async () => {
    const variables = Object.fromEntries(Object.entries(own).map(([name, input]) => [name, input.value]).filter(([, value]) => value));
    try {
      const found = await post(`/templates/${one.id}/preview`, {
        ...(channel.value ? { channel: channel.value } : {}), ...(tongue.value ? { language: tongue.value } : {}),
        ...(conversation.value.trim() ? { conversation: conversation.value.trim() } : {}), variables,
      });
      fill(result, h("div.stack.tight", found.subject && h("b", found.subject), h("div.bubble", found.text),
        facts([[t("templates.missing"), found.missing.join("、")], [t("templates.unknown"), found.unknown.join("、")],
          [t("templates.approved"), found.approved ? h("code", found.approved.id) : null]])));
    } catch (failure) {
      if (failure.words === undefined) throw failure;
      fill(result, h("p.trouble", failure.words));
    }
  };
  const form = h("form.stack.card", h("h3", one.id), h("div.grid-two", field(t("templates.channel"), channel), field(t("templates.language"), tongue),
    field(t("templates.conversation"), conversation), Object.entries(own).map(([name, input]) => field(name, input))), result);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", settled(() => draw().catch(fault), PAUSE));
  draw().catch(fault);
  return form;
}

/** Build the box that tells what the policy about words finds in a text. */
function guard(channels) {
  const text = h("textarea", { rows: 4, maxlength: 10000, placeholder: t("guard.placeholder") });
  const channel = h("select", h("option", { value: "" }, t("templates.any_channel")), channels.map((each) => h("option", { value: each.id }, each.id)));
  const lane = h("select", LANES.map((name) => h("option", { value: name }, said("lane.", name))));
  const result = h("div", { "aria-live": "polite" });
  const state = { turn: 0 };
  const ask = settled(async () => {
    const turn = (state.turn += 1);
    if (!text.value.trim()) {
      fill(result);
      return;
    }
    try {
      const { items } = await post("/guard/test", { text: text.value, lane: lane.value, ...(channel.value ? { channel: channel.value } : {}) });
      if (turn === state.turn) fill(result, items.length ? obstacles(items) : h("p.row.tight", chip(t("guard.fine"), "good")));
    } catch (failure) {
      if (turn !== state.turn) return;
      if (failure.words === undefined) throw failure;
      fill(result, h("p.trouble", failure.words));
    }
  }, PAUSE);
  const form = h("form.stack.card", field(t("guard.text"), text), h("div.grid-two", field(t("guard.channel"), channel), field(t("guard.lane"), lane)), result);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ask);
  return part(t("guard.title"), { note: t("guard.lead") }, form);
}
