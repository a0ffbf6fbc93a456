"""A pure function run in a process of its own, which is killed when it takes too long.

For work on hostile input: a thread cannot be stopped, a process can. One worker is reused for many
calls and replaced after it was killed. The limit counts the worker's processor time, so that a busy
machine does not make honest input look hostile; a longer limit by the clock stands behind it.
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
from typing import BinaryIO, Self

CALL = struct.Struct("!dQ")
"""Head of a request: seconds of processor time, length."""

ANSWER = struct.Struct("!?Q")
"""Head of an answer: whether the function returned, length of its result or of the error's name."""

MEMORY = 2 << 30
START = 30.0
GRACE = 0.3
ROOT = str(Path(__file__).resolve().parent.parent)
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from connectors.sandbox import serve; serve(sys.argv[2])"


class Exhausted(Exception):
    """The function used up its time or its memory, or took its process down."""


class Failed(Exception):
    """The function raised; the message is the name of the exception's class and nothing of its input."""


class Sandbox:
    """Runs the function *target* ("package.module:name", bytes to bytes) outside this process, one call at a time.

    Use it as an async context manager.
    *answer_limit* is the largest result in bytes.
    """

    def __init__(self, target: str, *, answer_limit: int = 256 << 20) -> None:
        self._target = target
        self._answer_limit = answer_limit
        self._lock = asyncio.Lock()
        self._worker: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._worker = await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self, request: bytes, *, seconds: float) -> bytes:
        """Return what the function makes of *request* within *seconds* of processor time; the clock gets more.

        Raises `Exhausted` or `Failed`.
        """
        async with self._lock:
            worker = self._worker or await self._start()
            self._worker = None  # until the call has ended well, it is not to be used again
            try:
                async with asyncio.timeout(seconds * 6 + START):
                    returned, answer = await self._call(worker, request, seconds)
            except (TimeoutError, OSError, EOFError) as error:
                await _end(worker)
                self._worker = await self._start()  # it gets ready while the caller deals with this
                raise Exhausted(f"no result within {seconds:g} s of processor time") from error
            except BaseException:
                await _end(worker)
                raise
            self._worker = worker
        if not returned:
            raise Failed(answer.decode("ascii", "replace"))
        return answer

    async def close(self) -> None:
        """End the worker process."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await _end(worker)

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

    async def _call(self, worker: asyncio.subprocess.Process, request: bytes, seconds: float) -> tuple[bool, bytes]:
        if worker.stdin is None or worker.stdout is None:
            raise EOFError
        worker.stdin.write(CALL.pack(seconds, len(request)))
        worker.stdin.write(request)
        await worker.stdin.drain()
        returned, length = ANSWER.unpack(await worker.stdout.readexactly(ANSWER.size))
        if length > self._answer_limit:
            raise EOFError
        return returned, await worker.stdout.readexactly(length)


async def _end(worker: asyncio.subprocess.Process) -> None:
    """Let an idle or dying worker end by itself, kill one that goes on."""
    if worker.stdin is not None:
        worker.stdin.close()
    try:
        async with asyncio.timeout(GRACE):
            await worker.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()


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
        _answer(answers, function, calls.read(length), seconds)


def _answer(answers: BinaryIO, function: Callable[[bytes], bytes], request: bytes, seconds: float) -> None:
    returned = True
    # The signal's default action ends the process, even inside C code that never comes back to Python.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        result = function(request)
    except Exception as error:  # noqa: BLE001  # whatever it is, the caller learns its name and goes on
        returned, result = False, type(error).__name__.encode()
    signal.setitimer(signal.ITIMER_PROF, 0)
    answers.write(ANSWER.pack(returned, len(result)))
    answers.write(result)
    answers.flush()
