"""The API of the outbox: replies, deliveries, dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from config.settings import Settings
from connectors.base import Media
from inbox import log as logbook
from inbox.api import Ask, Problem, Route, answer, listing, rfc3339
from inbox.channels import Channels
from inbox.conversations import Conversation, load
from inbox.endpoints import FileBody
from inbox.partitions import Id, parse_id
from inbox.shapes import message_shape
from inbox.store import Store
from inbox.timeline import Item
from outbox.deliveries import Author, Deliveries, Delivery, Reply

MAX_TEXT = 100_000
MAX_FILES = 20


class ReplyBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/replies."""

    text: str | None = ""
    html: str | None = ""
    subject: str | None = ""
    attachments: list[str | FileBody] = []
    template: str = ""
    client_id: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Outbox:
    """What the endpoints need. *render* fills a template for a conversation, None if there is none of that name."""

    store: Store
    deliveries: Deliveries
    channels: Channels
    settings: Callable[[], Settings]
    render: Callable[[str, Conversation], str | None]
    find_file: Callable[[str | FileBody], Awaitable[Media]]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("POST", "/conversations/{id}/replies", "agent", self.reply),
            Route("GET", "/deliveries", "readonly", self.list_deliveries),
            Route("GET", "/deliveries/{id}", "readonly", self.show_delivery),
            Route("POST", "/deliveries/{id}/retry", "agent", self.retry),
            Route("POST", "/deliveries/{id}/cancel", "agent", self.cancel),
            Route("GET", "/dead", "readonly", self.list_dead),
            Route("POST", "/dead/{id}/retry", "agent", self.retry),
            Route("POST", "/dead/{id}/drop", "supervisor", self.drop),
        ]

    async def reply(self, ask: Ask) -> web.Response:
        body = await ask.body(ReplyBody, limit=None)  # files may be in it; the server's limit for files holds
        conversation = await load(self.store, ask.part("id"))
        text = body.text or ""
        if body.template:
            rendered = self.render(body.template, conversation)
            if rendered is None:
                raise Problem(422, "There is no such template", body.template)
            text = rendered if not text else f"{rendered}\n{text}"
        if "\0" in text or "\0" in (body.html or "") or "\0" in (body.subject or ""):
            raise Problem(422, "The reply cannot be sent", "no channel carries the character NUL")
        if not text.strip() and not body.attachments:
            raise Problem(422, "The reply is empty", "give text, a template or attachments")
        if len(text) > MAX_TEXT or len(body.attachments) > MAX_FILES:
            raise Problem(422, "The reply is too large", f"at most {MAX_TEXT} characters and {MAX_FILES} files")
        channel = self.channels.get(conversation.channel)
        if channel is None:
            raise Problem(409, "The channel is gone", f"{conversation.channel} is not configured any more")
        media = tuple([await self.find_file(one) for one in body.attachments])
        reply = Reply(self._author(ask, body.agent), text, body.html or "", body.subject or "", media, body.client_id)
        delivery, fresh = await self.deliveries.enqueue(conversation, reply, self.now())
        place = parse_id(delivery.message, "m")
        entry = (await logbook.fetch(self.store, [(place.partition, place.key)]))[0]
        assert entry is not None  # written with the delivery, in one step
        shape = delivery_shape(delivery)
        message = message_shape(Item(0, "o", entry), conversation, shape, {})
        return answer({"message": message, "delivery": shape, "duplicate": not fresh}, 202)

    def _author(self, ask: Ask, agent: str) -> Author:
        """Return who writes: the token's agent, or the one it names if it may speak for others."""
        agents = self.settings().agents
        if not agent:
            # A program without an agent of its own has no name that a customer should read.
            return Author("agent", ask.actor.id, ask.actor.name if ask.actor.kind == "agent" else "")
        if agent not in agents:
            raise Problem(422, "There is no such agent", f"agents are {', '.join(sorted(agents))}")
        if ask.token.role == "agent" and ask.actor.kind == "agent" and agent != ask.actor.id:
            raise Problem(403, "Not allowed", "this token writes for another agent")
        return Author("agent", agent, str(agents[agent].name))

    async def list_deliveries(self, ask: Ask) -> web.Response:
        """Deliveries that still need something: `state=due` (default), `uncertain` or `dead`."""
        which = ask.query("state") or "due"
        if which not in ("due", "uncertain", "dead"):
            raise Problem(400, "Bad parameter", "state must be due, uncertain or dead")
        return await self._list(ask, which)

    async def show_delivery(self, ask: Ask) -> web.Response:
        return answer(delivery_shape(await self.deliveries.load(ask.part("id"))))

    async def list_dead(self, ask: Ask) -> web.Response:
        return await self._list(ask, "dead")

    async def _list(self, ask: Ask, which: str) -> web.Response:
        found, following = await self.deliveries.listing(which, ask.query("cursor"), ask.limit())
        return listing([delivery_shape(one) for one in found], following)

    async def retry(self, ask: Ask) -> web.Response:
        return answer(delivery_shape(await self.deliveries.retry(ask.part("id"), self.now())), 202)

    async def cancel(self, ask: Ask) -> web.Response:
        delivery = await self.deliveries.load(ask.part("id"))
        if delivery.state not in ("queued", "deferred"):
            raise Problem(409, "That makes no sense now", f"the delivery is {delivery.state}; it cannot be called back")
        return answer(delivery_shape(await self.deliveries.drop(delivery.id, self.now())))

    async def drop(self, ask: Ask) -> web.Response:
        return answer(delivery_shape(await self.deliveries.drop(ask.part("id"), self.now())))

    async def delivery_shapes(self, names: list[tuple[int, str]]) -> list[dict[str, Any] | None]:
        """Return the deliveries of messages as the API shows them. Raises `StoreError`."""
        found = await self.deliveries.load_many([Id("d", partition, name) for partition, name in names])
        return [delivery_shape(one) if one is not None else None for one in found]


def delivery_shape(one: Delivery) -> dict[str, Any]:
    """Return a delivery as the API shows it."""
    return {
        "id": one.id,
        "state": one.state,
        "attempts": one.attempts,
        "error": one.error or None,
        "code": one.code or None,
        "conversation": one.conversation,
        "channel": one.channel,
        "message": one.message,
        "external_ids": [external_id for external_id in one.external_ids if external_id],
        "created_at": rfc3339(one.created),
        "changed_at": rfc3339(one.changed),
        "due_at": rfc3339(one.due) if one.state in ("queued", "deferred") else None,
    }
