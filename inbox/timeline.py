"""What happened in a conversation, in order: messages, notes, events, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inbox import log as logbook
from inbox.log import Entry
from inbox.partitions import Id, key, tag
from inbox.store import Script, Store

STRETCH = Script.load(Path(__file__).parent / "scripts" / "stretch.lua")
MESSAGES = frozenset("monsav")
EVERYTHING = MESSAGES | {"w"}
"""With every step of every delivery, also of those that go well."""

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
    store: Store, place: Id, marks: frozenset[str], before: int | None, limit: int
) -> tuple[list[Item], int | None]:
    """Return up to *limit* items of a conversation older than number *before*, newest first, and where to go on.

    That is None at the end; a conversation that does not exist has no items. Raises `StoreError`.
    """
    picked: list[tuple[int, str]] = []
    end = before
    while end != 0 and len(picked) < limit:
        end, elements = await stretch(store, place, end)
        for number in range(end + len(elements) - 1, end - 1, -1):
            text = elements[number - end]
            if text[0] in marks:
                picked.append((number, text))
                if len(picked) == limit:
                    end = number
                    break
    entries = await logbook.fetch(store, [where(place.partition, text) for _, text in picked])
    found = [
        Item(number, text[0], entry) for (number, text), entry in zip(picked, entries, strict=True) if entry is not None
    ]
    return found, end or None


async def stretch(store: Store, place: Id, before: int | None) -> tuple[int, list[str]]:
    """Return elements of a conversation's timeline that stand right before number *before* (None = its end).

    They come oldest first, with the number of the first one. Raises `StoreError`.
    """
    name = key(place.partition, f"t:{place.key}")
    start, elements = await store.run(STRETCH, tag(place.partition), [name], ("" if before is None else before, CHUNK))
    return start, elements


def where(partition: int, text: str) -> tuple[int, str]:
    """Take a timeline element "m<position>[@partition]" apart."""
    position, _, abroad = text[1:].partition("@")
    return (int(abroad) if abroad else partition), position
