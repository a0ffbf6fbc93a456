"""The course of a conversation, as far as clocks care: who wrote when, when it rested, when it was over. Pure.

It is kept as text in the conversation itself and changes in the same step as the conversation, so that every
deadline can be computed again from it at any time: ``W1795301382538 a5000 w72000``. A letter says what happened, the
number when: the first in milliseconds since 1970 UTC, the others in milliseconds after the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

OPENED = "W"  # the customer wrote, and opened or reopened the conversation
WROTE = "w"  # the customer wrote
ANSWERED = "a"  # a person answered, in the hub or in the platform's own tool
SNOOZED = "s"
RETURNED = "o"  # we opened it again: a person did, or a snooze ended
RESOLVED = "r"

FIRST_REPLY, NEXT_REPLY, RESOLUTION = "first_reply", "next_reply", "resolution"
CLOCKS = (FIRST_REPLY, NEXT_REPLY, RESOLUTION)
LONGEST = 300
SAME = {OPENED: "", WROTE: "Ww", ANSWERED: "a", SNOOZED: "s", RETURNED: "", RESOLVED: "r"}
"""What changes nothing after what: a second message of somebody who waits already, a second answer."""


class Step(NamedTuple):
    """One thing that happened, at an instant."""

    what: str
    at: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a clock, from what started it to what ended it.

    *stretches* are the times in which it ran; the last one ends with None while it runs. *over* says how it ended:
    "answered", "resolved", or "" if it has not. A run that is not over and whose last stretch has an end is paused.
    """

    clock: str
    stretches: tuple[tuple[int, int | None], ...]
    over: str = ""

    @property
    def start(self) -> int:
        return self.stretches[0][0]

    @property
    def end(self) -> int | None:
        """When it ended or was paused; None while it runs."""
        return self.stretches[-1][1]


def steps(text: str) -> tuple[Step, ...]:
    """Parse a course."""
    found: list[Step] = []
    at = 0
    for word in text.split():
        at += int(word[1:])
        found.append(Step(word[0], at))
    return tuple(found)


def extended(text: str, what: str, at: int) -> str:
    """Return the course *text* with one step more; as it is where that changes nothing.

    A step that claims to be before the last one is taken to be at the same instant: clocks of several machines differ.
    Of a course without end the oldest exchanges after the first answer are forgotten, and count as time in which the
    customer was waited for.
    """
    if not text:
        return f"{what}{at}"
    last = text.rpartition(" ")[2][0]
    if last in SAME[what]:
        return text
    known = steps(text)
    if len(known) >= LONGEST:
        known = _shortened(known)
        text = _written(known)
    return f"{text} {what}{max(0, at - known[-1].at)}"


def derived(status: str, opened: int, replied: int, wrote: int, resolved: int) -> str:
    """Return the course of a conversation that was kept before there were courses, as far as it is known."""
    text = f"{OPENED}{opened}"
    if replied:
        text = extended(text, ANSWERED, replied)
        if wrote > replied and status != "pending":
            text = extended(text, WROTE, wrote)
    if status == "snoozed":
        text = extended(text, SNOOZED, steps(text)[-1].at)
    return extended(text, RESOLVED, resolved) if status == "resolved" else text


def runs(course: Sequence[Step]) -> list[Run]:
    """Return every run of every clock, in the order in which they began.

    The reply clocks run from the first message that nobody has answered to the answer, or to the end of the
    conversation; snoozing does not stop them, since the customer waits all the same. The resolution runs from the
    message that opened the conversation to its end, and rests while the customer is waited for or the conversation
    sleeps. A customer who reopens it starts it anew; one of us who does so lets it go on where it was.
    """
    folded = _Fold()
    for step in course:
        folded.take(step)
    return [one.run() for one in folded.runs]


class _Open:
    """A run that is being followed."""

    def __init__(self, clock: str, at: int) -> None:
        self.clock = clock
        self.over = ""
        self.stretches: list[tuple[int, int | None]] = [(at, None)]

    def pause(self, at: int) -> None:
        begin, end = self.stretches[-1]
        if end is None:
            self.stretches[-1] = (begin, at)

    def resume(self, at: int) -> None:
        begin, end = self.stretches[-1]
        if end == at:
            self.stretches[-1] = (begin, None)
        elif end is not None:
            self.stretches.append((at, None))

    def finish(self, at: int, how: str) -> None:
        self.pause(at)
        self.over = how

    def run(self) -> Run:
        return Run(self.clock, tuple(self.stretches), self.over)


class _Fold:
    """Follows a course step by step."""

    def __init__(self) -> None:
        self.runs: list[_Open] = []
        self._reply: _Open | None = None
        self._resolution: _Open | None = None
        self._answered = False

    def take(self, step: Step) -> None:
        match step.what:
            case "W":
                self._finish(step.at)
                self._resolution = self._begin(RESOLUTION, step.at)
                self._wait(step.at)
            case "w":
                self._wait(step.at)
                self._go_on(step.at)
            case "a":
                self._answer(step.at)
            case "s":
                if self._resolution is not None and not self._resolution.over:
                    self._resolution.pause(step.at)
            case "o":
                self._return(step.at)
            case "r":
                self._finish(step.at)

    def _begin(self, clock: str, at: int) -> _Open:
        run = _Open(clock, at)
        self.runs.append(run)
        return run

    def _wait(self, at: int) -> None:
        if self._reply is None or self._reply.over:
            self._reply = self._begin(NEXT_REPLY if self._answered else FIRST_REPLY, at)

    def _go_on(self, at: int) -> None:
        if self._resolution is not None and not self._resolution.over:
            self._resolution.resume(at)

    def _answer(self, at: int) -> None:
        self._answered = True
        if self._reply is not None and self._reply.over != "answered":
            if not self._reply.over:
                self._reply.pause(at)
            self._reply.over = "answered"
        if self._resolution is not None and not self._resolution.over:
            self._resolution.pause(at)

    def _return(self, at: int) -> None:
        for run in (self._resolution, self._reply):
            if run is not None and run.over == "resolved":
                run.over = ""
                run.resume(at)
        self._go_on(at)

    def _finish(self, at: int) -> None:
        for run in (self._resolution, self._reply):
            if run is not None and not run.over:
                run.finish(at, "resolved")


def _shortened(course: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return *course* without the oldest message and its answer that come after the first answer."""
    answered = False
    for index, (step, following) in enumerate(pairwise(course)):
        if answered and (step.what, following.what) == (WROTE, ANSWERED):
            return (*course[:index], *course[index + 2 :])
        answered = answered or step.what == ANSWERED
    return course


def _written(course: Sequence[Step]) -> str:
    last = 0
    words = []
    for step in course:
        words.append(f"{step.what}{step.at - last}")
        last = step.at
    return " ".join(words)
