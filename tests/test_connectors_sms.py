"""Numbers, segments and keywords that all SMS channels share."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import sms
from connectors.base import Message, Notice

SINGLE = {"gsm7": 160, "ucs2": 70}
PART = {"gsm7": 153, "ucs2": 67}

texts = st.text(alphabet=st.sampled_from(sms.BASIC.replace("\x1b", "") + sms.EXTENSION), max_size=700) | st.text(
    alphabet=st.sampled_from("你好a€😀é`ç"), max_size=400
)


def units(text: str, encoding: str) -> int:
    """Count septets or code units from the standard's definition."""
    if encoding == "ucs2":
        return len(text.encode("utf-16-be")) // 2
    return sum(2 if char in "\f^{}\\[~]|€" else 1 for char in text)


@pytest.mark.parametrize(
    ("number", "region", "address"),
    [
        ("13800138000", "CN", "tel:+8613800138000"),
        ("+86 138 0013 8000", "CN", "tel:+8613800138000"),
        ("0086-138-0013-8000", "CN", "tel:+8613800138000"),
        ("１３８００１３８０００", "CN", "tel:+8613800138000"),
        ("＋８６１３８００１３８０００", "US", "tel:+8613800138000"),
        ("8613800138000", "CN", "tel:+8613800138000"),
        ("021-12345678", "CN", "tel:+862112345678"),
        ("400-800-1234", "CN", "tel:+864008001234"),
        ("(415) 867-5309", "US", "tel:+14158675309"),
        ("+14158675309", "CN", "tel:+14158675309"),
        ("+852 6123 4567", "CN", "tel:+85261234567"),
        ("+266696687", "CN", "tel:+266696687"),
        ("10086", "CN", "tel:10086"),
        ("95588", "CN", "tel:95588"),
        ("106575000001", "CN", "tel:106575000001"),
        ("1069 0123 4567 8901", "CN", "tel:1069012345678901"),
        ("72345", "US", "tel:72345"),
        ("TAOBAO", "CN", "sms:TAOBAO"),
        ("Bank 24", "CN", "sms:Bank 24"),
    ],
)
def test_a_number_has_one_address(number: str, region: str, address: str) -> None:
    """However a number is written it becomes one address; what has no country code keeps its digits."""
    assert sms.address(number, region) == address


@pytest.mark.parametrize(
    "number", ["", " ", "12", "+", "+1", "x" * 12, "你好", "tel:+1415", "1" * 21, "a\nb", "\x00\x00\x00"]
)
def test_what_is_no_sender_is_refused(number: str) -> None:
    """Neither a number nor a name: `ValueError`, and the text does not stand in it."""
    with pytest.raises(ValueError, match="neither") as refused:
        sms.address(number)

    assert len(number) < 5 or number not in str(refused.value)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """Whatever stands where a number should: an address or `ValueError`, and an address stays the same."""
    try:
        address = sms.address(text)
    except ValueError:
        return
    scheme, _, value = address.partition(":")

    assert scheme in ("tel", "sms")
    assert sms.address(value) == address


@pytest.mark.parametrize(("address", "number"), [("tel:+8613800138000", "+8613800138000"), ("tel:10086", "10086")])
def test_tel_addresses_can_be_texted(address: str, number: str) -> None:
    """The number is what stands behind the scheme."""
    assert sms.number(address) == number


@pytest.mark.parametrize("address", ["sms:TAOBAO", "mailto:a@b.cn", "tel:", "tel:+86 1", "tel:abc", "", "tel:١٢٣٤"])
def test_other_addresses_cannot_be_texted(address: str) -> None:
    """Anything else is refused with what is expected."""
    with pytest.raises(ValueError, match="expected tel:"):
        sms.number(address)


@pytest.mark.parametrize(
    ("text", "encoding", "count", "used"),
    [
        ("", "gsm7", 1, 0),
        ("a" * 160, "gsm7", 1, 160),
        ("a" * 161, "gsm7", 2, 161),
        ("a" * 306, "gsm7", 2, 306),
        ("a" * 307, "gsm7", 3, 307),
        ("€" * 80, "gsm7", 1, 160),
        ("€" * 81, "gsm7", 2, 162),
        ("a" * 152 + "€" + "b" * 153, "gsm7", 3, 307),
        ("\n\r@Δ¡", "gsm7", 1, 5),
        ("你" * 70, "ucs2", 1, 70),
        ("你" * 71, "ucs2", 2, 71),
        ("😀" * 35, "ucs2", 1, 70),
        ("😀" * 36, "ucs2", 2, 72),
        ("你" * 66 + "😀" + "好" * 66, "ucs2", 3, 134),
        ("ç", "ucs2", 1, 1),
        ("`", "ucs2", 1, 1),
        ("\x1b", "ucs2", 1, 1),
        ("\t", "ucs2", 1, 1),
    ],
)
def test_segments_follow_the_standard(text: str, encoding: str, count: int, used: int) -> None:
    """Known texts take the parts that the standard gives them."""
    assert sms.segments(text) == sms.Segments(encoding, count, used)  # type: ignore[arg-type]  # from the table


@given(texts)
def test_parts_lose_nothing_and_fit(text: str) -> None:
    """Parts joined are the text; each fits; none could have taken the next character; the count is their number."""
    parts, found = sms.parts(text), sms.segments(text)
    room = SINGLE[found.encoding] if len(parts) == 1 else PART[found.encoding]

    assert "".join(parts) == text
    assert found.count == len(parts)
    assert found.units == units(text, found.encoding)
    assert all(units(part, found.encoding) <= room for part in parts)
    assert all(units(part + following[0], found.encoding) > room for part, following in pairwise(parts))


def test_basic_alphabet_is_complete() -> None:
    """128 codes, each character once, and none of the extension among them."""
    assert len(sms.BASIC) == len(set(sms.BASIC)) == 128
    assert (sms.BASIC.index("@"), sms.BASIC.index("\x1b"), sms.BASIC.index("A"), sms.BASIC.index("à")) == (
        0,
        27,
        65,
        127,
    )
    assert not set(sms.BASIC) & set(sms.EXTENSION)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("STOP", "opt_out"),
        (" stop. ", "opt_out"),
        ("Stop All", "opt_out"),
        ("ＴＤ", "opt_out"),
        ("t", "opt_out"),
        ("退订", "opt_out"),
        ("退订！", "opt_out"),
        ("【退訂】", "opt_out"),
        ("START", "opt_in"),
        ("恢复订阅", "opt_in"),
        ("stop sending me the wrong size", None),
        ("我要退订单", None),
        ("yes", None),
        ("HELP", None),
        ("", None),
    ],
)
def test_only_the_bare_keyword_counts(text: str, meant: str | None) -> None:
    """A message that is nothing but a keyword is a choice; one that contains it is a message."""
    assert sms.choice(text) == meant


def test_notice_goes_with_its_message() -> None:
    """The notice carries the message's sender, time and handle, and an id of its own that repeats with it."""
    message = Message("SM1", "tel:10086", 5, text="TD", handle="+1500")

    assert sms.notice(message) == Notice("SM1:opt_out", "tel:10086", 5, "opt_out", handle="+1500")
    assert sms.notice(Message("SM2", "tel:10086", 5, text="hello")) is None
    assert sms.notice(Message("SM3", "tel:10086", 5, text="yes"), "opt_in") == Notice(
        "SM3:opt_in", "tel:10086", 5, "opt_in"
    )
