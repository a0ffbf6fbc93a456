"""Public events: which entries of the log the outside is told of, under which name and id. Pure: reads no store.

One entry may be several events (a message that opens a conversation and is routed). An event's id derives from its
entry alone, so that it is the same whenever and by whomever it is told. docs/events.md is its definition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.happenings import PREFIX
from inbox import log as logbook
from inbox.api import rfc3339
from inbox.log import Entry
from inbox.partitions import COUNT

VERSION = "1"
SPECVERSION = "1.0"  # CloudEvents 1.0.2, JSON format
THIN: Mapping[str, tuple[str, ...]] = {
    "conversation": ("id", "channel", "kind", "status", "team", "agent", "priority", "stage"),
    "message": ("id", "conversation", "direction", "at", "type"),
    "delivery": ("id", "state", "conversation", "channel", "message"),
    "contact": ("id",),
    "change": (
        *("name", "state", "team", "agent", "from_team", "from_agent", "from", "until", "clock", "due", "reason"),
        *("survey", "invitation", "score", "most", "via", "merge", "with", "how"),
    ),
    "decision": ("route", "routes", "event"),
}
# What is kept of each part of the data where an endpoint wants to fetch the content itself: no word of a customer.

_ID = re.compile(r"e(0|[1-9][0-9]{0,3})-([0-9]{1,15}-[0-9]{1,15})(?:\.([a-z]{1,20}))?")
_STATES = {
    "assigned": "conversation.assigned",
    "resolved": "conversation.resolved",
    "reopened": "conversation.reopened",
    "snoozed": "conversation.snoozed",
    "tagged": "conversation.tagged",
    "sla_warning": "sla.warning",
    "sla_breach": "sla.breach",
    "score": "survey.answered",
    "survey_answer": "survey.answered",
}
_PLACED = {
    logbook.MESSAGE: "message.received",
    logbook.NOTICE: "notice.received",
    logbook.ECHO: "message.sent",
}


@dataclass(frozen=True, slots=True)
class Head:
    """An event before its data are read: *types* it may be (one, unless that hangs on the message that was placed).

    *name* tells the events of one entry apart: "" for its own, else a word.
    """

    types: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class BulletinId:
    """The id of an event taken apart."""

    partition: int
    position: str
    name: str

    def __str__(self) -> str:
        return f"e{self.partition}-{self.position}" + (f".{self.name}" if self.name else "")


@dataclass(frozen=True, slots=True)
class Bulletin:
    """One public event.

    *ordinal* counts the events of its entry; *teams* are those that it concerns, *team* is the one that has its
    conversation now.
    """

    type: str
    id: BulletinId
    ordinal: int
    conversation: str
    teams: frozenset[str]
    at: int
    subject: str
    data: Mapping[str, Any]
    team: str = ""

    def cloud_event(self, source: str, *, thin: bool = False) -> dict[str, Any]:
        """Return it as a CloudEvent; *thin* leaves only ids and states."""
        return {
            "specversion": SPECVERSION,
            "id": str(self.id),
            "source": source,
            "type": PREFIX + self.type,
            **({"subject": self.subject} if self.subject else {}),
            "time": rfc3339(self.at),
            "datacontenttype": "application/json",
            "dataversion": VERSION,
            "data": thinned(self.data) if thin else self.data,
        }


def parse_bulletin_id(text: str) -> BulletinId | None:
    """Take the id of an event apart; None if it is none."""
    found = _ID.fullmatch(text)
    if found is None or int(found[1]) >= COUNT:
        return None
    return BulletinId(int(found[1]), found[2], found[3] or "")


def heads(entry: Entry) -> tuple[Head, ...]:
    """Return the events that *entry* is, in the order in which they are told; none for what is the hub's own matter."""
    maker = _MAKERS.get(entry.type)
    return maker(entry) if maker is not None else ()


def placed_type(origin: Entry | None) -> str:
    """Name the event of a placed *origin*; "" where it is no message but an event of the conversation."""
    return _PLACED.get(origin.type, "") if origin is not None else ""


def thinned(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of *data* is no content."""
    return {
        part: {name: value[name] for name in THIN[part] if name in value}
        for part, value in data.items()
        if part in THIN and value is not None
    }


def _placed(entry: Entry) -> tuple[Head, ...]:
    found = [Head(("conversation.opened",), "opened")] if entry.fields.get("o") == "new" else []
    found.append(Head(tuple(_PLACED.values())))
    if "b" in entry.fields:  # only a decision that changed something is told there
        found.append(Head(("conversation.routed",), "routed"))
    return tuple(found)


def _delivery(entry: Entry) -> tuple[Head, ...]:
    return (Head(("delivery.changed",)),) if entry.fields.get("c") else ()  # else of a letter, in no conversation


def _state(entry: Entry) -> tuple[Head, ...]:
    return (Head((_STATES.get(entry.fields["ev"], "conversation.changed"),)),)


def _always(name: str) -> Callable[[Entry], tuple[Head, ...]]:
    found = (Head((name,)),)
    return lambda _: found


_MAKERS: Mapping[str, Callable[[Entry], tuple[Head, ...]]] = {
    logbook.PLACED: _placed,
    logbook.IGNORED: _always("message.ignored"),
    logbook.REPLY: _always("reply.created"),
    logbook.NOTE: _always("note.created"),
    logbook.STATE: _state,
    logbook.DELIVERY: _delivery,
    logbook.CONTACT: lambda entry: (Head((f"contact.{entry.fields.get('ev', 'changed')}",)),),
    logbook.CONSENT: _always("consent.changed"),
    logbook.SURVEY: _always("survey.answered"),
}
