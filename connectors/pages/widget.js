// A chat button for a shop's site. One tag:
//   <script src="https://hub.example.com/chat/site-chat/widget.js" async data-lang="zh-CN"></script>
// Everything lives in a shadow tree and one frozen name, window.Huiliu.
(() => {
  "use strict";
  const script = document.currentScript;
  if (!script || window.Huiliu) return;
  const config = "%CONFIG%";
  const hub = new URL(script.src);
  const given = script.dataset;
  const color = /^#[0-9a-f]{6}$/i.test(given.color ?? "") ? given.color : config.color;
  const ink = color === config.color ? config.ink : "#ffffff";
  const wanted = (given.lang || document.documentElement.lang || navigator.language || "").slice(0, 2).toLowerCase();
  const lang = Object.keys(config.title).find((one) => one.slice(0, 2) === wanted) ?? Object.keys(config.title)[0];
  const title = given.title || config.title[lang];
  const side = given.side === "left" ? "left" : "right";
  const page = new URL(hub.pathname.replace(/\/widget\.js$/, ""), hub);
  page.searchParams.set("lang", lang);
  page.hash = `parent=${encodeURIComponent(location.origin)}`;
  const memory = `huiliu:${config.channel}`;
  let user = given.user ?? "";
  let frame = null;
  let ready = false;
  let open = false;

  const style = `
    :host { all: initial; }
    .button { position: fixed; ${side}: 20px; bottom: calc(20px + env(safe-area-inset-bottom, 0px)); z-index: 2147483000;
      width: 56px; height: 56px; padding: 0; border: 0; border-radius: 50%; cursor: pointer;
      background: ${color}; color: ${ink}; box-shadow: 0 4px 16px rgb(0 0 0 / 18%);
      display: grid; place-items: center; transition: transform .15s ease; -webkit-tap-highlight-color: transparent; }
    .button:hover { transform: translateY(-2px); }
    .button:focus-visible { outline: 3px solid ${color}; outline-offset: 3px; }
    .button svg { width: 26px; height: 26px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
    .badge { position: absolute; top: -2px; ${side === "left" ? "left" : "right"}: -2px; min-width: 20px; height: 20px; padding: 0 5px;
      box-sizing: border-box; border-radius: 10px; background: #c62f2f; color: #fff; font: 600 12px/20px system-ui, sans-serif; text-align: center; }
    .badge[hidden] { display: none; }
    .panel { position: fixed; ${side}: 20px; bottom: calc(88px + env(safe-area-inset-bottom, 0px)); z-index: 2147483001;
      width: min(384px, calc(100vw - 40px)); height: min(620px, calc(100vh - 112px)); border: 0; border-radius: 16px;
      background: #f6f6f3; box-shadow: 0 12px 40px rgb(0 0 0 / 20%); color-scheme: light dark; }
    .panel.closed { display: none; }
    @media (max-width: 480px) {
      .panel { inset: 0; width: 100%; height: 100%; height: 100dvh; border-radius: 0; }
    }
    @media (prefers-color-scheme: dark) { .panel { background: #141615; } }
    @media (prefers-reduced-motion: reduce) { .button { transition: none; } .button:hover { transform: none; } }
    @media print { .button, .panel { display: none; } }`;

  const host = document.createElement("huiliu-chat");
  const tree = host.attachShadow({ mode: "open" });
  try {
    const sheet = new CSSStyleSheet(); // needs no style-src of the shop's policy
    sheet.replaceSync(style);
    tree.adoptedStyleSheets = [sheet];
  } catch {
    const sheet = document.createElement("style");
    sheet.textContent = style;
    tree.append(sheet);
  }

  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.setAttribute("aria-haspopup", "dialog");
  const shapes = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(shapes, "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(shapes, "path");
  picture.append(line);
  const badge = document.createElement("span");
  badge.className = "badge";
  badge.hidden = true;
  button.append(picture, badge);
  tree.append(button);

  function draw() {
    line.setAttribute("d", open ? "M7 10l5 5 5-5" : "M4 12.2C4 8.2 7.6 5 12 5s8 3.2 8 7.2-3.6 7.1-8 7.1c-1 0-2-.2-2.9-.5L5 20l1-3.2a6.8 6.8 0 0 1-2-4.6Z");
    button.setAttribute("aria-expanded", String(open));
    const count = badge.hidden ? "" : ` (${badge.textContent})`;
    button.setAttribute("aria-label", title + count);
    button.title = title;
  }

  function tell(message) {
    if (!ready) return; // it is told everything once it has said so
    frame.contentWindow.postMessage({ huiliu: config.channel, ...message }, hub.origin);
  }

  function load() {
    if (frame) return;
    frame = document.createElement("iframe");
    frame.className = "panel closed";
    frame.title = title;
    frame.src = page.href;
    frame.referrerPolicy = "no-referrer";
    tree.append(frame);
  }

  function remember() {
    try {
      localStorage.setItem(memory, "1");
    } catch {
      return; // without storage the badge does not come back on the next page
    }
  }

  function returning() {
    try {
      return localStorage.getItem(memory) === "1";
    } catch {
      return false;
    }
  }

  function show(wish = !open) {
    if (wish === open) return;
    open = wish;
    if (open) {
      load();
      remember();
      badge.hidden = true;
    }
    frame?.classList.toggle("closed", !open);
    tell({ shown: open });
    if (!open) button.focus({ preventScroll: true });
    draw();
  }

  addEventListener("message", (event) => {
    if (!frame || event.source !== frame.contentWindow || event.origin !== hub.origin) return;
    const message = event.data;
    if (message?.huiliu !== config.channel) return;
    if (message.ready) {
      ready = true;
      tell({ user, shown: open });
    }
    if (message.close) show(false);
    if (Number.isInteger(message.unread)) {
      badge.hidden = open || message.unread < 1;
      badge.textContent = message.unread > 99 ? "99+" : String(message.unread);
      draw();
    }
  });
  button.addEventListener("click", () => show());

  window.Huiliu = Object.freeze({
    open: () => show(true),
    close: () => show(false),
    /** Name the shop's customer by a JSON Web Token that the shop's server has signed. */
    identify(token) {
      user = String(token);
      tell({ user });
    },
  });

  draw();
  const begin = () => {
    document.body.append(host);
    if (returning()) load();
  };
  if (document.body) begin();
  else addEventListener("DOMContentLoaded", begin);
})();
