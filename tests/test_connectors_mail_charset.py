"""Letters: labels that lie, bytes without labels, words cut in the middle of a character."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mail_charset import codec, decode, decode_words, unbase64

SIMPLE = "您好，我要退货，订单号是20261120。"
COMPLEX = "您好，請問這個商品什麼時候可以出貨？謝謝"
HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5, exclude_characters="掳聽脳路")
"""All but four whose GBK bytes are UTF-8 by chance: a text of nothing else cannot be told apart."""


@pytest.mark.parametrize(
    ("text", "written", "label"),
    [
        (SIMPLE, "gbk", "gb2312"),
        ("朱镕基、𠮷野家、㐀", "gb18030", "GB2312"),
        (SIMPLE, "gbk", "gbk"),
        (SIMPLE, "gbk", "utf-8"),
        (SIMPLE, "gbk", "iso-8859-1"),
        (SIMPLE, "gbk", "us-ascii"),
        (SIMPLE, "gbk", ""),
        (SIMPLE, "gbk", "x-unknown"),
        (SIMPLE, "utf-8", "gb2312"),
        (SIMPLE, "utf-8", "gbk"),
        (SIMPLE, "utf-8", "iso-8859-1"),
        (SIMPLE, "utf-8", ""),
        (SIMPLE, "utf-8-sig", ""),
        (SIMPLE, "utf-16", ""),
        (SIMPLE, "utf-16-le", "utf-16le"),
        ("投诉", "gbk", ""),
        ("投诉", "gbk", "utf-8"),
        ("一", "gbk", "gb2312"),
        ("联通", "gbk", "gb2312"),
        ("联通", "gbk", ""),
        (COMPLEX, "big5", "big5"),
        (COMPLEX, "big5", ""),
        (COMPLEX, "big5", "utf-8"),
        ("粵語：嘅喺咗啲", "big5hkscs", "big5"),
        ("你好", "hz", "hz-gb-2312"),
        ("こんにちは世界", "iso2022_jp", "iso-2022-jp"),
        ("こんにちは世界", "iso2022_jp", "csISO2022JP"),
        ("こんにちは世界", "iso2022_jp", "iso-2022-jp-1"),
        ("こんにちは世界丂", "iso2022_jp_2", "iso-2022-jp-2"),
        ("こんにちは世界", "iso2022_jp_3", "iso-2022-jp-3"),
        ("半角ｶﾅ", "iso2022_jp_ext", "cp50220"),
        ("半角ｶﾅ", "iso2022_jp_ext", "cp50221"),
        ("半角ｶﾅ", "iso2022_jp_ext", "CP50222"),
        ("半角ｶﾅ丂", "iso2022_jp_ext", "iso-2022-jp-ms"),
        ("ありがとうございます", "shift_jis", "shift_jis"),
        ("감사합니다", "euc-kr", "ks_c_5601-1987"),
        ("Привет", "koi8-r", "koi8-r"),
        ("Привет", "utf-8", ""),
        ("ФНС_РФ558.zip", "utf-8", ""),
        ("Где мой заказ?", "utf-8", ""),
        ("Πρόσθετη παραγγελία", "utf-8", ""),
        ("谢谢", "gbk", ""),
        (SIMPLE, "utf-8", "iso-8859-2"),
        (SIMPLE, "utf-8", "windows-1251"),
        (SIMPLE, "utf-8", "big5"),
        (SIMPLE, "utf-8", "iso-2022-jp"),
        (SIMPLE, "gbk", "utf-7"),
        ("1+1=2, a+b", "ascii", "utf-7"),
        ("Привет", "utf-8", "koi8-r"),
        ("Привет", "cp1251", "windows-1251"),
        ("Łódź, kćż", "iso8859-2", "iso-8859-2"),
        ("café à la crème", "latin-1", "us-ascii"),
        ("café – naïve", "cp1252", ""),
        ("plain", "ascii", "no-such-charset"),
        ("emoji 😀 行", "utf-8", "utf-8"),
    ],
)
def test_label_is_believed_as_far_as_the_bytes_agree(text: str, written: str, label: str) -> None:
    """Text comes out as it was written, whatever the label said."""
    assert text == decode(text.encode(written), label)


@pytest.mark.parametrize("label", ["gb2312", "utf-8"])
def test_one_broken_character_spoils_only_itself(label: str) -> None:
    """A mail damaged or cut in one place is still read in its own charset."""
    written = "gbk" if label == "gb2312" else label
    data = (SIMPLE * 5).encode(written)
    damaged = data[:-1], data[:20] + b"\xff" + data[20:]

    for each in damaged:
        assert SIMPLE in decode(each, label)


@pytest.mark.parametrize(
    "label", ["punycode", "idna", "unicode_escape", "zlib", "rot13", "undefined", "base64", "hex", "a" * 99]
)
def test_codecs_outside_the_list_are_not_used(label: str) -> None:
    """Codecs that are slow, no charsets, or not even text cannot be chosen by a sender."""
    assert codec(label) == ""


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("=?utf-8?B?5L2g5aW9?=", "你好"),
        ("=?UTF-8?q?=E4=BD=A0=E5=A5=BD_x?=", "你好 x"),
        ("=?utf-8*zh?B?5L2g5aW9?=", "你好"),
        ("Re: =?gbk?B?xOO6ww==?= (1)", "Re: 你好 (1)"),
        ("=?gbk?B?xOO6ww==?= =?gbk?B?xOO6ww==?=", "你好你好"),
        ("=?gbk?B?xOO6ww==?==?gbk?B?xOO6ww==?=", "你好你好"),
        ("=?gbk?B?xOO6ww==?=\r\n =?utf-8?B?5L2g5aW9?=", "你好你好"),
        ("=?gbk?B?xOO6?= =?gbk?B?ww==?=", "你好"),
        ("=?gbk?B?xO?= =?gbk?B?O6ww==?=", "你好"),
        ("=?gb2312?Q?=C4=E3?= =?gb2312?Q?=BA=C3 a b?=", "你好 a b"),
        ("=?utf-8?Q?Is_my_order_=231_there??=", "Is my order #1 there?"),
        ("=?utf-8?q?What?_=E4=BD=A0???= =?utf-8?Q?!?=", "What? 你??!"),
        ("=?utf-8?Q?a=3F?= (b?) =?utf-8?Q?c??=", "a? (b?) c?"),
        ("=?utf-8?Q?half =?utf-8?Q?whole??=", "=?utf-8?Q?half whole?"),
        ("=?utf-8?Q?=E4=BD=A0=?=", "你"),
        ("=?utf-8?Q??=", ""),
        ("=?utf-8?B?5L2g5aW9", "=?utf-8?B?5L2g5aW9"),
        ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        ("=?nonsense?B?5L2g5aW9?=", "你好"),
        ("=?utf-8?B??=", ""),
        ("=?utf-8?B?!!!!?=", ""),
        ("plain = text? =", "plain = text? ="),
    ],
)
def test_encoded_words(header: str, text: str) -> None:
    """RFC 2047 words are read as mailers write them, cut wherever they cut them."""
    assert text == decode_words(header.encode())


def test_raw_bytes_beside_words() -> None:
    """Bytes without a label in a header are read by their looks, words beside them by their label."""
    raw = "订单".encode("gbk") + b" =?utf-8?B?" + base64.b64encode("退货".encode()) + b"?= " + "谢谢".encode("gbk")

    assert decode_words(raw) == "订单 退货 谢谢"


@given(st.text(alphabet="AQg/+=\n !", max_size=60))
def test_any_base64_is_read_as_far_as_it_goes(coded: str) -> None:
    """Base64 with padding anywhere, strange characters and letters too many or too few is never an error."""
    assert isinstance(unbase64(coded.encode()), bytes)


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "gb2312", "utf-8", "big5", "utf-7", "utf-16", "hz", "iso-2022-jp", "x"]),
)
def test_any_bytes_become_clean_text(data: bytes, label: str) -> None:
    """Whatever comes in, what goes out can be stored and shown: no NUL, no controls, no lone surrogates."""
    text = decode(data, label)

    assert text == text.encode("utf-8").decode("utf-8")
    assert not set(text) & {"\x00", "\x1b", "\x7f", "\r"}


@given(st.text(alphabet=HAN, min_size=6, max_size=60))
def test_any_chinese_survives_its_own_label(text: str) -> None:
    """GBK text labelled GB2312 is never taken for UTF-8, and UTF-8 labelled as such is never taken for GBK."""
    assert text == decode(text.encode("gb18030"), "gb2312")
    assert text == decode(text.encode(), "utf-8")
