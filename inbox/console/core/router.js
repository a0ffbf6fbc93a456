// The place in the console: #/path?query. Views are found in the table of views.js.

/** Return {path, query} of an address such as #/conversations/c1?view=mine. */
export function place(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  return { path: path.replace(/\/+$/, "") || "/", query: Object.fromEntries(new URLSearchParams(query)) };
}

/** Return the address of a place, for links. */
export function link(path, query = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") given.set(name, String(value));
  }
  const text = given.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

/** Go to a place; with *replace* the one before is not kept in the history. */
export function go(path, query = {}, { replace = false } = {}) {
  const address = link(path, query);
  if (address === location.hash) return;
  if (replace) {
    history.replaceState(null, "", address);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = address;
  }
}

/** Return {entry, params} of the view that a path means, null if there is none. */
export function find(views, path) {
  const given = path.split("/");
  for (const entry of views) {
    for (const pattern of [entry.path].flat()) {
      const wanted = pattern.split("/");
      if (wanted.length !== given.length) continue;
      const params = {};
      const fits = wanted.every((part, index) => {
        if (!part.startsWith(":")) return part === given[index];
        try {
          params[part.slice(1)] = decodeURIComponent(given[index]);
        } catch {
          return false;
        }
        return given[index] !== "";
      });
      if (fits) return { entry, params };
    }
  }
  return null;
}
