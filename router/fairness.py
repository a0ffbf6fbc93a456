"""Who was given how much, and who waited how long: per team, shift and day. Pure but for `read`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from config.hours import DAY, Hours
from inbox.conversations import pairs
from inbox.partitions import shared_key
from inbox.store import Store
from router.assignment import GROUP
from router.crews import Crew, Roster
from router.hours import is_open

HUB = "hub"
CHUNK = 2000
LATE = 60_000  # entries are in the order of the store's clock, their times are those of the processes


@dataclass(frozen=True, slots=True)
class Given:
    """One assignment: when, to whom, after how long a wait (ms); by the "hub" or by "people"; who else was there."""

    conversation: str
    team: str
    agent: str
    at: int
    waited: int
    by: str
    present: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What is counted of one team in one shift of one day."""

    given: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    present: set[str] = field(default_factory=set)
    waits: list[int] = field(default_factory=list)


async def read(store: Store, since: int) -> list[Given]:
    """Return the assignments since *since* (ms), newest first, of the last 100,000. Raises `StoreError`."""
    found: list[Given] = []
    untold: dict[str, list[int]] = {}  # of each team the places in *found* of which an older entry tells who was there
    end = "+"
    while True:
        entries = await store.do(GROUP, "XREVRANGE", shared_key(GROUP, "given"), end, "-", "COUNT", CHUNK)
        for _, flat in entries:
            one = pairs(flat)
            at, there = int(one["at"]), tuple(one["n"].split())
            if at < since - LATE and not any(untold.values()):
                return found
            if at >= since:
                found.append(Given(one["c"], one["t"], one["a"], at, int(one["w"]), one["by"], there))
                if one["by"] == HUB and not there:
                    untold.setdefault(one["t"], []).append(len(found) - 1)
            if there:
                for place in untold.pop(one["t"], []):
                    found[place] = replace(found[place], present=there)
        if len(entries) < CHUNK:
            return found
        end = f"({entries[-1][0]}"


def report(given: Iterable[Given], roster: Roster, zone: ZoneInfo, team: str = "") -> list[dict[str, Any]]:
    """Count *given* per team, shift and day, the latest day first; *team* leaves only one. *zone* is the hub's.

    The spread is the difference between the most and the fewest that the hub gave to those who were there; the fairness
    is Jain's index of the same numbers by weight: 1 = all alike, 1/n = one has it all.
    """
    tallies: dict[tuple[str, str, str], Tally] = {}
    for one in given:
        crew = roster.crews.get(one.team)
        if crew is None or (team and one.team != team):
            continue
        tally = tallies.setdefault((one.team, *shift(crew, one, roster.hours, zone)), Tally())
        tally.present.update(one.present, (one.agent,))
        if one.by == HUB:
            tally.given[one.agent] += 1
            tally.waits.append(one.waited)
        else:
            tally.taken[one.agent] += 1
    order = sorted(tallies, key=lambda where: (where[2], where[0], where[1]), reverse=True)
    return [_row(where, tallies[where], roster.crews[where[0]]) for where in order]


def shift(crew: Crew, one: Given, hours: Mapping[str, Hours], zone: ZoneInfo) -> tuple[str, str]:
    """Return the shift and the day to which an assignment belongs; a shift past midnight belongs to the day before."""
    names = next((member.shifts for member in crew.members if member.name == one.agent), ())
    for name in names:
        if name in hours and is_open(hours[name], one.at):
            return name, _day(hours[name], one.at)
    return "", dt.datetime.fromtimestamp(one.at / 1000, zone).date().isoformat()


def _day(hours: Hours, at: int) -> str:
    local = dt.datetime.fromtimestamp(at / 1000, hours.timezone)
    second = local.hour * 3600 + local.minute * 60 + local.second
    begun = any(span.start <= second for span in hours.intervals(local.date()))
    night = any(second + DAY < span.end for span in hours.intervals(local.date() - dt.timedelta(days=1)))
    return (local.date() - dt.timedelta(days=int(night and not begun))).isoformat()


def _row(where: tuple[str, str, str], tally: Tally, crew: Crew) -> dict[str, Any]:
    team, name, day = where
    weights = {member.name: member.weight if crew.strategy == "weighted" else 1 for member in crew.members}
    there = sorted(tally.present)
    counts = [tally.given[agent] for agent in there]
    return {
        "team": team,
        "shift": name or None,
        "date": day,
        "agents": [
            {"agent": agent, "given": tally.given[agent], "taken": tally.taken[agent], "weight": weights.get(agent, 1)}
            for agent in there
        ],
        "spread": max(counts) - min(counts),
        "fairness": jain([tally.given[agent] / weights.get(agent, 1) for agent in there]),
        "waiting": waits(tally.waits),
    }


def jain(shares: Sequence[float]) -> float:
    """Return Jain's fairness index: the square of the sum by the count and the sum of squares; 1 for nothing."""
    squares = sum(share * share for share in shares)
    return round(sum(shares) ** 2 / (len(shares) * squares), 3) if squares else 1.0


def waits(times: Sequence[int]) -> dict[str, Any]:
    """Return how long it took until somebody had it, in seconds; None for nothing."""
    ordered = sorted(times)

    def at(share: float) -> float | None:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000 if ordered else None

    return {"count": len(ordered), "median": at(0.5), "p95": at(0.95), "longest": at(1.0)}
