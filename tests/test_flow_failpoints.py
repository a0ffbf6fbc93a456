"""A hub that dies at every step of a message's way, in turn: the message ends routed and answered once all the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from connectors.simulators.wechat import WeChatPlatform
from inbox.partitions import partition_of, shared_key
from tests import chaos
from tests.chaos import LONG, Desk, eventually
from tests.crashing import Crashing
from tests.hubs import configuration, served, write
from tests.processes import HubProcess
from tests.scenes import Report
from tests.stores import Server, connect, free_port

pytest_plugins = ["tests.chaos_fixtures"]
pytestmark = pytest.mark.chaos

STEPS = 24
"""How many steps the short version picks, evenly from a random one on; HUILIU_LONG=1 takes every step."""

TEAMS = """
teams:
  frontdesk: {name: 前台, members: [], assign: {strategy: manual}}
  complaints: {name: 投诉组, members: [lilei], assign: {strategy: round-robin, capacity: 1000}}
agents:
  lilei: {name: 李雷, email: lilei@example.com}
"""
ROUTES = """
default: {team: frontdesk}
routes:
  - name: complaint
    when: {text: {any_of: [投诉]}}
    set: {team: complaints, priority: urgent, acknowledge: complaint-received}
"""
ACKNOWLEDGED = "投诉已收到。"
TEMPLATES = f"complaint-received: {{zh: {ACKNOWLEDGED}, en: {ACKNOWLEDGED}}}\n"
COMPLAINT = "我要投诉"


class Customer(Protocol):
    """Somebody who writes one message, and keeps what arrives."""

    @property
    def name(self) -> str:
        """What finds the conversation in the list."""

    @property
    def address(self) -> str:
        """Scheme and value."""

    async def come(self) -> None:
        """Do what precedes the message."""

    async def write(self) -> bool:
        """Send the message, or send it again; tell whether the hub has it."""

    async def finish(self, texts: list[str]) -> None:
        """Do what follows when *texts* have been sent."""

    async def received(self) -> list[str]:
        """Return the texts that arrived, in order."""


@dataclass
class Follower:
    """A WeChat customer: what arrives twice is seen twice."""

    platform: WeChatPlatform
    name: str
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"wechat:{self.name}"

    async def come(self) -> None:
        """Nothing precedes."""

    async def write(self) -> bool:
        push = await (self.platform.push(self.fields) if self.fields else self.platform.write(self.name, COMPLAINT))
        self.fields = dict(push.fields)
        return push.taken

    async def finish(self, texts: list[str]) -> None:
        """Nothing follows: WeChat tells nobody that a message was read."""

    async def received(self) -> list[str]:
        return [one.text for one in self.platform.received[self.name]]


@dataclass
class Visitor:
    """A visitor of the web chat, whose page drops a second message with the same id."""

    http: aiohttp.ClientSession
    base: str
    token: str = ""
    name: str = ""
    seen: int = 0

    @property
    def address(self) -> str:
        return f"visitor:{self.name}"

    async def come(self) -> None:
        async def hello() -> Any:
            return await self._post("hello", {})

        answer = await eventually(hello, "the hub to say hello")
        self.token, self.name = answer["token"], answer["visitor"]

    async def write(self) -> bool:
        return bool(await self._post("frames", {"type": "message", "id": "message-1", "text": COMPLAINT}))

    async def finish(self, texts: list[str]) -> None:
        async def told() -> bool:
            arrived = await self.received()
            return len(arrived) == len(texts) and bool(await self._post("frames", {"type": "read", "upto": self.seen}))

        await eventually(told, "the page to say that it was read")

    async def received(self) -> list[str]:
        async with self.http.get(f"{self.base}/chat/site-chat/poll?after=0", headers=self._headers()) as response:
            frames = await response.json() if response.status == 200 else []
        self.seen = max((frame["n"] for frame in frames), default=0)
        return [frame["text"] for frame in frames if frame["type"] == "message" and not frame.get("own")]

    async def _post(self, door: str, body: dict[str, Any]) -> Any:
        async with self.http.post(
            f"{self.base}/chat/site-chat/{door}", data=json.dumps(body), headers=self._headers()
        ) as response:
            return await response.json() if response.status == 200 else None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass
class Walk:
    """The hubs, who writes to them, and what came of it."""

    hub: Crashing
    desk: Desk
    store: Server
    customer: Callable[[int], Customer]
    final: str
    states: Counter[str] = field(default_factory=Counter)
    served: int = 0

    async def step(self, at: int) -> bool:
        """Let the hub die at step *at* of one message and check how that ended; False when it did not die any more."""
        customer = self.customer(self.served)
        await customer.come()
        with connect(self.store.url) as client:
            client.delete(shared_key(f"ch:{chaos.CHANNEL}", "v:access_token"))  # fetching a token is part of the way
        before = self.hub.crashes
        await self.hub.arm(at, partition_of(customer.address))
        await eventually(customer.write, "the hub to take the message")

        async def assigned() -> Any:
            found = (await self.desk.ask("GET", f"/conversations?q={customer.name}"))["items"]
            return found if found and found[0]["agent"] == "lilei" else None

        [conversation] = await eventually(assigned, "the message to be routed and assigned")
        path = f"/conversations/{conversation['id']}"
        reply = {"text": f"answer {at}", "client_id": f"answer-{at}"}
        await eventually(lambda: self.desk.ask("POST", f"{path}/replies", reply), "the answer to be accepted")
        texts = [ACKNOWLEDGED, reply["text"]]

        async def ended() -> Any:
            found = (await self.desk.ask("GET", f"{path}/messages"))["items"]
            sent = [one for one in reversed(found) if one["direction"] == "outbound"]
            over = len(sent) >= len(texts) and all(one["delivery"]["state"] in self.over() for one in sent)
            return found if over else None

        await customer.finish(texts)
        timeline = await eventually(ended, f"both answers to end ({self.final})")
        await self.hub.arm(0, 0)
        self.served += 1
        arrived = await eventually(customer.received, "what has arrived")
        self._check(arrived, timeline, texts)
        return self.hub.crashes > before

    def over(self) -> frozenset[str]:
        """Return the states in which a delivery of this channel ends."""
        return frozenset({self.final, "uncertain", "dead", "failed"})

    def _check(self, received: list[str], timeline: list[dict[str, Any]], texts: list[str]) -> None:
        arrived = Counter(received)
        outbound = [one for one in reversed(timeline) if one["direction"] == "outbound"]
        states = {one["text"]: one["delivery"]["state"] for one in outbound}
        self.states.update(states.values())
        assert sorted(texts) == sorted(one["text"] for one in outbound), "each answer is there once"
        assert 1 == sum(one["direction"] == "inbound" for one in timeline), "the message is there once"
        assigned = [one for one in timeline if one.get("event", {}).get("name") == "assigned"]
        assert 1 == len(assigned), "the conversation was assigned once"
        for text in texts:
            allowed = {1} if states[text] == self.final else {0, 1}
            assert states[text] in (self.final, "uncertain"), (text, states[text])
            assert arrived[text] in allowed, f"{text} arrived {arrived[text]} times and is {states[text]}"

    async def balance(self) -> None:
        """Check that the agent's load counts every conversation once."""
        [agent] = (await self.desk.ask("GET", "/agents"))["items"]
        assert agent["conversations"] == self.served


@asynccontextmanager
async def walking(folder: Path, store: Server, kind: str) -> AsyncIterator[Walk]:
    """Run hubs on *store*, with a customer of *kind* for every step."""
    platform = chaos.wechat()
    async with served(platform.app) as api_base, aiohttp.ClientSession() as http:
        port = free_port()
        channels = f"{chaos.wechat_channel(api_base)}\n  site-chat: {{kind: webchat}}"
        config = write(
            folder / "hub", configuration(channels, port=port, more=TEAMS), routes=ROUTES, templates=TEMPLATES
        )
        hub = Crashing(config, store.url)
        place = HubProcess(config, port)
        platform.hub_url = f"{place.base}/hooks/{chaos.CHANNEL}"
        people: dict[str, Callable[[int], Customer]] = {
            "wechat": lambda number: Follower(platform, f"walker-{number:06d}"),
            "webchat": lambda _: Visitor(http, place.base),
        }
        keeping = asyncio.create_task(hub.keep())
        try:
            yield Walk(hub, Desk(http, [place]), store, people[kind], {"wechat": "sent", "webchat": "read"}[kind])
            assert not keeping.done(), keeping.exception()
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping


@pytest.mark.parametrize("kind", ["wechat", "webchat"])
@pytest.mark.timeout(3600 if LONG else 180)
async def test_a_crash_at_any_step_changes_nothing(
    kind: str, tmp_path: Path, valkey: Server, chance: random.Random, report: Report
) -> None:
    """Die at the n-th step, start again: one message, one conversation, one assignment, each answer sent once.

    WeChat honours no ids of ours: a crash between a request and its answer leaves the answer `uncertain`, never twice.
    """
    async with walking(tmp_path, valkey, kind) as walk:
        length = 1
        while await walk.step(length):  # find out how long the way is by doubling
            length *= 2
        stride = 1 if LONG else max(1, length // STEPS)
        start = 1 if LONG else chance.randrange(1, stride + 1)
        at = start
        while await walk.step(at):
            at += stride
        await walk.balance()
        places = walk.hub.places()
    report(kind=kind, steps=f"{start}..{at}/{stride}", crashes=len(places), places=len(set(places)), states=walk.states)

    if kind == "webchat":
        assert walk.states.keys() == {"read"}
    assert len(places) == walk.hub.crashes
