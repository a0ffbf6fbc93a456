// One's own account: password, second factor, where one is signed in, notifications.

import { get, post, put, remove } from "../core/api.js";
import { dialog, field, form } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { qr } from "../core/qr.js";
import { fault, say } from "../core/notices.js";
import { enter, who } from "../core/session.js";
import { brief, timeElement } from "../core/time.js";
import { t } from "../core/words.js";
import * as bell from "../desk/bell.js";

/** The view. */
export async function view(ctx) {
  const { session } = ctx;
  const parts = h("div.stack.narrow");
  const title = h("header", h("div", h("h1", t("account.title")), h("p.meta", [session.name, session.id, t(`role.${session.role}`)].join(" · "))));
  if (session.kind !== "person") {
    fill(parts, h("p.soft", t("account.token")));
    return { element: h("div.page", title, parts), stop() {} };
  }
  const sessions = h("section.card.stack");
  const factor = h("section.card.stack");
  const notify = h("section.card.stack");
  const ways = await get("/session/ways");
  drawFactor(factor, session);
  drawNotify(notify);
  await drawSessions(sessions);
  fill(parts, ways.password && passwordPart(session), ways.password && factor, notify, sessions);
  return { element: h("div.page", title, parts), stop() {} };
}

const secret = (name, complete) => h("input", { name, type: "password", autocomplete: complete, required: true, maxlength: 256 });

function passwordPart() {
  return h("section.card.stack", h("h2", t("account.password")), h("div", h("button", { type: "button", onclick: async () => {
    const done = await form(t("account.password"), [
      field(t("account.current"), secret("current", "current-password")),
      field(t("account.new"), secret("password", "new-password"), t("account.new_how")),
    ], t("do.save"), (data) => put("/session/password", Object.fromEntries(data)));
    if (done) say(t("account.password_set"), { tone: "good" });
  } }, t("do.edit"))));
}

function drawFactor(place, session) {
  fill(place, h("h2", t("account.totp")), h("p.soft", t(session.totp ? "account.totp_on" : "account.totp_off")),
    h("div", h("button", { type: "button", onclick: () => (session.totp ? forget(place) : setUp(place)).catch(fault) }, t(session.totp ? "account.turn_off" : "account.turn_on"))));
}

async function again(place) {
  drawFactor(place, enter(await who()));
}

async function forget(place) {
  const done = await form(t("account.turn_off"), [field(t("account.current"), secret("password", "current-password"))], t("account.turn_off"), (data) => remove("/session/totp", { password: data.get("password") }));
  if (done) await again(place);
}

async function setUp(place) {
  const proposed = await form(t("account.turn_on"), [field(t("account.current"), secret("password", "current-password"))], t("account.turn_on"), (data) => post("/session/totp", { password: data.get("password") }));
  if (!proposed) return;
  const code = h("input", { name: "code", inputmode: "numeric", autocomplete: "one-time-code", required: true, maxlength: 8 });
  const confirmed = await form(t("account.turn_on"), [
    h("p", t("account.totp_how")),
    h("div.qr", qr(proposed.url, t("account.qr"))),
    h("p.meta", t("account.secret"), " ", h("code", proposed.secret.replace(/(.{4})/g, "$1 ").trim())),
    field(t("account.code"), code),
  ], t("do.save"), (data) => put("/session/totp", { code: data.get("code").replace(/\s/g, "") }));
  if (!confirmed) return;
  const shown = dialog(t("account.recovery"), h("div.stack", h("p", t("account.recovery_how")), h("ul.codes", confirmed.recovery.map((one) => h("li", h("code", one))))), {
    buttons: [h("button.primary", { type: "button", onclick: () => shown.close() }, t("account.saved"))],
  });
  await shown.closed;
  await again(place);
}

function drawNotify(place) {
  const state = bell.permission();
  const turn = (on) => bell.allow(on).then(() => drawNotify(place));
  fill(place, h("h2", t("account.notify")), h("p.soft", t(`account.notify_${state}`)),
    (state === "default" || state === "off") && h("div", h("button", { type: "button", onclick: () => turn(true) }, t("account.on"))),
    state === "granted" && h("div", h("button", { type: "button", onclick: () => turn(false) }, t("account.off"))));
}

async function drawSessions(place) {
  const { items } = await get("/sessions");
  fill(place, h("h2", t("account.sessions")), h("ul.sessions", items.map((one) =>
    h("li.row", h("div.grow", h("strong", device(one.browser)), one.current && [" ", h("span.chip.good", t("account.here"))], h("p.meta", [one.remote, t("account.used")].filter(Boolean).join(" · "), " ", timeElement(one.seen_at, brief))),
      !one.current && h("button.small", { type: "button", onclick: () => remove(`/sessions/${one.id}`).then(() => (say(t("account.ended")), drawSessions(place))).catch(fault) }, t("account.end"))))));
}

/** Return what people call a browser, of all that it says of itself. */
function device(agent = "") {
  const browser = /(MicroMessenger|Edg|Firefox|Chrome|Safari)\/[\d.]+/.exec(agent)?.[1] ?? t("account.browser");
  const system = /(Windows|Mac OS X|Android|iPhone|iPad|Linux)/.exec(agent)?.[1] ?? "";
  return [{ Edg: "Edge", MicroMessenger: "WeChat" }[browser] ?? browser, system.replace("Mac OS X", "macOS")].filter(Boolean).join(" · ");
}
