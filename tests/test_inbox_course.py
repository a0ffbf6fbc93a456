"""What happened in a conversation, kept as text: nothing that counts is lost, nothing that does not is kept."""

from __future__ import annotations

import pytest

from inbox import course
from inbox.course import LONGEST, derived, extended, runs, steps

ADDED = [
    ("", "W", 1000, "W1000"),
    ("W1000", "w", 1500, "W1000"),  # who waits, waits
    ("W1000", "a", 1500, "W1000 a500"),
    ("W1000 a500", "a", 1600, "W1000 a500"),
    ("W1000 a500", "w", 1600, "W1000 a500 w100"),
    ("W1000 a500", "s", 1600, "W1000 a500 s100"),
    ("W1000 s500", "s", 1600, "W1000 s500"),
    ("W1000 s500", "w", 1600, "W1000 s500 w100"),
    ("W1000 r500", "W", 1600, "W1000 r500 W100"),
    ("W1000 r500", "o", 1600, "W1000 r500 o100"),
    ("W1000 a500", "r", 1400, "W1000 a500 r0"),  # another machine's clock
]


@pytest.mark.parametrize(("text", "what", "at", "expected"), ADDED)
def test_extended(text: str, what: str, at: int, expected: str) -> None:
    """Only what changes something is kept, and time never goes back."""
    assert expected == extended(text, what, at)


DERIVED = [
    (("open", 1000, 0, 1400, 0), "W1000"),
    (("pending", 1000, 1500, 1400, 0), "W1000 a500"),
    (("open", 1000, 1500, 1900, 0), "W1000 a500 w400"),
    (("pending", 1000, 1500, 1900, 0), "W1000 a500"),
    (("snoozed", 1000, 0, 1000, 0), "W1000 s0"),
    (("resolved", 1000, 1500, 1400, 2000), "W1000 a500 r500"),
]


@pytest.mark.parametrize(("known", "expected"), DERIVED)
def test_derived(known: tuple[str, int, int, int, int], expected: str) -> None:
    """Of a conversation without a course as much is said as its fields tell."""
    assert expected == derived(*known)


def test_a_course_has_an_end() -> None:
    """Thousands of exchanges do not grow it without limit; the first answer and the last exchanges stay."""
    text = "W1000"
    for number in range(700):
        text = extended(text, "a", 2000 + number * 20)
        text = extended(text, "w", 2010 + number * 20)
    kept = steps(text)

    assert LONGEST - 2 <= len(kept) <= LONGEST + 2
    assert [("W", 1000), ("a", 2000)] == list(kept[:2])
    assert [("a", 2000 + 699 * 20), ("w", 2010 + 699 * 20)] == list(kept[-2:])
    assert 1 == sum(run.clock == course.RESOLUTION for run in runs(kept))


def test_an_endless_course_of_another_kind() -> None:
    """Whoever snoozes and wakes a conversation for ever loses none of its steps."""
    text = "W1000"
    for number in range(LONGEST):
        text = extended(text, "s", 2000 + number * 20)
        text = extended(text, "o", 2010 + number * 20)
    assert 2 * LONGEST + 1 == len(steps(text))


REOPENED = [
    ("W0 a5 r5 W90", "resolution 0 resolved, first_reply 0 answered, resolution 100, next_reply 100"),
    ("W0 r10 W90", "resolution 0 resolved, first_reply 0 resolved, resolution 100, first_reply 100"),
    ("W0 r10 o90", "resolution 0, first_reply 0"),
    ("W0 r10 a20 o90", "resolution 0, first_reply 0 answered"),
]


@pytest.mark.parametrize(("text", "expected"), REOPENED)
def test_reopening(text: str, expected: str) -> None:
    """A customer who comes back starts anew; one of us who reopens takes the end back."""
    assert expected == ", ".join(f"{run.clock} {run.start} {run.over}".strip() for run in runs(steps(text)))
