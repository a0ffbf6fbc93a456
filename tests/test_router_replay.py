"""Stored messages run through a candidate: the counts add up, and what is said of each message is true."""

from __future__ import annotations

import json
import logging
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.documents import understand
from config.loading import candidate, load
from hub import kinds
from inbox.partitions import key, partition_of, tag
from inbox.work import HUB
from router import reporting
from router.replay import NEVER_PLACED, NOT_KEPT, Pair, Progress, replay
from router.rules import Tree
from router.shadow import Shadow
from router.tally import OTHER, Tally
from router.trial import prove
from router.versions import grow, snapshot
from tests.backroom import Room, message, room
from tests.hubs import ROUTES
from tests.processes import resident

LONG = os.environ.get("HUILIU_LONG") == "1"
MANY = 100_000 if LONG else 3_000
SEED = 20_261_121
MEMORY = 64 << 20
"""Bytes that a replay may need beyond what was there before, however long the history is."""

log = logging.getLogger(__name__)

CANDIDATE = """
default: {team: frontdesk}
routes:
  - name: complaint
    when: {text: {any_of: [投诉]}}
    set: {team: complaints, stage: complaint, priority: high, tags: [complaint], acknowledge: complaint-received}
  - name: money
    when: {text: {any_of: [退款, 退货]}}
    set: {team: frontdesk, stage: aftersale, tags: [refund]}
  - name: spam
    when: {text: {any_of: [加微信刷单]}}
    set: {ignore: spam}
"""
TEXTS = ["我要投诉", "差评", "我要退款", "退货怎么办", "你好", "好的", "谢谢", "加微信刷单", "发货了吗"]


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path) as made:
        yield made


def grown(inbox: Room, text: str) -> Tree:
    """Return *text* compiled as the route file of this room."""
    loaded = load(inbox.folder / "huiliu.yaml", kinds, prove=prove)
    tried = candidate(loaded, [understand(Path("candidate.yaml"), text.encode())], prove=prove)
    assert tried.loaded is not None, tried.faults
    return grow(snapshot(tried.loaded))


def pair(inbox: Room, text: str = CANDIDATE) -> Pair:
    """Return the rules in use and *text*."""
    settings = load(inbox.folder / "huiliu.yaml", kinds).settings
    return Pair(inbox.rules.tree, grown(inbox, text), {"shop": "scripted"}, {}, settings.timezone)


async def replayed(inbox: Room, both: Pair) -> Tally:
    """Replay everything that was written until now."""
    return await replay(inbox.store, both, 0, inbox.clock() + 1)


def sums(tally: Tally) -> None:
    """Hold the counts against each other."""
    assert tally.total == tally.moved + tally.unchanged + tally.unrouted + tally.undecidable
    assert tally.undecidable == sum(tally.reasons.values())
    assert tally.changed == sum(move.count for move in tally.moves.values())
    decided = tally.total - tally.undecidable
    for rows in (tally.routes, tally.teams):
        assert decided == sum(row.before for row in rows.values()) == sum(row.after for row in rows.values())
        for name in ("moved", "unchanged", "unrouted"):
            assert getattr(tally, name) == sum(getattr(row, name) for row in rows.values())
    for load_ in tally.loads.values():
        for side in (0, 1):
            assert sum(day[side] for day in load_.days.values()) == sum(hour[side] for hour in load_.hours.values())


CASES = [
    pytest.param(["我要投诉"], ("moved", ("priority",)), id="only the priority differs"),
    pytest.param(["差评"], ("unrouted", ("team", "priority", "stage", "acknowledge", "tags")), id="a word is gone"),
    pytest.param(["我要退款"], ("moved", ("team",)), id="another team"),
    pytest.param(["你好"], ("unrouted", ()), id="nothing matches, as before"),
    pytest.param(["加微信刷单"], ("unchanged", ()), id="ignored, as before"),
    pytest.param(["我要退款", "好的"], ("unchanged", ()), id="a conversation under way stays where it is"),
    pytest.param(["你好", "我要退款"], ("moved", ("team",)), id="what only the default had claimed is routed"),
]


@pytest.mark.parametrize(("texts", "expected"), CASES)
async def test_each_sort_of_change(inbox: Room, texts: list[str], expected: tuple[str, tuple[str, ...]]) -> None:
    """The last of some messages is counted as what would become of it."""
    for text in texts:
        await inbox.recorder.record("shop", [message(text, now=inbox.clock())])
        await inbox.route()
    before = await replay(inbox.store, pair(inbox), 0, inbox.clock() + 1)
    verdict, fields = expected
    rest = Tally()
    for text in texts[:-1]:
        row = "unrouted" if text == "你好" else "moved"
        setattr(rest, row, getattr(rest, row) + 1)

    assert 1 == getattr(before, verdict) - getattr(rest, verdict)
    assert len(texts) == before.total == before.reproduced
    assert any(sort[-1] == fields for sort in before.moves) == bool(fields)
    sums(before)


async def test_a_rule_set_changes_nothing_about_itself(inbox: Room) -> None:
    """Replayed through the rules in use nothing moves, and every stored decision is made again."""
    for number, text in enumerate(TEXTS):
        await inbox.write("在吗", f"tel:+861380013800{number}")
        await inbox.recorder.record("shop", [message(text, f"tel:+861380013800{number}", now=inbox.clock())])
    await inbox.route()
    tally = await replayed(inbox, pair(inbox, ROUTES))

    assert (0, 0, 0, 18) == (tally.moved, tally.undecidable, tally.contradicted, tally.reproduced)
    sums(tally)


async def test_what_cannot_be_decided_is_counted_with_its_reason(inbox: Room) -> None:
    """A message that nobody placed yet, and a decision of a version that stored nothing with it."""
    await inbox.write("我要退款")
    await inbox.recorder.record("shop", [message("我要退款", now=inbox.clock())])
    partition = partition_of("tel:+8613800138000")
    fields = ("t", "e", "ch", "shop", "x", "old", "a", "tel:+1", "n", "", "at", 1, "ty", "text", "tx", "x", "b", "")
    position = await inbox.store.do(tag(partition), "XADD", key(partition, "log"), "*", *fields)
    await inbox.store.do(tag(partition), "XADD", key(partition, "log"), "*", "t", "p", "c", "1-0", "m", position)
    tally = await replayed(inbox, pair(inbox))

    assert {NEVER_PLACED: 1, NOT_KEPT: 1} == tally.reasons
    assert (3, 1, 2) == (tally.total, tally.moved, tally.undecidable)
    sums(tally)


async def test_only_what_is_recent_enough(inbox: Room) -> None:
    """Messages from before the moment that is asked for are not counted."""
    await inbox.write("我要退款")
    [last] = (await inbox.store.do(tag(0), "TIME"))[:1]
    since = (int(last) + 1) * 1000
    while inbox.clock() < since:
        await inbox.write("好的", "tel:+8613900139000")
    first = await replay(inbox.store, pair(inbox), since, inbox.clock() + 1)
    await inbox.write("我要投诉", "tel:+8613700137000")
    tally = await replay(inbox.store, pair(inbox), since, inbox.clock() + 1)

    assert 1 == tally.total - first.total
    assert "refund" not in tally.routes
    sums(tally)


async def test_a_conversation_reopened(inbox: Room) -> None:
    """What was known of a resolved conversation comes back: the candidate decides about it anew."""
    one = await inbox.write("我要退款")
    await inbox.desk.resolve(one, HUB)
    await inbox.write("退货")
    tally = await replayed(inbox, pair(inbox))

    assert (2, 2) == (tally.moved, tally.reproduced)
    [(_, load_)] = [item for item in tally.loads.items() if item[0] == "aftersales"]
    assert 2 == sum(day[0] for day in load_.days.values())


async def write_many(inbox: Room, count: int) -> Counter[str]:
    """Let customers write *count* messages in random order; return how many of each text there are."""
    dice = random.Random(SEED)
    written: Counter[str] = Counter()
    customers = max(10, count // 8)
    while written.total() < count:
        events = []
        for _ in range(min(2_000, count - written.total())):
            text = dice.choice(TEXTS)
            written[text] += 1
            events.append(message(text, f"tel:+86{13_000_000_000 + dice.randrange(customers)}", now=inbox.clock()))
        await inbox.recorder.record("shop", events)
        await inbox.route()
    return written


@pytest.mark.timeout(900 if LONG else 120)
@pytest.mark.once
async def test_shadow_and_replay_agree_on_much_traffic(inbox: Room) -> None:
    """The counts of thousands of messages add up, progress is steady, and the shadow has counted exactly the same."""
    both = pair(inbox)
    shadow = Shadow(inbox.store, clock=lambda: 0.0)
    shadow.use(both)
    inbox.router._observe = shadow.observe
    written = await write_many(inbox, MANY)
    heard: list[Progress] = []
    before, memory = resident(os.getpid()), [0]

    def progress(now: Progress) -> None:
        heard.append(now)
        memory.append(resident(os.getpid()) - before)

    began, cpu = time.monotonic(), time.process_time()
    tally = await replay(inbox.store, both, 0, inbox.clock() + 1, progress)
    took = time.monotonic() - began
    spent = time.process_time() - cpu
    log.info("replay of %d: %.1f s, %.1f s of CPU, %d kB more", tally.total, took, spent, max(memory) >> 10)

    sums(tally)
    assert (MANY, 0, 0, MANY) == (tally.total, tally.undecidable, tally.contradicted, tally.reproduced)
    assert tally.moved > 0
    assert tally.unrouted > 0
    assert written["我要退款"] + written["退货怎么办"] >= tally.routes["refund"].before > 0
    shares = [one.share for one in heard]
    assert shares == sorted(shares)
    assert (1.0, MANY) == (heard[-1].share, heard[-1].messages)
    assert max(memory) < MEMORY
    watched = reporting.plain(await shadow.report())
    assert counted(watched) == counted(reporting.plain(tally))


def counted(plain: dict[str, object]) -> dict[str, object]:
    """Return a report without what depends on the order of the messages: which of them are examples."""
    loose = json.loads(json.dumps(plain))
    moves = sorted(({**move, "examples": []} for move in loose["moves"]), key=json.dumps)
    return {**loose, "moves": moves, "reproduced": 0, "contradicted": 0}


def test_more_sorts_of_moves_than_are_told_apart() -> None:
    """However many sorts there are, memory stays bounded and the sum holds."""
    tally = Tally()
    for number in range(500):
        tally._move((str(number), "a", "b", "c", ("team",)), f"m{number}")

    assert 500 == tally.changed == sum(move.count for move in tally.moves.values())
    assert (201, 300) == (len(tally.moves), tally.moves[OTHER].count)
