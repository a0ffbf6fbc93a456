"""Who owns which partition: one worker at a time, taken over within seconds when it dies.

A worker says every second that it lives. Partitions are shared out among the living by rendezvous
hashing. Taking one raises its epoch, and every effect of a reader names the epoch it was taken
with, so a worker that was thought dead and wakes up again can change nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inbox.partitions import COUNT, key, shared_key, tag
from inbox.store import Script, Store, StoreError

log = logging.getLogger(__name__)

BEAT = 0.7
SETTLING = (0.05, 0.1, 0.2)
DEAD_AFTER = 3.0
SCRIPTS = Path(__file__).parent / "scripts"
TAKE = Script.load(SCRIPTS / "take.lua")
BEAT_SCRIPT = Script.load(SCRIPTS / "beat.lua")


@dataclass(frozen=True, slots=True)
class Held:
    """A partition that *worker* owns; *epoch* is its fencing token."""

    partition: int
    epoch: str
    worker: str = ""


class Fenced(Exception):
    """The partition belongs to another worker now; whatever was planned for it must not happen."""


def wanted(worker: str, living: list[str]) -> set[int]:
    """Return the partitions that fall to *worker* when all of *living* share them out."""

    def weight(name: str, partition: int) -> bytes:
        return hashlib.blake2b(f"{name}/{partition}".encode(), digest_size=8).digest()

    return {
        partition
        for partition in range(COUNT)
        if max(living, key=lambda name: weight(name.partition("#")[0], partition)) == worker
    }


class Leases:
    """The partitions of one worker, called ``place#start``: a restarted worker takes its own place over at once."""

    def __init__(
        self, store: Store, place: str, started: int, on_take: Callable[[Held], None], on_lose: Callable[[int], None]
    ) -> None:
        self._store = store
        self.worker = f"{place}#{started}"
        self._on_take = on_take
        self._on_lose = on_lose
        self.held: dict[int, Held] = {}
        self.living: list[str] = [self.worker]
        self._beaten = 0.0

    async def run(self) -> None:
        """Beat, take and give up, for ever; when the store is away nothing is given up, it is only not renewed."""
        with contextlib.suppress(StoreError):
            await self._beat(self.worker)
        # Workers start together: nobody takes what falls to one that is about to say that it lives, or keeps it long.
        for pause in itertools.chain(SETTLING, itertools.repeat(BEAT)):
            await asyncio.sleep(pause)
            try:
                await self.turn()
            except StoreError:
                log.warning("the store is away; partitions keep their owner")

    async def turn(self) -> None:
        """Do one round. Raises `StoreError`."""
        clock = asyncio.get_running_loop().time
        living = await self._beat(self.worker)
        last, self._beaten = self._beaten, clock()
        if last and self._beaten - last > DEAD_AFTER:
            # The store was away, or we were: the others could not beat either, and are not dead for that.
            await self._look(sorted(self.held))
            return
        self.living = [name for name in living if not self._outdated(name, living)]
        mine = wanted(self.worker, self.living)
        for partition in sorted(set(self.held) - mine):
            await self._give_up(partition)
        # What is held is looked at too: somebody may have taken us for dead and given it back to nobody since.
        owners = await self._look(sorted(mine))
        await asyncio.gather(*(self._take(p, owner) for p, owner in owners.items() if p not in self.held))

    async def _look(self, partitions: Sequence[int]) -> dict[int, str]:
        """Return the owners of *partitions* ("" = nobody), and drop those of ours that we have lost."""
        leases = await self._store.each([(tag(p), ("HMGET", key(p, "lease"), "owner", "epoch")) for p in partitions])
        for partition, (owner, epoch) in zip(partitions, leases, strict=True):
            held = self.held.get(partition)
            if held is not None and (owner, epoch) != (self.worker, held.epoch):
                self._lose(partition)
        return {partition: owner or "" for partition, (owner, _) in zip(partitions, leases, strict=True)}

    async def check(self, partition: int) -> None:
        """Drop a partition that somebody else has taken."""
        self._lose(partition)

    async def close(self) -> None:
        """Give everything up, so that others need not wait. Raises `StoreError`."""
        await asyncio.gather(*(self._give_up(partition) for partition in list(self.held)))
        await self._store.do("hub", "ZREM", shared_key("hub", "workers"), self.worker)

    async def _beat(self, worker: str) -> list[str]:
        arguments = (worker, int(DEAD_AFTER * 1000))
        living: list[str] = await self._store.run(BEAT_SCRIPT, "hub", [shared_key("hub", "workers")], arguments)
        return living

    def _outdated(self, name: str, living: list[str]) -> bool:
        """Tell whether a worker has been replaced by a later one at the same place."""
        place, _, started = name.partition("#")
        return any(other.partition("#")[0] == place and int(other.partition("#")[2]) > int(started) for other in living)

    async def _take(self, partition: int, owner: str) -> None:
        replaced = owner.partition("#")[0] == self.worker.partition("#")[0] and owner != self.worker
        if owner and owner in self.living and not replaced and owner != self.worker:
            return
        epoch = await self._store.run(TAKE, tag(partition), [key(partition, "lease")], (owner, self.worker))
        if epoch:
            held = self.held[partition] = Held(partition, str(epoch), self.worker)
            self._on_take(held)

    async def _give_up(self, partition: int) -> None:
        # In this order: if the store is away in between, the partition is given up once more in the next round.
        await self._store.run(TAKE, tag(partition), [key(partition, "lease")], (self.worker, ""))
        self._lose(partition)

    def _lose(self, partition: int) -> None:
        if self.held.pop(partition, None) is not None:
            self._on_lose(partition)
