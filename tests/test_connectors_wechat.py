"""WeChat, receiving: the contract of every connector, published vectors, both formats in all three modes, forgeries."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace
from pydantic import ValidationError
from wechatpy.crypto import WeChatCrypto
from yarl import URL

from connectors.base import Answer, Event, Fetcher, Malformed, Message, Sent, Typist, Unverified, WebhookCall, Window
from connectors.envelope import Opener, sign
from connectors.simulators.wechat_push import Mode, Style, Wrapped, Wrapper, digest, seal, unseal
from connectors.testing import (
    NOW,
    PUBLIC_URL,
    Payload,
    Platform,
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
from connectors.wechat import WeChat
from connectors.wechat_options import WeChatOptions

PAYLOADS = Path(__file__).parent / "payloads" / "wechat"
OPENID = "o9AgO5Kd5ggOC-bXrbNODIiE3bGY"
APP_ID = "wxba5fad812f8e6fb9"
SECRET = "app-secret-0123456789"
TOKEN = "push-token-0123456789"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
DONE = Answer(body=b"success")
HELLO = {"ToUserName": "gh_1", "FromUserName": OPENID, "CreateTime": 1348831860, "MsgType": "text", "Content": "退款"}
HELLO["MsgId"] = 9223372036854775807


def options(**more: Any) -> dict[str, Any]:
    """Return the options of a channel, as YAML would give them."""
    return {"app_id": APP_ID, "app_secret": SECRET, "token": TOKEN, **more}


def connector(**more: Any) -> WeChat:
    """Return a connector for *options*."""
    return WeChat(WeChatOptions.model_validate(options(**more)), kit())


def only(events: Sequence[Event]) -> Any:
    """Return the one event there is."""
    [event] = events
    return event


def call_of(wrapped: Wrapped) -> WebhookCall:
    """Return the push as the ingress hands it over."""
    url = URL(f"{PUBLIC_URL}/hooks/test").with_query(wrapped.query)
    return webhook_call(wrapped.body, url=str(url), headers={"Content-Type": wrapped.content_type})


def with_query(call: WebhookCall, **changed: str) -> WebhookCall:
    """Return *call* with query parameters changed."""
    url = URL(call.url).update_query(changed)
    return replace(call, url=str(url), query=url.query)


def raw_call(body: bytes) -> WebhookCall:
    """Return *body* as it is, signed as plain mode signs."""
    query = {"signature": digest(TOKEN, "1714037059", "486452656"), "timestamp": "1714037059", "nonce": "486452656"}
    return call_of(Wrapped(query, body, "text/xml"))


def sealed_call(body: bytes, style: Style = "xml") -> WebhookCall:
    """Return *body*, whatever it is, sealed and signed as safe mode does it."""
    encrypted = seal(body, AES_KEY, APP_ID, b"0123456789abcdef")
    query = {
        "signature": digest(TOKEN, "1714037059", "486452656"),
        "timestamp": "1714037059",
        "nonce": "486452656",
        "openid": OPENID,
        "encrypt_type": "aes",
        "msg_signature": digest(TOKEN, "1714037059", "486452656", encrypted),
    }
    xml = f"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    json = f'{{"ToUserName":"gh_1","Encrypt":"{encrypted}"}}'
    return call_of(Wrapped(query, (xml if style == "xml" else json).encode(), "text/xml"))


class WeChatContract(ReceivingContract, SendingContract):
    """What is common to the three set-ups of a channel."""

    connector_class: ClassVar[type[Any]] = WeChat
    address: ClassVar[str] = f"wechat:{OPENID}"
    mini_program: ClassVar[bool] = False
    # In plain mode nothing covers the body, in the others only the sealed part: see test_sealed_bit_is_refused.
    body_proven: ClassVar[bool] = False

    def options(self, platform: str) -> Mapping[str, Any]:
        return options(api_base=platform, account="miniprogram" if self.mini_program else "service")

    def payloads(self) -> Iterable[Payload]:
        for file in sorted(PAYLOADS.iterdir()):
            if file.name.endswith(".expected.json") or file.name.startswith("mp-") != self.mini_program:
                continue
            expected = read_events(file.with_name(f"{file.name}.expected.json"))
            yield Payload(file.name, self.sign(file.read_bytes()), expected, DONE)

    def sendings(self) -> Iterable[Sending]:
        yield Sending("text", outbound(address=self.address, text="您好，已为您退款"), Sent())
        media = {
            "picture": attachment(),
            "voice": attachment("a.amr", "audio/amr", b"#!AMR\n"),
            "video": attachment("a.mp4", "video/mp4", b"\x00\x00\x00\x18ftypmp42"),
            "file as a link": attachment("报价.pdf", "application/pdf", b"%PDF-1.7"),
        }
        for label, one in media.items():
            yield Sending(label, outbound(address=self.address, media=[one]), Sent())

    def platform_answer(self, request: Request) -> Reply:
        if request.path == "/cgi-bin/stable_token":
            return Reply(200, '{"access_token":"scripted-access-token","expires_in":7200}')
        if request.path == "/cgi-bin/media/upload":
            return Reply(200, '{"type":"image","media_id":"m1","created_at":1}')
        return Reply(200, '{"errcode":0,"errmsg":"ok"}')

    def delivers(self, request: Request) -> bool:
        return request.path == "/cgi-bin/message/custom/send"


class TestPlain(WeChatContract):
    """A channel without encoding_aes_key."""

    proofs: ClassVar[tuple[str, ...]] = ("signature", "timestamp", "nonce")

    def sign(self, body: bytes) -> WebhookCall:
        return raw_call(body)


class TestSafe(WeChatContract):
    """A channel with encoding_aes_key, XML."""

    proofs: ClassVar[tuple[str, ...]] = ("msg_signature", "timestamp", "nonce")

    def options(self, platform: str) -> Mapping[str, Any]:
        return {**super().options(platform), "encoding_aes_key": AES_KEY}

    def sign(self, body: bytes) -> WebhookCall:
        return sealed_call(body)


class TestSafeMiniProgram(TestSafe):
    """A Mini Program with encoding_aes_key, JSON."""

    mini_program: ClassVar[bool] = True

    def sign(self, body: bytes) -> WebhookCall:
        return sealed_call(body, "json")


def test_optional_protocols() -> None:
    """The hub finds that media can be fetched and that typing can be shown."""
    assert isinstance(connector(), Fetcher)
    assert isinstance(connector(), Typist)


async def test_handshake_vector() -> None:
    """The documented handshake is answered with the bare echostr (developers.weixin.qq.com, message-push)."""
    query = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504&nonce=1514711492"
    call = webhook_call(method="GET", url=f"{PUBLIC_URL}/hooks/test?{query}&echostr=4375120948345356249")
    received = await connector(token="AAAAA").receive(call)

    assert ((), Answer(200, b"4375120948345356249")) == (received.events, received.answer)


async def test_plain_vector() -> None:
    """The documented signature of a plain push is accepted."""
    query = "signature=899cf89e464efb63f54ddac96b0a0a235f53aa78&timestamp=1714037059&nonce=486452656"
    body = Wrapper(APP_ID, "AAAAA").wrap(HELLO, 1).body
    received = await connector(token="AAAAA").receive(
        webhook_call(body, url=f"{PUBLIC_URL}/hooks/test?{query}&openid={OPENID}")
    )

    assert [event.text for event in received.events if isinstance(event, Message)] == ["退款"]


SAFE_QUERY = (
    "signature=6c5c811b55cc85e0e1b54100749188c20beb3f5d&timestamp=1714112445&nonce=415670741"
    f"&openid={OPENID}&encrypt_type=aes&msg_signature=046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"
)
SAFE_ENCRYPT = (
    "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT"
    "740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8Y"
    "L/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
)


async def test_safe_vector() -> None:
    """The documented encrypted push is opened and becomes a notice."""
    body = f'{{"ToUserName":"gh_97417a04a28d","Encrypt":"{SAFE_ENCRYPT}"}}'.encode()
    received = await connector(token="AAAAA", encoding_aes_key="A" * 43).receive(
        webhook_call(body, url=f"{PUBLIC_URL}/hooks/test?{SAFE_QUERY}")
    )
    event = only(received.events)

    assert (event.name, event.details) == ("debug_demo", {"debug_str": "hello world"})
    assert event.external_id == f"{OPENID}:1714112445:debug_demo:"


async def test_slashes_escaped_in_json() -> None:
    r"""Base64 whose slashes a JSON writer escaped as \/ is the same text."""
    escaped = SAFE_ENCRYPT.replace("/", r"\/")
    body = f'{{"ToUserName":"gh_97417a04a28d","Encrypt":"{escaped}"}}'.encode()
    received = await connector(token="AAAAA", encoding_aes_key="A" * 43).receive(
        webhook_call(body, url=f"{PUBLIC_URL}/hooks/test?{SAFE_QUERY}")
    )

    assert len(received.events) == 1


SEALED = [
    ("A" * 43, APP_ID, SAFE_ENCRYPT, "debug_demo"),
    (
        "A" * 43,
        APP_ID,
        "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==",
        '{"demo_resp":"good luck"}',
    ),
    (
        AES_KEY,
        "wxb11529c136998cb6",
        "jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg==",
        "我是中文abcd123",
    ),
]


@pytest.mark.parametrize(("key", "app_id", "encrypted", "text"), SEALED)
def test_sealed_vectors(key: Any, app_id: Any, encrypted: Any, text: Any) -> None:
    """Every published ciphertext opens, and the simulator's own cipher gives the same bytes both ways."""
    salt, plain, owner = unseal(encrypted, key)

    assert text in Opener([key], app_id).open(encrypted)
    assert (encrypted, app_id) == (seal(plain, key, app_id, salt), owner)


def test_reply_signature_vector() -> None:
    """The published signature of an encrypted reply is reproduced by both implementations."""
    parts = ("AAAAA", "1713424427", "415670741", SEALED[1][2])

    assert sign(*parts) == digest(*parts) == "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"


@pytest.mark.parametrize("text", ["退款", "", "]]>" * 3, "😀" * 2000], ids=["short", "empty", "cdata", "long"])
def test_crypto_agrees_with_wechatpy(text: Any) -> None:
    """What the simulator seals and signs, wechatpy opens, and the other way round."""
    crypto = WeChatCrypto(TOKEN, AES_KEY, APP_ID)
    wrapped = Wrapper(APP_ID, TOKEN, AES_KEY, "safe", "json").wrap({**HELLO, "Content": text}, 1714112445)
    proof = wrapped.query["msg_signature"], wrapped.query["timestamp"], wrapped.query["nonce"]
    theirs = crypto.encrypt_message(text, "415670741", "1714112445")
    encrypted = theirs.partition("<Encrypt><![CDATA[")[2].partition("]]>")[0]

    opened = crypto.decrypt_message(msgspec.json.decode(wrapped.body), *proof)

    assert msgspec.json.decode(opened)["Content"] == text
    assert f"<MsgSignature><![CDATA[{digest(TOKEN, '1714112445', '415670741', encrypted)}]]>" in theirs
    assert text.encode() == unseal(encrypted, AES_KEY)[1]


MODES: list[tuple[Mode, Style]] = [(mode, style) for mode in ("plain", "compat", "safe") for style in ("xml", "json")]


@pytest.mark.parametrize(("mode", "style"), MODES)
async def test_modes(mode: Mode, style: Style) -> None:
    """XML and JSON in every mode give the same event, with and without the key where both can read it."""
    wrapped = Wrapper(APP_ID, TOKEN, AES_KEY, mode, style).wrap(HELLO, 1714112445)
    keys: dict[str, list[str | None]] = {"plain": [None], "compat": [None, AES_KEY], "safe": [AES_KEY]}
    for key in keys[mode]:
        received = await connector(encoding_aes_key=key).receive(call_of(wrapped))
        event = only(received.events)

        assert event == Message(
            external_id="9223372036854775807",
            address=f"wechat:{OPENID}",
            at=1348831860000,
            text="退款",
            window=Window(48 * 3600, 5),
        )
        assert received.answer == DONE


async def test_key_means_encrypted_only() -> None:
    """A channel with encoding_aes_key refuses a push in the clear, even with a valid signature."""
    call = call_of(Wrapper(APP_ID, TOKEN).wrap(HELLO, 1714112445))
    with pytest.raises(Unverified):
        await connector(encoding_aes_key=AES_KEY).receive(call)


async def test_missing_key_is_named() -> None:
    """An encrypted push to a channel without the key is kept aside, and the error says which option is missing."""
    call = call_of(Wrapper(APP_ID, TOKEN, AES_KEY, "safe").wrap(HELLO, 1714112445))
    with pytest.raises(Malformed, match="encoding_aes_key"):
        await connector().receive(call)


async def test_wrong_key_is_named() -> None:
    """A push that the key does not open is kept aside, and the error says which option is wrong."""
    call = call_of(Wrapper(APP_ID, TOKEN, "B" * 43, "safe").wrap(HELLO, 1714112445))
    with pytest.raises(Malformed, match="encoding_aes_key"):
        await connector(encoding_aes_key=AES_KEY).receive(call)


async def test_foreign_app_id_is_refused() -> None:
    """A push that was sealed for another account is refused, even with our token and key."""
    call = call_of(Wrapper("wx0000000000000000", TOKEN, AES_KEY, "safe").wrap(HELLO, 1714112445))
    with pytest.raises(Unverified):
        await connector(encoding_aes_key=AES_KEY).receive(call)


async def test_rotation() -> None:
    """While a token or key is changed on the platform, pushes made with the previous one are still accepted."""
    old = Wrapper(APP_ID, "old-token", "B" * 43, "safe").wrap(HELLO, 1714112445)
    new = Wrapper(APP_ID, TOKEN, AES_KEY, "safe").wrap(HELLO, 1714112445)
    rotating = connector(encoding_aes_key=AES_KEY, previous_token="old-token", previous_encoding_aes_key="B" * 43)

    assert (await rotating.receive(call_of(old))).events == (await rotating.receive(call_of(new))).events


async def test_customer_cannot_forge_the_envelope() -> None:
    """Words that look like an encrypted part do not hide the real one in compat mode."""
    text = f"<Encrypt>{'A' * 64}</Encrypt><Encrypt><![CDATA[AAAA]]></Encrypt>"
    for style in ("xml", "json"):
        wrapped = Wrapper(APP_ID, TOKEN, AES_KEY, "compat", style).wrap({**HELLO, "Content": text}, 1714112445)
        event = only((await connector(encoding_aes_key=AES_KEY).receive(call_of(wrapped))).events)

        assert text == event.text


def sealed_calls() -> list[WebhookCall]:
    """Return one safe-mode push in each format."""
    return [
        call_of(Wrapper(APP_ID, TOKEN, AES_KEY, "safe", style).wrap(HELLO, 1714112445, "415670741", b"s" * 16))
        for style in ("xml", "json")
    ]


@pytest.mark.parametrize("index", [0, 1], ids=["xml", "json"])
async def test_sealed_bit_is_refused(index: Any) -> None:
    """With any bit of the sealed text changed the push is refused; elsewhere in the body it changes nothing."""
    call = sealed_calls()[index]
    channel = connector(encoding_aes_key=AES_KEY)
    whole = (await channel.receive(call)).events
    begin = call.body.index(b"Encrypt") + len(b"Encrypt")
    begin = call.body.index(b"[CDATA[", begin) + 7 if index == 0 else call.body.index(b":", begin) + 3
    end = call.body.index(b"]]>", begin) if index == 0 else call.body.index(b'"', begin)
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

    assert refused >= (end - begin) * 8 >= 2000


@pytest.mark.parametrize("name", ["signature", "msg_signature", "timestamp", "nonce"])
async def test_parameters_are_there_once(name: Any) -> None:
    """A missing, empty or doubled parameter of the proof is refused."""
    key = AES_KEY if name == "msg_signature" else None
    call = call_of(Wrapper(APP_ID, TOKEN, AES_KEY, "safe" if key else "plain").wrap(HELLO, 1714112445))
    url = URL(call.url)
    without = url.with_query([(other, value) for other, value in url.query.items() if other != name])
    twice = url.with_query([*url.query.items(), (name, url.query[name])])
    for changed in (without, url.update_query({name: ""}), twice):
        with pytest.raises(Unverified):
            await connector(encoding_aes_key=key).receive(replace(call, url=str(changed), query=changed.query))


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "get"])
async def test_other_methods_are_refused(method: Any) -> None:
    """Whatever is neither GET nor POST is refused."""
    with pytest.raises(Unverified):
        await connector().receive(replace(raw_call(b""), method=method))


async def test_handshake_is_refused() -> None:
    """A handshake with a wrong signature or without echostr is refused: the address does not echo for strangers."""
    good = with_query(replace(raw_call(b""), method="GET"), echostr="42")
    assert (await connector().receive(good)).answer.body == b"42"
    for bad in (with_query(good, nonce="1"), with_query(good, echostr="")):
        with pytest.raises(Unverified):
            await connector().receive(bad)


async def test_replay_is_the_same_event() -> None:
    """An exact replay a second, ten minutes and a day later carries the same external id, so it is dropped."""
    call = sealed_calls()[0]
    channel = connector(encoding_aes_key=AES_KEY)
    ids = {
        only((await channel.receive(replace(call, now=NOW + later))).events).external_id
        for later in (0, 1000, 600_000, 86_400_000)
    }

    assert ids == {"9223372036854775807"}


async def test_size_limit() -> None:
    """A push over 64 KB is not parsed: refused where its proof lies over the body, else malformed."""
    big = {**HELLO, "Content": "a" * 65_536}
    with pytest.raises(Malformed, match="larger"):
        await connector().receive(call_of(Wrapper(APP_ID, TOKEN).wrap(big, 1714112445)))
    with pytest.raises(Unverified, match="larger"):
        await connector(encoding_aes_key=AES_KEY).receive(
            call_of(Wrapper(APP_ID, TOKEN, AES_KEY, "safe").wrap(big, 1714112445))
        )


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"app_id": "wx 1"}, "app_id"),
        ({"app_secret": ""}, "app_secret"),
        ({"token": ""}, "token"),
        ({"token": None}, "token"),
        ({"encoding_aes_key": ""}, "encoding_aes_key"),
        ({"encoding_aes_key": "A" * 42}, "encoding_aes_key"),
        ({"encoding_aes_key": "-" * 43}, "encoding_aes_key"),
        ({"previous_encoding_aes_key": AES_KEY}, "previous_encoding_aes_key"),
        ({"account": "enterprise"}, "account"),
        ({"api_base": "api.weixin.qq.com"}, "api_base"),
        ({"quotas": {"message": {"seconds": 0}}}, "quotas.message.seconds"),
    ],
)
def test_options_are_refused(changed: Any, where: Any) -> None:
    """A channel without its secrets, or with a key that cannot be one, does not start; the fault is located."""
    with pytest.raises(ValidationError) as refused:
        WeChatOptions.model_validate(options(**changed))

    assert {".".join(map(str, fault["loc"])) for fault in refused.value.errors()} == {where}


async def test_quotas_are_options() -> None:
    """The window that a message grants is what the channel's options say."""
    channel = connector(quotas={"message": {"seconds": 3600, "messages": 20}})
    event = only((await channel.receive(call_of(Wrapper(APP_ID, TOKEN).wrap(HELLO, 1714112445)))).events)

    assert event.window == Window(3600, 20)


def test_vector_key_is_a_key() -> None:
    """The published key is 32 bytes long, as the options ask."""
    assert len(base64.b64decode(AES_KEY + "=")) == 32


async def test_scripted_platform_sees_utf8() -> None:
    """Text leaves as UTF-8 bytes, never as a backslash escape, and without control characters."""
    async with Platform(TestPlain().platform_answer) as platform, aiohttp.ClientSession() as http:
        channel = WeChat(WeChatOptions.model_validate(options(api_base=platform.url)), kit(http=http))
        await channel.send(outbound(address=f"wechat:{OPENID}", text="你好\x07\x00 \\u4f60\n😀"))
    body = platform.requests[-1].body

    assert '"你好 \\\\u4f60\\n😀"'.encode() in body
