"""What is left of a log entry about somebody who was erased: when something happened, and of what kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from inbox import log as logbook
from inbox.log import ERASED, Entry

STAYS = frozenset(
    (
        *("team", "agent", "from_team", "from_agent", "from", "taken_from", "assignment", "until", "clock", "due"),
        *("policy", "hash", "route", "routes", "set", "unclaimed", "acknowledge", "back", "conversation", "event"),
        *("delivery", "draft", "because", "survey", "invitation", "score", "most", "via", "version", "name"),
        *("state", "lane", "how", "kind", "tags", "channel", "on", "merge", "with"),
    )
)
"""What stories tell of rules, teams and states. Whatever else they hold may be words of or about the customer."""

FACTS = 3
"""The place of what was known of the customer in a decision that is kept in short (router/evidence.py)."""

WORDS = ("tx", "er")


def blanked(entry: Entry, stand_in: str) -> dict[str, str]:
    """Return the fields of *entry* without words, names and addresses; *stand_in* takes the place of its address."""
    fields = dict(entry.fields)
    fields |= {name: "" for name in WORDS if name in fields}
    if "a" in fields:
        fields["a"] = stand_in
    if entry.type in logbook.INBOUND:
        name = {"n": ""} if "n" in fields else {}
        return {**fields, **name, "ty": ERASED, "x": f"{ERASED}:{entry.partition}-{entry.id}", "b": ""}
    if "au" in fields:
        fields["au"] = _author(fields["au"])
    if fields.get("q"):
        fields["q"] = _short(fields["q"])
    if entry.type in (logbook.REPLY, logbook.LETTER, logbook.NOTE):
        return {**fields, **({"b": ""} if "b" in fields else {})}
    if fields.get("b"):
        fields["b"] = msgspec.json.encode(_story(msgspec.json.decode(fields["b"]))).decode()
    return fields


def _author(text: str) -> str:
    """Return who did something, without the name if that was the customer."""
    author: dict[str, Any] = msgspec.json.decode(text)
    return msgspec.json.encode({**author, "name": ""}).decode() if author.get("kind") == "contact" else text


def _short(text: str) -> str:
    """Return a decision that is kept in short, without what was known of the customer."""
    values: list[Any] = msgspec.json.decode(text)
    if len(values) > FACTS:
        values[FACTS] = None
    while values and values[-1] is None:
        values.pop()
    return msgspec.json.encode(values).decode()


def _story(story: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in story.items() if name in STAYS}
    changed = kept.get("set")
    if isinstance(changed, dict):
        kept["set"] = {name: value for name, value in changed.items() if name != "why"}
    facts = story.get("facts")
    if isinstance(facts, dict) and "conversation" in facts:
        kept["facts"] = {"conversation": facts["conversation"]}
    return kept
