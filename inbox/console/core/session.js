// Who is at the console.

import * as api from "./api.js";

const ROLES = ["readonly", "agent", "supervisor", "admin"];
let current = null;

/** Return the session as GET /session tells it, null when nobody has signed in. */
export const session = () => current;

/** Take over a session that the hub told. */
export function enter(one) {
  current = one;
  api.keepToken(one?.csrf);
  return one;
}

/** Ask the hub who is here; null when nobody is. Throws `Failure` when the hub cannot say. */
export async function who() {
  try {
    return enter(await api.get("/session", {}, { quiet: true }));
  } catch (failure) {
    if (failure.status === 401) return enter(null);
    throw failure;
  }
}

/** Tell whether whoever is here may do what needs *role*. */
export const may = (role) => ROLES.indexOf(current?.role) >= ROLES.indexOf(role);
