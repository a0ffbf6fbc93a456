// Channels: which are up, what came in by each, what each carries.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { channelMark } from "../core/icons.js";
import { link } from "../core/router.js";
import { number, span, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import { fresh } from "../floor/fresh.js";
import { chip, empty, facts, page, redraw } from "../floor/page.js";

const OUTCOMES = ["received", "recorded", "duplicate", "ignored", "shunted"];

export async function view() {
  const body = h("div.stack");
  const element = page("/channels", { title: t("channels.title"), lead: t("channels.lead") }, body);
  const known = { text: "" };

  async function work() {
    const [{ items }, board] = await Promise.all([get("/channels"), get("/board")]);
    const text = JSON.stringify([items, board.lag]);
    if (text === known.text) return;
    known.text = text;
    redraw(body, lag(board.lag), items.length ? h("div.cards-grid", items.map(card)) : empty("plug", t("channels.none")));
  }

  const news = fresh(work, { on: "message.received,delivery.changed", every: 10_000, pause: 2000 });
  await work();
  return { element, stop: news.stop };
}

function lag({ routing_seconds: routing, sending_seconds: sending }) {
  const shown = (seconds) => (seconds < 1 ? t("channels.no_lag") : span(seconds * 1000));
  return h("p.row.meta", h("span", t("channels.routing", { lag: shown(routing) })), h("span", "·"), h("span", t("channels.sending", { lag: shown(sending) })));
}

function card(one) {
  const tone = { up: "good", degraded: "warn", down: "bad" }[one.state];
  return h(
    "section.card.stack.tight",
    h("div.row", channelMark(one.kind, one.kind), h("h2.grow.cut", one.id), chip(t(`channel.${one.state}`), tone)),
    one.reason && h("p", { class: one.state === "down" ? "trouble" : "remark" }, one.reason),
    h("p.meta", one.last_event_at ? [t("channels.last"), " ", timeElement(one.last_event_at)] : t("channels.silent"), one.required && ` · ${t("channels.required")}`),
    h("dl.counts", OUTCOMES.map((name) => h("div", h("dt", t(`count.${name}`)), h("dd.number",
      name === "shunted" && one.counts[name] ? h("a", { href: link("/trouble", { tab: "shunted" }) }, number(one.counts[name])) : number(one.counts[name] ?? 0))))),
    h("details", { dataset: { key: one.id } }, h("summary", t("channels.carries")), carries(one)),
  );
}

function carries({ kind, capabilities: able }) {
  const limit = able.text_limit ? t("channels.limit", { n: number(able.text_limit), unit: said("unit.", able.text_unit) }) : t("channels.unlimited");
  const window = able.window
    ? [t("channels.window_time", { time: span(able.window.seconds * 1000) }), able.window.messages && t("channels.window_messages", { n: able.window.messages })].filter(Boolean).join(" · ")
    : t("channels.no_window");
  return facts([
    [t("channels.kind"), kind],
    [t("channels.text"), limit],
    [t("channels.media"), able.media.map((name) => said("media.", name)).join("、") || t("channels.no_media")],
    [t("channels.window"), window],
    [t("channels.receipts"), able.receipts.map((name) => said("delivery.", name)).join("、") || t("channels.no_receipts")],
    [t("channels.once"), able.idempotent ? t("channels.once_yes") : t("channels.once_no")],
  ]);
}
