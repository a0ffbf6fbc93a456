"""The API of texts: what there is, and how it reads for one conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from config.templates import Template, needed
from inbox.api import Ask, Problem, Route, answer, listing
from inbox.channels import Channels
from inbox.conversations import Conversation, load
from inbox.store import Store
from inbox.visibility import must_see
from outbox.planner import Fill, Wanted


class PreviewBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /templates/{name}/preview: for a conversation, or for a channel and nobody."""

    conversation: str = ""
    channel: str = ""
    language: str = ""
    variables: dict[str, str] = {}
    text: str = ""


@dataclass(frozen=True, slots=True)
class Templating:
    """What the endpoints need. *templates* are those in use, by name."""

    store: Store
    channels: Channels
    templates: Callable[[], Mapping[str, Template]]
    fill: Fill

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/templates", "readonly", self.list_templates),
            Route("POST", "/templates/{name}/preview", "readonly", self.preview),
        ]

    async def list_templates(self, _: Ask) -> web.Response:
        return listing([template_shape(name, one) for name, one in self.templates().items()])

    async def preview(self, ask: Ask) -> web.Response:
        """Fill a template; what has no value is listed, and nothing is sent."""
        body, name = await ask.body(PreviewBody), ask.part("name")
        if name not in self.templates():
            raise Problem(404, "There is no such template", f"templates are {', '.join(self.templates())}")
        await must_see(self.store, ask, body.conversation)
        conversation = await load(self.store, body.conversation) if body.conversation else NOBODY
        channel = body.channel or conversation.channel
        known = self.channels.get(channel)
        if known is None and channel:
            raise Problem(422, "There is no such channel", channel)
        kind = known.kind if known is not None else ""
        wanted = Wanted(name, conversation, channel, kind, body.variables, body.text, body.language)
        filled = await self.fill(wanted)
        if filled is None:
            raise Problem(404, "There is no such template", name)
        approved = filled.approved
        return answer(
            {
                "name": name,
                "channel": channel or None,
                "language": filled.language or None,
                "text": filled.text,
                "subject": filled.subject or None,
                "approved": {"id": approved[0], "data": dict(approved[1]), "url": approved[2] or None}
                if approved
                else None,
                "missing": list(filled.missing),
                "unknown": list(filled.unknown),
            }
        )


NOBODY = Conversation("", "", "", "", "")
"""For a preview that is about no conversation: nothing is known."""


def template_shape(name: str, one: Template) -> dict[str, Any]:
    """Return a template as the API shows it."""
    return {
        "id": name,
        "languages": [language for language in one.texts if language],
        "channels": list(one.channels),
        "kinds": list(one.kinds),
        "platforms": list(one.platforms),
        "variables": list(one.variables),
        "needs": list(needed(one)),
        "for_agents": one.for_agents,
    }
