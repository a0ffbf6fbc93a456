"""The API of search: messages by their words, and the index that finds them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from inbox.api import Ask, Problem, Route, answer, moment, rfc3339
from inbox.caretaker import Caretaker
from inbox.conversations import STATUSES, Conversation
from inbox.endpoints import Nothing
from inbox.findable import DIRECTIONS
from inbox.finding import Narrow, NoIndex
from inbox.indexer import Standing
from inbox.search import Found, Search
from inbox.timeline import Item
from inbox.views import Views

WAYS = tuple(dict.fromkeys(DIRECTIONS.values()))


@dataclass(frozen=True, slots=True)
class SearchApi:
    """What the endpoints need."""

    search: Search
    views: Views
    caretaker: Caretaker

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/search", "readonly", self.find),
            Route("GET", "/search/index", "supervisor", self.show_index),
            Route("POST", "/search/rebuild", "admin", self.rebuild),
        ]

    async def find(self, ask: Ask) -> web.Response:
        """Messages with all words, the latest first."""
        narrow = narrowed(ask)
        after = ask.cursor() or 0
        try:
            found, following = await self.search.messages(
                ask.query("q"), narrow, after, ask.limit(), lambda one: belongs(narrow, one)
            )
        except NoIndex:
            if not self.caretaker.wanted:
                raise Problem(409, "That makes no sense now", "search.index is off in huiliu.yaml") from None
            found, following = [], 0
        known = (await self.search.standings()).get(self.caretaker.machine)
        return answer(
            {
                "items": await self._shapes(found),
                "next": str(following) if following else None,
                "complete": known is not None and known.state in ("ready", "rebuilding"),
            }
        )

    async def _shapes(self, found: list[Found]) -> list[dict[str, Any]]:
        unique = list({one.conversation.id: one.conversation for one in found}.values())
        shown, messages = await asyncio.gather(
            self.views.conversations(unique),
            asyncio.gather(*(self.views.messages(one.conversation, [Item(0, "", one.entry)]) for one in found)),
        )
        by_id = {one["id"]: one for one in shown}
        return [
            {
                "message": message[0],
                "conversation": by_id[one.conversation.id],
                "snippet": [asdict(piece) for piece in one.snippet],
            }
            for one, message in zip(found, messages, strict=True)
        ]

    async def show_index(self, _: Ask) -> web.Response:
        """How the index of each machine stands."""
        known = await self.search.standings()
        return answer({"items": [shape(machine, one) for machine, one in known.items()], "next": None})

    async def rebuild(self, ask: Ask) -> web.Response:
        """Build the index of every machine anew, while the old one answers."""
        await ask.body(Nothing)
        if not self.caretaker.wanted:
            raise Problem(409, "That makes no sense now", "search.index is off in huiliu.yaml")
        await self.search.rebuild()
        return answer({"state": "rebuilding"}, 202)


def shape(machine: str, one: Standing) -> dict[str, Any]:
    """Return how an index stands, as the API shows it."""
    return {
        "machine": machine,
        "state": one.state,
        "messages": one.messages,
        "progress": one.progress,
        "behind_seconds": one.behind,
        "bytes": one.size,
        "built_at": rfc3339(one.built),
        "at": rfc3339(one.at),
    }


def narrowed(ask: Ask) -> Narrow:
    """Return what a search is narrowed to. Raises `Problem` 400."""
    for name, known in (("status", STATUSES), ("direction", WAYS)):
        if ask.query(name) and ask.query(name) not in known:
            raise Problem(400, "Bad parameter", f"{name} must be one of {', '.join(known)}")
    agent = ask.query("agent")
    return Narrow(
        team=ask.query("team"),
        agent=ask.actor.id if agent == "me" else agent,
        status=ask.query("status"),
        channel=ask.query("channel"),
        kind=ask.query("kind"),
        tag=ask.query("tag"),
        direction=ask.query("direction"),
        since=_time(ask, "since"),
        until=_time(ask, "until"),
        hidden=ask.hidden,
    )


def _time(ask: Ask, name: str) -> int:
    text = ask.query(name)
    try:
        return moment(text) if text else 0
    except Problem as problem:
        raise Problem(400, "Bad parameter", f"{name}: {problem.detail}") from None


def belongs(narrow: Narrow, one: Conversation) -> bool:
    """Tell whether a conversation fits as it stands now: the index may be a moment behind."""
    wanted = (narrow.team, narrow.agent, narrow.status, narrow.channel, narrow.kind)
    has = (one.team, one.agent, one.status, one.channel, one.kind)
    return (
        one.team not in narrow.hidden
        and all(not value or value == other for value, other in zip(wanted, has, strict=True))
        and (not narrow.tag or narrow.tag in one.tags)
    )
