// The promises that run: what is due when, what rests, what is over.

import { h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { full, span } from "../core/time.js";
import { t } from "../core/words.js";

/** Return a list of the clocks of a conversation, null if none runs. */
export function clockList(sla, now = Date.now()) {
  const rows = ["first_reply", "next_reply", "resolution"].map((clock) => one(sla ?? {}, clock, now)).filter(Boolean);
  return rows.length > 0 ? h("ul.clocks", rows) : null;
}

function one(sla, clock, now) {
  const due = sla[`${clock}_due`];
  const breached = sla.breached?.includes(clock);
  const paused = sla.paused?.includes(clock);
  if (!due && !paused && !breached) return null;
  const left = due ? Date.parse(due) - now : 0;
  const tone = breached || (due && left < 0) ? "bad" : sla.warned?.includes(clock) ? "warn" : "";
  const state = paused ? t("due.paused") : !due ? t("due.over") : left < 0 ? t("due.late", { span: span(left) }) : t("due.left", { span: span(left) });
  return h("li", { class: tone, title: due && full(due) }, icon("clock", 14), h("span.grow", t(`clock.${clock}`)), h("span.number", state));
}
