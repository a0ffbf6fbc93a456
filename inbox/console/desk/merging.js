// Two contacts that are one person, and one that is two: merged with a reason, taken back exactly.

import { get, post } from "../core/api.js";
import { dialog, field, form } from "../core/dialogs.js";
import { fill, h, settled } from "../core/dom.js";
import { fault, say } from "../core/notices.js";
import { t } from "../core/words.js";
import * as names from "./names.js";

/** Ask, then make *other* part of *contact*; resolves to whether it was done. */
export async function mergeInto(contact, other) {
  const done = await form(t("merge.title"), [
    h("p", t("merge.ask", { one: names.customer(contact), other: names.customer(other) })),
    pair(contact), pair(other),
    field(t("merge.reason"), h("input", { name: "reason", maxlength: 200, required: true, placeholder: t("merge.reason_hint") })),
  ], t("do.merge"), (data) => post(`/contacts/${contact.id}/merge`, { with: other.id, reason: data.get("reason") }));
  if (done) say(t("did.merged"), { tone: "good", action: { label: t("do.undo"), run: () => post(`/contacts/${contact.id}/split`, { merge: done.merge.id, reason: t("merge.undone") }).then(() => say(t("did.split")), fault) } });
  return Boolean(done);
}

/** Ask, then take a merge back; resolves to whether it was done. */
export async function splitOff(contact, merge) {
  const done = await form(t("merge.split_title"), [
    h("p", t("merge.split_ask", { other: merge.name || names.address(merge.addresses?.[0]) })),
    merge.reason && h("p.meta", t("merge.because", { reason: merge.reason })),
    field(t("merge.reason"), h("input", { name: "reason", maxlength: 200, required: true })),
  ], t("do.split"), (data) => post(`/contacts/${contact.id}/split`, { merge: merge.id, reason: data.get("reason") }));
  if (done) say(t("did.split"), { tone: "good" });
  return Boolean(done);
}

const pair = (one) => h("p.card", h("strong", names.customer(one)), h("br"), h("span.meta", (one.addresses ?? []).map(names.address).join(" · ")));

/** Let somebody find who else a contact is; resolves to whether something was merged. */
export async function findOther(contact) {
  let found = null;
  const input = h("input", { type: "search", placeholder: t("merge.find"), "aria-label": t("merge.find") });
  const list = h("div.choices");
  const look = settled(async () => {
    if (input.value.trim().length < 2) return;
    try {
      const { items } = await get("/contacts", { q: input.value.trim(), limit: 20 });
      const others = items.filter((one) => one.id !== contact.id);
      fill(list, others.length ? others.map((one) => h("button.plain", { type: "button", onclick: () => ((found = one), frame.close()) }, h("span.grow", names.customer(one), h("small.soft", one.addresses.map(names.address).join(" · "))))) : h("p.soft", t("list.none_found")));
    } catch (failure) {
      fill(list, h("p.trouble", failure.words));
    }
  }, 250);
  input.addEventListener("input", look);
  const frame = dialog(t("merge.with"), h("div.stack", input, list));
  input.focus();
  await frame.closed;
  look.stop();
  return found ? mergeInto(contact, found) : false;
}
