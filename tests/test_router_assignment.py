"""Who gets the next conversation: fair, within capacity, oldest first, and the same for all processes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inbox.conversations import Change, commit
from inbox.timeline import ASSIGNMENTS, items
from inbox.work import HUB
from router.assignment import STALE_HANDOFF
from router.crews import Crew, Member
from tests.crews import LILEI, TEAM, Team
from tests.crews import team as a_team


@pytest.fixture
async def team(store_url: str, tmp_path: Path) -> AsyncIterator[Team]:
    async with a_team(store_url, tmp_path) as made:
        yield made


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


def crew(*members: Member, strategy: str = "least-busy", **more: Any) -> Crew:
    """Return the team with these members."""
    return Crew(TEAM, strategy, members, **more)


A, B = Member("a", 2), Member("b", 2)
REFUND = Member("b", 2, skills=("refund", "vip"))
ENGLISH = Member("b", 2, languages=("en", "zh"))
CHAT = {"channel": "site-chat", "kind": "webchat"}
MAIL = {"channel": "service-mail", "kind": "email"}
FEW = Member("a", 3, (("k:webchat", 1),))
URGENT, LOW = {"priority": "urgent"}, {"priority": "low"}
NEEDS = [
    pytest.param(crew(A, REFUND), [{"skills": ("refund",)}] * 3, ["b", "b", ""], id="a skill: only who has it"),
    pytest.param(crew(A, REFUND), [{"skills": ("refund", "vip")}], ["b"], id="all of several skills"),
    pytest.param(crew(A, REFUND), [{"skills": ("refund", "law")}], [""], id="nobody has all of them"),
    pytest.param(
        crew(A, REFUND),
        [{"skills": ("law",)}, {}, {"skills": ("refund",)}],
        ["", "a", "b"],
        id="who waits blocks nobody",
    ),
    pytest.param(crew(A, ENGLISH), [{"language": "en"}] * 3, ["b", "b", "a"], id="a language is preferred"),
    pytest.param(
        crew(A, ENGLISH, language="require"), [{"language": "en"}] * 3, ["b", "b", ""], id="a language is required"
    ),
    pytest.param(crew(A, ENGLISH, language="ignore"), [{"language": "en"}] * 2, ["a", "b"], id="it does not matter"),
    pytest.param(crew(A, ENGLISH), [{"language": "fr"}] * 2, ["a", "b"], id="a language that nobody speaks"),
    pytest.param(crew(FEW, B), [CHAT, CHAT, CHAT, CHAT], ["a", "b", "b", ""], id="a limit for one kind"),
    pytest.param(crew(FEW), [CHAT, CHAT, MAIL, MAIL, MAIL], ["a", "", "a", "a", ""], id="the others still come"),
    pytest.param(
        crew(Member("a", 9, (("c:site-chat", 0),)), Member("b", 1)), [CHAT, CHAT, MAIL], ["b", "", "a"], id="no chats"
    ),
    pytest.param(
        crew(Member("a", 9, weight=5), Member("b", 9), Member("c", 9), strategy="weighted"),
        [{}] * 7,
        ["a", "a", "b", "a", "c", "a", "a"],
        id="weights 5, 1 and 1, evenly spread",
    ),
    pytest.param(
        crew(Member("a", 2, weight=9), Member("b", 9), strategy="weighted"), [{}] * 4, ["a", "a", "b", "b"], id="full"
    ),
    pytest.param(
        crew(A, REFUND, strategy="round-robin"),
        [{"skills": ("refund",)}, {}, {}],
        ["b", "a", "b"],
        id="whose turn it is",
    ),
]


@pytest.mark.parametrize(("crew", "needs", "expected"), NEEDS)
async def test_needs(team: Team, crew: Crew, needs: list[dict[str, Any]], expected: list[str]) -> None:
    """Conversations that come one after another, each with its needs, go to these agents."""
    team.crews(crew)
    asked = [await team.queue(**one) for one in needs]

    assert expected == await team.owners(*asked)
    await team.agree()


ORDERS = [
    pytest.param(Member("a", 1), [{}, {}, {}], [0, 1, 2], id="oldest first"),
    pytest.param(Member("a", 1), [LOW, {}, {"priority": "high"}, URGENT, {}], [3, 2, 1, 4, 0], id="urgent ones first"),
    pytest.param(Member("a", 1), [URGENT, {}, URGENT], [0, 2, 1], id="oldest first among the urgent"),
    pytest.param(
        Member("a", 1, skills=("x",)), [{"skills": ("x",)}, {}, {"skills": ("x",)}], [0, 1, 2], id="not by their needs"
    ),
]


@pytest.mark.parametrize(("member", "needs", "order"), ORDERS)
async def test_the_order_of_those_who_wait(
    team: Team, member: Member, needs: list[dict[str, Any]], order: list[int]
) -> None:
    """As capacity appears, one by one, this is the order in which the waiting are served."""
    team.crews(crew(member))
    busy = await team.ask()
    asked = [await team.queue(**one) for one in needs]
    served = []
    for _ in asked:
        await team.resolve(busy)
        owned = [one for one in asked if one not in served and await team.owner(one) == "a"]
        assert 1 == len(owned)
        busy = owned[0]
        served.append(busy)

    assert order == [asked.index(one) for one in served]


async def test_who_waits_for_a_skill_is_not_overtaken_by_the_same_need(team: Team) -> None:
    """Those who need the same are served in order, though others pass them meanwhile."""
    team.crews(crew(A, Member("b", 1, skills=("refund",))))
    first, second, third = [await team.queue(skills=("refund",)) for _ in range(3)]
    plain = [await team.queue() for _ in range(3)]
    assert ["b", "", "", "a", "a", ""] == await team.owners(first, second, third, *plain)
    await team.resolve(first)

    assert ["b", ""] == await team.owners(second, third)
    assert "" == await team.owner(plain[2])


async def test_a_change_of_needs_moves_who_waits(team: Team) -> None:
    """A conversation that becomes urgent while it waits goes ahead, and keeps its place among the urgent."""
    team.crews(crew(Member("a", 1)))
    busy, first, second = await team.ask(), await team.ask(), await team.ask()
    place = (await team.room.load(second)).place
    await commit(team.room.store, place.partition, Change(id=place.key, set={"priority": "urgent"}))
    await team.want(second)
    await team.resolve(busy)

    assert ["", "a"] == await team.owners(first, second)


async def test_a_rule_raises_the_priority_of_who_waits(team: Team) -> None:
    """A complaint of who waits already makes it urgent, and the queue knows."""
    team.crew("least-busy", a=1)
    team.crews(*team.room.crews.values(), Crew("complaints", "least-busy", (Member("a", 1),)))
    busy, first, second = await team.ask(), await team.ask(), await team.ask()
    await team.room.write("我要投诉", (await team.room.load(second)).address)
    assert ("complaints", "urgent") == ((now := await team.room.load(second)).team, now.priority)
    await team.resolve(busy)

    assert ["", "a"] == await team.owners(first, second)


async def test_a_shared_agent_serves_the_oldest_of_all_teams(team: Team) -> None:
    """Who is in two teams gets whoever has waited longest in either: no team starves behind the first of the file."""
    team.crews(Crew("frontdesk", "least-busy", (Member("a", 1),)), crew(Member("a", 1)))
    busy = await team.ask()
    older = await team.ask()
    newer = await team.room.write("你好", "tel:+8613999999999")
    assert "frontdesk" == (await team.room.load(newer)).team
    await team.resolve(busy)
    assert ["a", ""] == await team.owners(older, newer)
    await team.resolve(older)

    assert "a" == await team.owner(newer)


STICKY = crew(A, B, sticky=60_000)


@pytest.mark.parametrize(
    ("after", "state", "load", "expected"),
    [
        pytest.param(30, "online", 0, "b", id="the same agent"),
        pytest.param(61, "online", 0, "a", id="too late"),
        pytest.param(30, "away", 0, "a", id="who is not there"),
        pytest.param(30, "online", 2, "a", id="who is full"),
    ],
)
async def test_a_contact_comes_back_to_their_last_agent(
    team: Team, after: int, state: str, load: int, expected: str
) -> None:
    """Within the time, and only if that agent is there and has room; it counts from the end of their conversation."""
    team.crews(STICKY)
    await team.ask()
    first = await team.ask()
    assert "b" == await team.owner(first)
    await team.resolve(first)
    for _ in range(load):
        await team.room.desk.assign(await team.queue(), LILEI, agent="b")
        await team.room.route()
    contact = (await team.room.load(first)).contact
    await team.room.pass_time(after)
    await team.room.presences.say("b", state)
    for name in [one.id for one in await team.room.conversations() if one.agent == "a"]:
        await team.resolve(
            name
        )  # a has had their turn after b, and is the one whom nothing but the contact speaks against

    assert expected == await team.owner(await team.queue(contact=contact))


async def test_a_reopened_conversation_waits_if_its_agent_is_full(team: Team) -> None:
    """Coming back is no way around the capacity: if the former agent has no room it goes to a colleague, or waits."""
    team.crews(crew(Member("a", 1)))
    first = await team.ask()
    await team.resolve(first)
    second = await team.ask()
    address = (await team.room.load(first)).address
    await team.room.write("还是不行", address)
    assert ["", "a"] == await team.owners(first, second)
    await team.resolve(second)

    assert "a" == await team.owner(first)
    await team.agree()


@pytest.mark.parametrize("status", ["snoozed", "resolved"])
async def test_who_is_put_aside_leaves_the_queue(team: Team, status: str) -> None:
    """A waiting conversation that is snoozed or resolved is not handed out; one that wakes joins again."""
    team.crews(crew(Member("a", 1)))
    busy, waiting = await team.ask(), await team.ask()
    if status == "snoozed":
        await team.room.desk.snooze(waiting, LILEI, team.room.clock() + 60_000)
    else:
        await team.room.desk.resolve(waiting, LILEI)
    await team.room.route()
    await team.resolve(busy)
    assert "" == await team.owner(waiting)
    await team.room.desk.reopen(waiting, LILEI)
    await team.room.route()

    assert "a" == await team.owner(waiting)


async def test_an_assignment_tells_why(team: Team) -> None:
    """The timeline and the conversation say how the agent was chosen, and of each colleague why not."""
    team.crews(crew(Member("a", 1), Member("b", 5, skills=("refund",)), Member("c", 5), Member("d", 5)))
    await team.ask()
    await team.room.presences.say("d", "away")
    one = await team.room.load(await team.queue(skills=("refund",)))
    found, _ = await items(team.room.store, one.place, ASSIGNMENTS, None, 10)
    story = found[0].entry.rest()

    assert (
        "b has 1/5: the fewest open conversations; a lacks the skill refund; c lacks the skill refund; d is away"
        == (one.why)
    )
    assert one.why == story["reason"]
    assert ("least-busy", "1/5") == (story["assignment"]["strategy"], story["assignment"]["load"])
    assert {"agent": "d", "why": "away"} in story["assignment"]["others"]


async def test_the_queue_can_be_asked_why(team: Team) -> None:
    """Of a conversation that waits it can be told why nobody has it."""
    team.crews(crew(Member("a", 1), Member("b", 5, shifts=("night",))))
    await team.ask()
    reason = await team.room.assigner.probe(await team.room.load(await team.ask()))

    assert reason is not None
    assert {"a": "full:1/1", "b": "shift"} == dict(reason.others)


async def test_what_the_first_version_stored_is_taken_over(team: Team) -> None:
    """Loads and queues of version 0.1 are brought into today's shape: nobody waits for ever, no load is forgotten."""
    team.crews(crew(Member("a", 1)))
    automatic, team.room.crews = team.room.crews, {TEAM: Crew(TEAM, "manual")}
    had, waits = await team.ask(), await team.ask()
    team.room.crews = automatic
    base, store = "hl:{agents}:", team.room.store
    await team.room.desk.assign(had, LILEI, agent="a")
    await store.do("agents", "DEL", f"{base}ask", f"{base}has:a")
    await store.do("agents", "HSET", f"{base}of", had, "a")
    await store.do("agents", "HSET", f"{base}load", "a", 1)
    await store.do("agents", "ZADD", f"{base}wait:{TEAM}", team.room.clock(), waits)
    await team.room.pass_time(0)
    assert {"a": 1} == await team.loads()
    assert "" == await team.owner(waits)
    await team.resolve(had)

    assert "a" == await team.owner(waits)
    await team.agree()


async def test_a_team_that_begins_to_hand_out_has_a_queue(team: Team) -> None:
    """A reload turns a team whose members chose themselves into one that assigns: who waits already is served first."""
    team.crew("manual", a=1)
    waiting = [await team.ask() for _ in range(2)]
    await team.room.pass_time(0)
    team.crew("least-busy", a=1)
    late = await team.ask()
    await team.room.pass_time(0)
    await team.resolve(late)
    assert ["a", ""] == await team.owners(*waiting)
    team.crew("least-busy", a=2)
    await team.room.pass_time(0)

    assert ["a", "a"] == await team.owners(*waiting)


async def test_a_log_that_is_read_again_undoes_no_hand_over(team: Team) -> None:
    """A conversation that was put back and handed out again stays with its new agent while that is being told."""
    team.crew("least-busy", a=1, b=1)
    one = await team.ask()
    await team.room.desk.assign(one, LILEI, agent="")
    await team.room.route()
    owner = await team.owner(one)
    store, base = team.room.store, "hl:{agents}:"
    await store.do("agents", "HSET", f"{base}handoff", one, f"{TEAM} {team.room.clock()} {owner} ")
    place = (await team.room.load(one)).place
    await commit(store, place.partition, Change(id=place.key, set={"agent": ""}))  # as before it was told
    before = await store.do("agents", "ZSCORE", f"{base}has:{owner}", one)
    team.room.forget()
    await team.room.route()

    assert owner == await team.owner(one)
    assert before == await store.do("agents", "ZSCORE", f"{base}has:{owner}", one)
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
    await store.do("agents", "ZADD", f"{base}has:a", 1, one.id)
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


async def test_a_hand_over_of_a_process_that_was_ahead_is_finished_too(team: Team) -> None:
    """A dead process whose clock was an hour ahead leaves nobody in between for that hour."""
    team.crew("manual", a=1)
    one = await team.room.load(await team.ask())
    team.crew("least-busy", a=1)
    store, base = team.room.store, "hl:{agents}:"
    await store.do("agents", "HSET", f"{base}of", one.id, "a")
    await store.do("agents", "ZADD", f"{base}has:a", 1, one.id)
    await store.do("agents", "HSET", f"{base}handoff", one.id, f"{TEAM} {team.room.clock() + 3_600_000} a")
    await team.room.assigner.mend()

    assert "a" == await team.owner(one.id)


@pytest.mark.parametrize("meanwhile", ["resolved", "resolved by another", "taken", "moved", "gone"])
async def test_a_hand_over_that_makes_no_sense_any_more_is_undone(team: Team, meanwhile: str) -> None:
    """Who was resolved, taken or moved while waiting is not handed over, and the room is given back."""
    team.crew("manual", a=1)
    one = (await team.room.load(await team.ask())).id
    store, base = team.room.store, "hl:{agents}:"
    if meanwhile == "gone":
        one = "c1-1-1"
    await store.do("agents", "HSET", f"{base}of", one, "a")
    await store.do("agents", "ZADD", f"{base}has:a", 1, one)
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
