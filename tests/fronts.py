"""Every kind of channel whose platform has a simulator, as its customers use it: one shop, one clock."""

from __future__ import annotations

import contextlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp

from connectors.simulators.mail import MailSimulator
from connectors.simulators.tiktok import TikTokPlatform
from connectors.simulators.twilio import TwilioPlatform
from connectors.simulators.wechat import WeChatPlatform
from connectors.simulators.wecom import WeComPlatform
from tests.hubs import Stage, served

Now = Callable[[], int]
CORP = "ww5823bf96d3bd56c7"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
ACCOUNT = "AC" + "0" * 32
SHOP_NUMBER = "+15005550006"


class Front(ABC):
    """One channel with its platform. Customers have numbers; *channel* is its name in the configuration."""

    channel: str

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Return the channel as it stands in the configuration."""

    @abstractmethod
    def address(self, number: int) -> str:
        """Return the address of a customer."""

    @abstractmethod
    async def act(self, number: int, chance: random.Random) -> None:
        """Let a customer write, or do what else customers do there."""

    @abstractmethod
    def refused(self) -> list[str]:
        """Return what the platform refused to send; that it asked for patience, or for a new token, does not count."""

    @abstractmethod
    async def join(self, stage: Stage) -> None:
        """Learn where the hub listens."""


class WeChatFront(Front):
    """A service account: messages, menus, follows and unfollows, each with its own right to answer."""

    channel = "shop-wechat"
    TOKENS = frozenset({-1, 40001, 41001, 42001, 45009, 45011})

    def __init__(self, platform: WeChatPlatform, api_base: str) -> None:
        self.platform, self._api_base = platform, api_base
        self._silent: set[int] = set()

    def options(self) -> dict[str, Any]:
        keys = {"app_id": "wxba5fad812f8e6fb9", "app_secret": "s3cret-of-the-app", "token": "pushtoken"}
        return {"kind": "wechat", **keys, "api_base": self._api_base}

    def address(self, number: int) -> str:
        return f"wechat:{self._openid(number)}"

    async def act(self, number: int, chance: random.Random) -> None:
        openid = self._openid(number)
        if number in self._silent:
            self._silent.discard(number)
            await self.platform.follow(openid)
            return
        match chance.choices(("write", "menu", "scan", "unfollow"), (12, 4, 1, 1))[0]:
            case "menu":
                await self.platform.menu(openid, "help")
            case "scan":
                await self.platform.scan(openid, "door")
            case "unfollow" if openid in self.platform.account.customers:
                self._silent.add(number)
                await self.platform.unfollow(openid)
            case _:
                await self.platform.write(openid, chance.choice(("在吗", "我要退款", "谢谢")))

    def refused(self) -> list[str]:
        return [f"{call} {code}" for call, code in self.platform.refused if code not in self.TOKENS]

    async def join(self, stage: Stage) -> None:
        self.platform.hub_url = f"{stage.base}/hooks/{self.channel}"

    @staticmethod
    def _openid(number: int) -> str:
        return f"o9AgO5Kd5ggOC-customer-{number:05}"


class SmsFront(Front):
    """A number at Twilio."""

    channel = "shop-sms"

    def __init__(self, platform: TwilioPlatform) -> None:
        self.platform = platform

    def options(self) -> dict[str, Any]:
        keys = {"account_sid": ACCOUNT, "auth_token": "twilio-token", "from_number": SHOP_NUMBER}
        return {"kind": "twilio-sms", **keys, "api_base": self.platform.api_url, "rate": 80}

    def address(self, number: int) -> str:
        return f"tel:{self._phone(number)}"

    async def act(self, number: int, chance: random.Random) -> None:
        await self.platform.write(self._phone(number), chance.choice(("hello", "where is my parcel?", "你好")))

    def refused(self) -> list[str]:
        return [str(code) for code in self.platform.refused if code != 20429]

    async def join(self, stage: Stage) -> None:
        self.platform._hub_url = stage.base

    @staticmethod
    def _phone(number: int) -> str:
        return f"+861380{number:07}"


class MailFront(Front):
    """A mailbox."""

    channel = "service-mail"

    def __init__(self, provider: MailSimulator) -> None:
        self.provider = provider
        self._written: dict[int, int] = {}

    def options(self) -> dict[str, Any]:
        return {"kind": "email", "backfill": "1d", **self.provider.options()}

    def address(self, number: int) -> str:
        return f"mailto:customer-{number}@example.com"

    async def act(self, number: int, chance: random.Random) -> None:
        count = self._written[number] = self._written.get(number, 0) + 1
        head = f"From: customer-{number}@example.com\r\nTo: {self.provider.address}\r\nSubject: order {number}\r\n"
        head += f"Message-ID: <{number}.{count}@example.com>\r\n"
        if count > 1:
            head += f"In-Reply-To: <{number}.1@example.com>\r\nReferences: <{number}.1@example.com>\r\n"
        await self.provider.deliver(f"{head}\r\nhello {chance.random()}\r\n".encode())

    def refused(self) -> list[str]:
        return self.provider.refused

    async def join(self, stage: Stage) -> None:
        """The hub asks the mailbox; the mailbox need not know it."""


class TikTokFront(Front):
    """A shop on TikTok."""

    channel = "shop-tiktok"
    SENDS = frozenset({45101002, 45101003, 45101004, 45101006, 45102007})

    def __init__(self, platform: TikTokPlatform, api_base: str) -> None:
        self.platform, self._api_base = platform, api_base

    def options(self) -> dict[str, Any]:
        keys = {"app_key": "appkey", "app_secret": "tiktok-secret", "shop_cipher": "GCP_test", "rate": 40}
        tokens = {"access_token": self.platform.access_token, "refresh_token": self.platform.refresh_token}
        return {"kind": "tiktok-shop", **keys, **tokens, "api_base": self._api_base, "auth_base": self._api_base}

    def address(self, number: int) -> str:
        return f"tiktok:{self.platform.conversation(f'buyer-{number}').im_user_id}"

    async def act(self, number: int, chance: random.Random) -> None:
        await self.platform.write(f"buyer-{number}", chance.choice(("hi", "is this in stock?", "还有货吗")))

    def refused(self) -> list[str]:
        return [str(code) for code in self.platform.refused if code in self.SENDS]

    async def join(self, stage: Stage) -> None:
        self.platform.hub_url = f"{stage.base}/hooks/{self.channel}"


class ChatFront(Front):
    """The hub's own web chat; its platform is the connector itself, which takes what it says it takes."""

    channel = "site-chat"

    def __init__(self) -> None:
        self._tokens: dict[int, str] = {}
        self._visitors: dict[int, str] = {}
        self._said = 0

    def options(self) -> dict[str, Any]:
        return {"kind": "webchat", "allowed_origins": []}

    def address(self, number: int) -> str:
        return f"visitor:{self._visitors[number]}"

    async def act(self, number: int, chance: random.Random) -> None:
        self._said += 1
        said = {"type": "message", "id": f"message-{self._said}", "text": chance.choice(("hi", "你好", "help"))}
        headers = {"Authorization": f"Bearer {self._tokens[number]}"}
        async with self._http.post(f"{self._base}/frames", data=json.dumps(said), headers=headers) as response:
            assert response.status == 200, await response.text()

    def refused(self) -> list[str]:
        return []

    async def join(self, stage: Stage) -> None:
        self._http: aiohttp.ClientSession = stage.http
        self._base = f"{stage.base}/chat/{self.channel}"

    async def enter(self, number: int) -> None:
        """Let a visitor open the page."""
        async with self._http.post(f"{self._base}/hello", json={}) as response:
            hello = await response.json()
        self._tokens[number], self._visitors[number] = hello["token"], hello["visitor"]


class WeComFront(Front):
    """An app of the company itself: colleagues write and open its chat."""

    channel = "staff-desk"
    TOKENS = frozenset({-1, 40014, 41001, 42001, 45009})

    def __init__(self, platform: WeComPlatform, api_base: str) -> None:
        self.platform, self._api_base = platform, api_base

    def options(self) -> dict[str, Any]:
        keys = {"corp_id": CORP, "agent_id": 1000002, "secret": "app-secret", "token": "pushtoken"}
        return {"kind": "wecom-app", **keys, "encoding_aes_key": AES_KEY, "api_base": self._api_base}

    def address(self, number: int) -> str:
        return f"wecom:member-{number}"

    async def act(self, number: int, chance: random.Random) -> None:
        if chance.random() < 0.1:
            await self.platform.enter(f"member-{number}")
        await self.platform.write(f"member-{number}", chance.choice(("打印机坏了", "在吗", "which shelf?")))

    def refused(self) -> list[str]:
        return [f"{call} {code}" for call, code in self.platform.refused if code not in self.TOKENS]

    async def join(self, stage: Stage) -> None:
        self.platform.hub_url = f"{stage.base}/hooks/{self.channel}"


@asynccontextmanager
async def wecom(now: Now) -> AsyncIterator[Front]:
    platform = WeComPlatform(CORP, 1000002, "app-secret", "pushtoken", AES_KEY, now=now)
    async with served(platform.app) as api_base:
        yield WeComFront(platform, api_base)


@asynccontextmanager
async def wechat(now: Now) -> AsyncIterator[Front]:
    platform = WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken", now=now)
    async with served(platform.app) as api_base:
        yield WeChatFront(platform, api_base)


@asynccontextmanager
async def sms(now: Now) -> AsyncIterator[Front]:
    webhook = f"http://127.0.0.1:8080/hooks/{SmsFront.channel}"
    platform = TwilioPlatform(ACCOUNT, "twilio-token", webhook, numbers=(SHOP_NUMBER,), now=now)
    async with served(platform.app) as platform.api_url, served(platform.store) as platform.store_url:
        yield SmsFront(platform)


@asynccontextmanager
async def mail(_: Now) -> AsyncIterator[Front]:
    async with MailSimulator("service@shop.example", "mail-password") as provider:
        yield MailFront(provider)


@asynccontextmanager
async def tiktok(now: Now) -> AsyncIterator[Front]:
    platform = TikTokPlatform("appkey", "tiktok-secret", "GCP_test", now=now, quota=10**9)
    async with served(platform.app) as api_base:
        yield TikTokFront(platform, api_base)


@asynccontextmanager
async def chat(_: Now) -> AsyncIterator[Front]:
    yield ChatFront()


FRONTS: dict[str, Callable[[Now], AbstractAsyncContextManager[Front]]] = {
    "email": mail,
    "tiktok-shop": tiktok,
    "twilio-sms": sms,
    "webchat": chat,
    "wechat": wechat,
    "wecom-app": wecom,
}
"""By kind. A connector whose platform has a simulator joins the run by standing here."""


@asynccontextmanager
async def fronts(now: Now) -> AsyncIterator[list[Front]]:
    """Open every platform."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_one(now)) for open_one in FRONTS.values()]
