"""The embedded store: a private Valkey server in a directory of ours, alive exactly as long as the hub.

Owns the directory (locks, secret, socket, log) and the server process. Knows nothing of what is
stored: everybody connects to `Embedded.url` as to any other store. What was tried and refused
stands in docs/decisions/0002-embedded-store.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

from inbox.directory import (
    DATA,
    HUB_LOCK,
    LOG,
    RESTORING,
    SECRET,
    SOCKET,
    STORE_LOCK,
    EmbeddedError,
    Unsafe,
    keep_secret,
    log_tail,
    prepare,
    reach,
    read_secret,
    seize,
    sign,
)
from inbox.valkey import NoBinary, find_binary, spawn

__all__ = ["Embedded", "EmbeddedError", "Failed", "InUse", "NoBinary", "Unfinished", "Unsafe", "find_binary"]

ANSWER_LIMIT = 2.0  # seconds for one PING
SILENCE_LIMIT = 30.0  # seconds that a started server may give no answer at all; "loading" is an answer
STOP_LIMIT = 15.0  # seconds from SIGTERM to SIGKILL
ORPHAN_GRACE = 1.0  # seconds in which the server of a dead hub normally ends by itself
TELL_AFTER = 1.0  # seconds after which whoever starts a hub wants to know what it waits for
STEADY = 0.5  # seconds of life after which a death is no longer "at once"
LONGEST_PAUSE = 1.0  # seconds before the next start of a server that answers, but keeps dying
LONGEST_WAIT = 5.0  # the same for one that does not even become ready
LOOK = 0.1  # seconds between two looks at what the server has forked
BEHIND = 19  # the niceness of what need not be ready soon

AOF_NAME = re.compile(r"[\w.-]+\.aof(?:\.manifest)?")

log = logging.getLogger(__name__)


class InUse(EmbeddedError):
    """Another hub, or the server that a dead hub left behind, holds the directory."""


class Unfinished(EmbeddedError):
    """A restore into the directory has not come to its end: what is there is not all that there was."""


class Failed(EmbeddedError):
    """The server ended or stayed silent instead of becoming ready; the message ends with its log."""


class Embedded:
    """A Valkey server of our own below *path*, reachable through a unix socket that only our user can open.

    *durability* is the server's `appendfsync`. *binary* overrides `find_binary`. *patience* is how
    many seconds `start` waits for a directory that is still held.

    Either ``async with Embedded(path) as store:``, which also watches over the server, or `start`,
    then `supervise` in a task of the owner's group, then `stop`. Start it from the main thread:
    elsewhere the server is not told when the hub dies (PR_SET_PDEATHSIG is bound to the thread).
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Literal["always", "everysec"] = "always",
        binary: Path | None = None,
        patience: float = 15.0,
    ) -> None:
        self.path = path.absolute()
        self.durability = durability
        self.patience = patience
        self.restarts = 0
        self.problem = ""
        self._binary = binary
        self._socket = self.path / SOCKET
        self._password = ""
        self._locks: dict[str, int] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._orphan: int | None = None
        self._watch: asyncio.Task[None] | None = None
        self._watched = False
        self._stopping = False

    def __repr__(self) -> str:
        return f"Embedded({str(self.path)!r}, durability={self.durability!r})"

    @property
    def password(self) -> str:
        """The server's password; part of `url`."""
        return self._password

    @property
    def url(self) -> str:
        """A complete redis-py URL, secret included: for clients and workers' environments, never for a log."""
        return f"unix://:{self._password}@{quote(str(self._socket))}?db=0"

    @classmethod
    def running(cls, path: Path) -> str:
        """Return the URL of the server that a hub runs below *path*, for a program beside it.

        Raises `EmbeddedError`.
        """
        store = cls(path)
        if not store._socket.exists():
            raise EmbeddedError(f"no hub runs its store in {store.path}")
        try:
            store._password = read_secret(store.path / SECRET)
        except OSError as error:
            raise EmbeddedError(f"the store in {store.path} cannot be used: {error.strerror}") from None
        return store.url

    @property
    def address(self) -> str:
        """The URL without the secret, for people."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """The server's process id, None while there is none."""
        if self._process is not None and self._process.returncode is None:
            return self._process.pid
        return self._orphan

    async def __aenter__(self) -> Self:
        await self.start()
        self._watch = asyncio.create_task(self.supervise(), name="embedded store")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None
        await self.stop()

    async def start(self) -> None:
        """Take the directory and return when the server answers; loading much data may take minutes.

        Raises `Unsafe`, `InUse` (after *patience* seconds), `Unfinished`, `NoBinary` or `Failed`. A live server
        that a dead hub left behind is taken over as it is.
        """
        self._stopping = False
        prepare(self.path)
        self._socket = reach(self.path)
        try:
            await self._occupy()
            if (self.path / RESTORING / DATA).exists():
                raise Unfinished(
                    f"a restore into {self.path} has not come to its end; run huiliu restore FILE again, "
                    f"or remove {self.path / RESTORING}"
                )
            if self._orphan is None:
                self._password = keep_secret(self.path / SECRET)
                await self._launch()
        except BaseException:
            await self.stop()
            raise
        log.info("the embedded store is ready: process %s at %s", self.pid, self.address)

    async def supervise(self) -> None:
        """Start the server again whenever it ends, until cancelled or stopped.

        `restarts` counts the starts; `problem` is "" while the server runs, else why it does not.
        A server that ends at once is started ever less often: at least every second, or every five
        seconds if it does not even become ready. Raises RuntimeError when it is watched already.
        """
        if self._watched:
            raise RuntimeError("the store is watched already; two watches would start two servers on the same files")
        self._watched = True
        holding = asyncio.create_task(self._hold_back(), name="embedded store's children")
        try:
            await self._keep_up()
        finally:
            self._watched = False
            holding.cancel()
            await asyncio.wait([holding])

    async def _keep_up(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = 0.0
        while True:
            began = clock()
            code = await self._ended()
            if self._stopping:
                return
            longest = LONGEST_WAIT if self.problem else LONGEST_PAUSE
            pause = 0.0 if clock() - began > STEADY else min(max(0.1, 2 * pause), longest)
            self.problem = self.problem or f"the embedded store ended with code {code}"
            log.error("starting the embedded store again in %.1f s: %s", pause, self.problem)
            await asyncio.sleep(pause)
            self.restarts += 1
            try:
                await self._launch()
            except (EmbeddedError, OSError) as error:
                self.problem = str(error)
            else:
                self.problem = ""
                log.warning("the embedded store is back: process %s, restart %d", self.pid, self.restarts)

    async def _hold_back(self) -> None:
        """Have the child that rewrites the log wait for everybody else: beside it every answer took ten times as long.

        A niceness and no idle class: on a machine that is busy for good it must still come to its end.
        """
        known: set[int] = set()
        while True:
            found = children(self.pid)
            for pid in found - known:
                with contextlib.suppress(OSError):  # it has just ended
                    os.setpriority(os.PRIO_PROCESS, pid, BEHIND)
            known = found
            await asyncio.sleep(LOOK)

    async def stop(self) -> None:
        """End the server (everything acknowledged is on disk) and give the directory free. May be called twice."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_LIMIT)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._orphan is not None:
            await self._end_orphan(self._orphan)
        self._process = self._orphan = None
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()

    async def _occupy(self) -> None:
        """Take both locks, or the hub's lock and the server that a dead hub left behind. Raises `InUse`."""
        clock = asyncio.get_running_loop().time
        began, told = clock(), False
        for name in (HUB_LOCK, STORE_LOCK):
            self._locks[name] = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            while not seize(self._locks[name]):
                if name == STORE_LOCK and clock() - began > ORPHAN_GRACE and await self._adopt():
                    return
                if clock() - began > self.patience:
                    raise InUse(self._holder(name))
                if not told and clock() - began > TELL_AFTER:
                    log.warning("%s (it is waited for, up to %.0f s)", self._holder(name), self.patience)
                    told = True
                await asyncio.sleep(0.05)
            if name == HUB_LOCK:
                sign(self._locks[name], os.getpid())

    def _holder(self, name: str) -> str:
        held = f"{self.path} is in use: {name} is held by"
        pid = os.pread(self._locks[name], 32, 0).decode("ascii", "replace").strip() or "unknown"
        if name == HUB_LOCK:
            return f"{held} another hub, process {pid}; stop it, or give this hub a store.path of its own"
        return (
            f"{held} the store of a hub that is gone, process {pid}, and it gives no answer; "
            "wait until it has ended (it may be writing), or end it with SIGKILL"
        )

    async def _adopt(self) -> bool:
        """Take over a server that outlived its hub, if it answers to our secret."""
        self._password = read_secret(self.path / SECRET)
        try:
            async with self._client() as client:
                facts = await client.info("server")
                await client.config_set("appendfsync", self.durability)
        except (RedisError, OSError):
            return False
        self._orphan = int(facts["process_id"])
        log.warning("took over the store of a hub that is gone: process %d", self._orphan)
        return True

    async def _launch(self) -> None:
        """Start the server and wait until it answers. Raises `Failed`, or OSError if it cannot even be run."""
        lock = self._locks[STORE_LOCK]
        binary = self._binary = self._binary or find_binary(os.environ)
        self._process = await spawn(binary, self.path, lock, self._password, self.durability)
        sign(lock, self._process.pid)
        await self._answering(self._process)

    async def _answering(self, process: asyncio.subprocess.Process) -> None:
        clock = asyncio.get_running_loop().time
        heard = clock()
        async with self._client() as client:
            while True:
                if process.returncode is not None:
                    raise Failed(self._story(f"the embedded store ended with code {process.returncode} while starting"))
                try:
                    await client.ping()
                except BusyLoadingError:
                    heard = clock()
                except (RedisError, OSError):
                    if clock() - heard > SILENCE_LIMIT:
                        process.kill()
                        await process.wait()
                        raise Failed(
                            self._story(f"the embedded store gave no answer for {SILENCE_LIMIT:g} s")
                        ) from None
                else:
                    return
                await asyncio.sleep(0.01)

    def _story(self, what: str) -> str:
        """Say *what* happened, which data file the log blames, and what the log says."""
        tail = log_tail(self.path / LOG)
        if self._password:
            tail = tail.replace(self._password, "<secret>")
        damaged = [name for name in AOF_NAME.findall(tail) if (self.path / DATA / name).exists()]
        blamed = f"; it cannot load {self.path / DATA / damaged[-1]}" if damaged else ""
        return f"{what}{blamed}. The end of {self.path / LOG}:\n{tail}"

    async def _ended(self) -> int | None:
        """Wait until the server is gone; return its exit code, None if it was not our child."""
        if self._process is not None:
            return await self._process.wait()
        while not seize(self._locks[STORE_LOCK]):  # noqa: ASYNC110  # no event tells that a lock became free
            await asyncio.sleep(0.1)
        self._orphan = None
        return None

    async def _end_orphan(self, pid: int) -> None:
        with contextlib.suppress(RedisError, OSError):
            async with self._client() as client:
                await client.shutdown(nosave=True)
        try:
            await asyncio.wait_for(self._ended(), STOP_LIMIT)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[Redis]:
        client = Redis(
            unix_socket_path=str(self._socket),
            password=self._password,
            socket_timeout=ANSWER_LIMIT,
            socket_connect_timeout=ANSWER_LIMIT,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            yield client
        finally:
            await client.aclose()


def children(pid: int | None) -> set[int]:
    """Return what the main thread of a process has forked; nothing where the system does not tell (Linux: proc(5))."""
    try:
        return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()}
    except OSError:
        return set()
