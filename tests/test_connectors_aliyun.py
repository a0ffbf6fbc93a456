"""aliyun-sms: the contract of every connector, the platform's signature, codes, numbers and pushes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config.loading import load
from connectors.aliyun import NO_TEMPLATE, AliyunSms, gateway_refusal, number
from connectors.aliyun_codes import CODES, refusal
from connectors.aliyun_options import AliyunOptions, ReplyTemplate
from connectors.aliyun_pushes import DONE, parse
from connectors.aliyun_signature import query_string, signed_headers
from connectors.base import (
    BadOptions,
    Ignored,
    Malformed,
    Message,
    PlatformTemplate,
    Receipt,
    Rejected,
    SendError,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
    WebhookCall,
)
from connectors.calls import Reply as PlatformReply
from connectors.testing import (
    NOW,
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
from hub import kinds
from tests.aliyun_account import ADDRESS, BUYER, KEY_ID, NOTICE, PATH, REPLY, SECRET, SIGN, connector, options

PAYLOADS = Path(__file__).parent / "payloads" / "aliyun-sms"
PAGE = (PAYLOADS.parents[2] / "docs" / "channels" / "aliyun-sms.md").read_text()
HOOK = f"https://hub.example.com/hooks/test/{PATH}"
TEXT = "您的订单已发出，预计明天送达"


def pushed(body: bytes) -> WebhookCall:
    """Return *body* as the platform pushes it: to the secret path, with nothing else to prove it."""
    return webhook_call(body, url=HOOK, headers={"Content-Type": "application/json;charset=utf-8"})


class TestContract(ReceivingContract, SendingContract):
    """What every connector promises."""

    connector_class = AliyunSms
    address = ADDRESS
    proofs = ()

    def options(self, platform: str) -> dict[str, Any]:
        return options(api_base=platform)

    def payloads(self) -> list[Payload]:
        files = sorted(one for one in PAYLOADS.glob("*.json") if not one.name.endswith(".expected.json"))
        return [
            Payload(file.stem, pushed(file.read_bytes()), read_events(file.with_suffix(".expected.json")), DONE)
            for file in files
        ]

    def sign(self, body: bytes) -> WebhookCall:
        return pushed(body)

    def sendings(self) -> list[Sending]:
        def text(requests: Sequence[Request]) -> None:
            query = requests[0].query
            assert json.loads(query["TemplateParam"]) == {"content": TEXT}
            assert {name: query[name] for name in query if name != "TemplateParam"} == {
                "PhoneNumbers": BUYER,
                "SignName": SIGN,
                "TemplateCode": REPLY,
                "OutId": "test:d1",
            }
            assert requests[0].headers["x-acs-action"] == "SendSms"
            assert requests[0].body == b""

        def template(requests: Sequence[Request]) -> None:
            query = requests[0].query
            assert (NOTICE, {"order": "A-1"}) == (query["TemplateCode"], json.loads(query["TemplateParam"]))

        def bare(requests: Sequence[Request]) -> None:
            assert "TemplateParam" not in requests[0].query

        approved = PlatformTemplate(NOTICE, {"order": "A-1"}, "https://shop.example.com/a")
        fixed = PlatformTemplate(NOTICE)
        return [
            Sending("text", outbound(address=ADDRESS, text=TEXT), Sent("d1"), text),
            Sending("template", outbound(address=ADDRESS, text="unused", template=approved), Sent("d1"), template),
            Sending("no variables", outbound(address=ADDRESS, template=fixed), Sent("d1"), bare),
        ]

    def platform_answer(self, request: Request) -> Reply:
        return Reply(200, json.dumps({"Code": "OK", "Message": "OK", "BizId": "9006195^0", "RequestId": "F655"}))


NONCE = "0123456789abcdef0123456789abcdef"
VECTOR_QUERY = {"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"}
SENDING = {
    "PhoneNumbers": BUYER,
    "SignName": SIGN,
    "TemplateCode": REPLY,
    "TemplateParam": '{"content":"您好 ~*\'()!+%/=&?#，订单“A-1”已发货"}',
    "OutId": "d12-1795000000000-0.1",
}
VECTORS: list[tuple[Any, ...]] = [
    # "V3版本请求体&签名机制", the example of the document
    ("ecs.cn-shanghai.aliyuncs.com", "RunInstances", "2014-05-26", VECTOR_QUERY, 1_698_315_752_000,
     "3156853299f313e23d1673dc12e1703d", "YourAccessKeyId", "YourAccessKeySecret",
     "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"),
    # the others are what alibabacloud-tea-openapi 0.4.6, the platform's own library, makes of them
    ("dysmsapi.aliyuncs.com", "SendSms", "2017-05-25", SENDING, 1_794_995_200_000, NONCE, KEY_ID, SECRET,
     "2d68928e438ade78889a70f341257ad373123c1e828968302b9dc044b1e55546"),
    ("127.0.0.1:8443", "QuerySendDetails", "2017-05-25",
     {"a": "é😀", "A": "1", "a-b": "x", "aB": "y", "B": "~"}, 1_794_995_200_000, "n-1", "k", "s",
     "83f6ee5ed10fa02b7a3bb087f4e8f56a338ae7f146c3feeae90ef2b67c1f57b6"),
]  # fmt: skip


def signature(*call: Any) -> str:
    """Return the signature of a call, after a look at what else stands in the header."""
    host, action, version, query, now, nonce, key_id, secret = call
    headers = signed_headers(
        host, action, version, query_string(query), now=now, nonce=nonce, key_id=key_id, secret=secret
    )
    rest, _, found = headers["Authorization"].partition(",Signature=")
    names = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
    assert rest == f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={names}"
    return found


@pytest.mark.parametrize("vector", VECTORS, ids=["documented", "a text", "odd characters"])
def test_signature_is_the_platforms(vector: tuple[Any, ...]) -> None:
    """The document's example, and what the platform's own library signs, come out to the last digit."""
    *given, expected = vector

    assert expected == signature(*given)


@pytest.mark.parametrize(
    ("index", "botched"),
    [
        (0, "dysmsapi.aliyuncs.com:443"),
        (1, "QuerySendDetails"),
        (2, "2017-05-26"),
        (3, {**SENDING, "PhoneNumbers": "13800138001"}),
        (3, {**SENDING, "Extra": ""}),
        (4, 1_794_995_201_000),
        (5, NONCE[::-1]),
        (7, f"{SECRET}x"),
    ],
)
def test_signature_covers_everything(index: int, botched: Any) -> None:
    """Whatever of a call is changed, another signature comes out: none can be used for something else."""
    *given, expected = VECTORS[1]

    assert expected != signature(*given[:index], botched, *given[index + 1 :])


def test_query_is_sent_as_it_is_signed() -> None:
    """Parameters survive the way there, whatever they hold, in the order in which they are signed."""
    query = query_string({"b": "a b+c%~*'\"&=é😀\n", "a": ""})

    assert query == "a=&b=a%20b%2Bc%25~%2A%27%22%26%3D%C3%A9%F0%9F%98%80%0A"
    assert dict(parse_qsl(query, keep_blank_values=True)) == {"b": "a b+c%~*'\"&=é😀\n", "a": ""}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tel:+8613800138000", "13800138000"),
        ("tel:13800138000", "13800138000"),
        ("tel:+85261234567", "85261234567"),
        ("tel:+447400123456", "447400123456"),
        ("tel:+14155550101", "0014155550101"),  # 14155550101 is a mainland number, and somebody else's
        ("tel:+12025550101", "12025550101"),
    ],
)
def test_numbers_are_written_as_the_platform_reads_them(address: str, expected: str) -> None:
    """Mainland numbers go bare, others with their country's code, and none can be taken for another's."""
    assert expected == number(address)


@pytest.mark.parametrize("address", ["tel:10086", "tel:+861012345678", "tel:+8612345", "sms:TAOBAO", "wechat:o1"])
def test_what_is_no_mobile_number_never_leaves(address: str) -> None:
    """Landlines, short codes and names are refused before anything is asked of the platform."""
    with pytest.raises(Rejected):
        number(address)


@pytest.mark.parametrize(
    ("code", "message", "error", "wait"),
    [
        ("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1", Throttled, 60.0),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5", Throttled, 3600.0),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:10", Throttled, 21_600.0),
        ("isv.BUSINESS_LIMIT_CONTROL", "触发号码天级流控Permits:40", Throttled, 21_600.0),
        ("isv.BUSINESS_LIMIT_CONTROL", "", Throttled, 3600.0),
        ("isv.DAY_LIMIT_CONTROL", "", Throttled, 3600.0),
        ("Throttling.User", "", Throttled, 30.0),
        ("Throttling", "", Throttled, 30.0),
        ("isp.SYSTEM_ERROR", "", Unreachable, None),
        ("SignatureNonceUsed", "", Uncertain, None),
        ("InvalidTimeStamp.Expired", "", Unreachable, None),
        ("SignatureDoesNotMatch", "", BadOptions, None),
        ("InvalidAccessKeyId.NotFound", "", BadOptions, None),
        ("isp.RAM_PERMISSION_DENY", "", BadOptions, None),
        ("isv.AMOUNT_NOT_ENOUGH", "", BadOptions, None),
        ("isv.OUT_OF_SERVICE", "", BadOptions, None),
        ("isv.SMS_SIGNATURE_ILLEGAL", "", BadOptions, None),
        ("isv.SMS_TEMPLATE_ILLEGAL", "", BadOptions, None),
        ("isv.MOBILE_NUMBER_ILLEGAL", f"{BUYER}非法手机号", Rejected, None),
        ("isv.BLACK_KEY_CONTROL_LIMIT", "", Rejected, None),
        ("isv.PARAM_LENGTH_LIMIT", "", Rejected, None),
        ("isv.PARAM_NOT_SUPPORT_URL", "", Rejected, None),
    ],
)
def test_codes_become_the_right_error(code: str, message: str, error: type[SendError], wait: float | None) -> None:
    """Each code says what may be done, a limit how long it lasts; the platform's own words are not passed on."""
    found = refusal(code, message)

    assert (error, code) == (type(found), getattr(found, "code", None))
    assert wait == getattr(found, "retry_after", None)
    assert not message or message not in str(found)


def test_every_code_has_a_meaning() -> None:
    """Whoever reads a timeline reads words; what we do not know keeps its code and is final."""
    assert all(known.meaning and "{" not in known.meaning for known in CODES.values())
    assert refusal("isv.SOMETHING_NEW") is None


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (404, {"Code": "InvalidAccessKeyId.NotFound", "Message": "x"}, BadOptions, "InvalidAccessKeyId.NotFound"),
        (400, {"Code": "SignatureDoesNotMatch", "Message": "x"}, BadOptions, "SignatureDoesNotMatch"),
        (400, {"Code": "Throttling.User", "Message": "x"}, Throttled, "Throttling.User"),
        (400, {"Code": "SomethingNew", "Message": BUYER}, Rejected, "400"),
        (403, {"Code": 5}, BadOptions, "403"),
        (429, None, Throttled, "429"),
    ],
)
def test_gateway_refusals(status: int, body: Any, error: type[SendError], code: str) -> None:
    """The gateway's own code decides where it is known, else the status; nothing of its message is shown."""
    found = gateway_refusal(PlatformReply(status, {}, json.dumps(body).encode()))

    assert (error, code) == (type(found), found.code)
    assert BUYER not in f"{found!r}"


@pytest.mark.parametrize(
    ("message", "changes", "why"),
    [
        (outbound(text=TEXT), {"reply_template": None}, NO_TEMPLATE),
        (outbound(text=""), {}, "empty"),
        (outbound(text="长" * 36), {}, "longer than the 35"),
        (outbound(text="😀" * 18), {}, "longer than the 35"),
        (outbound(text="长" * 21), {"reply_template": {"code": REPLY, "longest": 20}}, "longer than the 20"),
        (outbound(text="see", media=[attachment()]), {}, "no files"),
        (outbound(text="hi", address="tel:10086"), {}, "no mobile number"),
    ],
)
async def test_hopeless_messages_never_leave(message: Any, changes: dict[str, Any], why: str) -> None:
    """What cannot arrive is refused without a request, and says what to do about it."""
    with pytest.raises(Rejected, match=why.partition(";")[0]):
        await connector(**changes).send(message)

    assert message.leaving.count == 0


def test_what_a_channel_can_depends_on_its_template() -> None:
    """Free text needs a template that carries it, and is as long as that allows."""
    without, short = connector(reply_template=None), connector(reply_template={"code": REPLY, "longest": 20})

    assert (False, True) == (without.capabilities.texts, without.capabilities.templates)
    assert (True, 20) == (short.capabilities.texts, short.capabilities.text_limit)
    assert (True, 35) == (AliyunSms.capabilities.texts, AliyunSms.capabilities.text_limit)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"secret_path": None}, "secret_path"),
        ({"secret_path": ""}, "secret_path"),
        ({"secret_path": "short"}, "8 to 200"),
        ({"secret_path": "with/slash/in/it"}, "8 to 200"),
        ({"access_key_secret": None}, "access_key_secret"),
        ({"access_key_id": "with space"}, "access_key_id"),
        ({"sign_name": "【】"}, "sign_name"),
        ({"reply_template": {"parameter": "content"}}, "reply_template.code"),
        ({"reply_template": {"code": REPLY, "parameter": "1"}}, "reply_template.parameter"),
        ({"reply_template": {"code": REPLY, "longest": 0}}, "reply_template.longest"),
        ({"reply_template": {"code": REPLY, "more": 1}}, "reply_template.more"),
        ({"api_base": "dysmsapi.aliyuncs.com"}, "api_base"),
        ({"api_base": "https://dysmsapi.aliyuncs.com/path"}, "api_base"),
    ],
)
def test_wrong_options_are_refused(change: dict[str, Any], fault: str) -> None:
    """Each fault names its option, and no secret; without its secret path a channel does not start."""
    with pytest.raises(ValidationError) as refused:
        AliyunOptions.model_validate(options(**change))

    assert fault in str(refused.value)
    assert SECRET not in str(refused.value)
    assert PATH not in str(refused.value)


def test_signature_may_be_written_as_it_is_read() -> None:
    """Whoever copies the brackets along means the same."""
    assert SIGN == AliyunOptions.model_validate(options(sign_name=f"【{SIGN}】")).sign_name


def test_a_minimal_channel_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five keys make a channel; its secret path comes out of the environment."""
    monkeypatch.setenv("SMS_PATH", PATH)
    (tmp_path / "key").write_text(f"{SECRET}\n")
    (tmp_path / "key").chmod(0o600)
    line = "{kind: aliyun-sms, access_key_id: LTAI5t, access_key_secret: s3cret, sign_name: 示例商城, secret_path: %s}"
    files = line.replace("access_key_secret: s3cret", f"access_key_secret_file: {tmp_path / 'key'}")
    for text in (line, files):
        config = tmp_path / "huiliu.yaml"
        config.write_text(f"channels:\n  sms-cn: {text % '${SMS_PATH}'}\n", encoding="utf-8")
        loaded = load(config, kinds)
        made: Any = loaded.settings.channels["sms-cn"].options

        assert (SIGN, PATH) == (made.sign_name, made.secret_path.get_secret_value())
        assert made.access_key_secret.get_secret_value() in ("s3cret", SECRET)


def test_what_cannot_be_understood_hinders_nothing_else() -> None:
    """Of a push with broken elements the sound ones are received, and the broken ones are left over, whole."""
    body = (PAYLOADS / "one-broken.json").read_bytes()
    received = parse(body, "test", NOW)

    assert [Message, Receipt] == [type(event) for event in received.events]
    assert received.left is not None
    sent = json.loads(body)
    assert [sent[0], *sent[2:5]] == json.loads(received.left.body)
    assert BUYER not in received.left.error
    again = parse(received.left.body, "test", NOW)
    assert ((), received.left) == (tuple(again.events), again.left)
    assert DONE == again.answer  # or the platform would push it again


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'"x"', b"[" * 100_000, b"\xff"])
def test_nothing_at_all_is_malformed(body: bytes) -> None:
    """What is no array of something is kept as it came."""
    with pytest.raises(Malformed):
        parse(body, "test", NOW)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_looking_at_the_address_leaves_nothing(method: str) -> None:
    """A browser or a monitor that opens the callback is told that only POST is right; nothing of it is kept."""
    received = await connector().receive(webhook_call(b"", url=HOOK, method=method))

    assert (received.events, received.left) == ((), None)
    assert (received.answer.status, received.answer.headers) == (405, {"Allow": "POST"})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["phone_number", "content", "send_time", "sequence_id", "success", "err_code", "out_id", "biz_id", "report_time"]
)
ELEMENTS = st.dictionaries(NAMES | st.text(max_size=5), VALUES | st.sampled_from([BUYER, "test:d1", "true"]))
SOUND = {"phone_number": BUYER, "content": "在吗", "sequence_id": 7}


@settings(max_examples=300, deadline=None, database=None)
@given(hostile=st.lists(ELEMENTS | VALUES, max_size=5), place=st.integers(0, 5))
def test_hostile_elements_never_take_a_sound_one_along(hostile: list[Any], place: int) -> None:
    """Whatever stands beside it in a push, a message arrives; everything else is an event or left over."""
    elements: list[Any] = [*hostile[:place], SOUND, *hostile[place:]]
    received = parse(json.dumps(elements).encode(), "test", NOW)
    left = len(json.loads(received.left.body)) if received.left is not None else 0
    told = [event for event in received.events if isinstance(event, Message | Receipt | Ignored)]

    assert [event.external_id for event in told if isinstance(event, Message) and event.text == "在吗"].count("7") >= 1
    assert len(elements) == len(told) + left


@pytest.mark.parametrize("option", [*AliyunOptions.model_fields, *ReplyTemplate.model_fields])
def test_page_names_every_option_in_both_languages(option: str) -> None:
    """Each option stands in the English and in the Chinese table."""
    assert all(re.search(rf"`(reply_template\.)?{option}`", part) for part in PAGE.split("## 中文"))


def test_page_names_only_codes_that_are_known() -> None:
    """What the page says about a code is what the code says."""
    named = set(re.findall(r"`((?:isv|isp)\.[A-Z_]+|[A-Z]+_[A-Z_]+|[A-Z][a-z]+[A-Z][A-Za-z.]+)`", PAGE))

    assert {"isv.BUSINESS_LIMIT_CONTROL", "MOBILE_IN_BLACK", "SignatureDoesNotMatch"} <= named
    assert named - set(CODES) == set()


async def test_reports_of_another_channel_are_left_out() -> None:
    """An account pushes all reports to one address; those for what others sent are counted, and change nothing."""
    one = AliyunSms(AliyunOptions.model_validate(options()), kit(channel="other"))
    received = await one.receive(pushed((PAYLOADS / "report.json").read_bytes()))

    assert [Ignored] == [type(event) for event in received.events]
