// The small questions of the desk: to whom, until when, which tags. Each resolves to what goes into a call.

import { dialog, field, menu } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { moment } from "../core/time.js";
import { session } from "../core/session.js";
import { t } from "../core/words.js";
import * as names from "./names.js";

const HOUR = 3_600_000;

/** Ask to whom: a team, an agent, nobody. Resolves to {team} or {agent}, {given: null} if it was given up. */
export function askAssignee(_, conversation) {
  return new Promise((done) => {
    const input = h("input", { type: "search", placeholder: t("assign.find"), "aria-label": t("assign.find") });
    const list = h("div.choices", { role: "listbox", "aria-label": t("do.assign") });
    let result = { given: null };
    const here = session();
    const entries = [
      here.agent && { label: t("assign.me"), hint: here.name, value: { agent: here.agent } },
      { label: t("assign.nobody"), value: { agent: null } },
      ...names.all("agents").filter((one) => one.id !== here.agent).map((one) => ({
        label: one.name, hint: t(`presence.${one.presence?.state ?? "offline"}`), note: one.teams.map(names.team).join(" · "), value: { agent: one.id }, dot: one.presence?.state,
        key: one.id,
      })),
      ...names.all("teams").map((one) => ({ label: one.name, hint: t("assign.team"), value: { team: one.id, agent: null }, key: one.id })),
    ].filter(Boolean);
    const draw = () => {
      const wanted = input.value.trim().toLowerCase();
      const found = entries.filter((one) => `${one.label} ${one.key ?? ""} ${one.hint ?? ""}`.toLowerCase().includes(wanted));
      list.replaceChildren(...found.map((one, index) =>
        h("button.plain", { type: "button", role: "option", "aria-selected": String(index === 0), onclick: () => choose(one) },
          h("span.dot", { class: { online: "good", away: "warn" }[one.dot], hidden: !one.dot }), h("span.grow", one.label, one.note && h("small.soft", one.note)), one.hint && h("small.soft", one.hint))));
    };
    const choose = (one) => {
      result = { ...one.value, given: true };
      frame.close();
    };
    input.addEventListener("input", draw);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        list.querySelector("button")?.click();
      } else if (event.key === "ArrowDown") {
        event.preventDefault();
        list.querySelector("button")?.focus();
      }
    });
    list.addEventListener("keydown", (event) => {
      const by = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (!by) return;
      event.preventDefault();
      (document.activeElement[by] ?? input).focus();
    });
    draw();
    const holder = conversation?.agent ? t("assign.now", { who: names.agent(conversation.agent) }) : "";
    const frame = dialog(t("do.assign"), h("div.stack", holder && h("p.meta", holder), input, list));
    input.focus();
    frame.closed.then(() => done(result));
  });
}

/** Ask until when to put something aside: {until}, or {given: null}. */
export function askSnooze(anchor) {
  return new Promise((done) => {
    let result = { given: null };
    const now = new Date();
    const at = (days, hour) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, hour);
    const monday = at(((8 - now.getDay()) % 7) || 7, 9);
    const options = [
      ["snooze.hour", new Date(now.getTime() + HOUR)],
      ["snooze.hours", new Date(now.getTime() + 3 * HOUR)],
      ["snooze.evening", at(0, 18)],
      ["snooze.tomorrow", at(1, 9)],
      ["snooze.monday", monday],
    ].filter(([, when]) => when > now);
    const take = (when) => {
      result = { until: when.toISOString(), given: true };
      done(result);
    };
    if (!anchor?.isConnected) {
      askMoment(t("do.snooze"), t("do.snooze")).then((when) => done(when ? { until: when.toISOString(), given: true } : { given: null }));
      return;
    }
    menu(anchor, [
      ...options.map(([label, when]) => ({ label: t(label), hint: moment(when.toISOString()), run: () => take(when) })),
      null,
      { label: t("snooze.other"), icon: "clock", run: async () => {
        const when = await askMoment(t("do.snooze"), t("do.snooze"));
        done(when ? { until: when.toISOString(), given: true } : { given: null });
      } },
    ], { label: t("do.snooze") });
  });
}

/** Ask for a moment; resolves to a Date, null if it was given up. */
export async function askMoment(title, label, more = null) {
  let chosen = null;
  const next = new Date(Date.now() + HOUR);
  next.setMinutes(0, 0, 0);
  const local = (when) => new Date(when.getTime() - when.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  const input = h("input", { type: "datetime-local", required: true, min: local(new Date()), value: local(next) });
  const form = h("form.stack", field(t("time.when"), input, Intl.DateTimeFormat().resolvedOptions().timeZone), more,
    h("footer", h("button", { type: "button", onclick: () => frame.close() }, t("do.cancel")), h("button.primary", { type: "submit" }, label)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    chosen = new Date(input.value);
    frame.close();
  });
  const frame = dialog(title, form);
  input.focus();
  await frame.closed;
  return chosen;
}

/** Ask which tags: {add, remove}, or {given: null}. */
export async function askTags(now) {
  const tags = new Set(now);
  const input = h("input", { maxlength: 60, placeholder: t("tag.add"), "aria-label": t("tag.add") });
  const chips = h("div.row");
  const draw = () =>
    chips.replaceChildren(...[...tags].map((tag) =>
      h("span.chip.accent", tag, h("button", { type: "button", "aria-label": t("tag.remove", { tag }), onclick: () => (tags.delete(tag), draw()) }, "×"))));
  const take = () => {
    for (const tag of input.value.split(/[,，]/)) if (tag.trim()) tags.add(tag.trim());
    input.value = "";
    draw();
  };
  let result = { given: null };
  const form = h("form.stack", chips, input, h("footer", h("button", { type: "button", onclick: () => frame.close() }, t("do.cancel")), h("button.primary", { type: "submit" }, t("do.save"))));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing && input.value.trim()) {
      event.preventDefault();
      take();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take();
    result = { add: [...tags].filter((tag) => !now.includes(tag)), remove: now.filter((tag) => !tags.has(tag)), given: true };
    frame.close();
  });
  draw();
  const frame = dialog(t("do.tag"), form);
  input.focus();
  await frame.closed;
  return result;
}
