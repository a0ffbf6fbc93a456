"""Where long reports are made: outside the event loop, in a process of their own, which tells how far it is.

What is read from the store goes into a file of parts (`Spool`) as it comes. A `Job` turns it into other files. A small
one runs in a thread, a large one in a process that is gentle and is killed when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SMALL = 2 << 20
"""Bytes of a spool up to which a thread is quicker than a process."""
HELD = 256 << 10
LIMIT = 900.0
"""Seconds after which a job is given up."""
GENTLE = 5
SAY_EVERY = 0.01
ROOT = Path(__file__).parent.parent

Say = Callable[[float], None]


class Failed(Exception):
    """A report could not be made; what went wrong is in the log."""


@dataclass(frozen=True, slots=True)
class Job:
    """A function of a module, called with *arguments* and a `Say`; everything can be pickled."""

    work: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(slots=True)
class Spool:
    """A file of parts, in the order in which they came. *size* counts its bytes."""

    path: Path
    size: int = 0
    _held: list[bytes] = field(default_factory=list)
    _waiting: int = 0

    async def add(self, part: bytes) -> None:
        """Add a part; it is written when there is enough of it."""
        self._held.append(part)
        self._waiting += len(part)
        self.size += len(part)
        if self._waiting > HELD:
            await self.flush()

    async def flush(self) -> None:
        """Write what is held."""
        held, self._held, self._waiting = self._held, [], 0
        await asyncio.to_thread(append, self.path, held)


def append(path: Path, parts: list[bytes]) -> None:
    """Write parts behind what is in the file."""
    with path.open("ab") as file:
        for part in parts:
            file.write(len(part).to_bytes(4) + part)


def parts(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yield the parts of a spool's file, each with the share of the file up to its end."""
    total = path.stat().st_size if path.exists() else 0
    if not total:
        return
    with path.open("rb") as file:
        while head := file.read(4):
            part = file.read(int.from_bytes(head))
            yield file.tell() / total, part


@contextlib.asynccontextmanager
async def workshop() -> AsyncIterator[Path]:
    """Give a private folder that is removed afterwards."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="huiliu-report-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def press(job: Job, folder: Path, size: int, say: Say) -> None:
    """Run *job*, whose spool has *size* bytes; *say* hears of its progress from 0 to 1. Raises `Failed`."""
    if size <= SMALL:
        try:
            await asyncio.to_thread(job.work, *job.arguments, lambda _: None)
        except Exception:
            log.exception("a report could not be made")
            raise Failed("the report could not be made; the hub's log says why") from None
        say(1.0)
        return
    order = folder / "job"
    await asyncio.to_thread(order.write_bytes, pickle.dumps(job))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inbox.workshop", str(order)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(LIMIT):
            _, complaint = await asyncio.gather(_listen(process, say), _complaint(process))
            code = await process.wait()
    except TimeoutError:
        raise Failed("the report took too long and was given up") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code:
        log.error("a report could not be made: %s", complaint.decode(errors="replace")[-4000:])
        raise Failed("the report could not be made; the hub's log says why")


async def _listen(process: asyncio.subprocess.Process, say: Say) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        with contextlib.suppress(ValueError):
            say(float(line))


async def _complaint(process: asyncio.subprocess.Process) -> bytes:
    assert process.stderr is not None
    return await process.stderr.read()


def main(order: Path) -> None:
    """Run the job that is written in a file: the process that `press` starts."""
    os.nice(GENTLE)
    gc.disable()  # it makes no cycles worth looking for, and is over soon
    job = pickle.loads(order.read_bytes())  # noqa: S301  # our parent has just written it into a private folder
    said = 0.0

    def say(share: float) -> None:
        nonlocal said
        if share - said >= SAY_EVERY:
            said = share
            print(f"{share:.3f}", flush=True)  # noqa: T201  # what the parent reads

    job.work(*job.arguments, say)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
