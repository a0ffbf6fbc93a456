// One element of a thread: what a customer or we wrote, a note, or something that was done.

import { fill, h } from "../core/dom.js";
import { channelMark, icon } from "../core/icons.js";
import { clock, timeElement } from "../core/time.js";
import { known, t } from "../core/words.js";
import { deliveryLine } from "./deliveries.js";
import { attachment } from "./files.js";
import { happening } from "./happenings.js";
import * as names from "./names.js";

/** Build it. *joined* leaves out who wrote, since the one before is of the same; *changed* takes a delivery. */
export function messageElement(one, { conversation, joined, changed }) {
  if (one.direction === "event") return eventElement(one, conversation);
  const note = one.direction === "note";
  const ours = one.direction === "outbound";
  const who = names.author(one.author, conversation);
  return h(
    "article.message",
    { class: [note ? "note" : ours ? "ours" : "theirs", joined && "joined", one.delivery?.lane && one.delivery.lane !== "reply" && "automatic"].filter(Boolean).join(" "), dataset: { id: one.id }, "aria-label": t(note ? "message.note_by" : "message.by", { who }) },
    !joined && h("header", note && icon("note", 14), h("strong", who), lane(one), timeElement(one.at, clock)),
    h("div.bubble", one.subject && one.subject !== conversation.subject && h("div.subject", one.subject), body(one), one.attachments.map(attachment)),
    one.html && original(one),
    one.details?.quoted && quoted(one.details.quoted),
    ours && one.delivery && deliveryLine(one.delivery, { channel: conversation.channel, done: changed }),
  );
}

function lane(one) {
  const name = one.delivery?.lane;
  return name && name !== "reply" && known(`lane.${name}`) ? h("span.chip", t(`lane.${name}`)) : null;
}

const LINK = /\bhttps?:\/\/[^\s<>"'，。；！？、）】」』]+[^\s<>"'，。；！？、）】」』.,;:!?)\]}]/gi;

function body(one) {
  const text = one.text ?? "";
  if (!text) return one.attachments.length ? null : h("p.soft", known(`type.${one.type}`) ? t(`type.${one.type}`) : t("message.empty"));
  return h("p.text", linked(text));
}

/** Return a text in pieces, addresses of the web as links. */
export function linked(text) {
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(LINK)) {
    parts.push(text.slice(at, found.index), h("a", { href: found[0], target: "_blank", rel: "noopener noreferrer nofollow" }, found[0]));
    at = found.index + found[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}

function quoted(text) {
  return h("details.quoted", h("summary", t("message.quoted")), h("p.text", text));
}

/** Return what shows a mail as it was laid out: in a frame of no origin, without scripts, forms, or loads from anywhere. */
function original(one) {
  const holder = h("div");
  let address = "";
  const button = h("button.link.meta", { type: "button", "aria-expanded": "false", onclick: toggle }, t("message.original"));
  function toggle() {
    if (address) {
      URL.revokeObjectURL(address);
      address = "";
      fill(holder);
    } else {
      const shown = `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'">${one.html}`;
      address = URL.createObjectURL(new Blob([shown], { type: "text/html" }));
      fill(holder, h("iframe.original", { src: address, sandbox: "", referrerpolicy: "no-referrer", title: t("message.original") }));
    }
    button.setAttribute("aria-expanded", String(Boolean(address)));
  }
  return h("div", button, holder);
}

function eventElement(one, conversation) {
  const { text, detail, tone, icon: name } = happening(one, conversation);
  return h("div.happening", { class: tone, dataset: { id: one.id } }, icon(name, 14), h("span", text, detail && h("span.detail", ` · ${detail}`)), timeElement(one.at, clock));
}

/** Return the mark of the channel of a conversation. */
export const markOf = (conversation, size) => channelMark(conversation.kind, `${names.kind(conversation.kind)} · ${conversation.channel}`, size);
