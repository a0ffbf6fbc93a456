// The door: signing in with a password, a second factor or a provider, and the first password from a link.

import { get, post } from "./core/api.js";
import { field } from "./core/dialogs.js";
import { fill, h } from "./core/dom.js";
import { enter } from "./core/session.js";
import { load, language, speak, t } from "./core/words.js";

const icon = new URL("icon.svg", import.meta.url).pathname;

/** Build the page on which one signs in; *note* says why one stands here, *entered* is called with the session. */
export async function Door({ note, entered }) {
  await load("door");
  const ways = await get("/session/ways");
  const card = h("div.card.stack");
  const element = page(card, () => draw());
  const draw = () => fill(card, h("h1", t("door.title")), why(note), ways.password && password(entered), providers(ways));
  draw();
  return { element, kind: "door", begin: () => card.querySelector("input")?.focus(), stop() {} };
}

/** Build the page on which somebody new sets a password; *token* came with the link. */
export async function Welcome({ token, done }) {
  await load("door");
  const card = h("div.card.stack");
  const draw = () => fill(card, h("h1", t("door.welcome")), h("p.soft", t("door.welcome_how")), choose(token, done));
  const element = page(card, draw);
  draw();
  return { element, kind: "door", begin: () => card.querySelector("input")?.focus(), stop() {} };
}

function page(card, draw) {
  const footer = h("footer");
  const languages = () =>
    fill(footer, ["zh-CN", "en"].map((name) =>
      h("button.plain.small", { type: "button", lang: name, "aria-pressed": String(language() === name), onclick: () => turn(name) },
        { "zh-CN": "简体中文", en: "English" }[name])));
  const turn = async (name) => {
    await speak(name);
    draw();
    languages();
  };
  languages();
  return h("div.door", h("main", h("div.brand", h("img", { src: icon, alt: "", width: 40, height: 40 }), h("strong", "汇流 Huiliu")), card), footer);
}

function why(note) {
  const bad = note && note !== "welcome";
  return note && h("p", { class: bad ? "trouble" : "soft", role: bad ? "alert" : "status" }, t(`door.note.${note}`));
}

function providers(ways) {
  if (!ways.providers.length) return null;
  return [
    ways.password && h("p.or", t("door.or")),
    ways.providers.map((one) => h("a.button", { href: one.url }, t("door.with", { name: one.name }))),
  ];
}

function password(entered) {
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const name = h("input", { name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const secret = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const code = h("input", { name: "code", autocomplete: "one-time-code", inputmode: "numeric", spellcheck: "false" });
  const second = field(t("door.code"), code, t("door.code_how"));
  second.hidden = true;
  const submit = h("button.primary", { type: "submit" }, t("door.enter"));
  const form = h("form.stack", field(t("door.name"), name), field(t("door.password"), secret), second, trouble, submit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    trouble.hidden = true;
    try {
      enter(await post("/session", { name: name.value, password: secret.value, totp: code.value.trim() }, { quiet: true }));
      await entered();
    } catch (failure) {
      if (failure.body?.totp && second.hidden) {
        second.hidden = false;
        code.required = true;
        code.focus();
        return;
      }
      trouble.textContent = failure.status === 401 ? t(failure.body.totp ? "door.wrong_code" : "door.wrong") : (failure.words ?? t("fault.console"));
      trouble.hidden = false;
      (failure.body?.totp ? code : secret).select();
    } finally {
      submit.disabled = false;
    }
  });
  return form;
}

function choose(token, done) {
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const input = () => h("input", { type: "password", autocomplete: "new-password", required: true, minlength: 10, maxlength: 256 });
  const one = input();
  const other = input();
  const submit = h("button.primary", { type: "submit" }, t("door.set"));
  const form = h("form.stack", field(t("door.new"), one, t("door.new_how")), field(t("door.repeat"), other), trouble, submit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.hidden = true;
    submit.disabled = true;
    try {
      if (one.value !== other.value) throw Object.assign(new Error(), { words: t("door.differ") });
      await post("/session/password", { token, password: one.value }, { quiet: true });
      done();
    } catch (failure) {
      trouble.textContent = failure.status === 404 ? t("door.used") : failure.status === 422 ? t("door.weak") : failure.words;
      trouble.hidden = false;
    } finally {
      submit.disabled = false;
    }
  });
  return form;
}
