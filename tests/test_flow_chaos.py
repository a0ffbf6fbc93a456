"""Nothing that was answered is lost and nothing is sent twice, whichever process is killed, stopped or frozen."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.chaos import LONG, eventually, moments
from tests.hubs import ROUTES
from tests.processes import HubProcess, group, pids
from tests.scenes import BACK, TAKEN_OVER, Report, Scene, judged, opened, seconds
from tests.stores import Server

pytest_plugins = ["tests.chaos_fixtures"]
pytestmark = pytest.mark.chaos

KILLS = 50 if LONG else 4
ROUNDS = 6 if LONG else 1
STOP_LIMIT = 10.0
MOVE_LIMIT = 15.0
PARTITIONS = 64


@pytest.mark.timeout(1800 if LONG else 180)
async def test_killing_all_processes_loses_nothing_and_sends_nothing_twice(
    tmp_path: Path, chance: random.Random, report: Report, pace: float
) -> None:
    """SIGKILL to every process of the hub at random moments under load: what it promised holds, it is back in 3 s."""
    back, queued, routed = [], [], []
    async with opened(tmp_path, chance) as scene:
        async with scene.shop.open(patient=20, hasty=10):
            for wait in [0.0, *moments(chance, KILLS, 0.2, 2.5)]:
                if wait:
                    await asyncio.sleep(wait)
                    scene.hub.kill()
                    scene.hub.start()
                back.append(await scene.first_ack(scene.hub.started))
                queued.append(scene.hub.queued())
                routed.append(await scene.first_routed(scene.hub.started))
        verdict = await judged(
            scene,
            report,
            kills=KILLS,
            back=seconds(back),
            queued=seconds(queued),
            routed=seconds(routed),
            pace=f"{pace:.1f}",
        )

    assert verdict.faults() == {}
    # The customers are on this machine too: what the hub had to wait for a CPU is not its own slowness.
    assert max(took - waited for took, waited in zip(back, queued, strict=True)) < BACK * pace
    assert max(routed) < (BACK + TAKEN_OVER) * pace


@pytest.mark.timeout(900 if LONG else 120)
async def test_workers_whose_parent_was_killed_do_no_harm(
    tmp_path: Path, chance: random.Random, report: Report, pace: float
) -> None:
    """SIGKILL to the parent alone, and a new hub at once: the old workers stop beside it, and all promises hold."""
    routed = []
    async with opened(tmp_path, chance) as scene:
        async with scene.shop.open(patient=16, hasty=8):
            await scene.first_routed(scene.hub.started)
            for wait in moments(chance, KILLS // 2, 0.2, 2.5):
                await asyncio.sleep(wait)
                scene.hub.behead()
                scene.hub.start()
                routed.append(await scene.first_routed(scene.hub.started))
                await eventually(partial(gone, scene.hub.groups[:-1]), "the old workers to end", STOP_LIMIT)
        verdict = await judged(scene, report, kills=KILLS // 2, routed=seconds(routed), pace=f"{pace:.1f}")

    assert verdict.faults() == {}
    assert max(routed) < (BACK + TAKEN_OVER) * pace


@pytest.mark.timeout(600 if LONG else 120)
async def test_killing_one_worker_delays_its_customers_for_seconds(
    tmp_path: Path, chance: random.Random, report: Report, pace: float
) -> None:
    """SIGKILL to one of two workers at random moments under load: the rest goes on, what was its is taken over."""
    new = []
    async with opened(tmp_path, chance, "ended with code -9; starting it again") as scene:
        async with scene.shop.open(patient=20, hasty=10):
            await scene.first_routed(scene.hub.started)
            for wait in moments(chance, KILLS, 0.2, 2.5):
                await asyncio.sleep(wait)
                before = scene.hub.workers_of()
                os.kill(chance.choice(before), signal.SIGKILL)
                killed = time.monotonic()
                await eventually(partial(replaced, scene.hub, before), "the worker to be replaced", pause=0.01)
                new.append(time.monotonic() - killed)
        waits = [seen - acked for acked, seen in scene.shop.oracle.routed]
        verdict = await judged(scene, report, kills=KILLS, replaced=seconds(new), routed=seconds(waits))

    assert verdict.faults() == {}
    assert max(waits) < TAKEN_OVER * pace


@pytest.mark.timeout(600 if LONG else 120)
async def test_a_rolling_restart_of_two_hubs_is_not_noticed(
    tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """SIGTERM to one of two hubs under load: exit 0 in 10 s, the other owns all in 15 s, every answer is sent once."""
    stops, moves = [], []
    async with opened(tmp_path, chance, store=valkey.url, workers=1, hubs=2) as scene:
        async with scene.shop.open(patient=16, hasty=8):
            for hub in scene.hubs * ROUNDS:
                other = next(one for one in scene.hubs if one is not hub)
                await eventually(partial(shared, scene), "both hubs to own partitions", MOVE_LIMIT)
                await asyncio.sleep(chance.uniform(0.5, 1.5))
                began = time.monotonic()
                code, took = await hub.terminate()
                assert code == 0
                stops.append(took)
                await eventually(partial(owns_all, scene, other), "the other hub to own everything", MOVE_LIMIT)
                moves.append(time.monotonic() - began)
                hub.start()
        verdict = await judged(scene, report, stops=seconds(stops), moves=seconds(moves))

    assert verdict.faults() == {}
    assert verdict.figures["states"].keys() == {"sent"}
    assert max(stops) < STOP_LIMIT
    assert max(moves) < MOVE_LIMIT


@pytest.mark.timeout(300 if LONG else 120)
async def test_a_frozen_process_changes_nothing_when_it_wakes(
    tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """One of two hubs freezes for longer than a lease under load: the other takes over, and nothing is sent twice."""
    async with opened(tmp_path, chance, store=valkey.url, workers=1, hubs=2) as scene:
        async with scene.shop.open(patient=16, hasty=8):
            for _ in range(ROUNDS):
                await eventually(partial(shared, scene), "both hubs to own partitions", MOVE_LIMIT)
                await asyncio.sleep(chance.uniform(0.5, 1.5))
                frozen, other = chance.sample(scene.hubs, 2)
                frozen.signal(signal.SIGSTOP)
                try:
                    await eventually(partial(owns_all, scene, other), "the other hub to own everything", MOVE_LIMIT)
                finally:
                    frozen.signal(signal.SIGCONT)
                await eventually(partial(shared, scene), "both hubs to own partitions again", MOVE_LIMIT)
        verdict = await judged(scene, report)

    assert verdict.faults() == {}


@pytest.mark.timeout(120)
async def test_a_stop_under_load_ends_all_workers_and_leaves_the_rest_due(
    tmp_path: Path, chance: random.Random, report: Report
) -> None:
    """SIGTERM to two workers with their own store: exit 0 in 10 s; after the next start all promises are kept."""
    stops = []
    async with opened(tmp_path, chance) as scene:
        async with scene.shop.open(patient=16, hasty=8):
            for _ in range(ROUNDS):
                await scene.first_routed(scene.hub.started)
                await asyncio.sleep(chance.uniform(0.2, 1.0))
                left = scene.hub.processes()
                code, took = await scene.hub.terminate()
                assert (0, []) == (code, [pid for pid in left if group(pid)])
                stops.append(took)
                scene.hub.start()
        verdict = await judged(scene, report, stops=seconds(stops))

    assert verdict.faults() == {}
    assert verdict.figures["states"].keys() == {"sent"}
    assert max(stops) < STOP_LIMIT


@pytest.mark.timeout(120)
async def test_a_broken_configuration_never_replaces_the_running_one(
    tmp_path: Path, chance: random.Random, report: Report
) -> None:
    """SIGHUP with broken routes under load: the old ones stay in use, /readyz says what is wrong; good ones count."""
    async with opened(tmp_path, chance, "the configuration is not taken into use") as scene:
        routes = scene.hub.config.with_name("routes.yaml")
        readyz = f"{scene.hub.base}/readyz"

        async def complaints() -> list[str]:
            async with scene.shop.desk.http.get(readyz, headers={"Connection": "close"}) as response:
                found: list[str] = (await response.json())["configuration"]
                return found

        async with scene.shop.open(patient=4, hasty=2):
            await scene.first_routed(scene.hub.started)
            routes.write_text(ROUTES.replace("aftersales", "aftersale"), encoding="utf-8")
            scene.hub.signal(signal.SIGHUP)
            [fault] = await eventually(complaints, "the fault to be told")
            assert "did you mean aftersales" in fault
            assert await scene.first_routed(time.monotonic()) < TAKEN_OVER

            routes.write_text(ROUTES, encoding="utf-8")
            scene.hub.signal(signal.SIGHUP)
            good = 0
            while good < 8:  # connections spread over the workers, and all of them must know
                good = 0 if await complaints() else good + 1
            assert await scene.first_routed(time.monotonic()) < TAKEN_OVER
        verdict = await judged(scene, report)

    assert verdict.faults() == {}


async def gone(groups: list[int]) -> bool:
    """Tell whether no process of *groups* is left."""
    return not {group(pid) for pid in pids()}.intersection(groups)


async def replaced(hub: HubProcess, before: list[int]) -> bool:
    """Tell whether there are as many workers as *before*, one of them new."""
    now = hub.workers_of()
    return len(now) == len(before) and now != before


async def shared(scene: Scene) -> bool:
    """Tell whether the hubs have shared all partitions out."""
    held = [await scene.held(hub) for hub in scene.hubs]
    return min(held) > 0 and sum(held) == PARTITIONS


async def owns_all(scene: Scene, hub: HubProcess) -> bool:
    return await scene.held(hub) == PARTITIONS
