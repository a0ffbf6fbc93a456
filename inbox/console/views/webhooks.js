// Outgoing webhooks: who is told what, how it goes, what was sent; test, enable, send again.

import { get, post } from "../core/api.js";
import { dialog, field, form } from "../core/dialogs.js";
import { h } from "../core/dom.js";
import { fault, say } from "../core/notices.js";
import { link } from "../core/router.js";
import { may } from "../core/session.js";
import { moment, number, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import { fresh } from "../floor/fresh.js";
import { chip, doing, empty, facts, page, part, redraw } from "../floor/page.js";
import { paged } from "../floor/table.js";

const TONES = { active: "good", failing: "warn", disabled: "bad" };

export async function view(ctx) {
  const body = h("div.stack");
  const log = h("div.stack");
  const element = page("/webhooks", { title: t("webhooks.title"), lead: t("webhooks.lead") }, body, log);
  const state = { name: "", list: null, text: "" };

  async function work() {
    const { items } = await get("/webhooks");
    const text = JSON.stringify([items, state.name]);
    if (text !== state.text) redraw(body, items.length ? h("div.cards-grid", items.map((one) => card(one, state.name, again))) : none());
    state.text = text;
    await state.list?.reload();
  }

  function choose(name) {
    if (name !== state.name) {
      state.name = name;
      state.list = name ? sent(name, again) : null;
      redraw(log, name && part(t("webhooks.log", { name }), {}, state.list.element));
    }
    return work();
  }

  const again = () => work().catch(fault);
  const news = fresh(work, { every: 5000 });
  await choose(ctx.params.name ?? "");
  return { element, stop: news.stop, update: (next) => choose(next.params.name ?? "").catch(fault) };
}

const none = () => empty("plug", t("webhooks.none"), h("pre.raw.small", { tabindex: "0" }, "webhooks:\n  crm:\n    url: https://crm.example.com/huiliu\n    secret: ${CRM_WEBHOOK_SECRET}\n    events: [message.received, \"conversation.*\"]"));

function card(one, chosen, again) {
  const last = one.last_attempt;
  return h(
    "section.card.stack.tight",
    { class: one.name === chosen && "chosen" },
    h("div.row", h("h2.grow.cut", h("a", { href: link(`/webhooks/${one.name}`), "aria-current": one.name === chosen ? "true" : null }, one.name)), chip(t(`webhooks.state_${one.state}`), TONES[one.state])),
    h("p.meta", one.url),
    one.reason && h("p", { class: one.state === "disabled" ? "trouble" : "remark" }, one.reason),
    facts([
      [t("webhooks.events"), one.events.join("、")],
      [t("webhooks.only"), [...one.teams, ...one.channels].join("、")],
      [t("webhooks.content"), t(`webhooks.content_${one.content}`)],
      [t("webhooks.waiting"), number(one.waiting)],
      [t("webhooks.last"), last && [timeElement(last.at, moment), " · ", last.status ?? last.error, " · ", `${number(last.duration_ms)} ms`]],
      [t("webhooks.succeeded"), one.succeeded_at && timeElement(one.succeeded_at, moment)],
      [t("webhooks.failing"), one.failing_since && timeElement(one.failing_since, moment)],
    ]),
    may("admin") && h("div.row", actions(one, again)),
  );
}

function actions(one, again) {
  const where = `/webhooks/${one.name}`;
  const act = (path, words) => async () => {
    await post(`${where}/${path}`);
    say(words, { tone: "good" });
    again();
  };
  return [
    one.state === "disabled" && doing(t("webhooks.enable"), act("enable", t("webhooks.enabled")), fault, { kind: "small primary", key: `enable-${one.name}` }),
    doing(t("webhooks.test"), act("test", t("webhooks.tested")), fault, { kind: "small", key: `test-${one.name}` }),
    doing(t("webhooks.replay"), () => replay(one.name, again), fault, { kind: "small", key: `replay-${one.name}` }),
  ];
}

async function replay(name, again) {
  const since = h("input", { type: "datetime-local", required: true });
  const everything = h("input", { type: "checkbox" });
  const done = await form(t("webhooks.replay_title", { name }), [field(t("webhooks.since"), since, t("webhooks.since_how")), h("label.check", everything, t("webhooks.everything"))], t("webhooks.replay"),
    () => post(`/webhooks/${name}/replay`, { since: new Date(since.value).toISOString(), all: everything.checked }));
  if (!done) return;
  say(t("webhooks.replayed"), { tone: "good" });
  again();
}

function sent(name, again) {
  const columns = [
    { title: t("webhooks.at"), cell: (one) => timeElement(one.changed_at, moment) },
    { title: t("webhooks.event"), head: true, cell: (one) => [one.type ? one.type.replace(/^huiliu\./, "") : "–", " ", h("code.meta", one.event ?? "")] },
    { title: t("webhooks.state"), cell: (one) => [chip(said("delivery.", one.state), { sent: "good", dead: "bad", failed: "bad", deferred: "warn" }[one.state]), one.status && h("span.meta", ` ${one.status}`)] },
    { title: t("webhooks.tries"), number: true, cell: (one) => String(one.attempts) },
    { title: t("webhooks.error"), wide: true, cell: (one) => one.error ?? "" },
    {
      title: "",
      cell: (one) => h("div.row.end",
        doing(t("webhooks.attempts"), () => attempts(one), fault, { kind: "small plain", key: `log-${one.id}` }),
        may("admin") && doing(t("webhooks.redeliver"), async () => {
          await post(`/webhooks/${name}/deliveries/${one.id}/redeliver`);
          say(t("webhooks.redelivered"), { tone: "good" });
          again();
        }, fault, { kind: "small", key: `again-${one.id}`, name: "retry" })),
    },
  ];
  return paged(t("webhooks.log", { name }), columns, (cursor) => get(`/webhooks/${name}/deliveries`, { cursor, limit: 25 }), {
    key: (one) => one.id,
    nothing: () => empty("plug", t("webhooks.nothing")),
  });
}

async function attempts(one) {
  dialog(t("webhooks.attempts"), one.log.length
    ? h("ol.story", one.log.map((each) => h("li", h("div.row.tight", timeElement(each.at, moment), chip(each.status ? String(each.status) : t("webhooks.no_answer"), each.status >= 200 && each.status < 300 ? "good" : "bad"), h("span.meta", `${number(each.duration_ms)} ms`)), each.error && h("p", each.error))))
    : h("p", t("webhooks.no_attempts")));
}
