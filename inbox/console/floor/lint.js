// What lint finds in the configuration in use: it can be used, and is probably not meant.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { language, t } from "../core/words.js";
import { chip, empty } from "./page.js";
import { table } from "./table.js";

/** Build the list. */
export async function lint() {
  const { items } = await get("/routes/lint", { language: language().slice(0, 2) });
  const columns = [
    { title: t("lint.where"), cell: (one) => h("code", `${one.file}:${one.line}`) },
    { title: t("lint.what"), head: true, cell: (one) => [one.what, one.expected && h("span.soft", ` · ${t("lint.expected", { what: one.expected })}`)] },
    { title: t("lint.path"), wide: true, cell: (one) => h("code.meta", one.path) },
    { title: t("lint.rule"), cell: (one) => one.rule && chip(one.rule, one.severity === "error" ? "bad" : "warn") },
  ];
  const element = h("div.stack", h("p.meta", t("lint.lead")), items.length ? table(t("routes.tab_lint"), columns, items) : empty("check", t("lint.none")));
  return { element, stop() {} };
}
