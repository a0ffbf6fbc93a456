"""The HTTP door: what platforms and visitors are answered, and that nothing is answered before it is durable."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from connectors.base import Answer, Event, Leftover, Malformed, Message, Received, Unverified, WebhookCall
from connectors.door import Buckets
from connectors.ingress import Ingress, Unavailable, rebuilt
from connectors.sites import FRAME_LIMIT
from tests.chat_stage import Line

NOW = 1_795_000_000_000


class Post:
    """A webhook connector that believes ?sign=good, parses JSON and breaks when told to."""

    def __init__(self) -> None:
        self.calls: list[WebhookCall] = []

    async def receive(self, call: WebhookCall) -> Received:
        self.calls.append(call)
        if call.query.get("sign") != "good":
            raise Unverified("no signature")
        if call.method == "GET":
            return Received((), Answer(200, call.query["echo"].encode()))
        try:
            text = json.loads(call.body)["text"]
        except (ValueError, KeyError, TypeError):
            raise Malformed("not what this platform says") from None
        if text == "break":
            raise ZeroDivisionError("a bug, with 13800138000 in its message")
        event = Message(external_id=text, address="x:1", at=call.now, text=text)
        left = Leftover(b"the rest", "half of it means nothing") if text == "half" else None
        return Received((event,), Answer(200, b"success", "text/xml", {"X-Platform": "yes"}), left)


class Hall:
    """A site connector: frames come back, the feed says what is put into the queue."""

    def __init__(self) -> None:
        self.feeds = 0
        self.news: asyncio.Queue[str] = asyncio.Queue()
        self._changed = asyncio.Condition()

    async def until(self, feeds: int) -> None:
        """Wait until so many feeds are open."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.feeds == feeds)

    async def _count(self, change: int) -> None:
        async with self._changed:
            self.feeds += change
            self._changed.notify_all()

    async def page(self, call: WebhookCall) -> Answer:
        if call.path.endswith("/broken"):
            raise ZeroDivisionError
        return Answer(200, b"<p>hall", "text/html", {"Content-Security-Policy": "default-src 'self'"})

    async def receive(self, call: WebhookCall) -> Received:
        match call.body:
            case b"stranger":
                raise Unverified("who?")
            case b"garbage":
                raise Malformed("what?")
            case b"break":
                raise ZeroDivisionError("13800138000")
        event = Message(external_id=call.body.decode("latin-1")[:20], address="x:1", at=call.now)
        return Received((event,), Answer(200, b'{"got":%d}' % len(call.body), "application/json"))

    async def feed(self, call: WebhookCall) -> AsyncIterator[str]:
        if "stranger" in call.query:
            raise Unverified("who?")
        await self._count(1)
        try:
            while True:
                yield await self.news.get()
        finally:
            await self._count(-1)


@dataclass
class Desk:
    """The door on loopback, with lists in place of inbox and shunt; *log* has everything in its order."""

    url: str = ""
    post: Post = field(default_factory=Post)
    hall: Hall = field(default_factory=Hall)
    lines: dict[str, Line] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    shunted: list[tuple[str, bytes, str, Mapping[str, object]]] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    down: bool = False
    ingress: Any = None
    http: Any = None

    async def record(self, channel: str, events: Sequence[Event]) -> None:
        if self.down:
            raise Unavailable(retry_after=2.5)
        await asyncio.sleep(0)
        self.log += [f"stored {event.external_id}" for event in events if isinstance(event, Message)]

    async def shunt(self, channel: str, raw: bytes, error: str, meta: Mapping[str, object]) -> None:
        if self.down:
            raise Unavailable(retry_after=7)
        json.dumps(meta)
        self.shunted.append((channel, raw, error, meta))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with _desk() as desk:
        yield desk


@asynccontextmanager
async def _desk() -> AsyncIterator[Desk]:
    desk = Desk()
    desk.lines = {
        "post": Line("post", desk.post),
        "hidden": Line("hidden", desk.post, "s3cret-path"),
        "down": Line("down", None),
        "mute": Line("mute", object()),
        "hall": Line("hall", desk.hall),
    }
    desk.ingress = Ingress(
        lambda: desk.lines,
        desk.record,
        desk.shunt,
        public_url="https://hub.example.com/",
        now=lambda: NOW,
        count=lambda channel, outcome: desk.counts.update([(channel, outcome)]),
        file_limit=200_000,
    )
    hooks = web.ServerRunner(web.Server(desk.ingress.hook), shutdown_timeout=1)
    application = web.Application()
    application.add_routes(desk.ingress.routes())
    pages = web.AppRunner(application, shutdown_timeout=1)
    urls = []
    for runner in (hooks, pages):
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        urls.append(f"http://{host}:{port}")
    desk.url, site_url = urls
    async with aiohttp.ClientSession(site_url) as desk.http:
        yield desk
    await desk.ingress.close()
    for runner in (hooks, pages):
        await runner.cleanup()


async def _call(desk: Desk, method: str, path: str, **request: Any) -> tuple[int, bytes, Mapping[str, str]]:
    async with desk.http.request(method, desk.url + path, **request) as response:
        return response.status, await response.read(), response.headers


async def test_event_is_stored_before_the_platform_is_answered(desk: Desk) -> None:
    """A genuine call is recorded, and then answered as the connector says."""
    status, body, headers = await _call(desk, "POST", "/hooks/post?sign=good", json={"text": "hello"})

    assert (status, body, headers["Content-Type"], headers["X-Platform"]) == (200, b"success", "text/xml", "yes")
    assert desk.log == ["stored hello"]
    assert desk.counts == {("post", "accepted"): 1}


async def test_what_is_left_over_is_shunted(desk: Desk) -> None:
    """Of a call that is understood in part the events are stored and the rest is kept, and then it is answered."""
    status, body, _ = await _call(desk, "POST", "/hooks/post?sign=good", json={"text": "half"})

    assert (status, body, desk.log) == (200, b"success", ["stored half"])
    [(channel, raw, error, meta)] = desk.shunted
    assert (channel, raw, error) == ("post", b"the rest", "half of it means nothing")
    assert rebuilt(raw, meta).body == b"the rest"
    assert desk.counts == {("post", "accepted"): 1, ("post", "shunted"): 1}

    desk.down = True
    status, _, _ = await _call(desk, "POST", "/hooks/post?sign=good", json={"text": "half"})
    assert (status, len(desk.shunted)) == (503, 1)


async def test_call_is_what_the_platform_made(desk: Desk) -> None:
    """The connector sees the public address with its raw query, because signatures cover it."""
    await _call(desk, "POST", "/hooks/post?sign=good&b=%E4%BD%A0+x", json={"text": "hi"}, headers={"X-Sign": "1"})
    call = desk.post.calls[0]

    assert call.url.startswith("https://hub.example.com/hooks/post?sign=good&b=%E4%BD%A0")
    assert (call.method, call.path, call.query["b"]) == ("POST", "/hooks/post", "你 x")
    assert (call.headers["x-sign"], call.remote, call.now) == ("1", "127.0.0.1", NOW)


async def test_get_is_for_verification(desk: Desk) -> None:
    """A GET reaches the connector too: platforms check an address with it."""
    status, body, _ = await _call(desk, "GET", "/hooks/post?sign=good&echo=42")

    assert (status, body) == (200, b"42")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/hooks/post?sign=bad", 403),
        ("POST", "/hooks/nobody", 404),
        ("POST", "/hooks/", 404),
        ("POST", "/hooks", 404),
        ("POST", "/other/post", 404),
        ("POST", "/hooks/post/some/path", 404),
        ("POST", "/hooks/hidden?sign=good", 403),
        ("POST", "/hooks/hidden/wrong?sign=good", 403),
        ("POST", "/hooks/hidden/s3cret-path/?sign=good", 403),
        ("POST", "/hooks/hidden/%73%33?sign=good", 403),
        ("POST", "/hooks/mute", 404),
        ("POST", "/hooks/down", 503),
        ("PUT", "/hooks/post?sign=good", 405),
        ("DELETE", "/hooks/hidden/s3cret-path", 405),
    ],
)
async def test_refusals(desk: Desk, method: str, path: str, status: int) -> None:
    """What is not for a channel that is up, or does not prove itself, is refused and nothing is kept."""
    got, body, headers = await _call(desk, method, path, json={"text": "x"})

    assert (got, body) == (status, b"")
    assert ("Retry-After" in headers, headers.get("Allow")) == (status == 503, "GET, POST" if status == 405 else None)
    assert (desk.log, desk.shunted) == ([], [])
    assert {channel for channel, _ in desk.counts} <= {"", *desk.lines}, "a stranger's word became a label"


@pytest.mark.parametrize("path", ["s3cret-path", "s3cret%2Dpath"])
async def test_secret_path_opens(desk: Desk, path: str) -> None:
    """A channel with a secret path is called there, whatever the platform escapes."""
    status, _, _ = await _call(desk, "POST", f"/hooks/hidden/{path}?sign=good", json={"text": "x"})

    assert (status, desk.log) == (200, ["stored x"])


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"{", "not what this platform says"), (b'{"text":"break"}', "ZeroDivisionError at test_connectors_ingress.py")],
)
async def test_what_nobody_understands_is_kept(desk: Desk, body: bytes, error: str) -> None:
    """A payload that cannot be parsed, or that breaks a connector, is shunted as it came and answered with 200."""
    status, _, _ = await _call(desk, "POST", "/hooks/post?sign=good", data=body, headers={"X-Sign": "1"})
    channel, raw, why, meta = desk.shunted[0]

    assert (status, channel, raw, desk.counts) == (200, "post", body, {("post", "shunted"): 1})
    assert why.startswith(error)
    assert "13800138000" not in why
    assert rebuilt(raw, meta) == desk.post.calls[0]


@pytest.mark.parametrize(("body", "wait"), [(b'{"text":"x"}', "3"), (b"{", "7"), (b'{"text":"break"}', "7")])
async def test_store_that_is_down_is_no_success(desk: Desk, body: bytes, wait: str) -> None:
    """Neither an event nor a shunted payload is answered with 200 while the store is down; the platform comes again."""
    desk.down = True
    status, _, headers = await _call(desk, "POST", "/hooks/post?sign=good", data=body)

    assert (status, headers["Retry-After"]) == (503, wait)
    assert desk.counts == {("post", "unavailable"): 1}


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size >> 16):
        yield b"x" * (1 << 16)


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_over_the_limit_is_not_read(desk: Desk, chunked: bool) -> None:
    """More than 1 MB is refused by its announced length, or while it is read if it announces none."""
    data = _chunks(3 << 20) if chunked else io.BytesIO(b"x" * ((1 << 20) + 1))
    try:
        status, _, headers = await _call(desk, "POST", "/hooks/post?sign=good", data=data)
    except aiohttp.ClientOSError:
        status, headers = 413, {"Connection": "close"}  # cut while we were still sending

    assert (status, headers["Connection"]) == (413, "close")
    assert desk.post.calls == []


async def test_body_of_exactly_the_limit_is_read(desk: Desk) -> None:
    """1 MB is allowed."""
    body = json.dumps({"text": "x" * 5}).encode().ljust(1 << 20)
    status, _, _ = await _call(desk, "POST", "/hooks/post?sign=good", data=body)

    assert (status, desk.log) == (200, ["stored xxxxx"])


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity"])
async def test_compressed_body_is_refused(desk: Desk, coding: str) -> None:
    """No platform compresses its calls; a bomb is not inflated."""
    bomb = gzip.compress(bytes(50 << 20))
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    try:
        status, _, _ = await _call(desk, "POST", "/hooks/post?sign=good", data=bomb, headers=headers)
    except aiohttp.ClientOSError:
        status = 415
    assert status in (415, 400)
    assert desk.post.calls == []


async def test_every_answer_is_protected(desk: Desk) -> None:
    """Whatever happens, a browser is told not to guess types, frame, run or keep anything."""
    for path in ("/hooks/post?sign=good", "/hooks/post", "/hooks/nobody", "/hooks/down", "/hooks/hidden/x"):
        _, _, headers = await _call(desk, "POST", path, json={"text": "x"})

        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'", path
        assert headers["Strict-Transport-Security"].startswith("max-age="), path
        assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store"), path
    for path, policy in (("/chat/hall", "default-src 'self'"), ("/chat/nobody", "default-src 'none'")):
        async with desk.http.get(path) as response:
            assert response.headers["Content-Security-Policy"].startswith(policy)
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_cut_body_is_nobodys_message(desk: Desk) -> None:
    """A connection that ends in the middle of a body leaves nothing behind, and the next call is served."""
    host, port = desk.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /hooks/post?sign=good HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    status, _, _ = await _call(desk, "POST", "/hooks/post?sign=good", json={"text": "next"})

    assert (status, desk.log, desk.shunted) == (200, ["stored next"], [])
    reader.feed_eof()


async def test_client_that_asks_first_is_told_to_go_on(desk: Desk) -> None:
    """A client that sends `Expect: 100-continue` and waits gets its leave, and then its answer."""
    host, port = desk.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = b"Host: x\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n"
    writer.write(b"POST /hooks/post?sign=good HTTP/1.1\r\n" + head)
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'{"text":"late"}')
    status = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()

    assert (status, desk.log) == (b"HTTP/1.1 200 OK\r\n", ["stored late"])


async def test_slow_body_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends its body a byte at a time is cut off with 408."""
    monkeypatch.setattr("connectors.door.SLOWEST_BODY", 0.2)
    host, port = desk.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /hooks/post?sign=good HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    status = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()

    assert status.startswith(b"HTTP/1.1 408 ")
    assert desk.counts == {("post", "slow"): 1}


def test_buckets_fill_up_again() -> None:
    """A source may take a burst, then its rate; a clock that goes back gives and takes nothing."""
    buckets = Buckets(burst=2, rate=4)
    waits = [buckets.take("a", now) for now in (1000, 1000, 1000, 1100, 1250, 500, 1000)]

    assert [round(wait, 3) for wait in waits] == [0, 0, 0.25, 0.15, 0, 0.25, 0]
    assert buckets.take("b", 1000) == 0


def test_buckets_are_bounded() -> None:
    """However many sources come, only the latest are remembered."""
    buckets = Buckets(burst=1, rate=1, most=3)
    for number in range(10):
        buckets.take(str(number), 1000)

    assert [buckets.take(str(number), 1000) > 0 for number in (9, 8, 7, 0)] == [True, True, True, False]


# The chat side.


async def test_page_and_post(desk: Desk) -> None:
    """A GET is a page, a POST is taken, stored and answered."""
    async with desk.http.get("/chat/hall") as page, desk.http.post("/chat/hall/frames", data=b"hello") as post:
        assert (page.status, await page.text()) == (200, "<p>hall")
        assert (post.status, await post.json()) == (200, {"got": 5})
    assert desk.log == ["stored hello"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/chat/hall/frames", b"stranger", 403, "unverified"),
        ("POST", "/chat/hall/frames", b"garbage", 400, "malformed"),
        ("POST", "/chat/hall/frames", b"break", 500, "failed"),
        ("POST", "/chat/hall/files", b"x" * 200_001, 413, "too_large"),
        ("POST", "/chat/nobody/frames", b"x", 404, "unknown"),
        ("POST", "/chat/post/frames", b"x", 404, "unknown"),
        ("POST", "/chat/down/frames", b"x", 503, "down"),
        ("GET", "/chat/down", b"", 503, "down"),
        ("GET", "/chat/hall/broken", b"", 500, "failed"),
        ("GET", "/chat/hall/socket", b"", 426, "no_socket"),
        ("GET", "/chat/hall/poll?stranger", b"", 403, "unverified"),
    ],
)
async def test_chat_refusals(desk: Desk, method: str, path: str, body: bytes, status: int, code: str) -> None:
    """A visitor's page is told what became of its call; nothing of it is shunted."""
    async with desk.http.request(method, path, data=body) as response:
        answer = await response.json()

    assert (response.status, answer["type"], answer["code"]) == (status, "error", code)
    assert (desk.log, desk.shunted) == ([], [])


async def test_chat_post_while_the_store_is_down(desk: Desk) -> None:
    """The page hears that it should try again, and when."""
    desk.down = True
    async with desk.http.post("/chat/hall/frames", data=b"hello") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "3")
        assert await response.json() == {"type": "error", "code": "unavailable", "retry_after": 2.5}


async def test_socket_carries_frames_both_ways(desk: Desk) -> None:
    """Frames in are stored and answered in order; the feed goes out between them."""
    async with desk.http.ws_connect("/chat/hall/socket", protocols=["v1", "secret-token"]) as ws:
        assert ws.protocol == "v1", "a browser wants its first protocol named back"
        for text in ("one", "three"):
            await ws.send_str(text)
            assert json.loads((await ws.receive(5)).data) == {"got": len(text)}
        desk.hall.news.put_nowait("news")
        assert (await ws.receive(5)).data == "news"
    assert desk.log == ["stored one", "stored three"]


async def test_hostile_frame_does_not_end_the_socket(desk: Desk) -> None:
    """Garbage, a bug and a store that is down are answered by an error frame; the next frame is taken."""
    async with desk.http.ws_connect("/chat/hall/socket") as ws:
        for text, code in (("garbage", "malformed"), ("break", "failed")):
            await ws.send_str(text)
            assert json.loads((await ws.receive(5)).data)["code"] == code
        desk.down = True
        await ws.send_str("hello")
        assert json.loads((await ws.receive(5)).data)["code"] == "unavailable"
        desk.down = False
        await ws.send_str("hello")
        assert json.loads((await ws.receive(5)).data) == {"got": 5}


@pytest.mark.parametrize(
    ("path", "frame", "code"),
    [
        ("/chat/hall/socket?stranger", None, 1008),
        ("/chat/hall/socket", "stranger", 1008),
        ("/chat/hall/socket", b"bytes", 1003),
        ("/chat/hall/socket", "x" * (FRAME_LIMIT + 1), 1009),
    ],
)
async def test_socket_is_closed_with_a_reason(desk: Desk, path: str, frame: str | bytes | None, code: int) -> None:
    """A visitor who is not accepted, or a frame that is none, ends the socket with the code that says why."""
    async with desk.http.ws_connect(path) as ws:
        if isinstance(frame, str):
            await ws.send_str(frame)
        elif frame is not None:
            await ws.send_bytes(frame)
        assert (await ws.receive(5)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
        assert ws.close_code == code
    assert desk.log == []


async def test_feed_ends_with_its_visitor(desk: Desk) -> None:
    """A visitor who leaves, politely or not, leaves no generator behind."""
    ws = await desk.http.ws_connect("/chat/hall/socket")
    desk.hall.news.put_nowait("x")
    await ws.receive(5)
    assert desk.hall.feeds == 1
    await ws.close()
    await desk.hall.until(0)
    rude = await desk.http.ws_connect("/chat/hall/socket")
    desk.hall.news.put_nowait("y")
    await rude.receive(5)
    rude._response.connection.transport.abort()
    await desk.hall.until(0)


async def test_poll_waits_for_the_first_frame(desk: Desk) -> None:
    """A poll returns what lies ready as one list, and waits if there is nothing."""
    for word in ('{"n":1}', '{"n":2}'):
        desk.hall.news.put_nowait(word)
    async with desk.http.get("/chat/hall/poll?after=0") as ready:
        assert await ready.json() == [{"n": 1}, {"n": 2}]
    waiting = asyncio.create_task(desk.http.get("/chat/hall/poll?after=2"))
    await desk.hall.until(1)
    assert not waiting.done()
    desk.hall.news.put_nowait('{"n":3}')
    async with await waiting as late:
        assert await late.json() == [{"n": 3}]
    await desk.hall.until(0)


async def test_shutdown_says_goodbye() -> None:
    """When the hub stops, sockets close with 1001, waiting polls answer at once and newcomers hear 503."""
    async with _desk() as desk:
        ws = await desk.http.ws_connect("/chat/hall/socket")
        waiting = asyncio.create_task(desk.http.get("/chat/hall/poll"))
        await desk.hall.until(2)
        closing = asyncio.create_task(desk.ingress.close())
        assert (await ws.receive(5)).type is WSMsgType.CLOSE
        assert ws.close_code == 1001
        async with await asyncio.wait_for(waiting, 5) as poll:
            assert await poll.json() == []
        await closing
        async with desk.http.get("/chat/hall/poll") as late:
            assert late.status == 503
        await desk.hall.until(0)


async def test_visitor_who_does_not_read_is_cut(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that takes nothing more is closed by force; it cannot hold memory for ever."""
    monkeypatch.setattr("connectors.sites.SEND_WAIT", 0.3)
    host, port = str(desk.http._base_url).removeprefix("http://").rstrip("/").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    sock.sendall(
        b"GET /chat/hall/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    for _ in range(400):
        desk.hall.news.put_nowait("x" * 60_000)
    await desk.hall.until(1)
    await desk.hall.until(0)
    assert desk.hall.news.qsize() > 0
    sock.close()


async def test_flood_of_posts_is_limited(desk: Desk) -> None:
    """One source may post 60 calls at once; then it hears 429 and when to come again."""
    statuses = []
    for number in range(62):
        async with desk.http.post("/chat/hall/frames", data=b"%d" % number) as response:
            statuses.append(response.status)

    assert statuses == [200] * 60 + [429] * 2
    assert (response.headers["Retry-After"], len(desk.log)) == ("1", 60)
