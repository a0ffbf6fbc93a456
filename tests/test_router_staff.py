"""The API and the commands of assignment: who is there, who waits and why, and whether it is fair."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hub import now_ms
from inbox.client import Client
from outbox.report_commands import with_reports
from router import staff_commands
from tests.backroom import message
from tests.hubs import TEAMS, TOKEN, Stage, configuration, running, until, write

CHANNELS = "  site-chat: {kind: webchat}"
MORE = TEAMS.replace("capacity: 2}", "capacity: 2, offline: release}")
LILEI, READER = "test-token-of-lilei", "test-token-of-a-reader"


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(store_url, write(tmp_path, configuration(CHANNELS, more=MORE))) as made:
        yield made


async def ask(stage: Stage, *numbers: int) -> list[dict[str, Any]]:
    """Let visitors ask for a refund; return their conversations, in this order, when all have been routed."""
    events = [message("我要退款", f"webchat:visitor-{number}", id=f"e{number}", now=now_ms()) for number in numbers]
    await stage.hub.recorder.record("site-chat", events)

    async def routed() -> list[dict[str, Any]]:
        found = await stage.conversations(team="aftersales")
        by_address = {one["contact"]["addresses"][0]: one for one in found}
        wanted = [by_address.get(f"webchat:visitor-{number}") for number in numbers]
        return [one for one in wanted if one] if all(wanted) else []

    return await until(routed)


async def agent_of(stage: Stage, conversation: str) -> str:
    return (await stage.api("GET", f"/conversations/{conversation}"))["agent"] or ""


async def test_presence_is_said_and_seen(stage: Stage) -> None:
    """Who is said to be away is away in the list, until when is shown, and null leaves it to the shifts again."""
    done = await stage.api("PUT", "/agents/lilei/presence", {"state": "away", "for": "30m"})
    assert "away" == done["presence"]["state"]
    assert done["presence"]["until"] > done["presence"]["said_at"]
    agents = (await stage.api("GET", "/agents"))["items"]
    assert {"lilei": "away", "hanmeimei": "online"} == {one["id"]: one["presence"]["state"] for one in agents}
    done = await stage.api("PUT", "/agents/lilei/presence", {"state": None})

    assert {"state": "online", "said_at": None, "until": None} == done["presence"]


REFUSED: list[Any] = [
    pytest.param(LILEI, "hanmeimei", {"state": "away"}, 403, id="an agent of a colleague"),
    pytest.param(READER, "lilei", {"state": "away"}, 403, id="who may only read"),
    pytest.param(TOKEN, "nobody", {"state": "away"}, 404, id="no such agent"),
    pytest.param(TOKEN, "lilei", {"state": "gone"}, 422, id="no such state"),
    pytest.param(TOKEN, "lilei", {}, 422, id="no state"),
    pytest.param(TOKEN, "lilei", {"state": "away", "for": "soon"}, 422, id="no duration"),
    pytest.param(TOKEN, "lilei", {"state": "away", "until": "now"}, 422, id="an unknown field"),
]


@pytest.mark.parametrize(("token", "agent", "body", "status"), REFUSED)
async def test_presence_is_refused(stage: Stage, token: str, agent: str, body: dict[str, Any], status: int) -> None:
    """Only of oneself, or as a supervisor; and nothing that is no presence."""
    problem = await stage.api("PUT", f"/agents/{agent}/presence", body, token=token, status=status)

    assert status == problem["status"]
    assert "online" == (await stage.api("GET", "/agents"))["items"][0]["presence"]["state"]


async def test_an_agent_speaks_for_themselves(stage: Stage) -> None:
    """An agent's token says whether that agent is there."""
    done = await stage.api("PUT", "/agents/lilei/presence", {"state": "away"}, token=LILEI)

    assert "away" == done["presence"]["state"]


async def test_going_offline_moves_what_is_unanswered(stage: Stage) -> None:
    """In a running hub, within a moment, what lilei has not answered goes to hanmeimei; the trail says why."""
    one, two = await ask(stage, 1, 2)

    async def both() -> list[str]:
        owners = [await agent_of(stage, each["id"]) for each in (one, two)]
        return owners if all(owners) else []

    owners = await until(both)
    assert ["hanmeimei", "lilei"] == sorted(owners)
    mine = (one, two)[owners.index("lilei")]["id"]
    await stage.api("PUT", "/agents/lilei/presence", {"state": "offline"})

    async def moved() -> bool:
        return await agent_of(stage, mine) == "hanmeimei"

    await until(moved)
    trail = (await stage.api("GET", f"/conversations/{mine}/trail?kind=all"))["items"]
    assert ["assignment", "assignment", "assignment", "decision"] == [each["kind"] for each in trail]
    assert ["hanmeimei", None, "lilei"] == [each["agent"] for each in trail[:3]]
    assert "offline" == trail[1]["because"]
    assert {"agent": "lilei", "why": "offline"} in trail[0]["assignment"]["others"]
    decisions = (await stage.api("GET", f"/conversations/{mine}/trail"))["items"]
    assert trail[3:] == decisions
    assert trail[:3] == (await stage.api("GET", f"/conversations/{mine}/trail?kind=assignment"))["items"]
    assert trail[0]["reason"] == (await stage.api("GET", f"/conversations/{mine}"))["assignment"]["reason"]


async def test_who_waits_is_told_why_and_counted(stage: Stage) -> None:
    """Candidates say why nobody has it, the report and the metrics count it, and the report says who got the others."""
    asked = await ask(stage, 1, 2, 3, 4, 5)

    async def settled() -> list[dict[str, Any]]:
        found = (await stage.api("GET", "/reports/assignment?team=aftersales"))["items"]
        return found if found and sum(one["given"] for one in found[0]["agents"]) == 4 else []

    [row] = await until(settled)
    assert [("hanmeimei", 2), ("lilei", 2)] == [(one["agent"], one["given"]) for one in row["agents"]]
    assert (0, 1.0, None, 4) == (row["spread"], row["fairness"], row["shift"], row["waiting"]["count"])

    async def queued() -> dict[str, int]:
        waiting = (await stage.api("GET", "/reports/assignment?since=1h"))["waiting"]
        found = {one["team"]: one["count"] for one in waiting}
        return found if found["aftersales"] else {}

    assert {"aftersales": 1, "complaints": 0} == await until(queued)

    async def only_one() -> list[str]:
        without = [str(one["id"]) for one in asked if not await agent_of(stage, one["id"])]
        return without if len(without) == 1 else []

    [last] = await until(only_one)
    told = await stage.api("GET", f"/conversations/{last}/candidates")
    assert [("hanmeimei", "full:2/2"), ("lilei", "full:2/2")] == sorted(
        (one["agent"], one["why"]) for one in told["candidates"]
    )
    async with stage.http.get(f"{stage.base}/metrics") as response:
        metrics = await response.text()
    assert 'huiliu_waiting{team="aftersales"} 1.0' in metrics
    assert 'huiliu_agents{state="online"} 2.0' in metrics
    assert (
        float(re.findall(r'^huiliu_oldest_waiting_seconds\{team="aftersales"\} (\S+)$', metrics, re.MULTILINE)[0]) > 0
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [("team=nobody", 422), ("since=soon", 422), ("since=2026-11-21T00:00:00Z", 200), ("since=2d", 200)],
)
async def test_what_a_report_may_be_asked(stage: Stage, query: str, status: int) -> None:
    """A team that exists, a time or how long ago."""
    await stage.api("GET", f"/reports/assignment?{query}", status=status)


def run(app: Any, *words: str) -> str:
    """Run a command and return what it prints."""
    result = CliRunner().invoke(app, list(words))
    assert 0 == result.exit_code, result.output
    return result.output


async def test_commands(stage: Stage) -> None:
    """`huiliu agents` lists and sets, `huiliu report assignment` counts, for people and for scripts."""
    asked = await ask(stage, 1)

    async def owned() -> bool:
        return bool(await agent_of(stage, asked[0]["id"]))

    await until(owned)
    client = Client(stage.base, TOKEN)

    def use() -> tuple[str, str, str, dict[str, Any], str]:
        agents = staff_commands.agents(lambda: client, lambda: "zh-CN")
        reports = with_reports(staff_commands.reports(lambda: client, lambda: "en"), lambda: client, lambda: "en")
        said = run(agents, "set", "lilei", "away", "--for", "30m", "--keep")
        back = run(agents, "set", "lilei", "auto")
        listed = run(agents, "list")
        return (
            said,
            back,
            listed,
            json.loads(run(agents, "list", "--json")),
            run(reports, "assignment", "--since", "1d"),
        )

    said, back, listed, as_json, report = await asyncio.to_thread(use)
    assert re.fullmatch(r"lilei  away  2\S+Z\n", said)
    assert "lilei  online\n" == back
    assert re.search(r"^hanmeimei +韩梅梅 +frontdesk aftersales +online", listed, re.MULTILINE)
    assert {"lilei", "hanmeimei"} == {one["id"] for one in as_json["items"]}
    assert re.search(r"aftersales +- +\w+ +1 +0 +\d +[01.]+", report)
