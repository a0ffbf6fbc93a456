"""The API's description of itself (OpenAPI 3.1), made from the one table of routes and what is said of each.

A route of which nothing is said is in it all the same, with what the table knows; `undescribed` names those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from inbox.api import ANYONE, MAX_LIMIT, PREFIX, SAFE, Route
from inbox.repeats import HEADER as IDEMPOTENCY_KEY

T = TypeVar("T")
JSON = "application/json"
PROBLEM = "application/problem+json"
REFERENCE = "#/components/schemas/{name}"
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A moment as RFC 3339 in UTC."""

PROBLEMS = {
    304: "Not changed",
    400: "The body is no JSON, or a parameter is not one of its values",
    401: "Not signed in, or the token is not valid",
    403: "The role is too low, or a session's change lacks its CSRF token",
    404: "There is no such thing, or none that the caller may know of",
    409: "It makes no sense now, or somebody else changed it at the same moment",
    412: "It is not as the caller saw it",
    413: "The body is too large",
    422: "The body does not fit",
    429: "Too many calls",
    500: "It could not be made; try again",
    501: "This hub has not what it takes",
    503: "The store is away or busy",
}
TAGS = {
    "conversations": "Conversations and work on them",
    "messages": "Messages and their files",
    "session": "Signing in and out",
    "people": "Who may sign in",
}


class Problem(msgspec.Struct):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | msgspec.UnsetType = msgspec.UNSET


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; *next* is the cursor of the next one."""

    items: list[T]
    next: str | None


class Done(msgspec.Struct):
    """What became of something."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter behind the question mark."""

    name: str
    about: str
    schema: Mapping[str, Any] | None = None


LIMIT = Query("limit", "how many at most", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50})
CURSOR = Query("cursor", "`next` of the page before")
PAGED = (LIMIT, CURSOR)


@dataclass(frozen=True, slots=True)
class Operation:
    """What is said of a route: what it takes and answers. Types are msgspec's; a str names another media type."""

    summary: str
    answer: Any = None
    body: Any = None
    status: int = 200
    query: Sequence[Query] = ()
    headers: Sequence[Query] = ()
    also: Sequence[str] = ()
    """Media types of other forms of the answer."""
    again: int = 0
    """The status where it was done before, if that is another one."""
    errors: Sequence[int] = ()
    example: Any = None
    optional: bool = False
    """Whether the body may be left out."""


Operations = Mapping[tuple[str, str], Operation]


def undescribed(routes: Iterable[Route], operations: Operations) -> list[str]:
    """Return the routes of which nothing is said."""
    return sorted(f"{one.method} {one.path}" for one in routes if (one.method, one.path) not in operations)


def document(routes: Sequence[Route], operations: Operations, version: str) -> dict[str, Any]:
    """Return the whole description."""
    used = [operations[one.method, one.path] for one in routes if (one.method, one.path) in operations]
    types = [kind for one in used for kind in (one.body, one.answer) if kind is not None and not isinstance(kind, str)]
    unique = list({repr(kind): kind for kind in [Problem, *types]}.values())
    found, components = msgspec.json.schema_components(unique, ref_template=REFERENCE)
    schemas = {repr(kind): schema for kind, schema in zip(unique, found, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        said = operations.get((route.method, route.path)) or Operation(_guess(route))
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, said, schemas, routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Huiliu",
            "version": version,
            "description": "The API of the hub. Who may call what, and what lists, times and errors look like: api.md.",
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(_tag(route) for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "programs: `api_tokens:`"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "huiliu",
                    "description": "people; behind https the name begins with `__Host-`. Changes carry X-CSRF-Token",
                },
            },
        },
    }


def _operation(route: Route, said: Operation, schemas: Mapping[str, Any], routes: Sequence[Route]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": _id(route),
        "summary": said.summary,
        "tags": [_tag(route)],
        "x-role": route.role,
        "security": [] if route.role == ANYONE else [{"token": []}, {"session": []}],
    }
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route.path)]
    parameters += [
        {"name": one.name, "in": "query", "description": one.about, "schema": dict(one.schema or {"type": "string"})}
        for one in said.query
    ]
    parameters += [
        {"name": one.name, "in": "header", "description": one.about, "schema": {"type": "string"}}
        for one in said.headers
    ]
    if route.method == "POST" and route.role != ANYONE:
        parameters.append(_header(IDEMPOTENCY_KEY, "the same key and body: the same answer, done once"))
    if _edits(route, routes):
        parameters.append(_header("If-Match", "the ETag of what was seen; 412 if it is another by now"))
    if parameters:
        shown["parameters"] = parameters
    if said.body is not None:
        shown["requestBody"] = _body(said, schemas)
    shown["responses"] = _responses(route, said, schemas, edits=_edits(route, routes))
    return shown


def _body(said: Operation, schemas: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(said.body, str):
        return {"required": True, "content": {said.body: {"schema": {"type": "string", "format": "binary"}}}}
    content: dict[str, Any] = {"schema": schemas[repr(said.body)]}
    if said.example is not None:
        content["example"] = said.example
    return {"required": not said.optional, "content": {JSON: content}}


def _responses(route: Route, said: Operation, schemas: Mapping[str, Any], *, edits: bool) -> dict[str, Any]:
    good: dict[str, Any] = {"description": said.summary}
    if isinstance(said.answer, str):
        good["content"] = {said.answer: {"schema": {"type": "string"}}}
    elif said.status != 302:
        good["content"] = {JSON: {"schema": schemas[repr(said.answer)] if said.answer is not None else {}}}
    for form in said.also:
        good["content"][form] = {"schema": {"type": "string"}}
    responses = {str(said.status): good}
    if said.again:
        responses[str(said.again)] = {**good, "description": "It was done before"}
    problem = {"content": {PROBLEM: {"schema": schemas[repr(Problem)]}}}
    for status in sorted({*_usual(route, said, edits=edits), *said.errors}):
        responses[str(status)] = {"description": PROBLEMS[status], **problem}
        if status in (429, 503):
            responses[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return responses


def _usual(route: Route, said: Operation, *, edits: bool) -> set[int]:
    """Return the errors that a route of its kind may answer."""
    usual = {400, 429, 503}
    if route.role != ANYONE:
        usual |= {401, 403}
    if "{" in route.path:
        usual.add(404)
    if route.method not in SAFE:
        usual |= {409, 413, 422, 403}
    if edits:
        usual.add(412)
    if said.body is not None and route.method not in SAFE:
        usual |= {413, 422}
    return usual


def _edits(route: Route, routes: Sequence[Route]) -> bool:
    return route.method in {"PUT", "PATCH", "DELETE"} and any(
        (one.method, one.path) == ("GET", route.path) for one in routes
    )


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _header(name: str, about: str) -> dict[str, Any]:
    pattern = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    return {"name": name, "in": "header", "description": about, "schema": pattern}


def _tag(route: Route) -> str:
    return route.path.split("/")[1]


def _id(route: Route) -> str:
    words = re.findall(r"\w+", route.path)
    return "_".join([route.method.lower(), *words])


def _guess(route: Route) -> str:
    """Return what the handler says of itself."""
    text = (route.handler.__doc__ or "").strip().partition("\n")[0]
    return text or f"{route.method} {route.path}"
