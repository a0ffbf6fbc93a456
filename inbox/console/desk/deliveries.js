// What became of an answer, in words, and what a person can do about it.

import { post } from "../core/api.js";
import { h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { fault, say } from "../core/notices.js";
import { may } from "../core/session.js";
import { clock, full, moment } from "../core/time.js";
import { t } from "../core/words.js";
import * as names from "./names.js";

const MARKS = { queued: "clock", sending: "clock", deferred: "clock", sent: "check", delivered: "checks", read: "checks", uncertain: "alert", failed: "alert", dead: "alert" };
const BAD = new Set(["failed", "dead"]);

/** Tell whether a delivery needs a person. */
export const needsHelp = (one) => (BAD.has(one?.state) && one.code !== "cancelled") || one?.state === "uncertain";

/** Return the line below an answer; *channel* is that of its conversation, *done* is called with what came of an act. */
export function deliveryLine(one, { channel, done }) {
  const cancelled = one.state === "failed" && one.code === "cancelled";
  const tone = cancelled ? "" : BAD.has(one.state) ? "bad" : one.state === "uncertain" ? "warn" : one.state === "read" ? "read" : "";
  const instead = one.instead?.channel && one.instead.channel !== channel ? one.instead : null;
  const other = !instead && one.channel !== channel && one.channel;
  return h(
    "div.delivery",
    { class: tone, dataset: { state: one.state } },
    h("span.state", { title: full(one.changed_at) }, icon(cancelled ? "undo" : MARKS[one.state] ?? "clock", 14), wording(one, cancelled)),
    (instead || other) && h("span", t("delivery.instead", { channel: instead?.channel ?? other, why: instead?.why ?? "" })),
    one.instead?.template && h("span", t("delivery.template", { name: one.instead.template })),
    !cancelled && one.error && (BAD.has(one.state) || one.state === "uncertain" || one.state === "deferred") &&
      h("span.error", names.failure(one.error), one.code && one.code !== one.error ? h("code", ` ${one.code}`) : null),
    may("agent") && acts(one, cancelled, done),
  );
}

function wording(one, cancelled) {
  if (cancelled) return t("delivery.cancelled");
  if (one.waits_for === "customer") return t("delivery.waits_customer");
  if (one.waits_for === "time" && one.due_at) return t("delivery.scheduled", { at: moment(one.due_at) });
  if (one.state === "deferred" && one.due_at) return t("delivery.deferred_until", { at: clock(one.due_at) });
  return t(`delivery.${one.state}`);
}

function acts(one, cancelled, done) {
  const act = (name, label) => h("button.link", { type: "button", onclick: (event) => run(event.currentTarget, one, name, done) }, t(label));
  if (one.state === "queued" || one.state === "deferred") {
    const soon = one.undo_until && Date.parse(one.undo_until) > Date.now();
    return [act("cancel", soon || one.waits_for ? "delivery.do_cancel" : "delivery.do_undo"), one.state === "deferred" && act("retry", "delivery.do_hurry")];
  }
  if (one.state === "uncertain") return [act("confirm", "delivery.do_confirm"), act("retry", "delivery.do_resend")];
  if (BAD.has(one.state) && !cancelled) return act("retry", "delivery.do_retry");
  return null;
}

async function run(button, one, name, done) {
  button.disabled = true;
  try {
    done(await post(`/deliveries/${one.id}/${name}`));
    say(t(`delivery.did_${name}`));
  } catch (failure) {
    button.disabled = false;
    fault(failure);
  }
}

