"""Single answers as a table for analysis: its variables with their labels, and rows of plain values. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

Kind = Literal["number", "code", "text", "time"]
Measure = Literal["nominal", "ordinal", "scale"]
Plain = int | float | str | dt.datetime | None
MISSING = -99
"""What stands in an SPSS file where a question was not answered."""

_RESERVED = frozenset({"all", "and", "by", "eq", "ge", "gt", "le", "lt", "ne", "not", "or", "to", "with"})
"""Words that SPSS does not take as names."""


class Variable(msgspec.Struct, frozen=True):
    """One column: its *name*, what it means, how it is measured, and the *labels* of its values.

    A "code" is a text of a fixed list, which SPSS gets as a number: its place among *labels*, from 1 on.
    *asked*: a question, where nothing means that it was not answered.
    """

    name: str
    label: str
    kind: Kind
    measure: Measure = "nominal"
    labels: Mapping[str, str] = {}
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A table: *rows* begins anew each time it is called, and each row has a value for every variable."""

    title: str
    variables: tuple[Variable, ...]
    rows: Callable[[], Iterator[tuple[Plain, ...]]]


def fitting(text: str, taken: Collection[str]) -> str:
    """Return a name near *text* that every program takes and that is not among *taken*: letters, digits and _."""
    name = re.sub(r"[^a-z0-9_]", "_", text.lower())[:56]
    if not name or not name[0].isalpha() or name in _RESERVED or name.endswith("_"):
        name = f"q_{name}".rstrip("_")
    base, number = name, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name
