"""Channels whose sends keep failing rest for a while; then one message is tried. All processes know it together."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily

from inbox.channels import Channel, Channels
from inbox.conversations import pairs
from inbox.partitions import shared_key
from inbox.store import Script, Store, StoreError
from outbox.retries import Policy

log = logging.getLogger(__name__)

BREAKER = Script.load(Path(__file__).parent / "scripts" / "breaker.lua")
GROUP = "hub"
LOOK = 1.0
GRACE = 5_000  # milliseconds on top of a send's own limit
REASON = "sends keep failing"


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of a channel: failures in a row, and until when it rests (0 = it works)."""

    failures: int = 0
    until: int = 0
    reason: str = ""


WORKS = Circuit()


class Breakers:
    """The breakers of all channels. What other processes find is learnt within a second."""

    def __init__(
        self,
        store: Store,
        channels: Channels,
        policy: Callable[[Channel], Policy],
        counts: Counter[tuple[str, str]],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._channels = channels
        self._policy = policy
        self._counts = counts
        self._now = now
        self._known: dict[str, Circuit] = {}

    def circuit(self, channel: str) -> Circuit:
        """Return what this process knows of a channel."""
        return self._known.get(channel, WORKS)

    async def run(self) -> None:
        """Learn every second what the others have found, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
            except StoreError:
                log.debug("what is known of the channels is read when the store is back")

    async def look(self) -> None:
        """Learn what the others have found, and show it. Raises `StoreError`."""
        found = pairs(await self._store.do(GROUP, "HGETALL", self._key()))
        circuits = {}
        for name, said in found.items():
            failures, until, _, reason = said.split(" ", 3)
            circuits[name] = Circuit(int(failures), int(until), reason)
        self._known = circuits
        for channel in self._channels:
            self._show(channel)

    async def metrics(self) -> list[GaugeMetricFamily]:
        """Return which channels rest, as all processes know it. Raises `StoreError`."""
        await self.look()
        family = GaugeMetricFamily("huiliu_breaker_open", "1 while a channel rests", labels=["channel"])
        for channel in self._channels:
            family.add_metric([channel.name], float(self.circuit(channel.name).until > 0))
        return [family]

    async def may_try(self, channel: Channel) -> int:
        """Let this caller alone try whether a resting channel works again; return 0, or when to ask again.

        Whoever may must say how it went: `failed`, `passed` or `learnt_nothing`. Raises `StoreError`.
        """
        limit = int(self._policy(channel).timeout * 1000) + GRACE
        may, again = await self._run("try", channel, limit)
        return 0 if may else again

    async def failed(self, channel: Channel, reason: str, *, tried: bool) -> None:
        """Count a failure. Raises `StoreError`."""
        policy = self._policy(channel)
        chance = f"{random.random():.3f}"  # noqa: S311  # jitter
        figures = (policy.failures, policy.pause, policy.longest_pause, chance, reason)
        rested = self.circuit(channel.name).until
        failures, until = await self._run("failed", channel, int(tried), *figures)
        self._known[channel.name] = Circuit(failures, until, reason)
        if until and until != rested:
            self._counts[channel.name, "breaker_opened"] += not rested
            log.warning("channel %s rests: %s", channel.name, reason)
        self._show(channel)

    async def passed(self, channel: Channel) -> None:
        """Note that the platform takes messages, if that is news. Raises `StoreError`."""
        if self.circuit(channel.name) is not WORKS:
            await self._run("passed", channel)
            self._known.pop(channel.name, None)
            log.info("channel %s sends again", channel.name)

    async def learnt_nothing(self, channel: Channel) -> None:
        """Let another one try. Raises `StoreError`."""
        failures, until = await self._run("unknown", channel)
        if until:
            self._known[channel.name] = Circuit(failures, until, self.circuit(channel.name).reason)

    def _show(self, channel: Channel) -> None:
        circuit = self.circuit(channel.name)
        if circuit.until:
            channel.mark("degraded", f"{REASON}: {circuit.reason}", self._now())
        elif channel.state == "degraded" and channel.reason.startswith(REASON):
            channel.mark("up", "", self._now())

    async def _run(self, verb: str, channel: Channel, *figures: str | int) -> list[int]:
        keys = [self._key()]
        reply: list[int] = await self._store.run(BREAKER, GROUP, keys, (verb, channel.name, self._now(), *figures))
        return reply

    @staticmethod
    def _key() -> str:
        return shared_key(GROUP, "breakers")
