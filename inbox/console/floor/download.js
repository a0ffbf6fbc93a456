// Files that the hub makes: fetched with the session, kept by the browser, never opened in the console's own page.

import { call, path } from "../core/api.js";
import { h } from "../core/dom.js";

/** Fetch a file and let the browser keep it under *name*. Throws `Failure`. */
export async function download(where, query, name) {
  const given = await call("GET", path(where, query));
  const blob = given instanceof Blob ? given : new Blob([JSON.stringify(given, null, 2)], { type: "application/json" });
  const url = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
