"""WeCom app, receiving: the contract of every connector, published vectors, agreement with wechatpy, forgeries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import ValidationError
from wechatpy.enterprise import parse_message
from wechatpy.enterprise.crypto import WeChatCrypto
from yarl import URL

from connectors.base import Answer, Choice, Event, Fetcher, Malformed, Message, Notice, Sent, Unverified, WebhookCall
from connectors.simulators.wechat_push import digest, seal, unseal
from connectors.simulators.wecom import part
from connectors.testing import (
    PUBLIC_URL,
    Payload,
    ReceivingContract,
    Reply,
    Request,
    Sending,
    SendingContract,
    attachment,
    kit,
    outbound,
    read_events,
    webhook_call,
)
from connectors.wecom_app import WeComApp
from connectors.wecom_options import WeComAppOptions
from connectors.wecom_parse import parse

PAYLOADS = Path(__file__).parent / "payloads" / "wecom-app"
CORP = "wx5823bf96d3bd56c7"
AGENT = 218
SECRET = "app-secret-0123456789"
TOKEN = "QDG6eK"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
HELLO = (PAYLOADS / "text.xml").read_bytes()
PRESS = (PAYLOADS / "event-press.xml").read_bytes()


def options(**more: Any) -> dict[str, Any]:
    """Return the options of a channel, as YAML would give them."""
    required = {"corp_id": CORP, "agent_id": AGENT, "secret": SECRET, "token": TOKEN, "encoding_aes_key": AES_KEY}
    return {**required, **more}


def connector(**more: Any) -> WeComApp:
    """Return a connector for *options*."""
    return WeComApp(WeComAppOptions.model_validate(options(**more)), kit())


def only(events: Sequence[Event]) -> Any:
    """Return the one event there is."""
    [event] = events
    return event


def call_of(encrypted: str, token: str = TOKEN) -> WebhookCall:
    """Return the callback that carries *encrypted*, signed with *token*."""
    query = {"timestamp": "1409659813", "nonce": "1372623149"}
    query["msg_signature"] = digest(token, *query.values(), encrypted)
    body = f"<xml><ToUserName>{CORP}</ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt><AgentID>218</AgentID></xml>"
    return webhook_call(body.encode(), url=str(URL(f"{PUBLIC_URL}/hooks/test").with_query(query)))


def sealed_call(body: bytes, key: str = AES_KEY, corp: str = CORP, token: str = TOKEN) -> WebhookCall:
    """Return *body*, whatever it is, sealed and signed as the platform does it."""
    return call_of(seal(body, key, corp, b"0123456789abcdef"), token)


class TestWeComApp(ReceivingContract, SendingContract):
    """The suite, fed with callbacks in their envelope."""

    connector_class: ClassVar[type[Any]] = WeComApp
    address: ClassVar[str] = "wecom:LiLei"
    proofs: ClassVar[tuple[str, ...]] = ("msg_signature", "timestamp", "nonce")
    # Of the body only the sealed part is signed: see test_sealed_bit_is_refused.
    body_proven: ClassVar[bool] = False

    def options(self, platform: str) -> Mapping[str, Any]:
        return options(api_base=platform, token="push-token-0123456789")

    def sign(self, body: bytes) -> WebhookCall:
        return sealed_call(body, token="push-token-0123456789")

    def payloads(self) -> Iterable[Payload]:
        for file in sorted(PAYLOADS.glob("*.xml")):
            expected = read_events(file.with_name(f"{file.name}.expected.json"))
            ours = "press" in file.name and "foreign" not in file.name
            yield Payload(file.name, self.sign(file.read_bytes()), expected, None if ours else Answer())

    def sendings(self) -> Iterable[Sending]:
        yield Sending("text", outbound(address=self.address, text="您好，有新会话"), Sent("msgid-1"))
        choices = (Choice("claim", "认领"), Choice("next", "下一个"))
        card = outbound(address=self.address, text="新会话\n王芳：我要退款", choices=choices)
        yield Sending("card", card, Sent("huiliu-d1"))
        media = {
            "picture": attachment(data=b"\xff\xd8\xff\xe0 picture"),
            "voice": attachment("a.amr", "audio/amr", b"#!AMR\n"),
            "video": attachment("a.mp4", "video/mp4", b"\x00\x00\x00\x18ftypmp42"),
            "file": attachment("报价.pdf", "application/pdf", b"%PDF-1.7"),
            "file as a link": attachment("tiny.txt", "text/plain", b"12345"),
        }
        for label, one in media.items():
            yield Sending(label, outbound(address=self.address, media=[one]), Sent("msgid-1"))
        update = outbound(address=self.address, text="李雷已认领", handle="card:code-1")
        yield Sending("buttons replaced", update, Sent())

    def platform_answer(self, request: Request) -> Reply:
        if request.path == "/cgi-bin/gettoken":
            return Reply(200, '{"errcode":0,"errmsg":"ok","access_token":"scripted-access-token","expires_in":7200}')
        if request.path == "/cgi-bin/media/upload":
            return Reply(200, '{"errcode":0,"errmsg":"","type":"image","media_id":"m1","created_at":"1"}')
        return Reply(200, '{"errcode":0,"errmsg":"ok","invaliduser":"","msgid":"msgid-1"}')

    def delivers(self, request: Request) -> bool:
        return request.path.startswith("/cgi-bin/message/")


def test_optional_protocols() -> None:
    """The hub finds that media can be fetched, that agents may work here, and how many buttons there are."""
    assert isinstance(connector(), Fetcher)
    assert (WeComApp.capabilities.staff, WeComApp.capabilities.choices) == (True, 6)


ECHO = "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
ECHO_QUERY = "msg_signature=5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3&timestamp=1409659589&nonce=263014780"


@pytest.mark.parametrize("echo", [ECHO, ECHO.replace("+", "%2B").replace("/", "%2F")], ids=["bare", "encoded"])
async def test_handshake_vector(echo: Any) -> None:
    """The documented handshake is answered with the opened echo, however its "+" came through the URL."""
    call = webhook_call(method="GET", url=f"{PUBLIC_URL}/hooks/test?{ECHO_QUERY}&echostr={echo}")
    spaced = replace(call, query={**call.query, "echostr": ECHO.replace("+", " ")})

    assert (await connector().receive(call)).answer == Answer(body=b"1616140317555161061")
    assert (await connector().receive(spaced)).answer == Answer(body=b"1616140317555161061")


async def test_message_vector() -> None:
    """The documented encrypted message is opened and understood."""
    encrypted = (
        "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJTs3TUU"
        "kSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2hgf5gsijff0e"
        "kUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVMNS0"
        "+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8"
        "R07+qN+E7Q=="
    )
    call = call_of(encrypted)
    event = only((await connector().receive(call)).events)

    assert call.query["msg_signature"] == "477715d11cdb4164915debcba66cb864d751f3e6"
    assert event == Message("4561255354251345929", "wecom:mycreate", 1409659813000, "hello")


async def test_reply_of_the_documents() -> None:
    """What wechatpy seals for this company is understood, and what we answer to a press wechatpy opens."""
    crypto = WeChatCrypto(TOKEN, AES_KEY, CORP)
    theirs = crypto.encrypt_message(PRESS.decode(), "1372623149", "1409659813")
    query = {"msg_signature": part(theirs, "MsgSignature"), "timestamp": "1409659813", "nonce": "1372623149"}
    call = webhook_call(theirs.encode(), url=str(URL(f"{PUBLIC_URL}/hooks/test").with_query(query)))
    received = await connector().receive(call)
    answer = received.answer.body.decode()
    proof = part(answer, "MsgSignature"), part(answer, "TimeStamp"), part(answer, "Nonce")
    reply = crypto.decrypt_message(answer, *proof)

    assert only(received.events).choice == "claim"
    assert part(reply, "MsgType") == "update_button"
    assert (part(reply, "ReplaceName"), part(reply, "ToUserName")) == ("认领", "LiLei")


@pytest.mark.parametrize("text", ["退款", "]]>" * 3, "😀" * 2000], ids=["short", "cdata", "long"])
def test_crypto_agrees_with_wechatpy(text: Any) -> None:
    """What the simulator seals and signs, wechatpy opens, and the other way round."""
    crypto = WeChatCrypto(TOKEN, AES_KEY, CORP)
    call = sealed_call(text.encode())
    theirs = crypto.encrypt_message(text, "1", "2")

    assert crypto.decrypt_message(call.body, call.query["msg_signature"], "1409659813", "1372623149") == text
    assert unseal(part(theirs, "Encrypt"), AES_KEY)[1:] == (text.encode(), CORP)


@pytest.mark.parametrize("file", sorted(PAYLOADS.glob("*.xml")), ids=lambda file: file.stem)
def test_agrees_with_wechatpy(file: Any) -> None:
    """What wechatpy reads in a callback is what the event says: sender, time, id and text."""
    theirs = parse_message(file.read_bytes())
    event = only(parse(file.read_text(), AGENT))
    if theirs.source == "sys":
        assert event.reason == "not a member's doing"
        return
    assert (event.address, event.at) == (f"wecom:{theirs.source}", theirs.time * 1000)
    if isinstance(event, Message) and not event.choice:
        words = {"text": "content", "location": "label", "link": "title"}

        assert event.external_id == str(theirs.id)
        assert event.text.startswith(getattr(theirs, words.get(theirs.type, ""), "") or "")
        assert [media.ref for media in event.media] == ([theirs.media_id] if event.media else [])


async def test_press_is_answered_only_for_our_cards() -> None:
    """The press of another program's card is a notice, and its buttons stay as they are."""
    foreign = await connector().receive(sealed_call((PAYLOADS / "event-press-foreign.xml").read_bytes()))
    ours = await connector().receive(sealed_call(PRESS))

    assert (type(only(foreign.events)), foreign.answer.body) == (Notice, b"")
    assert b"<Encrypt>" in ours.answer.body


async def test_rotation() -> None:
    """While token or key are changed, callbacks made with the previous ones are taken and answered in kind."""
    old = sealed_call(PRESS, "B" * 43, token="old-token")
    rotating = connector(previous_token="old-token", previous_encoding_aes_key="B" * 43)
    received = await rotating.receive(old)
    answer = received.answer.body.decode()
    encrypted = part(answer, "Encrypt")

    assert received.events == (await rotating.receive(sealed_call(PRESS))).events
    assert unseal(encrypted, "B" * 43)[2] == CORP
    proof = "old-token", part(answer, "TimeStamp"), part(answer, "Nonce"), encrypted
    assert part(answer, "MsgSignature") == digest(*proof)


async def test_foreign_company_is_refused() -> None:
    """A callback that was sealed for another company is refused, even with our token and key."""
    with pytest.raises(Unverified):
        await connector().receive(sealed_call(HELLO, corp="wx0000000000000000"))


async def test_wrong_key_is_named() -> None:
    """A callback that the key does not open is kept aside, and the error says which option is wrong."""
    with pytest.raises(Malformed, match="encoding_aes_key"):
        await connector().receive(sealed_call(HELLO, "B" * 43))


async def test_another_app_is_named() -> None:
    """A callback for another app is kept aside: an answer would come from the wrong one."""
    with pytest.raises(Malformed, match="agent_id"):
        await connector(agent_id=219).receive(sealed_call(HELLO))


async def test_sealed_bit_is_refused() -> None:
    """With any bit of the sealed text changed the callback is refused; elsewhere it changes nothing."""
    call, channel = sealed_call(HELLO), connector()
    whole = (await channel.receive(call)).events
    begin = call.body.index(b"[CDATA[") + 7
    end = call.body.index(b"]]>")
    refused = 0
    for bit in range(len(call.body) * 8):
        body = bytearray(call.body)
        body[bit // 8] ^= 1 << bit % 8
        try:
            outcome: object = (await channel.receive(replace(call, body=bytes(body)))).events
        except Unverified:
            refused += 1
            continue
        assert not begin <= bit // 8 < end, f"bit {bit} of the sealed text"
        assert outcome == whole, f"bit {bit}"

    assert refused >= (end - begin) * 8


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "get"])
async def test_other_methods_are_refused(method: Any) -> None:
    """Whatever is neither GET nor POST is refused."""
    with pytest.raises(Unverified):
        await connector().receive(replace(sealed_call(HELLO), method=method))


async def test_refused_calls() -> None:
    """Plain text, two sealed parts, a push over 64 KB and a handshake with a wrong signature are refused."""
    good = sealed_call(HELLO)
    twice = good.body.replace(b"</xml>", good.body[5:])
    echo = webhook_call(
        method="GET", url=f"{PUBLIC_URL}/hooks/test?{ECHO_QUERY.replace('5c45', '5c46')}&echostr={ECHO}"
    )
    for bad in (
        replace(good, body=HELLO),
        replace(good, body=twice),
        replace(good, body=good.body + b" " * 65_536),
        echo,
    ):
        with pytest.raises(Unverified):
            await connector().receive(bad)


HEAD = "<FromUserName>LiLei</FromUserName><CreateTime>1</CreateTime>"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"<xml>{HEAD}</xml>", "MsgType"),
        (f"<xml>{HEAD}<MsgType>event</MsgType></xml>", "Event"),
        ("<xml><MsgType>text</MsgType></xml>", "FromUserName"),
        ("<xml><FromUserName>@all</FromUserName><MsgType>text</MsgType></xml>", "FromUserName"),
        ("<xml><FromUserName>Li Lei</FromUserName><MsgType>text</MsgType></xml>", "FromUserName"),
        ("<xml><FromUserName>LiLei</FromUserName><MsgType>text</MsgType></xml>", "CreateTime"),
        (f"<xml>{HEAD}<MsgType>text</MsgType><AgentID>5</AgentID></xml>", "another app"),
        (
            f"<xml>{HEAD}<MsgType>event</MsgType><Event>template_card_event</Event><TaskId>huiliu-1</TaskId></xml>",
            "EventKey",
        ),
        (f"<xml>{HEAD}<MsgType>location</MsgType></xml>", "Location_X"),
        (f"<!DOCTYPE xml><xml>{HEAD}<MsgType>text</MsgType></xml>", "DOCTYPE"),
    ],
)
def test_faults_are_named(text: Any, says: Any) -> None:
    """A callback that cannot be an event is malformed, and the error names what is wrong with it."""
    with pytest.raises(Malformed, match=says):
        parse(text, AGENT)


def test_different_presses_differ() -> None:
    """Two buttons, two cards and two members in one second are different presses; a repeat is the same."""
    changes = [("|claim|认领", "|next|下一个"), ("d47-b7733957f2140abce1f8f693", "d48-1"), ("LiLei", "HanMeimei")]
    texts = [PRESS.decode(), *(PRESS.decode().replace(*change) for change in changes)]
    ids = [only(parse(text, AGENT)).external_id for text in [*texts, *texts]]

    assert len(set(ids)) == len(texts)


NAMES = ["FromUserName", "CreateTime", "MsgType", "MsgId", "Event", "EventKey", "TaskId", "AgentID", "SelectedItems"]
WORDS = [
    "event",
    "text",
    "location",
    "template_card_event",
    "huiliu-d1",
    "a|b",
    "|",
    "||",
    "t|a|b",
    "sys",
    "218",
    "LOCATION",
]
SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = SCALARS | st.text(max_size=10) | st.sampled_from(WORDS) | st.lists(st.text(max_size=3), max_size=2)


@settings(max_examples=400, deadline=None, database=None)
@given(fields=st.dictionaries(st.sampled_from([*NAMES, "Content", "MediaId", "Location_X"]), VALUES, max_size=10))
def test_odd_fields_are_events_or_malformed(fields: Any) -> None:
    """Well-formed callbacks with anything in any field become storable events or are malformed, always the same."""
    text = msgspec.json.encode({"FromUserName": "LiLei", "CreateTime": 1, "MsgType": "event", **fields}).decode()
    try:
        events = parse(text, AGENT)
    except Malformed:
        return
    assert msgspec.json.decode(msgspec.json.encode(events), type=list[Event]) == events
    assert parse(text, AGENT) == events


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"corp_id": "ww 1"}, "corp_id"),
        ({"agent_id": "desk"}, "agent_id"),
        ({"agent_id": 0}, "agent_id"),
        ({"secret": ""}, "secret"),
        ({"token": ""}, "token"),
        ({"encoding_aes_key": None}, "encoding_aes_key"),
        ({"encoding_aes_key": "A" * 42}, "encoding_aes_key"),
        ({"previous_encoding_aes_key": "-" * 43}, "previous_encoding_aes_key"),
        ({"format": "html"}, "format"),
        ({"api_base": "qyapi.weixin.qq.com"}, "api_base"),
    ],
)
def test_options_are_refused(changed: Any, where: Any) -> None:
    """A channel without its secrets, or with a key that cannot be one, does not start; the fault is located."""
    with pytest.raises(ValidationError) as refused:
        WeComAppOptions.model_validate(options(**changed))

    assert {".".join(map(str, fault["loc"])) for fault in refused.value.errors()} == {where}
