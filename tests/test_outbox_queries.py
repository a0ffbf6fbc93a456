"""Platforms that can be asked settle what is uncertain, and only if their answer leaves no doubt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.base import (
    Capabilities,
    Kit,
    Known,
    Outbound,
    Question,
    Receipt,
    SecretStr,
    Sent,
    Uncertain,
    Unreachable,
)
from connectors.simulators.twilio import TwilioPlatform
from connectors.twilio import TwilioOptions, TwilioSms
from inbox.channels import Channel
from inbox.store import StoreError
from outbox.deliveries import Delivery
from outbox.queries import SURE
from tests.backroom import Platform, Room, eventually, room
from tests.hubs import served

ADDRESS = "tel:+8613800138000"
ACCOUNT, TOKEN = "AC" + "0" * 32, "secret"


class Told(Platform):
    """A platform that lists what it took."""

    def __init__(self) -> None:
        super().__init__(Capabilities(text_limit=5))
        self.listed: tuple[Known, ...] | Exception | None = None
        self.questions: list[Question] = []

    async def query(self, question: Question) -> tuple[Known, ...] | None:
        self.questions.append(question)
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed


@asynccontextmanager
async def asking(store_url: str, folder: Path) -> AsyncIterator[tuple[Room, Told]]:
    """Open a room with an uncertain delivery's platform, its outbox at work."""
    platform = Told()
    async with room(store_url, folder, platforms={"shop": platform}) as inbox, inbox.sending(queries=True):
        yield inbox, platform


async def doubtful(inbox: Room, text: str = "yes") -> Delivery:
    """Return an uncertain answer to the one customer."""
    one = await inbox.write("hi", ADDRESS)
    inbox.platform().script.append(Uncertain("no answer"))
    return await inbox.state(await inbox.reply(one, text), "uncertain")


FOUND = [
    pytest.param((Known("k1", "yes"),), "sent", id="taken"),
    pytest.param((Known("k0", "no"), Known("k1", "yes", "delivered")), "delivered", id="delivered, beside another one"),
    pytest.param((Known("k1", "yes", "failed", "unknown number"),), "failed", id="failed"),
]


@pytest.mark.parametrize(("listed", "state"), FOUND)
async def test_what_the_platform_lists_is_not_sent_again(
    store_url: str, tmp_path: Path, listed: tuple[Known, ...], state: str
) -> None:
    """A message with the same words that belongs to nobody else is ours, in the state that the platform knows."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox)
        platform.listed = listed
        inbox.move(6)
        settled = await inbox.state(delivery, state)
        assert ("k1",) == settled.external_ids
        assert [] == platform.texts
        assert delivery.id == await inbox.deliveries.linked("shop", "k1")
        [question] = platform.questions
        assert (delivery.id, ADDRESS) == (question.id, question.address)


DOUBTS = [
    pytest.param(None, id="the platform is not certain"),
    pytest.param((Known("k1", "something else"),), id="something that nobody knows went there"),
    pytest.param(Unreachable("away"), id="the platform is away"),
    pytest.param(RuntimeError("a bug"), id="a fault in the connector"),
]


@pytest.mark.parametrize("listed", DOUBTS)
async def test_in_doubt_a_person_decides(
    store_url: str, tmp_path: Path, listed: tuple[Known, ...] | Exception | None
) -> None:
    """It is asked four times within half an hour, stays uncertain and is not sent again."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox)
        platform.listed = listed
        for count, seconds in enumerate((6, 60, 300, 1800), 1):
            inbox.move(seconds)
            await eventually(lambda count=count: len(platform.questions) == count)  # type: ignore[misc]
        inbox.move(7200)
        assert "uncertain" == (await inbox.deliveries.load(delivery.id)).state
        assert (4, []) == (len(platform.questions), platform.texts)


async def test_what_is_surely_absent_is_sent_again(store_url: str, tmp_path: Path) -> None:
    """Nothing went there that is not accounted for: the message goes out, but not before the list had time to fill."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        one = await inbox.write("hi", ADDRESS)
        platform.script.append(Sent("k0"))
        await inbox.state(await inbox.reply(one, "yes"), "sent")
        delivery = await doubtful(inbox)
        platform.listed = (Known("k0", "yes"),)  # the one before, with the same words
        inbox.move(6)
        await eventually(lambda: len(platform.questions) == 1)
        assert "uncertain" == (await inbox.deliveries.load(delivery.id)).state
        inbox.move(60)
        await inbox.state(delivery, "sent")
        assert ["yes", "yes"] == platform.texts  # each of the two answers once


async def test_an_answer_that_came_too_late_sends_nothing(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the platform did not have when it was asked is not sent for that, when a person has sent it meanwhile."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox)
        absent, told = inbox.deliveries.absent, asyncio.Event()

        async def lost(message_: Outbound) -> Sent:
            platform.sent.append(message_)
            raise Uncertain("no answer")

        async def late(*known: Any) -> None:
            platform.script.append(lost)
            await inbox.deliveries.retry(delivery.id, inbox.clock())
            await eventually(lambda: len(platform.sent) == 1)
            await inbox.state(delivery, "uncertain")
            platform.listed = None
            try:
                await absent(*known)
            finally:
                told.set()

        monkeypatch.setattr(inbox.deliveries, "absent", late)
        platform.listed = ()
        inbox.move(SURE / 1000 + 6)
        await told.wait()

        assert "uncertain" == (await inbox.deliveries.load(delivery.id)).state
        assert 1 == len(platform.sent)


async def test_twins_are_told_apart_by_number(store_url: str, tmp_path: Path) -> None:
    """Of two uncertain messages with the same words the platform has one: one is settled, the other is sent again."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        twins = [await doubtful(inbox), await doubtful(inbox)]
        platform.listed = (Known("k1", "yes"),)
        inbox.move(6)
        await eventually(lambda: len(platform.questions) >= 2)
        inbox.move(60)
        for twin in twins:
            await inbox.state(twin, "sent")
        assert ["yes"] == platform.texts


async def test_the_rest_of_a_long_answer_follows(store_url: str, tmp_path: Path) -> None:
    """The first of two parts is found: the second goes out, the first does not go twice."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox, "abcdefgh")
        platform.listed = (Known("k1", "abcde"),)
        inbox.move(6)
        settled = await inbox.state(delivery, "sent")
        assert ["fgh"] == platform.texts
        assert ("k1", "x1") == settled.external_ids


async def test_our_own_id_says_more_than_words(store_url: str, tmp_path: Path) -> None:
    """A platform that gives back our id may put other words around ours: it is found all the same."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox)
        platform.listed = (Known(delivery.id, "【shop】yes", "delivered"),)
        inbox.move(6)
        settled = await inbox.state(delivery, "delivered")
        assert ((delivery.id,), []) == (settled.external_ids, platform.texts)


@pytest.mark.parametrize(("state", "error"), [("delivered", ""), ("failed", "unknown number")])
async def test_a_receipt_with_our_own_id_settles_what_is_in_doubt(
    store_url: str, tmp_path: Path, state: Any, error: str
) -> None:
    """Whoever reports what became of a message has had it; a stranger's id, or another channel's, changes nothing."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox)
        for channel, name in (("other", delivery.id), ("shop", f"{delivery.id}.1"), ("shop", "d1-no"), ("shop", "x-1")):
            await inbox.recorder.record(channel, [Receipt(name, "delivered", 1)])
        await inbox.recorder.record("shop", [Receipt(delivery.id, state, inbox.clock(), error)])
        await inbox.route()
        settled = await inbox.state(delivery, state)
        assert (error, []) == (settled.error, platform.texts)


@pytest.mark.parametrize(("state", "expected"), [("delivered", "delivered"), ("failed", "deferred")])
async def test_what_arrived_is_not_sent_again(store_url: str, tmp_path: Path, state: Any, expected: str) -> None:
    """A retry waits when a receipt says that the message arrived after all: it does not go; if it failed, it does."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox)
        platform.script.append(Unreachable("away"))
        await inbox.deliveries.retry(delivery.id, inbox.clock())
        await inbox.state(delivery, "deferred")
        await inbox.recorder.record("shop", [Receipt(delivery.id, state, inbox.clock())])
        await inbox.route()
        assert expected == (await inbox.deliveries.load(delivery.id)).state
        due, _ = await inbox.deliveries.listing("due", "", 10)
        assert [delivery.id] * (expected == "deferred") == [one.id for one in due]
        inbox.move(60)
        await inbox.state(delivery, "delivered" if expected == "delivered" else "sent")
        assert ["yes"] * (expected == "deferred") == platform.texts


async def test_a_part_is_settled_by_its_own_receipt(store_url: str, tmp_path: Path) -> None:
    """The first of two parts was in doubt: its receipt lets the second one go, once."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox, "abcdefgh")
        await inbox.recorder.record("shop", [Receipt(f"{delivery.id}.0", "delivered", inbox.clock())])
        await inbox.route()
        await inbox.state(delivery, "sent")
        assert ["fgh"] == platform.texts


@pytest.mark.parametrize(
    ("text", "rest"), [pytest.param("yes", [], id="whole"), pytest.param("abcdefgh", ["fgh"], id="part")]
)
@pytest.mark.parametrize("how", ["query", "receipt"])
async def test_a_death_while_it_is_settled(
    store_url: str, tmp_path: Path, text: str, rest: list[str], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process knew the platform's id and died before it settled the delivery: what arrived is not sent again."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox, text)

        async def dies(*_: Any, **__: Any) -> str:
            raise StoreError

        with monkeypatch.context() as patch, contextlib.suppress(StoreError):
            patch.setattr(inbox.deliveries, "settle", dies)
            await inbox.deliveries.arrived(delivery, inbox.clock(), cause="query", external_id="k1")
        if how == "receipt":
            await inbox.recorder.record("shop", [Receipt("k1", "delivered", 1)])
            await inbox.route()
        platform.listed = (Known("k1", text[:5]),)
        inbox.move(SURE / 1000 + 6)
        settled = await inbox.state(delivery, "sent", "delivered")
        assert "k1" == settled.external_ids[0]
        assert rest == platform.texts


async def test_what_failed_before_is_not_what_is_in_doubt_now(store_url: str, tmp_path: Path) -> None:
    """A list that still has the first message, which failed, says nothing about the one that a person sent anew."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox)
        platform.listed = (Known("k1", "yes", "failed", "unknown number"),)
        inbox.move(6)
        await inbox.state(delivery, "failed")
        platform.script.append(Uncertain("no answer"))
        await inbox.deliveries.retry(delivery.id, inbox.clock())
        await inbox.state(delivery, "uncertain")
        platform.listed = (Known("k1", "yes", "failed", "unknown number"), Known("k2", "yes"))
        inbox.move(6)
        assert ("k2",) == (await inbox.state(delivery, "sent")).external_ids


@pytest.mark.parametrize("how", ["query", "receipt"])
async def test_a_part_that_failed_is_not_out(store_url: str, tmp_path: Path, how: str) -> None:
    """The first of two parts failed: a person's retry sends the whole answer anew; what is said of the first is old."""
    async with asking(store_url, tmp_path) as (inbox, platform):
        delivery = await doubtful(inbox, "abcdefgh")
        if how == "query":
            platform.listed = (Known("k1", "abcde", "failed", "unknown number"),)
            inbox.move(6)
        else:
            await inbox.recorder.record("shop", [Receipt(f"{delivery.id}.0", "failed", inbox.clock(), "no")])
            await inbox.route()
        assert 0 == (await inbox.state(delivery, "failed")).part
        platform.script.append(Unreachable("away"))
        await inbox.deliveries.retry(delivery.id, inbox.clock())
        again = await inbox.state(delivery, "deferred")
        assert (1, ()) == (again.round, again.external_ids)
        for name in ("k1", f"{delivery.id}.0"):
            await inbox.recorder.record("shop", [Receipt(name, "failed", 1, "unknown number")])
        await inbox.route()
        assert "deferred" == (await inbox.deliveries.load(delivery.id)).state
        inbox.move(60)
        await inbox.state(delivery, "sent")
        assert ["abcde", "fgh"] == platform.texts


@pytest.mark.parametrize("taken", [True, False], ids=["it was taken", "it was not"])
async def test_twilio_is_asked(store_url: str, tmp_path: Path, taken: bool) -> None:
    """Twilio took a message and the connection broke, or it broke before: one message reaches the customer."""
    async with (
        room(store_url, tmp_path, platforms={"shop": Platform()}) as inbox,
        aiohttp.ClientSession() as http,
    ):
        twilio = TwilioPlatform(ACCOUNT, TOKEN, "https://hub.example.com/hooks/sms", now=inbox.clock)
        async with served(twilio.app) as url:
            options = TwilioOptions(
                account_sid=ACCOUNT,
                auth_token=SecretStr(TOKEN),
                from_number=twilio.numbers[0],
                api_base=url,
                status_callback=False,
            )
            kit = Kit("shop", http, None, "https://hub.example.com", inbox.clock)  # type: ignore[arg-type]
            connector = TwilioSms(options, kit)
            inbox.channels.by_name = {"shop": Channel("shop", "twilio-sms", connector)}
            async with inbox.sending(queries=True):
                one = await inbox.write("hi", ADDRESS, handle=twilio.numbers[0])
                twilio.faults.silent = 1
                delivery = await inbox.state(await inbox.reply(one, "您好"), "uncertain")
                if not taken:
                    twilio.messages.clear()
                inbox.move(6)
                if not taken:
                    inbox.move(60)
                settled = await inbox.state(delivery, "sent")
        assert ["您好"] == [message.body for message in twilio.messages]
        assert (twilio.messages[0].sid,) == settled.external_ids
