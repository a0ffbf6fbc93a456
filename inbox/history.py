"""What customers wrote and how it was placed, read out of the log again: a partition at a time, in little memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from inbox import log as logbook
from inbox.log import Entry
from inbox.placing import CLOCKS_DIFFER
from inbox.store import Store

CHUNK = 500
WAITING = 5_000
"""Messages whose placing was not read yet that are kept at hand; more of them are read a second time."""
PLACINGS = frozenset({logbook.PLACED, logbook.IGNORED})


@dataclass(slots=True)
class Chunk:
    """Part of a partition's history: how many *messages* it has, those that were *placed*, and up to when it reaches.

    *until* is in milliseconds since 1970 UTC. A message and its placing may be in different partitions; then it
    is among the messages of the one and the placed ones of the other.
    """

    messages: int = 0
    placed: list[tuple[Entry, Entry]] = field(default_factory=list)
    until: int = 0


async def history(store: Store, partition: int, since: int, until: int) -> AsyncIterator[Chunk]:
    """Yield the messages that were logged from *since* to before *until*, in the order in which they were placed.

    Times are in milliseconds since 1970 UTC. Raises `StoreError`.
    """
    waiting: OrderedDict[str, Entry] = OrderedDict()
    after = f"{max(0, since - CLOCKS_DIFFER)}-0"
    while True:
        entries = await logbook.read(store, partition, after, CHUNK)
        if not entries:
            return
        chunk = Chunk(until=entries[-1].ms)
        placings: list[tuple[Entry | None, Entry]] = []
        for entry in entries:
            if entry.type == logbook.MESSAGE:
                if since <= entry.ms < until:
                    chunk.messages += 1
                    waiting[entry.id] = entry
            elif entry.type in PLACINGS:
                message = waiting.pop(entry.fields["m"], None)
                if message is not None or _told(entry):
                    placings.append((message, entry))
        while len(waiting) > WAITING:
            waiting.popitem(last=False)
        chunk.placed = await _complete(store, partition, placings, since, until)
        yield chunk
        after = entries[-1].id


def _told(placing: Entry) -> bool:
    """Tell whether a decision is stored with *placing*: those of notices and echoes have none."""
    return "b" in placing.fields or "q" in placing.fields


async def _complete(
    store: Store, partition: int, placings: Sequence[tuple[Entry | None, Entry]], since: int, until: int
) -> list[tuple[Entry, Entry]]:
    """Fetch the messages that are not at hand: those of other partitions, and what waited too long."""
    missing: dict[str, tuple[int, str]] = {}
    for message, placing in placings:
        item = placing.fields["m"]
        position, _, abroad = item.partition("@")
        if message is None and since <= int(position.partition("-")[0]) < until:
            missing[item] = (int(abroad) if abroad else partition, position)
    fetched = dict(zip(missing, await logbook.fetch(store, list(missing.values())), strict=True))
    found: list[tuple[Entry, Entry]] = []
    for message, placing in placings:
        known = message or fetched.get(placing.fields["m"])
        if known is not None and known.type == logbook.MESSAGE:
            found.append((known, placing))
    return found
