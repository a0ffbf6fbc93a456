// The floor at a glance: who waits, what is late, who is there, what needs a person. Live.

import { get, put } from "../core/api.js";
import { menu } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { channelMark, icon } from "../core/icons.js";
import { fault } from "../core/notices.js";
import { link } from "../core/router.js";
import { session, may } from "../core/session.js";
import { brief, moment, number, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import { fresh, ticking } from "../floor/fresh.js";
import { chip, empty, meter, page, part, redraw } from "../floor/page.js";
import { table } from "../floor/table.js";

const NEWS = "message.*,notice.received,reply.created,delivery.changed,conversation.*,sla.*";
const STATES = { online: "good", away: "warn", offline: "", shift: "" };
const LATE = 12;

export async function view() {
  const figures = h("div.figures");
  const teams = h("div");
  const late = h("div");
  const agents = h("div");
  const channels = h("div.health");
  const element = page(
    "/board",
    { title: t("board.title"), wide: true },
    figures,
    h(
      "div.board",
      h("div.stack", part(t("board.teams"), {}, teams), part(t("board.late"), { note: t("board.late_how") }, late)),
      h("div.stack", part(t("board.agents"), {}, agents), part(t("board.channels"), { actions: h("a.meta", { href: link("/channels") }, t("board.all")) }, channels)),
    ),
  );
  const known = { text: "" };

  async function work() {
    const [board, staff, ways, waiting] = await Promise.all([
      get("/board"), get("/agents"), get("/channels"), get("/conversations", { sla: "late", limit: LATE }),
    ]);
    const text = JSON.stringify([{ ...board, at: "" }, staff, ways.items.map((one) => [one.id, one.state, one.reason]), waiting]);
    if (text === known.text) return;
    known.text = text;
    redraw(figures, drawFigures(board, staff.items));
    redraw(teams, drawTeams(board.teams, staff.items));
    redraw(late, drawLate(waiting.items, staff.items));
    redraw(agents, drawAgents(staff.items, board.teams, again));
    redraw(channels, drawChannels(ways.items));
    stopTicking();
    stopTicking = ticking(element);
  }

  let stopTicking = () => {};
  const news = fresh(work, { on: NEWS, every: 15_000, pause: 1500 });
  const again = () => news.now();
  await work();
  return {
    element,
    stop() {
      news.stop();
      stopTicking();
    },
  };
}

function figure(label, value, { tone = "", note = null, href = null } = {}) {
  const inside = [h("span.meta", label), h("strong.number", value), h("span.note", note)];
  return href ? h("a.figure", { href, class: tone }, inside) : h("div.figure", { class: tone }, inside);
}

function drawFigures(board, staff) {
  const there = staff.filter((one) => one.presence.state === "online").length;
  const { oldest_since: oldest, conversation } = board.waiting;
  const needs = board.needs.dead + board.needs.uncertain + board.needs.shunted;
  const behind = Math.max(board.lag.routing_seconds, board.lag.sending_seconds);
  return [
    figure(t("board.waiting"), number(board.waiting.count), {
      note: oldest ? [t("board.longest"), " ", h("span", { dataset: { since: oldest } })] : t("board.nobody"),
      href: conversation && link(`/conversations/${conversation}`),
    }),
    figure(t("board.breached"), count(board.late.breached, board.late.more), { tone: board.late.breached && "bad", note: t("board.breached_how") }),
    figure(t("board.warned"), count(board.late.warned, board.late.more), { tone: board.late.warned && "warn", note: t("board.warned_how") }),
    figure(t("board.there"), `${there} / ${staff.length}`, { tone: staff.length && !there ? "warn" : "", note: t("board.there_how") }),
    figure(t("board.drafts"), number(board.needs.drafts), { note: t("board.drafts_how"), href: link("/drafts"), tone: board.needs.drafts && "warn" }),
    figure(t("board.trouble"), number(needs), {
      tone: needs && "bad", href: link("/trouble"),
      note: t("board.trouble_how", { dead: board.needs.dead, uncertain: board.needs.uncertain, shunted: board.needs.shunted }),
    }),
    behind > 5 && figure(t("board.lag"), t("span.seconds", { n: Math.round(behind) }), { tone: "bad", note: t("board.lag_how") }),
  ];
}

const count = (value, more) => (more ? `${number(value)}+` : number(value));

function drawTeams(teams, staff) {
  const there = new Set(staff.filter((one) => one.presence.state === "online").map((one) => one.id));
  const columns = [
    { title: t("board.team"), head: true, cell: (one) => [h("a", { href: link("/conversations", { team: one.id }) }, one.name), one.restricted && [" ", chip(t("teams.restricted"), "info")]] },
    { title: t("board.waiting"), number: true, cell: (one) => number(one.open) },
    { title: t("board.longest"), number: true, cell: (one) => (one.oldest_since ? h("span", { dataset: { since: one.oldest_since } }) : "–") },
    { title: t("board.queue"), number: true, cell: (one) => (one.queue ? number(one.queue.count) : "–") },
    { title: t("board.warned"), number: true, cell: (one) => (one.warned ? chip(number(one.warned), "warn") : "0") },
    { title: t("board.breached"), number: true, cell: (one) => (one.breached ? chip(number(one.breached), "bad") : "0") },
    { title: t("board.answered"), number: true, cell: (one) => number(one.pending) },
    { title: t("board.snoozed"), number: true, cell: (one) => number(one.snoozed) },
    { title: t("board.there"), number: true, cell: (one) => `${one.members.filter((name) => there.has(name)).length} / ${one.members.length}` },
  ];
  return teams.length ? table(t("board.teams"), columns, teams, { key: (one) => one.id }) : empty("team", t("teams.none"));
}

function drawLate(items, staff) {
  const names = new Map(staff.map((one) => [one.id, one.name]));
  if (!items.length) return empty("check", t("board.on_time"));
  const columns = [
    {
      title: t("board.customer"), head: true,
      cell: (one) => h("span.row.tight", channelMark(one.kind, one.channel), h("a", { href: link(`/conversations/${one.id}`) }, one.contact.name || one.contact.addresses[0] || one.id)),
    },
    { title: t("board.clock"), cell: (one) => clocks(one.sla) },
    { title: t("board.due"), cell: (one) => due(one.sla) },
    { title: t("board.whose"), cell: (one) => (one.agent ? (names.get(one.agent) ?? one.agent) : h("span.soft", t("board.unassigned"))) },
  ];
  return table(t("board.late"), columns, items, { key: (one) => one.id });
}

function clocks(sla) {
  return [...new Set([...sla.breached, ...sla.warned])].map((clock) =>
    chip(said("clock.", clock), sla.breached.includes(clock) ? "bad" : "warn"));
}

function due(sla) {
  const late = ["first_reply", "next_reply", "resolution"].filter((clock) => sla.breached.includes(clock) || sla.warned.includes(clock));
  const when = late.map((clock) => sla[`${clock}_due`]).filter(Boolean).sort()[0];
  return when ? timeElement(when, moment) : "–";
}

function drawAgents(staff, teams, again) {
  const names = new Map(teams.map((one) => [one.id, one.name]));
  if (!staff.length) return empty("person", t("board.no_agents"));
  return h("ul.staff", staff.map((one) => {
    const full = one.capacity !== null && one.conversations >= one.capacity;
    const load = one.capacity === null ? number(one.conversations) : `${one.conversations} / ${one.capacity}`;
    return h(
      "li",
      h("span.dot", { class: STATES[one.presence.state] }),
      h("div.grow", h("a", { href: link("/conversations", { agent: one.id }) }, one.name), h("span.meta.cut", one.teams.map((name) => names.get(name)).filter(Boolean).join("、"))),
      h("div.load", h("span.number.meta", load), one.capacity !== null && meter(one.conversations / Math.max(1, one.capacity), t("board.load", { name: one.name, load }), full ? "warn" : "")),
      presence(one, again),
    );
  }));
}

function presence(one, again) {
  const { state, until } = one.presence;
  const words = [said("presence.", state), until && h("span.soft", t("board.until", { time: brief(until) }))];
  if (!may("supervisor") && session().agent !== one.id) return h("span.meta.presence", words);
  const button = h("button.small", {
    type: "button", dataset: { key: `presence-${one.id}` }, "aria-label": t("board.set_presence", { name: one.name, state: said("presence.", state) }),
    class: "presence",
    onclick: () => menu(button, [
      ...["online", "away", "offline"].map((next) => ({ label: t(`presence.${next}`), checked: state === next, run: () => set(next) })),
      null,
      { label: t("board.by_shift"), run: () => set(null) },
    ], { label: t("board.set_presence", { name: one.name, state: "" }) }),
  }, words, icon("down", 14));
  const set = (next) => put(`/agents/${one.id}/presence`, { state: next }).then(again).catch(fault);
  return button;
}

function drawChannels(items) {
  if (!items.length) return empty("plug", t("channels.none"));
  const worst = { down: 0, degraded: 1, up: 2 };
  return h("ul.staff", [...items].sort((one, other) => worst[one.state] - worst[other.state]).map((one) =>
    h(
      "li",
      channelMark(one.kind, one.kind),
      h("div.grow", h("span", one.id), one.reason && h("span.meta.cut", { title: one.reason }, one.reason)),
      chip(t(`channel.${one.state}`), { up: "good", degraded: "warn", down: "bad" }[one.state]),
    )));
}
