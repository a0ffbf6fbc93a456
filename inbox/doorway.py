"""The first to meet a connection: answers plain webhook calls, and hands everything else on with every byte.

A call is plain when it is an HTTP/1.1 POST to /hooks/ with a Content-Length and nothing that changes how a
message is framed (RFC 9112 §6): no Transfer-Encoding, Expect, Upgrade or Connection: close, no second
Content-Length, no folded or malformed header. Of such a call there is one reading only. At the first byte
that is not plain the connection goes to aiohttp, with all that was read, and stays there; so do API calls,
pages and sockets. aiohttp needs about half of the CPU of a small call, which is why (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import cast

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy, MultiDictProxy
from yarl import URL

log = logging.getLogger(__name__)

MAX_HEAD = 8 << 10
MAX_BODY = 1 << 20
SLOWEST = 30.0
"""Seconds that the rest of a call may take."""

# The possessive quantifiers keep hostile heads linear.
HEAD = re.compile(
    rb"POST (/hooks/[!-~]{1,4000}+) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[ \t]*+[\t -~\x80-\xff]*+\r\n)++)\r\n"
)
UNPLAIN = frozenset({"transfer-encoding", "expect", "upgrade", "content-encoding", "te", "trailer"})
REASONS = {status.value: status.phrase for status in HTTPStatus}


class Plain:
    """A call as `Ingress.hook` sees it: as much of aiohttp's request as hooks use, with the body there already."""

    __slots__ = ("_body", "headers", "method", "raw_path", "remote")

    def __init__(self, raw_path: str, headers: CIMultiDictProxy[str], body: bytes, remote: str) -> None:
        self.method = "POST"
        self.raw_path = raw_path
        self.headers = headers
        self.remote = remote
        self._body = body

    @property
    def query(self) -> MultiDictProxy[str]:
        path, _, query = self.raw_path.partition("?")
        return URL.build(path=path, query_string=query, encoded=True).query

    @property
    def content(self) -> Plain:
        return self

    def is_eof(self) -> bool:
        """Tell that nothing more comes."""
        return True

    def read_nowait(self) -> bytes:
        """Return the body."""
        return self._body


class Doorway(asyncio.Protocol):
    """One connection until it proves not to be plain. *crowd* holds all of them; *rest* makes aiohttp's protocol."""

    def __init__(
        self,
        hook: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        rest: Callable[[], asyncio.Protocol],
        crowd: set[Doorway],
        keepalive: float,
    ) -> None:
        self._hook = hook
        self._rest = rest
        self._crowd = crowd
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._remote = ""
        self._read = b""
        self._answering: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._full = False
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._remote = peer[0] if isinstance(peer, tuple) else ""
        self._crowd.add(self)
        self._since = self._loop.time()
        self._alarm = self._loop.call_later(SLOWEST, self._look)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        """Forget the connection; a call that is being answered is finished, for its events may be stored already."""
        self._leave()
        self._transport = None

    def pause_writing(self) -> None:
        """Answer no more until the client reads its answers."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        self._next()

    def data_received(self, data: bytes) -> None:
        """Take in what came; calls of one connection are answered one after the other."""
        if not self._read:
            self._since = self._loop.time()
        self._read += data
        if self._answering is None:
            self._next()
        elif len(self._read) > MAX_HEAD and self._transport is not None:
            self._transport.pause_reading()

    def close(self) -> asyncio.Task[None] | None:
        """Close as soon as nothing is being answered; return the task to wait for, if there is one."""
        self._closing = True
        if self._answering is None and self._transport is not None:
            self._transport.close()
        return self._answering

    def _next(self) -> None:
        """Begin the next call if it is complete; wait if it is not; hand over if it is not plain."""
        if not self._read or self._answering is not None or self._full or self._transport is None:
            return
        head = HEAD.match(self._read, 0, MAX_HEAD)
        if head is None:
            self._hand_over()
            return
        pairs = []
        length = None
        for line in head[2].decode("utf-8", "surrogateescape").split("\r\n")[:-1]:
            name, _, value = line.partition(":")
            value = value.strip(" \t")
            lowered = name.lower()
            if lowered == "content-length":
                if length is not None or not (value.isascii() and value.isdecimal() and len(value) < 8):
                    self._hand_over()
                    return
                length = int(value)
            elif lowered in UNPLAIN or (lowered == "connection" and value.lower() != "keep-alive"):
                self._hand_over()
                return
            pairs.append((name, value))
        if length is None or length > MAX_BODY:
            self._hand_over()
            return
        end = head.end() + length
        if len(self._read) < end:
            return  # the rest is on its way; `_look` gives up if it is not
        body, self._read = self._read[head.end() : end], self._read[end:]
        plain = Plain(head[1].decode("ascii"), CIMultiDictProxy(CIMultiDict(pairs)), body, self._remote)
        self._answering = self._loop.create_task(self._answer(plain))

    async def _answer(self, plain: Plain) -> None:
        try:
            response = await self._hook(cast("web.BaseRequest", plain))
            if self._transport is not None:
                self._transport.write(written(cast("web.Response", response)))
            self._closing = self._closing or response.keep_alive is False
        except Exception:
            # The hook answers every call by itself; whatever this is, the client must not wait for it.
            log.exception("a call could not be answered")
            self._closing = True
        finally:
            self._answering = None
        if self._transport is None:
            return
        if self._closing:
            self._transport.close()
            return
        self._since = self._loop.time()
        if self._read:
            self._transport.resume_reading()
            self._next()

    def _hand_over(self) -> None:
        """Give the connection to aiohttp, with everything that was read and not answered."""
        assert self._transport is not None
        transport, self._transport = self._transport, None
        self._leave()
        protocol = self._rest()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if not transport.is_reading():
            transport.resume_reading()
        protocol.data_received(self._read)

    def _leave(self) -> None:
        self._crowd.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()

    def _look(self) -> None:
        """Close a connection that has been silent for too long, in the middle of a call or between two."""
        patience = SLOWEST if self._read else self._keepalive
        left = self._since + patience - self._loop.time()
        if self._answering is None and left <= 0 and self._transport is not None:
            self._transport.close()
            return
        self._alarm = self._loop.call_later(min(max(left, 1.0), SLOWEST), self._look)


def written(response: web.Response) -> bytes:
    """Return a response as it goes over the wire. Raises ValueError for a header with a line break in it."""
    body = response.body if isinstance(response.body, bytes) else b""
    fields = tuple(response.headers.items())
    if response.keep_alive is False:
        fields += (("Connection", "close"),)
    if response.status < 200 or response.status in (204, 304):  # these have no body, RFC 9110 §6.4.1
        return b"%b\r\nDate: %b\r\n\r\n" % (begun(response.status, fields), stamp(int(time.time())))
    parts = (begun(response.status, fields), len(body), stamp(int(time.time())), body)
    return b"%b\r\nContent-Length: %d\r\nDate: %b\r\n\r\n%b" % parts


@lru_cache(maxsize=256)
def begun(status: int, fields: tuple[tuple[str, str], ...]) -> bytes:
    """Return the status line and *fields*, which are nearly always the same, without the last line break."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in fields if name not in ("Content-Length", "Date")]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "\r\n".join(lines).encode("utf-8")


@lru_cache(maxsize=2)
def stamp(second: int) -> bytes:
    """Return *second* (since 1970 UTC) as the Date header has it, RFC 9110 §5.6.7."""
    return formatdate(second, usegmt=True).encode("ascii")
