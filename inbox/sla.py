"""The API's account of a conversation's clocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from inbox.api import Ask, Route, answer
from inbox.conversations import load
from inbox.promises import Promises
from inbox.reckoning import reckon
from inbox.store import Store


@dataclass(frozen=True, slots=True)
class Accounts:
    """The endpoint."""

    store: Store
    promises: Callable[[], Promises]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [Route("GET", "/conversations/{id}/sla", "readonly", self.explain)]

    async def explain(self, ask: Ask) -> web.Response:
        """Every run of every clock, with each span that counted."""
        conversation = await load(self.store, ask.part("id"))
        return answer(reckon(self.promises().holds(conversation), conversation, self.now()))
