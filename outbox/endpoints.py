"""The API of the outbox: replies, deliveries, dead letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from inbox.api import Ask, Problem, Route, answer, listing, rfc3339
from inbox.partitions import Id
from inbox.store import Store
from inbox.visibility import only_seen
from outbox.aside import RELEASE
from outbox.deliveries import PARKED, Deliveries, Delivery
from outbox.history import Step, history
from outbox.ownership import concerned
from outbox.reasons import reason
from outbox.terms import UNDO_MARGIN

LISTS = {"due": "due", "scheduled": PARKED, "uncertain": "uncertain", "dead": "dead"}


@dataclass(frozen=True, slots=True)
class Outbox:
    """What the endpoints need. *locale* is the language of reasons."""

    store: Store
    deliveries: Deliveries
    locale: Callable[[], str]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/deliveries", "readonly", self.list_deliveries),
            Route("GET", "/deliveries/{id}", "readonly", self.show_delivery),
            Route("POST", "/deliveries/{id}/retry", "agent", self.retry),
            Route("POST", "/deliveries/{id}/confirm", "agent", self.confirm),
            Route("POST", "/deliveries/{id}/cancel", "agent", self.cancel),
            Route("GET", "/dead", "readonly", self.list_dead),
            Route("POST", "/dead/{id}/retry", "agent", self.retry),
            Route("POST", "/dead/{id}/drop", "supervisor", self.drop),
        ]

    async def list_deliveries(self, ask: Ask) -> web.Response:
        """Deliveries that still need something: `state=due` (default), `scheduled`, `uncertain` or `dead`."""
        which = ask.query("state") or "due"
        if which not in LISTS:
            raise Problem(400, "Bad parameter", f"state must be one of {', '.join(LISTS)}")
        return await self._list(ask, LISTS[which])

    async def show_delivery(self, ask: Ask) -> web.Response:
        delivery = await self.deliveries.load(ask.part("id"))
        steps = [step_shape(step) for step in await history(self.store, delivery)]
        return answer({**delivery_shape(delivery), "address": delivery.address, "history": steps})

    async def list_dead(self, ask: Ask) -> web.Response:
        return await self._list(ask, "dead")

    async def _list(self, ask: Ask, which: str) -> web.Response:
        found, following = await self.deliveries.listing(which, ask.query("cursor"), ask.limit())
        shown = await only_seen(self.store, ask, found, concerned)
        return listing([delivery_shape(one) for one in shown], following)

    async def retry(self, ask: Ask) -> web.Response:
        return answer(delivery_shape(await self.deliveries.retry(ask.part("id"), self.now(), ask.actor.id)), 202)

    async def confirm(self, ask: Ask) -> web.Response:
        """Take a person's word that what is uncertain arrived."""
        return answer(delivery_shape(await self.deliveries.confirm(ask.part("id"), self.now(), ask.actor.id)))

    async def cancel(self, ask: Ask) -> web.Response:
        why = reason("cancelled", self.locale())
        return answer(delivery_shape(await self.deliveries.cancel(ask.part("id"), ask.actor, why, self.now())))

    async def drop(self, ask: Ask) -> web.Response:
        return answer(delivery_shape(await self.deliveries.drop(ask.part("id"), self.now(), ask.actor.id)))


async def delivery_shapes(deliveries: Deliveries, names: list[tuple[int, str]]) -> list[dict[str, Any] | None]:
    """Return the deliveries of messages as the API shows them. Raises `StoreError`."""
    found = await deliveries.load_many([Id("d", partition, name) for partition, name in names])
    return [delivery_shape(one) if one is not None else None for one in found]


def delivery_shape(one: Delivery) -> dict[str, Any]:
    """Return a delivery as the API shows it."""
    return {
        "id": one.id,
        "state": one.state,
        "attempts": one.attempts,
        "error": one.error or None,
        "code": one.code or None,
        "conversation": one.conversation or None,
        "about": one.about or None,
        "lane": one.lane,
        "channel": one.channel,
        "message": one.message,
        "external_ids": [external_id for external_id in one.external_ids if external_id],
        "created_at": rfc3339(one.created),
        "changed_at": rfc3339(one.changed),
        "due_at": rfc3339(one.due) if one.state in ("queued", "deferred") else None,
        "undo_until": rfc3339(one.due - UNDO_MARGIN) if undoable(one) else None,
        "waits_for": waits_for(one),
        "instead": instead_shape(one),
    }


def undoable(one: Delivery) -> bool:
    """Tell whether an answer waits only so that it can be called back."""
    return one.state == "queued" and not one.parked and not one.attempts and one.due > one.created


def waits_for(one: Delivery) -> str | None:
    """Say what a delivery waits for beside its line: the "customer", a "time", or nothing."""
    return None if not one.parked else "customer" if one.heeds == RELEASE else "time"


def instead_shape(one: Delivery) -> dict[str, Any] | None:
    """Return what goes out in the place of what was written, as the API shows it."""
    if one.instead is None:
        return None
    return {
        "channel": one.instead.channel,
        "address": one.instead.address,
        "template": one.instead.template or None,
        "text": one.instead.text or None,
        "because": one.instead.because,
        "why": one.instead.why,
    }


def step_shape(step: Step) -> dict[str, Any]:
    """Return one change of a delivery as the API shows it."""
    return {
        "at": rfc3339(step.at),
        "state": step.state,
        "cause": step.cause,
        "attempt": step.attempt or None,
        "by": step.by or None,
        "error": step.error or None,
        "code": step.code or None,
        "due_at": rfc3339(step.due) if step.due else None,
    }
