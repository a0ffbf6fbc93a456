"""How many messages and outcomes of deliveries each day had, by channel: counted in the logs once, then kept.

A day that is over does not change any more: its counts are stored under its date and the zone, and kept. Nothing is
counted while messages come in. A day that nobody has asked about yet is counted when somebody does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from inbox.partitions import COUNT, key, shared_key, tag
from inbox.periods import Period
from inbox.store import Script, Store

log = logging.getLogger(__name__)

DIARY = Script.load(Path(__file__).parent / "scripts" / "diary.lua")
SLOT = "reports"
CHUNK = 200
AT_ONCE = 8
LATE = 600_000
"""Milliseconds after a day's end from which on its counts are final: clocks of several machines differ."""
KEPT_FOR = 1_100 * 86_400
WORDS = ("in", "out", "auto", "sent", "delivered", "read", "failed", "dead", "uncertain")


@dataclass(slots=True)
class Days:
    """The counts of a period by (word, channel); *missing* of its days could not be counted in the time there was."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: int = 0

    def total(self, word: str, channel: str = "") -> int:
        """Return how often something happened, on one channel or on all."""
        return sum(number for (one, where), number in self.counts.items() if one == word and channel in ("", where))

    def channels(self) -> list[str]:
        """Return every channel that occurs."""
        return sorted({channel for _, channel in self.counts})


async def days(store: Store, period: Period, limit: float) -> Days:
    """Count the days of *period* within *limit* seconds; whole days, except that the last one may not be over.

    Raises `StoreError`.
    """
    begun = time.monotonic()
    wanted = [one for one in period.days() if one[1] < min(period.until, period.now)]
    names = [shared_key(SLOT, f"day:{period.zone.key}:{date}") for date, _, _ in wanted]
    known = await store.do(SLOT, "MGET", *names) if names else []
    found = Days()
    for (_, begin, end), name, text in zip(reversed(wanted), reversed(names), reversed(known), strict=True):
        whole = begin >= period.since and end <= period.until
        if text and whole:
            counts = Counter(msgspec.json.decode(text, type=dict[str, int]))
        elif time.monotonic() - begun > limit:
            found.missing += 1
            continue
        else:
            counts = await _count(store, max(begin, period.since), min(end, period.until))
            if whole and end + LATE < period.now:
                await store.do(SLOT, "SET", name, msgspec.json.encode(counts), "EX", KEPT_FOR)
        for word, number in counts.items():
            what, _, channel = word.partition(" ")
            if what in WORDS:
                found.counts[what, channel] += number
    return found


async def _count(store: Store, since: int, until: int) -> Counter[str]:
    """Count what was logged from *since* to before *until* (ms) in all partitions. Raises `StoreError`."""
    total: Counter[str] = Counter()
    turns = asyncio.Semaphore(AT_ONCE)

    async def partition(number: int) -> None:
        async with turns:
            first = str(since)
            while True:
                arguments = (first, str(until - 1), CHUNK)
                last, count, *flat = await store.run(DIARY, tag(number), [key(number, "log")], arguments)
                for word, times in zip(flat[::2], flat[1::2], strict=True):
                    total[word] += int(times)
                if int(count) < CHUNK:
                    return
                first = f"({last}"

    async with asyncio.TaskGroup() as group:
        for number in range(COUNT):
            group.create_task(partition(number))
    return total
