// Conditions and decisions of routes as people read them: what a route asks for, what it sets, what came of each.

import { h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { known, said, t } from "../core/words.js";
import { chip } from "./page.js";

const GROUPS = new Set(["all", "any", "not"]);
const NAMED = new Set(["team", "agent"]);

/** Return a value as text: lists with commas, objects as "key value". */
export function plain(value) {
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value)) return value.map(plain).join("、");
  if (typeof value === "object") return Object.entries(value).map(([key, one]) => `${said("when.", key)} ${plain(one)}`).join("，");
  if (typeof value === "boolean") return t(value ? "routes.yes" : "routes.no");
  return String(value);
}

/** Return a condition as a list of what it asks for; groups stand one step further in. */
export function condition(when) {
  if (!when || !Object.keys(when).length) return h("span.soft", t("routes.always"));
  return h("ul.asks", Object.entries(when).map(([key, value]) => {
    if (!GROUPS.has(key)) return h("li", h("span.soft", said("when.", key)), " ", plain(value));
    return h("li", h("span.soft", t(`when.${key}`)), [value].flat().map(condition));
  }));
}

/** Return what a route sets as chips; *names* has the names of teams and agents. */
export function settings(set, names = new Map()) {
  const given = Object.entries(set ?? {}).filter(([, value]) => value !== undefined && !(Array.isArray(value) && !value.length));
  return given.map(([key, value]) => {
    const text = NAMED.has(key) && value ? (names.get(`${key} ${value}`) ?? value) : known(`value.${key}.${value}`) ? t(`value.${key}.${value}`) : plain(value);
    return chip([h("span.soft", said("set.", key)), " ", value === null ? t("routes.taken_back") : text], key === "ignore" ? "bad" : key === "team" ? "accent" : "");
  });
}

/** Return a verdict with the parts that it is made of. */
export function verdict(one) {
  const group = GROUPS.has(one.name);
  const found = one.value === null ? t("routes.unknown") : plain(one.value);
  return h(
    "li",
    { class: one.holds ? "holds" : "fails" },
    h("span.mark", icon(one.holds ? "check" : "close", 14), h("span.unseen", t(one.holds ? "routes.holds" : "routes.fails"))),
    group
      ? h("span", t(`when.${one.name}`))
      : h("span", label(one.name), " ", h("b", plain(one.expected)), one.holds && plain(one.value) === plain(one.expected) ? null : h("span.soft", ` · ${t("routes.found")} ${found}`)),
    one.parts?.length ? h("ul.verdicts", one.parts.map(verdict)) : null,
  );
}

/** Return the words of a condition's name such as "text.any_of". */
const label = (name) => name.split(".").map((part) => said("when.", part)).join(" ");
