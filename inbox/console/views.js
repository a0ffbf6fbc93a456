// The views of the console: the one table that the frame and the router read.
//
// A view is a module that exports
//
//   export async function view(ctx) -> {element, stop(), update(ctx)?, title?}
//
// ctx     {params, query, session, path}: parts of the path (":id"), parameters behind "?", GET /session, the path
// element stands in the page until stop() is called; stop() ends every listener, timer and request of the view
// update  optional: is called instead of a new view when only params or query have changed (same entry of the table)
//
// An entry is
//
//   path   "/floor" or "/admin/routes/:id", or a list of such; #/floor in the address
//   title  key of the words that name it (window title, rail)
//   role   least role: others do not see it
//   words  bundles of words that it needs (words/<bundle>.zh-CN.json and .en.json, with equal keys), loaded before view()
//   styles sheets below style/ that it needs
//   nav    {icon, group}: stands in the rail; entries without it are reached by links. `section` marks which rail entry
//          is shown as current while one is in it
//   load   () => import("./views/….js")
//
// What views build on: core/dom.js (h, fill, svg; text only, no markup ever), core/api.js (get, read, post, put, remove,
// all, Failure), core/live.js (on), core/words.js (t, said), core/time.js, core/dialogs.js (dialog, confirm, form,
// field, menu), core/notices.js (say, fault), core/keys.js, core/router.js (go, link), core/session.js (may), core/icons.js.
// Styles: tokens and parts only (style/tokens.css, style/parts.css); no colours of one's own. No style attributes, which
// the policy of the page refuses: h("div", {style: {"--share": 0.4}}) sets properties.

import { FLOOR } from "./floor/views.js";

export const VIEWS = [
  {
    path: ["/conversations", "/conversations/:id"],
    section: "/conversations",
    title: "nav.conversations",
    role: "readonly",
    words: ["desk"],
    styles: ["desk.css"],
    nav: { icon: "inbox" },
    load: () => import("./views/conversations.js"),
  },
  {
    path: "/drafts",
    title: "nav.drafts",
    role: "readonly",
    words: ["desk"],
    styles: ["desk.css"],
    nav: { icon: "note" },
    load: () => import("./views/drafts.js"),
  },
  {
    path: "/contacts/:id",
    section: "/conversations",
    title: "nav.contact",
    role: "readonly",
    words: ["desk", "failures"],
    styles: ["desk.css"],
    load: () => import("./views/contact.js"),
  },
  {
    path: "/account",
    title: "nav.account",
    role: "readonly",
    words: ["account"],
    load: () => import("./views/account.js"),
  },
  ...FLOOR,
];

/** Where one lands. */
export const HOME = "/conversations";
