"""Which promise holds for a conversation: the service levels of the configuration, ready for the clocks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.hours import Hours
from config.settings import TEAMS_OWN, Settings, Sla
from inbox import course
from inbox.api import rfc3339
from inbox.clocks import BREACH, LEVELS, WARNING, Limit, Promise, Told, readings
from inbox.conversations import LATE, Conversation, known_course
from inbox.course import CLOCKS
from inbox.worktime import Worktime


@dataclass(frozen=True, slots=True)
class Promises:
    """Every promise of a configuration. *digest* differs whenever a deadline could."""

    by_name: Mapping[str, Promise] = field(repr=False)
    by_team: Mapping[str, str] = field(repr=False)
    own_hours: Mapping[tuple[str, str], Promise] = field(repr=False)
    digest: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Promises:
        """Prepare the promises of *settings*."""
        worktimes = {name: Worktime(hours) for name, hours in settings.hours.items()}
        by_name = {
            name: _promise(name, sla, "" if sla.hours == TEAMS_OWN else sla.hours or "", worktimes)
            for name, sla in settings.sla.items()
        }
        own = {
            (name, team): _promise(name, sla, one.hours, worktimes)
            for name, sla in settings.sla.items()
            for team, one in settings.teams.items()
            if sla.hours == TEAMS_OWN and one.hours
        }
        by_team = {name: team.sla for name, team in settings.teams.items() if team.sla}
        return cls(by_name, by_team, own, _digest(settings))

    def holds(self, conversation: Conversation) -> Promise | None:
        """Return the promise for a conversation: what a route or person set, else its team's; None if there is none."""
        name = conversation.sla or self.by_team.get(conversation.team, "")
        return self.own_hours.get((name, conversation.team)) or self.by_name.get(name)


def due_times(promises: Promises, conversation: Conversation) -> dict[str, Any]:
    """Return the clocks of a conversation for the API: when each is due, which warned, are breached, or are paused.

    Due is None for a clock that has nothing promised, does not run, or whose hours do not open again.
    """
    due: dict[str, str | None] = dict.fromkeys(f"{clock}_due" for clock in CLOCKS)
    promise = promises.holds(conversation)
    runs = course.runs(course.steps(known_course(conversation)))
    told = Told.parsed(conversation.told)
    levels = {run.clock: told.level(run) for run in runs}
    paused = []
    for clock, reading in readings(promise, runs).items() if promise is not None else ():
        if reading.state == "running":
            due[f"{clock}_due"] = rfc3339(reading.due or 0)
        elif reading.state == "paused":
            paused.append(clock)
    return {
        "policy": promise.name if promise is not None else conversation.sla or None,
        **due,
        "paused": paused,
        "warned": [clock for clock in CLOCKS if LEVELS[WARNING] in levels.get(clock, "")],
        "breached": [clock for clock in CLOCKS if LEVELS[BREACH] in levels.get(clock, "")],
    }


def _promise(name: str, sla: Sla, calendar: str, worktimes: Mapping[str, Worktime]) -> Promise:
    limits = {clock: Limit(time, sla.warning(clock)) for clock in CLOCKS if (time := getattr(sla, clock)) is not None}
    return Promise(name, limits, worktimes[calendar] if calendar else Worktime(), calendar)


def _digest(settings: Settings) -> str:
    """Return a hash over everything in *settings* that a deadline depends on, and over what is kept of deadlines."""
    parts = [
        LATE,
        *(f"{name} {sla!r}" for name, sla in settings.sla.items()),
        *(f"{name} {_calendar(hours)}" for name, hours in settings.hours.items()),
        *(f"{name} {team.sla} {team.hours}" for name, team in settings.teams.items()),
    ]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def _calendar(hours: Hours) -> str:
    opened = sorted((date, intervals) for date, intervals in hours.open.dates.items())
    return f"{hours.timezone.key} {hours.week} {sorted(hours.closed.dates)} {opened}"
