// One thing done to many conversations, shown before it is done.

import { post } from "../core/api.js";
import { dialog } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { fault, say } from "../core/notices.js";
import { said, t } from "../core/words.js";
import { askAssignee, askSnooze, askTags } from "./asking.js";

const MOST = 500;

/** Build the bar that stands above the list while some are chosen. */
export function bulkBar({ chosen, ended, done }) {
  const count = h("strong", { role: "status" });
  const button = (name, label, run) => h("button.plain.small.square", { type: "button", "aria-label": t(label), title: t(label), onclick: run }, icon(name, 18));
  const element = h(
    "div.bulk",
    { hidden: true },
    count,
    h("span.grow"),
    button("check", "do.resolve", () => begin({ action: "resolve" })),
    button("person", "do.assign", async (event) => begin({ action: "assign", ...(await askAssignee(event.currentTarget)) })),
    button("snooze", "do.snooze", async (event) => begin({ action: "snooze", ...(await askSnooze(event.currentTarget)) })),
    button("tag", "do.tag", async () => begin({ action: "tag", ...(await askTags([])) })),
    button("checks", "do.read", () => begin({ action: "read" })),
    button("close", "do.choose_none", ended),
  );

  async function begin(body) {
    if (body.given === null) return;
    const { given: _, ...rest } = body;
    const asked = { ...rest, ids: [...chosen].slice(0, MOST) };
    try {
      const shown = await post("/conversations/bulk", { ...asked, preview: true });
      if (await agreed(asked, shown)) {
        const result = await post("/conversations/bulk", asked);
        say(t("bulk.done", { n: result.counts.changed ?? 0 }), { tone: "good" });
        const refused = result.items.filter((one) => one.outcome === "refused" || one.outcome === "missing");
        if (refused.length) say(t("bulk.refused", { n: refused.length, why: refused[0].reason ?? "" }), { tone: "bad" });
        ended();
        done();
      }
    } catch (failure) {
      fault(failure);
    }
  }

  return {
    element,
    begin,
    draw() {
      element.hidden = chosen.size === 0;
      fill(count, t("bulk.chosen", { n: chosen.size }));
    },
  };
}

async function agreed(asked, shown) {
  let yes = false;
  const counts = Object.entries(shown.counts);
  const accept = h("button.primary", { type: "button", onclick: () => ((yes = true), one.close()) }, t(`do.${asked.action}`));
  const one = dialog(
    t("bulk.preview", { action: t(`do.${asked.action}`) }),
    h("dl.facts", counts.map(([outcome, n]) => [h("dt", said("outcome.", outcome.replaceAll(" ", "_"))), h("dd.number", n)])),
    { buttons: [h("button", { type: "button", onclick: () => one.close() }, t("do.cancel")), accept] },
  );
  accept.disabled = !shown.counts["would change"];
  accept.focus();
  await one.closed;
  return yes;
}
