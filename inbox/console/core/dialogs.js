// Dialogs, menus and what else lies above the page. Focus goes in, stays, and comes back; Escape closes.

import { append, h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./words.js";

let count = 0;

/**
 * Open a dialog and return {element, body, close, closed}. *buttons* stand at its foot; *closed* is a promise.
 *
 * *wide* makes room for more than a form.
 */
export function dialog(title, content, { buttons = [], wide = false, onclose } = {}) {
  const id = `dialog-${(count += 1)}`;
  const body = h("div.dialog-body", content);
  const element = h(
    "dialog",
    { "aria-labelledby": id, class: wide && "wide" },
    h(
      "header",
      h("h2", { id }, title),
      h("button.plain.square", { type: "button", "aria-label": t("do.close"), onclick: () => element.close() }, icon("close")),
    ),
    body,
    buttons.length > 0 && h("footer", buttons),
  );
  const closed = new Promise((done) => {
    element.addEventListener("close", () => {
      element.remove();
      onclose?.();
      done(element.returnValue);
    });
  });
  element.addEventListener("click", (event) => {
    if (event.target === element) element.close();
  });
  document.body.append(element);
  element.showModal();
  return { element, body, close: (value) => element.close(value), closed };
}

/** Ask before something is done; resolves to true or false. */
export async function confirm(title, text, label, { danger = false } = {}) {
  let yes = false;
  const accept = h("button", { type: "button", class: danger ? "danger" : "primary", onclick: () => ((yes = true), one.close()) }, label);
  const one = dialog(title, h("p", text), {
    buttons: [h("button", { type: "button", onclick: () => one.close() }, t("do.cancel")), accept],
  });
  accept.focus();
  await one.closed;
  return yes;
}

/**
 * Open a dialog with a form; *save(form)* may throw a `Failure`, which is shown in it.
 *
 * Resolves to what *save* returned, undefined if it was given up.
 */
export async function form(title, fields, label, save, { wide = false } = {}) {
  let result;
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const submit = h("button.primary", { type: "submit" }, label);
  const element = h("form.stack", { method: "dialog", novalidate: false }, fields, trouble,
    h("footer", h("button", { type: "button", onclick: () => one.close() }, t("do.cancel")), submit));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    trouble.hidden = true;
    try {
      result = await save(new FormData(element));
      one.close();
    } catch (failure) {
      trouble.textContent = failure.words ?? t("fault.console");
      trouble.hidden = false;
      if (failure.words === undefined) reportError(failure);
    } finally {
      submit.disabled = false;
    }
  });
  const one = dialog(title, element, { wide });
  element.querySelector("input,textarea,select")?.focus();
  await one.closed;
  return result;
}

/** Return a labelled field: a label above, a hint below. */
export function field(label, control, hint = "") {
  const id = `field-${(count += 1)}`;
  control.id ||= id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h("div.field", h("label", { for: control.id }, label), control, hint && h("small", { id: `${id}-hint` }, hint));
}

/**
 * Open a menu below *anchor*. *items* are {label, run, icon, hint, checked, danger, off} or null for a line.
 */
export function menu(anchor, items, { label = "" } = {}) {
  document.querySelector("div.menu")?.close?.();
  const back = document.activeElement;
  const element = h("div.menu", { role: "menu", "aria-label": label || anchor.textContent, tabindex: "-1" });
  const close = () => {
    element.remove();
    anchor.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    window.removeEventListener("resize", close);
    if (!document.activeElement || document.activeElement === document.body) back?.focus?.();
  };
  const outside = (event) => {
    if (!element.contains(event.target) && !anchor.contains(event.target)) close();
  };
  element.close = close;
  append(element, items.map((one) => (one ? entry(one, close) : h("hr"))));
  element.addEventListener("keydown", (event) => move(event, element, close, anchor));
  (anchor.closest("dialog") ?? document.body).append(element);
  anchor.setAttribute("aria-haspopup", "menu");
  anchor.setAttribute("aria-expanded", "true");
  stand(element, anchor);
  document.addEventListener("pointerdown", outside, true);
  window.addEventListener("resize", close);
  (element.querySelector("[aria-checked=true]") ?? element.querySelector("button:not(:disabled)"))?.focus();
  return close;
}

function entry(one, close) {
  const run = () => {
    close();
    one.run();
  };
  return h(
    "button",
    {
      type: "button", role: one.checked === undefined ? "menuitem" : "menuitemradio", "aria-checked": one.checked === undefined ? null : String(one.checked),
      class: one.danger && "danger", disabled: one.off, onclick: run,
    },
    one.icon && (typeof one.icon === "string" ? icon(one.icon, 18) : one.icon),
    h("span.label", one.label),
    one.hint && h("span.hint", one.hint),
    one.checked && icon("check", 16),
  );
}

function move(event, element, close, anchor) {
  const items = [...element.querySelectorAll("button:not(:disabled)")];
  const at = items.indexOf(document.activeElement);
  const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
  if (event.key in steps) {
    event.preventDefault();
    items[(steps[event.key] + items.length) % items.length]?.focus();
  } else if (event.key === "Escape" || event.key === "Tab") {
    event.preventDefault();
    event.stopPropagation();
    close();
    anchor.focus();
  } else if (event.key.length === 1) {
    items.find((one, index) => index > at && one.textContent.toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
  }
}

/** Put something beside an anchor, where there is room for it. */
export function stand(element, anchor) {
  const place = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = element;
  const below = place.bottom + 4;
  const top = below + height <= innerHeight - 8 ? below : Math.max(8, place.top - height - 4);
  const left = Math.max(8, Math.min(place.left, innerWidth - width - 8));
  element.style.setProperty("top", `${top}px`);
  element.style.setProperty("left", `${left}px`);
}
