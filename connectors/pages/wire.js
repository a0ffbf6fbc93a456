// The visitor's end of the protocol: a token, a socket or a poll, a queue that survives the page.
// It knows nothing of what the page looks like. Every frame that goes out is answered by one ack
// or one error, in order; a message leaves the queue only on its ack, and its id makes a second
// sending harmless.

const ANSWER_WAIT = 15_000;
const LONGEST_PAUSE = 30_000;
const IDLE = 86_400_000;
const PROBE = 50_000;
const STEADY = 10_000; // a connection that held so long was a good one
const SUBPROTOCOL = "huiliu.v1";
const FINAL = new Set(["empty", "too_long", "too_large", "malformed", "unknown"]);

/** What the browser keeps under *prefix* in "localStorage" or "sessionStorage"; in memory where it allows neither. */
export class Keep {
  constructor(prefix, kind = "localStorage") {
    this.prefix = prefix;
    try {
      window[kind].setItem(prefix, "1");
      window[kind].removeItem(prefix);
      this.store = window[kind];
    } catch {
      this.store = null;
      this.memory = new Map();
    }
  }

  get(name) {
    return (this.store ? this.store.getItem(this.prefix + name) : this.memory.get(this.prefix + name)) ?? "";
  }

  set(name, value) {
    try {
      if (this.store) this.store.setItem(this.prefix + name, value);
      else this.memory.set(this.prefix + name, value);
    } catch (error) {
      console.warn("huiliu: the browser's storage is full", error.name);
    }
  }

  drop(name) {
    if (this.store) this.store.removeItem(this.prefix + name);
    else this.memory.delete(this.prefix + name);
  }

  names(start) {
    const keys = this.store ? Object.keys(this.store) : [...this.memory.keys()];
    return keys.filter((key) => key.startsWith(this.prefix + start)).map((key) => key.slice(this.prefix.length)).sort();
  }
}

/** A random id that the hub takes: 22 characters, 128 bits. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

class Refusal extends Error {
  constructor(answer) {
    super(answer.code);
    this.code = answer.code;
    this.wait = (answer.retry_after ?? 0) * 1000;
    this.lived = answer.lived ?? 0;
  }
}

export class Wire {
  /**
   * *on* has state(name), frame(frame), waiting(entry) for one that an earlier page could not send,
   * sent(id, answer), failed(id, code), and fresh() when another visitor takes over.
   */
  constructor(base, keep, on) {
    this.base = base;
    this.keep = keep;
    this.on = on;
    this.user = "";
    this.token = "";
    this.visitor = "";
    this.after = 0;
    this.heard = Date.now();
    this.socket = null;
    this.waiting = [];
    this.deaf = 0; // how often in a row no socket could be opened
    this.marks = { delivered: 0, read: 0 };
    this.wake = () => {};
    this.online = false;
    this.queue = [];
    addEventListener("online", () => this.wake());
    addEventListener("offline", () => this.hangUp());
    document.addEventListener("visibilitychange", () => document.hidden || (this.wake(), this.probe()));
    setInterval(() => document.hidden || this.probe(), PROBE);
  }

  /** Keep the connection for as long as the page lives. */
  async run() {
    this.adopt();
    for (let failures = 0; ; ) {
      let pause = 0;
      try {
        await this.ready();
        if (!this.token) await this.hello();
        await (this.deaf < 2 ? this.listen() : this.poll());
        failures = 0;
      } catch (error) {
        failures = error.lived > STEADY ? 1 : failures + 1;
        pause = error.wait ?? 0;
        if (error.code === "unverified") this.token = "";
        if (error.code === "refused") {
          this.say("refused");
          pause = LONGEST_PAUSE;
        }
      }
      if (failures) await this.rest(Math.max(pause, Math.min(LONGEST_PAUSE, 400 * 2 ** failures)));
    }
  }

  /** Put a text, or the label of a *choice* that was pressed, into the queue and return its entry. */
  write(text, choice = "") {
    const entry = { id: newId(), text, at: Date.now(), ...(choice && { choice }) };
    this.queue.push(entry);
    this.persist(entry);
    this.pump();
    return entry;
  }

  // Nothing of a customer whom the shop named stays for the next one at the same computer: his token
  // is not kept, and his unsent words are under his own id.
  scope() {
    return this.user ? this.visitor : "anonymous";
  }

  persist(entry) {
    if (this.scope()) this.keep.set(`out:${this.scope()}:${entry.at}:${entry.id}`, JSON.stringify(entry));
  }

  /** Take over what an earlier page of this visitor could not send. */
  adopt() {
    if (!this.scope()) return;
    const known = new Set(this.queue.map((entry) => entry.id));
    for (const name of this.keep.names(`out:${this.scope()}:`)) {
      const entry = JSON.parse(this.keep.get(name));
      if (known.has(entry.id)) continue;
      this.queue.push(entry);
      this.on.waiting(entry);
    }
  }

  /** Send a file; resolves with the hub's answer, rejects with a reason that has a `code`. */
  upload(file, id, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", `${this.base}/files?id=${id}&name=${encodeURIComponent(file.name)}`);
      request.setRequestHeader("Authorization", `Bearer ${this.token}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
      request.onload = () => {
        const answer = parse(request.responseText);
        if (answer.type === "ack") resolve(answer);
        else reject(new Refusal(answer));
      };
      request.onerror = () => reject(new Refusal({ code: "lost" }));
      request.send(file);
    });
  }

  /** Say that the visitor's page got, or showed, everything up to position *upto*. */
  mark(kind, upto) {
    const known = this.marked(kind);
    // Boxes that lay unused for a month start again at 1.
    if (upto < known && this.after < known) this.keep.set(`mark:${kind}:${this.visitor}`, "0");
    if (upto <= this.marks[kind] || (upto <= known && this.after >= known)) return;
    this.marks[kind] = upto;
    clearTimeout(this.marking);
    this.marking = setTimeout(() => this.tell(), 300);
  }

  marked(kind) {
    return Number(this.keep.get(`mark:${kind}:${this.visitor}`)) || 0;
  }

  async tell() {
    if (!this.online) return;
    for (const kind of ["read", "delivered"]) {
      const after = kind === "read" ? this.marked("read") : Math.max(this.marked("read"), this.marked("delivered"));
      const upto = this.marks[kind]; // what was read has been delivered as well
      if (upto <= after) continue;
      try {
        const answer = await this.exchange({ type: kind, after, upto });
        if (answer.type === "ack") this.keep.set(`mark:${kind}:${this.visitor}`, String(upto));
      } catch {
        return; // told again after the next connection
      }
    }
  }

  async ready() {
    if (navigator.onLine === false) {
      this.say("offline");
      await new Promise((resolve) => (this.wake = resolve));
    }
    if (!this.online) this.say("connecting");
  }

  async hello() {
    const ask = () => {
      const token = this.user ? "" : this.keep.get("token");
      return this.post("hello", JSON.stringify({ token, user: this.user }));
    };
    let answer = await ask();
    if (answer.code === "unverified" && this.user) {
      console.warn("huiliu: the signed identity was refused; going on as an anonymous visitor");
      this.user = "";
      answer = await ask();
    }
    if (answer.code === "unverified") throw new Refusal({ code: "refused" });
    if (answer.type !== "hello") throw new Refusal(answer);
    const another = this.visitor && this.visitor !== answer.visitor;
    this.token = answer.token;
    this.visitor = answer.visitor;
    if (!this.user) this.keep.set("token", answer.token);
    if (another) {
      this.after = 0;
      this.marks = { delivered: 0, read: 0 };
      this.queue = [];
      this.on.fresh();
    }
    this.queue.forEach((entry) => this.persist(entry));
    this.adopt();
  }

  /** Be connected by a socket until it closes; then throw, so that a moment passes before the next. */
  listen() {
    return new Promise((_, reject) => {
      const url = new URL(`${this.base}/socket?after=${this.from()}`, location.href);
      url.protocol = url.protocol.replace("http", "ws");
      const socket = new WebSocket(url, [SUBPROTOCOL, this.token]);
      const limit = setTimeout(() => socket.close(), ANSWER_WAIT);
      let opened = 0;
      socket.onopen = () => {
        clearTimeout(limit);
        opened = Date.now();
        this.socket = socket;
        this.connected();
      };
      socket.onmessage = (event) => this.take(parse(event.data));
      socket.onclose = (event) => {
        clearTimeout(limit);
        this.deaf = opened ? 0 : this.deaf + 1;
        this.socket = null;
        this.disconnected();
        const lived = opened ? Date.now() - opened : 0;
        reject(new Refusal({ code: event.code === 1008 ? "unverified" : "lost", lived }));
      };
    });
  }

  /** Ask once for what is new. After a while sockets are tried again. */
  async poll() {
    this.connected();
    this.deaf = this.deaf > 40 ? 0 : this.deaf + 1;
    this.polling = new AbortController();
    const limit = setTimeout(() => this.polling.abort(), 40_000);
    try {
      const headers = { Authorization: `Bearer ${this.token}` };
      const request = { headers, cache: "no-store", signal: this.polling.signal };
      const response = await fetch(`${this.base}/poll?after=${this.from()}`, request);
      const frames = parse(await response.text());
      if (!Array.isArray(frames)) throw new Refusal(frames);
      frames.forEach((frame) => this.take(frame));
    } catch (error) {
      this.disconnected();
      throw error;
    } finally {
      clearTimeout(limit);
    }
  }

  from() {
    if (Date.now() - this.heard > IDLE) this.after = 0;
    return this.after;
  }

  take(frame) {
    if (frame.type === "ack" || frame.type === "error") {
      this.waiting.shift()?.(frame);
      return;
    }
    this.heard = Date.now();
    if (frame.n > this.after) this.after = frame.n;
    this.on.frame(frame);
  }

  /** Send the queue, one message after the other, so that they arrive in order. */
  async pump() {
    if (this.pumping || !this.online) return;
    this.pumping = true;
    try {
      while (this.queue.length && this.online) {
        const entry = this.queue[0];
        const said = { type: "message", id: entry.id, text: entry.text, ...(entry.choice && { choice: entry.choice }) };
        const answer = await this.exchange(said);
        if (answer.type === "error" && !FINAL.has(answer.code)) throw new Refusal(answer);
        if (this.queue[0] !== entry) continue; // another visitor took over meanwhile
        this.queue.shift();
        this.keep.drop(`out:${this.scope()}:${entry.at}:${entry.id}`);
        if (answer.type === "ack") this.on.sent(entry.id, answer);
        else this.on.failed(entry.id, answer.code);
      }
    } catch (error) {
      if (error.code === "unverified") this.hangUp();
      clearTimeout(this.later);
      this.later = setTimeout(() => this.pump(), Math.max(1000, error.wait ?? 0));
    } finally {
      this.pumping = false;
    }
  }

  /** Send one frame and return its answer; throws when the connection breaks first. */
  exchange(frame) {
    const socket = this.socket;
    if (!socket) return this.post("frames", JSON.stringify(frame));
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => socket.close(), ANSWER_WAIT);
      this.waiting.push((answer) => {
        clearTimeout(limit);
        if (answer) resolve(answer);
        else reject(new Refusal({ code: "lost" }));
      });
      socket.send(JSON.stringify(frame));
    });
  }

  async post(where, body) {
    const headers = { "Content-Type": "application/json" };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    const signal = AbortSignal.timeout?.(ANSWER_WAIT);
    return parse(await (await fetch(`${this.base}/${where}`, { method: "POST", headers, body, signal })).text());
  }

  connected() {
    if (this.online) return;
    this.online = true;
    this.say("online");
    this.pump();
    this.tell();
  }

  disconnected() {
    this.online = false;
    this.waiting.splice(0).forEach((answer) => answer(null));
    this.say(navigator.onLine === false ? "offline" : "connecting");
  }

  /** Become the customer whom the shop's site names by a signed identity. */
  identify(user) {
    this.user = user;
    this.token = "";
    this.hangUp();
    this.wake();
  }

  /** Find out whether an open socket still leads anywhere: browsers do not show a page the hub's pings. */
  probe() {
    const socket = this.socket;
    if (socket && !this.waiting.length) this.exchange({ type: "ping" }).catch(() => socket.close());
  }

  hangUp() {
    this.socket?.close();
    this.polling?.abort();
    if (navigator.onLine === false) this.say("offline");
  }

  say(state) {
    if (state === this.state) return;
    this.state = state;
    this.on.state(state);
  }

  rest(pause) {
    this.say(navigator.onLine === false ? "offline" : this.state === "refused" ? "refused" : "connecting");
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pause * (0.5 + Math.random() / 2));
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { type: "error", code: "lost" }; // a proxy's error page, for one
  }
}
