"""What happened in a conversation, in order: messages, notes, events, decisions."""

from __future__ import annotations

from dataclasses import dataclass

from inbox import log as logbook
from inbox.conversations import Conversation
from inbox.log import Entry
from inbox.partitions import key, tag
from inbox.store import Store

MESSAGES = frozenset("monsa")
DECISIONS = frozenset("d")
ASSIGNMENTS = frozenset("a")
CHUNK = 200


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a timeline: its number (0 = the first), what it is ("m" inbound, "o" outbound, …), its entry."""

    number: int
    mark: str
    entry: Entry

    @property
    def message_id(self) -> str:
        return f"m{self.entry.partition}-{self.entry.id}"


async def items(
    store: Store, conversation: Conversation, marks: frozenset[str], before: int | None, limit: int
) -> tuple[list[Item], int | None]:
    """Return up to *limit* items older than number *before*, newest first, and where to go on (None at the end).

    Raises `StoreError`.
    """
    place = conversation.place
    name = key(place.partition, f"t:{place.key}")
    length = int(await store.do(tag(place.partition), "LLEN", name))
    end = length if before is None else min(before, length)
    picked: list[tuple[int, str]] = []
    while end > 0 and len(picked) < limit:
        start = max(0, end - CHUNK)
        marked = await store.do(tag(place.partition), "LRANGE", name, start, end - 1)
        for offset in range(len(marked) - 1, -1, -1):
            end = start + offset
            if marked[offset][0] in marks:
                picked.append((end, marked[offset]))
                if len(picked) == limit:
                    break
    entries = await logbook.fetch(store, [where(place.partition, text) for _, text in picked])
    found = [
        Item(number, text[0], entry) for (number, text), entry in zip(picked, entries, strict=True) if entry is not None
    ]
    return found, end if end > 0 else None


def where(partition: int, text: str) -> tuple[int, str]:
    """Take a timeline element "m<position>[@partition]" apart."""
    position, _, abroad = text[1:].partition("@")
    return (int(abroad) if abroad else partition), position
