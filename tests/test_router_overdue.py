"""What happens when time passes: silence, overflow; whoever dies meanwhile, it is in the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inbox.timeline import ASSIGNMENTS, items
from inbox.work import Actor
from router.crews import Crew, Member
from router.presence import HOME
from tests.backroom import Still
from tests.crews import LILEI, TEAM, Team
from tests.crews import team as a_team

MINUTE = 60_000
SILENT = Crew(TEAM, "least-busy", (Member("a", 2), Member("b", 2)), reassign_after=10 * MINUTE)
DUTY = "duty"
BUSY = Crew(TEAM, "least-busy", (Member("a", 1),), overflow_to=DUTY, overflow_after=10 * MINUTE)


@pytest.fixture
async def team(store_url: str, tmp_path: Path) -> AsyncIterator[Team]:
    async with a_team(store_url, tmp_path, clock=Still()) as made:
        yield made


async def why(team: Team, name: str) -> list[str]:
    """Return why a conversation was taken, moved or given, oldest first."""
    found, _ = await items(team.room.store, (await team.room.load(name)).place, ASSIGNMENTS, None, 50)
    return [item.entry.rest().get("because", "") for item in reversed(found) if item.mark == "a"]


async def test_who_stays_silent_loses_the_conversation(team: Team) -> None:
    """After the time it goes to a colleague, and the timeline says why; not a second before."""
    team.crews(SILENT)
    one = await team.ask()
    assert "a" == await team.owner(one)
    await team.room.pass_time(599)
    assert "a" == await team.owner(one)
    await team.room.pass_time(2)

    assert "b" == await team.owner(one)
    assert ["", "silent", ""] == await why(team, one)
    assert {"b": 1} == await team.loads()
    await team.agree()


async def test_who_has_answered_keeps_it_however_late_that_is_read(team: Team) -> None:
    """A reader that comes late to who took a conversation, and to their answer, knows when each was."""
    team.crews(SILENT)
    one = await team.ask()
    await team.room.desk.assign(one, Actor("agent", "b", "b"), agent="b")
    await team.room.reply(one, "您好")
    team.room.clock.offset += 4000
    await team.room.route()
    await team.room.pass_time(540)
    await team.room.write("在吗", (await team.room.load(one)).address)
    await team.room.pass_time(62)

    assert "b" == await team.owner(one)


async def test_an_answer_counts_whichever_process_took_it(team: Team) -> None:
    """Who answers through a process whose clock is behind, or was put back meanwhile, is not silent."""
    team.crews(SILENT)
    one = await team.ask()
    team.room.clock.offset -= 10_000
    await team.room.reply(one, "您好")
    team.room.clock.offset += 10_000
    await team.room.route()
    await team.room.write("在吗", (await team.room.load(one)).address)
    await team.room.pass_time(601)

    assert "a" == await team.owner(one)


async def test_an_answer_from_before_somebody_got_it_is_not_theirs(team: Team) -> None:
    """Read again after a crash, what a colleague answered before does not count, though their clock was ahead."""
    team.crews(SILENT)
    one = await team.ask()
    team.room.clock.offset += 10_000
    await team.room.reply(one, "您好")
    team.room.clock.offset -= 10_000
    await team.room.route()
    await team.room.desk.assign(one, Actor("agent", "b", "b"), agent="b")
    await team.room.write("在吗", (await team.room.load(one)).address)
    team.room.forget()
    await team.room.route()
    await team.room.pass_time(601)

    assert "silent" in await why(team, one)


KEPT = ["answered", "answered and asked again", "snoozed", "resolved", "taken by hand"]


@pytest.mark.parametrize("meanwhile", KEPT)
async def test_who_does_something_keeps_it(team: Team, meanwhile: str) -> None:
    """An answer, a snooze, a resolution within the time: nobody takes the conversation away."""
    team.crews(SILENT)
    one = await team.ask()
    address = (await team.room.load(one)).address
    match meanwhile:
        case "answered":
            await team.room.reply(one, "您好")
        case "answered and asked again":
            await team.room.reply(one, "您好")
            await team.room.write("还有", address)
        case "snoozed":
            await team.room.desk.snooze(one, LILEI, team.room.clock() + 3_600_000)
        case "resolved":
            await team.room.desk.resolve(one, LILEI)
        case "taken by hand":
            await team.room.pass_time(300)
            await team.room.desk.assign(one, LILEI, agent="b")
    await team.room.route()
    await team.room.pass_time(301 if meanwhile == "taken by hand" else 601)

    assert ("b" if meanwhile == "taken by hand" else "a") == await team.owner(one)
    assert "silent" not in await why(team, one)


async def test_silence_gives_the_old_place_back(team: Team) -> None:
    """Taken back, a conversation waits where it stood: ahead of all who came after it."""
    team.crews(SILENT)
    held = [await team.ask() for _ in range(4)]
    late = await team.ask()
    for one in held[1:]:
        await team.room.reply(one, "您好")
    await team.room.route()
    await team.room.presences.say("a", "away")
    await team.room.pass_time(601)
    assert "" == await team.owner(held[0])
    await team.resolve(held[1])

    assert ["b", ""] == await team.owners(held[0], late)


async def test_the_only_one_who_is_there_keeps_it(team: Team) -> None:
    """Taking it from the only agent who could have it would help nobody; as soon as there is another it goes on."""
    team.crews(SILENT)
    await team.room.presences.say("b", "away")
    one = await team.ask()
    await team.room.pass_time(601)
    assert ["a", [""]] == [await team.owner(one), await why(team, one)]
    await team.room.presences.say("b", "online")
    await team.room.pass_time(601)

    assert "b" == await team.owner(one)


async def test_the_silent_one_waits_their_turn(team: Team) -> None:
    """It does not come back to who was silent while a colleague is there, even if they are full."""
    team.crews(Crew(TEAM, "least-busy", (Member("a", 2), Member("b", 1)), reassign_after=10 * MINUTE))
    one, other = await team.ask(), await team.ask()
    assert ["a", "b"] == await team.owners(one, other)
    await team.room.reply(other, "您好")
    await team.room.route()
    await team.room.pass_time(601)
    assert "" == await team.owner(one)
    await team.resolve(other)

    assert "b" == await team.owner(one)


async def test_who_waits_too_long_overflows(team: Team) -> None:
    """After the time another team steps in; the conversation goes there with the time it has waited."""
    team.crews(BUSY, Crew(DUTY, "least-busy", (Member("c", 1),)))
    _, waiting, later = [await team.ask() for _ in range(3)]
    await team.room.pass_time(599)
    assert TEAM == (await team.room.load(waiting)).team
    await team.room.pass_time(2)
    one, other = await team.room.load(waiting), await team.room.load(later)

    assert [(DUTY, "c"), (DUTY, "")] == [(one.team, one.agent), (other.team, other.agent)]
    assert ["overflow", ""] == await why(team, waiting)
    await team.agree()


async def test_who_is_served_does_not_overflow(team: Team) -> None:
    """Who gets an agent within the time stays."""
    team.crews(BUSY, Crew(DUTY, "least-busy", (Member("c", 1),)))
    busy, waiting = await team.ask(), await team.ask()
    await team.room.pass_time(300)
    await team.resolve(busy)
    await team.room.pass_time(600)

    assert (TEAM, "a") == ((now := await team.room.load(waiting)).team, now.agent)


async def test_two_teams_do_not_pass_the_ball(team: Team) -> None:
    """Teams that overflow into each other pass a conversation on once, not for ever."""
    duty = Crew(DUTY, "least-busy", (Member("c", 1),), overflow_to=TEAM, overflow_after=10 * MINUTE)
    team.crews(BUSY, duty)
    _, first, second = [await team.ask() for _ in range(3)]
    for _ in range(4):
        await team.room.pass_time(601)

    assert [DUTY, DUTY] == [(await team.room.load(one)).team for one in (first, second)]
    assert ["overflow"] == await why(team, second)


async def test_overflow_to_people_who_choose_themselves(team: Team) -> None:
    """A team whose members take conversations themselves may step in, too; there it waits for them."""
    team.crews(BUSY, Crew(DUTY, "manual", (Member("c", 1),)))
    _, waiting = await team.ask(), await team.ask()
    await team.room.pass_time(601)

    assert (DUTY, "") == ((now := await team.room.load(waiting)).team, now.agent)
    assert 0 == (await team.room.assigner.queues())[0].count


async def test_what_is_due_outlives_the_process(team: Team) -> None:
    """The times are in the store: whoever takes over finds them, and a reload of the log changes none."""
    team.crews(SILENT)
    one = await team.ask()
    team.room.forget()
    await team.room.route()
    due = await team.room.store.do("agents", "ZRANGE", "hl:{agents}:due", 0, -1, "WITHSCORES")

    assert [f"s {one}"] == due[::2]
    assert 0 <= team.room.clock() + 10 * MINUTE - int(due[1]) < MINUTE


async def test_what_is_due_for_nothing_is_forgotten(team: Team) -> None:
    """Something due about a conversation that does not exist, or that nobody has, leaves no trace and no error."""
    team.crews(SILENT)
    store, due = team.room.store, "hl:{agents}:due"
    for what in ("s c1-1-1", "o c1-1-1", "p nobody", "s nonsense"):
        await store.do("agents", "ZADD", due, 1, what)
    await team.room.pass_time(0)

    assert 0 == await store.do("agents", "ZCARD", due)


async def test_the_next_look_is_when_something_is_due(team: Team) -> None:
    """The owner looks again at the time of the next thing that is due, and each second in any case."""
    team.crews(SILENT)
    held, now = team.room.leases.held[HOME], team.room.clock()
    assert 0 < await team.room.overdue.turn(held) - now <= 1500
    await team.room.store.do("agents", "ZADD", "hl:{agents}:due", now + 400, "p nobody")

    assert now + 400 == await team.room.overdue.turn(held)
