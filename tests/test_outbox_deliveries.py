"""Deliveries in the store: owed once, claimed by one, settled as docs/delivery-states.md says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from connectors.base import Capabilities, Media, Receipt
from inbox import log as logbook
from inbox.leases import Fenced, Held
from inbox.partitions import key, parse_id, tag
from outbox.deliveries import SENDER_MS, Author, Delivery, NoDelivery, NotNow, Reply
from tests.backroom import LILEI, WINDOW, Platform, Room, message, room

ADDRESS = "tel:+8613800138000"
STATES = ("queued", "deferred", "sending", "uncertain", "dead", "sent", "failed", "delivered", "read")


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    platforms = {"shop": Platform(), "wechat": Platform(Capabilities(window=WINDOW))}
    async with room(store_url, tmp_path, platforms=platforms) as made:
        yield made


@pytest.fixture
async def one(inbox: Room) -> str:
    return await inbox.write("hi", ADDRESS)


async def owed(inbox: Room) -> list[str]:
    """Return the queue of the one conversation."""
    [one] = await inbox.conversations()
    queue: list[str] = await inbox.store.do(
        tag(one.place.partition), "LRANGE", key(one.place.partition, f"q:{one.place.key}"), 0, -1
    )
    return queue


async def due(inbox: Room) -> list[str]:
    """Return which deliveries may be sent now."""
    return (await inbox.deliveries.due(inbox.held(ADDRESS).partition, inbox.clock(), 100))[0]


async def put(inbox: Room, delivery: Delivery, state: str) -> Delivery:
    """Bring a delivery into a state by the steps that lead there."""
    held = inbox.held(ADDRESS)
    if state == "queued":
        return await inbox.deliveries.load(delivery.id)
    claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
    assert claimed is not None
    if state != "sending":
        due_at = inbox.clock() + 60_000 if state == "deferred" else None
        await inbox.deliveries.settle(claimed[0], state, inbox.clock(), held=held, due=due_at)
    return await inbox.deliveries.load(delivery.id)


async def test_a_reply_posted_many_times_at_once_is_owed_once(inbox: Room, one: str) -> None:
    """32 posts of one client_id give one delivery and one message; exactly one of them is told that it was new."""
    conversation = await inbox.load(one)
    reply = Reply(LILEI, "yes", client_id="a1")
    done = await asyncio.gather(*(inbox.deliveries.enqueue(conversation, reply, inbox.clock()) for _ in range(32)))

    assert 1 == len({delivery.id for delivery, _ in done})
    assert 1 == sum(fresh for _, fresh in done)
    assert 1 == len(await owed(inbox))
    assert 2 == (await inbox.load(one)).messages


async def test_different_replies_at_once_are_all_owed(inbox: Room, one: str) -> None:
    """Whoever writes at the same moment as others is not lost; only the first in line may go out."""
    conversation = await inbox.load(one)
    replies = [Reply(LILEI, f"{number}", client_id=f"{number}") for number in range(20)]
    done = await asyncio.gather(*(inbox.deliveries.enqueue(conversation, reply, inbox.clock()) for reply in replies))

    assert 20 == len({delivery.id for delivery, _ in done}) == len(await owed(inbox))
    assert (await owed(inbox))[:1] == await due(inbox)
    now = await inbox.load(one)
    assert ("pending", 21) == (now.status, now.messages)


async def test_without_a_client_id_every_reply_is_new(inbox: Room, one: str) -> None:
    """The same words twice are two answers."""
    assert (await inbox.reply(one, "yes")).id != (await inbox.reply(one, "yes")).id


@pytest.mark.parametrize(
    ("author", "status", "replied"),
    [(LILEI, "pending", True), (Author("hub"), "open", False)],
)
async def test_only_a_persons_answer_is_an_answer(
    inbox: Room, one: str, author: Author, status: str, replied: bool
) -> None:
    """An acknowledgement neither takes the conversation off anybody's desk nor counts as the first reply."""
    await inbox.reply(one, "received", author=author)
    now = await inbox.load(one)
    assert (status, replied) == (now.status, bool(now.first_reply_at))


async def test_a_delivery_is_claimed_by_one(inbox: Room, one: str) -> None:
    """Of many claims at once one succeeds; a delivery in somebody's hands is not due."""
    delivery = await inbox.reply(one, "yes")
    held = inbox.held(ADDRESS)
    claims = await asyncio.gather(*(inbox.deliveries.claim(held, delivery.place.key, inbox.clock()) for _ in range(16)))
    assert 1 == sum(claim is not None for claim in claims)
    assert [] == await due(inbox)


@pytest.mark.parametrize("left", [True, False])
async def test_a_sender_that_died_is_replaced(inbox: Room, one: str, left: bool) -> None:
    """After its time, or at once by a new owner, the next claim knows whether the last attempt may have left."""
    delivery = await inbox.reply(one, "yes")
    held = inbox.held(ADDRESS)
    claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
    assert claimed is not None
    if left:
        await inbox.deliveries.leave(held, claimed[0], inbox.clock(), windowed=False)
    inbox.clock.offset += 30 * 60_000 + SENDER_MS
    again = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())

    assert again is not None
    assert (left, 2) == (again[1], again[0].attempts)


async def test_a_new_owner_reclaims_what_the_dead_one_was_sending(inbox: Room, one: str) -> None:
    """What a dead worker had in hand is due at once; what the owner or another living one has in hand is not."""
    delivery = await put(inbox, await inbox.reply(one, "yes"), "sending")
    held = inbox.held(ADDRESS)
    assert 0 == await inbox.deliveries.reclaim(held, inbox.clock(), [held.worker])
    assert [] == await due(inbox)

    await inbox.store.do(tag(held.partition), "HINCRBY", key(held.partition, "lease"), "epoch", 1)
    new = Held(held.partition, str(int(held.epoch) + 1), "another#1")
    assert 1 == await inbox.deliveries.reclaim(new, inbox.clock(), [held.worker, new.worker])
    assert [] == await due(inbox)
    assert 0 == await inbox.deliveries.reclaim(new, inbox.clock(), [new.worker])
    assert [delivery.place.key] == await due(inbox)
    with pytest.raises(Fenced):
        await inbox.deliveries.reclaim(held, inbox.clock(), [])


async def test_whoever_lost_the_partition_sends_nothing(inbox: Room, one: str) -> None:
    """The lease is looked at when a delivery is claimed, and again before the request that cannot be taken back."""
    first = await inbox.reply(one, "yes")
    held = inbox.held(ADDRESS)
    claimed = await inbox.deliveries.claim(held, first.place.key, inbox.clock())
    assert claimed is not None
    await inbox.store.do(tag(held.partition), "HINCRBY", key(held.partition, "lease"), "epoch", 1)

    with pytest.raises(Fenced):
        await inbox.deliveries.leave(held, claimed[0], inbox.clock(), windowed=False)
    with pytest.raises(Fenced):
        await inbox.deliveries.claim(held, first.place.key, inbox.clock())


WINDOWS = [
    pytest.param("refund", "5", id="a request that did not leave gives it back"),
    pytest.param("keep", "4", id="one that did uses it up"),
    pytest.param("twice", "4", id="a repetition within one attempt uses up one"),
]


@pytest.mark.parametrize(("how", "expected"), WINDOWS)
async def test_the_reply_window_is_counted(inbox: Room, how: str, expected: str) -> None:
    """Every message that leaves uses up one of those that the platform allows."""
    await inbox.recorder.record("wechat", [message("hi", ADDRESS, now=inbox.clock(), window=WINDOW)])
    await inbox.route()
    [one] = await inbox.conversations()
    delivery = await inbox.reply(one.id, "yes")
    held = inbox.held(ADDRESS)
    claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
    assert claimed is not None
    await inbox.deliveries.leave(held, claimed[0], inbox.clock(), windowed=True)
    if how == "twice":
        await inbox.deliveries.leave(held, claimed[0], inbox.clock(), windowed=True)
    for _ in range(2):
        await inbox.deliveries.settle(claimed[0], "dead", inbox.clock(), held=held, refund=how == "refund")

    left = await inbox.store.do(tag(held.partition), "HGET", key(held.partition, f"a:{ADDRESS}"), "wl:wechat")
    assert expected == left


RETRY = {"dead", "failed", "uncertain", "deferred"}
DROP = {"dead", "failed", "uncertain", "queued", "deferred"}


@pytest.mark.parametrize("state", STATES)
async def test_what_may_be_retried(inbox: Room, one: str, state: str) -> None:
    """What failed, is uncertain or waits can be owed again, from the beginning; anything else says why not."""
    delivery = await put(inbox, await inbox.reply(one, "yes"), state)
    if state not in RETRY:
        with pytest.raises(NotNow, match=state):
            await inbox.deliveries.retry(delivery.id, inbox.clock())
        return
    again = await inbox.deliveries.retry(delivery.id, inbox.clock())
    assert ("queued", 0, "") == (again.state, again.attempts, again.error)
    assert [delivery.place.key] == await due(inbox) == await owed(inbox)
    assert ([], "") == await inbox.deliveries.listing("dead", "", 10)
    assert ([], "") == await inbox.deliveries.listing("uncertain", "", 10)


@pytest.mark.parametrize("state", STATES)
async def test_what_may_be_dropped(inbox: Room, one: str, state: str) -> None:
    """What has not gone out can be given up for good; it is in no list any more and holds up nobody."""
    delivery = await put(inbox, await inbox.reply(one, "yes"), state)
    second = await inbox.reply(one, "and this")
    if state not in DROP:
        with pytest.raises(NotNow, match=state):
            await inbox.deliveries.drop(delivery.id, inbox.clock())
        return
    dropped = await inbox.deliveries.drop(delivery.id, inbox.clock())
    assert "failed" == dropped.state
    assert [second.place.key] == await owed(inbox) == await due(inbox)
    for name in ("dead", "uncertain"):
        assert ([], "") == await inbox.deliveries.listing(name, "", 10)


@pytest.mark.parametrize("wanted", ["failed", "queued"])
async def test_what_has_just_been_taken_up_is_not_called_back(inbox: Room, one: str, wanted: str) -> None:
    """A person who is a moment too late is told: a message that is going out is neither dropped nor doubled."""
    seen = await put(inbox, await inbox.reply(one, "yes"), "deferred")
    inbox.clock.offset += 120_000
    await inbox.deliveries.claim(inbox.held(ADDRESS), seen.place.key, inbox.clock())

    with pytest.raises(NotNow, match="sending meanwhile"):
        await inbox.deliveries.settle(seen, wanted, inbox.clock(), expect=seen.state, force=True)
    assert "sending" == (await inbox.deliveries.load(seen.id)).state


async def test_what_is_retried_keeps_its_place(inbox: Room, one: str) -> None:
    """A person who hurries a deferred answer does not let a later one overtake it."""
    first = await put(inbox, await inbox.reply(one, "first"), "deferred")
    second = await inbox.reply(one, "second")
    await inbox.deliveries.retry(first.id, inbox.clock())

    assert [first.place.key, second.place.key] == await owed(inbox)
    assert [first.place.key] == await due(inbox)


async def test_a_dead_letter_that_is_retried_goes_behind_what_waits(inbox: Room, one: str) -> None:
    """What had failed before goes out after what is in line now."""
    first = await put(inbox, await inbox.reply(one, "first"), "dead")
    second = await inbox.reply(one, "second")
    await inbox.deliveries.retry(first.id, inbox.clock())

    assert [second.place.key, first.place.key] == await owed(inbox)
    assert [second.place.key] == await due(inbox)


# What a receipt (or the end of a send) makes of a state; a state never goes back.
ORDER = ["queued", "sending", "uncertain", "sent", "failed", "delivered", "read"]


@pytest.mark.parametrize("old", ["sending", "uncertain", "dead", "sent", "failed", "delivered", "read"])
@pytest.mark.parametrize("news", ["sent", "delivered", "read", "failed"])
async def test_receipts(inbox: Room, one: str, old: str, news: str) -> None:
    """Better knowledge replaces worse, and never the other way round."""
    delivery = await put(inbox, await inbox.reply(one, "yes"), old)
    rank = {**{state: number for number, state in enumerate(ORDER)}, "dead": 2}
    expected = news if rank[news] > rank[old] else old
    assert expected == await inbox.deliveries.settle(delivery, news, inbox.clock())
    assert expected == (await inbox.deliveries.load(delivery.id)).state


@pytest.mark.parametrize("seed", range(3))
async def test_receipts_in_any_order_end_in_one_state(inbox: Room, seed: int) -> None:
    """100 times: receipts before, during and after the send, doubled and shuffled, end where they would in order."""
    rng = random.Random(seed)
    kinds: list[Literal["sent", "delivered", "read", "failed"]] = ["sent", "delivered", "read", "failed"]
    for number in range(100):
        address = f"tel:+86138{number:08}"
        await inbox.recorder.record("shop", [message("hi", address, now=inbox.clock())])
    await inbox.route()
    expected: dict[str, str] = {}

    async def play(conversation_id: str, number: int) -> None:
        delivery = await inbox.reply(conversation_id, "yes")
        held = inbox.leases.held[delivery.place.partition]
        claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
        assert claimed is not None
        told = rng.sample(kinds, rng.randint(0, 4))
        steps = [*(f"receipt {state}" for state in told * rng.randint(1, 2)), "link", "settle"]
        rng.shuffle(steps)
        for step in steps:
            if step == "settle":
                await inbox.deliveries.settle(claimed[0], "sent", inbox.clock(), held=held)
            elif step == "link":
                for state, at, error in await inbox.deliveries.link(claimed[0], f"x{number}"):
                    await inbox.deliveries.settle(claimed[0], state, at, error=error)
            else:
                receipt = Receipt(f"x{number}", step.split()[1], 1)  # type: ignore[arg-type]
                await inbox.recorder.record("shop", [receipt])
                if rng.random() < 0.5:
                    await inbox.route()
        best = [state for state in ("read", "delivered", "failed") if state in told]
        expected[delivery.id] = best[0] if best else "sent"

    found = await inbox.conversations()
    assert 100 == len(found)
    for number, one in enumerate(found):
        await play(one.id, number)
    await inbox.route()

    assert expected == {name: (await inbox.deliveries.load(name)).state for name in expected}


async def test_an_answer_is_stored_as_it_was_written(inbox: Room, one: str) -> None:
    """Words, HTML, subject, files and author are read back from the log by whoever sends it."""
    media = (Media("image/png", "图.png", 5, ref="sha256:00"),)
    delivery = await inbox.reply(one, "好\x00的😀", html="<b>好的</b>", subject="Re: 退款", media=media, client_id="x")
    place = parse_id(delivery.message, "m")
    entry = (await logbook.fetch(inbox.store, [(place.partition, place.key)]))[0]

    assert entry is not None
    body = entry.rest()
    assert ("好\x00的😀", "<b>好的</b>", "Re: 退款") == (entry.fields["tx"], body["html"], body["subject"])
    assert [{"type": "image/png", "name": "图.png", "size": 5, "ref": "sha256:00"}] == body["media"]


@pytest.mark.parametrize("which", ["due", "dead", "uncertain"])
async def test_lists_come_in_pages(inbox: Room, which: str) -> None:
    """Every delivery of a list is on exactly one page, newest first."""
    ids = []
    for number in range(23):
        address = f"tel:+86138{number:08}"
        delivery = await inbox.reply(await inbox.write("hi", address), "yes")
        ids.append(delivery.id)
        if which != "due":
            held = inbox.leases.held[delivery.place.partition]
            claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
            assert claimed is not None
            await inbox.deliveries.settle(claimed[0], which, 1000 + number // 4, held=held)

    seen: list[str] = []
    cursor = ""
    while True:
        found, cursor = await inbox.deliveries.listing(which, cursor, 5)
        seen += [one.id for one in found]
        if not cursor:
            break
    assert sorted(ids) == sorted(seen)
    if which != "due":
        assert set(ids[-3:]) == set(seen[:3])


async def test_what_is_not_there_is_said(inbox: Room) -> None:
    """An id that fits but names nothing is an error of its own."""
    with pytest.raises(NoDelivery):
        await inbox.deliveries.load("d1-0123456789abcdef")
