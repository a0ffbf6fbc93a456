"""Working time: how much of it lies between two instants, and when an amount of it is over. Pure.

Instants are milliseconds since 1970 UTC. Hours are wall-clock times of a zone: what falls into the gap where a clock
is put forward does not count, and the hour that comes twice where it is put back counts twice.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from zoneinfo import ZoneInfo

from config.hours import Hours

SECOND = 1000
DAY = 86_400_000
HORIZON = 400
"""Days without a single open second after which hours count as closed for good: a year of them and some more."""

FARTHEST = 253_370_764_800_000
"""The year 9999: no calendar reaches farther."""

REMEMBERED = 4000
"""Days whose intervals are kept at hand: more than ten years."""

EPOCH = dt.date(1970, 1, 1).toordinal()

Span = tuple[int, int]


class Worktime:
    """The open spans of one calendar; without *hours* it is always open."""

    def __init__(self, hours: Hours | None = None) -> None:
        self._hours = hours
        self._days: dict[int, tuple[Span, ...]] = {}

    @property
    def always(self) -> bool:
        """Whether time never stands still."""
        return self._hours is None

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of the hours; None where there are none."""
        return self._hours.timezone if self._hours is not None else None

    def spans(self, start: int, end: int) -> list[Span]:
        """Return the open spans between two instants, in order; spans that touch are one."""
        if self._hours is None:
            return [(start, end)] if start < end else []
        found: list[Span] = []
        for day in range(start // DAY, (end - 1) // DAY + 1):
            for opens, closes in self._day(day):
                begin, stop = max(opens, start), min(closes, end)
                if begin >= stop:
                    continue
                if found and found[-1][1] == begin:
                    found[-1] = (found[-1][0], stop)
                else:
                    found.append((begin, stop))
        return found

    def worked(self, start: int, end: int) -> int:
        """Return how many milliseconds are open between two instants; 0 if the second is not the later one."""
        if self._hours is None or start >= end:
            return max(0, end - start)
        total = 0
        for day in range(start // DAY, (end - 1) // DAY + 1):
            for opens, closes in self._day(day):
                if closes > start and opens < end:
                    total += min(closes, end) - max(opens, start)
        return total

    def reach(self, start: int, amount: int) -> int | None:
        """Return the first instant by which *amount* milliseconds are open since *start*; *start* itself for none.

        None if that never happens: the hours do not open again within 400 days, or before the year 9999.
        """
        if self._hours is None or amount <= 0:
            return start + max(0, amount)
        day, idle = start // DAY, 0
        while idle <= HORIZON and day * DAY < FARTHEST:
            idle += 1
            for opens, closes in self._day(day):
                if closes <= start:
                    continue
                begin = max(opens, start)
                if closes - begin >= amount:
                    return begin + amount
                amount -= closes - begin
                idle = 0
            day += 1
        return None

    def _day(self, day: int) -> tuple[Span, ...]:
        """Return the open spans within a day of UTC, by its number since 1970."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) >= REMEMBERED:
                self._days.clear()
            known = self._days[day] = self._find(day)
        return known

    def _find(self, day: int) -> tuple[Span, ...]:
        assert self._hours is not None
        start, end = day * DAY, (day + 1) * DAY
        shifts = _shifts(self._hours.timezone, start, end)
        found: list[Span] = []
        # Zones are up to 14 hours from UTC, and an interval may end on the day after it begins.
        for number in range(day - 2, day + 2):
            for interval in self._hours.intervals(dt.date.fromordinal(number + EPOCH)):
                begin, stop = number * DAY + interval.start * SECOND, number * DAY + interval.end * SECOND
                for index, (since, offset) in enumerate(shifts):
                    until = shifts[index + 1][0] if index + 1 < len(shifts) else end
                    opens, closes = max(begin - offset, since), min(stop - offset, until)
                    if opens < closes:
                        found.append((opens, closes))
        return tuple(merged(sorted(found)))


def merged(spans: list[Span]) -> list[Span]:
    """Return sorted *spans* with those put together that touch or overlap.

    A clock that is put back past midnight brings the end of one day and the beginning of the next over each other.
    """
    merged: list[Span] = []
    for opens, closes in spans:
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(closes, merged[-1][1]))
        else:
            merged.append((opens, closes))
    return merged


def _shifts(zone: ZoneInfo, start: int, end: int) -> list[Span]:
    """Return since when which offset from UTC holds between two instants of one day, both in milliseconds."""
    first, last = _offset(zone, start), _offset(zone, end - 1)
    if first == last:  # no zone moves its clocks twice within a day
        return [(start, first)]
    seconds = range(start // SECOND, end // SECOND)
    index = bisect_right(seconds, False, key=lambda second: _offset(zone, second * SECOND) != first)
    return [(start, first), (seconds[index] * SECOND, last)]


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = dt.datetime.fromtimestamp(at // SECOND, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * SECOND
