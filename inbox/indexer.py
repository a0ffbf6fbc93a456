"""The process that keeps this machine's search index: one for all hub processes here, behind all of them in line.

It is a child of one of them, reads the logs like everybody, and is the only one that writes the index. It ends with
its parent. Started as `python -m inbox.indexer` with an `Errand` on its standard input, which stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from inbox.generations import Generations
from inbox.index import VERSION, Index, fresh
from inbox.indexing import Indexing, length
from inbox.logs import configure
from inbox.partitions import shared_key
from inbox.store import Store, StoreError, Topology

log = logging.getLogger(__name__)

POLL = 0.5
SHARE = 1.0
PAUSE = 2.0
NICE = 10
WANTED = shared_key("hub", "search:wanted")
"""When somebody last asked for a new index, in milliseconds; every machine builds one that is younger."""

STATES = shared_key("hub", "search")
"""How the index of each machine stands: machine -> `Standing`."""


class Errand(msgspec.Struct, frozen=True):
    """What the child is told: where the store and the index are, and how it is called."""

    url: str
    password: str
    folder: str
    machine: str


class Standing(msgspec.Struct, frozen=True):
    """How an index stands. *behind* is in seconds, *progress* of what is being built from 0 to 1, *at* in ms."""

    state: str
    messages: int = 0
    behind: float = 0.0
    progress: float = 1.0
    size: int = 0
    built: int = 0
    at: int = 0


def now_ms() -> int:
    """Return the wall clock in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Indexer:
    """Keeps the generation that is in use up to date, and builds another one when that is wanted."""

    def __init__(self, store: Store, generations: Generations, machine: str, now: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._generations = generations
        self._machine = machine
        self._now = now
        self._current: Indexing | None = None
        self._next: Indexing | None = None
        self._total = 0
        self._shared = 0.0
        self._store_id = ""

    async def run(self) -> None:
        """Work for ever."""
        while True:
            try:
                more = await self.turn()
            except StoreError as error:
                log.debug("the search index waits for the store: %s", error)
                await asyncio.sleep(PAUSE)
            except sqlite3.OperationalError as error:  # a full disk, a file that was taken away
                log.warning("the search index cannot be written: %s", error)
                self._check()
                await asyncio.sleep(PAUSE)
            except sqlite3.DatabaseError as error:
                log.error("the search index is broken and is built anew: %s", error)  # noqa: TRY400  # told in a line
                self.drop()
            else:
                await asyncio.sleep(0 if more else POLL)

    async def turn(self) -> bool:
        """Do some work; tell whether there is more at once. Raises `StoreError`, `sqlite3.Error`."""
        wanted = await self._store.do("hub", "GET", WANTED) or "0"
        self._check()
        if self._current is None:
            self._current = await self._opened(wanted)
        if self._next is None and self._current.index.fact("wanted") != wanted:
            self._next = await self._fresh(wanted)
        more = await self._current.turn()
        if self._current.caught_up and not self._current.index.fact("built"):
            self._finished(self._current)
        if self._next is not None:
            more = await self._next.turn() or more
            if self._next.caught_up:
                self._swap(self._next)
        if time.monotonic() > self._shared + SHARE:
            await self._share()
            self._shared = time.monotonic()
        return more

    def drop(self) -> None:
        """Give all files up."""
        for one in (self._current, self._next):
            if one is not None:
                one.index.close()
        self._current = self._next = None
        self._generations.sweep()

    def close(self) -> None:
        """Close the files; what was committed stays."""
        for one in (self._current, self._next):
            if one is not None:
                one.index.rollback()
                one.index.close()
        self._current = self._next = None

    def _check(self) -> None:
        """Begin anew if somebody took the files away."""
        for one in (self._current, self._next):
            if one is not None and not one.index.path.exists():
                log.warning("the search index was taken away and is built anew")
                self.drop()
                return
        if self._current is not None and self._generations.current() != self._current.index.path:
            self._generations.use(self._current.index.path)

    async def _opened(self, wanted: str) -> Indexing:
        """Open the generation that is in use; make one if there is none that fits."""
        self._store_id = await self._identity()
        path = self._generations.current()
        if path is not None:
            index = Index(path)
            if index.fact("version") == VERSION and index.fact("store") == self._store_id:
                found = Indexing(self._store, index, self._now)
                if not await found.missing():
                    self._generations.sweep(path)
                    self._total = await length(self._store)
                    return found
            log.warning("the search index is of another version or store and is built anew")
            index.close()
        self._generations.sweep()
        found = await self._fresh(wanted)
        self._generations.use(found.index.path)
        return found

    async def _fresh(self, wanted: str) -> Indexing:
        """Begin a new generation."""
        self._total = await length(self._store)
        log.info("a search index of %d entries is being built", self._total)
        facts = [("store", self._store_id), ("wanted", wanted), ("began", str(self._now()))]
        return Indexing(self._store, fresh(self._generations.fresh(), facts), self._now)

    async def _identity(self) -> str:
        """Name the store and its life, so that an index of another one is known. Raises `StoreError`."""
        commands = [("GET", shared_key("hub", name)) for name in ("signing_key", "restored")]
        known = [one for one in await self._store.many("hub", commands) if one]
        return hashlib.sha256(" ".join(("search", *known)).encode()).hexdigest()[:16]

    def _finished(self, one: Indexing) -> None:
        seconds = (self._now() - int(one.index.fact("began"))) / 1000
        one.index.keep(built=self._now())
        one.index.commit()
        log.info("the search index is built: %d messages in %.0f s", one.index.messages(), seconds)

    def _swap(self, one: Indexing) -> None:
        """Let the new generation answer, and delete the old one."""
        assert self._current is not None
        self._finished(one)
        self._generations.use(one.index.path)
        self._current.index.close()
        self._current, self._next = one, None
        self._generations.sweep(one.index.path)

    async def _share(self) -> None:
        """Tell everybody how it stands. Raises `StoreError`."""
        await self._store.do("hub", "HSET", STATES, self._machine, msgspec.json.encode(self.standing()))

    def standing(self) -> Standing:
        """Return how the index stands."""
        current, building = self._current, self._next
        if current is None:
            return Standing("building", progress=0.0, at=self._now())
        built = int(current.index.fact("built") or 0)
        under_way = building or (None if built else current)
        progress = 1.0 if under_way is None else min(0.999, under_way.entries / max(1, self._total))
        state = "rebuilding" if building is not None else "ready" if built else "building"
        return Standing(
            state,
            current.index.messages(),
            round(current.behind, 3),
            round(progress, 4),
            self._generations.size(),
            built,
            self._now(),
        )


async def work(errand: Errand) -> None:
    """Keep the index until the parent is gone or says that it is over."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches both; the parent says when it is over
    loop.add_reader(sys.stdin.fileno(), stop.set)  # nothing more is ever written there: it is the end of it
    store = Store(Topology(errand.url, errand.password or None), ())
    indexer = Indexer(store, Generations(Path(errand.folder)), errand.machine)
    task = loop.create_task(indexer.run())
    ended = loop.create_task(stop.wait())
    try:
        await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for one in (task, ended):
            one.cancel()
        await asyncio.gather(task, ended, return_exceptions=True)
        indexer.close()
        await store.close()


def stand_back() -> None:
    """Leave most of the CPU to others, and never take it from one of them on waking (Linux: SCHED_BATCH, sched(7)).

    Not SCHED_IDLE: on a machine that is busy for long the index would stand still.
    """
    os.nice(NICE)
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main() -> None:
    """Run the child."""
    stand_back()
    configure("console")
    errand = msgspec.json.decode(sys.stdin.buffer.readline(), type=Errand)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(work(errand))


if __name__ == "__main__":
    main()
