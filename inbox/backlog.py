"""What lies between two places of all logs: a little at a time, so that nothing of it waits in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from inbox import log as logbook
from inbox.bookmarks import Place
from inbox.log import Entry
from inbox.partitions import position
from inbox.store import Store

CHUNK = 8  # of each partition
MOST = 128


async def following(store: Store, after: Sequence[Place], upto: Sequence[Place]) -> list[Entry]:
    """Return what comes next behind *after*, by time and in the order of each log; nothing past *upto*.

    Nothing at all means that there is no more. Raises `StoreError`.
    """
    behind = [partition for partition, place in enumerate(after) if place < upto[partition]]
    read = await asyncio.gather(*(logbook.read(store, one, "{}-{}".format(*after[one]), CHUNK) for one in behind))
    # Of a partition that may have more, what comes after its last entry here is not known to be next.
    known = [position(entries[-1].id) for entries in read if len(entries) == CHUNK]
    limit = min(known, default=None)
    found = [
        (place, entry.partition, entry)
        for entries in read
        for entry in entries
        if (place := position(entry.id)) <= upto[entry.partition] and (limit is None or place <= limit)
    ]
    found.sort(key=lambda one: one[:2])
    return [entry for _, _, entry in found[:MOST]]
