"""Reads all logs into one generation of the search index, in the order of time, and keeps it up to date."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inbox import contacts, conversations
from inbox import log as logbook
from inbox.findable import DIRECTIONS, parts
from inbox.index import Document, Index
from inbox.log import Entry
from inbox.partitions import COUNT, key, parse_id, position, tag
from inbox.store import Store
from inbox.timeline import where

log = logging.getLogger(__name__)

BATCH = 256
ABREAST = 4
"""Logs that are read at once: the store answers nobody else meanwhile."""

REMEMBERED = 20_000
REFRESHED = 100
OF_CONVERSATION = frozenset({logbook.PLACED, logbook.REPLY, logbook.NOTE, logbook.STATE})


@dataclass(slots=True)
class Stretch:
    """What was read ahead of one log; *more*: there may be more behind it."""

    entries: deque[Entry] = field(default_factory=deque)
    read: str = "0-0"
    more: bool = True


class Indexing:
    """Follows every log for one index. *now* is in milliseconds."""

    def __init__(self, store: Store, index: Index, now: Callable[[], int]) -> None:
        self._store = store
        self.index = index
        self._now = now
        self._stretches = [Stretch(read=place) for place in index.places()]
        self._recent: dict[tuple[int, str], Entry] = {}
        self.entries = int(index.fact("entries") or 0)
        self.behind = 0.0
        self.caught_up = False

    async def turn(self) -> bool:
        """Take in what comes next; tell whether there may be more at once. Raises `StoreError`, `sqlite3.Error`."""
        await self._read_ahead()
        entries = self._next()
        full = any(one.more or one.entries for one in self._stretches)
        try:
            if entries:
                await self._take(entries)
            self.behind = max(0.0, (self._now() - entries[-1].ms) / 1000) if full and entries else 0.0
            stale = not full and await self._refresh()
            self.index.commit()
        except BaseException:
            self.index.rollback()
            self._again()
            raise
        self.caught_up = not full and not stale
        return not self.caught_up or self.index.settle()

    async def missing(self) -> bool:
        """Tell whether a log ends before the place up to which it was read: then this index is of another store."""
        ends = await self._store.each(
            [(tag(p), ("XREVRANGE", key(p, "log"), "+", "-", "COUNT", 1)) for p in range(COUNT)]
        )
        last = [position(found[0][0]) if found else (0, 0) for found in ends]
        return any(position(place) > end for place, end in zip(self.index.places(), last, strict=True))

    async def _read_ahead(self) -> None:
        """Fetch more of the logs of which little is left. A log that cannot be read holds the others up."""
        short = [p for p, one in enumerate(self._stretches) if len(one.entries) < BATCH // 2]
        for some in (short[at : at + ABREAST] for at in range(0, len(short), ABREAST)):
            found = await asyncio.gather(
                *(logbook.read(self._store, p, self._stretches[p].read, BATCH) for p in some), return_exceptions=True
            )
            faults = [one for one in found if isinstance(one, BaseException)]
            if faults:
                raise faults[0]
            for p, entries in zip(some, found, strict=True):
                stretch = self._stretches[p]
                assert isinstance(entries, list)  # a fault was raised above
                stretch.entries.extend(entries)
                stretch.more = len(entries) == BATCH
                if entries:
                    stretch.read = entries[-1].id

    def _next(self) -> list[Entry]:
        """Return what is known to be next of all logs together, in the order of time."""
        ahead = [one.entries[-1].ms for one in self._stretches if one.more and one.entries]
        horizon = min(ahead, default=1 << 62)
        found: list[Entry] = []
        for stretch in self._stretches:
            while stretch.entries and stretch.entries[0].ms <= horizon:
                found.append(stretch.entries.popleft())
        return sorted(found, key=lambda entry: (position(entry.id), entry.partition))

    async def _take(self, entries: Sequence[Entry]) -> None:
        """Write one stretch of time and the places behind it, as one transaction."""
        for entry in entries:
            if entry.type in logbook.INBOUND:
                self._recent[entry.partition, entry.id] = entry
        while len(self._recent) > REMEMBERED:
            del self._recent[next(iter(self._recent))]
        origins = await self._origins(entries)
        for entry in entries:
            try:
                self._one(entry, origins)
            except (KeyError, ValueError):  # a fault of ours in one entry; the others can be found all the same
                log.exception("entry %s of partition %d cannot be indexed", entry.id, entry.partition)
        self.entries += len(entries)
        self.index.mark({entry.partition: entry.id for entry in entries})
        self.index.keep(entries=self.entries)
        self.index.commit()

    async def _origins(self, entries: Sequence[Entry]) -> dict[tuple[int, str], Entry]:
        """Return the messages that are placed by *entries*; most of them came by a moment before."""
        placed = [where(one.partition, f"m{one.fields['m']}") for one in entries if one.type == logbook.PLACED]
        known = {place: self._recent.pop(place) for place in placed if place in self._recent}
        rest = [place for place in dict.fromkeys(placed) if place not in known]
        found = await logbook.fetch(self._store, rest)
        return known | {place: entry for place, entry in zip(rest, found, strict=True) if entry is not None}

    def _one(self, entry: Entry, origins: dict[tuple[int, str], Entry]) -> None:
        fields = entry.fields
        if entry.type == logbook.CONTACT:
            self.index.touch_contact(f"k{entry.partition}-{fields['k']}")
            return
        if not fields.get("c"):
            return
        conversation = f"c{entry.partition}-{fields['c']}"
        if entry.type == logbook.FORGOTTEN:
            self.index.forget(conversation)
            return
        if entry.type not in OF_CONVERSATION:
            return
        message = origins.get(where(entry.partition, f"m{fields['m']}")) if entry.type == logbook.PLACED else entry
        if message is not None and message.type in DIRECTIONS:
            self._add(message, conversation)
        self.index.touch(conversation)

    def _add(self, message: Entry, conversation: str) -> None:
        ms, sequence = position(message.id)
        self.index.add(
            Document(
                message.partition,
                ms,
                sequence,
                conversation,
                DIRECTIONS[message.type],
                int(message.fields.get("at") or ms),
                parts(message),
            )
        )

    async def _refresh(self) -> bool:
        """Read some of the conversations again that have changed; tell whether there may be more."""
        names = self.index.stale(REFRESHED)
        if not names:
            return False
        found = await conversations.load_many(self._store, [parse_id(name, "c") for name in names])
        known = [one for one in found if one is not None]
        people = [fields for _, fields in await contacts.load_many(self._store, [one.contact for one in known])]
        for name, one in zip(names, found, strict=True):
            if one is None:
                self.index.forget(name)
        for one, contact in zip(known, people, strict=True):
            self.index.describe(one, contact)
        return True

    def _again(self) -> None:
        """Read everything again that was not written."""
        self._stretches = [Stretch(read=place) for place in self.index.places()]
        self._recent.clear()
        self.entries = int(self.index.fact("entries") or 0)


async def length(store: Store) -> int:
    """Return how many entries all logs have together. Raises `StoreError`."""
    return sum(await store.each([(tag(p), ("XLEN", key(p, "log"))) for p in range(COUNT)]))
