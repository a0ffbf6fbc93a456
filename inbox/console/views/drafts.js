// Answers that wait for somebody's approval: who wrote what to whom, why it waits, send it or drop it.

import { get, post } from "../core/api.js";
import { confirm } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { icon } from "../core/icons.js";
import * as live from "../core/live.js";
import { fault, say } from "../core/notices.js";
import { link } from "../core/router.js";
import { may } from "../core/session.js";
import { brief, timeElement } from "../core/time.js";
import { t } from "../core/words.js";
import { obstacleList } from "../desk/outlook.js";
import * as names from "../desk/names.js";

/** The view. */
export async function view() {
  await names.names();
  const list = h("div.stack");
  let page = await get("/drafts", { limit: 100 });

  async function read() {
    page = await get("/drafts", { limit: 100 });
    draw();
  }

  function draw() {
    const held = page.items.filter((one) => one.state === "held");
    fill(list, held.length ? held.map(item) : h("div.empty", icon("check", 32), h("p", t("drafts.none"))));
  }

  function item(one) {
    const trouble = h("div", { role: "alert" });
    const element = h("article.card.stack",
      h("div.row", h("strong", one.author?.name || names.agent(one.author?.id ?? one.author)), h("span.meta", t("drafts.via", { via: one.via })), h("span.grow"), timeElement(one.at, brief)),
      h("p.text", one.text),
      one.attachments?.length > 0 && h("p.meta", one.attachments.map((file) => file.name ?? file).join(" · ")),
      h("p.meta", one.why || one.reason),
      trouble,
      h("div.row", may("agent") && [
        h("button.primary", { type: "button", onclick: () => approve(one, trouble) }, icon("send", 18), t("drafts.approve")),
        h("button.danger", { type: "button", onclick: () => discard(one) }, t("drafts.discard")),
      ], one.conversation && h("a.button.plain", { href: link(`/conversations/${one.conversation}`) }, t("drafts.conversation"))));
    return element;
  }

  async function approve(one, trouble) {
    try {
      await post(`/drafts/${one.id}/approve`);
      say(t("drafts.approved"), { tone: "good" });
      await read();
    } catch (failure) {
      if (failure.body?.obstacles) fill(trouble, obstacleList(failure.body.obstacles));
      else fault(failure);
    }
  }

  async function discard(one) {
    if (!(await confirm(t("drafts.discard"), one.text, t("drafts.discard"), { danger: true }))) return;
    try {
      await post(`/drafts/${one.id}/discard`);
      say(t("drafts.discarded"));
      await read();
    } catch (failure) {
      fault(failure);
    }
  }

  draw();
  const stop = live.on("conversation.*,reply.created,reset", () => read().catch(() => {}));
  return { element: h("div.page", h("header", h("h1", t("drafts.title"))), list), stop };
}
