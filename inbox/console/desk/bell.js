// Tells an agent that somebody wrote: a count in the title, and a notification of the system where that is allowed.

import { get } from "../core/api.js";
import * as live from "../core/live.js";
import { go } from "../core/router.js";
import { session } from "../core/session.js";
import { t } from "../core/words.js";
import * as names from "./names.js";

const MOST = 200;
const KEY = "huiliu.notify";
const unread = new Set();
let stops = [];

/** Begin to watch; *counted* is called with the number of one's own conversations that wait. */
export async function watch(counted) {
  stop();
  const show = () => {
    counted(unread.size);
    document.title = document.title.replace(/^\(\d+\+?\) /, "");
    if (unread.size) document.title = `(${unread.size}) ${document.title}`;
  };
  const look = (one) => {
    if (one.agent === session()?.agent && one.agent && one.unread && one.status === "open") unread.add(one.id);
    else unread.delete(one.id);
  };
  const readAll = async () => {
    if (!session()?.agent) return;
    const { items } = await get("/conversations", { agent: "me", status: "open", limit: MOST });
    unread.clear();
    items.forEach(look);
    show();
  };
  stops = [
    live.on("*", ({ name, data, id }) => {
      if (!data.conversation) return;
      const before = unread.size;
      look(data.conversation);
      if (before !== unread.size) show();
      if (name === "message.received" || (name === "conversation.assigned" && data.change?.agent === session()?.agent)) tell(id, name, data);
    }),
    live.on("reset", () => readAll().catch(() => {})),
  ];
  await readAll().catch(() => {});
  return show;
}

/** End it. */
export function stop() {
  for (const one of stops) one();
  stops = [];
  unread.clear();
}

/** Return "granted", "denied", "default", "off", or "none" where a browser has no notifications. */
export function permission() {
  if (!("Notification" in window)) return "none";
  if (Notification.permission === "granted" && off()) return "off";
  return Notification.permission;
}

/** Ask to be allowed, or switch on and off. */
export async function allow(wanted) {
  try {
    localStorage.setItem(KEY, wanted ? "on" : "off");
  } catch {
    // It holds until the page is left.
  }
  if (wanted && Notification.permission === "default") await Notification.requestPermission();
  return permission();
}

function off() {
  try {
    return localStorage.getItem(KEY) === "off";
  } catch {
    return false;
  }
}

function tell(id, name, { conversation, message }) {
  const own = conversation.agent === session()?.agent && conversation.agent;
  if (!own || permission() !== "granted" || (document.hasFocus() && location.hash.includes(conversation.id))) return;
  const who = names.customer(conversation.contact);
  // All tabs of a browser hear of it; the tag lets it stand once.
  let one;
  try {
    one = new Notification(who, { body: name === "message.received" ? message?.text?.slice(0, 120) : t("bell.assigned"), tag: id, lang: document.documentElement.lang });
  } catch {
    return; // telephones let service workers only do this
  }
  one.onclick = () => {
    window.focus();
    go(`/conversations/${conversation.id}`);
    one.close();
  };
}
