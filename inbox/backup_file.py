"""The file that a backup is: a tar of snapshots of the store, of attachments, and of a manifest that vouches for both.

Owns its form, how it is written piece by piece, and how it is read to the last byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from inbox.durability import Durability
from inbox.snapshot import Counts, fresh

FORMAT = 1
MANIFEST = "manifest.json"
DIGEST = "manifest.json.sha256"
FILES = "attachments"
FORM: Final = tarfile.GNU_FORMAT
BLOCK = tarfile.BLOCKSIZE
PIECE = 1 << 20
LARGEST = 64 << 20
"""Bytes of a manifest that is still read."""

Told = Callable[[str, int], None]
"""Hears of a step ("store", "files", "check", …) and how many bytes or keys of it are done."""


class Faulty(Exception):
    """A backup cannot be used. *code* names the fault, *facts* tell where, what is there, and what was expected."""

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts


class Member(msgspec.Struct, frozen=True):
    """One file in the backup, by its name there."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is, and what is in it. *store* describes the server that it was taken from.

    *positions* say how far the readers of each partition were before the first of several snapshots.
    """

    format: int
    hub: str
    made_at: str
    store: Durability
    db: int
    keys: int
    expiring: int
    conversations: int
    snapshots: int
    members: tuple[Member, ...]
    positions: dict[str, dict[str, str]] = {}

    @property
    def counts(self) -> Counts:
        """What the snapshots hold together."""
        return Counts(self.keys, self.expiring, self.conversations)

    @property
    def files(self) -> int:
        """How many attachments there are."""
        return len(self.members) - self.snapshots

    @property
    def damaged(self) -> list[str]:
        """The attachments that were not what their names say when they were copied: the disk has changed them."""
        return [one.name for one in self.members if "/" in one.name and not one.name.endswith(f"/{one.sha256}")]


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        return piece


def add(tar: tarfile.TarFile, name: str, path: Path) -> Member:
    """Write the file at *path* into a backup under *name*. Raises OSError."""
    with path.open("rb") as file:
        item = head(name, os.fstat(file.fileno()).st_size)
        hashed = _Hashed(file)
        tar.addfile(item, hashed)
    return Member(name, item.size, hashed.digest.hexdigest())


def add_files(tar: tarfile.TarFile, root: Path, told: Told) -> Iterator[Member]:
    """Write every attachment below *root* that is still there. Raises OSError."""
    for number, path in enumerate(sorted(root.glob("??/" + "?" * 64)), 1):
        with contextlib.suppress(FileNotFoundError):  # somebody is being erased
            yield add(tar, f"{FILES}/{path.parent.name}/{path.name}", path)
        told("files", number)


def add_manifest(tar: tarfile.TarFile, manifest: Manifest) -> None:
    """Write what vouches for the rest, and the hash that vouches for it."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    for name, content in ((MANIFEST, text), (DIGEST, digest_line(hashlib.sha256(text).hexdigest()))):
        tar.addfile(head(name, len(content)), BytesIO(content))


def head(name: str, size: int) -> tarfile.TarInfo:
    """Return what stands before a file in a backup."""
    item = tarfile.TarInfo(name)
    item.size, item.mode = size, 0o600
    return item


def snapshot_name(number: int) -> str:
    """Return the name of a snapshot in the backup."""
    return f"store-{number}.rdb"


def read(file: Path, folder: Path | None, told: Told) -> Manifest:
    """Read every byte of a backup; put its snapshots into *folder* if there is one. Raises `Faulty`, OSError."""
    with file.open("rb") as source:
        return _Reading(file, source, folder, told).manifest()


def attachments(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the attachments of a backup that was read before: name, which is the hash of the content, and content."""
    with tarfile.open(file, "r:") as tar:
        for item in tar:
            if item.name.startswith(f"{FILES}/"):
                content = tar.extractfile(item)
                assert content is not None
                yield item.name.rpartition("/")[2], content.read()


class _Reading:
    """One reading of a backup from its first byte to its last."""

    def __init__(self, file: Path, source: BinaryIO, folder: Path | None, told: Told) -> None:
        self._file = file
        self._source = source
        self._folder = folder
        self._told = told
        self._members: dict[str, Member] = {}
        self._starts: dict[str, int] = {}
        self._end = 0

    def manifest(self) -> Manifest:
        kept: dict[str, bytes] = {}
        try:
            with tarfile.open(fileobj=self._source, mode="r:") as tar:
                for item in tar:
                    self._zeros(item.offset)
                    kept |= self._member(tar, item)
                    self._end = item.offset_data + item.size
        except tarfile.ReadError:
            if not self._members:
                raise Faulty("no_tar", file=self._file) from None
            raise Faulty("cut", file=self._file, size=self._size()) from None
        if MANIFEST not in kept or DIGEST not in kept:
            raise Faulty("cut", file=self._file, size=self._size())
        whole = -(-(-(-self._end // BLOCK) * BLOCK + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
        if self._size() != whole:
            raise Faulty("length", file=self._file, size=self._size(), expected=whole)
        self._zeros(whole)
        return self._agreed(kept)

    def _size(self) -> int:
        return self._file.stat().st_size

    def _member(self, tar: tarfile.TarFile, item: tarfile.TarInfo) -> dict[str, bytes]:
        """Read one file; return what of it is needed afterwards."""
        content = tar.extractfile(item)
        if content is None or item.name in self._members:
            raise Faulty("stranger", file=self._file, member=item.name[:80], at=item.offset)
        self._source.seek(item.offset)
        if self._source.read(item.offset_data - item.offset) != head(item.name, item.size).tobuf(FORM):
            raise Faulty("header", file=self._file, at=item.offset)
        hashing, size, kept = hashlib.sha256(), 0, b""
        with contextlib.ExitStack() as stack:
            snapshot = self._folder is not None and item.name.startswith("store-") and "/" not in item.name
            out = stack.enter_context(fresh(self._folder / item.name)) if snapshot and self._folder else None
            while piece := content.read(PIECE):
                hashing.update(piece)
                size += len(piece)
                if item.name in (MANIFEST, DIGEST) and size <= LARGEST:
                    kept += piece
                if out is not None:
                    out.write(piece)
                self._told("read", item.offset_data + size)
        self._members[item.name] = Member(item.name, size, hashing.hexdigest())
        self._starts[item.name] = item.offset_data
        return {item.name: kept} if item.name in (MANIFEST, DIGEST) else {}

    def _zeros(self, until: int) -> None:
        """Make sure that nothing stands between two files."""
        self._source.seek(self._end)
        if self._source.read(until - self._end).strip(b"\0"):
            raise Faulty("gap", file=self._file, at=self._end)

    def _agreed(self, kept: dict[str, bytes]) -> Manifest:
        """Return the manifest if it vouches for what was read."""
        found = self._members.pop(MANIFEST)
        del self._members[DIGEST]
        if kept[DIGEST] != digest_line(found.sha256):
            expected = kept[DIGEST][:64].decode("ascii", "replace")
            raise self._changed(found, expected)
        try:
            form = msgspec.json.decode(kept[MANIFEST], type=dict[str, Any]).get("format")
            if form != FORMAT:
                raise Faulty("format", file=self._file, found=str(form)[:20], expected=FORMAT)
            manifest = msgspec.json.decode(kept[MANIFEST], type=Manifest)
        except msgspec.DecodeError:
            raise Faulty("manifest", file=self._file) from None
        for member in manifest.members:
            actual = self._members.pop(member.name, None)
            if actual is None:
                raise Faulty("missing", file=self._file, member=member.name)
            if actual != member:
                raise self._changed(actual, member.sha256)
        for name in self._members:
            raise Faulty("stranger", file=self._file, member=name[:80], at=self._starts[name])
        return manifest

    def _changed(self, actual: Member, expected: str) -> Faulty:
        at = self._starts[actual.name]
        return Faulty("changed", file=self._file, member=actual.name, at=at, found=actual.sha256, expected=expected)


def digest_line(sha256: str) -> bytes:
    """Return what stands beside the manifest, in the form that `sha256sum --check` reads."""
    return f"{sha256}  {MANIFEST}\n".encode("ascii")
