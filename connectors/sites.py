"""Pages and live sockets of channels that have them (`Site`), below /chat/{channel}.

The connector says who may come in and what a frame means; this module owns HTTP, sockets and
their limits. Unlike a platform, a visitor's page is told at once that a frame was refused and
keeps what it could not deliver, so nothing of a visitor is shunted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from connectors.base import Answer, Malformed, Site, Unverified, WebhookCall
from connectors.door import (
    AWAY_RETRY,
    Buckets,
    Door,
    Refused,
    Unavailable,
    head_of,
    place,
    protections,
    read_body,
    respond,
    wait_header,
)

FRAME_LIMIT = 64 << 10
"""Bytes of one frame in; a larger one closes the socket with 1009 (RFC 6455 §7.4.1)."""

FRAME_BURST, FRAME_RATE = 20, 5
"""Frames in of one socket: at once, and then a second. A faster visitor is read more slowly, not refused."""

HEARTBEAT = 25.0
POLL_WAIT = 25.0
POLL_FRAMES = 200
SEND_WAIT = 15.0
"""Seconds that a visitor's connection may take to accept a frame before it is cut."""

MOST_VISITORS = 10_000
MOST_PER_SOURCE = 200
"""Sockets and waiting polls in one process, and of one source: an office or a mobile carrier shares an address."""

SMALL = 64 << 10
MOST_FILES = 8
"""Bodies over `SMALL` bytes read at the same time; each may take as much memory as the largest file."""

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "7200",
}
"""What a page of an admitted site may ask for (https://fetch.spec.whatwg.org/#http-cors-protocol), and for how long
its browser believes so (s). No credentials: the visitor proves himself with his token, never with a cookie."""

_PREFIX = "/chat/"
_log = logging.getLogger(__name__)


class Sites:
    """The handlers of /chat/; *file_limit* is the most bytes of a posted file."""

    def __init__(self, door: Door, *, file_limit: int) -> None:
        self._door = door
        self._file_limit = max(file_limit, SMALL)
        self._protected = protections(door.public_url)
        self._sockets: dict[web.WebSocketResponse, web.BaseRequest] = {}
        self._polls: set[asyncio.Timeout] = set()
        self._visitors: dict[str, int] = {}
        self._posts = Buckets(burst=60, rate=5)
        self._opens = Buckets(burst=60, rate=10)
        self._files = 0
        self._closed = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/chat/{channel}", self.get),
            web.get("/chat/{channel}/{tail:.*}", self.get),
            web.post("/chat/{channel}/{tail:.*}", self.post),
            web.options("/chat/{channel}/{tail:.*}", self.options),
        ]

    async def close(self) -> None:
        self._closed = True
        for limit in self._polls:
            limit.reschedule(asyncio.get_running_loop().time())
        goodbyes = (_cut(*visit, WSCloseCode.GOING_AWAY, b"shutting down") for visit in tuple(self._sockets.items()))
        await asyncio.gather(*goodbyes)

    async def get(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a page, or open a socket or a poll."""
        name, tail = _split(request)
        try:
            site = self._site(name)
            call = self._door.call(head_of(request), b"")
            if tail not in ("socket", "poll"):
                return respond(await site.page(call), self._protected)
            with self._visit(request):
                if tail == "socket":
                    return await self._socket(request, name, site, call)
                return self._respond(request, await self._poll(site, call))
        except Exception as error:  # noqa: BLE001  # judged and answered
            return self._respond(request, self._judge(name, error))

    async def post(self, request: web.BaseRequest) -> web.Response:
        """Answer a frame or a file that a visitor posts."""
        name, _ = _split(request)
        try:
            site = self._site(name)
            self._take(self._posts, request)
            with self._room(request):
                body = await read_body(request, self._file_limit)
                answer = await self._accept(name, site, self._door.call(head_of(request), body))
        except Refused as refused:
            response = self._respond(request, self._judge(name, refused))
            response.force_close()  # part of the body may not have been read
            return response
        return self._respond(request, answer)

    async def options(self, request: web.BaseRequest) -> web.Response:
        """Tell a browser whether a page of another site may call; one that is not admitted hears nothing of it."""
        name, _ = _split(request)
        try:
            self._site(name)
        except Refused as refused:
            return respond(self._judge(name, refused), self._protected)
        allowed = PREFLIGHT if self._admits(request) else {}
        return self._respond(request, Answer(204, headers={"Allow": "GET, POST, OPTIONS", **allowed}))

    def _admits(self, request: web.BaseRequest) -> bool:
        """Tell whether a page of another site calls, one whose pages may."""
        channel = self._door.channels().get(_split(request)[0])
        origins = getattr(channel.connector, "origins", ()) if channel is not None else ()
        return request.headers.get("Origin", "").lower() in origins

    def _respond(self, request: web.BaseRequest, answer: Answer) -> web.Response:
        """Return *answer*, readable for the page of an admitted site that calls, be it an error."""
        response = respond(answer, self._protected)
        if self._admits(request):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = "Retry-After"
            response.headers.add("Vary", "Origin")
        return response

    async def _accept(self, name: str, site: Site, call: WebhookCall) -> Answer:
        """Let the connector parse *call*, make its events durable and return what the visitor's page is told."""
        try:
            received = await site.receive(call)
            if received.events:
                await self._door.record(name, received.events)
        except Exception as error:  # noqa: BLE001  # judged and answered; one visitor's frame ends no other chat
            return self._judge(name, error)
        self._door.count(name, "accepted" if received.answer.status < 400 else "refused")
        return received.answer

    async def _poll(self, site: Site, call: WebhookCall) -> Answer:
        """Return the frames that the visitor has not seen as a JSON list; wait for the first of them."""
        frames: list[str] = []
        clock = asyncio.get_running_loop().time
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_WAIT) as limit, _feeding(site, call) as feed:
                self._polls.add(limit)
                try:
                    async for frame in feed:
                        frames.append(frame)
                        if len(frames) == POLL_FRAMES:
                            break
                        limit.reschedule(clock() + 0.02)  # only what lies ready already
                finally:
                    self._polls.discard(limit)
        return Answer(body=f"[{','.join(frames)}]".encode(), content_type="application/json")

    async def _socket(
        self, request: web.BaseRequest, name: str, site: Site, call: WebhookCall
    ) -> web.WebSocketResponse:
        # Browsers cannot set headers on a socket, so a visitor may prove himself in a second offered
        # subprotocol; naming the first one back is what makes the browser accept the connection.
        offered = request.headers.get("Sec-WebSocket-Protocol", "").partition(",")[0].strip()
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT,
            max_msg_size=FRAME_LIMIT,
            compress=False,
            protocols=[offered] if offered else [],
            timeout=5,
        )
        if not socket.can_prepare(request):
            raise Refused(426, "no_socket")
        socket.headers.update(self._protected)
        await socket.prepare(request)
        self._sockets[socket] = request
        try:
            async with asyncio.TaskGroup() as group:
                feeding = group.create_task(self._feed(request, socket, name, site, call))
                await self._listen(request, socket, name, site, call)
                feeding.cancel()
        finally:
            del self._sockets[socket]
        return socket

    async def _listen(
        self, request: web.BaseRequest, socket: web.WebSocketResponse, name: str, site: Site, call: WebhookCall
    ) -> None:
        """Take the visitor's frames one after the other, each answered before the next is read."""
        frames = Buckets(FRAME_BURST, FRAME_RATE)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                await _cut(socket, request, WSCloseCode.UNSUPPORTED_DATA, b"text frames only")
                return
            now = self._door.now()
            while wait := frames.take("", now):
                await asyncio.sleep(wait)
                now = max(self._door.now(), now + round(wait * 1000) + 1)
            said = msgspec.structs.replace(call, method="POST", body=message.data.encode(), now=now)
            answer = await self._accept(name, site, said)
            if answer.status == 403:
                await _cut(socket, request, WSCloseCode.POLICY_VIOLATION, b"unverified")
                return
            if answer.body and not await _send(socket, request, answer.body.decode()):
                return

    async def _feed(
        self, request: web.BaseRequest, socket: web.WebSocketResponse, name: str, site: Site, call: WebhookCall
    ) -> None:
        """Send the visitor what the connector has for him, until either side ends."""
        code = WSCloseCode.SERVICE_RESTART
        try:
            async with _feeding(site, call) as feed:
                async for frame in feed:
                    if not await _send(socket, request, frame):
                        return
        except Unverified:
            self._door.count(name, "unverified")
            code = WSCloseCode.POLICY_VIOLATION
        except Exception as error:  # noqa: BLE001  # ends this visitor's socket only; his page comes again
            code = WSCloseCode.TRY_AGAIN_LATER
            if not isinstance(error, (self._door.away, Unavailable)):
                _log.error("channel %s: a visitor's feed failed: %s", name, place(error))
                code = WSCloseCode.INTERNAL_ERROR
        await _cut(socket, request, code, b"")

    def _site(self, name: str) -> Site:
        channel = self._door.channels().get(name)
        if channel is None:
            raise Refused(404, "unknown")
        if channel.connector is None:
            raise Refused(503, "down", retry_after=60)
        if not isinstance(channel.connector, Site):
            raise Refused(404, "unknown")
        return channel.connector

    def _take(self, buckets: Buckets, request: web.BaseRequest) -> None:
        wait = buckets.take(self._door.remote(request.remote or "", request.headers), self._door.now())
        if wait:
            raise Refused(429, "limited", retry_after=wait)

    @contextlib.contextmanager
    def _visit(self, request: web.BaseRequest) -> Iterator[None]:
        """Count one more open socket or poll. Raises `Refused` past the limits."""
        self._take(self._opens, request)
        source = self._door.remote(request.remote or "", request.headers)
        mine = self._visitors.get(source, 0)
        if self._closed or mine >= MOST_PER_SOURCE or self._visitors.get("", 0) >= MOST_VISITORS:
            raise Refused(503, "limited", retry_after=5)
        for who in {source, ""}:
            self._visitors[who] = self._visitors.get(who, 0) + 1
        try:
            yield
        finally:
            for who in {source, ""}:
                self._visitors[who] -= 1
            if not self._visitors[source]:
                del self._visitors[source]

    @contextlib.contextmanager
    def _room(self, request: web.BaseRequest) -> Iterator[None]:
        """Hold one of the few places for a large body. Raises `Refused` when all are taken."""
        length = request.content_length
        large = length is None or length > SMALL
        if large and self._files >= MOST_FILES:
            raise Refused(503, "limited", retry_after=2)
        self._files += large
        try:
            yield
        finally:
            self._files -= large

    def _judge(self, name: str, error: Exception) -> Answer:
        """Count *error* and return what the page is told of it."""
        match error:
            case Refused(status=status, outcome=outcome, retry_after=wait):
                pass
            case Unverified():
                status, outcome, wait = 403, "unverified", 0.0
            case Malformed():
                status, outcome, wait = 400, "malformed", 0.0
            case Unavailable(retry_after=wait):
                status, outcome = 503, "unavailable"
            case _ if isinstance(error, self._door.away):
                status, outcome, wait = 503, "unavailable", AWAY_RETRY
            case _:
                _log.error("channel %s: a visitor's call failed: %s", name, place(error))
                status, outcome, wait = 500, "failed", 30.0
        self._door.count(name if outcome != "unknown" else "", outcome)
        body = msgspec.json.encode({"type": "error", "code": outcome, "retry_after": wait})
        return Answer(status, body, "application/json", wait_header(wait) if wait else {})


def _split(request: web.BaseRequest) -> tuple[str, str]:
    """Return the channel, and the rest of the raw path below it, without the query."""
    path = request.raw_path.partition("?")[0]
    name, _, tail = path.removeprefix(_PREFIX).partition("/")
    return name, tail


@contextlib.asynccontextmanager
async def _feeding(site: Site, call: WebhookCall) -> AsyncIterator[AsyncIterator[str]]:
    """Open the feed and close it in every case: a generator left to the garbage collector outlives its visitor."""
    feed = site.feed(call)
    try:
        yield feed
    finally:
        if (close := getattr(feed, "aclose", None)) is not None:
            await close()


async def _send(socket: web.WebSocketResponse, request: web.BaseRequest, frame: str) -> bool:
    """Send *frame*; return False, with the connection cut, when the visitor is gone or does not read."""
    try:
        async with asyncio.timeout(SEND_WAIT):
            await socket.send_str(frame)
    except (TimeoutError, ConnectionError):
        _abort(request)
        return False
    return True


async def _cut(socket: web.WebSocketResponse, request: web.BaseRequest, code: int, reason: bytes) -> None:
    """Close *socket* politely, or by force when the visitor does not answer."""
    try:
        async with asyncio.timeout(SEND_WAIT):
            await socket.close(code=code, message=reason)
    except (TimeoutError, ConnectionError):
        _abort(request)


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
