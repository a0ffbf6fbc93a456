"""Opening hours as admins write them, parsed into what arithmetic needs: intervals per weekday and per date."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, GetCoreSchemaHandler, PlainValidator, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from config.faults import Wrong, nearest
from config.values import Paths, Section, Zone

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 86_400
LONGEST_RANGE = 366

_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_INTERVAL = re.compile(rf"{_TIME}\s*-\s*(?:{_TIME}|(24):(00))", re.ASCII)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Open from *start* until *end*, in seconds of the wall clock after midnight; an end past 86400 is the next day."""

    start: int
    end: int


Intervals = tuple[Interval, ...]


def interval(value: Any) -> Interval:
    """Parse ``09:00-12:00``; an end not after the start is on the next day. Raises `Wrong`."""
    if isinstance(value, Interval):
        return value
    found = _INTERVAL.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        near = _padded(value) if isinstance(value, str) else ""
        expected = 'times like "09:00-18:00", up to 24:00'
        raise Wrong("{value} is not an interval of time", expected=expected, nearest=near)
    hour, minute = (found[3], found[4]) if found[3] else (found[5], found[6])
    start = int(found[1]) * 3600 + int(found[2]) * 60
    end = int(hour) * 3600 + int(minute) * 60
    if start == end:
        raise Wrong("{value} begins and ends at the same time", expected='"00:00-24:00" for a whole day')
    return Interval(start, end if end > start else end + DAY)


def _padded(value: str) -> str:
    """Return what a slip such as ``9:00–18:00`` probably means, "" when that is no interval either."""
    text = re.sub(r"(?<!\d)(\d):", r"0\1:", value).replace("–", "-").replace("：", ":").replace("~", "-")
    return text if _INTERVAL.fullmatch(text) else ""


def in_order(intervals: Intervals) -> Intervals:
    """Return one day's *intervals* sorted. Raises `Wrong` when two of them overlap."""
    ordered = tuple(sorted(intervals))
    if any(first.end > second.start for first, second in pairwise(ordered)):
        raise Wrong("two of these intervals overlap", expected="intervals apart from each other")
    return ordered


def weekdays(key: str) -> tuple[int, ...]:
    """Parse ``mon``, ``mon-fri``, ``sat,sun`` or ``fri-mon`` into weekday numbers, Monday being 0. Raises `Wrong`."""
    numbers: list[int] = []
    for part in key.replace(" ", "").lower().split(","):
        first, separator, last = part.partition("-")
        for word in (first, last) if separator else (first,):
            if word not in DAYS:
                near = key.replace(word, nearest(word[:3], DAYS)) if word and nearest(word[:3], DAYS) else ""
                raise Wrong("{value} names no days", expected="days like mon, mon-fri or sat,sun", nearest=near)
        begin, end = DAYS.index(first), DAYS.index(last or first)
        numbers += [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]
    return tuple(numbers)


def dates(value: str) -> tuple[dt.date, ...]:
    """Parse ``2026-10-01`` or ``2026-10-01..2026-10-07`` into every date of it. Raises `Wrong`."""
    expected = "a date like 2026-10-01 or a range like 2026-10-01..2026-10-07"
    found = _DATE.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        first = dt.date.fromisoformat(found[1])
        last = dt.date.fromisoformat(found[2] or found[1])
    except ValueError:
        raise Wrong("{value} is not a date", expected=expected) from None
    days = (last - first).days
    if not 0 <= days < LONGEST_RANGE:
        raise Wrong("{value} is not a range of dates", expected="the earlier date first, at most a year")
    return tuple(first + dt.timedelta(days=day) for day in range(days + 1))


def _weekdays_key(key: str) -> str:
    weekdays(key)
    return key


def _date_key(key: str) -> str:
    dates(key)
    return key


_IntervalText = Annotated[
    Interval, PlainValidator(interval), WithJsonSchema({"type": "string", "examples": ["09:00-18:00"]})
]
_DayIntervals = Annotated[tuple[_IntervalText, ...], AfterValidator(in_order)]
_DaysText = Annotated[str, AfterValidator(_weekdays_key)]
_DatesText = Annotated[str, AfterValidator(_date_key)]


@dataclass(frozen=True, slots=True)
class Week:
    """The intervals of each weekday, Monday first."""

    days: tuple[Intervals, ...]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = handler.generate_schema(dict[_DaysText, _DayIntervals])
        return core_schema.no_info_after_validator_function(cls.parsed, written)

    @classmethod
    def parsed(cls, written: Mapping[str, Intervals]) -> Week:
        """Put the *written* groups of days in order. Raises `Wrong` when a day is given twice or days overlap."""
        days: list[Intervals | None] = [None] * 7
        for key, intervals in written.items():
            for day in weekdays(key):
                if days[day] is not None:
                    raise Wrong(f"{DAYS[day]} is given twice", expected="each day once")
                days[day] = intervals
        week = tuple(intervals or () for intervals in days)
        for day, (today, tomorrow) in enumerate(zip(week, (*week[1:], week[0]), strict=True)):
            if today and tomorrow and today[-1].end - DAY > tomorrow[0].start:
                raise Wrong(
                    f"the night of {DAYS[day]} overlaps the next day", expected="intervals apart from each other"
                )
        return cls(week)


@dataclass(frozen=True, slots=True)
class Closed:
    """Dates without opening hours."""

    dates: frozenset[dt.date]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = handler.generate_schema(tuple[_DatesText, ...])
        return core_schema.no_info_after_validator_function(cls.parsed, written)

    @classmethod
    def parsed(cls, written: tuple[str, ...]) -> Closed:
        """Collect every date of the *written* dates and ranges."""
        return cls(frozenset(date for text in written for date in dates(text)))


@dataclass(frozen=True, slots=True)
class Open:
    """Dates that are open whatever the week says; None where the date has no intervals of its own."""

    dates: Mapping[dt.date, Intervals | None]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        listed = handler.generate_schema(tuple[_DatesText, ...])
        mapped = handler.generate_schema(dict[_DatesText, _DayIntervals])
        return core_schema.no_info_after_validator_function(cls.parsed, core_schema.union_schema([listed, mapped]))

    @classmethod
    def parsed(cls, written: tuple[str, ...] | Mapping[str, Intervals]) -> Open:
        """Collect every date of the *written* list or mapping. Raises `Wrong` when a date is given twice."""
        groups = written.items() if isinstance(written, Mapping) else ((text, None) for text in written)
        found: dict[dt.date, Intervals | None] = {}
        for text, intervals in groups:
            for date in dates(text):
                if date in found:
                    raise Wrong(f"{date} is given twice", expected="each date once")
                found[date] = intervals
        return cls(found)


class Hours(Section):
    """When people work. A make-up working day (调休) is an `open` date; it wins over a `closed` one."""

    timezone: Zone = ZoneInfo("UTC")
    """Time zone of these hours; by default the hub's."""
    week: Week
    """Intervals for days: mon, mon-fri or sat,sun, each with a list like ["09:00-12:00", "13:30-18:00"]."""
    closed: Closed = Closed(frozenset())
    """Dates and ranges without hours: 2026-10-01 or 2026-10-01..2026-10-07."""
    open: Open = Open({})
    """Dates that are open all the same: a list, or a mapping from dates to intervals of their own."""
    calendar: Paths = ()
    """iCalendar files with closed and open days; what `closed` and `open` say of a date goes before them."""

    def intervals(self, date: dt.date) -> Intervals:
        """Return when it is open on *date*, in wall-clock time of `timezone`; the last interval may run past midnight.

        An open date without intervals of its own has those of its weekday, or, if there are none, those of the first
        weekday from Monday that has any. What ran past midnight from the day before is not part of the answer.
        """
        week = self.week.days
        if date in self.open.dates:
            own = self.open.dates[date]
            return own if own is not None else week[date.weekday()] or next(filter(None, week), ())
        return () if date in self.closed.dates else week[date.weekday()]
