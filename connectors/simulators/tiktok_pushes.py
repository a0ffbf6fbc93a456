"""How TikTok Shop tells the hub: signed pushes with retries, and the faults that pushes and answers can have."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web


@dataclass(slots=True)
class Faults:
    """What goes wrong next; each number counts down by one per event, and *hold* stays until `release`."""

    throttle: int = 0
    """API requests answered 429 / 36009002 with Retry-After 1."""
    fail: int = 0
    """Sends answered 500 with nothing sent."""
    cut: int = 0
    """Sends that reach the buyer and then lose their answer."""
    refresh_fail: int = 0
    """Token refreshes answered 500 before the refresh token is spent."""
    refresh_cut: int = 0
    """Token refreshes that spend the refresh token and then lose their answer."""
    forge: int = 0
    """Pushes with a wrong signature, made once."""
    duplicate: int = 0
    """Pushes made twice."""
    hold: bool = False
    """Pushes wait; `TikTokPlatform.release` makes them in reverse order."""

    def due(self, fault: str) -> bool:
        """Tell whether *fault* is due, and count it down."""
        left: int = getattr(self, fault)
        setattr(self, fault, max(0, left - 1))
        return left > 0


@dataclass(slots=True)
class Push:
    """One push to the hub and the statuses that its attempts got (0 = no answer)."""

    body: bytes
    signature: str
    statuses: list[int] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        """Tell whether the hub took it."""
        return bool(self.statuses) and 200 <= self.statuses[-1] < 300


class Pusher:
    """The pushes of one app to *hub_url*, which may change ("" = they are only kept). *now* tells milliseconds."""

    def __init__(
        self,
        app_key: str,
        app_secret: str,
        hub_url: str,
        faults: Faults,
        now: Callable[[], int],
        *,
        attempts: int,
        pause: float,
    ) -> None:
        self.pushes: list[Push] = []
        self.hub_url = hub_url
        self._app_key, self._secret = app_key, app_secret
        self._faults = faults
        self._now = now
        self._attempts, self._pause = attempts, pause
        self._held: list[Push] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._http: aiohttp.ClientSession | None = None

    async def live(self, _: web.Application) -> AsyncIterator[None]:
        """Hold the session while the application runs; what is under way when it stops is given up."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as self._http:
            yield
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def push(self, topic: int, shop_id: str, notification: str, data: dict[str, Any]) -> Push | None:
        """Push *data* and return the push once it was answered or given up; None if pushes are held."""
        envelope = {
            "type": topic,
            "tts_notification_id": notification,
            "shop_id": shop_id,
            "timestamp": self._now() // 1000,
            "data": data,
        }
        body = json.dumps(envelope, ensure_ascii=False).encode()
        push = self.sign(body)
        if self._faults.due("forge"):
            push.signature = "0" * 64
        self.pushes.append(push)
        if self._faults.hold:
            self._held.append(push)
            return None
        await self._deliver(push)
        if self._faults.due("duplicate"):
            await self._deliver(push)
        return push

    def sign(self, body: bytes) -> Push:
        """Return *body*, whatever it is, with the signature that the platform would give it."""
        return Push(body, hmac.digest(self._secret.encode(), self._app_key.encode() + body, hashlib.sha256).hex())

    def later(self, topic: int, shop_id: str, notification: str, data: dict[str, Any]) -> None:
        """Push *data* beside whatever is going on, as the platform does after it has answered a send."""
        task = asyncio.create_task(self.push(topic, shop_id, notification, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def release(self) -> list[Push]:
        """Make the pushes held back, the newest first, and hold no more."""
        self._faults.hold = False
        held, self._held = self._held[::-1], []
        for push in held:
            await self._deliver(push)
        return held

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _deliver(self, push: Push) -> None:
        """Make *push* until the hub takes or refuses it; TikTok goes on for up to 72 hours, this for *attempts*."""
        if not self.hub_url:
            return
        if self._http is None:
            raise RuntimeError("the platform is not running: start its app first")
        headers = {"Authorization": push.signature, "Content-Type": "application/json"}
        for attempt in range(self._attempts):
            try:
                async with self._http.post(self.hub_url, data=push.body, headers=headers) as answer:
                    push.statuses.append(answer.status)
            except (aiohttp.ClientError, TimeoutError):
                push.statuses.append(0)
            if push.taken or push.statuses[-1] == 403:
                return
            await asyncio.sleep(self._pause * 2**attempt)
