"""What the measurements run on: real hub processes, their stores and a bare server, each on its core.

The server under test has the first core to itself; its store and search index, the load generator and this script
share the others.
"""

from __future__ import annotations

import contextlib
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import redis

from inbox.directory import SECRET as SECRET_FILE
from inbox.directory import STORE_LOCK, reach, read_secret
from inbox.leases import wanted
from inbox.partitions import COUNT, key, shared_key

ROOT = Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
OTHER_CORES = CORES[1:] or CORES
START_LIMIT = 30.0
DRAIN_LIMIT = 900.0
SAMPLES = 400

# Counts new log entries by type inside the store: reading them all out would take longer than writing them.
COUNT_ENTRIES = """
local from, counts, found = ARGV[1], {}, {}
local entries = redis.call('XRANGE', KEYS[1], '(' .. from, '+', 'COUNT', 2000)
for _, entry in ipairs(entries) do
  for index = 1, #entry[2], 2 do
    if entry[2][index] == 't' then
      counts[entry[2][index + 1]] = (counts[entry[2][index + 1]] or 0) + 1
      break
    end
  end
  from = entry[1]
end
for kind, count in pairs(counts) do
  found[#found + 1] = kind
  found[#found + 1] = count
end
return {from, found}
"""


def machine() -> str:
    """Describe the machine and how busy it is, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{len(CORES)} x {model}, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}, "
        f"load average before {load}"
    )


def stay_off_the_server_core() -> None:
    """Keep this process, and what it starts without pinning, on the other cores."""
    os.sched_setaffinity(0, OTHER_CORES)


def pin(pid: int, cores: Sequence[int]) -> None:
    """Move a process with all its threads to *cores*."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Server:
    """A process that serves HTTP on loopback."""

    process: subprocess.Popen[str]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.pid)


def _listening(command: Sequence[str], errors: Path, environment: dict[str, str] | None = None) -> Server:
    """Start *command* on the server's core and wait until it prints the address it listens on."""
    with errors.open("w") as sink:
        process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *command],
            stdout=subprocess.PIPE, stderr=sink, text=True, env=environment, cwd=errors.parent,
        )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    if "http://" not in line:
        process.kill()
        sys.exit(f"{command[0]} did not start: {line}{errors.read_text()[-2000:]}")
    return Server(process, int(line.rpartition(":")[2]))


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def bare(script: Path) -> Iterator[Server]:
    """Run the handler that everything is compared with: *script* --bare."""
    with tempfile.TemporaryDirectory(prefix="huiliu-bench-") as folder:
        server = _listening([sys.executable, str(script), "--bare"], Path(folder) / "errors")
        try:
            yield server
        finally:
            _end(server.process)


@dataclass
class Hub:
    """`huiliu run` with one worker and its embedded store."""

    server: Server
    store: redis.Redis
    store_pid: int
    folder: Path
    _counts: Counter[str] = field(default_factory=Counter)
    _counted: list[str] = field(default_factory=lambda: ["0-0"] * COUNT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def store_cpu(self) -> float:
        return cpu_seconds(self.store_pid)

    def clear_its_core(self) -> None:
        """Move the store, and what the hub has started by now, to the other cores."""
        for pid in (self.store_pid, *children(self.server.pid)):
            pin(pid, OTHER_CORES)

    def counts(self) -> Counter[str]:
        """Count the log's entries by type."""
        partitions = list(range(COUNT))
        while partitions:  # a piece of each log at a time: the hub shares the store
            pipe = self.store.pipeline(transaction=False)
            for partition in partitions:
                pipe.eval(COUNT_ENTRIES, 1, key(partition, "log"), self._counted[partition])
            replies = list(zip(partitions, pipe.execute(), strict=True))
            for partition, (position, found) in replies:
                self._counted[partition] = position
                self._counts.update(dict(zip(found[::2], found[1::2], strict=True)))
            partitions = [partition for partition, (_, found) in replies if found]
        return self._counts

    def behind(self) -> int:
        """Return how many events have no conversation yet."""
        counts = self.counts()
        return counts["e"] - counts["p"] - counts["i"]

    def settled(self, reader: str = "router") -> bool:
        """Tell whether *reader* has said that it handled everything; it says so with a delay."""
        pipe = self.store.pipeline(transaction=False)
        for partition in range(COUNT):
            pipe.hget(key(partition, "pos"), reader)
            pipe.xrevrange(key(partition, "log"), count=1)
        replies: list[Any] = pipe.execute()
        return all(not end or position == end[0][0] for position, end in zip(replies[::2], replies[1::2], strict=True))

    def drain(self) -> float:
        """Wait until every event has its conversation, and its agent; return the seconds until the first of the two."""
        began = time.monotonic()
        while self.behind() and time.monotonic() < began + DRAIN_LIMIT:
            time.sleep(0.02)
        waited = time.monotonic() - began
        while not self.settled():
            if time.monotonic() > began + DRAIN_LIMIT:
                sys.exit(f"the hub did not route everything in {DRAIN_LIMIT:.0f} s; {self.behind()} events are left")
            time.sleep(0.1)
        return waited

    def used_memory(self) -> dict[str, int]:
        """Return what the store says of its memory."""
        facts: Any = self.store.info("memory")
        return {name: int(facts[name]) for name in ("used_memory", "used_memory_rss", "used_memory_overhead")}

    @contextlib.contextmanager
    def partitions_elsewhere(self) -> Iterator[None]:
        """Let other workers own every partition while the context lasts: this one only takes webhooks in."""
        workers: Any = self.store.zrange(shared_key("hub", "workers"), 0, -1)
        names, over = crowd(workers[0]), threading.Event()

        def beat() -> None:
            while True:
                seconds, micros = self.store.time()
                now = seconds * 1000 + micros // 1000
                self.store.zadd(shared_key("hub", "workers"), dict.fromkeys(names, now))
                if over.wait(0.5):
                    return

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            deadline = time.monotonic() + START_LIMIT
            while self.held():
                if time.monotonic() > deadline:
                    sys.exit("the hub did not give its partitions up")
                time.sleep(0.1)
            yield
        finally:
            over.set()
            thread.join()

    def logs(self) -> Iterator[list[tuple[str, dict[str, str]]]]:
        """Return each partition's log, whole."""
        for partition in range(COUNT):
            yield cast("list[tuple[str, dict[str, str]]]", self.store.xrange(key(partition, "log")))

    def families(self) -> dict[str, tuple[int, float]]:
        """Return for each family of keys how many there are and how many bytes they take, sampled."""
        names: dict[str, list[str]] = {}
        for name in self.store.scan_iter(count=2000):
            tag, _, rest = name.removeprefix("hl:{").partition("}:")
            family = rest.partition(":")[0] if tag.isdigit() else "shared"
            names.setdefault(family, []).append(name)
        sizes: dict[str, tuple[int, float]] = {}
        for family, found in names.items():
            sampled = random.Random(1).sample(found, min(len(found), SAMPLES))
            pipe = self.store.pipeline(transaction=False)
            for name in sampled:
                pipe.memory_usage(name, samples=SAMPLES)
            sizes[family] = (len(found), sum(pipe.execute()) / len(sampled) * len(found))
        return sizes

    def disk(self) -> int:
        """Return the bytes of the store's files."""
        return sum(file.stat().st_size for file in (self.folder / "var").rglob("*") if file.is_file())

    def held(self) -> int:
        """Count the partitions that have an owner."""
        pipe = self.store.pipeline(transaction=False)
        for partition in range(COUNT):
            pipe.hget(key(partition, "lease"), "owner")
        return sum(bool(owner) for owner in pipe.execute())


def crowd(worker: str) -> list[str]:
    """Return names of workers beside which *worker* owns no partition at all."""
    names: list[str] = []
    left = wanted(worker, [worker])
    while left:
        candidates = (f"bench-{len(names)}-{number}#1" for number in range(400))
        best = min(candidates, key=lambda name: len(wanted(worker, [worker, name]) & left))
        names.append(best)
        left &= wanted(worker, [worker, best])
    return names


@contextlib.contextmanager
def hub(channels: str, *, routes: str, more: str, logs: bool = False) -> Iterator[Hub]:
    """Run a hub with *channels*, *routes* and *more* settings (YAML texts) until the context ends."""
    with tempfile.TemporaryDirectory(prefix="huiliu-bench-") as name:
        folder = Path(name)
        (folder / "routes.yaml").write_text(routes, encoding="utf-8")
        settings = f"http: {{host: 127.0.0.1, port: 0}}\nstore: {{url: embedded, path: {folder}/var}}\n"
        settings += f"channels:\n{channels}\nroutes: routes.yaml\n{more}\n"
        (folder / "huiliu.yaml").write_text(settings, encoding="utf-8")
        with resumed(folder, logs=logs) as one:
            yield one


@contextlib.contextmanager
def resumed(folder: Path, *, logs: bool = False) -> Iterator[Hub]:
    """Run the hub of the configuration in *folder*, on what its store holds, until the context ends."""
    executable = shutil.which("huiliu", path=str(Path(sys.executable).parent)) or "huiliu"
    errors = folder / "errors"
    server = _listening([executable, "-c", str(folder / "huiliu.yaml"), "run"], errors)
    try:
        var = folder / "var"
        store = redis.Redis(
            unix_socket_path=str(reach(var)), password=read_secret(var / SECRET_FILE), decode_responses=True
        )
        store_pid = int((var / STORE_LOCK).read_text())
        one = Hub(server, store, store_pid, folder)
        deadline = time.monotonic() + START_LIMIT
        while one.held() < COUNT and time.monotonic() < deadline:
            time.sleep(0.05)
        one.clear_its_core()
        yield one
        store.close()
    finally:
        _end(server.process)
        faults = [
            line for line in errors.read_text().splitlines() if "error" in line.lower() or "warning" in line.lower()
        ]
        if faults or logs:
            print(f"the hub said {len(faults)} warnings or errors, the last:", *faults[-5:], sep="\n  ")


def median(values: Sequence[float]) -> float:
    """Return the median, 0 of nothing."""
    return statistics.median(values) if values else 0.0


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which *part* (0 to 1) of *values* lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
