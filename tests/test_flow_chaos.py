"""Nothing that was answered is lost and nothing is sent twice, whoever is killed, stopped or frozen, and whenever."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import hub as root
from connectors.simulators.wechat import WeChatPlatform
from inbox.embedded import find_binary
from tests import chaos
from tests.chaos import LONG, Desk, HubProcess, Oracle, Shop, Verdict, eventually, moments
from tests.hubs import ROUTES, configuration, served, write
from tests.stores import Server, free_port

pytestmark = pytest.mark.chaos

KILLS = 50 if LONG else 4
STORE_KILLS = 20 if LONG else 3
AWAY = 30.0 if LONG else 5.0
ROUNDS = 6 if LONG else 1
BACK = 3.0
"""Seconds from the start of the process to the first push that is answered with 200, see `pace`."""

RECOVERED = 2.0
"""Seconds from the return of the store to the first push that is answered with 200."""

TAKEN_OVER = 5.0
"""Seconds more until a message is routed."""

PUSH_LIMIT = 5.0
"""Seconds after which WeChat hangs up."""

GROWTH = 64 << 20
STOP_LIMIT = 10.0
MOVE_LIMIT = 15.0
PARTITIONS = 64

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


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    """A store of its own that the test may stop for as long as it likes."""
    server = Server(find_binary(os.environ), tmp_path / "valkey")
    server.start()
    yield server
    server.end(signal.SIGKILL)


@pytest.fixture
def pace() -> float:
    """How much slower than needed this machine is now: the seconds, at least 1, that it takes to load the hub's code.

    Limits for starts hold on a machine that does it in a second; one that is busy with other things gets longer.
    """
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import hub"], check=True, cwd=Path(root.__file__).parent)
    return max(1.0, time.monotonic() - began)


class Balanced(WeChatPlatform):
    """The platform in front of several hubs: every push goes to the next one, as by a load balancer without checks."""

    urls: Iterator[str] = cycle([""])

    @property
    def hub_url(self) -> str:
        return next(self.urls)

    @hub_url.setter
    def hub_url(self, url: str) -> None:
        self.urls = cycle([url])

    def balance(self, urls: list[str]) -> None:
        """Push to *urls* in turn."""
        self.urls = cycle(urls)


@dataclass
class Scene:
    """Running hubs, and a shop in front of them."""

    hubs: list[HubProcess]
    shop: Shop

    @property
    def hub(self) -> HubProcess:
        return self.hubs[0]

    async def first_ack(self, after: float) -> float:
        """Return the seconds from *after* to the first push of a later start that was answered with 200."""
        return await self._first(self.shop.oracle.first_ack, after)

    async def first_routed(self, after: float) -> float:
        """Return the seconds from *after* to the first later message that was seen with its team."""
        return await self._first(self.shop.oracle.first_routed, after)

    async def _first(self, look: Callable[[float], float | None], after: float) -> float:
        async def found() -> float | None:
            return look(after)

        moment: float = await eventually(found, "the hub to serve again", pause=0.01)
        return moment - after

    async def held(self, hub: HubProcess) -> int:
        """Return how many partitions a hub owns; -1 if it does not say."""
        return int((await figures(self.shop.desk.http, hub)).get("huiliu_partitions_held", -1))


async def figures(http: aiohttp.ClientSession, hub: HubProcess) -> dict[str, float]:
    """Return a hub's metrics."""
    async with http.get(f"{hub.base}/metrics") as response:
        lines = (await response.text()).splitlines() if response.status == 200 else []
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


@asynccontextmanager
async def opened(
    folder: Path,
    chance: random.Random,
    *expected: str,
    store: str = "",
    workers: int = 2,
    hubs: int = 1,
) -> AsyncIterator[Scene]:
    """Start hubs on one store and let nobody in yet; their logs must tell of no fault but those *expected*."""
    platform = Balanced(chaos.APP_ID, chaos.SECRET, chaos.PUSH_TOKEN, aes_key=chaos.AES)
    async with served(platform.app) as api_base, aiohttp.ClientSession() as http:
        running = []
        for number in range(hubs):
            home = folder / f"hub{number}"
            port = free_port()
            text = f"store: {{url: '{store or 'embedded'}', path: {home}/var}}\n"
            config = write(home, text + configuration(chaos.wechat_channel(api_base), port=port))
            running.append(HubProcess(config, port, workers))
        platform.balance([f"{hub.base}/hooks/{chaos.CHANNEL}" for hub in running])
        for hub in running:
            hub.start()
        try:
            yield Scene(running, Shop(platform, Desk(http, running), Oracle(folder / "oracle.log"), chance))
            assert [] == [fault for hub in running for fault in hub.faults(*expected)]
        finally:
            for hub in running:
                hub.stop()


async def judged(scene: Scene, report: Report, **figures_: Any) -> Verdict:
    """Report what came of it all, check the hub's own counts, and return what is not as promised."""
    verdict = await scene.shop.judge()
    counts = {
        name.partition('outcome="')[2].partition('"')[0]: int(value)
        for name, value in (await figures(scene.shop.desk.http, scene.hub)).items()
        if name.startswith("huiliu_events_total")
    }
    report(**verdict.figures, **figures_, counts=counts)
    parts = sum(counts.get(name, 0) for name in ("recorded", "duplicate", "ignored", "shunted"))
    assert counts.get("received", 0) == parts
    assert counts.get("recorded", 0) <= verdict.figures["recorded"], "counts die with a process; none is invented"
    assert counts.get("shunted", 0) == 0
    return verdict


def seconds(values: list[float]) -> str:
    """Return the median and the largest of *values* for people."""
    return f"{sorted(values)[len(values) // 2]:.2f}s/{max(values):.2f}s"


@pytest.mark.timeout(1800 if LONG else 180)
async def test_killing_all_processes_loses_nothing_and_sends_nothing_twice(
    tmp_path: Path, chance: random.Random, report: Report, pace: float
) -> None:
    """SIGKILL to every process of the hub at random moments under load: what it promised holds, it is back in 3 s."""
    back, routed = [], []
    async with opened(tmp_path, chance) as scene:
        async with scene.shop.open(patient=20, hasty=10):
            for wait in [0.0, *moments(chance, KILLS, 0.2, 2.5)]:
                if wait:
                    await asyncio.sleep(wait)
                    scene.hub.kill()
                    scene.hub.start()
                back.append(await scene.first_ack(scene.hub.started))
                routed.append(await scene.first_routed(scene.hub.started))
        verdict = await judged(
            scene, report, kills=KILLS, back=seconds(back), routed=seconds(routed), pace=f"{pace:.1f}"
        )

    assert verdict.faults() == {}
    assert max(back) < BACK * pace
    assert max(routed) < BACK * pace + TAKEN_OVER


@pytest.mark.timeout(600 if LONG else 120)
async def test_killing_one_worker_delays_its_customers_for_seconds(
    tmp_path: Path, chance: random.Random, report: Report
) -> None:
    """SIGKILL to one of two workers at random moments under load: the rest goes on, what was its is taken over."""
    gone = []
    async with opened(tmp_path, chance, "ended with code -9; starting it again") as scene:
        async with scene.shop.open(patient=20, hasty=10):
            await scene.first_routed(scene.hub.started)
            for wait in moments(chance, KILLS, 0.2, 2.5):
                await asyncio.sleep(wait)
                before = scene.hub.workers_of()
                os.kill(chance.choice(before), signal.SIGKILL)
                killed = time.monotonic()
                await eventually(partial(replaced, scene.hub, before), "the worker to be replaced", pause=0.01)
                gone.append(time.monotonic() - killed)
        waits = [seen - acked for acked, seen in scene.shop.oracle.routed]
        verdict = await judged(scene, report, kills=KILLS, replaced=seconds(gone), routed=seconds(waits))

    assert verdict.faults() == {}
    assert max(waits) < TAKEN_OVER


async def replaced(hub: HubProcess, before: list[int]) -> bool:
    """Tell whether there are as many workers as *before*, one of them new."""
    now = hub.workers_of()
    return len(now) == len(before) and now != before


@pytest.mark.timeout(1200 if LONG else 120)
async def test_killing_the_store_loses_nothing_and_sends_nothing_twice(
    tmp_path: Path, chance: random.Random, report: Report
) -> None:
    """SIGKILL to the embedded store at random moments under load: the hub starts it again and keeps its promises."""
    back, routed = [], []
    async with opened(tmp_path, chance) as scene:
        async with scene.shop.open(patient=20, hasty=10):
            await scene.first_routed(scene.hub.started)
            for wait in moments(chance, STORE_KILLS, 0.2, 2.5):
                await asyncio.sleep(wait)
                killed = time.monotonic()
                os.kill(scene.hub.store_pid(), signal.SIGKILL)
                back.append(await scene.first_ack(killed))
                routed.append(await scene.first_routed(killed))
        verdict = await judged(scene, report, kills=STORE_KILLS, back=seconds(back), routed=seconds(routed))
        assert scene.hub.log.read_text().count("starting the embedded store again") == STORE_KILLS, "one server a time"

    assert verdict.faults() == {}
    assert verdict.figures["states"].keys() == {"sent"}, "the hub lived on, so it knows what became of every send"
    assert max(back) < RECOVERED
    assert max(routed) < RECOVERED + TAKEN_OVER


@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.timeout(300 if LONG else 120)
async def test_while_the_store_is_away_nothing_is_promised(
    how: str, tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """Without a store: 503 with Retry-After before WeChat hangs up, never 200, memory flat; then all goes on."""
    async with opened(tmp_path, chance, store=valkey.url) as scene:
        async with scene.shop.open(patient=12, hasty=16):
            await scene.first_routed(scene.hub.started)
            await asyncio.sleep(chance.uniform(1.0, 2.0))
            before = scene.hub.memory()
            if how == "stopped":
                pause(valkey, signal.SIGSTOP)
            else:
                valkey.end(signal.SIGKILL)
            probes, most = await probed(scene, AWAY)
            if how == "stopped":
                pause(valkey, signal.SIGCONT)
            else:
                await asyncio.to_thread(valkey.start)
            returned = time.monotonic()
            back = await scene.first_ack(returned)
            routed = await scene.first_routed(returned)
        slowest = max(took for _, _, took in probes)
        verdict = await judged(
            scene,
            report,
            away=f"{AWAY:g}s",
            probes=len(probes),
            slowest=f"{slowest:.2f}s",
            back=f"{back:.2f}s",
            routed=f"{routed:.2f}s",
            growth=f"{(most - before) / (1 << 20):.1f}MB",
        )

    assert verdict.faults() == {}
    assert {status for status, _, _ in probes} == {503}
    assert all(retry_after.isdigit() and int(retry_after) > 0 for _, retry_after, _ in probes)
    assert slowest < PUSH_LIMIT
    assert most - before < GROWTH
    assert back < RECOVERED
    assert routed < RECOVERED + TAKEN_OVER
    assert verdict.figures["states"].keys() == {"sent"}


def pause(server: Server, how: signal.Signals) -> None:
    """Stop the store's process, or let it go on."""
    process = server._process
    assert process is not None
    process.send_signal(how)


async def probed(scene: Scene, seconds: float) -> tuple[list[tuple[int, str, float]], int]:
    """Push for *seconds*; return each push's (status, Retry-After, seconds) and the hub's largest memory meanwhile."""
    platform, http = scene.shop.platform, scene.shop.desk.http
    until = time.monotonic() + seconds
    probes: list[tuple[int, str, float]] = []
    most = 0

    async def probe(number: int) -> None:
        openid = f"probe-{number:06d}"
        platform.account.customer(openid)
        count = 0
        while (began := time.monotonic()) < until:
            count += 1
            fields = {
                **platform._head(openid), "MsgType": "text", "Content": "在吗", "MsgId": 10**15 + 10**6 * number + count
            }  # fmt: skip
            scene.shop.oracle.tried[str(fields["MsgId"])] = openid
            sealed = platform.wrapper.wrap(fields, int(time.time()))
            async with http.post(platform.hub_url, params=sealed.query, data=sealed.body) as response:
                probes.append((response.status, response.headers.get("Retry-After", ""), time.monotonic() - began))
            await asyncio.sleep(chaos.AGAIN)  # a platform's pace

    async def watch() -> None:
        nonlocal most
        while time.monotonic() < until:
            most = max(most, scene.hub.memory())
            await asyncio.sleep(0.1)  # samples

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        for number in range(4):
            group.create_task(probe(number))
    return probes, most


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


async def shared(scene: Scene) -> bool:
    """Tell whether the hubs have shared all partitions out."""
    held = [await scene.held(hub) for hub in scene.hubs]
    return min(held) > 0 and sum(held) == PARTITIONS


async def owns_all(scene: Scene, hub: HubProcess) -> bool:
    return await scene.held(hub) == PARTITIONS


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
                assert (0, []) == (code, [pid for pid in left if chaos.group(pid)])
                stops.append(took)
                scene.hub.start()
        verdict = await judged(scene, report, stops=seconds(stops))

    assert verdict.faults() == {}
    assert verdict.figures["states"].keys() == {"sent"}
    assert max(stops) < STOP_LIMIT


@pytest.mark.timeout(120)
async def test_a_stop_without_a_store_is_as_quick(
    tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """SIGTERM while the store gives no answer: exit 0 in 10 s, and nothing that was promised is forgotten."""
    async with opened(tmp_path, chance, store=valkey.url) as scene:
        async with scene.shop.open(patient=16, hasty=8):
            await scene.first_routed(scene.hub.started)
            pause(valkey, signal.SIGSTOP)
            await probed(scene, 1.0)
            code, took = await scene.hub.terminate()
            pause(valkey, signal.SIGCONT)
            scene.hub.start()
        verdict = await judged(scene, report, stop=f"{took:.2f}s")

    assert verdict.faults() == {}
    assert code == 0
    assert took < STOP_LIMIT


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
