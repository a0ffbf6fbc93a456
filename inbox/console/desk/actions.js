// What is done to one conversation: each asks what it needs, does it, offers the way back, and tells the new state.

import { post } from "../core/api.js";
import { fault, say } from "../core/notices.js";
import { session } from "../core/session.js";
import { moment } from "../core/time.js";
import { t } from "../core/words.js";
import { askAssignee, askSnooze, askTags } from "./asking.js";
import * as names from "./names.js";

/** Return the actions on what *current()* is; *took* is called with the conversation as it is then. */
export function actions(current, took) {
  const act = async (what, body, done, back) => {
    const one = current();
    try {
      took(await post(`/conversations/${one.id}/${what}`, body));
      if (done) say(done, back && { action: { label: t("do.undo"), run: () => back(one) } });
    } catch (failure) {
      fault(failure);
    }
  };
  const again = (what, body) => (one) => post(`/conversations/${one.id}/${what}`, body(one)).then(took, fault);
  const reopen = again("reopen", () => ({}));

  return {
    resolve: () => act("resolve", {}, t("did.resolved"), reopen),
    reopen: () => act("reopen", {}),
    toggle() {
      return current().status === "resolved" ? this.reopen() : this.resolve();
    },
    mine: () => session().agent && act("assign", { agent: session().agent }, t("did.mine"), again("assign", (one) => ({ team: one.team ?? undefined, agent: one.agent }))),
    async assign(anchor) {
      const { given, ...to } = await askAssignee(anchor, current());
      if (!given) return;
      const who = to.agent ? names.agent(to.agent) : to.team ? names.team(to.team) : t("row.nobody");
      act("assign", to, t("did.assigned", { who }), again("assign", (one) => ({ ...(one.team ? { team: one.team } : {}), agent: one.agent })));
    },
    async snooze(anchor) {
      const { given, until } = await askSnooze(anchor);
      if (given) act("snooze", { until }, t("did.snoozed", { at: moment(until) }), reopen);
    },
    async tag() {
      const { given, add, remove } = await askTags(current().tags);
      if (given && (add.length || remove.length)) act("tags", { add, remove });
    },
    untag: (tag) => act("tags", { add: [], remove: [tag] }, t("did.untagged", { tag }), again("tags", () => ({ add: [tag], remove: [] }))),
  };
}
