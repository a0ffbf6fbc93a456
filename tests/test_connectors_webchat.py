"""Web chat: tokens, frames and boxes over real HTTP and sockets; the page itself is in test_flow_webchat_page."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors import uploads
from connectors.base import Malformed, Message, Receipt, Rejected, Sent, Site, Typist, Unverified, WebhookCall
from connectors.testing import (
    NOW,
    PUBLIC_URL,
    InMemory,
    Leaving,
    Payload,
    ReceivingContract,
    attachment,
    kit,
    outbound,
    read_events,
    webhook_call,
)
from connectors.webchat import TEXT_LIMIT, WebChat
from connectors.webchat_frames import parse
from connectors.webchat_options import WebChatOptions
from connectors.webchat_pages import contrast, ink, theme
from connectors.webchat_visitors import LIFE, Visitor, check, identify, sign
from tests.chat_stage import SHOP_KEY, Stage, base64url, chat_stage, identity

PAYLOADS = Path(__file__).parent / "payloads" / "webchat"
KEY = b"a-signing-key-for-tests"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SHOP = "https://www.example.com"


def token(visitor: str = "a-visitor", at: int = NOW // 1000, key: bytes = KEY) -> str:
    """Sign a visitor as the protocol's page says, with nothing of the connector."""
    payload = base64url(json.dumps({"id": visitor, "at": at}).encode())
    return f"{payload}.{base64url(hmac.new(key, b'huiliu.visitor.' + payload.encode(), hashlib.sha256).digest())}"


def frame(body: bytes, visitor: str = "a-visitor") -> WebhookCall:
    """Return a frame as a visitor's page posts it."""
    headers = {"Authorization": f"Bearer {token(visitor)}", "Origin": PUBLIC_URL}
    return webhook_call(body, url=f"{PUBLIC_URL}/chat/test/frames", headers=headers)


def chat(memory: InMemory | None = None, now: int = NOW, **options: Any) -> WebChat:
    checked = WebChatOptions.model_validate({"secret": KEY.decode(), **options})
    return WebChat(checked, kit(memory=memory or InMemory(lambda: NOW), now=lambda: now))


class TestWebChatContract(ReceivingContract):
    """Web chat keeps what every connector with incoming calls promises."""

    connector_class: ClassVar[type[Any]] = WebChat
    address: ClassVar[str] = "visitor:a-visitor"
    proofs: ClassVar[tuple[str, ...]] = ("Authorization",)
    body_proven: ClassVar[bool] = False  # the visitor proves himself, and may say what he likes

    def options(self, platform: str) -> Mapping[str, Any]:
        return {"secret": KEY.decode(), "identity_secret": SHOP_KEY}

    def payloads(self) -> Iterable[Payload]:
        for file in sorted(PAYLOADS.glob("*.expected.json")):
            label = file.name.removesuffix(".expected.json")
            yield Payload(label, frame((PAYLOADS / f"{label}.json").read_bytes()), read_events(file))

    def sign(self, body: bytes) -> WebhookCall:
        return frame(body)


def test_is_a_site_that_types() -> None:
    """The hub finds pages, socket and typing by their protocols."""
    connector = chat()

    assert isinstance(connector, Site)
    assert isinstance(connector, Typist)


# Options


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"allowed_origins": ["www.example.com"]}, "allowed_origins"),
        ({"allowed_origins": ["https://www.example.com/shop"]}, "allowed_origins"),
        ({"allowed_origins": ["https://x.com; script-src *"]}, "allowed_origins"),
        ({"allowed_origins": ["*"]}, "allowed_origins"),
        ({"color": "red"}, "color"),
        ({"color": "#123456;}"}, "color"),
        ({"secret": "short"}, "secret"),
        ({"identity_secret": "x" * 31}, "identity_secret"),
        ({"max_file": 11 << 20}, "max_file"),
        ({"languages": []}, "languages"),
        ({"languages": ["fr"]}, "languages"),
        ({"title": {"zh": ""}}, "title"),
        ({"greetings": "hi"}, "greetings"),
    ],
)
def test_options_are_checked(options: Mapping[str, Any], path: str) -> None:
    """An option that could not work, or that could break out of a header, is refused by its name."""
    with pytest.raises(ValidationError) as refused:
        WebChatOptions.model_validate(options)

    assert {str(error["loc"][0]) for error in refused.value.errors()} == {path}


def test_origins_are_normalised() -> None:
    """Browsers send origins in lower case without a slash."""
    options = WebChatOptions.model_validate({"allowed_origins": ["https://WWW.Example.com/", "http://[::1]:8080"]})

    assert options.allowed_origins == ("https://www.example.com", "http://[::1]:8080")


# Tokens and identities


def test_token_names_its_visitor() -> None:
    """A token made by the protocol's description is ours, and ours reads back."""
    visitor = Visitor("u-42", NOW // 1000, "李雷", "lilei@example.com")

    assert check(token(), KEY, NOW) == Visitor("a-visitor", NOW // 1000)
    assert check(sign(visitor, KEY), KEY, NOW) == visitor
    assert "李雷" not in repr(visitor)


@pytest.mark.parametrize(
    "forged",
    [
        "",
        ".",
        "a.b",
        "ä.ö",
        token(key=b"another"),
        token() + "A",
        token(at=NOW // 1000 - LIFE),
        token(at=NOW // 1000 + 7200),
        token().split(".")[0] + ".",
        base64url(b'{"id":"a-other","at":1795000000}') + "." + token().split(".")[1],
        "x" * 5000,
    ],
)
def test_forged_token_is_unverified(forged: str) -> None:
    """A token of another key, of another time, cut or made up is refused."""
    with pytest.raises(Unverified):
        check(forged, KEY, NOW)


def test_identity_names_the_shops_customer() -> None:
    """A JSON Web Token signed by the shop gives the customer's id, name and address."""
    claims = {"sub": 42, "exp": NOW // 1000 + 300, "name": "李\n雷", "email": "lilei@example.com"}

    assert identify(identity(claims), SHOP_KEY.encode(), NOW) == Visitor(
        "u-42", NOW // 1000, "李雷", "lilei@example.com"
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW // 1000 + 300, "email": None},
        {"exp": NOW // 1000 + 300, "name": None, "nbf": None},
        {"exp": NOW / 1000 + 300.5},
        {"exp": NOW / 1000 + 0.001},
        {"exp": NOW / 1000 + 300.5, "nbf": NOW / 1000 - 0.88},
        {"exp": NOW // 1000 + 300, "nbf": NOW / 1000 + 59.5},
    ],
)
def test_identity_as_shops_make_them(claims: Mapping[str, Any]) -> None:
    """Null for what the shop does not know, and times with fractions, as many libraries write them, are right."""
    assert identify(identity({"sub": "42", **claims}), SHOP_KEY.encode(), NOW) == Visitor("u-42", NOW // 1000)


@pytest.mark.parametrize(
    "forged",
    [
        *(
            identity({"sub": "42", "exp": NOW // 1000 + 300, **wrong})
            for wrong in (
                {"exp": None},
                {"exp": True},
                {"exp": str(NOW // 1000 + 300)},
                {"exp": float("inf")},
                {"exp": float("nan")},
                {"exp": NOW / 1000},
                {"exp": NOW / 1000 - 0.5},
                {"nbf": NOW / 1000 + 60.5},
                {"nbf": False},
                {"nbf": float("-inf")},
                {"nbf": float("nan")},
                {"sub": None},
                {"sub": 42.5},
                {"name": 42},
                {"email": ["lilei@example.com"]},
            )
        ),
        identity({"sub": "42", "exp": NOW // 1000 + 300}, key="x" * 32),
        identity({"sub": "42", "exp": NOW // 1000 + 300}, alg="none"),
        identity({"sub": "42", "exp": NOW // 1000 + 300}, alg="HS512"),
        identity({"sub": "42", "exp": NOW // 1000}),
        identity({"sub": "42"}),
        identity({"exp": NOW // 1000 + 300}),
        identity({"sub": "", "exp": NOW // 1000 + 300}),
        identity({"sub": "a b", "exp": NOW // 1000 + 300}),
        identity({"sub": "x" * 101, "exp": NOW // 1000 + 300}),
        identity({"sub": "{chat}", "exp": NOW // 1000 + 300}),
        identity({"sub": "42", "exp": NOW // 1000 + 300, "nbf": NOW // 1000 + 120}),
        identity({"sub": "42", "exp": NOW // 1000 + 300}).rpartition(".")[0] + ".",
        "a.b.c",
        "",
    ],
)
def test_forged_identity_is_unverified(forged: str) -> None:
    """An identity that the shop did not sign, that does not end, or that names nobody is refused."""
    with pytest.raises(Unverified):
        identify(forged, SHOP_KEY.encode(), NOW)


async def test_made_up_key_is_shared() -> None:
    """Without a secret of its own a channel makes one, once for all processes."""
    memory = InMemory(lambda: NOW)
    one, other = (WebChat(WebChatOptions(), kit(memory=memory)) for _ in range(2))
    hello = webhook_call(b"{}", url=f"{PUBLIC_URL}/chat/test/hello")
    first, second = await asyncio.gather(one.receive(hello), other.receive(hello))
    for issued, taker in ((first, other), (second, one)):
        said = {"Authorization": f"Bearer {json.loads(issued.answer.body)['token']}"}
        ping = webhook_call(b'{"type":"ping"}', url=f"{PUBLIC_URL}/chat/test/frames", headers=said)
        received = await taker.receive(ping)

        assert received.answer.status == 200


# Frames


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400) | st.text(max_size=100).map(str.encode))
def test_garbage_is_malformed(body: bytes) -> None:
    """Whatever is no frame is `Malformed`, shows nothing of itself and raises nothing else."""
    with pytest.raises(Malformed) as refused:
        parse(body)

    assert "docs/channels/webchat.md" in str(refused.value)


@settings(deadline=None, max_examples=200)
@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["message", "delivered", "read", "typing", "ping", "hello", "ack"])},
        optional={
            "id": st.text(max_size=80) | st.integers() | st.none(),
            "text": st.text(max_size=50) | st.just("x" * 5000) | st.none(),
            "upto": st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
            "after": st.integers() | st.none(),
            "own": st.booleans(),
        },
    )
)
async def test_almost_right_frames_are_answered(fields: Mapping[str, Any]) -> None:
    """A frame with any field out of place is understood, refused with an error frame, or `Malformed`."""
    try:
        received = await chat().receive(frame(json.dumps(fields).encode()))
    except Malformed:
        return
    answer = json.loads(received.answer.body)

    assert answer["type"] in ("ack", "error")
    assert received.answer.status == 200 or not received.events


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "empty"), (" \n\0 ", "empty"), ("x" * (TEXT_LIMIT + 1), "too_long"), ("信" * 4001, "too_long")],
)
async def test_refused_text(text: str, code: str) -> None:
    """An empty or too long message is refused by its id, and nothing is kept of it."""
    memory = InMemory(lambda: NOW)
    body = json.dumps({"type": "message", "id": "client-1", "text": text}).encode()
    received = await chat(memory).receive(frame(body))

    assert json.loads(received.answer.body) == {"type": "error", "id": "client-1", "code": code}
    assert (received.events, await memory.read("chat:a-visitor", 0)) == ((), [])


async def test_text_of_exactly_the_limit() -> None:
    """4000 characters are allowed, whatever they are in bytes."""
    body = json.dumps({"type": "message", "id": "client-1", "text": "😀" * TEXT_LIMIT}, ensure_ascii=False).encode()
    received = await chat().receive(frame(body))

    assert received.answer.status == 200
    assert isinstance(received.events[0], Message)


async def test_receipts_name_the_shops_messages() -> None:
    """`read` up to a position means every message of the shop's there, and none of the visitor's own."""
    memory = InMemory(lambda: NOW)
    connector = chat(memory)
    for number in range(1, 4):
        await connector.send(outbound(f"d{number}", "visitor:a-visitor", f"text {number}"))
        await connector.receive(frame(b'{"type":"message","id":"client-%d","text":"x"}' % number))
    await connector.typing("visitor:a-visitor", "", on=True)
    read = await connector.receive(frame(b'{"type":"read","after":2,"upto":5}'))
    delivered = await connector.receive(frame(b'{"type":"delivered","upto":99}'))

    assert read.events == [Receipt("d2", "read", NOW), Receipt("d3", "read", NOW)]
    assert json.loads(read.answer.body) == {"type": "ack", "read": 5}
    assert [event.message_id for event in delivered.events if isinstance(event, Receipt)] == ["d1", "d2", "d3"]


@pytest.mark.parametrize("where", ["", "?visitor=%s"])
async def test_hooks_are_not_the_door(where: str) -> None:
    """Web chat has no webhook: what comes to /hooks is nobody's, with or without a token."""
    received = await chat().receive(webhook_call(b'{"type":"ping"}', url=f"{PUBLIC_URL}/hooks/test{where}"))

    assert (received.answer.status, received.events) == (404, ())


# Sending


async def test_send_waits_in_the_box() -> None:
    """A message lies in its visitor's box, once however often it is sent."""
    memory, leaving = InMemory(lambda: NOW), Leaving()
    connector = chat(memory)
    message = outbound("d1", "visitor:a-visitor", "您好", author="李雷", media=[attachment()], leaving=leaving)
    sent = [await connector.send(message) for _ in range(2)]
    box = await memory.read("chat:a-visitor", 0)

    assert (sent, leaving.count, len(box)) == ([Sent("d1")] * 2, 2, 1)
    assert json.loads(box[0][1]) == {
        "type": "message",
        "id": "d1",
        "at": NOW,
        "text": "您好",
        "author": "李雷",
        "media": [{"name": "photo.jpg", "type": "image/jpeg", "size": 4, "url": f"{PUBLIC_URL}/media/photo.jpg"}],
    }


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("tel:+8613800138000", ""),
        ("visitor:a-visitor", "javascript:alert(1)"),
        ("visitor:a-visitor", "data:text/html,x"),
    ],
)
async def test_send_refuses(address: str, url: str) -> None:
    """An address of another channel, and a file that has no web address, are refused before anything leaves."""
    leaving = Leaving()
    media = [attachment(url=url)] if url else []
    with pytest.raises(Rejected):
        await chat().send(outbound("d1", address, "hi", media=media, leaving=leaving))

    assert leaving.count == 0


async def test_typing_is_shown_only_while_it_lasts() -> None:
    """A hint of typing goes out at once, not twice in a moment, and is not repeated to a page that comes later."""
    memory = InMemory(lambda: NOW)
    connector = chat(memory)
    for _ in range(3):
        await connector.typing("visitor:a-visitor", "", on=True)
    await connector.send(outbound("d1", "visitor:a-visitor", "done"))
    seen = [json.loads(item) for item in await _first(connector.feed(frame(b"")), 2)]
    later = chat(memory, now=NOW + 9000)
    late = [json.loads(item) for item in await _first(later.feed(frame(b"")), 1)]

    assert [(item["type"], item["n"]) for item in seen] == [("typing", 1), ("message", 2)]
    assert [(item["type"], item["n"]) for item in late] == [("message", 2)]


async def _first(feed: AsyncIterator[str], count: int) -> list[str]:
    async with asyncio.timeout(5):
        got = [await anext(feed) for _ in range(count)]
    await feed.aclose()  # type: ignore[attr-defined]
    return got


# Files


@pytest.mark.parametrize(
    ("name", "data", "mime", "clean"),
    [
        ("photo.png", PNG, "image/png", "photo.png"),
        ("invoice.html", PNG, "image/png", "invoice.html.png"),
        ("page.html", b"<script>alert(1)</script>", uploads.OCTETS, "page.html"),
        ("drawing.svg", b"<svg onload=alert(1)>", uploads.OCTETS, "drawing.svg"),
        ("x.pdf", b"%PDF-1.7", "application/pdf", "x.pdf"),
        (
            "发票.DOCX",
            b"PK\x03\x04",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "发票.DOCX",
        ),
        ("../../etc/passwd", b"x", uploads.OCTETS, "_.._etc_passwd"),
        ("a\r\nSet-Cookie: x.txt", b"x", "text/plain", "aSet-Cookie_ x.txt"),
        ("gpj.\u202eexe.txt", b"x", "text/plain", "gpj.exe.txt"),
        ("", PNG, "image/png", "file.png"),
        ("...", b"x", uploads.OCTETS, "file"),
        ("长" * 300 + ".txt", b"x", "text/plain", "长" * 65 + ".txt"),
        ("clip.mov", b"\0\0\0\x20ftypqt  ", "video/quicktime", "clip.mov"),
        ("voice.amr", b"#!AMR\n", "audio/amr", "voice.amr"),
    ],
)
def test_files_are_what_they_are(name: str, data: bytes, mime: str, clean: str) -> None:
    """A file's type is read from its bytes, never from what it calls itself, and its name does no harm."""
    assert uploads.sniff(data, name) == mime
    assert uploads.clean_name(name, mime) == clean


@given(st.text(max_size=400))
def test_any_name_becomes_a_file_name(name: str) -> None:
    """No name yields a path, a control character, an empty name or one over 200 bytes."""
    clean = uploads.clean_name(name, uploads.OCTETS)

    assert 0 < len(clean.encode()) <= 200
    assert not re.search(r'[\x00-\x1f\x7f/\\:*?"<>|\u202a-\u202e]', clean)
    assert clean not in (".", "..")


# Over real sockets


class Page:
    """A visitor's page without a browser: it says hello, holds a socket and reads frames."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.token = ""
        self.visitor = ""

    async def hello(self, **body: str) -> int:
        async with self.http.post("/chat/site-chat/hello", json={"token": self.token, **body}) as response:
            answer = await response.json()
            self.token, self.visitor = answer.get("token", ""), answer.get("visitor", "")
            return response.status

    def socket(self, after: int = 0, **options: Any) -> Any:
        protocols = ("huiliu.v1", self.token)
        return self.http.ws_connect(f"/chat/site-chat/socket?after={after}", protocols=protocols, **options)

    def post(self, where: str, data: bytes, **headers: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        return self.http.post(f"/chat/site-chat/{where}", data=data, headers=headers)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with chat_stage({"allowed_origins": [SHOP], "identity_secret": SHOP_KEY, "max_file": 2 << 20}) as stage:
        yield stage


@asynccontextmanager
async def visiting(stage: Stage, **hello: str) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession(stage.url) as http:
        page = Page(http)
        assert await page.hello(**hello) == 200
        yield page


@pytest.fixture
async def page(stage: Stage) -> AsyncIterator[Page]:
    async with visiting(stage) as page:
        yield page


async def _next(ws: Any) -> dict[str, Any]:
    message = await ws.receive(5)
    assert message.type is WSMsgType.TEXT, message
    frame: dict[str, Any] = json.loads(message.data)
    return frame


async def _say(ws: Any, id: str, text: str) -> list[dict[str, Any]]:
    """Send a message and return the echo and the ack, in whatever order they come."""
    await ws.send_str(json.dumps({"type": "message", "id": id, "text": text}))
    return sorted([await _next(ws), await _next(ws)], key=lambda frame: str(frame["type"]))


async def test_message_is_acknowledged_once_durable(stage: Stage, page: Page) -> None:
    """What a visitor writes is recorded under his address, echoed into the conversation and acknowledged."""
    async with page.socket() as ws:
        ack, echo = await _say(ws, "client-1", "你好")

    assert ack == {"type": "ack", "id": "client-1"}
    assert {**echo, "at": 0} == {"n": 1, "type": "message", "id": "client-1", "at": 0, "text": "你好", "own": True}
    assert [(m.external_id, m.address, m.text) for m in stage.messages] == [
        (f"{page.visitor}:client-1", f"visitor:{page.visitor}", "你好")
    ]


async def test_repeated_message_is_one(stage: Stage, page: Page) -> None:
    """A page that missed the ack sends again, by socket or by POST, and gets the same ack; there is one message."""
    async with page.socket() as ws:
        await _say(ws, "client-1", "hello")
        await ws.send_str('{"type":"message","id":"client-1","text":"hello"}')
        assert await _next(ws) == {"type": "ack", "id": "client-1"}
    async with page.post("frames", b'{"type":"message","id":"client-1","text":"hello"}') as response:
        assert await response.json() == {"type": "ack", "id": "client-1"}

    assert (len(stage.messages), stage.repeats) == (1, 2)
    assert len(await stage.memory.read(f"chat:{page.visitor}", 0)) == 1


async def test_no_ack_without_durability(stage: Stage, page: Page) -> None:
    """While the store is down a message is not acknowledged; the same frame is taken when it is back."""
    said = '{"type":"message","id":"client-1","text":"hello"}'
    async with page.socket() as ws:
        stage.down = True
        await ws.send_str(said)
        answers = [await _next(ws), await _next(ws)]
        assert [one["code"] for one in answers if one["type"] == "error"] == ["unavailable"]
        assert stage.messages == []
        stage.down = False
        await ws.send_str(said)
        assert await _next(ws) == {"type": "ack", "id": "client-1"}

    assert len(stage.messages) == 1


async def test_reconnect_misses_nothing_and_repeats_nothing(stage: Stage, page: Page) -> None:
    """Cut at any moment, a page that asks from where it was gets every message exactly once, in order."""
    address, after = f"visitor:{page.visitor}", 0
    seen: list[str] = []
    writing = asyncio.create_task(_write(stage, address, 60))
    async with asyncio.timeout(20):
        while len(seen) < 60:
            async with page.socket(after) as ws:
                for _ in range(7):
                    if len(seen) == 60:
                        break
                    got = await _next(ws)
                    seen.append(got["id"])
                    after = got["n"]
                ws._response.connection.transport.abort()
    await writing

    assert seen == [f"d{number}" for number in range(60)]


async def _write(stage: Stage, address: str, count: int) -> None:
    for number in range(count):
        await stage.say(address, f"text {number}", id=f"d{number}")
        await asyncio.sleep(0)


async def test_offline_buffer(stage: Stage, page: Page) -> None:
    """What the shop writes while nobody looks waits, and comes with what the visitor wrote, on any of his devices."""
    async with page.socket() as ws:
        await _say(ws, "client-1", "anybody there?")
    await stage.say(f"visitor:{page.visitor}", "yes", id="d1", author="李雷")
    async with page.socket() as one, page.socket() as other:
        frames = [[await _next(ws), await _next(ws)] for ws in (one, other)]

    assert frames[0] == frames[1]
    assert [(got["n"], got["text"], got.get("own", False)) for got in frames[0]] == [
        (1, "anybody there?", True),
        (2, "yes", False),
    ]


async def test_poll_serves_where_sockets_do_not(stage: Stage, page: Page) -> None:
    """The long poll gives the same frames with the same positions."""
    await stage.say(f"visitor:{page.visitor}", "one", id="d1")
    await stage.say(f"visitor:{page.visitor}", "two", id="d2")
    headers = {"Authorization": f"Bearer {page.token}"}
    async with page.http.get("/chat/site-chat/poll?after=0", headers=headers) as every:
        assert [(got["n"], got["text"]) for got in await every.json()] == [(1, "one"), (2, "two")]
    async with page.http.get(f"/chat/site-chat/poll?after=1&visitor={page.token}") as rest:
        assert [got["id"] for got in await rest.json()] == ["d2"]


async def test_visitor_keeps_his_name(stage: Stage, page: Page) -> None:
    """A known token is renewed for the same visitor; a forged one makes a new visitor, never somebody else."""
    first = page.visitor
    await page.hello()
    assert page.visitor == first
    page.token = token(first, key=b"a guess")
    await page.hello()
    assert page.visitor.startswith("a-")
    assert page.visitor != first


async def test_identified_visitor(stage: Stage) -> None:
    """A customer whom the shop names is the same visitor everywhere, and his messages carry his name."""
    claims = {"sub": "42", "exp": 4_000_000_000, "name": "李雷", "email": "lilei@example.com"}
    async with visiting(stage, user=identity(claims)) as page, visiting(stage, user=identity(claims)) as elsewhere:
        assert page.visitor == elsewhere.visitor == "u-42"
        async with page.post("frames", b'{"type":"message","id":"client-1","text":"hi"}') as response:
            assert response.status == 200
    message = stage.messages[0]

    assert (message.address, message.name, message.details) == ("visitor:u-42", "李雷", {"email": "lilei@example.com"})


async def test_nobody_names_himself(stage: Stage, page: Page) -> None:
    """An identity that the shop did not sign is refused."""
    forged = identity({"sub": "42", "exp": 4_000_000_000}, key="y" * 32)

    assert await page.hello(user=forged) == 403


async def test_visitors_do_not_see_each_other(stage: Stage, page: Page) -> None:
    """A message goes to its visitor alone."""
    async with visiting(stage) as other, other.socket() as theirs, page.socket() as mine:
        await stage.say(f"visitor:{page.visitor}", "for you", id="d1")
        assert (await _next(mine))["text"] == "for you"
        await stage.say(f"visitor:{other.visitor}", "for them", id="d2")
        assert (await _next(theirs))["text"] == "for them"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (SHOP, 200),
        ("HTTPS://WWW.EXAMPLE.COM", 200),
        ("own", 200),
        ("https://evil.example", 403),
        ("https://www.example.com.evil.example", 403),
        ("http://www.example.com", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_origin_is_checked(stage: Stage, page: Page, origin: str, status: int) -> None:
    """Frames, files, hello, polls and sockets are for the hub's own page and the allowed sites only."""
    headers = {"Origin": stage.url if origin == "own" else origin}
    for where, body in (("frames", b'{"type":"ping"}'), ("hello", b"{}")):
        async with page.post(where, body, **headers) as response:
            assert response.status == status, where
    async with page.socket(headers=headers) as ws:
        await ws.send_str('{"type":"ping"}')
        await ws.receive(5)
        assert ws.close_code == (None if status == 200 else 1008)


CORS = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary")


@pytest.mark.parametrize("where", ["hello", "frames", "files", "poll"])
async def test_admitted_site_may_ask(page: Page, where: str) -> None:
    """A browser that asks first, because of the token, hears that the site may call, and how, and for how long."""
    asking = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    asking["Access-Control-Request-Headers"] = "authorization,content-type"
    async with page.http.options(f"/chat/site-chat/{where}?id=client-01", headers=asking) as response:
        said = response.headers

        assert response.status == 204
        assert said["Access-Control-Allow-Origin"] == SHOP
        assert said["Access-Control-Allow-Methods"] == "GET, POST"
        assert said["Access-Control-Allow-Headers"].lower().split(", ") == ["authorization", "content-type"]
        assert int(said["Access-Control-Max-Age"]) >= 600
        assert said["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in said


@pytest.mark.parametrize(
    ("method", "where", "body", "status"),
    [
        ("POST", "hello", b"{}", 200),
        ("POST", "frames", b'{"type":"ping"}', 200),
        ("POST", "frames", b"[]", 400),
        ("POST", "frames", b" " * (65 << 10), 413),
        ("POST", "files?id=client-01", b"", 400),
        ("POST", "nowhere", b"", 404),
        ("GET", "poll?visitor=x", b"", 403),
        ("GET", "socket", b"", 426),
    ],
)
async def test_admitted_site_may_read(page: Page, method: str, where: str, body: bytes, status: int) -> None:
    """Whatever a page of an admitted site is answered, its scripts may read it, errors and Retry-After too."""
    headers = {"Origin": SHOP, "Authorization": "Bearer x" if "?visitor" in where else f"Bearer {page.token}"}
    async with page.http.request(method, f"/chat/site-chat/{where}", data=body, headers=headers) as response:
        assert response.status == status
        assert [response.headers.get(name) for name in CORS] == [SHOP, "Retry-After", "Origin"]


async def test_admitted_site_reads_why_its_body_was_not_read(page: Page) -> None:
    """What is turned away before it is read is answered in the same way."""
    async with page.post("frames", b"{}", **{"Origin": SHOP, "Content-Encoding": "gzip"}) as response:
        assert response.status == 415
        assert [response.headers.get(name) for name in CORS] == [SHOP, "Retry-After", "Origin"]


async def test_admitted_site_reads_when_to_come_again(stage: Stage, page: Page) -> None:
    """A site whose visitor is told to wait learns for how long."""
    stage.down = True
    said = {"type": "message", "id": "client-01", "text": "hi"}
    async with page.post("frames", json.dumps(said).encode(), Origin=SHOP) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        assert [response.headers.get(name) for name in CORS] == [SHOP, "Retry-After", "Origin"]


@pytest.mark.parametrize("origin", ["https://evil.example", "https://www.example.com.evil.example", "null", "", None])
async def test_other_sites_hear_nothing_of_it(stage: Stage, page: Page, origin: str | None) -> None:
    """A site that is not named, the hub's own page and a program get no word of who else may call."""
    headers = {} if origin is None else {"Origin": origin}
    for asked in (headers, {"Origin": stage.url}):
        for method, where in (("OPTIONS", "frames"), ("POST", "hello"), ("POST", "frames"), ("GET", "socket")):
            async with page.http.request(method, f"/chat/site-chat/{where}", data=b"{}", headers=asked) as response:
                assert [name for name in response.headers if name.startswith("Access-Control") or name == "Vary"] == []


@pytest.mark.parametrize(("channel", "status"), [("broken-chat", 503), ("nobody", 404)])
async def test_only_a_chat_can_be_asked(page: Page, channel: str, status: int) -> None:
    """Where there is no chat, a browser that asks first is told so."""
    async with page.http.options(f"/chat/{channel}/hello", headers={"Origin": SHOP}) as response:
        assert response.status == status


async def test_page_under_another_name_of_the_hub(stage: Stage, page: Page) -> None:
    """A page that the hub serves under another host name may call the hub by that name."""
    port = stage.url.rpartition(":")[2]
    async with page.post(
        "frames", b'{"type":"ping"}', Origin=f"http://chat.lan:{port}", Host=f"chat.lan:{port}"
    ) as same:
        assert same.status == 200
    async with page.post("frames", b'{"type":"ping"}', Origin=f"http://chat.lan:{port}") as other:
        assert other.status == 403


@pytest.mark.parametrize("where", ["frames", "files?id=client-01"])
async def test_stranger_is_refused(stage: Stage, page: Page, where: str) -> None:
    """Without a token of ours nothing is taken."""
    page.token = token()
    async with page.post(where, b'{"type":"message","id":"client-1","text":"x"}') as response:
        assert response.status == 403
    async with page.socket() as ws:
        await ws.receive(5)
        assert ws.close_code == 1008
    assert stage.events == []


async def test_file_is_sent_once(stage: Stage, page: Page) -> None:
    """A file arrives with its real type and a clean name, is shown in the conversation and not doubled by a retry."""
    for _ in range(2):
        async with page.post(f"files?id=client-01&name={quote('照片.html')}", PNG) as response:
            answer = await response.json()
            assert answer["media"] == [{"name": "照片.html.png", "type": "image/png", "size": len(PNG)}]
    message = stage.messages[0]
    box = await stage.memory.read(f"chat:{page.visitor}", 0)

    assert (len(stage.messages), len(box)) == (1, 1)
    assert (message.type, message.media[0].data, message.media[0].name) == ("image", PNG, "照片.html.png")
    assert b"PNG" not in msgspec.json.encode(box), "the file itself does not belong into the box"


@pytest.mark.parametrize(
    ("query", "size", "status"),
    [
        ("id=client-01&name=x.bin", (2 << 20) + 1, 413),
        ("id=client-01&name=x.bin", 0, 400),
        ("id=short", 5, 400),
        ("name=x", 5, 400),
        ("id=client-01&name=" + "x" * 501, 5, 400),
    ],
)
async def test_file_is_refused(stage: Stage, page: Page, query: str, size: int, status: int) -> None:
    """A file that is too large, empty or without a usable id is refused and nothing is kept."""
    async with page.http.post(
        f"/chat/site-chat/files?{query}",
        data=io.BytesIO(bytes(size)),
        headers={"Authorization": f"Bearer {page.token}"},
    ) as response:
        assert response.status == status
    assert stage.events == []


async def test_garbage_does_not_end_the_chat(stage: Stage, page: Page) -> None:
    """After any number of hostile frames the same socket still takes a message."""
    async with page.socket() as ws:
        for hostile in (
            "",
            "{",
            "null",
            "[]",
            '{"type":"nope"}',
            '{"type":"read","upto":-1}',
            "\ud7ff\0",
            '{"type":1}',
        ):
            await ws.send_str(hostile)
            assert (await _next(ws))["code"] == "malformed"
        ack, _ = await _say(ws, "client-1", "still here")

    assert ack == {"type": "ack", "id": "client-1"}


# Pages


async def test_page_is_shut_tight(stage: Stage, page: Page) -> None:
    """The page runs nothing inline, loads nothing foreign, and can be framed by allowed sites alone."""
    async with page.http.get("/chat/site-chat") as response:
        html, headers = await response.text(), response.headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == f"'self' {SHOP}"
    assert (policy["script-src"], policy["style-src"], policy["base-uri"]) == ("'self'", "'self'", "'none'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", html)
    for address in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert address.startswith("/chat/site-chat/assets/"), address
        async with page.http.get(address) as asset:
            assert (asset.status, "immutable" in asset.headers["Cache-Control"]) == (200, True), address


@pytest.mark.parametrize(
    ("query", "accept", "lang", "title"),
    [
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "在线客服"),
        ("", "en-GB,en", "en", "Chat with us"),
        ("", "fr-FR", "zh-CN", "在线客服"),
        ("", "fr, en;q=0.5", "en", "Chat with us"),
        ("?lang=en", "zh-CN", "en", "Chat with us"),
    ],
)
async def test_page_speaks_the_visitors_language(page: Page, query: str, accept: str, lang: str, title: str) -> None:
    """The address decides, then the browser, then the channel's first language."""
    async with page.http.get(f"/chat/site-chat{query}", headers={"Accept-Language": accept}) as response:
        html = await response.text()

    assert f'<html lang="{lang}"' in html
    assert f"<title>{title}</title>" in html


async def test_titles_are_text() -> None:
    """What an admin writes as a title or greeting is never markup."""
    evil = '"><script>alert(1)</script>${base}'
    options = {"title": {"zh": evil}, "greeting": {"zh": evil}}
    async with chat_stage(options) as stage, aiohttp.ClientSession(stage.url) as http:
        async with http.get("/chat/site-chat") as response:
            html = await response.text()
        async with http.get("/chat/site-chat/widget.js") as response:
            script = await response.text()

    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;${base}") == 3
    assert json.dumps(evil) in script


@pytest.mark.parametrize(
    "path", ["/x", "/assets", "/assets/x/chat.html", "/assets/x/../webchat.py", "/assets/x/%2e%2e/base.py"]
)
async def test_only_shipped_files_are_served(page: Page, path: str) -> None:
    """No other file can be asked for."""
    async with page.http.get(f"/chat/site-chat{path}") as response:
        assert response.status == 404


async def test_old_asset_is_still_there(page: Page) -> None:
    """A page that was loaded before an update gets its scripts, but not for ever."""
    async with page.http.get("/chat/site-chat/assets/000000000000/chat.js") as response:
        assert (response.status, "immutable" in response.headers["Cache-Control"]) == (200, False)


async def test_widget_is_for_other_sites(page: Page) -> None:
    """The widget may be loaded from anywhere, and knows its channel and colour."""
    async with page.http.get("/chat/site-chat/widget.js") as response:
        script = await response.text()

    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "%CONFIG%" not in script
    assert '"channel":"site-chat"' in script


@given(st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}"))
def test_every_colour_can_be_read(color: str) -> None:
    """Whatever colour a shop chooses, text on it and text in it can be read by day and by night."""
    by_day, by_night = re.findall(r"--link: (#\w+)", theme(color))

    assert contrast(color, ink(color)) >= 4.5
    assert contrast(by_day, "#ffffff") >= 4.5
    assert contrast(by_night, "#1d1f1e") >= 4.5
