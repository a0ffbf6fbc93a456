"""A whole hub for a test: real configuration files, a real store, the real HTTP server, in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp.test_utils import TestServer

import hub as root
from config.loading import Loaded, load
from config.reload import Live
from hub import Hub, kinds, now_ms, open_hub
from router.trial import prove
from tests.stores import PATIENCE

T = TypeVar("T")
TOKEN = "test-token-of-an-admin"
LIMIT = 40.0

TEAMS = """
teams:
  frontdesk: {name: 前台, members: [hanmeimei], assign: {strategy: manual}}
  aftersales: {name: 售后组, members: [lilei, hanmeimei], assign: {strategy: least-busy, capacity: 2}}
  complaints: {name: 投诉组, members: [lilei], assign: {strategy: round-robin, capacity: 5}}
agents:
  lilei: {name: 李雷, email: lilei@example.com}
  hanmeimei: {name: 韩梅梅, email: hanmeimei@example.com}
"""
ROUTES = """
default: {team: frontdesk}
routes:
  - name: complaint
    when: {text: {any_of: [投诉, 差评]}}
    set: {team: complaints, stage: complaint, priority: urgent, tags: [complaint], acknowledge: complaint-received}
  - name: refund
    when: {text: {any_of: [退款, 退货]}}
    set: {team: aftersales, stage: aftersale, tags: [refund]}
  - name: spam
    when: {text: {any_of: [加微信刷单]}}
    set: {ignore: spam}
"""
TEMPLATES = """
complaint-received: {zh: "您好 {{ contact.name || 顾客 }}，投诉已收到。", en: "We have received your complaint."}
thanks: {zh: "谢谢。", en: "Thank you."}
"""


@dataclass
class Stage:
    """A running hub and a client of its API."""

    hub: Hub
    http: aiohttp.ClientSession
    base: str
    folder: Path

    async def api(
        self, method: str, path: str, body: Any = None, *, token: str = TOKEN, status: int = 0, language: str = ""
    ) -> Any:
        """Call the API and return the decoded answer; *status* is the one that is expected (any below 300 if 0)."""
        headers = {"Authorization": f"Bearer {token}", **({"Accept-Language": language} if language else {})}
        async with self.http.request(method, f"{self.base}/api/v1{path}", json=body, headers=headers) as response:
            answer = await response.json(content_type=None)
            assert response.status == status if status else response.status < 300, (response.status, answer)
            return answer

    async def conversations(self, **query: str) -> list[dict[str, Any]]:
        """Return the list of conversations."""
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        found: list[dict[str, Any]] = (await self.api("GET", f"/conversations?{asked}"))["items"]
        return found

    async def messages(self, conversation: str) -> list[dict[str, Any]]:
        """Return a conversation's messages, oldest first."""
        answer = await self.api("GET", f"/conversations/{conversation}/messages?limit=200")
        return list(reversed(answer["items"]))


async def until(look: Callable[[], Awaitable[T]], seconds: float = LIMIT) -> T:
    """Return what *look* finds as soon as that is true; fail when it is not within *seconds*."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        found = await look()
        if found:
            return found
        assert loop.time() < deadline, f"waited {seconds} s in vain; the last look gave {found!r}"
        await asyncio.sleep(0)  # give way; every look asks the hub anew


def configuration(channels: str, *, port: int = 0, public_url: str = "", more: str = TEAMS) -> str:
    """Return the text of a huiliu.yaml."""
    return f"""
http: {{host: 127.0.0.1, port: {port}}}
public_url: {public_url or f"http://127.0.0.1:{port or 8080}"}
api_tokens:
  ops: {{token: {TOKEN}, role: admin}}
  reader: {{token: test-token-of-a-reader, role: readonly}}
  lilei: {{token: test-token-of-lilei, role: agent, agent: lilei}}
channels:
{channels or "  {}"}
{more}
templates: templates.yaml
routes: routes.yaml
"""


def write(folder: Path, text: str, *, routes: str = ROUTES, templates: str = TEMPLATES) -> Path:
    """Write a configuration into *folder* and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "routes.yaml").write_text(routes, encoding="utf-8")
    (folder / "templates.yaml").write_text(templates, encoding="utf-8")
    path = folder / "huiliu.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@asynccontextmanager
async def running(store_url: str, config: Path, *, index: int = 0) -> AsyncIterator[Stage]:
    """Run a hub on *store_url* with the configuration at *config*."""
    loaded = load(config, kinds, prove=prove)
    hubs: list[Hub] = []

    def take(new: Loaded) -> None:
        hubs[0].reloaded(new)

    live = Live(loaded, kinds, now=now_ms, prove=prove, on_change=take)
    hub = await open_hub(live, store_url, f"test-{index}")
    hubs.append(hub)
    hub.store._patience = PATIENCE
    for link in hub.store._links.values():
        link._patience = PATIENCE
    try:
        async with root.running(hub), aiohttp.ClientSession() as http:
            yield Stage(hub, http, f"http://127.0.0.1:{hub.serving.port}", config.parent)
    finally:
        await hub.store.close()


@asynccontextmanager
async def served(app: aiohttp.web.Application) -> AsyncIterator[str]:
    """Serve a platform's simulator on loopback and return its address."""
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()
