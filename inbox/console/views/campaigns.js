// Bulk sends: all of them, and the form that makes one.

import { get, post, newKey } from "../core/api.js";
import { dialog, field } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { go, link } from "../core/router.js";
import { moment, number, timeElement } from "../core/time.js";
import { t } from "../core/words.js";
import { forecast } from "../floor/forecast.js";
import { fresh } from "../floor/fresh.js";
import { chip, doing, empty, meter, page } from "../floor/page.js";
import { paged } from "../floor/table.js";

export const TONES = { draft: "", preparing: "info", running: "good", paused: "warn", braked: "bad", stopped: "", done: "" };

export async function view() {
  const columns = [
    { title: t("campaigns.name"), head: true, cell: (one) => h("a", { href: link(`/campaigns/${one.id}`) }, one.name) },
    { title: t("campaigns.state"), cell: (one) => [chip(t(`campaign.${one.state}`), TONES[one.state]), one.why && h("p.meta", one.why)] },
    { title: t("campaigns.progress"), cell: (one) => progress(one) },
    { title: t("campaigns.failed"), number: true, cell: (one) => number(one.counts.failed ?? 0) },
    { title: t("campaigns.by"), cell: (one) => one.by },
    { title: t("campaigns.created"), cell: (one) => timeElement(one.created_at, moment) },
  ];
  const list = paged(t("campaigns.title"), columns, (cursor) => get("/campaigns", { cursor }), {
    key: (one) => one.id,
    nothing: () => empty("send", t("campaigns.none")),
  });
  const news = fresh(list.reload, { every: 5000 });
  await list.reload();
  const element = page("/campaigns", {
    title: t("campaigns.title"), lead: t("campaigns.lead"),
    actions: h("button.primary", { type: "button", onclick: () => compose().catch(fault) }, t("campaigns.new")),
  }, list.element);
  return { element, stop: news.stop };
}

/** Return how far a bulk send is. */
export function progress(one) {
  if (!one.total) return h("span.meta", "–");
  const words = t("campaign.of", { done: number(one.done), total: number(one.total) });
  return h("span.progress", meter(one.done / one.total, words), h("span.meta.number", words));
}

const words = (text) => text.split(/[,，、]/).map((one) => one.trim()).filter(Boolean);

/** Open the form of a new bulk send. */
async function compose() {
  const [channels, templates] = await Promise.all([get("/channels"), get("/templates")]);
  const input = (attributes = {}) => h("input", attributes);
  const form = {
    name: input({ required: true, maxlength: 100 }),
    zh: h("textarea", { rows: 3, maxlength: 5000 }),
    en: h("textarea", { rows: 3, maxlength: 5000 }),
    template: h("select", h("option", { value: "" }, t("campaign.no_template")), templates.items.map((one) => h("option", { value: one.id }, one.id))),
    to: h("select", h("option", { value: "segment" }, t("campaign.segment")), h("option", { value: "list" }, t("campaign.list"))),
    list: input({ type: "file", accept: ".csv,text/csv" }),
    tags: input({ placeholder: "vip" }), without_tags: input(), tiers: input(), languages: input({ placeholder: "zh, en" }),
    seen_within: input({ placeholder: "30d" }),
    consent: h("select", h("option", { value: "any" }, t("campaign.consent_any")), h("option", { value: "consented" }, t("campaign.consent_given"))),
    channel: h("select", h("option", { value: "" }, t("campaign.any_channel")), channels.items.map((one) => h("option", { value: one.id }, one.id))),
    subject: input({ maxlength: 200 }),
    per_minute: input({ type: "number", min: 1, max: 60000, value: "60" }),
    consent_source: input({ maxlength: 200 }),
  };
  const segment = h("div.grid-two", ["tags", "without_tags", "tiers", "languages", "seen_within", "consent"].map((key) => field(t(`campaign.${key}`), form[key])));
  const list = field(t("campaign.file"), form.list, t("campaign.file_how"));
  const shown = h("div", { "aria-live": "polite" });
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const turn = () => {
    segment.hidden = form.to.value !== "segment";
    list.hidden = !segment.hidden;
  };
  form.to.addEventListener("change", turn);
  turn();

  const written = async () => {
    const texts = Object.fromEntries(["zh", "en"].map((key) => [key, form[key].value.trim()]).filter(([, text]) => text));
    const several = Object.fromEntries(["tags", "without_tags", "tiers", "languages"].map((key) => [key, words(form[key].value)]).filter(([, names]) => names.length));
    return {
      name: form.name.value.trim(),
      ...(form.template.value ? { template: form.template.value } : { text: texts }),
      ...(form.to.value === "list"
        ? { list: (await form.list.files[0]?.text()) ?? "", ...(form.consent_source.value.trim() ? { consent_source: form.consent_source.value.trim() } : {}) }
        : { segment: { ...several, ...(form.seen_within.value.trim() ? { seen_within: form.seen_within.value.trim() } : {}), consent: form.consent.value } }),
      ...(form.channel.value ? { channel: form.channel.value } : {}),
      ...(form.subject.value.trim() ? { subject: form.subject.value.trim() } : {}),
      per_minute: Number(form.per_minute.value),
    };
  };
  const wrong = (failure) => {
    if (failure.words === undefined) throw failure;
    trouble.textContent = failure.words;
    trouble.hidden = false;
  };
  const key = newKey();
  const look = doing(t("campaign.preview"), async () => {
    trouble.hidden = true;
    fill(shown, forecast(await post("/campaign-preview", await written())));
  }, wrong);
  const save = doing(t("campaign.save"), async () => {
    trouble.hidden = true;
    const made = await post("/campaigns", { ...(await written()), client_id: key });
    one.close();
    go(`/campaigns/${made.id}`);
  }, wrong, { kind: "primary" });
  const one = dialog(t("campaigns.new"), h(
    "div.stack",
    field(t("campaigns.name"), form.name),
    field(t("campaign.text_zh"), form.zh, t("campaign.text_how")),
    field(t("campaign.text_en"), form.en),
    field(t("campaign.template"), form.template),
    h("fieldset.stack", h("legend", t("campaign.audience")), field(t("campaign.to"), form.to), segment, list),
    h("details", h("summary", t("campaign.more")), h("div.grid-two.fold", field(t("campaign.channel"), form.channel), field(t("campaign.per_minute"), form.per_minute),
      field(t("campaign.subject"), form.subject), field(t("campaign.consent_source"), form.consent_source, t("campaign.consent_source_how")))),
    shown, trouble,
  ), { wide: true, buttons: [look, save] });
  form.name.focus();
}
