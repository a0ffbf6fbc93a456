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

from connectors.simulators.aliyun import AliyunPlatform, Approved
from connectors.simulators.mail import MailSimulator
from connectors.simulators.tiktok import TikTokPlatform
from connectors.simulators.twilio import TwilioPlatform
from connectors.simulators.wechat import WeChatPlatform
from connectors.simulators.wecom import WeComPlatform

READY = 60.0
PATIENCE = 20.0
TOKEN = "demo-" + secrets.token_urlsafe(12)
PASSWORD = "demo-" + secrets.token_urlsafe(9)
PEOPLE = {"lilei": "agent", "hanmeimei": "agent", "wangfang": "supervisor", "boss": "admin"}
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
greeting:
  text: {zh: 您好，请问有什么可以帮您？, en: "Hello, how can we help?"}
  for_agents: true
parcel:
  text: {zh: "您的包裹已发出，一般三天内送达。", en: "Your parcel is on its way; it usually takes three days."}
  for_agents: true
complaint-received:
  zh: 您好，您的投诉已收到，30 分钟内会有专人联系您。
  en: We have received your complaint; somebody will contact you within 30 minutes.
"""
SURVEYS = """\
csat:
  title: {zh: 服务满意度, en: "How was our service?"}
  purpose: 演示 / demo
  owner: 前台
  trigger: {on: resolved}
  follow_up: {below: 3, team: complaints, priority: urgent}
  platform:
    wechat: {template_id: asked-1, data: {first: "{{ contact.name || 您好 }}", keyword1: "{{ conversation.id }}"}}
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
surveys: surveys.yaml
"""


class HubFailed(Exception):
    """The hub ended or never became ready; the message ends with what it logged."""


@dataclass
class World:
    """All platforms, and the hub among them."""

    wechat: WeChatPlatform
    tiktok: TikTokPlatform
    twilio: TwilioPlatform
    aliyun: AliyunPlatform
    mail: MailSimulator
    wecom: WeComPlatform
    http: aiohttp.ClientSession
    port: int
    folder: Path
    log: Path
    program: HubProgram
    visitors: list[Visitor] = field(default_factory=list)
    survey_page: str = ""

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

    async def people(self) -> None:
        """Let the people of the shop sign in at the console: agents, and somebody who may do everything."""
        for name, role in PEOPLE.items():
            made = await self.api("POST", "/people", {"id": name, "role": role})
            await self.api("POST", "/session/password", {"token": made["token"], "password": PASSWORD})

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

    async def write(self, text: str, choice: str = "") -> str:
        """Send a message, or the label of a choice that was pressed, and return its id."""
        name = secrets.token_hex(8)
        frame = {"type": "message", "id": name, "text": text, **({"choice": choice} if choice else {})}
        await self.socket.send_str(json.dumps(frame))
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
        secret_path = secrets.token_hex(16)
        carrier = {"SMS_100000001": Approved("您好，客服回复：${content}，如有疑问请直接回复本短信。")}
        aliyun = AliyunPlatform(
            "demo-key-id", "demo-key-secret", f"{base}/hooks/sms-cn/{secret_path}", templates=carrier
        )
        mail = await stack.enter_async_context(MailSimulator(MAILBOX, "demo-password"))
        wecom_aes = secrets.token_hex(22)[:43]
        wecom = WeComPlatform("wwdemo0123456789ab", 1000002, "demo-app-secret", "demopushtoken", wecom_aes)
        wechat_url = await stack.enter_async_context(served(wechat.app))
        tiktok_url = await stack.enter_async_context(served(tiktok.app))
        twilio.api_url = await stack.enter_async_context(served(twilio.app))
        twilio.store_url = await stack.enter_async_context(served(twilio.store))
        aliyun_url = await stack.enter_async_context(served(aliyun.app))
        wecom_url = await stack.enter_async_context(served(wecom.app))
        wecom.hub_url = f"{base}/hooks/staff-desk"
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
            "sms-cn": {
                "kind": "aliyun-sms",
                "access_key_id": "demo-key-id",
                "access_key_secret": "demo-key-secret",
                "sign_name": "示例商城",
                "secret_path": secret_path,
                "reply_template": {"code": "SMS_100000001"},
                "api_base": aliyun_url,
            },
            "service-mail": {"kind": "email", "name": "示例商城", "backfill": "1d", **mail.options()},
            "staff-desk": {
                "kind": "wecom-app",
                "corp_id": "wwdemo0123456789ab",
                "agent_id": 1000002,
                "secret": "demo-app-secret",
                "token": "demopushtoken",
                "encoding_aes_key": wecom_aes,
                "api_base": wecom_url,
            },
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
        (folder / "surveys.yaml").write_text(SURVEYS, encoding="utf-8")
        # JSON is YAML, so what the demo computes needs no YAML writer; what a person would write stays readable.
        computed = "\n".join(f"{key}: {json.dumps(part, ensure_ascii=False)}" for key, part in settings.items())
        (folder / "huiliu.yaml").write_text(f"{computed}\n{TEAMS}", encoding="utf-8")
        log = folder / "logs" / "hub.log"  # not beside the configuration, where the hub watches for changes
        log.parent.mkdir()
        program = HubProgram(folder / "huiliu.yaml", log, http, base)
        stack.push_async_callback(program.stop)
        await program.start()
        made = World(wechat, tiktok, twilio, aliyun, mail, wecom, http, port, folder, log, program)
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
    await made.wecom.close()


@dataclass
class HubProgram:
    """`huiliu run` in a process of its own, which can be stopped and started again."""

    config: Path
    log: Path
    http: aiohttp.ClientSession
    base: str
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises `HubFailed`."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hub", "-c", str(self.config), "run"),
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
                start_new_session=True,
            )
        await ready(self.process, self.log, self.http, self.base)

    async def stop(self) -> None:
        """Let it end, and end it if it does not."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


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
