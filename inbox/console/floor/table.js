// Tables that are cards on a phone, and lists that go on page by page.

import { append, fill, h } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { t } from "../core/words.js";

/**
 * Build a table. *columns* are {title, cell(row), number, head, wide}: `head` names the row, `number` stands at the
 * right, `wide` takes a line of its own on a phone; *key(row)* tells rows apart; *tone(row)* marks them.
 */
export function table(label, columns, rows, { key = () => "", tone = () => "" } = {}) {
  const body = h("tbody");
  const element = h(
    "div.table-wrap",
    { role: "region", "aria-label": label, tabindex: "0" },
    h("table.cards", h("thead", h("tr", columns.map((one) => h("th", { scope: "col", class: one.number && "number" }, one.title || h("span.unseen", t("table.actions")))))), body),
  );
  add(body, columns, rows, { key, tone });
  return element;
}

function add(body, columns, rows, { key, tone }) {
  append(body, rows.map((row) =>
    h("tr", { class: tone(row), dataset: { row: key(row) } }, columns.map((one) => {
      const attributes = {
        class: [one.number && "number", one.head && "head", one.wide && "wide", !one.title && "actions"].filter(Boolean),
        dataset: { label: one.title },
      };
      return one.head ? h("th", { ...attributes, scope: "row" }, one.cell(row)) : h("td", attributes, one.cell(row));
    }))));
}

/**
 * Build a list that is read page by page. *load(cursor)* returns {items, next}; *nothing* is shown if there is nothing.
 *
 * Returns {element, reload()}; reload reads as many as are shown, so that what somebody looks at does not go away.
 */
export function paged(label, columns, load, { key, tone, nothing }) {
  const element = h("div.stack");
  const state = { rows: [], next: "", turn: 0 };
  const more = h("button", { type: "button", onclick: () => further().catch(fault) }, t("table.more"));

  const draw = () => fill(element,
    state.rows.length ? table(label, columns, state.rows, { key, tone }) : nothing(),
    state.next && h("div.row.center", more));

  async function further() {
    more.disabled = true;
    try {
      const page = await load(state.next);
      state.rows.push(...page.items);
      state.next = page.next || "";
      draw();
    } finally {
      more.disabled = false;
    }
  }

  async function reload() {
    const turn = (state.turn += 1);
    const wanted = Math.max(1, state.rows.length);
    const rows = [];
    let next = "";
    do {
      const page = await load(next);
      rows.push(...page.items);
      next = page.next || "";
    } while (next && rows.length < wanted);
    if (turn !== state.turn || (rows.length && JSON.stringify([rows, next]) === JSON.stringify([state.rows, state.next]))) return;
    const focus = element.contains(document.activeElement) ? document.activeElement.dataset.key : "";
    Object.assign(state, { rows, next });
    draw();
    if (focus) [...element.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focus)?.focus();
  }

  return { element, reload };
}
