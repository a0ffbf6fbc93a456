"""The first files of a new installation: a configuration that runs as it is."""

from __future__ import annotations

import os
import secrets
from importlib import resources
from pathlib import Path

PRESETS = ("starter", "shop")
FILES = ("huiliu.yaml", "routes.yaml", "templates.yaml", "surveys.yaml")
TOKEN = "ops.token"  # noqa: S105  # the name of a file


class Occupied(Exception):
    """Files that would be written exist already; *files* are those, and nothing was written."""

    def __init__(self, files: list[Path]) -> None:
        super().__init__(", ".join(map(str, files)))
        self.files = files


def init(directory: Path, preset: str = "starter") -> list[Path]:
    """Write the files of *preset* and a random API token into *directory*, made if need be; return their paths.

    Raises `Occupied` before anything is written if one of them exists, and `OSError`.
    """
    targets = [directory / name for name in (*FILES, TOKEN)]
    if existing := [target for target in targets if os.path.lexists(target)]:
        raise Occupied(existing)
    directory.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        _write(directory / name, resources.files("config").joinpath(preset, name).read_bytes(), mode=0o644)
    _write(directory / TOKEN, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)
    return targets


def _write(path: Path, content: bytes, *, mode: int) -> None:
    # O_EXCL: what appeared meanwhile is not overwritten, and a planted link is not followed.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
