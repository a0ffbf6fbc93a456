// Why a conversation is where it is: every decision of the rules and every assignment, with the reasons.

import { all } from "../core/api.js";
import { dialog } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { moment, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import * as names from "./names.js";

/** Open it. */
export async function openTrail(conversation) {
  const place = h("div.stack", h("div.waiting", h("div.spinner")));
  dialog(t("trail.title"), place, { wide: true });
  try {
    const items = await all(`/conversations/${conversation.id}/trail`, { kind: "all" }, 100);
    fill(place, items.length ? h("ol.trail", items.map((one) => (one.kind === "assignment" ? assignment(one) : decision(one)))) : h("p.soft", t("trail.none")));
  } catch (failure) {
    fill(place, h("p.trouble", failure.words ?? t("fault.console")));
  }
}

function assignment(one) {
  const to = one.agent ? names.agent(one.agent) : one.team ? names.team(one.team) : t("row.nobody");
  const by = one.by?.kind === "hub" ? t("author.hub") : names.agent(one.by?.id);
  const others = one.assignment?.others ?? [];
  return h("li", icon("person", 18), h("div.grow.stack",
    h("p", h("strong", t("trail.assigned", { to })), " ", h("span.soft", t("trail.by", { by }))),
    one.reason && h("p", one.reason),
    others.length > 0 && h("details", h("summary", t("trail.others", { n: others.length })), h("dl.facts", others.map((each) => [h("dt", names.agent(each.agent)), h("dd", each.why)])))),
    timeElement(one.at, moment));
}

function decision(one) {
  const set = Object.entries(one.set ?? {}).filter(([name, value]) => name !== "route" && name !== "routes" && value !== null && value !== "" && !(Array.isArray(value) && !value.length));
  const tried = one.explanation?.tried ?? [];
  return h("li", icon("route", 18), h("div.grow.stack",
    h("p", h("strong", one.route ? t("trail.route", { route: one.route }) : t(one.ignored ? "trail.ignored" : "trail.default"))),
    set.length > 0 && h("dl.facts", set.map(([name, value]) => [h("dt", said("field.", name)), h("dd", shown(name, value))])),
    tried.length > 0 && h("details", h("summary", t("trail.tried", { n: tried.length })), h("ul.tried", tried.map(route))),
    one.unexplained && h("p.soft", one.unexplained)),
    timeElement(one.at, moment));
}

function shown(name, value) {
  if (name === "team") return names.team(value);
  if (name === "agent") return names.agent(value);
  if (name === "priority" || name === "stage") return said(`${name}.`, value);
  return [value].flat().join(t("list.comma"));
}

/** Return one route that was tried, with its conditions and what each found. */
export function route(one) {
  return h("li", { class: one.matched ? "held" : "" },
    h("p", icon(one.matched ? "check" : "close", 14), h("span.unseen", t(one.matched ? "trail.held" : "trail.not_held")), " ", h("strong", one.name)),
    one.condition && condition(one.condition), one.routes?.length > 0 && h("ul.tried", one.routes.map(route)));
}

function condition(one) {
  if (one.parts?.length) return h("ul.condition", one.parts.map((part) => h("li", part.parts?.length ? [h("span.soft", part.name), condition(part)] : leaf(part))));
  return h("div.condition", leaf(one));
}

function leaf(one) {
  const expected = [one.expected].flat().filter((each) => each !== null && each !== undefined);
  const found = [one.value].flat().filter((each) => each !== null && each !== undefined && each !== "");
  return h("span", { class: one.holds ? "good" : "soft" }, icon(one.holds ? "check" : "close", 12), h("span.unseen", t(one.holds ? "trail.held" : "trail.not_held")), ` ${one.name}`,
    expected.length > 0 && ` ${expected.map(text).join(" / ")}`, one.holds && found.length > 0 && found.join() !== expected.join() && h("em", ` ← ${found.map(text).join(", ")}`));
}

const text = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
