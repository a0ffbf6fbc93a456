"""The log of a partition: what its entries look like, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from inbox.partitions import key, tag
from inbox.store import Store

# What an entry is (field "t").
MESSAGE = "e"  # a customer wrote
NOTICE = "y"  # a customer did something that is no message
ECHO = "h"  # our side wrote in the platform's own tool
RECEIPT = "r"  # the platform says what became of a message of ours
PLACED = "p"  # an event found its conversation; holds the decision, if one was made
IGNORED = "i"  # a rule left an event out of every conversation
REPLY = "o"  # our side answers
LETTER = "l"  # our side writes to somebody outside every conversation
NOTE = "n"  # an agent's note
STATE = "s"  # the conversation was assigned, resolved, reopened, snoozed, tagged …
DELIVERY = "v"  # a delivery changed its state
CONSENT = "u"  # an address opted out or in, or somebody recorded its consent
SURVEY = "q"  # somebody answered a survey that belongs to no conversation
CONTACT = "k"  # what is known of a customer has changed, or they were merged, split, erased
FORGOTTEN = "x"  # a conversation is gone for good: whoever keeps a copy of its words removes it

ERASED = "erased"
"""What stands for the type of a message, and begins what stands for an address, of somebody who was erased by law."""

INBOUND = frozenset({MESSAGE, NOTICE, ECHO})


@dataclass(frozen=True, slots=True)
class Entry:
    """One log entry: its position ("ms-seq") and its fields."""

    partition: int
    id: str
    fields: dict[str, str]

    @property
    def type(self) -> str:
        return self.fields["t"]

    @property
    def ms(self) -> int:
        """When the store logged it, in milliseconds since 1970 UTC."""
        return int(self.id.partition("-")[0])

    def rest(self) -> dict[str, Any]:
        """Return what has no field of its own (field "b")."""
        body = self.fields.get("b")
        return msgspec.json.decode(body) if body else {}


def entry(partition: int, reply: Sequence[Any]) -> Entry:
    """Build an entry from one element of an XRANGE reply."""
    entry_id, fields = reply
    return Entry(partition, entry_id, dict(zip(fields[::2], fields[1::2], strict=True)))


async def read(store: Store, partition: int, after: str, count: int) -> list[Entry]:
    """Return up to *count* entries after position *after*, oldest first. Raises `StoreError`."""
    replies = await store.do(tag(partition), "XRANGE", key(partition, "log"), f"({after}", "+", "COUNT", count)
    return [entry(partition, reply) for reply in replies]


async def fetch(store: Store, places: Sequence[tuple[int, str]]) -> list[Entry | None]:
    """Return the entries at the given (partition, position) pairs, None where there is none. Raises `StoreError`."""
    replies = await store.each(
        [(tag(partition), ("XRANGE", key(partition, "log"), at, at)) for partition, at in places]
    )
    return [
        entry(partition, reply[0]) if reply else None for (partition, _), reply in zip(places, replies, strict=True)
    ]
