"""What every test gets: a clean store of the chosen flavour, and no way out of this machine."""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from inbox import passwords
from tests import stores

# How long one example takes is the machine's business; `pytest-timeout` ends what hangs.
# Examples are the same in every short run: what a new one finds is for those who look for it, in the long runs.
hypothesis.settings.register_profile("hub", deadline=None, derandomize=not os.environ.get("HUILIU_LONG"))
hypothesis.settings.load_profile("hub")

HERE = {"", "localhost", socket.gethostname()}
CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}

strangers: list[str] = []

# Hubs that tests start load as fast as where they are installed, whose code is compiled once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--store", choices=sorted(stores.STORES), default="embedded", help="the store that tests run on")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever needs a store, so that `-m store` finds it without anybody having to remember."""
    for item in items:
        if "store_url" in getattr(item, "fixturenames", ()):
            item.add_marker("store")


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.StoreUnderTest]:
    """The run's store, for tests that kill it; it is emptied by `store_url` only."""
    flavour = str(request.config.getoption("--store"))
    chosen = stores.STORES[flavour](tmp_path_factory.mktemp("store"))
    try:
        chosen.start()
        yield chosen
    finally:
        chosen.stop()


@pytest.fixture
def store_url(store: stores.StoreUnderTest) -> str:
    """The URL of an empty store."""
    store.flush()
    return store.url


@pytest.fixture
def require_peer() -> Callable[[str], Path]:
    """`stores.require_peer`: the path of a program that the test talks to."""
    return stores.require_peer


@pytest.fixture
def free_port() -> Callable[[], int]:
    """`stores.free_port`: a loopback port that nobody uses."""
    return stores.free_port


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that are worth nothing need no second of every test."""
    monkeypatch.setattr(passwords, "MEMORY", 64)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """What a command sets up for the whole process, when it is run within a test, is gone in the next one."""
    loggers = [logging.getLogger(name) for name in ("", "watchfiles", "asyncio")]
    handlers, levels, collects = loggers[0].handlers[:], [one.level for one in loggers], gc.isenabled()
    yield
    loggers[0].handlers[:] = handlers
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)
    if collects:
        gc.enable()


@pytest.fixture(autouse=True)
def _patient_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for two seconds has not lost its store."""
    monkeypatch.setattr("inbox.store.CONNECT_TIMEOUT", 30.0)


@pytest.fixture(autouse=True)
def _stays_here() -> Iterator[None]:
    """Fail a test that tried to leave this machine, even if the code under test swallowed the refusal."""
    strangers.clear()
    yield
    if strangers:
        pytest.fail(f"tried to reach {', '.join(sorted(set(strangers)))}; tests talk to this machine only")


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse, as an unreachable network would, every connection and name look-up that leaves this machine."""
    if event in CONNECTS:
        sock, address = arguments[0], arguments[1]
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or not address or is_loopback(address[0]):
            return
        host = address[0]
    elif event in LOOKUPS:
        host = arguments[0]
        if is_literal(host) or is_loopback(host):
            return
    else:
        return
    strangers.append(str(host))
    raise OSError(f"tests may not reach {host}")


def is_literal(host: object) -> bool:
    """Tell whether *host* is an IP address, for which no name server is asked."""
    try:
        ipaddress.ip_address(name(host))
    except ValueError:
        return False
    return True


def is_loopback(host: object) -> bool:
    """Tell whether *host* is this machine."""
    text = name(host)
    if text in HERE or text.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def name(host: object) -> str:
    """Return a host as text without an IPv6 zone."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host or "")
    return text.partition("%")[0]


sys.addaudithook(guard)
