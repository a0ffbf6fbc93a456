"""What did not arrive: told once, with its history, to whoever must see to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Capabilities, Receipt, Rejected, SendError, Throttled, Uncertain, Unreachable
from inbox.timeline import EVERYTHING, MESSAGES, items
from inbox.work import Actor
from outbox.deliveries import Author, Delivery
from outbox.history import history
from outbox.letters import Letter
from tests.backroom import LILEI, Platform, Room, eventually, room

ADDRESS = "tel:+8613800138000"
ME = Actor("agent", "lilei", "李雷")


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path, platforms={"shop": Platform(Capabilities())}) as made, made.sending():
        yield made


async def events(inbox: Room, conversation: str) -> list[str]:
    """Return the events on a timeline, oldest first."""
    found, _ = await items(inbox.store, (await inbox.load(conversation)).place, MESSAGES, None, 100)
    return [item.entry.fields.get("ev") or item.entry.fields["st"] for item in found[::-1] if item.mark in "sv"]


async def fail(inbox: Room, conversation: str, error: SendError | None, **fields: Any) -> Delivery:
    """Have an answer end in *error*, or without one be reported as failed, and let the reader see it."""
    if error is not None:
        inbox.platform().script.append(error)
    delivery = await inbox.reply(conversation, "yes", **fields)
    delivery = await inbox.state(delivery, "dead", "uncertain", "sent")
    if error is None:
        await inbox.recorder.record("shop", [Receipt(delivery.external_ids[0], "failed", 1, error="unknown number")])
        await inbox.route()
        delivery = await inbox.state(delivery, "failed")
    await inbox.route()
    return delivery


CASES = [
    pytest.param(Rejected("no such user", code="40003"), "resolved", "open", ["undelivered", "reopened"], id="dead"),
    pytest.param(None, "resolved", "open", ["undelivered", "reopened"], id="failed afterwards"),
    pytest.param(
        Rejected("no"), "pending", "open", ["undelivered", "reopened"], id="while we thought that it was answered"
    ),
    pytest.param(Rejected("no"), "snoozed", "open", ["undelivered", "reopened"], id="asleep"),
    pytest.param(Uncertain("no answer"), "resolved", "resolved", ["undelivered"], id="uncertain"),
]


@pytest.mark.parametrize(("error", "before", "after", "told"), CASES)
async def test_an_answer_that_did_not_arrive_calls_its_agent(
    inbox: Room, error: SendError | None, before: str, after: str, told: list[str]
) -> None:
    """The conversation is opened and asks for attention, and the timeline says so, once, however often it is read."""
    one = await inbox.write("hi", ADDRESS)
    delivery = await inbox.reply(one, "before")
    await inbox.state(delivery, "sent")
    if before == "resolved":
        await inbox.desk.resolve(one, ME)
    elif before == "snoozed":
        await inbox.desk.snooze(one, ME, inbox.clock() + 10**8)
    failing = await fail(inbox, one, error, author=Author("hub") if before != "pending" else LILEI)

    now = await inbox.load(one)
    assert (after, failing.place.key) == (now.status, now.attention)
    for _ in range(2):
        assert told == [name for name in await events(inbox, one) if name in ("undelivered", "reopened")]
        inbox.forget()
        await inbox.route()
    await inbox.desk.read(one, inbox.clock())
    assert "" == (await inbox.load(one)).attention


async def test_a_retry_takes_the_mark_away_and_truly_sends(inbox: Room) -> None:
    """What the platform reported as failed goes out again as a new message; its own receipts count."""
    one = await inbox.write("hi", ADDRESS)
    failing = await fail(inbox, one, None)
    assert failing.place.key == (await inbox.load(one)).attention
    await inbox.deliveries.retry(failing.id, inbox.clock(), "lilei")
    await eventually(lambda: len(inbox.platform().sent) == 2)
    again = await inbox.state(failing, "sent")
    await inbox.route()
    assert "" == (await inbox.load(one)).attention
    first, second = inbox.platform().sent
    assert first.id != second.id
    assert again.external_ids != failing.external_ids

    await inbox.recorder.record("shop", [Receipt(failing.external_ids[0], "failed", 2, error="unknown number")])
    inbox.forget()
    await inbox.route()
    assert "sent" == (await inbox.deliveries.load(failing.id)).state
    await inbox.recorder.record("shop", [Receipt(again.external_ids[0], "delivered", 3)])
    await inbox.route()
    await inbox.state(failing, "delivered")


async def test_only_answers_call_people(inbox: Room) -> None:
    """A greeting that is refused, or a notice, is a dead letter and disturbs nobody."""
    one = await inbox.write("hi", ADDRESS)
    await fail(inbox, one, Rejected("no"), author=Author("hub"), auto=True)
    inbox.platform().script.append(Rejected("no"))
    letter = Letter(channel="shop", address=ADDRESS, key="k", lane="survey", text="?", about=one)
    await inbox.state((await inbox.deliveries.owe_letter(letter, inbox.clock()))[0], "dead")
    await inbox.route()
    assert ("open", "") == ((await inbox.load(one)).status, (await inbox.load(one)).attention)
    assert 2 == len((await inbox.deliveries.listing("dead", "", 10))[0])


async def test_every_change_is_told_with_its_cause(inbox: Room) -> None:
    """History and timeline agree: accepted, attempts with error and code, a person, receipts."""
    one = await inbox.write("hi", ADDRESS)
    inbox.platform().script.extend(
        [Unreachable("away", code="503"), Throttled("slowly", retry_after=1), Uncertain("no answer")]
    )
    delivery = await inbox.reply(one, "yes")
    for attempt in (1, 2):
        await eventually(lambda count=attempt: inbox.platform().tried == count)  # type: ignore[misc]
        await inbox.state(delivery, "deferred")
        inbox.move(60)
    await inbox.state(delivery, "uncertain")
    await inbox.route()
    await inbox.deliveries.retry(delivery.id, inbox.clock(), "lilei")
    sent = await inbox.state(delivery, "sent")
    await inbox.recorder.record("shop", [Receipt(sent.external_ids[0], "read", 1)])
    await inbox.route()
    steps = await history(inbox.store, await inbox.state(delivery, "read"))

    assert [
        ("queued", "accepted", 0, "", "", ""),
        ("deferred", "attempt", 1, "", "away", "503"),
        ("deferred", "attempt", 2, "", "slowly", ""),
        ("uncertain", "attempt", 3, "", "no answer", ""),
        ("queued", "person", 0, "lilei", "", ""),
        ("sent", "attempt", 1, "", "", ""),
        ("read", "receipt", 0, "", "", ""),
    ] == [(step.state, step.cause, step.attempt, step.by, step.error, step.code) for step in steps]
    assert all(step.due for step in steps if step.state == "deferred")
    found, _ = await items(inbox.store, (await inbox.load(one)).place, EVERYTHING, None, 100)
    on_timeline = [item.entry.fields["st"] for item in found[::-1] if item.mark in "vw"]
    assert [step.state for step in steps[1:]] == on_timeline
    assert ["uncertain", "undelivered", "queued"] == await events(inbox, one)


@pytest.mark.parametrize("parts", [1, 3])
async def test_a_persons_word_settles_what_is_uncertain(store_url: str, tmp_path: Path, parts: int) -> None:
    """It arrived: the delivery is sent. Of a long answer only the part in question is meant: the rest goes out."""
    platform = Platform(Capabilities(text_limit=5))
    async with room(store_url, tmp_path, platforms={"shop": platform}) as inbox, inbox.sending():
        one = await inbox.write("hi", ADDRESS)
        platform.script.append(Uncertain("no answer"))
        delivery = await inbox.state(await inbox.reply(one, "abcde" * parts), "uncertain")
        await inbox.deliveries.confirm(delivery.id, inbox.clock(), "lilei")
        await inbox.state(delivery, "sent")
        assert ["abcde"] * (parts - 1) == platform.texts
        assert ([], "") == await inbox.deliveries.listing("uncertain", "", 10)
        assert ("person", "lilei") in [
            (step.cause, step.by) for step in await history(inbox.store, await inbox.deliveries.load(delivery.id))
        ]
