// Where answers and notes are written: what would become of them is known before they leave.

import { Failure, get, newKey, post } from "../core/api.js";
import { menu } from "../core/dialogs.js";
import { fill, h, settled } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { fault, say } from "../core/notices.js";
import { may, session } from "../core/session.js";
import { t } from "../core/words.js";
import { askMoment } from "./asking.js";
import { canned } from "./canned.js";
import * as drafts from "./drafts.js";
import * as names from "./names.js";
import { meter, obstacleList, outlook } from "./outlook.js";
import { uploads } from "./uploads.js";

const SENDS = "huiliu.sends";
const PREVIEW = 500;
const COMPOSING = 10_000;
const LOOK = 9000;

/**
 * Build the composer of a conversation. *seen()* is the id of the last message that is shown, *sent(message)* takes what
 * was written, *resolve()* marks the conversation as done.
 */
export function composer(conversation, { seen, sent, resolve }) {
  let shown = conversation;
  let mode = "reply";
  let key = "";
  let template = null;
  let confirmed = [];
  let stopped = false;
  let plan = null;
  let asking = null;
  let told = 0;
  let refusal = false; // what was refused is shown until something is done about it
  let open = null; // the call that was not answered: what it carried may have arrived

  const text = h("textarea.write", { rows: 2, "aria-label": t("write.reply"), placeholder: t("write.hint") });
  const tabs = h("div.write-tabs", { role: "group", "aria-label": t("write.what") });
  const way = h("div.way");
  const trouble = h("div.trouble-place", { role: "alert" });
  const others = h("div.composing", { role: "status" });
  const chosen = h("div.chosen-template");
  const send = h("button.primary.send", { type: "button", onclick: () => submit() }, icon("send", 18), h("span", t("do.send")));
  const more = h("button.primary.square.more-ways", { type: "button", "aria-label": t("write.more"), onclick: () => ways() }, icon("down", 16));
  const files = uploads({ changed: () => touched() });
  const tool = (name, label, run) => h("button.plain.small.square", { type: "button", "aria-label": t(label), title: t(label), onclick: run }, icon(name, 18));
  const words = canned({ input: text, conversation: () => shown, take: takeTemplate });
  const tools = h("div.tools", tool("clip", "write.attach", () => files.pick()), tool("file", "write.template", () => words.open()), tool("clock", "write.later", () => later()));
  const element = h(
    "section.composer",
    { "aria-label": t("write.label"), hidden: !may("agent") },
    others,
    trouble,
    h("div.write-box", h("div.line", tabs, h("span.grow"), way), chosen, text, files.element, words.element, h("div.line.write-foot", tools, h("span.grow"), h("span.key-hint.meta"), h("div.sending", send, more))),
  );

  const enters = () => (read(SENDS) || "enter") === "enter";
  const hint = element.querySelector(".key-hint");

  function drawTabs() {
    fill(tabs, ["reply", "note"].map((name) =>
      h("button.plain.small", { type: "button", "aria-pressed": String(mode === name), onclick: () => turn(name) }, t(`write.${name}`))));
    element.classList.toggle("noting", mode === "note");
    text.setAttribute("aria-label", t(mode === "note" ? "write.note" : "write.reply"));
    text.placeholder = t(mode === "note" ? "write.note_hint" : "write.hint");
    send.lastChild.textContent = t(mode === "note" ? "write.keep" : "do.send");
    more.hidden = tools.hidden = mode === "note";
    files.element.hidden = mode === "note";
    hint.textContent = t(enters() ? "write.enter" : "write.mod_enter", { mod: /Mac/.test(navigator.platform) ? "⌘" : "Ctrl" });
    drawWay();
  }

  function drawWay() {
    fill(way, mode === "reply" && [meter(shown), plan && text.value.trim() && outlook(plan)]);
    if (refusal) return;
    const standing = mode === "reply" && (plan?.obstacles?.length ? plan.obstacles : shown.sending?.obstacles);
    fill(trouble, standing?.length > 0 && obstacleList(standing));
  }

  function turn(next) {
    mode = next;
    drawTabs();
    touched();
    text.focus();
  }

  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight + 2, innerHeight * 0.4)}px`;
  };

  const preview = settled(async () => {
    asking?.abort();
    if (stopped || mode === "note" || (!text.value.trim() && !files.ids().length && !template)) {
      plan = null;
      drawWay();
      return;
    }
    asking = new AbortController();
    try {
      plan = await post(`/conversations/${shown.id}/replies/preview`, body(), { signal: asking.signal });
      if (!stopped) drawWay();
    } catch (failure) {
      if (failure.body?.obstacles) {
        plan = { obstacles: failure.body.obstacles };
        drawWay();
      }
    }
  }, PREVIEW);

  function touched() {
    grow();
    refusal &&= Boolean(open);
    confirmed = [];
    key = "";
    drafts.keep(shown.id, { text: text.value, note: mode === "note", files: files.kept(), template });
    preview();
    compose();
  }

  function compose() {
    if (mode !== "reply" || !text.value.trim() || Date.now() - told < COMPOSING) return;
    told = Date.now();
    post(`/conversations/${shown.id}/composing`, {}).then(drawOthers, () => {});
  }

  function drawOthers({ items }) {
    const elsewhere = items.filter((one) => one.agent !== session().agent);
    fill(others, elsewhere.length > 0 && [h("span.typing", { "aria-hidden": "true" }, h("i"), h("i"), h("i")), t("write.others", { who: elsewhere.map((one) => one.name || names.agent(one.agent)).join(t("list.comma")) })]);
  }

  const looking = setInterval(() => {
    if (!document.hidden) get(`/conversations/${shown.id}/composing`).then(drawOthers, () => {});
  }, LOOK);

  function body(more = {}) {
    const given = { text: text.value.trim() ? text.value : "", ...more };
    if (files.ids().length) given.attachments = files.ids();
    if (template) Object.assign(given, { template: template.name, variables: template.variables });
    if (confirmed.length) given.confirm = confirmed;
    return given;
  }

  /** Send what is written; first of all, if it still stands there, what was sent before and may not have arrived. */
  async function submit({ extra = {}, after = null, again = null } = {}) {
    if (send.disabled) return;
    if (mode === "reply" && open && text.value.startsWith(open.written.words)) again = open;
    if (!again && files.busy()) {
      say(t("write.uploading"));
      return;
    }
    const empty = !text.value.trim() && !(mode === "reply" && (files.ids().length || template));
    if (!again && empty) {
      text.focus();
      return;
    }
    send.disabled = more.disabled = true;
    element.classList.add("busy");
    text.focus(); // now, not when it is answered: who has gone elsewhere by then is not called back
    try {
      if (mode === "note" && !again) await note();
      else await reply(extra, again);
      after?.();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      refused(failure, extra, after);
    } finally {
      send.disabled = more.disabled = false;
      element.classList.remove("busy");
    }
  }

  async function note() {
    const words = text.value;
    const { message } = await post(`/conversations/${shown.id}/notes`, { text: words });
    clear({ words, files: [], template: null });
    sent(message);
  }

  async function reply(extra, again) {
    key ||= newKey();
    const call = again ?? {
      written: { words: text.value, files: files.ids(), template },
      given: body({ client_id: key, seen: seen() || undefined, ...extra }),
    };
    let answer;
    try {
      answer = await post(`/conversations/${shown.id}/replies`, call.given);
    } catch (failure) {
      open = failure.status === 0 ? call : null; // its key is repeated: what has arrived does not arrive twice
      throw failure;
    }
    clear(call.written);
    sent(answer.message, answer.delivery);
    undoable(answer.delivery);
  }

  function undoable(delivery) {
    const left = delivery?.undo_until ? Date.parse(delivery.undo_until) - Date.now() : 0;
    if (left <= 0) return;
    const written = read("last");
    say(t("write.sent_undo"), { seconds: left / 1000, action: { label: t("do.undo"), run: async () => {
      try {
        await post(`/deliveries/${delivery.id}/cancel`);
        if (!text.value.trim() && written) {
          text.value = written;
          touched();
        }
      } catch (failure) {
        fault(failure);
      }
    } } });
  }

  /** Start anew after something went out; what was written, added or chosen meanwhile stays. */
  function clear(written) {
    write("last", written.words);
    if (text.value.startsWith(written.words)) text.value = text.value.slice(written.words.length).trimStart();
    if (template === written.template) {
      template = null;
      fill(chosen);
    }
    key = "";
    open = null;
    confirmed = [];
    plan = null;
    told = 0;
    refusal = false;
    files.sent(written.files);
    fill(trouble);
    drafts.forget(shown.id);
    preview.stop();
    grow();
    drawWay();
    if (text.value || files.kept().length || template) touched();
  }

  function refused(failure, extra, after) {
    refusal = true;
    const again = (more) => submit({ extra: { ...extra, ...more }, after });
    if (failure.status === 409 && failure.body.message) {
      collision(failure.body, again);
      return;
    }
    const obstacles = failure.body.obstacles ?? [];
    if (!obstacles.length) {
      fill(trouble, h("p.trouble", failure.words), failure.status === 0 && h("button.small", { type: "button", onclick: () => submit({ extra, after, again: open }) }, t("do.again")));
      return;
    }
    const warned = obstacles.every((one) => one.weight === "warn");
    fill(trouble, obstacleList(obstacles, {
      place: (one) => select(one),
      anyway: warned && (() => {
        confirmed = [...new Set(obstacles.map((one) => one.rule).filter(Boolean))];
        again(confirmed.length ? {} : { anyway: true });
      }),
    }));
  }

  function select(one) {
    text.focus();
    const letters = [...text.value];
    const from = letters.slice(0, one.offset).join("").length;
    text.setSelectionRange(from, from + letters.slice(one.offset, one.offset + one.length).join("").length);
  }

  function collision(body, again) {
    fill(trouble, h("div.collision",
      h("p", h("strong", t("write.collision", { who: names.agent(body.agent) })), body.text && h("span.quote", body.text)),
      h("div.row",
        h("button.small", { type: "button", onclick: () => ((refusal = false), drawWay()) }, t("write.keep_draft")),
        h("button.small.danger", { type: "button", onclick: () => again({ anyway: true }) }, t("write.anyway")))));
  }

  async function takeTemplate(one, filled) {
    if (filled.approved) {
      template = { name: one.id, variables: filled.variables ?? {} };
      fill(chosen, h("span.chip.accent", icon("file", 12), t("write.with_template", { name: one.id }),
        h("button", { type: "button", "aria-label": t("do.remove"), onclick: () => (template = null, fill(chosen), touched()) }, "×")), h("p.meta", filled.text));
    } else {
      text.setRangeText(filled.text, words.from(), text.selectionEnd, "end");
    }
    touched();
    text.focus();
  }

  async function later() {
    const box = h("input", { type: "checkbox", name: "unless" });
    const when = await askMoment(t("write.later"), t("write.schedule"), h("label.check", box, t("write.unless")));
    if (when) submit({ extra: { send_at: when.toISOString(), unless_customer_writes: box.checked } });
  }

  function ways() {
    menu(more, [
      { label: t("write.and_resolve"), icon: "check", hint: "Ctrl ⇧ ↵", run: () => submit({ after: resolve }) },
      { label: t("write.later"), icon: "clock", run: later },
      null,
      ...["enter", "mod"].map((name) => ({ label: t(`write.by_${name}`), checked: enters() === (name === "enter"), run: () => (write(SENDS, name), drawTabs()) })),
    ]);
  }

  text.addEventListener("input", touched);
  text.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229 || words.handles(event)) return;
    const mod = event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && (mod || (enters() && !event.shiftKey && !event.altKey))) {
      event.preventDefault();
      submit({ after: mod && event.shiftKey && mode === "reply" ? resolve : null });
    } else if (event.key === "Escape") {
      text.blur();
    }
  });
  text.addEventListener("paste", (event) => {
    if (mode === "reply" && event.clipboardData?.files.length) {
      event.preventDefault();
      files.add(event.clipboardData.files);
    }
  });

  const draft = drafts.load(shown.id);
  if (draft) {
    text.value = draft.text;
    mode = draft.note ? "note" : "reply";
    template = draft.template ?? null;
    files.restore(draft.files ?? []);
  }
  drawTabs();
  requestAnimationFrame(grow);
  if (draft) preview();

  return {
    element,
    drop: (list) => files.add(list),
    focus(next = "reply") {
      if (mode !== next) turn(next);
      text.focus();
      text.scrollIntoView({ block: "nearest" });
    },
    submit,
    update(next) {
      const resolved = next.status !== shown.status;
      shown = { ...next, sending: next.sending ?? shown.sending };
      if (resolved || next.sending) drawWay();
    },
    stop() {
      stopped = true;
      clearInterval(looking);
      preview.stop();
      asking?.abort();
      words.stop();
      if (told && text.value.trim()) post(`/conversations/${shown.id}/composing`, { on: false }).catch(() => {});
    },
  };
}

function read(name) {
  try {
    return name === "last" ? sessionStorage.getItem("huiliu.last") : localStorage.getItem(name);
  } catch {
    return "";
  }
}

function write(name, value) {
  try {
    if (name === "last") sessionStorage.setItem("huiliu.last", value);
    else localStorage.setItem(name, value);
  } catch {
    // It is a comfort only.
  }
}
