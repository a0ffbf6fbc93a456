"""YAML text as a tree that knows its places. Refuses what makes a file mean something else than it seems.

YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema): ``no`` and ``09:00`` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
import yamlcore

from config.faults import Problem

MAX_DEPTH = 50
SHIFT = 0xF0000
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# A default ends at the first closing brace and at the end of its line.
REFERENCE = re.compile(r"\$?\$\{" + _NAME + r"(?::-[^}\r\n]*)?\}")
_PARTS = re.compile(r"\$\$\{|\$\{(" + _NAME + r")(?::-([^}]*))?\}|\$\{")
_SHIFTED = re.compile(r"[\U000F0000-\U000F007F]")
_COLLECTIONS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


@dataclass(slots=True)
class Node:
    """A value and where it begins (1-based). *env*: some of it came from the environment; *broken*: not as written."""

    line: int
    column: int
    value: dict[str, Entry] | list[Node] | str | int | float | bool | None = field(repr=False)
    env: bool = False
    broken: bool = False

    def plain(self) -> Any:
        """Return the value as plain Python data."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


@dataclass(slots=True)
class Entry:
    """A key's place, and its value."""

    line: int
    column: int
    node: Node


@dataclass(frozen=True, slots=True)
class Flaw:
    """A problem whose place is known already."""

    line: int
    column: int
    problem: Problem


def compose(text: str, environ: Mapping[str, str]) -> tuple[Node | None, list[Flaw]]:
    """Build the tree of *text*, and list everything that is wrong with it as YAML.

    The tree is None when there is nothing to look at: no document, or a syntax error.
    """
    composer = _Composer(environ)
    if odd := _SHIFTED.search(text):
        before = text[: odd.start()]
        column = odd.start() - before.rfind("\n")
        return None, [Flaw(before.count("\n") + 1, column, Problem((), "this character is not allowed"))]
    # `{token: ${TOKEN}}` is no YAML: a brace ends a plain scalar there. The reference is lifted out of the way of
    # the parser, character by character so that columns stay true, and put back in `_lower`.
    lifted = REFERENCE.sub(lambda match: "".join(chr(SHIFT + ord(c)) if ord(c) < 128 else c for c in match[0]), text)
    loader = yamlcore.CCoreLoader(lifted)
    try:
        return composer.document(loader), composer.flaws
    except yaml.MarkedYAMLError as error:
        return None, [*composer.flaws, _syntax(error, text)]
    except yaml.YAMLError as error:
        return None, [*composer.flaws, Flaw(1, 1, Problem((), f"this is not YAML: {_first_line(error)}"))]
    finally:
        loader.dispose()


def _syntax(error: yaml.MarkedYAMLError, text: str) -> Flaw:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    rows = text.splitlines()
    row = rows[line] if line < len(rows) else ""
    if "\t" in row[: column + 1]:
        return Flaw(line + 1, row.index("\t") + 1, Problem((), "a tab indents this line", "spaces"))
    return Flaw(line + 1, column + 1, Problem((), f"this is not YAML: {error.problem or 'it cannot be read'}"))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _lower(text: str) -> str:
    return _SHIFTED.sub(lambda match: chr(ord(match[0]) - SHIFT), text)


class _Composer:
    """Reads parser events into nodes, and remembers the flaws and the path it is at."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.flaws: list[Flaw] = []
        self.path: list[str | int] = []
        self.known: dict[str, Any] = {}

    def document(self, loader: Any) -> Node | None:
        loader.get_event()
        root = None
        while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self.blame(event, "a second document begins here", "one document per file")
                    return root
                root = self.node(loader, loader.get_event(), 0)
        return root

    def node(self, loader: Any, event: Any, depth: int) -> Node:
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            self.blame(event, "an alias (*) is not allowed", "the value itself")
            return Node(*place, None, broken=True)
        if event.anchor is not None:
            self.blame(event, "an anchor (&) is not allowed", "the value itself")
        if event.tag is not None:
            self.blame(event, "a tag (!) is not allowed", "a plain value; quotes make it text")
            node = self.node(loader, _untagged(event), depth)
            node.broken = True
            return node
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(loader, event, place)
        if depth >= MAX_DEPTH:
            self.blame(event, f"this is nested more than {MAX_DEPTH} levels deep", path=self.path[:1])
            _skip(loader)
            return Node(*place, None, broken=True)
        if isinstance(event, yaml.MappingStartEvent):
            return Node(*place, dict(self.entries(loader, depth)))
        return Node(*place, list(self.items(loader, depth)))

    def items(self, loader: Any, depth: int) -> Iterator[Node]:
        number = 0
        while not isinstance(event := loader.get_event(), yaml.SequenceEndEvent):
            self.path.append(number)
            yield self.node(loader, event, depth + 1)
            self.path.pop()
            number += 1

    def entries(self, loader: Any, depth: int) -> Iterator[tuple[str, Entry]]:
        places: dict[str, int] = {}
        while not isinstance(event := loader.get_event(), yaml.MappingEndEvent):
            key = self.key(loader, event)
            place = (event.start_mark.line + 1, event.start_mark.column + 1)
            self.path.append("?" if key is None else key)
            first = None if key is None else places.get(key)
            if first is not None:
                self.blame(event, f"this key is given twice, first in line {first}", "each key once")
            node = self.node(loader, loader.get_event(), depth + 1)
            self.path.pop()
            if key is not None and first is None:
                places[key] = place[0]
                yield key, Entry(*place, node)

    def key(self, loader: Any, event: Any) -> str | None:
        if isinstance(event, yaml.AliasEvent):
            self.blame(event, "an alias (*) is not allowed", "the key itself")
            return None
        if not isinstance(event, yaml.ScalarEvent):
            self.blame(event, "a list or mapping cannot be a key", "text")
            _skip(loader)
            return None
        if event.anchor is not None or event.tag is not None:
            self.blame(event, "an anchor (&) or tag (!) is not allowed", "the plain key")
        if event.value == "<<" and event.implicit[0]:
            self.blame(event, "a merge key (<<) is not allowed", "the keys themselves")
            return None
        if event.value == "":
            self.blame(event, "this key is empty", "text")
            return None
        return _lower(event.value)

    def scalar(self, loader: Any, event: Any, place: tuple[int, int]) -> Node:
        text = _lower(event.value)
        if "${" in text:
            return self.expanded(event, text, place)
        if not event.implicit[0] or event.tag is not None:
            return Node(*place, text)
        if text not in self.known:
            self.known[text] = resolve(text, loader)
        return Node(*place, self.known[text])

    def expanded(self, event: Any, text: str, place: tuple[int, int]) -> Node:
        env = broken = False

        def value(match: re.Match[str]) -> str:
            nonlocal env, broken
            if match[0] == "$${":
                return "${"
            if match[1] is None:
                self.blame(event, "a reference to the environment is not complete", "${NAME} or ${NAME:-default}")
                broken = True
                return ""
            env = True
            found = self.environ.get(match[1], "")
            if not found and match[2] is not None:
                return match[2]
            if match[1] not in self.environ:
                self.blame(event, f"the environment variable {match[1]} is not set")
                broken = True
            if not found.isprintable() and not _is_text(found):
                self.blame(event, f"the environment variable {match[1]} is not UTF-8 text")
                broken = True
                return ""
            return found

        return Node(*place, _PARTS.sub(value, text), env, broken)

    def blame(self, event: Any, what: str, expected: str = "", *, path: list[str | int] | None = None) -> None:
        mark = event.start_mark
        problem = Problem(tuple(self.path if path is None else path), what, expected)
        self.flaws.append(Flaw(mark.line + 1, mark.column + 1, problem))


def resolve(text: str, loader: Any = None) -> Any:
    """Return what plain *text* means in YAML's core schema: a number, true, false, null or the text itself."""
    reader = loader or yamlcore.CCoreLoader("")
    try:
        tag = reader.resolve(yaml.ScalarNode, text, (True, False))
        return reader.construct_object(yaml.ScalarNode(tag, text))
    except ValueError:
        return text  # a number with thousands of digits is none that we could use
    finally:
        if loader is None:
            reader.dispose()


def _untagged(event: Any) -> Any:
    event.tag = event.anchor = None
    return event


def _skip(loader: Any) -> None:
    depth = 1
    while depth:
        event = loader.get_event()
        depth += isinstance(event, _COLLECTIONS) - isinstance(event, _ENDS)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
