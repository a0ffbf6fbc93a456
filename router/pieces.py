"""Conditions taken apart for lint: every piece with its place in the file and what it asks, as a formula. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from config import conditions as written_as
from config.conditions import Condition, MomentCondition, TextCondition, ages, counts, several, written
from config.faults import Path
from config.folding import fold
from config.hours import interval, weekdays
from config.patterns import read
from config.values import Section
from router import formulas
from router.compilation import instant
from router.domains import MINUTES, WEEK, Said, Span, everywhere
from router.formulas import ALWAYS, Both, Either, Formula, opposite
from router.text import clip, plain

How = Literal["all", "any", "not", "any_of", "all_of", "none_of", "one"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a condition at *path*. *how* says what its *parts* are to it.

    any_of, all_of and none_of are lists of words; each of their parts has the *word* as it is written.
    """

    path: Path
    how: How
    formula: Formula
    parts: tuple[Piece, ...] = ()
    word: str = ""


class Anatomist:
    """Takes conditions apart. *zone* is the hub's, *kinds* the kind of each channel."""

    def __init__(self, zone: ZoneInfo, kinds: Mapping[str, str]) -> None:
        self._zone = zone
        self._kinds = kinds

    def condition(self, condition: Condition, path: Path) -> Piece:
        """Return the pieces of *condition*, which stands at *path*."""
        return _all(path, [self._key(key, value, (*path, key)) for key, value in condition.given()])

    def _key(self, key: str, value: Any, path: Path) -> Piece:
        match key:
            case "all":
                return _all(path, [self.condition(part, (*path, number)) for number, part in enumerate(value)])
            case "any":
                parts = tuple(self.condition(part, (*path, number)) for number, part in enumerate(value))
                return Piece(path, "any", Either(tuple(part.formula for part in parts)), parts)
            case "not":
                part = self.condition(value, path)
                return Piece(path, "not", opposite(part.formula), (part,))
            case "kind":
                return self._kind(value, path)
            case "channel" | "event":
                return _listed(key, value, path)
            case "language":
                return _listed(key, value, path, str.lower)
            case "text" | "subject":
                return _text(key, value, path)
            case "hours":
                return _all(
                    path, [_alone(f"hours.{name}", frozenset([is_]), (*path, name)) for name, is_ in value.items()]
                )
            case "at":
                return self._moment(value, path)
            case "sender" | "contact" | "attachments" | "conversation":
                return _SECTIONS[key](value, path)
        return _other(key, value, path)

    def _kind(self, value: Any, path: Path) -> Piece:
        """Say of a kind which channels it has, so that the two can be compared."""
        of = {kind: frozenset(name for name, its in self._kinds.items() if its == kind) for kind in several(value)}
        if not all(of.values()):
            return _listed("kind", value, path)
        parts = tuple(_alone("channel", of[kind], place, word=kind) for kind, place in _places(value, path))
        return Piece(path, "any_of", formulas.Literal("channel", frozenset().union(*of.values())), parts)

    def _moment(self, value: MomentCondition, path: Path) -> Piece:
        given = dict(written(value))
        zone = ZoneInfo(given["timezone"]) if "timezone" in given else self._zone
        parts: list[Piece] = []
        if "after" in given:
            parts.append(_alone("at", (instant(value.after, zone), math.inf), (*path, "after")))
        if "before" in given:
            parts.append(_alone("at", (-math.inf, instant(value.before, zone) - 1), (*path, "before")))
        weekly = [key for key in ("days", "time") if key in given]
        if weekly:
            place = (*path, weekly[0]) if len(weekly) == 1 else path
            parts.append(_alone(f"week:{zone.key}", _minutes(value), place))
        return _all(path, parts)


def _minutes(value: MomentCondition) -> int:
    days = [day for text in several(value.days) for day in weekdays(text)] or range(7)
    spans = [interval(text) for text in several(value.time)]
    if not spans:
        return sum(((1 << 1440) - 1) << day * 1440 for day in set(days))
    mask = 0
    for day in days:
        for span in spans:
            mask |= ((1 << (span.end - span.start) // 60) - 1) << day * 1440 + span.start // 60
    return (mask & WEEK) | mask >> MINUTES  # Sunday night runs into Monday


def _all(path: Path, parts: Sequence[Piece]) -> Piece:
    return Piece(path, "all", Both(tuple(part.formula for part in parts)), tuple(parts))


def _alone(attribute: str, value: Any, path: Path, *, positive: bool = True, word: str = "") -> Piece:
    return Piece(path, "one", formulas.Literal(attribute, value, positive), word=word)


def _other(key: str, value: Any, path: Path) -> Piece:
    """Return what is known of a condition that this module knows nothing about: it is like itself."""
    return _alone(f"other:{key}", repr(value), path)


def _places(value: written_as.Words, path: Path) -> list[tuple[str, Path]]:
    if isinstance(value, tuple):
        return [(word, (*path, number)) for number, word in enumerate(value)]
    return [(word, path) for word in several(value)]


def _listed(
    attribute: str,
    value: written_as.Words,
    path: Path,
    spell: Callable[[str], str] = str,
    how: Literal["any_of", "none_of"] = "any_of",
) -> Piece:
    positive = how == "any_of"
    parts = [
        _alone(attribute, frozenset([spell(word)]), at, positive=positive, word=word)
        for word, at in _places(value, path)
    ]
    whole = formulas.Literal(attribute, frozenset(map(spell, several(value))), positive)
    return Piece(path, how, whole, tuple(parts))


def _text(which: str, value: Any, path: Path) -> Piece:
    if not isinstance(value, TextCondition):
        return _words(which, "any_of", value, path, exact=False)
    operators = [(key, words) for key, words in written(value) if key != "exact"]
    return _all(path, [_words(which, key, words, (*path, key), exact=value.exact) for key, words in operators])


def _words(which: str, operator: str, value: Any, path: Path, *, exact: bool) -> Piece:
    attribute = f"{which}:{'exact' if exact else 'folded'}"

    def said(how: str, word: str) -> Said:
        spelt = clip(word) if exact else plain(word) if how == "equals" else fold(word)
        return Said(how, frozenset([spelt.lstrip() if how == "starts" and not exact else spelt]), exact=exact)

    how = {"equals": "equals", "starts_with": "starts"}.get(operator, "contains")
    if operator == "regex":
        parts = tuple(Piece(at, "one", _pattern(attribute, word, exact=exact)) for word, at in _places(value, path))
        return Piece(path, "any", Either(tuple(part.formula for part in parts)), parts)
    if operator not in ("any_of", "all_of", "none_of", "equals", "starts_with"):
        return _other(f"{attribute}.{operator}", value, path)
    negated = operator == "none_of"
    parts = tuple(
        _alone(attribute, said(how, word), at, positive=not negated, word=word) for word, at in _places(value, path)
    )
    if operator == "all_of":
        return Piece(path, "all_of", Both(tuple(part.formula for part in parts)), parts)
    words = frozenset(each for word in several(value) for each in said(how, word).words)
    whole = formulas.Literal(attribute, Said(how, words, exact=exact), not negated)
    return Piece(path, "none_of" if negated else "any_of", whole, parts)


def _pattern(attribute: str, pattern: str, *, exact: bool) -> Formula:
    if everywhere(pattern, exact=exact):
        return ALWAYS
    words = read(pattern, exact=exact).words
    said = Said("regex", frozenset(), pattern, exact) if words is None else Said("contains", words, exact=exact)
    return formulas.Literal(attribute, said)


def _sender(value: Any, path: Path) -> Piece:
    if not isinstance(value, Section):
        return _listed("sender", value, path, plain)
    parts = [
        _listed("sender", words, (*path, key), plain, "none_of" if key == "none_of" else "any_of")
        if key in ("any_of", "none_of")
        else _other(f"sender.{key}", words, (*path, key))
        for key, words in written(value)
    ]
    return _all(path, parts)


def _contact(value: Any, path: Path) -> Piece:
    return _all(
        path,
        [
            _listed(f"contact.{key}", words, (*path, key), str.lower if key == "language" else str)
            if key in ("tag", "tier", "language")
            else _other(f"contact.{key}", words, (*path, key))
            for key, words in written(value)
        ],
    )


def _attachments(value: Any, path: Path) -> Piece:
    if isinstance(value, bool):
        return _alone("attachments", frozenset(["some" if value else "none"]), path)
    if not isinstance(value, Section):
        return _listed("attachments", value, path)
    parts = []
    for key, given in written(value):
        place = (*path, key)
        if key in ("any_of", "none_of"):
            parts.append(_listed("attachments", given, place, how="none_of" if key == "none_of" else "any_of"))
        elif key == "count":
            parts.append(_alone("attachments.count", _span(counts(given)), place))
        else:
            parts.append(_other(f"attachments.{key}", given, place))
    return _all(path, parts)


def _conversation(value: Any, path: Path) -> Piece:
    if isinstance(value, str):
        return _alone(f"conversation.{value}", frozenset([True]), path)
    parts = []
    for key, given in written(value):
        place = (*path, key)
        match key:
            case "new" | "reopened":
                parts.append(_alone(f"conversation.{key}", frozenset([given]), place))
            case "status" | "team":
                parts.append(_listed(f"conversation.{key}", given, place))
            case "age" | "messages":
                span = _span(ages(given) if key == "age" else counts(given))
                parts.append(_alone(f"conversation.{key}", span, place))
            case _:
                parts.append(_other(f"conversation.{key}", given, place))
    return _all(path, parts)


def _span(found: tuple[written_as.Comparison, ...]) -> Span:
    low, high = -math.inf, math.inf
    for _, sign, bound in found:
        least = {">": bound + 1, ">=": bound, "=": bound}.get(sign, -math.inf)
        most = {"<": bound - 1, "<=": bound, "=": bound}.get(sign, math.inf)
        low, high = max(low, least), min(high, most)
    return low, high


_SECTIONS: dict[str, Callable[[Any, Path], Piece]] = {
    "sender": _sender,
    "contact": _contact,
    "attachments": _attachments,
    "conversation": _conversation,
}
