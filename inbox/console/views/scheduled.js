// Reports that are sent by mail: to whom, when they went last, when they go next.

import { get, post } from "../core/api.js";
import { h } from "../core/dom.js";
import { fault, say } from "../core/notices.js";
import { may } from "../core/session.js";
import { moment, timeElement } from "../core/time.js";
import { t } from "../core/words.js";
import { doing, empty, page } from "../floor/page.js";
import { paged } from "../floor/table.js";
import { fresh } from "../floor/fresh.js";

export async function view() {
  const columns = [
    { title: t("scheduled.name"), head: true, cell: (one) => one.name },
    { title: t("scheduled.what"), cell: (one) => (one.what === "survey" ? t("scheduled.survey", { name: one.survey }) : t("reports.service")) },
    { title: t("scheduled.to"), wide: true, cell: (one) => one.to.join("、") },
    { title: t("scheduled.format"), cell: (one) => [one.format].flat().join("、") },
    { title: t("scheduled.last"), cell: (one) => (one.last_due_at ? timeElement(one.last_due_at, moment) : "–") },
    { title: t("scheduled.next"), cell: (one) => (one.next_due_at ? timeElement(one.next_due_at, moment) : "–") },
    { title: "", cell: (one) => h("div.row.end", may("supervisor") && doing(t("scheduled.send"), () => send(one), fault, { kind: "small", name: "send", key: one.name })) },
  ];
  const list = paged(t("scheduled.title"), columns, () => get("/reports/scheduled"), {
    key: (one) => one.name,
    nothing: () => empty("mail", t("scheduled.none"), h("pre.raw.small", { tabindex: "0" }, "reports:\n  monday: {every: weekly mon 09:00, to: [aftersales]}")),
  });
  const send = async (one) => {
    const done = await post(`/reports/scheduled/${one.name}/send`);
    say(done.sent ? t("scheduled.sent", { n: done.sent }) : t("scheduled.sent_before"), { tone: "good" });
    await list.reload();
  };
  const news = fresh(list.reload, { every: 60_000 });
  await list.reload();
  return { element: page("/reports/scheduled", { title: t("scheduled.title"), lead: t("scheduled.lead") }, list.element), stop: news.stop };
}
