// The pane with the list: which one, search, the rows, and what is done to many at once.

import { menu } from "../core/dialogs.js";
import { fill, h, settled } from "../core/dom.js";
import { icon } from "../core/icons.js";
import * as live from "../core/live.js";
import { go, link } from "../core/router.js";
import { may } from "../core/session.js";
import { t } from "../core/words.js";
import { virtualList } from "../core/virtual.js";
import { bulkBar } from "./bulk.js";
import { draftOf } from "./drafts.js";
import * as names from "./names.js";
import { row } from "./row.js";
import { scopeOf, scopes } from "./scopes.js";
import { Source } from "./source.js";

const ROW = () => (matchMedia("(min-width: 2400px)").matches ? 104 : matchMedia("(pointer: coarse)").matches ? 96 : 86);
const MINUTE = 60_000;

/**
 * Build the pane. *opened* is called with a conversation that was drawn as the current one.
 *
 * Returns {element, update(ctx), step(by), toggle(), next(id), take(conversation), search(), stop()}.
 */
export function listPane(ctx) {
  const lists = scopes(ctx.session);
  const chosen = new Set();
  const state = { scope: null, query: "", channel: "", current: "", last: "", minute: 0 };
  const source = new Source(ctx.session, () => draw());

  const title = h("button.plain.scope", { type: "button", onclick: () => pick() });
  const input = h("input.find", { type: "search", placeholder: t("list.search"), "aria-label": t("list.search"), enterkeyhint: "search" });
  const filter = h("button.plain.square", { type: "button", "aria-label": t("list.filter"), onclick: () => narrow() }, icon("filter", 18));
  const foot = h("div.list-foot", { role: "status" });
  const column = h("nav.scopes", { "aria-label": t("list.lists") });
  const many = may("agent") ? bulkBar({ chosen, scope: () => state.scope, ended: () => clear(), done: () => source.again() }) : null;
  const list = virtualList({
    rowHeight: ROW,
    label: t("list.label"),
    key: (index) => stampOf(source.items[index]),
    draw: (index) => drawRow(source.items[index]),
    ending: () => source.done || source.failure || source.loading || source.more(),
  });
  const element = h(
    "section.list-pane",
    { "aria-label": t("nav.conversations") },
    h("header.list-head", h("div.line", title, h("span.grow"), filter), h("div.search", icon("search", 16), input), many?.element),
    list.element,
    foot,
  );

  const place = (id = "") => link(id ? `/conversations/${id}` : "/conversations", { view: state.scope.id, channel: state.channel, q: state.query });
  const stampOf = (one) => `${one.id} ${one.stamp} ${one.id === state.current} ${chosen.has(one.id)} ${state.minute} ${draftOf(one.id) ? 1 : 0}`;
  const drawRow = (one) =>
    row(one, { href: place(one.id), current: one.id === state.current, chosen: chosen.has(one.id), draft: draftOf(one.id), choose: may("agent") && choose });

  function draw() {
    list.show(source.items.length);
    const empty = !source.items.length && source.done && !source.loading;
    element.classList.toggle("loading", source.loading && !source.items.length);
    if (source.failure) {
      fill(foot, h("p.trouble", source.failure.words), h("button.small", { type: "button", onclick: () => source.more() }, t("do.again")));
    } else if (empty) {
      fill(foot, h("div.empty", icon(state.query ? "search" : "check", 32), h("p", t(state.query ? "list.none_found" : "list.none"))));
    } else if (source.loading) {
      fill(foot, h("div.spinner", { "aria-label": t("list.loading") }));
    } else {
      fill(foot);
    }
    foot.classList.toggle("filling", !source.items.length);
    many?.draw();
  }

  function pick() {
    menu(title, entries((one) => ({ label: one.label, icon: one.icon, checked: one.id === state.scope.id, run: () => show(one.id) })), { label: t("list.lists") });
  }

  function entries(make) {
    const before = lists.filter((one) => !one.group).map(make);
    const after = lists.filter((one) => one.group).map(make);
    return after.length ? [...before, null, ...after] : before;
  }

  function drawColumn() {
    fill(column, entries((one) =>
      h("a", { href: link("/conversations", { view: one.id }), "aria-current": one.id === state.scope.id ? "true" : null }, icon(one.icon, 18), h("span.cut", one.label)))
      .map((one) => one ?? h("h3", t("list.teams"))));
  }

  function narrow() {
    const pickChannel = (id) => go("/conversations", { view: state.scope.id, channel: id, q: state.query });
    menu(filter, [
      { label: t("list.all_channels"), checked: !state.channel, run: () => pickChannel("") },
      null,
      ...names.all("channels").map((one) => ({ label: one.id, hint: names.kind(one.kind), checked: state.channel === one.id, run: () => pickChannel(one.id) })),
    ], { label: t("list.filter") });
  }

  const show = (id) => go("/conversations", { view: id });
  const find = settled(() => go(location.hash.match(/^#(\/conversations[^?]*)/)?.[1] ?? "/conversations", { view: state.scope.id, channel: state.channel, q: input.value.trim() }, { replace: true }), 250);
  input.addEventListener("input", find);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      if (input.value) {
        input.value = "";
        find();
      } else input.blur();
    } else if (event.key === "ArrowDown" || (event.key === "Enter" && !event.isComposing)) {
      event.preventDefault();
      list.reveal(0)?.querySelector("a")?.focus();
    }
  });

  function choose(id, range) {
    const at = source.items.findIndex((one) => one.id === id);
    const from = range ? source.items.findIndex((one) => one.id === state.last) : -1;
    const on = !chosen.has(id);
    const ids = from < 0 ? [id] : source.items.slice(Math.min(at, from), Math.max(at, from) + 1).map((one) => one.id);
    for (const one of ids) {
      if (on) chosen.add(one);
      else chosen.delete(one);
    }
    state.last = id;
    draw();
  }

  function clear() {
    chosen.clear();
    draw();
  }

  const stops = [
    live.on("message.*,reply.created,note.created,conversation.*,sla.*,survey.answered,notice.received,delivery.changed", ({ data }) => {
      if (data.conversation) source.take(data.conversation, data.message);
    }),
    live.on("reset", () => source.again()),
  ];
  const timer = setInterval(() => {
    state.minute += 1;
    list.refresh();
  }, MINUTE);

  return {
    element,
    column,
    source,
    chosen,
    choose,
    clear,
    place,
    update({ params, query }) {
      const scope = scopeOf(lists, query.view);
      const asked = `${scope.id} ${query.q ?? ""} ${query.channel ?? ""}`;
      state.current = params.id ?? "";
      if (state.asked !== asked) {
        state.asked = asked;
        state.scope = scope;
        state.query = query.q ?? "";
        state.channel = query.channel ?? "";
        if (document.activeElement !== input) input.value = state.query;
        chosen.clear();
        list.scroller.scrollTop = 0;
        fill(title, h("span.cut", state.query ? t("list.results") : scope.label), icon("down", 16));
        filter.setAttribute("aria-pressed", String(Boolean(state.channel)));
        filter.title = state.channel || t("list.filter");
        drawColumn();
        const asks = state.query ? { q: state.query, channel: state.channel } : { ...scope.query, channel: state.channel };
        source.open(asks).catch((error) => reportError(error));
      }
      list.refresh();
    },
    /** Return the id of the conversation *by* places further on, "" at the end. */
    step(by) {
      const at = source.items.findIndex((one) => one.id === state.current);
      const next = Math.max(0, at < 0 ? 0 : at + by);
      if (!source.items[next] || (at >= 0 && next === at)) return "";
      list.reveal(next);
      return source.items[next].id;
    },
    search() {
      input.focus();
      input.select();
    },
    scopes: lists,
    draw,
    stop() {
      for (const stop of stops) stop();
      clearInterval(timer);
      find.stop();
      list.stop();
    },
  };
}
