// Trying route files on stored messages: what would have gone another way.

import { get, post } from "../core/api.js";
import { field } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { go } from "../core/router.js";
import { number, span } from "../core/time.js";
import { t } from "../core/words.js";
import { chip, doing, empty, meter, redraw } from "./page.js";
import { tally } from "./tally.js";

const LOOK = 700;
const SINCE = ["1d", "7d", "14d", "28d"];

/** Build the form, and show the replay that `?replay=` names. */
export async function replay(query, names) {
  const result = h("div", { "aria-live": "polite" });
  const trouble = h("div");
  const text = h("textarea.code", { rows: 14, spellcheck: "false" });
  const files = h("input", { type: "file", accept: ".yaml,.yml", multiple: true });
  const since = h("select", SINCE.map((one) => h("option", { value: one }, t("replay.last", { time: span(parseInt(one, 10) * 86_400_000) }))));
  since.value = "7d";
  const state = { id: "", timer: 0, over: false };
  const { routes } = await get("/routes");
  const inUse = await current();
  text.value = inUse;

  files.addEventListener("change", async () => {
    const given = await Promise.all([...files.files].map((one) => one.text()));
    text.value = given.join("\n---\n");
  });

  const start = doing(t("replay.start"), async () => {
    fill(trouble);
    const given = files.files.length
      ? await Promise.all([...files.files].map(async (one) => ({ name: one.name, text: await one.text() })))
      : [{ name: "candidate.yaml", text: text.value }];
    const begun = await post("/routes/replays", { files: given, since: since.value });
    go("/routes", { tab: "replay", replay: begun.id });
  }, (failure) => {
    if (failure.body?.faults) fill(trouble, h("div.trouble", { role: "alert" }, h("p", t("replay.faults")), h("ul", failure.body.faults.map((one) => h("li", h("code", one))))));
    else fault(failure);
  }, { kind: "primary", name: "retry" });

  async function follow() {
    clearTimeout(state.timer);
    if (!state.id || state.over) return;
    try {
      const one = await get(`/routes/replays/${state.id}`);
      redraw(result, progress(one, names));
      if (one.state === "running") state.timer = setTimeout(follow, LOOK);
    } catch (failure) {
      if (failure.status === 404) fill(result, h("p.meta", t("replay.gone")));
      else state.timer = setTimeout(follow, 4 * LOOK);
    }
  }

  function update(next) {
    if ((next.replay ?? "") === state.id) return true;
    state.id = next.replay ?? "";
    fill(result, state.id ? null : empty("route", t("replay.nothing")));
    follow();
    return true;
  }

  const element = h(
    "div.columns",
    h("div.stack", h("p.meta", t("replay.lead")), field(t("replay.text"), text, routes.length > 1 ? t("replay.text_several") : t("replay.text_how")),
      field(t("replay.files"), files), h("div.row.bottom", field(t("replay.since"), since), start), trouble),
    h("div.stack", result),
  );
  update(query);
  return { element, update, stop: () => ((state.over = true), clearTimeout(state.timer)) };
}

/** Return the text of the files in use, one if there is one. */
async function current() {
  const { items } = await get("/routes/history", { limit: 1 });
  const found = items.length ? await get(`/routes/history/${items[0].hash}`) : { files: {} };
  const files = Object.entries(found.files).filter(([, text]) => /^\s*(?:routes|default|tests)\s*:/m.test(text));
  return files.length === 1 ? files[0][1] : "";
}

function progress(one, names) {
  const tone = { running: "info", done: "good", failed: "bad", lost: "bad" }[one.state];
  return h(
    "div.stack",
    h("div.row.tight", chip(t(`replay.${one.state}`), tone), h("span.meta", t("replay.messages", { n: number(one.messages) }))),
    one.state === "running" && meter(one.share, t("replay.share", { share: Math.round(one.share * 100) })),
    one.error && h("p.trouble", one.error),
    one.report && tally(one.report, names),
  );
}
