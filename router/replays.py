"""Replays that somebody asked for through the API: one at a time, in what the processor has left over.

How far one is, and what it found, stands in the store for a day, so that any process can tell.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from inbox.partitions import new_key, shared_key
from inbox.store import Store, StoreError
from router import reporting
from router.replay import Pair, Progress, replay

log = logging.getLogger(__name__)

SLOT = "replays"
KEPT_FOR = 24 * 3600
SILENT = 60
"""Seconds without a word after which the process that ran a replay is taken for dead."""
SAY_EVERY = 1.0
SHARE = 0.25
"""Of one core, what a replay takes from the process that answers customers."""


class Busy(Exception):
    """Another replay is running."""


class State(msgspec.Struct):
    """A replay as the API shows it. *state*: running, done, failed, or lost with its process."""

    id: str
    state: str
    since: int
    at: int
    share: float = 0.0
    messages: int = 0
    live: str = ""
    candidate: str = ""
    error: str = ""
    report: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A replay that is to be run."""

    pair: Pair
    state: State


class Replays:
    """Runs replays in this process, and tells of those of all processes."""

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._orders: asyncio.Queue[Order] = asyncio.Queue()

    async def run(self) -> None:
        """Run what is ordered, one after the other, until cancelled."""
        while True:
            order = await self._orders.get()
            try:
                await self._run(order)
            except Exception as error:
                log.exception("a replay failed")
                order.state.state, order.state.error = "failed", type(error).__name__
                await self._last_word(order.state)
            finally:
                await self._release(order.state.id)

    async def order(self, pair: Pair, since: int) -> State:
        """Begin a replay of what was written from *since* on. Raises `Busy`, `StoreError`."""
        state = State(new_key(), "running", since, self._now(), live=pair.live.hash, candidate=pair.candidate.hash)
        if not await self._store.do(SLOT, "SET", key("turn"), state.id, "NX", "EX", SILENT):
            raise Busy("another replay is running; there is one at a time")
        await self._say(state)
        self._orders.put_nowait(Order(pair, state))
        return state

    async def find(self, name: str) -> State | None:
        """Return how far a replay is, None if there is none of this id. Raises `StoreError`."""
        said = await self._store.do(SLOT, "GET", key(f"state:{name}"))
        state = msgspec.json.decode(said, type=State) if said else None
        if state is not None and state.state == "running" and self._now() - state.at > SILENT * 1000:
            state.state = "lost"
        return state

    async def _run(self, order: Order) -> None:
        state = order.state
        worked = said = time.monotonic()

        def progress(now: Progress) -> None:
            state.share, state.messages = round(now.share, 4), now.messages

        async def pause() -> None:
            nonlocal worked, said
            began = time.monotonic()
            await asyncio.sleep((began - worked) * (1 / SHARE - 1))
            worked = time.monotonic()
            if worked - said >= SAY_EVERY:
                said = worked
                await self._say(state)

        tally = await replay(self._store, order.pair, state.since, self._now(), progress, pause)
        state.state, state.report = "done", reporting.plain(tally)
        await self._say(state)

    async def _say(self, state: State) -> None:
        state.at = self._now()
        commands = [("SET", key(f"state:{state.id}"), msgspec.json.encode(state), "EX", KEPT_FOR)]
        await self._store.many(SLOT, [*commands, ("EXPIRE", key("turn"), SILENT)])

    async def _last_word(self, state: State) -> None:
        try:
            await self._say(state)
        except StoreError:
            log.warning("nobody hears that a replay failed: the store is away")

    async def _release(self, name: str) -> None:
        try:
            if await self._store.do(SLOT, "GET", key("turn")) == name:
                await self._store.do(SLOT, "DEL", key("turn"))
        except StoreError:
            log.debug("the next replay waits until the turn of this one has expired")


def key(name: str) -> str:
    """Return a key of the replays."""
    return shared_key(SLOT, name)
