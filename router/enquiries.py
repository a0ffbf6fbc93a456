"""Conditions on what is not written in a message: how the customer seems to feel, what is known of the order. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from config.conditions import Amount
from config.lookups import Scalar
from router.conditions import All, Check, Either, Leaf, Negation, View
from router.text import plain

_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Feels(Leaf):
    """The customer seems to feel one of these ways, and the score is below *below* and above *above*."""

    labels: frozenset[str]
    below: float
    above: float

    def holds(self, view: View) -> bool:
        found = view.sentiment
        return found.label in self.labels and self.above < found.score < self.below

    def value(self, view: View) -> Any:
        return view.sentiment.shown()


@dataclass(frozen=True, slots=True)
class OrderKnown(Leaf):
    """An existing tool knows an order of the customer, or none."""

    wanted: bool

    def holds(self, view: View) -> bool:
        return view.order.known is self.wanted

    def value(self, view: View) -> Any:
        return view.order.outcome


@dataclass(frozen=True, slots=True)
class OrderField(Leaf):
    """A field of the order has one of *values*, or passes one of the *ranges*; a field without a value has none."""

    field: str
    values: frozenset[Any]
    ranges: tuple[tuple[Amount, ...], ...]

    def holds(self, view: View) -> bool:
        value = view.order.fields.get(self.field)
        if value is None:
            return False
        return any(map(self._fits, value if isinstance(value, tuple) else (value,)))

    def _fits(self, value: Scalar) -> bool:
        if comparable(value) in self.values:
            return True
        number = amount(value) if self.ranges else None
        return number is not None and any(
            all(compare(number, bound) for compare, bound in bounds) for bounds in self.ranges
        )

    def value(self, view: View) -> Any:
        order = view.order
        found = order.fields.get(self.field)
        value = list(found) if isinstance(found, tuple) else found
        return value if order.known else {"value": value, "lookup": order.outcome}


def amount(value: Scalar) -> Decimal | None:
    """Return *value* as a number, also one that a tool writes as text; None if it is none."""
    text = str(value).strip()
    return Decimal(text) if not isinstance(value, bool) and _NUMBER.fullmatch(text) else None


def comparable(value: Scalar) -> str | Decimal:
    """Return *value* such that equal values of an order are equal: 500, 500.0 and "500.00"; true and "true"."""
    number = amount(value)
    return plain(str(value)) if number is None else number


def asks_order(check: Check) -> bool:
    """Tell whether *check* asks for the order, which somebody must be asked about."""
    if isinstance(check, All | Either):
        return any(map(asks_order, check.parts))
    if isinstance(check, Negation):
        return asks_order(check.part)
    return isinstance(check, OrderKnown | OrderField)
