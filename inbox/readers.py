"""Readers of the log: each follows every partition that this worker owns, in order, and remembers its position.

The log is read once for all of them. Where they are is stored twice a second, not after every entry:
handling an entry again changes nothing, and a worker that dies leaves half a second to be handled again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inbox import log as logbook
from inbox.leases import Fenced, Held, Leases
from inbox.partitions import key, tag
from inbox.store import Script, Store, StoreError
from inbox.wakes import Wakes

log = logging.getLogger(__name__)

FIRST = 16
BATCH = 128
LOOK = 1.0
PAUSE = 0.2
SAVE = 0.5
TRIES = 5
"""After so many failures in a row a reader gets its entries one by one, and leaves out those that it fails on."""

ADVANCE = Script.load(Path(__file__).parent / "scripts" / "advance.lua")


@dataclass(frozen=True, slots=True)
class Reader:
    """A named follower of the log. *handle* must be safe to run again on the same entries."""

    name: str
    handle: Callable[[Held, Sequence[logbook.Entry]], Awaitable[None]]


@dataclass(slots=True)
class Place:
    """How far each reader is in a partition, by name.

    *saved_at* is when the store last learned it, *resting* until when a reader that failed is left alone;
    both in the event loop's time. *failures* tells how often in a row it failed. *batch* is how many entries are read
    at a time.
    """

    held: Held
    positions: dict[str, str]
    saved_at: float
    resting: dict[str, float] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    unsaved: bool = False
    batch: int = FIRST


class Readers:
    """Runs all readers, and other *chores* of a partition's owner, over all partitions that this worker holds."""

    def __init__(
        self,
        store: Store,
        wakes: Wakes,
        place: str,
        started: int,
        readers: Sequence[Reader],
        chores: Sequence[Callable[[Held], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._readers = tuple(readers)
        self._chores = tuple(chores)
        self._tasks: dict[int, list[asyncio.Task[None]]] = {}
        self._owners: set[asyncio.Task[None]] = set()
        self._places: dict[int, Place] = {}
        self.leases = Leases(store, place, started, self._start, self._stop)
        self.left_out: Counter[str] = Counter()

    async def run(self) -> None:
        """Hold partitions and follow their logs until cancelled; then give them up."""
        try:
            await self.leases.run()
        finally:
            unsaved = [place for place in self._places.values() if place.unsaved]
            for partition in list(self._tasks):
                self._stop(partition)
            await asyncio.gather(*self._owners, return_exceptions=True)
            try:
                async with asyncio.timeout(2.0):
                    await asyncio.gather(*(self._save(place) for place in unsaved), return_exceptions=True)
                    await self.leases.close()
            except (StoreError, TimeoutError):
                log.warning("partitions were not given up; others take them over in seconds")

    def _start(self, held: Held) -> None:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._follow(held), name=f"readers-{held.partition}")]
        tasks += [loop.create_task(follow(held)) for follow in self._chores]
        self._tasks[held.partition] = tasks
        for task in tasks:
            self._owners.add(task)
            task.add_done_callback(self._owners.discard)

    def _stop(self, partition: int) -> None:
        self._places.pop(partition, None)
        for task in self._tasks.pop(partition, []):
            task.cancel()

    async def _follow(self, held: Held) -> None:
        """Hand the partition's entries to every reader in order, for ever; leave when the partition is lost."""
        loop = asyncio.get_running_loop()
        with self._wakes.listen(f"p{held.partition}") as news:
            while True:
                try:
                    place = self._places.get(held.partition) or await self._open(held)
                    news.clear()
                    if await self._turn(place):
                        continue
                    wait = LOOK
                    if place.unsaved:
                        wait = place.saved_at + SAVE - loop.time()
                        if wait <= 0:
                            await self._save(place)
                            continue
                except Fenced:
                    log.info("partition %d was taken over by another worker", held.partition)
                    await self.leases.check(held.partition)
                    return
                except StoreError as error:
                    log.debug("the readers of partition %d wait: %s", held.partition, error)
                    await asyncio.sleep(PAUSE)
                    continue
                alarm = loop.call_later(wait, news.set)  # several times cheaper than a timeout around the wait
                await news.wait()
                alarm.cancel()

    async def _open(self, held: Held) -> Place:
        """Find where the readers were. Raises `StoreError`."""
        names = [reader.name for reader in self._readers]
        known = await self._store.do(tag(held.partition), "HMGET", key(held.partition, "pos"), *names)
        positions = {name: position or "0-0" for name, position in zip(names, known, strict=True)}
        # The first few entries are saved at once: who dies again and again within seconds still gets on.
        place = self._places[held.partition] = Place(held, positions, asyncio.get_running_loop().time() - SAVE)
        return place

    async def _turn(self, place: Place) -> bool:
        """Let every reader handle what comes next for it; True if there may be more. Raises `Fenced`, `StoreError`."""
        more = False
        now = asyncio.get_running_loop().time()
        ready = [reader for reader in self._readers if place.resting.get(reader.name, 0.0) <= now]
        for position in {place.positions[reader.name] for reader in ready}:  # one, unless a reader fell behind
            entries = await logbook.read(self._store, place.held.partition, position, place.batch)
            for reader in ready if entries else ():
                if place.positions[reader.name] == position and await self._handle(reader, place, entries):
                    more = more or len(entries) == place.batch
        place.batch = min(BATCH, place.batch * 2) if more else place.batch
        if place.unsaved and now > place.saved_at + SAVE:
            await self._save(place)
        return more

    async def _handle(self, reader: Reader, place: Place, entries: Sequence[logbook.Entry]) -> bool:
        """Let *reader* handle *entries*; False if it has to see them again. Raises `Fenced`, `StoreError`."""
        try:
            await reader.handle(place.held, entries)
        except (Fenced, StoreError):
            raise
        except Exception:
            log.exception("reader %s of partition %d failed", reader.name, place.held.partition)
            place.failures[reader.name] += 1
            if place.failures[reader.name] < TRIES:
                place.resting[reader.name] = asyncio.get_running_loop().time() + LOOK
                return False
            await self._one_by_one(reader, place, entries)
        place.failures[reader.name] = 0
        place.positions[reader.name] = entries[-1].id
        place.unsaved = True
        return True

    async def _one_by_one(self, reader: Reader, place: Place, entries: Sequence[logbook.Entry]) -> None:
        """Leave out what a fault of ours makes impossible: it stays in the log, and those behind it must not wait.

        Raises `Fenced`, `StoreError`.
        """
        for entry in entries:
            try:
                await reader.handle(place.held, [entry])
            except (Fenced, StoreError):
                raise
            except Exception:
                log.exception("reader %s of partition %d leaves %s out", reader.name, place.held.partition, entry.id)
                self.left_out[reader.name] += 1
            place.positions[reader.name] = entry.id
            place.unsaved = True

    async def _save(self, place: Place) -> None:
        """Remember in the store how far the readers are. Raises `Fenced`, `StoreError`."""
        held = place.held
        saved = [word for item in place.positions.items() for word in item]
        keys = [key(held.partition, "lease"), key(held.partition, "pos")]
        if not await self._store.run(ADVANCE, tag(held.partition), keys, (held.epoch, *saved)):
            raise Fenced
        place.unsaved = False
        place.saved_at = asyncio.get_running_loop().time()
