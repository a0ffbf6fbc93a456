"""What a report says, once for all its forms: figures, tables, charts, words. Terminal, page and files only show it.

Nothing here is rounded and nothing is worded but what comes from outside (titles of questions, names of teams): keys
are worded by `inbox.report_words`. Units: "count", "share" (0 to 1), "points" (a net score, -1 to 1), "mean" (in the
steps of its scale), "seconds".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from inbox.estimates import Change, Estimate, Verdict

Unit = Literal["count", "share", "points", "mean", "seconds", "text"]
Cell = float | int | str | None


class Figure(msgspec.Struct, frozen=True):
    """One figure that stands at the top: what it is (*key* and *about*), its estimate, its change.

    *good* is 1 where more is better, -1 where less is, 0 where neither. *top* is the end of the scale of a mean.
    *hidden*: so few have answered that it is not shown.
    """

    key: str
    unit: Unit
    estimate: Estimate
    change: Change | None = None
    about: str = ""
    good: int = 0
    hidden: bool = False
    top: int = 0


class Column(msgspec.Struct, frozen=True):
    """A column of a table: its *key*, and what that is *about*; *part* is "low", "high" or "change" of it.

    *detail*: for files; a page or terminal would be too full with it.
    """

    key: str
    unit: Unit
    about: str = ""
    part: str = ""
    detail: bool = False


class Row(msgspec.Struct, frozen=True):
    """One row: a *label* (a name, a week, an hour) and one cell for each column.

    *partial*: a week that is not whole. *hidden*: a group so small that its scores are not shown. *verdict* says how
    the last score of the row stands to the period before.
    """

    label: str
    cells: tuple[Cell, ...]
    partial: bool = False
    hidden: bool = False
    verdict: Verdict | None = None


class Table(msgspec.Struct, frozen=True):
    """A table: *key* says what the rows are (team, agent, channel, tag, week, hour, …)."""

    key: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    about: str = ""
    notes: tuple[str, ...] = ()


class Series(msgspec.Struct, frozen=True):
    """The values of one line or one colour of bars; *lows* and *highs* are the ends of their intervals."""

    key: str
    values: tuple[float | None, ...]
    about: str = ""
    lows: tuple[float | None, ...] = ()
    highs: tuple[float | None, ...] = ()


class Chart(msgspec.Struct, frozen=True):
    """A chart of *kind* "line", "bar" (lying, with intervals), "column" or "stack" (lying, shares of one)."""

    key: str
    kind: Literal["line", "bar", "column", "stack"]
    unit: Unit
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    about: str = ""
    low: float | None = None
    high: float | None = None


class Keyword(msgspec.Struct, frozen=True):
    """A word of open answers: in how many answers of each side it is, and how much it belongs to one (z of log odds).

    *side*: "good" (promoters, the satisfied), "bad", or "". *example* is an answer with personal data masked.
    """

    word: str
    good: int
    bad: int
    all: int
    score: float
    side: str = ""
    example: str = ""


class Keywords(msgspec.Struct, frozen=True):
    """The words of one open question: of how many *answers*, of which *read* were looked at."""

    about: str
    answers: int
    read: int
    items: tuple[Keyword, ...]


class Definition(msgspec.Struct, frozen=True):
    """How a figure is defined: its *key*, and the values that the wording names."""

    key: str
    values: dict[str, str] = {}


class Span(msgspec.Struct, frozen=True):
    """A period as the report tells it: RFC 3339 in UTC, and days of the zone."""

    since: str
    until: str
    first: str
    last: str
    partial: bool = False


class Report(msgspec.Struct, frozen=True):
    """A whole report. *kind* is "survey" or "service"; *name* names the survey; *filters* is what it is limited to."""

    kind: str
    name: str
    language: str
    timezone: str
    made_at: str
    period: Span
    before: Span
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    keywords: tuple[Keywords, ...] = ()
    definitions: tuple[Definition, ...] = ()
    notes: tuple[Definition, ...] = ()
    title: str = ""
    purpose: str = ""
    owner: str = ""
    filters: dict[str, str] = {}
    late: bool = False

    def table(self, key: str) -> Table | None:
        """Return the table whose rows are *key*, None if there is none."""
        return next((one for one in self.tables if one.key == key), None)


def column(columns: Sequence[Column], key: str, part: str = "") -> int:
    """Return the place of a column. Raises `KeyError`."""
    for place, one in enumerate(columns):
        if (one.key, one.part) == (key, part):
            return place
    raise KeyError(key)
