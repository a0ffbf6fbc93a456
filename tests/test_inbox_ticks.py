"""Warnings and breaches reach the conversation's log once, at their time, whoever dies or changes what meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Sla
from connectors.base import Echo
from inbox.clocks import Told
from inbox.conversations import CLOCKS, Conflict
from inbox.leases import Held
from inbox.partitions import key, partition_of, tag
from inbox.promises import Promises, due_times
from inbox.ticks import EVENTS
from inbox.timeline import MESSAGES, items
from inbox.work import HUB
from outbox.deliveries import Author
from tests.backroom import Clock, Room, message, room
from tests.hubs import TEAMS

ADDRESS = "tel:+8613800138000"
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
PROMISES = f"""{TEAMS.replace("frontdesk: {name: 前台,", "frontdesk: {name: 前台, sla: standard,")}
sla:
  standard: {{first_reply: 30m, next_reply: 20m, resolution: 24h}}
  strict: {{first_reply: 5m, warn_at: 100s}}
"""


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path, more=PROMISES) as made:
        yield made


async def settle(inbox: Room) -> int | None:
    """Look at the clocks until there is nothing left to do now; return when the next one is due."""
    while True:
        next_at = await inbox.ticks.turn()
        if next_at is None or next_at > inbox.clock():
            return next_at


async def told(inbox: Room, conversation: str) -> list[tuple[str, str, int]]:
    """Return the events of a conversation's clocks, oldest first, each with its minute since the opening."""
    one = await inbox.load(conversation)
    found, _ = await items(inbox.store, one.place, MESSAGES, None, 200)
    entries = [item.entry for item in reversed(found) if item.entry.fields.get("ev") in EVENTS]
    return [
        (entry.fields["ev"], entry.rest()["clock"], (int(entry.fields["at"]) - one.opened_at) // MINUTE)
        for entry in entries
    ]


async def scores(inbox: Room, address: str = ADDRESS) -> dict[str, float]:
    """Return the partition's clocks by when they are looked at next."""
    partition = partition_of(address)
    reply = await inbox.store.do(tag(partition), "ZRANGE", key(partition, CLOCKS), 0, -1, "WITHSCORES")
    return {name: float(score) for name, score in zip(reply[::2], reply[1::2], strict=True)}


async def test_a_warning_and_a_breach_come_at_their_time(inbox: Room) -> None:
    """Not before, once each, with the instant that was promised; and the next time to look is known."""
    one = await inbox.write("你好", ADDRESS)
    opened = (await inbox.load(one)).opened_at

    assert opened + 24 * MINUTE == await settle(inbox)
    inbox.clock.offset += 24 * MINUTE - 30 * SECOND
    await settle(inbox)
    assert [] == await told(inbox, one)
    inbox.clock.offset += 30 * SECOND
    assert opened + 30 * MINUTE == await settle(inbox)
    assert [("sla_warning", "first_reply", 24)] == await told(inbox, one)
    inbox.clock.offset += 6 * MINUTE
    for _ in range(3):
        assert opened + 24 * HOUR * 4 // 5 == await settle(inbox)
    assert [("sla_warning", "first_reply", 24), ("sla_breach", "first_reply", 30)] == await told(inbox, one)
    assert {("shop", "first_reply_warning"): 1, ("shop", "first_reply_breach"): 1} == inbox.ticks.counts


async def test_what_has_changed_is_looked_at_once_and_then_waits_for_the_next_look(inbox: Room) -> None:
    """A stream of messages has the clocks computed once a look, not without a pause."""
    for number in range(3):
        one = await inbox.write(f"你好 {number}", ADDRESS)
        assert (await inbox.load(one)).opened_at + 24 * MINUTE == await inbox.ticks.turn()


async def test_the_event_says_what_was_promised(inbox: Room) -> None:
    """It names the clock, the promise, since when, until when, and how long."""
    one = await inbox.load(await inbox.write("你好", ADDRESS))
    inbox.clock.offset += 31 * MINUTE
    await settle(inbox)
    [event], _ = await items(inbox.store, one.place, MESSAGES, None, 1)
    story = event.entry.rest()

    assert ("first_reply", "standard", 1800) == tuple(story[name] for name in ("clock", "policy", "limit_seconds"))
    assert story["since"] < story["due"]


ANSWERS = ["reply", "echo"]


@pytest.mark.parametrize("how", ANSWERS)
async def test_an_answer_in_time_is_counted_as_met(inbox: Room, how: str) -> None:
    """An agent's answer stops the clock, be it written in the hub or in the platform's own tool."""
    one = await inbox.write("你好", ADDRESS)
    inbox.clock.offset += MINUTE
    if how == "reply":
        await inbox.reply(one, "在的")
    else:
        await inbox.recorder.record("shop", [Echo("h1", ADDRESS, inbox.clock(), "在的", author="小王")])
        await inbox.route()
    await settle(inbox)
    inbox.clock.offset += 40 * MINUTE
    await settle(inbox)

    assert [] == await told(inbox, one)
    assert {("shop", "first_reply_met"): 1} == inbox.ticks.counts


async def test_the_hubs_own_words_stop_no_clock(inbox: Room) -> None:
    """Acknowledgements are no answers: only people count."""
    one = await inbox.write("你好", ADDRESS)
    await inbox.reply(one, "稍等", author=Author("hub"), auto=True)
    inbox.clock.offset += 31 * MINUTE
    await settle(inbox)
    assert [("sla_breach", "first_reply", 30)] == await told(inbox, one)


async def test_the_next_reply_runs_from_the_first_unanswered_message(inbox: Room) -> None:
    """After an answer the customer's next message starts a new clock; more messages do not start it again."""
    one = await inbox.write("你好", ADDRESS)
    await inbox.reply(one, "在的")
    await settle(inbox)
    assert None is await settle(inbox)  # the resolution rests, nobody waits
    text = (await inbox.load(one)).course
    await inbox.write("还在吗", ADDRESS)
    now = await inbox.load(one)
    await inbox.write("人呢", ADDRESS)
    assert now.course == (await inbox.load(one)).course != text

    [score] = (await scores(inbox)).values()
    assert 0 == score
    assert now.last_inbound_at + 16 * MINUTE == await settle(inbox)
    inbox.clock.offset += 20 * MINUTE
    await settle(inbox)
    assert [("sla_breach", "next_reply")] == [(event, clock) for event, clock, _ in await told(inbox, one)]


async def test_the_resolution_rests_while_the_customer_is_waited_for(inbox: Room) -> None:
    """Pending and snoozed time does not count; what ran before and after does."""
    one = await inbox.write("你好", ADDRESS)
    inbox.clock.offset += HOUR
    await inbox.reply(one, "在的")
    inbox.clock.offset += 100 * HOUR
    await settle(inbox)
    await inbox.desk.snooze(one, HUB, inbox.clock() + HOUR)
    inbox.clock.offset += 10 * HOUR
    await inbox.desk.reopen(one, HUB)
    await settle(inbox)
    assert ["first_reply"] == [clock for _, clock, _ in await told(inbox, one)]
    inbox.clock.offset += 23 * HOUR
    await settle(inbox)
    event, clock, _ = (await told(inbox, one))[-1]
    assert ("sla_breach", "resolution") == (event, clock)


async def test_a_hub_that_was_down_tells_the_truth_once(inbox: Room) -> None:
    """Hours later there is one breach with the time at which it was one, and no warning of what has happened."""
    one = await inbox.write("你好", ADDRESS)
    inbox.clock.offset += 5 * HOUR
    for _ in range(2):
        await settle(inbox)
    assert [("sla_breach", "first_reply", 30)] == await told(inbox, one)


async def test_a_late_answer_is_a_breach_even_if_nobody_looked(inbox: Room) -> None:
    """Answered or resolved too late while no clock was looked at: told all the same."""
    one = await inbox.write("你好", ADDRESS)
    inbox.clock.offset += 31 * MINUTE
    await inbox.reply(one, "在的")
    await inbox.write("好的", ADDRESS)
    inbox.clock.offset += 48 * HOUR
    await inbox.desk.resolve(one, HUB)
    await inbox.write("又来了", ADDRESS)  # reopens it before anybody has looked
    await settle(inbox)

    assert [("sla_breach", "resolution"), ("sla_breach", "first_reply"), ("sla_breach", "next_reply")] == [
        (event, clock) for event, clock, _ in await told(inbox, one)
    ]


async def test_what_is_resolved_is_looked_at_no_more(inbox: Room) -> None:
    """It leaves the set; a customer who reopens it starts the resolution anew."""
    one = await inbox.write("你好", ADDRESS)
    await inbox.reply(one, "在的")
    await inbox.desk.resolve(one, HUB)
    await settle(inbox)
    assert {} == await scores(inbox)
    await inbox.write("又来了", ADDRESS)
    now = await inbox.load(one)
    shown = due_times(inbox.promises, now)
    assert ([], []) == (shown["warned"], shown["breached"])
    assert now.last_inbound_at + 16 * MINUTE == await settle(inbox)
    assert [] == await told(inbox, one)


CHANGES: list[tuple[dict[str, Any], list[tuple[str, str, int]]]] = [
    ({"first_reply": "10m"}, [("sla_breach", "first_reply", 10)]),
    ({"first_reply": "15m"}, [("sla_warning", "first_reply", 12)]),
    ({"first_reply": "2h"}, []),
    ({"resolution": "1h"}, []),
]


@pytest.mark.parametrize(("sla", "expected"), CHANGES)
async def test_other_promises_hold_at_once(
    inbox: Room, sla: dict[str, Any], expected: list[tuple[str, str, int]]
) -> None:
    """After a reload every deadline is computed anew: what is over by now is told, what is not any more is not."""
    one = await inbox.write("你好", ADDRESS)
    await settle(inbox)
    inbox.clock.offset += 12 * MINUTE
    changed = Sla.model_validate(sla)
    base = Promises.of(inbox.settings)
    inbox.promises = Promises.of(inbox.settings.model_copy(update={"sla": {"standard": changed}}))
    assert base.digest != inbox.promises.digest
    await settle(inbox)

    assert expected == await told(inbox, one)


async def test_a_promise_that_is_new_holds_for_old_conversations(inbox: Room) -> None:
    """Conversations that had no promise get their deadlines when one is made."""
    none = Promises.of(inbox.settings.model_copy(update={"sla": {}}))
    promises, inbox.promises = inbox.promises, none
    one = await inbox.write("你好", ADDRESS)
    assert None is await settle(inbox)
    assert {} == await scores(inbox)
    inbox.promises = promises
    assert (await inbox.load(one)).opened_at + 24 * MINUTE == await settle(inbox)


async def test_another_service_level_holds_at_once(inbox: Room) -> None:
    """Whoever moves a conversation to another team changes what was promised."""
    one = await inbox.write("你好", ADDRESS)
    await settle(inbox)
    await inbox.desk.assign(one, HUB, team="complaints")
    assert None is await settle(inbox)
    assert None is due_times(inbox.promises, await inbox.load(one))["first_reply_due"]


async def test_a_conversation_from_before_there_were_clocks(inbox: Room) -> None:
    """What was kept without a course gets one from what is known of it."""
    one = await inbox.load(await inbox.write("你好", ADDRESS))
    slot, name = tag(one.place.partition), key(one.place.partition, f"c:{one.place.key}")
    await inbox.store.do(slot, "HDEL", name, "course")
    await inbox.store.do(slot, "DEL", key(one.place.partition, CLOCKS), key(one.place.partition, "promises"))
    inbox.ticks.watch(inbox.held(ADDRESS))

    assert one.opened_at + 24 * MINUTE == await settle(inbox)
    await inbox.reply(one.id, "在的")
    assert [one.opened_at] == [int((await inbox.load(one.id)).course.split()[0][1:])]


async def test_a_successor_tells_what_the_dead_one_did_not(store_url: str, tmp_path: Path) -> None:
    """A worker that dies before or after it tells: its successor tells what is left, and nothing again."""
    clock = Clock()
    async with room(store_url, tmp_path, more=PROMISES, clock=clock) as first:
        one = await first.write("你好", ADDRESS)
        other = await first.write("你好", "tel:+8613900139000")
        clock.offset += 25 * MINUTE
        partition = partition_of(ADDRESS)
        await first.ticks._partition(first.ticks._watched[partition])
        await first.ticks._partition(first.ticks._watched[partition])
        async with room(store_url, tmp_path, name="one", more=PROMISES, clock=clock) as second:
            await settle(second)
            clock.offset += 10 * MINUTE
            await settle(second)
            await first.ticks.turn()  # it was only asleep, and is told that it is not the owner

            for conversation in (one, other):
                assert [("sla_warning", "first_reply", 24), ("sla_breach", "first_reply", 30)] == await told(
                    second, conversation
                )
        assert 1 == first.ticks.counts.total()


async def test_two_who_believe_to_be_the_owner(inbox: Room) -> None:
    """The epoch decides: who holds an old one neither tells nor notes anything."""
    one = await inbox.write("你好", ADDRESS)
    held = inbox.held(ADDRESS)
    inbox.clock.offset += 31 * MINUTE
    inbox.ticks.watch(Held(held.partition, str(int(held.epoch) - 1)))
    before = await scores(inbox)
    await inbox.ticks.turn()

    assert [] == await told(inbox, one)
    assert before == await scores(inbox)


async def test_an_answer_at_the_very_moment(inbox: Room) -> None:
    """Who changes a conversation between the look and the word wins; the next look sees it."""
    one = await inbox.write("你好", ADDRESS)
    inbox.clock.offset += 29 * MINUTE
    conversation = await inbox.load(one)
    plan = inbox.ticks._plan(inbox.promises, conversation)
    await inbox.reply(one, "在的")
    with pytest.raises(Conflict):
        await inbox.ticks._tell(inbox.held(ADDRESS), conversation, plan)
    inbox.clock.offset += HOUR
    await settle(inbox)
    assert [] == await told(inbox, one)


async def test_many_at_once(inbox: Room) -> None:
    """Hundreds of deadlines in the same moment are all told, each once."""
    addresses = [f"tel:+86138{number:08}" for number in range(400)]
    for address in addresses:
        await inbox.recorder.record("shop", [message("你好", address, now=inbox.clock())])
    await inbox.route()
    inbox.clock.offset += 31 * MINUTE
    await settle(inbox)
    inbox.forget()
    await settle(inbox)

    assert 400 == inbox.ticks.counts["shop", "first_reply_breach"]
    assert [[("sla_breach", "first_reply", 30)]] * 200 == [
        await told(inbox, one.id) for one in await inbox.conversations()
    ]


def test_what_was_told_survives_as_text() -> None:
    """What is noted of clocks reads back as it was written."""
    for text in ("", "17 f5w", "1795301382538 f1795301300000wb n1795301300001m r1wmb"):
        assert text == str(Told.parsed(text)) or text == ""
