// The candidate that runs in the shadow: what it would have done otherwise, counted as messages come in.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { t } from "../core/words.js";
import { fresh } from "./fresh.js";
import { chip, empty, redraw } from "./page.js";
import { tally } from "./tally.js";

/** Build the report; it counts on while it is looked at. */
export async function shadow(query, names) {
  const element = h("div.stack");
  const known = { text: "" };
  const work = async () => {
    const found = await get("/routes/shadow");
    const text = JSON.stringify(found);
    if (text !== known.text) redraw(element, drawn(found, names));
    known.text = text;
  };
  const news = fresh(work, { on: "message.received,conversation.routed", every: 15_000, pause: 2000 });
  await work();
  return { element, stop: news.stop };
}

function drawn(found, names) {
  if (found.state === "none") return empty("route", t("shadow.none"), h("pre.raw.small", { tabindex: "0" }, "shadow: routes-new.yaml"));
  if (found.state === "faulty") return h("div.trouble", { role: "alert" }, h("p", t("shadow.faulty")), h("ul", found.faults.map((one) => h("li", h("code", one)))));
  return [
    h("p.row.tight", chip(t("shadow.watching"), "good"), h("span.meta", t("shadow.pair", { live: found.live.slice(0, 8), candidate: found.candidate.slice(0, 8) }))),
    found.report.total ? tally(found.report, names) : empty("clock", t("shadow.nothing")),
  ];
}
