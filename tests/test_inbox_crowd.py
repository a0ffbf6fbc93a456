"""Worker processes: forked fast, replaced when they die, and gone when the hub is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import group, parent, wait_for

PROGRAM = """
import asyncio, os, signal, sys
from inbox.crowd import Crowd, Nursery
from inbox.logs import configure

def say(line):
    os.write(1, line.encode() + b"\\n")  # in one piece, whoever else writes

def work(index, order):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    say(f"{index} {order} {os.getpid()}")
    while (number := signal.sigwait({signal.SIGTERM, signal.SIGHUP})) != signal.SIGTERM:
        say(f"{index} hung up")
    return 0

configure()
nursery = Nursery(work)
try:
    asyncio.run(Crowd(nursery, "order", 2).run())
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
"""


class Hub:
    """A crowd of two workers that say who they are and wait."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], stdout=output, stderr=output, cwd=Path(__file__).parent.parent
            )

    def said(self) -> list[list[str]]:
        """Return the words of each line so far."""
        return [line.split() for line in self.output.read_text(encoding="utf-8").splitlines()]

    def workers(self) -> dict[int, int]:
        """Return the latest process of each worker."""
        return {int(words[0]): int(words[2]) for words in self.said() if words[1:2] == ["order"]}

    def started(self, count: int) -> None:
        """Wait until *count* workers have started, counting replaced ones."""
        wait_for(lambda: sum(words[1:2] == ["order"] for words in self.said()) >= count, f"{count} workers")

    @property
    def nursery(self) -> int:
        return parent(self.workers()[0])


@contextmanager
def crowd(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder)
    try:
        hub.started(2)
        yield hub
    finally:
        hub.process.kill()
        hub.process.wait(10)
        wait_for(lambda: not any(map(group, hub.workers().values())), "the workers to end with their hub")


def test_every_worker_gets_its_number_and_the_order(tmp_path: Path) -> None:
    """Two workers start, each a process of its own, and a stop of the hub ends them and it with 0."""
    with crowd(tmp_path) as hub:
        assert {0, 1} == hub.workers().keys()
        assert 2 == len(set(hub.workers().values()))

        hub.process.terminate()

        assert 0 == hub.process.wait(10)
        assert not any(map(group, hub.workers().values()))


def test_a_hang_up_is_passed_on(tmp_path: Path) -> None:
    """SIGHUP to the hub reaches every worker."""
    with crowd(tmp_path) as hub:
        hub.process.send_signal(signal.SIGHUP)

        wait_for(lambda: {("0", "hung"), ("1", "hung")} <= {(w[0], w[1]) for w in hub.said()}, "both to be hung up")


def test_a_dead_worker_is_replaced_without_loading_everything_again(tmp_path: Path) -> None:
    """A worker that is killed is there again at once, the other one stays; it is said how it ended."""
    with crowd(tmp_path) as hub:
        before = hub.workers()
        os.kill(before[1], signal.SIGKILL)
        hub.started(3)
        after = hub.workers()

        assert before[0] == after[0]
        assert before[1] != after[1]
        assert "worker 1 ended with code -9" in hub.output.read_text(encoding="utf-8")


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.2, 0.31])
def test_a_stop_while_a_worker_is_being_replaced_ends_it_too(tmp_path: Path, pause: float) -> None:
    """Whatever the moment between a worker's death and its successor's birth, a stop leaves nobody behind."""
    with crowd(tmp_path) as hub:
        os.kill(hub.workers()[0], signal.SIGKILL)
        time.sleep(pause)  # moments within the pause before the new worker is ordered
        hub.process.terminate()

        assert 0 == hub.process.wait(10)


def test_without_its_nursery_the_hub_ends_with_a_reason(tmp_path: Path) -> None:
    """The process that forks cannot be replaced: when it dies the workers stop, and the hub ends with 1."""
    with crowd(tmp_path) as hub:
        os.kill(hub.nursery, signal.SIGKILL)

        assert 1 == hub.process.wait(10)
        assert "the process that starts the workers has ended" in hub.output.read_text(encoding="utf-8")


def test_nobody_outlives_a_killed_hub(tmp_path: Path) -> None:
    """SIGKILL to the hub alone: nursery and workers end by themselves."""
    with crowd(tmp_path) as hub:
        family = [hub.nursery, *hub.workers().values()]
        hub.process.kill()

        wait_for(lambda: not any(map(group, family)), "all of them to end")
