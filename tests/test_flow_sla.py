"""Promises in a whole hub: a clock that runs fast, events on time, what routes make of them, and what is shown."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from connectors.simulators.wechat import WeChatPlatform
from inbox.sla_commands import lines
from tests.backroom import Clock
from tests.hubs import TEAMS, Stage, configuration, running, served, until, write
from tests.test_flow_messages import AES, OPENID, wechat_channel

MINUTE = 60_000
PROMISES = f"""{TEAMS.replace("name: 前台,", "name: 前台, sla: standard,")}
sla:
  standard: {{first_reply: 30m, next_reply: 20m, resolution: 24h}}
  strict: {{preset: marketplace}}
"""
ROUTES = """
default: {team: frontdesk}
routes:
  - name: late
    when: {event: [sla_warning, sla_breach]}
    set: {priority: high, tags: [late]}
    routes:
      - name: too-late
        when: {event: sla_breach}
        set: {priority: urgent, team: complaints, acknowledge: complaint-received}
  - name: wechat
    when: {kind: wechat}
    set: {tags: [wechat]}
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every hub of the test."""
    made = Clock()
    monkeypatch.setattr("hub.now_ms", made)
    return made


@pytest.fixture
def platform() -> WeChatPlatform:
    return WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken", aes_key=AES)


def milliseconds(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)


async def events(stage: Stage, conversation: str) -> list[dict[str, Any]]:
    """Return what the timeline tells of the clocks, oldest first."""
    found = await stage.messages(conversation)
    return [one for one in found if one["direction"] == "event" and one["event"]["name"].startswith("sla_")]


async def test_warning_and_breach_on_time(
    store_url: str, tmp_path: Path, platform: WeChatPlatform, clock: Clock
) -> None:
    """Both are told at their time, not before; routes raise the priority, move the conversation and apologise."""
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(wechat_channel(api_base), more=PROMISES), routes=ROUTES)
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            await platform.write(OPENID, "在吗")
            [one] = await until(stage.conversations)
            opened = milliseconds(one["opened_at"])
            assert opened + 30 * MINUTE == milliseconds(one["sla"]["first_reply_due"])
            assert ("standard", [], []) == tuple(one["sla"][name] for name in ("policy", "warned", "breached"))

            clock.offset += 24 * MINUTE - 20_000
            await asyncio.sleep(0)
            assert [] == await events(stage, one["id"])
            clock.offset += 20_000
            [warning] = await until(lambda: events(stage, one["id"]))
            assert ("sla_warning", "first_reply") == (warning["event"]["name"], warning["event"]["clock"])
            assert opened + 24 * MINUTE == milliseconds(warning["at"])

            async def raised() -> bool:
                now = await stage.api("GET", f"/conversations/{one['id']}")
                return bool(now["priority"] == "high" and set(now["tags"]) == {"wechat", "late"})

            await until(raised)
            clock.offset += 6 * MINUTE

            async def breached() -> list[dict[str, Any]]:
                return (await events(stage, one["id"]))[1:]

            [breach] = await until(breached)
            assert opened + 30 * MINUTE == milliseconds(breach["at"])

            async def moved() -> bool:
                now = await stage.api("GET", f"/conversations/{one['id']}")
                return bool((now["team"], now["agent"], now["priority"]) == ("complaints", "lilei", "urgent"))

            await until(moved)

            async def apologised() -> bool:
                return bool(platform.received.get(OPENID))

            await until(apologised)
            trail = (await stage.api("GET", f"/conversations/{one['id']}/trail"))["items"]
            assert ["too-late", "late"] == [item["route"] for item in trail[:2]]
            assert all(item["explanation"]["tried"][0]["matched"] for item in trail[:2])

            now = await stage.api("GET", f"/conversations/{one['id']}")
            assert (None, ["first_reply"], None) == tuple(
                now["sla"][key] for key in ("policy", "breached", "first_reply_due")
            )  # the complaints team promises nothing, but what was broken stays broken

            async def counted() -> bool:
                async with stage.http.get(f"{stage.base}/metrics") as answer:
                    text = await answer.text()
                names = ("first_reply_warning", "first_reply_breach")
                return all(f'huiliu_sla_total{{channel="shop-wechat",outcome="{name}"}} 1.0' in text for name in names)

            await until(counted)


async def test_each_interval_is_accounted_for(
    store_url: str, tmp_path: Path, platform: WeChatPlatform, clock: Clock
) -> None:
    """The API and the command say what ran, what rested and why, in both languages; and it adds up."""
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(wechat_channel(api_base), more=PROMISES))
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            await platform.write(OPENID, "在吗")
            [one] = await until(stage.conversations)
            clock.offset += 10 * MINUTE
            await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "在的"}, status=202)
            clock.offset += 60 * MINUTE
            await stage.api("POST", f"/conversations/{one['id']}/reopen")
            clock.offset += 5 * MINUTE
            found = await stage.api("GET", f"/conversations/{one['id']}/sla")

            resolution, reply = found["clocks"]
            assert ("resolution", "running", "open") == tuple(resolution[key] for key in ("clock", "state", "outcome"))
            assert ("first_reply", "answered", "met") == tuple(reply[key] for key in ("clock", "state", "outcome"))
            assert 2 == len(resolution["counted"])
            assert ["waiting"] == [span["why"] for span in resolution["left_out"]]
            assert 15 * 60 == pytest.approx(resolution["used_seconds"], abs=10)
            assert resolution["used_seconds"] == pytest.approx(sum(span["seconds"] for span in resolution["counted"]))
            shown = {locale: lines(found, locale) for locale in ("en", "zh-CN")}
            assert len(shown["en"]) == len(shown["zh-CN"]) == 11
            assert "waiting for the customer" in shown["en"][4]
            assert "等待顾客" in shown["zh-CN"][4]
