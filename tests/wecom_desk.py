"""A WeCom app between the simulated platform and the hub's door, both on loopback; the clock stands still."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from connectors.base import Choice, Event, Kit, Outbound, Sent
from connectors.ingress import Ingress
from connectors.simulators.wecom import WeComPlatform
from connectors.testing import InMemory, outbound
from connectors.wecom_app import WeComApp
from connectors.wecom_options import WeComAppOptions
from tests.wechat_shop import Clock, serving

CORP = "ww5823bf96d3bd56c7"
AGENT = 1000002
SECRET = "app-secret-0123456789"
TOKEN = "push-token-0123456789"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
MEMBER = "LiLei"
CHOICES = (Choice("claim", "认领"), Choice("next", "下一个"), Choice("resolve", "已解决"))


@dataclass
class Desk:
    """One channel between the simulated platform and the hub's door; *events* is what the door recorded."""

    platform: WeComPlatform
    clock: Clock
    http: aiohttp.ClientSession
    api_base: str
    memory: InMemory
    events: list[Any] = field(default_factory=list)
    shunted: list[str] = field(default_factory=list)
    name: str = "desk"
    secret_path: str | None = None

    def __post_init__(self) -> None:
        self.connector = self.process()

    def process(self, **options: Any) -> WeComApp:
        """Return the connector of one more hub process on the same memory."""
        settings = {
            "corp_id": CORP,
            "agent_id": AGENT,
            "secret": SECRET,
            "token": TOKEN,
            "encoding_aes_key": AES_KEY,
            "api_base": self.api_base,
            **options,
        }
        kit = Kit("desk", self.http, self.memory, "https://hub.example.com", self.clock)
        return WeComApp(WeComAppOptions.model_validate(settings), kit)

    async def record(self, channel: str, events: Sequence[Event]) -> None:
        """Keep *events*, as the hub's store would."""
        self.events += events

    async def shunt(self, channel: str, body: bytes, error: str, meta: object) -> None:
        """Keep what nobody understood."""
        self.shunted.append(error)

    def texts(self) -> list[str]:
        """Return what the member has received, in order."""
        return [message.text for message in self.platform.received[MEMBER]]

    async def send(self, text: str = "您好", **fields: Any) -> Sent:
        """Send the member a text."""
        return await self.connector.send(message(text, **fields))


def message(text: str = "", **fields: Any) -> Outbound:
    """Return a message for the member."""
    return outbound(address=f"wecom:{MEMBER}", text=text, **fields)


@contextlib.asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    """Open a channel whose two ends are served on loopback, for one member."""
    clock = Clock()
    platform = WeComPlatform(CORP, AGENT, SECRET, TOKEN, AES_KEY, now=clock)
    platform.corp.members.add(MEMBER)
    async with serving(platform.app) as api_base, aiohttp.ClientSession() as http:
        desk = Desk(platform, clock, http, api_base, InMemory(clock))
        ingress = Ingress(
            lambda: {"desk": desk},
            desk.record,
            desk.shunt,
            public_url="https://hub.example.com",
            now=clock,
            count=lambda *_: None,
        )
        async with serving(web.Server(ingress.hook)) as hub:
            platform.hub_url = f"{hub}/hooks/desk"
            yield desk
