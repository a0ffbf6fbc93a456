// Routes: the rules as a tree, the way a message takes, lint, history, the shadow, replays.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { link } from "../core/router.js";
import { may } from "../core/session.js";
import { t } from "../core/words.js";
import { chip, page, redraw, tabs } from "../floor/page.js";
import { history } from "../floor/history.js";
import { lint } from "../floor/lint.js";
import { replay } from "../floor/replay.js";
import { shadow } from "../floor/shadow.js";
import { tree } from "../floor/tree.js";

const PARTS = { tree, lint, history, shadow, replay };

export async function view(ctx) {
  const bar = h("div");
  const standing = h("div");
  const body = h("div");
  const element = page("/routes", { title: t("routes.title"), lead: t("routes.lead"), wide: true }, bar, standing, body);
  const state = { tab: "", part: null };
  const names = await named();

  async function show(query) {
    const tab = Object.hasOwn(PARTS, query.tab) && (query.tab !== "replay" || may("supervisor")) ? query.tab : "tree";
    if (tab === state.tab && state.part?.update?.(query)) return;
    state.tab = tab;
    const keys = Object.keys(PARTS).filter((name) => name !== "replay" || may("supervisor"));
    redraw(bar, tabs(t("routes.title"), keys.map((name) => [name, t(`routes.tab_${name}`)]), tab, (name) => link("/routes", { tab: name })));
    const [status, part] = await Promise.all([get("/routes/status"), PARTS[tab](query, names)]);
    if (state.tab !== tab) return part.stop();
    state.part?.stop();
    state.part = part;
    redraw(standing, stands(status));
    redraw(body, part.element);
  }

  await show(ctx.query);
  return { element, stop: () => state.part?.stop(), update: (next) => show(next.query).catch(fault) };
}

/** Return the names of teams and agents: "team aftersales" → 售后组. */
async function named() {
  const [teams, agents] = await Promise.all([get("/teams"), get("/agents")]);
  return new Map([...teams.items.map((one) => [`team ${one.id}`, one.name]), ...agents.items.map((one) => [`agent ${one.id}`, one.name])]);
}

function stands(status) {
  if (status.ok && status.agree) return null;
  return h(
    "div.trouble.stack.tight",
    { role: "alert" },
    h("p", chip(t(status.ok ? "routes.disagree" : "routes.not_in_use"), "bad"), " ", t(status.ok ? "routes.disagree_how" : "routes.not_in_use_how")),
    status.faults.length > 0 && h("ul", status.faults.map((one) => h("li", h("code", one)))),
  );
}
