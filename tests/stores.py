"""Real stores for the tests, each private to one run: our embedded Valkey, Debian's Redis, a cluster of three.

All keep an append-only log that is fsynced always, as production must. Also: free ports, and peers
(Dovecot, Chromium, …) that are skipped where they are missing but required in CI.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from inbox.embedded import Embedded, find_binary
from inbox.valkey import death_signal

PASSWORD = "test-store"
READY_LIMIT = 30.0
PATIENCE = 30.0
"""Seconds that tests wait for an answer of the store which is not about patience: a machine may stand still."""
CLUSTERED = (
    "--cluster-enabled",
    "yes",
    "--cluster-require-full-coverage",
    "no",
    "--cluster-node-timeout",
    "5000",  # milliseconds: a stalled machine is no dead node
)
SLOTS = 16384
MASTERS = 3
DAEMON_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec")  # not on every user's PATH


class StoreUnderTest(Protocol):
    """A store that a test may empty, kill and start again; its *url* stays the same."""

    url: str

    def start(self) -> str:
        """Start it and return its URL, ready for `Store` and for redis-py."""

    def flush(self) -> None:
        """Delete all data on all nodes; what was killed is started again first."""

    def kill(self) -> None:
        """End it with SIGKILL and return when it is gone."""

    def restart(self) -> None:
        """Start it again after `kill`."""

    def stop(self) -> None:
        """End it and wait until it has ended."""


class EmbeddedStore:
    """The embedded store itself, without its watch: nobody but the test starts it again."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._embedded = Embedded(folder / "store")
        self.url = ""

    def start(self) -> str:
        self.restart()
        self.url = self._embedded.url
        return self.url

    def flush(self) -> None:
        if self._embedded.pid is None:
            self.restart()
        empty(self.url)

    def kill(self) -> None:
        if self._embedded.pid is not None:
            os.kill(self._embedded.pid, signal.SIGKILL)
        self._runner.run(self._embedded.stop())

    def restart(self) -> None:
        self._runner.run(self._embedded.start())

    def stop(self) -> None:
        self._runner.run(self._embedded.stop())
        self._runner.close()


class Server:
    """One server process on a loopback port, configured by its command line."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self._binary = binary
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.bus = 0

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, on a port of its own that stays the same, and return when it answers."""
        self._folder.mkdir(exist_ok=True)
        self.port = self.port or free_port()
        # The default bus is port + 10000, which may be taken or out of range.
        self.bus = self.bus or free_port()
        options = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--dir": str(self._folder),
            "--logfile": "server.log",
            "--requirepass": PASSWORD,
            "--cluster-port": str(self.bus),
            "--appendonly": "yes",
            "--appendfsync": "always",
            "--aof-use-rdb-preamble": "no",
            "--save": "",
            "--repl-diskless-sync-delay": "0",  # no second replica to wait for
            "--maxmemory-policy": "noeviction",
        }
        command = [*death_signal(), str(self._binary), *(word for pair in options.items() for word in pair)]
        self._process = subprocess.Popen([*command, *self._options], start_new_session=True, cwd=self._folder)
        with connect(self.url) as client:
            until(partial(answers, client), f"{self._binary.name} on port {self.port}", self._process)

    def end(self, how: signal.Signals) -> None:
        """Send *how* and wait until the process is gone."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(READY_LIMIT)
            self._process = None


class RedisStore:
    """Debian's redis-server (7.0), reached over TCP with a password."""

    def __init__(self, folder: Path) -> None:
        self._server = Server(require_peer("redis-server"), folder / "redis")
        self.url = ""

    def start(self) -> str:
        self.restart()
        self.url = self._server.url
        return self.url

    def flush(self) -> None:
        if not self._server.alive:
            self.restart()
        empty(self.url)

    def kill(self) -> None:
        self._server.end(signal.SIGKILL)

    def restart(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.end(signal.SIGTERM)


class ClusterStore:
    """Three masters without replicas that share all slots; a dead one takes only its own slots away."""

    def __init__(self, folder: Path) -> None:
        binary = find_binary(os.environ)
        self.nodes = [Server(binary, folder / f"node{number}", *CLUSTERED) for number in range(MASTERS)]
        self.url = ""

    def start(self) -> str:
        share = SLOTS // MASTERS + 1
        for number, node in enumerate(self.nodes):
            node.start()
            with connect(node.url) as client:
                send(client, "CLUSTER", "ADDSLOTSRANGE", number * share, min(SLOTS, (number + 1) * share) - 1)
                for other in self.nodes[:number]:
                    send(client, "CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
        self._await_whole()
        self.url = f"redis+cluster://:{PASSWORD}@127.0.0.1:{self.nodes[0].port}"
        return self.url

    def flush(self) -> None:
        if not all(node.alive for node in self.nodes):
            self.restart()
        for node in self.nodes:
            empty(node.url)

    def kill(self) -> None:
        for node in self.nodes:
            node.end(signal.SIGKILL)

    def restart(self) -> None:
        for node in self.nodes:
            if not node.alive:
                node.start()
        self._await_whole()

    def stop(self) -> None:
        for node in self.nodes:
            node.end(signal.SIGTERM)

    def _await_whole(self) -> None:
        for node in self.nodes:
            with connect(node.url) as client:
                until(partial(is_whole, client), f"the cluster as port {node.port} sees it")


STORES: dict[str, type[EmbeddedStore | RedisStore | ClusterStore]] = {
    "embedded": EmbeddedStore,
    "redis": RedisStore,
    "cluster": ClusterStore,
}


def connect(url: str) -> redis.Redis:
    """Return a blocking client that never repeats a command."""
    client: redis.Redis = redis.Redis.from_url(
        url, decode_responses=True, socket_timeout=10, retry=Retry(NoBackoff(), 0)
    )
    return client


def send(client: redis.Redis, *command: str | int) -> Any:
    """Run a command for which redis-py has no typed method."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def empty(url: str) -> None:
    """Delete all data of one server; functions and scripts stay loaded."""
    with connect(url) as client:
        client.flushall()


def answers(client: redis.Redis) -> bool:
    """Tell whether the server has loaded its data and takes commands."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def is_whole(client: redis.Redis) -> bool:
    """Tell whether a node knows all masters and an owner for every slot, and takes commands."""
    facts = send(client, "CLUSTER INFO")
    whole = {"cluster_state": "ok", "cluster_slots_ok": str(SLOTS), "cluster_size": str(MASTERS)}
    return all(facts.get(name) == value for name, value in whole.items())


def until(condition: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until *condition* holds. Fails the test when *process* ends before, or after 30 seconds."""
    deadline = time.monotonic() + READY_LIMIT
    while not condition():
        if process is not None and process.poll() is not None:
            pytest.fail(f"{what} ended with code {process.returncode} instead of becoming ready")
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not become ready within {READY_LIMIT:g} s")
        time.sleep(0.01)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses, and no process of this test run is given again.

    It lies below the ports that systems give to who asks for any (32768 and up on Linux).
    """
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports of this test process have run out")


def _ports() -> Iterator[int]:
    """Return the ports of this test process, each worker of a run its own, beginning anywhere among them."""
    first = 20_000 + 2_000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw5").removeprefix("gw")) % 6)
    return itertools.chain.from_iterable(itertools.repeat([*range(first, first + 2_000)]))


PORTS = itertools.islice(_ports(), os.getpid() % 2_000, None)


def require_peer(name: str) -> Path:
    """Return the program *name*; without it skip the test, or fail it where CI=true."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *DAEMON_FOLDERS]))
    if found:
        return Path(found)
    reason = f"{name} is not installed; `make test` installs it where it may"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
