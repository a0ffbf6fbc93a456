"""What answers about one attribute exclude each other: the knowledge behind `router.formulas`. Pure.

Every function here may overlook a conflict, and must never see one that is not there: a route is refused for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from config.patterns import read
from router.conditions import languages, media, senders

Span = tuple[float, float]
ALWAYS: Span = (-math.inf, math.inf)
# The least that a message can have of something that it always has.
LEAST: dict[str, Span] = {
    "conversation.messages": (1, math.inf),
    "attachments.count": (0, math.inf),
    "at": ALWAYS,
}
MINUTES = 7 * 24 * 60
WEEK = (1 << MINUTES) - 1  # a bit for every minute, from Monday on


@dataclass(frozen=True, slots=True)
class Said:
    """What a text must look like: it contains, equals or starts with one of *words*; or *pattern* matches."""

    how: str
    words: frozenset[str]
    pattern: str = ""
    exact: bool = False

    def of(self, text: str) -> bool:
        """Tell whether it is true of *text*, spelt as rules compare it."""
        match self.how:
            case "contains":
                return any(word in text for word in self.words)
            case "starts":
                return text.startswith(tuple(self.words))
            case "equals":
                return text in self.words
        return read(self.pattern, exact=self.exact).search(text.encode()) is not None


def above(attribute: str, value: Any) -> frozenset[Any]:
    """Return what a message with *value* has as well: zh for zh-cn, example.com for boss@mail.example.com."""
    match attribute:
        case "language" | "contact.language":
            return frozenset(languages(value))
        case "attachments":
            if "/" in value and not value.endswith("/*"):
                return frozenset(media([value]))
            return frozenset([value] if value == "none" else [value, "some"])
        case "sender":
            parts = value.split(".")
            domains = [".".join(parts[start:]) for start in range(1, len(parts) - 1)] if "@" not in value else []
            return frozenset([value, *senders(value), *domains])
    return frozenset([value])


def _apart(attribute: str, one: Any, other: Any) -> bool:
    """Tell whether no message has both values of an attribute of which it may have several."""
    match attribute:
        case "language" | "contact.language":
            return one not in above(attribute, other) and other not in above(attribute, one)
        case "attachments":
            return (one == "none") is not (other == "none")
    return False


def one_value(values: Sequence[frozenset[Any]], without: Iterable[frozenset[Any]], known: Collection[Any]) -> bool:
    """Tell whether an attribute with one value (*known*: all that there can be) has none left."""
    if not values and not known:
        return False
    left = frozenset(known) if known else values[0]
    for each in values:
        left &= each
    return not left.difference(*without)


def some_values(attribute: str, values: Sequence[frozenset[Any]], without: Sequence[frozenset[Any]]) -> bool:
    """Tell whether a message cannot have one of each of *values* and none of *without*."""
    refused = frozenset[Any]().union(*without)
    left = [[value for value in each if refused.isdisjoint(above(attribute, value))] for each in values]
    if attribute == "attachments" and {"none", "some"} <= refused:
        return True
    return any(not each for each in left) or any(
        all(_apart(attribute, one, other) for one in mine for other in yours)
        for number, mine in enumerate(left)
        for yours in left[:number]
    )


def spans(attribute: str, inside: Sequence[Span], outside: Sequence[Span]) -> bool:
    """Tell whether no number is *inside* all spans and *outside* all others; both ends belong to a span."""
    always = LEAST.get(attribute)
    if not inside and always is None:
        return False  # what is not known lies outside of everything
    low, high = always or ALWAYS
    for least, most in inside:
        low, high = max(low, least), min(high, most)
    for least, most in sorted(outside):
        if least <= low <= most:
            low = most + 1
    for least, most in sorted(outside, reverse=True):
        if least <= high <= most:
            high = least - 1
    return low > high


def minutes(inside: Iterable[int], outside: Iterable[int]) -> bool:
    """Tell whether no minute of the week is in all of *inside* and none of *outside*."""
    left = WEEK
    for mask in inside:
        left &= mask
    for mask in outside:
        left &= ~mask
    return not left


def texts(true: Sequence[Said], false: Sequence[Said]) -> bool:
    """Tell whether no text is as all of *true* and none of *false* say."""
    whole = [said.words for said in true if said.how == "equals"]
    if whole:
        left = [text for text in frozenset.intersection(*whole) if all(said.of(text) for said in true)]
        return all(any(said.of(text) for said in false) for text in left)
    return any(_spoilt(said, false) for said in true) or any(
        one.how == other.how == "starts" and not _share(one.words, other.words)
        for number, one in enumerate(true)
        for other in true[:number]
    )


def _spoilt(said: Said, false: Sequence[Said]) -> bool:
    """Tell whether *said* cannot be true of a text because of what must be *false*."""
    words = said.words
    if said.how == "regex":
        if said in false:
            return True
        words = read(said.pattern, exact=said.exact).needs or frozenset()
    for other in false:
        if other.how == "contains":
            words_left = [word for word in words if not any(part in word for part in other.words)]
        elif other.how == "starts" and said.how == "starts":
            words_left = [word for word in words if not word.startswith(tuple(other.words))]
        elif other.how == "regex" and not _anchored(other.pattern):
            words_left = [word for word in words if not other.of(word)]
        else:
            continue
        if words and not words_left:
            return True
        words = frozenset(words_left) if said.how != "regex" else words
    return False


def _share(ones: Iterable[str], others: Iterable[str]) -> bool:
    return any(one.startswith(other) or other.startswith(one) for one in ones for other in others)


def _anchored(pattern: str) -> bool:
    r"""Tell whether *pattern* may ask what is around a match, so that a longer text may not match where a part does."""
    return any(sign in pattern for sign in ("^", "$", r"\b", r"\B", r"\A", r"\z"))


def everywhere(pattern: str, *, exact: bool) -> bool:
    """Tell whether *pattern* surely matches every text, because it matches nothing at all and asks for no place."""
    return not _anchored(pattern) and read(pattern, exact=exact).search(b"") is not None


NEW, REOPENED = "conversation.new", "conversation.reopened"
Answers = dict[str, tuple[list[Any], list[Any]]]


def consequences(about: Answers) -> None:
    """Add to what is known *about* each attribute what follows from it for others.

    A message never both opens and reopens a conversation, and a new conversation had no status before.
    """
    for attribute, others in ((NEW, {REOPENED: False, "conversation.status": None}), (REOPENED, {NEW: False})):
        true, false = about.get(attribute, ([], []))
        if (true or false) and conflict(attribute, true, [*false, frozenset([True])]):
            for other, value in others.items():
                about.setdefault(other, ([], []))[0].append(frozenset([value]))


def conflict(attribute: str, true: list[Any], false: list[Any]) -> bool:
    """Tell whether no message answers as *true* and not as *false* about *attribute*."""
    if attribute.startswith(("text:", "subject:")):
        return texts(true, false)
    if attribute.startswith("week:"):
        return minutes(true, false)
    if attribute in ("at", "conversation.age", "conversation.messages", "attachments.count"):
        return spans(attribute, true, false)
    if attribute in ("language", "contact.language", "contact.tag", "sender", "attachments"):
        return some_values(attribute, true, false)
    if attribute.startswith("other:"):
        return not set(true).isdisjoint(false)
    known: tuple[object, ...] = (True, False) if attribute in (NEW, REOPENED) else ()
    if attribute.startswith("hours."):
        known = ("open", "closed")
    return one_value(true, false, known)
