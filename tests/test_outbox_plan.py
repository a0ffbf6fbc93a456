"""An answer is cut into what a channel carries; nothing is cut off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Capabilities, Media, Rejected
from outbox.plan import Part, longest, measure, plan, split

IMAGE = Media("image/png", "a.png", 10, ref="sha256:1")
PDF = Media("application/pdf", "a.pdf", 20, ref="sha256:2")
VOICE = Media("audio/amr", "a.amr", 30, ref="sha256:3")
UNITS = st.sampled_from(["chars", "utf16", "bytes"])


def channel(limit: int | None = None, unit: str = "chars", **more: object) -> Capabilities:
    return Capabilities(text_limit=limit, text_unit=unit, **more)  # type: ignore[arg-type]


LENGTHS = [("abc", 3, 3, 3), ("好的", 2, 2, 6), ("😀", 1, 2, 4), ("é", 1, 1, 2), ("", 0, 0, 0)]


@pytest.mark.parametrize(("text", "chars", "utf16", "octets"), LENGTHS)
def test_text_is_measured_as_the_platform_does(text: str, chars: int, utf16: int, octets: int) -> None:
    """Code points, UTF-16 units or bytes of UTF-8."""
    assert (chars, utf16, octets) == tuple(measure(text, unit) for unit in ("chars", "utf16", "bytes"))


BREAKS = [
    pytest.param("one two three", 9, ["one two ", "three"], id="between words"),
    pytest.param("第一句。第二句。第三", 8, ["第一句。第二句。", "第三"], id="after a Chinese sentence"),
    pytest.param("a b\n\nc d e f", 9, ["a b\n\n", "c d e f"], id="a paragraph before a word"),
    pytest.param("x" * 25, 10, ["x" * 10, "x" * 10, "x" * 5], id="hard, where there is no break"),
    pytest.param("a. " + "x" * 12, 10, ["a. " + "x" * 7, "x" * 5], id="not at a break that is far too early"),
    pytest.param("short", 10, ["short"], id="not at all"),
    pytest.param("", 10, [], id="nothing"),
]


@pytest.mark.parametrize(("text", "limit", "pieces"), BREAKS)
def test_text_is_cut_where_a_reader_would_pause(text: str, limit: int, pieces: list[str]) -> None:
    """Paragraphs before sentences before words."""
    assert pieces == split(text, channel(limit))


@given(st.text(max_size=400), st.integers(4, 60), UNITS)
def test_nothing_is_lost_and_nothing_is_too_long(text: str, limit: int, unit: str) -> None:
    """The pieces joined are the text, and each fits, in whatever unit the platform counts."""
    text = text.encode(errors="replace").decode()
    pieces = split(text, channel(limit, unit))

    assert text == "".join(pieces)
    assert all(0 < measure(piece, unit) <= limit for piece in pieces)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), st.integers(1, 80), UNITS)
def test_the_longest_beginning_is_the_longest(text: str, limit: int, unit: str) -> None:
    """One more code point would not fit, unless it is the whole text or a single code point."""
    count = longest(text, limit, unit)
    assert count == 1 or measure(text[:count], unit) <= limit
    assert count == len(text) or measure(text[: count + 1], unit) > limit


def test_a_long_answer_is_cut_in_time() -> None:
    """The longest reply that the API takes is cut for the channel with the smallest messages without a pause."""
    pieces = split("字" * 100_000, channel(500, "bytes"))
    assert 100_000 == sum(len(piece) for piece in pieces)


PLANS = [
    pytest.param(
        "see",
        (IMAGE, PDF),
        {},
        [Part("see"), Part(media=(IMAGE,)), Part(media=(PDF,))],
        id="text, then one by one",
    ),
    pytest.param("see", (IMAGE, PDF), {"mixed": True}, [Part("see", (IMAGE, PDF))], id="together where it may be"),
    pytest.param("", (IMAGE,), {}, [Part(media=(IMAGE,))], id="a file alone"),
    pytest.param("", (IMAGE,), {"mixed": True}, [Part("", (IMAGE,))], id="a file alone, mixed"),
    pytest.param("ab cd", (IMAGE,), {"mixed": True, "limit": 3}, [Part("ab ", (IMAGE,)), Part("cd")], id="both"),
    pytest.param("ab\n\n   ", (), {"limit": 4}, [Part("ab\n\n")], id="no part is blank"),
]


@pytest.mark.parametrize(("text", "media", "nature", "parts"), PLANS)
def test_plans(text: str, media: tuple[Media, ...], nature: dict[str, object], parts: list[Part]) -> None:
    """What goes out, in which order."""
    carried = {"media": frozenset({"image", "file"}), **nature}
    assert parts == plan(text, media, channel(**carried))  # type: ignore[arg-type]


REFUSALS = [
    pytest.param(VOICE, {"media": frozenset({"image"})}, "cannot carry audio/amr", id="no such kind of file"),
    pytest.param(IMAGE, {"media": frozenset[str]()}, "cannot carry image/png", id="no files at all"),
    pytest.param(PDF, {"media": frozenset({"file"}), "media_limit": 19}, "has 20 bytes", id="too large"),
]


@pytest.mark.parametrize(("media", "nature", "reason"), REFUSALS)
def test_what_a_channel_cannot_carry_is_refused_whole(media: Media, nature: dict[str, object], reason: str) -> None:
    """Nothing of the answer goes out when a part of it cannot: not the text without its file."""
    with pytest.raises(Rejected, match=reason):
        plan("see", (media,), channel(**nature))  # type: ignore[arg-type]


@pytest.mark.parametrize("media", [IMAGE, PDF, VOICE])
def test_whoever_takes_files_takes_every_file(media: Media) -> None:
    """A channel for files carries pictures and sound as files."""
    assert [Part(media=(media,))] == plan("", (media,), channel(media=frozenset({"file"})))
