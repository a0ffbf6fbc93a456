// How values of reports are written: shares, points, durations, counts. The same rules as inbox/report_values.py.

import { language, t } from "../core/words.js";

const NOTHING = "–";
const DIGITS = { share: 1, points: 1, mean: 2 };

const zero = (value, digits) => (Math.abs(value) < 0.5 / 10 ** digits ? 0 : value);
const signed = (value, digits) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}`;
const counted = (value) => new Intl.NumberFormat(language(), { maximumFractionDigits: 0 }).format(value);

/** Write one value of a unit. */
export function shown(value, unit) {
  if (value === null || value === undefined || value === "") return NOTHING;
  if (typeof value === "string") return value;
  if (unit === "share") return `${zero(value * 100, 1).toFixed(1)} %`;
  if (unit === "points") return signed(zero(value * 100, 1), 1);
  if (unit === "mean") return value.toFixed(2);
  if (unit === "seconds") return lasting(value);
  return counted(value);
}

/** Write a difference with its sign; that of shares is in percentage points. */
export function differing(value, unit) {
  if (unit === "share") return t("value.points", { n: signed(zero(value * 100, 1), 1) });
  if (unit === "points") return signed(zero(value * 100, 1), 1);
  if (unit === "mean") return signed(zero(value, 2), 2);
  if (unit === "seconds") return `${value > 0 ? "+" : value < 0 ? "−" : "±"}${lasting(Math.abs(value))}`;
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${counted(Math.abs(value))}`;
}

/** Write how far chance may reach: ± where both sides are nearly even, else the ends; "" if that is not known. */
export function margin({ value, low, high }, unit) {
  if (value === null || low === null || high === null || low === undefined) return "";
  const [below, above] = [value - low, high - value];
  const half = (above + below) / 2;
  const even = Math.abs(above - below) <= 0.2 * Math.max(half, 1e-9);
  if (unit === "seconds" || unit === "count" || !even) return t("value.between", { low: shown(low, unit), high: shown(high, unit) });
  const scale = unit === "share" || unit === "points" ? 100 : 1;
  return `±${(half * scale).toFixed(DIGITS[unit] ?? 0)}${unit === "share" ? " %" : ""}`;
}

/** Write a duration by its two largest units. */
export function lasting(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return t("value.s", { n: whole });
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => whole >= size);
  const [size, name] = parts[first];
  const [next, following] = parts[first + 1];
  const rest = Math.floor((whole % size) / next);
  return [t(`value.${name}`, { n: Math.floor(whole / size) }), rest && t(`value.${following}`, { n: rest })].filter(Boolean).join(" ");
}
