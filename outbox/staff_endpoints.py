"""The API of what agents do together: drafts that wait for approval, who is writing, notices that are revoked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from config.settings import Settings
from inbox.api import ROLES, Ask, Problem, Route, answer, listing, rfc3339
from inbox.conversations import load
from inbox.store import Store
from inbox.visibility import only_seen
from outbox import collisions
from outbox.answers import Obstructed
from outbox.drafts import Draft, Drafts
from outbox.endpoints import delivery_shape
from outbox.hands import Hands
from outbox.replies import refusal


class ComposingBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/composing: false when the agent has stopped."""

    on: bool = True


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """An empty body."""


@dataclass(frozen=True, slots=True)
class StaffDesk:
    """What the endpoints need."""

    store: Store
    drafts: Drafts
    hands: Hands
    settings: Callable[[], Settings]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/drafts", "readonly", self.list_drafts),
            Route("GET", "/drafts/{id}", "readonly", self.show_draft),
            Route("POST", "/drafts/{id}/approve", "agent", self.approve),
            Route("POST", "/drafts/{id}/discard", "agent", self.discard),
            Route("GET", "/conversations/{id}/composing", "readonly", self.show_composing),
            Route("POST", "/conversations/{id}/composing", "agent", self.compose),
            Route("POST", "/agents/{id}/revoke", "agent", self.revoke),
        ]

    async def list_drafts(self, ask: Ask) -> web.Response:
        """Drafts that wait, newest first."""
        found, following = await self.drafts.listing(ask.query("cursor"), ask.limit())
        shown = await only_seen(self.store, ask, found, lambda one: one.conversation)
        return listing([draft_shape(one) for one in shown], following)

    async def show_draft(self, ask: Ask) -> web.Response:
        return answer(draft_shape(await self.drafts.load(ask.part("id"))))

    async def approve(self, ask: Ask) -> web.Response:
        await ask.body(Nothing)
        try:
            draft, delivery = await self.drafts.approve(ask.part("id"), ask.actor, self.now())
        except Obstructed as error:
            raise refusal(error.plan) from None
        return answer({"draft": draft_shape(draft), "delivery": delivery_shape(delivery)}, 202)

    async def discard(self, ask: Ask) -> web.Response:
        await ask.body(Nothing)
        return answer(draft_shape(await self.drafts.discard(ask.part("id"), ask.actor, self.now())))

    async def show_composing(self, ask: Ask) -> web.Response:
        return answer({"items": await self._composing(ask), "next": None})

    async def compose(self, ask: Ask) -> web.Response:
        """Note that whoever asks is writing, or has stopped; return who is."""
        body = await ask.body(ComposingBody)
        conversation = await load(self.store, ask.part("id"))
        await collisions.compose(self.store, conversation, ask.actor.id, self.now(), on=body.on)
        return answer({"items": await self._composing(ask), "next": None})

    async def _composing(self, ask: Ask) -> list[dict[str, Any]]:
        conversation = await load(self.store, ask.part("id"))
        agents = self.settings().agents
        return [
            {
                "agent": one.agent,
                "name": str(agents[one.agent].name) if one.agent in agents else None,
                "until": rfc3339(one.until),
            }
            for one in await collisions.composing(self.store, conversation, self.now())
        ]

    async def revoke(self, ask: Ask) -> web.Response:
        """Let no notice that an agent has had so far be answered any more; their own, or a supervisor's doing."""
        agent = ask.part("id")
        if agent not in self.settings().agents:
            raise Problem(404, "There is no such agent", f"agents are {', '.join(sorted(self.settings().agents))}")
        own = ask.actor.kind == "agent" and ask.actor.id == agent
        if not own and ROLES.index(ask.token.role) < ROLES.index("supervisor"):
            raise Problem(403, "Not allowed", "an agent does this for themselves only; a supervisor for anybody")
        await ask.body(Nothing)
        now = self.now()
        await self.hands.revoke(agent, now)
        return answer({"id": agent, "revoked_at": rfc3339(now)})


def draft_shape(one: Draft) -> dict[str, Any]:
    """Return a draft as the API shows it."""
    return {
        "id": one.id,
        "conversation": one.conversation,
        "state": one.state,
        "author": {"kind": "agent", "id": one.agent, "name": one.name or None},
        "text": one.text,
        "attachments": [{"name": media.name or None, "type": media.type, "size": media.size} for media in one.media],
        "reason": one.reason,
        "why": one.why or None,
        "via": one.via or None,
        "source": one.source or None,
        "at": rfc3339(one.at),
        "decided_by": one.by or None,
    }
