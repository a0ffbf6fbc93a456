// What a comparison of two rule sets found: a replay of stored messages, or a candidate that runs in the shadow.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { go } from "../core/router.js";
import { number } from "../core/time.js";
import { said, t } from "../core/words.js";
import { chip, part } from "./page.js";
import { table } from "./table.js";

const SHOWN = 20;

/** Show a report; *names* has the names of teams ("team aftersales"). */
export function tally(report, names = new Map()) {
  const team = (name) => (name ? (names.get(`team ${name}`) ?? name) : t("tally.no_team"));
  return h(
    "div.stack",
    h("div.figures", figure("total", report.total), figure("moved", report.moved, report.moved ? "warn" : ""), figure("unchanged", report.unchanged),
      figure("unrouted", report.unrouted, report.newly_unrouted ? "bad" : ""), figure("undecidable", report.undecidable)),
    remarks(report),
    rows(t("tally.routes"), report.routes, (one) => one.name),
    rows(t("tally.teams"), report.teams, (one) => team(one.name)),
    report.moves.length > 0 && part(t("tally.moves"), {}, moves(report.moves.slice(0, SHOWN), team)),
  );
}

const figure = (key, value, tone = "") => h("div.figure", { class: tone }, h("span.meta", t(`tally.${key}`)), h("strong.number", number(value)));

function remarks(report) {
  const told = [
    report.newly_unrouted && t("tally.newly", { n: report.newly_unrouted }),
    report.skipped && t("tally.skipped", { n: report.skipped }),
    report.reproduced && !report.contradicted && t("tally.reproduced", { n: report.reproduced }),
    report.contradicted && t("tally.contradicted", { n: report.contradicted }),
    ...Object.entries(report.reasons).map(([reason, count]) => t("tally.because", { n: count, reason: said("tally.reason.", reason) })),
  ].filter(Boolean);
  return told.length > 0 && h("ul.remarks", told.map((one) => h("li", one)));
}

function rows(title, items, name) {
  const columns = [
    { title, head: true, cell: (one) => name(one) || "–" },
    ...["before", "after"].map((key) => ({ title: t(`tally.${key}`), number: true, cell: (one) => number(one[key]) })),
    { title: t("tally.change"), number: true, cell: (one) => change(one.after - one.before) },
    { title: t("tally.moved"), number: true, cell: (one) => number(one.moved) },
  ];
  return items.length > 0 && table(title, columns, items, { key: (one) => one.name });
}

const change = (difference) => (difference ? chip(`${difference > 0 ? "+" : "−"}${number(Math.abs(difference))}`, "info") : "0");

function moves(items, team) {
  const end = (one) => [h("b", one.route), " ", h("span.soft", team(one.team))];
  const columns = [
    { title: t("tally.count"), number: true, cell: (one) => number(one.count) },
    { title: t("tally.from"), head: true, cell: (one) => end(one.from) },
    { title: t("tally.to"), cell: (one) => end(one.to) },
    { title: t("tally.fields"), cell: (one) => one.fields.map((name) => said("set.", name)).join("、") },
    { title: t("tally.examples"), wide: true, cell: (one) => h("span.row.tight", one.examples.map(example)) },
  ];
  return table(t("tally.moves"), columns, items);
}

/** Return what leads to the conversation of an example. */
function example(name) {
  const open = async () => {
    const [decision] = (await get(`/messages/${name}/trail`)).items;
    if (decision?.conversation) go(`/conversations/${decision.conversation}`);
  };
  return h("button.link", { type: "button", onclick: () => open().catch(fault) }, h("code", name));
}
