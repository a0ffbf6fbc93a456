"""Routes, and words of routes, that no message ever reaches because routes before them take it. Pure.

A route is hidden if its condition implies that of one before it which does not go on. Not every pair is
compared: `_keys` and `_probes` find the routes that can come into question, so that 10,000 routes take seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from config.faults import Problem
from config.patterns import read
from router.domains import Said, above
from router.formulas import Both, Formula, Literal, impossible, opposite
from router.levels import Placed
from router.pieces import Piece
from router.redundancy import substrings

Key = tuple[str, object]
# Routes that ask for nothing that can be looked up are compared with every route after them, up to so many.
OTHERS = 64
# Two routes often share these between them, so that only both together take everything: no keys to look them up by.
HALVES = ("conversation.new", "conversation.reopened", "hours.")
EXPECTED = "to stand before it"


class _Takers:
    """The routes of one level that end it, by what a message must have for them."""

    def __init__(self, level: Sequence[Placed]) -> None:
        self.by_key: dict[Key, list[Placed]] = {}
        self.others: list[Placed] = []
        takers = [(placed, _keys(Both(placed.asks))) for placed in level if not placed.route.goes_on]
        uses = Counter(key for _, choices in takers for keys in choices for key in keys)

        def cost(keys: frozenset[Key]) -> int:
            # As in `router.compilation.index`: a certain word is rarer than a certain channel.
            return sum(uses[key] * (1 if ":" in key[0] else 30) for key in keys)

        for placed, choices in takers:
            for key in min(choices, key=cost, default=()):
                self.by_key.setdefault(key, []).append(placed)
            if not choices and len(self.others) < OTHERS:
                self.others.append(placed)

    def for_(self, formulas: Iterable[Formula], number: int) -> list[Placed]:
        """Return those before *number* that may take what *formulas* ask for, in order."""
        found = {each.number: each for each in self.others if each.number < number}
        for probe in _probes(Both(tuple(formulas))):
            for each in self.by_key.get(probe, ()):
                if each.number >= number:
                    break
                found[each.number] = each
        return [found[key] for key in sorted(found)]


def hidden(level: Sequence[Placed]) -> Iterator[tuple[Placed, Problem]]:
    """Yield every route, or word of a route, of *level* and inside it that is never reached."""
    yield from _hidden(level, [])


def _hidden(level: Sequence[Placed], outer: list[tuple[_Takers, int]]) -> Iterator[tuple[Placed, Problem]]:
    takers = _Takers(level)
    for placed in level:
        reach = [*outer, (takers, placed.number)]
        asked = (*placed.context, *placed.asks)
        by = _taken(asked, reach)
        if by:
            names = " and ".join(f'"{each.route.name}"' for each in by)
            what = (
                f'route "{placed.route.name}" is never reached: route {names} before it takes all of its messages'
                if len(by) == 1
                else f'route "{placed.route.name}" is never reached: routes {names} before it take all of its messages'
            )
            yield placed, Problem((*placed.path, "name"), what, EXPECTED, rule="hidden-route")
            continue
        yield from ((placed, problem) for problem in _words(placed, reach))
        yield from _hidden(placed.inside, reach)


def _taken(asked: Sequence[Formula], reach: Sequence[tuple[_Takers, int]]) -> list[Placed]:
    """Return the routes that take everything that is *asked* for: one, if one does; none if they do not."""
    near = [each for takers, number in reach for each in takers.for_(asked, number)]
    for each in near:
        if impossible([*asked, opposite(Both(each.asks))]):
            return [each]
    if len(near) < 2 or not impossible([*asked, *(opposite(Both(each.asks)) for each in near)]):
        return []
    # Leave out whoever is not needed: what is named should be what has to be looked at.
    for each in list(near):
        rest = [other for other in near if other is not each]
        if impossible([*asked, *(opposite(Both(other.asks)) for other in rest)]):
            near = rest
    return near


def _words(placed: Placed, reach: Sequence[tuple[_Takers, int]]) -> Iterator[Problem]:
    """Find words of lists that never lead to the route."""
    if placed.piece is None:
        return
    for words, others in _lists(placed.piece):
        for part in words.parts if len(words.parts) > 1 else ():
            asked = (*placed.context, *placed.asks, *others, part.formula)
            if by := _taken(asked, reach):
                what = f'"{part.word}" never leads to route "{placed.route.name}": route "{by[0].route.name}" before it'
                yield Problem(part.path, what + " takes it", EXPECTED, rule="hidden-word")


def _lists(piece: Piece) -> Iterator[tuple[Piece, tuple[Formula, ...]]]:
    """Yield the lists of which a message must have a word for *piece* to hold."""
    for part in piece.parts if piece.how == "all" else ():
        if part.how == "any_of":
            yield part, ()
        else:
            yield from _lists(part)


def _keys(formula: Formula) -> list[frozenset[Key]]:
    """Return what can be looked up: of each set, a message has one key if *formula* holds; [] if nothing is known."""
    if isinstance(formula, Literal):
        keys = _of_literal(formula) if formula.positive else None
        return [] if keys is None or ("event", "message") in keys else [keys]
    choices = [_keys(part) for part in formula.parts]
    if isinstance(formula, Both):
        return [keys for each in choices for keys in each]
    return [frozenset().union(*(each[0] for each in choices))] if choices and all(choices) else []


def _of_literal(literal: Literal) -> frozenset[Key] | None:
    said = literal.value
    if isinstance(said, Said):
        if said.how == "regex":
            needs = read(said.pattern, exact=said.exact).needs
            return None if needs is None else frozenset((literal.attribute, word) for word in needs)
        return frozenset((literal.attribute, word) for word in said.words)
    if not isinstance(said, frozenset) or literal.attribute.startswith(HALVES):
        return None
    return frozenset((literal.attribute, value) for value in said)


def _probes(formula: Formula) -> Iterator[Key]:
    """Yield the keys of one message, of those for which *formula* holds, under which a wider route would stand."""
    if isinstance(formula, Literal):
        if formula.positive and (keys := _of_literal(formula)):
            attribute, value = min(keys, key=str)
            if isinstance(formula.value, Said):
                yield from ((attribute, part) for part in substrings(str(value)))
            elif isinstance(value, str):
                yield from ((attribute, each) for each in above(attribute, value))
            else:
                yield attribute, value
    elif isinstance(formula, Both):
        for part in formula.parts:
            yield from _probes(part)
    elif formula.parts:
        yield from _probes(formula.parts[0])
