"""Periods that reports are about: from when to when, in which zone, which weeks are in it, and the one before. Pure."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from config.values import DURATIONS, duration
from inbox.api import rfc3339
from inbox.report import Span

DAY = DURATIONS["d"]
MOST_WEEKS = 106
"""Two years and the ends of them: a longer period has no table by week."""
USUAL = 28 * DAY
LONGEST = 3 * 366 * DAY
EXPECTED = "a date such as 2026-11-02, a time such as 2026-11-02T09:00:00+08:00, or how long ago, such as 28d"
_AGO = re.compile(r"([0-9]{1,9}[smhdw])+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class BadPeriod(ValueError):
    """The text is no time, or the period ends before it begins; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Period:
    """From *since* to before *until*, in milliseconds since 1970 UTC; days and weeks are those of *zone*.

    *now* is when it is looked at: a period that is not over by then is partial.
    """

    since: int
    until: int
    zone: ZoneInfo
    now: int

    @property
    def partial(self) -> bool:
        """Whether it is not over yet."""
        return self.until > self.now

    @property
    def before(self) -> Period:
        """The period before: as many whole days of *zone*, else as long, that end where this one begins."""
        first, last = self.local(self.since), self.local(self.until)
        if first.time() == last.time():
            earlier = first.replace(tzinfo=None) - (last.replace(tzinfo=None) - first.replace(tzinfo=None))
            return Period(_at(earlier, self.zone), self.since, self.zone, self.now)
        return Period(2 * self.since - self.until, self.since, self.zone, self.now)

    def span(self) -> Span:
        """Return it as reports tell it."""
        first, last = self.local(self.since), self.local(self.until - 1)
        days = first.date().isoformat(), last.date().isoformat()
        return Span(rfc3339(self.since) or "1970-01-01T00:00:00.000Z", rfc3339(self.until) or "", *days, self.partial)

    def holds(self, at: int) -> bool:
        """Tell whether an instant lies in it."""
        return self.since <= at < self.until

    def local(self, at: int) -> dt.datetime:
        """Return an instant on the wall clock of the zone."""
        return dt.datetime.fromtimestamp(at / 1000, self.zone)

    def week(self, at: int) -> str:
        """Return the ISO week of an instant, such as 2026-W47."""
        year, week, _ = self.local(at).isocalendar()
        return f"{year}-W{week:02}"

    def weeks(self) -> list[tuple[str, bool]]:
        """Return every week that the period touches, and whether only part of it has been or is in it."""
        found: list[tuple[str, bool]] = []
        day = self.local(self.since).date()
        day -= dt.timedelta(days=day.weekday())
        end = min(self.until, max(self.now, self.since + 1))
        while len(found) < MOST_WEEKS:
            begin = _at(dt.datetime.combine(day, dt.time()), self.zone)
            if begin >= end:
                return found
            day += dt.timedelta(days=7)
            over = _at(dt.datetime.combine(day, dt.time()), self.zone)
            found.append((self.week(begin), begin < self.since or over > end))
        return []

    def days(self) -> list[tuple[dt.date, int, int]]:
        """Return every day that the period touches, with its begin and end in milliseconds."""
        found: list[tuple[dt.date, int, int]] = []
        day = self.local(self.since).date()
        begin = _at(dt.datetime.combine(day, dt.time()), self.zone)
        while begin < self.until:
            following = day + dt.timedelta(days=1)
            end = _at(dt.datetime.combine(following, dt.time()), self.zone)
            found.append((day, begin, end))
            day, begin = following, end
        return found


def parsed(since: str, until: str, zone: ZoneInfo, now: int) -> Period:
    """Return the period between two texts: a date (its begin), a time, or how long ago; by default 28 days until now.

    A date as *until* includes that day. Raises `BadPeriod`.
    """
    end = _moment(until, zone, now, last=True) if until else now
    start = _moment(since, zone, now, last=False) if since else end - USUAL
    if start >= end:
        raise BadPeriod("the period ends before it begins: since must be earlier than until")
    if end - start > LONGEST:
        raise BadPeriod("the period is longer than three years")
    return Period(start, end, zone, now)


def _moment(text: str, zone: ZoneInfo, now: int, *, last: bool) -> int:
    try:
        if _AGO.fullmatch(text):
            return max(0, now - duration(text))
        if _DATE.fullmatch(text):
            day = dt.date.fromisoformat(text) + dt.timedelta(days=int(last))
            return max(0, _at(dt.datetime.combine(day, dt.time()), zone))
        at = dt.datetime.fromisoformat(text)
        if at.tzinfo is None or not 1970 <= at.year < 9999:
            raise BadPeriod(f"{text[:40]!r} has no zone or year that could be meant; expected {EXPECTED}")
        return max(0, int(at.timestamp() * 1000))
    except BadPeriod:
        raise
    except (ValueError, OverflowError):
        raise BadPeriod(f"{text[:40]!r} is no time; expected {EXPECTED}") from None


def _at(wall: dt.datetime, zone: ZoneInfo) -> int:
    """Return when a clock of *zone* shows *wall*, in milliseconds; in a gap, when it is put forward."""
    return int(wall.replace(tzinfo=zone).timestamp() * 1000)
