"""The router applies what the rules decide: to whom it is meant, once, and never at the cost of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from config.templates import Filled
from connectors.base import Echo
from inbox import log as logbook
from inbox.contacts import Contact
from inbox.conversations import Conversation
from inbox.partitions import partition_of
from inbox.placing import Origin, Placer
from inbox.timeline import DECISIONS, MESSAGES, items
from inbox.work import HUB, Actor
from router.evidence import told
from router.reader import Router
from router.rules import Tree
from tests.backroom import Room, message, room

Patch = pytest.MonkeyPatch
ADDRESS = "tel:+8613800138000"
OTHER = "tel:+8613900139000"
ROUTES = """
default: {team: frontdesk}
routes:
  - name: complaint
    when: {text: {any_of: [投诉]}}
    set: {team: complaints, stage: complaint, priority: urgent, tags: [complaint], acknowledge: complaint-received}
  - name: refund
    when: {text: {any_of: [退款]}}
    set: {team: aftersales, stage: aftersale, tags: [refund]}
  - name: direct
    when: {text: {any_of: [李雷]}}
    set: {team: frontdesk, agent: lilei}
  - name: spam
    when: {text: {any_of: [刷单]}}
    set: {ignore: spam}
  - name: back
    when: {all: [{text: {any_of: [又来]}}, {conversation: {status: open}}]}
    set: {team: aftersales}
  - name: hello
    when: {text: {any_of: [你好]}}
    set: {acknowledge: thanks}
"""


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path, routes=ROUTES) as made:
        yield made


async def said(inbox: Room, name: str) -> list[str]:
    """Return what the customer of a conversation said, oldest first, as often as it stands there."""
    found, _ = await items(inbox.store, (await inbox.load(name)).place, MESSAGES, None, 50)
    return [item.entry.fields["tx"] for item in reversed(found) if item.entry.type == logbook.MESSAGE]


async def decisions(inbox: Room, conversation: Conversation) -> list[str]:
    """Return the routes that decided about a conversation, oldest first."""
    found, _ = await items(inbox.store, conversation.place, DECISIONS, None, 50)
    return [item.entry.rest()["route"] for item in reversed(found)]


async def acknowledged(inbox: Room, conversation: Conversation) -> list[str]:
    """Return what the hub itself has written, oldest first."""
    found, _ = await items(inbox.store, conversation.place, MESSAGES, None, 50)
    return [item.entry.fields["tx"] for item in reversed(found) if item.entry.type == "o"]


ANSWER, ASSIGN = "an agent answers", "a person assigns it"
LILEI = Actor("agent", "lilei", "李雷")
EFFECTS = [
    pytest.param(["在吗"], "frontdesk", "normal", (), id="no route: the default"),
    pytest.param(["我要退款"], "aftersales", "normal", ("refund",), id="a new conversation takes the whole decision"),
    pytest.param(["我要退款", "好的"], "aftersales", "normal", ("refund",), id="an ok does not move it back"),
    pytest.param(["在吗", "我要退款"], "aftersales", "normal", ("refund",), id="a greeting first, then the matter"),
    pytest.param(["在吗", ANSWER, "我要退款"], "frontdesk", "normal", ("refund",), id="answered it only takes tags"),
    pytest.param(["在吗", ASSIGN, "我要退款"], "frontdesk", "normal", ("refund",), id="assigned it only takes tags"),
    pytest.param(["我要退款", "投诉"], "complaints", "urgent", ("refund", "complaint"), id="unless it is more urgent"),
    pytest.param(["投诉", "我要退款"], "complaints", "urgent", ("complaint", "refund"), id="less urgent: only tags"),
    pytest.param(["在吗", "又来了"], "aftersales", "normal", (), id="or the route asks how it stands"),
]


@pytest.mark.parametrize(("texts", "team", "priority", "tags"), EFFECTS)
async def test_effects(inbox: Room, texts: list[str], team: str, priority: str, tags: tuple[str, ...]) -> None:
    """What a decision changes depends on how the conversation stands."""
    one = await inbox.load(await inbox.write(texts[0], ADDRESS))
    for text in texts[1:]:
        if text == ANSWER:
            await inbox.reply(one.id, "在的")
        elif text == ASSIGN:
            await inbox.desk.assign(one.id, LILEI, team="frontdesk", agent="lilei")
        else:
            one = await inbox.load(await inbox.write(text, ADDRESS))
    assert (team, priority, tags) == (one.team, one.priority, one.tags)


async def test_a_reopened_conversation_is_decided_anew(inbox: Room) -> None:
    """Whoever writes after the end is a new matter: the whole decision counts again."""
    one = await inbox.write("在吗", ADDRESS)
    await inbox.desk.resolve(one, HUB)
    now = await inbox.load(await inbox.write("我要退款", ADDRESS))

    assert (one, "open", "aftersales") == (now.id, now.status, now.team)
    assert ["default", "refund"] == await decisions(inbox, now)


async def test_a_route_may_name_the_agent(inbox: Room) -> None:
    """The agent has the conversation, and it counts for them."""
    one = await inbox.load(await inbox.write("找李雷", ADDRESS))
    assert ("frontdesk", "lilei") == (one.team, one.agent)
    assert {"lilei": 1} == await inbox.assigner.loads()


async def test_another_team_gets_it_without_the_old_teams_agent(inbox: Room) -> None:
    """When a decision moves a conversation the agent of the old team does not stay on it, nor keeps its load."""
    one = await inbox.write("我要退款", ADDRESS)
    await inbox.desk.assign(one, HUB, agent="hanmeimei")
    await inbox.route()
    now = await inbox.load(await inbox.write("投诉", ADDRESS))

    assert ("complaints", "lilei") == (now.team, now.agent)  # the one who is in that team
    assert {"lilei": 1} == {name: count for name, count in (await inbox.assigner.loads()).items() if count}


async def test_what_a_rule_ignores_is_in_no_conversation(inbox: Room) -> None:
    """It stays in the log with the reason; the customer's next message is treated as ever."""
    await inbox.recorder.record("shop", [message("刷单赚钱", ADDRESS, now=1)])
    await inbox.route()
    assert [] == await inbox.conversations()
    entries = await logbook.read(inbox.store, partition_of(ADDRESS), "0-0", 10)
    assert [("i", "spam")] == [(one.type, one.fields["er"]) for one in entries if one.type != "e"]

    one = await inbox.load(await inbox.write("我要退款", ADDRESS))
    assert ("aftersales", 1) == (one.team, one.messages)
    assert 1 == inbox.router.counts["ignored"]


async def test_a_customer_under_way_is_not_ignored(inbox: Room) -> None:
    """What stands in an open conversation is seen by its agent, whatever a rule says."""
    await inbox.write("我要退款", ADDRESS)
    one = await inbox.load(await inbox.write("他们说我刷单", ADDRESS))
    assert 2 == one.messages


async def test_an_acknowledgement_goes_out_once(inbox: Room) -> None:
    """Read again from the beginning, as after a crash, a message is acknowledged no second time."""
    one = await inbox.load(await inbox.write("投诉", ADDRESS, name="王芳"))
    for _ in range(2):
        inbox.forget()
        await inbox.route()

    assert ["您好 王芳，投诉已收到。"] == await acknowledged(inbox, one)
    assert 1 == inbox.router.counts["acknowledged"]


async def test_machines_are_not_answered(inbox: Room) -> None:
    """Mail written by a machine is routed like any other and never acknowledged."""
    one = await inbox.load(await inbox.write("投诉", ADDRESS, auto=True))
    assert "complaints" == one.team
    assert [] == await acknowledged(inbox, one)


async def test_a_template_that_is_gone_costs_nothing_else(inbox: Room) -> None:
    """An acknowledgement without its text is left out; team and tags are set all the same."""
    inbox.rules = replace(inbox.rules, acknowledgement=lambda *_: None)
    one = await inbox.load(await inbox.write("投诉", ADDRESS))
    assert "complaints" == one.team
    assert [] == await acknowledged(inbox, one)


async def test_a_poisonous_event_is_set_aside_and_the_others_go_on(inbox: Room) -> None:
    """What fails three times is shunted with the reason; everybody behind it is served, the same customer too."""
    failures = 0

    def poisonous(name: str, conversation: Conversation, contact: Contact) -> Filled:
        nonlocal failures
        if conversation.address == ADDRESS:
            failures += 1
            raise RuntimeError("a bug")
        return Filled("fine")

    inbox.rules = replace(inbox.rules, acknowledgement=poisonous)
    events = [("投诉", ADDRESS), ("投诉", OTHER), ("我要退款", ADDRESS)]
    await inbox.recorder.record("shop", [message(text, address, now=1) for text, address in events])
    await inbox.route()

    assert 3 == failures
    assert ["fine"] == await acknowledged(inbox, await inbox.latest(OTHER))
    assert 2 == (await inbox.latest(ADDRESS)).messages
    [aside], _ = await inbox.recorder.shunted("", 10)
    assert ("RuntimeError: a bug", "routing") == (aside.error, aside.meta["stage"])
    counts = inbox.recorder.counts
    assert (3, 3, 0) == tuple(counts["shop", name] for name in ("received", "recorded", "shunted"))
    assert 1 == inbox.router.counts["set_aside"]


async def test_what_was_set_aside_can_be_done_later(inbox: Room) -> None:
    """Replayed after the fault is mended the event is routed as if nothing had been, once."""
    good = inbox.rules

    def poisonous(name: str, conversation: Conversation, contact: Contact) -> Filled:
        raise RuntimeError("a bug")

    inbox.rules = replace(good, acknowledgement=poisonous)
    one = await inbox.load(await inbox.write("投诉", ADDRESS))
    [aside], _ = await inbox.recorder.shunted("", 10)
    inbox.rules = good
    for _ in range(2):
        await inbox.recorder.log_again(aside)
        await inbox.route()

    assert 1 == len(await acknowledged(inbox, one))
    assert 2 == (await inbox.load(one.id)).messages  # theirs and the acknowledgement


async def test_a_message_that_was_set_aside_is_placed_later(inbox: Room) -> None:
    """A message of which no rule could be asked is in no conversation, until it is replayed: then all is done."""
    good = inbox.rules
    inbox.rules = replace(good, tree=cast("Tree", None))
    await inbox.recorder.record("shop", [message("投诉", ADDRESS, now=1)])
    await inbox.route()
    assert [] == await inbox.conversations()
    [aside], _ = await inbox.recorder.shunted("", 10)
    inbox.rules = good
    await inbox.recorder.log_again(aside)
    await inbox.route()

    one = await inbox.latest(ADDRESS)
    assert ("complaints", 1) == (one.team, len(await acknowledged(inbox, one)))


async def test_what_was_placed_before_it_was_set_aside_stands_there_once(inbox: Room, monkeypatch: Patch) -> None:
    """Replayed, a message that has its place does not get a second one; what had failed after that is done."""
    linked: list[str] = []

    async def broken(_: Router, origin: Origin) -> None:
        raise RuntimeError("a bug")

    async def mended(_: Router, origin: Origin) -> None:
        linked.append(origin.message_id)

    monkeypatch.setattr(Router, "_link", broken)
    one = await inbox.write("投诉", ADDRESS)
    await inbox.write("再说一句", ADDRESS)
    _, aside = (await inbox.recorder.shunted("", 10))[0]
    monkeypatch.setattr(Router, "_link", mended)
    await inbox.recorder.log_again(aside)
    await inbox.route()

    assert ["投诉", "再说一句"] == await said(inbox, one)
    assert [f"m{aside.meta['log'].replace(':', '-')}"] == linked


async def test_a_replay_that_is_set_aside_in_its_turn_knows_what_it_repeats(inbox: Room, monkeypatch: Patch) -> None:
    """Set aside, replayed, placed, set aside again and replayed again, a message stands in its conversation once."""

    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    for place, step in ((Placer, "locate"), (Router, "_link"), (Router, "_link")):
        with monkeypatch.context() as faulty:
            faulty.setattr(place, step, broken)
            if step == "locate":
                await inbox.recorder.record("shop", [message("投诉", ADDRESS, now=1)])
            await inbox.route()
        [aside], _ = await inbox.recorder.shunted("", 10)
        await inbox.recorder.log_again(aside)
        await inbox.recorder.drop_shunted(aside.id)
    await inbox.route()

    assert ["投诉"] == await said(inbox, (await inbox.latest(ADDRESS)).id)


async def test_a_replay_is_logged_once(inbox: Room) -> None:
    """Two admins who replay the same event, or one whose answer was lost, have it routed once."""
    good = inbox.rules
    inbox.rules = replace(good, tree=cast("Tree", None))
    await inbox.recorder.record("shop", [message("投诉", ADDRESS, now=1)])
    await inbox.route()
    [aside], _ = await inbox.recorder.shunted("", 10)
    inbox.rules = good
    await asyncio.gather(*(inbox.recorder.log_again(aside) for _ in range(3)))
    await inbox.route()

    assert ["投诉"] == await said(inbox, (await inbox.latest(ADDRESS)).id)


async def test_what_is_set_aside_twice_is_listed_once(inbox: Room) -> None:
    """A reader that dies before its position is stored fails anew, and leaves no second one to be replayed."""
    inbox.rules = replace(inbox.rules, tree=cast("Tree", None))
    await inbox.recorder.record("shop", [message("投诉", ADDRESS, now=1)])
    await inbox.route()
    [first], _ = await inbox.recorder.shunted("", 10)
    inbox.forget()
    await inbox.route()

    assert [first.id] == [one.id for one in (await inbox.recorder.shunted("", 10))[0]]


async def test_an_echo_of_a_person_becomes_ours(inbox: Room) -> None:
    """What somebody wrote in the platform's own tool is an outbound message; no rule decides about it."""
    one = await inbox.load(await inbox.write("我要退款", ADDRESS))
    await inbox.recorder.record("shop", [Echo("h1", ADDRESS, inbox.clock(), "投诉 is our word here")])
    await inbox.route()

    now = await inbox.load(one.id)
    assert ("aftersales", 2) == (now.team, now.messages)
    assert ["refund"] == await decisions(inbox, now)


async def test_a_channel_that_is_gone_still_places_its_messages(inbox: Room) -> None:
    """Messages that were stored before their channel left the configuration are not lost."""
    await inbox.recorder.record("former", [message("我要退款", ADDRESS, now=1)])
    await inbox.route()
    one = await inbox.latest(ADDRESS)
    assert ("former", "aftersales") == (one.channel, one.team)


async def test_a_decision_remembers_what_it_saw(inbox: Room) -> None:
    """The log tells the rules' hash, the route, what was set, and how the conversation stood if not as expected."""
    await inbox.write("我要退款", ADDRESS)
    one = await inbox.load(await inbox.write("投诉", ADDRESS))
    found, _ = await items(inbox.store, one.place, DECISIONS, None, 10)
    story = found[0].entry.rest()

    assert (inbox.rules.tree.hash[:16], "complaint") == (story["hash"], story["route"])
    assert {"team": "complaints", "priority": "urgent", "tags": ["refund", "complaint"]}.items() <= story["set"].items()
    assert {"team": "aftersales", "messages": 2} == story["facts"]["conversation"]
    assert {"hash", "route", "set", "acknowledge"} == found[1].entry.rest().keys() | {"acknowledge"}


async def test_a_decision_without_effect_is_stored_too(inbox: Room) -> None:
    """Of a message that changes nothing the log tells which rules decided, and what they knew; nobody is woken."""
    await inbox.write("我要退款", ADDRESS)
    one = await inbox.load(await inbox.write("好的", ADDRESS))
    found, _ = await items(inbox.store, one.place, DECISIONS, None, 10)
    quiet = found[0].entry

    assert "b" not in quiet.fields
    assert {
        "hash": inbox.rules.tree.hash[:16],
        "route": "default",
        "facts": {"conversation": {"team": "aftersales", "messages": 2}},
    } == told(quiet)
