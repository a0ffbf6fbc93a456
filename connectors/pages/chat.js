// The chat page: puts the wire's frames into the log and the visitor's words onto the wire.

import { Entry, Log } from "./entries.js";
import { lang, size, words } from "./words.js";
import { Keep, newId, Wire } from "./wire.js";

const config = JSON.parse(document.documentElement.dataset.config);
const at = (id) => document.getElementById(id);
const [room, text, file, down, typing] = ["room", "text", "file", "down", "typing"].map(at);
const embedded = window.parent !== window;
const keep = new Keep(`huiliu:${config.channel}:`);
const drafts = new Keep(`huiliu:${config.channel}:draft`, "sessionStorage");
const log = new Log(at("log"));
const title = document.title;

let parentOrigin = "";
let shown = !embedded;
let unread = 0;
let last = 0;
let quiet;
let still;

const visible = () => shown && !document.hidden;

// A reader at the end follows what grows, by a message or by a picture that has come in; one
// further up keeps his place and is offered a way down.
let following = true;
let reached = 0;

function toEnd() {
  following = true;
  down.hidden = true;
  room.scrollTop = room.scrollHeight;
}

const wire = new Wire(config.base, keep, {
  state(name) {
    document.body.dataset.state = name;
    at("state").textContent = words[name];
    const banner = name === "offline" ? words.waiting : name === "refused" ? words.refused : "";
    at("banner").hidden = !banner;
    at("banner").textContent = banner;
  },

  frame(frame) {
    if (frame.type === "typing") return showTyping(frame.on);
    if (frame.type !== "message") return;
    settled();
    if (frame.own) return echo(frame);
    if (log.get(frame.id)) return;
    showTyping(false);
    place(frame);
    last = Math.max(last, frame.n);
    down.hidden = following;
    seen(frame.n);
  },

  waiting(entry) {
    own(entry);
  },

  sent(id) {
    log.get(id)?.settle("sent");
  },

  failed(id, code) {
    const entry = log.get(id);
    entry?.settle("failed", words[code] ?? words.failed, [[words.cancel, () => log.drop(entry)]]);
  },

  fresh() {
    log.clear();
    greet();
  },
});

/** Show a message of the visitor's own, as the hub has it: perhaps written here, perhaps on another device. */
function echo(frame) {
  const known = log.get(frame.id);
  if (!known) place(frame);
  if (!known || known.n) return;
  log.drop(known);
  known.n = frame.n;
  log.put(known);
}

function place(frame) {
  log.put(new Entry(frame, press));
  if (frame.choice) log.chosen(frame.choice);
  const greeting = log.get("greeting");
  if (greeting && frame.at < greeting.at) {
    greeting.at = frame.at; // it was said when the conversation began
    greeting.settle("");
  }
}

/** The history has come in once nothing arrives for a moment; only what comes later is read aloud. */
function settled() {
  clearTimeout(quiet);
  quiet = setTimeout(() => at("log").setAttribute("aria-busy", "false"), 500);
}

function seen(n) {
  if (visible() && !document.hidden) {
    wire.mark("read", n);
    unread = 0;
  } else {
    wire.mark("delivered", n);
    if (n > wire.marked("read")) unread += 1;
  }
  tellParent({ unread });
  document.title = unread ? words.unread(unread, title) : title;
}

function looked() {
  if (visible() && last) seen(last);
}

function showTyping(on) {
  clearTimeout(still);
  typing.hidden = !on;
  if (on) still = setTimeout(() => (typing.hidden = true), 8000);
}

function greet() {
  if (config.greeting) log.put(new Entry({ id: "greeting", text: config.greeting, at: Date.now(), n: 0 }));
}

function own(entry, more = {}) {
  const made = new Entry({ ...entry, own: true, state: "queued", ...more });
  log.put(made);
  toEnd();
  return made;
}

function press(choice) {
  own(wire.write(choice.label, choice.id));
  log.chosen(choice.id);
}

function submit() {
  const words_ = text.value.trim();
  if (!words_ || words_.length > config.textLimit) return;
  own(wire.write(words_));
  text.value = "";
  drafts.drop("");
  grow();
}

function sendFile(chosen) {
  const id = newId();
  const preview = chosen.type.startsWith("image/") ? URL.createObjectURL(chosen) : "";
  const media = [{ name: chosen.name, type: chosen.type, size: chosen.size, preview }];
  const entry = own({ id, at: Date.now(), media });
  const remove = [words.cancel, () => log.drop(entry)];
  if (chosen.size > config.maxFile) return entry.settle("failed", words.too_large(size(config.maxFile)), [remove]);
  if (!chosen.size) return entry.settle("failed", words.empty, [remove]);
  const attempt = async () => {
    entry.settle("queued");
    entry.progress(0);
    try {
      await wire.upload(chosen, id, (part) => entry.progress(part));
      entry.settle("sent");
    } catch (error) {
      const why = error.code === "too_large" ? words.too_large(size(config.maxFile)) : words.failed;
      entry.settle("failed", why, [[words.retry, attempt], remove]);
    }
    entry.progress(1);
  };
  attempt();
}

function grow() {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight, 160)}px`;
  at("send").disabled = !text.value.trim();
}

// A host page is heard only if it is one that may embed this chat, and is told nothing otherwise.
function tellParent(message) {
  if (parentOrigin) window.parent.postMessage({ huiliu: config.channel, ...message }, parentOrigin);
}

function fromParent(event) {
  if (event.source !== window.parent || event.origin !== parentOrigin) return;
  const message = event.data;
  if (message?.huiliu !== config.channel) return;
  if (typeof message.user === "string" && message.user && message.user !== wire.user) {
    if (started) wire.identify(message.user);
    else wire.user = message.user;
  }
  if (typeof message.shown === "boolean") {
    shown = message.shown;
    at("close").hidden = false;
    looked();
    if (shown) text.focus({ preventScroll: true });
  }
  start();
}

let started = false;

function start() {
  if (started) return;
  started = true;
  wire.run();
}

function label(id, name) {
  at(id).setAttribute("aria-label", words[name]);
  at(id).title = words[name];
}

function prepare() {
  label("send", "send");
  label("attach", "attach");
  label("close", "close");
  at("log").setAttribute("aria-label", words.log);
  text.setAttribute("aria-label", words.placeholder);
  text.placeholder = words.placeholder;
  text.maxLength = config.textLimit;
  text.value = drafts.get("");
  down.textContent = words.down;
  at("typist").textContent = `${words.someone}${lang === "en" ? " " : ""}${words.typing}`;
  at("attach").hidden = !config.maxFile;
  greet();
  grow();
}

text.addEventListener("input", () => {
  drafts.set("", text.value);
  grow();
});
text.addEventListener("keydown", (event) => {
  // An input method uses Enter to choose a word; 229 is how older browsers say so.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
text.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length || !config.maxFile) return;
  event.preventDefault();
  files.forEach(sendFile);
});
at("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  text.focus();
});
at("attach").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  [...file.files].forEach(sendFile);
  file.value = "";
});
down.addEventListener("click", toEnd);
room.addEventListener(
  "scroll",
  () => {
    // What grew below since then has not moved the reader: only his own scrolling up stops the following.
    if (room.scrollHeight - room.scrollTop - room.clientHeight < 60) following = true;
    else if (room.scrollTop < reached - 2) following = false;
    reached = room.scrollTop;
    if (following) down.hidden = true;
  },
  { passive: true },
);
document.addEventListener("visibilitychange", looked);
document.addEventListener("keydown", (event) => event.key === "Escape" && tellParent({ close: true }));
at("close").addEventListener("click", () => tellParent({ close: true }));
const growth = new ResizeObserver(() => following && toEnd());
growth.observe(room);
growth.observe(room.firstElementChild);

prepare();
toEnd();
if (embedded) {
  const claimed = new URLSearchParams(location.hash.slice(1)).get("parent") ?? "";
  parentOrigin = config.parents.includes(claimed) || claimed === location.origin ? claimed : "";
  addEventListener("message", fromParent);
  tellParent({ ready: true });
  setTimeout(() => {
    if (!parentOrigin) shown = true; // embedded by hand, without the widget
    start();
  }, 1500);
} else {
  start();
  text.focus({ preventScroll: true });
}
