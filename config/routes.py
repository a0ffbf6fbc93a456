"""Route files: which team a message goes to. Their shape, and what can be wrong with files of the right shape."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from config.conditions import (
    FAMILIES,
    Condition,
    ConversationCondition,
    SenderCondition,
    Status,
    TextCondition,
    Words,
    amounts,
    checked,
    day,
    moment,
    several,
    walk,
    written,
)
from config.faults import Path, Problem, Wrong, listed, nearest
from config.folding import fold
from config.lookups import Lookups, Scalar
from config.patterns import BadPattern, read
from config.values import Section, duration
from config.wordlists import Wordlist

Priority = Literal["low", "normal", "high", "urgent"]
Stage = Literal["presale", "order", "aftersale", "complaint", "feedback"]

EVENTS = (
    "message", "sla_warning", "sla_breach", "score", "opt_out", "opt_in", "order_event",
    "follow", "unfollow", "enter", "scan", "click", "view", "location",
)  # fmt: skip
DEFAULT = "default"
MAX_ROUTES = 50_000

_MIME = re.compile(r"[a-z]+/(?:\*|[a-z0-9][a-z0-9.+-]*)")
_OPERATORS = ("any_of", "all_of", "none_of", "regex", "equals", "starts_with")


class Fields(Section):
    """What a route decides. A null takes back what a route above it has set."""

    team: str | None = None
    """The team that the conversation goes to."""
    agent: str | None = None
    """The agent that the conversation goes to."""
    priority: Priority | None = None
    """low, normal, high or urgent."""
    stage: Stage | None = None
    """presale, order, aftersale, complaint or feedback."""
    tags: Words | None = None
    """Tags for the conversation, added to those of other routes that match."""
    sla: str | None = None
    """The service level that holds, instead of the team's."""
    risk: str | None = None
    """How risky the conversation is, in your own words: high."""
    acknowledge: Words | None = None
    """Templates that are sent to the customer at once."""
    survey: str | None = None
    """The survey that the customer is asked to answer at the end."""
    skills: Words | None = None
    """Skills that the agent must have."""
    ignore: str | None = None
    """The message is kept but nobody works on it, for this reason."""


class Route(Section):
    """One rule: a condition, what it decides, and rules that refine it."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """The name of the route in decisions and reports; each only once."""
    when: Condition | None = None
    """The condition; without one the route always matches."""
    set: Fields = Fields()
    """What the route decides."""
    goes_on: bool = Field(default=False, alias="continue")
    """Collect what this route decides and go on to the next one."""
    routes: tuple[Route, ...] = ()
    """Routes that are tried if this one matches; they inherit what it decides and may override it."""
    owner: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Who answers for this route."""
    review_by: Annotated[str, checked(day)] | None = None
    """The last day on which nobody has to look at it again: 2026-12-31. Decides nothing; `huiliu check` reminds."""


class TrialContact(Section):
    """The customer of a test message."""

    tag: Words = ()
    """The contact's tags."""
    tier: str | None = None
    """The contact's tier."""
    language: str | None = None
    """The contact's language."""


class TrialConversation(Section):
    """The conversation of a test message."""

    new: bool = False
    """The message opens it."""
    reopened: bool = False
    """The message reopens it."""
    status: Status = "open"
    """Its status."""
    team: str | None = None
    """Its team."""
    priority: Priority = "normal"
    """Its priority."""
    age: Annotated[str, checked(duration)] = Field(default="")
    """How long ago it was opened, like 2h."""
    messages: Annotated[int, Field(ge=1)] = 1
    """How many messages the customer has written in it, this one included."""


class TrialMessage(Section):
    """A message as a test imagines it."""

    channel: str = ""
    """The channel that it comes in on."""
    kind: str = ""
    """The kind of the channel; by default that of the channel of this name."""
    event: str = "message"
    """What happened."""
    text: str = ""
    """What the customer wrote."""
    subject: str = ""
    """The subject of a mail."""
    sender: str = ""
    """The address that it comes from."""
    attachments: Words = ()
    """The types of its files: image, voice, video, file, or MIME types."""
    language: str | None = None
    """The language of the message; by default that of its text."""
    at: Annotated[str, checked(moment)] = Field(default="")
    """When it is written; by default on a Wednesday at 10:00."""
    contact: TrialContact = TrialContact()
    """The customer."""
    conversation: Literal["new", "reopened"] | TrialConversation = "new"
    """The conversation; by default a new one."""
    order: dict[str, Scalar | tuple[Scalar, ...]] | None = None
    """What an existing tool says of the order; by default it knows none."""


class Expectation(Fields):
    """What the decision must be; only the keys that are given are compared."""

    route: str | None = None
    """The deepest route that matches, or default."""


class RouteTest(Section):
    """An example that must be decided in a certain way before the file is used."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What the example shows."""
    message: TrialMessage
    """The message."""
    expect: Expectation
    """The decision."""


class RouteFile(Section):
    """A file of routes. Several files make one list, in the order in which the configuration names them."""

    default: Fields | None = None
    """The decision for messages that no route matches; in exactly one of the files."""
    routes: tuple[Route, ...] = ()
    """The routes, tried from top to bottom."""
    tests: tuple[RouteTest, ...] = ()
    """Examples that are tried before the file is used."""


class Known(Protocol):
    """The names that routes may use: the settings, or anything with the same sections."""

    @property
    def teams(self) -> Mapping[str, Any]: ...
    @property
    def agents(self) -> Mapping[str, Any]: ...
    @property
    def hours(self) -> Mapping[str, Any]: ...
    @property
    def sla(self) -> Mapping[str, Any]: ...
    @property
    def channels(self) -> Mapping[str, Any]: ...
    @property
    def facts(self) -> Lookups: ...


@dataclass(frozen=True, slots=True)
class _Names:
    """What each kind of name may be; None where it is not known, and everything is accepted."""

    team: Collection[str]
    agent: Collection[str]
    hours: Collection[str]
    sla: Collection[str]
    channel: Collection[str]
    kind: Collection[str]
    acknowledge: Collection[str] | None
    survey: Collection[str] | None
    order: Collection[str] | None


# what is said of a name that does not exist: what it should be, and where such names stand
_CALLED = {
    "team": ("team", "teams"),
    "agent": ("agent", "agents"),
    "sla": ("service level", "sla"),
    "hours": ("opening hours", "hours"),
    "channel": ("channel", "channels"),
    "kind": ("channel of kind", "channels"),
    "acknowledge": ("template", "templates"),
    "survey": ("survey", "surveys"),
    "route": ("route", "routes"),
}


def problems(
    files: Sequence[RouteFile],
    settings: Known,
    *,
    kinds: Collection[str] = (),
    templates: Collection[str] | None = None,
    surveys: Collection[str] | None = None,
) -> list[tuple[int, Problem]]:
    """Return everything that is wrong with *files* together, each with the number of its file, in file order.

    *kinds* are kinds of channels that may be named although no channel is of that kind. Templates and
    surveys are checked only where their names are given.
    """
    used = {str(getattr(channel, "kind", "")) for channel in settings.channels.values()} - {""}
    names = _Names(
        settings.teams, settings.agents, settings.hours, settings.sla, settings.channels,
        sorted(used.union(kinds)), templates, surveys, _order_fields(settings),
    )  # fmt: skip
    found = [(number, problem) for number, file in enumerate(files) for problem in _file(file, names)]
    found += _across(files)
    return sorted(found, key=lambda item: item[0])


def _order_fields(settings: Known) -> Collection[str] | None:
    order = settings.facts.order
    return None if order is None else order.fields


def routes(file: RouteFile) -> Iterator[tuple[Path, Route]]:
    """Yield all routes of *file*, parents first, each with its path."""
    stack: list[tuple[Path, Route]] = [
        (("routes", number), route) for number, route in reversed(list(enumerate(file.routes)))
    ]
    while stack:
        path, route = stack.pop()
        yield path, route
        stack += [((*path, "routes", number), child) for number, child in reversed(list(enumerate(route.routes)))]


def _across(files: Sequence[RouteFile]) -> Iterator[tuple[int, Problem]]:
    defaults = [number for number, file in enumerate(files) if file.default is not None]
    if not defaults and files:
        yield 0, Problem(("default",), "there is no default", "the team for messages that no route matches")
    for number in defaults[1:]:
        yield number, Problem(("default",), "there is a default in another file already", "one default", key=True)
    seen: Counter[str] = Counter()
    for number, file in enumerate(files):
        for path, route in routes(file):
            seen[route.name] += 1
            if seen[route.name] > 1:
                yield number, Problem((*path, "name"), f'another route is called "{route.name}"', "each name once")
    if seen.total() > MAX_ROUTES:
        yield 0, Problem(("routes",), f"there are {seen.total()} routes", f"at most {MAX_ROUTES}")
    known = [*seen, DEFAULT]
    for number, file in enumerate(files):
        for index, test in enumerate(file.tests):
            if test.expect.route is not None and test.expect.route not in known:
                path = ("tests", index, "expect", "route")
                yield number, _unknown(path, "route", test.expect.route, known)


def _file(file: RouteFile, names: _Names) -> Iterator[Problem]:
    if file.default is not None:
        yield from _fields(file.default, ("default",), names)
        if file.default.team is None and file.default.agent is None and file.default.ignore is None:
            yield Problem(("default",), "the default names no team", "team, agent or ignore", key=True)
    for path, route in routes(file):
        yield from _route(route, path, names)
    for index, test in enumerate(file.tests):
        yield from _test(test, ("tests", index), names)


def _route(route: Route, path: Path, names: _Names) -> Iterator[Problem]:
    if route.name == DEFAULT:
        yield Problem((*path, "name"), f'"{DEFAULT}" stands for no route at all', "another name")
    if "when" in route.model_fields_set and route.when is None:
        yield Problem((*path, "when"), "this is empty", "a condition, or no `when` at all")
    if not route.set.model_fields_set and not route.routes:
        yield Problem((*path, "set"), f'route "{route.name}" decides nothing', "set or routes")
    yield from _fields(route.set, (*path, "set"), names)
    if route.when is not None:
        for place, condition in walk(route.when, (*path, "when")):
            yield from _condition(condition, place, names)
    if len(path) == 2 and not speaks_of_events(route.when):
        yield from _unreached(route, path)


def speaks_of_events(condition: Condition | None) -> bool:
    """Tell whether *condition* says which events it is about; otherwise it is about messages."""
    return condition is not None and any("event" in inner.model_fields_set for _, inner in walk(condition, ()))


def _unreached(top: Route, path: Path) -> Iterator[Problem]:
    """Find events below a top route that is about messages only."""
    stack: list[tuple[Path, Route]] = [((*path, "routes", number), child) for number, child in enumerate(top.routes)]
    while stack:
        place, route = stack.pop()
        stack += [((*place, "routes", number), child) for number, child in enumerate(route.routes)]
        for inner, condition in walk(route.when, (*place, "when")) if route.when else ():
            for event in several(condition.event):
                if event != "message":
                    yield Problem(
                        (*inner, "event"),
                        f'a {event} never gets here: route "{top.name}" around it is about messages',
                        f"event: [message, {event}] there too",
                    )


def _fields(fields: Fields, path: Path, names: _Names) -> Iterator[Problem]:
    for key, value in written(fields):
        if value is None:
            continue
        for word in several(value):
            if not word.strip():
                yield Problem((*path, key), "this is empty", "text")
                continue
            known = getattr(names, key, None)
            if known is not None and word not in known:
                yield _unknown(_at((*path, key), value, word), key, word, known)


def _at(path: Path, value: Words, word: str) -> Path:
    return path if isinstance(value, str) else (*path, value.index(word))


def _unknown(path: Path, key: str, word: str, known: Collection[str]) -> Problem:
    noun, section = _CALLED[key]
    expected = listed(known) or f"a name out of {section}, which is empty"
    return Problem(path, f'there is no {noun} "{word}"', expected, nearest(word, known))


def _test(test: RouteTest, path: Path, names: _Names) -> Iterator[Problem]:
    message = test.message
    for name in message.order or ():
        yield from _order_field((*path, "message", "order", name), name, names)
    if message.channel and message.channel not in names.channel:
        yield _unknown((*path, "message", "channel"), "channel", message.channel, names.channel)
    if message.kind and message.kind not in names.kind:
        yield _unknown((*path, "message", "kind"), "kind", message.kind, names.kind)
    for word in several(message.attachments):
        yield from _media((*path, "message", "attachments"), word)
    if not test.expect.model_fields_set:
        yield Problem((*path, "expect"), "this test expects nothing", "a key of `set`, or route")
    yield from _fields(test.expect, (*path, "expect"), names)


def _condition(condition: Condition, path: Path, names: _Names) -> Iterator[Problem]:
    if not condition.model_fields_set:
        yield Problem(path, "this condition is empty", "at least one condition")
    for key, value in condition.given():
        place = (*path, key)
        if value is None:
            yield Problem(place, "this is empty", "a condition")
        elif key in ("all", "any"):
            if not value:
                yield Problem(place, "this list is empty", "at least one condition")
        elif isinstance(value, TextCondition | SenderCondition):
            yield from _operators(value, place)
        elif key == "order":
            yield from _order(value, place, names)
        elif key == "hours":
            yield from _hours(value, place, names)
        elif isinstance(value, str | tuple):
            yield from _words(value, place, key, names)
        elif isinstance(value, Section) and key != "not":
            yield from _section(value, place, names)


def _operators(value: Section, path: Path) -> Iterator[Problem]:
    operators = [(key, words) for key, words in written(value) if key in _OPERATORS]
    if not operators:
        known = [key for key in _OPERATORS if key in type(value).model_fields]
        yield Problem(path, "this condition is empty", listed(known))
    for key, words in operators:
        # Only `equals` can mean a text in which there is nothing; the words of a file were looked at with it.
        if not isinstance(words, Wordlist) and (key != "equals" or not several(words)):
            yield from _blank(words, (*path, key))
        if key == "regex":
            for word in several(words):
                try:
                    read(word, exact=bool(getattr(value, "exact", False)))
                except BadPattern as error:
                    yield Problem(_at((*path, key), words, word), str(error), "a regular expression of RE2")


def _blank(words: Words, path: Path) -> Iterator[Problem]:
    if not several(words):
        yield Problem(path, "this list is empty", "at least one text")
    for word in several(words):
        if not fold(word).strip():
            yield Problem(_at(path, words, word), "this text is empty", "something to look for")


def _words(value: Words, path: Path, key: str, names: _Names) -> Iterator[Problem]:
    yield from _blank(value, path)
    for word in several(value):
        known = getattr(names, key, None)
        if known is not None and word not in known:
            yield _unknown(_at(path, value, word), key, word, known)
        elif key == "event" and word not in EVENTS and (near := nearest(word, EVENTS)):
            # Platforms have events of their own, so that only a likely slip can be called one.
            yield Problem(_at(path, value, word), f'there is no event "{word}"', listed(EVENTS), near)
        elif key == "attachments":
            yield from _media(_at(path, value, word), word)


def _media(path: Path, word: str) -> Iterator[Problem]:
    if word not in FAMILIES and not _MIME.fullmatch(word):
        expected = f"{listed(FAMILIES)}, or a MIME type like image/png or image/*"
        yield Problem(path, f'"{word}" is no type of file', expected, nearest(word, FAMILIES))


def _hours(value: Mapping[str, str], path: Path, names: _Names) -> Iterator[Problem]:
    if not value:
        yield Problem(path, "this condition is empty", "opening hours, like {office: closed}")
    for name in value:
        if name not in names.hours:
            unknown = _unknown((*path, name), "hours", name, names.hours)
            yield Problem(unknown.path, unknown.what, unknown.expected, unknown.nearest, key=True)


def _order(value: bool | dict[str, Scalar | tuple[Scalar, ...]], path: Path, names: _Names) -> Iterator[Problem]:
    if isinstance(value, bool):
        return
    if not value:
        yield Problem(path, "this condition is empty", "fields of the order, like {status: shipped}")
    for name, wanted in value.items():
        yield from _order_field((*path, name), name, names)
        for word in wanted if isinstance(wanted, tuple) else (wanted,):
            if not isinstance(word, str):
                continue
            try:
                amounts(word)
            except Wrong as error:
                yield Problem((*path, name), error.what.replace("{value}", f'"{word}"'), error.expected)
        if wanted == ():
            yield Problem((*path, name), "this list is empty", "at least one text")


def _order_field(path: Path, name: str, names: _Names) -> Iterator[Problem]:
    if names.order is not None and name not in names.order:
        expected = listed(names.order)
        yield Problem(path, f'facts.order has no field "{name}"', expected, nearest(name, names.order), key=True)


def _section(value: Section, path: Path, names: _Names) -> Iterator[Problem]:
    """Check the mappings below attachments, contact, conversation and at."""
    given = list(written(value))
    if not [key for key, _ in given if key != "timezone"]:
        known = [info.alias or key for key, info in type(value).model_fields.items() if key != "timezone"]
        yield Problem(path, "this condition is empty", listed(known))
    for key, words in given:
        if not isinstance(words, str | tuple) or key in ("age", "messages", "count", "timezone"):
            continue
        what = "attachments" if path[-1] == "attachments" else key
        checked = what == "attachments" or (what == "team" and isinstance(value, ConversationCondition))
        yield from _words(words, (*path, key), what if checked else "", names)
