"""Periods are cut where people cut them: at midnight of the zone, at weeks, and the one before is as long."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from inbox.periods import BadPeriod, Period, parsed

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1000)


NOW = ms("2026-11-18T10:00:00+08:00")


@pytest.mark.parametrize(
    ("since", "until", "begin", "end"),
    [
        ("2026-11-02", "2026-11-08", "2026-11-02T00:00:00+08:00", "2026-11-09T00:00:00+08:00"),
        ("7d", "", "2026-11-11T10:00:00+08:00", "2026-11-18T10:00:00+08:00"),
        ("", "2026-11-01", "2026-10-05T00:00:00+08:00", "2026-11-02T00:00:00+08:00"),
        ("2026-11-02T08:00:00Z", "1h", "2026-11-02T16:00:00+08:00", "2026-11-18T09:00:00+08:00"),
    ],
)
def test_a_period_is_read(since: str, until: str, begin: str, end: str) -> None:
    """A date as the end is included; what is left out is four weeks until now."""
    found = parsed(since, until, SHANGHAI, NOW)

    assert (ms(begin), ms(end)) == (found.since, found.until)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("yesterday", ""),
        ("2026-13-01", ""),
        ("2026-11-02T08:00:00", ""),
        ("2026-11-09", "2026-11-02"),
        ("2010-01-01", ""),
        ("9999999999w", ""),
    ],
)
def test_what_is_no_period_is_refused(since: str, until: str) -> None:
    """Whoever mistypes is told what was expected, or what is wrong with the period."""
    with pytest.raises(BadPeriod, match=r"expected|begins|longer"):
        parsed(since, until, SHANGHAI, NOW)


def test_the_period_before_has_as_many_days() -> None:
    """A week in which clocks are put back is an hour longer than the week before it, and both begin at midnight."""
    week = parsed("2026-10-19", "2026-10-25", BERLIN, ms("2026-12-01T00:00:00Z"))

    assert 7 * 24 + 1 == (week.until - week.since) / 3_600_000
    assert ("2026-10-12T00:00:00+02:00", week.since) == (
        week.local(week.before.since).replace(microsecond=0).isoformat(),
        week.before.until,
    )


def test_weeks_that_are_not_whole_are_marked() -> None:
    """Weeks begin on Monday; the first and the last one may be cut, and the running one is not over."""
    found = parsed("2026-11-04", "", SHANGHAI, NOW).weeks()

    assert [("2026-W45", True), ("2026-W46", False), ("2026-W47", True)] == found


def test_a_period_that_is_not_over_is_partial() -> None:
    """A month of which only part has been is told as such; its weeks to come are left out."""
    month = Period(ms("2026-11-02T00:00:00+08:00"), ms("2026-11-30T00:00:00+08:00"), SHANGHAI, NOW)

    assert (True, ["2026-W45", "2026-W46", "2026-W47"]) == (month.partial, [week for week, _ in month.weeks()])
    assert 28 == len(month.days())
