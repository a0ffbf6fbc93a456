// The surveys of the configuration.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { link } from "../core/router.js";
import { language, said, t } from "../core/words.js";
import { chip, empty, page } from "../floor/page.js";
import { table } from "../floor/table.js";

/** Return a text of a survey in the language of the console, or in any that it has. */
export const told = (text) => (typeof text === "string" ? text : (text?.[language()] ?? text?.[language().slice(0, 2)] ?? Object.values(text ?? {})[0] ?? ""));

export async function view() {
  const { items } = await get("/surveys");
  const columns = [
    { title: t("surveys.name"), head: true, cell: (one) => [h("a", { href: link(`/surveys/${one.id}`) }, told(one.title)), " ", h("code.meta", one.id)] },
    { title: t("surveys.state"), cell: (one) => state(one) },
    { title: t("surveys.kind"), cell: (one) => said("survey.kind.", one.kind) },
    { title: t("surveys.trigger"), cell: (one) => said("survey.trigger.", one.trigger) },
    { title: t("surveys.purpose"), wide: true, cell: (one) => one.purpose },
    { title: t("surveys.owner"), cell: (one) => one.owner },
  ];
  const nothing = () => empty("star", t("surveys.none"), h("pre.raw.small", { tabindex: "0" }, "csat:\n  title: {zh: 服务满意度, en: \"How was our service?\"}\n  purpose: …\n  owner: …\n  trigger: {on: resolved}"));
  const element = page("/surveys", { title: t("surveys.title"), lead: t("surveys.lead") }, items.length ? table(t("surveys.title"), columns, items, { key: (one) => one.id }) : nothing());
  return { element, stop() {} };
}

/** Return whether a survey asks anybody now. */
export function state(one) {
  const today = new Date().toISOString().slice(0, 10);
  if (!one.enabled) return chip(t("survey.off"));
  if (one.since && today < one.since) return chip(t("survey.before", { day: one.since }), "info");
  if (one.until && today > one.until) return chip(t("survey.over", { day: one.until }));
  return chip(t("survey.on"), "good");
}
