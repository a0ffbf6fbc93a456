"""Why a conversation went to somebody, in a sentence: how they were chosen, and why nobody else was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

WORDS = {
    "en": {
        "chosen": "{agent} has {load}: {how}",
        "least-busy": "the fewest open conversations",
        "round-robin": "it is their turn",
        "weighted": "it is their turn by weight",
        "back": "the same agent as before",
        "sticky": "the contact's last agent",
        "speaks": "speaks {0}",
        "waited": "waited {0} s",
        "room": "{0} had room ({1})",
        "full": "{0} is full ({1})",
        "away": "{0} is away",
        "offline": "{0} is offline",
        "shift": "{0} is off duty",
        "skill": "{0} lacks the skill {1}",
        "language": "{0} does not speak {1}",
        "silent": "{0} left it unanswered",
        "more": "and {0} others",
        "nobody": "nobody can have it now",
        "join": "; ",
    },
    "zh": {
        "chosen": "{agent} 现有 {load}：{how}",
        "least-busy": "手上会话最少",
        "round-robin": "轮到",
        "weighted": "按权重轮到",
        "back": "仍由原客服接待",
        "sticky": "该客户上次的客服",
        "speaks": "会说 {0}",
        "waited": "等候 {0} 秒",
        "room": "{0} 有空位（{1}）",
        "full": "{0} 已满（{1}）",
        "away": "{0} 暂离",
        "offline": "{0} 离线",
        "shift": "{0} 不在班",
        "skill": "{0} 没有技能 {1}",
        "language": "{0} 不会说 {1}",
        "silent": "{0} 之前没有回复",
        "more": "另有 {0} 人",
        "nobody": "目前没有人能接",
        "join": "；",
    },
}


class Reason(msgspec.Struct, frozen=True):
    """Why *agent* was given a conversation after *waited* ms, with *load* ("3/8") from then on.

    *how* is "back", "sticky", "language:xx" or "" (the strategy alone). *others* holds (agent, verdict) of who was
    considered and not chosen: room, full, away, offline, shift, skill, language or silent, with a detail after a colon;
    *more* counts those who are left out.
    """

    agent: str = ""
    strategy: str = ""
    how: str = ""
    waited: int = 0
    load: str = ""
    others: tuple[tuple[str, str], ...] = ()
    more: int = 0


def parsed(text: str) -> Reason | None:
    """Read a reason as drain.lua writes it, where an empty list is an empty map; None if there is none."""
    if not text:
        return None
    written: dict[str, Any] = msgspec.json.decode(text)
    return msgspec.convert({**written, "others": written.get("others") or []}, Reason)


def stored(reason: Reason) -> dict[str, Any]:
    """Return a reason as the log and the API show it."""
    return {
        "strategy": reason.strategy,
        "how": reason.how or None,
        "waited_seconds": reason.waited / 1000,
        "load": reason.load or None,
        "others": [{"agent": agent, "why": why} for agent, why in reason.others],
        "more": reason.more,
    }


def sentence(reason: Reason, locale: str) -> str:
    """Say *reason* in the language of *locale*."""
    words = WORDS["zh" if locale.startswith("zh") else "en"]
    parts = [_chosen(reason, words) if reason.agent else words["nobody"]]
    if reason.waited >= 1000:
        parts.append(words["waited"].format(reason.waited // 1000))
    parts += _others(reason.others, words)
    if reason.more:
        parts.append(words["more"].format(reason.more))
    return words["join"].join(parts)


def _chosen(reason: Reason, words: dict[str, str]) -> str:
    how, _, detail = reason.how.partition(":")
    said = words["speaks"].format(detail) if how == "language" else words[how or reason.strategy]
    return words["chosen"].format(agent=reason.agent, load=reason.load, how=said)


def _others(others: Sequence[tuple[str, str]], words: dict[str, str]) -> list[str]:
    found = []
    for agent, why in others:
        verdict, _, detail = why.partition(":")
        found.append(words[verdict].format(agent, detail))
    return found
