// Keys: one table of what they do now, which is also the help that `?` opens.

import { dialog } from "./dialogs.js";
import { h } from "./dom.js";
import { t } from "./words.js";

const layers = [];
let pending = "";
let timer = 0;

/**
 * Add keys until the returned function is called: keys("desk", {"j": {label: "keys.next", run}, "g i": …}).
 *
 * Single letters do nothing while somebody types; those with "mod+" (Ctrl, or Cmd on a Mac) do. Two keys are typed one
 * after the other. What was added last goes first. *group* is the key of the heading in the help.
 */
export function keys(group, table) {
  const layer = { group, table };
  layers.push(layer);
  return () => layers.splice(layers.indexOf(layer), 1);
}

const typing = (target) => target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName);

function name(event) {
  const key = event.key === " " ? "space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const plain = event.shiftKey && event.key.length === 1 && /[a-z]/i.test(event.key) ? `shift+${key}` : key;
  return event.ctrlKey || event.metaKey ? `mod+${plain}` : event.altKey ? `alt+${plain}` : plain;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
  const pressed = name(event);
  if (typing(event.target) && !pressed.startsWith("mod+") && pressed !== "Escape") return;
  const both = pending ? `${pending} ${pressed}` : pressed;
  clearTimeout(timer);
  pending = "";
  for (const { table } of [...layers].reverse()) {
    const found = table[both] ?? (both === pressed ? undefined : table[pressed]);
    if (!found || found.when?.() === false) continue;
    event.preventDefault();
    found.run(event);
    return;
  }
  if (layers.some(({ table }) => Object.keys(table).some((key) => key.startsWith(`${pressed} `)))) {
    pending = pressed;
    timer = setTimeout(() => (pending = ""), 1200);
  }
});

const MARKS = { mod: /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl", Enter: "↵", Escape: "Esc", ArrowDown: "↓", ArrowUp: "↑", shift: "⇧", space: "␣" };

/** Return a key as it stands on a keyboard. */
export const shown = (key) => key.split(" ").map((one) => h("kbd", one.split("+").map((part) => MARKS[part] ?? part.toUpperCase()).join(" ")));

/** Open the help: every key that does something now. */
export function help() {
  const groups = new Map();
  for (const { group, table } of layers) {
    const rows = groups.get(group) ?? groups.set(group, []).get(group);
    for (const [key, one] of Object.entries(table)) if (one.label) rows.push(h("div", h("dt", shown(key)), h("dd", t(one.label))));
  }
  dialog(
    t("keys.title"),
    h("div.keys", [...groups].filter(([, rows]) => rows.length).map(([group, rows]) => h("section", h("h3", t(group)), h("dl", rows)))),
    { wide: true },
  );
}
