"""Nothing that was answered is lost and nothing is sent twice, whoever is killed and whenever."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests import chaos
from tests.chaos import LONG, Desk, HubProcess, Oracle, Shop, eventually, moments
from tests.hubs import configuration, served, write
from tests.stores import free_port

pytestmark = pytest.mark.chaos

KILLS = 50 if LONG else 4
STORE_KILLS = 20 if LONG else 3
BACK = 3.0
"""Seconds from the start of the process to the first push that is answered with 200."""

Report = Callable[..., None]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Show a line in every case, also of a test that passes."""

    def show(**figures: Any) -> None:
        with capsys.disabled():
            sys.stdout.write("\n  " + " ".join(f"{name}={value}" for name, value in figures.items()))

    return show


@pytest.fixture
def chance(report: Report) -> random.Random:
    """The generator of all that varies; HUILIU_SEED repeats a run as far as the scheduler lets it."""
    seed = chaos.seed()
    report(HUILIU_SEED=seed)
    return random.Random(seed)


@asynccontextmanager
async def opened(folder: Path, chance: random.Random, *, workers: int = 2) -> AsyncIterator[tuple[HubProcess, Shop]]:
    """Start a hub on an embedded store and let nobody in yet; the log must tell of no fault in the end."""
    platform = chaos.wechat()
    async with served(platform.app) as api_base, aiohttp.ClientSession() as http:
        port = free_port()
        text = f"store: {{url: embedded, path: {folder}/var}}\n"
        config = write(folder, text + configuration(chaos.wechat_channel(api_base), port=port))
        hub = HubProcess(config, port, workers)
        platform.hub_url = f"{hub.base}/hooks/{chaos.CHANNEL}"
        hub.start()
        try:
            yield hub, Shop(platform, Desk(http, [hub]), Oracle(folder / "oracle.log"), chance)
            assert hub.faults() == []
        finally:
            hub.stop()


@pytest.mark.timeout(1800 if LONG else 180)
async def test_killing_all_processes_loses_nothing_and_sends_nothing_twice(
    tmp_path: Path, chance: random.Random, report: Report
) -> None:
    """SIGKILL to every process of the hub at random moments under load: what it promised holds, and it is back in 3 s."""
    back, routed = [], []
    async with opened(tmp_path, chance) as (hub, shop):
        async with shop.open(patient=20, hasty=10):
            for wait in [0.0, *moments(chance, KILLS, 0.2, 2.5)]:
                if wait:
                    await asyncio.sleep(wait)
                    hub.kill()
                    hub.start()
                back.append(await first(shop.oracle.first_ack, hub.started) - hub.started)
                routed.append(await first(shop.oracle.first_routed, hub.started) - hub.started)
        verdict = await shop.judge()
        counts = await balance(hub)
    report(**verdict.figures, back=f"{max(back):.2f}s", routed=f"{max(routed):.2f}s", counts=counts)

    assert verdict.faults() == {}
    assert max(back) < BACK
    assert max(routed) < BACK + 5.0


async def first(look: Callable[[float], float | None], after: float) -> float:
    """Return the first time that *look* finds after *after*."""

    async def found() -> float | None:
        return look(after)

    moment: float = await eventually(found, "the hub to come back", pause=0.01)
    return moment


async def balance(hub: HubProcess) -> dict[str, int]:
    """Return the hub's own counts of events, which must balance: received = recorded + duplicate + ignored + shunted."""
    async with aiohttp.ClientSession() as http, http.get(f"{hub.base}/metrics") as response:
        text = await response.text()
    counts = {
        line.partition('outcome="')[2].partition('"')[0]: int(float(line.rpartition(" ")[2]))
        for line in text.splitlines()
        if line.startswith("huiliu_events_total{")
    }
    parts = sum(counts.get(name, 0) for name in ("recorded", "duplicate", "ignored", "shunted"))
    assert counts["received"] == parts, counts
    return counts
