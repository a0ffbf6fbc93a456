"""The API of outgoing webhooks: how endpoints fare, what they were sent, sending again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from config.faults import nearest
from config.webhooks import Webhook
from inbox import log as logbook
from inbox.api import Ask, Problem, Route, answer, listing, moment, rfc3339
from inbox.log import Entry
from inbox.partitions import parse_id
from inbox.store import Store
from inbox.visibility import only_seen
from outbox.deliveries import Deliveries, NoDelivery
from outbox.endpoint_ledger import Attempt, Ledger, State, address
from outbox.endpoints import delivery_shape
from outbox.ownership import concerned
from outbox.records import Delivery
from outbox.webhooks import Relay

WAITING = ("queued", "sending", "deferred")


class ReplayBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/replay."""

    since: str
    all: bool = False


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """An empty body."""


@dataclass(frozen=True, slots=True)
class WebhookApi:
    """What the endpoints need."""

    store: Store
    deliveries: Deliveries
    ledger: Ledger
    relay: Relay
    webhooks: Callable[[], Mapping[str, Webhook]]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        one = "/webhooks/{name}"
        return [
            Route("GET", "/webhooks", "supervisor", self.list_webhooks),
            Route("GET", one, "supervisor", self.show_webhook),
            Route("GET", f"{one}/deliveries", "supervisor", self.list_deliveries),
            Route("POST", f"{one}/deliveries/{{id}}/redeliver", "admin", self.redeliver),
            Route("POST", f"{one}/test", "admin", self.test),
            Route("POST", f"{one}/replay", "admin", self.replay),
            Route("POST", f"{one}/enable", "admin", self.enable),
        ]

    def _find(self, ask: Ask) -> tuple[str, Webhook]:
        name = ask.part("name")
        known = self.webhooks()
        if name not in known:
            hint = nearest(name, known)
            raise Problem(404, "There is no such webhook", f"did you mean {hint}?" if hint else "")
        return name, known[name]

    async def list_webhooks(self, _: Ask) -> web.Response:
        return listing([await self._shape(name, webhook) for name, webhook in self.webhooks().items()])

    async def show_webhook(self, ask: Ask) -> web.Response:
        return answer(await self._shape(*self._find(ask)))

    async def _shape(self, name: str, webhook: Webhook) -> dict[str, Any]:
        state = await self.ledger.state(name, webhook.url)
        return webhook_shape(name, webhook, state, await self.ledger.waiting(name))

    async def list_deliveries(self, ask: Ask) -> web.Response:
        """What an endpoint was sent, newest first."""
        name, _ = self._find(ask)
        page, following = await self.ledger.page(name, ask.cursor(), ask.limit())
        found = await only_seen(self.store, ask, page, concerned)
        entries = await logbook.fetch(self.store, [parse_id(one.message, "m")[1:] for one in found])
        attempts = await self.ledger.attempts(found)
        shown = [delivery_log_shape(*each) for each in zip(found, entries, attempts, strict=True)]
        return listing(shown, following)

    async def redeliver(self, ask: Ask) -> web.Response:
        """Send an event once more, whatever became of it: a new delivery with the event's own id."""
        await ask.body(Nothing)
        name, _ = self._find(ask)
        delivery = await self.deliveries.load(ask.part("id"))
        if delivery.channel != address(name):
            raise NoDelivery(delivery.id)
        entry = (await logbook.fetch(self.store, [parse_id(delivery.message, "m")[1:]]))[0]
        if entry is None:
            raise Problem(409, "The event is gone", "it is not in the log any more")
        return await self._shown(await self.relay.redeliver(name, delivery, entry))

    async def test(self, ask: Ask) -> web.Response:
        """Send an event that means nothing."""
        await ask.body(Nothing)
        name, _ = self._find(ask)
        return await self._shown(await self.relay.test(name))

    async def _shown(self, delivery: Delivery) -> web.Response:
        entry = (await logbook.fetch(self.store, [parse_id(delivery.message, "m")[1:]]))[0]
        return answer(delivery_log_shape(delivery, entry, []), 202)

    async def replay(self, ask: Ask) -> web.Response:
        """Read the log again from a time on: what failed or was never owed is sent, with `all` everything."""
        body = await ask.body(ReplayBody)
        name, _ = self._find(ask)
        since = moment(body.since)
        if since > self.now():
            raise Problem(422, "The body does not fit", "since is in the future")
        await self.relay.replay(name, since, everything=body.all)
        return answer({"webhook": name, "since": rfc3339(since), "all": body.all}, 202)

    async def enable(self, ask: Ask) -> web.Response:
        """Let a disabled endpoint be told again from now on."""
        await ask.body(Nothing)
        name, webhook = self._find(ask)
        await self.ledger.enable(name)
        return answer(await self._shape(name, webhook))


def webhook_shape(name: str, webhook: Webhook, state: State, waiting: int) -> dict[str, Any]:
    """Return an endpoint as the API shows it."""
    return {
        "name": name,
        "url": webhook.shown,
        "events": list(webhook.events),
        "teams": list(webhook.teams),
        "channels": list(webhook.channels),
        "content": webhook.content,
        "secrets": len(webhook.keys),
        "state": state.name,
        "reason": state.why or None,
        "disabled_at": rfc3339(state.disabled_at),
        "failing_since": rfc3339(state.failing_since),
        "succeeded_at": rfc3339(state.succeeded_at),
        "waiting": waiting,
        "last_attempt": attempt_shape(state.last) if state.last is not None else None,
    }


def attempt_shape(one: Attempt) -> dict[str, Any]:
    """Return an attempt as the API shows it."""
    return {"at": rfc3339(one.at), "status": one.status or None, "duration_ms": one.took, "error": one.error or None}


def delivery_log_shape(one: Delivery, entry: Entry | None, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return a delivery to an endpoint: what any delivery has, its event, and what each attempt gave."""
    last = attempts[-1] if attempts else None
    return {
        **delivery_shape(one),
        "event": entry.fields["tx"] if entry is not None else None,
        "type": entry.rest().get("subject") if entry is not None else None,
        "status": last.status or None if last is not None else None,
        "duration_ms": last.took if last is not None else None,
        "log": [attempt_shape(each) for each in attempts],
    }
