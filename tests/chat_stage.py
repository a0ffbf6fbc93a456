"""A hub of the smallest kind for the web chat's tests: the real ingress and connector, a list in place of the inbox."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from connectors.base import Event, Ignored, Message, Receipt
from connectors.ingress import Ingress, Unavailable
from connectors.testing import InMemory, kit, outbound
from connectors.webchat import WebChat
from connectors.webchat_options import WebChatOptions

SHOP_KEY = "0123456789abcdef0123456789abcdef"


@dataclass
class Line:
    """A configured channel as the ingress asks for it."""

    name: str
    connector: object | None
    secret_path: str | None = None


@dataclass
class Stage:
    """A running chat site: *events* are what became durable, each once; *down* makes the store refuse."""

    url: str
    chat: WebChat = field(init=False)
    ingress: Ingress = field(init=False)
    memory: InMemory = field(default_factory=InMemory)
    events: list[Event] = field(default_factory=list)
    repeats: int = 0
    down: bool = False
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def messages(self) -> list[Message]:
        return [event for event in self.events if isinstance(event, Message)]

    @property
    def receipts(self) -> list[Receipt]:
        return [event for event in self.events if isinstance(event, Receipt)]

    async def record(self, channel: str, events: Sequence[Event]) -> None:
        if self.down:
            raise Unavailable(retry_after=1)
        known = {_id(event) for event in self.events}
        async with self.changed:
            for event in events:
                self.repeats += _id(event) in known
                if _id(event) not in known and not isinstance(event, Ignored):
                    self.events.append(event)
            self.changed.notify_all()

    async def until(self, condition: Any, seconds: float = 30) -> None:
        """Wait until *condition* holds, looking whenever an event comes in."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(condition)

    async def say(self, address: str, text: str, *, id: str = "d1", **fields: Any) -> None:
        """Let the shop write to a visitor."""
        await self.chat.send(outbound(id, address, text, at=clock(), **fields))


def _id(event: Event) -> tuple[str, ...]:
    return (event.message_id, event.state) if isinstance(event, Receipt) else (event.external_id,)


@asynccontextmanager
async def chat_stage(
    options: Mapping[str, Any] | None = None, listening: socket.socket | None = None
) -> AsyncIterator[Stage]:
    """Run a chat site called "site-chat" on loopback, on *listening* if given; "broken-chat" is down."""
    # The connector wants to know its public address, so the port is taken before anything is built.
    listening = listening or socket.create_server(("127.0.0.1", 0))
    stage = Stage(f"http://127.0.0.1:{listening.getsockname()[1]}")
    stage.chat = WebChat(
        WebChatOptions.model_validate(dict(options or {})),
        kit("site-chat", now=clock, memory=stage.memory, public_url=stage.url),
    )
    lines = {"site-chat": Line("site-chat", stage.chat), "broken-chat": Line("broken-chat", None)}
    stage.ingress = Ingress(
        lambda: lines,
        stage.record,
        shunt,
        public_url=stage.url,
        now=clock,
        count=lambda channel, outcome: stage.counts.update([(channel, outcome)]),
    )
    application = web.Application()
    application.add_routes(stage.ingress.routes())
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield stage
    finally:
        await stage.ingress.close()
        await runner.cleanup()


async def shunt(channel: str, raw: bytes, error: str, meta: Mapping[str, object]) -> None:
    raise AssertionError(f"nothing of a chat is shunted: {error}")


def clock() -> int:
    return int(time.time() * 1000)


def identity(claims: Mapping[str, Any], key: str = SHOP_KEY, alg: str = "HS256") -> str:
    """Make a JSON Web Token as a shop's site would."""
    head = base64url(json.dumps({"alg": alg, "typ": "JWT"}).encode())
    signed = f"{head}.{base64url(json.dumps(claims).encode())}"
    return f"{signed}.{base64url(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())}"


def base64url(data: bytes) -> str:
    """Encode without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
