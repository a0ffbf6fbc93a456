// The desk: the list, the thread of one conversation, and the customer's card beside it.

import { get } from "../core/api.js";
import { menu } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { keys } from "../core/keys.js";
import { fault, say } from "../core/notices.js";
import { go, link } from "../core/router.js";
import { may } from "../core/session.js";
import { load, t } from "../core/words.js";
import { actions } from "../desk/actions.js";
import { card } from "../desk/card.js";
import { composer } from "../desk/composer.js";
import { tidy } from "../desk/drafts.js";
import { listPane } from "../desk/listing.js";
import { findOther } from "../desk/merging.js";
import { markOf } from "../desk/message.js";
import * as names from "../desk/names.js";
import { dueChip } from "../desk/row.js";
import { nextDue } from "../desk/scopes.js";
import { thread } from "../desk/thread.js";
import { openTrail } from "../desk/trail.js";

const CARD = "huiliu.card";

/** The view. */
export async function view(ctx) {
  await names.names(true);
  tidy();
  const list = listPane(ctx);
  const middle = h("section.middle", { "aria-label": t("thread.place") });
  const side = h("div.side");
  const element = h("div.desk", list.column, list.element, middle, side);
  const state = { ctx, open: null, turn: 0 };

  const show = (next) => {
    state.ctx = next;
    list.update(next);
    const id = next.params.id ?? "";
    element.classList.toggle("reading", Boolean(id));
    element.closest(".frame")?.classList.toggle("deep", Boolean(id));
    if (id !== (state.open?.id ?? "")) openConversation(state, id, { middle, side, list, element }).catch(fault);
  };
  const stopKeys = deskKeys(state, list, element);
  empty(middle, side);
  return {
    element,
    shown: () => show(state.ctx),
    update: show,
    stop() {
      stopKeys();
      list.stop();
      state.turn += 1;
      close(state);
      element.closest(".frame")?.classList.remove("deep");
    },
  };
}

function empty(middle, side) {
  fill(middle, h("div.empty", icon("inbox", 40), h("p", t("thread.choose")), h("p.meta", h("kbd", "J"), " ", h("kbd", "K"), " ", t("keys.walk"), " · ", h("kbd", "?"), " ", t("keys.help"))));
  fill(side);
}

function close(state) {
  for (const part of state.open?.parts ?? []) part.stop();
  state.open = null;
}

async function openConversation(state, id, { middle, side, list, element }) {
  const turn = (state.turn += 1);
  close(state);
  if (!id) {
    empty(middle, side);
    return;
  }
  state.open = { id, parts: [] };
  const waiting = setTimeout(() => turn === state.turn && fill(middle, h("div.waiting", h("div.spinner"))), 150);
  let conversation;
  try {
    // Why something was not sent is told in conversations only: the list need not wait for those words.
    [conversation] = await Promise.all([get(`/conversations/${id}`), load("failures").catch(() => {})]);
  } catch (failure) {
    if (turn !== state.turn) return;
    fill(middle, h("div.empty", icon("alert", 32), h("p", failure.status === 404 ? t("thread.gone") : failure.words), h("a.button", { href: list.place() }, t("thread.back"))));
    fill(side);
    return;
  } finally {
    clearTimeout(waiting);
  }
  if (turn !== state.turn) return;
  const open = build(state, conversation, { list, element });
  state.open = open;
  fill(middle, open.head, open.thread.element, open.composer.element);
  fill(side, open.card.element);
  await open.thread.begin();
}

function build(state, conversation, { list, element }) {
  let now = conversation;
  const open = { id: conversation.id, parts: [], current: () => now };
  const took = (next) => {
    now = { ...next, sending: next.sending ?? now.sending };
    list.source.take(next);
    drawHead();
    open.thread.update(now);
    open.card.update(now);
    open.composer.update(now);
  };
  const changed = (next) => {
    took(next);
    if (!next.sending) refreshSending();
  };
  let asking = 0;
  const refreshSending = () => {
    clearTimeout(asking);
    asking = setTimeout(async () => {
      try {
        const fresh = await get(`/conversations/${now.id}`);
        if (state.open === open) took(fresh);
      } catch {
        // The next event asks again.
      }
    }, 400);
  };
  const act = (open.act = actions(() => now, took));
  const tools = { untag: act.untag, tag: () => act.tag(), trail: () => openTrail(now) };
  open.thread = thread(conversation, { changed });
  open.card = card(conversation, tools);
  open.composer = composer(conversation, {
    seen: open.thread.lastSeen,
    resolve: () => act.resolve(),
    sent(message, delivery) {
      open.thread.take(delivery && message ? { ...message, delivery: message.delivery ?? delivery } : message);
      refreshSending();
      list.draw();
    },
  });
  open.trail = tools.trail;
  open.merge = () => findOther(open.card.contact()).then((done) => done && open.card.refresh());
  open.head = h("header.thread-head");
  open.head.addEventListener("click", (event) => event.target.closest("[data-act]") && open.acts[event.target.closest("[data-act]").dataset.act](event.target.closest("[data-act]")));
  open.acts = {
    assign: (anchor) => act.assign(anchor),
    snooze: (anchor) => act.snooze(anchor),
    resolve: () => act.toggle(),
    card: () => toggleCard(element),
    more: (anchor) => moreActions(anchor, open, act, now),
  };
  const drawHead = () => fill(open.head, headParts(now, list));
  drawHead();
  dropFiles(open.thread.element, open.composer);
  open.parts = [open.thread, open.card, open.composer, { stop: () => clearTimeout(asking) }];
  element.classList.toggle("with-card", cardWanted());
  return open;
}

function headParts(one, list) {
  const due = nextDue(one.sla);
  const button = (act, name, label, more = {}) => h("button.plain.square", { type: "button", dataset: { act }, "aria-label": t(label), title: t(label), ...more }, icon(name));
  const done = one.status === "resolved";
  return [
    h("a.button.plain.back", { href: list.place(), "aria-label": t("thread.back") }, icon("back")),
    markOf(one, 16),
    h("div.grow.who", h("h1.cut", names.customer(one.contact)), h("p.meta.cut", [one.subject, one.agent ? names.agent(one.agent) : t("row.nobody"), one.team && names.team(one.team)].filter(Boolean).join(" · "))),
    due && dueChip(due),
    h("span.chip", { class: { open: "warn", pending: "info", resolved: "good", snoozed: "" }[one.status] }, t(`status.${one.status}`)),
    may("agent") && [
      button("assign", "person", "do.assign"),
      button("snooze", "snooze", "do.snooze", { disabled: done }),
      h("button", { type: "button", class: done ? "" : "primary", dataset: { act: "resolve" }, "aria-label": t(done ? "do.reopen" : "do.resolve") }, icon(done ? "undo" : "check", 18), h("span.label", t(done ? "do.reopen" : "do.resolve"))),
    ],
    button("more", "more", "do.more"),
    button("card", "info", "card.toggle"),
  ];
}

function moreActions(anchor, open, act, one) {
  menu(anchor, [
    may("agent") && { label: t("do.mine"), icon: "person", hint: "I", run: () => act.mine() },
    may("agent") && { label: t("do.tag"), icon: "tag", hint: "T", run: () => act.tag() },
    may("agent") && { label: t("merge.with"), icon: "merge", hint: "⇧ M", run: open.merge },
    { label: t("trail.title"), icon: "route", hint: "W", run: open.trail },
    { label: t("nav.contact"), icon: "person", run: () => go(`/contacts/${open.card.contact().id}`) },
    { label: t("do.copy_link"), icon: "link", run: () => copy(location.origin + location.pathname + link(`/conversations/${one.id}`)) },
  ].filter(Boolean));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say(t("did.copied"));
  } catch {
    say(text, { seconds: 0 }); // no clipboard without https
  }
}

function cardWanted() {
  try {
    return localStorage.getItem(CARD) !== "off";
  } catch {
    return true;
  }
}

function toggleCard(element) {
  const overlay = matchMedia("(max-width: 1199px)").matches;
  const on = overlay ? element.classList.toggle("card-over") : element.classList.toggle("with-card");
  if (overlay) {
    element.querySelector(".customer")?.focus?.();
    return;
  }
  try {
    localStorage.setItem(CARD, on ? "on" : "off");
  } catch {
    // It holds until the page is left.
  }
}

function dropFiles(element, composer) {
  let depth = 0;
  const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const over = (by) => (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = Math.max(0, depth + by);
    element.classList.toggle("dropping", depth > 0);
  };
  element.addEventListener("dragenter", over(1));
  element.addEventListener("dragleave", over(-1));
  element.addEventListener("dragover", (event) => files(event) && event.preventDefault());
  element.addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    element.classList.remove("dropping");
    composer.drop(event.dataTransfer.files);
  });
}

function deskKeys(state, list, element) {
  const open = () => state.open?.composer && state.open;
  const walk = (by) => {
    const next = list.step(by);
    if (next) location.hash = list.place(next);
  };
  const agent = () => may("agent") && Boolean(open());
  const head = (act) => element.querySelector(`.thread-head [data-act="${act}"]`);
  const stop = keys("keys.list", {
    j: { label: "keys.next", run: () => walk(1) },
    k: { label: "keys.previous", run: () => walk(-1) },
    "/": { label: "list.search", run: () => list.search() },
    x: { label: "keys.choose", when: () => may("agent") && Boolean(state.open), run: () => list.choose(state.open.id) },
    u: { label: "thread.back", when: () => Boolean(state.open), run: () => (location.hash = list.place()) },
    Escape: { when: () => list.chosen.size > 0 || element.classList.contains("card-over"), run: () => (element.classList.remove("card-over"), list.clear()) },
    ...Object.fromEntries(list.scopes.slice(0, 9).map((one, index) => [`${index + 1}`, { run: () => go("/conversations", { view: one.id }) }])),
  });
  const stopThread = keys("keys.conversation", {
    r: { label: "write.reply", when: agent, run: () => open().composer.focus("reply") },
    n: { label: "write.note", when: agent, run: () => open().composer.focus("note") },
    e: { label: "do.resolve", when: agent, run: () => open().act.toggle() },
    a: { label: "do.assign", when: agent, run: () => open().act.assign(head("assign")) },
    i: { label: "do.mine", when: agent, run: () => open().act.mine() },
    z: { label: "do.snooze", when: agent, run: () => open().act.snooze(head("snooze")) },
    t: { label: "do.tag", when: agent, run: () => open().act.tag() },
    w: { label: "trail.title", when: () => Boolean(open()), run: () => open().trail() },
    c: { label: "card.toggle", when: () => Boolean(open()), run: () => toggleCard(element) },
    "shift+m": { label: "merge.with", when: agent, run: () => open().merge() },
    "shift+s": { label: "do.split", when: agent, run: () => element.querySelector(".customer .past .link")?.click() },
  });
  return () => (stop(), stopThread());
}
