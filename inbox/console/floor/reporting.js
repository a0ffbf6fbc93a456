// The choices of a report (period, team, …), the report itself, and its files. The address keeps the choices.

import { call, get, path } from "../core/api.js";
import { field } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { fault } from "../core/notices.js";
import { go } from "../core/router.js";
import { language, t } from "../core/words.js";
import { download } from "./download.js";
import { doing, redraw } from "./page.js";
import { report } from "./report.js";

const PERIODS = ["7d", "28d", "91d", "365d"];
const USUAL = "28d";

/**
 * Build a report of the API's path *where*. *place* is the view that keeps the choices in its address (path, query);
 * *files* are {form, label, where, query} that may be downloaded; *name* begins their names.
 */
export async function reporting(where, place, files, name) {
  const [teams, agents, channels] = await Promise.all([get("/teams"), get("/agents"), get("/channels")]);
  const result = h("div", { "aria-live": "polite", "aria-busy": "true" });
  const choice = (key, all, items) => {
    const select = h("select", { name: key }, h("option", { value: "" }, all), items.map(([id, text]) => h("option", { value: id }, text)));
    return select;
  };
  const inputs = {
    since: h("select", { name: "since" }, PERIODS.map((one) => h("option", { value: one }, t(`period.${one}`))), h("option", { value: "own" }, t("period.own"))),
    first: h("input", { type: "date", name: "first" }),
    last: h("input", { type: "date", name: "last" }),
    team: choice("team", t("filter.all_teams"), teams.items.map((one) => [one.id, one.name])),
    agent: choice("agent", t("filter.all_agents"), agents.items.map((one) => [one.id, one.name])),
    channel: choice("channel", t("filter.all_channels"), channels.items.map((one) => [one.id, one.id])),
    tag: h("input", { name: "tag", maxlength: 60, placeholder: t("filter.any_tag") }),
  };
  const own = h("div.row.bottom", field(t("period.first"), inputs.first), field(t("period.last"), inputs.last));
  const state = { turn: 0, asked: "" };

  const chosen = () => ({
    period: inputs.since.value === "own" ? "" : inputs.since.value,
    first: inputs.since.value === "own" ? inputs.first.value : "",
    last: inputs.since.value === "own" ? inputs.last.value : "",
    ...Object.fromEntries(["team", "agent", "channel", "tag"].map((key) => [key, inputs[key].value.trim()])),
  });
  const asked = (query) => ({
    since: query.first || query.period || USUAL, until: query.last,
    team: query.team, agent: query.agent, channel: query.channel, tag: query.tag, language: language().slice(0, 2),
  });

  function take(query) {
    inputs.since.value = query.first ? "own" : PERIODS.includes(query.period) ? query.period : USUAL;
    for (const key of ["first", "last", "team", "agent", "channel", "tag"]) inputs[key].value = query[key] ?? "";
    own.hidden = inputs.since.value !== "own";
  }

  async function show(query) {
    const wanted = asked(query);
    const text = JSON.stringify(wanted);
    if (text === state.asked) return;
    state.asked = text;
    const turn = (state.turn += 1);
    result.setAttribute("aria-busy", "true");
    const slow = setTimeout(() => fill(result, h("div.waiting", h("div.spinner"))), 300);
    try {
      const made = await call("GET", path(where, wanted));
      if (turn === state.turn) redraw(result, report(made));
    } catch (failure) {
      if (turn !== state.turn) return;
      fill(result, h("p.trouble", { role: "alert" }, failure.words ?? t("fault.console")));
      if (failure.words === undefined) throw failure;
    } finally {
      clearTimeout(slow);
      if (turn === state.turn) result.setAttribute("aria-busy", "false");
    }
  }

  const form = h("form.filters", field(t("period.title"), inputs.since), own, ...["team", "agent", "channel", "tag"].map((key) => field(t(`filter.${key}`), inputs[key])));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    own.hidden = inputs.since.value !== "own";
    if (inputs.since.value === "own" && !inputs.first.value) return;
    go(place.path, { ...place.query, ...chosen() });
  });
  const keep = files.map(({ form: format, label, at = where, query = {} }) =>
    doing(label, () => download(at, { ...asked(chosen()), ...query, format }, `${name}.${suffix(format)}`), fault, { kind: "small", name: "download" }));
  const element = h("div.stack", form, h("div.row", keep), result);
  take(place.query);
  await show(place.query);
  return { element, update: (query) => (take(query), show(query).catch(fault)) };
}

const suffix = (format) => ({ codebook: "codebook.json", "codebook-md": "codebook.md" })[format] ?? format;
