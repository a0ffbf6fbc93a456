"""Opening hours against a clock: is it open, and when next. Pure; instants are milliseconds since 1970 UTC.

Hours are wall-clock times of a zone. Where a clock is put forward, hours that fall into the gap begin
when the gap ends; where it is put back, the hour that comes twice is open twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from config.hours import DAY, Hours

HORIZON = 400  # days that `next_open` looks ahead: a year of closed days and some more


def is_open(hours: Hours, at: int) -> bool:
    """Tell whether it is open at *at*: from the first second of an interval until before its end."""
    local = dt.datetime.fromtimestamp(at // 1000, hours.timezone)
    return _open_at(hours, local.date(), local.hour * 3600 + local.minute * 60 + local.second)


def next_open(hours: Hours, at: int) -> int | None:
    """Return the first instant not before *at* when it is open; *at* itself if it is open then.

    None if it does not open within 400 days.
    """
    if is_open(hours, at):
        return at
    today = dt.datetime.fromtimestamp(at // 1000, hours.timezone).date()
    for days in range(-1, HORIZON):
        date = today + dt.timedelta(days=days)
        later = [instant for instant in _candidates(hours, date) if instant > at and is_open(hours, instant)]
        if later:
            return min(later)
    return None


def _open_at(hours: Hours, date: dt.date, second: int) -> bool:
    if any(span.start <= second < span.end for span in hours.intervals(date)):
        return True
    night = second + DAY
    return any(night < span.end for span in hours.intervals(date - dt.timedelta(days=1)))


def _candidates(hours: Hours, date: dt.date) -> Iterator[int]:
    """Yield the instants of *date* at which closed can become open: beginnings, and changes of the clock."""
    for span in hours.intervals(date):
        wall = dt.datetime.combine(date, dt.time(), hours.timezone) + dt.timedelta(seconds=span.start)
        for fold in (0, 1):
            yield int(wall.replace(fold=fold).timestamp()) * 1000
    begin = dt.datetime.combine(date, dt.time(), hours.timezone)
    first, last = int(begin.timestamp()), int((begin + dt.timedelta(days=1)).timestamp())
    if _offset(hours, first) != _offset(hours, last):
        # The clock changes once between the two: look for the second.
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (middle, last) if _offset(hours, middle) == _offset(hours, first) else (first, middle)
        yield last * 1000


def _offset(hours: Hours, second: int) -> dt.timedelta | None:
    return dt.datetime.fromtimestamp(second, hours.timezone).utcoffset()
