"""An endpoint as a channel of the outbox: writes the event when it is sent, and keeps account of every attempt.

A delivery holds an event's id and no copy of it: what a customer wrote is in the store once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from config.happenings import PREFIX
from config.webhooks import Webhook
from connectors.base import Capabilities, Closer, Connector, Options, Outbound, Rejected, SendError, Sent
from inbox.api import rfc3339
from inbox.bulletins import SPECVERSION, VERSION, parse_bulletin_id
from inbox.partitions import parse_id
from inbox.press import Press
from inbox.store import StoreError
from outbox.endpoint_ledger import Attempt, Ledger

log = logging.getLogger(__name__)

TEST = "test-"
GONE = "410"


class Endpoint:
    """A connector around the one that posts. *source* is the hub's address."""

    kind: ClassVar[str] = "webhook"
    Options: ClassVar[type[Options]] = Options
    capabilities: ClassVar[Capabilities] = Capabilities(idempotent=True)

    def __init__(
        self,
        name: str,
        webhook: Webhook,
        inner: Connector,
        press: Press,
        ledger: Ledger,
        source: Callable[[], str],
        now: Callable[[], int],
    ) -> None:
        self._name = name
        self._webhook = webhook
        self._inner = inner
        self._press = press
        self._ledger = ledger
        self._source = source
        self._now = now

    async def send(self, message: Outbound) -> Sent:
        """Write the event and post it. Raises `SendError`, `StoreError`."""
        name, url = self._name, self._webhook.url
        state = await self._ledger.state(name, url)
        if state.disabled_at:
            raise Rejected(f"the endpoint is disabled: {state.why}", code="disabled")
        body = await self._body(message.text)
        started, at = time.monotonic(), self._now()
        failure: SendError | None = None
        status = ""
        try:
            status = (await self._inner.send(msgspec.structs.replace(message, id=message.text, text=body))).handle
        except SendError as error:
            failure, status = error, error.code
        took = round((time.monotonic() - started) * 1000)
        attempt = Attempt(at, took, status, str(failure) if failure is not None else "")
        await self._account(attempt, parse_id(message.id, "d").key, failure)
        if failure is not None:
            raise failure
        return Sent()

    async def _account(self, attempt: Attempt, delivery: str, failure: SendError | None) -> None:
        """Enter an attempt, and disable an endpoint that is gone or has failed for too long."""
        name, url = self._name, self._webhook.url
        try:
            over = failure is not None and not failure.retryable
            before = await self._ledger.attempted(name, url, delivery, attempt, over=over)
            if failure is None:
                return
            since = before.failing_since or attempt.at
            why = ""
            if failure.code == GONE and not failure.retryable:
                why = "it says that it is gone for good (status 410)"
            elif attempt.at - since >= self._webhook.disable_after:
                why = f"it has failed since {rfc3339(since)}; last: {failure}"
            if why and not before.disabled_at:
                await self._ledger.disable(name, url, why, attempt.at)
                log.error("the webhook %s is disabled: %s; huiliu webhooks enable %s", name, why, name)
        except StoreError as error:
            log.warning("an attempt of webhook %s is not in its log: %s", name, error)

    async def _body(self, text: str) -> str:
        """Return the event with this id as JSON. Raises `Rejected`, `StoreError`."""
        if text.startswith(TEST):
            return msgspec.json.encode(self._test(text)).decode()
        place = parse_bulletin_id(text)
        bulletin = await self._press.find(place) if place is not None else None
        if bulletin is None:
            raise Rejected("the event is not in the log any more")
        event = bulletin.cloud_event(self._source(), thin=self._webhook.content == "thin")
        return msgspec.json.encode(event).decode()

    def _test(self, name: str) -> dict[str, Any]:
        return {
            "specversion": SPECVERSION,
            "id": name,
            "source": self._source(),
            "type": f"{PREFIX}webhook.test",
            "subject": self._name,
            "time": rfc3339(self._now()),
            "datacontenttype": "application/json",
            "dataversion": VERSION,
            "data": {"webhook": self._name},
        }

    async def close(self) -> None:
        """Close the connections."""
        inner: object = self._inner
        if isinstance(inner, Closer):
            await asyncio.wait_for(inner.close(), timeout=5.0)
