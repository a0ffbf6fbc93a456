"""Chance is fair, and can be repeated; strata and quotas are exact."""

from __future__ import annotations

import math
from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.surveys import Audience, Sampling
from outbox.sampling import Case, drawn, lot, meant, period, stratum, taken

UNITS = [f"c{number % 64}-1795000000{number:06}-0" for number in range(20_000)]
CERTAIN = 2.5758  # standard deviations that hold 99 % of a normal distribution


@pytest.mark.parametrize("rate", [1, 5, 30, 50, 95])
@pytest.mark.parametrize("seed", [1, 20261122])
def test_chance_takes_its_share(rate: int, seed: int) -> None:
    """Of 20,000 conversations the share that is taken lies within the 99 % bounds of the rate."""
    sampling = Sampling(rate=rate, seed=seed)
    count = sum(drawn(sampling, "csat", unit) for unit in UNITS)
    expected = len(UNITS) * rate / 100

    assert abs(count - expected) <= CERTAIN * math.sqrt(expected * (1 - rate / 100))


def test_chance_can_be_repeated_and_moved() -> None:
    """The same seed takes the same ones, another seed or survey others, a higher rate all of a lower's."""
    one, again, other = Sampling(rate=20, seed=1), Sampling(rate=20, seed=1), Sampling(rate=20, seed=2)
    first = {unit for unit in UNITS if drawn(one, "csat", unit)}

    assert first == {unit for unit in UNITS if drawn(again, "csat", unit)}
    assert first <= {unit for unit in UNITS if drawn(Sampling(rate=40, seed=1), "csat", unit)}
    for theirs in (
        {unit for unit in UNITS if drawn(other, "csat", unit)},
        {unit for unit in UNITS if drawn(one, "nps", unit)},
    ):
        share = len(first & theirs) / len(first)
        assert abs(share - 0.2) <= CERTAIN * math.sqrt(0.16 / len(first))


def test_the_lots_are_even() -> None:
    """Over ten equal parts the lots spread as even as chance allows (chi squared, 9 degrees, 99 %)."""
    counts = Counter(int(lot(7, unit) * 10) for unit in UNITS)
    expected = len(UNITS) / 10

    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 21.666


@settings(max_examples=30)
@given(rate=st.integers(1, 100), blocks=st.integers(1, 2), seed=st.integers())
def test_a_stratum_is_exact(rate: int, blocks: int, seed: int) -> None:
    """Of every whole block of a stratum exactly the rate is taken, whatever the seed."""
    sampling = Sampling.model_validate({"rate": f"{rate}%", "seed": seed, "strata": {"by": "team"}})
    size = 100 // math.gcd(rate, 100)

    count = sum(taken(sampling, "csat", "aftersales", number) for number in range(size * blocks))

    assert count == size * blocks * rate // 100


def test_a_stratum_may_have_a_rate_of_its_own() -> None:
    """A small channel can be asked more often, exactly."""
    strata = {"by": ["channel", "team"], "rates": {"shop-sms/aftersales": "50%"}}
    sampling = Sampling.model_validate({"rate": "10%", "strata": strata})
    assert sampling.strata is not None
    names = [stratum(sampling.strata, Case(channel, team="aftersales")) for channel in ("shop-sms", "shop-wechat")]

    counts = [sum(taken(sampling, "csat", name, number) for number in range(1000)) for name in names]

    assert (names, counts) == (["shop-sms/aftersales", "shop-wechat/aftersales"], [500, 100])


CASE = Case(
    "shop-wechat",
    "wechat",
    "aftersales",
    "lilei",
    ("hanmeimei", "lilei"),
    "aftersale",
    ("refund", "batch-7"),
    "refund",
    "zh-CN",
    ("east",),
    "gold",
)
AUDIENCES = [
    ({}, True),
    ({"channels": ["shop-wechat"]}, True),
    ({"channels": ["shop-sms"]}, False),
    ({"teams": ["frontdesk", "aftersales"]}, True),
    ({"agents": ["hanmeimei"]}, True),
    ({"agents": ["xiaoming"]}, False),
    ({"tags": ["batch-7"]}, True),
    ({"tags": ["batch-8"]}, False),
    ({"languages": ["zh"]}, True),
    ({"languages": ["en"]}, False),
    ({"contact_tags": ["east", "west"], "tiers": ["gold"]}, True),
    ({"contact_tags": ["east"], "tiers": ["silver"]}, False),
    ({"stages": ["aftersale"], "topics": ["refund"], "kinds": ["wechat"]}, True),
]


@pytest.mark.parametrize(("written", "included"), AUDIENCES)
def test_an_audience_is_what_all_its_parts_have_in_common(written: dict[str, list[str]], included: bool) -> None:
    """Region, batch, channel, segment: everything that is given must hold, of a list one item."""
    assert meant(Audience.model_validate(written), CASE) is included


@pytest.mark.parametrize(
    ("per", "name"), [("day", "2027-01-01"), ("week", "2026-W53"), ("month", "2027-01"), ("survey", "")]
)
def test_a_period_is_the_local_one(per: str, name: str) -> None:
    """Half past midnight in Shanghai is the new year, which UTC has not reached, in the last week of the old one."""
    assert name == period(per, 1_798_734_600_000, ZoneInfo("Asia/Shanghai"))
