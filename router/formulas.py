"""Conditions as formulas, and the one question that lint asks of them: can they hold at the same time? Pure.

The answer "never" is certain; "perhaps" may be wrong. A condition implies another if it can never hold
together with the other's opposite, so that one question answers all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from router.domains import Answers, conflict, consequences


@dataclass(frozen=True, slots=True)
class Literal:
    """One answer about one *attribute* of a message; *value* is in the terms of `router.domains`."""

    attribute: str
    value: Any
    positive: bool = True


@dataclass(frozen=True, slots=True)
class Both:
    """All of these hold; always true without any."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of these holds; never true without any."""

    parts: tuple[Formula, ...]


Formula = Literal | Both | Either
ALWAYS = Both(())
NEVER = Either(())


def opposite(formula: Formula) -> Formula:
    """Return what holds exactly where *formula* does not."""
    if isinstance(formula, Literal):
        return Literal(formula.attribute, formula.value, not formula.positive)
    parts = tuple(map(opposite, formula.parts))
    return Either(parts) if isinstance(formula, Both) else Both(parts)


def implies(formula: Formula, *others: Formula) -> bool:
    """Tell whether one of *others* surely holds where *formula* does."""
    return impossible([formula, *map(opposite, others)])


def impossible(formulas: Iterable[Formula]) -> bool:
    """Tell whether *formulas* surely never hold all at once."""
    literals: list[Literal] = []
    choices: list[Either] = []
    _take(formulas, literals, choices)
    if _clash(literals):
        return True
    while choices:
        left: list[Either] = []
        settled: list[Formula] = []
        for choice in choices:
            alive = [part for part in choice.parts if not impossible([*literals, part])]
            if not alive:
                return True
            if len(alive) == 1:
                settled += alive
            else:
                left.append(Either(tuple(alive)))
        if not settled:
            return False
        # A choice with one way left is none: take it, and look again at the others.
        _take(settled, literals, left)
        choices = left
        if _clash(literals):
            return True
    return False


def _take(formulas: Iterable[Formula], literals: list[Literal], choices: list[Either]) -> None:
    for formula in formulas:
        if isinstance(formula, Literal):
            literals.append(formula)
        elif isinstance(formula, Both) or len(formula.parts) == 1:
            _take(formula.parts, literals, choices)
        else:
            choices.append(formula)


def _clash(literals: Sequence[Literal]) -> bool:
    about: Answers = {}
    for literal in literals:
        about.setdefault(literal.attribute, ([], []))[0 if literal.positive else 1].append(literal.value)
    consequences(about)
    return any(conflict(attribute, true, false) for attribute, (true, false) in about.items())
