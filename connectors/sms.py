"""What all SMS channels share: numbers, segments, and the words by which people leave and come back.

Makes no request and keeps no state.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import phonenumbers
from msgspec import Struct

from connectors.base import Message, Notice

# 3GPP TS 23.038 §6.2.1: the basic alphabet in order of its codes; 0x1B escapes to the extension.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"

_COST = {**dict.fromkeys(BASIC.replace("\x1b", ""), 1), **dict.fromkeys(EXTENSION, 2)}
_ROOM = {"gsm7": (160, 153), "ucs2": (70, 67)}

LEAVE = frozenset(
    "stop stopall unsubscribe cancel end quit optout revoke td t 退订 退訂 取消订阅 取消訂閱 拒收".split()  # noqa: SIM905  # reads as words
)
RETURN = frozenset("start unstop 恢复订阅 恢復訂閱 重新订阅 重新訂閱".split())  # noqa: SIM905  # reads as words


class Segments(Struct, frozen=True):
    """How a text travels: "gsm7" or "ucs2", in *count* parts, of *units* septets or UTF-16 code units in all."""

    encoding: Literal["gsm7", "ucs2"]
    count: int
    units: int


def address(number: str, region: str = "CN") -> str:
    """Return the address of whoever *number* names, however it is written.

    Phone numbers become E.164 ("tel:+8613800138000"); one without a country code belongs to
    *region*. Full-width digits count as digits. Short codes and carriers' service numbers have no
    country code and keep their digits ("tel:10086", "tel:106575000001"). A sender that is a name
    cannot be called back and gets a scheme of its own ("sms:TAOBAO"). Raises `ValueError`.
    """
    plain = unicodedata.normalize("NFKC", number).strip()
    try:
        parsed = phonenumbers.parse(plain, region)
    except phonenumbers.NumberParseException:
        parsed = None
    if parsed is not None and (plain.startswith("+") or phonenumbers.is_valid_number(parsed)):
        return f"tel:{phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)}"
    digits = re.sub(r"[\s().-]", "", plain)
    if re.fullmatch(r"\+?[0-9]{3,20}", digits):
        return f"tel:{digits}"
    if re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 &._-]{1,10}", plain):
        return f"sms:{plain}"
    raise ValueError("neither a phone number, nor a short code, nor a sender's name")


def number(to: str) -> str:
    """Return the number of a "tel:" address. Raises `ValueError` for any other address."""
    scheme, _, digits = to.partition(":")
    if scheme != "tel" or not re.fullmatch(r"\+?[0-9]{3,20}", digits):
        raise ValueError("not an address that can be texted; expected tel:+<country><number> or tel:<short code>")
    return digits


def segments(text: str) -> Segments:
    """Return how *text* travels when its parts are joined by an 8-bit reference (3GPP TS 23.040 §9.2.3.24.1)."""
    encoding = _encoding(text)
    return Segments(encoding, len(parts(text)), sum(_cost(char, encoding) for char in text))


def parts(text: str) -> list[str]:
    """Cut *text* into the parts in which it travels: never inside an escape sequence or a surrogate pair.

    The parts joined give *text* again.
    """
    encoding = _encoding(text)
    whole, part = _ROOM[encoding]
    if sum(_cost(char, encoding) for char in text) <= whole:
        return [text]
    cuts, used = [0], 0
    for index, char in enumerate(text):
        cost = _cost(char, encoding)
        if used + cost > part:
            cuts.append(index)
            used = 0
        used += cost
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def choice(text: str) -> Literal["opt_out", "opt_in"] | None:
    """Tell whether *text*, all of it, asks for no more messages or takes that back.

    Carriers' English keywords (CTIA) and what Chinese senders must offer ("回T退订", "TD"); case,
    width and punctuation do not matter. "Stop sending me the wrong size" is a message like any other.
    """
    word = keyword(text)
    if word in LEAVE:
        return "opt_out"
    return "opt_in" if word in RETURN else None


def keyword(text: str) -> str:
    """Return *text* as keywords are compared: without case, width, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text)).casefold()


def notice(message: Message, name: Literal["opt_out", "opt_in"] | None = None) -> Notice | None:
    """Return the notice that goes with *message* if it is such a keyword, or if the platform says so (*name*)."""
    meant = name or choice(message.text)
    if meant is None:
        return None
    return Notice(f"{message.external_id}:{meant}", message.address, message.at, meant, handle=message.handle)


def _encoding(text: str) -> Literal["gsm7", "ucs2"]:
    return "gsm7" if all(char in _COST for char in text) else "ucs2"


def _cost(char: str, encoding: str) -> int:
    return _COST[char] if encoding == "gsm7" else 1 + (ord(char) > 0xFFFF)
