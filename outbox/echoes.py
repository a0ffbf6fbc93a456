"""Echoes: a platform repeats what our side sent, be it the hub or a person in the platform's own tool."""

from __future__ import annotations

import contextlib

from inbox import log as logbook
from inbox.partitions import Id, key, parse_id, tag
from inbox.store import Store
from outbox import letters
from outbox.deliveries import Deliveries
from outbox.records import Delivery, NoDelivery, NotNow


class Echoes:
    """Tells which echoes are of the hub's own messages."""

    def __init__(self, store: Store, deliveries: Deliveries) -> None:
        self._store = store
        self._deliveries = deliveries

    async def ours(self, partition: int, channel: str, address: str, words: str, external_id: str, at: int) -> bool:
        """Tell whether an echo only repeats what the outbox sent. *partition* is its address's. Raises `StoreError`."""
        known = await self._deliveries.linked(channel, external_id)
        if known is not None:
            await self._settled(known, external_id, at)
            return True
        whose = (partition, channel, address, words)
        return await self.in_flight(*whose) or await self.prove(*whose, external_id, at)

    async def _settled(self, delivery_id: str, external_id: str, at: int) -> None:
        """Settle what an earlier process had found to be this echo's delivery, if it died before it said so."""
        with contextlib.suppress(NotNow, NoDelivery):
            delivery = await self._deliveries.load(delivery_id)
            # What was sent before a person had it sent again says nothing about the new one.
            if delivery.state == "uncertain" and external_id not in delivery.past:
                await self._deliveries.arrived(delivery, at, cause="echo", external_id=external_id)

    async def in_flight(self, partition: int, channel: str, address: str, words: str) -> bool:
        """Tell whether the very message *words* is being sent to *address* now: its echo may outrun our answer."""
        known = await self._store.do(tag(partition), "HGET", key(partition, f"a:{address}"), f"conv:{channel}")
        lines = [(partition, letters.line(channel, address))]
        if known:
            place = parse_id(known, "c")
            lines.append((place.partition, f"q:{place.key}"))
        heads = await self._store.each([(tag(where), ("LINDEX", key(where, line), 0)) for where, line in lines])
        places = [Id("d", where, head) for (where, _), head in zip(lines, heads, strict=True) if head]
        for delivery in await self._deliveries.load_many(places):
            if (
                delivery is not None
                and delivery.state in {"sending", "uncertain", "deferred"}
                and await self.says(delivery, words)
            ):
                return True
        return False

    async def prove(self, partition: int, channel: str, address: str, words: str, external_id: str, at: int) -> bool:
        """Tell whether an echo proves that an uncertain delivery went out; it is settled then. Raises `StoreError`."""
        known = await self._store.do(tag(partition), "HGET", key(partition, f"a:{address}"), f"conv:{channel}")
        wanted = {partition, parse_id(known, "c").partition} if known else {partition}
        places = [
            Id("d", where, name)
            for where in sorted(wanted)
            for name in await self._store.do(tag(where), "ZRANGE", key(where, "uncertain"), 0, -1)
        ]
        for delivery in await self._deliveries.load_many(places):
            if delivery is None:
                continue
            letter = not delivery.conversation and (delivery.channel, delivery.address) == (channel, address)
            if (letter or delivery.conversation == known) and await self.says(delivery, words):
                with contextlib.suppress(NotNow):  # somebody else has settled it this very moment
                    await self._deliveries.arrived(delivery, at, cause="echo", external_id=external_id)
                return True
        return False

    async def says(self, delivery: Delivery, words: str) -> bool:
        """Tell whether *words*, or for none a file, are what a delivery carries."""
        message = parse_id(delivery.message, "m")
        entry = (await logbook.fetch(self._store, [(message.partition, message.key)]))[0]
        if entry is None:
            return False
        if not words:
            return bool(entry.rest().get("media"))
        said, whole = words.strip(), entry.fields.get("tx", "").strip()
        # A colleague's "hello" in the platform's own tool is not the answer that begins with it.
        return said == whole or (delivery.of > 1 and said in whole)
