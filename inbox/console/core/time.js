// Moments and spans as people say them. Times of the API are UTC; people see their own zone.

import { language, t } from "./words.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const made = new Map();

function formatter(name, options) {
  const key = `${language()} ${name}`;
  if (!made.has(key)) made.set(key, new Intl.DateTimeFormat(language(), options));
  return made.get(key);
}

const startOfDay = (when) => new Date(when.getFullYear(), when.getMonth(), when.getDate()).getTime();

/** Return 09:30. */
export const clock = (text) =>
  formatter("clock", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(new Date(text));

/** Return the day: today, yesterday, Monday, 21 November. */
export function day(text, now = Date.now()) {
  const when = new Date(text);
  const days = Math.round((startOfDay(new Date(now)) - startOfDay(when)) / DAY);
  if (days === 0) return t("time.today");
  if (days === 1) return t("time.yesterday");
  if (days === -1) return t("time.tomorrow");
  if (days > 1 && days < 7) return formatter("weekday", { weekday: "long" }).format(when);
  if (when.getFullYear() === new Date(now).getFullYear()) {
    return formatter("date", { month: "long", day: "numeric" }).format(when);
  }
  return formatter("year", { year: "numeric", month: "long", day: "numeric" }).format(when);
}

/** Return a moment in as little room as possible: 09:30 today, else a day. */
export function brief(text, now = Date.now()) {
  const when = new Date(text);
  const days = Math.round((startOfDay(new Date(now)) - startOfDay(when)) / DAY);
  if (days === 0) return clock(text);
  if (days === 1) return t("time.yesterday");
  if (days > 1 && days < 7) return formatter("short-weekday", { weekday: "short" }).format(when);
  return formatter("short-date", { month: "numeric", day: "numeric" }).format(when);
}

/** Return a moment in full. */
export const full = (text) =>
  formatter("full", {
    year: "numeric", month: "long", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  }).format(new Date(text));

/** Return a day with its time: tomorrow 09:30. */
export const moment = (text, now) => `${day(text, now)} ${clock(text)}`;

/** Return how long that is: 45 s, 12 min, 3 h 20 min, 2 d. */
export function span(milliseconds) {
  const left = Math.abs(milliseconds);
  if (left < MINUTE) return t("span.seconds", { n: Math.round(left / 1000) });
  if (left < HOUR) return t("span.minutes", { n: Math.floor(left / MINUTE) });
  if (left < DAY) {
    const minutes = Math.floor((left % HOUR) / MINUTE);
    return t(minutes ? "span.hours_minutes" : "span.hours", { n: Math.floor(left / HOUR), m: minutes });
  }
  return t("span.days", { n: Math.floor(left / DAY) });
}

/** Return a size of a file. */
export function size(count) {
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${Math.round(count / 1024)} KB`;
  return `${(count / 1024 / 1024).toFixed(1)} MB`;
}

/** Return a number with its separators. */
export const number = (value) => new Intl.NumberFormat(language()).format(value);

/** Return a <time> that says *show(text)* and, pointed at, the moment in full. */
export function timeElement(text, show = brief) {
  const element = document.createElement("time");
  element.dateTime = text;
  element.title = full(text);
  element.textContent = show(text);
  return element;
}
