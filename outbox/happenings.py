"""What in the log somebody has to be told of, whom it concerns, and whether it is still so when they are told. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from config.settings import Settings
from inbox import log as logbook
from inbox.conversations import Conversation
from inbox.log import Entry
from inbox.partitions import position

MENTION = re.compile(r"@([\w-]{1,63})")
LOST = frozenset({"dead", "uncertain", "failed"})
SLA = frozenset({"sla_warning", "sla_breach"})
OWN = frozenset({"assigned", "message", "answered", *SLA})
"""Events that concern only whose the conversation is; the others concern whom they name."""


class Event(NamedTuple):
    """Something to tell: *who* is an agent ("a:lilei") or a team ("t:aftersales"), *detail* goes into the words."""

    who: str
    what: str
    detail: str = ""
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is being told: *reasons*, the log position up to which they go, and how the notice before stands."""

    reasons: tuple[tuple[str, str], ...]
    upto: str
    at: int
    seen: str
    letter: str


class Doer(msgspec.Struct, frozen=True):
    """Who did something, as the log has it."""

    kind: str = "hub"
    id: str = ""
    name: str = ""


def concerns(entry: Entry) -> bool:
    """Tell whether *entry* is one that somebody may have to be told of."""
    match entry.type:
        case logbook.STATE | logbook.NOTE | logbook.REPLY | logbook.PLACED:
            return True
        case logbook.DELIVERY:
            return bool(entry.fields.get("c")) and entry.fields["st"] in LOST
    return False


def happened(entry: Entry, known: Conversation, doer: Doer, settings: Settings) -> Iterator[Event]:
    """Yield whom *entry* concerns, who did it among them."""
    mine = f"a:{known.agent}"
    if entry.type == logbook.PLACED:
        given = entry.rest().get("set", {}).get("agent", "") if "b" in entry.fields else ""
        if given:
            yield Event(f"a:{given}", "assigned")
        elif known.agent:
            yield Event(mine, "message")
    elif entry.type == logbook.NOTE:
        for agent in mentioned(entry.fields["tx"], settings):
            yield Event(f"a:{agent}", "mention", doer.name or doer.id)
    elif entry.type == logbook.REPLY and doer.kind == "agent" and known.agent:
        yield Event(mine, "answered", doer.name or doer.id)
    elif entry.type == logbook.STATE:
        yield from _state(entry, known)


def _state(entry: Entry, known: Conversation) -> Iterator[Event]:
    event, story = entry.fields["ev"], entry.rest()
    if event == "assigned" and story.get("agent"):
        yield Event(f"a:{story['agent']}", "assigned", str(story.get("reason", ""))[:120].replace("\n", " "))
    elif event in SLA:
        whom = [f"a:{known.agent}"] if known.agent else []
        for one in (*whom, f"t:{known.team}"):
            yield Event(one, event, str(story.get("clock", "")))
    elif event == "draft_held":
        for agent in dict.fromkeys([story["agent"], known.agent]):
            if agent:
                yield Event(f"a:{agent}", "draft", str(story["draft"]))


def waits(entry: Entry, known: Conversation) -> bool:
    """Tell whether with *entry* a conversation begins to wait for somebody to take it."""
    if known.agent or not known.team or known.status != "open":
        return False
    return (entry.type == logbook.PLACED and "o" in entry.fields) or (
        entry.type == logbook.STATE and entry.fields["ev"] in ("assigned", "reopened")
    )


def mentioned(text: str, settings: Settings) -> list[str]:
    """Return the agents whom *text* calls by @name, or by @ and the name that is shown."""
    found = [word.lower() for word in MENTION.findall(text)]
    return [
        name for name, agent in settings.agents.items() if name in found or f"@{agent.name}".lower() in text.lower()
    ]


def taken(reply: Sequence[str]) -> Sealed | None:
    """Read what notice.lua has sealed, None if nothing waits."""
    if not reply:
        return None
    reasons, upto, at, seen, letter = reply
    pairs = [line.partition(" ") for line in reasons.split("\n")]
    return Sealed(tuple((what, detail) for what, _, detail in pairs), upto, int(at), seen, letter)


def still_true(known: Conversation, who: str, sealed: Sealed) -> list[tuple[str, str]]:
    """Return the reasons that still hold: what is no longer theirs, or done meanwhile, is not told."""
    kind, _, name = who.partition(":")
    kept = []
    for what, detail in dict.fromkeys(sealed.reasons):
        if known.status == "resolved" and what not in ("mention", "failed", "draft"):
            continue
        if what == "waiting" and (known.agent or known.status != "open" or known.team != name):
            continue
        if kind == "a" and what in OWN and known.agent != name:
            continue
        unseen = known.last_inbound_at > position(sealed.seen or "0-0")[0]
        if what == "message" and (known.status != "open" or not unseen):
            continue
        kept.append((what, detail))
    return kept


def since_epoch(text: str) -> int:
    """Return an RFC 3339 time in milliseconds since 1970 UTC."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 1000)
