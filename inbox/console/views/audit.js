// The audit log: who changed what, when, from where.

import { get } from "../core/api.js";
import { field } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { go } from "../core/router.js";
import { moment, timeElement } from "../core/time.js";
import { known, t } from "../core/words.js";
import { chip, empty, page } from "../floor/page.js";
import { paged } from "../floor/table.js";

export async function view(ctx) {
  const people = (await get("/people")).items;
  const chosen = { who: "", since: "" };
  const who = h("input", { list: "audit-people", maxlength: 80, placeholder: "person:lilei", autocapitalize: "none" });
  const since = h("input", { type: "date" });
  const form = h("form.filters", h("datalist", { id: "audit-people" }, people.map((one) => h("option", { value: `person:${one.id}` }, one.name || one.id))),
    field(t("audit.who"), who, t("audit.who_how")), field(t("audit.since"), since));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => go("/audit", { who: who.value.trim(), since: since.value }));
  const names = new Map(people.map((one) => [one.id, one.name]));
  const columns = [
    { title: t("audit.at"), cell: (one) => timeElement(one.at, moment) },
    { title: t("audit.who"), head: true, cell: (one) => [one.who.kind === "person" ? names.get(one.who.id) || one.who.id : one.who.id, " ", h("span.meta", t(`audit.kind_${one.who.kind === "person" ? "person" : "token"}`))] },
    { title: t("audit.what"), cell: (one) => what(one) },
    { title: t("audit.about"), wide: true, cell: (one) => about(one) },
    { title: t("audit.status"), cell: (one) => (one.status === null ? chip(t("audit.died"), "bad") : one.status >= 400 ? chip(String(one.status), "bad") : h("span.meta", String(one.status))) },
    { title: t("audit.remote"), cell: (one) => h("span.meta", { title: one.request }, one.remote ?? "–") },
  ];
  const list = paged(t("audit.title"), columns, (cursor) => get("/audit", { who: chosen.who, since: chosen.since && new Date(`${chosen.since}T00:00`).toISOString(), cursor }), {
    key: (one) => one.id,
    nothing: () => empty("search", t("audit.none")),
  });
  const take = (query) => {
    Object.assign(chosen, { who: query.who ?? "", since: query.since ?? "" });
    who.value = chosen.who;
    since.value = chosen.since;
    return list.reload();
  };
  await take(ctx.query);
  const element = page("/audit", { title: t("audit.title"), lead: t("audit.lead") }, h("div.stack", form, list.element));
  return { element, stop() {}, update: (next) => take(next.query).catch(fault) };
}

/** Return what was done: in words where there are some, else as it was called. */
function what(one) {
  const key = one.what ? `audit.did.${one.what}` : `audit.did.${one.method} ${one.path}`;
  return known(key) ? t(key) : h("code", `${one.method} ${one.path}`);
}

function about(one) {
  const values = Object.entries(one.values).map(([name, value]) => `${name}: ${value}`);
  const rest = one.fields.filter((name) => !(name in one.values));
  return [
    Object.values(one.parts).map((part) => h("code", part, " ")),
    values.map((text) => [chip(text, "accent"), " "]),
    rest.length > 0 && h("span.meta", t("audit.fields", { names: rest.join("、") })),
  ];
}
