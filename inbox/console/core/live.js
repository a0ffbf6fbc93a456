// What happens, as it happens: one stream of the hub's events for all tabs of a browser, resumed without gap or double.
//
// A browser opens at most six connections to a host. So one tab, the one that holds the lock, keeps the stream and
// tells the others; when it closes, another one takes over exactly where it was.

const STREAM = "/api/v1/events";
const LOCK = "huiliu-stream";
const SEEN = 2000;
const LONGEST = 10_000;
const RESET = { id: "", name: "reset", data: {} };

const listeners = new Set();
const watchers = new Set();
const seen = new Set();
let state = "connecting";
let position = "";
let source = null;
let channel = null;
let tries = 0;
let timer = 0;
let stopping = null;
let checkSession = async () => {};

/**
 * Listen to events: on("message.*,delivery.changed", (event) => …). Returns a function that stops it.
 *
 * Patterns are names after "huiliu.", groups ("conversation.*") or "*". "reset" is told when something may have been
 * missed: read anew what is shown. An event is as docs/events.md says, with `event.name` for the short type.
 */
export function on(patterns, work) {
  const one = { wanted: patterns.split(",").map((name) => name.trim()), work };
  listeners.add(one);
  return () => listeners.delete(one);
}

/** Hear whether the stream is "open", "connecting" or "lost"; called at once with what it is now. */
export function watch(work) {
  watchers.add(work);
  work(state);
  return () => watchers.delete(work);
}

/** Begin. *check* asks whether the session still holds; it is called when the hub refuses the stream. */
export function start(check) {
  stop();
  checkSession = check;
  stopping = new AbortController();
  const { signal } = stopping;
  if (!navigator.locks || !window.BroadcastChannel) {
    connect(signal);
    return;
  }
  channel = new BroadcastChannel(LOCK);
  channel.onmessage = ({ data }) => hear(data);
  channel.postMessage({ ask: true });
  navigator.locks
    .request(LOCK, { signal }, () => {
      connect(signal);
      return new Promise((done) => signal.addEventListener("abort", done));
    })
    .catch(() => {});
}

/** End: nothing is heard any more. */
export function stop() {
  stopping?.abort();
  stopping = null;
  clearTimeout(timer);
  source?.close();
  source = null;
  channel?.close();
  channel = null;
}

function hear(data) {
  if (data.ask) {
    if (source) channel.postMessage({ state, position });
  } else if (!source) {
    if (data.position) position = data.position;
    if (data.state) show(data.state);
    if (data.event) tell(data.event);
  }
}

function connect(signal) {
  if (signal.aborted) return;
  source?.close();
  const query = position ? `?last_event_id=${encodeURIComponent(position)}` : "";
  source = new EventSource(STREAM + query);
  source.addEventListener("ready", (event) => {
    tries = 0;
    // What was read before the stream began may be older than where it began.
    const late = !position && listeners.size > 0;
    pass({ state: "open", position: event.lastEventId, event: late ? RESET : undefined });
  });
  source.addEventListener("reset", (event) => {
    tries = 0;
    pass({ state: "open", position: event.lastEventId, event: RESET });
  });
  source.onmessage = (event) => {
    const one = JSON.parse(event.data);
    pass({ position: event.lastEventId, event: { ...one, name: one.type.replace(/^huiliu\./, "") } });
  };
  source.onerror = () => {
    pass({ state: "lost" });
    if (source?.readyState !== EventSource.CLOSED) return;
    // The hub answered, and not with a stream: it starts, is full, or the session has ended.
    clearTimeout(timer);
    timer = setTimeout(async () => {
      await checkSession();
      connect(signal);
    }, Math.min(LONGEST, 500 * 2 ** tries++) * (0.75 + Math.random() / 2));
  };
}

function pass(news) {
  if (news.position) position = news.position;
  if (news.state) show(news.state);
  if (news.event) tell(news.event);
  channel?.postMessage(news);
}

function show(next) {
  if (next === state) return;
  state = next;
  for (const work of watchers) work(state);
}

function tell(event) {
  if (event.id) {
    if (seen.has(event.id)) return;
    seen.add(event.id);
    if (seen.size > SEEN) seen.delete(seen.values().next().value);
  }
  for (const { wanted, work } of listeners) {
    if (wanted.some((pattern) => fits(pattern, event.name))) work(event);
  }
}

function fits(pattern, name) {
  if (pattern === name) return true;
  if (name === "reset") return false;
  return pattern === "*" || (pattern.endsWith(".*") && name.startsWith(pattern.slice(0, -1)));
}
