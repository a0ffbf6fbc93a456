// The rule sets that were in use, what differs between them, and the way back.

import { get, post } from "../core/api.js";
import { confirm, dialog } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { fault, say } from "../core/notices.js";
import { may } from "../core/session.js";
import { moment, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import { chip, doing, empty } from "./page.js";
import { paged } from "./table.js";

const SIGNS = { "+": "added", "-": "gone", "@": "place" };

/** Build the list. */
export async function history() {
  const columns = [
    { title: t("history.at"), cell: (one) => timeElement(one.at, moment) },
    { title: t("history.hash"), head: true, cell: (one) => [h("code", one.hash.slice(0, 12)), " ", one.in_use && chip(t("history.in_use"), "good")] },
    { title: t("history.how"), cell: (one) => said("history.how_", one.how) },
    { title: t("history.by"), cell: (one) => one.by },
    { title: "", cell: (one) => h("div.row.end", actions(one)) },
  ];
  const list = paged(t("routes.tab_history"), columns, (cursor) => get("/routes/history", { cursor, limit: 30 }), {
    key: (one) => `${one.hash} ${one.at}`,
    nothing: () => empty("clock", t("history.none")),
  });
  const actions = (one) => [
    doing(t("history.files"), () => files(one.hash), fault, { kind: "small plain" }),
    !one.in_use && doing(t("history.differs"), () => difference(one.hash), fault, { kind: "small" }),
    !one.in_use && may("admin") && doing(t("history.back"), () => back(one, list.reload), fault, { kind: "small" }),
  ];
  await list.reload();
  return { element: h("div.stack", h("p.meta", t("history.lead")), list.element), stop() {} };
}

async function files(hash) {
  const found = await get(`/routes/history/${hash}`);
  dialog(t("history.files"), h("div.stack", Object.entries(found.files).map(([name, text]) => h("section.stack.tight", h("h3", name), h("pre.raw", { tabindex: "0" }, text)))), { wide: true });
}

async function difference(hash) {
  const { lines } = await get("/routes/diff", { from: hash });
  dialog(t("history.differs"), lines.length ? diff(lines) : h("p", t("history.same")), { wide: true });
}

/** Return a unified diff with its lines marked. */
export function diff(lines) {
  return h("pre.raw.diff", { tabindex: "0" }, lines.map((line) => {
    const sign = /^(?:\+\+\+|---)/.test(line) ? "place" : SIGNS[line[0]];
    return h("span", { class: sign }, `${line.replace(/\n$/, "")}\n`);
  }));
}

async function back(one, reload) {
  const { lines } = await get("/routes/diff", { to: one.hash });
  const text = h("div.stack", h("p", t("history.back_text")), lines.length ? diff(lines) : h("p", t("history.same")));
  const yes = await confirm(t("history.back_title"), text, t("history.back"), { danger: true });
  if (!yes) return;
  const done = await post("/routes/rollback", { hash: one.hash });
  say(t("history.back_done", { n: done.changed.length }), { tone: "good" });
  await reload();
}
