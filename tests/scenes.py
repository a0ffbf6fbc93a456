"""What the tests of kills and outages share: hubs on one store, the platform in front of them, and the judgement."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp

from connectors.simulators.wechat import WeChatPlatform
from tests import chaos
from tests.chaos import Desk, Oracle, Shop, Verdict, eventually
from tests.hubs import configuration, served, write
from tests.processes import HubProcess
from tests.stores import free_port

BACK = 3.0 if chaos.LONG else 8.0
"""Seconds from the start of a hub to the first push that is answered with 200, see `pace`."""

TAKEN_OVER = 5.0
"""Seconds more until a message is routed."""

Report = Callable[..., None]


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
            channels = f"{chaos.wechat_channel(api_base)}\n  site-chat: {{kind: webchat}}"
            config = write(home, text + configuration(channels, port=port))
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
        if name.startswith("huiliu_events_total") and f'"{chaos.CHANNEL}"' in name
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
