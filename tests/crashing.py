"""A hub that dies at the n-th step of one message. A program, and the class by which a test drives it.

A step is every suspension and every resumption of a task that has to do with the message: its way in, the readers
and the outbox of its partition, the deliveries, and what these start. At a suspension nothing of what is asked for
has left the process; at a resumption it has been done, and nobody has heard of it.

The program loads the hub's code once and forks a hub for every line on its standard input, since a start of the
interpreter for each of hundreds of crashes would take most of an hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARMED = "armed.json"
CODE = 9
COUNTED = frozenset({"Readers._follow", "Worker.follow", "Worker._guarded"})
"""Coroutines that work for the partition that they hold; what they start counts too."""

UNCOUNTED = frozenset({"Link._run", "Wakes._publish"})
"""Those that serve all others: where they stand says nothing about the message."""

ANY = -1
concern: ContextVar[int | None] = ContextVar("concern", default=None)
"""The partition that the current task works for; `ANY` for the way in; None for everything else."""


@dataclass
class Bomb:
    """Counts steps and ends the process at step *at*; 0 = never. It counts from the first call after it was set."""

    folder: Path
    at: int = 0
    partition: int = ANY
    count: int = 0
    ticking: bool = False

    def arm(self, *_: Any) -> None:
        """Take what the test has written; a signal handler."""
        path = self.folder / ARMED
        try:
            order = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return  # told twice
        self.at, self.partition, self.count, self.ticking = order["at"], order["partition"], 0, False
        path.unlink(missing_ok=True)  # a second signal may have come in the middle of the first

    def step(self, task: str, partition: int, what: str, coroutine: Any = None) -> None:
        """Count one step if it belongs to the message, perhaps the last one."""
        if not self.ticking or not self.at or partition not in (ANY, self.partition):
            return
        self.count += 1
        if self.count == self.at:
            os.write(2, f"crash at {what} of {task}: {place(coroutine)}\n".encode())
            os._exit(CODE)


def partition_worked_for(coroutine: Any) -> int | None:
    """Return the partition that a new task works for: the one that it holds, else that of who starts it."""
    name = getattr(coroutine, "__qualname__", "")
    if name in COUNTED:
        return int(coroutine.cr_frame.f_locals["held"].partition)
    return None if name in UNCOUNTED else concern.get()


def place(coroutine: Any) -> str:
    """Name the line at which a coroutine waits, in our own code if there is any."""
    found = []
    while coroutine is not None and getattr(coroutine, "cr_frame", None) is not None:
        code = coroutine.cr_frame.f_code
        found.append(f"{Path(code.co_filename).name}:{coroutine.cr_frame.f_lineno}")
        coroutine = coroutine.cr_await
    return " > ".join(found[-3:])


class Stepping(Coroutine[Any, Any, Any]):
    """A coroutine of which every suspension and resumption is a step of *bomb*."""

    def __init__(self, inner: Coroutine[Any, Any, Any], bomb: Bomb, name: str, partition: int) -> None:
        self._inner = inner
        self._bomb = bomb
        self._name = name
        self._partition = partition
        self._began = False

    def _step(self, what: str) -> None:
        self._bomb.step(self._name, self._partition, what, self._inner)

    def send(self, value: Any) -> Any:
        if self._began:
            self._step("resumption")
        else:
            concern.set(self._partition)
            self._began = True
        result = self._inner.send(value)
        self._step("suspension")
        return result

    def throw(self, *error: Any) -> Any:
        self._step("resumption")
        result = self._inner.throw(*error)
        self._step("suspension")
        return result

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()


class Policy(asyncio.DefaultEventLoopPolicy):
    """Loops whose tasks are stepped through."""

    def __init__(self, bomb: Bomb) -> None:
        super().__init__()
        self._bomb = bomb

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        loop.set_task_factory(self._task)
        return loop

    def _task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **rest: Any) -> asyncio.Task[Any]:
        partition = partition_worked_for(coroutine)
        if partition is not None and not isinstance(coroutine, Stepping):
            label = str(getattr(coroutine, "__qualname__", "?"))
            coroutine = Stepping(coroutine, self._bomb, label, partition)
        return asyncio.Task(coroutine, loop=loop, **rest)


def counted(bomb: Bomb, handler: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return *handler* as a task of its own, every step of which counts, and so does what follows it."""

    async def handle(*arguments: Any) -> Any:
        bomb.ticking = True
        stepping = Stepping(handler(*arguments), bomb, name, ANY)
        result = await asyncio.get_running_loop().create_task(stepping, name=name)
        bomb.step(name, ANY, "answer")
        return result

    return handle


def run(config: Path, store: str, bomb: Bomb) -> int:
    """Be a hub until told to stop, or until the bomb goes off."""
    import hub
    from connectors.ingress import Ingress
    from connectors.sites import Sites
    from outbox.replies import Replies

    signal.signal(signal.SIGUSR1, bomb.arm)
    tell(pid=os.getpid())
    for owner, method in ((Ingress, "hook"), (Sites, "post"), (Replies, "reply")):
        setattr(owner, method, counted(bomb, getattr(owner, method), method))
    asyncio.set_event_loop_policy(Policy(bomb))
    return hub.finished(hub.work(config, store, 0, shared=False))


def main(config: Path, store: str) -> None:
    """Fork a hub for every line of standard input, which tells its process id; tell then how it ended."""
    import hub
    from config.loading import load
    from inbox.logs import configure

    configure()
    load(config, hub.kinds)  # and with it the code of the channels, which the hubs then share
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = run(config, store, Bomb(config.parent))
            except BaseException:  # noqa: BLE001  # whatever it is, the log must tell
                traceback.print_exc()
            finally:
                os._exit(code)
        tell(code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def tell(**facts: int) -> None:
    """Write one line for the test."""
    sys.__stdout__.write(json.dumps(facts) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


@dataclass
class Crashing:
    """The program as a test sees it. `keep` runs hubs, one after the other; `arm` sets the bomb of the current one."""

    config: Path
    store: str
    crashes: int = 0
    _pid: int = 0
    _program: asyncio.subprocess.Process | None = None
    _up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def log(self) -> Path:
        return self.config.with_name("hub.log")

    async def keep(self) -> None:
        """Start a hub whenever there is none, until cancelled; one that ends otherwise than by its bomb is a fault."""
        with self.log.open("ab") as output:
            self._program = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__)),
                str(self.config),
                self.store,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            )
        assert self._program.stdin is not None
        try:
            while True:
                self._program.stdin.write(b"start\n")
                self._pid = (await self._hear())["pid"]
                self._up.set()
                code = (await self._hear())["code"]
                self._up.clear()
                said = self.log.read_text(encoding="utf-8", errors="replace")[-3000:] if code != CODE else ""
                assert code == CODE, f"the hub ended with code {code}: {said}"
                self.crashes += 1
        finally:
            self._program.kill()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid or self._program.pid, signal.SIGKILL)
            await self._program.wait()

    async def _hear(self) -> dict[str, int]:
        assert self._program is not None
        assert self._program.stdout is not None
        while True:
            line = await self._program.stdout.readline()
            assert line, f"the program has ended; see {self.log}"
            if line.startswith(b"{"):
                heard: dict[str, int] = json.loads(line)
                return heard

    async def arm(self, at: int, partition: int) -> None:
        """Let the current hub die at step *at* of the next message of *partition*; 0 = let it live."""
        path = self.config.parent / ARMED
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps({"at": at, "partition": partition}), encoding="utf-8")
        draft.rename(path)
        async with asyncio.timeout(40):
            while path.exists():  # the hub tells by removing it; one that dies just now cannot, its successor will
                await self._up.wait()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGUSR1)
                await asyncio.sleep(0.002)

    def places(self) -> list[str]:
        """Return where the hubs died."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line.removeprefix("crash at ") for line in lines if line.startswith("crash at ")]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
