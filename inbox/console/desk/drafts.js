// Answers that are being written, kept on this browser until they are sent: one per person and conversation.

import { session } from "../core/session.js";

const AGE = 30 * 24 * 3_600_000;
const prefix = () => `huiliu.draft.${session()?.id}.`;

/** Return {text, note, files, template, key, at} of a conversation; null if nothing was begun. */
export function load(conversation) {
  try {
    return JSON.parse(localStorage.getItem(prefix() + conversation));
  } catch {
    return null;
  }
}

/** Keep what was written so far; nothing written forgets it. */
export function keep(conversation, draft) {
  try {
    if (draft.text.trim() || draft.files?.length || draft.template) {
      localStorage.setItem(prefix() + conversation, JSON.stringify({ ...draft, at: Date.now() }));
    } else forget(conversation);
  } catch {
    // Storage is full or forbidden: what was written is still in the page.
  }
}

/** Forget what was written. */
export function forget(conversation) {
  try {
    localStorage.removeItem(prefix() + conversation);
  } catch {
    // There was none.
  }
}

/** Return how a draft begins, "" if there is none. */
export const draftOf = (conversation) => load(conversation)?.text?.trim().slice(0, 120) ?? "";

/** Forget drafts that nobody has touched for a month. */
export function tidy(now = Date.now()) {
  try {
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith("huiliu.draft.") && now - (JSON.parse(localStorage.getItem(name))?.at ?? 0) > AGE) localStorage.removeItem(name);
    }
  } catch {
    // Storage may be forbidden.
  }
}
