"""Optimistic concurrency: whoever edits says which state they saw (If-Match), and overwrites no other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from aiohttp import web

from inbox.api import Ask, Problem, Route, Work
from inbox.memory import ChannelMemory

CHANGING = frozenset({"PUT", "PATCH", "DELETE"})
LIMIT = 30.0


class Edits:
    """The layer of the API: an ETag on whatever can be edited, and If-Match on every edit.

    *routes* are all routes of the API; *memory* holds locks.
    """

    def __init__(self, routes: Callable[[], tuple[Route, ...]], memory: ChannelMemory) -> None:
        self._routes = routes
        self._memory = memory

    async def __call__(self, route: Route, ask: Ask, work: Work) -> web.StreamResponse:
        """Do *work* if the thing is as its editor saw it. Raises `Problem` 412, `StoreError`."""
        if route.method == "GET":
            response = await work(ask)
            if response.status == 200 and self._edited(route.path):
                ask.headers["ETag"] = tag_of(response)
            return response
        view = next((one for one in self._routes() if (one.method, one.path) == ("GET", route.path)), None)
        if route.method not in CHANGING or view is None:
            if route.method in CHANGING and "If-Match" in ask.request.headers:
                raise Problem(412, "It is not as you saw it", "this has no state that If-Match could name")
            return await work(ask)
        async with self._memory.lock(f"edit:{ask.request.path}", seconds=LIMIT):
            await self._check(view, ask)
            return await work(ask)

    def _edited(self, path: str) -> bool:
        return any(one.path == path and one.method in CHANGING for one in self._routes())

    async def _check(self, view: Route, ask: Ask) -> None:
        wanted = ask.request.headers.get("If-Match", "*").strip()
        if wanted == "*":
            return
        current = await view.handler(ask)  # its problems are those of the edit
        if tag_of(current) not in {one.strip() for one in wanted.split(",")}:
            raise Problem(412, "It is not as you saw it", "somebody changed it meanwhile: read it again")


def tag_of(response: web.StreamResponse) -> str:
    """Return the entity tag of an answer: it changes when the answer does."""
    body = response.body if isinstance(response, web.Response) else None
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"' if isinstance(body, bytes) else '""'
