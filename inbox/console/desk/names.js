// What teams, agents and channels are called, read once and anew when the configuration may have changed.

import { get } from "../core/api.js";
import { compare, known, t } from "../core/words.js";

let coming = null;
const tables = { teams: new Map(), agents: new Map(), channels: new Map() };

/** Read the names, once; *anew* reads them again. Throws `Failure`. */
export function names(anew = false) {
  if (!coming || anew) {
    coming = Promise.all(
      Object.keys(tables).map(async (what) => {
        const { items } = await get(`/${what}`);
        tables[what] = new Map(items.map((one) => [one.id, one]));
      }),
    );
    coming.catch(() => (coming = null));
  }
  return coming;
}

const called = (what) => (id) => tables[what].get(id)?.name || id || "";

/** Return what a team is called. */
export const team = called("teams");

/** Return what an agent is called. */
export const agent = called("agents");

/** Return a channel as the API shows it, undefined if it has left the configuration. */
export const channel = (id) => tables.channels.get(id);

/** Return all teams, agents or channels, by name. */
export const all = (what) => [...tables[what].values()].sort((one, other) => compare(one.name || one.id, other.name || other.id));

/** Return what a kind of channel is called. */
export const kind = (name) => (known(`kind.${name}`) ? t(`kind.${name}`) : name);

/** Return why something could not be sent; in the language of the console if it is one of the sentences that it knows. */
export function failure(text) {
  const sentence = String(text ?? "").replace(/ \((?:errcode|code) [^)]*\)$/, "");
  return known(`failure.${sentence}`) ? t(`failure.${sentence}`) : text;
}

const SCHEME = /^[a-z][a-z0-9+.-]*:/i;

/** Return an address without what only programs need: "mailto:a@b.c" is a@b.c. */
export const address = (text) => String(text ?? "").replace(SCHEME, "");

/** Return what the way is called that an address is reached by. */
export const scheme = (text) => (known(`scheme.${text.split(":")[0]}`) ? t(`scheme.${text.split(":")[0]}`) : text.split(":")[0]);

/** Return what a customer is called: by name, else by address; a visitor of a page by the end of a long id. */
export function customer(contact) {
  const first = contact?.addresses?.[0] ?? "";
  if (contact?.name) return contact.name;
  if (first.startsWith("visitor:")) return t("customer.visitor", { id: first.slice(-4) });
  return address(first) || t("customer.unknown");
}

/** Return what stands in the circle beside a name: its first letter, of a number the last two digits. */
export function initial(name) {
  const digits = /^\+?[\d\s-]{5,}$/.test(name) ? name.replace(/\D/g, "").slice(-2) : "";
  return digits || ([...name][0]?.toUpperCase() ?? "?");
}

/** Return what stands for the author of a message. */
export function author(one, conversation) {
  if (one.kind === "contact") return one.name || customer(conversation?.contact);
  if (one.kind === "hub") return t("author.hub");
  return one.name || (one.id ? agent(one.id) : t("author.platform"));
}
