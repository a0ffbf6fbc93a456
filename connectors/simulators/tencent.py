"""What the simulators of WeChat and WeCom share: pushes, tried three times, and calls that go wrong on demand."""

from __future__ import annotations

import contextlib
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from connectors.simulators.faults import Fault, Faults
from connectors.simulators.wechat_push import Wrapped

TRIES = 3

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Push:
    """What became of one push: the statuses the hub answered with (0: none in time), and whether it was taken."""

    fields: Mapping[str, Any]
    statuses: tuple[int, ...]
    taken: bool


def wall_clock() -> int:
    """Return milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Platform(ABC):
    """A platform. Serve `app`, set `hub_url` to the channel's webhook, then let people act.

    *now* returns milliseconds since 1970 UTC. *patience* is how many seconds a push may take; the platforms' is 5.
    *errors* are errmsgs by errcode, *largest* is how many bytes a call may have.
    """

    def __init__(
        self, hub_url: str, now: Callable[[], int], patience: float, errors: Mapping[int, str], largest: int
    ) -> None:
        self.hub_url = hub_url
        self.patience = patience
        self._now = now
        self._errors = errors
        self._faults = Faults()
        self.calls = self._faults.calls
        self.refused = self._faults.refused
        self._http: aiohttp.ClientSession | None = None
        self.app = web.Application(client_max_size=largest, middlewares=[self._answer])
        for (method, path), endpoint in self._endpoints().items():
            self.app.router.add_route(method, path, endpoint)
        self.app.on_shutdown.append(self._faults.shut)
        self.app.on_cleanup.append(self._close)

    @abstractmethod
    def _endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return what answers each method and path."""

    @abstractmethod
    def _echo(self, echo: str) -> Mapping[str, str]:
        """Return the query that asks the hub to send *echo* back."""

    @abstractmethod
    def _wrapped(self, fields: Mapping[str, Any], *, forged: bool) -> Wrapped:
        """Return *fields* as they travel, or *forged*: signed with a wrong token."""

    def _takes(self, fields: Mapping[str, Any], answer: bytes) -> bool:  # noqa: ARG002  # WeCom looks at them
        """Tell whether the hub's *answer* to the push of *fields* says that it is taken, and do what it says."""
        return not answer

    def fail(self, call: str, fault: Fault, times: int = 1) -> None:
        """Let the next *times* calls of *call* ("media/upload", …: see `calls`) go wrong."""
        self._faults.add(call, fault, times)

    async def handshake(self) -> bool:
        """Verify the hub's URL as the console does when it is entered; tell whether the hub echoed rightly."""
        echo = str(secrets.randbelow(10**19))
        async with self._session().get(self.hub_url, params=self._echo(echo)) as response:
            return response.status == 200 and await response.text() == echo

    async def push(self, fields: Mapping[str, Any], *, copies: int = 1, forged: bool = False) -> Push:
        """Push *fields* to the hub *copies* times over, or *forged*: signed with a wrong token."""
        wrapped = self._wrapped(fields, forged=forged)
        pushes = [await self._push(fields, wrapped) for _ in range(copies)]
        statuses = tuple(status for push in pushes for status in push.statuses)
        return Push(fields, statuses, all(push.taken for push in pushes))

    async def close(self) -> None:
        """Close the connections to the hub; cleaning up `app` does it too."""
        if self._http is not None:
            await self._http.close()

    async def _push(self, fields: Mapping[str, Any], wrapped: Wrapped) -> Push:
        """Push up to three times, the same bytes each time, until the hub takes it."""
        statuses: list[int] = []
        for _ in range(TRIES):
            status, answer = await self._try(wrapped)
            statuses.append(status)
            if status == 200 and self._takes(fields, answer):
                return Push(fields, tuple(statuses), taken=True)
        return Push(fields, tuple(statuses), taken=False)

    async def _try(self, wrapped: Wrapped) -> tuple[int, bytes]:
        limit = aiohttp.ClientTimeout(total=self.patience)
        headers = {"Content-Type": wrapped.content_type}
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session().post(
                self.hub_url, params=wrapped.query, data=wrapped.body, headers=headers, timeout=limit
            ) as response:
                return response.status, await response.read()
        return 0, b""

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None or self._http.closed:
            self._http = aiohttp.ClientSession()
        return self._http

    async def _close(self, _app: web.Application) -> None:
        await self.close()

    def _name(self, path: str) -> str:
        """Return how `calls` and `fail` call an interface."""
        return path.removeprefix("/cgi-bin/")

    @web.middleware
    async def _answer(self, request: web.Request, handler: Endpoint) -> web.StreamResponse:
        return await self._faults.answer(self._name(request.path), request, handler, self._errors)
