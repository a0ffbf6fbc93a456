"""How long each clock of a conversation ran, span by span, what did not count, and why: as the API shows it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inbox import clocks, course
from inbox.api import rfc3339
from inbox.clocks import Promise, Reading
from inbox.conversations import Conversation, known_course
from inbox.course import ANSWERED, RESOLVED, SNOOZED, Run, Step
from inbox.worktime import Span

WHY = {ANSWERED: "waiting", SNOOZED: "snoozed", RESOLVED: "resolved"}


def reckon(promise: Promise | None, conversation: Conversation, now: int) -> dict[str, Any]:
    """Return every run of every clock of *conversation* for which something is promised, at *now*."""
    steps = course.steps(known_course(conversation))
    shown: dict[str, Any] = {
        "conversation": conversation.id,
        "status": conversation.status,
        "at": rfc3339(now),
        "policy": None,
        "hours": None,
        "timezone": None,
        "clocks": [],
    }
    if promise is None:
        return shown
    zone = promise.worktime.zone
    shown.update(policy=promise.name, hours=promise.calendar or None, timezone=zone.key if zone is not None else None)
    for run in course.runs(steps):
        reading = clocks.read(promise, run)
        if reading is not None:
            shown["clocks"].append(_clock(promise, steps, reading, now))
    return shown


def _clock(promise: Promise, steps: Sequence[Step], reading: Reading, now: int) -> dict[str, Any]:
    run = reading.run
    counted = clocks.counted(promise, run, now)
    used = clocks.used(promise, run, now)
    return {
        "clock": run.clock,
        "state": reading.state,
        "outcome": _outcome(reading, now),
        "since": rfc3339(run.start),
        "until": rfc3339(run.end or 0) if run.over else None,
        "limit_seconds": reading.limit.time / 1000,
        "used_seconds": used / 1000,
        "left_seconds": (reading.limit.time - used) / 1000,
        "warn_at": rfc3339(reading.warn or 0),
        "due": rfc3339(reading.due or 0),
        "counted": [_span(span) for span in counted],
        "left_out": [{**_span(span), "why": why} for span, why in _gaps(run, steps, counted, now)],
    }


def _outcome(reading: Reading, now: int) -> str:
    """Tell how the promise stands: "met", "breached", "warned" or "open"."""
    if reading.late or (not reading.run.over and reading.due is not None and reading.due <= now):
        return "breached"
    if reading.run.over:
        return "met"
    return "warned" if reading.warn is not None and reading.warn <= now else "open"


def _gaps(run: Run, steps: Sequence[Step], counted: Sequence[Span], now: int) -> list[tuple[Span, str]]:
    """Return what lies between the *counted* spans, from the beginning of *run* to its end, with the reason."""
    edges: list[tuple[Span, str]] = []
    for begin, end in run.stretches:
        stop = now if end is None else end
        if edges and edges[-1][0][1] < begin:
            edges.append(((edges[-1][0][1], begin), _paused(steps, edges[-1][0][1])))
        edges.append(((begin, stop), "closed"))
    if not run.over and run.end is not None and run.end < now:
        edges.append(((run.end, now), _paused(steps, run.end)))
    found: list[tuple[Span, str]] = []
    for (begin, end), why in edges:
        inside = [span for span in counted if begin <= span[0] < end] if why == "closed" else []
        for opens, closes in (*inside, (end, end)):
            if begin < opens:
                found.append(((begin, opens), why))
            begin = closes  # noqa: PLW2901  # what is left of this stretch
    return found


def _paused(steps: Sequence[Step], at: int) -> str:
    """Tell what stopped a clock at *at*."""
    return next((WHY[step.what] for step in reversed(steps) if step.at == at and step.what in WHY), "waiting")


def _span(span: Span) -> dict[str, Any]:
    begin, end = span
    return {"from": rfc3339(begin), "to": rfc3339(end), "seconds": (end - begin) / 1000}
