"""Who waits for what: a process tells itself and the others that something new is there.

Waking is only a matter of speed. It is not durable, so whoever waits also looks by the clock.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from inbox.store import Store, StoreError, obey_cancellation

log = logging.getLogger(__name__)

CHANNEL = "hl:wake"
RETRY = 1.0


class Wakes:
    """Named bells. *ring* sets the events of all who listen, here and in the other processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events: dict[str, set[asyncio.Event]] = {}
        self._outgoing: set[str] = set()
        self._sender = secrets.token_hex(8)
        self._publishing: asyncio.Task[None] | None = None
        self.alone = False

    @contextmanager
    def listen(self, name: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever *name* rings; the listener clears it."""
        event = asyncio.Event()
        self._events.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            listeners = self._events[name]
            listeners.discard(event)
            if not listeners:
                del self._events[name]

    def ring(self, names: Iterable[str]) -> None:
        """Wake all who listen to any of *names*."""
        for name in names:
            self._set(name)
            if not self.alone:
                self._outgoing.add(name)
        if self._outgoing and (self._publishing is None or self._publishing.done()):
            self._publishing = asyncio.get_running_loop().create_task(self._publish(), name="wake-publish")

    def _set(self, name: str) -> None:
        for event in self._events.get(name, ()):
            event.set()

    async def _publish(self) -> None:
        while self._outgoing:
            names, self._outgoing = self._outgoing, set()
            try:
                await self._store.do("hub", "PUBLISH", CHANNEL, "\n".join((self._sender, *names)))
            except StoreError:
                log.debug("a wake was not published; the others look by the clock")

    async def run(self) -> None:
        """Pass on what other processes ring, for ever."""
        while True:
            try:
                async with self._store.subscription(CHANNEL) as pubsub:
                    while True:
                        message = await pubsub.get_message(timeout=5.0)
                        obey_cancellation()
                        if message:
                            sender, *names = message["data"].decode().split("\n")
                            for name in names if sender != self._sender else ():  # ours have rung already
                                self._set(name)
            except StoreError:
                await asyncio.sleep(RETRY)
