"""A pure function run in a process of its own, which is killed when it takes too long.

For work on hostile input: a thread cannot be stopped, a process can. A worker process loads the
function once and forks for every call; the fork is what gets killed, so that the next call does not
wait for a new interpreter. The limit counts processor time, lest a busy machine make honest input
look hostile; a longer limit by the clock stands behind it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

CALL = struct.Struct("!dQ")
"""Head of a request: seconds of processor time, length."""

ANSWER = struct.Struct("!BQ")
"""Head of an answer: what became of the call, length of what follows."""

FAILED, RETURNED, EXHAUSTED = range(3)

MEMORY = 2 << 30
BY_THE_CLOCK = 8
START = 60.0
ROOT = str(Path(__file__).resolve().parent.parent)
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from connectors.sandbox import serve; serve(sys.argv[2])"


class Exhausted(Exception):
    """The function used up its time or its memory, or took its process down."""


class Failed(Exception):
    """The function raised; the message is the name of the exception's class and nothing of its input."""


class Sandbox:
    """Runs *target* ("package.module:name", a function from bytes to bytes) in another process, one by one.

    Use it as an async context manager; the worker starts with the first call.
    *answer_limit* is the largest result in bytes.
    """

    def __init__(self, target: str, *, answer_limit: int = 256 << 20) -> None:
        self._target = target
        self._answer_limit = answer_limit
        self._lock = asyncio.Lock()
        self._worker: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await _end(worker)

    async def run(self, request: bytes, *, seconds: float) -> bytes:
        """Return what the function makes of *request* within *seconds* of processor time; the clock gets more.

        Raises `Exhausted` or `Failed`.
        """
        async with self._lock:
            worker = self._worker or await self._start()
            self._worker = None  # it is not to be used again until the call has ended well
            try:
                async with asyncio.timeout(seconds * BY_THE_CLOCK + START):
                    fate, answer = await self._call(worker, request, seconds)
            except (TimeoutError, OSError, EOFError):
                fate, answer = EXHAUSTED, b""
                await _end(worker)
            except BaseException:
                await _end(worker)
                raise
            else:
                self._worker = worker
        if fate == EXHAUSTED:
            raise Exhausted(f"no result within {seconds:.1f} s of processor time and {MEMORY >> 20} MB")
        if fate == FAILED:
            raise Failed(answer.decode("ascii", "replace"))
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-c",
            BOOT,
            ROOT,
            self._target,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 22,
            start_new_session=True,  # Ctrl-C in the hub's terminal is not for the worker
        )

    async def _call(self, worker: asyncio.subprocess.Process, request: bytes, seconds: float) -> tuple[int, bytes]:
        if worker.stdin is None or worker.stdout is None:
            raise EOFError
        worker.stdin.write(CALL.pack(seconds, len(request)))
        worker.stdin.write(request)
        await worker.stdin.drain()
        fate, length = ANSWER.unpack(await worker.stdout.readexactly(ANSWER.size))
        if length > self._answer_limit:
            raise EOFError
        return fate, await worker.stdout.readexactly(length)


async def _end(worker: asyncio.subprocess.Process) -> None:
    """Kill a worker with all its forks."""
    if worker.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
    await worker.wait()
    if worker.stdin is not None:
        worker.stdin.close()


def serve(target: str) -> None:
    """Answer calls on standard input until it ends: the worker's whole life."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get among the answers
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, _, name = target.partition(":")
    function: Callable[[bytes], bytes] = getattr(import_module(module), name)
    while head := calls.read(CALL.size):
        seconds, length = CALL.unpack(head)
        fate, result = _fork(function, calls.read(length), seconds)
        answers.write(ANSWER.pack(fate, len(result)))
        answers.write(result)
        answers.flush()


def _fork(function: Callable[[bytes], bytes], request: bytes, seconds: float) -> tuple[int, bytes]:
    """Run one call in a fork of this process; return its fate and its result."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(function, request, seconds, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as results:
        result = results.read()
    _, status = os.waitpid(child, 0)
    return (result[0], result[1:]) if status == 0 and result else (EXHAUSTED, b"")


def _run(function: Callable[[bytes], bytes], request: bytes, seconds: float, writer: int) -> NoReturn:
    """Be the fork: write the fate and the result of one call to *writer*, and end."""
    # The signals' default action ends the process, even inside C code that never comes back to Python.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds * BY_THE_CLOCK)
    try:
        fate, result = RETURNED, function(request)
    except MemoryError:
        os._exit(1)
    except Exception as error:  # noqa: BLE001  # whatever it is, the caller learns its name and goes on
        fate, result = FAILED, type(error).__name__.encode()
    with os.fdopen(writer, "wb") as results:
        results.write(bytes([fate]))
        results.write(result)
    os._exit(0)
