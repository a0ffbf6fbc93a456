"""A document held against a pydantic model: everything that differs, at once, in an admin's words.

Never prints a value that is a secret or came from the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config import complaints, secretfiles, strictness
from config.faults import Path, Problem
from config.nodes import Node, resolve

if TYPE_CHECKING:
    from config.documents import Document

M = TypeVar("M", bound=BaseModel)

_NOT_TEXT = frozenset({"int_type", "float_type", "bool_type", "int_parsing", "float_parsing", "bool_parsing"})


@dataclass(frozen=True, slots=True)
class Examined(Generic[M]):
    """The model, or None and what is wrong; *files* are the secret files that were read, with their SHA-256."""

    value: M | None = field(repr=False)
    problems: list[Problem]
    files: dict[FilePath, str] = field(repr=False)


def examine(
    document: Document,
    model: type[M],
    *,
    data: Any = None,
    at: Path = (),
    beside: tuple[str, ...] = (),
    context: dict[str, Any] | None = None,
) -> Examined[M]:
    """Hold *data*, which stands at *at* in *document* (by default its whole content), against *model*.

    *beside* are keys of the same mapping that somebody else has looked at; they are not in *data*. Text is
    never taken for a number or a truth value, except what came from the environment, which is always text.
    """
    content = _copied(document.data if data is None else data)
    secrets = secretfiles.fill(model, content, document.path.parent, at=at)
    root = document.node(at)
    env = set(_where(root, at, "env")) if root else set()
    unread = set(_where(root, at, "broken")) if root else set()
    broken = unread | secrets.failed
    value, errors = _validate(model, content, context)
    if errors and _read_numbers(model, content, errors, env, at):
        value, errors = _validate(model, content, context)
    if secrets.problems or broken:
        value = None
    scene = complaints.Scene(model, content, at, frozenset(env | set(secrets.named)), beside)
    problems = [
        _renamed(problem, secrets.named)
        for problem in complaints.problems(scene, errors)
        if not any(_touches(problem, path) for path in broken)
    ]
    told = [problem for problem in secrets.problems if problem.path not in unread]
    return Examined(value, told + problems, secrets.files)


def _copied(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _copied(value) for key, value in data.items()}
    return [_copied(item) for item in data] if isinstance(data, list) else data


def _validate(model: type[M], content: Any, context: dict[str, Any] | None) -> tuple[M | None, list[ErrorDetails]]:
    try:
        value: M = strictness.validator(model).validate_python(content, context=context)
    except ValidationError as error:
        return None, error.errors()
    return value, []


def _read_numbers(model: Any, content: Any, errors: list[ErrorDetails], env: set[Path], at: Path) -> bool:
    """Replace environment text in *content* by the number or truth value that it spells; tell whether any was."""
    changed = False
    for error in errors:
        if error["type"] not in _NOT_TEXT:
            continue
        path = complaints.Scene(model, content, at, frozenset()).place(error).path
        if not path or (*at, *path) not in env:
            continue
        holder = content
        for step in path[:-1]:
            holder = holder[step]
        meant = resolve(holder[path[-1]]) if isinstance(holder[path[-1]], str) else None
        if isinstance(meant, int | float):
            holder[path[-1]] = meant
            changed = True
    return changed


def _where(node: Node, path: Path, fact: str) -> Iterator[Path]:
    """Yield the paths of all nodes in the tree of *node* of which *fact* is true."""
    if getattr(node, fact):
        yield path
    if isinstance(node.value, dict):
        for key, entry in node.value.items():
            yield from _where(entry.node, (*path, key), fact)
    elif isinstance(node.value, list):
        for number, item in enumerate(node.value):
            yield from _where(item, (*path, number), fact)


def _touches(problem: Problem, broken: Path) -> bool:
    """Tell whether *problem* may be only a consequence of the value at *broken*, about which enough was said."""
    below = problem.path[: len(broken)] == broken
    around = broken[: len(problem.path)] == problem.path
    return below or (around and not problem.key)


def _renamed(problem: Problem, named: dict[Path, Path]) -> Problem:
    """Say that what is wrong with a secret is wrong at the key that named its file."""
    there = named.get(problem.path)
    return problem if there is None else Problem(there, problem.what, problem.expected, problem.nearest, problem.key)
