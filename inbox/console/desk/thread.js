// The thread of one conversation: its latest messages, older ones as one scrolls up, news at the end as they come.

import { get, post } from "../core/api.js";
import { fill, h, settled } from "../core/dom.js";
import { icon } from "../core/icons.js";
import * as live from "../core/live.js";
import { fault } from "../core/notices.js";
import { may } from "../core/session.js";
import { day } from "../core/time.js";
import { t } from "../core/words.js";
import { release } from "./files.js";
import { messageElement } from "./message.js";

const PAGE = 50;
const TOGETHER = 5 * 60_000;
const NEAR = 120;
const FETCHING = 3000;
const HIDDEN = new Set(["delivery", "undelivered"]); // the answer itself says what became of it

/** Build the thread of *conversation*; *changed* is called with what the hub says anew of the conversation. */
export function thread(conversation, { changed }) {
  let shown = conversation;
  let messages = [];
  let cursor = null;
  let loading = false;
  let stopped = false;
  let fetching = 0;
  const drawn = new Map();
  const inner = h("div.messages", { role: "log", "aria-label": t("thread.label"), "aria-live": "polite", tabindex: "0" });
  const down = h("button.to-end", { type: "button", hidden: true, onclick: () => toEnd(true) }, icon("down", 16), t("thread.new"));
  const older = h("div.older");
  const scroller = h("div.thread-scroll", older, inner);
  const element = h("div.thread", scroller, down);

  const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
  const toEnd = (smooth) => {
    scroller.scrollTo({ top: scroller.scrollHeight, behavior: smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches ? "smooth" : "auto" });
    down.hidden = true;
  };

  function draw() {
    const parts = [];
    let last = null;
    for (const one of messages) {
      if (HIDDEN.has(one.event?.name)) continue;
      if (!last || day(last.at) !== day(one.at)) parts.push(separator(one.at));
      const joined = last && last.direction === one.direction && one.direction !== "event" && last.author.id === one.author.id &&
        last.author.name === one.author.name && last.delivery?.lane === one.delivery?.lane && Date.parse(one.at) - Date.parse(last.at) < TOGETHER && day(last.at) === day(one.at);
      parts.push(elementOf(one, Boolean(joined)));
      last = one;
    }
    const wanted = new Set(parts);
    for (const [id, { element: old }] of drawn) {
      if (!wanted.has(old)) {
        release(old);
        drawn.delete(id);
      }
    }
    place(parts);
    fill(older, cursor !== null && h("div.spinner", { "aria-label": t("list.loading") }));
  }

  function place(parts) {
    let at = inner.firstChild;
    for (const part of parts) {
      if (part === at) at = at.nextSibling;
      else inner.insertBefore(part, at);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  const days = new Map();
  function separator(at) {
    const name = day(at);
    if (!days.has(name)) days.set(name, h("div.day", h("span", name)));
    return days.get(name);
  }

  function elementOf(one, joined) {
    const stamp = JSON.stringify([joined, one.delivery, one.attachments, one.text, shown.subject]);
    const there = drawn.get(one.id);
    if (there?.stamp === stamp) return there.element;
    const made = messageElement(one, { conversation: shown, joined, changed: takeDelivery });
    drawn.set(one.id, { stamp, element: made });
    return made;
  }

  async function load() {
    if (loading) return;
    loading = true;
    const before = scroller.scrollHeight - scroller.scrollTop;
    try {
      const page = await get(`/conversations/${shown.id}/messages`, { limit: PAGE, cursor: cursor ?? "" });
      if (stopped) return;
      const known = new Set(messages.map((one) => one.id));
      messages = [...page.items.filter((one) => !known.has(one.id)).reverse(), ...messages];
      const first = cursor === null;
      cursor = page.next;
      draw();
      if (first) toEnd(false);
      else scroller.scrollTop = scroller.scrollHeight - before;
      watchFiles();
    } finally {
      loading = false;
    }
  }

  /** Read the latest page anew and put it in the place of what is there: after a break, or while files are fetched. */
  async function again() {
    const before = new Set(messages.map((one) => one.id));
    const page = await get(`/conversations/${shown.id}/messages`, { limit: PAGE });
    if (stopped) return;
    const fresh = new Map(page.items.map((one) => [one.id, one]));
    const oldest = page.items.at(-1);
    const from = messages.findIndex((one) => one.id === oldest?.id);
    const kept = from < 0 ? [] : messages.slice(0, from);
    if (from < 0) cursor = page.next;
    const meanwhile = messages.filter((one) => !before.has(one.id) && !fresh.has(one.id));
    messages = [...kept, ...[...fresh.values()].reverse(), ...meanwhile];
    const end = atEnd();
    draw();
    if (end) toEnd(false);
    watchFiles();
  }

  function watchFiles() {
    clearTimeout(fetching);
    const waiting = messages.slice(-PAGE).some((one) => one.attachments.some((file) => file.state === "pending"));
    if (waiting) fetching = setTimeout(() => again().catch(() => {}), FETCHING);
  }

  function take(message) {
    if (!message?.id || !message.direction) return;
    const at = messages.findIndex((one) => one.id === message.id);
    const end = atEnd();
    if (at >= 0) messages[at] = { ...messages[at], ...message, delivery: message.delivery ?? messages[at].delivery };
    else messages.push(message);
    draw();
    if (at < 0) {
      if (end || message.direction === "outbound") toEnd(false);
      else down.hidden = false;
      watchFiles();
    }
  }

  function takeDelivery(delivery) {
    const one = messages.find((each) => each.id === delivery.message);
    if (!one) return;
    one.delivery = { ...one.delivery, ...delivery };
    const end = atEnd();
    draw();
    if (end) toEnd(false);
  }

  const read = settled(() => {
    if (stopped || !may("agent") || !shown.unread || document.hidden || !document.hasFocus()) return;
    post(`/conversations/${shown.id}/read`, {}).then(changed, () => {});
  }, 600);

  const seeOlder = () => {
    down.hidden ||= atEnd();
    if (scroller.scrollTop < 400 && cursor !== null && !loading) load().catch(fault);
  };
  scroller.addEventListener("scroll", seeOlder, { passive: true });
  const stops = [
    live.on("*", ({ data, name }) => {
      if (data.delivery && (data.delivery.conversation ?? data.conversation?.id) === shown.id) takeDelivery(data.delivery);
      if (data.conversation?.id !== shown.id) return;
      shown = data.conversation;
      changed(data.conversation);
      if (name !== "delivery.changed") take(data.message);
      read();
    }),
    live.on("reset", () => again().catch(fault)),
    live.watch((state) => state === "open" && messages.length && again().catch(() => {})),
  ];
  window.addEventListener("focus", read);

  return {
    element,
    take,
    takeDelivery,
    toEnd,
    messages: () => messages,
    /** Return the id of the last message of customer or ours that is shown. */
    lastSeen: () => messages.findLast((one) => one.direction === "inbound" || one.direction === "outbound")?.id,
    update(next) {
      shown = next;
      read();
    },
    async begin() {
      await load();
      read();
    },
    stop() {
      stopped = true;
      clearTimeout(fetching);
      read.stop();
      window.removeEventListener("focus", read);
      for (const stop of stops) stop();
      release(inner);
    },
  };
}
