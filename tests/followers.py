"""A client of the hub's server-sent events, as a browser's EventSource is one: it comes back to where it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.hubs import TOKEN

LIMIT = 30.0


@dataclass
class Follower:
    """Reads the stream, with a *token* or somebody's *cookies*.

    *last* is the last id seen, *events* what was told, *controls* events of the stream itself.
    """

    http: aiohttp.ClientSession
    query: str = ""
    token: str = TOKEN
    cookies: dict[str, str] = field(default_factory=dict)
    last: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    controls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    beats: int = 0

    @property
    def ids(self) -> list[str]:
        """The ids of the events so far."""
        return [one["id"] for one in self.events]

    def of_type(self, name: str) -> list[dict[str, Any]]:
        """Return the events of one type."""
        return [one for one in self.events if one["type"] == f"huiliu.{name}"]

    async def follow(self, base: str) -> AsyncGenerator[None]:
        """Read from the hub at *base*; yield after each block until the stream ends."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if self.cookies:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if self.last:
            headers["Last-Event-ID"] = self.last
        timeout = aiohttp.ClientTimeout(total=None, sock_read=LIMIT)
        async with self.http.get(f"{base}/api/v1/events{self.query}", headers=headers, timeout=timeout) as answer:
            assert answer.status == 200, await answer.text()
            block: dict[str, str] = {}
            async for raw in answer.content:
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(":")
                    block[name] = value.removeprefix(" ")
                    continue
                self._take(block)
                block = {}
                yield

    def _take(self, block: dict[str, str]) -> None:
        if "" in block:
            self.beats += 1
        self.last = block.get("id", self.last)
        if "data" not in block:
            return
        data = json.loads(block["data"])
        if "event" in block:
            self.controls.append((block["event"], data))
        else:
            self.events.append(data)

    async def read(self, base: str, count: int, seconds: float = LIMIT) -> None:
        """Read until there are *count* events in all, then hang up."""
        async with asyncio.timeout(seconds):
            stream = self.follow(base)
            async for _ in stream:
                if len(self.events) >= count:
                    break
            await stream.aclose()

    async def hear(self, base: str, word: str) -> None:
        """Read until something with *word* was told, then hang up."""
        async with asyncio.timeout(LIMIT):
            stream = self.follow(base)
            async for _ in stream:
                if word in json.dumps(self.events, ensure_ascii=False):
                    break
            await stream.aclose()

    async def greet(self, base: str) -> None:
        """Connect, learn the position, hang up."""
        known = len(self.controls)
        async with asyncio.timeout(LIMIT):
            stream = self.follow(base)
            async for _ in stream:
                if len(self.controls) > known:
                    break
            await stream.aclose()
