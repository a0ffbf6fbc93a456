"""One HTTP call to a platform, with every failure turned into the `SendError` that says what may be done."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from aiohttp.connector import Connection
from yarl import URL

from connectors.base import BadOptions, Rejected, Throttled, Uncertain, Unreachable

DEFAULT_TIMEOUT = 15.0
MAX_ANSWER = 32 << 20
CONNECTIONS = 3
"""How many connections a platform may close while a request is announced, before it counts as unreachable."""


LEAVING: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("leaving", default=None)
"""What the request that is being made in this task announces itself by."""


class Announcing(aiohttp.TCPConnector):
    """Has a request announced (`call`, *leaving*) when its connection is there, and nothing is left but to write it.

    A connection may take seconds to come; a message that is marked before it does would be in doubt if it never comes.
    One that was kept and is closed by the platform meanwhile is not written to: the message would be in doubt as well.
    """

    async def connect(self, *arguments: Any, **more: Any) -> Connection:
        """Return a connection to write to.

        Raises what aiohttp does, what the announcement does, and `Unreachable` if the platform always hangs up.
        """
        for _ in range(CONNECTIONS):
            connection = await super().connect(*arguments, **more)
            leaving = LEAVING.get()
            if leaving is None:
                return connection
            try:
                await leaving()
            except BaseException:
                connection.close()
                raise
            if not connection.closed:
                return connection
            connection.close()
        raise Unreachable("the platform hangs up before it is asked anything")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the platform answered: any status below 400 (or one that the caller asked to see)."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body as JSON. Raises `Uncertain` when it is none: the platform broke its own contract."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Uncertain(f"the platform answered {self.status} with something that is not JSON") from None


async def call(
    http: aiohttp.ClientSession,
    method: str,
    url: str | URL,
    *,
    leaving: Callable[[], Awaitable[None]] | None = None,
    repeatable: bool = False,
    see: frozenset[int] = frozenset(),
    timeout: float = DEFAULT_TIMEOUT,
    max_answer: int = MAX_ANSWER,
    **request: Any,
) -> Reply:
    """Make one request and return the platform's reply.

    *leaving* is awaited directly before the request: where the session has an `Announcing` connector when it is
    connected, else before. *repeatable* says that doing it twice does no
    harm (reads, token fetches): then a lost answer is `Unreachable` instead of `Uncertain`.
    Statuses in *see* are returned instead of raised. Redirects are not followed.

    Raises `Throttled` (429, or 503 with Retry-After), `Unreachable` (nothing left, or 503),
    `BadOptions` (401, 403), `Rejected` (other 4xx) or `Uncertain` (timeout, cut connection and
    other 5xx after the request left). No URL, header or body appears in any message.
    """
    lost = Unreachable if repeatable else Uncertain
    if leaving is not None and not isinstance(getattr(http, "connector", None), Announcing):
        await leaving()
        leaving = None
    announced = LEAVING.set(leaving)
    try:
        async with http.request(
            method, url, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=timeout, connect=timeout), **request
        ) as response:
            body = await read_limited(response.content, max_answer)
            reply = Reply(response.status, response.headers, body)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Unreachable(f"cannot connect to the platform ({type(error).__name__})") from None
    except TimeoutError:
        raise lost(f"the platform gave no answer within {timeout:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise lost(f"the connection to the platform broke ({type(error).__name__})") from None
    finally:
        LEAVING.reset(announced)
    if reply.status in see or reply.status < 300:
        return reply
    raise failure(reply, lost)


def failure(reply: Reply, lost: type[Unreachable | Uncertain]) -> Exception:
    """Name the `SendError` for an HTTP status of 300 or more (RFC 9110 §15, RFC 6585 §4)."""
    status, code = reply.status, str(reply.status)
    wait = retry_after(reply.headers)
    if status == 429:
        return Throttled("the platform asks us to slow down", retry_after=wait or 30.0, code=code)
    if status == 503:
        if wait:
            return Throttled("the platform is unavailable", retry_after=wait, code=code)
        return Unreachable("the platform is unavailable", code=code)
    if status >= 500:
        return lost(f"the platform failed with status {status}", code=code)
    if status in (401, 403):
        return BadOptions(f"the platform refused our credentials or permission (status {status})", code=code)
    return Rejected(f"the platform refused the request (status {status})", code=code)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds of a Retry-After header, given as such or as a date (RFC 9110 §10.2.3); 0 if there is none."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, moment.timestamp() - time.time())


async def read_limited(content: aiohttp.StreamReader, limit: int) -> bytes:
    """Read all of *content*. Raises `Rejected` past *limit* bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_chunked(1 << 16):
        size += len(part)
        if size > limit:
            raise Rejected(f"the platform's answer is larger than {limit} bytes")
        parts.append(part)
    return b"".join(parts)
