// The beginning: who is here? The door for those whom the hub does not know, the frame for the others.

import "./core/theme.js";
import { call, whenLost } from "./core/api.js";
import { fill, h } from "./core/dom.js";
import * as live from "./core/live.js";
import { session, who } from "./core/session.js";
import { load, nearest, speak, t } from "./core/words.js";

const root = document.getElementById("app");
const LINK = /^#(welcome|sign-in)=(.*)$/;
let standing = null;

/** Show the door; *note* is why. */
async function door(note = "") {
  const { Door } = await import("./door.js");
  replace(await Door({ note, entered: begin }));
}

/** Show the frame with the view that the address means. */
async function begin() {
  live.start(still); // before anything is read, so that nothing falls between
  await speak(session().locale);
  const { Frame } = await import("./frame.js");
  replace(await Frame({ left: () => ended(), spoken: begin }));
}

function replace(next) {
  standing?.stop();
  standing = next;
  fill(root, next.element);
  next.begin?.();
}

/** Ask whether the session still holds; go to the door if not. */
async function still() {
  try {
    if (!(await who())) ended("expired");
  } catch {
    // The hub is away: the stream tries again by itself.
  }
}

function ended(note = "") {
  live.stop();
  if (standing?.kind !== "door") door(note);
}

async function start() {
  await load("core").catch(() => {});
  const [, kind, value] = LINK.exec(location.hash) ?? [];
  if (kind) history.replaceState(null, "", `${location.pathname}#/`);
  await speak(nearest());
  if (kind === "welcome") {
    const { Welcome } = await import("./door.js");
    replace(await Welcome({ token: decodeURIComponent(value), done: () => door("welcome") }));
    return;
  }
  for (;;) {
    try {
      const here = await who();
      if (!here) await speak((await call("GET", "/session/ways")).locale);
      await (here ? begin() : door(kind === "sign-in" ? decodeURIComponent(value) : ""));
      break;
    } catch (failure) {
      if (failure.status === undefined) throw failure;
      fill(root, h("div.waiting", h("div.stack", h("div.spinner"), h("p.soft", t("fault.away")))));
      await new Promise((later) => setTimeout(later, 2000));
    }
  }
}

whenLost(() => ended("expired"));
start();
