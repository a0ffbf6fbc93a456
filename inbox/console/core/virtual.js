// A list of which only what can be seen is in the page, however long it is: rows of one height, drawn as they come up.

import { h, perFrame } from "./dom.js";

const SPARE = 8;

/**
 * Build a list. *rowHeight* is in pixels or a function of it, *draw(index)* returns the element of a row, *key(index)*
 * what it shows: an element is kept while its key stays. *ending* is called when the end comes near, *label* names it.
 *
 * Returns {element, scroller, show(count), refresh(), reveal(index), top()}.
 */
export function virtualList({ rowHeight, draw, key, ending, label }) {
  const inner = h("div.rows", { role: "list", "aria-label": label });
  const scroller = h("div.scroller", { tabindex: "-1" }, inner);
  const standing = new Map();
  let count = 0;
  let height = 0;

  const measure = () => (typeof rowHeight === "function" ? rowHeight() : rowHeight);
  const paint = () => {
    if (!scroller.clientHeight) return;
    const first = Math.max(0, Math.floor(scroller.scrollTop / height) - SPARE);
    const last = Math.min(count, Math.ceil((scroller.scrollTop + scroller.clientHeight) / height) + SPARE);
    const wanted = new Map();
    for (let index = first; index < last; index += 1) wanted.set(key(index), index);
    for (const [name, element] of standing) {
      if (!wanted.has(name)) {
        element.remove();
        standing.delete(name);
      }
    }
    for (const [name, index] of wanted) {
      let element = standing.get(name);
      if (!element) {
        element = h("div.slot", { role: "listitem" }, draw(index));
        standing.set(name, element);
        inner.append(element);
      }
      if (element.dataset.index !== String(index)) {
        element.dataset.index = String(index);
        element.style.transform = `translateY(${index * height}px)`;
        element.setAttribute("aria-posinset", String(index + 1));
      }
    }
    if (last >= count - SPARE * 2) ending?.();
  };
  const later = perFrame(paint);
  const resized = new ResizeObserver(() => {
    resize();
    later();
  });
  const resize = () => {
    const next = measure();
    if (next === height) return;
    height = next;
    inner.style.setProperty("--row", `${height}px`);
    inner.style.height = `${count * height}px`;
    for (const element of standing.values()) element.dataset.index = "";
  };
  scroller.addEventListener("scroll", later, { passive: true });
  resized.observe(scroller);
  resize();

  return {
    element: scroller,
    scroller,
    /** Show so many rows; what is drawn already stays. */
    show(next) {
      count = next;
      inner.style.height = `${count * height}px`;
      later();
    },
    /** Draw what has changed. */
    refresh: later,
    /** Bring a row into sight and return its element, once it is drawn. */
    reveal(index) {
      const top = index * height;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (top + height > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + height - scroller.clientHeight;
      paint();
      return inner.querySelector(`[data-index="${index}"]`);
    },
    stop() {
      resized.disconnect();
    },
  };
}
