"""Idempotency keys: a POST that is sent again with the same key is not done again, it gets the first answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from inbox.api import ANYONE, HEADERS, Ask, Problem, Route, Work
from inbox.partitions import digest, new_key, shared_key
from inbox.store import Script, Store, StoreError

ONCE = Script.load(Path(__file__).parent / "scripts" / "once.lua")
HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e]{1,255}")
KEPT = 24 * 3_600_000
AT_WORK = 10_000
"""Milliseconds after which a process that says nothing any more is taken for dead."""

PATIENCE = 15.0
LOOK = 0.05


class Answered(msgspec.Struct, array_like=True):
    """An answer as it is kept."""

    status: int
    kind: str
    body: str


class Repeats:
    """The layer of the API; what it knows is in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, route: Route, ask: Ask, work: Work) -> web.StreamResponse:
        """Do *work* at most once per caller, path and key. Raises `Problem` 400, 409, 422, `StoreError`."""
        given = ask.request.headers.get(HEADER)
        if given is None or ask.request.method != "POST" or route.role == ANYONE:
            return await work(ask)
        if not KEY.fullmatch(given):
            raise Problem(400, "Bad header", f"{HEADER} is 1 to 255 printable characters without blanks")
        name = digest(ask.token.caller, ask.request.path, given)
        mine, whole = new_key(), await fingerprint(ask)
        known = await self._begin(name, whole, mine)
        if known is not None:
            headers = {**HEADERS, "Idempotency-Replayed": "true"}
            return web.Response(status=known.status, text=known.body, content_type=known.kind, headers=headers)
        ask.facts["key"] = name
        async with self._at_work(name, mine):
            response = await work(ask)
        await self._keep(name, mine, response)
        return response

    async def _begin(self, name: str, whole: str, mine: str) -> Answered | None:
        """Return the answer that there is, None if it is ours to find. Raises `Problem`, `StoreError`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            said = await self._run(name, "begin", whole, mine, AT_WORK)
            match said[0]:
                case "go":
                    return None
                case "done":
                    return msgspec.json.decode(said[1], type=Answered)
                case "other":
                    raise Problem(422, "The key was used for something else", f"{HEADER} stands for another body")
            if loop.time() > deadline:
                raise Problem(409, "It is being done", "The first call with this key has no answer yet.", wait=2)
            await asyncio.sleep(LOOK)

    async def _keep(self, name: str, mine: str, response: web.StreamResponse) -> None:
        body = response.body if isinstance(response, web.Response) else None
        if response.status >= 300 or not isinstance(body, bytes):
            await self._run(name, "forget", mine)  # nothing was done: the next one may try
            return
        kept = Answered(response.status, response.content_type, body.decode())
        await self._run(name, "keep", mine, msgspec.json.encode(kept).decode(), KEPT)

    @asynccontextmanager
    async def _at_work(self, name: str, mine: str) -> AsyncIterator[None]:
        """Say again and again that this process lives, while it works."""

        async def say() -> None:
            while True:
                await asyncio.sleep(AT_WORK / 3000)
                with contextlib.suppress(StoreError):
                    await self._run(name, "prolong", mine, AT_WORK)

        saying = asyncio.create_task(say(), name="idempotency")
        try:
            yield
        finally:
            saying.cancel()

    async def _run(self, name: str, *arguments: str | float) -> list[str]:
        group = f"once:{name[:2]}"
        found: list[str] = await self._store.run(ONCE, group, [shared_key(group, name)], arguments)
        return found


async def fingerprint(ask: Ask) -> str:
    """Return what tells one body from another; of a form, whose border changes each time, its length."""
    request = ask.request
    form = request.content_type.startswith("multipart/")
    body = str(request.content_length or 0).encode() if form else await ask.read()
    return hashlib.sha256(request.path_qs.encode() + b"\0" + body).hexdigest()
