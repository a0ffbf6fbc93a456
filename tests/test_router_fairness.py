"""Who was given how much, and who waited how long: counted per team, shift and day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from config.hours import Hours
from router.crews import Crew, Member, Roster
from router.fairness import Given, jain, read, report, waits
from tests.crews import LILEI, TEAM, Team
from tests.crews import team as a_team

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAYTIME = Hours.model_validate({"timezone": "Asia/Shanghai", "week": {"mon-sun": ["08:00-20:00"]}})
NIGHT = Hours.model_validate({"timezone": "Asia/Shanghai", "week": {"mon-sun": ["20:00-08:00"]}})
MEMBERS = (Member("a", 9, shifts=("day",)), Member("b", 9, shifts=("day",)), Member("c", 9, shifts=("night",)))
ROSTER = Roster({TEAM: Crew(TEAM, "least-busy", MEMBERS)}, {"day": DAYTIME, "night": NIGHT})
HOUR = 3_600_000
NOON = 1_795_320_000_000  # 2026-11-22T12:00 in Shanghai


def given(
    agent: str, at: int = NOON, *, team: str = TEAM, waited: int = 0, by: str = "hub", present: str = ""
) -> Given:
    return Given("c1-1", team, agent, at, waited, by, tuple(present))


CASES: list[Any] = [
    pytest.param([], [], id="nothing"),
    pytest.param([given("a"), given("b"), given("a")], [("2026-11-22", "day", {"a": 2, "b": 1}, 1)], id="one shift"),
    pytest.param(
        [given("a", present="ab")], [("2026-11-22", "day", {"a": 1, "b": 0}, 1)], id="who was there and got none"
    ),
    pytest.param([given("a")], [("2026-11-22", "day", {"a": 1}, 0)], id="who was not there does not count"),
    pytest.param(
        [given("a", NOON - 24 * HOUR), given("a")],
        [("2026-11-22", "day", {"a": 1}, 0), ("2026-11-21", "day", {"a": 1}, 0)],
        id="each day for itself",
    ),
    pytest.param(
        [given("c", NOON + 9 * HOUR), given("c", NOON + 19 * HOUR)],
        [("2026-11-22", "night", {"c": 2}, 0)],
        id="a night belongs to the day on which it began",
    ),
    pytest.param([given("a", NOON + 10 * HOUR)], [("2026-11-22", None, {"a": 1}, 0)], id="overtime has no shift"),
    pytest.param([given("a", team="gone")], [], id="a team that is no more"),
]


@pytest.mark.parametrize(("assignments", "expected"), CASES)
def test_report(assignments: list[Given], expected: list[Any]) -> None:
    """Each row is one team in one shift of one day, the latest day first."""
    rows = report(assignments, ROSTER, SHANGHAI)

    assert expected == [
        (row["date"], row["shift"], {one["agent"]: one["given"] for one in row["agents"]}, row["spread"])
        for row in rows
    ]


def test_what_people_took_is_not_the_hubs_doing() -> None:
    """What agents took themselves is shown, and changes neither spread nor waiting times."""
    [row] = report([given("a"), given("b"), given("b", by="people", waited=9)], ROSTER, SHANGHAI)

    assert [(1, 0), (1, 1)] == [(one["given"], one["taken"]) for one in row["agents"]]
    assert (0, 1.0, 2) == (row["spread"], row["fairness"], row["waiting"]["count"])


def test_weights_are_fair() -> None:
    """Who has twice the weight and twice the work is treated alike."""
    crew = Crew(TEAM, "weighted", (Member("a", 9, weight=2), Member("b", 9)))
    [row] = report([given("a"), given("a"), given("b")], Roster({TEAM: crew}), SHANGHAI)

    assert 1.0 == row["fairness"]


@pytest.mark.parametrize(
    ("shares", "expected"), [([], 1.0), ([0, 0], 1.0), ([3, 3, 3], 1.0), ([1, 0, 0, 0], 0.25), ([2, 1], 0.9)]
)
def test_jain(shares: list[float], expected: float) -> None:
    """1 when all have alike, 1/n when one has it all."""
    assert expected == jain(shares)


def test_waits() -> None:
    """Median, 95th percentile and longest, in seconds; nothing for nothing."""
    assert {"count": 100, "median": 51.0, "p95": 96.0, "longest": 100.0} == waits(range(1000, 101_000, 1000))
    assert {"count": 0, "median": None, "p95": None, "longest": None} == waits([])


@pytest.fixture
async def team(store_url: str, tmp_path: Path) -> AsyncIterator[Team]:
    async with a_team(store_url, tmp_path) as made:
        yield made


async def test_every_assignment_is_kept(team: Team) -> None:
    """Who got what after which wait, who was there, what people took; none twice when the log is read again."""
    team.crew("least-busy", a=1, b=1)
    await team.room.presences.say("b", "away")
    first, second = await team.ask(), await team.ask()
    await team.room.pass_time(30)
    await team.resolve(first)
    third = await team.ask()
    await team.room.desk.assign(third, LILEI, agent="b")
    team.room.forget()
    await team.room.route()
    kept = await read(team.room.store, 0)

    assert [(third, "b", "people"), (second, "a", "hub"), (first, "a", "hub")] == [
        (one.conversation, one.agent, one.by) for one in kept
    ]
    assert 30_000 <= kept[1].waited < 40_000
    assert [(), ("a",), ("a",)] == [one.present for one in kept]
    assert kept[:2] == await read(team.room.store, kept[1].at)
