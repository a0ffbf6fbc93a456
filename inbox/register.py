"""All contacts: as a list, newest first, and by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from inbox.contacts import INTO, LIST, from_hash, load_many
from inbox.conversations import pairs
from inbox.lists import SCAN_LIMIT, parse_cursor, ranked
from inbox.partitions import COUNT, Id, key, tag
from inbox.store import Script, Store

NAMESAKES = Script.load(Path(__file__).parent / "scripts" / "namesakes.lua")
CHUNK = 500
"""Contacts that one script looks at: it holds the store for less than a millisecond."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which contacts; empty = all. *text* is looked for in name, addresses and id."""

    text: str = ""
    tag: str = ""
    tier: str = ""
    language: str = ""

    def shows(self, name: str, fields: Mapping[str, str]) -> bool:
        """Tell whether a contact is among them: it is there, and no part of another one."""
        if not fields or INTO in fields:
            return False
        known = from_hash(fields)
        if self.tag and self.tag not in known.tags:
            return False
        if (self.tier and self.tier != known.tier) or (self.language and self.language != known.language):
            return False
        words = f"{fields.get('name', '')}\n{fields.get('addresses', '')}\n{name}".casefold()
        return self.text.casefold() in words


class Listed(NamedTuple):
    """A contact of a list: its id and its hash."""

    id: str
    fields: dict[str, str]


async def page(store: Store, wanted: Wanted, cursor: str, limit: int) -> tuple[list[Listed], str]:
    """Return up to *limit* contacts, those heard of last first, and the next cursor ("" at the end).

    Raises `BadCursor`, `StoreError`.
    """
    after, found, scanned = parse_cursor(cursor, "k"), list[Listed](), 0
    while True:
        batch = await ranked(store, [LIST], "k", after, limit + 1)
        loaded = await _own(store, [place for _, place in batch])
        for (score, place), fields in zip(batch, loaded, strict=True):
            if wanted.shows(str(place), fields):
                if len(found) == limit and after is not None:
                    return found, f"{after[0]}:{after[1]}"
                found.append(Listed(str(place), fields))
            after = (score, place)
        scanned += len(batch)
        if len(batch) <= limit:
            return found, ""
        if scanned > SCAN_LIMIT and after is not None:
            return found, f"{after[0]}:{after[1]}"


async def every(store: Store, wanted: Wanted) -> AsyncIterator[Listed]:
    """Yield all contacts that are wanted, each once, partition by partition. Raises `StoreError`.

    Whoever comes or goes meanwhile keeps nobody else out.
    """
    for partition in range(COUNT):
        told: set[str] = set()
        low = "-inf"
        while low:
            low, names = await _page(store, partition, low)
            places = [Id("k", partition, name) for name in names if name not in told]
            told.update(names)
            for place, fields in zip(places, await _own(store, places), strict=True):
                if wanted.shows(str(place), fields):
                    yield Listed(str(place), fields)


async def _page(store: Store, partition: int, low: str) -> tuple[str, list[str]]:
    """Return where to go on ("" = the end), and contacts from score *low* on: all of one score at once."""
    name, slot = key(partition, LIST), tag(partition)
    flat = await store.do(slot, "ZRANGEBYSCORE", name, low, "+inf", "WITHSCORES", "LIMIT", 0, CHUNK)
    names, scores = flat[::2], flat[1::2]
    if len(names) < CHUNK:
        return "", names
    last = scores[-1]
    before = [one for one, score in zip(names, scores, strict=True) if score != last]
    return f"({last}", [*before, *await store.do(slot, "ZRANGEBYSCORE", name, last, last)]


async def named(store: Store, name: str) -> list[str]:
    """Return the contacts of exactly this name, no part of another one twice. Raises `StoreError`."""
    found = await asyncio.gather(*(_named(store, partition, name) for partition in range(COUNT)))
    ids = [one for each in found for one in each]
    return list(dict.fromkeys(root for root, _ in await load_many(store, ids)))


async def _named(store: Store, partition: int, name: str) -> list[str]:
    found: list[str] = []
    low = "-inf"
    while low:
        low, *keys = await store.run(NAMESAKES, tag(partition), [key(partition, LIST)], (name, low, CHUNK))
        found += [str(Id("k", partition, one)) for one in keys]
    return found


async def _own(store: Store, places: list[Id]) -> list[dict[str, str]]:
    replies = await store.each(
        [(tag(one.partition), ("HGETALL", key(one.partition, f"k:{one.key}"))) for one in places]
    )
    return [pairs(reply) for reply in replies]
