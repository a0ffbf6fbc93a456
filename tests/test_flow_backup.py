"""Backups of a hub that goes on serving, and hubs that begin again from one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis.asyncio

from config.loading import partial_settings
from connectors.base import Media, Message
from connectors.simulators.wechat import WeChatPlatform
from hub import now_ms
from inbox import caretaker
from inbox.backup import Origin, make
from inbox.backup_file import Manifest
from inbox.directory import DATA
from inbox.embedded import Embedded, Unfinished
from inbox.generations import Generations
from inbox.indexer import Indexer
from inbox.opening import Unfit, open_store
from inbox.partitions import COUNT, key, tag
from inbox.restore import NotEmpty, Target, restore
from inbox.store import Store, Topology
from outbox.records import NotNow
from outbox.withholding import Withholding
from router.scripts import SCRIPTS
from tests.hubs import TEAMS, Stage, configuration, running, served, until, write
from tests.stores import StoreUnderTest

CHAT = "  shop: {kind: webchat, allowed_origins: ['https://shop.example.com']}"
WECHAT = (
    "  shop-wechat: {{kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app, token: pushtoken, "
    "api_base: '{base}'}}"
)
NOBODY = "http://127.0.0.1:9"
OPENID = "o9AgO5Kd5ggOC-bXrbNODIiE3bGY"
HOUR = 3_600_000


@pytest.fixture(autouse=True)
def _not_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that keeps a search index is not what this is about."""
    monkeypatch.setattr(caretaker, "LATER", 3600.0)


def silent(step: str, done: int) -> None:
    """Hear of progress and say nothing."""


@dataclass
class Shops:
    """Shops with configurations of their own below *folder*: the one that is lost, and those that come after it."""

    folder: Path

    def config(self, name: str, channels: str = CHAT) -> Path:
        """Write the configuration of the shop *name*, whose store lies beside it."""
        return write(self.folder / name, configuration(channels, more=f"{TEAMS}\nstore: {{path: var}}\n"))

    def target(self, name: str, url: str = "embedded") -> Target:
        """Return where the shop *name* keeps everything."""
        path = self.folder / name / "store.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"store: {{url: {url}, path: var}}\n", encoding="utf-8")
        return Target(partial_settings(path, ("store", "attachments")))

    async def back_up(self, url: str, name: str = "lost") -> tuple[Path, Manifest]:
        """Back up the store at *url* with the attachments of the shop *name*."""
        file = self.folder / f"{time.monotonic_ns()}.tar"
        origin = Origin(url, self.folder / name / "var" / "attachments")
        return file, await make(origin, file, silent)

    async def restore(self, file: Path, target: Target, *, send: bool = False) -> int:
        """Restore as the command does; return how many deliveries wait for a person."""
        now = now_ms()

        async def afterwards(store: Store) -> int:
            return 0 if send else await Withholding(store, "en", now).withhold()

        return (await restore(file, target, now, silent, afterwards))[1]

    @contextlib.asynccontextmanager
    async def reopened(self, name: str, channels: str = CHAT) -> AsyncIterator[Stage]:
        """Run a hub on the embedded store of the shop *name*, as a restore has left it."""
        config = self.config(name, channels)
        async with Embedded(config.parent / "var") as store, running(store.url, config) as stage:
            yield stage


@pytest.fixture
def shops(tmp_path: Path) -> Shops:
    return Shops(tmp_path)


async def say(stage: Stage, customer: str, text: str, *, at: int = 0, channel: str = "shop", **fields: Any) -> None:
    """Let a customer write; return when that is acknowledged."""
    message = Message(f"{customer}-{text}", f"visitor:{customer}", at or now_ms(), text, name=customer, **fields)
    await stage.hub.recorder.record(channel, [message])


async def texts(stage: Stage) -> set[str]:
    """Return what all customers wrote, as an agent sees it."""
    found: set[str] = set()
    for one in await stage.conversations(limit="200"):
        cursor = ""
        while cursor is not None:
            page = await stage.api("GET", f"/conversations/{one['id']}/messages?limit=200&cursor={cursor}")
            found |= {each["text"] for each in page["items"] if each["direction"] == "inbound"}
            cursor = page["next"]
    return found


async def deliveries(stage: Stage, state: str) -> list[dict[str, Any]]:
    """Return the deliveries in one of the lists."""
    found: list[dict[str, Any]] = (await stage.api("GET", f"/deliveries?state={state}"))["items"]
    return found


async def routed(stage: Stage) -> bool:
    """Tell whether everything that was recorded has found its conversation."""
    store = stage.hub.store
    for partition in range(COUNT):
        last = await store.do(tag(partition), "XREVRANGE", key(partition, "log"), "+", "-", "COUNT", 1)
        position = await store.do(tag(partition), "HGET", key(partition, "pos"), "router")
        if last and last[0][0] != position:
            return False
    return True


async def test_what_was_acknowledged_before_is_in_it(store_url: str, shops: Shops) -> None:
    """While customers go on writing, a backup holds every message that was acknowledged before it began."""
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def write_on(stage: Stage, customer: int) -> None:
        for number in range(10_000):
            text = f"{customer} says {number}"
            await say(stage, f"c{customer}", text)
            acknowledged.append(text)
            if len(acknowledged) >= 60:
                enough.set()

    async with running(store_url, shops.config("lost")) as stage:
        writers = [asyncio.create_task(write_on(stage, customer)) for customer in range(6)]
        await enough.wait()
        before = set(acknowledged)
        file, manifest = await shops.back_up(store_url)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    assert 0 == await shops.restore(file, shops.target("found"))
    async with shops.reopened("found") as stage:
        await until(partial(routed, stage), 60)

        assert before <= await texts(stage)
    assert manifest.conversations <= 6


async def test_everything_is_found_again(store_url: str, shops: Shops) -> None:
    """A restored hub lists, shows and searches what there was, and has its files."""
    async with running(store_url, shops.config("lost")) as stage:
        picture = Media("image/png", name="发票.png", data=b"not really a picture")
        await say(stage, "wang", "我要退款，见附件", media=(picture,))
        await until(lambda: stage.conversations(agent="lilei"))
        [one] = await stage.conversations()
        await stage.api("POST", f"/conversations/{one['id']}/notes", {"text": "老客户"})
        former = await stage.messages(one["id"])
        file, manifest = await shops.back_up(store_url)
    assert (1, 1) == (manifest.conversations, manifest.files)

    await shops.restore(file, shops.target("found"))
    async with shops.reopened("found") as stage:
        [again] = await stage.conversations(agent="lilei")
        assert (one["id"], one["tags"]) == (again["id"], again["tags"])
        assert former == await stage.messages(one["id"])
        url = f"{stage.base}{former[0]['attachments'][0]['url']}"
        async with stage.http.get(url, headers={"Authorization": "Bearer test-token-of-lilei"}) as answer:
            assert b"not really a picture" == await answer.read()
        await _searches(stage, "见附件")


async def _searches(stage: Stage, text: str) -> None:
    """Build the index in this process and find *text* with it."""
    stage.hub.search._hurry = lambda: None
    indexer = Indexer(stage.hub.store, Generations(stage.folder / "var" / "search"), stage.hub.caretaker.machine)
    task = asyncio.create_task(indexer.run())
    try:
        await until(partial(stage.api, "GET", f"/conversations?q={quote(text)}"), 60)
        found = await until(partial(_found, stage, text), 60)
        assert [text in one["message"]["text"] for one in found] == [True]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        indexer.close()


async def _found(stage: Stage, text: str) -> list[dict[str, Any]]:
    try:
        answer = await stage.api("GET", f"/search?q={quote(text)}")
    except AssertionError:  # 503 until there is an index
        return []
    found: list[dict[str, Any]] = answer["items"]
    return found


async def owing(store_url: str, shops: Shops) -> tuple[Path, str]:
    """Back up a shop that owes two answers on a channel that cannot be reached; return the file and the first."""
    async with running(store_url, shops.config("lost", WECHAT.format(base=NOBODY))) as stage:
        event = Message("w-1", f"wechat:{OPENID}", now_ms(), "在吗", name="王")
        await stage.hub.recorder.record("shop-wechat", [event])
        [one] = await until(stage.conversations)
        path = f"/conversations/{one['id']}/replies"
        owed = [await stage.api("POST", path, {"text": text, "insist": True}) for text in ("第一", "第二")]
        file, _ = await shops.back_up(store_url)
    return file, owed[0]["delivery"]["id"]


async def test_what_was_owed_waits_for_a_person(store_url: str, shops: Shops) -> None:
    """Answers that stood in the outbox may be out: a restored hub sends none by itself, and a person's word settles."""
    file, first = await owing(store_url, shops)
    assert 2 == await shops.restore(file, shops.target("found"))
    platform = WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken")
    async with served(platform.app) as base, shops.reopened("found", WECHAT.format(base=base)) as stage:
        platform.hub_url = f"{stage.base}/hooks/shop-wechat"
        waiting = await deliveries(stage, "uncertain")
        assert ([], 2) == (await deliveries(stage, "due"), len(waiting))
        assert {"restored"} == {one["code"] for one in waiting}
        await platform.write(OPENID, "还在吗")
        await until(lambda: _said(stage, "还在吗"))
        [one] = await stage.conversations()
        assert one["attention"]

        await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "在的"})
        await until(partial(_heard, platform, 1))
        assert ["在的"] == [each.text for each in platform.received[OPENID]]
        await stage.api("POST", f"/deliveries/{first}/retry", {})
        await until(partial(_heard, platform, 2))
        second = next(one["id"] for one in waiting if one["id"] != first)
        await stage.api("POST", f"/deliveries/{second}/confirm", {})

        assert ["在的", "第一"] == [each.text for each in platform.received[OPENID]]
        assert [] == await deliveries(stage, "uncertain")


async def _said(stage: Stage, text: str) -> bool:
    return text in await texts(stage)


async def _heard(platform: WeChatPlatform, count: int) -> bool:
    return len(platform.received.get(OPENID, ())) >= count


async def test_who_moves_sends_what_is_owed(store_url: str, shops: Shops) -> None:
    """With --send everything goes out once, in its order."""
    file, _ = await owing(store_url, shops)
    assert 0 == await shops.restore(file, shops.target("found"), send=True)
    platform = WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken")
    async with served(platform.app) as base, shops.reopened("found", WECHAT.format(base=base)) as stage:
        platform.hub_url = f"{stage.base}/hooks/shop-wechat"
        await platform.write(OPENID, "还在吗")
        for one in await deliveries(stage, "due"):
            with contextlib.suppress(NotNow):  # its time has come anyway
                await stage.hub.deliveries.retry(one["id"], now_ms())  # not after minutes, as an outage asks for
        await until(partial(_heard, platform, 2))

        assert ["第一", "第二"] == [each.text for each in platform.received[OPENID]]
        assert [] == await deliveries(stage, "uncertain")


async def test_no_message_is_acknowledged_twice(store_url: str, shops: Shops) -> None:
    """What was written before the restore and comes again, as mail does, is not acknowledged; what comes later is."""
    async with running(store_url, shops.config("lost")):
        file, _ = await shops.back_up(store_url)
    await shops.restore(file, shops.target("found"))
    async with shops.reopened("found") as stage:
        await say(stage, "early", "我要投诉一", at=now_ms() - HOUR)
        await say(stage, "late", "我要投诉二", at=now_ms() + 1)
        late, early = [await until(partial(stage.conversations, q=name)) for name in ("late", "early")]
        await until(partial(_answered, stage, late[0]["id"]))

        assert not await _answered(stage, early[0]["id"])


async def _answered(stage: Stage, conversation: str) -> bool:
    return any(one["direction"] == "outbound" for one in await stage.messages(conversation))


async def test_what_has_an_end_keeps_it(store_url: str, shops: Shops) -> None:
    """Keys that end at a time end at that time, and what has ended meanwhile is missed by nobody."""
    async with running(store_url, shops.config("lost")) as stage:
        ends = now_ms() + HOUR
        await stage.hub.store.do("1", "SET", "hl:{1}:lasting", "v", "PXAT", ends)
        await stage.hub.store.do("1", "SET", "hl:{1}:passing", "v", "PX", 1)
        file, _ = await shops.back_up(store_url)
    await shops.restore(file, shops.target("found"))
    async with shops.reopened("found") as stage:
        assert ends == await stage.hub.store.do("1", "PEXPIRETIME", "hl:{1}:lasting")


async def content(url: str) -> dict[bytes, Any]:
    """Return everything in a store but what belongs to its present life, for comparison."""
    found: dict[bytes, Any] = {}
    reads: dict[str, Callable[[Any, bytes], Awaitable[Any]]] = {
        "string": lambda client, name: client.get(name),
        "hash": lambda client, name: client.hgetall(name),
        "list": lambda client, name: client.lrange(name, 0, -1),
        "set": lambda client, name: client.smembers(name),
        "zset": lambda client, name: client.zrange(name, 0, -1, withscores=True),
        "stream": lambda client, name: client.xrange(name),
    }
    async with _client(url) as client:
        async for name in client.scan_iter(count=1000):
            if name != b"hl:{hub}:restored":
                found[name] = await reads[(await client.type(name)).decode()](client, name)
    return found


@contextlib.asynccontextmanager
async def _client(url: str) -> AsyncIterator[Any]:
    kind = redis.asyncio.RedisCluster if "+cluster" in url else redis.asyncio.Redis
    client: Any = kind.from_url(url.replace("redis+cluster", "redis", 1), protocol=2)
    try:
        yield client
    finally:
        await client.aclose()


async def test_any_store_takes_a_backup_of_any(store: StoreUnderTest, store_url: str, shops: Shops) -> None:
    """From this store into the embedded one and from there back into this one: key by key the same."""
    async with running(store_url, shops.config("lost")) as stage:
        for number in range(20):
            await say(stage, f"c{number}", "我要退款")
        await until(partial(routed, stage))
    former = await content(store_url)
    file, _ = await shops.back_up(store_url)
    target = shops.target("between")
    await shops.restore(file, target, send=True)
    async with Embedded(target.folder) as between:
        assert former == await content(between.url)
        second, _ = await shops.back_up(between.url, "between")
    store.flush()

    await shops.restore(second, shops.target("back", store_url), send=True)

    assert former == await content(store_url)


async def test_a_store_that_is_used_is_refused(store_url: str, shops: Shops) -> None:
    """A store that holds something is not touched, and it is said whether a hub is at work on it."""
    async with running(store_url, shops.config("lost")) as stage:
        await say(stage, "wang", "hello")
        file, _ = await shops.back_up(store_url)
        with pytest.raises(NotEmpty) as refused:
            await shops.restore(file, shops.target("lost", store_url))
        assert refused.value.hub
    former = await content(store_url)
    with pytest.raises(NotEmpty) as refused:
        await shops.restore(file, shops.target("lost", store_url))

    assert (False, former) == (refused.value.hub, await content(store_url))


async def test_other_peoples_keys_are_left_alone(store_url: str, shops: Shops) -> None:
    """In a database that is shared nothing is copied, counted or removed that is not the hub's."""
    store = Store(Topology(store_url), ())
    await store.do("till", "SET", "{till}:x", "theirs")
    await store.do("hub", "SET", "hl:{hub}:x", "ours")
    file, manifest = await shops.back_up(store_url)
    await store.do("hub", "DEL", "hl:{hub}:x")
    await shops.restore(file, shops.target("found", store_url))
    try:
        assert (1, "ours", "theirs") == (
            manifest.keys,
            await store.do("hub", "GET", "hl:{hub}:x"),
            await store.do("till", "GET", "{till}:x"),
        )
    finally:
        await store.close()


async def test_a_restore_that_broke_off_is_no_store(store_url: str, shops: Shops) -> None:
    """No hub starts on half of a backup; whoever restores again gets all of it."""

    async def fall_over(store: Store) -> int:
        raise RuntimeError(f"the power failed at {id(store)}")

    async with running(store_url, shops.config("lost")) as stage:
        await say(stage, "wang", "hello")
        await until(partial(routed, stage))
        file, manifest = await shops.back_up(store_url)
    async with _client(store_url) as client:
        await client.flushall()
    outside, inside = shops.target("outside", store_url), shops.target("inside")
    for target in (outside, inside):
        with pytest.raises(RuntimeError):
            await restore(file, target, now_ms(), silent, fall_over)
    with pytest.raises(Unfit, match="has not come to its end"):
        await open_store(store_url, SCRIPTS, "everysec")
    with pytest.raises(Unfinished, match="restore"):
        await Embedded(inside.folder).start()

    for target in (outside, inside):
        await shops.restore(file, target)
    async with running(store_url, shops.config("outside")) as stage:
        assert {"hello"} == await texts(stage)
    async with shops.reopened("inside") as stage:
        assert {"hello"} == await texts(stage)
    assert 1 == manifest.conversations


async def test_the_data_have_their_name_when_they_are_whole(store_url: str, shops: Shops) -> None:
    """While a restore is at work its data are elsewhere, and nothing of that is left at the end."""
    target = shops.target("found")
    seen: list[bool] = []

    async def look(_: Store) -> int:
        seen.append((target.folder / DATA).exists())
        return 0

    store = Store(Topology(store_url), ())
    await store.do("hub", "SET", "hl:{hub}:x", 1)
    await store.close()
    file, _ = await shops.back_up(store_url)
    await restore(file, target, now_ms(), silent, look)

    assert ([False], True) == (seen, (target.folder / DATA).exists())
    assert {DATA, "hub.lock"} == {path.name for path in target.folder.iterdir()}
    assert 0o600 == file.stat().st_mode & 0o777
