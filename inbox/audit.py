"""The audit log: every change that people and programs make through the API. It holds no text and no secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from config.settings import Settings
from config.values import NAME
from inbox.api import ANYONE, SAFE, Ask, Problem, Route, Work, listing, moment, rfc3339
from inbox.partitions import AT, ID, shared_key
from inbox.store import Script, Store

AUDIT = Script.load(Path(__file__).parent / "scripts" / "audit.lua")
GROUP = "audit"
LOG, BEGUN = shared_key(GROUP, "log"), shared_key(GROUP, "begun")
LOST = 10 * 60_000
"""After how long a change that has begun and never ended is written down as it is, in milliseconds."""

TOLD = frozenset({"team", "agent", "role", "disabled", "state", "action", "written"})
"""Fields of bodies whose values are names of the configuration or words of ours; of all others, only the field."""

WORD = re.compile(rf"{NAME}|", re.ASCII)


class Happened(msgspec.Struct, omit_defaults=True):
    """One entry. *status* 0: the process died while it was at it. *at* is in milliseconds."""

    at: int
    who: str
    role: str
    method: str
    path: str
    parts: dict[str, str] = {}
    fields: list[str] = []
    values: dict[str, str | bool | None] = {}
    remote: str = ""
    request: str = ""
    status: int = 0
    what: str = ""


class Audit:
    """The layer of the API, and the log that it writes."""

    def __init__(self, store: Store, settings: Callable[[], Settings], now: Callable[[], int]) -> None:
        self._store = store
        self._settings = settings
        self._now = now

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [Route("GET", "/audit", "admin", self.show)]

    async def __call__(self, route: Route, ask: Ask, work: Work) -> web.StreamResponse:
        """Do *work*, and write down that it was done before anybody hears of it. Raises `StoreError`."""
        if ask.request.method in SAFE or not route.changes or route.role == ANYONE:
            return await work(ask)
        one = Happened(
            self._now(),
            ask.token.caller,
            ask.token.role,
            route.method,
            route.path,
            {name: shown(part) for name, part in ask.request.match_info.items()},
            remote=ask.remote,
            request=ask.headers.get("X-Request-Id", ""),
        )
        await self._run("begin", one.request, msgspec.json.encode(one).decode())
        response = await work(ask)
        if response.status < 400 and not ask.facts.get("unchanged"):
            one.status = response.status
            one.fields, one.values = told(ask.facts.get("body"))
            await self._end(one)
        else:
            await self._run("end", one.request, "", "0")
        return response

    async def note(self, ask: Ask, who: str, what: str, status: int) -> None:
        """Write down a sign-in, or that one failed. Raises `StoreError`."""
        one = Happened(
            self._now(),
            who,
            ask.token.role,
            ask.request.method,
            "/session",
            remote=ask.remote,
            request=ask.headers.get("X-Request-Id", ""),
            status=status,
            what=what,
        )
        await self._run("begin", one.request, "{}")
        await self._end(one)

    async def _end(self, one: Happened) -> None:
        oldest = f"{max(0, self._now() - self._settings().retention.audit)}-0"
        await self._run("end", one.request, msgspec.json.encode(one).decode(), oldest)

    async def _run(self, *arguments: str) -> Any:
        return await self._store.run(AUDIT, GROUP, [LOG, BEGUN], arguments)

    async def show(self, ask: Ask) -> web.Response:
        """Changes, newest first; `?who=` and `?since=` narrow them."""
        cursor, who = ask.query("cursor"), ask.query("who")
        if cursor and not AT.fullmatch(cursor):
            raise Problem(400, "Bad parameter", "this is no cursor of this list")
        since = moment(ask.query("since")) if ask.query("since") else 0
        await self._sweep()
        limit, top = ask.limit(), f"({cursor}" if cursor else "+"
        found: list[tuple[str, Happened]] = []
        while len(found) <= limit:
            page = await self._store.do(GROUP, "XREVRANGE", LOG, top, f"{since}-0", "COUNT", limit + 1)
            for position, fields in page:
                one = msgspec.json.decode(fields[1], type=Happened)
                if who in ("", one.who):
                    found.append((position, one))
                top = f"({position}"
            if len(page) <= limit:
                break
        items = [shape(position, one) for position, one in found[:limit]]
        return listing(items, found[limit - 1][0] if len(found) > limit else None)

    async def _sweep(self) -> None:
        """Write down what has begun and will never end. Raises `StoreError`."""
        begun = await self._store.do(GROUP, "HGETALL", BEGUN)
        for entry in begun[1::2]:
            one = msgspec.json.decode(entry, type=dict[str, Any])
            if one.get("at", 0) < self._now() - LOST:
                await self._end(msgspec.convert(one, Happened) if one else Happened(0, "", "", "", ""))


def shown(part: str) -> str:
    """Return a part of a path if it is an id or a name of the configuration; anything else could be personal."""
    return part if ID.fullmatch(part) or (re.fullmatch(NAME, part) and not part.isdigit()) else "…"


def told(body: Any) -> tuple[list[str], dict[str, str | bool | None]]:
    """Return which fields a body gives, and the values of those that are names or words of ours."""
    if not isinstance(body, msgspec.Struct):
        return [], {}
    plain: Mapping[str, Any] = {
        one.encode_name: getattr(body, one.name)
        for one in msgspec.structs.fields(body)
        if getattr(body, one.name) not in (msgspec.UNSET, one.default, "", [])
    }
    values = {
        name: value
        for name, value in plain.items()
        if name in TOLD and (value is None or isinstance(value, bool) or WORD.fullmatch(str(value)))
    }
    return sorted(plain), values


def shape(position: str, one: Happened) -> dict[str, Any]:
    """Return an entry as the API shows it."""
    kind, _, name = one.who.partition(":")
    return {
        "id": position,
        "at": rfc3339(one.at),
        "who": {"kind": kind or "unknown", "id": name or None},
        "role": one.role or None,
        "what": one.what or f"{one.method} {one.path}",
        "method": one.method,
        "path": one.path,
        "parts": one.parts,
        "fields": one.fields,
        "values": one.values,
        "remote": one.remote or None,
        "request": one.request,
        "status": one.status or None,
    }
