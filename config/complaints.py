"""pydantic's errors in the words of the people who write the files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import ErrorDetails

from config import shapes
from config.faults import Path, Problem, Wrong, listed, nearest

EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dataclass_type": "a mapping (key: value)",
    "dict_type": "a mapping (key: value)",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "frozen_set_type": "a list",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "mapping_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "none_required": "nothing",
    "path_type": "a path",
    "set_type": "a list",
    "string_type": "text",
    "tuple_type": "a list",
}
LIMITS = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "multiple_of": "a multiple of {multiple_of:g}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_long": "at most {max_length} items",
    "too_short": "at least {min_length} items",
    "string_pattern_mismatch": "text that matches {pattern}",
}
_SHOWN = 60
_PIECE = 4
_YES_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


@dataclass(frozen=True, slots=True)
class Scene:
    """What was validated: *data* against *model*; it stands at *at* in its file.

    Values at *hidden* are never shown. *beside* are keys that may stand beside the model's own.
    """

    model: Any
    data: Any
    at: Path
    hidden: frozenset[Path]
    beside: tuple[str, ...] = ()

    def place(self, error: ErrorDetails) -> shapes.Place:
        """Return where *error* is."""
        return shapes.locate(self.model, error["loc"], self.data, missing=error["type"] == "missing")

    def value(self, path: Path) -> Any:
        """Return the value at *path*, None when there is none."""
        node = self.data
        for step in path:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def shows(self, place: shapes.Place) -> bool:
        """Tell whether the value at *place* may be shown."""
        return not place.secret and (*self.at, *place.path) not in self.hidden

    def unspeakable(self) -> set[str]:
        """Return every text in the data that must not be shown."""
        return set(_texts(self, self.data, (), secret=False))


@dataclass(frozen=True, slots=True)
class _Complaint:
    place: shapes.Place
    type: str
    problem: Problem


def problems(scene: Scene, errors: Sequence[ErrorDetails]) -> list[Problem]:
    """Return what *errors* mean, one problem for each thing that must be mended."""
    found = [_complaint(scene, error) for error in errors]
    found = _likeliest(found)
    slips = {(*each.problem.path[:-1], each.problem.nearest) for each in found if each.type == "extra_forbidden"}
    unique: dict[Path, Problem] = {}
    for each in found:
        # A misspelt required key would be two faults otherwise: one unknown, one missing.
        if each.type == "missing" and each.problem.path in slips:
            continue
        unique.setdefault(each.problem.path, each.problem)
    return list(unique.values())


def _complaint(scene: Scene, error: ErrorDetails) -> _Complaint:
    place = scene.place(error)
    path = (*scene.at, *place.path)
    kind = error["type"]
    context = error.get("ctx", {})
    if kind == "missing":
        return _Complaint(place, kind, Problem(path, "this key is missing", _missing(place)))
    if kind == "extra_forbidden":
        return _Complaint(place, kind, _unknown_key(scene, place, path))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _Complaint(place, kind, _choice(scene, path, context))
    value = place.path[-1] if place.key else scene.value(place.path)
    shown = _quoted(value) if place.key or scene.shows(place) else "this value"
    if place.key:
        return _Complaint(place, kind, replace(_refused(scene, place, path, error, shown), key=True))
    if kind in EXPECTED:
        hint = _YES_NO.get(value.lower(), "") if kind == "bool_type" and isinstance(value, str) else ""
        hint = hint if scene.shows(place) else ""
        return _Complaint(place, kind, Problem(path, f"{_subject(value, shown)}", EXPECTED[kind], hint))
    return _Complaint(place, kind, _refused(scene, place, path, error, shown))


def _refused(scene: Scene, place: shapes.Place, path: Path, error: ErrorDetails, shown: str) -> Problem:
    """Describe a value of the right type that is not accepted."""
    context = error.get("ctx", {})
    kind = error["type"]
    if kind in LIMITS:
        value = scene.value(place.path)
        kind = f"string_{kind}" if kind in ("too_short", "too_long") and isinstance(value, str) else kind
        return Problem(path, f"{shown} is not allowed", LIMITS[kind].format(**context))
    if error["type"] in ("literal_error", "enum"):
        known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        value = scene.value(place.path)
        near = nearest(value, known) if isinstance(value, str) and scene.shows(place) else ""
        return Problem(path, f"{shown} is not known", listed(known) or str(context.get("expected", "")), near)
    cause = context.get("error")
    if isinstance(cause, Wrong):
        open_ = place.key or scene.shows(place)
        what = cause.what.replace("{value}", shown)
        if not open_ and any(_tells(what, secret) for secret in scene.unspeakable()):
            what = "this value is not accepted"
        return Problem(path, what, cause.expected, cause.nearest if open_ else "")
    what = " ".join((str(cause) if cause is not None else error["msg"]).split())
    # A validator's own words may quote what it saw; pydantic's may quote a character of it.
    guarded = not place.key and not scene.shows(place)
    if (guarded and cause is None) or any(_tells(what, secret) for secret in scene.unspeakable()):
        return Problem(path, "this value is not accepted")
    return Problem(path, what[:1].lower() + what[1:] if what[1:2].islower() else what)


def _missing(place: shapes.Place) -> str:
    key = str(place.path[-1])
    secret = any(key in shapes.secret_keys(model) for model in place.models)
    return f"{key} or {key}_file" if secret else ""


def _unknown_key(scene: Scene, place: shapes.Place, path: Path) -> Problem:
    known = shapes.known_keys(place.models) + (list(scene.beside) if len(place.path) == 1 else [])
    secret = [f"{key}_file" for model in place.models for key in shapes.secret_keys(model)]
    return Problem(path, "unknown key", listed(known), nearest(str(place.path[-1]), known + secret), key=True)


def _choice(scene: Scene, path: Path, context: dict[str, Any]) -> Problem:
    """Describe a mapping whose discriminating key is missing or names no known choice."""
    key = str(context.get("discriminator", "")).strip("'")
    known = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    if not known:
        return Problem((*path, key), "this key is missing")
    tag = str(context.get("tag", ""))
    hidden = (*path, key) in scene.hidden
    shown = "this value" if hidden else _quoted(tag)
    return Problem((*path, key), f"{shown} is not known", listed(known), "" if hidden else nearest(tag, known))


def _likeliest(found: list[_Complaint]) -> list[_Complaint]:
    """Of the complaints about each choice of a union keep those of the choice that was meant most likely."""
    unions: dict[Path, list[_Complaint]] = {}
    kept: list[_Complaint] = []
    for each in found:
        if each.place.branches:
            unions.setdefault(each.place.path[: each.place.branches[0][0]], []).append(each)
        else:
            kept.append(each)
    for path, complaints in unions.items():
        tags: dict[str, list[_Complaint]] = {}
        for each in complaints:
            tags.setdefault(each.place.branches[0][1], []).append(_inside(each))
        deepest = {tag: max(len(each.place.path) for each in those) for tag, those in tags.items()}
        depth = max(deepest.values())
        if depth == len(path):
            kept.append(_merged([each for those in tags.values() for each in those]))
            continue
        chosen = min((tag for tag in tags if deepest[tag] == depth), key=lambda tag: len(tags[tag]))
        kept += _likeliest(tags[chosen])
    return kept


def _inside(complaint: _Complaint) -> _Complaint:
    """Return *complaint* as seen from inside the outermost union that it is in."""
    return replace(complaint, place=replace(complaint.place, branches=complaint.place.branches[1:]))


def _merged(complaints: list[_Complaint]) -> _Complaint:
    """Make one complaint of those of all choices of a union, none of which fits."""
    refused = [each for each in complaints if each.type not in EXPECTED]
    first = (refused or complaints)[0]
    types = listed(dict.fromkeys(each.problem.expected for each in complaints if each.type in EXPECTED))
    if refused and first.type == "literal_error" and types:
        return replace(first, problem=replace(first.problem, expected=f"{first.problem.expected}, or {types}"))
    return first if refused else replace(first, problem=replace(first.problem, expected=types))


def _tells(message: str, secret: str) -> bool:
    """Tell whether *message* holds a piece of *secret* that is long enough to matter."""
    text, hidden = message.lower(), secret.lower()
    size = min(len(hidden), _PIECE)
    return any(hidden[start : start + size] in text for start in range(len(hidden) - size + 1))


def _texts(scene: Scene, value: Any, path: Path, *, secret: bool) -> Iterable[str]:
    """Yield the texts at and below *path* that must not be shown."""
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            inside = (*path, step)
            hidden = secret or shapes.locate(scene.model, inside, scene.data).secret
            yield from _texts(scene, item, inside, secret=hidden)
    elif value not in (None, "") and (secret or (*scene.at, *path) in scene.hidden):
        yield str(value)


def _subject(value: Any, shown: str) -> str:
    if value is None:
        return "this is empty"
    if isinstance(value, dict):
        return "this is a mapping"
    if isinstance(value, list):
        return "this is a list"
    kind = "text" if isinstance(value, str) else "true or false" if isinstance(value, bool) else "a number"
    return f"{shown} is {kind}"


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        text = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
        return '"' + text.replace("\n", "\\n").replace("\r", "\\r").replace("\x1b", "\\e") + '"'
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "this mapping"
    if isinstance(value, list):
        return "this list"
    return str(value)
