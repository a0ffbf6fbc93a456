// Canned answers: `/` at the beginning of a word lists them, Enter puts one in, filled in for this customer.

import { get, post } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { t } from "../core/words.js";

const CALLED = /(?:^|\s)\/([^\s/]*)$/;
let coming = null;

const templates = () => (coming ??= get("/templates").then(({ items }) => items, (failure) => {
  coming = null;
  throw failure;
}));

/** Build the list below an input; *take(template, filled)* is called with the one that was chosen. */
export function canned({ input, conversation, take }) {
  let found = [];
  let at = 0;
  let open = false;
  let start = 0;
  let preview = 0;
  const shown = new Map();
  const list = h("ul", { role: "listbox", id: `canned-${Math.random().toString(36).slice(2)}`, "aria-label": t("canned.label") });
  const element = h("div.canned", { hidden: true }, list);

  function fits(one) {
    const { channel, kind } = conversation();
    return (!one.channels.length || one.channels.includes(channel)) && (!one.kinds.length || one.kinds.includes(kind)) &&
      (one.for_agents || one.platforms.length > 0);
  }

  async function look(word, from) {
    start = from;
    try {
      const all = await templates();
      const wanted = word.toLowerCase();
      found = all.filter((one) => fits(one) && (one.id.toLowerCase().includes(wanted) || shown.get(one.id)?.text?.toLowerCase().includes(wanted))).slice(0, 50);
      at = 0;
      open = true;
      draw();
    } catch (failure) {
      fault(failure);
    }
  }

  function draw() {
    element.hidden = !open;
    input.setAttribute("aria-controls", list.id);
    fill(list, found.length ? found.map((one, index) =>
      h("li", { role: "option", id: `${list.id}-${index}`, "aria-selected": String(index === at), onpointerdown: (event) => (event.preventDefault(), choose(one)) },
        h("strong", one.id), h("span.cut.soft", shown.get(one.id)?.text ?? ""))) : h("li.soft", { role: "option", "aria-disabled": "true" }, t("canned.none")));
    if (open && found[at]) {
      input.setAttribute("aria-activedescendant", `${list.id}-${at}`);
      list.children[at].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
    clearTimeout(preview);
    if (open) preview = setTimeout(fillShown, 60);
  }

  async function fillShown() {
    const wanted = found.slice(0, 12).filter((one) => !shown.has(one.id));
    if (!wanted.length) return;
    await Promise.all(wanted.map(async (one) => {
      shown.set(one.id, null);
      try {
        shown.set(one.id, await post(`/templates/${encodeURIComponent(one.id)}/preview`, { conversation: conversation().id }));
      } catch {
        shown.delete(one.id); // it is listed by its name alone
      }
    }));
    if (open) draw();
  }

  async function choose(one) {
    close();
    try {
      const filled = shown.get(one.id) ?? (await post(`/templates/${encodeURIComponent(one.id)}/preview`, { conversation: conversation().id }));
      take(one, filled);
    } catch (failure) {
      fault(failure);
    }
  }

  function close() {
    open = false;
    draw();
  }

  const watch = () => {
    const before = input.value.slice(0, input.selectionStart);
    const called = CALLED.exec(before);
    if (called) look(called[1], before.length - called[1].length - 1);
    else if (open) close();
  };
  input.addEventListener("input", watch);
  input.addEventListener("blur", close);

  return {
    element,
    /** Return where in the text the call of a template begins. */
    from: () => (CALLED.test(input.value.slice(0, input.selectionStart)) ? start : input.selectionStart),
    open() {
      input.focus();
      look("", input.selectionStart);
    },
    /** Take a key that is meant for the list; tell whether it was. */
    handles(event) {
      if (!open) return false;
      if (event.key === "Escape") close();
      else if (event.key === "ArrowDown" || event.key === "ArrowUp") at = (at + (event.key === "ArrowDown" ? 1 : -1) + found.length) % Math.max(1, found.length);
      else if ((event.key === "Enter" || event.key === "Tab") && found[at]) choose(found[at]);
      else return false;
      event.preventDefault();
      event.stopPropagation();
      if (open) draw();
      return true;
    },
    stop: () => clearTimeout(preview),
  };
}
