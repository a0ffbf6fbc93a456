"""SLA clocks: what is promised and what happened, turned into deadlines, warnings and breaches. Pure.

Whatever is asked is computed anew from the course of the conversation, so that a change of promises or hours, a clock
that was set, or a hub that was down make no deadline wrong. What was told already is the only thing remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inbox.course import CLOCKS, Run
from inbox.worktime import Span, Worktime

WARNING, BREACH, MET = "warning", "breach", "met"
LEVELS = {WARNING: "w", MET: "m", BREACH: "b"}
LETTERS = {clock[0]: clock for clock in CLOCKS}


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a clock may run, and after what time to warn, in milliseconds of working time."""

    time: int
    warn: int


@dataclass(frozen=True, slots=True)
class Promise:
    """What a customer is promised: by the service level *name*, a limit for each clock that has one.

    *calendar* is the name of the hours in which time runs, "" if it always runs.
    """

    name: str
    limits: Mapping[str, Limit]
    worktime: Worktime = field(repr=False)
    calendar: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A clock as far as it can be known.

    *due* is when its time is over, *warn* when to warn of that; None while it is paused before then, and where the
    hours never open again.
    """

    run: Run
    limit: Limit
    due: int | None
    warn: int | None

    @property
    def state(self) -> str:
        """What the clock does: "running", "paused", or how it ended: "answered", "resolved"."""
        return self.run.over or ("running" if self.run.end is None else "paused")

    @property
    def late(self) -> bool:
        """Whether it ended after its time was over; of one that has not ended `plan` knows."""
        return bool(self.run.over) and self.due is not None and self.run.end is not None and self.run.end > self.due


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of a conversation's clocks.

    *until* is the end of the last run that has been judged for good. *marks* hold, for each clock, the beginning of
    the run of which something was said last, and all that was said of it: "w" a warning, "m" that the promise was
    kept, "b" a breach. One that was kept may still be broken if the conversation is opened again.
    """

    until: int = 0
    marks: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def parsed(cls, text: str) -> Told:
        """Parse ``1795301382538 f1795301300000b``."""
        words = text.split()
        if not words:
            return cls()
        marks = {}
        for word in words[1:]:
            start = word[1:].rstrip("wmb")
            marks[LETTERS[word[0]]] = int(start), word[1 + len(start) :]
        return cls(int(words[0]), marks)

    def __str__(self) -> str:
        marks = (f"{clock[0]}{start}{level}" for clock, (start, level) in self.marks.items())
        return " ".join((str(self.until), *marks))

    def level(self, run: Run) -> str:
        """Return what was said of *run*: letters out of "wmb"."""
        start, level = self.marks.get(run.clock, (-1, ""))
        return level if start == run.start else ""

    def said(self, run: Run, what: str) -> Told:
        """Return this with *what* noted of *run*, too."""
        return replace(self, marks={**self.marks, run.clock: (run.start, self.level(run) + LEVELS[what])})


@dataclass(frozen=True, slots=True)
class Happening:
    """What there is to tell of a *promise*: a "warning", a "breach", or that it was "met". *at* is since when."""

    what: str
    at: int
    reading: Reading
    promise: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to tell now, what will then have been told, and when to look again (None: not before something changes).

    *late* is when the first clock is or was due of those that have warned or are over, and go on; None without any.
    """

    happenings: tuple[Happening, ...]
    told: Told
    next_at: int | None
    late: int | None = None


def read(promise: Promise, run: Run) -> Reading | None:
    """Read the clock of *run*; None if nothing is promised for it."""
    limit = promise.limits.get(run.clock)
    if limit is None:
        return None
    work = promise.worktime
    return Reading(run, limit, _reached(work, run, limit.time), _reached(work, run, limit.warn))


def used(promise: Promise, run: Run, now: int) -> int:
    """Return the working time for which *run* has run until *now*, in milliseconds."""
    return sum(promise.worktime.worked(begin, now if end is None else end) for begin, end in run.stretches)


def counted(promise: Promise, run: Run, now: int) -> list[Span]:
    """Return every span that counted for *run* until *now*, in order."""
    return [
        span
        for begin, end in run.stretches
        for span in promise.worktime.spans(begin, now if end is None else min(end, now))
    ]


def readings(promise: Promise, runs: Iterable[Run]) -> dict[str, Reading]:
    """Return the last run of each clock that has a promise."""
    last = {run.clock: run for run in runs}
    found = ((clock, read(promise, last[clock])) for clock in CLOCKS if clock in last)
    return {clock: reading for clock, reading in found if reading is not None}


def plan(promise: Promise, runs: Sequence[Run], told: Told, now: int) -> Plan:
    """Decide what is to be told at *now*.

    Of each run a warning, a breach, and that it was met are told once, the breach with the time at which it came to
    be, however late it is noticed. A warning that comes after the breach, or after the end, is left out.
    """
    happenings: list[Happening] = []
    following: list[int] = []
    late: list[int] = []
    until = told.until
    for run in runs:
        over = run.over != ""
        if over and run.end is not None:
            if run.end <= told.until:
                continue
            until = max(until, run.end)
        reading = read(promise, run)
        if reading is None:
            continue
        if LEVELS[BREACH] in told.level(run):
            if not over:
                late.append(_due(reading))
            continue
        happening = _judged(promise.name, reading, told.level(run), now)
        if happening is not None:
            happenings.append(happening)
            told = told.said(run, happening.what)
        if not over and told.level(run):
            late.append(_due(reading))
        if not over and LEVELS[BREACH] not in told.level(run):
            moments = (reading.due, reading.warn if LEVELS[WARNING] not in told.level(run) else None)
            following += [moment for moment in moments if moment is not None]
    return Plan(
        tuple(happenings), replace(told, until=until), min(following, default=None), late=min(late, default=None)
    )


def _due(reading: Reading) -> int:
    """Return when a clock is due; of one that rests before then, when it last stopped."""
    return reading.due or reading.run.end or reading.run.start


def _judged(name: str, reading: Reading, level: str, now: int) -> Happening | None:
    over = reading.run.over != ""
    if reading.late or (not over and reading.due is not None and reading.due <= now):
        return Happening(BREACH, reading.due or 0, reading, name)
    if over:
        return Happening(MET, reading.run.end or 0, reading, name) if LEVELS[MET] not in level else None
    if LEVELS[WARNING] not in level and reading.warn is not None and reading.warn <= now:
        return Happening(WARNING, reading.warn, reading, name)
    return None


def _reached(work: Worktime, run: Run, amount: int) -> int | None:
    """Return when *run* has run for *amount*; None if it has not and does not run now, or never will."""
    for begin, end in run.stretches:
        at = work.reach(begin, amount)
        if end is None:
            return at
        if at is not None and at < end:
            return at
        amount -= work.worked(begin, end)
    return None
