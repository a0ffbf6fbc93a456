"""A call of a platform: announced when it is about to be written, and not before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from connectors.base import Unreachable
from connectors.calls import CONNECTIONS, Announcing, call
from tests.hubs import served
from tests.stores import free_port


class Refusal(Exception):
    """Somebody else has the message now."""


@dataclass
class Platform:
    """A platform that counts connections and calls."""

    calls: int = 0
    peers: set[object] = field(default_factory=set)

    async def take(self, request: web.Request) -> web.Response:
        self.calls += 1
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({})


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=Announcing()) as session:
        yield session


async def test_a_call_is_announced_when_its_connection_is_there(http: aiohttp.ClientSession) -> None:
    """Once for each call, on a new connection as on one that is used again, and never for another call."""
    platform, told = Platform(), []

    async def leaving() -> None:
        assert isinstance(http.connector, Announcing)
        told.append((platform.calls, len(http.connector._acquired)))

    app = web.Application()
    app.router.add_post("/", platform.take)
    async with served(app) as url:
        await call(http, "POST", url, leaving=leaving)
        await call(http, "POST", url)
        await call(http, "POST", url, leaving=leaving)

    assert [(0, 1), (2, 1)] == told
    assert (3, 1) == (platform.calls, len(platform.peers))


async def test_what_cannot_connect_was_never_announced(http: aiohttp.ClientSession) -> None:
    """A message that had no connection has not left, and nobody has to ask whether it has."""
    told: list[str] = []

    async def leaving() -> None:
        told.append("left")

    with pytest.raises(Unreachable):
        await call(http, "POST", f"http://127.0.0.1:{free_port()}", leaving=leaving)
    assert [] == told


async def test_who_refuses_the_announcement_stops_the_call(http: aiohttp.ClientSession) -> None:
    """Nothing is written when another process has taken the message over; what it raises comes through as it is."""
    platform = Platform()

    async def leaving() -> None:
        raise Refusal

    app = web.Application()
    app.router.add_post("/", platform.take)
    async with served(app) as url:
        with pytest.raises(Refusal):
            await call(http, "POST", url, leaving=leaving)
        await call(http, "POST", url)

    assert 1 == platform.calls


async def test_any_other_session_announces_before_it_connects() -> None:
    """A session of somebody else's making has the call announced all the same."""
    told: list[str] = []

    async def leaving() -> None:
        told.append("left")

    async with aiohttp.ClientSession() as http:
        with pytest.raises(Unreachable):
            await call(http, "POST", f"http://127.0.0.1:{free_port()}", leaving=leaving)
    assert ["left"] == told


@dataclass
class Doorkeeper:
    """A server that closes a connection when it is told to, and answers whatever comes over it."""

    calls: int = 0
    connections: dict[object, asyncio.StreamWriter] = field(default_factory=dict)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections[writer.get_extra_info("peername")] = writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.calls += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async def hang_up(self, http: aiohttp.ClientSession) -> None:
        """Close the connection in use, and wait until the other side knows."""
        assert isinstance(http.connector, Announcing)
        [held] = http.connector._acquired
        assert held.transport is not None
        name = held.transport.get_extra_info("sockname")
        while name not in self.connections:  # noqa: ASYNC110  # the loop itself has to run
            await asyncio.sleep(0)
        self.connections[name].close()
        while held.is_connected():  # noqa: ASYNC110  # the same
            await asyncio.sleep(0)


@pytest.fixture
async def doorkeeper() -> AsyncIterator[tuple[Doorkeeper, str]]:
    one = Doorkeeper()
    server = await asyncio.start_server(one.meet, "127.0.0.1", 0)
    async with server:
        yield one, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for writer in one.connections.values():
            writer.close()


async def test_a_connection_that_is_closed_while_a_call_is_announced_is_replaced(
    http: aiohttp.ClientSession, doorkeeper: tuple[Doorkeeper, str]
) -> None:
    """A kept connection may end at any time; nothing was written, so nothing is in doubt, and the call is made."""
    platform, url = doorkeeper
    told = 0

    async def leaving() -> None:
        nonlocal told
        told += 1
        if told == 1:
            await platform.hang_up(http)

    await call(http, "GET", url)
    reply = await call(http, "POST", url, leaving=leaving)

    assert (200, 2) == (reply.status, platform.calls)
    assert (2, 2) == (told, len(platform.connections))


async def test_a_platform_that_always_hangs_up_is_unreachable(
    http: aiohttp.ClientSession, doorkeeper: tuple[Doorkeeper, str]
) -> None:
    """It was asked nothing: the message waits for another time, and nobody has to look what became of it."""
    platform, url = doorkeeper

    with pytest.raises(Unreachable, match="hangs up"):
        await call(http, "POST", url, leaving=lambda: platform.hang_up(http))
    assert (0, CONNECTIONS) == (platform.calls, len(platform.connections))
