"""What routes make of a warning or a breach: done once, on the trail, and never to what is over."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from inbox import contacts
from inbox.conversations import Conversation
from inbox.timeline import DECISIONS, MESSAGES, items
from inbox.work import HUB
from router.escalation import changes
from router.rendering import report
from router.rules import Decision, compile_routes
from router.trial import run_tests
from tests.backroom import Room, room
from tests.hubs import TEAMS
from tests.routing import OFFICE, found, load

ADDRESS = "tel:+8613800138000"
MINUTE = 60_000
PROMISES = f"""{TEAMS.replace("name: 前台,", "name: 前台, sla: standard,")}
sla:
  standard: {{first_reply: 30m, next_reply: 20m, resolution: 24h}}
  quick: {{first_reply: 10m}}
"""
ROUTES = """
default: {team: frontdesk}
routes:
  - name: vip
    when: {event: [message, sla_breach], conversation: {team: aftersales}}
    set: {agent: lilei}
  - name: warned
    when: {event: sla_warning}
    set: {priority: high, tags: [late]}
  - name: good-customer
    when: {event: sla_breach, contact: {tag: vip}}
    set: {priority: high, tags: [call-them]}
  - name: breached
    when: {event: sla_breach}
    set: {priority: urgent, team: complaints, tags: [late, lost], risk: high, acknowledge: complaint-received}
  - name: refund
    when: {text: 退款}
    set: {team: aftersales, sla: quick}
"""


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path, routes=ROUTES, more=PROMISES) as made:
        yield made


async def later(inbox: Room, minutes: int) -> None:
    """Let time pass, look at the clocks, and let the router read what they told."""
    inbox.clock.offset += minutes * MINUTE
    for _ in range(3):
        await inbox.ticks.turn()
    await inbox.route()


async def trail(inbox: Room, one: Conversation) -> list[dict[str, Any]]:
    """Return the decisions about a conversation, oldest first."""
    decided, _ = await items(inbox.store, one.place, DECISIONS, None, 50)
    return [item.entry.rest() for item in reversed(decided)]


async def test_a_warning_raises_the_priority(inbox: Room) -> None:
    """What a route sets for the event is set; what it does not name stays; routes about messages keep out."""
    one = await inbox.write("在吗", ADDRESS)
    await later(inbox, 25)
    now = await inbox.load(one)

    assert ("high", "frontdesk", ("late",)) == (now.priority, now.team, now.tags)
    decided = (await trail(inbox, now))[-1]
    assert ("warned", "sla_warning", {"priority", "tags"}) == (decided["route"], decided["event"], set(decided["set"]))
    assert 1 == inbox.router.counts["escalated"]


async def test_what_is_known_of_the_customer_counts_and_nothing_is_made_less_urgent(inbox: Room) -> None:
    """A route about an event may ask about the contact; a priority that it names is a least one."""
    one = await inbox.write("在吗", ADDRESS)
    await later(inbox, 25)
    contact = (await inbox.load(one)).contact
    await contacts.update(inbox.store, contact, HUB, {"tags": "vip"}, inbox.clock())
    await later(inbox, 6)
    now = await inbox.load(one)
    assert ("frontdesk", "high", ("late", "call-them")) == (now.team, now.priority, now.tags)
    decided = (await trail(inbox, now))[-1]
    assert ("good-customer", {"contact_tags": ["vip"]}) == (decided["route"], decided["facts"])
    assert {"priority": "urgent"}.items() <= changes(now, Decision(priority="urgent")).items()
    assert "priority" not in changes(now, Decision(priority="normal"))


async def test_a_breach_moves_the_conversation_and_apologises_once(inbox: Room) -> None:
    """The new team's agent gets it, the customer hears of it, and reading the log again does nothing again."""
    one = await inbox.write("在吗", ADDRESS)
    await later(inbox, 31)
    for _ in range(2):
        inbox.forget()
        await inbox.route()
    now = await inbox.load(one)
    written, _ = await items(inbox.store, now.place, MESSAGES, None, 50)

    assert ("complaints", "lilei", "urgent", "high") == (now.team, now.agent, now.priority, now.risk)
    assert {"lilei": 1} == await inbox.assigner.loads()
    assert ["breached"] == [decided["route"] for decided in await trail(inbox, now) if "event" in decided]
    assert 1 == sum(item.entry.type == "o" for item in written)


async def test_a_route_may_name_the_agent(inbox: Room) -> None:
    """The first route that matches decides; its agent has the conversation, and it counts for them."""
    one = await inbox.write("我要退款", ADDRESS)
    await inbox.desk.assign(one, HUB, agent="hanmeimei")
    await inbox.route()
    await later(inbox, 11)

    now = await inbox.load(one)
    assert ("aftersales", "lilei", "normal") == (now.team, now.agent, now.priority)
    assert {"lilei": 1} == {agent: count for agent, count in (await inbox.assigner.loads()).items() if count}


async def test_what_is_resolved_is_left_alone(inbox: Room) -> None:
    """A breach that is found at the end stands on the timeline and moves nothing."""
    one = await inbox.write("在吗", ADDRESS)
    inbox.clock.offset += 31 * MINUTE
    await inbox.desk.resolve(one, HUB)
    await later(inbox, 0)

    now = await inbox.load(one)
    assert ("frontdesk", "normal", "resolved") == (now.team, now.priority, now.status)
    assert 0 == inbox.router.counts["escalated"]


async def test_a_promise_that_a_route_changes_holds_from_then_on(inbox: Room) -> None:
    """Another service level for a conversation under way gives it other deadlines, and no second word of old ones."""
    one = await inbox.write("在吗", ADDRESS)
    await later(inbox, 12)
    assert [] == await told(inbox, one)
    await inbox.write("退款", ADDRESS)
    await later(inbox, 0)
    assert ["sla_breach"] == await told(inbox, one)


async def told(inbox: Room, one: str) -> list[str]:
    """Return what the timeline tells of the clocks, oldest first."""
    written, _ = await items(inbox.store, (await inbox.load(one)).place, MESSAGES, None, 50)
    events = [item.entry.fields.get("ev", "") for item in reversed(written)]
    return [event for event in events if event.startswith("sla_")]


PAGE = (Path(__file__).parents[1] / "docs" / "sla.md").read_text(encoding="utf-8")
BLOCKS = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "routes:" in block]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_routes_of_the_guide_work(tmp_path: Path, block: str) -> None:
    """Every block of routes on the page is free of faults, and its tests pass."""
    file = load(tmp_path, block)
    results = run_tests(compile_routes([file], {"office": OFFICE}), [file], kinds={})

    assert found(file) == []
    assert report(results).splitlines()[-1] == f"{len(file.tests)} of {len(file.tests)} tests passed"
