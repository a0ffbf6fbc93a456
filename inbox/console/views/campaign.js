// One bulk send: how far it is, what became of it, start, pause, stop.

import { get, post } from "../core/api.js";
import { confirm } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { fault, say } from "../core/notices.js";
import { link } from "../core/router.js";
import { moment, number, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import { forecast, obstacles } from "../floor/forecast.js";
import { fresh } from "../floor/fresh.js";
import { chip, doing, facts, meter, page, part, redraw } from "../floor/page.js";
import { TONES } from "./campaigns.js";

const COUNTS = ["owed", "sent", "delivered", "read", "failed", "uncertain", "suppressed", "opted_out"];
const MOVES = {
  draft: ["start", "stop"], preparing: ["pause", "stop"], running: ["pause", "stop"], paused: ["start", "stop"], braked: ["start", "stop"], stopped: [], done: [],
};
const LIVE = { preparing: 1000, running: 1500 };

export async function view(ctx) {
  const { id } = ctx.params;
  const where = `/campaigns/${id}`;
  const head = h("div.row");
  const body = h("div.stack");
  const look = h("div", { "aria-live": "polite" });
  const known = { text: "", state: "" };
  let news = null;

  async function work() {
    const one = await get(where);
    const text = JSON.stringify(one);
    if (text !== known.text) draw(one);
    known.text = text;
    if (known.state !== one.state) {
      known.state = one.state;
      news?.stop();
      news = fresh(work, { every: LIVE[one.state] ?? 15_000, on: "delivery.changed", pause: 800 });
    }
    return one;
  }

  function draw(one) {
    redraw(head, chip(t(`campaign.${one.state}`), TONES[one.state]), MOVES[one.state].map((move) => action(move, one)));
    const share = one.total ? one.done / one.total : 0;
    redraw(body,
      one.why && h("p", { class: one.state === "braked" ? "trouble" : "remark" }, one.why),
      one.total > 0 && h("div.stack.tight", meter(share, t("campaign.of", { done: one.done, total: one.total })), h("p.meta.number", t("campaign.of", { done: number(one.done), total: number(one.total) }))),
      h("div.figures", COUNTS.map((key) => h("div.figure", { class: one.counts[key] && { failed: "bad", uncertain: "warn" }[key] }, h("span.meta", t(`campaign.count_${key}`)), h("strong.number", number(one.counts[key] ?? 0))))),
      Object.keys(one.left_out).length > 0 && part(t("forecast.left_out"), {}, facts(Object.entries(one.left_out).map(([reason, count]) => [said("left.", reason), number(count)]))),
      part(t("campaign.what"), {}, definition(one)));
  }

  function action(move, one) {
    const kind = { start: "primary", pause: "", stop: "danger" }[move];
    const label = move === "start" && one.state !== "draft" ? t("campaign.go_on") : t(`campaign.${move}`);
    return doing(label, async () => {
      if (move === "stop" && !(await confirm(t("campaign.stop_title"), t("campaign.stop_text"), t("campaign.stop"), { danger: true }))) return;
      if (move === "start") await start();
      else await post(`${where}/${move}`);
      await work();
    }, fault, { kind, key: move });
  }

  /** Start it; what stands against the text must be known to whoever does. */
  async function start() {
    try {
      await post(`${where}/start`);
    } catch (failure) {
      if (failure.status !== 409 || !failure.body?.obstacles) throw failure;
      const text = h("div.stack", h("p", t("campaign.anyway_text")), obstacles(failure.body.obstacles));
      if (await confirm(t("campaign.anyway_title"), text, t("campaign.anyway"), { danger: true })) await post(`${where}/start`, { anyway: true });
      return;
    }
    say(t("campaign.started"), { tone: "good" });
  }

  const preview = doing(t("campaign.preview"), async () => redraw(look, forecast(await get(`${where}/preview`))), fault);
  const one = await work();
  const element = page("/campaigns", { title: one.name, lead: [t("campaign.made", { by: one.by ?? "" }), " ", timeElement(one.created_at, moment)], actions: head },
    body, part(t("campaign.preview"), { actions: preview }, look), h("p", h("a", { href: link("/campaigns") }, t("campaigns.all"))));
  return { element, stop: () => news?.stop() };
}

function definition({ definition: one }) {
  const texts = typeof one.text === "string" ? { "": one.text } : (one.text ?? {});
  return h(
    "div.stack",
    Object.entries(texts).map(([language, text]) => h("div.stack.tight", language && h("span.meta", said("language.", language)), h("div.bubble", text))),
    facts([
      [t("campaign.template"), one.template],
      [t("campaign.channel"), one.channel],
      [t("campaign.subject"), one.subject],
      [t("campaign.per_minute"), one.per_minute],
      [t("campaign.consent_source"), one.consent_source],
      ...Object.entries(one.segment ?? {}).map(([key, value]) => [t(`campaign.${key}`), [value].flat().join("、")]),
      [t("campaign.list"), one.list ? t("campaign.has_list") : null],
    ]),
  );
}
