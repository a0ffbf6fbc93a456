"""Whose turn it is to send on a channel: so many at once, not more than its rate, earlier lanes first."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inbox.channels import Channel
from inbox.leases import Held
from inbox.partitions import key, partition_of, shared_key, tag
from inbox.store import Script, Store, StoreError
from outbox.letters import LANES, Lane
from outbox.retries import Policy

RATE = Script.load(Path(__file__).parent / "scripts" / "rate.lua")
RECIPIENT = Script.load(Path(__file__).parent / "scripts" / "recipient.lua")

SLACK = 1.05
"""Turns are a little farther apart than the rate asks for: what leaves evenly does not arrive evenly."""

LEAD = 0.25
"""Seconds before its turn in which a message is made ready to leave."""

LATE = 0.02
"""Seconds, or the share `LATE_SHARE` of the time between turns, after which a turn that was not used is lost."""

LATE_SHARE = 0.25
STORE_PAUSE = 0.2


@dataclass(slots=True)
class Turn:
    """The right to send one message: not before *at*, by the loop's clock, and not after *until*."""

    at: float = 0.0
    until: float = float("inf")


LetIn = Callable[["Gate", Held, str, Turn], None]
"""Starts one delivery: the gate that it passes, the lease and name of the delivery, its turn."""


class Gate:
    """One channel's way out of this process. *let_in* starts one delivery in its turn; whoever is done says `leave`."""

    def __init__(self, store: Store, channel: Channel, limit: int, let_in: LetIn) -> None:
        self._store = store
        self._let_in = let_in
        self.channel = channel
        self.limit = limit
        self._busy = 0
        self._lines: tuple[deque[tuple[Held, str]], ...] = tuple(deque() for _ in LANES)
        self._pump: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many wait here."""
        return sum(map(len, self._lines))

    def join(self, lane: Lane, held: Held, name: str) -> None:
        """Stand a delivery in line."""
        self._lines[LANES.index(lane)].append((held, name))
        self._move()

    def leave(self) -> None:
        """Give a place back."""
        self._busy -= 1
        self._move()

    async def another(self, lane: Lane) -> Turn:
        """Take one more turn of the rate for who has a place already."""
        while True:
            turns, wait = await self._ask(LANES.index(lane), 1)
            if turns:
                return turns[0]
            await asyncio.sleep(wait)

    def close(self) -> None:
        """Let nobody in any more."""
        for line in self._lines:
            line.clear()
        if self._pump is not None:
            self._pump.cancel()

    def _move(self) -> None:
        """Have those who wait let in as far as there is room."""
        self._news.set()
        if self.waiting and self._busy < self.limit and (self._pump is None or self._pump.done()):
            self._pump = asyncio.get_running_loop().create_task(self._run(), name=f"turns-{self.channel.name}")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while (lane := self._first()) is not None and self._busy < self.limit:
            count = min(len(self._lines[lane]), self.limit - self._busy)
            turns, wait = await self._ask(lane, count)
            for turn in turns:
                if (pause := turn.at - LEAD - loop.time()) > 0:
                    await asyncio.sleep(pause)
                first = self._first()  # an earlier lane may have come meanwhile
                if first is not None:
                    self._busy += 1
                    self._let_in(self, *self._lines[first].popleft(), turn)
            if not turns:
                await self._pause(lane, wait)

    async def _pause(self, lane: int, seconds: float) -> None:
        """Wait, or until somebody of an earlier lane comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (self._first() or 0) >= lane:
                    self._news.clear()
                    await self._news.wait()

    def _first(self) -> int | None:
        """Return the first lane in which somebody waits."""
        return next((lane for lane, line in enumerate(self._lines) if line), None)

    async def _ask(self, lane: int, count: int) -> tuple[list[Turn], float]:
        """Take up to *count* turns; without one, return in how many seconds to ask again."""
        rate = self.channel.rate or self.channel.capabilities.rate
        if not rate:
            return [Turn()] * count, 0.0
        gap = SLACK / rate
        group = f"ch:{self.channel.name}"
        figures = (int(gap * 1e6), int(LEAD * 1e6), lane, count)
        try:
            taken, wait = await self._store.run(RATE, group, [shared_key(group, "turns")], figures)
        except StoreError:
            return [], STORE_PAUSE
        first = asyncio.get_running_loop().time() + wait / 1e6
        late = max(LATE, gap * LATE_SHARE)
        turns = [Turn(first + index * gap, first + index * gap + late) for index in range(taken)]
        return turns, wait / 1e6


class Turns:
    """The gates of all channels, and the limits of single recipients."""

    def __init__(self, store: Store, policy: Callable[[Channel], Policy], let_in: LetIn) -> None:
        self._store = store
        self._policy = policy
        self._let_in = let_in
        self._gates: dict[str, Gate] = {}

    def close(self) -> None:
        """Let nobody in any more."""
        for gate in self._gates.values():
            gate.close()

    def gate(self, channel: Channel) -> Gate:
        """Return the way out for *channel* as it is configured now."""
        gate = self._gates.get(channel.name)
        limit = self._policy(channel).at_once
        if gate is None:
            gate = self._gates[channel.name] = Gate(self._store, channel, limit, self._let_in)
        gate.channel, gate.limit = channel, limit
        return gate

    async def recipient_free(self, channel: Channel, address: str, now: int) -> int:
        """Count one more message to a recipient; return 0, or when one may go to them. Raises `StoreError`."""
        limit = self._policy(channel).recipient
        if limit is None:
            return 0
        partition = partition_of(address)
        name = key(partition, f"rl:{channel.name}:{address}")
        return int(await self._store.run(RECIPIENT, tag(partition), [name], (limit.messages, limit.within, now)))
