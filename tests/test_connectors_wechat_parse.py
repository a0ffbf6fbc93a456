"""WeChat, parsing: agreement with wechatpy, and what hostile pushes do."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wechatpy import parse_message

from connectors.base import Event, Malformed, Message, Notice, Receipt, Window
from connectors.pushes import MAX_BODY, MAX_DEPTH, read, read_deep, read_flat
from connectors.wechat_options import WeChatOptions
from connectors.wechat_parse import parse

PAYLOADS = Path(__file__).parent / "payloads" / "wechat"
HEAD = "<FromUserName>o1</FromUserName><CreateTime>1348831860</CreateTime>"
TEXT = f"<xml>{HEAD}<MsgType>text</MsgType><Content>hi</Content><MsgId>7</MsgId></xml>"


def only(text: str, rights: Mapping[str, Window]) -> Any:
    """Return the one event that *text* means."""
    [event] = parse(text, rights)
    return event


def windows(account: str = "service") -> dict[str, Window]:
    """Return the rights of one kind of account."""
    options = {"app_id": "wx1", "app_secret": "s", "token": "t", "account": account}
    return dict(WeChatOptions.model_validate(options).windows())


@pytest.mark.parametrize("file", sorted(PAYLOADS.glob("*.xml")), ids=lambda file: file.stem)
def test_agrees_with_wechatpy(file: Any) -> None:
    """What wechatpy reads in a push is what the event says: sender, time, id and text."""
    theirs = parse_message(file.read_bytes())
    event = only(file.read_text(), windows())
    if isinstance(event, Receipt):
        item = theirs._data.get("SubscribeMsgSentEvent", {}).get("List", theirs._data)

        assert event.message_id == item["MsgID"]
        return
    assert (event.address, event.at) == (f"wechat:{theirs.source}", theirs.time * 1000)
    if isinstance(event, Message):
        words = {"text": "content", "voice": "recognition", "location": "label", "link": "title"}

        assert event.external_id == str(theirs.id)
        # wechatpy strips what the customer wrote; we do not.
        assert event.text.strip().startswith(getattr(theirs, words.get(theirs.type, ""), "") or "")
        assert [media.ref for media in event.media] == ([theirs.media_id] if event.media else [])


# Pieces of XML, sound and broken, out of which pushes that are nearly flat are put together.
PIECES = st.sampled_from(
    (
        *("<xml>", "</xml>", "<A>", "</A>", "<B1>", "</B1>", "<A/>", "<A x='1'>", "<![CDATA[", "]]>", "]", "]]"),
        *(" ", "\n", "\r\n", "\t", "退款", "1", "a.b@c", "&amp;", "&lt;", "&", "<", ">", "-", ":", "_", "😀"),
        *("\x00", "\x0b", "\x85", "\u2028", "\ufffe", "\ufeff", "\ud800", "<!--x-->", "<?pi?>", "<!DOCTYPE x>"),
    )
)
ELEMENTS = st.tuples(st.sampled_from("ABC"), st.sampled_from(["", "<![CDATA["]), st.lists(PIECES, max_size=3)).map(
    lambda made: f"<{made[0]}>{made[1]}{''.join(made[2])}{']]>' if made[1] else ''}</{made[0]}>"
)


@settings(max_examples=1500, deadline=None)
@given(parts=st.lists(ELEMENTS | PIECES, max_size=5))
def test_the_quick_reading_says_what_expat_says(parts: list[str]) -> None:
    """A push that is read by pattern has exactly the fields that the XML parser finds in it."""
    text = f"<xml>{''.join(parts)}</xml>"
    quick = read_flat(text)
    if quick is not None:
        assert read_deep(text) == quick


@pytest.mark.parametrize("file", sorted(PAYLOADS.glob("*.xml")), ids=lambda file: file.stem)
def test_real_pushes_are_read_alike(file: Any) -> None:
    """The quick reading of what the platform sends is that of the XML parser; a text message is read quickly."""
    text = file.read_text()
    quick = read_flat(text)

    assert quick is None or read_deep(text) == quick
    assert quick is not None or "MsgType><![CDATA[text]]" not in text or "Encrypt" in text or "]" in text


@pytest.mark.parametrize(
    ("account", "event", "name", "window"),
    [
        ("service", "subscribe", "follow", Window(60, 3)),
        ("subscription", "subscribe", "follow", Window(60, 3)),
        ("service", "SCAN", "scan", Window(60, 3)),
        ("service", "scan", "scan", Window(60, 3)),
        ("service", "CLICK", "click", Window(60, 3)),
        ("service", "scancode_push", "scancode_push", Window(60, 3)),
        ("service", "VIEW", "view", None),
        ("service", "unsubscribe", "unfollow", Window(0, 0)),
        ("service", "user_enter_tempsession", "enter", None),
        ("miniprogram", "user_enter_tempsession", "enter", Window(60, 2)),
        ("miniprogram", "subscribe", "follow", None),
        ("service", "kf_create_session", "kf_create_session", None),
        ("service", "some_event_of_2031", "some_event_of_2031", None),
    ],
)
def test_event_names_and_windows(account: Any, event: Any, name: Any, window: Any) -> None:
    """Events get our names and the right to answer that this kind of account has; unknown ones keep theirs."""
    text = f"<xml>{HEAD}<MsgType>event</MsgType><Event>{event}</Event><EventKey>k</EventKey></xml>"
    notice = only(text, windows(account))

    assert isinstance(notice, Notice)
    assert (notice.name, notice.window, notice.external_id) == (name, window, f"o1:1348831860:{event}:k")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (" <![CDATA[退款]]> ", "退款"),
        ("\n  <![CDATA[ 退款 ]]>\n  ", " 退款 "),
        (" <![CDATA[]]> ", ""),
        ("<![CDATA[a]]]]><![CDATA[> ]]> <![CDATA[b]]>", "a]]> b"),
        ("再 <![CDATA[退款]]>", "再 退款"),
        (" 退款 ", " 退款 "),
    ],
)
def test_blanks_around_cdata_are_layout(written: str, said: str) -> None:
    """Blanks around CDATA, as in WeChat's "Coupons, Vouchers and Cards Event Push Messages", are no part of it."""
    head = "<FromUserName> <![CDATA[o1]]> </FromUserName><CreateTime>1348831860</CreateTime>"
    message = only(f"<xml>{head}<MsgType> <![CDATA[text]]> </MsgType><Content>{written}</Content></xml>", {})

    assert (message.address, message.type, message.text) == ("wechat:o1", "text", said)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("退\x1d款", "退款"),
        ("\x00\x02\x08\x0b\x10\x1f\ufffe\uffff单号\t1\n2", "单号\t1\n2"),
        ("a]]>b", "a]]>b"),
        ("<o><status><![CDATA[paid]]></status></o>", "<o><status><![CDATA[paid]]></status></o>"),
        ("\x02<s><![CDATA[1]]></s>", "<s><![CDATA[1]]></s>"),
        ("]]></Content><MsgId>1</MsgId><Content><![CDATA[", "]]></Content><MsgId>1</MsgId><Content><![CDATA["),
        ("]]></Content><FromUserName>o2</FromUserName><!--", "]]></Content><FromUserName>o2</FromUserName><!--"),
    ],
)
def test_what_a_customer_types_breaks_no_push(typed: str, said: str) -> None:
    """WeChat leaves control characters and "]]>" in Content as typed; no such word is taken for a field of the push.

    Sources: EasyWeChat pull request 1419, WeRoBot issue 420, silenceper/wechat issue 750, node-wechat issue 13.
    """
    content = f"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{typed}]]></Content><MsgId>7</MsgId>"
    message = only(f"<xml>{HEAD}{content}</xml>", {})

    assert (message.address, message.external_id, message.text) == ("wechat:o1", "7", said)


@pytest.mark.parametrize(
    ("typed", "said"),
    [("退\x1d款", "退款"), ("一\n二\t三\r\n四", "一\n二\t三\r\n四"), ("\x1b[0;32m在吗\x00", "[0;32m在吗")],
)
def test_control_characters_break_no_json(typed: str, said: str) -> None:
    """The platforms' JSON may hold control characters as they are (CowAgent issue 2810, co-wechat-api issue 63)."""
    head = '{\n  "FromUserName": "o1", "CreateTime": 1348831860, "MsgType": "text",\n  "MsgId": 9223372036854775807,'
    message = only(f'{head} "Content": "{typed}"}}', {})

    assert (message.text, message.external_id) == (said, "9223372036854775807")


def test_a_customers_file_is_named() -> None:
    """A file, of which WeChat hands out its name only, reads as that (EasyWeChat, JeffreySu/WeiXinMPSDK issue 1071)."""
    event = only((PAYLOADS / "file.xml").read_text(), windows())

    assert (event.type, event.text, event.media) == ("file", "报价.pdf", ())


def test_repeated_elements_are_all_kept() -> None:
    """Elements that stand there several times make a list, also when they say the same."""
    event = "<MsgType>event</MsgType><Event>x</Event>"
    notice = only(f"<xml>{HEAD}{event}<A>1</A><A>1</A><B/><B/><C>1</C></xml>", {})

    assert notice.details == {"A": ["1", "1"], "B": ["", ""], "C": "1"}


def test_different_events_of_one_second_differ() -> None:
    """Two results, two scans and two texts without id in the same second are different events."""
    pairs = [
        "<MsgType>event</MsgType><Event>x</Event><MsgID>{}</MsgID>",
        "<MsgType>event</MsgType><Event>scancode_push</Event><ScanCodeInfo><ScanResult>{}</ScanResult></ScanCodeInfo>",
        "<MsgType>text</MsgType><Content>{}</Content>",
    ]
    for fields in pairs:
        ids = {only(f"<xml>{HEAD}{fields.format(n)}</xml>", {}).external_id for n in (1, 2, 1)}

        assert len(ids) == 2


@pytest.mark.parametrize("number", [0, 2**53 + 1, 2**63 - 1, 2**64 - 1])
def test_ids_keep_all_64_bits(number: Any) -> None:
    """A MsgId that is a JSON number keeps every digit."""
    text = f'{{"FromUserName":"o1","CreateTime":1,"MsgType":"text","Content":"","MsgId":{number}}}'
    event = only(text, {})

    assert isinstance(event, Message)
    assert event.external_id == str(number)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "neither"),
        ("hello", "neither"),
        ("[]", "neither"),
        ("{", "well-formed"),
        ('{"a":1}}', "well-formed"),
        ('{"a":"\\ud800"}', "well-formed"),
        ("<xml>", "well-formed"),
        ("<xml></xml>", "FromUserName"),
        ("<html><FromUserName>o1</FromUserName></html>", "root"),
        ("<xml><a></b></xml>", "well-formed"),
        ("<xml>\x00</xml>", "FromUserName"),
        ("<xml>&amp;&unknown;</xml>", "well-formed"),
        (f"<xml>{HEAD}</xml>", "MsgType"),
        (f"<xml>{HEAD}<MsgType>event</MsgType></xml>", "Event"),
        (f"<xml>{HEAD}<MsgType><a>1</a></MsgType></xml>", "MsgType"),
        (TEXT.replace("o1", "o 1"), "FromUserName"),
        (TEXT.replace("o1", "微信"), "FromUserName"),
        (TEXT.replace("o1", "o" * 129), "FromUserName"),
        (TEXT.replace("1348831860", "yesterday"), "CreateTime"),
        (TEXT.replace("1348831860", "-1"), "CreateTime"),
        (TEXT.replace("1348831860", "٣"), "CreateTime"),
        (TEXT.replace("1348831860", "9" * 12), "CreateTime"),
        (TEXT.replace("hi", "<b>hi</b>"), "Content"),
        (TEXT.replace("text", "location"), "Location_X"),
        (TEXT.replace("text", "location").replace("hi", "</Content><Location_X>nan</Location_X><Content>"), "Location"),
        (f"<xml>{HEAD}<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event></xml>", "MsgID"),
        (f"<xml>{HEAD}<MsgType>event</MsgType><Event>subscribe_msg_sent_event</Event></xml>", "List"),
        ("<xml><ToUserName>g</ToUserName><Encrypt>AAAA</Encrypt></xml>", "encoding_aes_key"),
    ],
)
def test_faults_are_named(text: Any, says: Any) -> None:
    """A push that cannot be an event is malformed, and the error names what is wrong with it."""
    with pytest.raises(Malformed, match=says):
        parse(text, {})


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
ATTACKS = {
    "doctype": f"<!DOCTYPE xml>{TEXT}",
    "doctype after a declaration": f"<?xml version='1.0' encoding='utf-7'?><!DOCTYPE xml []>{TEXT}",
    "billion laughs": f'<!DOCTYPE xml [<!ENTITY l0 "ha">{LAUGHS}]><xml>{HEAD}&l9;</xml>',
    "external entity": f'<!DOCTYPE xml [<!ENTITY x SYSTEM "file:///etc/passwd">]><xml>{HEAD}&x;</xml>',
    "external dtd": f'<!DOCTYPE xml SYSTEM "http://127.0.0.1:9/x.dtd">{TEXT}',
    "deep xml": f"<xml>{'<a>' * 8000}",
    "deep json": '{"a":' * 10_000,
    "deep json list": '{"a":' + "[" * 20_000,
    "wide xml": f"<xml>{HEAD}{'<a/>' * 16_000}</xml>",
    "wide json": '{"a":[' + "1," * 30_000 + "1]}",
    "many attributes": "<xml " + " ".join(f'a{n}="1"' for n in range(6000)) + "/>",
    "many sections": f"<xml><Content>{'<![CDATA[a]]>' * 4900}</Content></xml>",
    "unclosed": "<xml><a " + "a" * 60_000,
    "huge number": '{"FromUserName":' + "9" * 60_000 + "}",
    "large": f"<xml>{'a' * MAX_BODY}</xml>",
}


opened: list[str] | None = None


def _watch(event: str, _arguments: tuple[Any, ...]) -> None:
    if opened is not None and (event == "open" or event.startswith(("socket.", "urllib.", "subprocess."))):
        opened.append(event)


sys.addaudithook(_watch)


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_end_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entities, nesting and sheer size are malformed within 50 ms of CPU; no file or address is opened."""
    seen: list[str] = []
    took = []
    for _ in range(5):  # the least counts: a machine that others share is ten times as slow for moments
        began = time.thread_time()
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[__name__], "opened", seen)
            with pytest.raises(Malformed):
                parse(ATTACKS[name], {})
        took.append(time.thread_time() - began)

    assert min(took) < 0.05
    assert seen == []


@pytest.mark.parametrize("style", ["xml", "json"])
def test_depth_limit_is_exact(style: str) -> None:
    """Exactly MAX_DEPTH levels are read, one more is refused, in either format."""

    def nested(levels: int) -> str:
        if style == "xml":
            return "<xml>" + "<a>" * (levels - 1) + "1" + "</a>" * (levels - 1) + "</xml>"
        return '{"a":' * (levels - 1) + "1" + "}" * (levels - 1)

    assert read(nested(MAX_DEPTH))
    with pytest.raises(Malformed, match="deeper"):
        read(nested(MAX_DEPTH + 1))


TAGS = ["<xml>", "</xml>", "<a>", "</a>", "<![CDATA[", "]]>", "<Encrypt>", "<MsgType>", "</MsgType>", "&#x0;", HEAD]
MARKS = ['{"', '":', '"', ",", "[", "]", "}", "MsgType", "List", "event", "text", "1e999", "\ufeff", "<!DOCTYPE>"]
PIECES = st.sampled_from([*TAGS, *MARKS])


@settings(max_examples=400, deadline=None, database=None)
@given(text=st.text(max_size=200) | st.lists(PIECES, max_size=30).map("".join))
def test_garbage_is_events_or_malformed(text: Any) -> None:
    """Whatever arrives either becomes events that can be stored or is malformed; nothing else escapes."""
    try:
        events = parse(text, windows())
    except Malformed:
        return
    assert msgspec.json.decode(msgspec.json.encode(events), type=list[Event]) == events


HEADS = ["FromUserName", "CreateTime", "MsgType", "MsgId", "MsgID", "Event", "EventKey", "List", "Status", "Encrypt"]
BODIES = ["Content", "MediaId", "Format", "Location_X", "Location_Y", "Latitude", "Longitude", "bizmsgmenuid"]
NAMES = [*HEADS, *BODIES]
KINDS = ["event", "text", "voice", "location", "subscribe_msg_sent_event", "TEMPLATESENDJOBFINISH"]
ENTRIES = st.lists(st.dictionaries(st.sampled_from(["MsgID", "List"]), st.text(max_size=3)), max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
FIELDS = st.dictionaries(
    st.sampled_from(NAMES), SCALARS | st.text(max_size=10) | ENTRIES | st.sampled_from(KINDS), max_size=12
)


@settings(max_examples=400, deadline=None, database=None)
@given(fields=FIELDS)
def test_odd_fields_are_events_or_malformed(fields: Any) -> None:
    """Well-formed JSON with any types in any field either becomes events or is malformed."""
    text = msgspec.json.encode({"FromUserName": "o1", "CreateTime": 1, "MsgType": "event", **fields}).decode()
    try:
        events = parse(text, windows())
    except Malformed:
        return
    assert msgspec.json.decode(msgspec.json.encode(events), type=list[Event]) == events
    assert parse(text, windows()) == events
