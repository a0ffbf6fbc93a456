"""What it costs to take a webhook in: verified, parsed, deduplicated, logged, fsynced, answered.

Runs real hubs (`huiliu run`, one worker, embedded store, fsync before every 200) and a bare aiohttp
handler in turns, and compares CPU per message, throughput and latency. See bench/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _stage as stage  # found only now
from bench._pushes import CHANNELS, ROUTES, TEAMS, Push, Round, Shop, fire  # the same

LIMIT = 1.6
"""CPU of the hub per message, in CPU of the bare handler per request: more fails."""

FASTEST = 14_000
"""Calls prepared for one second: no server here answers more."""


@dataclass
class Row:
    """One thing that is measured: which server, which pushes, and its rounds so far. CPU is in microseconds."""

    name: str
    server: stage.Server
    push: Callable[[], Push]
    hub: stage.Hub | None = None
    routes: bool = False
    rounds: list[Round] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    store_cpu: list[float] = field(default_factory=list)
    routed_cpu: list[float] = field(default_factory=list)
    sent: int = 0

    def calls(self) -> Iterator[Push]:
        while True:
            yield self.push()

    def play(self, folder: Path, seconds: float, connections: int, *, counted: bool) -> None:
        """Run one round; CPU is counted up to the last answer and, where the hub routes, up to the last decision."""
        before, store_before = self.server.cpu, self.hub.store_cpu if self.hub else 0.0
        most = int(FASTEST * seconds)
        one = fire(self.server.port, self.calls(), folder, seconds=seconds, connections=connections, most=most)
        answered = self.server.cpu
        self.sent += one.taken
        if self.hub is not None and self.routes:
            self.hub.drain()
        if not counted:
            return
        self.rounds.append(one)
        self.cpu.append((answered - before) / one.answered * 1e6)
        if self.hub is not None:
            self.routed_cpu.append((self.server.cpu - before) / one.answered * 1e6)
            self.store_cpu.append((self.hub.store_cpu - store_before) / one.answered * 1e6)

    def lost(self) -> str:
        """Compare what is in the store with what was answered; "" if it fits."""
        if self.hub is None:
            return ""
        broken = sum(one.refused + one.broken for one in self.rounds)
        return f"{broken} calls were refused or broken" if broken else ""


def serve_bare() -> None:
    """Answer every POST with 200 once its body is read: the least that an aiohttp application does."""

    async def hook(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="success")

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/hooks/{channel}", hook)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"bare: http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


def report(rows: list[Row]) -> list[float]:
    """Print the table; return each row's CPU in CPU of the first row."""
    base = rows[0]
    print(
        f"\n{'':34}{'CPU us/message':>24}{'x bare':>8}{'paired':>8}{'store us':>10}{'rate/s':>9}{'x bare':>8}"
        f"{'p50 ms':>8}{'p99 ms':>8}"
    )
    ratios = []
    for row in rows:
        cpu, rate = stage.median(row.cpu), stage.median([one.rate for one in row.rounds])
        ratios.append(cpu / stage.median(base.cpu))
        paired = stage.median([own / bare for own, bare in zip(row.cpu, base.cpu, strict=True)])
        spread = f"{cpu:.0f} ({min(row.cpu):.0f}..{max(row.cpu):.0f})"
        slower = rate / stage.median([one.rate for one in base.rounds])
        print(
            f"{row.name:34}{spread:>24}{ratios[-1]:8.2f}{paired:8.2f}{stage.median(row.store_cpu):10.0f}{rate:9.0f}"
            f"{slower:8.2f}{stage.median([one.p50 for one in row.rounds]):8.1f}"
            f"{stage.median([one.p99 for one in row.rounds]):8.1f}"
        )
    for row in rows:
        if row.routes:
            print(f"{row.name}: {stage.median(row.routed_cpu):.0f} us per message until all of them are routed")
    return ratios


def verify(rows: list[Row], connections: int) -> list[str]:
    """Say what is wrong with the counts: every 200 is in its hub's store, and little more."""
    faults = [f"{row.name}: {fault}" for row in rows if (fault := row.lost())]
    for one in {id(row.hub): row.hub for row in rows if row.hub is not None}.values():
        mine = [row for row in rows if row.hub is one]
        answered, kept = sum(row.sent for row in mine), one.counts()["e"]
        # wrk leaves calls in flight when a round ends: kept, but not counted.
        most = answered + connections * sum(len(row.rounds) + 1 for row in mine)
        print(f"{answered} messages answered with 200 by the hub of {mine[0].name!r}, {kept} in its store")
        if not answered <= kept <= most:
            faults.append(f"the store has {kept} messages, expected {answered} to {most}")
    return faults


def measure(rounds: int, seconds: float, connections: int) -> int:
    """Run everything; return the exit code."""
    print(stage.machine(), flush=True)
    stage.stay_off_the_server_core()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="huiliu-bench-")))
        print("starting a bare aiohttp server and two hubs", flush=True)
        bare = stack.enter_context(stage.bare(Path(__file__).resolve()))
        taking = stack.enter_context(stage.hub(CHANNELS, routes=ROUTES, more=TEAMS))
        routing = stack.enter_context(stage.hub(CHANNELS, routes=ROUTES, more=TEAMS))
        stack.enter_context(taking.partitions_elsewhere())
        shops = [Shop(seed) for seed in range(1, 6)]
        rows = [
            Row("bare aiohttp", bare, shops[0].wechat),
            Row("WeChat XML, taken in", taking.server, shops[1].wechat, taking),
            Row("TikTok JSON, taken in", taking.server, shops[2].tiktok, taking),
            Row("WeChat XML, and routed meanwhile", routing.server, shops[3].wechat, routing, routes=True),
            Row("TikTok JSON, and routed meanwhile", routing.server, shops[4].tiktok, routing, routes=True),
        ]
        for number in range(rounds + 1):
            for row in rows:
                row.play(folder, seconds if number else 1.0, connections, counted=number > 0)
                if number:
                    print(
                        f"round {number}/{rounds}  {row.name:34}{row.cpu[-1]:6.0f} us {row.rounds[-1].rate:8.0f}/s",
                        flush=True,
                    )
        ratios = report(rows)
        faults = verify(rows, connections)
    faults += [
        f"{row.name}: {ratio:.2f} times the CPU of the bare handler, at most {LIMIT} is allowed"
        for row, ratio in zip(rows, ratios, strict=True)
        if ratio > LIMIT and not row.routes
    ]
    print(*faults or [f"fine: at most {LIMIT} times the CPU of the bare handler, nothing lost"], sep="\n")
    return 1 if faults else 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        serve_bare()
        return 0
    return measure(options.rounds, options.seconds, options.connections)


if __name__ == "__main__":
    sys.exit(main())
