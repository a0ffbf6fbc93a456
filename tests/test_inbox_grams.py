"""Words are cut so that nothing which contains a word is overlooked when it is looked for."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inbox.grams import LONGEST, BadQuery, expression, grams, joined, parse, plain

LETTERS = "退款退货頭发發abAB12 -_,。\n'\"ＡＢ１２éßķ한👍ẞ"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＯＲＤＥＲ　１２", "order 12"),
        ("頭髮很長", "头发很长"),
        ("a\n\t b", "a b"),
        ("Straße", "strasse"),
        ("a\0b", "a b"),
        ("半\udc80个", "半?个"),
    ],
)
def test_spellings_of_one_text_are_one(text: str, folded: str) -> None:
    """Case, width, script, white space and what is invisible make no difference."""
    assert plain(text) == folded


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("退款", ("退款",)),
        ("  退款   Refund 退款 ", ("退款", "refund")),
        ('"order 12" red', ("order 12", "red")),
        ("“退款 订单”", ("退款 订单",)),
        ('red"blue', ("red", "blue")),
        ("4200-1234", ("4200-1234",)),
    ],
)
def test_a_query_is_words_and_phrases(text: str, words: tuple[str, ...]) -> None:
    """White space separates words; quotes of either language keep a phrase together."""
    assert parse(text).words == words


@pytest.mark.parametrize("text", ["", "  ", '""', "x" * (LONGEST + 1), " ".join(map(str, range(11)))])
def test_what_cannot_be_looked_for_is_refused(text: str) -> None:
    """Nothing, and more than can be answered in time, is a fault that is told."""
    with pytest.raises(BadQuery):
        parse(text)


@given(text=st.text(LETTERS, max_size=40) | st.text(max_size=40), cut=st.tuples(st.integers(0, 40), st.integers(1, 8)))
@example(text="a_b", cut=(0, 3))
def test_whatever_contains_a_word_has_its_grams(text: str, cut: tuple[int, int]) -> None:
    """A piece of a text, cut anywhere, is found by its grams."""
    whole = plain(text)
    piece = plain(whole[cut[0] : cut[0] + cut[1]])
    if piece in whole:  # the fold of a piece may differ where letters combine
        wanted = {one.strip('"') for one in expression(piece).split(" AND ") if one}
        assert wanted <= set(grams(whole).split(" "))


def test_nothing_is_found_across_parts() -> None:
    """The end of a text and the beginning of a file's name are no word."""
    assert "款订" not in grams(joined(["退款", "订单.pdf"]))
