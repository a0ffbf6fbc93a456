"""What a route may ask about a message: the conditions below ``when:``, as written.

Shapes only. What they mean is in `router.conditions`; what can be wrong with one that has the
right shape is in `config.routes`.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from config.faults import Path, Wrong
from config.hours import interval, weekdays
from config.lookups import Scalar
from config.values import Section, duration, zone
from config.wordlists import Wordlist

Words = str | tuple[str, ...]
Listed = Words | Wordlist
Status = Literal["open", "pending", "snoozed", "resolved"]
Feeling = Literal["negative", "neutral", "positive"]
Comparison = tuple[Callable[[int, int], bool], str, int]
Amount = tuple[Callable[[Any, Any], bool], Decimal]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
FAMILIES = ("image", "voice", "video", "file")

_COMPARISON = re.compile(r"\s*(>=|<=|>|<|=|)\s*([0-9a-z]+)\s*")
_AMOUNT = re.compile(r"\s*(>=|<=|>|<|=)\s*(-?[0-9]{1,15}(?:\.[0-9]{1,6})?)\s*")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)\s*(Z|[+-]\d\d:\d\d)?)?")


def several(value: Listed) -> tuple[str, ...]:
    """Return the words of a place where one word may stand for a list of one, and a file for the words in it."""
    if isinstance(value, Wordlist):
        return value.words
    return (value,) if isinstance(value, str) else value


def comparisons(text: str | int, parse: Callable[[str], int]) -> tuple[Comparison, ...]:
    """Parse ``>= 3``, ``> 2, < 10`` or ``3`` into tests that must all hold. Raises `Wrong`."""
    found: list[Comparison] = []
    for part in str(text).split(","):
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise Wrong("{value} is no comparison", expected='something like ">= 3" or "> 2, < 10"')
        sign = match[1] or "="
        found.append((COMPARISONS[sign], sign, parse(match[2])))
    return tuple(found)


def whole(text: str) -> int:
    """Parse a whole number. Raises `Wrong`."""
    if not text.isdigit() or len(text) > 9:
        raise Wrong("{value} is no comparison", expected='a whole number in something like ">= 3"')
    return int(text)


def amounts(text: str) -> tuple[Amount, ...] | None:
    """Parse ``>= 500`` or ``> 10, < 99.9``; None for a text that is no comparison but a value. Raises `Wrong`."""
    if not text.lstrip().startswith((">", "<", "=")):
        return None
    found: list[Amount] = []
    for part in text.split(","):
        match = _AMOUNT.fullmatch(part)
        if match is None:
            raise Wrong("{value} is no comparison", expected='something like ">= 500" or "> 10, < 99.9"')
        found.append((COMPARISONS[match[1]], Decimal(match[2])))
    return tuple(found)


def ages(text: str | int) -> tuple[Comparison, ...]:
    """Parse ``> 2h`` or ``>= 1d, < 7d``, in milliseconds. Raises `Wrong`."""
    found = comparisons(text, duration)
    if any(sign == "=" for _, sign, _ in found):
        raise Wrong("{value} asks for an age to the millisecond", expected='something like "> 2h" or "<= 1d"')
    return found


def counts(text: str | int) -> tuple[Comparison, ...]:
    """Parse ``>= 3`` or ``3``. Raises `Wrong`."""
    return comparisons(text, whole)


def moment(text: str) -> dt.datetime:
    """Parse ``2026-11-11``, ``2026-11-11 20:00`` or with ``Z`` or ``+08:00`` behind it; naive if no zone is given.

    Raises `Wrong`.
    """
    expected = "a moment like 2026-11-11 or 2026-11-11T20:00, with or without +08:00"
    found = _MOMENT.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        return dt.datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}{found[3] or ''}")
    except ValueError:
        raise Wrong("{value} is no moment", expected=expected) from None


def day(text: str) -> dt.date:
    """Parse ``2026-12-31``. Raises `Wrong`."""
    try:
        if _MOMENT.fullmatch(text) is None:
            raise ValueError
        return dt.date.fromisoformat(text)
    except ValueError:
        raise Wrong("{value} is not a date", expected="a date like 2026-12-31") from None


def checked(parse: Callable[[Any], object]) -> AfterValidator:
    """Refuse, when the file is read, what *parse* cannot read; the text itself is what is kept."""

    def keep(value: Any) -> Any:
        for each in value if isinstance(value, tuple) else (value,):
            parse(each)
        return value

    return AfterValidator(keep)


class TextCondition(Section):
    """What a text must look like. Every operator that is given must hold."""

    any_of: Listed = Field(default=())
    """One of these is in the text."""
    all_of: Listed = Field(default=())
    """All of these are in the text."""
    none_of: Listed = Field(default=())
    """None of these is in the text."""
    regex: Words = Field(default=())
    """One of these regular expressions (RE2) matches somewhere in the text."""
    equals: Listed = Field(default=())
    """The whole text is one of these."""
    starts_with: Listed = Field(default=())
    """The text begins with one of these."""
    exact: bool = False
    """Compare as written: case, width and traditional characters count."""


class SenderCondition(Section):
    """Who a message must come from. Every operator that is given must hold."""

    any_of: Listed = Field(default=())
    """The sender is one of these: mailto:a@example.com, a@example.com, @example.com, example.com, +8613800138000."""
    none_of: Listed = Field(default=())
    """The sender is none of these."""
    regex: Words = Field(default=())
    """One of these regular expressions (RE2) matches in the address, with or without its scheme."""
    equals: Listed = Field(default=())
    """The address, with or without its scheme, is one of these."""
    starts_with: Listed = Field(default=())
    """The address, with or without its scheme, begins with one of these."""


class AttachmentCondition(Section):
    """Which files must come with a message. Everything that is given must hold."""

    any_of: Words = Field(default=())
    """One of these types is there: image, voice, video, file, or a MIME type like image/png or image/*."""
    none_of: Words = Field(default=())
    """None of these types is there."""
    count: Annotated[str | int, checked(counts)] = Field(default=0)
    """How many files there are: 1, ">= 2"."""


class ContactCondition(Section):
    """What must be known of the customer. Everything that is given must hold."""

    tag: Words = Field(default=())
    """The contact has one of these tags."""
    tier: Words = Field(default=())
    """The contact is in one of these tiers."""
    language: Words = Field(default=())
    """The contact prefers one of these languages."""


class ConversationCondition(Section):
    """How things stand with the conversation. Everything that is given must hold."""

    new: bool = Field(default=False)
    """The message opens the conversation (or, if false, does not)."""
    reopened: bool = Field(default=False)
    """The message reopens a conversation that was resolved (or, if false, does not)."""
    status: Status | tuple[Status, ...] = Field(default=())
    """The conversation is open, pending, snoozed or resolved."""
    team: Words = Field(default=())
    """The conversation belongs to one of these teams."""
    age: Annotated[str | int, checked(ages)] = Field(default="")
    """How long ago it was opened: "> 2h"."""
    messages: Annotated[str | int, checked(counts)] = Field(default=0)
    """How many messages the customer has written in it, this one included: ">= 3"."""


class MomentCondition(Section):
    """When a message must have been written. Everything that is given must hold."""

    after: Annotated[str, checked(moment)] = Field(default="")
    """At or after this moment: 2026-11-11 or 2026-11-11T20:00."""
    before: Annotated[str, checked(moment)] = Field(default="")
    """Before this moment."""
    days: Annotated[Words, checked(weekdays)] = Field(default=())
    """On these days of the week: mon-fri, [sat, sun]."""
    time: Annotated[Words, checked(interval)] = Field(default=())
    """At this time of day: 09:00-12:00; 22:00-06:00 runs past midnight."""
    timezone: Annotated[str, checked(zone)] = Field(default="")
    """Time zone of all of these; by default the hub's."""


class SentimentCondition(Section):
    """How the customer must seem to feel. Everything that is given must hold."""

    feeling: Feeling | tuple[Feeling, ...] = Field(default=(), alias="is")
    """negative, neutral or positive, or one of a list."""
    below: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """The score, from -1 (very negative) to 1, is below this."""
    above: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """The score is above this."""


class Condition(Section):
    """A condition on a message. Several keys side by side must all hold."""

    channel: Words = Field(default=())
    """The message came in on one of these channels."""
    kind: Words = Field(default=())
    """The message came in on a channel of one of these kinds."""
    text: Words | TextCondition = Field(default=())
    """What the customer wrote."""
    subject: Words | TextCondition = Field(default=())
    """The subject of a mail."""
    sender: Words | SenderCondition = Field(default=())
    """The address that the message came from."""
    contact: ContactCondition = Field(default=ContactCondition())
    """What is known of the customer."""
    language: Words = Field(default=())
    """The language of the message: zh also stands for zh-CN and zh-TW."""
    sentiment: Feeling | tuple[Feeling, ...] | SentimentCondition = Field(default=())
    """How the customer seems to feel: negative, neutral or positive."""
    order: bool | dict[str, Scalar | tuple[Scalar, ...]] = Field(default={})
    """What an existing tool knows of the customer's order: {status: shipped, amount: ">= 500"}; true: there is one."""
    attachments: bool | Words | AttachmentCondition = Field(default=())
    """Whether there are files, or of which type."""
    hours: dict[str, Literal["open", "closed"]] = Field(default={})
    """Whether these opening hours are open or closed at the time of the message."""
    conversation: Literal["new", "reopened"] | ConversationCondition = Field(default="new")
    """How things stand with the conversation."""
    event: Words = Field(default=())
    """What happened: message (the default), sla_warning, sla_breach, score, opt_out, order_event, follow and others."""
    at: MomentCondition = Field(default=MomentCondition())
    """When the message was written."""
    all: tuple[Condition, ...] = Field(default=())
    """All of these hold."""
    any: tuple[Condition, ...] = Field(default=())
    """At least one of these holds."""
    negated: Condition | None = Field(default=None, alias="not")
    """This does not hold."""

    def given(self) -> Iterator[tuple[str, Any]]:
        """Yield the keys that are written, as written, with their values."""
        yield from written(self)


def written(section: Section) -> Iterator[tuple[str, Any]]:
    """Yield the keys that stand in the file for *section*, in the order of its model, with their values."""
    given = section.model_fields_set
    for field, key in _keys(type(section)):
        if field in given:
            yield key, getattr(section, field)


@cache
def _keys(model: type[Section]) -> tuple[tuple[str, str], ...]:
    return tuple((field, info.alias or field) for field, info in model.model_fields.items())


def walk(condition: Condition, path: Path) -> Iterator[tuple[Path, Condition]]:
    """Yield *condition* and all conditions inside it, each with its path."""
    yield path, condition
    for key, value in condition.given():
        if isinstance(value, Condition):
            yield from walk(value, (*path, key))
        elif key in ("all", "any"):
            for number, part in enumerate(value):
                yield from walk(part, (*path, key, number))


def wordlists(condition: Condition) -> Iterator[Wordlist]:
    """Yield every file of words that *condition* names, in order."""
    for _, inner in walk(condition, ()):
        for _, value in inner.given():
            if isinstance(value, TextCondition | SenderCondition):
                yield from (words for _, words in written(value) if isinstance(words, Wordlist))
