"""Search through the whole hub: from a customer's words to the answer of the API, for whom it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from connectors.base import Message
from inbox import caretaker
from inbox.embedded import children
from inbox.generations import Generations
from inbox.indexer import NICE, Indexer
from inbox.search import forget
from tests.hubs import Stage, configuration, running, until, write

AT = 1_763_700_000_000
CHANNEL = "  shop: {kind: webchat, allowed_origins: ['https://shop.example.com']}"
TEAMS = """
teams:
  frontdesk: {name: 前台, members: [hanmeimei], assign: {strategy: manual}}
  aftersales: {name: 售后组, members: [lilei], assign: {strategy: manual}}
  complaints: {name: 投诉组, members: [hanmeimei], restricted: true, assign: {strategy: manual}}
agents:
  lilei: {name: 李雷}
  hanmeimei: {name: 韩梅梅}
search: {index: %s}
store: {path: %s}
"""


async def say(stage: Stage, customer: str, text: str, number: int = 0) -> None:
    """Let a customer write."""
    message = Message(f"{customer}-{number}", f"visitor:{customer}", AT + number, text, name=f"客户{customer}")
    await stage.hub.recorder.record("shop", [message])


@pytest.fixture(autouse=True)
def _not_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that a hub starts beside itself is tried in a test of its own."""
    monkeypatch.setattr(caretaker, "LATER", 3600.0)


@contextlib.asynccontextmanager
async def shop(store_url: str, tmp_path: Path, *, index: bool = True) -> AsyncIterator[Stage]:
    """Run a hub; its index is kept in this process, so that no test waits for a process of low priority."""
    var = tmp_path / "var"
    text = configuration(CHANNEL, more=TEAMS % (str(index).lower(), var))
    async with running(store_url, write(tmp_path, text)) as stage:
        stage.hub.search._hurry = lambda: None
        if not index:
            yield stage
            return
        indexer = Indexer(stage.hub.store, Generations(var / "search"), stage.hub.caretaker.machine)
        task = asyncio.create_task(indexer.run())
        try:
            yield stage
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            indexer.close()


async def search(stage: Stage, text: str, more: str = "", **given: Any) -> list[str]:
    """Return the texts of the messages that are found."""
    answer = await stage.api("GET", f"/search?q={quote(text)}{more}", **given)
    return [one["message"]["text"] for one in answer["items"]]


async def listed(stage: Stage, text: str, more: str = "", **given: Any) -> list[str]:
    """Return the names of the customers whose conversations are found."""
    answer = await stage.api("GET", f"/conversations?q={quote(text)}{more}", **given)
    return [one["contact"]["name"] for one in answer["items"]]


async def test_messages_and_conversations_are_found_by_any_part_of_their_words(store_url: str, tmp_path: Path) -> None:
    """Two characters, an order's number, traditional for simplified: each finds its message, and its conversation."""
    async with shop(store_url, tmp_path) as stage:
        for number, text in enumerate(["我要退款，订单 4200123", "頭髮很長", "Where is my ORDER?", "退货退款"]):
            await say(stage, "abcd"[number], text, number)
            await until(partial(search, stage, text))
        assert await search(stage, "退款") == ["退货退款", "我要退款，订单 4200123"]
        assert await search(stage, "头发") == ["頭髮很長"]
        assert await search(stage, "2001") == ["我要退款，订单 4200123"]
        assert await search(stage, "order") == ["Where is my ORDER?"]
        assert await search(stage, "退款", "&limit=1") == ["退货退款"]
        assert await listed(stage, "头发") == ["客户b"]
        assert await listed(stage, "客户c") == ["客户c"]
        assert await listed(stage, "visitor:d") == ["客户d"]
        assert sorted(await listed(stage, "退款")) == ["客户a", "客户d"]
        [found] = (await stage.api("GET", f"/search?q={quote('订单')}"))["items"]
        assert found["snippet"] == [
            {"text": "我要退款，", "hit": False},
            {"text": "订单", "hit": True},
            {"text": " 4200123", "hit": False},
        ]
        assert found["conversation"]["id"] == found["message"]["conversation"]


async def test_pages_follow_each_other(store_url: str, tmp_path: Path) -> None:
    """Every hit comes once, the latest first, whatever the size of a page."""
    async with shop(store_url, tmp_path) as stage:
        for number in range(7):
            await say(stage, f"u{number}", f"退款 {number}", number)
            await until(partial(search, stage, f"退款 {number}"))
        for path in ("/search", "/conversations"):
            seen: list[str] = []
            cursor = ""
            while True:
                page = await stage.api("GET", f"{path}?q={quote('退款')}&limit=3&cursor={cursor}")
                seen += [(one.get("message") or one)["id"] for one in page["items"]]
                cursor = page["next"] or ""
                if not cursor:
                    break
            assert len(seen) == len(set(seen)) == 7, path


async def test_nobody_finds_what_they_may_not_see(store_url: str, tmp_path: Path) -> None:
    """A restricted team's messages are found by its members only, also before the index knows that they are its."""
    async with shop(store_url, tmp_path) as stage:
        await say(stage, "a", "退款 秘密")
        await until(lambda: search(stage, "退款"))
        [conversation] = await stage.conversations()
        assert await search(stage, "退款", token="test-token-of-lilei") == ["退款 秘密"]
        await stage.api("POST", f"/conversations/{conversation['id']}/assign", {"team": "complaints"})
        for look in (search, listed):
            assert await look(stage, "退款", token="test-token-of-lilei") == []
            assert await look(stage, "退款", "&team=complaints", token="test-token-of-lilei") == []
            assert await look(stage, "退款")


async def test_filters_hold_as_conversations_stand(store_url: str, tmp_path: Path) -> None:
    """What a search is narrowed to follows the work on a conversation."""
    async with shop(store_url, tmp_path) as stage:
        await say(stage, "a", "退款")
        await until(lambda: search(stage, "退款"))
        one = f"/conversations/{(await stage.conversations())[0]['id']}"
        await stage.api("POST", f"{one}/assign", {"team": "aftersales", "agent": "lilei"})
        await stage.api("POST", f"{one}/tags", {"add": ["vip"]})
        await stage.api("POST", f"{one}/notes", {"text": "退款已批"})
        await until(lambda: search(stage, "退款", "&tag=vip&team=aftersales&agent=lilei&direction=note"))
        for more, count in (
            ("&kind=webchat&channel=shop&status=open", 2),
            ("&agent=me", 0),
            ("&since=2025-11-21T00:00:00Z&until=2025-11-22T00:00:00Z", 1),
            ("&tag=vi", 0),
            ("&status=resolved", 0),
        ):
            assert len(await search(stage, "退款", more)) == count, more
        assert len(await search(stage, "退款", "&agent=me", token="test-token-of-lilei")) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/search", "/search?q=%20", "/search?q=" + "x" * 300, "/search?q=a&status=lost", "/search?q=a&since=now",
        "/search?q=a&direction=up", "/search?q=a&cursor=x", "/search?q=a&limit=0", "/conversations?q=" + "x" * 300,
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_said(store_url: str, tmp_path: Path, path: str) -> None:
    """A bad parameter is a 400 that names it, and no fault of the hub."""
    async with shop(store_url, tmp_path) as stage:
        assert (await stage.api("GET", path, status=400))["title"] == "Bad parameter"


async def test_the_index_is_the_supervisors_and_admins_matter(store_url: str, tmp_path: Path) -> None:
    """It tells how it stands, is built anew on request, and its figures are metrics."""
    async with shop(store_url, tmp_path) as stage:
        await say(stage, "a", "退款")
        await until(lambda: search(stage, "退款"))

        async def ready() -> dict[str, Any] | None:
            items = (await stage.api("GET", "/search/index"))["items"]
            return items[0] if items and items[0]["state"] == "ready" and items[0]["messages"] else None

        before = await until(ready)
        assert before is not None
        await stage.api("GET", "/search/index", token="test-token-of-lilei", status=403)
        await stage.api("POST", "/search/rebuild", {}, token="test-token-of-lilei", status=403)
        assert await stage.api("POST", "/search/rebuild", {}, status=202) == {"state": "rebuilding"}

        async def younger() -> bool:
            now = await ready()
            return now is not None and now["built_at"] > before["built_at"]

        await until(younger)
        assert (await stage.api("GET", f"/search?q={quote('退款')}"))["complete"]
        async with stage.http.get(f"{stage.base}/metrics") as response:
            text = await response.text()
        assert 'huiliu_search_messages{machine="' in text


async def test_erased_is_not_found(store_url: str, tmp_path: Path) -> None:
    """After `forget` neither the messages nor the name of a customer are found."""
    async with shop(store_url, tmp_path) as stage:
        await say(stage, "a", "秘密 退款")
        await until(lambda: search(stage, "秘密"))
        name = (await stage.conversations())[0]["id"]
        await forget(stage.hub.store, [name], AT)

        async def gone() -> bool:
            return not await search(stage, "秘密")

        await until(gone)


async def test_without_an_index_lists_look_at_conversations_alone(store_url: str, tmp_path: Path) -> None:
    """Where no index is wanted, names and addresses are still found, and searching for messages says why not."""
    async with shop(store_url, tmp_path, index=False) as stage:
        await say(stage, "a", "退款")
        await until(lambda: listed(stage, "客户a"))
        assert await listed(stage, "退款") == []
        assert "search.index" in (await stage.api("GET", "/search?q=a", status=409))["detail"]
        await stage.api("POST", "/search/rebuild", {}, status=409)


async def test_whom_the_index_does_not_know_yet_is_listed(store_url: str, tmp_path: Path) -> None:
    """While its keeper is away the index falls behind; the latest conversations are found without it, and once."""
    async with shop(store_url, tmp_path) as stage:
        for number, who in enumerate("cda"):
            await say(stage, who, "我要退款", number)
            await until(partial(listed, stage, f"visitor:{who}"))

        async def indexed() -> bool:
            return len(await listed(stage, "退款")) == 3

        await until(indexed)
    async with running(store_url, tmp_path / "huiliu.yaml") as stage:
        stage.hub.search._hurry = lambda: None
        await say(stage, "b", "在吗", 9)
        await until(lambda: listed(stage, "客户b"))
        assert await listed(stage, "visitor:b") == ["客户b"]
        assert await listed(stage, "客户") == ["客户b", "客户a", "客户d", "客户c"]
        assert await listed(stage, "退款") == ["客户a", "客户d", "客户c"]
        for size, pages in ((1, ["b", "a", "d", "c"]), (2, ["ba", "dc"]), (3, ["bad", "c"])):
            assert await _pages(stage, "客户", size) == [[f"客户{who}" for who in page] for page in pages]


async def _pages(stage: Stage, text: str, size: int) -> list[list[str]]:
    """Return the names of the customers whose conversations are found, page by page."""
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await stage.api("GET", f"/conversations?q={quote(text)}&limit={size}&cursor={quote(cursor)}")
        pages.append([one["contact"]["name"] for one in page["items"]])
        cursor = page["next"]
    return [page for page in pages if page]


async def test_the_hub_keeps_the_index_in_a_process_of_its_own(store_url: str, tmp_path: Path) -> None:
    """A hub that is searched starts the keeper of the index, and takes it along when it ends."""
    text = configuration(CHANNEL, more=TEAMS % ("true", tmp_path / "var"))
    async with running(store_url, write(tmp_path, text)) as stage:
        await say(stage, "a", "退款")
        await until(lambda: search(stage, "退款"), 60)
    async with running(store_url, tmp_path / "huiliu.yaml") as stage:
        await say(stage, "a", "退货", 1)
        await until(lambda: search(stage, "退货"), 60)
        assert await search(stage, "退款") == ["退款"]


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="how processes are scheduled cannot be asked here")
async def test_the_keeper_of_the_index_stands_back(store_url: str, tmp_path: Path) -> None:
    """It wakes up in nobody's place, and yet does not wait until a busy machine has nothing else to do."""
    text = configuration(CHANNEL, more=TEAMS % ("true", tmp_path / "var"))
    async with running(store_url, write(tmp_path, text)) as stage:
        stage.hub.search._hurry()
        assert os.getpriority(os.PRIO_PROCESS, 0) < NICE
        await until(partial(asyncio.to_thread, _keeper_stands_back), 60)


def _keeper_stands_back() -> bool:
    for pid in children(os.getpid()):
        with contextlib.suppress(OSError):  # it has ended
            if b"inbox.indexer" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return os.getpriority(os.PRIO_PROCESS, pid) == NICE and os.sched_getscheduler(pid) == os.SCHED_BATCH
    return False
