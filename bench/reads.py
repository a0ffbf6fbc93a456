"""How long the API takes to answer at the size of a shop with 1,000,000 messages: lists, threads, searches.

A hub runs on what `bench/seed.py` has left in a folder. One client asks one thing after the other over one
connection; the search index is built before, and built anew while searches go on. See bench/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _stage as stage  # found only now
from bench._talk import CITIES, FAMILY, GOODS, THINGS  # the same
from bench.seed import AGENTS, KINDS, TAGS, TEAMS, TOKEN  # the same

LIMITS = {"list": 50.0, "thread": 50.0, "search": 200.0}
"""Milliseconds that 95 of 100 answers keep to."""

PATIENCE = 3600.0
LOOK = 1.0
Asker = Callable[[str], Any]


class Questions:
    """What is asked, drawn anew each time. *known* are ids of conversations."""

    def __init__(self, seed: int, known: list[str]) -> None:
        self._draw = random.Random(seed)
        self._known = known

    def list(self) -> str:
        """Return the path of a list as an agent has it."""
        draw = self._draw
        narrow = draw.choice(
            (
                "",
                "status=open",
                f"team={draw.choice(TEAMS)}",
                f"team={draw.choice(TEAMS)}&status=open",
                f"agent={draw.choice(AGENTS)}",
                f"agent={draw.choice(AGENTS)}&status=open",
                f"channel={draw.choice(list(KINDS))}",
                "status=resolved",
            )
        )
        return f"/conversations?limit=50&{narrow}"

    def thread(self) -> str:
        """Return the path of a thread."""
        return f"/conversations/{self._draw.choice(self._known)}/messages?limit=50"

    def words(self) -> str:
        """Return what somebody may look for."""
        draw = self._draw
        return draw.choice(
            (
                lambda: draw.choice(GOODS),
                lambda: draw.choice(GOODS)[:2],
                lambda: draw.choice(("退款", "发货", "投诉", "发票", "优惠券", "物流", "的", "您好")),
                lambda: f"{draw.choice(GOODS)} {draw.choice(CITIES)}",
                lambda: draw.choice(THINGS),
                lambda: f"{draw.choice(('refund', 'shipped', 'broken', 'order'))} {draw.choice(THINGS)}",
                lambda: str(draw.randrange(10**6, 10**7)),
                lambda: f"订单{draw.randrange(100, 1000)}",
                lambda: f"HL{draw.randrange(20, 400)}OFF",
                lambda: draw.choice(FAMILY),
                lambda: "龘靐",
                lambda: "zebra crossing",
                lambda: "a",
                lambda: "請問",
            )
        )()

    def search(self) -> str:
        """Return the path of a search for messages."""
        draw = self._draw
        narrow = draw.choice(
            ("", "", "", f"team={draw.choice(TEAMS)}", f"tag={draw.choice(TAGS)}", "status=open", "direction=inbound")
        )
        return f"/search?q={quote(self.words())}&limit=20&{narrow}"

    def filtered_list(self) -> str:
        """Return the path of a list of conversations in which a word stands."""
        return f"/conversations?q={quote(self.words())}&limit=20"


async def measured(hub: stage.Hub, ask: Asker, name: str, paths: Iterator[str], rounds: int) -> float:
    """Ask *rounds* times; print how long it took and return the time that 95 of 100 keep to, in ms."""
    times: list[float] = []
    slowest = ("", 0.0)
    found = 0
    cpu, store_cpu = hub.server.cpu, hub.store_cpu
    for _ in range(rounds):
        path = next(paths)
        began = time.perf_counter()
        answer = await ask(path)
        times.append((time.perf_counter() - began) * 1000)
        found += len(answer["items"])
        slowest = max(slowest, (path, times[-1]), key=lambda one: one[1])
    late = stage.quantile(times, 0.95)
    print(
        f"{name}: p50 {stage.quantile(times, 0.5):.1f} ms, p95 {late:.1f} ms, most {slowest[1]:.0f} ms ({slowest[0]}); "
        f"{rounds} answers with {found / rounds:.1f} items; "
        f"CPU of the hub {(hub.server.cpu - cpu) / rounds * 1000:.1f} ms, "
        f"of the store {(hub.store_cpu - store_cpu) / rounds * 1000:.1f} ms each",
        flush=True,
    )
    return late


async def settled(hub: stage.Hub, ask: Asker) -> float:
    """Wait until the hub has nothing left to do and the index is built; print and return its seconds."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE:
        await ask("/search?q=a&limit=1")  # has the index kept at once
        standing = (await ask("/search/index"))["items"]
        told = f"{standing[0]['progress']:.0%}" if standing else "not begun"
        if standing and standing[0]["state"] == "ready" and standing[0]["behind_seconds"] < 1:
            break
        print(f"the index is being built: {told}", flush=True)
        await asyncio.sleep(5 * LOOK)
    while time.monotonic() < began + PATIENCE:
        cpu = hub.server.cpu
        await asyncio.sleep(2 * LOOK)
        if hub.server.cpu - cpu < 0.2 * LOOK:
            break
    one = standing[0]
    print(
        f"index built in {time.monotonic() - began:.0f} s at most: {one['messages']} messages, "
        f"{one['bytes'] / max(1, one['messages']):.0f} bytes each",
        flush=True,
    )
    return time.monotonic() - began


async def measure(hub: stage.Hub, rounds: int, *, rebuild: bool) -> dict[str, float]:
    """Ask everything; return the time that 95 of 100 keep to, by what was asked."""
    headers = {"Authorization": f"Bearer {TOKEN}-admin"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(path: str) -> Any:
            async with session.get(f"{hub.url}/api/v1{path}") as response:
                answer = await response.json()
                if response.status != 200:
                    sys.exit(f"{path}: {response.status} {answer}")
                return answer

        await settled(hub, ask)
        known: list[str] = []
        for team in TEAMS:
            known += [one["id"] for one in (await ask(f"/conversations?team={team}&limit=200"))["items"]]
        questions = Questions(1, known)
        late = {
            "list": await measured(hub, ask, "list", forever(questions.list), rounds),
            "thread": await measured(hub, ask, "thread", forever(questions.thread), rounds),
            "search": await measured(hub, ask, "search", forever(questions.search), rounds),
            "search of conversations": await measured(
                hub, ask, "search of conversations", forever(questions.filtered_list), rounds
            ),
        }
        if not rebuild:
            return late
        async with session.post(f"{hub.url}/api/v1/search/rebuild", json={}) as response:
            response.raise_for_status()
        began = time.monotonic()
        await asyncio.sleep(LOOK)
        late["search, index being rebuilt"] = await measured(
            hub, ask, "search, index being rebuilt", forever(questions.search), rounds
        )
        late["list, index being rebuilt"] = await measured(
            hub, ask, "list, index being rebuilt", forever(questions.list), rounds
        )
        standing = (await ask("/search/index"))["items"][0]
        print(f"then the new index was at {standing['progress']:.0%} ({standing['state']})", flush=True)
        while True:
            if (await ask("/search/index"))["items"][0]["state"] == "ready":
                break
            await asyncio.sleep(LOOK)
        print(f"index rebuilt in {time.monotonic() - began:.0f} s while it answered", flush=True)
    return late


def forever(make: Callable[[], str]) -> Iterator[str]:
    """Yield what *make* makes, for ever."""
    while True:
        yield make()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("bench/.seed"))
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--keep", action="store_true", help="do not build the index anew")
    options = parser.parse_args()
    folder = options.folder.absolute()
    if not (folder / "huiliu.yaml").exists():
        print(f"{folder} holds nothing: run bench/seed.py first")
        return 2
    print(stage.machine(), flush=True)
    with stage.resumed(folder) as hub:
        late = asyncio.run(measure(hub, options.rounds, rebuild=not options.keep))
    faults = [
        f"{name}: 95 of 100 take up to {late[name]:.0f} ms, at most {limit:g} is asked for"
        for name, limit in LIMITS.items()
        if late[name] >= limit
    ]
    print(*faults or ["fine"], sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
