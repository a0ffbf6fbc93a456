"""Which team a message goes to, and why: `decide` and `explain`, two views of one evaluation. Pure.

Routes are tried in order. The first that matches at a level wins, and the routes inside it refine it;
one with ``continue: true`` is collected, and the next is tried. `docs/routing.md` says it in full.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from config.conditions import several, walk, wordlists, written
from config.hours import Hours
from config.routes import DEFAULT, Fields, Route, RouteFile, speaks_of_events
from config.routes import routes as routes_of
from router.compilation import Compiler, Index, about_messages, index
from router.conditions import All, Check, Verdict, View
from router.facts import ConversationFacts, Facts, OrderFacts
from router.text import Lexicon

__all__ = [
    "ConversationFacts",
    "Decision",
    "Explanation",
    "Facts",
    "OrderFacts",
    "Tree",
    "Tried",
    "Verdict",
    "compile_routes",
    "consider",
    "decide",
    "explain",
]

TOP = -1
# Lists that routes collect; of a route and one inside it, the inner one counts.
COLLECTED = ("acknowledge", "skills")
# What the default's team brings with it when no route names a team.
OF_THE_TEAM = ("team", "agent", "sla", "skills")

Settings = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What routes decided. None leaves things as they are.

    *route* is the last route that matched, which is the deepest of those that decided, or "default" if none did;
    *routes* are all that matched, in order.
    """

    team: str | None = None
    agent: str | None = None
    priority: str = "normal"
    stage: str | None = None
    tags: tuple[str, ...] = ()
    sla: str | None = None
    risk: str | None = None
    acknowledge: tuple[str, ...] = ()
    survey: str | None = None
    skills: tuple[str, ...] = ()
    ignore: str | None = None
    route: str = DEFAULT
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tried:
    """A route that was tried: whether it *matched*, the verdicts, what it *sets*, and the routes tried inside it."""

    name: str
    matched: bool
    condition: Verdict | None
    sets: Mapping[str, Any]
    goes_on: bool
    routes: tuple[Tried, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with every route that was tried. *rules* is the hash of the route files, *at* the message's time.

    *untried* counts the routes that were not looked at, because one before or around them settled it. *default*
    holds what the default gave to the decision.
    """

    decision: Decision
    rules: str
    at: int
    tried: tuple[Tried, ...]
    untried: int
    default: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tree:
    """Route files, ready to decide. Routes are numbered from top to bottom, parents before children.

    *hash* is the SHA-256 of what the files say, and of the words in files that they name, in hexadecimal.
    *about_conversation* names the routes that ask how things stand with the conversation: such a route means
    conversations under way, too.
    """

    hash: str
    names: tuple[str, ...]
    parents: tuple[int, ...]
    checks: tuple[Check | None, ...] = field(repr=False)
    sets: tuple[Settings, ...] = field(repr=False)
    goes_on: tuple[bool, ...] = field(repr=False)
    inner: tuple[bool, ...] = field(repr=False)
    default: Settings = field(repr=False)
    about_conversation: frozenset[str] = field(repr=False)
    index: Index = field(repr=False)
    lexicons: tuple[Lexicon, ...] = field(repr=False)


def compile_routes(files: Sequence[RouteFile], hours: Mapping[str, Hours], *, timezone: ZoneInfo | None = None) -> Tree:
    """Compile *files*, with which `config.routes.problems` has found nothing wrong.

    *hours* are the settings' opening hours; *timezone* (default Asia/Shanghai) is the hub's, for moments without a
    zone. Raises `KeyError` for unknown hours and `ValueError` for anything else that `problems` would have named.
    """
    compiler = Compiler(hours, timezone or ZoneInfo("Asia/Shanghai"))
    rows = [row for file in files for route in file.routes for row in _flat(route)]
    parents = _parents([depth for depth, _ in rows])
    checks = [_check(compiler, route, top=depth == 0) for depth, route in rows]
    for lexicon in compiler.lexicons:
        lexicon.build()
    default = next((file.default for file in files if file.default is not None), Fields())
    return Tree(
        hash=_hash(files),
        names=tuple(route.name for _, route in rows),
        parents=parents,
        checks=tuple(checks),
        sets=tuple(_settings(route.set) for _, route in rows),
        goes_on=tuple(route.goes_on for _, route in rows),
        inner=tuple(bool(route.routes) for _, route in rows),
        default=_settings(default),
        about_conversation=frozenset(route.name for _, route in rows if _asks(route, "conversation")),
        index=index(checks, parents),
        lexicons=compiler.lexicons,
    )


def decide(tree: Tree, facts: Facts) -> Decision:
    """Return what the routes decide about a message."""
    return consider(tree, facts)[0]


def consider(tree: Tree, facts: Facts) -> tuple[Decision, bool]:
    """Return what `decide` returns, and whether it hangs on the order: if nobody was asked yet, ask and decide again.

    No condition that was looked at asks for the order otherwise, so that the answer could change nothing.
    """
    view = View(facts, tree.lexicons)

    def holds(number: int) -> bool:
        check = tree.checks[number]
        return check is None or check.holds(view)

    matched, settled = _walk(tree, tree.index.candidates(view), holds)
    return _decision(tree, facts, matched, settled=settled)[0], view.asked_order


def explain(tree: Tree, facts: Facts) -> Explanation:
    """Return what `decide` returns, and how it came about."""
    view = View(facts, tree.lexicons)
    verdicts: dict[int, Verdict | None] = {}

    def holds(number: int) -> bool:
        check = tree.checks[number]
        verdict = verdicts[number] = check.verdict(view) if check is not None else None
        return verdict is None or verdict.holds

    matched, settled = _walk(tree, range(len(tree.names)), holds)
    decision, given = _decision(tree, facts, matched, settled=settled)
    return Explanation(
        decision=decision,
        rules=tree.hash,
        at=facts.at,
        tried=_tried(tree, verdicts, frozenset(matched)),
        untried=len(tree.names) - len(verdicts),
        default=given,
    )


def _walk(tree: Tree, candidates: Iterable[int], holds: Callable[[int], bool]) -> tuple[list[int], bool]:
    """Return the routes that match, ascending, and whether one of the top level settled the matter.

    *candidates* are at least all routes that can match, ascending.
    """
    matched: list[int] = []
    levels = {TOP}  # routes whose inner routes are still being tried
    settled = False
    last = TOP
    for number in candidates:
        parent = tree.parents[number]
        if parent not in levels or number == last or not holds(number):
            continue
        last = number
        matched.append(number)
        if tree.inner[number]:
            levels.add(number)
        if not tree.goes_on[number]:
            levels.discard(parent)
            settled = settled or parent == TOP
            if not levels:
                break
    return matched, settled


def _decision(tree: Tree, facts: Facts, matched: Sequence[int], *, settled: bool) -> tuple[Decision, Mapping[str, Any]]:
    """Put together what the *matched* routes set, and what the default adds; return also the latter."""
    fields = _gathered(tree, matched)
    given = _from_default(tree, facts, fields, settled=settled)
    for key, value in given.items():
        fields[key] = tuple(dict.fromkeys((*fields.get(key, ()), *value))) if key == "tags" else value
    if fields.get("priority") is None:
        fields["priority"] = facts.conversation.priority
    names = tuple(tree.names[number] for number in matched)
    return Decision(**fields, route=names[-1] if names else DEFAULT, routes=names), given


def _gathered(tree: Tree, matched: Sequence[int]) -> dict[str, Any]:
    """Return what the *matched* routes set together; None for what one of them took back."""
    fields: dict[str, Any] = {}
    collected: dict[str, dict[int, tuple[str, ...]]] = {}
    for number in matched:
        for key, value in tree.sets[number]:
            if key == "tags":
                fields[key] = tuple(dict.fromkeys((*fields.get(key, ()), *(value or ()))))
            elif key in COLLECTED:
                lists = collected.setdefault(key, {})
                for outer in _around(tree, number):
                    lists.pop(outer, None)
                lists[number] = value or ()
            else:
                fields[key] = value
    for key, lists in collected.items():
        fields[key] = tuple(dict.fromkeys(word for words in lists.values() for word in words))
    return fields


def _around(tree: Tree, number: int) -> Iterable[int]:
    while (number := tree.parents[number]) != TOP:
        yield number


def _from_default(tree: Tree, facts: Facts, fields: Mapping[str, Any], *, settled: bool) -> dict[str, Any]:
    """Return what the default adds to the *fields* that routes set; only the team if they *settled* the matter.

    It decides about messages in conversations that no team owns yet, and leaves all others alone. Agent, service
    level and skills of the default belong to its team: they come with it or not at all.
    """
    if facts.event != "message" or facts.conversation.team is not None:
        return {}
    placed = any(fields.get(key) is not None for key in ("team", "agent", "ignore"))
    given = {}
    for key, value in tree.default:
        if value is None or (key in fields and key != "tags"):
            continue
        if not placed if key in OF_THE_TEAM else not settled:
            given[key] = value
    return given


def _flat(route: Route, depth: int = 0) -> Iterable[tuple[int, Route]]:
    yield depth, route
    for inner in route.routes:
        yield from _flat(inner, depth + 1)


def _parents(depths: Sequence[int]) -> tuple[int, ...]:
    parents: list[int] = []
    above: list[int] = []
    for number, depth in enumerate(depths):
        del above[depth:]
        parents.append(above[-1] if above else TOP)
        above.append(number)
    return tuple(parents)


def _asks(route: Route, key: str) -> bool:
    return route.when is not None and any(key in inner.model_fields_set for _, inner in walk(route.when, ()))


def _check(compiler: Compiler, route: Route, *, top: bool) -> Check | None:
    check = compiler.condition(route.when) if route.when is not None else None
    if not top or speaks_of_events(route.when):
        return check
    if check is None:
        return about_messages()
    return All((about_messages(), *(check.parts if isinstance(check, All) else (check,))))


def _settings(fields: Fields) -> Settings:
    return tuple(
        (key, several(value) if key in ("tags", *COLLECTED) and value is not None else value)
        for key, value in written(fields)
    )


def _hash(files: Sequence[RouteFile]) -> str:
    content: list[Any] = [file.model_dump(mode="json", by_alias=True, exclude_unset=True) for file in files]
    content += [
        list(words.words)
        for file in files
        for _, route in routes_of(file)
        if route.when is not None
        for words in wordlists(route.when)
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _tried(tree: Tree, verdicts: Mapping[int, Verdict | None], matched: frozenset[int]) -> tuple[Tried, ...]:
    inner: dict[int, list[Tried]] = {}
    for number in sorted(verdicts, reverse=True):
        tried = Tried(
            name=tree.names[number],
            matched=number in matched,
            condition=verdicts[number],
            sets=dict(tree.sets[number]),
            goes_on=tree.goes_on[number],
            routes=tuple(reversed(inner.pop(number, []))),
        )
        inner.setdefault(tree.parents[number], []).append(tried)
    return tuple(reversed(inner.get(TOP, [])))
