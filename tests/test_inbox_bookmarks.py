"""A position in all logs survives the way to a client and back, and nothing else passes for one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbox.bookmarks import LONGEST, START, BadBookmark, Bookmark, decode, encode
from inbox.partitions import COUNT

MOMENTS = st.integers(1, 4_000_000_000_000)
PLACES = st.lists(st.one_of(st.just(START), st.tuples(MOMENTS, st.integers(0, 2**40))), min_size=COUNT, max_size=COUNT)
WITHIN = st.one_of(st.none(), st.tuples(st.integers(0, COUNT - 1), st.integers(1, 9)))


@given(MOMENTS, PLACES, WITHIN)
@settings(max_examples=30)
def test_comes_back_as_it_went(at: int, places: list[tuple[int, int]], within: tuple[int, int] | None) -> None:
    """Every position is read as it was written, and stands in a header and an address as it is."""
    bookmark = Bookmark(at, tuple(places), within)
    text = encode(bookmark)

    assert bookmark == decode(text)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert len(text) <= LONGEST


def test_is_short_where_it_is_long_lived() -> None:
    """With all partitions busy within a minute a position has about three hundred characters."""
    places = tuple((1_763_700_000_000 + 937 * partition, 0) for partition in range(COUNT))

    assert len(encode(Bookmark(1_763_700_060_000, places))) < 300


@settings(max_examples=50)
@given(st.one_of(st.text(max_size=400), st.binary(max_size=400).map(base64.urlsafe_b64encode).map(bytes.decode)))
def test_refuses_what_it_did_not_write(text: str) -> None:
    """Whatever a client makes up is a bad bookmark and nothing worse."""
    with pytest.raises(BadBookmark):
        decode(text)


@settings(max_examples=30)
@given(PLACES, st.integers(0, 10_000), st.integers(1, 255))
def test_refuses_what_was_changed(places: list[tuple[int, int]], where: int, change: int) -> None:
    """One byte that is not as it was is noticed."""
    raw = bytearray(base64.urlsafe_b64decode(encode(Bookmark(1, tuple(places))) + "==="))
    raw[where % len(raw)] ^= change

    with pytest.raises(BadBookmark):
        decode(base64.urlsafe_b64encode(raw).decode().rstrip("="))
