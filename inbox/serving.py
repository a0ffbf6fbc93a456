"""The HTTP server: platform calls pass by aiohttp, others of theirs by its router, the rest goes through it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from aiohttp import web
from multidict import CIMultiDictProxy

HOOKS = "/hooks/"
BACKLOG = 1024
CLOSED = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer says that says nothing else of it."""
KEEPALIVE = 75.0
SHUTDOWN = 5.0


class Front(Protocol):
    """What meets a connection first: makes its protocol, and closes what it still has within *limit* seconds."""

    def __call__(self) -> asyncio.Protocol: ...

    async def close(self, limit: float) -> None: ...


class Serving:
    """One listening socket; several processes may share the port.

    *front* is given what makes a protocol of aiohttp, and the seconds that a silent connection is kept. *hook*
    answers what it leaves of the platforms' calls, *app* the rest. *max_body* is in bytes.
    """

    def __init__(
        self,
        app: web.Application,
        hook: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        front: Callable[[Callable[[], asyncio.Protocol], float], Front],
        max_body: int,
    ) -> None:
        self._app = app
        self._hook = hook
        self._make_front = front
        self._max_body = max_body
        self._runner: web.ServerRunner | None = None
        self._listening: asyncio.Server | None = None
        self._front: Front | None = None
        self.port = 0

    async def start(self, host: str, port: int, *, shared: bool) -> None:
        """Listen. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        app, hook, max_body = self._app, self._hook, self._max_body
        app.on_response_prepare.append(closed)
        app.freeze()
        await app.startup()

        async def dispatch(request: web.BaseRequest) -> web.StreamResponse:
            # The router and the application's frame cost a fifth of a small request; hooks need neither.
            if request.raw_path.startswith(HOOKS):
                return await hook(request)
            return await app._handle(request)  # type: ignore[arg-type]  # noqa: SLF001

        def build(message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
            if message.path.startswith(HOOKS):
                return web.BaseRequest(message, payload, protocol, writer, task, loop)
            return web.Request(message, payload, protocol, writer, task, loop, client_max_size=max_body)

        server = web.Server(
            dispatch, request_factory=build, access_log=None, keepalive_timeout=KEEPALIVE, auto_decompress=False
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN)
        await self._runner.setup()
        try:
            front = self._make_front(server, KEEPALIVE)
            self._listening = await loop.create_server(front, host, port, reuse_port=shared or None, backlog=BACKLOG)
        except BaseException:
            await self._runner.cleanup()
            raise
        self._front = front
        self.port = self._listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take nothing more, let running requests finish, close; a second time does nothing."""
        runner, listening, front = self._runner, self._listening, self._front
        if runner is None or listening is None or front is None:
            return
        self._listening = None
        listening.close()
        await self._app.shutdown()
        await front.close(SHUTDOWN)
        await runner.cleanup()
        await self._app.cleanup()


async def closed(_: web.Request, response: web.StreamResponse) -> None:
    """Let an answer do nothing in a browser that it did not ask for."""
    for name, value in CLOSED.items():
        response.headers.setdefault(name, value)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def origin_of(proxies: Sequence[Network]) -> Callable[[str, CIMultiDictProxy[str]], str]:
    """Return a function that names who made a request.

    That is whoever connects, or, if that is one of *proxies*, the last address in X-Forwarded-For that is no
    proxy of ours: everything before it was written by the caller.
    """

    def trusted(address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in proxies)

    def origin(address: str, headers: CIMultiDictProxy[str]) -> str:
        if not proxies or not trusted(address):
            return address
        chain = [part.strip() for header in headers.getall("X-Forwarded-For", []) for part in header.split(",")]
        for part in reversed(chain):
            if not trusted(part):
                return part
        return address

    return origin
