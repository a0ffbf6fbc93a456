"""The HTTP server: platform calls pass by the router, everything else goes through it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

HOOKS = "/hooks/"
BACKLOG = 1024
KEEPALIVE = 75.0
SHUTDOWN = 5.0


class Serving:
    """One listening socket; several processes may share the port. *max_body* is in bytes."""

    def __init__(
        self,
        app: web.Application,
        hook: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        max_body: int,
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._hook = hook
        self._runner: web.ServerRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int, *, shared: bool) -> None:
        """Listen. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        app, hook, max_body = self._app, self._hook, self._max_body
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

        site = web.TCPSite(self._runner, host, port, reuse_port=shared or None, backlog=BACKLOG)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Take nothing more, let running requests finish, close."""
        if self._runner is None:
            return
        await self._app.shutdown()
        await self._runner.cleanup()
        await self._app.cleanup()


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def origin_of(proxies: Sequence[Network]) -> Callable[[web.BaseRequest], str]:
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

    def origin(request: web.BaseRequest) -> str:
        address = request.remote or ""
        if not proxies or not trusted(address):
            return address
        chain = [part.strip() for header in request.headers.getall("X-Forwarded-For", []) for part in header.split(",")]
        for part in reversed(chain):
            if not trusted(part):
                return part
        return address

    return origin
