"""The candidate in the shadow costs a bounded part of the processor, and its faults stay its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from inbox.store import Store
from router.effects import judge
from router.replay import FAILED, Pair
from router.shadow import BURST, SHARE, Shadow
from tests.backroom import opened
from tests.routing import message, plant

LIVE = "default: {team: frontdesk}\nroutes: [{name: refund, when: {text: 退款}, set: {team: aftersales}}]\n"
OTHER = "default: {team: frontdesk}\nroutes: [{name: refund, when: {text: 退款}, set: {team: complaints}}]\n"


@dataclass
class Clock:
    """A clock that goes on by *step* with every look."""

    step: float
    now: float = 100.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with opened(store_url) as made:
        yield made


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(plant(tmp_path, LIVE), plant(tmp_path, OTHER), {}, {}, ZoneInfo("Asia/Shanghai"))


def watch(shadow: Shadow, pair: Pair, count: int = 1) -> None:
    """Let *count* messages be decided."""
    for number in range(count):
        shadow.observe(f"m0-{number}-0", judge(pair.live, message("我要退款"), unclaimed=False))


def test_a_slow_candidate_is_skipped(store: Store, pair: Pair) -> None:
    """Beyond a quarter of a core messages are only counted as skipped; once there is time again it goes on."""
    clock = Clock(0.5)
    shadow = Shadow(store, clock)
    shadow.use(pair)
    watch(shadow, pair, 1000)

    assert 1000 == shadow.tally.total + shadow.tally.skipped
    assert 100 < shadow.tally.total
    assert shadow.tally.total * clock.step <= (clock.now - 100.0) * SHARE + BURST + clock.step
    assert (shadow.tally.total, shadow.tally.skipped) == (shadow.counts["moved"], shadow.counts["skipped"])
    seen, clock.now = shadow.tally.total, clock.now + 1000
    watch(shadow, pair)
    assert seen + 1 == shadow.tally.total


def test_a_failing_candidate_is_counted(store: Store, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours in the candidate is logged once, counted each time, and reaches nobody."""
    shadow = Shadow(store)
    shadow.use(replace(pair, candidate=replace(pair.candidate, checks=())))
    with caplog.at_level(logging.ERROR):
        watch(shadow, pair, 3)

    assert ({FAILED: 3}, 3, 3) == (shadow.tally.reasons, shadow.tally.total, shadow.counts["undecidable"])
    assert 1 == len(caplog.records)


async def test_processes_add_up_and_pairs_stay_apart(store: Store, pair: Pair) -> None:
    """A report is the sum of all processes about one pair; another pair has counts of its own, and keeps them."""
    one, other = Shadow(store), Shadow(store)
    for shadow, count in ((one, 2), (other, 3)):
        shadow.use(pair)
        watch(shadow, pair, count)
        await shadow.share()
    assert (5, 5) == ((await one.report()).total, (await other.report()).moved)

    swapped = replace(pair, live=pair.candidate, candidate=pair.live)
    one.use(swapped)
    assert 0 == (await one.report()).total
    watch(one, swapped)
    one.use(None)
    watch(one, pair)
    assert 0 == (await one.report()).total
    one.use(pair)
    watch(one, pair)
    assert 6 == (await one.report()).total
