"""Quiet hours against a clock. Pure; instants are milliseconds since 1970 UTC."""

from __future__ import annotations

import datetime as dt

from config.delivery import Quiet

DAY = 86_400


def quiet_until(quiet: Quiet | None, lane: str, at: int) -> int:
    """Return when the quiet hours end in which *at* lies, 0 if it lies in none or *lane* does not keep them.

    They are wall-clock times: where a clock is put forward they end at the first instant after the gap.
    """
    if quiet is None or lane not in quiet.lanes:
        return 0
    today = dt.datetime.fromtimestamp(at / 1000, quiet.timezone).date()
    for day in (today - dt.timedelta(days=1), today):
        begin, end = (_instant(quiet, day, second) for second in (quiet.hours.start, quiet.hours.end))
        if begin <= at < end:
            return end
    return 0


def _instant(quiet: Quiet, day: dt.date, second: int) -> int:
    date = day + dt.timedelta(days=second // DAY)
    wall = dt.datetime.combine(date, dt.time(), quiet.timezone) + dt.timedelta(seconds=second % DAY)
    return int(wall.timestamp() * 1000)
