"""What is owed leaves when it shall and as it can: later, called back, by another channel, or held for its customer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Capabilities, Outbound, Sent, Throttled, Window, WindowClosed
from inbox.conversations import Change, commit
from inbox.log import Entry
from inbox.partitions import key, parse_id, partition_of, tag
from inbox.timeline import items
from inbox.work import Actor
from outbox.answers import Obstructed, Unfit, Wishes
from outbox.deliveries import NotNow, Reply
from outbox.obstacles import Obstacle, Sending
from outbox.records import Delivery
from outbox.terms import UNDO_MARGIN
from tests.backroom import LILEI, WINDOW, Platform, Room, room
from tests.hubs import TEAMS

ADDRESS, PHONE = "chat:1", "tel:+8613800138000"
CHAT = Capabilities(window=WINDOW, text_limit=10, templates=True)
SMS = Capabilities(reaches=frozenset({"tel"}))
APPROVING = Capabilities(templates=True)
STRICT = Capabilities(templates=True, texts=False)
HOUR = 3600
ANNA = Actor("agent", "lilei", "李雷")
TEXTS = """
waits:
  text: "有新回复：{{ reply.text }}"
  platform: {scripted: {template_id: t-1, data: {thing1: "{{ reply.text }}"}}}
plain: 请看短信
parcel: {text: "{{ contact.name || 您好 }}，单号 {{ tracking }}", variables: [tracking]}
complaint-received: ok
"""


@asynccontextmanager
async def shop(store_url: str, folder: Path, delivery: str = "", *, write: bool = True) -> AsyncIterator[Room]:
    """Open a room with a chat that has a window and an SMS channel; *delivery* is what is configured."""
    more = f"{TEAMS}\nchannels: {{chat: {{kind: webchat}}, sms: {{kind: webchat}}}}\n{delivery}"
    platforms = {"chat": Platform(CHAT), "sms": Platform(SMS)}
    made_room = room(store_url, folder, platforms=platforms, more=more, texts=TEXTS)
    async with made_room as made, made.sending():
        if write:
            await written(made, "在吗")
        yield made


async def written(inbox: Room, text: str) -> None:
    """Let the customer write on the chat."""
    await inbox.write(text, ADDRESS, channel="chat", window=WINDOW)


async def give(inbox: Room, text: str = "好的", client_id: str = "", **wishes: Any) -> Delivery:
    """Answer the customer of the chat."""
    conversation = await inbox.latest(ADDRESS)
    given = await inbox.answers.give(conversation, Reply(LILEI, text, client_id=client_id), Wishes(**wishes))
    return given.delivery


async def events(inbox: Room, name: str) -> list[dict[str, Any]]:
    """Return what the timeline tells of events of this name, the newest first."""
    found, _ = await items(inbox.store, (await inbox.latest(ADDRESS)).place, frozenset("s"), None, 100)
    entries: list[Entry] = [item.entry for item in found]
    return [entry.rest() for entry in entries if entry.fields["ev"] == name]


async def befriend(inbox: Room, *addresses: str) -> None:
    """Note further addresses of the chat's customer."""
    place = parse_id((await inbox.latest(ADDRESS)).contact, "k")
    record: list[str | int] = ["addresses", "\n".join([ADDRESS, *addresses])]
    await commit(inbox.store, place.partition, Change(records=[(f"k:{place.key}", record)]))


FALL_BACK = "delivery: {fallback: {chat: [{template: waits}, {channel: sms}, hold]}}"
TO_SMS = "delivery: {fallback: {chat: [{channel: sms}, hold]}}"
HOLD = "delivery: {fallback: {chat: [{hold: 2d}]}}"
UNDO = "delivery: {undo: 30s}"


async def test_an_answer_leaves_when_it_shall_and_holds_up_nobody(store_url: str, tmp_path: Path) -> None:
    """What is scheduled waits beside the line; later answers go at once, and it goes when its time has come."""
    async with shop(store_url, tmp_path) as inbox:
        at = inbox.clock() + 2 * HOUR * 1000
        later = await give(inbox, "later", send_at=at)
        assert ("queued", at, True) == (later.state, later.due, later.parked)
        assert [later.id] == [one.id for one in (await inbox.deliveries.listing("parked", "", 10))[0]]
        assert "open" == (await inbox.latest(ADDRESS)).status

        await inbox.state(await give(inbox, "now"), "sent")
        assert "pending" == (await inbox.latest(ADDRESS)).status
        assert ["now"] == inbox.platform("chat").texts

        inbox.move(2 * HOUR)
        await inbox.state(later, "sent")
        assert ["now", "later"] == inbox.platform("chat").texts
        assert [] == (await inbox.deliveries.listing("parked", "", 10))[0]


async def test_a_scheduled_answer_counts_when_it_is_out(store_url: str, tmp_path: Path) -> None:
    """The customer waits until then: the first reply is when the answer left, not when it was written."""
    async with shop(store_url, tmp_path) as inbox:
        later = await give(inbox, send_at=inbox.clock() + HOUR * 1000)
        assert 0 == (await inbox.latest(ADDRESS)).first_reply_at

        inbox.move(HOUR)
        await inbox.state(later, "sent")
        one = await inbox.latest(ADDRESS)
        assert ("pending", True) == (one.status, one.first_reply_at >= later.due)


async def test_what_is_scheduled_for_one_moment_keeps_its_order(store_url: str, tmp_path: Path) -> None:
    """Two answers for nine o'clock go out as they were written."""
    async with shop(store_url, tmp_path) as inbox:
        at = inbox.clock() + HOUR * 1000
        owed = [await give(inbox, text, send_at=at) for text in ("1", "2", "3")]
        inbox.move(HOUR)
        for one in owed:
            await inbox.state(one, "sent")
        assert ["1", "2", "3"] == inbox.platform("chat").texts


async def test_a_scheduled_answer_can_be_called_back(store_url: str, tmp_path: Path) -> None:
    """It never goes, the timeline says who called it back, and a second call says that it is over."""
    async with shop(store_url, tmp_path) as inbox:
        later = await give(inbox, send_at=inbox.clock() + HOUR * 1000)
        gone = await inbox.deliveries.cancel(later.id, ANNA, "called back", inbox.clock())
        assert ("failed", "cancelled") == (gone.state, gone.code)
        with pytest.raises(NotNow):
            await inbox.deliveries.cancel(later.id, ANNA, "called back", inbox.clock())
        inbox.move(HOUR)
        await inbox.state(await give(inbox, "now"), "sent")
        assert ["now"] == inbox.platform("chat").texts
        assert [later.id] == [one["delivery"] for one in await events(inbox, "send_cancelled")]


async def test_who_writes_meanwhile_is_not_sent_what_was_meant_for_silence(store_url: str, tmp_path: Path) -> None:
    """unless_written: the customer's next message calls the answer back, once, with a word on the timeline."""
    async with shop(store_url, tmp_path) as inbox:
        later = await give(inbox, "还在吗？", send_at=inbox.clock() + HOUR * 1000, unless_written=True)
        plain = await give(inbox, "提醒", send_at=inbox.clock() + HOUR * 1000)
        await written(inbox, "我在")

        gone = await inbox.state(later, "failed")
        assert "customer_wrote" == gone.code
        inbox.forget()
        await inbox.route()
        assert ["customer_wrote"] == [one["because"] for one in await events(inbox, "send_cancelled")]
        inbox.move(HOUR)
        await inbox.state(plain, "sent")
        assert ["提醒"] == inbox.platform("chat").texts


async def test_undo_surely_prevents_an_answer(store_url: str, tmp_path: Path) -> None:
    """Within its time an answer can be called back and never arrives; after it, it has gone."""
    async with shop(store_url, tmp_path, UNDO) as inbox:
        first, second = await give(inbox, "oops"), await give(inbox, "good")
        assert first.due >= first.created + 30_000 + UNDO_MARGIN
        assert not first.parked
        inbox.move(29)
        await inbox.deliveries.cancel(first.id, ANNA, "called back", inbox.clock())
        inbox.move(3)
        await inbox.state(second, "sent")
        with pytest.raises(NotNow):
            await inbox.deliveries.cancel(second.id, ANNA, "called back", inbox.clock())
        assert ["good"] == inbox.platform("chat").texts


@pytest.mark.parametrize("capabilities", [APPROVING, STRICT], ids=["texts too", "nothing else"])
async def test_an_approved_template_goes_as_it_is_where_there_is_no_window(
    store_url: str, tmp_path: Path, capabilities: Capabilities
) -> None:
    """By SMS in the mainland whoever answers with a template sends what is approved of it, and not its words."""
    platforms = {"chat": Platform(capabilities)}
    more = f"{TEAMS}\nchannels: {{chat: {{kind: webchat}}}}"
    async with room(store_url, tmp_path, platforms=platforms, more=more, texts=TEXTS) as inbox, inbox.sending():
        await inbox.write("在吗", ADDRESS, channel="chat")
        conversation = await inbox.latest(ADDRESS)
        looked = await inbox.answers.look(conversation, Reply(LILEI, "好"), Wishes(template="waits"))
        assert ("template", "waits", "approved") == (looked.action, looked.template, looked.because)
        owed = await give(inbox, "好", template="waits")
        await inbox.state(owed, "sent")
        [sent] = inbox.platform("chat").sent
        assert sent.template is not None
        assert ("t-1", {"thing1": "好"}) == (sent.template.id, sent.template.data)


async def test_words_do_not_go_where_only_templates_do(store_url: str, tmp_path: Path) -> None:
    """A platform that takes nothing but templates refuses an answer before it is owed, or what is configured goes."""
    platforms = {"chat": Platform(STRICT)}
    more = f"{TEAMS}\nchannels: {{chat: {{kind: webchat}}}}\n"
    fallback = "delivery: {fallback: {chat: [{template: waits}]}}"
    async with room(store_url, tmp_path / "a", platforms=platforms, more=more, texts=TEXTS) as inbox:
        await inbox.write("在吗", ADDRESS, channel="chat")
        with pytest.raises(Obstructed) as refused:
            await give(inbox, "好")
        assert ["template_only"] == [one.code for one in refused.value.plan.blocks]
    async with (
        room(store_url, tmp_path / "b", platforms=platforms, more=more + fallback, texts=TEXTS) as inbox,
        inbox.sending(),
    ):
        await inbox.write("还在吗", ADDRESS, channel="chat")
        await inbox.state(await give(inbox, "好"), "sent")
        [sent] = inbox.platform("chat").sent
        assert ({"thing1": "好"}, True) == (sent.template and sent.template.data, sent.template is not None)


async def test_a_closed_window_falls_back_to_a_template_of_the_platform(store_url: str, tmp_path: Path) -> None:
    """The approved template goes out in the place of the answer, with the agent's words in it, and that is told."""
    async with shop(store_url, tmp_path, FALL_BACK) as inbox:
        inbox.move(WINDOW.seconds + 1)
        delivery = await give(inbox, "已退款")
        assert "window_closed" == (delivery.instead.because if delivery.instead is not None else "")
        await inbox.state(delivery, "sent")
        [sent] = inbox.platform("chat").sent
        assert sent.template is not None
        assert ("t-1", {"thing1": "已退款"}) == (sent.template.id, sent.template.data)
        assert ["waits"] == [one["template"] for one in await events(inbox, "fell_back")]


async def test_a_closed_window_falls_back_to_another_channel(store_url: str, tmp_path: Path) -> None:
    """The same contact is written to where a phone number can be reached; each address once, the answer once."""
    async with shop(store_url, tmp_path, TO_SMS) as inbox:
        await befriend(inbox, "mailto:a@example.com", PHONE)
        inbox.move(WINDOW.seconds + 1)
        delivery = await give(inbox, "已退款")
        await inbox.state(delivery, "sent")
        assert [] == inbox.platform("chat").sent
        assert [(PHONE, "已退款", "")] == [(one.address, one.text, one.handle) for one in inbox.platform("sms").sent]
        assert [("chat", "sms", "window_closed")] == [
            (one["from_channel"], one["to_channel"], one["because"]) for one in await events(inbox, "fell_back")
        ]


async def test_facts_that_change_before_the_send_are_seen(store_url: str, tmp_path: Path) -> None:
    """The window closes while the answer waits: it goes another way then, with its cause, in its place in line."""
    async with shop(store_url, tmp_path, f"{TO_SMS[:-1]}, undo: 10m}}") as inbox:
        await befriend(inbox, PHONE)
        inbox.move(WINDOW.seconds - 300)
        first, second = await give(inbox, "1"), await give(inbox, "2")
        assert (None, "chat") == (first.instead, first.channel)
        inbox.move(700)
        for one in (first, second):
            assert "sms" == (await inbox.state(one, "sent")).channel
        assert ["1", "2"] == inbox.platform("sms").texts
        assert 2 == len(await events(inbox, "fell_back"))


async def test_the_platforms_own_no_is_a_fact_too(store_url: str, tmp_path: Path) -> None:
    """A platform that calls the window closed although we thought it open: the fallback is done at once."""
    async with shop(store_url, tmp_path, TO_SMS) as inbox:
        await befriend(inbox, PHONE)
        inbox.platform("chat").script.append(WindowClosed("closed", code="45015"))
        delivery = await inbox.state(await give(inbox, "好的"), "sent")
        assert "sms" == delivery.channel
        assert ["好的"] == inbox.platform("sms").texts


async def test_what_is_held_goes_when_the_customer_writes(store_url: str, tmp_path: Path) -> None:
    """Held answers wait beside the line; the next message of the customer lets them go, in their order."""
    async with shop(store_url, tmp_path, HOLD) as inbox:
        inbox.move(WINDOW.seconds + 1)
        owed = [await give(inbox, text) for text in ("1", "2")]
        assert [("window_closed", True)] * 2 == [(one.code, one.parked) for one in owed]
        await written(inbox, "在吗")
        for one in owed:
            await inbox.state(one, "sent")
        assert ["1", "2"] == inbox.platform("chat").texts


async def test_what_is_held_and_not_for_who_writes_is_called_back(store_url: str, tmp_path: Path) -> None:
    """An answer that was meant for silence goes on being that while it is held."""
    async with shop(store_url, tmp_path, "delivery: {fallback: {chat: [{hold: 9d}]}}") as inbox:
        delivery = await give(inbox, "还在吗", send_at=inbox.clock() + 72 * HOUR * 1000, unless_written=True)
        inbox.move(73 * HOUR)
        await inbox.state(delivery, "deferred")
        await written(inbox, "我在")
        assert "customer_wrote" == (await inbox.state(delivery, "failed")).code
        assert [] == inbox.platform("chat").texts


async def test_what_was_called_back_goes_when_a_person_wants_it(store_url: str, tmp_path: Path) -> None:
    """The customer has written, and somebody sends the answer all the same."""
    async with shop(store_url, tmp_path) as inbox:
        delivery = await give(inbox, "还在吗", send_at=inbox.clock() + HOUR * 1000, unless_written=True)
        await written(inbox, "我在")
        await inbox.state(delivery, "failed")
        await inbox.deliveries.retry(delivery.id, inbox.clock(), "lilei")
        await inbox.state(delivery, "sent")


async def test_half_an_answer_is_not_called_back(store_url: str, tmp_path: Path) -> None:
    """Who writes after the first part gets the rest as well; nobody can call it back any more."""
    async with shop(store_url, tmp_path) as inbox:
        delivery = await give(inbox, "0123456789abcdefghij", send_at=inbox.clock() + HOUR * 1000, unless_written=True)
        inbox.platform("chat").script.extend([Sent("p1"), Throttled("slow", retry_after=30)])
        inbox.move(HOUR + 1)
        delivery = await inbox.state(delivery, "deferred")
        assert (1, 2) == (delivery.part, delivery.of)
        await written(inbox, "??")
        with pytest.raises(NotNow, match="a part"):
            await inbox.deliveries.cancel(delivery.id, ANNA, "called back", inbox.clock())
        inbox.move(60)
        await inbox.state(delivery, "sent")


async def test_only_who_writes_after_an_answer_calls_it_back(store_url: str, tmp_path: Path) -> None:
    """A reader of the log that is behind tells of a message to which the answer was written."""
    async with shop(store_url, tmp_path) as inbox:
        await give(inbox, "A", send_at=inbox.clock() + HOUR * 1000, unless_written=True)
        await written(inbox, "我在")
        later = await give(inbox, "B", send_at=inbox.clock() + HOUR * 1000, unless_written=True)
        inbox.forget()
        await inbox.route()
        assert "queued" == (await inbox.deliveries.load(later.id)).state


async def test_a_held_answer_that_a_person_sends_joins_the_line(store_url: str, tmp_path: Path) -> None:
    """It goes when its turn comes, and what stands behind it as well."""
    async with shop(store_url, tmp_path, "delivery: {fallback: {chat: [{hold: 9d}]}}") as inbox:
        held = await give(inbox, "A", send_at=inbox.clock() + 72 * HOUR * 1000)
        inbox.move(73 * HOUR)
        await inbox.state(held, "deferred")
        inbox.platform("chat").script.append(Throttled("slow", retry_after=30))
        before = await give(inbox, "B", insist=True)
        await inbox.state(before, "deferred")
        await inbox.deliveries.retry(held.id, inbox.clock(), "lilei")
        behind = await give(inbox, "C", insist=True)
        inbox.move(60)
        for one in (before, held, behind):
            await inbox.state(one, "sent")


async def test_a_window_that_is_opened_again_stays_open(store_url: str, tmp_path: Path) -> None:
    """The platform's no crosses a message of the customer: the answer goes after all."""
    async with shop(store_url, tmp_path, HOLD) as inbox:

        async def cross(_: Outbound) -> Sent:
            await written(inbox, "还有")
            raise WindowClosed("45015")

        inbox.platform("chat").script.append(cross)
        await inbox.state(await give(inbox), "sent")
        assert "send" == (await inbox.answers.look(await inbox.latest(ADDRESS), Reply(LILEI, "B"))).action


async def test_a_template_gives_no_message_of_the_window_back(store_url: str, tmp_path: Path) -> None:
    """What took none has none to give back, however often it is tried."""
    async with shop(store_url, tmp_path, FALL_BACK) as inbox:
        platform, partition = inbox.platform("chat"), partition_of(ADDRESS)
        platform.script.extend([WindowClosed("45015"), Throttled("slow", retry_after=1)])
        delivery = await give(inbox)
        await inbox.state(delivery, "deferred")
        inbox.move(10)
        await inbox.state(delivery, "sent")
        left = await inbox.store.do(tag(partition), "HGET", key(partition, f"a:{ADDRESS}"), "wl:chat")
        assert "0" == left


async def test_what_is_held_for_too_long_is_given_up(store_url: str, tmp_path: Path) -> None:
    """After its time a held answer is a dead letter that says why."""
    async with shop(store_url, tmp_path, HOLD) as inbox:
        inbox.move(WINDOW.seconds + 1)
        delivery = await give(inbox)
        inbox.move(2 * 24 * HOUR + 1)
        dead = await inbox.state(delivery, "dead")
        assert ("window_closed", False) == (dead.code, dead.parked)


async def test_the_worker_holds_what_was_accepted_in_time(store_url: str, tmp_path: Path) -> None:
    """The window closes in the time to undo: the answer is put aside and nothing behind it waits for it."""
    async with shop(store_url, tmp_path, "delivery: {undo: 10m, fallback: {chat: [hold]}}") as inbox:
        inbox.move(WINDOW.seconds - 60)
        delivery = await give(inbox)
        inbox.move(700)
        held = await inbox.state(delivery, "deferred")
        assert ("window_closed", True, "release") == (held.code, held.parked, held.heeds)
        await written(inbox, "你好")
        await inbox.state(delivery, "sent")
        assert ["好的"] == inbox.platform("chat").texts


async def test_without_a_way_out_an_answer_is_refused(store_url: str, tmp_path: Path) -> None:
    """Nothing is owed, and what stands in the way is told; whoever insists leaves it to the platform."""
    async with shop(store_url, tmp_path) as inbox:
        inbox.move(WINDOW.seconds + 1)
        with pytest.raises(Obstructed) as refused:
            await give(inbox)
        assert ["window_closed"] == [one.code for one in refused.value.plan.blocks]
        assert 1 == (await inbox.latest(ADDRESS)).messages

        await inbox.state(await give(inbox, insist=True), "sent")
        assert ["好的"] == inbox.platform("chat").texts


async def test_what_waits_in_line_counts(store_url: str, tmp_path: Path) -> None:
    """Answers that are not out yet have used up the window as far as the next one is concerned."""
    async with shop(store_url, tmp_path, UNDO) as inbox:
        for text in ("1", "2", "3", "x" * 20):
            await give(inbox, text)
        with pytest.raises(Obstructed) as refused:
            await give(inbox, "one too many")
        assert ["quota_used"] == [one.code for one in refused.value.plan.blocks]
        assert 5 == refused.value.plan.way.owed


async def test_what_is_on_its_way_counts_once(store_url: str, tmp_path: Path) -> None:
    """A request that is out has used its message of the window up: the last ones can be given while it hangs."""
    async with shop(store_url, tmp_path) as inbox:
        reached, answered = asyncio.Event(), asyncio.Event()

        async def hang(_: Outbound) -> Sent:
            reached.set()
            await answered.wait()
            return Sent("x1")

        inbox.platform("chat").script.append(hang)
        given = [await give(inbox, "first")]
        await reached.wait()
        given += [await give(inbox, text) for text in "2345"]
        with pytest.raises(Obstructed) as refused:
            await give(inbox, "one too many")
        assert (4, 4) == (refused.value.plan.way.left, refused.value.plan.way.owed)
        answered.set()
        for one in given:
            await inbox.state(one, "sent")


async def test_a_repeated_call_gets_what_is_owed(store_url: str, tmp_path: Path) -> None:
    """The same client_id gives the delivery that is there, also when the window has closed since."""
    async with shop(store_url, tmp_path) as inbox:
        first = await give(inbox, client_id="a")
        await inbox.state(first, "sent")
        inbox.move(WINDOW.seconds + 1)
        assert first.id == (await give(inbox, client_id="a")).id


TEMPLATES = [
    pytest.param({"template": "parcel", "variables": {"tracking": "SF1"}}, "", "您好，单号 SF1", id="filled"),
    pytest.param({"template": "parcel", "variables": {"tracking": "SF1"}}, "谢谢", "您好，单号 SF1\n谢谢", id="before"),
    pytest.param({"template": "waits"}, "在", "有新回复：在", id="the words are in it"),
]


@pytest.mark.parametrize(("wishes", "text", "told"), TEMPLATES)
async def test_a_template_stands_before_the_words(
    store_url: str, tmp_path: Path, wishes: Any, text: str, told: str
) -> None:
    """Its variables are filled; an agent's own words stand below it, or in it where it asks for them."""
    async with shop(store_url, tmp_path) as inbox:
        one = await inbox.latest(ADDRESS)
        plan = await inbox.answers.look(one, Reply(LILEI, text), Wishes(**wishes))
        assert told == plan.content.text


UNFIT = [
    pytest.param({"template": "parcel"}, "tracking", id="no value"),
    pytest.param({"template": "parcel", "variables": {"tracking": " "}}, "tracking", id="a blank value"),
    pytest.param({"template": "parcel", "variables": {"trakking": "1", "tracking": "2"}}, "trakking", id="no variable"),
    pytest.param({"template": "nothing"}, "nothing", id="no template"),
    pytest.param({"variables": {"tracking": "1"}}, "none is named", id="variables alone"),
    pytest.param({"send_at": 1}, "send_at", id="in the past"),
]


@pytest.mark.parametrize(("wishes", "reason"), UNFIT)
async def test_what_cannot_be_meant_is_said(store_url: str, tmp_path: Path, wishes: Any, reason: str) -> None:
    """No customer ever reads a hole; whoever writes is told which names lack a value."""
    async with shop(store_url, tmp_path) as inbox:
        with pytest.raises(Unfit, match=reason):
            await give(inbox, **wishes)


async def test_quiet_hours_hold_a_survey_until_their_end(store_url: str, tmp_path: Path) -> None:
    """What nobody waits for is put aside until the morning, and goes then."""
    async with shop(store_url, tmp_path, 'delivery: {quiet: {hours: "00:00-24:00"}}') as inbox:
        conversation = await inbox.latest(ADDRESS)
        survey = Reply(LILEI, "满意吗", lane="survey")
        delivery, _ = await inbox.deliveries.enqueue(conversation, survey, inbox.clock())
        held = await inbox.state(delivery, "deferred")
        assert ("quiet_hours", True) == (held.code, held.parked)
        assert inbox.clock() < held.due <= inbox.clock() + 24 * HOUR * 1000
        await inbox.state(await give(inbox), "sent")


async def test_others_may_object(store_url: str, tmp_path: Path) -> None:
    """Whoever guards something is asked when an answer is accepted and again before it leaves, and is obeyed."""
    asked: list[Sending] = []
    verdict: list[Obstacle] = []

    async def object_(sending: Sending) -> tuple[Obstacle, ...]:
        asked.append(sending)
        return tuple(verdict)

    async with shop(store_url, tmp_path, UNDO) as inbox:
        inbox.planner.objections = (object_,)
        delivery = await give(inbox, "身份证号")
        assert [("chat", ADDRESS, "reply", "身份证号", "lilei")] == [
            (one.channel, one.address, one.lane, one.text, one.agent) for one in asked
        ]
        verdict.append(Obstacle("guard", "block", "a secret"))
        inbox.move(31)
        dead = await inbox.state(delivery, "dead")
        assert ("guard", "a secret") == (dead.code, dead.error)
        with pytest.raises(Obstructed):
            await give(inbox, "身份证号")


def test_the_other_address_lies_elsewhere() -> None:
    """The fallbacks of these tests cross partitions."""
    assert partition_of(ADDRESS) != partition_of(PHONE)
    assert Window(1, 0).messages == 0


async def test_a_retry_sends_what_another_way_could_not(store_url: str, tmp_path: Path) -> None:
    """Several parts were to go by chat, one went by SMS instead and failed: the retry sends that one again."""
    async with shop(store_url, tmp_path, TO_SMS) as inbox:
        await befriend(inbox, PHONE)
        inbox.platform("chat").script.append(WindowClosed("closed", code="45015"))
        delivery = await inbox.state(await give(inbox, "one two three four five six"), "sent")
        assert ("sms", 1, 1) == (delivery.channel, delivery.of, delivery.part)
        await inbox.deliveries.settle(delivery, "failed", inbox.clock(), cause="receipt", error="not delivered")
        await inbox.deliveries.retry(delivery.id, inbox.clock())
        await inbox.state(delivery, "sent")

        assert 2 == len(inbox.platform("sms").texts)
