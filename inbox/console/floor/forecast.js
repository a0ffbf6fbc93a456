// What would come of a bulk send: how many, by which channel, who is left out and why, how it reads, what stands against it.

import { h } from "../core/dom.js";
import { number, span } from "../core/time.js";
import { said, t } from "../core/words.js";
import { chip, facts } from "./page.js";

/** Show a preview of the API. */
export function forecast(one) {
  return h(
    "div.stack.forecast",
    h("div.figures", figure(t("forecast.total"), number(one.total)), figure(t("forecast.time"), span(one.minutes * 60_000)),
      figure(t("forecast.left"), number(Object.values(one.left_out).reduce((sum, each) => sum + each, 0)))),
    obstacles(one.obstacles),
    facts([
      [t("forecast.channels"), Object.entries(one.channels).map(([name, count]) => `${name} ${number(count)}`).join("、")],
      [t("forecast.left_out"), Object.entries(one.left_out).map(([reason, count]) => `${said("left.", reason)} ${number(count)}`).join("、")],
    ]),
    one.samples.length > 0 && h("div.stack.tight", h("h3", t("forecast.samples")), one.samples.map((sample) => h(
      "div.card.stack.tight",
      h("div.row.tight.meta", h("span", sample.address), h("span", sample.channel), sample.segments && h("span", t("forecast.segments", { n: sample.segments }))),
      sample.subject && h("b", sample.subject),
      h("div.bubble", sample.text),
    ))),
  );
}

const figure = (label, value) => h("div.figure", h("span.meta", label), h("strong.number", value));

/** Show what stands in the way of a text; nothing if nothing does. */
export function obstacles(items) {
  const tones = { block: "bad", hold: "warn", warn: "warn" };
  return items.length > 0 && h("ul.remarks", items.map((one) => h("li", chip(t(`weight.${one.weight}`), tones[one.weight]), " ", one.why, " ", h("code.meta", one.rule ?? one.code))));
}
