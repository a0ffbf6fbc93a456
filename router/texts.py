"""Fills a template with what has to be asked for: the contact, and what an existing tool knows of the order."""

from __future__ import annotations

from collections.abc import Callable

from config.loading import Loaded
from config.templates import ORDER, Filled, needed
from inbox import contacts, timeline
from inbox.conversations import Conversation
from inbox.placing import NOBODY
from inbox.store import Store
from outbox.planner import Wanted
from router.facts import Facts
from router.lookups import Orders
from router.wording import fill

LATEST = 10  # messages in which the number of an order is looked for, the newest first
CUSTOMERS = frozenset("m")


class Texts:
    """Fills templates of the configuration in use."""

    def __init__(self, store: Store, loaded: Callable[[], Loaded], orders: Orders, now: Callable[[], int]) -> None:
        self._store = store
        self._loaded = loaded
        self._orders = orders
        self._now = now

    async def fill(self, wanted: Wanted) -> Filled | None:
        """Return a template with its values, None if there is none of its name. Raises `StoreError`."""
        loaded = self._loaded()
        template = loaded.templates.get(wanted.template)
        if template is None:
            return None
        conversation = wanted.conversation
        more = {"reply.text": wanted.text} if wanted.text else {}
        if any(name.startswith(ORDER) for name in needed(template)):
            more |= await self._order(conversation)
        return fill(
            loaded,
            wanted.template,
            conversation,
            self._now(),
            contact=await contacts.known(self._store, conversation.contact) if conversation.contact else NOBODY,
            channel=wanted.channel,
            kind=wanted.kind,
            language=wanted.language,
            more=more,
            own=wanted.variables,
        )

    async def _order(self, conversation: Conversation) -> dict[str, str]:
        """Return what is known of the order that the conversation is about, by variable."""
        if not conversation.id:
            return {}
        found, _ = await timeline.items(self._store, conversation.place, CUSTOMERS, None, LATEST)
        facts = Facts(
            conversation.channel,
            conversation.kind,
            self._now(),
            text="\n".join(item.entry.fields.get("tx", "") for item in found),
            subject=conversation.subject,
            sender=conversation.address,
        )
        order = await self._orders.find(facts, conversation.contact)
        return {
            f"{ORDER}{name}": ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for name, value in order.fields.items()
        }
