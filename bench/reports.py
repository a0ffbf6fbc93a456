"""How long reports take with 100,000 conversations, invitations and responses, and how long the event loop stands.

A hub in this process on the embedded store; the report is asked for through the API, while something else looks every
ten milliseconds whether the loop still turns.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hub import now_ms  # found only now
from inbox.conversations import CLOCKS
from inbox.embedded import Embedded
from inbox.partitions import COUNT, key, tag
from tests import filing
from tests.hubs import TOKEN, Stage, running
from tests.test_flow_reports import shop

DAYS = 42


async def ask(stage: Stage, path: str) -> None:
    """Ask for a report and print how long it took."""
    worst, done = 0.0, asyncio.Event()

    async def pulse() -> None:
        nonlocal worst
        while not done.is_set():
            begun = time.perf_counter()
            await asyncio.sleep(0.01)
            worst = max(worst, time.perf_counter() - begun - 0.01)

    task = asyncio.create_task(pulse())
    begun = time.perf_counter()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with stage.http.get(f"{stage.base}/api/v1{path}", headers=headers) as response:
        size = len(await response.read())
    seconds = time.perf_counter() - begun
    done.set()
    await task
    print(f"{path}: {seconds:.1f} s, {size} bytes; the loop stood {worst * 1000:.0f} ms at most", flush=True)


async def settled(stage: Stage) -> None:
    """Wait until the hub has looked at the clocks of everything that was filed at once."""
    while True:
        due = [stage.hub.store.do(tag(one), "ZCOUNT", key(one, CLOCKS), 0, now_ms()) for one in range(COUNT)]
        if not sum(await asyncio.gather(*due)):
            return
        await asyncio.sleep(1)


async def main(count: int) -> None:
    """Fill a store and ask for reports."""
    folder = Path(tempfile.mkdtemp())
    async with Embedded(folder / "store") as store, running(store.url, shop(folder)) as stage:
        begin = now_ms() - DAYS * filing.DAY
        await filing.tell(stage.hub.store, filing.conversations(count, begin, DAYS - 1))
        await settled(stage)
        for _ in range(2):
            await ask(stage, "/reports/service")
        await ask(stage, "/reports/service?format=xlsx")
        await filing.file(stage.hub.store, filing.answers(filing.Shop(per_day=count // (DAYS - 1)), begin, DAYS - 1))
        await ask(stage, "/reports/surveys/csat?since=50d")
        for form in ("csv", "xlsx", "sav"):
            await ask(stage, f"/reports/surveys/csat/responses?since=50d&format={form}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    asyncio.run(main(parser.parse_args().count))
