"""What the guard recognises by itself in a folded text: numbers, addresses, links and secrets. Pure.

Each function yields (start, end, value) with a value that is written in one way however the text writes it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

import re2

Sighting = tuple[int, int, str]

_DIGITS = re.compile(r"(?<![0-9a-z+])\+?(?:[0-9][ ().\-–\t]{0,2}){6,18}[0-9](?![0-9a-z])")
_DATE = re.compile(r"(?:19|20)[0-9]{2}[-./][0-9]{1,2}[-./][0-9]{1,2}|[0-9]{1,2}:[0-9]{2}")
_MAIL = re.compile(r"(?<![a-z0-9._%+-])[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}")
_CARD = re.compile(r"(?<![0-9a-z])(?:[0-9][ -]?){12,18}[0-9](?![0-9a-z])")
_IDENTITY = re.compile(r"(?<![0-9a-z])[1-9][0-9]{16}[0-9x](?![0-9a-z])")
_STOPS = r"\s<>\"'`，。；！？、（）【】《》“”‘’「」"
_TOPS = (
    "com|cn|net|org|io|co|top|xyz|shop|vip|cc|tv|info|me|link|app|site|online|store|club|ltd|wang|ink|mobi|pro|biz|"
    "asia|hk|tw|jp|kr|us|uk|de|fr|ru|ly|gg|to"
)
_LINK = re.compile(
    rf"(?:https?|ftp)://[^{_STOPS}]{{1,2000}}"
    rf"|(?<![@a-z0-9._-])(?:[a-z0-9](?:[a-z0-9-]{{0,62}})\.){{1,6}}(?:{_TOPS})(?![a-z0-9.-]*@)(?![a-z0-9-])"
    rf"(?:[:/?#][^{_STOPS}]{{0,2000}})?"
)
# ISO/IEC 7812: UnionPay, Visa, Mastercard, American Express, JCB; the lengths that they give out.
_ISSUERS = re.compile(r"62[0-9]{14,17}|4[0-9]{15}|5[1-5][0-9]{14}|2[2-7][0-9]{14}|3[47][0-9]{13}|35[0-9]{14}")
# GB/T 2260: the first two digits of an identity number are a province.
_PROVINCES = frozenset(
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83".split()  # noqa: SIM905  # reads as a table
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}"  # Amazon
    r"|LTAI[0-9A-Za-z]{12,26}"  # Alibaba Cloud
    r"|AKID[0-9A-Za-z]{13,40}"  # Tencent Cloud
    r"|AIza[0-9A-Za-z_-]{35}"  # Google
    r"|\bsk-[A-Za-z0-9_-]{20,200}"  # OpenAI, DeepSeek
    r"|\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,200}"  # Stripe
    r"|\bgh[pousr]_[A-Za-z0-9]{36,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}|\bglpat-[A-Za-z0-9_-]{20,64}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,200}"  # Slack
    r"|\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}"  # SendGrid
    r"|\bwhsec_[A-Za-z0-9+/=]{24,200}"  # Standard Webhooks
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}"  # JSON Web Token
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
    r"|\b[a-z][a-z0-9+]{1,20}://[^\s/:@]{0,64}:[^\s/:@]{4,128}@",  # an address with a password in it
    re.ASCII,
)
_TOLD = re.compile(
    r"(?:密码|口令|密钥|\b(?:password|passwd|pwd|secret|api[ _-]?key|access[ _-]?token))"
    r"[ \t]{0,3}(?:[:：=是为]|is\b)[ \t]{0,3}([!-~]{6,128})",
    re.IGNORECASE | re.ASCII,
)
# One pass by RE2 says of almost every text that none of them is in it.
_LIKELY = re2.compile(f"{SECRETS.pattern}|(?i:{_TOLD.pattern})")


def phones(text: str, region: str) -> Iterator[Sighting]:
    """Yield valid phone numbers as E.164; one without a country code belongs to *region*."""
    text = _DATE.sub(lambda date: "。" * len(date[0]), text)
    for match in _DIGITS.finditer(text):
        found = [(match.start(), match.end(), _number(match[0], region))]
        if not found[0][2] and " " in match[0].strip():
            parts = re.finditer(r"[^ \t]+", match[0])
            found = [(match.start() + p.start(), match.start() + p.end(), _number(p[0], region)) for p in parts]
        yield from (one for one in found if one[2])


@lru_cache(maxsize=1024)
def _number(text: str, region: str) -> str:
    if not 7 <= sum(char.isdigit() for char in text) <= 15:  # ITU-T E.164: fifteen digits at most
        return ""
    import phonenumbers  # noqa: PLC0415  # commands start faster without its tables

    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(parsed):
        return ""
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def number(text: str, region: str) -> str:
    """Return a phone number that an admin wrote as E.164, its digits if it is none that the world knows."""
    return _number(text, region) or re.sub(r"[^0-9+]", "", text)


def emails(text: str) -> Iterator[Sighting]:
    """Yield mail addresses."""
    if "@" in text:
        for match in _MAIL.finditer(text):
            value = match[0].rstrip(".-")
            yield match.start(), match.start() + len(value), value


def cards(text: str) -> Iterator[Sighting]:
    """Yield numbers of bank cards: of a known issuer's length, with the right check digit (Luhn, ISO/IEC 7812-1)."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"[^0-9]", "", match[0])
        if _ISSUERS.fullmatch(digits) and luhn(digits):
            yield match.start(), match.end(), digits


def luhn(digits: str) -> bool:
    """Tell whether the last of *digits* is the check digit of those before it."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def identities(text: str) -> Iterator[Sighting]:
    """Yield Chinese identity numbers: province, date of birth and check character (GB 11643-1999) are right."""
    for match in _IDENTITY.finditer(text):
        if identity(match[0]):
            yield match.start(), match.end(), match[0]


def identity(value: str) -> bool:
    """Tell whether the eighteen characters of *value* are an identity number."""
    if value[:2] not in _PROVINCES:
        return False
    try:
        born = dt.date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return False
    total = sum(int(char) * weight for char, weight in zip(value[:17], _WEIGHTS, strict=True))
    return born.year >= 1900 and value[17] == "10x98765432"[total % 11]


def secrets(text: str) -> Iterator[Sighting]:
    """Yield keys, tokens and told passwords in a text as it was written; the value is not given."""
    if not _LIKELY.search(text):
        return
    for match in SECRETS.finditer(text):
        yield match.start(), match.end(), ""
    for match in _TOLD.finditer(text):
        value = match[1]
        if re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value):
            yield match.start(1), match.end(1), ""


def links(text: str) -> Iterator[Sighting]:
    """Yield the hosts that links lead to, "" for one that cannot be told."""
    for match in _LINK.finditer(text):
        link = match[0].rstrip(".,;:!?)]}*_~")
        yield match.start(), match.start() + len(link), host(link)


def host(link: str) -> str:
    """Return the host that a browser would go to, "" if none can be told."""
    written = link.replace("\\", "/")  # as browsers read it (WHATWG URL)
    try:
        return (urlsplit(written if "://" in written else f"//{written}").hostname or "").rstrip(".")
    except ValueError:
        return ""


FOLDED: Mapping[str, Callable[[str], Iterator[Sighting]]] = {
    "email": emails,
    "card": cards,
    "identity": identities,
    "link": links,
}
