"""The frame of the HTTP API: one table of routes with their roles, bearer tokens, problem details (RFC 9457).

Who may come in, and what is done around every call, is given: `inbox.gate` admits, layers wrap the handlers.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from inbox.contacts import NoContact
from inbox.conversations import Conflict, NoConversation
from inbox.grams import BadQuery
from inbox.lists import BadCursor
from inbox.partitions import UnknownId
from inbox.store import Overloaded, StoreError
from inbox.work import Actor, Refusal

log = logging.getLogger(__name__)

ROLES = ("readonly", "agent", "supervisor", "admin")
ANYONE = "anyone"
"""The role of the few routes that are there before one has signed in."""

SAFE = frozenset({"GET", "HEAD"})
PREFIX = "/api/v1"
LIMIT = 50
MAX_LIMIT = 200
MAX_BODY = 1 << 20
RETRY_AFTER = 2
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
Body = TypeVar("Body", bound=msgspec.Struct)
Handler = Callable[["Ask"], Awaitable[web.StreamResponse]]
encode = msgspec.json.Encoder(order="deterministic").encode


class Problem(Exception):
    """An answer that is an error: an RFC 9457 problem with *status*, a short *title* and a *detail* for people.

    *wait* is after how many seconds one may try again, 0 if that is not known.
    """

    def __init__(self, status: int, title: str, detail: str = "", *, wait: int = 0, **more: Any) -> None:
        super().__init__(title)
        self.status, self.title, self.detail, self.wait, self.more = status, title, detail, wait, more

    def response(self) -> web.Response:
        """Return it as application/problem+json."""
        body = {"type": "about:blank", "title": self.title, "status": self.status, **self.more}
        if self.detail:
            body["detail"] = self.detail
        headers = dict(HEADERS)
        if self.wait or self.status == 503:
            headers["Retry-After"] = str(self.wait or RETRY_AFTER)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return web.Response(
            status=self.status, body=encode(body), headers=headers, content_type="application/problem+json"
        )


@dataclass(frozen=True, slots=True)
class Token:
    """Who may call: its *name*, its *role*, and as whom it works.

    *session* is the hash of a person's session, "" for a program; *rate* limits calls per second, 0 does not.
    """

    name: str
    role: str
    actor: Actor
    session: str = ""
    rate: float = 0.0

    @property
    def caller(self) -> str:
        """Who this is among all people and programs."""
        return f"{'person' if self.session else 'token'}:{self.name}"


class Tokens:
    """Bearer tokens, known by their hash alone."""

    def __init__(self, tokens: Iterable[tuple[str, Token]]) -> None:
        self._by_hash = {self._hash(secret): token for secret, token in tokens}

    @staticmethod
    def _hash(secret: str) -> bytes:
        return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()

    def find(self, header: str) -> Token:
        """Return whose Authorization header this is. Raises `Problem` 401."""
        scheme, _, secret = header.partition(" ")
        token = self._by_hash.get(self._hash(secret.strip())) if scheme.lower() == "bearer" else None
        if token is None:
            raise Problem(401, "Who are you?", "Send a valid token: Authorization: Bearer …")
        return token


@dataclass(frozen=True, slots=True)
class Ask:
    """One call: the request, who makes it from where, and the parts of the path.

    *hidden* are the teams whose conversations do not exist for the caller. *headers* go out with the answer, *facts*
    go into the audit log; both may be added to. *instead* stands for parts of the path.
    """

    request: web.Request
    token: Token
    remote: str = ""
    hidden: frozenset[str] = frozenset()
    headers: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        return self.token.actor

    @property
    def language(self) -> str:
        """The language of ours that a program asks to be answered in, "" if it does not say; pages have their own."""
        asked = "" if self.token.session else self.request.headers.get("Accept-Language", "")
        tags = [part.partition(";")[0].strip().lower() for part in asked.split(",")]
        return next(({"zh": "zh-CN", "en": "en"}[tag[:2]] for tag in tags if tag[:2] in {"zh", "en"}), "")

    def part(self, name: str) -> str:
        """Return a variable part of the path."""
        return self.instead.get(name) or self.request.match_info[name]

    def query(self, name: str) -> str:
        """Return a query parameter, "" if it is not given."""
        return self.request.query.get(name, "")

    def flag(self, name: str) -> bool:
        """Return a query parameter that is true or false. Raises `Problem` 400."""
        if self.query(name) not in {"", "true", "false"}:
            raise Problem(400, "Bad parameter", f"{name} must be true or false")
        return self.query(name) == "true"

    def limit(self) -> int:
        """Return how many items are asked for. Raises `Problem` 400."""
        text = self.query("limit") or str(LIMIT)
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
            raise Problem(400, "Bad parameter", f"limit must be a number from 1 to {MAX_LIMIT}")
        return int(text)

    def cursor(self) -> int | None:
        """Return the cursor of a list whose places are numbers, None for its beginning. Raises `Problem` 400."""
        text = self.query("cursor")
        if text and not re.fullmatch(r"[0-9]{1,15}", text):
            raise Problem(400, "Bad parameter", "this is no cursor of this list")
        return int(text) if text else None

    async def read(self, limit: int | None = None) -> bytes:
        """Return the body as it came. Raises `Problem` 400 and 413."""
        if limit is not None and (self.request.content_length or 0) > limit:
            raise Problem(413, "The body is too large", f"at most {limit} bytes")
        try:
            data = await self.request.read()
        except (web.PayloadAccessError, web.RequestPayloadError, aiohttp.ClientError):
            raise Problem(400, "The body cannot be read") from None
        if limit is not None and len(data) > limit:
            raise Problem(413, "The body is too large", f"at most {limit} bytes")
        return data

    async def body(self, kind: type[Body], limit: int | None = MAX_BODY) -> Body:
        """Return the JSON body, checked. Raises `Problem` 400, 413 or 422, which says where and what."""
        data = await self.read(limit)
        try:
            value = msgspec.json.decode(data or b"{}", type=kind)
        except msgspec.ValidationError as error:
            raise Problem(422, "The body does not fit", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(400, "The body is no JSON", str(error)) from None
        self.facts["body"] = value
        return value


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the API's table: who may call what. *changes*: whether a call that is no GET is a change."""

    method: str
    path: str
    role: str
    handler: Handler
    changes: bool = True


Work = Callable[[Ask], Awaitable[web.StreamResponse]]
Layer = Callable[[Route, Ask, Work], Awaitable[web.StreamResponse]]
"""What is done around a handler: it calls the work it is given, or does not."""

Admit = Callable[[Route, web.Request], Awaitable[Ask]]


def answer(value: Any, status: int = 200) -> web.Response:
    """Return *value* as JSON."""
    return web.Response(status=status, body=encode(value), headers=HEADERS, content_type="application/json")


def listing(items: Sequence[Any], following: str | int | None = None) -> web.Response:
    """Return one page of a list."""
    return answer({"items": items, "next": str(following) if following not in (None, "") else None})


def rfc3339(milliseconds: int) -> str | None:
    """Print a time as RFC 3339 in UTC; None for 0 (never)."""
    if not milliseconds:
        return None
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> int:
    """Parse an RFC 3339 time into milliseconds. Raises `Problem` 422."""
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Problem(422, "The body does not fit", "expected a time such as 2026-11-21T09:30:00Z") from None
    if parsed.tzinfo is None:
        raise Problem(422, "The body does not fit", "a time needs a zone, such as Z or +08:00")
    if not 1970 <= parsed.year < 9999:
        raise Problem(422, "The body does not fit", "expected a year from 1970 to 9998")
    return int(parsed.timestamp() * 1000)


class Api:
    """The API as an aiohttp handler factory.

    *admit* says who calls, or raises `Problem`. *layers* lie around every handler, the outermost first. *extra* maps
    further exceptions to (status, title).
    """

    def __init__(
        self,
        routes: Iterable[Route],
        admit: Admit,
        layers: Sequence[Layer] = (),
        extra: Mapping[type[Exception], tuple[int, str]] | None = None,
    ) -> None:
        self.routes = tuple(routes)
        self._admit = admit
        self._layers = tuple(layers)
        self._errors: dict[type[Exception], tuple[int, str]] = {
            UnknownId: (404, "There is no such thing"),
            NoConversation: (404, "There is no such conversation"),
            NoContact: (404, "There is no such contact"),
            Refusal: (409, "That makes no sense now"),
            Conflict: (409, "Somebody else changed it at the same moment"),
            BadCursor: (400, "Bad parameter"),
            BadQuery: (400, "Bad parameter"),
            **(extra or {}),
        }

    def mount(self, app: web.Application) -> None:
        """Add every route to *app*; where two fit, the one with fewer variable parts is meant."""
        for route in sorted(self.routes, key=lambda one: one.path.count("{")):
            guarded = self._guard(route)
            app.router.add_route(route.method, PREFIX + route.path, guarded)
            if route.method == "GET":
                app.router.add_route("HEAD", PREFIX + route.path, guarded)
        app.router.add_route("*", PREFIX, self._unknown)
        app.router.add_route("*", PREFIX + "/{rest:.*}", self._unknown)

    def _guard(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        work = self._work(route)

        async def handle(request: web.Request) -> web.StreamResponse:
            asked: list[Ask] = []

            async def whole() -> web.StreamResponse:
                asked.append(await self._admit(route, request))
                return await work(asked[0])

            response = await self._settled(route, whole)
            if asked and not response.prepared:
                response.headers.update(asked[0].headers)
            return response

        return handle

    def _work(self, route: Route) -> Work:
        """Return the handler of a route with all layers around it."""

        async def inner(ask: Ask) -> web.StreamResponse:
            return await self._settled(route, lambda: route.handler(ask))

        work: Work = inner
        for layer in reversed(self._layers):
            work = _around(layer, route, work)
        return work

    async def _settled(self, route: Route, work: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Return the answer of *work*, or the problem that it ran into."""
        try:
            return await work()
        except Problem as problem:
            return problem.response()
        except web.HTTPRequestEntityTooLarge:
            return Problem(413, "The body is too large").response()
        except StoreError as error:
            log.warning("the API waits for the store: %s", error)
            title = "Too busy" if isinstance(error, Overloaded) else "The store is away"
            return Problem(503, title, "Try again in a moment.").response()
        except Exception as error:
            status, title = self._errors.get(type(error), (0, ""))
            if status:
                return Problem(status, title, str(error)).response()
            log.exception("%s %s failed", route.method, route.path)
            return Problem(500, "The hub failed", "This is a fault of the hub; it has been logged.").response()

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        allowed = {route.method for route in self.routes if self._fits(route, request.path)}
        if allowed:
            problem = Problem(405, "Not with this method", f"this path takes {', '.join(sorted(allowed))}").response()
            problem.headers["Allow"] = ", ".join(sorted(allowed))
            return problem
        return Problem(404, "There is no such path").response()

    @staticmethod
    def _fits(route: Route, path: str) -> bool:
        wanted, given = (PREFIX + route.path).split("/"), path.split("/")
        return len(wanted) == len(given) and all(
            (one.startswith("{") and other) or one == other for one, other in zip(wanted, given, strict=True)
        )


def _around(layer: Layer, route: Route, work: Work) -> Work:
    async def call(ask: Ask) -> web.StreamResponse:
        return await layer(route, ask, work)

    return call
