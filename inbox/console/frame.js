// The frame around every view: the rail, the state of the connection, the view that the address means.

import { fault, banner, noticePlace } from "./core/notices.js";
import { fill, h } from "./core/dom.js";
import { icon } from "./core/icons.js";
import { help, keys } from "./core/keys.js";
import * as live from "./core/live.js";
import { menu } from "./core/dialogs.js";
import { find, go, link, place } from "./core/router.js";
import { may, session, enter } from "./core/session.js";
import * as theme from "./core/theme.js";
import { load, language, t } from "./core/words.js";
import { get, put, remove } from "./core/api.js";
import { HOME, VIEWS } from "./views.js";

const BRAND = "汇流 Huiliu";
const GRACE = 1500;

/** Build the frame. *left* is called when somebody signs out, *spoken* when another language was chosen. */
export async function Frame({ left, spoken }) {
  await load("core");
  const top = h("div.banner", { hidden: true, role: "status" });
  const view = h("main.view", { id: "view", tabindex: "-1" });
  const rail = h("nav.rail", { "aria-label": t("nav.label") });
  const element = h("div.frame", top, rail, view, noticePlace());
  const state = { entry: null, running: null, turn: 0 };
  const stops = [];
  let gone = false;

  drawRail(rail, { left, spoken });
  const show = () => turnTo(state, view, rail, element).catch(fault);
  window.addEventListener("hashchange", show);
  stops.push(() => window.removeEventListener("hashchange", show));
  stops.push(live.watch(connection(top)));
  stops.push(keys("keys.everywhere", {
    "?": { label: "keys.help", run: help },
    "g i": { label: "nav.conversations", run: () => go("/conversations") },
    ...Object.fromEntries(
      visible().filter((one) => one.nav?.key).map((one) => [`g ${one.nav.key}`, { label: one.title, run: () => go(first(one)) }]),
    ),
  }));

  /** Tell whoever works here that somebody wrote, also while they look elsewhere. */
  async function ring() {
    const [bell] = await Promise.all([import("./desk/bell.js"), load("desk")]);
    if (gone) return;
    stops.push(bell.stop);
    state.title = await bell.watch((count) => {
      const badge = rail.querySelector("[data-path='/conversations'] .count");
      badge.hidden = !count;
      badge.textContent = String(count);
      badge.setAttribute("aria-label", t("nav.unread", { n: count }));
    });
  }

  return {
    element,
    begin() {
      show();
      if (session().agent) ring().catch(() => {});
    },
    stop() {
      gone = true;
      for (const stop of stops) stop();
      state.running?.stop();
    },
  };
}

const first = (entry) => [entry.path].flat()[0];
const visible = () => VIEWS.filter((entry) => may(entry.role));

function drawRail(rail, given) {
  const entries = visible().filter((entry) => entry.nav);
  const me = h(
    "button",
    { type: "button", "aria-label": t("nav.me", { name: session().name }), onclick: () => mine(me, given) },
    h("span.avatar", initial(session().name)),
    h("span.cut", session().name),
  );
  fill(
    rail,
    h("img.logo", { src: new URL("icon.svg", import.meta.url).pathname, alt: "", width: 32, height: 32 }),
    entries.map((entry) => h("a", { href: link(first(entry)), dataset: { path: entry.section ?? first(entry) } }, icon(entry.nav.icon), h("span", t(entry.title)), h("span.count", { hidden: true, role: "img" }))),
    h("span.space"),
    me,
  );
}

/** Return the first letter of a name: the last but one sign of a Chinese name would be rude, the first is not. */
export function initial(name) {
  return [...String(name || "?").trim()][0]?.toUpperCase() ?? "?";
}

async function turnTo(state, view, rail, element) {
  const turn = (state.turn += 1);
  const { path, query } = place();
  const found = path === "/" ? null : find(visible(), path);
  if (!found) {
    if (path === "/") go(HOME, {}, { replace: true });
    else missing(state, view, element);
    return;
  }
  const { entry, params } = found;
  const ctx = { params, query, path, session: session() };
  mark(rail, entry);
  if (state.entry === entry && state.running?.update) {
    state.running.update(ctx);
    return;
  }
  const waiting = setTimeout(() => turn === state.turn && fill(view, h("div.waiting", h("div.spinner"))), 200);
  try {
    await Promise.all([load(...(entry.words ?? [])), ...(entry.styles ?? []).map(style)]);
    const module = await entry.load();
    if (turn !== state.turn) return;
    state.running?.stop();
    state.running = null;
    const running = await module.view(ctx);
    if (turn !== state.turn) {
      running.stop();
      return;
    }
    state.entry = entry;
    state.running = running;
    element.classList.remove("deep");
    document.title = `${t(entry.title)} · ${BRAND}`;
    state.title?.();
    fill(view, running.element);
    running.shown?.();
  } catch (failure) {
    if (turn !== state.turn) return;
    state.entry = null;
    fill(view, h("div.empty", icon("alert", 32), h("p", failure.words ?? t("fault.console")),
      h("button", { type: "button", onclick: () => turnTo(state, view, rail, element).catch(fault) }, t("do.again"))));
    if (failure.words === undefined) reportError(failure);
  } finally {
    clearTimeout(waiting);
  }
}

function missing(state, view, element) {
  state.running?.stop();
  state.running = state.entry = null;
  element.classList.remove("deep");
  fill(view, h("div.empty", icon("search", 32), h("h1", t("fault.nowhere")), h("a", { href: link(HOME) }, t("nav.conversations"))));
}

function mark(rail, entry) {
  for (const one of rail.querySelectorAll("a")) {
    if (one.dataset.path === (entry.section ?? first(entry))) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
}

const sheets = new Map();

/** Load a style sheet once. */
function style(name) {
  if (!sheets.has(name)) {
    const sheet = h("link", { rel: "stylesheet" });
    sheet.href = new URL(`style/${name}`, import.meta.url).href;
    sheets.set(name, new Promise((done) => {
      sheet.onload = sheet.onerror = done;
    }));
    document.head.append(sheet);
  }
  return sheets.get(name);
}

/** Return what shows whether news come: nothing for a blink, then a line at the top, then that all is well again. */
function connection(top) {
  let timer = 0;
  let away = false;
  return (state) => {
    clearTimeout(timer);
    if (state === "open") {
      if (away) {
        banner(top, t("live.back"), "good");
        timer = setTimeout(() => banner(top, ""), 2500);
      }
      away = false;
    } else {
      timer = setTimeout(() => {
        away = true;
        banner(top, t("live.lost"));
      }, state === "lost" ? GRACE : 4 * GRACE);
    }
  };
}

async function mine(anchor, { left, spoken }) {
  const here = session();
  const speakAnew = async (locale) => {
    enter(here.kind === "person" ? await put("/session", { locale }) : { ...here, locale });
    spoken();
  };
  let presence = null;
  if (here.agent) presence = (await get("/agents")).items.find((one) => one.id === here.agent)?.presence ?? null;
  menu(anchor, [
    ...(presence ? [...["online", "away", "offline"].map((state) => ({
      label: t(`presence.${state}`), checked: presence.state === state, icon: h("span.dot", { class: { online: "good", away: "warn" }[state] }),
      run: () => put(`/agents/${here.agent}/presence`, { state }).catch(fault),
    })), null] : []),
    ...["zh-CN", "en"].map((name) => ({ label: { "zh-CN": "简体中文", en: "English" }[name], checked: language() === name, run: () => speakAnew(name).catch(fault) })),
    null,
    ...["system", "light", "dark"].map((name) => ({ label: t(`theme.${name}`), checked: theme.chosen() === name, run: () => theme.choose(name) })),
    null,
    { label: t("nav.account"), icon: "person", run: () => go("/account") },
    { label: t("keys.title"), icon: "keys", hint: "?", run: help },
    { label: t("do.sign_out"), icon: "out", run: () => remove("/session").then(() => (enter(null), left())).catch(fault) },
  ], { label: t("nav.me", { name: here.name }) });
}
