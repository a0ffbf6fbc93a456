"""Logs hold no secrets and no personal data, whoever wrote the line."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from config.templates import Filled
from connectors.base import Message, Unreachable
from inbox.contacts import Contact
from inbox.conversations import Conversation
from inbox.logs import configure, place, redact, told
from tests.hubs import TOKEN, configuration, running, until, write

REDACTED = [
    (
        "GET https://api.example.com/cgi?access_token=abc.DEF-123&x=1",
        "GET https://api.example.com/cgi?access_token=…&x=1",
    ),
    ("secret=s3cret password=p4ss", "secret=… password=…"),
    ("sign=AbC==&t=1 signature=deadbeef", "sign=…&t=1 signature=…"),
    ('{"access_token": "abc", "expires_in": 7200}', '{"access_token": "…", "expires_in": 7200}'),
    ("{'app_secret': 'abc'}", "{'app_secret': '…'}"),
    ("Authorization: Bearer abc.def-ghi==", "Authorization: Bearer …"),
    ("redis://user:p4ss@127.0.0.1:6379/0", "redis://user:…@127.0.0.1:6379/0"),
    ("unix://:deadbeef@/var/store.sock", "unix://:…@/var/store.sock"),
    ("mail from wang.fang+shop@mail.example.com.cn refused", "mail from …@… refused"),
    ("sms to +8613800138000 failed", "sms to … failed"),
    ("电话13800138000，请回复", "电话…，请回复"),
    ("tel:+14155550123", "tel:…"),
    ("call 138 0013 8000 or +86 138-0013-8000", "call … or …"),
    ("conversation c12-1763763000123-0 of partition 12", "conversation c12-1763763000123-0 of partition 12"),
    ("delivery d7-0123456789abcdef01234567", "delivery d7-0123456789abcdef01234567"),
    ("took 1234567890 ns", "took 1234567890 ns"),
    ("one\r\n2026-01-01 [info] forged\x1b[31m\x9b\u2028", "one  2026-01-01 [info] forged [31m  "),
    ("the channel shop-wechat is up", "the channel shop-wechat is up"),
]


CHATTY = ("watchfiles", "asyncio")


@pytest.mark.parametrize(("text", "expected"), REDACTED)
def test_redaction(text: str, expected: str) -> None:
    """Keys, tokens, passwords, phones and mail addresses are cut out; ids, names and numbers of ours stay readable."""
    assert expected == redact(text)


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Returns what went to standard error; the logging of the test run comes back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = before
    root.setLevel(level)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.NOTSET)


@pytest.mark.parametrize("style", ["console", "json"])
def test_every_way_to_log_is_cleaned(written: Callable[[], str], style: str) -> None:
    """The standard library's loggers and structlog, arguments and fields: one formatter for all, one line each."""
    configure(style)
    logging.getLogger("aiohttp").warning("to %s with %s", "+8613800138000", "token=abc123")
    structlog.get_logger("x")
    logging.getLogger("any").error("forged\nline")

    text = written()
    assert 2 == len(text.splitlines())
    for secret in ("13800138000", "abc123"):
        assert secret not in text
    if style == "json":
        first = json.loads(text.splitlines()[0])
        assert ("to … with token=…", "warning", "aiohttp") == (first["event"], first["level"], first["logger"])


def failing(text: str) -> None:
    raise ValueError(text)


def test_a_traceback_says_where_and_not_what(written: Callable[[], str]) -> None:
    """The frames and the kinds of errors are logged, their messages are not: they quote what customers wrote."""
    configure()
    try:
        try:
            failing("我的电话是 hidden-words")
        except ValueError:
            raise KeyError("hidden-address") from None
    except KeyError:
        logging.getLogger("x").exception("an event could not be routed")

    text = written()
    assert "KeyError" in text
    assert "test_inbox_logs.py" in text
    assert "hidden" not in text.replace('failing("我的电话是 hidden-words")', "").replace(
        'raise KeyError("hidden-address")', ""
    )


TOLD = [
    (ValueError("words"), "ValueError"),
    (OSError(28, "No space left on device", "/var/x"), "OSError: No space left on device"),
    (Unreachable("the platform is away"), "Unreachable: the platform is away"),
]


@pytest.mark.parametrize(("error", "expected"), TOLD)
def test_messages_that_promise_to_be_clean_are_kept(error: Exception, expected: str) -> None:
    """The contract's errors and the system's own words are kept, as an admin needs them."""
    assert expected == told(error)
    assert type(error).__name__ == place(error)


def test_the_cause_is_told_first() -> None:
    """Both errors of a chain are named, the first one first."""
    try:
        try:
            failing("words")
        except ValueError as error:
            raise Unreachable("away") from error
    except Unreachable as error:
        lines = told(error).splitlines()
    assert ["ValueError", "which led to"] == [line for line in lines if line in ("ValueError", "which led to")]
    assert "Unreachable: away" == lines[-1]


CANARIES = {
    "token": "canary-api-token-0001",
    "wechat_secret": "canary-app-secret-0002",
    "wechat_token": "canaryPushToken0003",
    "wechat_key": "canary0004canary0004canary0004canary0004abc"[:43],
    "chat_secret": "canary-chat-secret-0005-canary-chat-secret",
    "identity": "canary-identity-0006-canary-identity-0006",
    "phone": "+8613912345678",
    "words": "canary-words-0007",
    "name": "canary-name-0008",
    "openid": "canaryOpenid0009",
    "reply": "canary-reply-0010",
    "query": "canary-query-0011",
}


def secretive() -> str:
    """Return a configuration in which every secret is one of its own."""
    channels = (
        f"  shop-wechat: {{kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: {CANARIES['wechat_secret']}, "
        f"token: {CANARIES['wechat_token']}, encoding_aes_key: {CANARIES['wechat_key']}, "
        "api_base: 'http://127.0.0.1:9'}\n"
        f"  site-chat: {{kind: webchat, secret: {CANARIES['chat_secret']}, identity_secret: {CANARIES['identity']}}}"
    )
    return configuration(channels).replace(TOKEN, CANARIES["token"])


async def test_no_secret_and_nothing_personal_is_ever_logged(
    store_url: str, tmp_path: Path, written: Callable[[], str]
) -> None:
    """A message, an answer to a platform that is away, bad calls, a fault of ours, logged in every detail: no hits."""
    config = write(tmp_path, secretive())
    configure("json", logging.DEBUG)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    asyncio.get_running_loop().slow_callback_duration = 3600  # a machine that stands still would have results logged
    async with running(store_url, config) as stage:
        hub = stage.hub
        address = f"wechat:{CANARIES['openid']}"
        hub.rules = dataclasses.replace(hub.rules, acknowledgement=broken)
        for number, text in enumerate((f"{CANARIES['words']} {CANARIES['phone']}", "投诉")):
            event = Message(f"{number}", address, 1, text, name=CANARIES["name"])
            await hub.recorder.record("shop-wechat", [event])

        async def api(method: str, path: str, body: Any = None) -> Any:
            return await stage.api(method, path, body, token=CANARIES["token"])

        async def listed() -> Any:
            return (await api("GET", f"/conversations?q={CANARIES['name']}"))["items"]

        [found] = await until(listed)
        await api("POST", f"/conversations/{found['id']}/replies", {"text": CANARIES["reply"], "insist": True})

        async def tried() -> Any:
            return (await api("GET", "/dead"))["items"] or (await api("GET", "/deliveries"))["items"]

        async def set_aside() -> Any:
            return (await api("GET", "/shunted"))["items"]

        await until(tried)
        await until(set_aside)
        await bad_calls(stage.http, stage.base)
        await hub.deliveries.receipt("shop-wechat", "x", "sent", 1, "")
        logging.getLogger("connectors").debug("a request of %s", f"{stage.base}/x?access_token={CANARIES['query']}")

    text = written()
    assert "could not be routed" in text
    hits = {name for name, canary in CANARIES.items() if canary in text or canary.removeprefix("+86") in text}
    assert set() == hits


def broken(template: str, conversation: Conversation, contact: Contact) -> Filled:
    raise ValueError(f"cannot write to {conversation.name}")


async def bad_calls(http: aiohttp.ClientSession, base: str) -> None:
    """Call the hub as no friend would."""
    words = CANARIES["words"]
    for method, path, headers in (
        ("POST", f"/hooks/shop-wechat?signature={CANARIES['query']}", {}),
        ("POST", "/hooks/nothing", {}),
        ("GET", f"/api/v1/conversations?q={words}", {"Authorization": f"Bearer {CANARIES['query']}"}),
        ("POST", f"/api/v1/conversations/{words}/notes", {"Authorization": f"Bearer {CANARIES['token']}"}),
        ("GET", f"/files/{words}", {}),
        ("POST", "/chat/site-chat/messages", {}),
    ):
        async with http.request(method, base + path, data=words, headers=headers) as response:
            assert response.status >= 400
