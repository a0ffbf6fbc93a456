"""When a delivery is tried again, and when it is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import SendError, Throttled, Uncertain, Unreachable
from outbox.retries import Schedule

SCHEDULE = Schedule()
AWAY = Unreachable("away")
HOUR = 3_600_000

WAITS = [
    (1, 2_000), (2, 5_000), (3, 12_500), (4, 31_250), (5, 78_125), (6, 195_312), (7, 488_281), (8, 1_220_703),
    (9, 3_051_757), (10, HOUR), (11, HOUR), (100, HOUR), (3_000, HOUR), (10**9, HOUR),
]  # fmt: skip


@pytest.mark.parametrize(("attempts", "wait"), WAITS)
def test_the_waits_grow_to_an_hour(attempts: int, wait: int) -> None:
    """2 s, then two and a half times as long each time, an hour at most, however many attempts there were."""
    assert wait == SCHEDULE.next_due(attempts, 0, AWAY, 0, 1.0)


@given(st.integers(1, 60), st.floats(0, 1))
def test_jitter_is_full(attempts: int, chance: float) -> None:
    """Any part of the wait, evenly, but at least a tenth: what failed together does not come back together."""
    longest = SCHEDULE.next_due(attempts, 0, AWAY, 0, 1.0)
    due = SCHEDULE.next_due(attempts, 0, AWAY, 0, chance)
    assert longest is not None
    assert due is not None
    assert due == pytest.approx(longest * (0.1 + 0.9 * chance), abs=1)


def test_without_a_chance_given_waits_differ() -> None:
    """Deliveries that fail in one moment are due in different ones."""
    assert len({SCHEDULE.next_due(5, 0, AWAY, 0) for _ in range(50)}) > 10


@pytest.mark.parametrize("seconds", [0.5, 1, 30, 3600])
@pytest.mark.parametrize("attempts", [1, 7])
def test_a_platforms_own_wait_is_obeyed(seconds: float, attempts: int) -> None:
    """Never earlier than it asks, and at most a second later, whichever attempt it was."""
    throttled = Throttled("slowly", retry_after=seconds)
    for chance in (0.0, 0.5, 1.0):
        due = SCHEDULE.next_due(attempts, 0, throttled, 1000, chance)
        assert due is not None
        assert 1000 + seconds * 1000 <= due <= 1000 + seconds * 1000 + 1000


ENDS = [
    pytest.param(AWAY, 24 * HOUR - 2_000, 24 * HOUR, id="the last try is in time"),
    pytest.param(AWAY, 24 * HOUR - 1_999, None, id="the next would be too late"),
    pytest.param(Throttled("", retry_after=24 * 3600), 0, 24 * HOUR, id="a wait as long as its life"),
    pytest.param(Throttled("", retry_after=24 * 3600 + 1), 0, None, id="a wait longer than its life"),
    pytest.param(Uncertain(""), 25 * HOUR, None, id="far too late"),
]


@pytest.mark.parametrize(("error", "now", "due"), ENDS)
def test_after_a_day_it_is_given_up(error: SendError, now: int, due: int | None) -> None:
    """A delivery that could not go out for 24 hours is not tried any more."""
    chance = 0.0 if isinstance(error, Throttled) else 1.0
    assert due == SCHEDULE.next_due(1, 0, error, now, chance)


def test_a_whole_life_has_a_bounded_number_of_attempts() -> None:
    """From the first try to the end there are some dozens of attempts, not thousands."""
    now, attempts = 0, 1
    while (due := SCHEDULE.next_due(attempts, 0, AWAY, now, 0.5)) is not None:
        assert due > now
        now, attempts = due, attempts + 1
    assert 25 < attempts < 75
