"""What two rule sets make of the same messages, counted: replay and shadow count alike. Pure.

Every message is counted once, as one of: moved (it ends up otherwise), unchanged, unrouted (no route of the candidate
matches, the default alone says where it goes), undecidable (not known well enough to be decided again).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import msgspec

from router.effects import Outcome, differing

MOST_MOVES = 200
"""Sorts of moves that are told apart; the rest is counted together."""
EXAMPLES = 3
BEFORE, AFTER = 0, 1
OTHER = ("", "", "", "", ())

Sort = tuple[str, str, str, str, tuple[str, ...]]
"""A sort of move: route and team before, route and team after, the fields that differ."""


class Row(msgspec.Struct):
    """Messages of one route or team: how many *before* and *after*, and what becomes of those that were its own."""

    before: int = 0
    after: int = 0
    moved: int = 0
    unchanged: int = 0
    unrouted: int = 0


class Load(msgspec.Struct):
    """Conversations that come to one team, [before, after] by day (2026-11-21) and by hour of the day ("9")."""

    days: dict[str, list[int]] = {}
    hours: dict[str, list[int]] = {}

    def add(self, when: dt.datetime, side: int) -> None:
        """Count one that arrives at *when*."""
        for table, name in ((self.days, when.date().isoformat()), (self.hours, str(when.hour))):
            table.setdefault(name, [0, 0])[side] += 1


class Move(msgspec.Struct):
    """Messages of one sort of move, and the ids of some of them."""

    count: int = 0
    examples: list[str] = []


class Tally(msgspec.Struct):
    """The counts. *reasons* says why messages are undecidable. *newly_unrouted* had a route before.

    *changed* end up otherwise, whether moved or unrouted: as many as *moves* tells apart. *reproduced* were decided
    by the very rules that are compared with, with the same result as now; *contradicted* with another, which must
    not be. *skipped* were not looked at, because looking cost too much.
    """

    total: int = 0
    moved: int = 0
    unchanged: int = 0
    unrouted: int = 0
    undecidable: int = 0
    newly_unrouted: int = 0
    changed: int = 0
    reproduced: int = 0
    contradicted: int = 0
    skipped: int = 0
    first_at: int = 0
    last_at: int = 0
    reasons: dict[str, int] = {}
    fields: dict[str, int] = {}
    routes: dict[str, Row] = {}
    teams: dict[str, Row] = {}
    levels: dict[str, list[int]] = {}
    loads: dict[str, Load] = {}
    moves: dict[Sort, Move] = {}

    def unknown(self, reason: str, count: int = 1) -> None:
        """Count messages that cannot be decided."""
        self.total += count
        self.undecidable += count
        self.reasons[reason] = self.reasons.get(reason, 0) + count

    def add(
        self, message: str, at: int, before: Outcome, after: Outcome, zone: ZoneInfo, promises: Mapping[str, str]
    ) -> None:
        """Count a *message* of the moment *at*; *promises* are the teams' service levels, days are those of *zone*."""
        fields = differing(before, after)
        verdict = "unrouted" if after.unrouted else "moved" if fields else "unchanged"
        self.total += 1
        self.first_at = min(self.first_at or at, at)
        self.last_at = max(self.last_at, at)
        setattr(self, verdict, getattr(self, verdict) + 1)
        self.newly_unrouted += after.unrouted and not before.unrouted
        for table, one, other in ((self.routes, before.route, after.route), (self.teams, before.team, after.team)):
            row = table.setdefault(one, Row())
            row.before += 1
            setattr(row, verdict, getattr(row, verdict) + 1)
            table.setdefault(other, Row()).after += 1
        if before.arrives or after.arrives:
            when = dt.datetime.fromtimestamp(at / 1000, zone)
            for side, end in ((BEFORE, before), (AFTER, after)):
                if end.arrives:
                    self.loads.setdefault(end.team, Load()).add(when, side)
                    self.levels.setdefault(end.sla or promises.get(end.team, ""), [0, 0])[side] += 1
        if fields:
            self._move((before.route, before.team, after.route, after.team, fields), message)

    def _move(self, sort: Sort, message: str) -> None:
        self.changed += 1
        for name in sort[-1]:
            self.fields[name] = self.fields.get(name, 0) + 1
        self._into(sort, Move(1, [message]))

    def _into(self, sort: Sort, more: Move) -> None:
        known = self.moves.get(sort)
        if known is None:
            known = self.moves.setdefault(sort if len(self.moves) < MOST_MOVES else OTHER, Move())
        known.count += more.count
        known.examples += more.examples[: EXAMPLES - len(known.examples)]

    def merge(self, other: Tally) -> None:
        """Add what another process has counted."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.first_at = min(filter(None, (self.first_at, other.first_at)), default=0)
        self.last_at = max(self.last_at, other.last_at)
        for mine, theirs in ((self.reasons, other.reasons), (self.fields, other.fields)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        for rows, more in ((self.routes, other.routes), (self.teams, other.teams)):
            for name, row in more.items():
                known = rows.setdefault(name, Row())
                for part in ROW:
                    setattr(known, part, getattr(known, part) + getattr(row, part))
        _add(self.levels, other.levels)
        for team, load in other.loads.items():
            mine_too = self.loads.setdefault(team, Load())
            _add(mine_too.days, load.days)
            _add(mine_too.hours, load.hours)
        for sort, move in other.moves.items():
            self._into(sort, move)


COUNTS = (
    *("total", "moved", "unchanged", "unrouted", "undecidable", "newly_unrouted", "changed"),
    *("reproduced", "contradicted", "skipped"),
)
ROW = Row.__struct_fields__


def _add(mine: dict[str, list[int]], theirs: Mapping[str, list[int]]) -> None:
    for name, sides in theirs.items():
        known = mine.setdefault(name, [0, 0])
        known[BEFORE] += sides[BEFORE]
        known[AFTER] += sides[AFTER]
