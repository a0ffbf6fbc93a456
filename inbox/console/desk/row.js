// One conversation in a list: who, by what channel, what was said last, who has it, what is due.

import { h } from "../core/dom.js";
import { channelMark, icon } from "../core/icons.js";
import { clock, day, full, span, timeElement } from "../core/time.js";
import { known, t } from "../core/words.js";
import * as names from "./names.js";
import { nextDue } from "./scopes.js";

/** Build a row. *state* is {href, current, chosen, draft}; *choose* is called when it is ticked. */
export function row(one, { href, current, chosen, draft, choose }) {
  const due = nextDue(one.sla);
  const who = names.customer(one.contact);
  return h(
    "div.row-box",
    { class: [one.unread && "unread", current && "current", chosen && "chosen"].filter(Boolean).join(" ") },
    h(
      "a.conversation",
      { href, "aria-current": current ? "true" : null, dataset: { id: one.id } },
      h("span.face", h("span.avatar", names.initial(who)), channelMark(one.kind, names.kind(one.kind), 13)),
      h(
        "span.lines",
        h("span.line", h("strong.who.cut", who), one.unread && h("span.unseen", t("row.unread")),
          one.contact.tier && h("span.chip.accent", one.contact.tier), h("span.grow"), timeElement(one.last_message_at)),
        h("span.line.words", draft ? h("em.draft", t("row.draft")) : null, h("span.cut.grow", draft || words(one))),
        h("span.line.marks", marks(one, due)),
      ),
    ),
    choose && h("input.tick", { type: "checkbox", checked: chosen, "aria-label": t("row.choose", { who }), onclick: (event) => choose(one.id, event.shiftKey) }),
  );
}

function words(one) {
  const last = one.latest;
  if (!last) return one.subject || t("row.nothing");
  const text = last.text || (known(`type.${last.type}`) ? t(`type.${last.type}`) : t("type.file"));
  const mail = one.subject && last.direction === "inbound" ? `${one.subject} · ` : "";
  if (last.direction === "note") return t("row.note", { text });
  if (last.direction === "outbound") return t("row.ours", { who: names.author(last.author, one), text });
  return mail + text;
}

function marks(one, due) {
  return [
    one.priority !== "normal" && one.priority !== "low" && h("span.chip", { class: one.priority === "urgent" ? "bad" : "warn" }, t(`priority.${one.priority}`)),
    one.attention && h("span.chip.bad", icon("alert", 12), t("row.undelivered")),
    due && dueChip(due),
    one.status === "snoozed" && one.snoozed_until && h("span.chip", icon("snooze", 12), `${day(one.snoozed_until)} ${clock(one.snoozed_until)}`),
    one.tags.slice(0, 2).map((tag) => h("span.chip.tagged", h("span.cut", tag))),
    one.tags.length > 2 && h("span.chip", `+${one.tags.length - 2}`),
    h("span.grow"),
    h("span.holder.cut", one.agent ? names.agent(one.agent) : one.team ? names.team(one.team) : t("row.nobody")),
  ];
}

/** Return a chip that says what is due when. */
export function dueChip(due, now = Date.now()) {
  const left = Date.parse(due.due) - now;
  const late = left < 0;
  const tone = late || due.level === "bad" ? "bad" : due.level === "warn" || left < 600_000 ? "warn" : "";
  return h("span.chip.due", { class: tone, title: `${t(`clock.${due.clock}`)} · ${full(due.due)}` },
    icon("clock", 12), late ? t("due.late", { span: span(left) }) : t("due.left", { span: span(left) }));
}

