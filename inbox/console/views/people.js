// Who may sign in: add, invite, change, lock out, forget; their second factor and their sessions.

import { get, post, put, read, remove } from "../core/api.js";
import { confirm, dialog, field, form, menu } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { fault, say } from "../core/notices.js";
import { session } from "../core/session.js";
import { moment, timeElement } from "../core/time.js";
import { t } from "../core/words.js";
import { sessions } from "../floor/sessions.js";
import { chip, empty, page } from "../floor/page.js";
import { paged } from "../floor/table.js";

const ROLES = ["readonly", "agent", "supervisor", "admin"];

export async function view() {
  const columns = [
    { title: t("people.name"), head: true, cell: (one) => [one.name || one.id, " ", h("code.meta", one.id), one.id === session().id && [" ", chip(t("people.you"), "accent")]] },
    { title: t("people.role"), cell: (one) => t(`role.${one.role}`) },
    { title: t("people.state"), cell: (one) => state(one) },
    { title: t("people.totp"), cell: (one) => (one.totp ? [chip(t("people.totp_on"), "good"), h("span.meta", ` ${t("people.recovery", { n: one.recovery })}`)] : "–") },
    { title: t("people.sessions"), number: true, cell: (one) => String(one.sessions) },
    { title: t("people.login"), cell: (one) => one.login ?? "–" },
    { title: t("people.since"), cell: (one) => (one.created_at ? timeElement(one.created_at, moment) : "–") },
    { title: "", cell: (one) => h("div.row.end", more(one)) },
  ];
  const list = paged(t("people.title"), columns, () => get("/people"), { key: (one) => one.id, nothing: () => empty("person", t("people.none")) });
  const again = () => list.reload().catch(fault);

  function more(one) {
    const own = one.id === session().id;
    const button = h("button.plain.square", { type: "button", "aria-label": t("people.actions", { name: one.name || one.id }), dataset: { key: `more-${one.id}` } }, icon("more"));
    const run = (work) => () => work(one).then(again, fault);
    button.addEventListener("click", () => menu(button, [
      { label: t("do.edit"), run: run(edit) },
      { label: t("people.invite"), run: run(invite) },
      { label: t("people.sessions_show"), run: run(signedIn) },
      one.totp && { label: t("people.totp_remove"), run: run(forgetTotp) },
      null,
      { label: one.disabled ? t("people.enable") : t("people.disable"), off: own, run: run(lock) },
      { label: t("people.delete"), danger: true, off: own, run: run(forget) },
    ].filter((entry) => entry !== false), { label: t("people.actions", { name: one.name || one.id }) }));
    return button;
  }

  await list.reload();
  const element = page("/people", {
    title: t("people.title"), lead: t("people.lead"),
    actions: h("button.primary", { type: "button", onclick: () => add().then(again, fault) }, icon("plus", 16), t("people.add")),
  }, list.element);
  return { element, stop() {} };
}

function state(one) {
  if (one.disabled) return chip(t("people.disabled"), "bad");
  return one.password || one.login ? chip(t("people.ready"), "good") : chip(t("people.invited"), "warn");
}

const roles = (chosen) => {
  const select = h("select", { name: "role" }, ROLES.map((one) => h("option", { value: one }, t(`role.${one}`))));
  select.value = chosen;
  return select;
};

async function add() {
  const agents = (await get("/agents")).items;
  const id = h("input", { name: "id", required: true, maxlength: 60, pattern: "[a-z0-9][a-z0-9_.-]*", autocapitalize: "none", spellcheck: "false", list: "agent-ids" });
  const name = h("input", { name: "name", maxlength: 100 });
  const role = roles("agent");
  const login = h("input", { name: "login", maxlength: 200, autocapitalize: "none" });
  const made = await form(t("people.add"), [
    h("datalist", { id: "agent-ids" }, agents.map((one) => h("option", { value: one.id }, one.name))),
    field(t("people.id"), id, t("people.id_how")),
    field(t("people.role"), role, t("people.role_how")),
    field(t("people.name"), name, t("people.name_how")),
    field(t("people.login"), login, t("people.login_how")),
  ], t("people.add"), () => post("/people", {
    id: id.value.trim(), role: role.value, ...(name.value.trim() ? { name: name.value.trim() } : {}), ...(login.value.trim() ? { login: login.value.trim() } : {}),
  }));
  if (made) await show(made.link, made.until, made.person.name || made.person.id);
}

/** Show a link with which a password is set, once, to pass it on. */
async function show(link, until, name) {
  const input = h("input", { readonly: true, value: link, "aria-label": t("people.link") });
  const copy = h("button", {
    type: "button",
    onclick: async () => {
      input.select();
      try {
        await navigator.clipboard.writeText(link);
        say(t("people.copied"), { tone: "good" });
      } catch {
        say(t("people.copy_self")); // the page did not come by https, or the browser forbids it; the text is selected
      }
    },
  }, t("do.copy"));
  const one = dialog(t("people.link"), h("div.stack", h("p", t("people.link_how", { name })), h("div.row", h("div.grow", input), copy), h("p.meta", t("people.link_until"), " ", timeElement(until, moment))));
  input.select();
  await one.closed;
}

async function edit(one) {
  const { data, tag } = await read(`/people/${one.id}`);
  const role = roles(data.role);
  role.disabled = data.id === session().id;
  const name = h("input", { name: "name", maxlength: 100, value: data.name });
  const login = h("input", { name: "login", maxlength: 200, value: data.login ?? "", autocapitalize: "none" });
  await form(t("people.edit", { name: data.name || data.id }), [field(t("people.role"), role, t("people.role_how")), field(t("people.name"), name), field(t("people.login"), login, t("people.login_how"))], t("do.save"),
    () => put(`/people/${one.id}`, { ...(role.disabled ? {} : { role: role.value }), name: name.value.trim(), login: login.value.trim() }, { tag }));
}

async function invite(one) {
  if (one.password && !(await confirm(t("people.invite"), t("people.invite_text", { name: one.name || one.id }), t("people.invite")))) return;
  const made = await post(`/people/${one.id}/invitation`);
  await show(made.link, made.until, one.name || one.id);
}

async function lock(one) {
  if (!one.disabled && !(await confirm(t("people.disable"), t("people.disable_text", { name: one.name || one.id }), t("people.disable"), { danger: true }))) return;
  await put(`/people/${one.id}`, { disabled: !one.disabled });
}

async function forget(one) {
  if (await confirm(t("people.delete"), t("people.delete_text", { name: one.name || one.id }), t("people.delete"), { danger: true })) await remove(`/people/${one.id}`);
}

async function forgetTotp(one) {
  if (await confirm(t("people.totp_remove"), t("people.totp_text", { name: one.name || one.id }), t("people.totp_remove"), { danger: true })) await remove(`/people/${one.id}/totp`);
}

async function signedIn(one) {
  const where = `/people/${one.id}/sessions`;
  const { items } = await get(where);
  const end = h("button.danger", {
    type: "button", disabled: !items.length,
    onclick: () => remove(where).then((done) => (say(t("people.ended", { n: done.ended }), { tone: "good" }), shown.close())).catch(fault),
  }, t("people.end_all"));
  const shown = dialog(t("people.sessions_of", { name: one.name || one.id }), items.length ? sessions(items) : h("p", t("people.no_sessions")), { wide: true, buttons: [end] });
  await shown.closed;
}
