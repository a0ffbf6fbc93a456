"""Rules are changed under load: every message is decided by one whole set, and the new one is in use in time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.loading import load
from config.restoring import restore
from hub import kinds
from inbox.attachments import Attachments
from inbox.channels import NOTHING
from inbox.embedded import Embedded
from inbox.history import history
from inbox.log import Entry
from inbox.partitions import COUNT
from inbox.placing import parse
from inbox.recording import Recorder
from inbox.store import Store, Topology
from inbox.wakes import Wakes
from router.evidence import recall, told
from router.rules import Tree, decide
from router.scripts import SCRIPTS
from router.trial import prove
from router.versions import SHORT, grow, snapshot
from tests import stores
from tests.backroom import message
from tests.hubs import configuration, write
from tests.processes import HubProcess, wait_for

pytest_plugins = ["tests.chaos_fixtures"]

WORDS = 60
RATE = 500
BATCH = 25
ROUNDS = 3
EVERY = 3.5
IN_TIME = 2_000
SLACK = 5_000
"""Milliseconds for what a machine that tests share with others may add."""
TEAMS = ("frontdesk", "aftersales", "complaints")


def written(shift: int) -> dict[str, str]:
    """Return two route files that belong together: each word's team is another one in each of the three sets."""
    texts = {}
    for number, name in enumerate(("routes.yaml", "more.yaml")):
        default = "default: {team: frontdesk}\n" if not number else ""
        rows = [
            f"  - {{name: 'set{shift}-{word}', when: {{text: '词{word}号'}}, set: {{team: {team}}}}}"
            for word in range(number, WORDS, 2)
            for team in [TEAMS[(word + shift) % 3]]
        ]
        texts[name] = f"{default}routes:\n" + "\n".join(rows) + "\n"
    return texts


@asynccontextmanager
async def two_workers(folder: Path) -> AsyncIterator[tuple[HubProcess, Store]]:
    """Run a hub of two workers on the first set, and connect to its store."""
    port = stores.free_port()
    text = configuration("  site-chat: {kind: webchat}", port=port).replace(
        "routes: routes.yaml", "routes: [routes.yaml, more.yaml]"
    )
    config = write(folder, text)
    restore({folder / name: text for name, text in written(0).items()}, "first")
    hub = HubProcess(config, port, workers=2)
    hub.start()
    try:
        await asyncio.to_thread(
            wait_for, lambda: hub.log.read_text().count("huiliu: http") == 2 or not hub.alive, "both workers", 60
        )
        assert hub.alive, hub.log.read_text()
        store = Store(Topology(Embedded.running(folder / "var")), SCRIPTS)
        try:
            yield hub, store
        finally:
            await store.close()
        assert [] == hub.faults()
    finally:
        hub.stop()


def sets(folder: Path) -> dict[str, Tree]:
    """Return the compiled sets by the hash that decisions are stored with."""
    trees = {}
    for shift in range(3):
        restore({folder / name: text for name, text in written(shift).items()}, f"look-{shift}")
        tree = grow(snapshot(load(folder / "huiliu.yaml", kinds, prove=prove)))
        trees[tree.hash[:SHORT]] = tree
    return trees


async def customers(recorder: Recorder, until: float) -> int:
    """Write at a steady rate until a moment of the loop's clock; return how many messages that were."""
    loop = asyncio.get_running_loop()
    began, count = loop.time(), 0
    while loop.time() < until:
        now = time.time_ns() // 1_000_000
        batch = [
            message(f"这是词{number % WORDS}号", f"tel:+86{number}", now=now) for number in range(count, count + BATCH)
        ]
        await recorder.record("site-chat", batch)
        count += BATCH
        await asyncio.sleep(max(0.0, began + count / RATE - loop.time()))
    return count


@pytest.mark.timeout(180)
async def test_no_message_is_routed_by_half_a_set(tmp_path: Path, pace: float) -> None:
    """At 500 messages a second two workers change sets: each decision's hash is one set, and is what that set says."""
    (tmp_path / "look").mkdir()
    write(
        tmp_path / "look",
        configuration("  site-chat: {kind: webchat}").replace(
            "routes: routes.yaml", "routes: [routes.yaml, more.yaml]"
        ),
    )
    trees = sets(tmp_path / "look")
    hashes = list(trees)
    changed: list[int] = []
    pause = EVERY * pace
    async with two_workers(tmp_path) as (_, store):
        recorder = Recorder(store, Wakes(store), Attachments(tmp_path / "attachments"))
        writing = asyncio.create_task(customers(recorder, asyncio.get_running_loop().time() + pause * (ROUNDS + 1)))
        for turn in range(1, ROUNDS + 1):
            await asyncio.sleep(pause)
            files = {tmp_path / name: text for name, text in written(turn % 3).items()}
            changed.append(time.time_ns() // 1_000_000)
            await asyncio.to_thread(restore, files, f"turn-{turn}")
        count = await writing
        decided = await all_decided(store, count)

    seen: Counter[str] = Counter()
    late: list[int] = []
    for entry, placing in decided:
        story = told(placing)
        assert story is not None
        seen[story["hash"]] += 1
        decision = decide(trees[story["hash"]], recall(parse(entry, "webchat", NOTHING), placing, story))
        assert (decision.route, decision.team) == (story["route"], story["set"]["team"])
        turn = sum(at <= placing.ms for at in changed)
        if story["hash"] != hashes[turn % 3]:
            assert story["hash"] == hashes[(turn - 1) % 3]
            late.append(placing.ms - changed[turn - 1])
    assert seen.keys() == trees.keys()
    assert max(late) < (IN_TIME + SLACK) * pace


async def all_decided(store: Store, count: int) -> list[tuple[Entry, Entry]]:
    """Wait until every message is decided, and return each with its placing."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        found: list[tuple[Entry, Entry]] = []
        for partition in range(COUNT):
            async for chunk in history(store, partition, 0, 1 << 50):
                found += chunk.placed
        if len(found) >= count:
            assert count == len(found)
            return found
        assert asyncio.get_running_loop().time() < deadline, f"{len(found)} of {count} messages are decided"
