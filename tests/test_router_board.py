"""The floor at a glance tells the truth: who waits, since when, what is late, what needs a person, seen by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.simulators.wechat import WeChatPlatform
from inbox.conversations import LATE
from inbox.lists import Filter, page
from inbox.partitions import key, partition_of, tag
from inbox.work import HUB
from router.board import level, waiting_since
from tests.backroom import Room, room
from tests.browsers import signed_in
from tests.hubs import TEAMS, configuration, running, served, until, write

ADDRESS, OTHER = "tel:+8613800138000", "tel:+8613800138001"
MINUTE = 60_000
PROMISES = f"""{TEAMS.replace("frontdesk: {name: 前台,", "frontdesk: {name: 前台, sla: standard,")}
sla:
  standard: {{first_reply: 30m, next_reply: 20m, resolution: 24h}}
"""
CHANNEL = (
    "  shop-wechat: {{kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app, token: pushtoken, "
    "api_base: '{}'}}"
)
RESTRICTED = TEAMS.replace("complaints: {name: 投诉组,", "complaints: {name: 投诉组, restricted: true,")


@pytest.fixture
async def inbox(store_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    async with room(store_url, tmp_path, more=PROMISES) as made:
        yield made


async def settle(inbox: Room) -> None:
    """Look at the clocks until there is nothing left to do now."""
    while (next_at := await inbox.ticks.turn()) is not None and next_at <= inbox.clock():
        pass


async def late(inbox: Room) -> list[tuple[str, str]]:
    """Return the conversations of which a clock has warned or is over, and how late they are."""
    found = await page(inbox.store, Filter(late=True), "", 50)
    return [(one.id, level(one)) for one in found.items]


async def test_late_conversations_are_listed_by_when_they_are_due(inbox: Room) -> None:
    """A warning puts a conversation on the list, an answer and the end take it off; the first to be due comes first."""
    first = await inbox.write("你好", ADDRESS)
    second = await inbox.write("在吗", OTHER)
    await settle(inbox)
    assert [] == await late(inbox)
    inbox.clock.offset += 25 * MINUTE
    await settle(inbox)
    assert [(first, "warned"), (second, "warned")] == await late(inbox)
    inbox.clock.offset += 6 * MINUTE
    await settle(inbox)
    assert [(first, "breached"), (second, "breached")] == await late(inbox)

    await inbox.reply(first, "您好")
    await settle(inbox)
    assert [(second, "breached")] == await late(inbox)
    await inbox.desk.resolve(second, HUB)
    await settle(inbox)

    assert [] == await late(inbox)


async def test_a_list_of_late_conversations_that_was_lost_is_made_again(inbox: Room) -> None:
    """When promises change every conversation is looked at anew, and its place on the list with it."""
    one = await inbox.write("你好", ADDRESS)
    inbox.clock.offset += 26 * MINUTE
    await settle(inbox)
    partition = partition_of(ADDRESS)
    for name in (LATE, "promises"):
        await inbox.store.do(tag(partition), "DEL", key(partition, name))
    inbox.ticks.watch(inbox.held(ADDRESS))
    await settle(inbox)

    assert [(one, "warned")] == await late(inbox)


async def test_somebody_waits_since_the_first_message_that_nobody_answered(inbox: Room) -> None:
    """Writing again does not make a wait younger; an answer ends it, and the next message begins a new one."""
    one = await inbox.write("你好", ADDRESS)
    began = waiting_since(await inbox.load(one))
    inbox.clock.offset += 5 * MINUTE
    await inbox.write("在吗", ADDRESS)
    assert began == waiting_since(await inbox.load(one)) == (await inbox.load(one)).opened_at
    await inbox.reply(one, "您好")
    await inbox.write("退款", ADDRESS)

    assert began + 5 * MINUTE <= waiting_since(await inbox.load(one)) < began + 6 * MINUTE


async def test_the_board_counts_by_team_and_hides_restricted_ones(store_url: str, tmp_path: Path) -> None:
    """What waits is counted once under its team; who may not see a team sees neither its line nor its numbers."""
    platform = WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken")
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(CHANNEL.format(api_base), more=RESTRICTED))
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            for number, text in enumerate(("你好", "我要退款", "我要投诉")):
                await platform.write(f"o9AgO5Kd5ggOC-customer-{number:05}", text)

            async def whole() -> Any:
                board = await stage.api("GET", "/board")
                return board if board["waiting"]["count"] == 3 else None

            board = await until(whole)
            teams = {one["id"]: one for one in board["teams"]}
            assert [1, 1, 1] == [teams[name]["open"] for name in ("frontdesk", "aftersales", "complaints")]
            assert board["waiting"]["oldest_since"]
            assert board["waiting"]["conversation"]
            assert (None, 0) == (teams["frontdesk"]["queue"], teams["aftersales"]["queue"]["count"])
            assert {"drafts": 0, "dead": 0, "uncertain": 0, "scheduled": 0, "shunted": 0} == board["needs"]
            agents = (await stage.api("GET", "/agents"))["items"]
            assert {"lilei": 5, "hanmeimei": 2} == {one["id"]: one["capacity"] for one in agents}

            supervisor = await signed_in(stage, "chief", "supervisor")
            seen = (await supervisor.call("GET", "/board")).body
            assert ["frontdesk", "aftersales"] == [one["id"] for one in seen["teams"]]
            assert 2 == seen["waiting"]["count"]


async def test_what_lint_finds_is_told_in_both_languages(store_url: str, tmp_path: Path) -> None:
    """The findings of `huiliu check` are in the API, with their place, in the language that is asked for."""
    rule = "{name: refund, when: {text: {any_of: [退款]}}, set: {team: complaints, agent: hanmeimei}}"
    routes = f"default: {{team: frontdesk}}\nroutes: [{rule}]\n"
    async with running(store_url, write(tmp_path, configuration("", more=TEAMS), routes=routes)) as stage:
        said = {}
        for language in ("en", "zh"):
            found = (await stage.api("GET", f"/routes/lint?language={language}"))["items"]
            said[language] = next(one for one in found if one["rule"] == "agent-not-in-team")

        assert ("routes.yaml", 2, "warning") == tuple(said["en"][name] for name in ("file", "line", "severity"))
        assert 'agent "hanmeimei" is no member of team "complaints"' == said["en"]["what"]
        assert said["zh"]["what"] != said["en"]["what"]
