"""What did not reach its customer calls a person: the conversation is opened, and asks to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from inbox import log as logbook
from inbox.conversations import Change, Conflict, Conversation, NoConversation, Value, commit, load, stepped
from inbox.course import RETURNED
from inbox.leases import Held
from inbox.log import Entry
from inbox.store import Store
from inbox.wakes import Wakes
from inbox.work import HUB, encode
from outbox.deliveries import Deliveries, NoDelivery
from outbox.records import TROUBLE, Delivery

TRIES = 64
EVENT = "undelivered"
"""What the timeline says, with the delivery, its state, its error and whose conversation it is."""


class Undelivered:
    """Reads the changes of deliveries. Doing it twice changes nothing."""

    def __init__(self, store: Store, wakes: Wakes, deliveries: Deliveries, now: Callable[[], int]) -> None:
        self._store = store
        self._wakes = wakes
        self._deliveries = deliveries
        self._now = now

    async def tell(self, held: Held, entry: Entry) -> None:
        """Act on one change of a delivery. Raises `StoreError`."""
        fields = entry.fields
        if not fields["c"] or (fields["st"] not in TROUBLE and "was" not in fields):
            return
        try:
            delivery = await self._deliveries.load(f"d{held.partition}-{fields['d']}")
            for _ in range(TRIES):
                conversation = await load(self._store, delivery.conversation)
                change = self._change(conversation, delivery, entry)
                if change is None:
                    return
                try:
                    await commit(self._store, held.partition, change)
                except Conflict:
                    continue
                self._wakes.ring((f"p{held.partition}",))
                return
        except (NoDelivery, NoConversation):
            return

    def _change(self, conversation: Conversation, delivery: Delivery, entry: Entry) -> Change | None:
        """Return what follows for the conversation, None for nothing."""
        key = delivery.place.key
        meant = entry.fields.get("ca") == "person" or delivery.code == "customer_wrote"
        if delivery.state not in TROUBLE or meant:
            if conversation.attention != key:
                return None
            return Change(id=conversation.place.key, version=conversation.version, set={"attention": ""})
        if delivery.lane != "reply" or delivery.state != entry.fields["st"]:
            return None
        now = self._now()
        story: dict[str, Any] = {
            "delivery": delivery.id,
            "state": delivery.state,
            "error": delivery.error,
            "code": delivery.code,
            "agent": conversation.agent,
            "team": conversation.team,
        }
        values: dict[str, Any] = {"attention": key}
        logged = [self._event(conversation, EVENT, story, now)]
        if delivery.state != "uncertain" and conversation.status != "open":
            values |= {"status": "open", "snoozed_until": 0, **stepped(conversation, RETURNED, now)}
            reopened = {"from": conversation.status, "because": EVENT, "delivery": delivery.id}
            logged.append(self._event(conversation, "reopened", reopened, now))
        return Change(
            id=conversation.place.key,
            version=conversation.version,
            once=(f"d:{key}", "told", entry.id, "state"),
            set=values,
            records=[(f"d:{key}", ["told", entry.id])],
            log=logged,
            unmarks=(("snoozed", conversation.place.key),) if conversation.status == "snoozed" else (),
        )

    @staticmethod
    def _event(conversation: Conversation, name: str, story: Mapping[str, Any], now: int) -> tuple[str, list[Value]]:
        fields: list[Value] = ["t", logbook.STATE, "c", conversation.place.key, "ev", name, "at", now]
        return "s", [*fields, "au", encode(HUB), "b", msgspec.json.encode(story).decode()]
