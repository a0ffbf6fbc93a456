"""The first to meet a connection: answers platform calls itself, and hands everything else on with every byte.

What is more than half of a small call's cost in aiohttp is here only parsing, which is
httptools' (llhttp, the parser of Node.js), and one task. A connection belongs to whoever its next call is for:
while it begins with `POST /hooks/` it stays here, and with the first other byte it goes to aiohttp for good.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from multidict import CIMultiDict, CIMultiDictProxy

from connectors.base import Answer
from connectors.door import SLOWEST_BODY, Head, Refused, vet

log = logging.getLogger(__name__)

OURS = b"POST /hooks/"
MAX_HEAD = 16 << 10
"""Bytes of a request line with all headers."""

AHEAD = 64 << 10
"""Bytes that a client may send before the answer to what it sent earlier."""

NO_HEADERS: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
PHRASES = {status.value: status.phrase for status in HTTPStatus}

Fields = tuple[tuple[str, str], ...]


class Lobby:
    """What all doorways of a server share.

    *answer* takes a call's head and its body, or why the body is not taken. *rest* makes the protocol for all other
    connections. *body_limit* is in bytes, *keepalive* in seconds; *protected* are headers of every answer.
    """

    def __init__(
        self,
        answer: Callable[[Head, bytes | Refused], Awaitable[Answer]],
        rest: Callable[[], asyncio.Protocol],
        body_limit: int,
        keepalive: float,
        protected: Mapping[str, str],
    ) -> None:
        self.answer = answer
        self.rest = rest
        self.body_limit = body_limit
        self.keepalive = keepalive
        self.begun = lru_cache(maxsize=256)(partial(begun, tuple(protected.items())))
        self.doorways: set[Doorway] = set()
        self.loop = asyncio.get_running_loop()

    def __call__(self) -> Doorway:
        """Make the protocol of a new connection."""
        return Doorway(self)

    async def close(self, limit: float) -> None:
        """Close what is idle at once, and the rest when it has been answered, or after *limit* seconds."""
        answering = [task for doorway in list(self.doorways) if (task := doorway.close()) is not None]
        if answering:
            await asyncio.wait(answering, timeout=limit)


class Doorway(asyncio.Protocol):
    """One connection, until it proves to be for somebody else. One call is answered after the other."""

    def __init__(self, lobby: Lobby) -> None:
        self._lobby = lobby
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._ahead = b""  # came before its turn
        self._answering: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._full = False
        self._closing = False
        self._parser = HttpRequestParser(self)
        self._idle()

    def _idle(self) -> None:
        """Be ready for the next call."""
        self._begun = False
        self._target = b""
        self._pairs: list[tuple[str, str]] = []
        self._headers = NO_HEADERS
        self._head_size = 0
        self._in_body = False
        self._keeps = True
        self._body: list[bytes] = []
        self._size = 0
        self._trouble: Refused | None = None
        self._complete = False
        self._crowded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._lobby.doorways.add(self)
        self._since = self._lobby.loop.time()
        self._alarm = self._lobby.loop.call_later(SLOWEST_BODY, self._look)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        """Forget the connection; a call that is being answered is finished, for its events may be stored already."""
        self._leave()
        self._transport = None

    def pause_writing(self) -> None:
        """Take no more calls until the client reads its answers."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._answering is not None or self._full:
            self._ahead += data
            if len(self._ahead) > AHEAD and self._transport is not None:
                self._transport.pause_reading()
        elif self._begun:
            self._feed(data)
        else:
            self._begin(self._ahead + data if self._ahead else data)

    def _begin(self, data: bytes) -> None:
        """Begin a call, wait for more of its first bytes, or find that it is for somebody else."""
        if data.startswith(OURS):
            self._ahead = b""
            self._since = self._lobby.loop.time()
            self._begun = True
            self._feed(data)
        elif OURS.startswith(data):
            self._ahead = data
        else:
            self._hand_over(data)

    def _feed(self, data: bytes) -> None:
        if not self._in_body:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            # After a complete call this is only about what follows it, which is not taken anyway.
            self._crowded = True
            if not self._complete:
                self._refuse(Refused(400, "malformed"))
                return
        if self._trouble is not None or self._complete:
            self._take(self._trouble or b"".join(self._body))
        elif not self._in_body and self._head_size > MAX_HEAD:
            self._refuse(Refused(431, "too_large"))

    def _take(self, body: bytes | Refused) -> None:
        """Have the call answered.

        The connection is closed afterwards if the client asks for it, and when what follows cannot be told apart: a
        client that sends two calls at once must be prepared for a close after the first (RFC 9112 §9.3.2).
        """
        self._closing = self._closing or self._crowded or not self._keeps or isinstance(body, Refused)
        head = Head("POST", self._target.decode("ascii", "surrogateescape"), self._headers, self._peer)
        self._answering = self._lobby.loop.create_task(self._answer(head, body))

    def on_message_begin(self) -> None:
        """Hear from the parser that a call begins."""
        self._crowded = self._complete

    def on_url(self, url: bytes) -> None:
        """Hear a part of the request target."""
        if not self._complete:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Hear a header, or a trailer, which is not wanted."""
        if not self._complete and not self._in_body:
            self._pairs.append((name.decode("latin-1"), value.decode("utf-8", "surrogateescape")))

    def on_headers_complete(self) -> None:
        """Look at the headers before the body is read."""
        if self._complete:
            return
        self._in_body = True
        self._keeps = self._parser.should_keep_alive()  # llhttp forgets it with the end of the call
        headers = self._headers = CIMultiDictProxy(CIMultiDict(self._pairs))
        if self._head_size > MAX_HEAD and self._too_much():  # one chunk may hold more than the head
            self._trouble = Refused(431, "too_large")
            return
        try:
            vet(headers, self._lobby.body_limit)
        except Refused as refused:
            self._trouble = refused
            return
        if headers.get("Expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _too_much(self) -> bool:
        return len(self._target) + sum(len(name) + len(value) for name, value in self._pairs) > MAX_HEAD

    def on_body(self, body: bytes) -> None:
        """Hear a part of the body."""
        if self._complete or self._trouble is not None:
            return
        self._size += len(body)
        if self._size > self._lobby.body_limit:
            self._trouble = Refused(413, "too_large")
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hear that the call is there."""
        self._complete = True

    def close(self) -> asyncio.Task[None] | None:
        """Close as soon as nothing is being answered; return the task to wait for, if there is one."""
        self._closing = True
        if self._answering is None and self._transport is not None:
            self._transport.close()
        return self._answering

    async def _answer(self, head: Head, body: bytes | Refused) -> None:
        try:
            answer = await self._lobby.answer(head, body)
            if self._transport is not None:
                self._transport.write(written(answer, self._lobby.begun, self._connection()))
        except Exception:
            # Every call is answered by whom it is for; whatever this is, the client must not wait for it.
            log.exception("a call could not be answered")
            self._closing = True
        finally:
            self._answering = None
        if self._transport is None:
            return
        if self._closing:
            self._transport.close()
            return
        self._idle()
        self._since = self._lobby.loop.time()
        if self._ahead:
            self._transport.resume_reading()
            self._go_on()

    def _connection(self) -> str:
        """Return what the client must hear of the connection's future: only what is not usual in its version."""
        if self._closing:
            return "close"
        return "keep-alive" if self._parser.get_http_version() == "1.0" else ""

    def _go_on(self) -> None:
        waits = not self._begun and self._answering is None and not self._full
        if self._ahead and waits and self._transport is not None:
            self._begin(self._ahead)

    def _refuse(self, refused: Refused) -> None:
        """Answer what is no call at all, and close."""
        if self._transport is not None and not self._transport.is_closing():
            answer = Answer(refused.status)
            self._transport.write(written(answer, self._lobby.begun, "close"))
            self._transport.close()

    def _hand_over(self, data: bytes) -> None:
        """Give the connection to aiohttp with the bytes that were read and not answered."""
        assert self._transport is not None
        transport, self._transport = self._transport, None
        self._leave()
        protocol = self._lobby.rest()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        protocol.data_received(data)

    def _leave(self) -> None:
        self._lobby.doorways.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()

    def _look(self) -> None:
        """Close a connection that has been silent for too long, within a call or between two."""
        patience = SLOWEST_BODY if self._begun or self._ahead else self._lobby.keepalive
        left = self._since + patience - self._lobby.loop.time()
        if self._answering is None and left <= 0:
            if self._in_body:
                self._take(Refused(408, "slow"))
            elif self._begun:
                self._refuse(Refused(408, "slow"))
            elif self._transport is not None:
                self._transport.close()
            return
        self._alarm = self._lobby.loop.call_later(min(max(left, 1.0), SLOWEST_BODY), self._look)


def written(answer: Answer, begin: Callable[[int, str, Fields], bytes], connection: str = "") -> bytes:
    """Return an answer as it goes over the wire; *connection* is the header of this name, if there is to be one.

    *begin* makes the status line and the headers. Raises ValueError for a header with a line break in it.
    """
    own = (*answer.headers.items(), ("Connection", connection)) if connection else tuple(answer.headers.items())
    top = begin(answer.status, answer.content_type, own)
    if answer.status < 200 or answer.status in (204, 304):  # these have no body, RFC 9110 §6.4.1
        return b"%b\r\nDate: %b\r\n\r\n" % (top, _stamp(int(time.time())))
    return b"%b\r\nContent-Length: %d\r\nDate: %b\r\n\r\n%b" % (
        top,
        len(answer.body),
        _stamp(int(time.time())),
        answer.body,
    )


def begun(protected: Fields, status: int, content_type: str, own: Fields) -> bytes:
    """Return status line and headers, which are nearly always the same; *own* ones override those that *protected*."""
    fields = CIMultiDict(protected)
    fields["Content-Type"] = content_type
    fields.update(own)
    phrase = PHRASES.get(status, "")
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


@lru_cache(maxsize=2)
def _stamp(second: int) -> bytes:
    """Return *second* (since 1970 UTC) as the Date header has it, RFC 9110 §5.6.7."""
    return formatdate(second, usegmt=True).encode("ascii")
