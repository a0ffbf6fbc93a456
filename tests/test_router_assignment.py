"""Who gets the next conversation: fair, within capacity, oldest first, and the same for all processes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from inbox.work import HUB, Actor
from router.assignment import STALE_HANDOFF, Crew
from tests.backroom import Room, room

LILEI = Actor("agent", "lilei", "李雷")
TEAM = "aftersales"


@dataclass
class Team:
    """A team whose members and strategy the test chooses; its customers write one after another."""

    room: Room
    count: int = 0

    def crew(self, strategy: str, **members: int) -> None:
        """Set the team up: member -> capacity, in this order."""
        self.room.crews = {TEAM: Crew(TEAM, strategy, tuple(members.items()))}

    async def ask(self) -> str:
        """Let a new customer write to the team; return the conversation."""
        self.count += 1
        return await self.room.write("退款", f"tel:+86138{self.count:08}")

    async def owner(self, conversation_id: str) -> str:
        return (await self.room.load(conversation_id)).agent

    async def owners(self, *ids: str) -> list[str]:
        return [await self.owner(one) for one in ids]

    async def resolve(self, conversation_id: str) -> None:
        await self.room.desk.resolve(conversation_id, LILEI)
        await self.room.route()

    async def loads(self) -> dict[str, int]:
        return {agent: count for agent, count in (await self.room.assigner.loads()).items() if count}

    async def agree(self) -> None:
        """Check that the loads are what the open conversations say."""
        counted: dict[str, int] = {}
        for one in await self.room.conversations():
            if one.agent and one.status != "resolved":
                counted[one.agent] = counted.get(one.agent, 0) + 1
        assert counted == await self.loads()


@pytest.fixture
async def team(store_url: str, tmp_path: Path) -> AsyncIterator[Team]:
    async with room(store_url, tmp_path) as made:
        yield Team(made)


STRATEGIES = [
    pytest.param("least-busy", {"a": 3, "b": 3}, ["a", "b", "a", "b", "a", "b", "", ""], id="evenly until all is full"),
    pytest.param("least-busy", {"a": 1, "b": 4}, ["a", "b", "b", "b", "b", ""], id="each within their own capacity"),
    pytest.param("least-busy", {"a": 0, "b": 1}, ["b", ""], id="not to who takes none"),
    pytest.param("round-robin", {"a": 2, "b": 2, "c": 2}, ["a", "b", "c", "a", "b", "c", ""], id="in turn"),
    pytest.param("round-robin", {"a": 1, "b": 3, "c": 1}, ["a", "b", "c", "b", "b", ""], id="skipping who is full"),
    pytest.param("manual", {"a": 5}, ["", ""], id="nobody, where people choose themselves"),
    pytest.param("least-busy", {}, ["", ""], id="nobody in an empty team"),
]


@pytest.mark.parametrize(("strategy", "members", "expected"), STRATEGIES)
async def test_strategies(team: Team, strategy: str, members: dict[str, int], expected: list[str]) -> None:
    """Conversations that come one after another go to these agents."""
    team.crew(strategy, **members)
    assert expected == [await team.owner(await team.ask()) for _ in expected]
    await team.agree()


async def test_the_least_busy_is_counted_over_resolved_work(team: Team) -> None:
    """Who has finished more has more room: what is resolved no longer counts."""
    team.crew("least-busy", a=5, b=5)
    first, second, third = [await team.ask() for _ in range(3)]
    assert ["a", "b", "a"] == await team.owners(first, second, third)
    await team.resolve(first)
    await team.resolve(third)

    assert ["a", "b", "a"] == [await team.owner(await team.ask()) for _ in range(3)]
    await team.agree()


async def test_room_goes_to_who_waits_longest(team: Team) -> None:
    """When capacity frees the oldest waiting conversation gets it, one for each that is resolved."""
    team.crew("least-busy", a=2)
    held = [await team.ask() for _ in range(2)]
    waiting = [await team.ask() for _ in range(3)]
    for number, one in enumerate(held):
        await team.resolve(one)
        assert ["a"] * (number + 1) + [""] * (2 - number) == await team.owners(*waiting)
    await team.agree()


async def test_nobody_is_overtaken(team: Team) -> None:
    """Whoever comes while others wait goes behind them, also when room frees at the same moment."""
    team.crew("least-busy", a=1)
    first = await team.ask()
    waiting = [await team.ask() for _ in range(4)]
    await team.room.desk.resolve(first, LILEI)
    late = await team.ask()

    assert ["a", "", "", "", ""] == await team.owners(*waiting, late)
    for done, following in zip(waiting, [*waiting[1:], late], strict=True):
        await team.resolve(done)
        assert "a" == await team.owner(following)


async def test_capacity_holds_when_fifty_come_at_once(team: Team) -> None:
    """Fifty that ask in one moment, in two processes, fill everybody exactly and leave the others waiting."""
    team.crew("least-busy", a=7, b=5, c=3)
    manual = replace(team.room.crews[TEAM], strategy="manual")
    automatic, team.room.crews = team.room.crews, {TEAM: manual}
    asked = [await team.room.load(await team.ask()) for _ in range(50)]
    team.room.crews = automatic

    await asyncio.gather(*(team.room.assigner.want(one) for one in asked for _ in range(2)))
    await team.room.route()

    owners = await team.owners(*(one.id for one in asked))
    assert {"a": 7, "b": 5, "c": 3} == {name: owners.count(name) for name in "abc"}
    assert 35 == owners.count("")
    await team.agree()


async def test_more_capacity_reaches_those_who_wait(team: Team) -> None:
    """After a reload that gives more room, or a new colleague, the waiting are handed out."""
    team.crew("least-busy", a=1)
    waiting = [await team.ask() for _ in range(4)]
    team.crew("least-busy", a=2, b=1)
    await team.room.assigner.mend()
    await team.room.route()
    assert ["a", "b", "a", ""] == await team.owners(*waiting)
    await team.agree()


@pytest.mark.parametrize("told", [True, False], ids=["the conversation was told", "it was not"])
async def test_a_hand_over_that_was_half_done_is_finished(team: Team, told: bool) -> None:
    """A process that dies between counting and telling leaves nobody in between: the next one finishes it."""
    team.crew("manual", a=1)
    one = await team.room.load(await team.ask())
    team.crew("least-busy", a=1)
    store = team.room.store
    base = "hl:{agents}:"
    await store.do("agents", "HSET", f"{base}of", one.id, "a")
    await store.do("agents", "HINCRBY", f"{base}load", "a", 1)
    await store.do("agents", "HSET", f"{base}handoff", one.id, f"{TEAM} {team.room.clock()} a")
    if told:
        await team.room.desk.assign(one.id, HUB, agent="a")

    await team.room.assigner.mend()
    assert ("a" if told else "") == await team.owner(one.id)
    team.room.clock.offset += STALE_HANDOFF + 1
    await team.room.assigner.mend()
    await team.room.route()

    assert "a" == await team.owner(one.id)
    assert 0 == await store.do("agents", "HLEN", f"{base}handoff")
    await team.agree()


@pytest.mark.parametrize("meanwhile", ["resolved", "resolved by another", "taken", "moved", "gone"])
async def test_a_hand_over_that_makes_no_sense_any_more_is_undone(team: Team, meanwhile: str) -> None:
    """Who was resolved, taken or moved while waiting is not handed over, and the room is given back."""
    team.crew("manual", a=1)
    one = (await team.room.load(await team.ask())).id
    store, base = team.room.store, "hl:{agents}:"
    if meanwhile == "gone":
        one = "c1-1-1"
    await store.do("agents", "HSET", f"{base}of", one, "a")
    await store.do("agents", "HINCRBY", f"{base}load", "a", 1)
    await store.do("agents", "HSET", f"{base}handoff", one, f"{TEAM} 1 a")
    match meanwhile:
        case "resolved":
            await team.room.desk.resolve(one, LILEI)
        case "resolved by another":
            await team.room.desk.assign(one, LILEI, agent="hanmeimei")
            await team.room.desk.resolve(one, LILEI)
        case "taken":
            await team.room.desk.assign(one, LILEI, agent="hanmeimei")
        case "moved":
            await team.room.desk.assign(one, LILEI, team="frontdesk")
    await team.room.assigner.mend()
    await team.room.route()

    assert "a" not in await team.loads()
    await team.agree()


async def test_what_people_assign_counts(team: Team) -> None:
    """An agent who takes a conversation has less room; one who gives it back, or away, has more."""
    team.crew("least-busy", lilei=1, hanmeimei=1)
    desk = team.room.desk
    first = await team.ask()
    assert "lilei" == await team.owner(first)
    await desk.assign(first, HUB, agent="hanmeimei")
    await team.room.route()
    assert {"hanmeimei": 1} == await team.loads()
    second, third = await team.ask(), await team.ask()
    assert ["lilei", ""] == await team.owners(second, third)

    await desk.assign(first, HUB, team="frontdesk", agent="")
    await team.room.route()
    assert "hanmeimei" == await team.owner(third)
    await team.agree()


async def test_a_person_may_take_more_than_the_capacity(team: Team) -> None:
    """Capacity limits what the hub hands out, not what somebody takes."""
    team.crew("least-busy", lilei=1)
    ids = [await team.ask() for _ in range(3)]
    for one in ids[1:]:
        await team.room.desk.assign(one, LILEI, agent="lilei")
    await team.room.route()

    assert {"lilei": 3} == await team.loads()
    assert "" == await team.owner(await team.ask())
    await team.resolve(ids[0])
    await team.resolve(ids[1])
    await team.agree()


async def test_what_is_put_back_waits_behind_the_others(team: Team) -> None:
    """A conversation without its agent joins the queue again by the time of its customer's last message."""
    team.crew("least-busy", lilei=1)
    first, second = await team.ask(), await team.ask()
    await team.room.desk.assign(first, LILEI, agent="")
    await team.room.route()

    owners = await team.owners(first, second)
    assert ["", "lilei"] == sorted(owners)
    await team.agree()


async def test_a_reopened_conversation_counts_for_its_agent(team: Team) -> None:
    """Who writes again soon comes back to the same agent and takes up their room."""
    team.crew("least-busy", lilei=2)
    one = await team.ask()
    await team.resolve(one)
    assert {} == await team.loads()
    await team.room.write("还是不行", "tel:+8613800000001")
    assert {"lilei": 1} == await team.loads()
    await team.agree()


@pytest.mark.parametrize("seed", range(3))
async def test_loads_stay_true_under_any_work(team: Team, seed: int) -> None:
    """120 random steps, read once or twice by the router: the loads are what a count of the conversations says."""
    rng = random.Random(seed)
    team.crew(rng.choice(["least-busy", "round-robin"]), lilei=3, hanmeimei=2)
    ids: list[str] = []
    desk = team.room.desk
    for _ in range(120):
        step = rng.choice(["ask", "resolve", "reopen", "assign", "back", "write", "move"])
        one = rng.choice(ids) if ids else ""
        if step == "ask" or not one:
            ids.append(await team.ask())
        elif step == "resolve":
            await desk.resolve(one, LILEI)
        elif step == "reopen":
            await desk.reopen(one, LILEI)
        elif step in ("assign", "back"):
            await desk.assign(one, LILEI, agent=rng.choice(["lilei", "hanmeimei"]) if step == "assign" else "")
        elif step == "move":
            await desk.assign(one, LILEI, team=rng.choice([TEAM, "frontdesk"]))
        else:
            await team.room.write("again", f"tel:+86138{rng.randint(1, team.count):08}")
        if rng.random() < 0.4:
            await team.room.route()
        if rng.random() < 0.05:
            team.room.forget()
    await team.room.route()
    await team.room.assigner.mend()
    await team.room.route()

    await team.agree()
