"""What a platform reports about our messages: before, twice, out of order, or long after."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from outbox.deliveries import Deliveries
from outbox.records import NotNow

log = logging.getLogger(__name__)


class Receipts:
    """Applies receipts to deliveries."""

    def __init__(self, deliveries: Deliveries, counts: Counter[tuple[str, str]]) -> None:
        self._deliveries = deliveries
        self._counts = counts

    async def apply(self, fields: Mapping[str, str]) -> None:
        """Apply a receipt of the log. Raises `StoreError`."""
        channel = fields.get("ch", "")
        try:
            await self._settle(fields)
        except (LookupError, ValueError):
            # About no delivery that we know: it stays in the log, and those behind it must not wait.
            log.exception("a receipt of channel %s was left out", channel)
            self._counts[channel, "receipt_left_out"] += 1

    async def _doubted(self, fields: Mapping[str, str]) -> None:
        """Settle what got no answer, if its platform gives back our own id: whoever reports on it has had it.

        What waits to be sent again under the same id need not be, once it has arrived.
        """
        channel, name, state, at = fields["ch"], fields["x"], fields["st"], int(fields["at"])
        whole = name.partition(".")[0]
        for known in (whole, whole.rpartition("-")[0]):
            try:
                delivery = await self._deliveries.load(known)
            except (LookupError, ValueError):
                continue
            if delivery.channel != channel or delivery.outbound_id(delivery.part, delivery.of) != name:
                continue
            waits = delivery.state in ("queued", "deferred") and delivery.of == 1
            if delivery.state != "uncertain" and not (waits and state in ("delivered", "read")):
                continue
            with contextlib.suppress(NotNow):  # a person, a query or the next attempt was faster
                if waits:
                    await self._deliveries.link(delivery, name)
                    facts: dict[str, Any] = {"expect": delivery.state, "about": name}
                    values = ("part", 1, "ext", name)
                    await self._deliveries.settle(delivery, state, at, cause="receipt", values=values, **facts)
                else:
                    error = fields.get("er", "")
                    facts = {"external_id": name, "state": state, "error": error}
                    await self._deliveries.arrived(delivery, at, cause="receipt", **facts)
            self._counts[channel, f"receipt_{state}"] += 1
            return

    async def _settle(self, fields: Mapping[str, str]) -> None:
        channel, external_id, state, at = fields["ch"], fields["x"], fields["st"], int(fields["at"])
        error = fields.get("er", "")
        delivery_id = await self._deliveries.receipt(channel, external_id, state, at, error)
        if delivery_id is None:
            await self._doubted(fields)
            return
        delivery = await self._deliveries.load(delivery_id)
        self._counts[channel, f"receipt_{state}"] += 1
        known = delivery.external_ids
        if delivery.round and external_id not in known:
            # Of a message that a person has had sent again since: that it arrived after all ends the new one as well,
            # but one of several parts says nothing about the others.
            if delivery.of == 1 and state in ("delivered", "read"):
                await self._deliveries.settle(delivery, state, at, cause="receipt")
            return
        if delivery.state == "uncertain" and external_id not in known:
            # Of the part in question: whoever linked it died before it said so.
            with contextlib.suppress(NotNow):
                facts = {"external_id": external_id, "state": state, "error": error}
                await self._deliveries.arrived(delivery, at, cause="receipt", **facts)
            return
        # Of several parts the last one speaks for all, but none may fail: the store has what was reported of each.
        if delivery.of > 1 or not known or external_id == known[-1] or state == "failed":
            await self._deliveries.settle(delivery, state, at, cause="receipt", error=error, about=external_id)
