"""Every change of a conversation is whole, on the version that was read, and keeps the lists true."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inbox.conversations import (
    FIELDS,
    LISTS,
    NUMBERS,
    STATUSES,
    Change,
    Conflict,
    Conversation,
    NoConversation,
    commit,
    from_hash,
    load,
    load_many,
    stored,
)
from inbox.leases import Fenced
from inbox.partitions import COUNT, parse_id
from inbox.work import HUB, Refusal
from outbox.deliveries import Reply
from tests.backroom import LILEI, Room, room

ADDRESS = "tel:+8613800138000"


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path) as made:
        yield made


def test_a_conversation_survives_its_hash() -> None:
    """Every field comes back from the store with its type."""
    values: dict[str, Any] = {
        name: 7 if name in NUMBERS else ("a", "b") if name in LISTS else f"{name} 值" for name in FIELDS
    }
    flat = [str(value) for value in stored(values)]
    fields = dict(zip(flat[::2], flat[1::2], strict=True))

    assert Conversation(id="c1-1", **values) == from_hash("c1-1", fields)


async def test_of_two_changes_at_once_one_is_told(inbox: Room) -> None:
    """Whoever changes what another has changed since it was read gets a conflict, and nothing of it is written."""
    one = await inbox.load(await inbox.write("hi", ADDRESS))
    place = one.place
    await commit(inbox.store, place.partition, Change(id=place.key, version=one.version, set={"team": "a"}))

    late = Change(
        id=place.key, version=one.version, set={"team": "b"}, log=[("s", ["t", "s"])], marks=[("snoozed", 1, "x")]
    )
    with pytest.raises(Conflict):
        await commit(inbox.store, place.partition, late)

    assert "a" == (await inbox.load(one.id)).team
    assert 0 == await inbox.store.do(str(place.partition), "EXISTS", f"hl:{{{place.partition}}}:snoozed")


@pytest.mark.parametrize(
    ("was", "is_", "holds"),
    [("gold", "gold", True), ("", "", True), ("gold", "silver", False), ("gold", "", False), ("", "gold", False)],
)
async def test_a_change_depends_on_what_it_was_decided_by(inbox: Room, was: str, is_: str, *, holds: bool) -> None:
    """A change that hangs on a field of another record is made as long as that says what it said, also nothing."""
    one = await inbox.load(await inbox.write("hi", ADDRESS))
    if is_:
        await commit(inbox.store, one.place.partition, Change(records=[("k:x", ["tier", is_])]))
    change = Change(id=one.place.key, same=("k:x", "tier", was), set={"subject": "changed"})
    with contextlib.nullcontext() if holds else pytest.raises(Conflict):
        await commit(inbox.store, one.place.partition, change)

    now = await inbox.load(one.id)
    assert holds == (now.subject == "changed")
    assert holds == (now != one)


async def test_concurrent_work_all_arrives(inbox: Room) -> None:
    """Six people who change different things at once all succeed, and the version counts every step."""
    conversation_id = await inbox.write("hi", ADDRESS)
    before = int((await inbox.load(conversation_id)).version)

    await asyncio.gather(*(inbox.desk.tags(conversation_id, HUB, add=[f"t{number}"]) for number in range(6)))

    one = await inbox.load(conversation_id)
    assert {f"t{number}" for number in range(6)} == set(one.tags)
    assert before + 6 == int(one.version)


async def test_a_fenced_change_is_refused(inbox: Room) -> None:
    """An epoch that has passed changes nothing."""
    one = await inbox.load(await inbox.write("hi", ADDRESS))
    with pytest.raises(Fenced):
        await commit(inbox.store, one.place.partition, Change(id=one.place.key, epoch="0", set={"team": "x"}))
    assert "x" != (await inbox.load(one.id)).team


async def test_what_is_not_there_is_said(inbox: Room) -> None:
    """An id that fits but names nothing is told apart from one that is found, in the order asked for."""
    known = await inbox.write("hi", ADDRESS)
    with pytest.raises(NoConversation):
        await load(inbox.store, "c3-1-1")
    found = await load_many(inbox.store, [parse_id("c3-1-1", "c"), parse_id(known, "c"), parse_id("c9-1-1", "c")])
    assert [None, known, None] == [one.id if one else None for one in found]


def test_a_change_packs_numbers_as_text() -> None:
    """Lua would print large numbers in scientific notation."""
    packed = msgspec.msgpack.decode(Change(set={"last_message_at": 1_763_763_000_000}).packed())
    assert ["last", "1763763000000"] == packed["set"]


async def indexes(inbox: Room) -> dict[str, dict[str, float]]:
    """Return every list of every partition: name -> conversation -> score."""
    found: dict[str, dict[str, float]] = {}
    for partition in range(COUNT):
        for name in await inbox.store.do(str(partition), "KEYS", f"hl:{{{partition}}}:i:*"):
            reply = await inbox.store.do(str(partition), "ZRANGE", name, 0, -1, "WITHSCORES")
            members = zip(reply[::2], reply[1::2], strict=True)
            short = name.partition("}:i:")[2]
            found.setdefault(short, {}).update({f"c{partition}-{key}": float(score) for key, score in members})
    return {name: members for name, members in found.items() if members}


async def scanned(inbox: Room) -> dict[str, dict[str, float]]:
    """Return the same from the conversations themselves."""
    found: dict[str, dict[str, float]] = {}
    for partition in range(COUNT):
        for name in await inbox.store.do(str(partition), "KEYS", f"hl:{{{partition}}}:c:*"):
            one = await load(inbox.store, f"c{partition}-{name.partition('}:c:')[2]}")
            for letter, value in (("t", one.team), ("a", one.agent), ("c", one.channel)):
                if value:
                    found.setdefault(f"{letter}:{value}:{one.status}", {})[one.id] = float(one.last_message_at)
            found.setdefault(f"s:{one.status}", {})[one.id] = float(one.last_message_at)
    return found


async def act(inbox: Room, rng: random.Random, one: str) -> None:
    """Do one random piece of an agent's work."""
    now = inbox.clock()
    team, agent = rng.choice(["aftersales", "complaints", None]), rng.choice(["", "lilei", "hanmeimei"])
    works: list[Callable[[], Awaitable[object]]] = [
        lambda: inbox.desk.assign(one, HUB, team=team, agent=agent),
        lambda: inbox.desk.resolve(one, HUB),
        lambda: inbox.desk.reopen(one, HUB),
        lambda: inbox.desk.snooze(one, HUB, now + rng.randint(1, 5000)),
        lambda: inbox.desk.tags(one, HUB, add=[rng.choice("abc")], remove=[rng.choice("abc")]),
        lambda: inbox.reply(one, "answer"),
        lambda: inbox.desk.note(one, HUB, "internal"),
        lambda: inbox.desk.read(one, now),
    ]
    await rng.choice(works)()


@pytest.mark.parametrize("seed", range(4))
async def test_the_lists_agree_with_a_full_scan_after_any_work(inbox: Room, seed: int) -> None:
    """After 150 random steps of customers and agents every index holds exactly what a scan of everything finds."""
    rng = random.Random(seed)
    ids: list[str] = []

    async def step() -> None:
        if not ids or rng.random() < 0.15:
            text = rng.choice(["hi", "退款", "投诉", "好的"])
            ids.append(await inbox.write(text, f"tel:+861380013{rng.randint(0, 12):04}"))
        else:
            await act(inbox, rng, rng.choice(ids))

    for _ in range(50):
        for error in await asyncio.gather(*(step() for _ in range(3)), return_exceptions=True):
            assert error is None or isinstance(error, Refusal), repr(error)
        if rng.random() < 0.3:
            inbox.clock.offset += 3000
            for held in inbox.leases.held.values():
                await inbox.desk.wake_snoozed(held)
    await inbox.route()

    assert await scanned(inbox) == await indexes(inbox)


async def test_a_status_is_one_of_four(inbox: Room) -> None:
    """What people and customers do leads through the four states and no others."""
    one = await inbox.write("hi", ADDRESS)
    states = [(await inbox.load(one)).status]
    await inbox.reply(one, "answer")
    states.append((await inbox.load(one)).status)
    await inbox.desk.snooze(one, HUB, inbox.clock() + 60_000)
    states.append((await inbox.load(one)).status)
    await inbox.desk.resolve(one, HUB)
    states.append((await inbox.load(one)).status)
    await inbox.reply(one, "one more word")
    states.append((await inbox.load(one)).status)
    await inbox.write("thanks", ADDRESS)
    states.append((await inbox.load(one)).status)

    assert ["open", "pending", "snoozed", "resolved", "resolved", "open"] == states
    assert set(states) == set(STATUSES)


async def test_an_answer_does_not_undo_what_happened_meanwhile(inbox: Room) -> None:
    """An answer from a stale screen leaves a resolved conversation resolved, and one with news open."""
    for happens, status in (("resolve", "resolved"), ("write", "pending")):
        address = f"tel:+8613800138{happens}"
        seen = await inbox.load(await inbox.write("hi", address))
        if happens == "resolve":
            await inbox.desk.resolve(seen.id, HUB)
        else:
            await inbox.write("and this", address)
        await inbox.deliveries.enqueue(seen, Reply(LILEI, "answer"), inbox.clock())
        now = await inbox.load(seen.id)
        assert status == now.status
        assert now.last_message_at >= now.last_inbound_at
