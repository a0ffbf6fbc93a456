"""The first to meet a connection: which calls it answers itself, and that no byte of the others is lost."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import doorway
from connectors.base import Answer
from connectors.door import Head, Refused
from connectors.doorway import Lobby, begun, written

LIMIT = 1000
PLAIN = partial(begun, ())
SUCCESS = Answer(body=b"success")
CALL = b"POST /hooks/shop?a=1 HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello"
GOODBYE = CALL.replace(b"Host: hub", b"Host: hub\r\nConnection: close")


@dataclass
class Stage:
    """A server with a doorway in front of an aiohttp server, and what both were asked."""

    port: int = 0
    taken: list[tuple[Head, bytes | Refused]] = field(default_factory=list)
    asked: int = 0
    others: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    lobby: Lobby | None = None
    answer: Answer | Exception = SUCCESS

    async def take(self, head: Head, body: bytes | Refused) -> Answer:
        self.asked += 1
        await self.gate.wait()
        self.taken.append((head, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return Answer(body.status) if isinstance(body, Refused) else self.answer

    async def rest(self, request: web.BaseRequest) -> web.Response:
        self.others.append(f"{request.method} {request.raw_path} {(await request.read()).decode()}".strip())
        return web.Response(text="rest")

    async def talk(self, *parts: bytes) -> bytes:
        """Send *parts* one after the other, and return all that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.closing(writer):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                return await reader.read()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    made.gate.set()
    async with running(made):
        yield made


@contextlib.asynccontextmanager
async def running(made: Stage) -> AsyncIterator[Stage]:
    server = web.Server(made.rest)
    made.lobby = Lobby(made.take, server, LIMIT, 75.0, {"Server": "huiliu"})
    listening = await asyncio.get_running_loop().create_server(made.lobby, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        made.gate.set()
        await made.lobby.close(5.0)
        await server.shutdown(1.0)


def statuses(answer: bytes) -> list[int]:
    """Return the status codes in what a server sent."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 ([0-9]{3})", answer)]


async def test_a_call_is_answered(stage: Stage) -> None:
    """The call arrives as it was sent, and its answer has length, date, type and the headers of every answer."""
    stage.answer = Answer(201, "收到".encode(), "text/x", {"X-Own": "1", "Server": "other"})

    answer = await stage.talk(GOODBYE)

    [(head, body)] = stage.taken
    assert ("POST", "/hooks/shop?a=1", "127.0.0.1") == (head.method, head.target, head.peer)
    assert "hub" == head.headers["host"]
    assert b"hello" == body
    top, _, content = answer.partition(b"\r\n\r\n")
    assert "收到".encode() == content
    status, *fields = top.decode().split("\r\n")
    assert "HTTP/1.1 201 Created" == status
    expected = {"Server: other", "Content-Type: text/x", "X-Own: 1", "Connection: close", "Content-Length: 6"}
    assert expected == {line for line in fields if not line.startswith("Date: ")}
    assert len(fields) == len(expected) + 1


async def test_calls_of_one_connection_follow_each_other(stage: Stage) -> None:
    """A connection is kept; calls that come one after the other are all answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    with contextlib.closing(writer):
        for _ in range(3):
            writer.write(CALL)
            assert (await reader.readuntil(b"success")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert 3 == len(stage.taken)


@pytest.mark.parametrize("size", [1, 2, 7, 40])
async def test_a_call_may_come_in_pieces(stage: Stage, size: int) -> None:
    """However the network cuts a call, it is the same call."""
    pieces = [GOODBYE[start : start + size] for start in range(0, len(GOODBYE), size)]

    assert [200] == statuses(await stage.talk(*pieces))
    assert [b"hello"] == [body for _, body in stage.taken]


async def test_a_chunked_body_is_read(stage: Stage) -> None:
    """A sender that does not say the length first is understood (RFC 9112 §7.1)."""
    head = b"POST /hooks/shop HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert [200] == statuses(await stage.talk(head, b"3\r\nhel\r\n", b"2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n"))
    [(head_of, body)] = stage.taken
    assert b"hello" == body
    assert "X-Trailer" not in head_of.headers


async def test_who_waits_for_100_is_told_to_go_on(stage: Stage) -> None:
    """Expect: 100-continue gets its interim answer before the body is there (RFC 9110 §10.1.1)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    with contextlib.closing(writer):
        writer.write(CALL[:-5].replace(b"Host: hub", b"Host: hub\r\nExpect: 100-continue"))
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == await reader.readexactly(25)
        writer.write(b"hello")
        assert [200] == statuses(await reader.readuntil(b"success"))


@pytest.mark.parametrize(
    ("more", "body", "status"),
    [
        (b"Content-Length: 1001", b"", 413),
        (b"Content-Length: 5\r\nContent-Encoding: gzip", b"", 415),
        (b"Transfer-Encoding: chunked", b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", 413),
        (b"Content-Length: 5\r\nX-Long: " + b"x" * 20_000, b"hello", 431),
    ],
    ids=["announced", "compressed", "chunked", "headers"],
)
async def test_what_is_too_much_is_refused(stage: Stage, more: bytes, body: bytes, status: int) -> None:
    """Too large a body, a compressed one or too many headers get their status, and the connection is closed."""
    answer = await stage.talk(b"POST /hooks/shop HTTP/1.1\r\nHost: hub\r\n" + more + b"\r\n\r\n" + body)

    assert [status] == statuses(answer)
    assert b"Connection: close" in answer
    assert not [body for _, body in stage.taken if isinstance(body, bytes)]


async def test_headers_without_an_end_are_refused(stage: Stage) -> None:
    """A head that goes on for ever is cut off."""
    assert [431] == statuses(await stage.talk(b"POST /hooks/shop HTTP/1.1\r\n", b"X-Long: " + b"x" * 20_000))


@pytest.mark.parametrize(
    "call",
    [
        CALL.replace(b"Content-Length: 5", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        CALL.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 6"),
        CALL.replace(b"Content-Length: 5", b"Content-Length: +5"),
        CALL.replace(b"Content-Length: 5", b"Content-Length: 5x"),
        CALL.replace(b"Content-Length: 5", b"Content-Length : 5"),
        CALL.replace(b"Host: hub", b"Host: hub\r\n folded"),
        CALL.replace(b"Host: hub", b"Ho st: hub"),
        CALL.replace(b"Host: hub", b"Host: h\x00b"),
        CALL.replace(b"HTTP/1.1", b"HTTP/9.9"),
        CALL.replace(b"HTTP/1.1", b"HTTP"),
        CALL.replace(b"Host: hub", b"Host: hub\r\nTransfer-Encoding: chunked, gzip"),
    ],
)
async def test_what_can_be_read_in_two_ways_is_refused(stage: Stage, call: bytes) -> None:
    """A request that another server might frame differently (RFC 9112 §11.2) is answered with 400, once, and closed."""
    assert [400] == statuses(await stage.talk(call))
    assert not stage.taken


async def test_two_calls_at_once_get_one_answer_and_a_close(stage: Stage) -> None:
    """Of calls sent without waiting the first is answered; the close tells that the second was not taken."""
    answer = await stage.talk(CALL + CALL)

    assert [200] == statuses(answer)
    assert b"Connection: close" in answer
    assert 1 == len(stage.taken)


@pytest.mark.parametrize(
    ("request_line", "seen"),
    [
        (b"GET /hooks/shop?echostr=1", "GET /hooks/shop?echostr=1"),
        (b"POST /api/v1/x", "POST /api/v1/x"),
        (b"POST /hook", "POST /hook"),
        (b"PUT /hooks/shop", "PUT /hooks/shop"),
        (b"OPTIONS *", "OPTIONS *"),
    ],
)
async def test_everything_else_goes_on_with_every_byte(stage: Stage, request_line: bytes, seen: str) -> None:
    """A connection whose next call is not ours belongs to aiohttp from its first byte on, however it is cut."""
    call = request_line + b" HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"

    answer = await stage.talk(*(bytes([byte]) for byte in call))

    assert [] == stage.taken
    assert [f"{seen} hi"] == stage.others
    assert answer.endswith(b"rest")


async def test_a_connection_may_change_its_mind(stage: Stage) -> None:
    """A proxy sends all its calls over one connection: ours, then somebody else's, which then also gets ours."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    with contextlib.closing(writer):
        writer.write(CALL)
        await reader.readuntil(b"success")
        for number in range(2):
            writer.write(b"GET /healthz?%d HTTP/1.1\r\nHost: hub\r\n\r\n" % number)
            await reader.readuntil(b"rest")
        writer.write(CALL)
        await reader.readuntil(b"rest")
    assert ["GET /healthz?0", "GET /healthz?1", "POST /hooks/shop?a=1 hello"] == stage.others


@pytest.mark.parametrize(
    ("version", "connection", "told"),
    [
        (b"1.1", b"", None),
        (b"1.1", b"Connection: close\r\n", b"close"),
        (b"1.0", b"", b"close"),
        (b"1.0", b"Connection: keep-alive\r\n", b"keep-alive"),
    ],
)
async def test_the_clients_version_decides_over_the_connection(
    stage: Stage, version: bytes, connection: bytes, told: bytes | None
) -> None:
    """HTTP/1.1 keeps a connection unless told otherwise, HTTP/1.0 the other way round (RFC 9112 §9.3)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    with contextlib.closing(writer):
        writer.write(
            CALL.replace(b"HTTP/1.1", b"HTTP/" + version).replace(b"Host: hub\r\n", b"Host: hub\r\n" + connection)
        )
        answer = await reader.readuntil(b"success")
        found = re.search(rb"\r\nConnection: ([a-z-]+)", answer)
        assert told == (found and found[1])
        if told == b"close":
            assert b"" == await reader.read()


async def test_a_bug_closes_the_connection(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, no client waits for an answer that does not come."""
    stage.answer = ZeroDivisionError("a bug")

    assert b"" == await stage.talk(CALL)
    assert "a call could not be answered" in caplog.text


async def test_a_header_cannot_be_split() -> None:
    """A line break in a header of an answer is a bug, not two headers."""
    with pytest.raises(ValueError, match="line break"):
        written(Answer(headers={"X-Own": "1\r\nSet-Cookie: 2"}), PLAIN)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_body_has_no_length(status: int) -> None:
    """204 and 304 carry no body (RFC 9110 §6.4.1)."""
    assert b"Content-Length" not in written(Answer(status), PLAIN)
    assert written(Answer(status), PLAIN).endswith(b"\r\n\r\n")


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until *condition* holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0)


async def test_a_call_is_finished_when_its_client_is_gone(stage: Stage) -> None:
    """What was sent completely is stored, whether or not anybody waits for the answer."""
    stage.gate.clear()
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(CALL)
    await until(lambda: stage.asked)
    writer.transport.abort()
    assert stage.lobby is not None
    lobby = stage.lobby
    await until(lambda: not lobby.doorways)
    stage.gate.set()
    await until(lambda: stage.taken)
    assert [b"hello"] == [body for _, body in stage.taken]


async def test_a_stop_answers_what_is_under_way(stage: Stage) -> None:
    """Idle connections are closed at once, the others when their call is answered."""
    assert stage.lobby is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    idle, idler = await asyncio.open_connection("127.0.0.1", stage.port)
    with contextlib.closing(writer), contextlib.closing(idler):
        writer.write(CALL)
        assert await reader.readuntil(b"success")
        stage.gate.clear()
        writer.write(CALL)
        await until(lambda: stage.asked == 2)
        closing = asyncio.create_task(stage.lobby.close(5.0))
        assert b"" == await idle.read()
        stage.gate.set()
        await closing
        assert [200] == statuses(await reader.read())


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"", []), (b"POST /ho", []), (CALL[:30], [408]), (CALL[:-1], [408])],
    ids=["nothing", "first bytes", "in the head", "in the body"],
)
async def test_a_silent_client_is_let_go(monkeypatch: pytest.MonkeyPatch, sent: bytes, status: Sequence[int]) -> None:
    """A connection on which nothing comes is closed, in the middle of a call with 408."""
    monkeypatch.setattr(doorway, "SLOWEST_BODY", 0.3)
    async with running(Stage()) as stage:
        assert stage.lobby is not None
        stage.gate.set()
        stage.lobby.keepalive = 0.3
        assert status == statuses(await stage.talk(sent))


@settings(max_examples=60, deadline=None)
@given(garbage=st.binary(max_size=200), cut=st.integers(0, 60))
def test_garbage_is_never_taken_for_a_call(garbage: bytes, cut: int) -> None:
    """Whatever follows the first bytes of a call: it is refused or waited for, and nothing breaks."""

    class Pipe(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.sent = b""
            self.closed = False

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.sent += bytes(data)

        def close(self) -> None:
            self.closed = True

        def is_closing(self) -> bool:
            return self.closed

    async def run() -> None:
        stage = Stage()
        stage.gate.set()
        lobby = Lobby(stage.take, web.Server(stage.rest), LIMIT, 75.0, {})
        one, pipe = lobby(), Pipe()
        one.connection_made(pipe)
        one.data_received(CALL[: 12 + cut])
        if not pipe.closed:
            one.data_received(garbage)
        await lobby.close(1.0)
        one.connection_lost(None)
        assert all(isinstance(body, Refused) or head.target.startswith("/hooks/") for head, body in stage.taken)
        assert set(statuses(pipe.sent)) <= {100, 200, 400, 413, 415, 431}

    asyncio.run(run())
