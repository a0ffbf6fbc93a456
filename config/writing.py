"""Parsed settings written back as an admin would write them, so that they can be kept and read again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from config.hours import DAY, DAYS, Hours, Interval


def hours(value: Hours) -> dict[str, Any]:
    """Return *value* as plain data from which `Hours` makes the same hours again."""
    written: dict[str, Any] = {
        "timezone": str(value.timezone),
        "week": {day: _texts(intervals) for day, intervals in zip(DAYS, value.week.days, strict=True) if intervals},
    }
    if value.closed.dates:
        written["closed"] = sorted(date.isoformat() for date in value.closed.dates)
    plain = sorted(date.isoformat() for date, own in value.open.dates.items() if own is None)
    own = {date.isoformat(): _texts(own) for date, own in sorted(value.open.dates.items()) if own is not None}
    if plain or own:
        written["open"] = plain or own  # all of them have intervals of their own, or none has
    return written


def _texts(intervals: Iterable[Interval]) -> list[str]:
    return [f"{_clock(each.start)}-{_clock(each.end if each.end <= DAY else each.end - DAY)}" for each in intervals]


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"
