"""Opening hours against the clock, compared second by second with the wall clock of many zones."""

from __future__ import annotations

import datetime as dt
import json
import random
from zoneinfo import ZoneInfo

import pytest

from config.hours import Hours
from router.hours import is_open, next_open
from tests.routing import OFFICE, at

MINUTE = 60_000


def hours(text: str) -> Hours:
    return Hours.model_validate_json(text, strict=True)


OPEN = [
    ("2026-06-03T08:59:59", False),
    ("2026-06-03T09:00:00", True),
    ("2026-06-03T11:59:59", True),
    ("2026-06-03T12:00:00", False),
    ("2026-06-03T13:30:00", True),
    ("2026-06-03T18:00:00", False),
    ("2026-06-06T10:00:00", False),  # Saturday
    ("2026-10-01T10:00:00", False),  # a holiday, on a Thursday
    ("2026-10-10T10:00:00", True),  # a make-up working day, on a Saturday
    ("2026-10-10T12:30:00", False),
]


@pytest.mark.parametrize(("moment", "expected"), OPEN)
def test_is_open(moment: str, expected: bool) -> None:
    """Intervals begin with their first second and end before their last; holidays and make-up days count."""
    assert is_open(OFFICE, at(moment)) == expected


NEXT = [
    ("2026-06-03T10:00:00", "2026-06-03T10:00:00"),
    ("2026-06-03T12:00:00", "2026-06-03T13:30:00"),
    ("2026-06-03T18:00:00", "2026-06-04T09:00:00"),
    ("2026-06-05T18:00:00", "2026-06-08T09:00:00"),  # over the weekend
    ("2026-09-30T18:00:00", "2026-10-08T09:00:00"),  # over the holidays
    ("2026-10-09T20:00:00", "2026-10-10T09:00:00"),  # to the make-up day
]


@pytest.mark.parametrize(("moment", "expected"), NEXT)
def test_next_open(moment: str, expected: str) -> None:
    """The next opening is the beginning of the next interval, or now."""
    assert next_open(OFFICE, at(moment)) == at(expected)


def test_overnight() -> None:
    """Hours past midnight belong to the day on which they begin."""
    night = hours('{"timezone": "Asia/Shanghai", "week": {"fri": ["22:00-06:00"]}, "closed": ["2026-06-12"]}')

    assert is_open(night, at("2026-06-06T05:59:59"))
    assert not is_open(night, at("2026-06-06T06:00:00"))
    assert not is_open(night, at("2026-06-05T05:00:00"))
    assert not is_open(night, at("2026-06-13T05:00:00"))
    assert next_open(night, at("2026-06-06T06:00:00")) == at("2026-06-19T22:00:00")


def test_never_open() -> None:
    """Hours without a single interval never open."""
    assert next_open(hours('{"week": {}}'), at("2026-06-03")) is None


def test_a_spring_gap_opens_at_its_end() -> None:
    """Where the clock is put forward over the beginning of an interval, it begins when the gap ends."""
    early = hours('{"timezone": "America/New_York", "week": {"sun": ["02:30-05:00"]}}')
    before = dt.datetime(2026, 3, 8, 1, 59, tzinfo=ZoneInfo("America/New_York"))
    opens = dt.datetime(2026, 3, 8, 3, 0, tzinfo=ZoneInfo("America/New_York"))

    assert next_open(early, int(before.timestamp()) * 1000) == int(opens.timestamp()) * 1000


def test_an_autumn_hour_opens_twice() -> None:
    """Where the clock is put back over an interval, it is open again."""
    short = hours('{"timezone": "America/New_York", "week": {"sun": ["01:30-01:45"]}}')
    between = dt.datetime(2026, 11, 1, 1, 50, tzinfo=ZoneInfo("America/New_York"))

    assert next_open(short, int(between.timestamp()) * 1000) == int(between.timestamp()) * 1000 + 40 * MINUTE


ZONES = ["Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def wall_open(calendar: Hours, moment: int) -> bool:
    """Look at the wall clock, minute by minute."""
    local = dt.datetime.fromtimestamp(moment // 1000, calendar.timezone)
    today, minutes = local.date(), local.hour * 60 + local.minute
    yesterday = today - dt.timedelta(days=1)
    return any(span.start <= minutes * 60 < span.end for span in calendar.intervals(today)) or any(
        minutes * 60 + 86_400 < span.end for span in calendar.intervals(yesterday)
    )


def calendar(rng: random.Random) -> Hours:
    week = {}
    for day in rng.sample(DAYS, rng.randint(1, 5)):
        first, second, third = sorted(rng.sample(range(0, 24 * 60, 15), 3))
        spans = [(first, second)]
        if rng.random() < 0.3:
            spans.append((third, rng.choice([24 * 60, third + 15])))
        week[day] = [f"{b // 60:02}:{b % 60:02}-{e // 60:02}:{e % 60:02}" for b, e in spans if e <= 24 * 60]
    return hours(
        json.dumps(
            {
                "timezone": rng.choice(ZONES),
                "week": week,
                "closed": [f"2026-{rng.choice(['03', '11'])}-{rng.randint(1, 28):02}"],
                "open": [f"2026-{rng.choice(['04', '10'])}-{rng.randint(1, 28):02}"],
            }
        )
    )


# The weeks in which clocks change in these zones, and one in which they do not.
WEEKS = [dt.date(2026, 3, 6), dt.date(2026, 3, 27), dt.date(2026, 4, 3), dt.date(2026, 10, 2), dt.date(2026, 10, 30)]


@pytest.mark.parametrize("seed", range(60))
def test_next_open_is_the_first_open_minute(seed: int) -> None:
    """From any moment the next opening is the first minute at which the wall clock says open."""
    rng = random.Random(seed)
    chosen = calendar(rng)
    start = int(dt.datetime.combine(rng.choice(WEEKS), dt.time(), dt.UTC).timestamp()) * 1000
    opens = [wall_open(chosen, start + minute * MINUTE) for minute in range(9 * 1440)]
    for _ in range(40):
        minute = rng.randrange(2 * 1440)
        expected = next((later for later in range(minute, len(opens)) if opens[later]), None)
        found = next_open(chosen, start + minute * MINUTE)

        assert is_open(chosen, start + minute * MINUTE) == opens[minute]
        assert found is not None
        assert expected is None or found == start + expected * MINUTE
        assert expected is not None or found >= start + len(opens) * MINUTE
