// Charts of reports as SVG: text stays text, colours are the page's, each says in words what it shows.

import { h, svg } from "../core/dom.js";
import { t } from "../core/words.js";
import { named, seriesName } from "./report_words.js";
import { shown } from "./values.js";

const WIDTH = 420;
const LEFT = 52;
const RIGHT = 10;
const TOP = 12;
const PLOT = 160;
const BOTTOM = 26;
const ROW = 40;
const TICKS = 4;
const STEPS_OF_TIME = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
let count = 0;

/** Return a chart of a report with its title and legend. */
export function chart(one) {
  const id = `chart-${(count += 1)}`;
  const draw = { line, column, bar: bars, stack }[one.kind];
  const { height, parts } = draw(one);
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-labelledby": `${id}-title ${id}-text`, class: `chart ${one.kind}` },
    svg("title", { id: `${id}-title` }, named(one.key)),
    svg("desc", { id: `${id}-text` }, described(one)),
    parts,
  );
  const legend = one.series.length > 1 && h("ul.legend", one.series.map((series, number) =>
    h("li", h("span.swatch", { class: `s${number % 5}` }), seriesName(series))));
  return h("figure.card.chart-card", h("figcaption", h("h3", named(one.key)), one.about && h("p.meta", one.about)), drawing, legend);
}

/** Say in words what a chart shows. */
function described(one) {
  return one.series.map((series) =>
    `${seriesName(series)}: ${one.labels.map((label, at) => `${label || t("report.said.all")} ${shown(series.values[at], one.unit)}`).join(", ")}`).join("; ");
}

/** Return round values from below *low* to above *high*. */
export function ticks(low, high, times = false) {
  const top = high <= low ? low + 1 : high;
  const rough = (top - low) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = times
    ? (STEPS_OF_TIME.find((one) => one >= rough) ?? Math.ceil(rough / 86400) * 86400)
    : [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9) * step;
  const steps = Math.ceil((top - first) / step - 1e-9);
  return Array.from({ length: steps + 1 }, (_, place) => Number((first + place * step).toFixed(10)));
}

function axes(one, low, high) {
  const marks = ticks(low, high, one.unit === "seconds");
  const [first, last] = [marks[0], marks.at(-1)];
  const slot = (WIDTH - LEFT - RIGHT) / Math.max(1, one.labels.length);
  const x = (place) => LEFT + slot * (place + 0.5);
  const y = (value) => TOP + PLOT * (1 - (value - first) / (last - first));
  const every = Math.max(1, Math.ceil(one.labels.length / 6));
  const frame = [
    marks.map((mark) => [
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(mark), y2: y(mark) }),
      svg("text", { class: "tick", x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, trimmed(shown(mark, one.unit), one.unit)),
    ]),
    one.labels.map((label, place) => place % every === 0 && svg("text", { class: "tick", x: x(place), y: TOP + PLOT + 18, "text-anchor": "middle" }, short(label))),
  ];
  return { x, y, slot, frame, first };
}

const trimmed = (text, unit) => (unit === "count" ? text : text.replace(/\.0+(?= ?%?$)/, ""));
const short = (label) => (/^\d{4}-/.test(label) && (label.length === 8 || label.length === 10) ? label.slice(5) : label);
const known = (values) => values.filter((value) => value !== null && value !== undefined);
const hint = (label, value, unit) => svg("title", {}, `${label}: ${shown(value, unit)}`);

function line(one) {
  const values = known(one.series.flatMap((series) => [...series.values, ...(series.lows ?? []), ...(series.highs ?? [])]));
  const plane = axes(one, one.low ?? Math.min(0, ...values), one.high ?? (values.length ? Math.max(...values) : 1));
  const parts = one.series.map((series, number) => {
    const colour = `s${number % 5}`;
    return [
      runs(series.values).map((run) => [
        band(series, run, plane, colour),
        svg("polyline", { class: `path ${colour}`, points: run.map((place) => `${plane.x(place).toFixed(1)},${plane.y(series.values[place]).toFixed(1)}`).join(" ") }),
      ]),
      series.values.map((value, place) => value !== null && svg("circle", { class: `dot-mark ${colour}`, cx: plane.x(place), cy: plane.y(value), r: 3.5 }, hint(one.labels[place], value, one.unit))),
    ];
  });
  return { height: TOP + PLOT + BOTTOM, parts: [plane.frame, parts] };
}

function band(series, run, plane, colour) {
  if (!series.lows?.length || run.some((place) => series.lows[place] === null || series.highs[place] === null)) return null;
  const upper = run.map((place) => `${plane.x(place).toFixed(1)},${plane.y(series.highs[place]).toFixed(1)}`);
  const lower = [...run].reverse().map((place) => `${plane.x(place).toFixed(1)},${plane.y(series.lows[place]).toFixed(1)}`);
  return svg("polygon", { class: `band ${colour}`, points: [...upper, ...lower].join(" ") });
}

/** Return the places of values that follow each other without a gap. */
function runs(values) {
  const found = [[]];
  values.forEach((value, place) => (value === null ? found.push([]) : found.at(-1).push(place)));
  return found.filter((run) => run.length);
}

function column(one) {
  const values = known(one.series.flatMap((series) => series.values));
  const plane = axes(one, 0, Math.max(1e-9, ...values) || 1);
  const width = Math.min(28, (plane.slot * 0.72) / Math.max(1, one.series.length));
  const parts = one.series.map((series, number) => series.values.map((value, place) => {
    if (value === null || value <= 0) return null;
    const left = plane.x(place) + (number - one.series.length / 2) * width;
    return svg("rect", { class: `fill s${number % 5}`, x: left, y: plane.y(value), width: Math.max(1, width - 1), height: plane.y(plane.first) - plane.y(value), rx: 1.5 },
      hint(`${one.labels[place]} ${seriesName(series)}`, value, one.unit));
  }));
  return { height: TOP + PLOT + BOTTOM, parts: [plane.frame, parts] };
}

function bars(one) {
  const series = one.series[0];
  const all = known([...series.values, ...(series.lows ?? []), ...(series.highs ?? [])]);
  const marks = ticks(one.low ?? Math.min(0, ...all), one.high ?? Math.max(1e-9, ...all), one.unit === "seconds");
  const [first, last] = [marks[0], marks.at(-1)];
  const x = (value) => 10 + ((WIDTH - 20) * (value - first)) / (last - first);
  const parts = one.labels.map((label, place) => {
    const top = place * ROW + 6;
    const value = series.values[place];
    const low = series.lows?.[place];
    const high = series.highs?.[place];
    const start = x(Math.max(first, Math.min(0, last)));
    return [
      svg("text", { class: "name", x: 10, y: top + 12 }, cut(label || t("report.said.nobody"))),
      svg("text", { class: "value", x: WIDTH - 10, y: top + 12, "text-anchor": "end" }, shown(value, one.unit)),
      value !== null && svg("rect", { class: "fill s0", x: Math.min(start, x(value)), y: top + 18, width: Math.max(1.5, Math.abs(x(value) - start)), height: 10, rx: 2 }, hint(label, value, one.unit)),
      low !== null && low !== undefined && high !== null && svg("line", { class: "interval", x1: x(low), x2: x(high), y1: top + 23, y2: top + 23 }),
    ];
  });
  return { height: one.labels.length * ROW + 8, parts };
}

function stack(one) {
  const parts = one.labels.map((label, place) => {
    const top = place * ROW + 6;
    let left = 10;
    const pieces = one.series.map((series, number) => {
      const value = series.values[place] ?? 0;
      const width = (WIDTH - 20) * value;
      const piece = width > 0 && svg("rect", { class: `fill s${number % 5}`, x: left, y: top + 18, width: Math.max(0.5, width - 1), height: 14 }, hint(`${label} ${seriesName(series)}`, value, one.unit));
      left += width;
      return piece;
    });
    return [svg("text", { class: "name", x: 10, y: top + 12 }, cut(label || t("report.said.all"))), pieces];
  });
  return { height: one.labels.length * ROW + 8, parts };
}

const cut = (text) => ([...text].length > 34 ? `${[...text].slice(0, 33).join("")}…` : text);
