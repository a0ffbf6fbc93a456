"""Random lives of deliveries against a model of a page: answers, receipts, echoes, crashes and people in any order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.base import (
    Capabilities,
    Connector,
    Echo,
    Options,
    Outbound,
    Receipt,
    Rejected,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
)
from inbox.channels import Channel, Channels
from inbox.leases import Held
from inbox.partitions import key, partition_of, tag
from outbox.deliveries import Delivery
from outbox.history import history
from outbox.retries import Policy, Schedule
from outbox.worker import Worker
from tests.backroom import LIMIT, Room, message, room
from tests.scenes import Report

LONG = bool(os.environ.get("HUILIU_LONG"))
LIVES = 1000 if LONG else 40
STEPS = 14
pytest_plugins = ["tests.chaos_fixtures"]
RANK = {"queued": 0, "deferred": 0, "uncertain": 2, "dead": 2, "sent": 3, "failed": 4, "delivered": 5, "read": 6}
PATIENT = Policy(general=Schedule(longest=60_000, lifetime=10**12), failures=10**6)
NUMBERS = itertools.count(1)
TALLY: Counter[str] = Counter()


@dataclass
class Call:
    """One call of the connector, held at two places until the test lets it go on."""

    message: Outbound
    leave: asyncio.Future[None]
    outcome: asyncio.Future[Sent | Exception]


class Platform:
    """A platform that answers when the test says so."""

    kind: ClassVar[str] = "scripted"
    Options: ClassVar[type[Options]] = Options

    def __init__(self, *, idempotent: bool) -> None:
        self.capabilities = Capabilities(idempotent=idempotent)
        self.calls: asyncio.Queue[Call] = asyncio.Queue()

    async def send(self, message: Outbound) -> Sent:
        loop = asyncio.get_running_loop()
        call = Call(message, loop.create_future(), loop.create_future())
        self.calls.put_nowait(call)
        await call.leave
        await message.leaving()
        outcome = await call.outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@dataclass
class Model:
    """What must be known of one delivery. *taken*: platform's id -> the round in which it was taken, if we know it."""

    idempotent: bool
    state: str = "queued"
    round: int = 0
    ids: dict[str, str] = field(default_factory=dict)
    """Our id of a message -> the platform's: what the platform has, whether we know or not."""
    known: dict[str, int] = field(default_factory=dict)
    """The platform's ids that we know, and in which round we got them."""
    early: dict[str, list[str]] = field(default_factory=dict)

    def better(self, state: str) -> None:
        """Better knowledge replaces worse."""
        if RANK[state] > RANK[self.state]:
            self.state = state

    def told(self, external_id: str, state: str) -> None:
        """A receipt comes."""
        if external_id not in self.known:
            self.early.setdefault(external_id, []).append(state)
        elif self.known[external_id] == self.round or state in ("delivered", "read"):
            self.better(state)

    def learnt(self, external_id: str) -> None:
        """The platform's id of a message becomes known: the message is out, and earlier receipts count."""
        self.known[external_id] = self.round
        self.better("sent")
        for state in self.early.pop(external_id, []):
            self.better(state)

    @property
    def calls(self) -> bool:
        """Whether an attempt is made next."""
        return self.state in ("queued", "deferred")


@dataclass
class Life:
    """One delivery, the processes that work on it, and its model."""

    room: Room
    platform: Platform
    model: Model
    delivery: Delivery
    held: Held
    worker: Worker | None = None
    task: asyncio.Task[None] | None = None
    call: Call | None = None
    left: bool = False

    def start(self) -> None:
        """Let a process work on the partition."""
        inner = self.room
        self.worker = Worker(
            inner.store,
            inner.wakes,
            inner.deliveries,
            inner.placer,
            inner.channels,
            inner.attachments,
            inner.clock,
            lambda media: media.ref,
            lambda _: PATIENT,
            inner.aside,
            lambda: [self.held.worker],
        )
        self.task = asyncio.create_task(self.worker.follow(self.held))

    async def kill(self) -> None:
        """End the process where it stands; the next owner is another one."""
        assert self.worker is not None
        assert self.task is not None
        self.task.cancel()
        await self.worker.finish(0)
        await asyncio.gather(self.task, return_exceptions=True)
        name = key(self.held.partition, "lease")
        epoch = await self.room.store.do(tag(self.held.partition), "HINCRBY", name, "epoch", 1)
        self.held = Held(self.held.partition, str(epoch), f"owner-{epoch}")
        self.room.leases.held[self.held.partition] = self.held
        if self.left and not self.model.idempotent:
            self.model.state = "uncertain"
        self.call, self.left = None, False
        self.start()
        await self.settled()

    async def settled(self) -> None:
        """Wait until the hub has done what the model says comes next."""
        if self.model.calls and self.call is None:
            # What was put off comes when its time has come: the clock is moved until it does.
            async with asyncio.timeout(LIMIT):
                while self.call is None:
                    now = await self.room.deliveries.load(self.delivery.id)
                    if now.state in ("queued", "deferred"):
                        self.room.move(max(0, now.due - self.room.clock() + 1) / 1000)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.02):
                            self.call = await self.platform.calls.get()
        elif self.call is None:
            await self.room.state(self.delivery, self.model.state)

    async def leave(self) -> None:
        assert self.call is not None
        self.call.leave.set_result(None)
        async with asyncio.timeout(LIMIT):
            while not (await self.room.deliveries.load(self.delivery.id)).left:
                pass  # every look asks the store anew
        self.left = True

    async def answer(self, outcome: Sent | Exception, state: str) -> None:
        """Let the call end; what it says holds from then on."""
        assert self.call is not None
        if not self.left:
            self.call.leave.set_result(None)
        self.call.outcome.set_result(outcome)
        self.call, self.left = None, False
        if isinstance(outcome, Sent):
            self.model.learnt(outcome.external_id)
        else:
            self.model.state = state
        await self.settled()

    def taken(self) -> str:
        """Have the platform take the message; return its id, the same for a repeat where repeats are dropped."""
        assert self.call is not None
        mine = self.call.message.id
        if not self.model.idempotent or mine not in self.model.ids:
            self.model.ids[mine] = f"x{next(NUMBERS)}"
        return self.model.ids[mine]

    async def route(self) -> None:
        """Let the reader read on."""
        assert self.worker is not None
        await self.room.route()

    def steps(self) -> list[str]:
        """Return what can happen now."""
        can: list[str] = []
        if self.model.state == "uncertain" and self.call is None:
            can += ["echo"] * 2 * bool(self.unknown()) + ["confirm"]
        if self.call is not None:
            can += ["early receipt"] * 3 if self.left else ["leave"] * 3
            can += ["yes"] * 4 + ["lost"] * 4 + ["vanished", "away", "slowly", "no"]
        if self.model.ids:
            can += ["receipt"] * 6
        if self.model.state in ("dead", "failed", "uncertain") and self.call is None:
            can += ["retry"] * 3
        return [*can, "kill", "reread"]

    def unknown(self) -> list[str]:
        """Return platform ids that only the platform knows."""
        return [one for one in self.model.ids.values() if one not in self.model.known]

    async def step(self, what: str, data: st.DataObject) -> None:
        """Do one thing, in the world and in the model."""
        TALLY[what] += 1
        deliveries, model = self.room.deliveries, self.model
        match what:
            case "leave":
                await self.leave()
            case "yes":
                await self.answer(Sent(self.taken()), "sent")
            case "lost" | "vanished":
                if what == "lost":
                    self.taken()
                await self.answer(Uncertain("no answer"), "deferred" if model.idempotent else "uncertain")
            case "away":
                await self.answer(Unreachable("away"), "deferred")
            case "slowly":
                await self.answer(Throttled("slowly", retry_after=1), "deferred")
            case "no":
                await self.answer(Rejected("no"), "dead")
            case "kill":
                await self.kill()
            case "reread":
                self.room.forget_one(self.held.partition)
                await self.route()
            case "receipt" | "early receipt":
                external_id = (
                    self.taken() if what == "early receipt" else data.draw(st.sampled_from([*model.ids.values()]))
                )
                state = data.draw(st.sampled_from(["sent", "delivered", "read", "failed"]))
                await self.receipt(external_id, state)
            case "echo":
                external_id = data.draw(st.sampled_from(self.unknown()))
                echo = Echo(external_id, self.delivery.address, self.room.clock(), f"words {self.delivery.address}")
                await self.room.recorder.record("shop", [echo])
                await self.route()
                model.state = "queued"
                model.learnt(external_id)
                await self.settled()
            case "retry":
                model.round += model.state == "failed"
                await deliveries.retry(self.delivery.id, self.room.clock(), "lilei")
                model.state = "queued"
                await self.settled()
            case "confirm":
                await deliveries.confirm(self.delivery.id, self.room.clock(), "lilei")
                model.state = "sent"

    async def receipt(self, external_id: str, state: str) -> None:
        """Let the platform report; what arrived after all ends an attempt to send it anew."""
        receipt = Receipt(external_id, state, self.room.clock())  # type: ignore[arg-type]
        await self.room.recorder.record("shop", [receipt])
        await self.route()
        flying, before = self.call is not None, self.model.state
        self.model.told(external_id, state)
        if flying and self.model.state != before and self.call is not None:
            await self.ended()
        await self.settled()

    async def ended(self) -> None:
        """A message that was being sent anew has arrived after all: the attempt under way changes nothing any more."""
        assert self.call is not None
        if not self.left:
            self.call.leave.set_result(None)  # it is refused: somebody else has settled the delivery
        else:
            self.call.outcome.set_exception(Rejected("too late"))
        self.call, self.left = None, False

    async def check(self) -> None:
        """Compare the store with the model."""
        state = self.model.state
        assert self.platform.calls.empty(), "nothing is sent that need not be"
        partition, name = self.held.partition, self.delivery.place.key
        found = await self.room.deliveries.load(self.delivery.id)
        assert found.state == ("sending" if self.call is not None else state), (found, self.model)
        if self.call is None and not self.model.calls:
            steps = await history(self.room.store, found)
            assert steps[-1].state == state
            assert steps[0].cause == "accepted"
            lists = {
                which: await self.room.store.do(tag(partition), "ZSCORE", key(partition, which), name) is not None
                for which in ("due", "dead", "uncertain")
            }
            assert lists == {"due": False, "dead": state in ("dead", "failed"), "uncertain": state == "uncertain"}


@contextlib.asynccontextmanager
async def stage(store_url: str, folder: Path, platform: Platform) -> AsyncIterator[Room]:
    """Open a room whose one channel is *platform*."""
    async with room(store_url, folder) as made:
        made.channels.by_name = Channels({"shop": Channel("shop", "scripted", cast("Connector", platform))}).by_name
        yield made


async def live(inner: Room, platform: Platform, data: st.DataObject) -> None:
    """Play one life to its end."""
    address = f"tel:+86138{next(NUMBERS):08}"
    await inner.recorder.record("shop", [message("hi", address, now=inner.clock())])
    await inner.route()
    partition = partition_of(address)
    conversation = await inner.store.do(tag(partition), "HGET", key(partition, f"a:{address}"), "conv:shop")
    assert conversation, (address, partition, "was not placed")
    delivery = await inner.reply(conversation, f"words {address}")
    model = Model(platform.capabilities.idempotent)
    one = Life(inner, platform, model, delivery, inner.leases.held[partition])
    while not platform.calls.empty():
        platform.calls.get_nowait()
    one.start()
    try:
        await one.settled()
        for _ in range(data.draw(st.integers(3, STEPS))):
            await one.step(data.draw(st.sampled_from(one.steps())), data)
            await one.check()
    finally:
        assert one.worker is not None
        assert one.task is not None
        one.task.cancel()
        await one.worker.finish(0)
        await asyncio.gather(one.task, return_exceptions=True)
        # What this life left behind must not be in the way of the next one.
        place = one.delivery.place
        for which in ("due", "dead", "uncertain"):
            await inner.store.do(tag(place.partition), "ZREM", key(place.partition, which), place.key)


@pytest.mark.timeout(1200 if LONG else 120)
@pytest.mark.parametrize("idempotent", [False, True], ids=["uncertain", "repeats are dropped"])
def test_whatever_happens_the_state_is_right(store_url: str, tmp_path: Path, idempotent: bool, report: Report) -> None:
    """After every step of a random life the store says what the model says, in state, lists and history."""
    TALLY.clear()
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        platform = Platform(idempotent=idempotent)
        inner = runner.run(stack.enter_async_context(stage(store_url, tmp_path, platform)))

        @settings(
            max_examples=LIVES // 2,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.data())
        def play(data: Any) -> None:
            runner.run(live(inner, platform, data))

        try:
            play()
        finally:
            runner.run(stack.aclose())
    report(lives=LIVES // 2, **{name.replace(" ", "_"): count for name, count in sorted(TALLY.items())})
