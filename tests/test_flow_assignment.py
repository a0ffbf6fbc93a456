"""Assignment under several processes: no capacity exceeded, nobody overtaken, work shared evenly, nothing lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

import hub as root
from inbox.attachments import Attachments
from inbox.conversations import load
from inbox.recording import Recorder
from inbox.store import Store, Topology
from inbox.wakes import Wakes
from inbox.work import Actor, Desk
from router.scripts import SCRIPTS
from tests.backroom import message
from tests.chaos import LONG
from tests.hubs import TOKEN, configuration, write
from tests.processes import HubProcess, wait_for
from tests.scenes import Report
from tests.stores import Server, free_port
from tests.watching import Monitor, Witness

pytest_plugins = ["tests.chaos_fixtures"]
pytestmark = pytest.mark.chaos

COUNT = 10_000 if LONG else 800
BATCH = 50
MOST_OPEN = 400  # enough that queues stand at all times
SIZES = {"even": (10, 8), "turns": (5, 1000), "tight": (4, 2)}  # team -> members, capacity of each
MEMBERS = {team: tuple(f"{team}-{number}" for number in range(size)) for team, (size, _) in SIZES.items()}
STRATEGIES = {"even": "least-busy", "turns": "round-robin", "tight": "least-busy"}
TEXTS = ("even", "even", "even", "turns", "turns", "turns", "tight", "tight", "tight urgent")
ROUTES = """
default: {team: even}
routes:
  - name: turns
    when: {text: turns}
    set: {team: turns}
  - name: tight
    when: {text: tight}
    set: {team: tight}
    routes:
      - name: urgent
        when: {text: urgent}
        set: {priority: urgent}
"""
LILEI = Actor("agent", "lilei", "李雷")


def settings() -> str:
    """Return teams and agents of huiliu.yaml."""
    lines = ["teams:"]
    for team, members in MEMBERS.items():
        assign = f"{{strategy: {STRATEGIES[team]}, capacity: {SIZES[team][1]}, offline: release}}"
        lines.append(f"  {team}: {{name: {team}, members: [{', '.join(members)}], assign: {assign}}}")
    agents = [f"  {one}: {{name: {one}}}" for members in MEMBERS.values() for one in members]
    return "\n".join([*lines, "agents:", "  lilei: {name: 李雷}", *agents, ""])


@dataclass
class Work:
    """Customers who write, and agents who resolve what they have, beside the hub and on its store."""

    store: Store
    folder: Path
    chance: random.Random
    hub: HubProcess
    http: aiohttp.ClientSession
    resolved: set[str] = field(default_factory=set)
    written: int = 0
    halfway: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        wakes = Wakes(self.store)
        self._recorder = Recorder(self.store, wakes, Attachments(self.folder / "files"))
        self._desk = Desk(self.store, wakes, root.now_ms)

    async def write(self) -> None:
        """Let all customers write, as fast as there is something to do."""
        while self.written < COUNT:
            if self.written - len(self.resolved) > MOST_OPEN:
                await asyncio.sleep(0.01)  # the agents are behind; whoever waits is what the test is about
                continue
            events = [
                message(self.chance.choice(TEXTS), f"webchat:visitor-{number}", id=f"e{number}", now=root.now_ms())
                for number in range(self.written, min(COUNT, self.written + BATCH))
            ]
            await self._recorder.record("site-chat", events)
            self.written += len(events)

    async def resolve(self) -> None:
        """Let agents resolve some of what they have, until everything is."""
        while len(self.resolved) < COUNT:
            for agent in self.chance.sample([one for each in MEMBERS.values() for one in each], 6):
                held = await self.store.do("agents", "ZRANGE", f"hl:{{agents}}:has:{agent}", 0, -1)
                some = self.chance.sample(held, min(len(held), self.chance.randint(1, 12)))
                await asyncio.gather(*(self._finish(conversation, agent) for conversation in some))

    async def _finish(self, name: str, agent: str) -> None:
        conversation = await load(self.store, name)
        if conversation.agent == agent and conversation.status == "open":
            await self._desk.resolve(name, LILEI)
            self.resolved.add(name)
            if len(self.resolved) > COUNT // 2:
                self.halfway.set()

    async def come_and_go(self) -> None:
        """Let the agents of the tight team go offline and come back, by the API, at random."""
        while len(self.resolved) < COUNT:
            await self.say(self.chance.choice(MEMBERS["tight"]), "offline")
            await asyncio.sleep(self.chance.uniform(0.05, 0.3))
            for agent in self.chance.sample(MEMBERS["tight"], 3):
                await self.say(agent, "online")
            await asyncio.sleep(self.chance.uniform(0.05, 0.3))

    async def say(self, agent: str, state: str) -> None:
        """Set an agent's presence."""
        url = f"{self.hub.base}/api/v1/agents/{agent}/presence"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        try:
            async with self.http.put(url, json={"state": state}, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
        except aiohttp.ClientError:
            assert self.hub.alive  # the worker behind the connection was killed; the next one answers

    async def kill(self) -> None:
        """End one of the workers with SIGKILL when half of the customers have been served."""
        await self.halfway.wait()
        os.kill(self.chance.choice(self.hub.workers_of()), signal.SIGKILL)


@asynccontextmanager
async def working(folder: Path, chance: random.Random, valkey: Server) -> AsyncIterator[Work]:
    """Start a hub of three processes on the store, and give what works beside it."""
    port = free_port()
    text = f"store: {{url: '{valkey.url}', path: {folder}/var}}\n"
    config = write(
        folder / "hub",
        text + configuration("  site-chat: {kind: webchat}", port=port, more=settings()),
        routes=ROUTES,
    )
    hub = HubProcess(config, port, 3)
    hub.start()
    store = Store(Topology(valkey.url), SCRIPTS)
    try:
        wait_for(lambda: not hub.alive or "huiliu: http" in hub.log.read_text(), "the hub to listen", 60)
        async with aiohttp.ClientSession() as http:
            yield Work(store, folder, chance, hub, http)
        assert [] == hub.faults("ended with code -9")
    finally:
        await store.close()
        hub.stop()


@pytest.mark.timeout(1200 if LONG else 180)
async def test_three_processes_agree_on_who_gets_what(
    tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """Customers of three teams, agents who come and go, a worker killed: a witness of every step finds no fault.

    No agent ever has more than their capacity, nobody is overtaken within their priority, the hub always chooses who
    has least to do (or whose turn it is), nobody who is away gets anything, and every conversation is served.
    """
    capacity = {agent: SIZES[team][1] for team, members in MEMBERS.items() for agent in members}
    monitor = Monitor(valkey.url, tmp_path / "monitor.log")
    try:
        async with working(tmp_path, chance, valkey) as work, asyncio.timeout(1000 if LONG else 150):
            await asyncio.gather(work.write(), work.resolve(), work.come_and_go(), work.kill())
    finally:
        monitor.close()
    witness = Witness(capacity, {team: (STRATEGIES[team], members) for team, members in MEMBERS.items()})
    for command in monitor.commands():
        witness.see(*command)
    counts = {team: [witness.given[one] for one in members] for team, members in MEMBERS.items()}
    report(conversations=len(work.resolved), behind=witness.waited, again=witness.moved, **counts)

    assert [] == witness.faults[:10]
    assert COUNT == len(work.resolved)
    assert sum(witness.given.values()) == COUNT + witness.moved
    assert witness.waited > COUNT // 20
    assert {} == {team: waiting for team, waiting in witness.waiting.items() if waiting}
