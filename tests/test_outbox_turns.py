"""Whose turn it is: lanes, limits of recipients, breakers, and channels that hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.sending import Recipient
from connectors.base import BadOptions, Capabilities, Outbound, Rejected, Sent, Uncertain, Unreachable
from inbox.channels import Channel
from inbox.leases import Held
from inbox.partitions import COUNT
from outbox.deliveries import Delivery
from outbox.letters import LANES, Lane, Letter
from outbox.retries import Policy, Schedule
from outbox.turns import Gate, Turn
from tests.backroom import LIMIT, Clock, Platform, Room, eventually, room

STANDARD = Policy()
ADDRESS = "tel:+8613800138000"


@asynccontextmanager
async def shop(
    store_url: str, folder: Path, policy: Policy = STANDARD, *, channels: tuple[str, ...] = ("shop",)
) -> AsyncIterator[Room]:
    """Open a room whose outbox is at work by *policy*."""
    platforms = {name: Platform(Capabilities()) for name in channels}
    async with room(store_url, folder, platforms=platforms, policy=policy) as made, made.sending():
        yield made


def letter(number: int, lane: Lane = "notice", channel: str = "shop", address: str = "") -> Letter:
    """Return a letter to somebody, by default to a person of its own."""
    address = address or f"tel:+86139{number:08}"
    return Letter(channel=channel, address=address, key=f"{number}", lane=lane, text=f"{lane} {number}", ordered=False)


async def owe(inbox: Room, *letters: Letter) -> list[Delivery]:
    return [delivery for delivery, _ in [await inbox.deliveries.owe_letter(one, inbox.clock()) for one in letters]]


async def test_under_a_limit_earlier_lanes_go_first(store_url: str, tmp_path: Path) -> None:
    """With one place and a backlog in every lane, a reply that comes last is the next to go, then the other lanes."""
    async with shop(store_url, tmp_path, Policy(at_once=1)) as inbox:
        gate, order = asyncio.Event(), []

        async def held(message: Outbound) -> Sent:
            await gate.wait()
            order.append(message.text)
            return Sent("")

        platform = inbox.platform()
        platform.script.extend([held] * 13)
        [first] = await owe(inbox, letter(0, "campaign"))
        await eventually(lambda: platform.tried == 1)
        behind: tuple[Lane, ...] = ("campaign", "survey", "notice") * 3
        await owe(inbox, *(letter(number, lane) for number, lane in enumerate(behind, 1)))
        one = await inbox.write("hi", ADDRESS)
        replies = [
            await inbox.reply(one, "reply 10"),
            await inbox.reply(await inbox.write("hi", "tel:+85212345678"), "reply 11"),
        ]
        waiting = inbox.worker.turns.gate(inbox.channels.by_name["shop"])
        await eventually(lambda: waiting.waiting == 11)
        gate.set()
        await asyncio.gather(*(inbox.state(each, "sent") for each in (first, *replies)))
        await eventually(lambda: len(order) == 12)

    lanes = [text.split()[0] for text in order]
    assert ["campaign", *(["reply"] * 2 + ["notice"] * 3 + ["survey"] * 3 + ["campaign"] * 3)] == lanes


async def test_lanes_hold_over_processes(store_url: str, tmp_path: Path) -> None:
    """While one process has a campaign and another a reply, the shared rate lets the reply go first, every time."""
    async with room(store_url, tmp_path) as inbox:
        let_in: list[str] = []

        def start(gate: Gate, held: Held, name: str, turn: Turn) -> None:
            let_in.append(name)
            gate.leave()

        channel = Channel("shop", "scripted", rate=5.0)
        bulk, agents = (Gate(inbox.store, channel, 1, start) for _ in range(2))
        held = Held(0, "1")
        for number in range(30):
            bulk.join("campaign", held, f"campaign {number}")
        await eventually(lambda: len(let_in) >= 2)
        before = len(let_in)
        for number in range(5):
            agents.join("reply", held, f"reply {number}")
        await eventually(lambda: sum(name.startswith("reply") for name in let_in) == 5)
        after = let_in[before:]
        bulk.close()
        agents.close()

    first, last = after.index("reply 0"), after.index("reply 4")
    between = [name for name in after[first:last] if name.startswith("campaign")]
    assert len(between) <= 3  # turns that were taken before anybody of the other process was known to wait
    assert first <= 6


async def test_a_recipient_gets_only_so_many(store_url: str, tmp_path: Path) -> None:
    """The limit of one recipient holds others up as little as it counts as a failure; later the rest goes out."""
    policy = Policy(recipient=Recipient(messages=2, within="1h"))  # type: ignore[arg-type]
    async with shop(store_url, tmp_path, policy) as inbox:
        mine = await owe(inbox, *(letter(number, address=ADDRESS) for number in range(3)))
        [other] = await owe(inbox, letter(9))
        await inbox.state(other, "sent")
        await eventually(lambda: len(inbox.platform().sent) == 3)
        states = sorted([(await inbox.state(each, "sent", "deferred")).state for each in mine])
        assert ["deferred", "sent", "sent"] == states
        [late] = [each for each in mine if (await inbox.deliveries.load(each.id)).state == "deferred"]
        waiting = await inbox.deliveries.load(late.id)
        assert ("its recipient has had enough messages for now", 0) == (waiting.error, waiting.attempts)
        assert 3_500_000 < waiting.due - inbox.clock() <= 3_600_000

        inbox.move(3601)
        await inbox.state(late, "sent")


FAILURES = [Unreachable("away"), Uncertain("no answer"), BadOptions("wrong key"), RuntimeError("a bug")]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
async def test_a_channel_that_keeps_failing_rests(store_url: str, tmp_path: Path, error: Exception) -> None:
    """After five failures in a row nothing is tried; after the pause one message is, and when it passes all go out."""
    policy = Policy(general=Schedule(first=1_000_000, longest=1_000_000))
    async with shop(store_url, tmp_path, policy) as inbox:
        platform, channel = inbox.platform(), inbox.channels.by_name["shop"]
        platform.script.extend([error] * 5)
        await owe(inbox, *(letter(number) for number in range(5)))
        await eventually(lambda: inbox.worker.breakers.circuit("shop").until > 0)
        resting = await owe(inbox, *(letter(number) for number in range(10, 40)))
        found = [await inbox.state(each, "deferred") for each in resting]
        assert {0} == {each.attempts for each in found}
        assert all(each.error.startswith("channel shop rests: sends keep failing") for each in found)
        assert 5 == platform.tried
        assert "degraded" == channel.state
        [metric] = await inbox.worker.breakers.metrics()
        assert [1.0] == [sample.value for sample in metric.samples]

        gate = asyncio.Event()

        async def slow(_: Outbound) -> Sent:
            await gate.wait()
            return Sent("")

        platform.script.append(slow)
        inbox.move(20)
        await eventually(lambda: platform.tried == 6)
        waiting = inbox.worker.turns.gate(channel)
        await eventually(lambda: not waiting.waiting)
        assert 6 == platform.tried, "one message is tried, no more"
        gate.set()

        async def all_sent() -> None:
            for each in resting:
                while (await inbox.deliveries.load(each.id)).state != "sent":
                    inbox.move(1)
                    await asyncio.sleep(0.01)

        async with asyncio.timeout(3 * LIMIT):
            await all_sent()
        assert "up" == channel.state
        assert 0 == inbox.worker.breakers.circuit("shop").until


async def test_a_trial_that_fails_makes_the_rest_longer_and_buries_nothing(store_url: str, tmp_path: Path) -> None:
    """Whoever is sent to see whether the credentials work again is put off, not given up."""
    async with shop(store_url, tmp_path) as inbox:
        platform = inbox.platform()
        platform.script.extend([BadOptions("wrong key")] * 6)
        await owe(inbox, *(letter(number) for number in range(5)))
        await eventually(lambda: inbox.worker.breakers.circuit("shop").until > 0)
        first = inbox.worker.breakers.circuit("shop").until - inbox.clock()
        [trial] = await owe(inbox, letter(9))
        await inbox.state(trial, "deferred")
        inbox.move(20)
        await eventually(lambda: platform.tried == 6)
        await inbox.state(trial, "deferred")
        assert inbox.worker.breakers.circuit("shop").until - inbox.clock() > first
        assert 5 == len((await inbox.deliveries.listing("dead", "", 10))[0])


async def test_refusals_prove_that_a_platform_works(store_url: str, tmp_path: Path) -> None:
    """Messages that are refused for good, however many, do not make a channel rest."""
    async with shop(store_url, tmp_path) as inbox:
        inbox.platform().script.extend([Rejected("no")] * 8)
        for delivery in await owe(inbox, *(letter(number) for number in range(8))):
            await inbox.state(delivery, "dead")
        [fine] = await owe(inbox, letter(9))
        await inbox.state(fine, "sent")


async def test_other_processes_learn_that_a_channel_rests(store_url: str, tmp_path: Path) -> None:
    """What one process has found another one keeps to, and its channel says so."""
    async with (
        room(store_url, tmp_path, name="one") as one,
        room(store_url, tmp_path, name="two") as two,
    ):
        for _ in range(5):
            await one.worker.breakers.failed(one.channels.by_name["shop"], "away", tried=False)
        await two.worker.breakers.look()
        assert two.worker.breakers.circuit("shop") == one.worker.breakers.circuit("shop")
        assert "degraded" == two.channels.by_name["shop"].state
        clock: Clock = one.clock
        clock.offset = two.clock.offset = 60_000
        assert [0, True] == [
            await two.worker.breakers.may_try(two.channels.by_name["shop"]),
            await one.worker.breakers.may_try(one.channels.by_name["shop"]) > clock(),
        ]
        await two.worker.breakers.passed(two.channels.by_name["shop"])
        await one.worker.breakers.look()
        assert ("up", 0) == (one.channels.by_name["shop"].state, one.worker.breakers.circuit("shop").until)


async def test_a_send_has_a_time_limit(store_url: str, tmp_path: Path) -> None:
    """What a platform does not take in time is uncertain if it had left, and else tried again."""
    async with shop(store_url, tmp_path, Policy(timeout=0.5)) as inbox:

        async def hang(_: Outbound) -> Sent:
            await asyncio.Event().wait()
            raise AssertionError

        inbox.platform().script.extend([hang] * 5)  # a store that is slower than that has it tried again
        [delivery] = await owe(inbox, letter(1))
        assert "longer than" in (await inbox.state(delivery, "uncertain")).error


async def test_a_channel_that_hangs_holds_up_no_other(store_url: str, tmp_path: Path) -> None:
    """With 300 messages due in one partition before it, on a channel that hangs, another channel's message goes out."""
    async with shop(store_url, tmp_path, Policy(at_once=4), channels=("slow", "shop")) as inbox:
        gate = asyncio.Event()

        async def hang(_: Outbound) -> Sent:
            await gate.wait()
            return Sent("")

        inbox.platform("slow").script.extend([hang] * 4)
        backlog = await owe(inbox, *(letter(number, channel="slow", address=ADDRESS) for number in range(300)))
        await eventually(lambda: inbox.platform("slow").tried == 4)
        [quick] = await owe(inbox, letter(1, address=ADDRESS))
        assert quick.place.partition == backlog[0].place.partition
        await inbox.state(quick, "sent")
        assert 4 == inbox.platform("slow").tried
        gate.set()
        await eventually(lambda: len(inbox.platform("slow").sent) == 296, 4 * LIMIT)


async def test_what_waits_is_only_names(store_url: str, tmp_path: Path) -> None:
    """A backlog costs a process no tasks: as many run as may send at once."""
    async with shop(store_url, tmp_path, Policy(at_once=2)) as inbox:
        gate = asyncio.Event()

        async def hang(_: Outbound) -> Sent:
            await gate.wait()
            return Sent("")

        inbox.platform().script.extend([hang] * 2)
        await owe(inbox, *(letter(number, LANES[number % 4]) for number in range(200)))
        waiting = inbox.worker.turns.gate(inbox.channels.by_name["shop"])
        await eventually(lambda: waiting.waiting == 198)
        sending = [task for task in asyncio.all_tasks() if task.get_name().startswith("deliver-")]
        assert 2 == len(sending)
        inbox.wakes.ring(f"o{partition}" for partition in range(COUNT))
        gate.set()
        await eventually(lambda: len(inbox.platform().sent) == 198, 4 * LIMIT)
