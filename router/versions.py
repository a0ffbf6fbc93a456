"""Rule sets as values: everything that decisions depend on, named by its hash, and packed so that it can be kept. Pure.

A set that was kept decides for ever as it did when it was in use: its routes stand in it as they were read, with
the environment's values, and so do the opening hours and the time zone that they refer to.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from pydantic import ValidationError

from config import writing
from config.hours import Hours
from config.loading import Loaded
from config.routes import RouteFile
from router.rules import Tree, compile_routes

SHORT = 16
"""Digits of a hash that decisions are stored with: 64 bits tell all rule sets of a shop apart."""
LARGEST = 8 << 20
"""Bytes of a packed rule set at most."""
UNPACKED = 64 << 20
WHOLE = {"whole": True}
"""For what stands in files of its own: it is to be written out, so that the set does not depend on them."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Unreadable(Exception):
    """What was kept cannot be read by this version of the hub."""


class TooLarge(Exception):
    """The rule set is too large to be kept."""


@dataclass(frozen=True, slots=True)
class Version:
    """One rule set. *files* are the route files, and the files of words that they name, as written.

    They stand under their path relative to the configuration.

    *hash* is the SHA-256 of all of it, in hexadecimal.
    """

    hash: str
    files: Mapping[str, str] = field(repr=False)
    routes: tuple[RouteFile, ...] = field(repr=False)
    hours: Mapping[str, Hours] = field(repr=False)
    timezone: ZoneInfo
    content: bytes = field(repr=False)

    @property
    def short(self) -> str:
        """The hash as decisions are stored with it."""
        return self.hash[:SHORT]


def snapshot(loaded: Loaded) -> Version:
    """Return the rule set of a configuration."""
    settings, place = loaded.settings, loaded.path.parent
    files = {os.path.relpath(document.path, place): document.text for document in loaded.documents}
    files |= {os.path.relpath(path, place): text for path, text in loaded.words.items()}
    content = _encode(
        {
            "files": list(files.items()),
            "routes": [
                file.model_dump(mode="json", by_alias=True, exclude_unset=True, context=WHOLE) for file in loaded.routes
            ],
            "hours": {name: writing.hours(hours) for name, hours in settings.hours.items()},
            "timezone": str(settings.timezone),
        }
    )
    return Version(_hash(content), files, loaded.routes, settings.hours, settings.timezone, content)


def grow(version: Version) -> Tree:
    """Compile a rule set; the tree's hash is that of the set."""
    tree = compile_routes(version.routes, version.hours, timezone=version.timezone)
    return dataclasses.replace(tree, hash=version.hash)


def pack(version: Version) -> bytes:
    """Return a rule set as bytes. Raises `TooLarge`."""
    packed = zlib.compress(version.content, 9)
    if len(packed) > LARGEST or len(version.content) > UNPACKED:
        raise TooLarge(f"{len(packed)} bytes, at most {LARGEST} are kept")
    return packed


def unpack(packed: bytes) -> Version:
    """Return what `pack` was given. Raises `Unreadable`."""
    try:
        content = zlib.decompress(packed)
        data: dict[str, Any] = msgspec.json.decode(content)
        return Version(
            _hash(content),
            dict(data["files"]),
            tuple(RouteFile.model_validate_json(_encode(file)) for file in data["routes"]),
            {name: Hours.model_validate(hours) for name, hours in data["hours"].items()},
            ZoneInfo(data["timezone"]),
            content,
        )
    except (zlib.error, msgspec.DecodeError, ValidationError, KeyError, TypeError, ValueError, OSError) as error:
        raise Unreadable(f"the rule set cannot be read by this version of the hub ({type(error).__name__})") from None


def diff(old: Version, new: Version) -> list[str]:
    """Return what changed between two rule sets, file by file, as a unified diff; hours and time zone as files too."""
    lines: list[str] = []
    before, after = _texts(old), _texts(new)
    for name in dict.fromkeys((*before, *after)):
        lines += difflib.unified_diff(
            before.get(name, "").splitlines(),
            after.get(name, "").splitlines(),
            f"{old.hash[:12]}/{name}" if name in before else "/dev/null",
            f"{new.hash[:12]}/{name}" if name in after else "/dev/null",
            lineterm="",
        )
    return lines


def _texts(version: Version) -> dict[str, str]:
    hours = {name: writing.hours(one) for name, one in version.hours.items()}
    around = msgspec.json.format(_encode({"timezone": str(version.timezone), "hours": hours}), indent=2).decode()
    return {**version.files, "(huiliu.yaml: timezone, hours)": around}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
