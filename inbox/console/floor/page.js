// The frame of the supervisor's and admin's views: which belong together, their head, and what stands in an empty one.

import { fill, h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { link } from "../core/router.js";
import { may } from "../core/session.js";
import { t } from "../core/words.js";

const SECTIONS = [
  { name: "nav.board", views: [["/board", "board.title", "supervisor"], ["/channels", "channels.title", "supervisor"], ["/trouble", "trouble.title", "supervisor"]] },
  {
    name: "nav.reports",
    views: [["/reports", "reports.service", "readonly"], ["/surveys", "surveys.title", "readonly"], ["/reports/scheduled", "scheduled.title", "readonly"]],
  },
  {
    name: "nav.manage",
    views: [
      ["/routes", "routes.title", "supervisor"], ["/campaigns", "campaigns.title", "supervisor"], ["/templates", "templates.title", "supervisor"],
      ["/teams", "teams.title", "supervisor"], ["/webhooks", "webhooks.title", "supervisor"], ["/people", "people.title", "admin"],
      ["/audit", "audit.title", "admin"],
    ],
  },
];

/**
 * Build a page: the views of its section, a heading, actions beside it, and what it shows.
 *
 * *path* is the view of the section that it is or belongs to; *wide* lets it use a large screen.
 */
export function page(path, { title, lead = "", actions = [], wide = false }, ...content) {
  const section = SECTIONS.find((one) => one.views.some(([where]) => where === path));
  const views = section.views.filter(([, , role]) => may(role));
  const bar = h("nav.tabs", { "aria-label": t(section.name) }, views.map(([where, name]) =>
    h("a", { href: link(where), "aria-current": where === path ? "page" : null }, t(name))));
  return h(
    "div.page.floor",
    { class: wide && "wide" },
    intoView(bar),
    h("header", h("div.grow", h("h1", title), lead && h("p.meta", lead)), h("div.row", actions)),
    content,
  );
}

/** Return what stands where there is nothing: what would stand there, and what to do. */
export function empty(name, text, ...more) {
  return h("div.empty", icon(name, 28), h("p", text), more);
}

/** Return a heading with what belongs below it. */
export function part(title, { note = "", actions = [], id = "" } = {}, ...content) {
  return h(
    "section.part",
    { id: id || null },
    h("div.part-head", h("h2", title), note && h("span.meta", note), h("span.grow"), actions),
    content,
  );
}

/** Return tabs within a page; *chosen* is the key of the one that is shown. */
export function tabs(label, items, chosen, address) {
  return intoView(h("nav.tabs.inner", { "aria-label": label }, items.map(([key, text, count]) =>
    h("a", { href: address(key), "aria-current": key === chosen ? "page" : null }, text, count ? h("span.chip", count) : null))));
}

/** Have tabs show the one that is chosen, where they are wider than the screen. */
function intoView(bar) {
  requestAnimationFrame(() => {
    const current = bar.querySelector("[aria-current]");
    if (current) bar.scrollLeft = current.offsetLeft - bar.offsetLeft - (bar.clientWidth - current.offsetWidth) / 2;
  });
  return bar;
}

/** Show other children in an element, and leave the focus where it was: on what has the same `data-key`. */
export function redraw(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : "";
  const open = new Set([...element.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key));
  fill(element, ...children);
  for (const one of element.querySelectorAll("details[data-key]")) if (open.has(one.dataset.key)) one.open = true;
  if (key) [...element.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key)?.focus();
}

/** Return a button that does something that takes its time; *run* may throw a `Failure`, which *wrong* is told. */
export function doing(label, run, wrong, { name = "", kind = "", key = "", hint = "" } = {}) {
  const button = h("button", { type: "button", class: kind, dataset: key ? { key } : {}, title: hint || null }, name && icon(name, 16), label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await run(button);
    } catch (failure) {
      wrong(failure);
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

/** Return a chip for a state; *tones* says which are good, bad, warn or info. */
export const chip = (text, tone = "") => h("span.chip", { class: tone }, text);

/** Return a list of terms and what they mean; what is empty is left out. */
export function facts(pairs) {
  return h("dl.facts", pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && !value.length))
    .map(([name, value]) => [h("dt", name), h("dd", value)]));
}

/** Return a bar that shows a share of 0 to 1, with words for those who do not see it. */
export function meter(share, label, tone = "") {
  const whole = Math.max(0, Math.min(1, share));
  return h("span.meter", { class: tone, role: "img", "aria-label": label }, h("span", { style: { "inline-size": `${(whole * 100).toFixed(1)}%` } }));
}
