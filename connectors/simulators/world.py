"""The demo's world: a hub of its own in a directory that vanishes, and around it every platform, simulated.

The hub is the real program in a process of its own. It is reached only as in real life: by the
platforms' pushes, by IMAP and SMTP, by a visitor's socket, and by the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from connectors.simulators.mail import MailSimulator
from connectors.simulators.tiktok import TikTokPlatform
from connectors.simulators.twilio import TwilioPlatform
from connectors.simulators.wechat import WeChatPlatform

READY = 30.0
PATIENCE = 20.0
TOKEN = "demo-" + secrets.token_urlsafe(12)
SHOP_NUMBER = "+15005550006"
MAILBOX = "service@shop.example"

ROUTES = """\
default: {team: frontdesk, stage: presale}
routes:
  - name: complaint
    when: {text: {any_of: [投诉, 差评, "12315", complaint]}}
    set: {team: complaints, stage: complaint, priority: urgent, tags: [complaint], acknowledge: complaint-received}
  - name: refund
    when: {any: [{text: {any_of: [退款, 退货, 退钱, refund]}}, {subject: {any_of: [退款, 退货]}}]}
    set: {team: aftersales, stage: aftersale, tags: [refund]}
  - name: order
    when: {text: {any_of: [发货, 物流, 快递, where is my order]}}
    set: {team: frontdesk, stage: order}
  - name: advertising
    when: {text: {any_of: [代开发票]}}
    set: {ignore: advertising}
tests:
  - name: a complaint beats a refund
    message: {channel: shop-wechat, text: 不退款我就投诉到12315}
    expect: {team: complaints, route: complaint}
"""
TEMPLATES = """\
complaint-received:
  zh: 您好，您的投诉已收到，30 分钟内会有专人联系您。
  en: We have received your complaint; somebody will contact you within 30 minutes.
"""
TEAMS = """\
sla:
  standard: {first_reply: 30m, resolution: 24h}
teams:
  frontdesk: {name: 前台, members: [hanmeimei, xiaoming], sla: standard, assign: {strategy: round-robin, capacity: 20}}
  aftersales: {name: 售后组, members: [lilei, hanmeimei], sla: standard, assign: {strategy: least-busy, capacity: 8}}
  complaints: {name: 投诉组, members: [lilei], sla: standard, assign: {strategy: least-busy, capacity: 5}}
agents:
  lilei: {name: 李雷, email: lilei@shop.example}
  hanmeimei: {name: 韩梅梅, email: hanmeimei@shop.example}
  xiaoming: {name: 小明, email: xiaoming@shop.example}
templates: templates.yaml
routes: routes.yaml
"""


class HubFailed(Exception):
    """The hub ended or never became ready; the message ends with what it logged."""


@dataclass
class World:
    """All platforms, and the hub among them."""

    wechat: WeChatPlatform
    tiktok: TikTokPlatform
    twilio: TwilioPlatform
    mail: MailSimulator
    http: aiohttp.ClientSession
    port: int
    folder: Path
    log: Path
    visitors: list[Visitor] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The hub's address."""
        return f"http://127.0.0.1:{self.port}"

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the hub's API and return its answer. Raises `AssertionError` when it says no."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.http.request(method, f"{self.base}/api/v1{path}", json=body, headers=headers) as response:
            answer = await response.json(content_type=None)
            assert response.status < 300, f"{method} {path}: {response.status} {answer}"
            return answer

    async def visitor(self) -> Visitor:
        """Let somebody open the chat page."""
        async with self.http.post(f"{self.base}/chat/site-chat/hello", json={}) as response:
            hello = await response.json()
        headers = {"Authorization": f"Bearer {hello['token']}"}
        one = Visitor(await self.http.ws_connect(f"{self.base}/chat/site-chat/socket?after=0", headers=headers))
        one.reading = asyncio.create_task(one.read())
        self.visitors.append(one)
        return one


@dataclass
class Visitor:
    """Somebody on the shop's site: a real socket to the chat page's door."""

    socket: aiohttp.ClientWebSocketResponse
    received: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    reading: asyncio.Task[None] | None = None

    async def write(self, text: str) -> str:
        """Send a message and return its id."""
        name = secrets.token_hex(8)
        await self.socket.send_str(json.dumps({"type": "message", "id": name, "text": text}))
        return name

    async def read(self) -> None:
        """Take what comes and say that it was seen."""
        async for frame in self.socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            item = json.loads(frame.data)
            if item.get("type") == "ack" and item.get("id"):
                self.acknowledged.add(item["id"])
            elif item.get("type") == "message" and not item.get("own"):
                self.received.append(item)
                await self.socket.send_str(json.dumps({"type": "read", "upto": item["n"]}))


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve a platform on loopback and return its address."""
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Build everything and start the hub. Raises `HubFailed`."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="huiliu-demo-")))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        aes = secrets.token_hex(22)[:43]
        wechat = WeChatPlatform("wxdemo0123456789ab", "demo-app-secret", "demopushtoken", aes_key=aes)
        tiktok = TikTokPlatform("demoappkey", "demo-app-secret", "GCP_demo")
        account = "AC" + "0" * 32
        twilio = TwilioPlatform(
            account, "demo-auth-token", f"{base}/hooks/shop-sms", numbers=(SHOP_NUMBER,), automatic=True
        )
        mail = await stack.enter_async_context(MailSimulator(MAILBOX, "demo-password"))
        wechat_url = await stack.enter_async_context(served(wechat.app))
        tiktok_url = await stack.enter_async_context(served(tiktok.app))
        twilio.api_url = await stack.enter_async_context(served(twilio.app))
        twilio.store_url = await stack.enter_async_context(served(twilio.store))
        wechat.hub_url, tiktok.hub_url = f"{base}/hooks/shop-wechat", f"{base}/hooks/shop-tiktok"
        channels = {
            "shop-wechat": {
                "kind": "wechat",
                "app_id": "wxdemo0123456789ab",
                "app_secret": "demo-app-secret",
                "token": "demopushtoken",
                "encoding_aes_key": aes,
                "api_base": wechat_url,
            },
            "shop-tiktok": {
                "kind": "tiktok-shop",
                "app_key": "demoappkey",
                "app_secret": "demo-app-secret",
                "shop_cipher": "GCP_demo",
                "access_token": tiktok.access_token,
                "refresh_token": tiktok.refresh_token,
                "api_base": tiktok_url,
                "auth_base": tiktok_url,
            },
            "shop-sms": {
                "kind": "twilio-sms",
                "account_sid": account,
                "auth_token": "demo-auth-token",
                "from_number": SHOP_NUMBER,
                "api_base": twilio.api_url,
            },
            "service-mail": {"kind": "email", "name": "示例商城", **mail.options()},
            "site-chat": {"kind": "webchat", "allowed_origins": [base]},
        }
        settings = {
            "http": {"host": "127.0.0.1", "port": port},
            "public_url": base,
            "store": {"path": "var"},
            "api_tokens": {"demo": {"token": TOKEN, "role": "admin", "agent": "lilei"}},
            "channels": channels,
        }
        (folder / "routes.yaml").write_text(ROUTES, encoding="utf-8")
        (folder / "templates.yaml").write_text(TEMPLATES, encoding="utf-8")
        # JSON is YAML, so what the demo computes needs no YAML writer; what a person would write stays readable.
        computed = "\n".join(f"{key}: {json.dumps(part, ensure_ascii=False)}" for key, part in settings.items())
        (folder / "huiliu.yaml").write_text(f"{computed}\n{TEAMS}", encoding="utf-8")
        log = folder / "logs" / "hub.log"  # not beside the configuration, where the hub watches for changes
        log.parent.mkdir()
        await stack.enter_async_context(hub_process(folder / "huiliu.yaml", log, http, base))
        made = World(wechat, tiktok, twilio, mail, http, port, folder, log)
        stack.push_async_callback(leave, made)
        yield made


async def leave(made: World) -> None:
    """Let the visitors go and the platforms end their calls."""
    for one in made.visitors:
        await one.socket.close()
        if one.reading is not None:
            one.reading.cancel()
            await asyncio.gather(one.reading, return_exceptions=True)
    await made.wechat.close()


@contextlib.asynccontextmanager
async def hub_process(config: Path, log: Path, http: aiohttp.ClientSession, base: str) -> AsyncIterator[None]:
    """Run `huiliu run` until the context ends. Raises `HubFailed`."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hub", "-c", str(config), "run"),
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )
    try:
        await ready(process, log, http, base)
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(PATIENCE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def ready(process: asyncio.subprocess.Process, log: Path, http: aiohttp.ClientSession, base: str) -> None:
    """Wait until the hub says that it is ready. Raises `HubFailed`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY
    while loop.time() < deadline and process.returncode is None:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{base}/readyz") as response:
                if response.status == 200:
                    return
        await asyncio.sleep(0.05)
    story = await asyncio.to_thread(log.read_text, encoding="utf-8", errors="replace")
    raise HubFailed(f"the hub did not become ready:\n{story[-4000:]}")
