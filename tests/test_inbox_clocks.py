"""Deadlines, warnings and breaches, compared with a reference that looks at the wall clock every minute."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass, field

import pytest

from config.hours import Hours
from inbox import clocks, course
from inbox.clocks import Limit, Promise, Told
from inbox.course import FIRST_REPLY, NEXT_REPLY, RESOLUTION
from inbox.worktime import Worktime
from tests.test_router_hours import WEEKS, calendar, wall_open

MINUTE = 60_000
HOUR = 60 * MINUTE
DAYS = 5
CASES = 500
Telling = tuple[str, int, str, int]


@dataclass
class Count:
    """One run of a clock as somebody with a stopwatch keeps it: a minute is counted or it is not."""

    clock: str
    start: int
    minutes: int = 0
    reached: dict[str, int] = field(default_factory=dict)
    over: str = ""


@dataclass
class Stopwatches:
    """The reference: what the customer and we do, and a look at the wall clock every minute."""

    hours: Hours | None
    limits: dict[str, dict[str, int]]
    counts: list[Count] = field(default_factory=list)
    reply: Count | None = None
    resolution: Count | None = None
    answered: bool = False
    status: str = ""

    def running(self) -> list[Count]:
        """Return the stopwatches that run now."""
        found = [self.reply] if self.reply is not None and not self.reply.over else []
        return [*found, self.resolution] if self.resolution is not None and self.status == "open" else found

    def happens(self, what: str, now: int) -> None:
        """Do what the customer or we did at *now*."""
        before = self.running()
        match what:
            case "W":
                self.resolution = self._new(RESOLUTION, now)
                self.reply = self._new(NEXT_REPLY if self.answered else FIRST_REPLY, now)
                self.status = "open"
            case "w":
                if self.reply is None or self.reply.over:
                    self.reply = self._new(NEXT_REPLY if self.answered else FIRST_REPLY, now)
                self.status = "open"
            case "a":
                assert self.reply is not None
                self.reply.over, self.answered = "answered", True
                self.status = "pending" if self.status != "resolved" else "resolved"
            case "s":
                self.status = "snoozed"
            case "o":
                self._turn(before="resolved", after="")
                self.status = "open"
            case _:
                self._turn(before="", after="resolved")
                self.status = "resolved"
        after = self.running()
        for count in before:
            if count not in after:  # stopped in the very moment in which its time was over: in time
                count.reached = {level: when for level, when in count.reached.items() if when != now}
        for count in after:
            if count not in before:
                self._note(count, now)

    def minute(self, now: int) -> None:
        """Let the minute that begins at *now* pass."""
        if self.hours is None or wall_open(self.hours, now):
            for count in self.running():
                count.minutes += 1
                self._note(count, now + MINUTE)

    def tellings(self) -> list[Telling]:
        """Return every warning and breach so far; a warning that comes with the breach is none."""
        return sorted(
            (count.clock, count.start, level, when)
            for count in self.counts
            for level, when in count.reached.items()
            if level == clocks.BREACH or count.reached.get(clocks.BREACH) != when
        )

    def _turn(self, *, before: str, after: str) -> None:
        for count in (self.reply, self.resolution):
            if count is not None and count.over == before:
                count.over = after

    def _note(self, count: Count, now: int) -> None:
        for level, limit in self.limits.get(count.clock, {}).items():
            if count.minutes >= limit:
                count.reached.setdefault(level, now)

    def _new(self, clock: str, now: int) -> Count:
        self.counts.append(Count(clock, now))
        return self.counts[-1]


@dataclass(frozen=True)
class Story:
    """A random calendar, promise and conversation; what happens is on whole minutes."""

    hours: Hours | None
    limits: dict[str, dict[str, int]]
    start: int
    events: tuple[tuple[int, str], ...]

    @property
    def promise(self) -> Promise:
        limits = {
            clock: Limit(levels[clocks.BREACH] * MINUTE, levels[clocks.WARNING] * MINUTE)
            for clock, levels in self.limits.items()
        }
        return Promise("standard", limits, Worktime(self.hours))


def story(seed: int) -> Story:
    """Make up a story."""
    rng = random.Random(seed)
    hours = calendar(rng) if rng.random() < 0.9 else None
    limits = {}
    for clock, most in ((FIRST_REPLY, 240), (NEXT_REPLY, 120), (RESOLUTION, 1440)):
        if rng.random() < 0.85:
            limit = rng.randint(2, most)
            limits[clock] = {clocks.BREACH: limit, clocks.WARNING: rng.randint(1, limit)}
    start = int(dt.datetime.combine(rng.choice(WEEKS), dt.time(), dt.UTC).timestamp()) * 1000
    minute, status = rng.randrange(2 * 1440), "open"
    events = [(minute, "W")]
    while True:
        minute += rng.choice([0, 1, 7, rng.randrange(60), rng.randrange(600), rng.randrange(1440)])
        if minute >= DAYS * 1440:
            return Story(hours, limits, start, tuple(events))
        choices = {"open": "wwaaasr", "pending": "wwwaor", "snoozed": "waosr", "resolved": "WWWoa"}
        what = rng.choice(choices[status])
        status = {"W": "open", "w": "open", "o": "open", "s": "snoozed", "r": "resolved"}.get(what) or (
            "pending" if status != "resolved" else status
        )
        events.append((minute, what))


def reference(told: Story) -> Stopwatches:
    """Let the stopwatches run through a story, minute by minute."""
    watches = Stopwatches(told.hours, told.limits)
    waiting = list(told.events)
    for minute in range(DAYS * 1440):
        while waiting and waiting[0][0] == minute:
            watches.happens(waiting.pop(0)[1], told.start + minute * MINUTE)
        watches.minute(told.start + minute * MINUTE)
    return watches


def ticked(told: Story, *, awake: float = 1.0) -> tuple[list[Telling], str]:
    """Look at the clocks whenever `plan` asks for it, with the probability *awake*; return what was told.

    Also return the course. At the end somebody looks in any case.
    """
    rng = random.Random(told.start)
    text, known = "", Told()
    tellings: list[Telling] = []
    next_at: int | None = None

    def look(now: int) -> None:
        nonlocal known, next_at
        plan = clocks.plan(told.promise, course.runs(course.steps(text)), known, now)
        known = Told.parsed(str(plan.told))
        next_at = plan.next_at
        tellings.extend(
            (one.reading.run.clock, one.reading.run.start, one.what, one.at)
            for one in plan.happenings
            if one.what != clocks.MET
        )
        assert next_at is None or next_at > now

    end = told.start + DAYS * 1440 * MINUTE
    moments = [(told.start + minute * MINUTE, what) for minute, what in told.events]
    for number, (moment, what) in enumerate(moments):
        text = course.extended(text, what, moment)
        if rng.random() <= awake:
            look(moment)
        until = moments[number + 1][0] if number + 1 < len(moments) else end
        while next_at is not None and next_at < until and rng.random() <= awake:
            look(max(next_at, moment))
    look(end)
    return sorted(tellings), text


@pytest.mark.parametrize("seed", range(CASES))
def test_clocks_equal_stopwatches(seed: int) -> None:
    """Ticks at the times that are asked for tell every warning and breach, at the minute, as stopwatches do."""
    told = story(seed)
    watches = reference(told)
    tellings, text = ticked(told)
    runs = course.runs(course.steps(text))
    end = told.start + DAYS * 1440 * MINUTE

    assert watches.tellings() == tellings
    assert [(one.clock, one.start, one.over) for one in watches.counts] == [
        (run.clock, run.start, run.over) for run in runs
    ]
    for one, run in zip(watches.counts, runs, strict=True):
        if run.clock in told.limits:
            assert one.minutes * MINUTE == clocks.used(told.promise, run, end)
            assert one.minutes * MINUTE == sum(stop - begin for begin, stop in clocks.counted(told.promise, run, end))


@pytest.mark.parametrize("seed", range(0, CASES, 5))
def test_late_ticks_tell_the_truth(seed: int) -> None:
    """Whoever looks late tells every breach once with its true time, and no warning that was overtaken."""
    told = story(seed)
    expected = reference(told).tellings()
    tellings, _ = ticked(told, awake=0.3)

    assert [one for one in expected if one[2] == clocks.BREACH] == [one for one in tellings if one[2] == clocks.BREACH]
    assert set(tellings) <= set(expected)
