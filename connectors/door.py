"""What webhooks and chat sites share at the HTTP edge: bounded bodies, calls, answers, limits per source.

Nothing here logs or keeps a body, a query or an address.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy

from connectors.base import Answer, Event, WebhookCall

SLOWEST_BODY = 30.0
"""Seconds that a client may take to send a body."""

AWAY_RETRY = 2.0
"""Seconds after which a caller may come again when the store is away."""

NO_QUERY: Mapping[str, str] = {}

Record = Callable[[str, Sequence[Event]], Awaitable[None]]
Shunt = Callable[[str, bytes, str, Mapping[str, object]], Awaitable[None]]
Count = Callable[[str, str], None]


class Channel(Protocol):
    """What the door must know of a configured channel; *connector* is None while the channel is down."""

    @property
    def name(self) -> str: ...

    @property
    def connector(self) -> object | None: ...

    @property
    def secret_path(self) -> str | None: ...


class Unavailable(Exception):  # named like the rest of the contract's errors
    """The store cannot take events now; the caller is asked to come again after *retry_after* seconds."""

    def __init__(self, message: str = "the store is unavailable", *, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(Exception):  # see Unavailable
    """A request that is turned away before any connector sees it; *outcome* is what is counted."""

    def __init__(self, status: int, outcome: str, *, retry_after: float = 0.0) -> None:
        super().__init__(outcome)
        self.status = status
        self.outcome = outcome
        self.retry_after = retry_after


class Head(NamedTuple):
    """A request without its body. *target* is the path with the query as it came, *peer* the address it came from."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    peer: str


def head_of(request: web.BaseRequest) -> Head:
    """Return the head of one of aiohttp's requests."""
    return Head(request.method, request.raw_path, request.headers, request.remote or "")


@dataclass(frozen=True, slots=True)
class Door:
    """What the hub lends to the HTTP edge.

    *channels* returns the channels by name, as they are now. *record* makes events durable or
    raises `Unavailable`; *shunt* does the same for a payload nobody understands. *count* is told
    (channel, outcome); a call for no known channel is counted for "". *remote* names the source of
    a request for its limits (behind a proxy: the client that the proxy names). *away* is what a
    connector's memory raises while the store is away: then the call is to come again, as with `Unavailable`.
    """

    channels: Callable[[], Mapping[str, Channel]]
    record: Record
    shunt: Shunt
    public_url: str
    now: Callable[[], int]
    count: Count
    remote: Callable[[str, CIMultiDictProxy[str]], str]
    away: type[Exception] = Unavailable

    def call(self, head: Head, body: bytes) -> WebhookCall:
        """Return a request as connectors see it."""
        path, _, query = head.target.partition("?")
        return WebhookCall(
            head.method,
            self.public_url + head.target,
            path,
            parameters(query) if query else NO_QUERY,
            head.headers,
            body,
            self.remote(head.peer, head.headers),
            self.now(),
        )


def parameters(query: str) -> MultiDictProxy[str]:
    """Return the parameters of a URL's *query*, also those that are empty or there twice."""
    if "%" in query or "+" in query:
        return MultiDictProxy(MultiDict(parse_qsl(query, keep_blank_values=True)))
    # Nothing is encoded, which is the rule: then this says the same for half of the time.
    return MultiDictProxy(MultiDict([part.partition("=")[::2] for part in query.split("&") if part]))


def peer(address: str, headers: CIMultiDictProxy[str]) -> str:  # noqa: ARG001  # others look at them
    """Name the source of a request by its connection."""
    return address


def protections(public_url: str) -> CIMultiDict[str]:
    """Return the headers that every answer carries unless a connector says otherwise."""
    headers = CIMultiDict(
        {
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Server": "huiliu",
        }
    )
    if public_url.startswith("https:"):
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


def respond(answer: Answer, protected: CIMultiDict[str]) -> web.Response:
    """Return *answer* with the protecting headers, which its own headers override."""
    headers = protected.copy()
    headers["Content-Type"] = answer.content_type
    if answer.headers:
        headers.update(answer.headers)
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def wait_header(seconds: float) -> dict[str, str]:
    """Return the Retry-After header for *seconds* (RFC 9110 §10.2.3: whole seconds)."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def vet(headers: CIMultiDictProxy[str], limit: int) -> None:
    """Raise `Refused` if *headers* announce a compressed body or one of more than *limit* bytes."""
    # Inflated, a few kilobytes could become gigabytes, and no platform compresses its calls.
    if headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(415, "encoded")
    length = headers.get("Content-Length")
    if length is not None and int(length) > limit:
        raise Refused(413, "too_large")


async def read_body(request: web.BaseRequest, limit: int, *, greet: bool = False) -> bytes:
    """Return the body. Raises `Refused` for more than *limit* bytes, a compressed, a cut or a slow body.

    *greet*: tell a client that waits for "100 Continue" to go on; aiohttp's router does so by itself.
    """
    vet(request.headers, limit)
    content = request.content
    try:
        if content.is_eof():  # nearly always: head and body arrive together
            body = content.read_nowait()
            if len(body) > limit:
                raise Refused(413, "too_large")
            return body
        if greet and request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts: list[bytes] = []
        size = 0
        async with asyncio.timeout(SLOWEST_BODY):
            while part := await content.readany():
                size += len(part)
                if size > limit:
                    raise Refused(413, "too_large")
                parts.append(part)
    except TimeoutError:
        raise Refused(408, "slow") from None
    except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, ConnectionError):
        raise Refused(400, "cut") from None
    return b"".join(parts)


def place(error: BaseException) -> str:
    """Say what *error* is and where it arose, without its message, which may hold personal data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{where}"


def described(call: WebhookCall) -> dict[str, object]:
    """Return what must be kept with a shunted body so that `rebuilt` can repeat the call; JSON values only."""
    return {
        "method": call.method,
        "url": call.url,
        "path": call.path,
        "headers": [list(pair) for pair in call.headers.items()],
        "remote": call.remote,
        "at": call.now,
    }


class Buckets:
    """Token buckets, one for each source: *burst* at once, then *rate* a second; the oldest of *most* is forgotten."""

    def __init__(self, burst: float, rate: float, *, most: int = 20_000) -> None:
        self._burst = burst
        self._rate = rate
        self._most = most
        self._left: dict[str, tuple[float, int]] = {}

    def take(self, source: str, now: int) -> float:
        """Take one token of *source* at *now* (ms); return 0, or the seconds to wait if there was none."""
        left, since = self._left.pop(source, (self._burst, now))
        left = min(self._burst, left + max(0, now - since) * self._rate / 1000)
        spent = left >= 1
        self._left[source] = (left - 1 if spent else left, now)
        if len(self._left) > self._most:
            del self._left[next(iter(self._left))]
        return 0.0 if spent else (1 - left) / self._rate
