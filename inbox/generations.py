"""The files of the search index: generations of it side by side, of which one is in use.

A new one is built beside the one that answers, and takes its place at once by the change of one small file. Nothing
here is worth a backup: everything can be deleted at any time, also while the hub runs.
"""

from __future__ import annotations

import re
from pathlib import Path

CURRENT = "current"
_NAME = re.compile(r"index-([0-9]{1,12})\.db")


class Generations:
    """The generations in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self) -> Path | None:
        """Return the file that is in use; None if there is none."""
        known = ""
        while (name := self._named()) != known:  # what was swept away meanwhile has been replaced before
            known, path = name, self.folder / name
            if _NAME.fullmatch(name) and path.exists():
                return path
        return None

    def _named(self) -> str:
        try:
            return (self.folder / CURRENT).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return ""

    def fresh(self) -> Path:
        """Return the path of a file that was never there."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = [int(found[1]) for found in (_NAME.fullmatch(one.name) for one in self.folder.iterdir()) if found]
        return self.folder / f"index-{max(known, default=0) + 1}.db"

    def use(self, path: Path) -> None:
        """Take *path* into use. Raises OSError."""
        draft = self.folder / f"{CURRENT}.new"
        draft.write_text(path.name, encoding="ascii")
        draft.replace(self.folder / CURRENT)

    def sweep(self, *kept: Path) -> None:
        """Delete every generation but *kept*. Who still reads one goes on with what it has open."""
        names = {path.name for path in kept}
        for path in self.folder.glob("index-*.db*"):
            if path.name.removesuffix("-wal").removesuffix("-shm") not in names:
                path.unlink(missing_ok=True)

    def size(self) -> int:
        """Return how many bytes all of them take."""
        total = 0
        for path in self.folder.glob("index-*.db*"):
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # swept away meanwhile
                continue
        return total
