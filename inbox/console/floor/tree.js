// The routes in use as a tree, and the box that shows which way a message takes through it.

import { get, post } from "../core/api.js";
import { field } from "../core/dialogs.js";
import { fill, h, settled } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { fault } from "../core/notices.js";
import { number } from "../core/time.js";
import { t } from "../core/words.js";
import { condition, settings, verdict } from "./conditions.js";
import { chip, empty, facts, part } from "./page.js";

const PAUSE = 350;
const AT_ONCE = 200;

/** Build both. */
export async function tree(query, names) {
  const [rules, channels] = await Promise.all([get("/routes"), get("/channels")]);
  const files = rules.routes;
  const routes = files.flatMap((file) => file.routes ?? []);
  const base = files.find((file) => file.default)?.default;
  const list = h("ul.routes");
  const search = h("input", { type: "search", placeholder: t("routes.search"), "aria-label": t("routes.search") });
  const drawn = { way: null };
  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = wanted ? routes.filter((one) => mentions(one, wanted)) : routes;
    fill(list, found.slice(0, AT_ONCE).map((one) => branch(one, names, drawn.way, Boolean(wanted))),
      found.length > AT_ONCE && h("li.meta", t("routes.more", { n: number(found.length - AT_ONCE) })),
      h("li.route.default", { class: drawn.way?.decision.route === "default" && "matched" }, h("div.row", h("b", t("routes.default")), h("span.grow"), settings(base, names))));
  };
  search.addEventListener("input", settled(draw, 120));
  draw();
  const box = way(channels.items, names, (found) => {
    drawn.way = found;
    draw();
  });
  const element = h(
    "div.columns",
    part(t("routes.tree"), { note: t("routes.count", { n: number(total(routes)), hash: rules.hash.slice(0, 8) }) }, routes.length > 8 ? search : null,
      routes.length ? list : empty("route", t("routes.none"))),
    box.element,
  );
  return { element, stop: box.stop };
}

const total = (routes) => routes.reduce((sum, one) => sum + 1 + total(one.routes ?? []), 0);
const mentions = (route, wanted) => JSON.stringify(route).toLowerCase().includes(wanted);

function branch(route, names, found, open) {
  const inner = route.routes ?? [];
  const matched = found?.decision.routes.includes(route.name);
  const tried = matched || (found && held(found.tried, route.name));
  const head = h(
    "summary",
    h("span.grow", h("b", route.name), route.continue && chip(t("routes.goes_on"), "info"), matched && chip([icon("check", 12), t("routes.matched")], "good")),
    h("span.row.tight", settings(route.set, names)),
  );
  const body = h("div.route-body");
  const element = h("details", { dataset: { key: route.name }, open: open || (matched && inner.length > 0) }, head, body);
  const unfold = () => {
    if (!element.open || body.childElementCount) return;
    fill(body, condition(route.when), facts([[t("routes.owner"), route.owner], [t("routes.review"), route.review_by]]),
      inner.length > 0 && h("ul.routes", inner.map((one) => branch(one, names, found, open))));
  };
  element.addEventListener("toggle", unfold);
  unfold();
  return h("li.route", { class: [matched ? "matched" : "", found && !tried ? "untried" : ""] }, element);
}

function held(tried, name) {
  return tried.some((one) => one.name === name || held(one.routes, name));
}

/** Build the box: type a message, see the way it takes. *told* hears what came of it, null when there is nothing. */
function way(channels, names, told) {
  const result = h("div", { "aria-live": "polite" });
  const channel = h("select", channels.map((one) => h("option", { value: one.id }, one.id)));
  const text = h("textarea", { rows: 3, maxlength: 5000, placeholder: t("explain.placeholder") });
  const inputs = {
    subject: h("input", { maxlength: 500 }), sender: h("input", { maxlength: 200, placeholder: "tel:+8613800138000" }),
    tags: h("input", { maxlength: 500, placeholder: "vip" }), tier: h("input", { maxlength: 60 }),
    order: h("input", { maxlength: 200, placeholder: "status=shipped" }), at: h("input", { type: "datetime-local" }),
  };
  const state = { turn: 0 };

  async function ask() {
    const turn = (state.turn += 1);
    if (!text.value.trim() && !inputs.subject.value.trim()) {
      fill(result);
      told(null);
      return;
    }
    try {
      const found = await post("/routes/explain", body());
      if (turn !== state.turn) return;
      told(found);
      fill(result, explained(found, names));
    } catch (failure) {
      if (turn !== state.turn) return;
      if (failure.status !== 422) fault(failure);
      fill(result, h("p.trouble", failure.words));
    }
  }

  const body = () => ({
    channel: channel.value,
    text: text.value,
    subject: inputs.subject.value,
    sender: inputs.sender.value.trim(),
    at: inputs.at.value ? new Date(inputs.at.value).toISOString() : "",
    contact: { tags: words(inputs.tags.value), tier: inputs.tier.value.trim() || null },
    ...(inputs.order.value.includes("=") ? { order: pairs(inputs.order.value) } : {}),
  });
  const soon = settled(ask, PAUSE);
  const form = h(
    "form.stack",
    field(t("explain.text"), text, t("explain.text_how")),
    field(t("explain.channel"), channel),
    h("details", h("summary", t("explain.more")), h("div.stack.fold", Object.entries(inputs).map(([name, input]) => field(t(`explain.${name}`), input)))),
    result,
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", soon);
  const element = part(t("explain.title"), {}, channels.length ? h("div.card.explain", form) : empty("plug", t("channels.none")));
  return { element, stop: soon.stop };
}

const words = (text) => text.split(/[,，、]/).map((one) => one.trim()).filter(Boolean);
const pairs = (text) => Object.fromEntries(words(text).filter((one) => one.includes("=")).map((one) => {
  const at = one.indexOf("=");
  return [one.slice(0, at).trim(), one.slice(at + 1).trim()];
}));

/** Show a decision, and every route that was tried with its verdicts. */
export function explained(found, names) {
  const { decision } = found;
  const set = Object.fromEntries(Object.entries(decision).filter(([key, value]) =>
    !["route", "routes"].includes(key) && value !== null && !(Array.isArray(value) && !value.length) && !(key === "priority" && value === "normal")));
  return h(
    "div.stack.way",
    h("div.stack.tight", h("p", h("b", decision.routes.length ? decision.routes.join(" › ") : t("routes.default"))), h("div.row.tight", settings(set, names))),
    h("ul.tried", found.tried.map((one) => tried(one, names))),
    found.untried > 0 && h("p.meta", t("explain.untried", { n: number(found.untried) })),
  );
}

function tried(one, names) {
  return h(
    "li",
    h("details", { open: one.matched },
      h("summary", { class: one.matched ? "holds" : "fails" }, icon(one.matched ? "check" : "close", 14), h("b", one.name), h("span.unseen", t(one.matched ? "routes.matched" : "routes.fails")), settings(one.matched ? one.sets : {}, names)),
      one.condition ? h("ul.verdicts", verdict(one.condition)) : h("p.meta", t("routes.always"))),
    one.routes.length > 0 && h("ul.tried", one.routes.map((inner) => tried(inner, names))),
  );
}
