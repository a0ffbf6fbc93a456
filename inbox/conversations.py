"""Conversations and the one way to change them: a `Change` that the store applies whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from inbox import course
from inbox.leases import Fenced
from inbox.partitions import Id, key, parse_id, tag
from inbox.store import Script, Store

COMMIT = Script.load(Path(__file__).parent / "scripts" / "commit.lua")
STATUSES = ("open", "pending", "snoozed", "resolved")
PRIORITIES = ("low", "normal", "high", "urgent")
CLOCKS = "clocks"
"""The sorted set of a partition's conversations by when their clocks are to be looked at next; 0 = at once."""

LATE = "late"
"""The sorted set of a partition's conversations of which a clock has warned or is over; scores are -(when it is due).

It follows a moment behind the conversation, with the next look at its clocks.
"""

CLOCKED = frozenset({"course", "team", "sla"})
"""What decides about deadlines: whoever changes one of these has the clocks looked at."""

Value = str | int


class Conflict(Exception):
    """The conversation, or what it hangs on, has changed since it was read; read it again and decide anew."""


class NoConversation(LookupError):
    """There is no conversation with this id."""


class Conversation(msgspec.Struct, frozen=True):
    """One conversation as the store knows it. Times are in milliseconds since 1970 UTC, 0 = never.

    *before* is the one that its address had on its channel before it.
    """

    id: str
    channel: str
    kind: str
    address: str
    contact: str
    status: str = "open"
    team: str = ""
    agent: str = ""
    priority: str = "normal"
    stage: str = ""
    tags: tuple[str, ...] = ()
    subject: str = ""
    opened_at: int = 0
    last_message_at: int = 0
    last_inbound_at: int = 0
    first_reply_at: int = 0
    snoozed_until: int = 0
    resolved_at: int = 0
    messages: int = 0
    sla: str = ""
    risk: str = ""
    skills: tuple[str, ...] = ()
    language: str = ""
    assigned_at: int = 0
    why: str = ""
    route: str = ""
    handle: str = ""
    name: str = ""
    read_at: int = 0
    course: str = ""
    told: str = ""
    attention: str = ""
    heed: str = ""
    survey: str = ""
    before: str = ""
    version: str = "0"

    @property
    def place(self) -> Id:
        """Its partition and key."""
        return parse_id(self.id, "c")


# Field of the store's hash <- name here. Short ones keep a hash of a quiet conversation small.
FIELDS = {
    "channel": "channel",
    "kind": "kind",
    "address": "address",
    "contact": "contact",
    "status": "status",
    "team": "team",
    "agent": "agent",
    "priority": "priority",
    "stage": "stage",
    "tags": "tags",
    "subject": "subject",
    "opened_at": "opened",
    "last_message_at": "last",
    "last_inbound_at": "last_in",
    "first_reply_at": "replied",
    "snoozed_until": "snoozed",
    "resolved_at": "resolved",
    "messages": "messages",
    "sla": "sla",
    "risk": "risk",
    "skills": "skills",
    "language": "language",
    "assigned_at": "assigned",
    "why": "why",
    "route": "route",
    "handle": "handle",
    "name": "name",
    "read_at": "read",
    "course": "course",
    "told": "told",
    "attention": "attention",
    "heed": "heed",
    "survey": "survey",
    "before": "before",
    "version": "version",
}
NUMBERS = {
    "opened_at", "last_message_at", "last_inbound_at", "first_reply_at", "snoozed_until", "resolved_at", "messages",
    "read_at", "assigned_at",
}  # fmt: skip
LISTS = {"tags", "skills"}


def from_hash(conversation_id: str, fields: Mapping[str, str]) -> Conversation:
    """Build a conversation from its hash in the store."""
    values: dict[str, Any] = {"id": conversation_id, "channel": "", "kind": "", "address": "", "contact": ""}
    for name, stored in FIELDS.items():
        value = fields.get(stored)
        if value:
            values[name] = int(value) if name in NUMBERS else tuple(value.split(",")) if name in LISTS else value
    return Conversation(**values)


def known_course(conversation: Conversation) -> str:
    """Return the course of a conversation, also of one that was kept before there were courses."""
    if conversation.course:
        return conversation.course
    return course.derived(
        conversation.status,
        conversation.opened_at,
        conversation.first_reply_at,
        conversation.last_inbound_at,
        conversation.resolved_at,
    )


def stepped(conversation: Conversation, what: str, at: int) -> dict[str, str]:
    """Return the change of a conversation's course when *what* (see `inbox.course`) happens; empty if none."""
    text = course.extended(known_course(conversation), what, at)
    return {"course": text} if text != conversation.course else {}


def stored(values: Mapping[str, Any]) -> list[Value]:
    """Flatten {name: value} into the hash's fields; lists are joined by commas, which no tag or skill contains."""
    flat: list[Value] = []
    for name, value in values.items():
        flat += (FIELDS[name], ",".join(value) if name in LISTS else value)
    return flat


@dataclass(slots=True)
class Change:
    """Everything that one commit does, in one slot. Times and numbers are ints, everything else text.

    *id* is the conversation's key (without partition). *version* must still be current ("" = any).
    *epoch* fences a reader. *once* = (key, field, log position, answer field): skip the whole change
    if that position or a later one was recorded there; *unless*: skip if this key exists.
    *same* = (key, field, value): a conflict unless that field still has this value ("" = is not there).
    What *set* changes of `CLOCKED` has the clocks looked at again.
    *log* holds (timeline mark or "", fields) pairs; *link* = (which of *log*, key, field) stores that
    entry's position in a hash. *queue* = (list or "" for none, delivery, due). *marks*/*unmarks* are sorted sets.
    """

    id: str | None = None
    version: str | None = None
    epoch: str | None = None
    once: tuple[str, str, str, str] | None = None
    unless: str | None = None
    same: tuple[str, str, str] | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    unset: Sequence[str] = ()
    count: Sequence[tuple[str, int]] = ()
    records: list[tuple[str, list[Value]]] = field(default_factory=list)
    log: list[tuple[str, list[Value]]] = field(default_factory=list)
    link: tuple[int, str, str] | None = None
    timeline: Sequence[str] = ()
    queue: Sequence[tuple[str, str, int]] = ()
    marks: Sequence[tuple[str, int, str]] = ()
    unmarks: Sequence[tuple[str, str]] = ()

    def packed(self) -> bytes:
        """Encode for commit.lua; absent parts are left out."""
        marks = list(self.marks)
        if self.id and not CLOCKED.isdisjoint(self.set):
            marks.insert(0, (CLOCKS, 0, self.id))
        parts: dict[str, Any] = {
            "id": self.id,
            "version": self.version or None,
            "epoch": self.epoch,
            "once": self.once,
            "unless": self.unless,
            "same": self.same,
            "set": text(stored(self.set)),
            "unset": [FIELDS[name] for name in self.unset],
            "count": self.count,
            "records": [(name, text(values)) for name, values in self.records],
            "log": [(mark, text(values)) for mark, values in self.log],
            "link": self.link,
            "timeline": self.timeline,
            "queue": self.queue,
            "marks": marks,
            "unmarks": self.unmarks,
        }
        return msgspec.msgpack.encode({name: part for name, part in parts.items() if part})


def text(values: Iterable[Value]) -> list[str]:
    """Turn numbers into text: Lua would print large ones in scientific notation."""
    return [value if isinstance(value, str) else str(value) for value in values]


@dataclass(frozen=True, slots=True)
class Committed:
    """A change that holds: *fresh* is False when an earlier run had done it already; *ids* are its log entries."""

    fresh: bool
    version: str = ""
    ids: tuple[str, ...] = ()
    answer: str = ""


async def commit(store: Store, partition: int, change: Change) -> Committed:
    """Apply *change*. Raises `Conflict`, `Fenced` or `StoreError`."""
    reply = await store.run(COMMIT, tag(partition), [key(partition, "log")], (change.packed(),))
    match reply[0]:
        case "ok":
            return Committed(True, reply[1], tuple(reply[2:]))
        case "done":
            return Committed(False, answer=reply[1])
        case "conflict":
            raise Conflict
        case _:
            raise Fenced


async def load(store: Store, conversation_id: str) -> Conversation:
    """Return a conversation. Raises `UnknownId`, `NoConversation`, `StoreError`."""
    place = parse_id(conversation_id, "c")
    found = (await load_many(store, [place]))[0]
    if found is None:
        raise NoConversation(conversation_id)
    return found


async def load_many(store: Store, places: Sequence[Id]) -> list[Conversation | None]:
    """Return conversations in the order asked for, None where there is none. Raises `StoreError`."""
    replies = await store.each(
        [(tag(one.partition), ("HGETALL", key(one.partition, f"c:{one.key}"))) for one in places]
    )
    return [
        from_hash(str(place), pairs(reply)) if reply else None for place, reply in zip(places, replies, strict=True)
    ]


def pairs(reply: Sequence[str]) -> dict[str, str]:
    """Turn a flat HGETALL reply into a dictionary."""
    return dict(zip(reply[::2], reply[1::2], strict=True))
