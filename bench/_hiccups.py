"""Tells when the machine itself was slow: a host that takes virtual cores away slows whatever runs on them.

A small process does the same piece of work again and again, some hundred times a second. Where most pieces take much
longer than usual, not the program that is measured was slow, but the machine that it runs on.
"""

from __future__ import annotations

import contextlib
import json
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAUSE = 0.005
PIECE = 3000
"""Steps of a piece of work: some 100 to 200 microseconds."""

SLOW = 2.0
"""How many times its usual duration is slow for a piece. Of a core that others share, a few pieces always are."""

LOOKED_AT, MOST = 5, 3
"""Of so many pieces in a row so many must be slow."""

APART = 0.05
"""Seconds between two slow stretches that belong together."""


@dataclass
class Hiccups:
    """When the machine was slow: (begin, end) in ms since 1970, in order; complete after the context."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    @property
    def total(self) -> float:
        """Milliseconds in all."""
        return sum(end - begin for begin, end in self.spans)

    def touch(self, begin: float, end: float) -> bool:
        """Tell whether the machine was slow, or what had gathered was being worked off, between *begin* and *end*.

        For the latter as much time is allowed as it took to fall behind: what a server at half load needs.
        """
        return any(start <= end and begin <= 2 * stop - start for start, stop in self.spans)


@contextlib.contextmanager
def hiccups() -> Iterator[Hiccups]:
    """Watch the machine until the context ends."""
    found = Hiccups()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield found
    finally:
        told, _ = process.communicate("")
    found.spans += [(begin, end) for begin, end in json.loads(told)]


def work() -> Iterator[tuple[float, float]]:
    """Yield the begin of each piece of work and how long it took, in seconds, until standard input ends."""
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        now, began = time.time(), time.perf_counter()
        for _ in range(PIECE):
            pass
        yield now, time.perf_counter() - began


def slow_spans(pieces: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return when most pieces were slow, in seconds since 1970."""
    limit = SLOW * statistics.median(took for _, took in pieces)
    spans: list[tuple[float, float]] = []
    for at in range(len(pieces) - LOOKED_AT + 1):
        slow = [(begin, begin + took) for begin, took in pieces[at : at + LOOKED_AT] if took > limit]
        if len(slow) < MOST:
            continue
        begin, end = slow[0][0], slow[-1][1]
        if spans and begin - spans[-1][1] < APART:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((begin, end))
    return spans


if __name__ == "__main__":
    json.dump([(begin * 1000, end * 1000) for begin, end in slow_spans(list(work()))], sys.stdout)
