"""Personal data in free text, blacked out: phones, mail addresses, ids, cards, links, street addresses. Pure.

Made for reports, where nobody needs to know whom an answer is about. It errs on the side of blacking out too much;
what it cannot know (a bare name, a nickname) stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "▇▇▇"
LOOKED_AT = 4_000
"""Characters of a text that are kept; the rest is cut off, not left unmasked."""

_NUMBER = "0-9０-９"
_PATTERNS: Sequence[re.Pattern[str]] = (
    re.compile(r"\b(?:https?://|www\.)[^\s<>\"'，。！？）]+", re.IGNORECASE),
    re.compile(r"[\w.+-]{1,64}\s?[@＠]\s?[\w-]{1,63}(?:[.。][\w-]{1,63})+"),
    # 省市区 … 路 … 号 … 室: any part of a Chinese postal address that ends in a number of something.
    re.compile(
        r"(?:[\u4e00-\u9fff]{2,8}?(?:省|自治区|市|区|县|镇|乡|街道)){1,4}"
        rf"[\u4e00-\u9fff]{{1,12}}(?:路|街|道|巷|弄|村|小区|花园|苑|大厦|广场)(?:[\w\u4e00-\u9fff{_NUMBER}-]{{0,20}}(?:号楼|单元|号|栋|幢|座|楼|层|室|户))*"
    ),
    re.compile(
        rf"[\u4e00-\u9fff]{{1,8}}(?:路|街|大道|巷|弄)\s*[{_NUMBER}一二三四五六七八九十百]+\s*(?:弄|号)"
        rf"(?:[\w\u4e00-\u9fff{_NUMBER}-]{{0,14}}(?:号楼|单元|栋|幢|座|楼|层|室|户))*"
    ),
    re.compile(
        r"\b\d{1,5}[A-Za-z]?\s+(?:[A-Z][\w'.-]+\s+){1,4}"
        r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Way|Court|Ct|Place|Pl|Square|Sq)\b\.?",
        re.IGNORECASE,
    ),
    # WeChat and QQ names as people give them.
    re.compile(r"(?:微信|vx|v信|wechat|weixin|qq)\s*(?:号|id)?\s*[:：是]?\s*[A-Za-z0-9][\w-]{4,19}", re.IGNORECASE),
    # Anything with seven digits or more, whatever stands between them: phones, ids, cards, orders.
    re.compile(rf"[+＋]?(?:[{_NUMBER}][\s().*\-—－·]{{0,2}}){{6,31}}[{_NUMBER}Xx]"),
)


def masked(text: str) -> str:
    """Return *text* with personal data blacked out and without what no reader needs to see."""
    text = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text[:LOOKED_AT])
    for pattern in _PATTERNS:
        text = pattern.sub(MASK, text)
    return text.strip()
