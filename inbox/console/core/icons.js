// Icons, drawn for this console: strokes on a grid of 20, in the colour of the text beside them.

import { svg } from "./dom.js";

const DRAWN = {
  inbox: "M3 11.5h4l1.2 2h3.6l1.2-2h4M4.6 4.5h10.8l1.6 7v4H3v-4z",
  team: "M7.5 9.5a2.75 2.75 0 1 0 0-5.5 2.75 2.75 0 0 0 0 5.5zM2.5 16c.3-2.7 2.3-4.2 5-4.2s4.7 1.5 5 4.2M13 4.3a2.5 2.5 0 0 1 0 4.9M14.6 12c1.7.5 2.7 1.9 2.9 4",
  board: "M3 16.5h14M5 13.5V9M10 13.5V4.5M15 13.5V7",
  gear: "M10 12.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2zM10 3v2M10 15v2M3 10h2M15 10h2M5 5l1.5 1.5M13.5 13.5 15 15M15 5l-1.5 1.5M6.5 13.5 5 15",
  person: "M10 10a3.2 3.2 0 1 0 0-6.4A3.2 3.2 0 0 0 10 10zM3.8 16.8c.5-3 3-4.6 6.2-4.6s5.7 1.6 6.2 4.6",
  search: "M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM13.2 13.2 17 17",
  send: "M3.5 10 17 3.8l-4 12.7-3.4-5.2zM9.6 11.3 17 3.8",
  note: "M4.5 3.5h11v8.5l-4.5 4.5H4.5zM11 16.5V12h4.5M7.5 7h5M7.5 9.8h3",
  clip: "M14.5 9.2 9.3 14.4a3 3 0 0 1-4.3-4.3l6-6a2.1 2.1 0 0 1 3 3l-5.8 5.8a1 1 0 0 1-1.5-1.5l5-5",
  clock: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 6v4.2l2.8 1.7",
  snooze: "M6 4.5h8l-8 11h8",
  check: "m4 10.5 4 4 8-9",
  checks: "m2 10.5 3.5 4 7-9M9 13.5l1 1 7-9",
  undo: "M7.5 5 4 8.5 7.5 12M4.5 8.5h7a4 4 0 0 1 0 8H9",
  tag: "M3.5 9.5v-6h6l7 7-6 6zM7 7h.01",
  merge: "M5 3.5v3c0 3.5 5 3 5 7v3M15 3.5v3c0 3.5-5 3-5 7",
  split: "M5 16.5v-3c0-3.5 5-3 5-7v-3M15 16.5v-3c0-3.5-5-3-5-7",
  more: "M4.2 10a.8.8 0 1 0 1.6 0 .8.8 0 0 0-1.6 0M9.2 10a.8.8 0 1 0 1.6 0 .8.8 0 0 0-1.6 0M14.2 10a.8.8 0 1 0 1.6 0 .8.8 0 0 0-1.6 0",
  pencil: "M4 13.2V16h2.8l8.7-8.7-2.8-2.8zM11.2 6l2.8 2.8",
  filter: "M3.5 5h13l-5 6v4.5l-3-1.5v-3z",
  close: "m5 5 10 10M15 5 5 15",
  back: "M12 4.5 6.5 10l5.5 5.5",
  next: "m8 4.5 5.5 5.5L8 15.5",
  down: "m5 7.5 5 5 5-5",
  plus: "M10 4v12M4 10h12",
  alert: "M10 3.5 17.5 16.5h-15zM10 8.5v3.5M10 14.4h.01",
  info: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 9v4.5M10 6.6h.01",
  bell: "M5.5 13.5V9a4.5 4.5 0 0 1 9 0v4.5l1.5 1.5H4zM8.5 17h3",
  sun: "M10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM10 2.5v1.5M10 16v1.5M2.5 10H4M16 10h1.5M4.7 4.7l1 1M14.3 14.3l1 1M15.3 4.7l-1 1M5.7 14.3l-1 1",
  moon: "M16.5 11.5A7 7 0 0 1 8.5 3.5a7 7 0 1 0 8 8z",
  keys: "M2.5 5.5h15v9h-15zM5.5 8.5h.01M8.5 8.5h.01M11.5 8.5h.01M14.5 8.5h.01M6.5 11.5h7",
  out: "M12 6V3.5H4v13h8V14M8 10h9M14.2 7.2 17 10l-2.8 2.8",
  route: "M5 16.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM15 7.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM7 14.5h5.5a3 3 0 0 0 0-6h-5a3 3 0 0 1 0-3H13",
  retry: "M15.5 8A6 6 0 1 0 16 11.5M16 4v4h-4",
  file: "M5 2.5h6.5L15.5 6.5v11H5zM11.5 2.5v4h4",
  download: "M10 3.5v9M6.5 9l3.5 3.5L13.5 9M4 16.5h12",
  star: "m10 3 2.1 4.5 4.9.6-3.6 3.4.9 4.9-4.3-2.4-4.3 2.4.9-4.9L3 8.1l4.9-.6z",
  order: "M4 6.5h12l-1 10H5zM7 6.5a3 3 0 0 1 6 0",
  link: "M8.5 11.5a3 3 0 0 0 4.3 0l2.7-2.7a3 3 0 0 0-4.3-4.3l-1 1M11.5 8.5a3 3 0 0 0-4.3 0l-2.7 2.7a3 3 0 0 0 4.3 4.3l1-1",
  wechat: "M8 4.5c3 0 5.5 2 5.5 4.5S11 13.5 8 13.5c-.6 0-1.2-.1-1.7-.2L4 14.5l.5-2.2C3.3 11.5 2.5 10.3 2.5 9 2.5 6.5 5 4.5 8 4.5zM13.5 9.2c2.2.2 4 1.7 4 3.5 0 1-.6 1.9-1.4 2.5l.3 1.6-1.7-.8c-2.2.4-4.2-.5-5-1.9",
  mail: "M3 5.5h14v9.5H3zM3.5 6l6.5 5 6.5-5",
  sms: "M3.5 4.5h13v9h-7l-3.5 3v-3h-2.5zM7 9h.01M10 9h.01M13 9h.01",
  webchat: "M3.5 5h13v9H11l-3.5 3v-3h-4z",
  phone: "M6 3.5 8 7.5 6.5 9c.9 2 2.5 3.6 4.5 4.5l1.5-1.5 4 2v2.5c-7 .7-13.2-5.5-13-13z",
  shop: "M4 9v7.5h12V9M3 9l1.5-5.5h11L17 9c-1 1.3-3 1.3-3.5 0-.7 1.3-2.8 1.3-3.5 0-.7 1.3-2.8 1.3-3.5 0C6 10.3 4 10.3 3 9z",
  video: "M12 3.5v9a3 3 0 1 1-2.5-3M12 3.5c.3 2 1.7 3.3 3.5 3.5",
  plug: "M7 3v4M13 3v4M5 7h10v3a5 5 0 0 1-10 0zM10 15v2.5",
};

/** Return an icon, hidden from those who hear the page: words beside it, or a label, tell what it is. */
export function icon(name, size = 20) {
  return svg(
    "svg",
    { viewBox: "0 0 20 20", width: size, height: size, class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: DRAWN[name] ?? DRAWN.info }),
  );
}

const KINDS = {
  wechat: "wechat", "wecom-app": "team", "wecom-robot": "team", wecom: "team", mail: "mail", email: "mail", mailto: "mail", sms: "sms",
  "twilio-sms": "sms", "aliyun-sms": "sms", tel: "sms", whatsapp: "phone", webchat: "webchat", visitor: "webchat", webhook: "plug", "tiktok-shop": "shop", marketplace: "shop",
};

/** Return the mark of a kind of channel, with its name for those who hear the page. */
export function channelMark(kind, label, size = 16) {
  const mark = document.createElement("span");
  mark.className = "channel-mark";
  mark.dataset.kind = KINDS[kind] ?? "plug";
  mark.title = label || kind;
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", label || kind);
  mark.append(icon(KINDS[kind] ?? "plug", size));
  return mark;
}
