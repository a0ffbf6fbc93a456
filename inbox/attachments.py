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

    async def remove(self, digest: str) -> None:
        """Remove the file with that hash, if it is there. Raises `NoAttachment` if *digest* is no SHA-256, OSError."""
        await asyncio.to_thread(self.path(digest).unlink, missing_ok=True)

    def path(self, digest: str) -> Path:
        """Return where a file lies. Raises `NoAttachment` if *digest* is no SHA-256."""
        if len(digest) != 64 or not digest.isalnum():
            raise NoAttachment(digest)
        return self.root / digest[:2] / digest

    def _save(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if path.exists():
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
