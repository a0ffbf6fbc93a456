// Calls of the hub's API: with the session's CSRF token, safe repeats, ETags; problems become `Failure`s with words.

import { t } from "./words.js";

const ROOT = "/api/v1";
const TRIES = 4;
let csrf = "";
let onLost = () => {};

/** A call that did not succeed. `status` is 0 if the hub was not reached; `body` is the problem as the hub told it. */
export class Failure extends Error {
  constructor(status, body = {}, wait = 0) {
    super(body.detail || body.title || t(status ? "fault.hub" : "fault.away"));
    this.status = status;
    this.title = body.title || "";
    this.detail = body.detail || "";
    this.body = body;
    this.wait = wait;
  }

  /** What to tell people. */
  get words() {
    if (this.status === 0) return t("fault.away");
    if (this.status === 503) return t("fault.busy");
    if (this.status === 500) return t("fault.hub");
    if (this.status === 412) return t("fault.changed");
    if (this.status === 429) return t("fault.pace", { seconds: this.wait || 1 });
    if (this.status === 413) return t("fault.large");
    if (this.status === 403) return `${t("fault.forbidden")}${this.detail ? ` · ${this.detail}` : ""}`;
    return this.detail || this.title || t("fault.hub");
  }
}

/** Keep the CSRF token that changes carry. */
export function keepToken(token) {
  csrf = token || "";
}

/** Say what happens when the session has ended. */
export function whenLost(work) {
  onLost = work;
}

/** Return a key that nobody else has made; also where the page came without https. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return a path with parameters; empty ones are left out. */
export function path(base, query = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) given.set(name, String(value));
  }
  const text = given.toString();
  return text ? `${base}?${text}` : base;
}

/** Read something. */
export const get = (where, query, options) => call("GET", path(where, query), undefined, options);

/** Change something; repeated by itself, with one idempotency key, when no answer comes. */
export const post = (where, body = {}, options) => call("POST", where, body, options);

/** Edit something; `tag` is the ETag of what was seen. */
export const put = (where, body = {}, options) => call("PUT", where, body, options);

/** Take something away. */
export const remove = (where, body, options) => call("DELETE", where, body, options);

/** Read something together with its ETag: {data, tag}. */
export async function read(where, query) {
  const answer = await request("GET", path(where, query), undefined, {});
  return { data: await answer.json(), tag: answer.headers.get("ETag") || "" };
}

/** Read all pages of a list, at most *most* items. */
export async function all(where, query = {}, most = 1000) {
  const items = [];
  let cursor = "";
  do {
    const page = await get(where, { limit: 200, ...query, cursor });
    items.push(...page.items);
    cursor = page.next || "";
  } while (cursor && items.length < most);
  return items;
}

/** Read a file as a blob: its bytes are the hub's word, its type is not. */
export async function bytes(where, options) {
  const answer = await request("GET", where, undefined, options ?? {});
  return answer.blob();
}

/** Call the API and return the decoded answer. Throws `Failure`. */
export async function call(method, where, body, options = {}) {
  const answer = await request(method, where, body, options);
  if (answer.status === 204) return null;
  const kind = answer.headers.get("Content-Type") || "";
  return kind.includes("json") ? answer.json() : answer.blob();
}

async function request(method, where, body, { signal, key, tag, quiet } = {}) {
  const headers = { Accept: "application/json" };
  const raw = body instanceof Blob || body instanceof FormData;
  if (body !== undefined && !raw) headers["Content-Type"] = "application/json";
  if (method === "POST" && !where.startsWith("/session")) headers["Idempotency-Key"] = key || newKey();
  if (tag) headers["If-Match"] = tag;
  const sent = body === undefined ? undefined : raw ? body : JSON.stringify(body);
  const url = where.startsWith("/api/") ? where : ROOT + where;
  const again = method === "GET" || "Idempotency-Key" in headers;
  for (let attempt = 1; ; attempt += 1) {
    if (method !== "GET") headers["X-CSRF-Token"] = csrf;
    let failure;
    try {
      const answer = await fetch(url, { method, headers, body: sent, signal, credentials: "same-origin" });
      if (answer.ok) return answer;
      failure = await problem(answer);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      failure = error instanceof Failure ? error : new Failure(0);
    }
    if (failure.status === 401 && !quiet) onLost();
    const passing = failure.status === 0 || failure.status === 503 || failure.status === 429;
    if (!passing || !again || attempt >= TRIES) throw failure;
    await pause(failure.wait * 1000 || 400 * 2 ** attempt, signal);
  }
}

async function problem(answer) {
  let body = {};
  try {
    body = await answer.json();
  } catch {
    // A proxy in between may answer with a page of its own.
  }
  return new Failure(answer.status, body, Number(answer.headers.get("Retry-After")) || 0);
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}
