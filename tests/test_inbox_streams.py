"""Server-sent events: nothing is missed and nothing comes twice, whatever is cut off and started again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest

from connectors.base import Message
from inbox import log as logbook
from inbox import streams
from inbox.api import Tokens
from inbox.bookmarks import START, Bookmark, decode, encode
from inbox.bulletins import Bulletin
from inbox.partitions import COUNT, key, parse_id
from inbox.store import StoreError
from tests.chaos import LONG
from tests.followers import Follower
from tests.hubs import TOKEN, Stage, configuration, running, until, write
from tests.stores import StoreUnderTest

T = TypeVar("T")

CHANNEL = "  shop: {kind: webchat, allowed_origins: ['https://shop.example.com']}"
AT = 1_763_700_000_000


async def say(stage: Stage, customer: str, *texts: str, first: int = 0) -> None:
    """Let a customer write."""
    for index, text in enumerate(texts, first):
        message = Message(f"{customer}-{index}-{text}", f"visitor:{customer}", AT + index, text, name=customer)
        await stage.hub.recorder.record("shop", [message])


@contextlib.asynccontextmanager
async def shop(store_url: str, tmp_path: Path, *, index: int = 0) -> AsyncIterator[Stage]:
    config = write(tmp_path / str(index), configuration(CHANNEL))
    async with running(store_url, config, index=index) as stage:
        yield stage


async def test_tells_what_happens_with_the_shapes_of_the_api(store_url: str, tmp_path: Path) -> None:
    """A customer's message opens a conversation and is routed; each is an event that shows what the API does."""
    async with shop(store_url, tmp_path) as stage:
        follower = Follower(stage.http)
        reading = asyncio.create_task(follower.read(stage.base, 3))

        async def ready() -> bool:
            return bool(follower.controls)

        await until(ready)
        await say(stage, "ann", "我要退款")
        await reading
        [conversation] = await stage.conversations()
        [message] = [one for one in await stage.messages(conversation["id"]) if one["direction"] == "inbound"]

        assert [("ready", {})] == follower.controls
        opened, received, routed = follower.events[:3]
        assert ["huiliu.conversation.opened", "huiliu.message.received", "huiliu.conversation.routed"] == [
            one["type"] for one in (opened, received, routed)
        ]
        assert message == received["data"]["message"]
        assert conversation.keys() == received["data"]["conversation"].keys()
        assert conversation["id"] == received["subject"] == received["data"]["conversation"]["id"]
        assert ("1.0", "application/json") == (received["specversion"], received["datacontenttype"])
        assert "refund" == routed["data"]["decision"]["route"]


async def everything(stage: Stage) -> list[Bulletin]:
    """Return every event that the logs hold, in the order of each log: what a follower from the start must have."""
    told: list[Bulletin] = []
    for partition in range(COUNT):
        after = "0-0"
        while entries := await logbook.read(stage.hub.store, partition, after, 200):
            for found in await stage.hub.press.bulletins(entries, lambda _: True):
                told.extend(found)
            after = entries[-1].id
    return told


async def settled(stage: Stage) -> bool:
    """Tell whether everything is routed and sent."""
    async with stage.http.get(f"{stage.base}/metrics") as answer:
        text = await answer.text()
    return "huiliu_log_lag_seconds 0.0\n" in text and 'huiliu_deliveries{state="due"} 0.0\n' in text


def by_conversation(told: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Group (conversation, event id) pairs."""
    groups: dict[str, list[str]] = {}
    for conversation, name in told:
        groups.setdefault(conversation, []).append(name)
    return groups


@pytest.mark.chaos
@pytest.mark.timeout(7200 if LONG else 120)
async def test_a_client_that_comes_and_goes_has_every_event_once(
    store: StoreUnderTest, store_url: str, tmp_path: Path
) -> None:
    """Cut off at random, through restarts of the processes and of the store, a client has each event once, in order.

    HUILIU_LONG=1 has it follow 10,000 events.
    """
    wanted = 10_000 if LONG else 300
    chance = random.Random(20_261_122)
    stages: dict[int, Stage] = {}
    cuts = restarts = 0

    async def serve(index: int, life: Callable[[], float]) -> None:
        """Run a process again and again."""
        nonlocal restarts
        while True:
            async with shop(store_url, tmp_path, index=index) as stage:
                stages[index] = stage
                await asyncio.sleep(life())
                stages.pop(index)
            restarts += 1

    async def write_on(stage: Stage) -> None:
        number = 0
        while number < wanted:
            number += 1
            customer = f"c{chance.randrange(40)}"
            await surely(partial(say, stage, customer, "我要退款", first=number))
            if chance.random() < 0.1:
                conversation = chance.choice(await surely(stage.conversations) or [{"id": ""}])["id"]
                if conversation:
                    path = f"/conversations/{conversation}/replies"
                    await surely(partial(stage.api, "POST", path, {"text": str(number)}))
            if number == wanted // 2:
                await asyncio.to_thread(store.kill)
                await asyncio.to_thread(store.restart)

    async def follow(follower: Follower, done: asyncio.Event) -> None:
        nonlocal cuts
        while not done.is_set():
            stage = chance.choice([*stages.values(), keeper])
            upto = len(follower.events) + chance.randrange(60)
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, AssertionError):
                await follower.read(stage.base, upto, chance.uniform(0.02, 0.8))
            cuts += 1

    async with shop(store_url, tmp_path, index=9) as keeper, aiohttp.ClientSession() as http:
        follower = Follower(http)
        await follower.greet(keeper.base)
        done = asyncio.Event()
        others = [asyncio.create_task(serve(index, lambda: chance.uniform(0.8, 2.0))) for index in (1, 2)]
        following = asyncio.create_task(follow(follower, done))
        await write_on(keeper)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await until(lambda: settled(keeper), 60.0)
        expected = await everything(keeper)
        done.set()
        await following
        await follower.read(keeper.base, len(expected), 900.0 if LONG else 60.0)
        with contextlib.suppress(TimeoutError):
            await follower.read(keeper.base, len(expected) + 1, 2.0)

    sys.stderr.write(f"{len(expected)} events, {cuts} cuts, {restarts} restarts\n")
    assert len(expected) >= wanted
    assert {"ready"} == {name for name, _ in follower.controls}
    assert sorted(str(one.id) for one in expected) == sorted(follower.ids)
    assert by_conversation([(one.conversation, str(one.id)) for one in expected]) == by_conversation(
        [(one["subject"], one["id"]) for one in follower.events]
    )


async def surely(step: Callable[[], Awaitable[T]]) -> T:
    """Do *step* again until the store lets us."""
    while True:
        try:
            return await step()
        except (StoreError, AssertionError):
            await asyncio.sleep(0.05)


async def test_a_client_hears_only_what_it_asked_for(store_url: str, tmp_path: Path) -> None:
    """Types, team and conversation select, live and from the log alike; a position moves on all the same."""
    async with shop(store_url, tmp_path) as stage:
        everybody = Follower(stage.http)
        await everybody.greet(stage.base)
        start = everybody.last
        await say(stage, "ann", "我要退款")
        await say(stage, "bob", "我要投诉")
        await until(lambda: settled(stage))
        [complaint] = await stage.conversations(team="complaints")
        for query, expected in (
            ("?types=conversation.opened", {"conversation.opened"}),
            ("?types=huiliu.message.*,note.created", {"message.received"}),
        ):
            one = Follower(stage.http, query, last=start)
            await one.read(stage.base, 2)
            assert {f"huiliu.{name}" for name in expected} == {each["type"] for each in one.events}
        for query in ("?team=complaints&types=message.*", f"?conversation={complaint['id']}&types=message.*"):
            one = Follower(stage.http, query, last=start)
            await one.read(stage.base, 1)
            await say(stage, "ann", f"多久 {query}", first=7)
            await say(stage, "bob", f"投诉 {query}", first=7)
            await one.read(stage.base, 3 if query.startswith("?c") else 2)
            texts = [each["data"]["message"]["text"] for each in one.events]
            assert ("我要投诉", f"投诉 {query}") == (texts[0], texts[-1])
            assert not any("多久" in text for text in texts)


async def test_what_cannot_be_asked_for_is_refused(store_url: str, tmp_path: Path) -> None:
    """An unknown type names the nearest one; a conversation that cannot exist is not found; HEAD ends at once."""
    async with shop(store_url, tmp_path) as stage:
        wrong = await stage.api("GET", "/events?types=mesage.received", status=400)
        assert "message.received" in wrong["detail"]
        await stage.api("GET", "/events?conversation=c99-1", status=404)
        await stage.api("GET", "/events", token="nobody", status=401)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with stage.http.head(f"{stage.base}/api/v1/events", headers=headers) as answer:
            assert (200, "text/event-stream") == (answer.status, answer.content_type)


@pytest.mark.parametrize(("age", "reason"), [(0, "unknown"), (1, "lost"), (25 * 3_600_000, "too_old")])
async def test_a_position_that_cannot_be_gone_on_from_is_told(
    store_url: str, tmp_path: Path, age: int, reason: str
) -> None:
    """Who is too late, or comes from another store, is told to read the lists, and hears what comes from now on."""
    async with shop(store_url, tmp_path) as stage:
        await say(stage, "ann", "在吗")
        await until(lambda: settled(stage))
        now = stage.hub.tail._now()
        ahead = Bookmark(now - age, ((now + 9_999, 0),) * COUNT) if age == 1 else Bookmark(now - age, (START,) * COUNT)
        follower = Follower(stage.http, last=encode(ahead) if age else "no-such-place")
        await follower.greet(stage.base)
        assert [("reset", {"reason": reason})] == follower.controls
        await say(stage, "bob", "我要退款")
        await follower.read(stage.base, 1)
        assert "bob" == follower.events[0]["data"]["conversation"]["contact"]["name"]


async def test_a_log_that_was_cut_is_told(store_url: str, tmp_path: Path) -> None:
    """Entries that a client has not had and that are not kept any more are not skipped in silence."""
    async with shop(store_url, tmp_path) as stage:
        follower = Follower(stage.http)
        await follower.greet(stage.base)
        await say(stage, "ann", "我要退款", "二", "三")
        await until(lambda: settled(stage))
        [conversation] = await stage.conversations()
        home = parse_id(conversation["id"], "c").partition
        await stage.hub.store.do(str(home), "XTRIM", key(home, "log"), "MAXLEN", 1)
        await follower.greet(stage.base)

        assert ["ready", "reset"] == [name for name, _ in follower.controls]
        assert {"reason": "too_old"} == follower.controls[1][1]


async def test_several_events_of_one_entry_are_told_apart(store_url: str, tmp_path: Path) -> None:
    """A client that is cut off between two events of one entry has the second one next, and the first not again."""
    async with shop(store_url, tmp_path) as stage:
        start = Follower(stage.http)
        await start.greet(stage.base)
        await say(stage, "ann", "我要退款")
        await until(lambda: settled(stage))
        whole = Follower(stage.http, "?types=conversation.opened,message.received,conversation.routed", last=start.last)
        marks = []
        stream = whole.follow(stage.base)
        async with asyncio.timeout(30):
            async for _ in stream:
                marks.append(whole.last)
                if len(whole.events) == 3:
                    break
        await stream.aclose()
        await say(stage, "bob", "在吗")
        await until(lambda: settled(stage))
        for count, mark in enumerate(marks[-3:], 1):
            rest = Follower(stage.http, whole.query, last=mark)
            await rest.read(stage.base, len(whole.ids[count:]) + 3)
            assert whole.ids[count:] == [
                one["id"] for one in rest.events if one["subject"] == whole.events[0]["subject"]
            ]


async def test_a_silent_stream_gives_signs_of_life_and_moves_on(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats carry the position, so that who waits for rare events does not read the whole log later."""
    monkeypatch.setattr("router.parts.Streams", partial(streams.Streams, heartbeat=0.1))
    async with shop(store_url, tmp_path) as stage:
        follower = Follower(stage.http, "?types=contact.changed")
        stream = follower.follow(stage.base)
        seen = set()
        wrote = False
        async with asyncio.timeout(30):
            async for _ in stream:
                if follower.last:
                    seen.add(decode(follower.last).places)
                if seen and not wrote:
                    wrote = True
                    await say(stage, "ann", "我要退款")
                if follower.beats >= 3 and len(seen) > 1:
                    break
        await stream.aclose()

        assert [] == follower.events


async def test_a_token_that_is_taken_back_ends_its_streams(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever loses the right to listen is cut off at the next sign of life."""
    monkeypatch.setattr("router.parts.Streams", partial(streams.Streams, heartbeat=0.1))
    async with shop(store_url, tmp_path) as stage:
        follower = Follower(stage.http)
        stream = follower.follow(stage.base)
        async with asyncio.timeout(30):
            async for _ in stream:
                if follower.controls:
                    stage.hub.tokens = Tokens([])
        assert [] == follower.events


async def test_a_client_that_takes_nothing_is_let_go(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that stalls costs a bounded buffer, is cut off, and has everything when it comes back."""
    monkeypatch.setattr(streams, "PATIENCE", 0.3)
    monkeypatch.setattr("inbox.tail.KEPT", 20)
    async with shop(store_url, tmp_path) as stage:
        follower = Follower(stage.http)
        await follower.greet(stage.base)
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", stage.hub.serving.port))
        lines = ("GET /api/v1/events HTTP/1.1", "Host: hub", f"Authorization: Bearer {TOKEN}")
        narrow.sendall("\r\n".join((*lines, f"Last-Event-ID: {follower.last}", "", "")).encode())

        async def open_streams() -> bool:
            return stage.hub.streams.count == 1

        await until(open_streams)
        for number in range(60):
            await say(stage, f"c{number}", "x" * 90_000)

        async def let_go() -> bool:
            return stage.hub.streams.count == 0

        await until(let_go, 30.0)
        assert len(stage.hub.tail._sheets) <= 20
        narrow.close()
        monkeypatch.setattr(streams, "PATIENCE", 30.0)  # who comes back reads on, if slowly on a busy machine
        await until(lambda: settled(stage))
        expected = await everything(stage)
        await follower.read(stage.base, len(expected))
        assert sorted(str(one.id) for one in expected) == sorted(follower.ids)
