"""What happened in conversations in a period, and how long it took: counted by group. Pure.

Everything is computed anew out of the courses of conversations, as the clocks of promises are (`inbox.clocks`).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inbox import clocks
from inbox.cases import Case
from inbox.clocks import Promise
from inbox.course import CLOCKS, OPENED, RESOLVED, RETURNED, Run, Step, runs
from inbox.periods import Period
from inbox.worktime import Worktime

BY = ("team", "agent", "channel", "tag", "week", "hour", "stage")
ALWAYS = Worktime()


@dataclass(frozen=True, slots=True)
class Terms:
    """What is promised, and when teams work: by name, as `inbox.promises` has it."""

    promises: Mapping[str, Promise]
    own: Mapping[tuple[str, str], Promise]
    by_team: Mapping[str, str]
    hours: Mapping[str, Worktime]

    def promise(self, case: Case) -> Promise | None:
        """Return the promise for a conversation, None if there is none."""
        name = case.sla or self.by_team.get(case.team, "")
        return self.own.get((name, case.team)) or self.promises.get(name)

    def worktime(self, case: Case, promise: Promise | None) -> Worktime:
        """Return in which time a conversation's clocks run: by its promise, else by the hours of its team."""
        if promise is not None and not promise.worktime.always:
            return promise.worktime
        return self.hours.get(case.team, ALWAYS)


def _times() -> dict[str, array[float]]:
    return {clock: array("d") for clock in CLOCKS}


def _judged() -> dict[str, list[int]]:
    return {clock: [0, 0] for clock in CLOCKS}


@dataclass(slots=True)
class Load:
    """What is counted of one group in one period. Times are in seconds; *judged* is [kept, all] by clock."""

    opened: int = 0
    reopened: int = 0
    resolved: int = 0
    turns: int = 0
    backlog: int = 0
    work: dict[str, array[float]] = field(default_factory=_times)
    wall: dict[str, array[float]] = field(default_factory=_times)
    judged: dict[str, list[int]] = field(default_factory=_judged)
    _ordered: dict[tuple[str, str], list[float]] = field(default_factory=dict, repr=False)

    def add(self, other: Load) -> None:
        """Count what *other* has counted as well."""
        self.opened += other.opened
        self.reopened += other.reopened
        self.resolved += other.resolved
        self.turns += other.turns
        self.backlog += other.backlog
        for clock in CLOCKS:
            self.work[clock].extend(other.work[clock])
            self.wall[clock].extend(other.wall[clock])
            self.judged[clock][0] += other.judged[clock][0]
            self.judged[clock][1] += other.judged[clock][1]

    def ordered(self, which: str, clock: str) -> Sequence[float]:
        """Return the times of one clock, "work" or "wall", in order."""
        known = self._ordered.get((which, clock))
        times = (self.work if which == "work" else self.wall)[clock]
        if known is None or len(known) != len(times):
            known = self._ordered[which, clock] = sorted(times)
        return known

    @property
    def counted(self) -> bool:
        """Whether anything was."""
        return bool(self.opened or self.reopened or self.resolved or self.turns or self.backlog or self.kept[1])

    @property
    def kept(self) -> tuple[int, int]:
        """How many promises were kept, and how many were judged, over all clocks."""
        return sum(one[0] for one in self.judged.values()), sum(one[1] for one in self.judged.values())


Pair = tuple[Load, Load]
"""The loads of this period and of the one before."""

Loads = dict[tuple[str, str], Load]
TURNING = frozenset({OPENED, RETURNED, RESOLVED})
QUARTER = 900_000
MOST_PAIRS = 4_000
"""Different sets of groups that are counted apart before they are put together: each takes a kilobyte or two."""


class Ledger:
    """The loads of *period* and of the one before, in all and by group; *only* limits it to some conversations.

    What happens counts twice while it is read: for whose conversation it is (all its groups together), and for when.
    The groups are put together out of these when they are asked for.
    """

    def __init__(self, terms: Terms, period: Period, by: Sequence[str], only: Mapping[str, str]) -> None:
        self._terms = terms
        self._by = tuple(by)
        self._only = only
        self.period = period
        self.before = period.before
        self.by_day: dict[str, list[int]] = {}
        self._ends = (min(period.until, period.now), self.before.until)
        self._whose: dict[tuple[str, ...], Pair] = {}
        self._when: tuple[Loads, Loads] = ({}, {})
        self._moments: dict[int, tuple[str, str, str]] = {}
        self._groups: tuple[Loads, Loads] = ({("all", ""): Load()}, {("all", ""): Load()})

    @property
    def now(self) -> Loads:
        """The loads of the period by kind and name of the group."""
        self._settle()
        return self._groups[0]

    @property
    def earlier(self) -> Loads:
        """Those of the period before."""
        self._settle()
        return self._groups[1]

    def _settle(self) -> None:
        """Put what was counted since the last time into the groups."""
        for values, pair in self._whose.items():
            for place in self._places(values):
                for loads, load in zip(self._groups, pair, strict=True):
                    loads.setdefault(place, Load()).add(load)
        for loads, timed in zip(self._groups, self._when, strict=True):
            for (week, hour), load in timed.items():
                for by, name in (("week", week), ("hour", hour)):
                    if by in self._by:
                        loads.setdefault((by, name), Load()).add(load)
            timed.clear()
        self._whose.clear()

    def _places(self, values: Sequence[str]) -> list[tuple[str, str]]:
        """Return the groups of a conversation by what `_pair` knows of it."""
        places = [("all", "")]
        for by, value in zip(self._by, values, strict=True):
            if by == "tag":
                places += [("tag", name) for name in value.split(",") if name]
            elif by not in ("week", "hour"):
                places.append((by, value))
        return places

    def add(self, case: Case) -> None:
        """Count a conversation."""
        if not self._wanted(case):
            return
        steps = case.steps()
        if steps[-1].at < self.before.since and steps[-1].what == RESOLVED:
            return
        pair = self._pair(case)
        self._volumes(steps, pair)
        promise = self._terms.promise(case)
        worktime = self._terms.worktime(case, promise)
        for run in runs(steps):
            self._run(run, promise, worktime, pair)

    def _wanted(self, case: Case) -> bool:
        for name, value in self._only.items():
            has: str = case.tags if name == "tag" else getattr(case, name)
            if value not in (has.split(",") if name == "tag" else (has,)):
                return False
        return True

    def _pair(self, case: Case) -> Pair:
        """Return the loads in which a conversation counts with all others of the same groups."""
        values = tuple([case.tags if by == "tag" else getattr(case, by, "") for by in self._by])
        known = self._whose.get(values)
        if known is None:
            if len(self._whose) >= MOST_PAIRS:
                self._settle()
            known = self._whose[values] = (Load(), Load())
        return known

    def _loads(self, at: int, begun: int, pair: Pair) -> tuple[Load, ...]:
        """Return where something counts that happened at *at*; by hour what *begun* says does."""
        if self.period.since <= at < self.period.until:
            which = 0
        elif self.before.since <= at < self.before.until:
            which = 1
        else:
            return ()
        when = (self._moment(at)[0], self._moment(begun)[1])
        timed = self._when[which].get(when)
        if timed is None:
            timed = self._when[which][when] = Load()
        return pair[which], timed

    def _moment(self, at: int) -> tuple[str, str, str]:
        """Return the week, the hour and the day of an instant; zones are whole quarters of an hour from UTC."""
        known = self._moments.get(at // QUARTER)
        if known is None:
            local = self.period.local(at)
            known = (self.period.week(at), f"{local.hour:02}", local.date().isoformat())
            self._moments[at // QUARTER] = known
        return known

    def _volumes(self, steps: Sequence[Step], pair: Pair) -> None:
        over = False
        for number, step in enumerate(steps):
            what = step.what
            if what not in TURNING:
                continue
            if what == RESOLVED:
                for load in self._loads(step.at, step.at, pair):
                    load.resolved += 1
                self._day(step.at, 1)
            elif number == 0:
                for load in self._loads(step.at, step.at, pair):
                    load.opened += 1
                self._day(step.at, 0)
            elif what == OPENED or over:
                for load in self._loads(step.at, step.at, pair):
                    load.reopened += 1
            over = what == RESOLVED
        for end, load in zip(self._ends, pair, strict=True):
            load.backlog += self._open(steps, end)

    def _day(self, at: int, which: int) -> None:
        if self.period.since <= at < self.period.until:
            self.by_day.setdefault(self._moment(at)[2], [0, 0])[which] += 1

    @staticmethod
    def _open(steps: Sequence[Step], end: int) -> bool:
        """Tell whether a conversation was there and not resolved just before *end*."""
        if steps[0].at >= end:
            return False
        return next((step.what for step in reversed(steps) if step.at < end and step.what in TURNING), "") != RESOLVED

    def _run(self, run: Run, promise: Promise | None, worktime: Worktime, pair: Pair) -> None:
        clock, begun, end = run.clock, run.start, run.end
        if clock != "resolution":
            for load in self._loads(begun, begun, pair):
                load.turns += 1
        work = 0
        if run.over and end is not None:
            loads = self._loads(end, begun, pair)
            if not loads:
                return
            work = sum([worktime.worked(start, stop or start) for start, stop in run.stretches])
            if run.over == ("resolved" if clock == "resolution" else "answered"):
                wall = sum([(stop or start) - start for start, stop in run.stretches]) / 1000
                for load in loads:
                    load.wall[clock].append(wall)
                    load.work[clock].append(work / 1000)
            if promise is not None and clock in promise.limits:
                kept = not self._late(run, promise, work if worktime is promise.worktime else None)
                for load in loads:
                    load.judged[clock][0] += kept
                    load.judged[clock][1] += 1
        elif promise is not None:
            reading = clocks.read(promise, run)
            due = reading.due if reading is not None else None
            for load in self._loads(due, begun, pair) if due is not None and due <= self.period.now else ():
                load.judged[clock][1] += 1

    @staticmethod
    def _late(run: Run, promise: Promise, work: int | None) -> bool:
        """Tell whether a run ended too late; only one that ended just when its time was over needs its deadline."""
        if work is None:
            work = sum([promise.worktime.worked(start, stop or start) for start, stop in run.stretches])
        limit = promise.limits[run.clock].time
        if work != limit:
            return work > limit
        reading = clocks.read(promise, run)
        return reading is not None and reading.late

    def labels(self, by: str) -> list[str]:
        """Return the groups of one kind that occur in the period, the busiest first; weeks and hours in their order."""
        if by == "week":
            return [week for week, _ in self.period.weeks()]
        if by == "hour":
            return [f"{hour:02}" for hour in range(24)]
        found = {name: load for (kind, name), load in self.now.items() if kind == by and load.counted}
        return sorted(found, key=lambda name: (-found[name].opened - found[name].turns, name))
