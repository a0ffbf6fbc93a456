"""The hub's inner parts without HTTP, on a real store: a clock that can be moved, a platform that obeys the test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import aiohttp

import hub
from config.loading import load
from config.templates import Filled
from connectors.base import Capabilities, Connector, Message, Options, Outbound, Sent, Window
from inbox import log as logbook
from inbox.attachments import Attachments
from inbox.channels import Channel, Channels
from inbox.conversations import Conversation
from inbox.conversations import load as load_conversation
from inbox.leases import Held, Leases
from inbox.lists import Filter, page
from inbox.partitions import COUNT, partition_of
from inbox.placing import Placer
from inbox.promises import Promises
from inbox.recording import Recorder
from inbox.store import Store, Topology
from inbox.ticks import Ticks
from inbox.wakes import Wakes
from inbox.work import Desk
from outbox.answers import Answers
from outbox.aside import Aside
from outbox.deliveries import Author, Deliveries, Delivery, Reply
from outbox.planner import Planner, Wanted
from outbox.retries import Policy
from outbox.worker import Worker
from router.assignment import Assigner
from router.crews import Crew, roster
from router.lookups import Orders
from router.overdue import Overdue
from router.presence import HOME, Presences
from router.reader import Router
from router.ruleset import prepare
from router.scripts import SCRIPTS
from router.trial import prove
from router.wording import fill
from tests.hubs import ROUTES, TEAMS, TEMPLATES, configuration, write
from tests.stores import PATIENCE

LIMIT = 30.0
LILEI = Author("agent", "lilei", "李雷")
ANYTHING = Capabilities(media=frozenset({"image", "file"}))


@dataclass
class Clock:
    """The wall clock, moved by *offset* milliseconds."""

    offset: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset


class Still(Clock):
    """A clock that stands still but for *offset*."""

    def __init__(self) -> None:
        self.began = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self.began + self.offset


class Platform:
    """A customer-side platform: it accepts what the hub sends, or answers with the next outcome of *script*.

    It refuses what no platform would take, and fails a connector call that was not announced.
    """

    kind: ClassVar[str] = "scripted"
    Options: ClassVar[type[Options]] = Options

    def __init__(self, capabilities: Capabilities = ANYTHING) -> None:
        self.capabilities = capabilities
        self.script: deque[Exception | Sent | Callable[[Outbound], Awaitable[Sent]]] = deque()
        self.sent: list[Outbound] = []
        self.at: list[float] = []
        self.tried = 0
        self._numbers = itertools.count(1)

    @property
    def texts(self) -> list[str]:
        """What arrived at the customer, in order."""
        return [message.text for message in self.sent]

    async def send(self, message: Outbound) -> Sent:
        self.tried += 1
        outcome = self.script.popleft() if self.script else None
        if isinstance(outcome, Exception) and not getattr(outcome, "left", True):
            raise outcome
        await message.leaving()
        if isinstance(outcome, Exception):
            raise outcome
        if callable(outcome):
            return await outcome(message)
        assert message.text or message.media or message.template, "the hub sent an empty message"
        self.sent.append(message)
        self.at.append(asyncio.get_running_loop().time())
        return outcome or Sent(f"x{next(self._numbers)}")


@dataclass
class Room:
    """Everything between the ingress and the connectors, put together as the hub does it."""

    store: Store
    folder: Path
    name: str
    clock: Clock
    routes: str = ROUTES
    more: str = TEAMS
    texts: str = TEMPLATES
    platforms: dict[str, Platform] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self.wakes = Wakes(self.store)
        self.attachments = Attachments(self.folder / "attachments")
        self.recorder = Recorder(self.store, self.wakes, self.attachments)
        self.placer = Placer(self.store)
        self.desk = Desk(self.store, self.wakes, self.clock)
        self.deliveries = Deliveries(self.store, self.wakes)
        self.channels = Channels(
            {
                name: Channel(name, "scripted", cast("Connector", platform))
                for name, platform in (self.platforms or {"shop": Platform()}).items()
            }
        )
        text = configuration("", more=self.more)
        if "\nchannels:" in self.more:
            text = text.replace("channels:\n  {}\n", "", 1)
        path = write(self.folder, text, routes=self.routes, templates=self.texts)
        loaded = load(path, hub.kinds, prove=prove)
        self.loaded = loaded
        self.rules = prepare(loaded, self.clock)
        self.settings = loaded.settings
        self.roster = roster(loaded.settings)
        self.assigner = Assigner(self.store, self.desk, lambda: self.roster, self.clock)
        self.presences = Presences(self.store, self.wakes, self.assigner, lambda: self.roster, self.clock)
        self.overdue = Overdue(
            self.store, self.wakes, self.desk, self.assigner, self.presences, lambda: self.roster, self.clock
        )
        self.router = Router(
            self.store,
            self.wakes,
            self.placer,
            self.recorder,
            self.deliveries,
            self.assigner,
            self.channels,
            lambda: self.rules,
            self.clock,
            Orders(lambda: None, aiohttp.ClientSession),
        )
        self.planner = Planner(
            self.store, self.deliveries, self.channels, lambda: self.settings, self._fill, self.clock
        )
        self.aside = Aside(self.store, self.deliveries, self.planner, self.clock, lambda: "en")
        self.answers = Answers(
            self.store, self.deliveries, self.planner, self.aside, lambda: self.settings, self._fill, self.clock
        )
        self.worker = Worker(
            self.store,
            self.wakes,
            self.deliveries,
            self.placer,
            self.channels,
            self.attachments,
            self.clock,
            lambda media: f"https://hub.example.com/files/{media.ref}",
            lambda _: self.policy,
            self.aside,
            lambda: self.leases.living,
        )
        self.promises = Promises.of(loaded.settings)
        self.ticks = Ticks(self.store, self.wakes, lambda: self.promises, self.clock)
        self.leases = Leases(self.store, self.name, self.clock(), self.ticks.watch, lambda _: None)
        self._read = dict.fromkeys(range(COUNT), "0-0")

    async def _fill(self, wanted: Wanted) -> Filled | None:
        return fill(
            self.loaded,
            wanted.template,
            wanted.conversation,
            self.clock(),
            channel=wanted.channel,
            kind=wanted.kind,
            more={"reply.text": wanted.text},
            own=wanted.variables,
        )

    def platform(self, channel: str = "shop") -> Platform:
        """Return the platform behind a channel."""
        return cast("Platform", self.channels.by_name[channel].connector)

    @property
    def crews(self) -> Mapping[str, Crew]:
        """The teams as assignment sees them; a test may replace them."""
        return self.roster.crews

    @crews.setter
    def crews(self, crews: Mapping[str, Crew]) -> None:
        self.roster = replace(self.roster, crews=crews)

    async def pass_time(self, seconds: float) -> None:
        """Move the clock, do what is due in assignment, and let the router read what came of it."""
        self.clock.offset += int(seconds * 1000)
        await self.overdue.turn(self.leases.held[HOME])
        await self.route()

    def held(self, address: str) -> Held:
        """Return this worker's lease on the partition of *address*."""
        return self.leases.held[partition_of(address)]

    async def write(self, text: str, address: str = "tel:+8613800138000", *, id: str = "", **fields: Any) -> str:
        """Let a customer write; route everything; return the id of the customer's latest conversation."""
        event = message(text, address, id=id, now=self.clock(), **fields)
        await self.recorder.record(fields.pop("channel", "shop"), [event])
        await self.route()
        return (await self.latest(address)).id

    async def route(self) -> None:
        """Let the router read every log to its end."""
        while True:
            logs = await asyncio.gather(
                *(logbook.read(self.store, partition, after, 1000) for partition, after in self._read.items())
            )
            if not any(logs):
                return
            for partition, entries in zip(list(self._read), logs, strict=True):
                if entries:
                    await self.router.handle(self.leases.held[partition], entries)
                    await self.worker.handle(self.leases.held[partition], entries)
                    self._read[partition] = entries[-1].id

    def forget(self) -> None:
        """Let the reader start anew, as after a crash before its position was stored."""
        self._read = dict.fromkeys(range(COUNT), "0-0")

    def forget_one(self, partition: int) -> None:
        """Let the reader of one partition start anew."""
        self._read[partition] = "0-0"

    async def latest(self, address: str) -> Conversation:
        """Return the conversation of *address* with the newest activity."""
        found = [one for one in await self.conversations() if one.address == address]
        assert found, f"{address} has no conversation"
        return found[0]

    async def conversations(self, **wanted: Any) -> list[Conversation]:
        """Return all conversations, newest activity first."""
        return (await page(self.store, Filter(**wanted), "", 200)).items

    async def load(self, conversation_id: str) -> Conversation:
        """Return a conversation."""
        return await load_conversation(self.store, conversation_id)

    async def reply(self, conversation_id: str, text: str, **fields: Any) -> Delivery:
        """Let an agent answer."""
        reply = Reply(fields.pop("author", LILEI), text, **fields)
        return (await self.deliveries.enqueue(await self.load(conversation_id), reply, self.clock()))[0]

    @contextlib.asynccontextmanager
    async def sending(self, *, queries: bool = False) -> AsyncIterator[None]:
        """Let the outbox work while the context lasts; with *queries* it also asks platforms."""
        tasks = [asyncio.create_task(self.worker.follow(held)) for held in self.leases.held.values()]
        if queries:
            tasks += [asyncio.create_task(self.worker.queries.follow(held)) for held in self.leases.held.values()]
        try:
            yield
        finally:
            await self.worker.finish(LIMIT)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def move(self, seconds: float) -> None:
        """Move the clock and have the outbox look at it."""
        self.clock.offset += int(seconds * 1000)
        self.wakes.ring(f"{bell}{partition}" for partition in range(COUNT) for bell in "ou")

    async def state(self, delivery: Delivery, *states: str) -> Delivery:
        """Wait until a delivery is in one of *states*; return it."""
        deadline = asyncio.get_running_loop().time() + LIMIT
        with self.wakes.listen(f"p{delivery.place.partition}") as news:
            while True:
                news.clear()
                now = await self.deliveries.load(delivery.id)
                if now.state in states:
                    return now
                assert asyncio.get_running_loop().time() < deadline, (
                    f"still {now.state}, not one of {states}: {now.error}"
                )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await news.wait()


def message(
    text: str = "", address: str = "tel:+8613800138000", *, id: str = "", now: int = 0, **fields: Any
) -> Message:
    """Return what a customer wrote; its id counts up unless it is given."""
    at = fields.pop("at", now)
    fields.pop("channel", None)
    return Message(id or f"e{next(NUMBERS)}", address, at, text, **fields)


NUMBERS = itertools.count(1)
WINDOW = Window(48 * 3600, 5)


@contextlib.asynccontextmanager
async def opened(store_url: str) -> AsyncIterator[Store]:
    """Open a store with all the hub's scripts."""
    store = Store(Topology(store_url), SCRIPTS, patience=PATIENCE)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def room(
    store_url: str, folder: Path, *, name: str = "one", clock: Clock | None = None, **parts: Any
) -> AsyncIterator[Room]:
    """Open a room that owns every partition."""
    async with opened(store_url) as store:
        made = Room(store, folder / name, name, clock or Clock(), **parts)
        await made.leases.turn()
        yield made


async def eventually(holds: Callable[[], bool], seconds: float = LIMIT) -> None:
    """Wait until *holds* is true; fail when it is not within *seconds*."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not holds():
        assert clock() < deadline, f"waited {seconds} s in vain"
        await asyncio.sleep(0)  # give way; what is waited for happens in this loop
