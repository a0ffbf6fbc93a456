"""A platform for tests: a local HTTP server that records what it gets and answers, or fails, as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self
from urllib.parse import parse_qsl

import aiohttp
import msgspec
from aiohttp import web

from connectors.props import Leaving

PATIENCE = 10.0
"""Seconds after which a request of a test kit gives up, whatever limit the connector asks for."""

HUNG = 0.05
"""Seconds that are left to a request when the scripted platform has begun to hang: then nothing is waited for."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the platform got it; *left* is how often `leaving` had been awaited by then."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    left: int = 0

    def form(self) -> list[tuple[str, str]]:
        """Return the body's form fields in order."""
        return parse_qsl(self.body.decode(), keep_blank_values=True)

    def json(self) -> Any:
        """Return the body as JSON."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the scripted platform answers."""

    status: int = 200
    body: bytes | str = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Fault(Enum):
    """How the scripted platform can fail to answer."""

    HANG = "accepts the request and never answers"
    CUT = "cuts the connection after the request"
    HALF = "cuts the connection in the middle of the answer"


class Platform:
    """A local HTTP server, open inside ``async with``, that records every request and answers as *script* says."""

    def __init__(self, script: Callable[[Request], Reply | Fault], leaving: Leaving | None = None) -> None:
        self.script = script
        self.leaving = leaving or Leaving()
        self.requests: list[Request] = []
        self.url = ""
        self.waiting: set[asyncio.Timeout] = set()
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        seen = Request(request.method, request.path, request.query, request.headers, body, self.leaving.count)
        self.requests.append(seen)
        reply = self.script(seen)
        if isinstance(reply, Reply):
            content = reply.body.encode() if isinstance(reply.body, str) else reply.body
            return web.Response(status=reply.status, body=content, headers=reply.headers)
        if reply is Fault.HALF:
            half = web.StreamResponse(headers={"Content-Length": "100"})
            await half.prepare(request)
            await half.write(b'{"half": ')
        if reply is Fault.HANG:
            for limit in self.waiting:
                limit.reschedule(asyncio.get_running_loop().time() + HUNG)
            await self._closing.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


@contextlib.asynccontextmanager
async def session(platform: Platform) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session for *platform* that gives a request up as soon as it hangs there, so that no test waits for that.

    A request that takes long for other reasons has `PATIENCE`.
    """

    async def hurry(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        async with asyncio.timeout(PATIENCE) as limit:
            platform.waiting.add(limit)
            try:
                return await handler(request)
            finally:
                platform.waiting.discard(limit)

    async with aiohttp.ClientSession(middlewares=(hurry,)) as http:
        yield http


def closed_port() -> int:
    """Return a loopback port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
