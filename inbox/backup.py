"""Makes a backup of a store that goes on serving, and proves it.

A file has its name only when it is whole, on disk, and has been read again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from config.disks import settle
from inbox.backup_file import (
    FORM,
    FORMAT,
    Faulty,
    Manifest,
    Told,
    add,
    add_files,
    add_manifest,
    read,
    snapshot_name,
)
from inbox.durability import Durability
from inbox.opening import examine
from inbox.partitions import COUNT, key, tag
from inbox.snapshot import Counts, Unloadable, count, fetch, fresh, opened
from inbox.store import Store, Topology
from inbox.valkey import find_binary

DRAFT = ".huiliu-"
"""What directories are called in which a backup is put together."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is copied: the store at *url*, and the *attachments* that its messages name."""

    url: str
    attachments: Path


async def make(origin: Origin, file: Path, told: Told) -> Manifest:
    """Copy everything into the new *file* and prove it. Raises FileExistsError, `Faulty`, `StoreError`, OSError."""
    refuse_to_overwrite(file)
    with workshop(file) as folder:
        draft = folder / "draft"
        made_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        taken = await _take(Topology(origin.url), folder, told)
        with fresh(draft) as out, tarfile.open(fileobj=out, mode="w", format=FORM) as tar:
            members = [add(tar, snapshot.name, snapshot) for snapshot in taken.snapshots]
            # The files come after the snapshots: a message names its file only when that is on disk.
            members += add_files(tar, origin.attachments, told)
            db = database(origin.url)
            counts = await prove(taken.snapshots, db, folder, told)
            manifest = Manifest(
                format=FORMAT,
                hub=version("huiliu"),
                made_at=made_at,
                store=taken.durability,
                db=db,
                keys=counts.keys,
                expiring=counts.expiring,
                conversations=counts.conversations,
                snapshots=len(taken.snapshots),
                members=tuple(members),
                positions=taken.positions,
            )
            add_manifest(tar, manifest)
        settle(draft)
        read(draft, None, told)
        name(draft, file)
    return manifest


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was fetched of a store."""

    durability: Durability
    positions: dict[str, dict[str, str]]
    snapshots: list[Path]


async def _take(topology: Topology, folder: Path, told: Told) -> _Taken:
    """Fetch a snapshot of every primary into *folder*. Raises `StoreError`, OSError."""
    durability = await examine(topology)
    store = Store(topology, ())
    try:
        nodes = await topology.nodes()
        taken = _Taken(durability, await _positions(store) if len(nodes) > 1 else {}, [])
        done = 0
        for number, node in enumerate(nodes):
            snapshot = folder / snapshot_name(number)
            with fresh(snapshot) as out:
                await fetch(topology, node, out, partial(_more, told, done))
                done += out.tell()
            taken.snapshots.append(snapshot)
        return taken
    finally:
        await store.close()


def _more(told: Told, before: int, size: int) -> None:
    told("store", before + size)


def database(url: str) -> int:
    """Return the number of the database that the URL of a store names."""
    parts = urlsplit(url)
    named = parse_qs(parts.query).get("db", [parts.path.strip("/")])[0]
    return int(named) if named.isdigit() else 0


async def check(file: Path, told: Told) -> Manifest:
    """Read a backup as a restore would, and load its snapshots. Raises `Faulty`, `EmbeddedError`, OSError."""
    with workshop(file) as folder:
        manifest = read(file, folder, told)
        snapshots = [folder / snapshot_name(number) for number in range(manifest.snapshots)]
        counts = await prove(snapshots, manifest.db, folder, told)
    compare(manifest, counts)
    return manifest


async def prove(snapshots: list[Path], db: int, folder: Path, told: Told) -> Counts:
    """Load each snapshot below *folder* and count what is in it; the snapshots are used up. Raises `Faulty`."""
    counts = Counts()
    for number, snapshot in enumerate(snapshots):
        with loadable(snapshot):
            async with opened(snapshot, folder / str(number), db) as client:
                counts += await count(client, db)
        shutil.rmtree(folder / str(number))
        told("check", counts.keys)
    return counts


@contextlib.contextmanager
def loadable(snapshot: Path) -> Iterator[None]:
    """Tell in words of the backup that a snapshot cannot be loaded. Raises `Faulty`."""
    try:
        yield
    except Unloadable as fault:
        facts = {"member": snapshot.name, "server": find_binary(os.environ)}
        if fault.version:
            raise Faulty("newer_store", version=fault.version, **facts) from None
        raise Faulty("unloadable", **facts) from None


def compare(manifest: Manifest, counts: Counts) -> None:
    """Make sure that the snapshots hold what the manifest says. Raises `Faulty`."""
    if not manifest.counts.grown_old(counts):
        least = manifest.keys - manifest.expiring
        raise Faulty("keys", found=counts.keys, least=least, most=manifest.keys)


@contextlib.contextmanager
def workshop(file: Path) -> Iterator[Path]:
    """Give a folder beside *file* that nobody else can enter and that is gone afterwards. Raises OSError."""
    with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=DRAFT, ignore_cleanup_errors=True) as name:
        yield Path(name)


def refuse_to_overwrite(file: Path) -> None:
    """Make sure that there is no such *file*. Raises FileExistsError."""
    if file.exists():
        raise FileExistsError(file)


def name(draft: Path, file: Path) -> None:
    """Give *draft* its name, for good; nothing is overwritten. Raises FileExistsError, OSError."""
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        raise FileExistsError(file) from None
    except OSError:  # a file system without links, such as that of a memory stick
        draft.rename(file)
    settle(file.absolute().parent)


async def _positions(store: Store) -> dict[str, dict[str, str]]:
    replies = await store.each([(tag(one), ("HGETALL", key(one, "pos"))) for one in range(COUNT)])
    return {str(one): dict(zip(flat[::2], flat[1::2], strict=True)) for one, flat in enumerate(replies) if flat}
