"""The last words of conversations, for lists: who spoke last, and how that begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inbox import log as logbook
from inbox.api import rfc3339
from inbox.conversations import Conversation
from inbox.partitions import key, tag
from inbox.shapes import DIRECTIONS, author_shape
from inbox.store import Store
from inbox.timeline import where

LETTERS = 160
LOOK = 24
"""So many elements from the end are looked at: behind these a conversation has events only, and shows no words."""
WORDS = frozenset("mon")


async def latest(store: Store, found: Sequence[Conversation]) -> list[dict[str, Any] | None]:
    """Return the last message or note of each conversation, None where there is none. Raises `StoreError`."""
    places = [one.place for one in found]
    ends = await store.each(
        [(tag(place.partition), ("LRANGE", key(place.partition, f"t:{place.key}"), -LOOK, -1)) for place in places]
    )
    picked: dict[int, tuple[int, str]] = {}
    for index, (place, marked) in enumerate(zip(places, ends, strict=True)):
        last = next((one for one in reversed(marked) if one[0] in WORDS), None)
        if last is not None:
            picked[index] = where(place.partition, last)
    entries = dict(zip(picked, await logbook.fetch(store, list(picked.values())), strict=True))
    shown: list[dict[str, Any] | None] = []
    for index, one in enumerate(found):
        entry = entries.get(index)
        if entry is None:
            shown.append(None)
            continue
        text = " ".join(entry.fields.get("tx", "")[: LETTERS * 4].split())
        shown.append(
            {
                "direction": DIRECTIONS.get(entry.type, "event"),
                "author": author_shape(entry, one),
                "text": text[:LETTERS],
                "type": entry.fields.get("ty") or "text",
                "at": rfc3339(int(entry.fields.get("at") or entry.ms)),
            }
        )
    return shown
