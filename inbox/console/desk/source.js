// The conversations of one list, page by page, and what becomes of them as things happen.

import { get } from "../core/api.js";
import { belongs } from "./scopes.js";

const PAGE = 100;
const FEW = 30;
const KEPT = [
  "id", "channel", "kind", "status", "team", "agent", "priority", "stage", "tags", "subject", "last_message_at", "last_inbound_at",
  "snoozed_until", "unread", "attention", "sla", "latest", "language",
];

/** Return what a list needs of a conversation: a hundred thousand of them have to fit into a browser. */
function kept(one) {
  const small = {};
  for (const name of KEPT) small[name] = one[name];
  small.contact = { id: one.contact.id, name: one.contact.name, addresses: one.contact.addresses.slice(0, 1), tier: one.contact.tier };
  return small;
}

/** One list. *changed* is called whenever what it shows may look different. */
export class Source {
  constructor(session, changed) {
    this.session = session;
    this.changed = changed;
    this.items = [];
    this.query = {};
    this.failure = null;
    this.loading = false;
    this.done = false;
    this.byId = new Map();
    this.cursor = "";
    this.turn = 0;
    this.stamp = 0;
    this.meanwhile = [];
  }

  /** Show something else, from its beginning. */
  async open(query) {
    this.query = query;
    this.turn += 1;
    this.items = [];
    this.byId.clear();
    this.cursor = "";
    this.done = false;
    this.loading = false;
    this.meanwhile = [];
    await this.more();
  }

  /** Read the beginning anew, keeping what is shown until it is there. */
  async again() {
    const turn = (this.turn += 1);
    this.loading = true;
    try {
      const page = await this.page("");
      if (turn !== this.turn) return;
      this.items = [];
      this.byId.clear();
      this.add(page);
    } catch (failure) {
      if (turn === this.turn) this.fail(failure);
    } finally {
      if (turn === this.turn) this.loading = false;
      this.changed();
    }
  }

  /** Read the next page. A search that looks far answers with short pages; a few are read at once. */
  async more() {
    if (this.loading || this.done) return;
    const turn = this.turn;
    this.loading = true;
    this.failure = null;
    this.changed();
    try {
      const before = this.items.length;
      do {
        const page = await this.page(this.cursor);
        if (turn !== this.turn) return;
        this.add(page);
      } while (!this.done && this.items.length - before < FEW);
    } catch (failure) {
      if (turn === this.turn) this.fail(failure);
    } finally {
      if (turn === this.turn) {
        this.loading = false;
        this.changed();
      }
    }
  }

  page(cursor) {
    return get("/conversations", { ...this.query, latest: true, limit: PAGE, cursor });
  }

  add(page) {
    for (const one of page.items) {
      if (this.byId.has(one.id)) continue;
      const small = this.stamped(kept(one));
      this.items.push(small);
      this.byId.set(one.id, small);
    }
    this.cursor = page.next ?? "";
    this.done = !page.next;
    // What happened while the page was on its way may not stand in it.
    for (const [conversation, message] of this.meanwhile.splice(0)) this.put(conversation, message);
  }

  fail(failure) {
    if (failure.words === undefined) throw failure;
    this.failure = failure;
  }

  /** Take over what an event, or the answer to something done here, says of a conversation. */
  take(conversation, message) {
    if (this.loading) this.meanwhile.push([conversation, message]);
    this.put(conversation, message);
  }

  put(conversation, message) {
    const there = this.byId.get(conversation.id);
    const fits = belongs(this.query, conversation, this.session);
    if (fits === false) {
      if (there) this.drop(conversation.id);
      return;
    }
    if (!there && (fits === null || (!this.done && this.behind(conversation)))) return;
    const next = this.stamped({ ...kept(conversation), latest: said(message) ?? there?.latest ?? null });
    this.byId.set(next.id, next);
    if (there && there.last_message_at === next.last_message_at) {
      this.items[this.items.indexOf(there)] = next;
    } else {
      if (there) this.items.splice(this.items.indexOf(there), 1);
      const at = this.items.findIndex((one) => one.last_message_at <= next.last_message_at);
      this.items.splice(at < 0 ? this.items.length : at, 0, next);
    }
    this.changed();
  }

  drop(id) {
    const there = this.byId.get(id);
    if (!there) return;
    this.byId.delete(id);
    this.items.splice(this.items.indexOf(there), 1);
    this.changed();
  }

  behind(conversation) {
    const last = this.items.at(-1);
    return last !== undefined && conversation.last_message_at < last.last_message_at;
  }

  stamped(one) {
    one.stamp = this.stamp += 1;
    return one;
  }
}

/** Return how a list shows a message of an event; undefined for what no list shows. */
function said(message) {
  if (!message || message.direction === "event" || message.direction === undefined) return undefined;
  const { direction, author, text, type, at } = message;
  return { direction, author, text: (text ?? "").slice(0, 160).replace(/\s+/g, " "), type, at };
}
