// The supervisor's and admin's views, for the table in ../views.js: three entries of the rail, the others behind tabs.

const entry = (path, title, role, load, more = {}) => ({ path, title, role, words: ["floor"], styles: ["floor.css"], load, ...more });
const board = { section: "/board" };
const reports = { section: "/reports", words: ["floor", "reports"] };
const manage = { section: "/routes" };

export const FLOOR = [
  entry("/board", "nav.board", "supervisor", () => import("../views/board.js"), { nav: { icon: "board", key: "b" } }),
  entry("/channels", "channels.title", "supervisor", () => import("../views/channels.js"), board),
  entry("/trouble", "trouble.title", "supervisor", () => import("../views/trouble.js"), { ...board, words: ["floor", "failures"] }),
  entry("/reports", "nav.reports", "readonly", () => import("../views/reports.js"), { ...reports, nav: { icon: "file", key: "r" } }),
  entry("/reports/scheduled", "scheduled.title", "readonly", () => import("../views/scheduled.js"), reports),
  entry("/surveys", "surveys.title", "readonly", () => import("../views/surveys.js"), reports),
  entry("/surveys/:id", "surveys.title", "readonly", () => import("../views/survey.js"), reports),
  entry("/routes", "nav.manage", "supervisor", () => import("../views/routes.js"), { nav: { icon: "gear", key: "m" } }),
  entry("/campaigns", "campaigns.title", "supervisor", () => import("../views/campaigns.js"), manage),
  entry("/campaigns/:id", "campaigns.title", "supervisor", () => import("../views/campaign.js"), manage),
  entry("/templates", "templates.title", "supervisor", () => import("../views/templates.js"), manage),
  entry("/teams", "teams.title", "supervisor", () => import("../views/teams.js"), manage),
  entry(["/webhooks", "/webhooks/:name"], "webhooks.title", "supervisor", () => import("../views/webhooks.js"), manage),
  entry("/people", "people.title", "admin", () => import("../views/people.js"), manage),
  entry("/audit", "audit.title", "admin", () => import("../views/audit.js"), manage),
];
