"""The tests' own ground: stores that can be killed, peers that may be missing, and no way out of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis.exceptions import RedisClusterException  # no RedisError, whatever its name says

from tests.stores import StoreUnderTest, connect, free_port, require_peer

ROOT = Path(__file__).parent.parent


def keys(url: str) -> list[str]:
    """Write one key per third of the slots and return those that are there."""
    if not url.startswith("redis+cluster"):
        with connect(url) as client:
            return sorted(str(key) for key in client.scan_iter())
    with redis.RedisCluster.from_url(url.replace("redis+cluster", "redis", 1), decode_responses=True) as cluster:
        return sorted(str(key) for key in cluster.keys(target_nodes="primaries"))


def write(url: str) -> None:
    """Write keys that a cluster spreads over all its nodes."""
    client = (
        redis.RedisCluster.from_url(url.replace("redis+cluster", "redis", 1))
        if url.startswith("redis+cluster")
        else redis.Redis.from_url(url)
    )
    with client:
        for number in range(12):
            client.set(f"key-{number:02}", number)


def test_a_killed_store_keeps_what_it_acknowledged(store_url: str, store: StoreUnderTest) -> None:
    """Every flavour keeps its data over a kill, and its URL."""
    write(store_url)
    store.kill()
    with pytest.raises((redis.RedisError, RedisClusterException, OSError)):
        write(store_url)
    store.restart()

    assert keys(store_url) == [f"key-{number:02}" for number in range(12)]
    assert store.url == store_url


def test_every_test_starts_empty(store_url: str, store: StoreUnderTest) -> None:
    """Emptying reaches every node, and brings back a store that a test left dead."""
    write(store_url)
    store.kill()
    store.flush()

    assert keys(store_url) == []


def test_a_missing_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not installed skips a test at home and fails it in CI."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="nothing-of-that-name is not installed"):
        require_peer("nothing-of-that-name")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="nothing-of-that-name is not installed"):
        require_peer("nothing-of-that-name")


def test_a_free_port_is_free() -> None:
    """The port can be bound."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))


def test_nothing_leaves_this_machine(tmp_path: Path) -> None:
    """A test that tries to reach another host fails, even when the code under test swallows the error."""
    attempts = {
        "socket.create_connection(('192.0.2.1', 80), timeout=1)": "192.0.2.1",
        "socket.create_connection(('2001:db8::1', 80), timeout=1)": "2001:db8::1",
        "socket.getaddrinfo('shop.example', 443)": "shop.example",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.2', 53))": "192.0.2.2",
    }
    (tmp_path / "test_leaves.py").write_text(
        "import contextlib, pytest, socket\n"
        f"@pytest.mark.parametrize('attempt', {list(attempts)!r})\n"
        "def test_leaves(attempt):\n"
        "    with contextlib.suppress(OSError):\n"
        "        eval(attempt)\n"
        "def test_stays():\n"
        "    socket.getaddrinfo('localhost', 80)\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    for host in attempts.values():
        assert f"tried to reach {host}; tests talk to this machine only" in run.stdout
    assert "5 passed, 4 errors" in run.stdout  # the tests' own lines passed, their way out did not
