"""Fixtures of the tests that kill: a module takes them by `pytest_plugins = ["tests.chaos_fixtures"]`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hub as root
from inbox.embedded import find_binary
from tests import chaos
from tests.scenes import Report
from tests.stores import Server


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Show a line in every case, also of a test that passes."""

    def show(**figures: Any) -> None:
        with capsys.disabled():
            sys.stdout.write("\n  " + " ".join(f"{name}={value}" for name, value in figures.items()))

    return show


@pytest.fixture
def chance(report: Report) -> random.Random:
    """The generator of all that varies; HUILIU_SEED repeats a run as far as the scheduler lets it."""
    seed = chaos.seed()
    report(HUILIU_SEED=seed)
    return random.Random(seed)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    """A store of its own that the test may stop for as long as it likes."""
    server = Server(find_binary(os.environ), tmp_path / "valkey")
    server.start()
    yield server
    server.end(signal.SIGKILL)


@pytest.fixture
def pace() -> float:
    """How much slower than needed this machine is now: the seconds, at least 1, that it takes to load the hub's code.

    Limits for starts hold on a machine that does it in a second; one that is busy with other things gets longer.
    """
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import hub"], check=True, cwd=Path(root.__file__).parent)
    return max(1.0, time.monotonic() - began)
