"""The typed client against a running hub: types, pages, repeats, edits, streams."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from connectors.base import Message as Written
from inbox.client import NoHub, Refused
from inbox.openapi import Page
from inbox.schemas import Contact, Conversation, ConversationShown, Message, Noted
from inbox.typed_client import Event, Reset, TypedClient
from outbox.schemas import DeliveryShown, Replied
from tests.hubs import TOKEN, Stage, configuration, running, until, write

CHANNELS = "  site-chat: {kind: webchat}"


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(store_url, write(tmp_path, configuration(CHANNELS))) as made:
        yield made


async def wrote(stage: Stage, number: int) -> None:
    """Let a customer write."""
    await stage.hub.recorder.record("site-chat", [Written(f"e{number}", f"visitor:a-{number:04d}", 1, "我要退款")])


async def test_answers_have_types(stage: Stage) -> None:
    """Whatever is asked is of the type that describes it, and a list comes whole."""
    hub = TypedClient.at(stage.base, TOKEN)
    for number in range(5):
        await wrote(stage, number)

    async def there() -> bool:
        return len(await stage.conversations()) == 5

    await until(there)
    found = await asyncio.to_thread(lambda: list(hub.pages(Conversation, "/conversations", limit=2)))
    assert 5 == len({one.id for one in found})
    one = found[0]
    assert ("aftersales", "open", "refund") == (one.team, one.status, one.route)
    shown = await asyncio.to_thread(hub.get, ConversationShown, f"/conversations/{one.id}")
    assert "send" == shown.sending.action
    replied = await asyncio.to_thread(hub.post, Replied, f"/conversations/{one.id}/replies", {"text": "好的"})
    delivery = await asyncio.to_thread(hub.get, DeliveryShown, f"/deliveries/{replied.delivery.id}")
    assert ("reply", one.id, "queued") == (delivery.lane, delivery.conversation, delivery.history[0].state)
    with pytest.raises(msgspec.ValidationError):
        await asyncio.to_thread(hub.get, Contact, f"/conversations/{one.id}")


async def test_a_repeat_is_one(stage: Stage) -> None:
    """The same key is the same thing; without one each call is another."""
    hub = TypedClient.at(stage.base, TOKEN)
    await wrote(stage, 1)
    [one] = await until(stage.conversations)
    path = f"/conversations/{one['id']}/notes"
    notes = [await asyncio.to_thread(hub.post, Noted, path, {"text": "x"}, key="k") for _ in range(2)]
    notes.append(await asyncio.to_thread(hub.post, Noted, path, {"text": "x"}))
    assert 2 == len({note.message.id for note in notes})


async def test_an_edit_overwrites_nobodys(stage: Stage) -> None:
    """Who edits what another has changed is refused, and told with which status."""
    hub = TypedClient.at(stage.base, TOKEN)
    await wrote(stage, 1)
    [one] = await until(stage.conversations)
    path = f"/contacts/{one['contact']['id']}"
    seen = await asyncio.to_thread(hub.seen, Contact, path)
    edited = await asyncio.to_thread(hub.put, Contact, path, {"tags": ["vip"]}, tag=seen.tag)
    assert ["vip"] == edited.tags
    with pytest.raises(Refused) as refused:
        await asyncio.to_thread(hub.put, Contact, path, {"tags": ["new"]}, tag=seen.tag)
    assert 412 == refused.value.status == refused.value.problem["status"]


async def test_who_is_unknown_or_wrong_hears_it_at_once(stage: Stage) -> None:
    """No token, no thing, no hub: an exception, and no waiting where that does not help."""
    with pytest.raises(NoHub, match="token"):
        await asyncio.to_thread(TypedClient.at(stage.base, "nonsense").get, Page[Message], "/conversations")
    with pytest.raises(Refused) as refused:
        await asyncio.to_thread(TypedClient.at(stage.base, TOKEN).get, Conversation, "/conversations/c1-1-1")
    assert 404 == refused.value.status
    nobody = TypedClient(TypedClient.at("http://127.0.0.1:9", TOKEN).client, patience=0.0)
    with pytest.raises(NoHub):
        await asyncio.to_thread(nobody.get, Conversation, "/conversations/c1-1-1")


async def test_a_stream_comes_back_to_where_it_was(store_url: str, tmp_path: Path) -> None:
    """It survives a restart of the hub without gap or double; with its mark it goes on later; else it says so."""
    told: list[Event] = []
    numbers = itertools.count()
    config = write(tmp_path, configuration(CHANNELS))
    async with running(store_url, config) as stage:
        port = stage.hub.serving.port
        hub = TypedClient.at(stage.base, TOKEN)
        stream = hub.events(types="message.received")
        reading = asyncio.create_task(asyncio.to_thread(read, stream, told, 4))

        async def hears() -> bool:
            await wrote(stage, next(numbers))  # the first ones may come before the stream begins
            await asyncio.sleep(0.01)
            return bool(told)

        await until(hears)
    write(tmp_path, configuration(CHANNELS, port=port))
    async with running(store_url, config) as stage:
        while not reading.done():
            await wrote(stage, next(numbers))
            await asyncio.sleep(0.05)
        await reading
        assert len({one.id for one in told}) == len(told) >= 4
        assert {"huiliu.message.received"} == {one.type for one in told}
        later: list[Event] = []
        await asyncio.to_thread(read, hub.events(told[0].mark, types="message.received"), later, 2)
        assert [one.id for one in told[1:3]] == [one.id for one in later[:2]]
        with pytest.raises(Reset, match="unknown"):
            await asyncio.to_thread(read, hub.events("nonsense"), [], 1)


def read(stream: Iterator[Event], told: list[Event], count: int) -> None:
    """Take so many events out of a stream."""
    for one in stream:
        told.append(one)
        if len(told) >= count:
            return
