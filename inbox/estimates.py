"""Estimates and how far they can be trusted: intervals of shares, means, net scores, quantiles and counts. Pure.

Every function takes what was counted and returns an `Estimate`; `changed` compares two of them. Sources are named
where a formula comes from outside. The level of confidence is 95 % unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import msgspec

LEVEL = 0.95
EXACT = 200
"""Up to so many values the ranks that bound a quantile are found exactly, above by the normal approximation."""

NET_ADDED = 3.0
"""Answers that are added to a net score for its interval, a quarter each promoters and detractors (see `net`)."""

Verdict = Literal["higher", "lower", "unchanged", "unknown"]


class Estimate(msgspec.Struct, frozen=True):
    """A *value* out of *n* answers, with the ends of its interval and its standard error where there are any.

    *value* is None where there is nothing to count. *population* is the number of all of whom the *n* are a part,
    0 if that is not known.
    """

    value: float | None = None
    n: int = 0
    low: float | None = None
    high: float | None = None
    error: float | None = None
    population: int = 0

    @property
    def margin(self) -> float | None:
        """Half the width of the interval."""
        return (self.high - self.low) / 2 if self.low is not None and self.high is not None else None


NOTHING = Estimate()


class Change(msgspec.Struct, frozen=True):
    """By how much an estimate differs from an earlier one, between which limits, and what that means."""

    before: Estimate
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict = "unknown"


def share(hits: int, n: int, population: int = 0, level: float = LEVEL) -> Estimate:
    """Return the share of *hits* among *n* with Wilson's score interval (Wilson 1927, without continuity correction).

    If all *population* are known, the *n* count for as many more as the finite population correction says:
    n (N - 1) / (N - n).
    """
    if n <= 0:
        return Estimate(population=population)
    p = hits / n
    if population and n >= population:
        return Estimate(p, n, p, p, 0.0, population)
    counted = n * (population - 1) / (population - n) if population > 1 else float(n)
    low, high = wilson(p, counted, level)
    return Estimate(p, n, low, high, math.sqrt(p * (1 - p) / counted), population)


def wilson(p: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's interval of a share *p* of *n*, which need not be whole."""
    z = normal(level)
    middle = p + z * z / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if p == 0 else max(0.0, (middle - reach) / scale)
    high = 1.0 if p == 1 else min(1.0, (middle + reach) / scale)
    return min(low, p), max(high, p)


def mean(answers: Mapping[int, int], population: int = 0, level: float = LEVEL) -> Estimate:
    """Return the mean of *answers* (value -> how many) with Student's interval; one answer alone has none."""
    n = sum(answers.values())
    if n == 0:
        return Estimate(population=population)
    value = sum(one * count for one, count in answers.items()) / n
    if n == 1:
        return Estimate(value, 1, population=population)
    squares = sum(count * (one - value) ** 2 for one, count in answers.items())
    error = math.sqrt(squares / (n - 1) / n) * _finite(n, population)
    reach = student((1 + level) / 2, n - 1) * error
    ends = sorted(answers)
    return Estimate(value, n, max(ends[0], value - reach), min(ends[-1], value + reach), error, population)


def net(promoters: int, passives: int, detractors: int, population: int = 0, level: float = LEVEL) -> Estimate:
    """Return the share of promoters less that of detractors, from -1 to 1.

    The standard error is that of the difference of two shares of one sample. The interval is the adjusted Wald
    interval (Rocks 2016, The American Statistician 70:4): three more answers, three quarters of one each promoter and
    detractor; it does not pretend certainty when all of a few agree.
    """
    n = promoters + passives + detractors
    if n == 0:
        return Estimate(population=population)
    value = (promoters - detractors) / n
    error = math.sqrt(max(0.0, (promoters + detractors) / n - value * value) / n) * _finite(n, population)
    p, d = ((count + NET_ADDED / 4) / (n + NET_ADDED) for count in (promoters, detractors))
    reach = normal(level) * math.sqrt((p + d - (p - d) ** 2) / (n + NET_ADDED)) * _finite(n, population)
    low, high = max(-1.0, p - d - reach), min(1.0, p - d + reach)
    if population and n >= population:
        low = high = value
    return Estimate(value, n, min(low, value), max(high, value), error, population)


def count(number: int, level: float = LEVEL) -> Estimate:
    """Return how often something happened with the score interval of a Poisson mean, to compare two periods by."""
    z = normal(level)
    reach = z * math.sqrt(number + z * z / 4)
    low = max(0.0, number + z * z / 2 - reach)
    return Estimate(float(number), number, low, number + z * z / 2 + reach, math.sqrt(number))


def quantile(ordered: Sequence[float], q: float, level: float = LEVEL) -> Estimate:
    """Return the *q* quantile of *ordered* values, between neighbours in proportion, with its distribution-free limits.

    The limits are two of the values, by ranks between which the quantile lies with at least that confidence (Conover,
    Practical Nonparametric Statistics, 3.2); there are none where the values are too few for that.
    """
    n = len(ordered)
    if n == 0:
        return NOTHING
    place = q * (n - 1)
    below = math.floor(place)
    above = min(below + 1, n - 1)
    value = ordered[below] + (ordered[above] - ordered[below]) * (place - below)
    first, last = _ranks(n, q, level)
    if first < 1 or last > n:
        return Estimate(value, n)
    return Estimate(value, n, min(value, ordered[first - 1]), max(value, ordered[last - 1]))


def weighted(strata: Sequence[tuple[Estimate, float]], level: float = LEVEL) -> Estimate:
    """Return the estimate for the whole out of those of its strata, each with its share of the population.

    The variances add up with the squares of the weights (Cochran, Sampling Techniques, 5.9). Strata without an answer
    are left out, and the weights of the others stretched to one. A share keeps Wilson's interval, with as many answers
    as a simple sample of that variance would have; other values have the normal interval.
    """
    known = [(one, weight) for one, weight in strata if one.value is not None and weight > 0]
    total = sum(weight for _, weight in known)
    if not known:
        return NOTHING
    value = sum((one.value or 0.0) * weight for one, weight in known) / total
    n, population = sum(one.n for one, _ in known), sum(one.population for one, _ in known)
    if any(one.error is None for one, _ in known):
        return Estimate(value, n, population=population)
    error = math.sqrt(sum(((one.error or 0.0) * weight / total) ** 2 for one, weight in known))
    if 0 < value < 1 and all(0 <= (one.value or 0.0) <= 1 for one, _ in known) and error:
        low, high = wilson(value, value * (1 - value) / (error * error), level)
    else:
        reach = normal(level) * error
        low, high = value - reach, value + reach
    return Estimate(value, n, low, high, error, population)


def changed(now: Estimate, before: Estimate) -> Change:
    """Compare two independent estimates by their intervals.

    The limits of the difference are recovered from those of both (Newcombe 1998, method 10, which for shares is this;
    Zou and Donner 2008 for anything else). Zero between the limits means: unchanged as far as can be told.
    """
    if now.value is None or before.value is None:
        return Change(before)
    difference = now.value - before.value
    if now.low is None or now.high is None or before.low is None or before.high is None:
        return Change(before, difference)
    low = difference - math.hypot(now.value - now.low, before.high - before.value)
    high = difference + math.hypot(now.high - now.value, before.value - before.low)
    verdict: Verdict = "higher" if low > 0 else "lower" if high < 0 else "unchanged"
    return Change(before, difference, low, high, verdict)


@lru_cache(maxsize=64)
def normal(level: float) -> float:
    """Return how many standard deviations to both sides hold *level* of a normal distribution."""
    return NormalDist().inv_cdf((1 + level) / 2)


@lru_cache(maxsize=4096)
def student(p: float, freedom: int) -> float:
    """Return the *p* quantile (0.5 < p < 1) of Student's distribution with *freedom* degrees of freedom."""
    if freedom > 100_000:
        return NormalDist().inv_cdf(p)
    low, high = 0.0, 1.0
    while _student_below(high, freedom) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if _student_below(middle, freedom) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_below(t: float, freedom: int) -> float:
    """Return the share of Student's distribution below *t* (at least 0)."""
    return 1 - _beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function by its continued fraction (DLMF 8.17.22, Lentz's method)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    fraction = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + numerator * d or tiny)
            c = 1 + numerator / c or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction / a


def _finite(n: int, population: int) -> float:
    """Return the finite population correction of a standard error, 1 where the population is not known."""
    if population <= 1:
        return 1.0
    return math.sqrt(max(0.0, (population - n) / (population - 1)))


@lru_cache(maxsize=4096)
def _ranks(n: int, q: float, level: float) -> tuple[int, int]:
    """Return the ranks (from 1) of the values that bound the *q* quantile; outside 1..n where there are none."""
    tail = (1 - level) / 2
    if n > EXACT:
        reach = normal(level) * math.sqrt(n * q * (1 - q))
        return math.floor(n * q - reach), math.ceil(n * q + reach) + 1
    below, first, last = 0.0, 0, n + 1
    for successes in range(n + 1):
        term = math.comb(n, successes) * q**successes * (1 - q) ** (n - successes)
        below += term
        if below <= tail:
            first = successes + 1
        if below >= 1 - tail:
            last = successes + 1
            break
    return first, last
