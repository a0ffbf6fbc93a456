"""Conditions as written, turned into checks; and which routes a message can possibly match. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from config.conditions import (
    AttachmentCondition,
    Condition,
    ConversationCondition,
    Listed,
    MomentCondition,
    SenderCondition,
    SentimentCondition,
    TextCondition,
    Words,
    ages,
    amounts,
    counts,
    moment,
    several,
    written,
)
from config.folding import fold
from config.hours import DAY, Hours, Interval, interval, weekdays
from config.lookups import Scalar
from config.patterns import read
from config.wordlists import Wordlist
from router.conditions import (
    SIDES,
    All,
    AllWords,
    AnyWord,
    Check,
    Compared,
    Either,
    HoursAre,
    Key,
    Leaf,
    Negation,
    OneOf,
    Regex,
    SenderMatches,
    StartsWith,
    View,
    WrittenAt,
)
from router.enquiries import Feels, OrderField, OrderKnown, asks_order, comparable
from router.facts import Facts
from router.sentiment import LABELS
from router.text import Lexicon, clip, plain

WHOLE_DAY = (Interval(0, DAY),)
ANY_DAY = frozenset(range(7))


class Compiler:
    """Turns conditions into checks that share one lexicon per spelling of each text."""

    def __init__(self, hours: Mapping[str, Hours], zone: ZoneInfo) -> None:
        self.hours = hours
        self.zone = zone
        self.lexicons = tuple(Lexicon() for _ in SIDES)
        self.words: tuple[dict[int, str], ...] = tuple({} for _ in SIDES)

    def condition(self, condition: Condition) -> Check:
        """Return the check for *condition*, which `config.routes.problems` has found nothing wrong with."""
        parts = [part for key, value in condition.given() for part in self.parts(key, value)]
        return parts[0] if len(parts) == 1 else All(_cheapest(parts))

    def parts(self, key: str, value: Any) -> list[Check]:
        """Return the checks for one key of a condition."""
        if key == "all":
            return [All(_cheapest(map(self.condition, value)))]
        if key == "any":
            return [Either(_cheapest(map(self.condition, value)))]
        if key == "not":
            return [Negation(self.condition(value))]
        if key in ("text", "subject"):
            return self.text(key, value if isinstance(value, TextCondition) else TextCondition(any_of=value))
        return list(self.leaves(key, value))

    def leaves(self, key: str, value: Any) -> Sequence[Leaf]:
        """Return the checks for a key that is neither a text nor made of conditions."""
        match key:
            case "channel" | "kind" | "event":
                return [_one_of(key, value)]
            case "language":
                return [_one_of(key, value, str.lower)]
            case "sender":
                return _sender(value if isinstance(value, SenderCondition) else SenderCondition(any_of=value))
            case "contact":
                return [
                    _one_of(f"contact.{field}", words, str.lower if field == "language" else str)
                    for field, words in written(value)
                ]
            case "attachments":
                return _attachments(value)
            case "hours":
                return [
                    HoursAre(f"hours.{name}", wanted, name, self.hours[name], wanted == "open")
                    for name, wanted in value.items()
                ]
            case "conversation":
                return _conversation(value)
            case "at":
                return [self.moment(value)]
            case "sentiment":
                return [_feels(value)]
            case "order":
                return _order(value)
        raise ValueError(f"there is no condition {key}")

    def text(self, which: str, condition: TextCondition) -> list[Check]:
        """Return the checks for the operators of *condition*."""
        side = SIDES.index((which, condition.exact))
        spell = clip if condition.exact else fold
        checks: list[Check] = []
        for key, value in written(condition):
            name, words = f"{which}.{key}", () if isinstance(value, bool) else several(value)
            match key:
                case "any_of" | "none_of":
                    numbers = self.numbers(side, words, spell)
                    checks.append(AnyWord(name, _shown(value), side, numbers, self.words[side], key == "none_of"))
                case "all_of":
                    numbers = self.numbers(side, words, spell)
                    checks.append(AllWords(name, _shown(value), side, numbers, self.words[side]))
                case "equals":
                    whole = frozenset(map(clip if condition.exact else plain, words))
                    checks.append(OneOf(name, _shown(value), f"equals{side}", whole))
                case "starts_with":
                    starts = tuple(spell(word) if condition.exact else spell(word).lstrip() for word in words)
                    checks.append(StartsWith(name, _shown(value), side, starts, self.lexicons[side].add(starts)))
                case "regex":
                    checks.append(_any_part([self.regex(name, side, word, exact=condition.exact) for word in words]))
        return checks

    def numbers(self, side: int, words: Sequence[str], spell: Callable[[str], str]) -> frozenset[int]:
        """Put *words* into the lexicon of *side*, and remember how they were written."""
        for word in words:
            for number in self.lexicons[side].add([spell(word)]):
                self.words[side].setdefault(number, word)
        return self.lexicons[side].add(map(spell, words))

    def regex(self, name: str, side: int, pattern: str, *, exact: bool) -> Check:
        """Return the check for *pattern*: a look-up of words where that says the same."""
        known = read(pattern, exact=exact)
        if known.words is not None:
            numbers = self.numbers(side, sorted(known.words), str)
            return AnyWord(name, pattern, side, numbers, self.words[side])
        needs = None if known.needs is None else self.lexicons[side].add(sorted(known.needs))
        return Regex(name, pattern, side, known.search, needs)

    def moment(self, condition: MomentCondition) -> Leaf:
        """Return the check for ``at:``."""
        given = dict(written(condition))
        zone = ZoneInfo(given["timezone"]) if "timezone" in given else self.zone
        days = [day for text in several(condition.days) for day in weekdays(text)]
        spans = tuple(interval(text) for text in several(condition.time))
        return WrittenAt(
            "at",
            {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()},
            zone,
            instant(condition.after, zone) if "after" in given else None,
            instant(condition.before, zone) if "before" in given else None,
            frozenset(days) if "days" in given else ANY_DAY,
            spans or WHOLE_DAY,
        )


def instant(text: str, zone: ZoneInfo) -> int:
    """Return the moment *text* in milliseconds since 1970 UTC, in *zone* if it names none."""
    when = moment(text)
    return int((when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(dt.UTC).timestamp()) * 1000


def about_messages() -> Leaf:
    """Return the check that a top route gets which does not say what events it is about."""
    return OneOf("event", "message", "event", frozenset(["message"]))


def _any_part(checks: list[Check]) -> Check:
    return checks[0] if len(checks) == 1 else Either(tuple(checks))


def _shown(value: Listed) -> Any:
    """Return what an explanation says was expected: nobody reads the words of a file there."""
    if isinstance(value, Wordlist):
        return {"file": value.file, "words": len(value.words)}
    return list(several(value))


def _cheapest(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Put what asks another tool behind what the message itself tells: mostly it is not needed then."""
    return tuple(sorted(checks, key=asks_order))


def _feels(value: Any) -> Leaf:
    if not isinstance(value, SentimentCondition):
        words = several(value)
        return Feels("sentiment", list(words), frozenset(words), math.inf, -math.inf)
    given = dict(written(value))
    labels = frozenset(several(value.feeling) if "is" in given else LABELS)
    shown = {key: list(each) if isinstance(each, tuple) else each for key, each in given.items()}
    return Feels("sentiment", shown, labels, given.get("below", math.inf), given.get("above", -math.inf))


def _order(value: bool | Mapping[str, Scalar | tuple[Scalar, ...]]) -> list[Leaf]:
    if isinstance(value, bool):
        return [OrderKnown("order", value, value)]
    checks: list[Leaf] = []
    for name, wanted in value.items():
        words = wanted if isinstance(wanted, tuple) else (wanted,)
        ranges = [(word, amounts(word) if isinstance(word, str) else None) for word in words]
        values = frozenset(comparable(word) for word, bounds in ranges if bounds is None)
        bounds = tuple(found for _, found in ranges if found is not None)
        shown = list(wanted) if isinstance(wanted, tuple) else wanted
        checks.append(OrderField(f"order.{name}", shown, name, values, bounds))
    return checks


def _one_of(key: str, value: Words, spell: Callable[[str], str] = str) -> OneOf:
    words = several(value)
    return OneOf(key, list(words), key, frozenset(map(spell, words)))


def _sender(condition: SenderCondition) -> list[Leaf]:
    checks: list[Leaf] = []
    for key, value in written(condition):
        name, words = f"sender.{key}", several(value)
        match key:
            case "any_of" | "none_of":
                names = frozenset(plain(word) for word in words)
                checks.append(OneOf(name, _shown(value), "sender", names, key == "none_of"))
            case "equals":
                names = frozenset(plain(word) for word in words)
                checks.append(OneOf(name, _shown(value), "sender.equals", names))
            case "starts_with":
                starts = tuple(plain(word) for word in words)
                checks.append(SenderMatches(name, _shown(value), starts))
            case "regex":
                searches = tuple(read(word).search for word in words)
                checks.append(SenderMatches(name, _shown(value), (), searches))
    return checks


def _attachments(value: bool | Words | AttachmentCondition) -> list[Leaf]:
    if isinstance(value, bool):
        return [OneOf("attachments", value, "attachments", frozenset(["some" if value else "none"]))]
    if not isinstance(value, AttachmentCondition):
        return [_one_of("attachments", value)]
    checks: list[Leaf] = []
    for key, given in written(value):
        name = f"attachments.{key}"
        if key == "count":
            checks.append(Compared(name, given, counts(given), lambda facts: len(facts.attachments)))
        else:
            words = several(given)
            checks.append(OneOf(name, list(words), "attachments", frozenset(words), key == "none_of"))
    return checks


def _conversation(value: str | ConversationCondition) -> list[Leaf]:
    if isinstance(value, str):
        return [OneOf(f"conversation.{value}", True, f"conversation.{value}", frozenset([True]))]
    checks: list[Leaf] = []
    for key, given in written(value):
        name = f"conversation.{key}"
        match key:
            case "new" | "reopened":
                checks.append(OneOf(name, given, name, frozenset([given])))
            case "age":
                checks.append(Compared(name, given, ages(given), _age))
            case "messages":
                checks.append(Compared(name, given, counts(given), lambda facts: facts.conversation.messages))
            case _:
                checks.append(_one_of(name, given))
    return checks


def _age(facts: Facts) -> int | None:
    opened = facts.conversation.opened_at
    return None if opened is None else facts.at - opened


@dataclass(frozen=True, slots=True)
class Index:
    """For every key the routes that only a message with this key, or another of theirs, can match.

    *always* are the routes that nothing is known about. Routes are numbers, in ascending order.
    """

    always: tuple[int, ...]
    words: tuple[tuple[int, dict[int, tuple[int, ...]]], ...]
    labels: tuple[tuple[str, dict[Any, tuple[int, ...]]], ...]

    def candidates(self, view: View) -> list[int]:
        """Return the routes that the message may match, ascending; a route may be there more than once."""
        found = list(self.always)
        for side, by_word in self.words:
            for number in view.reading(side).found & by_word.keys():
                found += by_word[number]
        for attribute, by_label in self.labels:
            for label in view.labels(attribute):
                found += by_label.get(label, ())
        found.sort()
        return found


def index(checks: Sequence[Check | None], parents: Sequence[int]) -> Index:
    """Index routes by the rarest keys that each of them needs; *parents* come before their children.

    A route without keys of its own needs those of the route around it.
    """
    uses: dict[Key, int] = {}
    for check in checks:
        for key in _keys(check):
            uses[key] = uses.get(key, 0) + 1

    def cost(key: Key) -> float:
        # A message holds a certain word much more rarely than an attribute has a certain value.
        return uses.get(key, 1) * (1 if key[0].startswith(("word", "equals", "sender")) else 30)

    needed: list[frozenset[Key] | None] = []
    found: dict[Key, list[int]] = {}
    always: list[int] = []
    for number, check in enumerate(checks):
        keys = check.keys(cost) if check is not None else None
        if keys is None and parents[number] >= 0:
            keys = needed[parents[number]]
        needed.append(keys)
        if keys is None:
            always.append(number)
        for key in keys or ():
            found.setdefault(key, []).append(number)
    words: dict[int, dict[int, tuple[int, ...]]] = {}
    labels: dict[str, dict[Any, tuple[int, ...]]] = {}
    for (kind, value), numbers in found.items():
        if kind.startswith("word"):
            words.setdefault(int(kind[4:]), {})[value] = tuple(numbers)
        else:
            labels.setdefault(kind, {})[value] = tuple(numbers)
    return Index(tuple(always), tuple(sorted(words.items())), tuple(labels.items()))


def _keys(check: Check | None) -> frozenset[Key]:
    if isinstance(check, All | Either):
        return frozenset().union(*map(_keys, check.parts))
    return (check.keys(lambda _: 1.0) if check is not None else None) or frozenset()
