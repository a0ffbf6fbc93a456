"""What conditions see of a text, and which words are found in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.text import CAP, Lexicon, Reading, clip, plain


@given(st.text(st.characters(exclude_categories=[]), max_size=40), st.integers(1, 2000))
def test_clip(text: str, times: int) -> None:
    """Any text, with halves of characters or not, becomes valid UTF-8 of at most 16 kB; a short valid one stays."""
    whole = text * times
    clipped = clip(whole)

    assert len(clipped.encode()) <= CAP
    assert len(plain(whole).encode()) <= CAP
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert whole.startswith(clipped)
        assert len(clipped.encode()) > CAP - 4 or clipped == whole


def test_folding_does_not_outgrow_the_limit() -> None:
    """A character that folds to many more does not make the text longer than is looked at."""
    assert len(plain("\ufdfa" * 6_000).encode()) <= CAP


@given(st.lists(st.text("ab退款", min_size=1, max_size=3), max_size=8), st.text("ab退款", max_size=30))
def test_lexicon_finds_every_word(words: list[str], text: str) -> None:
    """All words that are in the text are found, inside others and overlapping too, and no other."""
    lexicon = Lexicon()
    numbers = {word: lexicon.add([word]) for word in words}
    lexicon.build()
    found = lexicon.find(text)

    assert found == frozenset().union(*(numbers[word] for word in words if word in text))


def test_reading_keeps_what_it_worked_out() -> None:
    """A text is folded, encoded and searched at most once."""
    lexicon = Lexicon()
    lexicon.add(["退货"])
    lexicon.build()
    reading = Reading(" 退貨！ ", lexicon, exact=False)

    assert reading.text == "退货!"
    assert reading.data is reading.data
    assert reading.found is reading.found
    assert reading.found == frozenset({0})
