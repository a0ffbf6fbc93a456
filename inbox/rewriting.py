"""Take words out of a log for good.

A stream's entries cannot be changed, so the log is copied beside itself, with what is to go replaced, and the copy
takes its place: every position, the order and all counts stay as they were.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

import msgspec

from inbox import log as logbook
from inbox.log import Entry
from inbox.partitions import COUNT, key, new_key, tag
from inbox.store import Script, Store, Word

REWRITE = Script.load(Path(__file__).parent / "scripts" / "rewrite.lua")
MENTIONS = Script.load(Path(__file__).parent / "scripts" / "mentions.lua")
CHUNK = 400
"""Entries of one script: it holds the store for some milliseconds."""

KEPT = 3_600
"""Seconds after which the copy of a process that died goes by itself."""

TRIES = 8


class Disturbed(Exception):
    """Others rewrote the same log again and again meanwhile."""


async def entries(store: Store, partition: int) -> AsyncIterator[Entry]:
    """Yield every entry of a log, oldest first. Raises `StoreError`."""
    after = "0-0"
    while True:
        found = await logbook.read(store, partition, after, CHUNK)
        for entry in found:
            yield entry
        if len(found) < CHUNK:
            return
        after = found[-1].id


async def rewrite(store: Store, partition: int, replaced: Mapping[str, Mapping[str, str]]) -> None:
    """Give the entries at the positions of *replaced* these fields. Raises `Disturbed`, `StoreError`."""
    if not replaced:
        return
    keys = [key(partition, "log"), key(partition, f"log:copy:{new_key()}")]
    for _ in range(TRIES):
        number = str(await store.run(REWRITE, tag(partition), keys, ("begin",)))
        after, verdict = "", "more"
        while verdict == "more":
            # What follows the copied part can only be new, and nothing of what is new is replaced.
            window = [entry.id for entry in await logbook.read(store, partition, after or "0-0", CHUNK)]
            part = {one: [word for pair in replaced[one].items() for word in pair] for one in window if one in replaced}
            packed = msgspec.msgpack.encode(part)
            verb = "copy" if len(window) == CHUNK else "end"
            arguments: tuple[Word, ...] = (verb, after, CHUNK, packed, KEPT, number)
            verdict, after = await store.run(REWRITE, tag(partition), keys, arguments)
        if verdict == "done":
            return
    raise Disturbed(f"the log of partition {partition}")


async def mentioned(store: Store, files: Collection[str]) -> set[str]:
    """Return which of *files* (hashes) any log still needs. Raises `StoreError`."""
    found: set[str] = set()
    for partition in range(COUNT):
        after = ""
        while left := [one for one in files if one not in found]:
            reply = await store.run(MENTIONS, tag(partition), [key(partition, "log")], (after, CHUNK, *left))
            after, *there = reply
            found |= set(there)
            if not after:
                break
    return found
