// Words of the console in Chinese and English. Each bundle (core, desk, floor …) is one file per language in words/.

export const LOCALES = ["zh-CN", "en"];
const loaded = new Map();
let locale = "zh-CN";
let table = {};

/** Return the language that is shown. */
export const language = () => locale;

/** Return the language of the console that suits a browser or a hub best. */
export function nearest(name) {
  return String(name || navigator.language || "").toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}

/** Show another language from now on; bundles that are loaded are loaded in it, too. */
export async function speak(name) {
  locale = LOCALES.includes(name) ? name : nearest(name);
  document.documentElement.lang = locale;
  const bundles = [...loaded.keys()];
  loaded.clear();
  table = {};
  await load(...bundles);
}

/** Load bundles of words, once. */
export async function load(...bundles) {
  await Promise.all(bundles.map((name) => loaded.get(name) ?? remember(name)));
}

function remember(name) {
  const wanted = locale;
  const coming = fetch(new URL(`../words/${name}.${wanted}.json`, import.meta.url))
    .then((answer) => {
      if (!answer.ok) throw new Error(`no words: ${name}.${wanted}`);
      return answer.json();
    })
    .then((words) => {
      if (wanted === locale) Object.assign(table, words);
    });
  coming.catch(() => loaded.delete(name));
  loaded.set(name, coming);
  return coming;
}

/**
 * Return words by their key, with values put in: {name} is replaced, {n|one|many} is chosen by the number n.
 *
 * A key that there is not shows as itself.
 */
export function t(key, values = {}) {
  const text = table[key];
  if (text === undefined) return key;
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (whole, name, one, many) => {
    if (one !== undefined) return Number(values[name]) === 1 ? one : many;
    return values[name] === undefined || values[name] === null ? "" : String(values[name]);
  });
}

/** Tell whether there are words of this key. */
export const known = (key) => Object.hasOwn(table, key);

/** Return words of one of many codes ("state." + "sent"), or the code itself if it is new to the console. */
export const said = (prefix, code) => (known(prefix + code) ? t(prefix + code) : String(code ?? ""));

const collators = new Map();

/** Compare names as people sort them. */
export function compare(one, other) {
  if (!collators.has(locale)) collators.set(locale, new Intl.Collator(locale, { numeric: true }));
  return collators.get(locale).compare(one, other);
}
