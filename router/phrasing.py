"""What lint says about texts: variants without a language, texts that a channel must split, values that may lack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from config.conditions import several, written
from config.documents import Document
from config.faults import Path, Problem, listed
from config.loading import Loaded
from config.settings import Settings
from config.templates import ANY_LANGUAGE, ORDER, Template, Variable, Wording
from connectors.base import Capabilities
from outbox.planner import prefers_templates
from router.inheritance import inherited
from router.levels import Placed

UNSURE = frozenset({"contact.name", "agent.name", "reply.text"})
"""What nobody knows in the moment of an acknowledgement, or not of everybody."""

ASSUMED = 20
"""Characters that a value is taken to have."""

UNITS: Mapping[str, Callable[[str], int]] = {
    "chars": len,
    "bytes": lambda text: len(text.encode()),
    "utf16": lambda text: len(text.encode("utf-16-le")) // 2,
}


def phrasing(loaded: Loaded, able: Mapping[str, Capabilities]) -> Iterator[tuple[Document, Problem]]:
    """Yield what is odd about the texts themselves, each with its file; *able* is what each kind of channel carries."""
    for page in loaded.texts:
        for name in page.data if isinstance(page.data, dict) else ():
            template = loaded.templates.get(name)
            if template is not None:
                yield from ((page, problem) for problem in _variants(name, template))
                yield from ((page, problem) for problem in _lengths(name, template, loaded.settings, able))


def lacking(placed: Placed, loaded: Loaded) -> Iterator[Problem]:
    """Yield the values that a route's acknowledgements may not have: then they are not sent."""
    value = placed.route.set.acknowledge
    fields = {**inherited(placed), **dict(written(placed.route.set))}
    for number, name in enumerate(several(value or ())):
        template = loaded.templates.get(name)
        at = (*placed.path, "set", "acknowledge", *(() if isinstance(value, str) else (number,)))
        for variable in _unsure(template, loaded.settings, fields) if template is not None else ():
            what = f'the template "{name}" is not sent where nobody knows {variable}'
            yield Problem(at, what, f"{{{{ {variable} || … }}}}", rule="lacks-value")


def _unsure(template: Template, settings: Settings, fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield what may be unknown; of a team that other routes name nothing is said."""
    team = settings.teams.get(str(fields.get("team")))
    promise = settings.sla.get(str(fields.get("sla") or (team.sla if team is not None else None)))
    told = {variable.name for _, one in template.variants() for variable in _asked(one)}
    without = set(UNSURE)
    if team is not None and team.hours is None:
        without.add("hours.next_open")
    if team is not None and (promise is None or promise.first_reply is None):
        without.add("sla.first_reply")
    yield from sorted(name for name in told if name in without or name in template.variables or name.startswith(ORDER))


def _asked(wording: Wording) -> Iterable[Variable]:
    return (variable for text in wording.texts.values() for variable in text.variables if not variable.otherwise)


def _variants(name: str, template: Template) -> Iterator[Problem]:
    """Find a variant that lacks a language which the common text has."""
    common = {tag for tag in template.texts if tag != ANY_LANGUAGE}
    for path, wording in template.variants():
        known = set(wording.texts)
        for language in sorted(common - known) if ANY_LANGUAGE not in known else ():
            what = f'the text for {path[-1]} has none in "{language}"'
            yield Problem((name, *path), what, listed(sorted(common)), rule="missing-language")


def _lengths(name: str, template: Template, settings: Settings, able: Mapping[str, Capabilities]) -> Iterator[Problem]:
    """Find texts that do not fit into one message of a channel on which they may be sent."""
    kinds = {channel: one.kind for channel, one in settings.channels.items()}
    told: set[Path] = set()
    for channel, kind in {**{kind: kind for kind in template.kinds}, **kinds}.items():
        carried = able.get(kind)
        if carried is None or carried.text_limit is None:
            continue
        if kind in template.platforms and prefers_templates(carried):
            continue  # what the platform has approved goes, and never this text
        for language, text in template.variant(channel, kind).texts.items():
            filled = "".join(part if isinstance(part, str) else "x" * ASSUMED for part in text.parts)
            place = _place(name, template, channel, kind, language)
            if UNITS[carried.text_unit](filled) > carried.text_limit and place not in told:
                told.add(place)
                limit = f"no more than {carried.text_limit} {carried.text_unit}"
                yield Problem(place, f"this is more than one message of {channel}", limit, rule="long-template")


def _place(name: str, template: Template, channel: str, kind: str, language: str) -> Path:
    where: Path = (name,)
    if channel in template.channels:
        where = (name, "by_channel", channel)
    elif kind in template.kinds:
        where = (name, "by_kind", kind)
    return (*where, language) if language and len(where) > 1 else where
