// What an answer will become, and what stands in its way: the reply window, the parts, obstacles in words.

import { h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { full, moment, span } from "../core/time.js";
import { t } from "../core/words.js";
import * as names from "./names.js";

/** Return how much of the right to answer is left; null where a channel has no limit. */
export function meter(conversation, now = Date.now()) {
  const window = conversation.sending?.window ?? conversation.window;
  if (!window) return null;
  const left = window.open_until ? Date.parse(window.open_until) - now : 0;
  const messages = window.messages_left === null || window.messages_left === undefined ? null : Math.max(0, window.messages_left - (window.messages_owed ?? 0));
  if (left <= 0 || messages === 0) return h("span.meter.bad", icon("clock", 14), t(left <= 0 ? "window.closed" : "window.used"));
  const tone = left < 3_600_000 || (messages !== null && messages <= 1) ? "warn" : "";
  return h("span.meter", { class: tone, title: full(window.open_until) }, icon("clock", 14),
    messages === null ? t("window.time", { span: span(left) }) : t("window.both", { span: span(left), n: messages }));
}

/** Return a plan in a few words: in how many messages, at what cost, by what other way, when. */
export function outlook(plan) {
  const parts = [];
  if (plan.action === "split" && plan.parts) parts.push(t("plan.parts", { n: plan.parts.length }));
  if (plan.action === "template") parts.push(t("plan.template", { name: plan.template ?? "" }));
  if (plan.action === "channel") parts.push(t("plan.channel", { channel: plan.channel, address: names.address(plan.address) }));
  if (plan.action === "hold") parts.push(plan.until ? t("plan.hold_until", { at: moment(plan.until) }) : t("plan.hold"));
  if (plan.cost?.segments > 1) parts.push(t("plan.segments", { n: plan.cost.segments }));
  return parts.length ? h("span.plan", { title: plan.will }, parts.join(" · ")) : null;
}

/** Return obstacles as a list; *place(one)* shows where in the text, *anyway()* sends all the same. */
export function obstacleList(obstacles, { place = null, anyway = null } = {}) {
  return h(
    "div.obstacles",
    { class: obstacles.some((one) => one.weight === "block") ? "bad" : "warn" },
    h("ul", obstacles.map((one) =>
      h("li", icon(one.weight === "block" ? "alert" : "info", 16), h("span.grow", one.why, one.until && ` · ${moment(one.until)}`),
        one.replace && h("span.meta", t("guard.instead", { text: one.replace })),
        place && one.length > 0 && one.part === "text" && h("button.link", { type: "button", onclick: () => place(one) }, t("guard.show"))))),
    anyway && h("button.small", { type: "button", onclick: anyway }, t("write.anyway")),
  );
}
