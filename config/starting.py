"""The first files of a new installation: a configuration that runs as it is."""

from __future__ import annotations

import errno
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


def init(config: Path, preset: str = "starter") -> list[Path]:
    """Write *preset*: *config*, and beside it its other files and a random API token; return their paths.

    The directory is made if need be. Raises `Occupied` before anything is written if one of them exists, or if
    *config* is called like another of them, and OSError, also if *config* names no file.
    """
    if not config.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(config))
    main, *others = FILES
    sources = {config.with_name(name): name for name in others}
    token = config.with_name(TOKEN)
    targets = [config, *sources, token]
    if existing := [
        target for target in dict.fromkeys(targets) if os.path.lexists(target) or targets.count(target) > 1
    ]:
        raise Occupied(existing)
    config.parent.mkdir(parents=True, exist_ok=True)
    for target, name in {config: main, **sources}.items():
        _write(target, resources.files("config").joinpath(preset, name).read_bytes(), mode=0o644)
    _write(token, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)
    return targets


def _write(path: Path, content: bytes, *, mode: int) -> None:
    # O_EXCL: what appeared meanwhile is not overwritten, and a planted link is not followed.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
