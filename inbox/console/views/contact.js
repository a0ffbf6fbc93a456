// Everything with one customer: who it is, all conversations, and all that was said in them as one timeline.

import { get } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { channelMark, icon } from "../core/icons.js";
import { fault } from "../core/notices.js";
import { link } from "../core/router.js";
import { may } from "../core/session.js";
import { brief, day, timeElement } from "../core/time.js";
import { said, t } from "../core/words.js";
import { release } from "../desk/files.js";
import { findOther, splitOff } from "../desk/merging.js";
import { messageElement } from "../desk/message.js";
import * as names from "../desk/names.js";

const PAGE = 60;

/** The view. */
export async function view(ctx) {
  await names.names();
  const id = encodeURIComponent(ctx.params.id);
  const [contact, conversations] = await Promise.all([get(`/contacts/${id}`), get(`/contacts/${id}/conversations`, { limit: 100 })]);
  const byId = new Map(conversations.items.map((one) => [one.id, one]));
  const messages = h("div.messages");
  const more = h("button", { type: "button", hidden: true, onclick: () => load().catch(fault) }, t("do.more"));
  let cursor = "";
  let last = null;

  async function load() {
    const page = await get(`/contacts/${id}/timeline`, { limit: PAGE, cursor });
    for (const one of page.items) {
      const conversation = byId.get(one.conversation);
      if (!conversation || (one.direction === "event" && one.event?.name === "delivery")) continue;
      if (last?.conversation !== one.conversation || day(last.at) !== day(one.at)) {
        messages.append(h("a.day", { href: link(`/conversations/${one.conversation}`) }, channelMark(conversation.kind, names.kind(conversation.kind), 13), h("span", `${day(one.at)} · ${conversation.subject || conversation.channel}`)));
      }
      messages.append(messageElement(one, { conversation, joined: false, changed: () => {} }));
      last = one;
    }
    cursor = page.next ?? "";
    more.hidden = !cursor;
  }

  const merges = h("div.stack");
  const drawMerges = (list) => fill(merges, list.length > 0 && [h("h3", t("merge.merged")), h("ul.past", list.map((one) => h("li", h("span.grow", one.name || one.addresses.map(names.address).join(" · ")), h("span.meta", one.reason ?? ""),
    may("agent") && h("button.small", { type: "button", onclick: () => splitOff(contact, one).then((done) => done && location.reload()) }, icon("split", 16), t("do.split")))))]);
  drawMerges(contact.merges ?? []);
  await load();
  return {
    element: h("div.page.contact-page",
      h("header", h("div.person", h("span.avatar", names.initial(names.customer(contact))), h("div", h("h1", names.customer(contact)), h("p.meta", [contact.tier, contact.language && said("language.", contact.language), ...contact.tags].filter(Boolean).join(" · ")))),
        may("agent") && h("button", { type: "button", onclick: () => findOther(contact).then((done) => done && location.reload()) }, icon("merge", 18), t("merge.with"))),
      h("div.contact-columns",
        h("div.stack",
          h("ul.addresses", contact.addresses.map((one) => h("li", channelMark(one.split(":")[0], names.scheme(one), 13), names.address(one)))),
          merges,
          h("h3", t("card.past", { n: conversations.items.length })),
          h("ul.past", conversations.items.map((one) => h("li", h("a", { href: link(`/conversations/${one.id}`) }, channelMark(one.kind, names.kind(one.kind), 13), h("span.cut.grow", one.subject || said("stage.", one.stage ?? "none")), h("span.chip", t(`status.${one.status}`)), timeElement(one.last_message_at, brief)))))),
        h("div", h("h2", t("timeline.title")), messages, h("div.older", more)))),
    stop: () => release(messages),
  };
}
