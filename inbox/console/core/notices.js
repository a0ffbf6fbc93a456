// Short words at the edge of the window: what was done, with a way back, or what went wrong.

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./words.js";

let place = null;

/** Make the place where notices stand; they are read out as they come. */
export function noticePlace() {
  place = h("div.notices", { role: "status", "aria-live": "polite" });
  return place;
}

/**
 * Say something. *action* is {label, run}; *tone* is "", "good" or "bad"; *seconds* 0 lets it stand until it is closed.
 * Returns a function that takes it away.
 */
export function say(text, { action, tone = "", seconds = 6 } = {}) {
  const close = () => {
    clearTimeout(timer);
    one.remove();
  };
  const one = h(
    "div.notice",
    { class: tone },
    tone === "bad" && icon("alert", 18),
    h("span", text),
    action && h("button.plain.strong", { type: "button", onclick: () => (close(), action.run()) }, action.label),
    h("button.plain.square", { type: "button", "aria-label": t("do.close"), onclick: close }, icon("close", 16)),
  );
  let timer = 0;
  const wait = () => {
    if (seconds) timer = setTimeout(close, seconds * 1000);
  };
  one.addEventListener("pointerenter", () => clearTimeout(timer));
  one.addEventListener("pointerleave", wait);
  wait();
  place?.append(one);
  while (place?.children.length > 4) place.firstElementChild.remove();
  return close;
}

/** Say what went wrong. Anything but a `Failure` is a fault of the console and goes on to the browser's log. */
export function fault(error) {
  if (error?.name === "AbortError") return;
  if (error?.words === undefined) {
    say(t("fault.console"), { tone: "bad" });
    reportError(error);
    return;
  }
  if (error.status !== 401) say(error.words, { tone: "bad", seconds: 9 });
}

/** Say at the top of the window that something holds on, such as a lost connection; null takes it away. */
export function banner(element, text, tone = "") {
  element.hidden = !text;
  element.className = `banner ${tone}`;
  fill(element, text && h("span", text));
}
