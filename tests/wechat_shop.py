"""A WeChat channel between the simulated platform and the hub's door, both on loopback; the clock stands still."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from connectors.base import Event, Kit, Outbound, Sent
from connectors.ingress import Ingress
from connectors.simulators.wechat import WeChatPlatform
from connectors.testing import NOW, InMemory, outbound
from connectors.wechat import WeChat
from connectors.wechat_options import WeChatOptions

APP_ID = "wxba5fad812f8e6fb9"
SECRET = "app-secret-0123456789"
TOKEN = "push-token-0123456789"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
OPENID = "o9AgO5Kd5ggOC-bXrbNODIiE3bGY"
JPEG = b"\xff\xd8\xff\xe0 a picture"
AMR = b"#!AMR\n a voice"
MP4 = b"\x00\x00\x00\x18ftypmp42 a video"


@dataclass
class Clock:
    """A clock that stands until it is moved; milliseconds."""

    at: int = NOW

    def __call__(self) -> int:
        return self.at

    def move(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.at += int(seconds * 1000)


@dataclass
class Shop:
    """One channel between the simulated platform and the hub's door; *events* is what the door recorded."""

    platform: WeChatPlatform
    clock: Clock
    http: aiohttp.ClientSession
    api_base: str
    memory: InMemory
    encrypted: bool
    events: list[Any] = field(default_factory=list)
    shunted: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    name: str = "shop"
    secret_path: str | None = None

    def __post_init__(self) -> None:
        self.connector = self.process()

    def process(self, **options: Any) -> WeChat:
        """Return the connector of one more hub process on the same memory."""
        settings = {
            "app_id": APP_ID,
            "app_secret": SECRET,
            "token": TOKEN,
            "encoding_aes_key": AES_KEY if self.encrypted else None,
            "account": self.platform.account.kind,
            "api_base": self.api_base,
            **options,
        }
        kit = Kit("shop", self.http, self.memory, "https://hub.example.com", self.clock)
        return WeChat(WeChatOptions.model_validate(settings), kit)

    async def record(self, channel: str, events: Sequence[Event]) -> None:
        """Keep *events*, as the hub's store would."""
        self.events += events

    async def shunt(self, channel: str, body: bytes, error: str, meta: object) -> None:
        """Keep what nobody understood."""
        self.shunted.append(error)

    def texts(self) -> list[str]:
        """Return what the customer has received, in order."""
        return [message.text for message in self.platform.received[OPENID]]

    async def send(self, text: str = "您好", **fields: Any) -> Sent:
        """Send the customer a text."""
        return await self.connector.send(message(text, **fields))


def message(text: str = "", **fields: Any) -> Outbound:
    """Return a message for the customer."""
    return outbound(address=f"wechat:{OPENID}", text=text, **fields)


@contextlib.asynccontextmanager
async def serving(app: web.Application | web.Server) -> AsyncIterator[str]:
    """Serve *app* on loopback and yield its base URL."""
    runner = web.AppRunner(app) if isinstance(app, web.Application) else web.ServerRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def open_shop(mode: str = "safe", style: str = "xml", account: str = "service") -> AsyncIterator[Shop]:
    """Open a channel whose two ends are served on loopback."""
    clock = Clock()
    key = None if mode == "plain" else AES_KEY
    nature: dict[str, Any] = {"mode": mode, "style": style, "account": account, "now": clock}
    platform = WeChatPlatform(APP_ID, SECRET, TOKEN, key, **nature)
    async with serving(platform.app) as api_base, aiohttp.ClientSession() as http:
        shop = Shop(platform, clock, http, api_base, InMemory(clock), encrypted=key is not None)
        ingress = Ingress(
            lambda: {"shop": shop},
            shop.record,
            shop.shunt,
            public_url="https://hub.example.com",
            now=clock,
            count=lambda channel, outcome: shop.counts.append(outcome),
        )
        async with serving(web.Server(ingress.hook)) as hub:
            platform.hub_url = f"{hub}/hooks/shop"
            yield shop
