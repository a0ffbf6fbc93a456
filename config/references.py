"""Names that point at something else in the same file: whether it exists there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config import enrolment
from config.assigning import TOTAL
from config.documents import Document
from config.faults import Path, Problem, listed, nearest

ANY = "*"

# names that stand for something else than an entry of the section
MEANINGS: dict[Path, tuple[str, ...]] = {("sla", ANY, "hours"): ("team",)}

# where a name stands, in which section it must exist, and what it is called
REFERENCES = (
    (("api_tokens", ANY, "agent"), "agents", "agent"),
    (("sla", ANY, "hours"), "hours", "opening hours"),
    (("teams", ANY, "members", ANY), "agents", "agent"),
    (("teams", ANY, "sla"), "sla", "service level"),
    (("teams", ANY, "hours"), "hours", "opening hours"),
    (("teams", ANY, "assign", "overflow", "to"), "teams", "team"),
    (("teams", ANY, "assign", "shifts"), "hours", "opening hours"),
    (("teams", ANY, "assign", "shifts", ANY), "hours", "opening hours"),
    (("agents", ANY, "shifts"), "hours", "opening hours"),
    (("agents", ANY, "shifts", ANY), "hours", "opening hours"),
    (("agents", ANY, "notify", ANY, "channel"), "channels", "channel"),
    (("delivery", "fallback", ANY, ANY, "channel"), "channels", "channel"),
    (("teams", ANY, "notify", ANY, "channel"), "channels", "channel"),
    (("webhooks", ANY, "teams", ANY), "teams", "team"),
    (("webhooks", ANY, "channels", ANY), "channels", "channel"),
)


def problems(document: Document) -> list[Problem]:
    """Return every name in *document* that points at nothing, and what else does not fit together.

    Looks at the data as written, so that other faults of the file do not hide these.
    """
    data = document.data if isinstance(document.data, dict) else {}
    found = [problem for place in REFERENCES for problem in _dangling(document, data, *place)]
    return [
        *found,
        *_overflows(data),
        *_capacities(data),
        *_fallbacks(data),
        *_same_tokens(data),
        *enrolment.problems(data),
    ]


def _dangling(document: Document, data: Mapping[str, Any], pattern: Path, section: str, noun: str) -> Iterator[Problem]:
    known = data.get(section)
    names = list(known) if isinstance(known, dict) else []
    meanings = MEANINGS.get(pattern, ())
    for path, value in _matches(data, pattern, ()):
        node = document.node(path)
        if not isinstance(value, str) or value in names or value in meanings or node is None or node.broken:
            continue
        shown, near = (f'"{value}"', nearest(value, names)) if not node.env else ("of this name", "")
        yield Problem(
            path,
            f"there is no {noun} {shown}",
            listed([*names, *meanings]) if names else f"a name from {section}, where there is none",
            near,
        )


def _matches(data: Any, pattern: Path, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the path and value of everything in *data* whose path is like *pattern*."""
    if not pattern:
        yield path, data
        return
    step, rest = pattern[0], pattern[1:]
    if step == ANY:
        items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
        for key, value in items:
            yield from _matches(value, rest, (*path, key))
    elif isinstance(data, dict) and step in data:
        yield from _matches(data[step], rest, (*path, step))


def _overflows(data: Mapping[str, Any]) -> Iterator[Problem]:
    for path, value in _matches(data, ("teams", ANY, "assign", "overflow", "to"), ()):
        if value == path[1]:
            yield Problem(path, "a team cannot overflow to itself", "another team")


def _capacities(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every limit of a capacity that is for no channel and no kind of one."""
    known = [TOTAL, *_channels_and_kinds(data)]
    for pattern in (("teams", ANY, "assign", "capacity", ANY), ("agents", ANY, "capacity", ANY)):
        for path, _ in _matches(data, pattern, ()):
            name = path[-1]
            if isinstance(name, str) and name not in known:
                what = f'there is no channel or kind "{name}"'
                yield Problem(path, what, listed(known), nearest(name, known), key=True)


def _channels_and_kinds(data: Mapping[str, Any]) -> list[str]:
    channels = data.get("channels")
    named = channels if isinstance(channels, dict) else {}
    kinds = [one["kind"] for one in named.values() if isinstance(one, dict) and isinstance(one.get("kind"), str)]
    return list(dict.fromkeys([*named, *kinds]))


def _fallbacks(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every fallback of what is no channel and no kind of one, and steps back to the channel itself."""
    known = _channels_and_kinds(data)
    for path, _ in _matches(data, ("delivery", "fallback", ANY), ()):
        name = str(path[-1])
        if name not in known:
            what = f'there is no channel or kind "{name}"'
            expected = listed(known) if known else "a name from channels, where there is none"
            yield Problem(path, what, expected, nearest(name, known), key=True)
    for path, value in _matches(data, ("delivery", "fallback", ANY, ANY, "channel"), ()):
        if value == path[2]:
            yield Problem(path, "a channel cannot fall back to itself", "another channel")


def _same_tokens(data: Mapping[str, Any]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for path, value in _matches(data, ("api_tokens", ANY, "token"), ()):
        if isinstance(value, str) and value and first.setdefault(value, str(path[1])) != path[1]:
            yield Problem(path, f"this is the token of {first[value]} too", "a token of its own")
