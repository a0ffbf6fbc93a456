"""A real hub as processes in a group of their own, which may be killed, frozen and watched from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EXPECTED_ERRORS = ("starting the embedded store again", "the store is away")
"""What every test that takes the store away reads in the log."""


@dataclass
class HubProcess:
    """`huiliu run` in a process group of its own; its log goes to *log*. *launcher* replaces the installed command."""

    config: Path
    port: int
    workers: int = 1
    launcher: Sequence[str] = (sys.executable, "-m", "hub")
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    groups: list[int] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.config.with_name(f"hub-{self.port}.log")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, without waiting for anything."""
        command = [*self.launcher, "-c", str(self.config), "run", "--workers", str(self.workers)]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", **self.environ}
        self.started = time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, env=environ
            )
        self.groups.append(self.process.pid)

    def workers_of(self) -> list[int]:
        """Return the ids of the workers: the children of the process that the hub forks them from."""
        assert self.process is not None
        mine = {pid: parent(pid) for pid in self.processes()}
        nurseries = [pid for pid, above in mine.items() if above == self.process.pid]
        return sorted(pid for pid, above in mine.items() if above in nurseries)

    def processes(self) -> list[int]:
        """Return the ids of the hub's own processes: the parent and its workers, never the store."""
        assert self.process is not None
        return [pid for pid in pids() if group(pid) == self.process.pid]

    def kill(self) -> None:
        """End all processes of the hub at once with SIGKILL; its store is told by the kernel."""
        assert self.process is not None
        doomed = self.processes()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in doomed), "the killed processes to end")

    def behead(self) -> None:
        """End the parent alone with SIGKILL; the kernel and their own eyes tell the workers and the store."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the parent."""
        assert self.process is not None
        self.process.send_signal(number)

    async def terminate(self, limit: float = 30.0) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, limit)
        return code, time.monotonic() - began

    def store_pid(self) -> int:
        """Return the process id of the embedded store, which stands in its lock; 0 while there is none."""
        text = (self.config.parent / "var" / "store.lock").read_text(encoding="ascii").strip()
        return int(text) if text and Path(f"/proc/{text}").exists() else 0

    def stop(self) -> None:
        """End everything, for the end of a test."""
        if self.process is not None:
            self.kill()
        for one in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one, signal.SIGKILL)

    def memory(self) -> int:
        """Return the resident bytes of all processes of the hub."""
        return sum(resident(pid) for pid in self.processes())

    def queued(self) -> float:
        """Return the seconds for which the hub stood ready to run and others had the CPU: its parent, then a worker."""
        assert self.process is not None
        first = run_delay(self.process.pid)
        return first + max((run_delay(pid) for pid in self.workers_of()), default=0.0)

    def faults(self, *expected: str) -> list[str]:
        """Return what the log tells of faults: errors and tracebacks, without those that were *expected*."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        loud = [line for line in lines if re.search(r"Traceback|\[(error|critical) *\]|never retrieved|Warning:", line)]
        known = (*EXPECTED_ERRORS, *expected)
        return [line for line in loud if not any(words in line for words in known)]


def pids() -> Iterator[int]:
    """Yield the ids of all processes."""
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def group(pid: int) -> int:
    """Return the process group of *pid*, 0 if it is gone or only waits to be reaped."""
    return _fact(pid, 2)


def parent(pid: int) -> int:
    """Return the parent of *pid*, 0 if it is gone or only waits to be reaped."""
    return _fact(pid, 1)


def _fact(pid: int, number: int) -> int:
    """Return a number of proc(5) stat, counted from the state on."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if facts[0] == "Z" else int(facts[number])


def resident(pid: int) -> int:
    """Return the resident bytes of a process, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def run_delay(pid: int) -> float:
    """Return the seconds that a process has stood in the run queue (the kernel's sched-stats, second number)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return 0.0


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Block until *condition* holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.005)
