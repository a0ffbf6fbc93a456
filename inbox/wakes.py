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


class Chime(asyncio.Event):
    """A bell of its own that also rings a common one, and says there what rang."""

    def __init__(self, name: str, heard: set[str], common: asyncio.Event) -> None:
        super().__init__()
        self._name = name
        self._heard = heard
        self._common = common

    def set(self) -> None:
        self._heard.add(self._name)
        self._common.set()


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

    @contextmanager
    def listen_to(self, names: Iterable[str], heard: set[str]) -> Iterator[asyncio.Event]:
        """Give one event that is set whenever any of *names* rings; what rang is put into *heard*."""
        event = asyncio.Event()
        chimes = {name: Chime(name, heard, event) for name in names}
        for name, chime in chimes.items():
            self._events.setdefault(name, set()).add(chime)
        try:
            yield event
        finally:
            for name, chime in chimes.items():
                self._events[name].discard(chime)
                if not self._events[name]:
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
                log.debug("a wake was not published; it goes with the next one")
                self._outgoing |= names
                return

    async def run(self) -> None:
        """Pass on what other processes ring, for ever. What rang while nobody could hear it may be anything."""
        while True:
            try:
                async with self._store.subscription(CHANNEL) as pubsub:
                    for name in tuple(self._events):
                        self._set(name)
                    while True:
                        message = await pubsub.get_message(timeout=5.0)
                        obey_cancellation()
                        if message:
                            sender, *names = message["data"].decode().split("\n")
                            for name in names if sender != self._sender else ():  # ours have rung already
                                self._set(name)
            except StoreError:
                await asyncio.sleep(RETRY)
