"""Who stands in line for a customer, and who waits beside it for a time or for the customer to write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from inbox.conversations import Conversation
from inbox.partitions import Id, key, tag
from inbox.store import Script, Store
from inbox.wakes import Wakes
from outbox.records import Delivery
from outbox.terms import waiting_line

JOIN = Script.load(Path(__file__).parent / "scripts" / "join.lua")
PARKED = "parked"
"""The sorted set of a partition's deliveries that wait for a time, or for their customer, beside their line."""


class Lines:
    """The lines of conversations. *load_many* returns deliveries."""

    def __init__(
        self, store: Store, wakes: Wakes, load_many: Callable[[Sequence[Id]], Awaitable[list[Delivery | None]]]
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._load_many = load_many

    async def waiting(self, conversation: Conversation) -> list[Delivery]:
        """Return the answers that stand in line, the next one first. Raises `StoreError`."""
        place = conversation.place
        names = await self._store.do(tag(place.partition), "LRANGE", key(place.partition, f"q:{place.key}"), 0, -1)
        found = await self._load_many([Id("d", place.partition, name) for name in names])
        return [one for one in found if one is not None]

    async def parked(self, partition: int, conversation: str) -> list[Delivery]:
        """Return the answers of the conversation with this key that wait beside the line. Raises `StoreError`."""
        line = key(partition, waiting_line(f"q:{conversation}"))
        names = await self._store.do(tag(partition), "LRANGE", line, 0, -1)
        found = await self._load_many([Id("d", partition, name) for name in names])
        return [one for one in found if one is not None]

    async def join(self, partition: int, name: str, now: int) -> None:
        """Let a parked delivery whose time has come stand in line, behind what waits there. Raises `StoreError`."""
        await self._store.run(JOIN, tag(partition), [key(partition, "due")], (name, now, ""))
        self._wakes.ring((f"o{partition}",))

    async def release(self, delivery: Delivery, now: int) -> None:
        """Let a parked delivery wait no longer. Raises `StoreError`."""
        place = delivery.place
        await self._store.run(JOIN, tag(place.partition), [key(place.partition, "due")], (place.key, now, "now"))
        self._wakes.ring((f"o{place.partition}",))
