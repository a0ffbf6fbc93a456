"""A call of a platform: announced when it is about to be written, and not before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from connectors.base import Unreachable
from connectors.calls import Announcing, call
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
