"""Readers of the log: each follows every partition that this worker owns, in order, and remembers its position."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inbox import log as logbook
from inbox.leases import Fenced, Held, Leases
from inbox.partitions import key, tag
from inbox.store import Script, Store, StoreError
from inbox.wakes import Wakes

log = logging.getLogger(__name__)

BATCH = 128
LOOK = 1.0
PAUSE = 0.2
ADVANCE = Script.load(Path(__file__).parent / "scripts" / "advance.lua")


@dataclass(frozen=True, slots=True)
class Reader:
    """A named follower of the log. *handle* must be safe to run again on the same entries."""

    name: str
    handle: Callable[[Held, Sequence[logbook.Entry]], Awaitable[None]]


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
        self.leases = Leases(store, place, started, self._start, self._stop)
        self.lag: dict[str, float] = {}

    async def run(self) -> None:
        """Hold partitions and follow their logs until cancelled; then give them up."""
        try:
            await self.leases.run()
        finally:
            for partition in list(self._tasks):
                self._stop(partition)
            await asyncio.gather(*self._owners, return_exceptions=True)
            try:
                async with asyncio.timeout(2.0):
                    await self.leases.close()
            except (StoreError, TimeoutError):
                log.warning("partitions were not given up; others take them over in seconds")

    def _start(self, held: Held) -> None:
        tasks = [
            asyncio.get_running_loop().create_task(self._follow(reader, held), name=f"{reader.name}-{held.partition}")
            for reader in self._readers
        ]
        tasks += [asyncio.get_running_loop().create_task(follow(held)) for follow in self._chores]
        self._tasks[held.partition] = tasks
        for task in tasks:
            self._owners.add(task)
            task.add_done_callback(self._owners.discard)

    def _stop(self, partition: int) -> None:
        for task in self._tasks.pop(partition, []):
            task.cancel()

    async def _follow(self, reader: Reader, held: Held) -> None:
        """Handle the partition's entries in order, for ever; leave when the partition is lost."""
        partition = held.partition
        position: str | None = None
        with self._wakes.listen(f"p{partition}") as news:
            while True:
                try:
                    if position is None:
                        known = await self._store.do(tag(partition), "HGET", key(partition, "pos"), reader.name)
                        position = known or "0-0"
                    news.clear()
                    entries = await logbook.read(self._store, partition, position, BATCH)
                    if entries:
                        await reader.handle(held, entries)
                        await self._advance(reader, held, entries[-1].id)
                        position = entries[-1].id
                        continue
                except Fenced:
                    log.info("partition %d was taken over by another worker", partition)
                    await self.leases.check(partition)
                    return
                except StoreError as error:
                    log.warning("reader %s of partition %d waits: %s", reader.name, partition, error)
                    await asyncio.sleep(PAUSE)
                    continue
                except Exception:
                    # A fault of ours in one entry: say so and try again; handlers isolate single entries themselves.
                    log.exception("reader %s of partition %d failed", reader.name, partition)
                    await asyncio.sleep(LOOK)
                    continue
                try:
                    async with asyncio.timeout(LOOK):
                        await news.wait()
                except TimeoutError:
                    pass

    async def _advance(self, reader: Reader, held: Held, position: str) -> None:
        keys = [key(held.partition, "lease"), key(held.partition, "pos")]
        if not await self._store.run(ADVANCE, tag(held.partition), keys, (held.epoch, reader.name, position)):
            raise Fenced
