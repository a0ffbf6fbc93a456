"""Letters: owed once, sent like answers, beside every conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Capabilities, Choice, Echo, Outbound, Receipt, Rejected, Sent, Throttled, Unreachable
from inbox.partitions import key, tag
from outbox.deliveries import Delivery
from outbox.letters import Letter
from outbox.retries import STANDARD_WEBHOOKS, Delays
from tests.backroom import Platform, Room, eventually, room

ADDRESS = "tel:+8613800138000"
SCORES = (Choice("5", "满意"), Choice("1", "不满意"))
PAGES = (Choice("yes", "Yes & more", "https://hub.example.com/s/y?a=1&b=2"), Choice("no", "No"))


@asynccontextmanager
async def shop(store_url: str, folder: Path, **capabilities: object) -> AsyncIterator[Room]:
    """Open a room whose outbox is at work."""
    platform = Platform(Capabilities(**capabilities))  # type: ignore[arg-type]
    async with room(store_url, folder, platforms={"shop": platform}) as made, made.sending():
        yield made


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with shop(store_url, tmp_path) as made:
        yield made


async def owe(inbox: Room, text: str = "hello", key: str = "", **fields: object) -> Delivery:
    """Owe a letter to the one address."""
    letter = Letter(channel="shop", address=ADDRESS, key=key or text, lane="notice", text=text, **fields)  # type: ignore[arg-type]
    return (await inbox.deliveries.owe_letter(letter, inbox.clock()))[0]


async def test_a_letter_goes_out_with_all_it_needs(inbox: Room) -> None:
    """No conversation is needed; what the letter says reaches the connector, and the delivery says what it is about."""
    delivery = await owe(
        inbox, "新的会话", html="<p>x</p>", subject="s", handle="h", refs=("r1",), author="汇流", about="c1-a"
    )
    assert ("", "c1-a", "notice") == (delivery.conversation, delivery.about, delivery.lane)
    await inbox.state(delivery, "sent")

    [sent] = inbox.platform().sent
    assert ("新的会话", "<p>x</p>", "s", "h", ("r1",), "汇流", True) == (
        *(sent.text, sent.html, sent.subject, sent.handle, sent.refs, sent.author, sent.auto),
    )
    assert [] == await inbox.conversations()


async def test_one_key_is_one_letter(inbox: Room) -> None:
    """32 at once with one key: one is new, one goes out; another key, address or channel is another letter."""
    letter = Letter(channel="shop", address=ADDRESS, key="k", lane="survey", text="once")
    done = await asyncio.gather(*(inbox.deliveries.owe_letter(letter, inbox.clock()) for _ in range(32)))
    assert (1, 1) == (len({one.id for one, _ in done}), sum(fresh for _, fresh in done))
    await inbox.state(done[0][0], "sent")
    again, fresh = await inbox.deliveries.owe_letter(letter, inbox.clock())
    assert ("sent", False) == (again.state, fresh)
    await inbox.state(await owe(inbox, "two"), "sent")
    assert ["once", "two"] == inbox.platform().texts


@pytest.mark.parametrize("letters_first", [True, False])
async def test_letters_and_a_conversation_do_not_wait_for_each_other(inbox: Room, letters_first: bool) -> None:
    """Whichever of them hangs, the other goes out."""
    gate = asyncio.Event()

    async def slow(_: Outbound) -> Sent:
        await gate.wait()
        return Sent("slow")

    one = await inbox.write("hi", ADDRESS)
    inbox.platform().script.append(slow)
    if letters_first:
        hanging = await owe(inbox, "letter")
        await eventually(lambda: inbox.platform().tried == 1)
        other = await inbox.reply(one, "reply")
    else:
        hanging = await inbox.reply(one, "reply")
        await eventually(lambda: inbox.platform().tried == 1)
        other = await owe(inbox, "letter")
    await inbox.state(other, "sent")
    assert "sending" == (await inbox.deliveries.load(hanging.id)).state
    gate.set()
    await inbox.state(hanging, "sent")


@pytest.mark.parametrize(("ordered", "texts"), [(True, []), (False, ["1", "2"])])
async def test_order_is_kept_where_it_is_asked_for(inbox: Room, ordered: bool, texts: list[str]) -> None:
    """While the first of several is deferred, later ones wait if they are ordered, and only then."""
    inbox.platform().script.append(Throttled("slowly", retry_after=5))
    first = await owe(inbox, "0", ordered=ordered)
    await inbox.state(first, "deferred")
    others = [await owe(inbox, f"{number}", ordered=ordered) for number in (1, 2)]
    if not ordered:
        await asyncio.gather(*(inbox.state(other, "sent") for other in others))
    assert texts == sorted(inbox.platform().texts)
    inbox.move(10)
    await asyncio.gather(*(inbox.state(one, "sent") for one in (first, *others)))
    if ordered:
        assert ["0", "1", "2"] == inbox.platform().texts
    assert ([], "") == await inbox.deliveries.listing("due", "", 10)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_dead_letter_is_kept_and_sent_again(inbox: Room, ordered: bool) -> None:
    """A refused letter is listed until a person retries it; the record of one that is out goes after its time."""
    inbox.platform().script.append(Rejected("no such user", code="40003"))
    delivery = await inbox.state(await owe(inbox, ordered=ordered), "dead")
    assert [delivery.id] == [one.id for one in (await inbox.deliveries.listing("dead", "", 10))[0]]
    place = delivery.place
    name = key(place.partition, f"d:{place.key}")
    assert await inbox.store.do(tag(place.partition), "PTTL", name) == -1

    await inbox.deliveries.retry(delivery.id, inbox.clock())
    await inbox.state(delivery, "sent")
    assert ["hello"] == inbox.platform().texts
    assert await inbox.store.do(tag(place.partition), "PTTL", name) > 0
    assert ([], "") == await inbox.deliveries.listing("dead", "", 10)


async def test_receipts_and_echoes_of_letters(inbox: Room) -> None:
    """A letter is delivered when its receipt says so; its echo is no message of a person."""
    delivery = await inbox.state(await owe(inbox), "sent")
    [external_id] = delivery.external_ids
    await inbox.recorder.record(
        "shop",
        [Receipt(external_id, "delivered", inbox.clock()), Echo(external_id, ADDRESS, inbox.clock(), "hello")],
    )
    await inbox.route()
    await inbox.state(delivery, "delivered")
    assert [] == await inbox.conversations()


async def test_a_schedule_of_its_own(inbox: Room) -> None:
    """A letter with delays of its own is tried after these, and is dead after the last."""
    inbox.platform().script.extend([Unreachable("away"), Throttled("slowly", retry_after=100), Unreachable("away")])
    delivery = await inbox.state(await owe(inbox, schedule="5,60"), "deferred")
    assert 4_000 < delivery.due - delivery.changed < 6_000
    inbox.move(6)
    await eventually(lambda: inbox.platform().tried == 2)
    delivery = await inbox.state(delivery, "deferred")
    assert delivery.due - delivery.changed == 100_000  # Retry-After is longer than the delay
    inbox.move(101)
    await inbox.state(delivery, "dead")


def test_the_schedule_of_standard_webhooks() -> None:
    """Ten attempts over 75 hours 35 minutes, as the specification recommends; each wait within a tenth."""
    delays = Delays.of(STANDARD_WEBHOOKS)
    assert (75 * 60 + 35) * 60_000 + 5_000 == sum(delays.waits)
    for attempts, wait in enumerate(delays.waits, 1):
        due = [delays.next_due(attempts, 0, Unreachable(""), 0, chance) for chance in (0.0, 0.5, 1.0)]
        assert due == pytest.approx([wait * 0.9, wait, wait * 1.1])
    assert delays.next_due(10, 0, Unreachable(""), 0) is None


CHOICES = [
    pytest.param({"choices": 2}, SCORES, "?", "", SCORES, id="native"),
    pytest.param({"choices": 1}, SCORES, "?\n5. 满意\n1. 不满意", "", (), id="too many for the platform"),
    pytest.param(
        {"html": True},
        PAGES,
        "?\n1. Yes & more https://hub.example.com/s/y?a=1&b=2\n2. No",
        '<b>?</b><p>1. <a href="https://hub.example.com/s/y?a=1&amp;b=2">Yes &amp; more</a></p><p>2. No</p>',
        (),
        id="written, with pages",
    ),
]


@pytest.mark.parametrize(("capabilities", "choices", "text", "html", "native"), CHOICES)
@pytest.mark.parametrize("letter", [True, False])
async def test_choices(  # one value for each fact of the table
    store_url: str,
    tmp_path: Path,
    capabilities: dict[str, object],
    choices: tuple[Choice, ...],
    text: str,
    html: str,
    native: tuple[Choice, ...],
    letter: bool,
) -> None:
    """Choices are pressed where the platform can show so many, and else are numbered lines that a reader can answer."""
    async with shop(store_url, tmp_path, **capabilities) as inbox:
        fields: dict[str, Any] = {"choices": choices, "html": "<b>?</b>" if html else ""}
        if letter:
            delivery = await owe(inbox, "?", **fields)
        else:
            delivery = await inbox.reply(await inbox.write("hi", ADDRESS), "?", **fields)
        await inbox.state(delivery, "sent")
        [sent] = inbox.platform().sent
        assert (text, html, native) == (sent.text, sent.html, sent.choices)
