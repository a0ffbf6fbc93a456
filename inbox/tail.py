"""The end of all logs, followed once per process for everybody who listens, and not at all while nobody does.

What was told last is kept for all listeners together, so that one costs a place in it and no queue. Whoever falls
behind it reads the log instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from inbox import log as logbook
from inbox.bookmarks import START, Bookmark, Place, encode
from inbox.bulletins import Bulletin
from inbox.log import Entry
from inbox.partitions import COUNT, key, position, tag
from inbox.press import Press
from inbox.store import Refused, Store, StoreError
from inbox.wakes import Wakes

log = logging.getLogger(__name__)

BATCH = 64
LOOK = 1.0  # bells may be missed: every log is looked at so often
WARM = 0.05  # a message is placed moments after it is logged, which rings no bell
WARM_FOR = 1.0
PAUSE = 0.3
LINGER = 30.0  # who reconnects soon finds the tail where it was
KEPT = 1_000
KEPT_BYTES = 8 << 20
ALL: frozenset[str] = frozenset()


@dataclass(slots=True)
class Sheet:
    """The events of one entry, and the places before and behind it; *source* is the hub's address."""

    entry: Entry
    bulletins: tuple[Bulletin, ...]
    before: tuple[Place, ...]
    after: tuple[Place, ...]
    at: int
    source: str
    _blocks: dict[tuple[int, bool], bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """About how many bytes it holds: each event is kept as it is told, and the entry with it."""
        return 2_000 + 3 * sum(map(len, self.entry.fields.values()))

    def block(self, one: Bulletin, *, last: bool) -> bytes:
        """Return an event as a server-sent one; *last* if nobody needs more of this entry."""
        known = self._blocks.get((one.ordinal, last))
        if known is None:
            mark = Bookmark(self.at, self.after)
            if not last:
                mark = Bookmark(self.at, self.before).inside(self.entry.partition, one.ordinal + 1)
            body = msgspec.json.encode(one.cloud_event(self.source))
            known = self._blocks[one.ordinal, last] = b"id: %s\ndata: %s\n\n" % (encode(mark).encode(), body)
        return known


class Tail:
    """What is appended to any partition's log, in the order of each, as sheets of public events."""

    def __init__(
        self, store: Store, wakes: Wakes, press: Press, source: Callable[[], str], now: Callable[[], int]
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._press = press
        self._source = source
        self._now = now
        self._sheets: deque[Sheet] = deque()
        self._size = 0
        self._types: Counter[frozenset[str]] = Counter()
        self._generation = 0
        self._wanted = asyncio.Event()
        self._hurry = False
        self._bell = asyncio.Event()
        self._news = asyncio.Event()
        self._looks = asyncio.Event()
        self._looked = 0
        self.first = 0
        self.places: tuple[Place, ...] = ()

    @property
    def end(self) -> int:
        """The number of the next sheet."""
        return self.first + len(self._sheets)

    @contextmanager
    def listening(self, types: frozenset[str]) -> Iterator[None]:
        """Have events of *types* (none = all) told from now on."""
        self._types[types] += 1
        self._generation += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._types[types] -= 1
            self._types += Counter()  # forget what nobody wants any more

    async def look(self) -> None:
        """Return when every log was looked at after this call."""
        target = self._looked + 2  # a look that is under way may have passed a log already
        while self._looked < target:
            self._hurry = True
            self._bell.set()
            await self._looks.wait()

    def since(self, number: int) -> list[Sheet]:
        """Return the sheets from *number* on, which must not lie before `first`."""
        return [self._sheets[index] for index in range(number - self.first, len(self._sheets))]

    async def wait(self, number: int, seconds: float) -> bool:
        """Wait up to *seconds* for a sheet with this *number*; tell whether there is one."""
        if self.end > number:
            return True
        try:
            async with asyncio.timeout(seconds):
                while self.end <= number:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Follow while anybody listens, for ever."""
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
            except StoreError as error:
                log.debug("the tail waits for the store: %s", error)
                await asyncio.sleep(PAUSE)
            except Exception:
                log.exception("the tail failed; it goes on where it was")
                await asyncio.sleep(PAUSE)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        if not self.places:
            self.places = tuple(place for place, _ in await ends(self._store, range(COUNT)))
        heard: set[str] = set()
        warm: dict[int, float] = {}
        full_at = quiet_since = loop.time()
        with self._wakes.listen_to([f"p{partition}" for partition in range(COUNT)], heard) as self._bell:
            while True:
                now = loop.time()
                if self._types:
                    quiet_since = now
                elif now > quiet_since + LINGER:
                    self._stop()
                    return
                full = now >= full_at or self._hurry
                self._hurry = False
                self._bell.clear()
                rung = {int(name[1:]) for name in heard}
                heard.clear()
                warm = {one: until for one, until in warm.items() if until > now}
                found, more = await self._read(range(COUNT) if full else sorted(rung | warm.keys()))
                warm |= dict.fromkeys(rung | found, loop.time() + WARM_FOR)
                if full:
                    full_at = loop.time() + LOOK
                    self._looked += 1
                    looks, self._looks = self._looks, asyncio.Event()
                    looks.set()
                if warm and not self._hurry:
                    await asyncio.sleep(0 if more else WARM)  # what rings meanwhile is read with it
                elif not more:
                    alarm = loop.call_later(max(0.0, full_at - loop.time()), self._bell.set)
                    await self._bell.wait()
                    alarm.cancel()

    async def _read(self, partitions: Sequence[int]) -> tuple[set[int], bool]:
        """Take what is new in *partitions*; return where something was, and whether there may be more."""
        if not partitions:
            return set(), False
        read = await asyncio.gather(
            *(logbook.read(self._store, one, "{}-{}".format(*self.places[one]), BATCH) for one in partitions)
        )
        entries = sorted(
            (entry for batch in read for entry in batch), key=lambda one: (position(one.id), one.partition)
        )
        if not entries:
            return set(), False
        while True:
            generation = self._generation
            bulletins = await self._press.bulletins(entries, self._anybody_wants)
            if generation == self._generation:
                break  # else somebody has come who may want more of them
        for entry, found in zip(entries, bulletins, strict=True):
            self._append(entry, found)
        news, self._news = self._news, asyncio.Event()
        news.set()
        return {entry.partition for entry in entries}, any(len(batch) == BATCH for batch in read)

    def _anybody_wants(self, name: str) -> bool:
        return any(not types or name in types for types in self._types)

    def _append(self, entry: Entry, found: tuple[Bulletin, ...]) -> None:
        before = self.places
        self.places = moved(before, entry)
        if not found:
            return
        sheet = Sheet(entry, found, before, self.places, self._now(), self._source())
        self._sheets.append(sheet)
        self._size += sheet.size
        while len(self._sheets) > KEPT or self._size > KEPT_BYTES:
            self._size -= self._sheets.popleft().size
            self.first += 1

    def _stop(self) -> None:
        self._wanted.clear()
        self.first = self.end
        self._sheets.clear()
        self._size = 0
        self.places = ()


def moved(places: tuple[Place, ...], entry: Entry) -> tuple[Place, ...]:
    """Return *places* after *entry* is done with."""
    return (*places[: entry.partition], position(entry.id), *places[entry.partition + 1 :])


async def ends(store: Store, partitions: Sequence[int]) -> list[tuple[Place, Place]]:
    """Return of each partition's log the last place, and the one before which something is gone.

    Raises `StoreError`.
    """

    async def end(partition: int) -> tuple[Place, Place]:
        try:
            flat = await store.do(tag(partition), "XINFO", "STREAM", key(partition, "log"))
        except Refused as refusal:
            if "no such key" not in str(refusal):
                raise
            return START, START
        told = dict(zip(flat[::2], flat[1::2], strict=True))
        last, gone = position(told["last-generated-id"]), position(told["max-deleted-entry-id"])
        if told["entries-added"] > told["length"]:  # what was cut off at the beginning is counted nowhere else
            milliseconds, sequence = position(told["first-entry"][0]) if told["first-entry"] else last
            gone = max(gone, (milliseconds, sequence - 1))
        return last, gone

    return list(await asyncio.gather(*map(end, partitions)))
