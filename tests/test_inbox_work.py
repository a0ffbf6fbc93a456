"""What agents do with conversations, and what of it can be seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from inbox import log as logbook
from inbox.partitions import key, parse_id, tag
from inbox.timeline import MESSAGES, items
from inbox.work import HUB, MOST_TAGS, REMEMBERED, Actor, Refusal
from tests.backroom import Room, room

ADDRESS = "tel:+8613800138000"
HANMEIMEI = Actor("agent", "hanmeimei", "韩梅梅")


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path) as made:
        yield made


@pytest.fixture
async def one(inbox: Room) -> str:
    """A conversation that no rule has assigned to anybody."""
    return await inbox.write("hi", ADDRESS)


async def events(inbox: Room, conversation_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what was done to a conversation, oldest first."""
    found, _ = await items(inbox.store, parse_id(conversation_id, "c"), MESSAGES, None, 50)
    return [(one.entry.fields["ev"], one.entry.rest()) for one in reversed(found) if one.entry.type == "s"]


ASSIGNMENTS = [
    ({"team": "aftersales"}, ("aftersales", "")),
    ({"agent": "lilei"}, ("frontdesk", "lilei")),
    ({"team": "complaints", "agent": "lilei"}, ("complaints", "lilei")),
    ({"agent": ""}, ("frontdesk", "")),
]


@pytest.mark.parametrize(("asked", "expected"), ASSIGNMENTS)
async def test_assigning(inbox: Room, one: str, asked: dict[str, Any], expected: tuple[str, str]) -> None:
    """Team, agent or both; another team takes the old team's agent away."""
    await inbox.desk.assign(one, HUB, agent="hanmeimei")
    done = await inbox.desk.assign(one, HANMEIMEI, **asked, reason="knows more")

    assert expected == (done.team, done.agent)
    name, story = (await events(inbox, one))[-1]
    assert ("assigned", "frontdesk", "hanmeimei", "knows more") == (
        name, story["from_team"], story["from_agent"], story["reason"],
    )  # fmt: skip


async def test_what_is_done_already_leaves_no_trace(inbox: Room, one: str) -> None:
    """Resolving twice, reopening what is open, adding a tag that is there: nothing happens and nothing is told."""
    await inbox.desk.reopen(one, HUB)
    await inbox.desk.resolve(one, HUB)
    await inbox.desk.resolve(one, HUB)
    await inbox.desk.tags(one, HUB, add=["a"])
    await inbox.desk.tags(one, HUB, add=["a"], remove=["b"])

    assert ["resolved", "tagged"] == [name for name, _ in await events(inbox, one)]


async def test_what_is_done_with_one_key_is_done_once(inbox: Room, one: str) -> None:
    """A note and an assignment that are asked for again with their key are there once, whatever came between."""
    notes = []
    for _ in range(2):
        notes.append(await inbox.desk.note(one, HANMEIMEI, "call back", once="k1"))
        await inbox.desk.assign(one, HANMEIMEI, agent="lilei", once="k2")
        await inbox.desk.resolve(one, HANMEIMEI)
        await inbox.write("还有", ADDRESS)
    await inbox.desk.note(one, HANMEIMEI, "call back", once="k3")
    await inbox.desk.note(one, HANMEIMEI, "call back")

    found, _ = await items(inbox.store, parse_id(one, "c"), MESSAGES, None, 50)
    kept = [item.entry for item in reversed(found) if item.entry.type == logbook.NOTE]
    assert [f"m{kept[0].partition}-{kept[0].id}"] * 2 == notes
    assert 3 == len(kept)
    assert 1 == [name for name, _ in await events(inbox, one)].count("assigned")
    partition = parse_id(one, "c").partition
    kept_for = await inbox.store.do(tag(partition), "PTTL", key(partition, "did:k1"))
    assert 0 < kept_for <= REMEMBERED


async def test_a_note_is_for_colleagues_only(inbox: Room, one: str) -> None:
    """A note stands on the timeline with its author, is no delivery, and moves the conversation nowhere in its list."""
    before = await inbox.load(one)
    await inbox.desk.note(one, HANMEIMEI, "VIP\n小心")

    found, _ = await items(inbox.store, before.place, MESSAGES, None, 1)
    assert ("n", "VIP\n小心") == (found[0].entry.type, found[0].entry.fields["tx"])
    now = await inbox.load(one)
    assert (before.last_message_at, before.messages, before.status) == (now.last_message_at, now.messages, now.status)
    assert ([], "") == await inbox.deliveries.listing("due", "", 10)


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
async def test_an_empty_note_is_refused(inbox: Room, one: str, text: str) -> None:
    """A note says something."""
    with pytest.raises(Refusal):
        await inbox.desk.note(one, HUB, text)


@pytest.mark.parametrize("name", ["", "  ", "a,b", "x" * 61])
async def test_tags_have_a_form(inbox: Room, one: str, name: str) -> None:
    """A tag is short, not empty, and holds no comma."""
    with pytest.raises(Refusal):
        await inbox.desk.tags(one, HUB, add=[name])


async def test_tags_are_limited_in_number(inbox: Room, one: str) -> None:
    """Nobody can grow a conversation without end, at once or in steps; every tag up to the limit is kept in order."""
    with pytest.raises(Refusal):
        await inbox.desk.tags(one, HUB, add=[f"{number}" for number in range(MOST_TAGS + 1)])
    done = await inbox.desk.tags(one, HUB, add=[f"{number}" for number in range(MOST_TAGS)])
    assert tuple(f"{number}" for number in range(MOST_TAGS)) == done.tags
    with pytest.raises(Refusal):
        await inbox.desk.tags(one, HUB, add=["more"])


async def test_a_snoozed_conversation_wakes_in_time(inbox: Room, one: str) -> None:
    """It comes back when its time has come, not before, says so once, and is not looked at again."""
    until = inbox.clock() + 60_000
    await inbox.desk.snooze(one, HANMEIMEI, until)
    held = inbox.held(ADDRESS)

    assert until == await inbox.desk.wake_snoozed(held)
    assert "snoozed" == (await inbox.load(one)).status
    inbox.clock.offset += 60_000
    assert None is await inbox.desk.wake_snoozed(held)
    assert None is await inbox.desk.wake_snoozed(held)

    now = await inbox.load(one)
    assert ("open", 0) == (now.status, now.snoozed_until)
    assert ["snoozed", "reopened"] == [name for name, _ in await events(inbox, one)]


@pytest.mark.parametrize("meanwhile", ["write", "resolve", "reopen"])
async def test_who_moved_meanwhile_is_not_woken(inbox: Room, one: str, meanwhile: str) -> None:
    """A customer's message, a resolution or a reopening ends the sleep; its time then changes nothing."""
    await inbox.desk.snooze(one, HUB, inbox.clock() + 1000)
    if meanwhile == "write":
        await inbox.write("still here", ADDRESS)
    elif meanwhile == "resolve":
        await inbox.desk.resolve(one, HUB)
    else:
        await inbox.desk.reopen(one, HUB)
    before = (await inbox.load(one)).status
    inbox.clock.offset += 2000
    told = await events(inbox, one)

    assert None is await inbox.desk.wake_snoozed(inbox.held(ADDRESS))
    assert (before, told) == ((await inbox.load(one)).status, await events(inbox, one))


async def test_the_latest_sleep_counts(inbox: Room, one: str) -> None:
    """Snoozed again, also in the moment of waking, it sleeps until the new time and then wakes."""
    await inbox.desk.snooze(one, HUB, inbox.clock() + 1000)
    inbox.clock.offset += 2000
    later = inbox.clock() + 50_000
    await asyncio.gather(
        inbox.desk.wake_snoozed(inbox.held(ADDRESS)),
        inbox.desk.snooze(one, HUB, later),
        inbox.desk.wake_snoozed(inbox.held(ADDRESS)),
    )
    inbox.clock.offset += 60_000
    await inbox.desk.wake_snoozed(inbox.held(ADDRESS))

    assert "open" == (await inbox.load(one)).status


async def test_sleep_has_its_limits(inbox: Room, one: str) -> None:
    """The past is no time to wake up, and what is resolved does not sleep."""
    with pytest.raises(Refusal):
        await inbox.desk.snooze(one, HUB, inbox.clock() - 1)
    await inbox.desk.resolve(one, HUB)
    with pytest.raises(Refusal):
        await inbox.desk.snooze(one, HUB, inbox.clock() + 1000)


async def test_reading_only_goes_forward(inbox: Room, one: str) -> None:
    """What has been read stays read, whatever an older screen says."""
    await inbox.desk.read(one, 5000)
    assert 5000 == (await inbox.desk.read(one, 4000)).read_at
    assert 6000 == (await inbox.desk.read(one, 6000)).read_at
    assert [] == await events(inbox, one)
