"""Intervals are those of the textbooks, and behave where samples are small, whole or one-sided."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbox.estimates import Estimate, changed, count, mean, net, quantile, share, student, weighted

COUNTS = st.integers(0, 400)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_have_wilsons_interval(hits: int, n: int, low: float, high: float) -> None:
    """The limits are those of Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3."""
    found = share(hits, n)

    assert (hits / n, n) == (found.value, found.n)
    assert (low, high) == pytest.approx((found.low, found.high), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high", "verdict"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339, "higher"),
        ((9, 10), (3, 10), 0.1705, 0.8090, "higher"),
        ((6, 7), (2, 7), 0.0582, 0.8062, "higher"),
        ((5, 56), (0, 29), -0.0381, 0.1926, "unchanged"),
        ((0, 10), (0, 20), -0.1611, 0.2775, "unchanged"),
        ((10, 10), (0, 20), 0.6791, 1.0, "higher"),
        ((0, 20), (10, 10), -1.0, -0.6791, "lower"),
    ],
)
def test_differences_of_shares_are_newcombes(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float, verdict: str
) -> None:
    """The limits are those of Newcombe 1998 (Statistics in Medicine 17:873), table II, method 10; zero tells."""
    found = changed(share(*first), share(*second))

    assert (low, high) == pytest.approx((found.low, found.high), abs=5e-5)
    assert verdict == found.verdict


@pytest.mark.parametrize(
    ("p", "freedom", "t"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.95, 5, 2.015),
        (0.975, 10, 2.228),
        (0.995, 30, 2.750),
        (0.975, 120, 1.980),
    ],
)
def test_student_is_that_of_the_tables(p: float, freedom: int, t: float) -> None:
    """Quantiles agree with the tables of Student's distribution to their last digit."""
    assert t == pytest.approx(student(p, freedom), abs=5e-4)


def test_a_mean_has_students_interval() -> None:
    """Of 2, 4, 4, 4, 5, 5, 7, 9 (mean 5, s = 2.138) the limits are 5 ± 2.365 · 2.138 / √8."""
    found = mean({2: 1, 4: 3, 5: 2, 7: 1, 9: 1})

    assert 5.0 == found.value
    assert (5 - 1.7875, 5 + 1.7875) == pytest.approx((found.low, found.high), abs=1e-3)
    assert Estimate(3.0, 1) == mean({3: 1})


def test_a_net_score_is_not_certain_of_a_few() -> None:
    """The value is plain, the limits are the adjusted Wald ones, and five of five promoters prove little."""
    found, few = net(50, 30, 20), net(5, 0, 0)

    assert 0.3 == pytest.approx(found.value)
    assert (0.0781, 0.1405, 0.4420) == pytest.approx((found.error, found.low, found.high), abs=1e-4)
    assert (1.0, 0.0) == (few.value, few.error)
    assert few.low is not None
    assert few.low < 0.2


@pytest.mark.parametrize(("n", "ranks"), [(5, None), (6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (25, (8, 18))])
def test_a_median_lies_between_the_ranks_of_the_tables(n: int, ranks: tuple[int, int] | None) -> None:
    """The limits of a median are the values with the ranks of the tables for the sign test; five values have none."""
    found = quantile([float(rank) for rank in range(1, n + 1)], 0.5)

    assert (n + 1) / 2 == found.value
    assert ranks == (None if found.low is None else (found.low, found.high))


def test_a_quantile_lies_between_neighbours() -> None:
    """Between two values it is taken in proportion; of nothing there is none."""
    assert 9.1 == pytest.approx(quantile([float(one) for one in range(1, 11)], 0.9).value)
    assert Estimate() == quantile([], 0.5)


def test_who_knows_all_is_certain() -> None:
    """Half of a population count for twice as many less one; all of it leave no margin."""
    half, plain, whole = share(50, 100, 200), share(50, 100), share(50, 100, 100)

    assert half.margin == pytest.approx(share(995, 1990).margin * math.sqrt(10), rel=0.02)  # type: ignore[operator]
    assert half.margin < plain.margin  # type: ignore[operator]
    assert (0.5, 0.5) == (whole.low, whole.high)
    assert (4.0, 4.0) == (mean({3: 1, 5: 1}, 2).low, mean({3: 1, 5: 1}, 2).high)


def test_strata_are_weighted_by_who_they_stand_for() -> None:
    """0.7 · 50 % + 0.3 · 80 % = 59 % with the standard error √(0.49 · 0.0025 + 0.09 · 0.0016) = 0.037."""
    found = weighted([(share(50, 100), 700.0), (share(80, 100), 300.0), (Estimate(), 100.0)])

    assert (0.59, 0.037, 200) == pytest.approx((found.value, found.error, found.n))
    assert found.low is not None
    assert found.high is not None
    assert 0.51 < found.low < 0.59 < found.high < 0.67


def test_counts_compare_as_poisson_counts() -> None:
    """Ten have the score limits 5.43 and 18.41; ten and fourteen are the same as far as can be told."""
    assert (5.43, 18.41) == pytest.approx((count(10).low, count(10).high), abs=5e-3)
    assert "unchanged" == changed(count(14), count(10)).verdict
    assert "higher" == changed(count(140), count(80)).verdict


def test_nothing_compares_with_nothing() -> None:
    """Without a value on both sides there is no verdict, and without limits only a difference."""
    assert (None, "unknown") == (changed(share(1, 2), Estimate()).difference, changed(share(1, 2), Estimate()).verdict)
    assert (1.0, "unknown") == (
        changed(Estimate(2.0, 1), Estimate(1.0, 1)).difference,
        changed(Estimate(2.0, 1), Estimate(1.0, 1)).verdict,
    )


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 2000))
def test_values_lie_between_their_limits(good: int, fair: int, bad: int, more: int) -> None:
    """Whatever was counted: limits include the value, stay on the scale, and are narrower for a known population."""
    n = good + fair + bad
    for estimate, low, high in (
        (share(good, n), 0, 1),
        (net(good, fair, bad), -1, 1),
        (mean({5: good, 3: fair, 1: bad}), 1, 5),
    ):
        if estimate.low is None or estimate.high is None or estimate.value is None:
            assert n < 2
            continue
        assert low <= estimate.low <= estimate.value <= estimate.high <= high
    if n:
        known = share(good, n, n + more)
        assert known.margin is not None
        assert known.margin <= (share(good, n).margin or 0) + 1e-12


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.floats(0.05, 0.95))
def test_quantiles_lie_between_their_limits(values: list[float], q: float) -> None:
    """A quantile is no less than the least and no more than the most, and its limits include it."""
    ordered = sorted(values)
    found = quantile(ordered, q)

    assert found.value is not None
    assert ordered[0] <= found.value <= ordered[-1]
    if found.low is not None and found.high is not None:
        assert found.low <= found.value <= found.high
