// The lists there are: what each asks the hub for, and whether a conversation that changes still belongs to it.

import { t } from "../core/words.js";
import * as names from "./names.js";

export const AT_WORK = "open,pending";

/** Return the lists for somebody, in the order in which they stand; *group* tells kinds apart. */
export function scopes(session) {
  const own = session.teams ?? [];
  const teams = names.all("teams").filter((one) => !session.hidden?.includes(one.id));
  const mine = teams.filter((one) => own.includes(one.id));
  return [
    session.agent && { id: "mine", label: t("scope.mine"), icon: "person", query: { agent: "me", status: AT_WORK } },
    { id: "unassigned", label: t("scope.unassigned"), icon: "inbox", query: { unassigned: true, status: AT_WORK } },
    { id: "risk", label: t("scope.risk"), icon: "alert", query: { at_risk: true, status: AT_WORK } },
    { id: "all", label: t("scope.all"), icon: "team", query: { status: AT_WORK } },
    { id: "snoozed", label: t("scope.snoozed"), icon: "snooze", query: { status: "snoozed" } },
    { id: "resolved", label: t("scope.resolved"), icon: "check", query: { status: "resolved" } },
    ...[...mine, ...teams.filter((one) => !mine.includes(one))].map((one) => ({
      id: `team:${one.id}`, label: one.name, icon: "team", group: "teams", query: { team: one.id, status: AT_WORK },
    })),
  ].filter(Boolean);
}

/** Return the list that an address names, the first one if it names none. */
export function scopeOf(all, id) {
  return all.find((one) => one.id === id) ?? all[0];
}

/** Tell whether a conversation belongs to what is asked for; null where only the hub can say. */
export function belongs(query, conversation, session) {
  if (query.q) return null;
  if (query.status && !query.status.split(",").includes(conversation.status)) return false;
  if (query.team && conversation.team !== query.team) return false;
  if (query.channel && conversation.channel !== query.channel) return false;
  if (query.agent && conversation.agent !== (query.agent === "me" ? session.agent : query.agent)) return false;
  if (query.unassigned && conversation.agent) return false;
  return !query.at_risk || atRisk(conversation);
}

/** Tell whether a clock of a conversation has warned or is over, or an answer did not arrive. */
export const atRisk = (one) => Boolean(one.sla?.warned?.length || one.sla?.breached?.length || one.attention);

/** Return the clock that is due first: {clock, due, level} with level "", "warn" or "bad"; null if none runs. */
export function nextDue(sla) {
  let found = null;
  for (const clock of ["first_reply", "next_reply", "resolution"]) {
    const due = sla?.[`${clock}_due`];
    if (!due) continue;
    const level = sla.breached?.includes(clock) ? "bad" : sla.warned?.includes(clock) ? "warn" : "";
    if (!found || due < found.due) found = { clock, due, level };
  }
  return found;
}
