"""Working time, compared with a look at the wall clock every minute, and at its edges."""

from __future__ import annotations

import datetime as dt
import random
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from inbox.worktime import Worktime
from router.hours import is_open
from tests.routing import OFFICE, at
from tests.test_router_hours import WEEKS, calendar, hours, wall_open

MINUTE, HOUR = 60_000, 3_600_000
OFFICE_TIME = Worktime(OFFICE)

REACHED = [
    ("2026-06-03T10:00", 0, "2026-06-03T10:00"),
    ("2026-06-03T10:00", 60, "2026-06-03T11:00"),
    ("2026-06-03T11:30", 30, "2026-06-03T12:00"),  # at the very end of an interval, not at the beginning of the next
    ("2026-06-03T11:30", 31, "2026-06-03T13:31"),  # over lunch
    ("2026-06-03T17:50", 20, "2026-06-04T09:10"),  # over night
    ("2026-06-05T17:50", 20, "2026-06-08T09:10"),  # over the weekend
    ("2026-09-30T17:50", 20, "2026-10-08T09:10"),  # over the holidays
    ("2026-10-09T17:50", 20, "2026-10-10T09:10"),  # to the make-up day
    ("2026-06-06T10:00", 5, "2026-06-08T09:05"),  # begun on a Saturday
    ("2026-06-01T09:00", 5 * 450, "2026-06-05T18:00"),  # a whole week
]


@pytest.mark.parametrize(("start", "minutes", "expected"), REACHED)
def test_reach(start: str, minutes: int, expected: str) -> None:
    """An amount of working time is over at the first instant by which so much has passed."""
    reached = OFFICE_TIME.reach(at(start), minutes * MINUTE)

    assert at(expected) == reached
    assert minutes * MINUTE == OFFICE_TIME.worked(at(start), reached)


@pytest.mark.parametrize("seed", range(80))
def test_worktime_equals_the_wall_clock(seed: int) -> None:
    """Over changes of the clock, nights and holidays: minute by minute the same as a look at the wall clock."""
    rng = random.Random(seed)
    chosen = calendar(rng)
    work = Worktime(chosen)
    start = int(dt.datetime.combine(rng.choice(WEEKS), dt.time(), dt.UTC).timestamp()) * 1000
    opens = [wall_open(chosen, start + minute * MINUTE) for minute in range(6 * 1440)]
    total = [0]
    for opened in opens:
        total.append(total[-1] + opened)
    for _ in range(40):
        first, last = sorted(rng.sample(range(len(opens)), 2))
        begin, end = start + first * MINUTE, start + last * MINUTE
        spans = work.spans(begin, end)

        assert (total[last] - total[first]) * MINUTE == work.worked(begin, end) == sum(b - a for a, b in spans)
        assert all(first[1] < second[0] for first, second in pairwise(spans))
        assert all(is_open(chosen, opens) and not is_open(chosen, closes) for opens, closes in spans if closes < end)
        if total[last] > total[first]:
            amount = rng.randint(1, total[last] - total[first])
            minute = next(index for index in range(first, last) if total[index + 1] - total[first] == amount)
            assert start + (minute + 1) * MINUTE == work.reach(begin, amount * MINUTE)


def test_an_hour_that_comes_twice_counts_twice() -> None:
    """In autumn two hours pass between 1 and 2; in spring none does."""
    night = Worktime(hours('{"timezone": "America/New_York", "week": {"sun": ["01:00-03:00"]}}'))
    zone = ZoneInfo("America/New_York")

    def day(month: int, date: int) -> int:
        return int(dt.datetime(2026, month, date, tzinfo=zone).timestamp()) * 1000

    assert 3 * HOUR == night.worked(day(11, 1), day(11, 2))
    assert HOUR == night.worked(day(3, 8), day(3, 9))
    assert 2 * HOUR == night.worked(day(3, 15), day(3, 16))


def test_milliseconds_count() -> None:
    """Nothing is rounded: a message half a second before closing has half a second of its time behind it."""
    noon = at("2026-06-03T12:00")
    assert 500 == OFFICE_TIME.worked(noon - 500, noon + HOUR)
    assert at("2026-06-03T13:30") + 500 == OFFICE_TIME.reach(noon - 500, 1000)


@pytest.mark.parametrize(
    "text", ['{"week": {}}', '{"week": {"mon": []}, "open": ["2026-01-01"]}', '{"week": {}, "open": ["1999-01-01"]}']
)
def test_what_never_opens_is_never_reached(text: str) -> None:
    """Hours that do not open again promise nothing, and the search for them ends."""
    assert None is Worktime(hours(text)).reach(at("2026-06-03"), MINUTE)
    assert 0 == Worktime(hours(text)).worked(at("2026-06-03"), at("2026-07-03"))


def test_without_hours_time_always_runs() -> None:
    """No hours: working time is time."""
    always = Worktime()
    assert (7, 17, 0) == (always.worked(10, 17), always.reach(10, 7), always.worked(17, 10))
    assert ([(10, 17)], []) == (always.spans(10, 17), always.spans(17, 10))


def test_a_time_of_ten_years_is_found() -> None:
    """The longest promise that can be written is reached without hurry and without end."""
    reached = OFFICE_TIME.reach(at("2026-06-03"), 3650 * 24 * HOUR)
    assert reached is not None
    assert 3650 * 24 * HOUR == OFFICE_TIME.worked(at("2026-06-03"), reached)
