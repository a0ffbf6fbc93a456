// The service report: volumes, times, promises kept, backlog, deliveries.

import { h } from "../core/dom.js";
import { t } from "../core/words.js";
import { page } from "../floor/page.js";
import { reporting } from "../floor/reporting.js";

const FILES = [["html", "files.html"], ["xlsx", "files.xlsx"], ["csv", "files.csv"]];

export async function view(ctx) {
  const made = await reporting("/reports/service", { path: "/reports", query: ctx.query }, FILES.map(([form, label]) => ({ form, label: t(label) })), "service");
  const element = page("/reports", { title: t("reports.service"), lead: t("reports.lead"), wide: true }, h("div", made.element));
  return { element, stop() {}, update: (next) => made.update(next.query) };
}
