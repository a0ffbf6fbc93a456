// Teams of the configuration: who is in them, what they promise, who may see them.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { link } from "../core/router.js";
import { t } from "../core/words.js";
import { chip, empty, facts, page } from "../floor/page.js";

export async function view() {
  const [teams, agents] = await Promise.all([get("/teams"), get("/agents")]);
  const names = new Map(agents.items.map((one) => [one.id, one]));
  const tones = { online: "good", away: "warn" };
  const card = (one) => h(
    "section.card.stack.tight",
    h("div.row", h("h2.grow", one.name), one.restricted && chip(t("teams.restricted"), "info")),
    one.restricted && h("p.meta", t("teams.restricted_how")),
    facts([["id", h("code", one.id)], [t("teams.sla"), one.sla], [t("teams.hours"), one.hours]]),
    h("ul.members", one.members.map((id) => h("li.row.tight", h("span.dot", { class: tones[names.get(id)?.presence.state] }), names.get(id)?.name ?? id,
      names.get(id)?.skills.map((skill) => chip(skill)), names.get(id)?.languages.map((name) => chip(name, "info"))))),
    !one.members.length && h("p.remark", t("teams.nobody")),
    h("a", { href: link("/conversations", { team: one.id }) }, t("teams.conversations")),
  );
  const alone = agents.items.filter((one) => !one.teams.length);
  const element = page(
    "/teams",
    { title: t("teams.title"), lead: t("teams.lead") },
    teams.items.length ? h("div.cards-grid", teams.items.map(card)) : empty("team", t("teams.none")),
    alone.length > 0 && h("p.meta", t("teams.alone", { names: alone.map((one) => one.name).join("、") })),
  );
  return { element, stop() {} };
}
