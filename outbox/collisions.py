"""Two agents at one conversation: who is writing now, and whether somebody has answered meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from inbox.conversations import Conversation, pairs
from inbox.partitions import key, position, tag
from inbox.store import Store
from inbox.timeline import items
from outbox.deliveries import Author

LOOK_BACK = 20  # answers; whoever has not seen so many has not seen the last one either
COMPOSING = 15_000
OUTBOUND = frozenset("o")


class Overtaken(Exception):
    """Another agent has answered since the conversation was last seen; what is asked for may be said already."""

    def __init__(self, author: Author, at: int, message: str, text: str) -> None:
        super().__init__(f"{author.name or author.id} answered meanwhile")
        self.author, self.at, self.message, self.text = author, at, message, text


@dataclass(frozen=True, slots=True)
class Composing:
    """An agent who is writing an answer now, until *until* (milliseconds since 1970 UTC)."""

    agent: str
    until: int


async def not_overtaken(store: Store, conversation: Conversation, agent: str, seen: str) -> None:
    """Return if no other agent has answered since the log position *seen*. Raises `Overtaken`, `StoreError`."""
    found, _ = await items(store, conversation.place, OUTBOUND, None, LOOK_BACK)
    for item in found:
        if position(item.entry.id) <= position(seen):
            return
        author = msgspec.json.decode(item.entry.fields["au"], type=Author)
        if author.kind == "agent" and author.id != agent:
            at = int(item.entry.fields["at"])
            raise Overtaken(author, at, item.message_id, item.entry.fields.get("tx", ""))


async def compose(store: Store, conversation: Conversation, agent: str, now: int, *, on: bool = True) -> None:
    """Note that *agent* is writing in *conversation*, for `COMPOSING`, or has stopped. Raises `StoreError`."""
    place = conversation.place
    name = key(place.partition, f"typing:{place.key}")
    if not on:
        await store.do(tag(place.partition), "HDEL", name, agent)
        return
    commands = [("HSET", name, agent, now + COMPOSING), ("PEXPIRE", name, COMPOSING)]
    await store.many(tag(place.partition), commands)


async def composing(store: Store, conversation: Conversation, now: int) -> list[Composing]:
    """Return who is writing in *conversation*, who began last first. Raises `StoreError`."""
    place = conversation.place
    found = pairs(await store.do(tag(place.partition), "HGETALL", key(place.partition, f"typing:{place.key}")))
    active = [Composing(agent, int(until)) for agent, until in found.items() if int(until) > now]
    return sorted(active, key=lambda one: -one.until)
