"""Hours that are written back are read as the same hours."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import writing
from config.hours import Hours

MINUTES = st.integers(0, 24 * 60 - 1)
DATES = st.dates(dt.date(2024, 1, 1), dt.date(2030, 12, 31)).map(dt.date.isoformat)

WRITTEN = [
    {"timezone": "Asia/Shanghai", "week": {"mon-fri": ["09:00-12:00", "13:30-18:00"]}},
    {"week": {"mon,wed": ["22:00-06:00"], "sun": ["00:00-24:00"]}, "closed": ["2026-10-01..2026-10-07"]},
    {"week": {"sat": ["10:00-16:00"]}, "open": ["2026-10-10", "2026-10-11"], "closed": ["2026-10-10"]},
    {"timezone": "Europe/Berlin", "week": {"mon-sun": ["08:00-07:00"]}, "open": {"2026-02-14": ["09:00-12:00"]}},
    {"week": {}},
]


@pytest.mark.parametrize("written", WRITTEN)
def test_hours_survive(written: dict[str, object]) -> None:
    """Whatever an admin can write comes back as the same intervals on the same dates."""
    hours = Hours.model_validate(written)
    again = Hours.model_validate(writing.hours(hours))

    assert (hours.timezone, hours.week, hours.closed, hours.open) == (
        again.timezone,
        again.week,
        again.closed,
        again.open,
    )


@given(st.lists(st.tuples(MINUTES, MINUTES).filter(lambda pair: pair[0] < pair[1]), max_size=1), st.sets(DATES))
def test_any_hours_survive(spans: list[tuple[int, int]], closed: set[str]) -> None:
    """Any interval of a day, and any set of closed dates."""
    texts = [f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in spans]
    hours = Hours.model_validate({"week": {"mon-sun": texts}, "closed": sorted(closed)})

    again = Hours.model_validate(writing.hours(hours))

    assert (hours.week, hours.closed) == (again.week, again.closed)
