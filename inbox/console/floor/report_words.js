// Names of figures, groups and charts of reports; the words are those of the reports that the hub writes itself.

import { known, t } from "../core/words.js";

const colon = () => (t("value.colon"));

/** Return the name of a figure, a group or a chart; an unknown key is its own name. */
export const named = (key) => (known(`report.name.${key}`) ? t(`report.name.${key}`) : key);

/** Return what a figure is called, and what stands below it. */
export function figureName(one) {
  return known(`report.name.${one.about}`) ? [named(one.about), named(one.key)] : [named(one.key), one.about];
}

/** Return the head of a column. */
export function columnName(one) {
  const part = one.part ? ` ${t(`report.said.${one.part}`)}` : "";
  return (known(`report.name.${one.about}`) ? `${named(one.about)}${colon()}${named(one.key)}` : named(one.key)) + part;
}

/** Return what stands in a chart's legend. */
export const seriesName = (one) => (one.key.startsWith("value_") ? one.about : named(one.key));

/** Return the title of a table. */
export const tableName = (one) => (one.key === "answers" ? one.about : named(one.key));

/** Return a definition or a note as a sentence. */
export function sentence(one) {
  const key = known(`report.defined.${one.key}`) ? `report.defined.${one.key}` : `report.noted.${one.key}`;
  return known(key) ? t(key, one.values) : one.key;
}
