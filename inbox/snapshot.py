"""What one server holds at one moment, fetched as a replica fetches it while the server goes on; and read again.

A snapshot is the server's own RDB. It is read by a server of our own in a folder of its own, without a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from inbox.conversations import STATUSES
from inbox.directory import DATA, EmbeddedError, reach
from inbox.embedded import Embedded, Failed
from inbox.partitions import COUNT, OURS, key
from inbox.store import CONNECT_ERRORS, StoreDown, StoreError, Topology, discard, pack

SILENCE = 60.0
"""Seconds without a byte; a server that is preparing a snapshot sends one every second."""

PIECE = 1 << 18
LOOK = 0.05
SCAN = 5_000
Told = Callable[[int], None]
"""Hears how many bytes have come."""


class NoSnapshot(StoreError):
    """The store does not give a snapshot, or not all of it."""


class Unloadable(Exception):
    """No server can be started from a snapshot; *version* is that of its format if that is newer than ours knows."""

    def __init__(self, version: str) -> None:
        super().__init__("the snapshot cannot be loaded")
        self.version = version


@dataclass(frozen=True, slots=True)
class Counts:
    """What is in a snapshot: keys of the hub, how many keys have an end, conversations."""

    keys: int = 0
    expiring: int = 0
    conversations: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.keys + other.keys, self.expiring + other.expiring, self.conversations + other.conversations)

    def grown_old(self, now: Counts) -> bool:
        """Tell whether *now* is what time has left of this: only what has an end may be gone."""
        return self.keys - self.expiring <= now.keys <= self.keys


@contextlib.contextmanager
def fresh(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing that only its owner can read. Raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        yield file


async def fetch(topology: Topology, node: str, file: BinaryIO, told: Told) -> None:
    """Write the snapshot of *node* into *file* as it comes. Raises `NoSnapshot`, `StoreDown`, OSError of the file."""
    try:
        connection = await topology.connect(node)
    except CONNECT_ERRORS as error:
        raise StoreDown(f"the store cannot be reached ({type(error).__name__})") from None
    try:
        await _Stream(connection).copy(file, told)
    finally:
        await discard(connection)


class _Stream:
    """A replica's side of a synchronisation, up to the end of the snapshot."""

    def __init__(self, connection: Connection) -> None:
        # The same two private attributes as in `inbox.store`: a snapshot is no reply that redis-py could read.
        self._reader: Any = connection._reader  # noqa: SLF001
        self._writer: Any = connection._writer  # noqa: SLF001

    async def copy(self, file: BinaryIO, told: Told) -> None:
        """Ask for a snapshot and write it into *file*."""
        await self._ask("REPLCONF", "capa", "eof")  # else the server would write the snapshot to its own disk first
        head = await self._ask("SYNC")  # by itself: a server that still owes an answer refuses it
        end = re.fullmatch(rb"\$EOF:([0-9a-f]{40})", head)
        length = re.fullmatch(rb"\$(\d+)", head)
        if end is not None:
            await self._until(end[1], file, told)
        elif length is not None:
            await self._exactly(int(length[1]), file, told)
        else:
            raise NoSnapshot("the store answers SYNC with something else than a snapshot")

    async def _ask(self, *command: str) -> bytes:
        self._writer.write(pack(*command))
        while not (line := (await self._patiently(self._reader.readline())).strip()):
            continue  # it is still preparing
        if line.startswith(b"-"):
            code = line[1:].split(b" ")[0].decode("ascii", "replace")
            raise NoSnapshot(f"the store refuses {command[0]} ({code}); its user needs +sync and +replconf")
        return bytes(line)

    async def _until(self, end: bytes, file: BinaryIO, told: Told) -> None:
        held, size = b"", 0
        while True:
            held += await self._patiently(self._reader.read(PIECE))
            found = held.find(end)
            ready = held[: found if found >= 0 else max(0, len(held) - len(end))]
            file.write(ready)
            size += len(ready)
            told(size)
            if found >= 0:
                return
            held = held[len(ready) :]

    async def _exactly(self, length: int, file: BinaryIO, told: Told) -> None:
        size = 0
        while size < length:
            piece = await self._patiently(self._reader.read(min(PIECE, length - size)))
            file.write(piece)
            size += len(piece)
            told(size)

    async def _patiently(self, reading: Any) -> bytes:
        try:
            async with asyncio.timeout(SILENCE):
                piece: bytes = await reading
        except TimeoutError:
            raise NoSnapshot(f"the store sent nothing for {SILENCE:g} s") from None
        except OSError as error:
            raise NoSnapshot(f"the connection to the store was lost ({type(error).__name__})") from None
        if not piece:
            raise NoSnapshot(
                "the store ended the snapshot in the middle: its log says why (memory, or client-output-buffer-limit)"
            )
        return piece


@contextlib.asynccontextmanager
async def opened(snapshot: Path, folder: Path, db: int) -> AsyncIterator[Redis]:
    """Run a server of our own in the new *folder* on *snapshot*, which becomes its own.

    Raises `Unloadable`, `EmbeddedError`, OSError.
    """
    _lay_out(snapshot, folder)
    server = Embedded(folder)
    try:
        await server.start()
    except Failed as failure:
        # The end of its log is in the message and may name keys, which hold addresses: it is not passed on.
        newer = re.search(r"Can't handle RDB format version (\d+)", str(failure))
        raise Unloadable(newer[1] if newer else "") from None
    try:
        client: Redis = Redis.from_url(server.url.replace("?db=0", f"?db={db}"), decode_responses=True)
        async with client:
            yield client
    except RedisError as error:
        raise EmbeddedError(f"our own server failed over {snapshot.name} ({type(error).__name__})") from None
    finally:
        await server.stop()
        forget_reach(folder)


def _lay_out(snapshot: Path, folder: Path) -> None:
    """Make *snapshot* the beginning of a log, from which a server starts."""
    log = folder / DATA
    log.mkdir(mode=0o700, parents=True)
    folder.chmod(0o700)
    base = "appendonly.aof.1.base.rdb"
    snapshot.rename(log / base)
    (log / "appendonly.aof.manifest").write_text(f"file {base} seq 1 type b\n", encoding="ascii")


def forget_reach(folder: Path) -> None:
    """Remove the short way to the socket of a server that will not run in *folder* again. Raises OSError."""
    link = reach(folder.absolute()).parent
    if link.is_symlink():
        link.unlink()


async def count(client: Redis, db: int) -> Counts:
    """Count what a server holds of the hub."""
    space = (await client.info("keyspace")).get(f"db{db}", {})
    keys = 0
    async for _ in client.scan_iter(match=f"{OURS}*", count=SCAN):
        keys += 1
    async with client.pipeline(transaction=False) as asked:
        for partition in range(COUNT):
            for status in STATUSES:
                asked.zcard(key(partition, f"i:s:{status}"))
        conversations = sum(await asked.execute())
    return Counts(keys, int(space.get("expires", 0)), conversations)


async def spell_out(client: Redis, folder: Path) -> Path:
    """Have the server in *folder* write all it holds as commands, which any version understands; return the file.

    Raises OSError.
    """
    await client.bgrewriteaof()
    while True:
        facts = await client.info("persistence")
        if not facts["aof_rewrite_in_progress"] and not facts.get("aof_rewrite_scheduled"):
            break
        await asyncio.sleep(LOOK)
    if facts["aof_last_bgrewrite_status"] != "ok":
        raise OSError(f"the snapshot could not be written out in {folder}; is the disk full?")
    [base] = (folder / DATA).glob("*.base.aof")
    return base
