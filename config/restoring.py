"""Files of the configuration put back as they were, each in one step, with a copy of what stood there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from config.disks import settle


def restore(files: Mapping[Path, str], stamp: str) -> dict[Path, Path]:
    """Write *files*; return those that changed, each with the copy of what it was: its name and ``.STAMP.bak``.

    Nothing is changed before everything is ready, and each file changes in one step. Links are kept: what they lead
    to is replaced. Raises OSError.
    """
    wanted = {Path(os.path.realpath(path)): text.encode() for path, text in files.items()}
    changed = {path: data for path, data in wanted.items() if not path.exists() or path.read_bytes() != data}
    ready: dict[Path, Path] = {}
    copies: dict[Path, Path] = {}
    try:
        for path, data in changed.items():
            ready[path] = _written(path, data, stamp)
            if path.exists():
                copies[path] = path.with_name(f"{path.name}.{stamp}.bak")
                shutil.copy2(path, copies[path])
        for path, fresh in ready.items():
            fresh.replace(path)
    finally:
        for fresh in ready.values():
            fresh.unlink(missing_ok=True)
    for directory in {path.parent for path in changed}:
        settle(directory)
    return copies


def _written(path: Path, data: bytes, stamp: str) -> Path:
    """Write *data* beside *path*, with the mode of what stands there."""
    fresh = path.with_name(f".{path.name}.{stamp}.new")
    with fresh.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        shutil.copymode(path, fresh)
    return fresh
