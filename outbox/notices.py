"""What a notice says to an agent or a team: who wants what, why it is theirs, how long there is, how to answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from connectors.base import Capabilities, Choice
from inbox.conversations import Conversation
from outbox.plan import measure

WORDS: Mapping[str, tuple[str, str]] = {
    "assigned": ("It is yours: {detail}", "已分配给您：{detail}"),
    "assigned_plain": ("It is yours", "已分配给您"),
    "message": ("New message", "有新消息"),
    "answered": ("{detail} has answered", "{detail} 已经回复"),
    "sla_warning": ("Little time is left: {detail}", "即将超时：{detail}"),
    "sla_breach": ("The time is over: {detail}", "已经超时：{detail}"),
    "mention": ("{detail} mentions you in a note", "{detail} 在备注中提到了您"),
    "failed": ("An answer did not arrive: {detail}", "有回复没有送达：{detail}"),
    "draft": ("An answer in your name waits for approval ({detail})", "有一条以您名义的回复等待确认（{detail}）"),
    "waiting": ("Nobody has taken it yet", "还没有人接"),
    "first_reply": ("first reply", "首次回复"),
    "next_reply": ("next reply", "下次回复"),
    "resolution": ("resolution", "解决"),
    "due": ("{clock} due {time}", "{clock}截止 {time}"),
    "window": ("can be answered until {time}", "可回复至 {time}"),
    "closed": ("the platform takes no answer now", "平台目前不接受回复"),
    "left": ("{count} messages left", "还可发 {count} 条"),
    "note": ("note", "备注"),
    "file": ("[file]", "[文件]"),
    "open": ("Open: {link}", "打开：{link}"),
    "how_mail": (
        "Answer this mail: what you write goes to the customer. A first line like /note is a command; see /help.",
        "直接回复本邮件，内容即发给顾客。首行可写命令：/备注、/转交 团队、/解决、/稍后 2h、/标签 名称；/帮助 看全部。",
    ),
    "how_chat": (
        "Write back to answer the customer; #{code} first if you have several. /help tells the commands.",
        "直接回复即发给顾客；同时有多个会话时以 #{code} 开头。/帮助 看命令。",
    ),
    "how_sms": ("Answer: {code} and your words", "回复“{code} 内容”即发给顾客"),
    "how_draft": (
        "/approve {draft} sends it, /discard {draft} drops it.",
        "/批准 {draft} 发送，/丢弃 {draft} 删除。",
    ),
    "more_drafts": ("{count} more wait for approval; the conversation shows them", "另有 {count} 条等待确认，见会话"),
    "line": (
        "Answer above this line; nothing below it reaches the customer",
        "请在此线以上回复，以下内容不会发给顾客",
    ),
    "take": ("Take it", "接下"),
    "resolve": ("Resolve", "解决"),
    "snooze": ("In an hour", "1 小时后"),
    "approve": ("Send it", "发送"),
    "discard": ("Drop it", "丢弃"),
}
LINES = {"mail": (8, 1000), "chat": (6, 200), "sms": (1, 80)}
"""Form of a notice -> messages that it shows, and characters of each."""

MARKS = tuple(WORDS["line"])
MANAGED = ("take", "resolve", "snooze")


@dataclass(frozen=True, slots=True)
class Line:
    """A message to be shown: *who* wrote it, "" for the customer. *at* is in milliseconds since 1970 UTC.

    *draft* is the id of what is not sent but waits for approval.
    """

    at: int
    who: str
    text: str
    draft: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to tell. *reasons* are (event, detail), *due* are (clock, time).

    *window* is (until, messages left), *agent* is "" for a team. Times are in milliseconds since 1970 UTC.
    """

    conversation: Conversation
    agent: str
    reasons: Sequence[tuple[str, str]]
    lines: Sequence[Line]
    due: Sequence[tuple[str, int]] = ()
    window: tuple[int, int | None] | None = None
    code: str = ""
    link: str = ""

    @property
    def drafts(self) -> list[str]:
        """The ids of the drafts among the lines."""
        return [line.draft for line in self.lines if line.draft]


@dataclass(frozen=True, slots=True)
class Tongue:
    """In what language and time zone somebody reads."""

    language: str
    zone: ZoneInfo

    def say(self, name: str, **values: object) -> str:
        """Return a phrase."""
        return WORDS[name][self.language.startswith("zh")].format(**values)

    def moment(self, at: int) -> str:
        """Return a time as it is read there."""
        return f"{dt.datetime.fromtimestamp(at / 1000, self.zone):%m-%d %H:%M}"


def form_of(kind: str) -> str:
    """Return the form of notices that go by *kind* of way: "mail", "sms" or "chat"."""
    return {"email": "mail", "sms": "sms"}.get(kind, "chat")


def subject(scene: Scene, tongue: Tongue) -> str:
    """Return the subject of a mail."""
    known = scene.conversation
    why = reasons(scene, tongue)[0] if scene.reasons else ""
    about = known.subject or next((line.text for line in reversed(scene.lines) if not line.who), "")
    words = f"[#{scene.code}] {customer(known)} ({known.channel}): {why} {about}"
    return plain(words)[:120]


def text(scene: Scene, tongue: Tongue, form: str, capabilities: Capabilities) -> str:
    """Return the text in *form*; older messages are left out where the channel carries little."""
    most, width = LINES[form]
    shown = list(scene.lines)[-most:]
    while True:
        words = _text(scene, tongue, form, shown, width)
        limit = capabilities.text_limit
        if limit is None or measure(words, capabilities.text_unit) <= limit or not shown:
            return words
        shown = shown[1:]


def _text(scene: Scene, tongue: Tongue, form: str, shown: Sequence[Line], width: int) -> str:
    known, lines = scene.conversation, [_line(one, scene, tongue, width) for one in shown]
    why = "；".join(reasons(scene, tongue)) if tongue.language.startswith("zh") else "; ".join(reasons(scene, tongue))
    if form == "sms":
        how = tongue.say("how_sms", code=scene.code) if scene.agent else ""
        return " ".join(part for part in (f"#{scene.code} {customer(known)} {why}", *lines, how) if part)
    head = f"{f'#{scene.code} ' if scene.code else ''}{customer(known)} · {known.channel}"
    facts = [one for one in (known.team, known.priority if known.priority != "normal" else "", *known.tags) if one]
    parts = [head, why, "", *lines, "", " · ".join((*clocks(scene, tongue), *facts))]
    if scene.link:
        parts.append(tongue.say("open", link=scene.link))
    drafts = [one.draft for one in shown if one.draft]
    parts += [tongue.say("how_draft", draft=draft) for draft in drafts]
    if left_out := len(scene.drafts) - len(drafts):
        parts.append(tongue.say("more_drafts", count=left_out))
    if scene.agent:
        parts.append(tongue.say("how_mail" if form == "mail" else "how_chat", code=scene.code))
    if form == "mail" and scene.agent:
        parts = [f"—— {tongue.say('line')} ——", "", *parts]
    return "\n".join(parts).replace("\n\n\n", "\n\n").strip()


def reasons(scene: Scene, tongue: Tongue) -> list[str]:
    """Say why the reader is told."""
    told = []
    for event, detail in scene.reasons:
        if event == "assigned" and not detail:
            told.append(tongue.say("assigned_plain"))
        else:
            told.append(tongue.say(event, detail=tongue.say(detail) if detail in WORDS else detail))
    return list(dict.fromkeys(told))


def clocks(scene: Scene, tongue: Tongue) -> list[str]:
    """Say how long there is: by the promises, and by the platform."""
    told = [tongue.say("due", clock=tongue.say(clock), time=tongue.moment(at)) for clock, at in scene.due]
    if scene.window is not None:
        until, left = scene.window
        told.append(tongue.say("window", time=tongue.moment(until)) if until and left != 0 else tongue.say("closed"))
        if left:
            told.append(tongue.say("left", count=left))
    return told


def choices(scene: Scene, tongue: Tongue, capabilities: Capabilities) -> tuple[Choice, ...]:
    """Return what the reader may press, none where the channel shows no buttons."""
    target = scene.conversation.id
    names = [name for name in MANAGED if name != "take" or scene.conversation.agent != scene.agent]
    offered = [Choice(f"{name} {target}", tongue.say(name)) for name in names]
    if scene.drafts:
        offered = [Choice(f"{name} {scene.drafts[0]}", tongue.say(name)) for name in ("approve", "discard")]
    if len(scene.drafts) > 1:  # a button does not say which of them it means
        return ()
    pressed = len(offered) <= capabilities.choices and not capabilities.links_choices
    return tuple(offered) if scene.agent and pressed else ()


def customer(known: Conversation) -> str:
    """Return the customer's name, or what else they are known by."""
    return plain(known.name) or known.address.partition(":")[2]


def plain(text: str) -> str:
    """Return *text* in one line, without what nobody can see: some channels refuse a message that holds it."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _line(line: Line, scene: Scene, tongue: Tongue, width: int) -> str:
    words = plain(line.text) or tongue.say("file")
    words = words if len(words) <= width else words[: width - 1] + "…"
    who = f"? {line.who}" if line.draft else line.who or customer(scene.conversation)
    if line.draft and len(scene.drafts) > 1:
        who = f"{who} [{line.draft}]"
    return f"{tongue.moment(line.at)[6:]} {who}: {words}"
