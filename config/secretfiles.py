"""Secrets that stand in files of their own: every secret key *x* may be written as *x*_file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel

from config import content, shapes
from config.faults import Path, Problem

MAX_SIZE = 64 << 10


@dataclass(slots=True)
class Secrets:
    """What was found: *named* maps a secret's path to the path of the key that named its file.

    *failed* are paths of secrets that could not be read; *files* the SHA-256 of each file.
    """

    problems: list[Problem] = field(default_factory=list)
    named: dict[Path, Path] = field(default_factory=dict)
    failed: set[Path] = field(default_factory=set)
    files: dict[FilePath, str] = field(default_factory=dict)


class Unreadable(Exception):
    """A secret's file cannot be used; the message says why and never what is in it."""

    def __init__(self, what: str, expected: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected


def fill(model: type[BaseModel], data: Any, directory: FilePath, *, at: Path = ()) -> Secrets:
    """Put the secrets that *data* names by file in their places in *data*, which has the shape of *model*.

    File names are relative to *directory*. Paths in the result begin with *at*.
    """
    found = Secrets()
    if not shapes.guards_secrets(model):
        return found
    for path, mapping, key, by_file in list(_secret_keys([model], data, at)):
        named, here = f"{key}_file", (*path, key)
        if mapping.get(key) == "":
            found.problems.append(Problem(here, "this secret is empty", f"the secret, or {named}"))
            found.failed.add(here)
        if not by_file:
            continue
        name = mapping.pop(named)
        there = (*path, named)
        if key in mapping:
            found.problems.append(Problem(there, f"both {key} and {named} are given", "one of them", key=True))
            found.failed.add(here)
            continue
        found.named[here] = there
        mapping[key] = "unreadable"
        try:
            if not isinstance(name, str) or not name:
                raise Unreadable("this is no file name", "the path of a file")
            file = directory / name
            mapping[key], found.files[file.absolute()] = read(file)
        except Unreadable as error:
            found.problems.append(Problem(there, error.what, error.expected))
            found.failed.add(here)
            if isinstance(name, str) and name and "\0" not in name:
                found.files.setdefault((directory / name).absolute(), "")
    return found


def read(file: FilePath) -> tuple[str, str]:
    """Return the secret in *file* without its last line break, and the SHA-256 of the file. Raises `Unreadable`."""
    try:
        raw, status = content.read(file, MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        raise Unreadable(f"the secret's file cannot be read ({content.why(error)})") from None
    # A file that belongs to somebody else (a mounted secret) is not ours to protect.
    if status.st_mode & 0o004 and status.st_uid == os.geteuid():
        raise Unreadable("everybody on this machine can read the secret's file", "mode 0600")
    if len(raw) > MAX_SIZE:
        raise Unreadable("the secret's file is larger than 64 KB")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Unreadable("the secret's file is not UTF-8 text") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret.strip():
        raise Unreadable("the secret's file is empty")
    return secret, hashlib.sha256(raw).hexdigest()


def _secret_keys(annotations: list[Any], data: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any], str, bool]]:
    """Yield path, mapping and name of every secret key that *data* gives, and whether its file is named."""
    if isinstance(data, list):
        for number, item in enumerate(data):
            yield from _secret_keys(shapes.below(annotations, number), item, (*path, number))
    if not isinstance(data, dict):
        return
    candidates = shapes.models(annotations)
    known = {key for model in candidates for key in shapes.keys(model)}
    secret = {key for model in candidates for key in shapes.secret_keys(model)}
    for key in sorted(secret):
        by_file = f"{key}_file" in data and f"{key}_file" not in known
        if key in data or by_file:
            yield path, data, key, by_file
    for key, value in data.items():
        yield from _secret_keys(shapes.below(annotations, key), value, (*path, key))
