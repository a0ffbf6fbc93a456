"""Sees to it that one process of this machine keeps the search index, whichever hub process it belongs to.

Who holds the lock beside the index is its parent; the child shares the lock, so it lasts until the last of them is
gone. The others look again from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from config.settings import Search
from inbox.indexer import Errand
from inbox.store import Store

log = logging.getLogger(__name__)

LOCK = "lock"
LATER = 5.0
"""Seconds after the start: a hub that starts has more important things to do."""

LOOK = 5.0
AGAIN = 10.0
LEAVE = 0.5


class Caretaker:
    """Starts the indexer where none runs. *settings* say where the index is, and whether there is to be one."""

    def __init__(self, store: Store, settings: Callable[[], Search]) -> None:
        self._store = store
        self._settings = settings
        self._hurry = asyncio.Event()

    @property
    def wanted(self) -> bool:
        """Whether there is to be an index on this machine."""
        return self._settings().index

    @property
    def machine(self) -> str:
        """How this machine is called among all. Hubs with directories of their own count as machines."""
        folder = self._settings().path.absolute()
        return f"{os.uname().nodename}:{hashlib.sha256(os.fsencode(folder)).hexdigest()[:6]}"

    def hurry(self) -> None:
        """Start at once: somebody searches."""
        self._hurry.set()

    def _errand(self) -> Errand | None:
        """Return what an indexer is told; None while there is to be none."""
        settings, topology = self._settings(), self._store.topology
        if not settings.index:
            return None
        return Errand(topology.url, topology.password or "", str(settings.path.absolute()), self.machine)

    async def run(self) -> None:
        """Keep an indexer running on this machine, for ever."""
        await self._pause(LATER)
        while True:
            errand = self._errand()
            lock = await asyncio.to_thread(_seized, Path(errand.folder)) if errand is not None else None
            if errand is None or lock is None:
                await asyncio.sleep(LOOK)
                continue
            await self._mind(errand, lock)
            await asyncio.sleep(AGAIN if self._errand() == errand else 0)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    async def _mind(self, errand: Errand, lock: int) -> None:
        """Run the indexer until it ends, or its errand changes."""
        root = str(Path(__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "inbox.indexer"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(lock,),
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            log.error("the search index cannot be kept: %s", error)  # noqa: TRY400  # told in a line
            return
        finally:
            os.close(lock)
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(errand) + b"\n")
        try:
            while self._errand() == errand:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        code = await child.wait()
                        log.error("the keeper of the search index has ended with %d; it is started again", code)
                        return
        finally:
            await _ended(child)


async def _ended(child: asyncio.subprocess.Process) -> None:
    """Let the child finish what it writes; end it if it does not. What it has not finished is done again."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        async with asyncio.timeout(LEAVE):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _seized(folder: Path) -> int | None:
    """Take the lock; None if somebody else has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        log.warning("there can be no search index in %s: %s", folder, error)
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
