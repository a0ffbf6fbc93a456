// One survey: its questions, how it reads on every channel, who was asked, what they answered, the report.

import { get, post } from "../core/api.js";
import { field, form } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { channelMark } from "../core/icons.js";
import { fault, say } from "../core/notices.js";
import { link } from "../core/router.js";
import { may } from "../core/session.js";
import { moment, timeElement } from "../core/time.js";
import { language, said, t } from "../core/words.js";
import { fresh } from "../floor/fresh.js";
import { chip, empty, facts, page, part, redraw, tabs } from "../floor/page.js";
import { reporting } from "../floor/reporting.js";
import { paged } from "../floor/table.js";
import { state, told } from "./surveys.js";

const TABS = ["report", "invitations", "responses", "preview", "questions"];
const STATES = ["", "waiting", "sent", "answered", "expired", "suppressed"];
const TONES = { waiting: "info", sent: "info", answered: "good", expired: "", suppressed: "warn" };

export async function view(ctx) {
  const { id } = ctx.params;
  const survey = await get(`/surveys/${id}`);
  const path = `/surveys/${id}`;
  const bar = h("div");
  const body = h("div");
  const invite = may("supervisor") && h("button", { type: "button", onclick: () => ask(id, () => shown.part?.reload?.()).catch(fault) }, t("survey.invite"));
  const element = page("/surveys", { title: told(survey.title), lead: survey.purpose, actions: [state(survey), invite], wide: true }, bar, body);
  const shown = { tab: "", part: null };
  const parts = { report: reports, invitations, responses, preview, questions };

  async function show(query) {
    const tab = TABS.includes(query.tab) ? query.tab : "report";
    if (tab === shown.tab) return shown.part.update?.(query);
    shown.tab = tab;
    redraw(bar, tabs(told(survey.title), TABS.map((name) => [name, t(`survey.tab_${name}`)]), tab, (name) => link(path, { tab: name })));
    const made = await parts[tab](survey, query, path);
    if (shown.tab !== tab) return made.stop?.();
    shown.part?.stop?.();
    shown.part = made;
    redraw(body, made.element);
  }

  await show(ctx.query);
  return { element, stop: () => shown.part?.stop?.(), update: (next) => show(next.query).catch(fault) };
}

async function reports(survey, query, path) {
  const where = `/reports/surveys/${survey.id}`;
  const supervisor = may("supervisor");
  const files = [
    ...["html", "xlsx", "csv"].map((name) => ({ form: name, label: t(`files.${name}`) })),
    ...(supervisor ? ["xlsx", "csv", "sav", "codebook"].map((name) => ({ form: name, label: t(`files.responses_${name}`), at: `${where}/responses` })) : []),
  ];
  return reporting(where, { path, query: { ...query, tab: "report" } }, files, survey.id);
}

async function invitations(survey, query, path) {
  const kinds = new Map((await get("/channels")).items.map((one) => [one.id, one.kind]));
  const chosen = { state: STATES.includes(query.state) ? query.state : "" };
  const bar = h("div.row");
  const columns = [
    { title: t("survey.at"), cell: (one) => timeElement(one.created_at, moment) },
    { title: t("survey.who"), head: true, cell: (one) => h("span.row.tight", channelMark(kinds.get(one.channel), one.channel), one.conversation ? h("a", { href: link(`/conversations/${one.conversation}`) }, one.address) : one.address) },
    { title: t("survey.state"), cell: (one) => [chip(t(`survey.state_${one.state}`), TONES[one.state]), one.reason && h("span.meta", ` ${said("survey.reason.", one.reason)}`)] },
    { title: t("survey.sent"), cell: (one) => (one.sent_at ? timeElement(one.sent_at, moment) : "–") },
    { title: t("survey.served"), wide: true, cell: (one) => [one.team, one.agent, ...one.tags].filter(Boolean).join(" · ") },
  ];
  const list = paged(t("survey.tab_invitations"), columns, (cursor) => get(`/surveys/${survey.id}/invitations`, { state: chosen.state, cursor }), {
    key: (one) => one.id,
    nothing: () => empty("send", t("survey.no_invitations")),
  });
  const draw = () => redraw(bar, h("span.meta", t("survey.show")), STATES.map((name) =>
    h("a.button.small", { href: link(path, { tab: "invitations", state: name }), "aria-current": name === chosen.state ? "true" : null }, t(`survey.state_${name || "all"}`))));
  const news = fresh(list.reload, { on: "survey.answered,delivery.changed", every: 20_000 });
  draw();
  await list.reload();
  return {
    element: h("div.stack", bar, list.element), stop: news.stop, reload: list.reload,
    update(next) {
      chosen.state = STATES.includes(next.state) ? next.state : "";
      draw();
      return list.reload();
    },
  };
}

async function responses(survey) {
  const questions = new Map((survey.questions ?? []).map((one) => [one.id, one]));
  const columns = [
    { title: t("survey.at"), cell: (one) => timeElement(one.at, moment) },
    { title: t("survey.answers"), head: true, cell: (one) => h("dl.answers", one.answers.map((each) => [h("dt", told(questions.get(each.question)?.text) || each.question), h("dd", value(questions.get(each.question), each.value))])) },
    { title: t("survey.via"), cell: (one) => [said("survey.via.", one.via), one.channel && h("span.meta", ` ${one.channel}`)] },
    { title: t("survey.flags"), cell: (one) => [!one.complete && chip(t("survey.partly"), "info"), one.flags.map((flag) => chip(said("survey.flag.", flag), "warn"))] },
    { title: t("survey.served"), wide: true, cell: (one) => [one.conversation && h("a", { href: link(`/conversations/${one.conversation}`) }, t("survey.conversation")), " ", [one.team, one.agent].filter(Boolean).join(" · "), " ", one.codes.map((code) => chip(code, "accent"))] },
  ];
  const list = paged(t("survey.tab_responses"), columns, (cursor) => get(`/surveys/${survey.id}/responses`, { cursor }), {
    key: (one) => one.id,
    nothing: () => empty("star", t("survey.no_responses")),
  });
  const news = fresh(list.reload, { on: "survey.answered", every: 30_000 });
  await list.reload();
  return { element: list.element, stop: news.stop, reload: list.reload };
}

function value(question, given) {
  return [given].flat().map((one) => {
    const label = told(question?.labels?.[String(one)]);
    return label && String(one) !== label ? `${typeof one === "number" ? `${one} · ` : ""}${label}` : String(one);
  }).join("、");
}

async function preview(survey) {
  const choose = h("select", { "aria-label": t("survey.language") }, survey.languages.map((one) => h("option", { value: one }, said("language.", one))));
  choose.value = survey.languages.find((one) => language().startsWith(one.slice(0, 2))) ?? survey.languages[0];
  const body = h("div");
  const draw = async () => {
    const { items } = await get(`/surveys/${survey.id}/preview`, { language: choose.value });
    redraw(body, items.length ? h("div.cards-grid", items.map(sample)) : empty("plug", t("channels.none")));
  };
  choose.addEventListener("change", () => draw().catch(fault));
  await draw();
  return { element: h("div.stack", h("div.row", h("span.meta", t("survey.language")), h("div.narrow", choose)), body) };
}

function sample(one) {
  return h(
    "section.card.stack.tight",
    h("div.row", channelMark(one.kind, one.kind), h("h2.grow.cut", one.channel), h("span.meta.number", t("survey.length", { n: one.length }))),
    one.subject && h("p", h("b", one.subject)),
    h("div.bubble", one.text),
    one.choices.length > 0 && h("div.row.tight", one.choices.map((choice) => h("span.chip", choice.label ?? choice))),
  );
}

async function questions(survey) {
  const element = h(
    "div.columns",
    part(t("survey.tab_questions"), {}, h("ol.questions", (survey.questions ?? []).map((one) =>
      h("li.card.stack.tight", h("div.row.tight", h("b.grow", told(one.text)), chip(said("question.", one.kind)), one.required && chip(t("survey.required"), "info")),
        one.values.length > 0 && h("div.row.tight", one.values.map((each) => h("span.chip", [String(each), told(one.labels?.[String(each)])].filter((text, at, list) => text && list.indexOf(text) === at).join(" · ")))))))),
    part(t("survey.about"), {}, facts([
      ["id", h("code", survey.id)],
      [t("surveys.kind"), said("survey.kind.", survey.kind)],
      [t("surveys.trigger"), said("survey.trigger.", survey.trigger)],
      [t("surveys.owner"), survey.owner],
      [t("survey.scope"), survey.scope],
      [t("survey.since"), survey.since],
      [t("survey.until"), survey.until],
      [t("survey.languages"), survey.languages.map((one) => said("language.", one)).join("、")],
      [t("survey.version"), h("code", survey.version)],
      [t("survey.codes_left"), survey.codes_left ?? null],
    ])),
  );
  return { element };
}

/** Ask people by name. */
async function ask(id, done) {
  const channels = (await get("/channels")).items;
  const channel = h("select", { name: "channel" }, channels.map((one) => h("option", { value: one.id }, one.id)));
  const people = h("textarea", { name: "people", rows: 5, required: true, placeholder: "tel:+8613800138000\nc7-1795303839084-0" });
  const drawn = h("input", { type: "checkbox", name: "sample" });
  const sent = await form(t("survey.invite"), [
    field(t("survey.people"), people, t("survey.people_how")),
    field(t("survey.channel"), channel, t("survey.channel_how")),
    h("label.check", drawn, t("survey.sample")),
  ], t("survey.invite"), async () => {
    const lines = people.value.split("\n").map((one) => one.trim()).filter(Boolean);
    const conversations = lines.filter((one) => /^c\d+-[\d-]+$/.test(one));
    const recipients = lines.filter((one) => !conversations.includes(one)).map((address) => ({ channel: channel.value, address }));
    return post(`/surveys/${id}/invitations`, { conversations, recipients, sample: drawn.checked });
  });
  if (!sent) return;
  const left = sent.items.filter((one) => one.state === "suppressed").length;
  say(t("survey.invited", { n: sent.items.length - left, left }), { tone: "good" });
  await done();
}
