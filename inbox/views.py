"""What the API shows of conversations and messages, read from the store: for its lists and for public events alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.base import Capabilities
from inbox import log as logbook
from inbox import shapes
from inbox.channels import NOTHING, Channels
from inbox.conversations import Conversation, pairs
from inbox.partitions import key, tag
from inbox.store import Store
from inbox.timeline import Item


@dataclass(frozen=True, slots=True)
class Views:
    """Reads what shapes need. *due* computes SLA times, *delivery_shapes* shows deliveries."""

    store: Store
    channels: Channels
    due: Callable[[Conversation], dict[str, Any]]
    delivery_shapes: Callable[[list[tuple[int, str]]], Awaitable[list[dict[str, Any] | None]]]

    async def conversations(self, found: Sequence[Conversation]) -> list[dict[str, Any]]:
        """Return conversations as the API shows them. Raises `StoreError`."""
        more = await shapes.details(self.store, found)
        return [
            shapes.conversation_shape(one, (contact, fields), address, self._capabilities(one), self.due(one))
            for one, (contact, fields, address) in zip(found, more, strict=True)
        ]

    def _capabilities(self, conversation: Conversation) -> Capabilities:
        channel = self.channels.get(conversation.channel)
        return channel.capabilities if channel is not None else NOTHING

    async def messages(self, conversation: Conversation, found: Sequence[Item]) -> list[dict[str, Any]]:
        """Return elements of a conversation's timeline as messages. Raises `StoreError`."""
        partition = conversation.place.partition
        owed = [(index, item.entry.fields["d"]) for index, item in enumerate(found) if item.entry.type == logbook.REPLY]
        states = await self.delivery_shapes([(partition, name) for _, name in owed])
        deliveries = {index: state for (index, _), state in zip(owed, states, strict=True)}
        fetched = await self._fetched(found)
        return [
            shapes.message_shape(item, conversation, deliveries.get(index), fetched.get(index, {}))
            for index, item in enumerate(found)
        ]

    async def _fetched(self, found: Sequence[Item]) -> dict[int, dict[str, str]]:
        """Return what became of the files that a platform holds, for those that have any."""
        owners = [index for index, item in enumerate(found) if '"media"' in item.entry.fields.get("b", "")]
        places = [(found[index].entry.partition, found[index].entry.id) for index in owners]
        replies = await self.store.each(
            [(tag(home), ("HGETALL", key(home, f"f:{position}"))) for home, position in places]
        )
        return {index: pairs(reply) for index, reply in zip(owners, replies, strict=True)}
