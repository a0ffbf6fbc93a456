// Sessions: where somebody is signed in, by which way, until when.

import { h } from "../core/dom.js";
import { moment, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import { chip } from "./page.js";
import { table } from "./table.js";

/** Show sessions; *action(one)* returns what stands at the end of each. */
export function sessions(items, action = null) {
  const columns = [
    { title: t("session.browser"), head: true, cell: (one) => [one.browser ?? t("session.unknown"), one.current && [" ", chip(t("session.current"), "good")]] },
    { title: t("session.remote"), cell: (one) => one.remote ?? "–" },
    { title: t("session.way"), cell: (one) => said("session.way_", one.way) },
    { title: t("session.seen"), cell: (one) => (one.seen_at ? timeElement(one.seen_at, moment) : "–") },
    { title: t("session.until"), cell: (one) => (one.until ? timeElement(one.until, moment) : "–") },
    ...(action ? [{ title: "", cell: (one) => h("div.row.end", action(one)) }] : []),
  ];
  return table(t("people.sessions"), columns, items, { key: (one) => one.id });
}
