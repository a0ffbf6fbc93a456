"""What a connector is given in a test: memory in one process, a kit, calls and messages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from connectors.base import Event, Kit, Memory, Outbound, OutboundMedia, WebhookCall

NOW = 1_795_000_000_000
"""The time of every test that does not say otherwise (2026-11-18, in milliseconds since 1970 UTC)."""

PUBLIC_URL = "https://hub.example.com"


class InMemory:
    """A `Memory` in one process. *now* tells milliseconds and decides what has expired."""

    def __init__(self, now: Callable[[], int] = lambda: int(time.time() * 1000)) -> None:
        self._now = now
        self._values: dict[str, tuple[str, float]] = {}
        self._boxes: dict[str, list[tuple[int, str, str]]] = {}
        self._kept: dict[str, float] = {}
        self._last: dict[str, int] = {}
        self._held: dict[str, tuple[object, float]] = {}
        self._changed = asyncio.Condition()

    async def get(self, key: str) -> str | None:
        value, until = self._values.get(key, ("", 0.0))
        return value if self._now() < until else None

    async def put(self, key: str, value: str, *, ttl: float | None = None) -> None:
        self._values[key] = (value, float("inf") if ttl is None else self._now() + ttl * 1000)

    async def forget(self, key: str) -> None:
        self._values.pop(key, None)

    @contextlib.asynccontextmanager
    async def lock(self, name: str, *, seconds: float) -> AsyncIterator[None]:
        """Hold *name*; another holder gets it after *seconds* of real time even if it was never given back."""
        clock = asyncio.get_running_loop().time
        mine = object()
        async with self._changed:
            while name in self._held and (left := self._held[name][1] - clock()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._changed.wait()
            self._held[name] = (mine, clock() + seconds)
        try:
            yield
        finally:
            async with self._changed:
                if self._held.get(name, (None, 0.0))[0] is mine:
                    del self._held[name]
                self._changed.notify_all()

    async def post(self, box: str, item_id: str, item: str, *, keep: float) -> int:
        async with self._changed:
            items = self._live(box)
            self._kept[box] = self._now() + keep * 1000
            for position, known, _ in items:
                if known == item_id:
                    return position
            self._last[box] = self._last.get(box, 0) + 1
            items.append((self._last[box], item_id, item))
            self._changed.notify_all()
            return self._last[box]

    async def empty(self, box: str) -> None:
        async with self._changed:
            self._boxes.pop(box, None)

    async def read(self, box: str, after: int) -> list[tuple[int, str]]:
        return [(position, item) for position, _, item in self._live(box) if position > after]

    async def wait(self, box: str, after: int, *, timeout: float) -> list[tuple[int, str]]:  # the contract's own word
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while not await self.read(box, after):
                        await self._changed.wait()
        return await self.read(box, after)

    def _live(self, box: str) -> list[tuple[int, str, str]]:
        if self._now() >= self._kept.get(box, float("inf")):
            self._boxes.pop(box, None)
        return self._boxes.setdefault(box, [])


class NoNetwork:
    """Stands where a `Kit` needs a session in a test that must not make any request."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the connector used the network (http.{name}) where the contract allows none")


def kit(
    channel: str = "test",
    http: aiohttp.ClientSession | None = None,
    now: Callable[[], int] = lambda: NOW,
    memory: Memory | None = None,
    public_url: str = PUBLIC_URL,
) -> Kit:
    """Return a kit for tests: a clock that stands at `NOW`, fresh memory, and no network unless *http* is given."""
    session = http if http is not None else cast("aiohttp.ClientSession", NoNetwork())
    return Kit(channel=channel, http=session, memory=memory or InMemory(now), public_url=public_url, now=now)


class Leaving:
    """Counts how often a connector announced the request that cannot be taken back; raises *error* if given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count = 0
        self._error = error

    async def __call__(self) -> None:
        self.count += 1
        if self._error is not None:
            raise self._error


def outbound(
    id: str = "d1",  # the field's own name
    address: str = "tel:+8613800138000",
    text: str = "",
    *,
    media: Sequence[OutboundMedia] = (),
    leaving: Leaving | None = None,
    **fields: Any,
) -> Outbound:
    """Return a message to send; *fields* are those of `Outbound`."""
    message = Outbound(id=id, address=address, at=NOW, leaving=leaving or Leaving(), text=text, media=tuple(media))
    return msgspec.structs.replace(message, **fields)


def attachment(
    name: str = "photo.jpg", type: str = "image/jpeg", data: bytes = b"\xff\xd8\xff\xd9", url: str = ""
) -> OutboundMedia:  # the field's own name
    """Return a file to send; *url* is by default where the hub would serve it."""

    async def read() -> bytes:
        return data

    return OutboundMedia(
        type=type, name=name, size=len(data), read=read, url=url or f"{PUBLIC_URL}/media/{quote(name)}"
    )


def webhook_call(
    body: bytes = b"",
    *,
    method: str = "POST",
    url: str = f"{PUBLIC_URL}/hooks/test",
    headers: Mapping[str, str] | None = None,
    now: int = NOW,
) -> WebhookCall:
    """Return a call as the ingress would hand it over: path and query are those of *url*."""
    at = URL(url)
    return WebhookCall(
        method=method,
        url=url,
        path=at.path,
        query=at.query,
        headers=CIMultiDictProxy(CIMultiDict(headers or {})),
        body=body,
        remote="127.0.0.1",
        now=now,
    )


def read_events(file: Path) -> tuple[Event, ...]:
    """Read expected events from a JSON file: a list of objects, each with "event": "message", "receipt" and so on."""
    return msgspec.json.decode(file.read_bytes(), type=tuple[Event, ...])
