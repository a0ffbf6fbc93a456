"""The outbox at work: in order, within the rate, once, and honest about what it does not know."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from connectors.base import (
    BadOptions,
    Capabilities,
    Echo,
    Media,
    Outbound,
    Receipt,
    Rejected,
    SendError,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
    WindowClosed,
)
from inbox.channels import Channel
from inbox.leases import Fenced, Held, wanted
from inbox.partitions import key, partition_of, shared_key, tag
from inbox.store import Script, Store
from outbox.deliveries import LEAVE, SENDER_MS, Author, Reply
from outbox.history import history
from outbox.letters import Letter
from outbox.obstacles import Obstacle, Sending
from outbox.records import Delivery
from outbox.retries import Policy, Schedule
from outbox.terms import Terms
from outbox.worker import LOOK
from tests.backroom import LIMIT, WINDOW, Clock, Platform, Room, eventually, message, room

ADDRESS = "tel:+8613800138000"
WECHAT = Capabilities(window=WINDOW, text_limit=10, media=frozenset({"image"}))
IDEMPOTENT = Capabilities(idempotent=True)


@asynccontextmanager
async def shop(store_url: str, folder: Path, capabilities: Capabilities | None = None) -> AsyncIterator[Room]:
    """Open a room whose channel is of a certain kind, with a conversation, its outbox at work."""
    platform = Platform(capabilities) if capabilities is not None else Platform()
    async with room(store_url, folder, platforms={"shop": platform}) as made, made.sending():
        window = capabilities.window if capabilities is not None else None
        await made.write("hi", ADDRESS, window=window)
        yield made


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with shop(store_url, tmp_path) as made:
        yield made


async def answer(inbox: Room, text: str = "yes", **fields: object) -> str:
    """Answer the one conversation; return the delivery's final or waiting state."""
    [one] = await inbox.conversations()
    delivery = await inbox.reply(one.id, text, **fields)
    now = await inbox.state(delivery, "sent", "delivered", "deferred", "uncertain", "failed", "dead", "read")
    return now.state


async def test_an_answer_goes_out_once_with_all_it_needs(inbox: Room) -> None:
    """The platform gets words, address, author and an id; the delivery is sent; nothing is left in the queue."""
    assert "sent" == await answer(inbox, "好的")

    [sent] = inbox.platform().sent
    assert ("好的", ADDRESS, "李雷", False) == (sent.text, sent.address, sent.author, sent.auto)
    assert ([], "") == await inbox.deliveries.listing("due", "", 10)


async def reached(platform: Platform, attempts: int) -> None:
    """Wait until a platform has been tried so many times."""
    await eventually(lambda: platform.tried == attempts)


async def test_answers_of_one_conversation_keep_their_order(inbox: Room) -> None:
    """Whatever happens to the first, the later ones wait: also while it is deferred, for as long as it takes."""
    [one] = await inbox.conversations()
    platform = inbox.platform()
    platform.script.extend([Unreachable("away"), Unreachable("away"), Throttled("slowly", retry_after=30)])
    deliveries = [await inbox.reply(one.id, f"{number}") for number in range(5)]
    for attempt in (1, 2, 3):
        await reached(platform, attempt)
        await inbox.state(deliveries[0], "deferred")
        assert [] == platform.texts
        inbox.move(60)
    await inbox.state(deliveries[-1], "sent")

    assert ["0", "1", "2", "3", "4"] == platform.texts


async def test_many_conversations_go_out_side_by_side_each_in_order(inbox: Room) -> None:
    """One slow customer does not hold up the others."""
    gate = asyncio.Event()

    async def slow(message_: Outbound) -> Sent:
        await gate.wait()
        return Sent("slow")

    platform = inbox.platform()
    [one] = await inbox.conversations()
    platform.script.append(slow)
    first = await inbox.reply(one.id, "slow")
    await reached(platform, 1)
    others = [await inbox.write("hi", f"tel:+86139{number:08}") for number in range(20)]
    deliveries = [await inbox.reply(other, f"{n}.{other}") for n in range(3) for other in others]
    await asyncio.gather(*(inbox.state(delivery, "sent") for delivery in deliveries))

    for other in others:
        assert ["0", "1", "2"] == [text[0] for text in platform.texts if text.endswith(other)]
    assert "sending" == (await inbox.deliveries.load(first.id)).state
    gate.set()
    await inbox.state(first, "sent")


OUTCOMES = [
    pytest.param(Unreachable("away"), "deferred", id="not reached"),
    pytest.param(Throttled("slowly", retry_after=5), "deferred", id="throttled"),
    pytest.param(Uncertain("no answer"), "uncertain", id="no answer"),
    pytest.param(Rejected("no such user", code="40003"), "dead", id="refused"),
    pytest.param(BadOptions("wrong key", code="401"), "dead", id="our own fault"),
    pytest.param(WindowClosed("closed", code="45015"), "dead", id="window closed"),
    pytest.param(RuntimeError("a bug"), "uncertain", id="a bug after it may have left"),
]


@pytest.mark.parametrize(("error", "state"), OUTCOMES)
async def test_outcomes(inbox: Room, error: Exception, state: str) -> None:
    """What a send raises says what becomes of the delivery, with the reason for people; nothing is tried at once."""
    inbox.policy = Policy(general=Schedule(first=60_000))
    inbox.platform().script.append(error)
    assert state == await answer(inbox)

    [one] = [one for name in ("due", "dead", "uncertain") for one in (await inbox.deliveries.listing(name, "", 10))[0]]
    assert (state, getattr(error, "code", "")) == (one.state, one.code)
    assert one.error
    assert 1 == inbox.platform().tried


async def test_a_bug_before_anything_left_is_tried_again(inbox: Room) -> None:
    """A connector that fails before its request has sent nothing: that is not uncertain."""
    error = RuntimeError("a bug")
    error.left = False  # type: ignore[attr-defined]
    inbox.platform().script.append(error)
    assert "deferred" == await answer(inbox)


async def test_a_platforms_own_wait_is_kept(inbox: Room) -> None:
    """After 429 with Retry-After: 30 nothing goes out for 30 seconds, then it does."""
    [one] = await inbox.conversations()
    inbox.platform().script.append(Throttled("slowly", retry_after=30))
    delivery = await inbox.state(await inbox.reply(one.id, "yes"), "deferred")

    assert 30_000 <= delivery.due - delivery.changed <= 31_000
    inbox.move(28)
    assert ([], True) == (inbox.platform().texts, delivery.due > inbox.clock())
    inbox.move(4)
    await inbox.state(delivery, "sent")


@pytest.mark.parametrize(
    ("capabilities", "states", "sent"),
    [(Capabilities(), ["uncertain"], 1), (IDEMPOTENT, ["deferred", "sent"], 2)],
    ids=["nobody drops a second one", "the platform drops a second one"],
)
async def test_an_unknown_outcome(
    store_url: str, tmp_path: Path, capabilities: Capabilities, states: list[str], sent: int
) -> None:
    """Without an answer it is sent again only where the platform honours our id, which is then the same."""
    async with shop(store_url, tmp_path, capabilities) as inbox:
        platform = inbox.platform()
        ids: list[str] = []

        async def vanish(message_: Outbound) -> Sent:
            ids.append(message_.id)
            raise Uncertain("no answer")

        async def arrive(message_: Outbound) -> Sent:
            ids.append(message_.id)
            return Sent("x")

        platform.script.extend([vanish, arrive])
        [one] = await inbox.conversations()
        delivery = await inbox.reply(one.id, "yes")
        for state in states:
            delivery = await inbox.state(delivery, state)
            inbox.move(3600)
        assert sent == len(ids)
        assert 1 == len(set(ids))


@pytest.mark.parametrize("capabilities", [Capabilities(), IDEMPOTENT], ids=["uncertain", "sent again"])
async def test_a_crash_after_leaving(store_url: str, tmp_path: Path, capabilities: Capabilities) -> None:
    """A process that died between request and answer: the next one does not send blindly."""
    async with room(store_url, tmp_path, platforms={"shop": Platform(capabilities)}) as inbox:
        one = await inbox.write("hi", ADDRESS)
        delivery = await inbox.reply(one, "yes")
        held = inbox.held(ADDRESS)
        claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
        assert claimed is not None
        await inbox.deliveries.leave(held, claimed[0], inbox.clock(), windowed=False)
        inbox.clock.offset += SENDER_MS * 30
        async with inbox.sending():
            expected = "sent" if capabilities.idempotent else "uncertain"
            await inbox.state(delivery, expected)
        assert (1 if capabilities.idempotent else 0) == len(inbox.platform().sent)


async def test_a_crash_between_the_answer_and_its_note(store_url: str, tmp_path: Path) -> None:
    """A process that died after the platform's yes was noted: the next one settles and sends nothing."""
    async with room(store_url, tmp_path) as inbox:
        one = await inbox.write("hi", ADDRESS)
        delivery = await inbox.reply(one, "yes")
        held = inbox.held(ADDRESS)
        claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
        assert claimed is not None
        await inbox.deliveries.leave(held, claimed[0], inbox.clock(), windowed=False)
        await inbox.deliveries.note_part(claimed[0], 1, ["x1"])
        inbox.clock.offset += SENDER_MS * 30
        async with inbox.sending():
            await inbox.state(delivery, "sent")
        assert [] == inbox.platform().sent
        assert delivery.id == await inbox.deliveries.linked("shop", "x1")


LONG = "first part second part third part"  # three parts of at most ten characters, and then some


async def test_a_long_answer_goes_on_where_it_stopped(store_url: str, tmp_path: Path) -> None:
    """After a failure in the middle the parts that are out are not sent again, and none is left out."""
    async with shop(store_url, tmp_path, Capabilities(text_limit=12)) as inbox:
        platform = inbox.platform()
        platform.script.extend([Sent("p1"), Unreachable("away")])
        [one] = await inbox.conversations()
        delivery = await inbox.state(await inbox.reply(one.id, LONG), "deferred")
        assert 1 == delivery.part
        inbox.move(60)
        await inbox.state(delivery, "sent")

        assert LONG == "".join(platform.texts)
        assert len(platform.texts) == len({message_.id for message_ in platform.sent}) == 3


@pytest.mark.parametrize(
    ("receipts", "state"),
    [
        pytest.param([("p1", "delivered")], "sent", id="of an early part: the answer is only sent"),
        pytest.param([("p3", "delivered"), ("p1", "delivered")], "delivered", id="of the last part"),
        pytest.param([("p2", "failed")], "failed", id="any part may fail"),
        pytest.param([("p1", "failed"), ("p3", "delivered")], "failed", id="the last part does not hide it"),
        pytest.param([("p3", "delivered"), ("p1", "failed")], "failed", id="nor does it before"),
        pytest.param([("p3", "read"), ("p3", "failed"), ("p2", "failed")], "failed", id="though it was read"),
        pytest.param([("p3", "delivered"), ("p3", "failed")], "delivered", id="what arrived has not failed"),
        pytest.param(
            [("p1", "failed"), ("p2", "failed"), ("p1", "delivered"), ("p3", "delivered")],
            "failed",
            id="one of two arrived after all",
        ),
        pytest.param(
            [("p1", "failed"), ("p3", "delivered"), ("p1", "read")], "delivered", id="the one that failed arrived"
        ),
        pytest.param([("p1", "failed"), ("p1", "delivered")], "sent", id="it arrived, the last one is only sent"),
    ],
)
@pytest.mark.parametrize("early", [True, False], ids=["while sending", "afterwards"])
async def test_receipts_of_the_parts(
    store_url: str, tmp_path: Path, receipts: list[tuple[str, str]], state: str, early: bool
) -> None:
    """The last part speaks for the whole answer, and a receipt that comes in the middle does not end it."""
    async with shop(store_url, tmp_path, Capabilities(text_limit=12)) as inbox:

        async def told() -> None:
            for name, news in receipts:
                await inbox.recorder.record("shop", [Receipt(name, news, 1)])  # type: ignore[arg-type]
            await inbox.route()

        async def second(message_: Outbound) -> Sent:
            if early:
                await told()
            return Sent("p2")

        platform = inbox.platform()
        platform.script.extend([Sent("p1"), second, Sent("p3")])
        [one] = await inbox.conversations()
        delivery = await inbox.reply(one.id, LONG)
        await reached(platform, 3)
        if not early:
            await inbox.state(delivery, "sent")
            await told()
        settled = await inbox.state(delivery, state)
        assert 2 == len(platform.sent)  # the second was taken by the script
        assert ([], "") == await inbox.deliveries.listing("due", "", 10)
        dead, _ = await inbox.deliveries.listing("dead", "", 10)
        assert [delivery.id] * (state == "failed") == [one.id for one in dead]
        assert state == (await history(inbox.store, settled))[-1].state


async def test_a_late_yes_to_a_part_in_the_middle_is_heard(store_url: str, tmp_path: Path) -> None:
    """A sender that lost its partition tells that the first part went out: the rest follows, and nothing goes twice."""
    asked, gate = asyncio.Event(), asyncio.Event()

    async def slow(message_: Outbound) -> Sent:
        asked.set()
        await gate.wait()
        return Sent("p1")

    async with shop(store_url, tmp_path, Capabilities(text_limit=5)) as inbox:
        platform = inbox.platform()
        platform.script.append(slow)
        [one] = await inbox.conversations()
        delivery = await inbox.reply(one.id, "abcdefgh")
        await asked.wait()
        claimed = await inbox.deliveries.claim(
            inbox.held(ADDRESS), delivery.place.key, inbox.clock() + SENDER_MS + 1_000
        )
        assert claimed is not None
        await inbox.deliveries.settle(claimed[0], "uncertain", inbox.clock(), held=inbox.held(ADDRESS))
        gate.set()
        settled = await inbox.state(delivery, "sent")
        assert (2, "p1") == (settled.part, settled.external_ids[0])
        assert ["fgh"] == platform.texts


@pytest.mark.parametrize("early", [True, False], ids=["before", "afterwards"])
@pytest.mark.parametrize(("news", "state"), [("failed", "failed"), ("delivered", "sent")])
async def test_a_confirmed_last_part_lets_the_others_be_heard(
    store_url: str, tmp_path: Path, news: Literal["failed", "delivered"], state: str, early: bool
) -> None:
    """A person says that the last part arrived: receipts of the first one count, and do not speak for the last."""
    async with shop(store_url, tmp_path, Capabilities(text_limit=5)) as inbox:
        inbox.platform().script.extend([Sent("p1"), Uncertain("no answer")])
        [one] = await inbox.conversations()
        delivery = await inbox.state(await inbox.reply(one.id, "abcdefgh"), "uncertain")
        for step in ("receipt", "confirm") if early else ("confirm", "receipt"):
            if step == "confirm":
                await inbox.deliveries.confirm(delivery.id, inbox.clock())
            else:
                await inbox.recorder.record("shop", [Receipt("p1", news, 1)])
                await inbox.route()
        assert state == (await inbox.deliveries.load(delivery.id)).state


@pytest.mark.parametrize("part", ["p1", "p2", "p3"])
async def test_an_old_part_does_not_end_what_is_sent_anew(store_url: str, tmp_path: Path, part: str) -> None:
    """A part of an answer that failed is reported as delivered while a person's retry waits: all of it goes out."""
    async with shop(store_url, tmp_path, Capabilities(text_limit=12)) as inbox:
        platform = inbox.platform()
        platform.script.extend([Sent("p1"), Sent("p2"), Sent("p3"), Unreachable("away")])
        [one] = await inbox.conversations()
        delivery = await inbox.state(await inbox.reply(one.id, LONG), "sent")
        await inbox.recorder.record("shop", [Receipt("p2", "failed", 1)])
        await inbox.route()
        await inbox.deliveries.retry(delivery.id, inbox.clock())
        await inbox.state(delivery, "deferred")
        await inbox.recorder.record("shop", [Receipt(part, "delivered", 2)])
        await inbox.route()
        assert "deferred" == (await inbox.deliveries.load(delivery.id)).state
        inbox.move(60)
        await inbox.state(delivery, "sent")
        assert LONG * 2 == "".join(platform.texts)


@pytest.mark.parametrize("seed", range(2))
async def test_receipts_that_race_with_the_answer(inbox: Room, seed: int) -> None:
    """In 100 random interleavings a receipt before, during or after the answer to our call is never lost."""
    rng = random.Random(seed)
    names: list[Literal["delivered", "read", "failed"]] = ["delivered", "read", "failed"]
    expected: dict[str, str] = {}
    addresses = [f"tel:+86139{number:08}" for number in range(100)]
    await inbox.recorder.record("shop", [message("hi", one, now=inbox.clock()) for one in addresses])
    await inbox.route()
    late: list[Receipt] = []

    async def send(message_: Outbound) -> Sent:
        told = rng.sample(names, rng.randint(0, 3))
        receipts = [Receipt(f"x{message_.text}", state, 1) for state in told]
        rng.shuffle(receipts)
        cut = rng.randint(0, len(receipts))
        late.extend(receipts[cut:] + receipts[:1])
        await inbox.recorder.record("shop", receipts[:cut])
        best = [state for state in ("read", "delivered", "failed") if state in told]
        expected[message_.text] = best[0] if best else "sent"
        return Sent(f"x{message_.text}")

    inbox.platform().script.extend([send] * 100)
    found = [one for one in await inbox.conversations() if one.address in addresses]
    deliveries = {f"{number}": await inbox.reply(one.id, f"{number}") for number, one in enumerate(found)}
    await eventually(lambda: len(expected) == 100)
    rng.shuffle(late)
    for receipt in late:
        await inbox.recorder.record("shop", [receipt])
    await inbox.route()
    for text, state in expected.items():
        await inbox.state(deliveries[text], state)


async def test_a_receipt_that_nobody_can_use_holds_up_nobody(inbox: Room) -> None:
    """A receipt for a delivery that is gone is left out; those behind it are applied."""
    [one] = await inbox.conversations()
    delivery = await inbox.state(await inbox.reply(one.id, "yes"), "sent")
    other = await inbox.state(await inbox.reply(one.id, "more"), "sent")
    await inbox.store.do(tag(delivery.place.partition), "DEL", key(delivery.place.partition, f"d:{delivery.place.key}"))
    for name in ("x1", "x2"):
        await inbox.recorder.record("shop", [Receipt(name, "read", 1)])
    await inbox.route()

    await inbox.state(other, "read")
    assert 1 == inbox.worker.counts["shop", "receipt_left_out"]


async def test_a_window_that_is_closed_is_known_before_sending(store_url: str, tmp_path: Path) -> None:
    """When the right to answer has run out or is used up the platform is not even asked."""
    async with shop(store_url, tmp_path, WECHAT) as inbox:
        for number in range(5):
            assert "sent" == await answer(inbox, f"{number}")
        assert "dead" == await answer(inbox, "the sixth")
        await inbox.write("are you there?", ADDRESS, window=WINDOW)
        assert "sent" == await answer(inbox, "yes")
        inbox.move(WINDOW.seconds + 1)
        assert "dead" == await answer(inbox, "too late")

        assert ["0", "1", "2", "3", "4", "yes"] == inbox.platform().texts
        codes = {one.code for one in (await inbox.deliveries.listing("dead", "", 10))[0]}
        assert {"quota_used", "window_closed"} == codes


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (Unreachable("away"), "5"),
        (Rejected("no"), "5"),
        (Throttled("slowly", retry_after=1), "5"),
        (Uncertain("?"), "4"),
    ],
)
async def test_only_what_left_uses_up_the_window(store_url: str, tmp_path: Path, error: SendError, left: str) -> None:
    """A platform that was not reached has not counted the message, so neither do we; an unknown outcome counts."""
    async with shop(store_url, tmp_path, WECHAT) as inbox:
        inbox.platform().script.append(error)
        await answer(inbox)
        place = inbox.held(ADDRESS).partition
        assert left == await inbox.store.do(tag(place), "HGET", key(place, f"a:{ADDRESS}"), "wl:shop")


async def lateness(store: Store) -> float:
    """Watch until cancelled by how many seconds this machine, or the store on it, runs late; return the worst."""
    loop, worst = asyncio.get_running_loop(), 0.0
    try:
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            await store.do("hub", "PING")
            worst = max(worst, loop.time() - due)
    except asyncio.CancelledError:
        return worst


@pytest.mark.parametrize("rate", [20.0, 50.0])
async def test_the_rate_holds_over_two_workers(store_url: str, tmp_path: Path, rate: float) -> None:
    """In no window of one second do two processes together send more than the rate, and five in a hundred."""
    arrivals: list[float] = []
    async with (
        room(store_url, tmp_path, name="one") as one,
        room(store_url, tmp_path, name="two") as two,
    ):
        count = int(rate * 1.6)
        await one.recorder.record(
            "shop", [message("hi", f"tel:+86139{number:08}", now=one.clock()) for number in range(count)]
        )
        await one.route()
        for conversation in await one.conversations():
            await one.reply(conversation.id, "a")
        await two.leases.turn()
        for _ in range(3):
            await one.leases.turn()
            await two.leases.turn()
        assert one.leases.held
        assert two.leases.held
        for each in (one, two):
            each.channels.by_name["shop"].rate = rate
        watching = asyncio.create_task(lateness(one.store))
        async with one.sending(), two.sending():
            await eventually(lambda: len(one.platform().at) + len(two.platform().at) == count, 4 * LIMIT)
        watching.cancel()
        late = await watching
        arrivals = sorted(one.platform().at + two.platform().at)

    assert one.platform().at
    assert two.platform().at
    worst = max(sum(start <= other < start + 1 for other in arrivals) for start in arrivals)
    assert worst <= rate * 1.05 + 1 + rate * late  # what a busy machine delayed arrives with what is on time
    assert arrivals[-1] - arrivals[0] < count / rate * 1.5 + 1 + 2 * late


@pytest.mark.parametrize(("rate", "takes"), [(None, 1.1), (5.0, 0.5)])
async def test_a_store_that_is_slow_stops_nothing(
    inbox: Room, monkeypatch: pytest.MonkeyPatch, rate: float | None, takes: float
) -> None:
    """A mark that takes its time is made once, or once more; it is not made until the attempt runs out of time."""
    inbox.channels.by_name["shop"].rate = rate
    run, marks = inbox.store.run, 0

    async def slowly(script: Script, *rest: Any) -> Any:
        nonlocal marks
        marks += script is LEAVE
        await asyncio.sleep(takes)
        return await run(script, *rest)

    monkeypatch.setattr(inbox.store, "run", slowly)
    [one] = await inbox.conversations()
    await inbox.state(await inbox.reply(one.id, "yes"), "sent")

    assert ["yes"] == inbox.platform().texts
    assert marks <= 2


async def test_what_cannot_be_marked_in_time_waits(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has left, so nothing is in doubt, the platform is not to blame, and the reply window loses nothing."""
    monkeypatch.setattr("outbox.sender.FRESH", -1.0)
    async with room(store_url, tmp_path, platforms={"shop": Platform(WECHAT)}) as inbox:
        one = await inbox.write("hi", ADDRESS, window=WINDOW)
        async with inbox.sending():
            delivery = await inbox.state(await inbox.reply(one, "yes"), "deferred")
            assert "the store" in delivery.error
            assert [] == inbox.platform().sent
            monkeypatch.setattr("outbox.sender.FRESH", LIMIT)
            await inbox.state(delivery, "sent")
        place = partition_of(ADDRESS)
        field = await inbox.store.do(tag(place), "HGET", key(place, f"a:{ADDRESS}"), "wl:shop")

    assert 1 == len(inbox.platform().sent)
    assert WINDOW.messages is not None
    assert WINDOW.messages - 1 == int(field)


async def test_what_would_be_cut_otherwise_is_not_called_sent(store_url: str, tmp_path: Path) -> None:
    """One part is out, and the rest is no part any more: a person has to look, who is told how much is out."""
    async with shop(store_url, tmp_path, Capabilities(text_limit=5)) as inbox:
        [one] = await inbox.conversations()
        inbox.platform().script.extend([Sent("p1"), Throttled("slow", retry_after=30)])
        delivery = await inbox.state(await inbox.reply(one.id, "aaaaabbbbb"), "deferred")
        inbox.platform().capabilities = Capabilities(text_limit=20)
        inbox.move(60)
        delivery = await inbox.state(delivery, "dead")

        assert delivery.error.startswith("1 of 2 parts are out")


async def test_what_is_paused_is_neither_tried_nor_noted_again(inbox: Room) -> None:
    """However often it is looked at: no attempt, no entry in the log."""
    paused = asyncio.Event()

    async def objection(_: Sending) -> tuple[Obstacle, ...]:
        paused.set()
        return (Obstacle("paused", "hold", "paused", inbox.clock() + 5000),)

    inbox.planner.objections = (objection,)
    letter = Letter(channel="shop", address=ADDRESS, key="k", lane="campaign", text="hi")
    delivery, _ = await inbox.deliveries.owe_letter(letter, inbox.clock())
    first = await inbox.state(delivery, "deferred")
    log = key(delivery.place.partition, "log")
    entries = await inbox.store.do(tag(delivery.place.partition), "XLEN", log)
    for _ in range(3):
        paused.clear()
        inbox.move(6)
        await asyncio.wait_for(paused.wait(), LIMIT)

    assert entries == await inbox.store.do(tag(delivery.place.partition), "XLEN", log)
    assert first.attempts == (await inbox.deliveries.load(delivery.id)).attempts


async def test_every_part_counts_for_the_rate(store_url: str, tmp_path: Path) -> None:
    """A long answer is several platform messages and takes as many turns."""
    async with shop(store_url, tmp_path, Capabilities(text_limit=12, rate=20)) as inbox:
        await answer(inbox, LONG)
        at = inbox.platform().at
        assert 3 == len(at)
        assert at[2] - at[0] > 1 / 20  # of two turns; the answer about the first may have come late


async def test_a_channel_that_is_down_keeps_its_answers(inbox: Room) -> None:
    """While a connector cannot be built everything waits; it goes out, in order, when the channel is back."""
    up = inbox.channels.by_name
    inbox.channels.by_name = {"shop": Channel("shop", "scripted", None, reason="no secret")}
    [one] = await inbox.conversations()
    first, second = await inbox.reply(one.id, "1"), await inbox.reply(one.id, "2")
    waiting = await inbox.state(first, "deferred")
    assert "channel shop is not up" == waiting.error

    inbox.channels.by_name = up
    inbox.move(31)
    await inbox.state(second, "sent")
    assert ["1", "2"] == inbox.platform().texts


async def test_a_channel_that_never_comes_back_gives_up(inbox: Room) -> None:
    """After a day without its channel an answer is a dead letter that people see."""
    inbox.channels.by_name = {}
    [one] = await inbox.conversations()
    delivery = await inbox.state(await inbox.reply(one.id, "1"), "deferred")
    inbox.move(25 * 3600)
    await inbox.state(delivery, "dead")


async def test_after_a_thousand_put_offs_it_is_still_retried(inbox: Room) -> None:
    """A delivery that has waited for its channel very often has no trouble with the schedule."""
    [one] = await inbox.conversations()
    inbox.platform().script.append(Unreachable("away"))
    delivery = await inbox.state(await inbox.reply(one.id, "1"), "deferred")
    place = delivery.place
    await inbox.store.do(tag(place.partition), "HSET", key(place.partition, f"d:{place.key}"), "attempts", 2900)
    inbox.platform().script.append(Unreachable("away"))
    inbox.move(3600)
    await reached(inbox.platform(), 2)
    assert "deferred" == (await inbox.state(delivery, "deferred")).state


async def test_files_are_read_from_where_they_are_kept(inbox: Room) -> None:
    """The connector gets the bytes, and a public address of the same, for every file of an answer."""
    sha = await inbox.attachments.save(b"picture")
    media = (Media("image/png", "图.png", 7, ref=f"sha256:{sha}"),)
    assert "sent" == await answer(inbox, "see", media=media)

    [text, file] = inbox.platform().sent
    assert ("see", ()) == (text.text, text.media)
    assert b"picture" == await file.media[0].read()
    assert ("图.png", 7) == (file.media[0].name, file.media[0].size)
    assert file.media[0].url.startswith("https://hub.example.com/files/")


async def test_what_the_channel_cannot_carry_is_dead_before_anything_left(store_url: str, tmp_path: Path) -> None:
    """An answer with a file that the platform does not take goes out neither whole nor in part."""
    async with shop(store_url, tmp_path, Capabilities()) as inbox:
        assert "dead" == await answer(inbox, "see", media=(Media("image/png", "a", 1, ref="sha256:0"),))
        assert 0 == inbox.platform().tried


async def test_stopping_finishes_what_is_going_out(inbox: Room) -> None:
    """Sends in flight end in order, what has not begun stays due for the next process."""
    gate = asyncio.Event()

    async def slow(message_: Outbound) -> Sent:
        await gate.wait()
        return Sent("slow")

    [one] = await inbox.conversations()
    inbox.platform().script.append(slow)
    first, second = await inbox.reply(one.id, "1"), await inbox.reply(one.id, "2")
    await reached(inbox.platform(), 1)
    stopping = asyncio.create_task(inbox.worker.finish(LIMIT))
    await asyncio.sleep(0)
    gate.set()
    await stopping

    states = [(await inbox.deliveries.load(delivery.id)).state for delivery in (first, second)]
    assert ["sent", "queued"] == states
    assert [second.id] == [one.id for one in (await inbox.deliveries.listing("due", "", 10))[0]]


async def test_a_platforms_yes_settles_what_a_new_owner_had_to_doubt(inbox: Room) -> None:
    """A sender that lost its partition while it waited still tells that the message went out."""
    gate = asyncio.Event()

    async def slow(message_: Outbound) -> Sent:
        await gate.wait()
        return Sent("x9")

    inbox.platform().script.append(slow)
    [one] = await inbox.conversations()
    delivery = await inbox.reply(one.id, "yes")
    await reached(inbox.platform(), 1)
    async with room_of(inbox) as other, other.sending():
        other.move(SENDER_MS / 1000 * 30)
        await other.state(delivery, "uncertain")
        gate.set()
        await inbox.state(delivery, "sent")
        assert [] == other.platform().sent


async def test_what_a_worker_was_sending_when_it_died_does_not_wait_for_its_claim(
    inbox: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that worker had given the partition up before it died, as it does when another one joins."""
    monkeypatch.setattr("inbox.leases.DEAD_AFTER", 60.0)  # of the wait below none may count as a freeze
    stuck: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()

    async def hang(message_: Outbound) -> Sent:
        return await stuck

    inbox.platform().script.append(hang)
    [one] = await inbox.conversations()
    delivery = await inbox.reply(one.id, "yes")
    await reached(inbox.platform(), 1)
    newcomer = next(
        name
        for name in (f"newcomer-{number}" for number in itertools.count())
        if delivery.place.partition in wanted(f"{name}#1000", [f"{name}#1000", inbox.leases.worker])
    )
    other = Room(inbox.store, inbox.folder, newcomer, Clock(1000))
    for leases in (other.leases, inbox.leases, other.leases):
        await leases.turn()
    async with other.sending():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * LOOK):
                await other.state(delivery, "uncertain")
        await inbox.store.do("hub", "ZADD", shared_key("hub", "workers"), 1, inbox.leases.worker)
        await other.leases.turn()
        await other.state(delivery, "uncertain")
    stuck.cancel()


async def test_what_is_out_is_not_refused_afterwards(store_url: str, tmp_path: Path) -> None:
    """A process dies between the platform's yes and its own note, and the window closes: it was sent all the same."""
    async with room(store_url, tmp_path, platforms={"shop": Platform(WECHAT)}) as inbox:
        one = await inbox.write("hi", ADDRESS, window=WINDOW)
        delivery = await inbox.reply(one, "yes")
        held = inbox.held(ADDRESS)
        claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
        assert claimed is not None
        await inbox.deliveries.leave(held, claimed[0], inbox.clock(), windowed=True)
        await inbox.deliveries.note_part(claimed[0], 1, ("x1",))
        async with room_of(inbox, platforms={"shop": Platform(WECHAT)}) as other:
            other.move(49 * 3600)
            async with other.sending():
                await other.state(delivery, "sent")
        assert [] == other.platform().sent


async def test_who_writes_while_a_late_answer_goes_out_still_waits(inbox: Room) -> None:
    """An answer that was to leave later answers what it was written to, not what came while it was being sent."""

    async def slow(message_: Outbound) -> Sent:
        await inbox.write("and one thing more: it smokes", ADDRESS)
        return Sent("x1")

    [one] = await inbox.conversations()
    for script, status in (([slow], "open"), ([], "pending")):
        inbox.platform().script.extend(script)
        author = Author("agent", "lilei", "李雷")
        terms = Terms(inbox.clock() + 100)
        conversation = await inbox.load(one.id)
        delivery, _ = await inbox.deliveries.enqueue(conversation, Reply(author, "ok"), inbox.clock(), terms=terms)
        await inbox.state(delivery, "sent")
        assert status == (await inbox.load(one.id)).status


async def test_who_was_replaced_while_frozen_sends_nothing_any_more(
    inbox: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that froze between the mark and the request asks again whether the message is still its own."""
    monkeypatch.setattr("outbox.sender.FRESH", 0.0)
    leave, marks = inbox.deliveries.leave, []

    async def frozen(held: Held, delivery: Delivery, now: int, *, windowed: bool, of: int = 1) -> None:
        marks.append(held.epoch)
        await leave(held, delivery, now, windowed=windowed, of=of)
        async with room_of(inbox) as other, other.sending():
            other.move(SENDER_MS / 1000 * 30)
            await other.state(delivery, "uncertain")

    monkeypatch.setattr(inbox.deliveries, "leave", frozen)
    [one] = await inbox.conversations()
    delivery = await inbox.state(await inbox.reply(one.id, "late"), "uncertain")
    await inbox.worker.finish(LIMIT)

    assert (2, []) == (len(marks), inbox.platform().sent)
    assert "uncertain" == (await inbox.deliveries.load(delivery.id)).state


@asynccontextmanager
async def room_of(inbox: Room, **parts: Any) -> AsyncIterator[Room]:
    """Open a room for a later worker at the same place, which takes everything over at once."""
    made = Room(inbox.store, inbox.folder, inbox.name, Clock(1000), **parts)
    await made.leases.turn()
    yield made


async def test_an_echo_of_ours_is_not_somebody_elses(inbox: Room) -> None:
    """The platform repeats what we sent, before or after it answers us: the timeline shows it once."""
    platform = inbox.platform()
    [one] = await inbox.conversations()

    async def outrun(message_: Outbound) -> Sent:
        await inbox.recorder.record("shop", [Echo("e1", ADDRESS, 1, message_.text)])
        await inbox.route()
        return Sent("e1")

    platform.script.append(outrun)
    await inbox.state(await inbox.reply(one.id, "yes"), "sent")
    await inbox.recorder.record("shop", [Echo("x1", ADDRESS, 1, "more")])
    await inbox.state(await inbox.reply(one.id, "more"), "sent")
    await inbox.recorder.record("shop", [Echo("x1", ADDRESS, 2, "more")])
    await inbox.route()
    assert 3 == (await inbox.load(one.id)).messages


async def test_a_colleagues_few_words_prove_no_answer(inbox: Room) -> None:
    """What is written in the platform's own tool is a message of its own, though an answer in doubt holds it."""
    [one] = await inbox.conversations()
    inbox.platform().script.append(Uncertain("no answer"))
    delivery = await inbox.state(await inbox.reply(one.id, "您好，退款已经办好"), "uncertain")
    await inbox.recorder.record("shop", [Echo("h1", ADDRESS, 1, "您好")])
    await inbox.route()

    assert "uncertain" == (await inbox.deliveries.load(delivery.id)).state
    assert 3 == (await inbox.load(one.id)).messages


async def test_who_wakes_up_late_settles_no_later_attempt(inbox: Room) -> None:
    """A person has had it sent again since: the first attempt's end says nothing about the second one."""
    [one] = await inbox.conversations()
    inbox.platform().script.append(Rejected("no"))
    delivery = await inbox.state(await inbox.reply(one.id, "yes"), "dead")
    held = inbox.held(ADDRESS)
    old = await inbox.deliveries.load(delivery.id)
    await inbox.worker.finish(LIMIT)
    await inbox.deliveries.retry(delivery.id, inbox.clock(), "lilei")
    claimed = await inbox.deliveries.claim(held, delivery.place.key, inbox.clock())
    assert claimed is not None

    assert 1 == claimed[0].attempts
    with pytest.raises(Fenced):
        await inbox.deliveries.settle(old, "deferred", inbox.clock(), held=held, due=inbox.clock())


async def test_an_echo_of_an_earlier_round_proves_nothing(inbox: Room) -> None:
    """The platform repeats what it had refused; whether what was sent anew has arrived is as unknown as before."""
    [one] = await inbox.conversations()
    delivery = await inbox.state(await inbox.reply(one.id, "yes"), "sent")
    await inbox.recorder.record("shop", [Receipt("x1", "failed", 1, "unknown")])
    await inbox.route()
    await inbox.state(delivery, "failed")
    inbox.platform().script.append(Uncertain("no answer"))
    await inbox.deliveries.retry(delivery.id, inbox.clock(), "lilei")
    await inbox.state(delivery, "uncertain")
    await inbox.recorder.record("shop", [Echo("x1", ADDRESS, 2, "yes")])
    await inbox.route()

    assert "uncertain" == (await inbox.deliveries.load(delivery.id)).state
