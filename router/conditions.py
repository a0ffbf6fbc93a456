"""Conditions ready to be asked: each tells its verdict, and why. Pure.

A condition that asks for something that is not known does not hold; its `not` does. Decisions and
explanations ask the same checks.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from config.conditions import Comparison
from config.hours import DAY, DAYS, Hours, Interval
from router.facts import Facts, OrderFacts
from router.hours import is_open
from router.sentiment import Sentiment, sentiment
from router.text import Lexicon, Reading, plain

Key = tuple[str, Any]
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
UNASKED = OrderFacts(outcome="unasked")
SHOWN = 80  # characters of a match that an explanation quotes

# Spellings of the two texts: (which text, as written or folded).
SIDES = (("text", False), ("text", True), ("subject", False), ("subject", True))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition's answer: what was *expected*, the *value* found (None: nothing is known), and whether it holds.

    For all, any and not, *parts* are the conditions inside.
    """

    name: str
    expected: Any
    value: Any
    holds: bool
    parts: tuple[Verdict, ...] = ()


class View:
    """One message while it is being decided: everything is worked out when it is first asked for."""

    __slots__ = ("_labels", "_open", "_readings", "_sentiment", "asked_order", "facts", "lexicons")

    def __init__(self, facts: Facts, lexicons: tuple[Lexicon, ...]) -> None:
        self.facts = facts
        self.lexicons = lexicons
        self._readings: list[Reading | None] = [None, None, None, None]
        self._labels: dict[str, tuple[Any, ...]] = {}
        self._open: dict[str, bool] = {}
        self._sentiment: Sentiment | None = None
        self.asked_order = False
        """Whether a condition has asked for the order, so that the decision hangs on it."""

    @property
    def sentiment(self) -> Sentiment:
        """How the customer seems to feel; by the subject of a mail without text."""
        if self._sentiment is None:
            self._sentiment = sentiment(self.facts.text or self.facts.subject)
        return self._sentiment

    @property
    def order(self) -> OrderFacts:
        """What is known of the order."""
        self.asked_order = True
        return self.facts.order or UNASKED

    def reading(self, side: int) -> Reading:
        """Return the text or subject in one of `SIDES`."""
        reading = self._readings[side]
        if reading is None:
            which, exact = SIDES[side]
            text = self.facts.text if which == "text" else self.facts.subject
            reading = self._readings[side] = Reading(text, self.lexicons[side], exact=exact)
        return reading

    def labels(self, attribute: str) -> tuple[Any, ...]:
        """Return what the message is called in *attribute*; empty when nothing is known."""
        labels = self._labels.get(attribute)
        if labels is None:
            labels = self._labels[attribute] = LABELS[attribute](self)
        return labels

    def is_open(self, name: str, hours: Hours) -> bool:
        """Tell whether *hours*, called *name*, are open at the time of the message."""
        if name not in self._open:
            self._open[name] = is_open(hours, self.facts.at)
        return self._open[name]


class Check(Protocol):
    """A condition ready to be asked."""

    def holds(self, view: View) -> bool:
        """Tell whether it holds for the message."""

    def verdict(self, view: View) -> Verdict:
        """Say whether it holds, and why."""

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:
        """Return the cheapest keys of which a message must have one for this to hold; None if there are none."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single question."""

    name: str
    expected: Any

    def holds(self, view: View) -> bool:
        raise NotImplementedError

    def value(self, view: View) -> Any:
        """Return what was found instead of, or as, what was expected; JSON values only."""
        raise NotImplementedError

    def verdict(self, view: View) -> Verdict:
        return Verdict(self.name, self.expected, self.value(view), self.holds(view))

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:  # noqa: ARG002  # most have none
        return None


@dataclass(frozen=True, slots=True)
class OneOf(Leaf):
    """One of the message's labels in *attribute* is among *values*; none of them is, if *negated*."""

    attribute: str
    values: frozenset[Any]
    negated: bool = False

    def holds(self, view: View) -> bool:
        return self.values.isdisjoint(view.labels(self.attribute)) is self.negated

    def value(self, view: View) -> Any:
        return SHOW[self.attribute](view)

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:  # noqa: ARG002
        if self.negated or (self.attribute == "event" and "message" in self.values):
            return None  # almost every event is a message: looking it up would not spare anything
        return frozenset((self.attribute, value) for value in self.values)


@dataclass(frozen=True, slots=True)
class AnyWord(Leaf):
    """One of the words *numbers* is in the text; none is, if *negated*."""

    side: int
    numbers: frozenset[int]
    words: Mapping[int, str]
    negated: bool = False

    def holds(self, view: View) -> bool:
        return self.numbers.isdisjoint(view.reading(self.side).found) is self.negated

    def value(self, view: View) -> Any:
        return sorted(self.words[number] for number in self.numbers & view.reading(self.side).found)

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:  # noqa: ARG002
        return None if self.negated else _word_keys(self.side, self.numbers)


@dataclass(frozen=True, slots=True)
class AllWords(Leaf):
    """All of the words *numbers* are in the text."""

    side: int
    numbers: frozenset[int]
    words: Mapping[int, str]

    def holds(self, view: View) -> bool:
        return self.numbers <= view.reading(self.side).found

    def value(self, view: View) -> Any:
        return sorted(self.words[number] for number in self.numbers & view.reading(self.side).found)

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:
        return frozenset([min(_word_keys(self.side, self.numbers), key=cost)])


@dataclass(frozen=True, slots=True)
class Regex(Leaf):
    """A regular expression matches somewhere in the text. A text without any of the words *needs* cannot match."""

    side: int
    search: Callable[[bytes], Any]
    needs: frozenset[int] | None

    def _match(self, view: View) -> Any:
        reading = view.reading(self.side)
        if self.needs is not None and self.needs.isdisjoint(reading.found):
            return None
        return self.search(reading.data)

    def holds(self, view: View) -> bool:
        return self._match(view) is not None

    def value(self, view: View) -> Any:
        match = self._match(view)
        return None if match is None else match.group(0).decode()[:SHOWN]

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:  # noqa: ARG002
        return None if self.needs is None else _word_keys(self.side, self.needs)


@dataclass(frozen=True, slots=True)
class StartsWith(Leaf):
    """The text begins with one of *starts*, which are also the words *numbers*."""

    side: int
    starts: tuple[str, ...]
    numbers: frozenset[int]

    def holds(self, view: View) -> bool:
        return view.reading(self.side).text.startswith(self.starts)

    def value(self, view: View) -> Any:
        return view.reading(self.side).text[: max(map(len, self.starts))]

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:  # noqa: ARG002
        return _word_keys(self.side, self.numbers)


@dataclass(frozen=True, slots=True)
class SenderMatches(Leaf):
    """The address, with or without its scheme, begins with one of *starts* or matches one of *searches*."""

    starts: tuple[str, ...] = ()
    searches: tuple[Callable[[bytes], Any], ...] = ()

    def holds(self, view: View) -> bool:
        forms = view.labels("sender.equals")
        if any(form.startswith(self.starts) for form in forms):
            return True
        return any(search(form.encode()) is not None for form in forms for search in self.searches)

    def value(self, view: View) -> Any:
        return view.facts.sender or None


@dataclass(frozen=True, slots=True)
class HoursAre(Leaf):
    """Opening hours are open, or closed, at the time of the message."""

    called: str
    hours: Hours
    wanted: bool

    def holds(self, view: View) -> bool:
        return view.is_open(self.called, self.hours) is self.wanted

    def value(self, view: View) -> Any:
        return "open" if view.is_open(self.called, self.hours) else "closed"


@dataclass(frozen=True, slots=True)
class Compared(Leaf):
    """A number that *measure* reads from the facts passes all *comparisons*; it does not if it is not known."""

    comparisons: tuple[Comparison, ...]
    measure: Callable[[Facts], int | None]

    def holds(self, view: View) -> bool:
        number = self.measure(view.facts)
        return number is not None and all(compare(number, bound) for compare, _, bound in self.comparisons)

    def value(self, view: View) -> Any:
        return self.measure(view.facts)


@dataclass(frozen=True, slots=True)
class WrittenAt(Leaf):
    """The message was written on certain *days*, during certain *spans* of the day, between two moments.

    A span past midnight belongs to the day on which it begins.
    """

    zone: ZoneInfo
    after: int | None
    before: int | None
    days: frozenset[int]
    spans: tuple[Interval, ...]

    def holds(self, view: View) -> bool:
        at = view.facts.at
        if (self.after is not None and at < self.after) or (self.before is not None and at >= self.before):
            return False
        local = dt.datetime.fromtimestamp(at // 1000, self.zone)
        second, today = local.hour * 3600 + local.minute * 60 + local.second, local.weekday()
        yesterday = (today - 1) % 7
        return (today in self.days and any(span.start <= second < span.end for span in self.spans)) or (
            yesterday in self.days and any(second + DAY < span.end for span in self.spans)
        )

    def value(self, view: View) -> Any:
        local = dt.datetime.fromtimestamp(view.facts.at // 1000, self.zone)
        return f"{DAYS[local.weekday()]} {local.isoformat(timespec='minutes')}"


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Check, ...]

    def holds(self, view: View) -> bool:
        for part in self.parts:  # noqa: SIM110  # a loop costs half of all() with a generator, and this is the hot path
            if not part.holds(view):
                return False
        return True

    def verdict(self, view: View) -> Verdict:
        parts = tuple(part.verdict(view) for part in self.parts)
        return Verdict("all", None, None, all(part.holds for part in parts), parts)

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:
        found = [keys for part in self.parts if (keys := part.keys(cost)) is not None]
        return min(found, key=lambda keys: sum(map(cost, keys)), default=None)


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds."""

    parts: tuple[Check, ...]

    def holds(self, view: View) -> bool:
        return any(part.holds(view) for part in self.parts)

    def verdict(self, view: View) -> Verdict:
        parts = tuple(part.verdict(view) for part in self.parts)
        return Verdict("any", None, None, any(part.holds for part in parts), parts)

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:
        found: set[Key] = set()
        for part in self.parts:
            keys = part.keys(cost)
            if keys is None:
                return None
            found |= keys
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Negation:
    """The part does not hold."""

    part: Check

    def holds(self, view: View) -> bool:
        return not self.part.holds(view)

    def verdict(self, view: View) -> Verdict:
        part = self.part.verdict(view)
        return Verdict("not", None, None, not part.holds, (part,))

    def keys(self, cost: Callable[[Key], float]) -> frozenset[Key] | None:  # noqa: ARG002
        return None


def _word_keys(side: int, numbers: Iterable[int]) -> frozenset[Key]:
    return frozenset((f"word{side}", number) for number in numbers)


def languages(tag: str | None) -> tuple[str, ...]:
    """Return the languages that *tag* is one of: zh-hans-cn, zh-hans and zh."""
    if not tag:
        return ()
    parts = tag.lower().replace("_", "-").split("-")
    return tuple("-".join(parts[:end]) for end in range(len(parts), 0, -1))


def media(types: Iterable[str]) -> tuple[str, ...]:
    """Return every name that conditions may use for files of these MIME types, and "some" if there are any."""
    names: list[str] = []
    for each in types:
        mime = each.partition(";")[0].strip().lower()
        family = mime.partition("/")[0]
        names += [mime, f"{family}/*", {"image": "image", "audio": "voice", "video": "video"}.get(family, "file")]
    return (*names, "some") if names else ("none",)


def forms(sender: str) -> tuple[str, ...]:
    """Return an address with and without its scheme, as addresses are compared."""
    whole = plain(sender)
    scheme = _SCHEME.match(whole)
    return (whole, whole[scheme.end() :]) if scheme else (whole,) if whole else ()


def senders(sender: str) -> tuple[str, ...]:
    """Return every name that conditions may use for an address: its forms, @domain, domain and the domains above it."""
    names = forms(sender)
    domain = names[-1].rpartition("@")[2] if names and "@" in names[-1] else ""
    if not domain:
        return names
    parts = domain.split(".")
    return (*names, f"@{domain}", *(".".join(parts[start:]) for start in range(max(1, len(parts) - 1))))


def _known(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


LABELS: dict[str, Callable[[View], tuple[Any, ...]]] = {
    "channel": lambda view: (view.facts.channel,),
    "kind": lambda view: (view.facts.kind,),
    "event": lambda view: (view.facts.event,),
    "language": lambda view: languages(view.facts.language),
    "sender": lambda view: senders(view.facts.sender),
    "sender.equals": lambda view: forms(view.facts.sender),
    "attachments": lambda view: media(view.facts.attachments),
    "contact.tag": lambda view: tuple(view.facts.contact_tags),
    "contact.tier": lambda view: _known(view.facts.contact_tier),
    "contact.language": lambda view: languages(view.facts.contact_language),
    "conversation.new": lambda view: (view.facts.conversation.new,),
    "conversation.reopened": lambda view: (view.facts.conversation.reopened,),
    "conversation.status": lambda view: _known(view.facts.conversation.status),
    "conversation.team": lambda view: _known(view.facts.conversation.team),
    "equals0": lambda view: (view.reading(0).text,),
    "equals1": lambda view: (view.reading(1).text,),
    "equals2": lambda view: (view.reading(2).text,),
    "equals3": lambda view: (view.reading(3).text,),
}

SHOW: dict[str, Callable[[View], Any]] = {
    "channel": lambda view: view.facts.channel,
    "kind": lambda view: view.facts.kind,
    "event": lambda view: view.facts.event,
    "language": lambda view: view.facts.language,
    "sender": lambda view: view.facts.sender or None,
    "sender.equals": lambda view: view.facts.sender or None,
    "attachments": lambda view: list(view.facts.attachments),
    "contact.tag": lambda view: sorted(view.facts.contact_tags),
    "contact.tier": lambda view: view.facts.contact_tier,
    "contact.language": lambda view: view.facts.contact_language,
    "conversation.new": lambda view: view.facts.conversation.new,
    "conversation.reopened": lambda view: view.facts.conversation.reopened,
    "conversation.status": lambda view: view.facts.conversation.status,
    "conversation.team": lambda view: view.facts.conversation.team,
    "equals0": lambda view: view.reading(0).text[:SHOWN],
    "equals1": lambda view: view.reading(1).text[:SHOWN],
    "equals2": lambda view: view.reading(2).text[:SHOWN],
    "equals3": lambda view: view.reading(3).text[:SHOWN],
}
