"""A timeline is read from its end, in pages, whatever is on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inbox.conversations import Conversation
from inbox.timeline import CHUNK, DECISIONS, MESSAGES, items, where
from inbox.work import HUB
from tests.backroom import Room, message, room

ADDRESS = "tel:+8613800138000"


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path) as made:
        yield made


async def long(inbox: Room, count: int) -> Conversation:
    """Return a conversation of *count* messages."""
    await inbox.recorder.record("shop", [message(f"{number}", ADDRESS, now=inbox.clock()) for number in range(count)])
    await inbox.route()
    [one] = await inbox.conversations()
    return one


@pytest.mark.parametrize("limit", [1, 7, 200])
async def test_pages_lead_to_the_first_message(inbox: Room, limit: int) -> None:
    """Newest first, each message once, the last page has no next; longer than one look at the store."""
    count = CHUNK + 30 if limit > 1 else 9
    conversation = await long(inbox, count)
    seen: list[str] = []
    before = None
    while True:
        found, before = await items(inbox.store, conversation.place, MESSAGES, before, limit)
        assert len(found) <= limit
        seen += [item.entry.fields["tx"] for item in found]
        if before is None:
            break

    assert [str(number) for number in reversed(range(count))] == seen


async def test_a_place_beyond_the_end_is_the_end(inbox: Room) -> None:
    """A cursor larger than the timeline, made up or from another conversation, gives the newest page at once."""
    conversation = await long(inbox, 3)
    for before in (6, 7, 1000, 10**14):  # three messages, each with its decision
        found, following = await items(inbox.store, conversation.place, MESSAGES, before, 10)
        assert (3, None) == (len(found), following)
    assert ([], None) == await items(inbox.store, conversation.place, MESSAGES, 0, 10)


async def test_messages_and_decisions_are_two_views(inbox: Room) -> None:
    """Messages, notes and events on one side, decisions on the other; each with the id of its own entry."""
    conversation_id = await inbox.write("退款", ADDRESS)
    await inbox.desk.note(conversation_id, HUB, "careful")
    await inbox.reply(conversation_id, "yes")
    await inbox.desk.resolve(conversation_id, HUB)
    conversation = await inbox.load(conversation_id)

    shown, _ = await items(inbox.store, conversation.place, MESSAGES, None, 50)
    decisions, _ = await items(inbox.store, conversation.place, DECISIONS, None, 50)

    assert ["e", "n", "o", "s"] == [
        one.entry.type for one in reversed(shown) if one.entry.fields.get("ev") != "assigned"
    ]
    assert ["refund"] == [one.entry.rest()["route"] for one in decisions]
    assert all(one.message_id == f"m{one.entry.partition}-{one.entry.id}" for one in shown)


@pytest.mark.parametrize(("text", "expected"), [("m5-0", (7, "5-0")), ("m5-0@9", (9, "5-0")), ("o123-4", (7, "123-4"))])
def test_an_element_says_where_its_entry_lies(text: str, expected: tuple[int, str]) -> None:
    """At home, or in the partition after the @."""
    assert expected == where(7, text)
