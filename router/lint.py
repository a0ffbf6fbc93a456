"""Lint: everything in routes and settings that loads, runs, and is probably not what the admin meant.

What is surely wrong (`router.contradictions`) refuses the files when they are loaded; all the rest is a warning,
which `huiliu check` prints. Pure, but for what it is given.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from zoneinfo import ZoneInfo

from config.conditions import day, several, walk, written
from config.documents import Document
from config.faults import Fault, Problem, listed, nearest
from config.loading import Loaded
from config.settings import Settings
from config.templates import ANY_LANGUAGE
from connectors.base import Capabilities
from router.compilation import instant
from router.hiding import hidden
from router.inheritance import inherited, needless
from router.levels import Placed, every, place
from router.phrasing import lacking, phrasing
from router.pieces import Anatomist
from router.redundancy import redundancies
from router.rules import compile_routes
from router.staffing import staffing
from router.trial import run_tests

RULES = (
    "never-holds", "always-holds", "adds-nothing", "plain-regex", "hidden-route", "hidden-word", "untested-route",
    "test-name-twice", "goes-nowhere", "takes-back-nothing", "inherited-already", "ignored-but-assigned",
    "agent-not-in-team", "skill-nobody-has", "missing-language", "review-due", "past-moment", "empty-team",
    "unattended-team", "overflow-circle", "never-open", "unused-team", "unused-agent", "unused-hours", "unused-sla",
    "unused-template", "lacks-value", "long-template", "unheard-notice", "unasked-order",
)  # fmt: skip

Finding = tuple[Document, Problem]
WORKED = ("team", "agent", "acknowledge", "survey", "skills", "sla")


def lint(loaded: Loaded, now: int, able: Mapping[str, Capabilities] = MappingProxyType({})) -> list[Fault]:
    """Return the warnings about a configuration that is fit to be used, in the order of its files and lines.

    *now* is in milliseconds since 1970 UTC: reviews become due, and moments pass. *able* is what each kind of channel
    can carry.
    """
    kinds = {name: channel.kind for name, channel in loaded.settings.channels.items()}
    top = place(loaded.routes, Anatomist(loaded.settings.timezone, kinds))
    lost: set[Placed] = set()
    found: list[Finding] = []
    for placed, problem in hidden(top):
        found.append((loaded.documents[placed.file], problem))
        if problem.rule == "hidden-route":
            lost.update(every([placed]))
    for placed in every(top):
        page = loaded.documents[placed.file]
        found += [(page, problem) for problem in _route(placed, loaded, now)]
    found += _untested(loaded, top, lost, kinds)
    found += _test_names(loaded)
    found += staffing(loaded, now)
    found += phrasing(loaded, able)
    faults = [replace(fault, severity="warning") for page, problem in found for fault in page.faults([problem])]
    order = {page.file: number for number, page in enumerate((loaded.main, *loaded.documents, *loaded.texts))}
    return sorted(faults, key=lambda fault: (order[fault.file], fault.line, fault.column))


def _route(placed: Placed, loaded: Loaded, now: int) -> Iterator[Problem]:
    default = {key for file in loaded.routes if file.default is not None for key in file.default.model_fields_set}
    yield from redundancies(placed)
    yield from needless(placed, default)
    yield from _fields(placed, loaded.settings)
    yield from _languages(placed, loaded)
    if loaded.settings.facts.order is None:
        yield from _unasked(placed)
    yield from lacking(placed, loaded)
    yield from _dates(placed, loaded.settings, now)


def _fields(placed: Placed, settings: Settings) -> Iterator[Problem]:
    given = dict(written(placed.route.set))
    if given.get("ignore") is not None:
        for key in WORKED:
            if given.get(key) is not None:
                what = f'"{key}" is set for a message that is ignored'
                path = (*placed.path, "set", key)
                yield Problem(path, what, "one of the two", key=True, rule="ignored-but-assigned")
    yield from _people(placed, {**inherited(placed), **given}, given, settings)


def _people(
    placed: Placed, fields: dict[str, object], given: dict[str, object], settings: Settings
) -> Iterator[Problem]:
    """Find agents and skills that the route's team does not have."""
    path = (*placed.path, "set")
    team = settings.teams.get(str(fields.get("team")))
    agent = fields.get("agent")
    if isinstance(agent, str) and team is not None and agent not in team.members and given.keys() & {"agent", "team"}:
        where = "agent" if given.get("agent") else "team"
        what = f'agent "{agent}" is no member of team "{fields["team"]}"'
        yield Problem((*path, where), what, listed(team.members) or "a member", rule="agent-not-in-team")
    skills = several(given.get("skills") or ())  # type: ignore[arg-type]
    everybody = sorted({skill for one in settings.agents.values() for skill in one.skills})
    for number, skill in enumerate(skills):
        at = (*path, "skills") if isinstance(given["skills"], str) else (*path, "skills", number)
        if skill not in everybody:
            what = f'no agent has the skill "{skill}"'
            yield Problem(at, what, listed(everybody), nearest(skill, everybody), rule="skill-nobody-has")
    if team is None or not skills or not set(skills) <= set(everybody):
        return
    if not any(set(skills) <= set(settings.agents[name].skills) for name in team.members):
        what = f'nobody in team "{fields["team"]}" has the skills {", ".join(skills)}'
        yield Problem((*path, "skills"), what, "skills that one of its members has", rule="skill-nobody-has")


def _unasked(placed: Placed) -> Iterator[Problem]:
    """Find conditions on orders, of which nobody knows anything."""
    route = placed.route
    for path, condition in walk(route.when, (*placed.path, "when")) if route.when is not None else ():
        if "order" in condition.model_fields_set:
            what, expected = "nobody is asked about orders", "facts.order in huiliu.yaml"
            yield Problem((*path, "order"), what, expected, key=True, rule="unasked-order")


def _languages(placed: Placed, loaded: Loaded) -> Iterator[Problem]:
    """Find templates without a text in the language in which, or for which, they are sent."""
    value = placed.route.set.acknowledge
    names = several(value or ())
    wanted = {loaded.settings.locale.partition("-")[0]}
    for level in (placed, *placed.outwards):
        when = level.route.when
        if when is not None:
            wanted |= {
                word.partition("-")[0].lower() for word in (*several(when.language), *several(when.contact.language))
            }
    for number, name in enumerate(names):
        template = loaded.templates.get(name)
        at = (*placed.path, "set", "acknowledge", *(() if isinstance(value, str) else (number,)))
        known = {tag.partition("-")[0].lower() for tag in template.texts} if template else wanted
        for language in sorted(wanted - known) if ANY_LANGUAGE not in known else ():
            what = f'the template "{name}" has no text in "{language}"'
            yield Problem(at, what, listed(sorted(known)), rule="missing-language")


def _dates(placed: Placed, settings: Settings, now: int) -> Iterator[Problem]:
    today = dt.datetime.fromtimestamp(now // 1000, settings.timezone).date()
    route = placed.route
    if route.review_by is not None and day(route.review_by) < today:
        who = f" (owner: {route.owner})" if route.owner else ""
        what = f'route "{route.name}" was to be reviewed by {route.review_by}{who}'
        yield Problem((*placed.path, "review_by"), what, "a later date, once it has been looked at", rule="review-due")
    for path, condition in walk(route.when, (*placed.path, "when")) if route.when is not None else ():
        before = condition.at.before
        zone = ZoneInfo(condition.at.timezone) if condition.at.timezone else settings.timezone
        if before and instant(before, zone) <= now:
            what = f"{before} is past: this never holds again"
            yield Problem((*path, "at", "before"), what, "a moment to come", rule="past-moment")


def _untested(loaded: Loaded, top: Iterable[Placed], lost: set[Placed], kinds: Mapping[str, str]) -> Iterator[Finding]:
    settings = loaded.settings
    tree = compile_routes(loaded.routes, settings.hours, timezone=settings.timezone)
    results = run_tests(tree, loaded.routes, kinds=kinds, timezone=settings.timezone)
    covered = {name for result in results for name in result.decision.routes}
    for placed in every(top):
        if placed.route.name not in covered and placed not in lost:
            problem = Problem(
                (*placed.path, "name"),
                f'no test leads to route "{placed.route.name}"',
                "one in `tests:`",
                rule="untested-route",
            )
            yield loaded.documents[placed.file], problem


def _test_names(loaded: Loaded) -> Iterator[Finding]:
    seen: set[str] = set()
    for page, file in zip(loaded.documents, loaded.routes, strict=True):
        for number, test in enumerate(file.tests):
            if test.name in seen:
                what = f'another test is called "{test.name}"'
                yield page, Problem(("tests", number, "name"), what, "each name once", rule="test-name-twice")
            seen.add(test.name)
