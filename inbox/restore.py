"""A backup's way back into an empty store: our own, a server elsewhere, or a cluster.

What the store holds is spelled out as commands and done again on the new one, so neither its version nor how its keys
are spread need be the same. Until the last of it is there a mark keeps every hub out; who begins again begins anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import hiredis

from config.disks import settle
from config.settings import Settings
from inbox.attachments import Attachments
from inbox.backup import compare, loadable
from inbox.backup_file import Faulty, Manifest, Told, attachments, read, snapshot_name
from inbox.directory import DATA, HUB_LOCK, RESTORING, prepare, seize, sign
from inbox.embedded import Embedded
from inbox.leases import DEAD_AFTER
from inbox.partitions import OURS, key, shared_key, tag
from inbox.snapshot import SCAN, Counts, count, forget_reach, opened, spell_out
from inbox.store import CONNECT_ERRORS, Store, StoreDown, Topology

UNPACKED = "unpacked"
PIECE = 1 << 20
BATCH = 1_000
PATIENCE = 60.0
MARK = shared_key("hub", RESTORING)
RESTORED = shared_key("hub", "restored")
"""When the store was last made out of a backup, in milliseconds since 1970 UTC."""


class NotEmpty(Exception):
    """There is something *where* the backup should go: *what*, if that has a name. *hub*: a hub is at work on it."""

    def __init__(self, where: str, what: str = "", *, hub: bool = False) -> None:
        super().__init__(where)
        self.where, self.what, self.hub = where, what, hub


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup goes: the store and the attachments that *settings* name."""

    settings: Settings

    @property
    def folder(self) -> Path:
        return self.settings.store.path

    @property
    def embedded(self) -> bool:
        return self.settings.store.kind == "embedded"

    @property
    def address(self) -> str:
        """The store, for people."""
        return str(self.folder) if self.embedded else self.settings.store.address


Afterwards = Callable[[Store], Awaitable[int]]
"""Does what has to be done before a hub may work on the store; returns how much that was."""


async def restore(file: Path, target: Target, now: int, told: Told, afterwards: Afterwards) -> tuple[Manifest, int]:
    """Put a backup into an empty store; return its manifest and what *afterwards* says.

    Raises `Faulty` and `NotEmpty`, when nothing has been changed; `EmbeddedError`, `StoreError`, OSError.
    """
    with occupied(target.folder):
        unpacked = target.folder / UNPACKED
        shutil.rmtree(unpacked, ignore_errors=True)
        await _refuse_unless_empty(target)
        unpacked.mkdir(mode=0o700)
        try:
            manifest = read(file, unpacked, told)
            commands = await _spelled_out(manifest, unpacked, told)
            async with _store(target) as store:
                await _pour(store, commands, manifest, told)
                await _rewind(store, manifest)
                await _put_back(file, target, told)
                done = await afterwards(store)
                await store.do("hub", "SET", RESTORED, now)
                await store.do("hub", "DEL", MARK)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    return manifest, done


@contextlib.contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Keep hubs and other restores out of *folder*. Raises `NotEmpty`, `Unsafe`."""
    prepare(folder)
    lock = os.open(folder / HUB_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not seize(lock):
            raise NotEmpty(str(folder), hub=True)
        sign(lock, os.getpid())
        yield
    finally:
        os.close(lock)


async def _refuse_unless_empty(target: Target) -> None:
    """Make sure that nothing is overwritten. What an unfinished restore has left is nothing. Raises `NotEmpty`."""
    if target.embedded:
        if (target.folder / DATA).exists():
            raise NotEmpty(target.address, DATA)
        return
    async with _outside(target) as store:
        if await _size(store) and not await store.do("hub", "EXISTS", MARK):
            seconds, _ = await store.do("hub", "TIME")
            alive = int((float(seconds) - DEAD_AFTER) * 1000)
            workers = await store.do("hub", "ZCOUNT", shared_key("hub", "workers"), alive, "+inf")
            raise NotEmpty(target.address, hub=bool(workers))


async def _ours(client: Any) -> AsyncIterator[bytes]:
    """Yield the names of the hub's keys, on every node; what others keep there is not looked at."""
    async for name in client.scan_iter(match=f"{OURS}*", count=SCAN):
        yield name


async def _size(store: Store) -> int:
    """Return how many keys there are. Raises `StoreDown`."""
    size = 0
    async with _admin(store) as client:
        async for _ in _ours(client):
            size += 1
    return size


@contextlib.asynccontextmanager
async def _admin(store: Store) -> AsyncIterator[Any]:
    client = await store.topology.admin()
    try:
        yield client
    except CONNECT_ERRORS as error:
        raise StoreDown(f"the store cannot be reached ({type(error).__name__})") from None
    finally:
        await client.aclose()


async def _spelled_out(manifest: Manifest, folder: Path, told: Told) -> list[Path]:
    """Load the snapshots in *folder* and return them as files of commands. Raises `Faulty`."""
    counts, found = Counts(), []
    for number in range(manifest.snapshots):
        snapshot, home = folder / snapshot_name(number), folder / str(number)
        with loadable(snapshot):
            async with opened(snapshot, home, manifest.db) as client:
                counts += await count(client, manifest.db)
                written = await spell_out(client, home)
        found.append(written.rename(folder / f"commands-{number}"))
        shutil.rmtree(home)
        told("check", counts.keys)
    compare(manifest, counts)
    return found


def _store(target: Target) -> contextlib.AbstractAsyncContextManager[Store]:
    """Give an empty store that no hub will use until it is whole. Raises `EmbeddedError`, `StoreError`, OSError."""
    return _inside(target) if target.embedded else _cleared(target)


@contextlib.asynccontextmanager
async def _inside(target: Target) -> AsyncIterator[Store]:
    """Give a store of our own, whose data get their place at the end."""
    draft = target.folder / RESTORING
    if draft.exists():
        shutil.rmtree(draft)
    (draft / DATA).mkdir(mode=0o700, parents=True)  # from now on no hub starts here
    draft.chmod(0o700)
    async with Embedded(draft, durability=target.settings.store.durability) as server:
        store = Store(Topology(server.url), (), patience=PATIENCE)
        try:
            yield store
        finally:
            await store.close()
    forget_reach(draft)
    for path in (*(draft / DATA).iterdir(), draft / DATA):
        settle(path)
    (draft / DATA).rename(target.folder / DATA)
    settle(target.folder)
    shutil.rmtree(draft)


@contextlib.asynccontextmanager
async def _cleared(target: Target) -> AsyncIterator[Store]:
    """Give the store that the configuration names, marked, and without what an unfinished restore has left."""
    async with _outside(target) as store:
        await store.do("hub", "SET", MARK, 1)
        async with _admin(store) as client:
            async for name in _ours(client):
                if name != MARK.encode():
                    await client.unlink(name)
        yield store


@contextlib.asynccontextmanager
async def _outside(target: Target) -> AsyncIterator[Store]:
    """Give a store that is not ours. Raises `StoreDown`."""
    store = Store(Topology(target.settings.store.url.get_secret_value()), (), patience=PATIENCE)
    try:
        yield store
    finally:
        await store.close()


async def _pour(store: Store, commands: Sequence[Path], manifest: Manifest, told: Told) -> None:
    """Do the *commands* of all snapshots again. Raises `StoreError`, `Faulty` if keys are missing at the end."""
    await store.do("hub", "SET", MARK, 1)
    done = 0
    for path in commands:
        with path.open("rb") as file:
            for batch, size in _batches(file, manifest.db):
                await store.each(batch)
                told("pour", done := done + size)
    found = await _size(store) - 1
    if not manifest.counts.grown_old(Counts(found)):
        least = manifest.keys - manifest.expiring
        raise Faulty("lost", found=found, least=least, most=manifest.keys)


def _batches(file: BinaryIO, db: int) -> Iterator[tuple[list[tuple[str, list[bytes]]], int]]:
    """Yield the commands for our keys of one database with their hash tags, and how many bytes they stood in."""
    reader, selected = hiredis.Reader(), -1
    batch: list[tuple[str, list[bytes]]] = []
    while piece := file.read(PIECE):
        reader.feed(piece)
        while (command := reader.gets()) is not False:
            if command[0].upper() == b"SELECT":
                selected = int(command[1])
            elif selected == db and command[1].startswith(OURS.encode()):
                batch.append((hash_tag(command[1]), command))
        for start in range(0, len(batch), BATCH):
            yield batch[start : start + BATCH], len(piece) if not start else 0
        batch = []


def hash_tag(name: bytes) -> str:
    """Return what decides about the slot of a key of ours."""
    return name.decode("utf-8", "replace").partition("{")[2].partition("}")[0]


async def _rewind(store: Store, manifest: Manifest) -> None:
    """Set readers back to before the first of several snapshots.

    What one of them did to a partition elsewhere may be missing from a snapshot that was taken before its own; doing
    an entry again changes nothing.
    """
    for partition, positions in manifest.positions.items():
        words = [word for pair in positions.items() for word in pair]
        await store.do(tag(int(partition)), "HSET", key(int(partition), "pos"), *words)


async def _put_back(file: Path, target: Target, told: Told) -> None:
    kept = Attachments(target.settings.attachments.path, max_size=sys.maxsize)
    for number, (_, content) in enumerate(attachments(file), 1):
        await kept.save(content)
        told("files", number)
