"""Lint of the settings behind the routes: teams that nobody is in, promises and texts that nothing uses. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

from config.conditions import several, walk
from config.documents import Document
from config.enrolment import carrier
from config.faults import Problem
from config.loading import Loaded
from config.routes import Fields, routes
from config.settings import Settings
from config.staff import Way
from inbox.worktime import DAY, Span, Worktime, merged
from router.hours import next_open

Finding = tuple[Document, Problem]
AHEAD = 28
"""Days for which it is looked whether teams are attended: weeks are alike, but for holidays."""


SENT = "a route that acknowledges with it, a fallback, or for_agents"


def staffing(loaded: Loaded, now: int) -> Iterator[Finding]:
    """Yield what the settings lack for the routes, or have without any use. *now* is in milliseconds."""
    used = _Used(loaded)
    yield from ((loaded.main, problem) for problem in _teams(loaded, used))
    yield from ((loaded.main, problem) for problem in _unattended(loaded, used, now))
    yield from ((loaded.main, problem) for problem in _circles(loaded))
    yield from ((loaded.main, problem) for problem in _hours(loaded, now))
    yield from ((loaded.main, problem) for problem in _unused(loaded, used))
    yield from ((loaded.main, problem) for problem in _unheard(loaded.settings))
    for page in loaded.texts:
        for name in page.data if isinstance(page.data, dict) else ():
            if name not in used.templates and not loaded.templates[name].for_agents:
                what, wanted = f'no route sends the template "{name}"', SENT
                yield page, Problem((name,), what, wanted, key=True, rule="unused-template")


class _Used:
    """The names that routes, the default and the settings themselves make use of."""

    def __init__(self, loaded: Loaded) -> None:
        settings = loaded.settings
        fields = list(_decided(loaded))
        self.templates = {word for each in fields for word in several(each.acknowledge or ())}
        self.templates |= {
            step.template for steps in settings.delivery.fallback.values() for step in steps if step.template
        }
        self.agents = {each.agent for each in fields if each.agent} | {
            name for team in settings.teams.values() for name in team.members
        }
        self.teams = {each.team for each in fields if each.team}
        new = self.teams
        while new:
            overflows = [settings.teams[name].assign.overflow for name in new]
            new = {each.to for each in overflows if each is not None} - self.teams
            self.teams |= new
        self.sla = {each.sla for each in fields if each.sla} | {
            team.sla for team in settings.teams.values() if team.sla
        }
        self.hours = {team.hours for team in settings.teams.values()} | {sla.hours for sla in settings.sla.values()}
        self.hours |= {name for agent in settings.agents.values() for name in agent.shifts}
        self.hours |= {name for team in settings.teams.values() for name in team.assign.shifts}
        self.hours |= {
            name
            for file in loaded.routes
            for _, route in routes(file)
            for _, condition in (walk(route.when, ()) if route.when is not None else ())
            for name in condition.hours
        }


def _decided(loaded: Loaded) -> Iterator[Fields]:
    for file in loaded.routes:
        if file.default is not None:
            yield file.default
        yield from (route.set for _, route in routes(file))


def _teams(loaded: Loaded, used: _Used) -> Iterator[Problem]:
    settings = loaded.settings
    for name in sorted(used.teams):
        team = settings.teams[name]
        path = ("teams", name, "members") if "members" in team.model_fields_set else ("teams", name)
        if not team.members:
            yield Problem(path, f'team "{name}" has no members', "somebody who answers", key=True, rule="empty-team")
        elif not any(_takes(settings, one) for one in team.members):
            what = f'nobody in team "{name}" has room for a conversation'
            yield Problem(path, what, "a member with a capacity above 0", key=True, rule="empty-team")


def _takes(settings: Settings, agent: str) -> bool:
    capacity = settings.agents[agent].capacity
    return capacity is None or capacity.total != 0


def _unattended(loaded: Loaded, used: _Used, now: int) -> Iterator[Problem]:
    """Find teams that are open while none of their members is on shift; who has no shifts always is."""
    settings = loaded.settings
    calendars = {name: Worktime(hours) for name, hours in settings.hours.items()}
    for name in sorted(used.teams):
        team = settings.teams[name]
        shifts = [settings.agents[one].shifts or team.assign.shifts for one in team.members if _takes(settings, one)]
        if team.hours is None or not shifts or not all(shifts):
            continue
        # From yesterday on, so that what goes on now is told with its beginning.
        begin, end = now - DAY, now + AHEAD * DAY
        names = {word for words in shifts for word in words}
        on = merged(sorted(span for each in names for span in calendars[each].spans(begin, end)))
        gap = _first_gap(calendars[team.hours].spans(begin, end), on, now)
        if gap is not None:
            zone = settings.hours[team.hours].timezone
            since, until = (dt.datetime.fromtimestamp(at // 1000, zone).strftime("%Y-%m-%d %H:%M") for at in gap)
            what = f'nobody in team "{name}" is on shift from {since} to {until}, while it is open'
            path = ("teams", name, "members")
            yield Problem(path, what, "a member whose shifts cover that, or shorter hours", rule="unattended-team")


def _first_gap(opened: Iterable[Span], on: Iterable[Span], now: int) -> Span | None:
    """Return the first part of a span *opened* that no span *on* covers and that is not over; all in order, apart."""
    for begin, end in opened:
        at = begin
        for since, until in on:
            if until <= at or since >= end:
                continue
            if at < since and now < since:
                return at, since
            at = until
        if at < end and now < end:
            return at, end
    return None


def _circles(loaded: Loaded) -> Iterator[Problem]:
    teams = loaded.settings.teams
    told: set[str] = set()
    for name in teams:
        way = [name]
        while (overflow := teams[way[-1]].assign.overflow) is not None and overflow.to not in way:
            way.append(overflow.to)
        if overflow is not None and overflow.to == name and not told & set(way):
            told |= set(way)
            what = f"these teams overflow into each other: {', '.join(way)}"
            yield Problem(
                ("teams", name, "assign", "overflow", "to"), what, "one that keeps what it has", rule="overflow-circle"
            )


def _hours(loaded: Loaded, now: int) -> Iterator[Problem]:
    for name, hours in loaded.settings.hours.items():
        if next_open(hours, now) is None:
            what = f'the hours "{name}" never open'
            yield Problem(("hours", name), what, "a day with intervals", key=True, rule="never-open")


def _unheard(settings: Settings) -> Iterator[Problem]:
    """Yield each way to tell an agent or a team for which there is no channel."""
    kinds = {name: channel.kind for name, channel in settings.channels.items()}
    ways: list[tuple[str, str, Sequence[Way]]] = [
        *(("agents", name, one.notify) for name, one in settings.agents.items()),
        *(("teams", name, group.notify) for name, group in settings.teams.items()),
    ]
    for section, name, given in ways:
        for number, way in enumerate(given):
            if not carrier(way, kinds):
                what = f"no channel carries notices by {way.kind}"
                yield Problem((section, name, "notify", number), what, "a channel of that kind", rule="unheard-notice")


def _unused(loaded: Loaded, used: _Used) -> Iterator[Problem]:
    settings = loaded.settings
    if not loaded.routes:
        return
    sections: tuple[tuple[str, Iterable[str], Iterable[str | None], str], ...] = (
        ("teams", settings.teams, used.teams, 'no route leads to team "{}"'),
        ("agents", settings.agents, used.agents, 'agent "{}" is in no team'),
        ("hours", settings.hours, used.hours, 'nothing asks for the hours "{}"'),
        ("sla", settings.sla, used.sla, 'nothing asks for the service level "{}"'),
    )
    for section, names, known, what in sections:
        for name in names:
            if name not in known:
                rule = f"unused-{section.removesuffix('s') if section in ('teams', 'agents') else section}"
                yield Problem((section, name), what.format(name), "something that uses it", key=True, rule=rule)
