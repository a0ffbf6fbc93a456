// One message on the page, and the log that keeps them in order. Text only ever becomes text
// nodes; a link is made for http and https addresses alone.

import { day, size, time, words } from "./words.js";

const LINK = /https?:\/\/[^\s<>"'`，。！？；：、（）《》「」【】…“”]+/gi;
const TRAILING = /[.,!?;:'")\]}]+$/;
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);
const TOGETHER = 300_000; // messages of one side within five minutes look like one

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Return *text* as nodes, its addresses as links. */
export function linked(text) {
  const nodes = document.createDocumentFragment();
  let from = 0;
  for (const found of text.matchAll(LINK)) {
    const address = found[0].replace(TRAILING, "");
    if (!URL.canParse?.(address) && !/^https?:\/\/[^/]/i.test(address)) continue;
    nodes.append(text.slice(from, found.index), anchor(address, address));
    from = found.index + address.length;
  }
  nodes.append(text.slice(from));
  return nodes;
}

function anchor(address, text) {
  const link = element("a", "", text);
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  return link;
}

/** Return the http(s) address that *url* means here, "" if it means anything else. */
function safe(url) {
  if (!url) return "";
  try {
    const address = new URL(url, location.href);
    return address.protocol === "https:" || address.protocol === "http:" ? address.href : "";
  } catch {
    return "";
  }
}

function attachment(media) {
  const address = safe(media.url);
  const name = media.name || words.file;
  if (PICTURES.has(media.type) && (address || media.preview)) {
    const picture = element("img", "picture");
    picture.src = address || media.preview;
    picture.alt = media.name || words.picture;
    picture.loading = "lazy";
    picture.onerror = () => picture.closest(".attachment").replaceWith(card(media, address, name));
    const frame = address ? anchor(address, "") : element("span");
    frame.className = "attachment";
    frame.append(picture);
    return frame;
  }
  return card(media, address, name);
}

function card(media, address, name) {
  const frame = address ? anchor(address, "") : element("span");
  frame.className = "attachment card";
  const about = element("span", "about");
  about.append(element("span", "title", name), element("span", "size", media.size ? size(media.size) : ""));
  frame.append(element("span", "leaf"), about);
  return frame;
}

/** A message: {id, at, text, own, author, auto, media, n, state, choices, choice}; *press* is called with a choice. */
export class Entry {
  constructor(message, press) {
    Object.assign(this, { text: "", author: "", media: [], own: false, state: "", choices: [], choice: "" }, message);
    this.press = press;
    this.node = element("div", `entry ${this.own ? "own" : "shop"}`);
    this.day = element("p", "day");
    this.day.hidden = true;
    this.bubble = element("div", "bubble");
    this.meta = element("p", "meta");
    this.who = element("span", "sr", `${this.own ? words.you : this.author || words.someone}: `);
    this.node.append(this.day, this.bubble, this.meta);
    this.fill();
    this.settle(this.state);
  }

  fill() {
    this.bubble.replaceChildren(this.who);
    for (const media of this.media) this.bubble.append(attachment(media));
    if (this.text) {
      const text = element("div", "text");
      text.append(linked(this.text));
      this.bubble.append(text);
    }
    if (this.choices.length) this.bubble.append(this.offer());
    this.bubble.classList.toggle("bare", !this.text && this.media.length > 0 && PICTURES.has(this.media[0].type));
  }

  /** Return the choices as buttons in a group that is named by the text above. */
  offer() {
    const group = element("div", "choices");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", this.text);
    this.buttons = this.choices.map((choice) => {
      const button = element("button", "choice", choice.label);
      button.type = "button";
      button.onclick = () => this.press?.(choice);
      group.append(button);
      return button;
    });
    return group;
  }

  /** Show which choice was pressed, if it is one of these; none can be pressed after that. */
  chosen(id) {
    if (!this.choices.some((choice) => choice.id === id)) return;
    this.choices.forEach((choice, index) => {
      this.buttons[index].setAttribute("aria-pressed", String(choice.id === id));
      this.buttons[index].setAttribute("aria-disabled", "true");
      this.buttons[index].onclick = null;
    });
  }

  /** Show what became of it: "queued", "sent", "failed" or nothing to say; *acts* are [label, function]. */
  settle(state, why = "", acts = []) {
    this.state = state;
    this.node.dataset.state = state;
    const parts = [];
    if (!this.own && this.author) parts.push(element("span", "author", this.author));
    const moment = element("time", "", time(this.at));
    moment.dateTime = new Date(this.at).toISOString();
    parts.push(moment);
    if (state) parts.push(element("span", "mark", why || words[state]));
    for (const [label, act] of acts) {
      const button = element("button", "act", label);
      button.type = "button";
      button.onclick = act;
      parts.push(button);
    }
    this.meta.replaceChildren(...parts);
  }

  progress(part) {
    this.bar ??= element("progress", "bar");
    this.bar.max = 1;
    this.bar.value = part;
    if (part < 1) this.bubble.append(this.bar);
    else this.bar.remove();
  }
}

/** The messages in order: by their place in the conversation, those still on their way last. */
export class Log {
  constructor(node) {
    this.node = node;
    this.entries = [];
    this.byId = new Map();
  }

  get(id) {
    return this.byId.get(id);
  }

  put(entry) {
    this.byId.set(entry.id, entry);
    const place = entry.n ?? Infinity;
    let index = this.entries.length;
    while (index && (this.entries[index - 1].n ?? Infinity) > place) index -= 1;
    this.entries.splice(index, 0, entry);
    this.node.insertBefore(entry.node, this.entries[index + 1]?.node ?? null);
    this.arrange();
  }

  /** Show on whatever offered it that a choice was pressed. */
  chosen(id) {
    for (const entry of this.entries) entry.chosen(id);
  }

  drop(entry) {
    this.entries = this.entries.filter((one) => one !== entry);
    this.byId.delete(entry.id);
    entry.node.remove();
    this.arrange();
  }

  clear() {
    this.entries = [];
    this.byId.clear();
    this.node.replaceChildren();
  }

  /** Give the places in the conversation their days and join what belongs together; once for many changes. */
  arrange() {
    if (this.arranging) return;
    this.arranging = true;
    queueMicrotask(() => {
      this.arranging = false;
      this.entries.forEach((entry, index) => {
        const before = this.entries[index - 1];
        const after = this.entries[index + 1];
        const label = day(entry.at);
        entry.day.hidden = Boolean(before) && day(before.at) === label;
        if (!entry.day.hidden && entry.day.textContent !== label) entry.day.textContent = label;
        entry.node.classList.toggle("first", !joined(before, entry));
        entry.node.classList.toggle("last", !joined(entry, after));
      });
    });
  }
}

function joined(one, other) {
  return (
    Boolean(one && other) &&
    one.own === other.own &&
    one.author === other.author &&
    Math.abs(other.at - one.at) < TOGETHER &&
    day(one.at) === day(other.at)
  );
}
