"""Readers follow every partition in order, remember where they are, and hand over without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inbox import readers as module
from inbox.attachments import Attachments
from inbox.chores import Chore
from inbox.conversations import Change, commit
from inbox.leases import Fenced, Held
from inbox.log import Entry
from inbox.partitions import COUNT, key, tag
from inbox.readers import Reader, Readers
from inbox.recording import Recorder
from inbox.store import Store, StoreDown
from inbox.wakes import Wakes
from tests.backroom import eventually, message, opened

LIMIT = 30.0


@dataclass
class Notes:
    """What one reader saw, in order; *fail* may raise for an entry."""

    seen: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    fail: Callable[[Entry], Awaitable[None]] | None = None

    async def handle(self, held: Held, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if self.fail is not None:
                await self.fail(entry)
            await commit(STORES[-1], held.partition, Change(epoch=held.epoch))
        async with self.changed:
            self.seen += [entry.fields["tx"] for entry in entries]
            self.changed.notify_all()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(LIMIT), self.changed:
            await self.changed.wait_for(lambda: len(self.seen) >= count)


STORES: list[Store] = []


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with opened(store_url) as store:
        STORES.append(store)
        yield store


@asynccontextmanager
async def reading(store: Store, place: str, notes: Notes, started: int = 1) -> AsyncIterator[Readers]:
    """Run a worker with one reader."""
    readers = Readers(store, Wakes(store), place, started, [Reader("test", notes.handle)])
    task = asyncio.create_task(readers.run())
    try:
        yield readers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def write(store: Store, tmp_path: Path) -> Callable[[str, int], Awaitable[None]]:
    recorder = Recorder(store, Wakes(store), Attachments(tmp_path))

    async def write(text: str, customer: int = 0) -> None:
        await recorder.record("shop", [message(text, f"tel:{customer}", now=1)])

    return write


Write = Callable[..., Awaitable[None]]


async def test_entries_come_in_order_once(store: Store, write: Write) -> None:
    """What one customer writes is read in order, each entry once, before and after the reader starts."""
    notes = Notes()
    for number in range(150):
        await write(f"{number:03}")
    async with reading(store, "one", notes):
        await notes.until(150)
        for number in range(150, 200):
            await write(f"{number:03}")
        await notes.until(200)

    assert [f"{number:03}" for number in range(200)] == notes.seen


async def test_a_restarted_reader_goes_on_where_it_was(store: Store, write: Write) -> None:
    """The position is the store's: a new worker reads only what is new."""
    first, second = Notes(), Notes()
    await write("a")
    async with reading(store, "one", first):
        await first.until(1)
    await write("b")
    async with reading(store, "one", second, 2):
        await second.until(1)

    assert (["a"], ["b"]) == (first.seen, second.seen)


async def test_who_dies_again_and_again_gets_on(store: Store, write: Write) -> None:
    """Of a long backlog the first few entries are read alone and remembered, before any more are begun."""
    for number in range(100):
        await write(f"{number:03}")
    notes, died = Notes(), asyncio.Event()

    async def die(entry: Entry) -> None:
        if notes.seen:
            died.set()
            await asyncio.Event().wait()

    notes.fail = die
    [partition] = [p for p in range(COUNT) if await store.do(tag(p), "EXISTS", key(p, "log"))]
    async with reading(store, "one", notes):
        async with asyncio.timeout(LIMIT):
            await died.wait()
        assert await store.do(tag(partition), "HEXISTS", key(partition, "pos"), "test")
    assert 0 < len(notes.seen) < 50


async def test_two_workers_share_and_take_over(store: Store, write: Write) -> None:
    """Two workers read everything between them; when one stops the other reads on."""
    one, two = Notes(), Notes()
    async with reading(store, "one", one) as left:
        async with reading(store, "two", two):
            for number in range(60):
                await write(f"{number}", number)
            await eventually(lambda: len(set(one.seen) | set(two.seen)) == 60)
        await eventually(lambda: len(left.leases.held) == COUNT)
        for number in range(60, 80):
            await write(f"{number}", number)
        await eventually(lambda: {f"{number}" for number in range(60, 80)} <= set(one.seen))

    assert {f"{number}" for number in range(80)} == set(one.seen) | set(two.seen)


async def test_what_fails_is_read_again_in_order(store: Store, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault, or a store that is away for a moment, skips nothing and stops nothing."""
    monkeypatch.setattr(module, "LOOK", 0.05)
    monkeypatch.setattr(module, "PAUSE", 0.01)
    faults: list[Exception] = [RuntimeError("a bug"), StoreDown("away"), RuntimeError("again")]

    async def fail(entry: Entry) -> None:
        if faults:
            raise faults.pop()

    notes = Notes(fail=fail)
    for number in range(5):
        await write(f"{number}")
    async with reading(store, "one", notes):
        await notes.until(5)

    assert ["0", "1", "2", "3", "4"] == notes.seen


async def test_what_always_fails_is_left_out(store: Store, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that a reader fails on again and again is counted and left out; those before and behind it are read."""
    monkeypatch.setattr(module, "LOOK", 0.01)

    async def fail(entry: Entry) -> None:
        if entry.fields["tx"] == "2":
            raise RuntimeError("a bug")

    notes = Notes(fail=fail)
    for number in range(5):
        await write(f"{number}")
    async with reading(store, "one", notes) as readers:
        await notes.until(4)

    assert ["0", "1", "3", "4"] == notes.seen
    assert {"test": 1} == readers.left_out


async def test_a_reader_that_lost_its_partition_leaves_no_position(store: Store, write: Write) -> None:
    """A fenced reader stores nothing: whoever took over reads the same entries."""
    await write("a")
    gate, entered = asyncio.Event(), asyncio.Event()

    async def wait(entry: Entry) -> None:
        entered.set()
        await gate.wait()

    stalled, other = Notes(fail=wait), Notes()
    async with reading(store, "one", stalled) as readers:
        async with asyncio.timeout(LIMIT):
            await entered.wait()
        [partition] = [p for p in range(COUNT) if await store.do(tag(p), "EXISTS", key(p, "log"))]
        async with reading(store, "one", other, 2):
            await other.until(1)
            gate.set()
            await eventually(lambda: partition not in readers.leases.held)

    assert ([], ["a"]) == (stalled.seen, other.seen)


async def test_a_chore_runs_by_its_bell_and_by_its_clock(store: Store) -> None:
    """It is run at once, when something rings, and when the time that it named has come; a fault does not end it."""
    wakes = Wakes(store)
    ran = asyncio.Event()
    runs = 0

    async def turn(held: Held) -> int | None:
        nonlocal runs
        runs += 1
        ran.set()
        if runs == 2:
            raise RuntimeError("a bug")
        return 1 if runs == 3 else None

    task = asyncio.create_task(Chore(wakes, "p", turn, lambda: 2).follow(Held(3, "1")))
    async with asyncio.timeout(LIMIT):
        for rings in (False, True, True, False):
            if rings:
                wakes.ring(["p3"])
            await ran.wait()
            ran.clear()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert runs >= 4


def test_fenced_says_nothing_of_anybody() -> None:
    """The error that readers see most often holds no data."""
    assert "" == str(Fenced())
