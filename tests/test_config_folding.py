"""Two spellings of one text become equal, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.folding import fold, simplified

SAME = [
    ("退货", "退貨"),
    ("头发 发生", "頭髮 發生"),
    ("Refund", "ＲＥＦＵＮＤ"),
    ("12315", "１２３１５"),
    ("你好!", "你好！"),
    ("ガス", "ｶﾞｽ"),
    ("(株)", "㈱"),
    ("strasse", "STRAßE"),
    ("退款", "退\u200b款\ufeff"),
    ("ok", "o\u00adk"),
    ("é", "e\u0301"),
    ("心", "心\ufe0f"),
    ("苎", "薴"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one: str, other: str) -> None:
    """Case, width, invisible characters and traditional characters make no difference."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("退款", "退欵"), ("买", "卖"), ("a b", "ab"), ("é", "e")])
def test_different(one: str, other: str) -> None:
    """Other characters, spaces and accents do make a difference."""
    assert fold(one) != fold(other)


def test_every_character_once_and_for_all() -> None:
    """Folding the folded form of any character changes nothing."""
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]

    assert [hex(point) for point in points if fold(fold(chr(point))) != fold(chr(point))] == []


def test_every_case_of_a_character_is_the_same() -> None:
    """RE2 ignores case by itself; it never matches more or less than folding does, but for the Turkish dotless i."""
    odd = {
        char
        for char in map(chr, [*range(0xD800), *range(0xE000, 0x20000)])
        if fold(char) == char
        for other in (char.lower(), char.upper())
        if len(other) == 1 and fold(other) != char
    }

    assert {"ı"} == odd


@given(st.text())
def test_idempotent(text: str) -> None:
    """Folding twice changes nothing."""
    assert fold(text) == fold(fold(text))


HAN = st.text(st.sampled_from([*map(chr, simplified()[0]), *"乾坤著名后面里头发"]), min_size=1, max_size=4)


@given(HAN, HAN, HAN)
def test_a_word_stays_inside(before: str, word: str, after: str) -> None:
    """Whatever contains a word still contains it when both are folded, whatever stands around it."""
    assert fold(word) in fold(before + word + after)
