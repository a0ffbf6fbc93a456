// A report as the hub made it: figures with their margins and changes, charts, tables, words, definitions.

import { h } from "../core/dom.js";
import { t } from "../core/words.js";
import { chart } from "./charts.js";
import { chip, empty, part } from "./page.js";
import { columnName, figureName, named, sentence, tableName } from "./report_words.js";
import { table } from "./table.js";
import { differing, margin, shown } from "./values.js";

const TONES = { higher: 1, lower: -1 };

/** Show a report. */
export function report(one) {
  const figures = one.figures.filter((each) => !each.hidden || each.estimate.value !== undefined);
  return h(
    "div.stack.report",
    h("p.meta", t("report.said.period", { first: one.period.first, last: one.period.last }), one.period.partial && [" ", chip(t("report.said.partial"), "warn")],
      " · ", t("report.said.before", { first: one.before.first, last: one.before.last }), " · ", one.timezone,
      Object.keys(one.filters).length > 0 && ` · ${t("report.said.filters")} ${Object.entries(one.filters).map(([key, value]) => `${named(key)} ${value}`).join("、")}`),
    one.notes.length > 0 && h("ul.remarks", one.notes.map((note) => h("li", sentence(note)))),
    figures.length ? h("div.figures", figures.map(figure)) : empty("board", t("report.said.nothing")),
    one.charts.length > 0 && h("div.charts", one.charts.map(chart)),
    one.tables.filter((each) => each.rows.length).map((each) => part(tableName(each), {}, grid(each))),
    one.keywords.map((words) => part(t("report.said.keywords"), { note: words.about }, keywords(words))),
    h("details.definitions", h("summary", t("report.said.definitions")), h("ul.remarks", one.definitions.map((each) => h("li", sentence(each))))),
  );
}

function figure(one) {
  const [name, below] = figureName(one);
  const { value, n } = one.estimate;
  const hidden = one.hidden || (value === null && one.unit !== "count");
  return h(
    "div.figure",
    h("span.meta", name, below && h("span.soft", ` · ${below}`)),
    h("strong.number", one.hidden ? t("report.said.hidden") : shown(value, one.unit), one.top ? h("small.soft", ` / ${one.top}`) : null),
    !hidden && h("span.meta", [margin(one.estimate, one.unit), n && one.unit !== "count" && t(one.unit === "seconds" ? "report.said.cases" : "report.said.of", { n })].filter(Boolean).join(" · ")),
    !one.hidden && changed(one),
  );
}

function changed(one) {
  if (!one.change || one.change.verdict === "unknown") return null;
  const good = (TONES[one.change.verdict] ?? 0) * one.good;
  return h("span", chip(`${differing(one.change.difference, one.unit)} · ${t(`report.said.${one.change.verdict}`)}`, good > 0 ? "good" : good < 0 ? "bad" : ""));
}

function grid(one) {
  const label = ["answers", "clock", "delivery"].includes(one.key) ? t("report.said.group") : named(one.key);
  const columns = [{ title: label, head: true, cell: (row) => [rowName(one, row), row.partial && [" ", chip(t("report.said.partial"))]] }];
  one.columns.forEach((column, place) => {
    if (column.detail || column.part === "low" || column.part === "high") return;
    if (column.part === "change" && one.rows.every((row) => row.cells[place] === null)) return;
    columns.push({ title: columnName(column), number: column.unit !== "text", cell: (row) => cell(one, column, place, row) });
  });
  return table(tableName(one), columns, one.rows);
}

/** Return a cell with the ends of its interval below it. */
function cell(one, column, place, row) {
  const value = row.cells[place];
  if (value === null && row.hidden) return h("span.soft", t("report.said.hidden"));
  if (column.part === "change") return value === null ? "–" : differing(value, column.unit);
  const [low, high] = ["low", "high"].map((part) => row.cells[one.columns.findIndex((each) => each.key === column.key && each.about === column.about && each.part === part)]);
  const known = value !== null && low !== null && low !== undefined && high !== null && high !== undefined;
  return [shown(value, column.unit), known && h("span.meta.block", t("value.between", { low: shown(low, column.unit), high: shown(high, column.unit) }))];
}

const rowName = (one, row) => (["clock"].includes(one.key) ? named(row.label) : row.label || t("report.said.nobody"));

function keywords(words) {
  const columns = [
    { title: t("report.said.word"), head: true, cell: (one) => [one.word, " ", one.side && chip(t(`report.said.side_${one.side}`), one.side === "bad" ? "bad" : "good")] },
    { title: t("report.said.good"), number: true, cell: (one) => String(one.good) },
    { title: t("report.said.bad"), number: true, cell: (one) => String(one.bad) },
    { title: t("report.said.n"), number: true, cell: (one) => String(one.all) },
    { title: t("report.said.example"), wide: true, cell: (one) => one.example && h("q", one.example) },
  ].filter((column) => column.title !== t("report.said.example") || words.items.some((one) => one.example));
  return h("div.stack.tight", h("p.meta", t("report.said.words_read", { read: words.read, answers: words.answers })),
    words.items.length ? table(t("report.said.keywords"), columns, words.items, { key: (one) => one.word }) : h("p.meta", t("report.said.no_words")));
}
