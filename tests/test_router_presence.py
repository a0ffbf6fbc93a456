"""Whether agents are there: what was said, for how long it holds, and what their shifts say otherwise."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from config.hours import Hours
from inbox.work import HUB
from router.crews import Crew, Member
from router.presence import Now, Said, current
from tests.crews import TEAM, Team
from tests.crews import team as a_team

UTC = ZoneInfo("UTC")
DAY_SHIFT = Hours.model_validate({"timezone": "UTC", "week": {"mon-sun": ["09:00-17:00"]}})
MINUTE = 60_000


@pytest.fixture
async def team(store_url: str, tmp_path: Path) -> AsyncIterator[Team]:
    async with a_team(store_url, tmp_path) as made:
        made.crews(Crew(TEAM, "least-busy", (Member("a", 9), Member("b", 9))))
        yield made


CASES = [
    pytest.param(None, True, "online", id="nobody said anything, on duty"),
    pytest.param(None, False, "shift", id="nobody said anything, off duty"),
    pytest.param(Said("away", 1), True, "away", id="away"),
    pytest.param(Said("offline", 1), True, "offline", id="offline, though the shift is on"),
    pytest.param(Said("away", 1, until=99), True, "online", id="away is over"),
    pytest.param(Said("away", 1, until=99), False, "shift", id="away is over, and so is the shift"),
    pytest.param(Said("away", 1, until=101), True, "away", id="away is not over"),
    pytest.param(Said("online", 1, until=101, then="offline"), True, "online", id="alive"),
    pytest.param(Said("online", 1, until=100, then="offline"), True, "offline", id="no sign of life any more"),
    pytest.param(Said("online", 1, shift=True), True, "online", id="online on duty"),
    pytest.param(Said("online", 1, shift=True), False, "shift", id="online ends with the shift in which it was said"),
    pytest.param(Said("online", 1), False, "online", id="overtime"),
    pytest.param(Said("online", 1, until=99), False, "shift", id="overtime was yesterday"),
]


@pytest.mark.parametrize(("said", "on", "expected"), CASES)
def test_how_things_stand(said: Said | None, on: bool, expected: str) -> None:
    """What was said holds for its time; after it, and without it, the shift counts."""
    assert expected == current(said, 100, on=on).state


@pytest.mark.parametrize(("said", "on", "expected"), CASES)
async def test_the_store_sees_it_alike(team: Team, said: Said | None, on: bool, expected: str) -> None:
    """The script that hands out has the same opinion: only who is online gets a conversation."""
    member = Member("a", 9, shifts=() if on else ("never",))
    team.crews(Crew(TEAM, "least-busy", (member,)))
    now = team.room.clock()
    if said is not None:
        until = said.until and now + (said.until - 100) * MINUTE
        packed = msgspec.json.encode(msgspec.structs.replace(said, at=now - MINUTE, until=until))
        await team.room.store.do("agents", "HSET", "hl:{agents}:presence", "a", packed)

    assert ("a" if expected == "online" else "") == await team.owner(await team.ask())


@pytest.mark.parametrize("state", ["away", "offline"])
async def test_who_is_not_there_gets_nothing(team: Team, state: str) -> None:
    """From the moment it is said, and until they are back; then who waits is handed out at once."""
    await team.room.presences.say("a", state)
    assert ["b", "b"] == [await team.owner(await team.ask()) for _ in range(2)]
    await team.room.presences.say("b", state)
    waiting = await team.ask()
    assert "" == await team.owner(waiting)
    await team.room.presences.say("a", "online")
    await team.room.route()

    assert "a" == await team.owner(waiting)


async def test_a_break_ends_by_itself(team: Team) -> None:
    """Who is away for half an hour is back after it, without saying so, and gets who has waited."""
    for agent in "ab":
        await team.room.presences.say(agent, "away", 30 * MINUTE)
    waiting = await team.ask()
    await team.room.pass_time(29 * 60)
    assert "" == await team.owner(waiting)
    await team.room.pass_time(61)

    assert "" != await team.owner(waiting)
    assert await team.room.presences.said("a") is None


async def test_who_gives_no_sign_of_life_is_offline(team: Team) -> None:
    """An "online" for a minute must be said again within it; each time it holds for another minute."""
    await team.room.presences.say("a", "online", MINUTE)
    await team.room.pass_time(50)
    await team.room.presences.say("a", "online", MINUTE)
    await team.room.pass_time(50)
    assert "online" == (await team.room.presences.all(["a"]))["a"].state
    await team.room.pass_time(11)

    assert "offline" == (await team.room.presences.all(["a"]))["a"].state
    assert "b" == await team.owner(await team.ask())


async def test_a_shift_begins_and_ends(team: Team) -> None:
    """Off duty nobody gets anything; when the shift begins the waiting are handed out by themselves."""
    now = dt.datetime.now(UTC)
    team.room.clock.offset = int((now.replace(hour=8, minute=59, second=0) - now).total_seconds() * 1000)
    team.room.roster = replace(
        team.room.roster,
        crews={TEAM: Crew(TEAM, "least-busy", (Member("a", 9, shifts=("day",)),))},
        hours={"day": DAY_SHIFT},
    )
    waiting = await team.ask()
    assert "" == await team.owner(waiting)
    await team.room.pass_time(120)
    assert "a" == await team.owner(waiting)
    await team.room.presences.say("a", "online")  # on duty: it ends with the shift
    await team.room.pass_time(8 * 3600)

    assert Now("shift", None) == (await team.room.presences.all(["a"]))["a"]
    assert "" == await team.owner(await team.ask())


async def test_overtime_ends_when_the_next_shift_begins(team: Team) -> None:
    """Who says after hours that they are there is there; the next evening that no longer counts."""
    now = dt.datetime.now(UTC)
    team.room.clock.offset = int((now.replace(hour=20, minute=0, second=0) - now).total_seconds() * 1000)
    team.room.roster = replace(
        team.room.roster,
        crews={TEAM: Crew(TEAM, "least-busy", (Member("a", 9, shifts=("day",)),))},
        hours={"day": DAY_SHIFT},
    )
    await team.room.presences.say("a", "online")
    assert "a" == await team.owner(await team.ask())
    await team.room.pass_time(24 * 3600)

    assert "shift" == (await team.room.presences.all(["a"]))["a"].state
    assert "" == await team.owner(await team.ask())


RELEASED = [
    pytest.param(True, None, True, id="as the team says"),
    pytest.param(False, None, False, id="the team keeps"),
    pytest.param(False, True, True, id="said with it"),
    pytest.param(True, False, False, id="kept with it"),
]


@pytest.mark.parametrize(("team_says", "release", "freed"), RELEASED)
async def test_going_offline_may_release(team: Team, team_says: bool, release: bool | None, freed: bool) -> None:
    """What an agent has not answered goes on to a colleague; what they have answered stays theirs."""
    team.crews(Crew(TEAM, "least-busy", (Member("a", 9), Member("b", 9)), release=team_says))
    await team.room.presences.say("b", "away")
    answered, unanswered = await team.ask(), await team.ask()
    await team.room.reply(answered, "您好")
    await team.room.presences.say("b", "online")
    await team.room.presences.say("a", "offline", release=release)
    await team.room.pass_time(0)

    assert ["a", "b" if freed else "a"] == await team.owners(answered, unanswered)
    await team.agree()


async def test_who_is_released_keeps_their_place(team: Team) -> None:
    """Nothing is lost and nobody loses their place: the released wait ahead of who came later."""
    team.crews(Crew(TEAM, "least-busy", (Member("a", 2), Member("b", 1)), release=True))
    first, second, third = [await team.ask() for _ in range(3)]
    assert ["a", "b", "a"] == await team.owners(first, second, third)
    late = await team.ask()
    await team.room.presences.say("a", "offline")
    await team.room.pass_time(0)
    assert ["", "b", "", ""] == await team.owners(first, second, third, late)
    for done, following in [(second, first), (first, third), (third, late)]:
        await team.resolve(done)
        assert "b" == await team.owner(following)


async def test_a_lost_sign_of_life_releases_too(team: Team) -> None:
    """Who vanishes without a word is treated as who goes offline."""
    team.crews(Crew(TEAM, "least-busy", (Member("a", 9), Member("b", 9)), release=True))
    await team.room.presences.say("b", "away")
    await team.room.presences.say("a", "online", MINUTE)
    one = await team.ask()
    await team.room.presences.say("b", "online")
    await team.room.pass_time(61)
    await team.room.pass_time(0)

    assert "b" == await team.owner(one)


async def test_a_hand_over_to_who_just_went_offline_goes_on(team: Team) -> None:
    """Chosen, then offline, then told: the conversation does not stay with who is gone."""
    team.crews(Crew(TEAM, "least-busy", (Member("a", 9), Member("b", 9)), release=True))
    desk = team.room.desk
    one = await team.ask()
    assert "a" == await team.owner(one)
    await desk.assign(one, HUB, agent="")
    await team.room.presences.say("a", "offline")
    await desk.assign(one, HUB, agent="a")  # what another process had decided a moment before
    await team.room.route()
    await team.room.pass_time(0)

    assert "b" == await team.owner(one)
    await team.agree()
