"""Configuration files, read strictly: one YAML document each, every place in it known, ``${NAME}`` expanded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel

from config import content, validation
from config.faults import ConfigError, Fault, Path, Problem, dotted
from config.nodes import Flaw, Node, compose

MAX_SIZE = 1 << 20

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its *data* as plain dicts, lists and scalars, and the place of everything in it.

    *file* is its name in messages, *path* the absolute path. *flaws* is what is wrong with it as YAML; *root* is
    None when nothing could be read. *sha256* is of the bytes as read, "" for a file that could not be read. *text*
    is the file as written, for whoever keeps versions of it.
    """

    file: str
    path: FilePath
    root: Node | None = field(repr=False)
    data: Any = field(repr=False)
    sha256: str = field(repr=False)
    flaws: tuple[Fault, ...] = ()
    text: str = field(default="", repr=False)

    def node(self, path: Path) -> Node | None:
        """Return the node at *path*, None when there is none."""
        node = self.root
        for step in path:
            below = _step(node, step)
            if below is None:
                return None
            node = below[0]
        return node

    def mark(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Return line and column (1-based) of the value at *path*, of its nearest existing ancestor if it is missing.

        A mapping or list under a key is where its key is, and so is everything if *key* is true.
        """
        node, place = self.root, (1, 1)
        for number, step in enumerate(path):
            found = _step(node, step)
            if found is None:
                return place
            node, at_key = found
            collection = isinstance(node.value, dict | list)
            wanted = at_key if collection or (key and number == len(path) - 1) else None
            place = wanted or (node.line, node.column)
        return place

    def faults(self, problems: Iterable[Problem]) -> list[Fault]:
        """Give each problem its place in this file."""
        return [
            Fault(
                self.file,
                *self.mark(problem.path, key=problem.key),
                dotted(problem.path),
                problem.what,
                problem.expected,
                problem.nearest,
                problem.rule,
            )
            for problem in problems
        ]


def read(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> Document:
    """Read the file at *path*. Raises `ConfigError` with everything that is wrong with it as YAML."""
    document = parse(path, environ=environ)
    if document.flaws:
        raise ConfigError(document.flaws)
    return document


def parse(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> Document:
    """Read the file at *path* as far as it can be read; what is wrong with it is in the document's `flaws`."""
    place = FilePath(path)
    try:
        raw, _ = content.read(place, content.LARGEST + 1)
    except (OSError, ValueError) as error:
        return _unread(place, f"the file cannot be read ({content.why(error)})")
    return understand(place, raw, environ=environ)


def understand(place: FilePath, raw: bytes, *, environ: Mapping[str, str] | None = None) -> Document:
    """Return what `parse` returns for a file that lies, or shall lie, at *place* and holds *raw*."""
    sha256 = hashlib.sha256(raw).hexdigest()
    if len(raw) > MAX_SIZE:
        return _unread(place, "the file is larger than 1 MB", sha256=sha256)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = "the file is not UTF-8" + content.likely_encoding(raw)
        flaw = Flaw(*content.position(raw, error.start), Problem((), what, "UTF-8"))
        return _unread(place, flaw=flaw, sha256=sha256)
    root, flaws = compose(text, os.environ if environ is None else environ)
    if root is None and not flaws:
        return _unread(place, "the file is empty", "a mapping (key: value)", sha256=sha256)
    return Document(
        str(place),
        place.absolute(),
        root,
        root.plain() if root is not None else None,
        sha256,
        tuple(_fault(place, flaw) for flaw in flaws),
        text,
    )


def validate(document: Document, model: type[M], *, context: dict[str, Any] | None = None) -> M:
    """Return *document* as a *model*. Raises `ConfigError` with everything in which it differs from one."""
    if document.root is None:
        raise ConfigError(document.flaws)
    examined = validation.examine(document, model, context=context)
    if examined.value is None or document.flaws:
        raise ConfigError([*document.flaws, *document.faults(examined.problems)])
    return examined.value


def _unread(
    place: FilePath, what: str = "", expected: str = "", *, flaw: Flaw | None = None, sha256: str = ""
) -> Document:
    fault = _fault(place, flaw or Flaw(1, 1, Problem((), what, expected)))
    return Document(str(place), place.absolute(), None, None, sha256, (fault,))


def _fault(place: FilePath, flaw: Flaw) -> Fault:
    problem = flaw.problem
    return Fault(
        str(place), flaw.line, flaw.column, dotted(problem.path), problem.what, problem.expected, problem.nearest
    )


def _step(node: Node | None, step: str | int) -> tuple[Node, tuple[int, int] | None] | None:
    if node is None:
        return None
    if isinstance(node.value, dict):
        entry = node.value.get(str(step))
        return (entry.node, (entry.line, entry.column)) if entry else None
    if isinstance(node.value, list) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step], None
    return None
