// Events of a conversation as sentences: who did what, and why.

import { moment } from "../core/time.js";
import { known, said, t } from "../core/words.js";
import * as names from "./names.js";

/** Return {text, detail, tone, icon} of an event on a timeline. */
export function happening(message, conversation) {
  const { event } = message;
  const who = names.author(message.author, conversation);
  const made = MADE[event.name]?.(event, who, message);
  if (made) return made;
  if (known(`event.${event.name}`)) return { text: t(`event.${event.name}`, { who }), icon: "info" };
  return { text: t("event.other", { who, name: event.name }), icon: "info" };
}

const MADE = {
  assigned(event, who, message) {
    const hub = message.author.kind === "hub";
    const to = event.agent ? names.agent(event.agent) : event.team ? names.team(event.team) : t("row.nobody");
    if (event.agent) return { text: t(hub ? "event.assigned_by_hub" : "event.assigned", { who, to }), detail: event.reason, icon: "person" };
    if (event.team) return { text: t("event.given_to_team", { who, to }), detail: event.reason, icon: "team" };
    return { text: t("event.put_back", { who }), detail: event.reason, icon: "inbox" };
  },
  resolved: (_, who) => ({ text: t("event.resolved", { who }), icon: "check" }),
  reopened: (event, who) => ({
    text: event.because ? t("event.reopened_because", { why: said("because.", event.because) }) : t("event.reopened", { who }), icon: "inbox",
  }),
  snoozed: (event, who) => ({ text: t("event.snoozed", { who, until: event.until ? moment(new Date(Number(event.until) || event.until).toISOString()) : "" }), icon: "snooze" }),
  tagged: (event, who) => ({ text: t("event.tagged", { who, tags: (event.tags ?? []).join(t("list.comma")) || t("tag.none") }), icon: "tag" }),
  sla_warning: (event) => ({ text: t("event.sla_warning", { clock: said("clock.", event.clock) }), icon: "clock", tone: "warn" }),
  sla_breach: (event) => ({ text: t("event.sla_breach", { clock: said("clock.", event.clock) }), icon: "clock", tone: "bad" }),
  score: (event) => ({ text: t("event.score", { score: event.score, most: event.most ?? "" }), detail: event.comment, icon: "star", tone: event.most && event.score <= event.most / 2 ? "bad" : "good" }),
  survey_answer: (event) => ({ text: t("event.survey_answer"), detail: Object.values(event.answers ?? {}).flat().join(" · "), icon: "star" }),
  undelivered: (event) => ({ text: t("event.undelivered"), detail: names.failure(event.error), icon: "alert", tone: "bad" }),
  delivery: (event, _, message) => ({
    text: t("event.delivery", { state: said("delivery.", event.state) }), detail: [event.by && names.agent(event.by), names.failure(event.error)].filter(Boolean).join(" · "), icon: "send", tone: ["dead", "failed"].includes(event.state) ? "bad" : "",
    of: message.event.delivery,
  }),
  consent: (event) => ({ text: t("event.consent", { state: said("consent.", event.state) }), icon: "info" }),
};
