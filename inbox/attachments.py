"""Files of messages, kept outside the store by the hash of their content: one file however often it comes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.disks import settle


class TooLarge(ValueError):
    """A file is larger than the configured limit."""


class NoAttachment(LookupError):
    """No file with this hash is kept here."""


@dataclass(frozen=True, slots=True)
class Attachments:
    """A directory shared by all hub processes; *max_size* is in bytes."""

    root: Path
    max_size: int = 25 << 20

    async def save(self, data: bytes) -> str:
        """Keep *data* durably (fsync of file and directory) and return its SHA-256 in hex.

        Raises `TooLarge`, OSError.
        """
        if len(data) > self.max_size:
            raise TooLarge(f"the file has {len(data)} bytes; the limit is {self.max_size}")
        return await asyncio.to_thread(self._save, data)

    async def read(self, digest: str) -> bytes:
        """Return the bytes with that hash. Raises `NoAttachment`."""
        try:
            return await asyncio.to_thread(self.path(digest).read_bytes)
        except FileNotFoundError:
            raise NoAttachment(digest) from None

    async def renew(self, digest: str) -> bool:
        """Say that somebody needs the file with that hash, now that the log tells so; tell whether it is still there.

        Who erases looks at the log, then at the moment of this. Raises `NoAttachment` if *digest* is no SHA-256,
        OSError.
        """
        return await asyncio.to_thread(_renew, self.path(digest))

    async def kept_at(self, digest: str) -> int:
        """Return when the file with that hash was last kept by anybody, 0 if it is not there.

        Raises `NoAttachment` if *digest* is no SHA-256, OSError.
        """
        return await asyncio.to_thread(_stamp, self.path(digest))

    async def remove(self, digest: str, kept_at: int) -> bool:
        """Remove the file with that hash unless somebody has kept it anew since *kept_at*; tell whether it is gone.

        Raises `NoAttachment` if *digest* is no SHA-256, OSError.
        """
        return await asyncio.to_thread(_remove, self.path(digest), kept_at)

    def path(self, digest: str) -> Path:
        """Return where a file lies. Raises `NoAttachment` if *digest* is no SHA-256."""
        if len(digest) != 64 or not digest.isalnum():
            raise NoAttachment(digest)
        return self.root / digest[:2] / digest

    def _save(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if _renew(path):
            return digest
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            draft = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                draft.unlink()
                raise
        draft.rename(path)
        settle(path.parent)
        return digest


def _renew(path: Path) -> bool:
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _remove(path: Path, kept_at: int) -> bool:
    if _stamp(path) not in (0, kept_at):
        return False
    path.unlink(missing_ok=True)
    return True


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
