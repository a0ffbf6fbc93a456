"""A candidate beside the rules in use: every decision is made a second time, without effect, and the two are compared.

It costs a quarter of a core at most: beyond that messages are not looked at, and counted as skipped. What it
found is shared by all processes through the store.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from inbox.partitions import shared_key
from inbox.store import Store
from router.effects import Judged, judge, outcome
from router.replay import FAILED, NOT_ASKED, Pair, known
from router.tally import Tally

log = logging.getLogger(__name__)

SHARE = 0.25
"""Of one core, what the candidate may take."""
BURST = 2.0
"""Seconds of its own time that the candidate may be ahead of its share."""
KEPT_FOR = 30 * 24 * 3600
"""Seconds that counts are kept after the last message."""
SLOT = "shadow"
OUTCOMES = ("moved", "unchanged", "unrouted", "undecidable", "skipped")


class Shadow:
    """The comparison of this process. *counts* go on when the rules change, the tally begins anew."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.perf_counter) -> None:
        self.pair: Pair | None = None
        self.tally = Tally()
        self.counts: Counter[str] = Counter()
        self._store = store
        self._clock = clock
        self._process = secrets.token_hex(6)
        self._spent = 0.0
        self._shared = b""
        self._complained = False

    def use(self, pair: Pair | None) -> None:
        """Compare *pair* from now on, None for nothing."""
        known = self.pair
        if pair is None or known is None or name(pair) != name(known):
            self.tally, self._shared, self._complained = Tally(), b"", False
            self._process = secrets.token_hex(6)
        self.pair = pair

    def observe(self, message: str, judged: Judged) -> None:
        """Decide again what was decided; whatever goes wrong with it is counted and harms nobody."""
        pair = self.pair
        if pair is None:
            return
        began = self._clock()
        if self._spent - began > BURST / SHARE:
            self.tally.skipped += 1
            self.counts["skipped"] += 1
            return
        before = {name: getattr(self.tally, name) for name in OUTCOMES}
        try:
            self._compare(pair, message, judged)
        except Exception:
            self.tally.unknown(FAILED)
            if not self._complained:
                self._complained = True
                log.exception("the shadow rules fail on a message; further failures are only counted")
        for one in OUTCOMES:
            self.counts[one] += getattr(self.tally, one) - before[one]
        self._spent = max(self._spent, began) + (self._clock() - began) / SHARE

    def _compare(self, pair: Pair, message: str, judged: Judged) -> None:
        facts, unclaimed = judged.facts, judged.unclaimed
        same = judged.tree is pair.live
        before = judged if same else judge(pair.live, facts, unclaimed=unclaimed)
        after = judge(pair.candidate, facts, unclaimed=unclaimed)
        if known(before, after):
            self.tally.add(message, facts.at, outcome(before), outcome(after), pair.zone, pair.promises)
        else:
            self.tally.unknown(NOT_ASKED)

    async def share(self) -> None:
        """Let the other processes know what this one has found. Raises `StoreError`."""
        if self.pair is None or not (self.tally.total or self.tally.skipped):
            return
        packed = msgspec.msgpack.encode(self.tally)
        if packed == self._shared:
            return
        where = shared_key(SLOT, name(self.pair))
        await self._store.many(SLOT, [("HSET", where, self._process, packed), ("EXPIRE", where, KEPT_FOR)])
        self._shared = packed

    async def report(self) -> Tally:
        """Return what all processes have found about this pair of rules. Raises `StoreError`."""
        if self.pair is None:
            return Tally()
        await self.share()
        whole = Tally()
        for packed in await self._store.do(SLOT, "HVALS", shared_key(SLOT, name(self.pair))):
            whole.merge(msgspec.msgpack.decode(packed.encode(errors="surrogateescape"), type=Tally))
        return whole


def name(pair: Pair) -> str:
    """Return what the counts of a pair of rules are kept under."""
    return f"{pair.live.hash[:16]}:{pair.candidate.hash[:16]}"
