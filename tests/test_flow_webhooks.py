"""Outgoing webhooks, from what happens to the existing tool, through the real doors."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from config.loading import attempt
from connectors.base import Message
from hub import kinds
from inbox.attachments import Attachments
from inbox.client import Client
from inbox.opening import open_store
from inbox.partitions import COUNT, key
from inbox.recording import Recorder
from inbox.wakes import Wakes
from outbox import webhooks
from outbox.webhook_commands import commands
from router.scripts import SCRIPTS
from tests.chaos import LONG, moments
from tests.hubs import TEAMS, TOKEN, Stage, configuration, running, served, until, write
from tests.processes import HubProcess
from tests.receiver import Receiver
from tests.test_inbox_streams import AT, CHANNEL, everything, say, settled

OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()


def told(url: str, *, events: str = "['*']", more: str = "") -> str:
    """Return the configuration of one webhook called crm."""
    crm = f"{{url: '{url}/hook', secret: {OLD}, allow_private: true, events: {events}{more}}}"
    return f"{TEAMS}\ndelivery: {{breaker: {{pause: 1s}}}}\nwebhooks:\n  crm: {crm}\n"


@asynccontextmanager
async def shop(store_url: str, tmp_path: Path, text: str, *, index: int = 0) -> AsyncIterator[Stage]:
    config = write(tmp_path / str(index), configuration(CHANNEL, more=text))
    async with running(store_url, config, index=index) as stage:
        yield stage


async def shown(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = await stage.api("GET", "/webhooks/crm")
    return found


async def log_of(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await stage.api("GET", "/webhooks/crm/deliveries"))["items"]
    return found


async def test_a_tool_is_told_everything_once_and_signed(store_url: str, tmp_path: Path) -> None:
    """Each event of the log reaches the endpoint once, signed so that the reference library agrees, with its own id."""
    receiver = Receiver(OLD)
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url)) as stage:
        await say(stage, "ann", "我要退款", "多久到账")
        [conversation] = await until(stage.conversations)
        await stage.api("POST", f"/conversations/{conversation['id']}/notes", {"text": "老客户"})
        await stage.api("POST", f"/conversations/{conversation['id']}/resolve", {})
        await until(lambda: settled(stage))

        async def complete() -> bool:
            return len(receiver.calls) == len(await everything(stage))

        await until(complete)
        expected = {str(one.id): one for one in await everything(stage)}
        assert sorted(expected) == sorted(receiver.ids)
        assert 0 == receiver.refused
        by_id = {one.id: one for one in receiver.calls}
        for name, one in expected.items():
            assert (name, f"huiliu.{one.type}") == (by_id[name].event["id"], by_id[name].event["type"])
        assert {"application/cloudevents+json; charset=utf-8"} == {
            one.headers["content-type"] for one in receiver.calls
        }
        listed = await log_of(stage)
        assert {("sent", "204", 1)} == {(one["state"], one["status"], one["attempts"]) for one in listed}
        assert sorted(expected) == sorted(one["event"] for one in listed)
        assert ("active", 0) == ((await shown(stage))["state"], (await shown(stage))["waiting"])


async def test_a_secret_is_changed_without_a_refused_call(store_url: str, tmp_path: Path) -> None:
    """While two secrets sign, receivers that know the old one and such that know the new one both agree."""
    old, new = Receiver(OLD), Receiver(NEW)
    app = web.Application()
    app.add_subapp("/old", old.app)
    app.add_subapp("/new", new.app)
    both = f"secrets: [{NEW}, {OLD}], allow_private: true, events: [message.received]"
    async with served(app) as url:
        text = (
            f"{TEAMS}\nwebhooks:\n  one: {{url: '{url}/old/hook', {both}}}\n  two: {{url: '{url}/new/hook', {both}}}\n"
        )
        async with shop(store_url, tmp_path, text) as stage:
            await say(stage, "ann", "在吗")

            async def arrived() -> bool:
                return bool(old.calls and new.calls)

            await until(arrived)
    assert [2, 2] == [old.calls[0].signatures, new.calls[0].signatures]
    assert 0 == old.refused + new.refused


async def test_what_an_endpoint_refuses_is_sent_again_with_its_id(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only 2xx is a success: an error, a redirect and a wish for time are tried again, and all of it is in the log."""
    monkeypatch.setattr(webhooks, "STANDARD_WEBHOOKS", "0.05,0.05,0.05,0.05")
    receiver = Receiver(OLD)
    elsewhere = web.Response(status=307, headers={"Location": "/hook"})
    receiver.answers.extend(
        [web.Response(status=500), elsewhere, web.Response(status=429, headers={"Retry-After": "1"})]
    )
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url, events="[message.received]")) as stage:
        await say(stage, "ann", "在吗")

        async def arrived() -> bool:
            return bool(receiver.calls)

        await until(arrived)
        [delivery] = await until(lambda: in_state(stage, "sent"))
        assert (4, ["500", "307", "429", "204"]) == (delivery["attempts"], [one["status"] for one in delivery["log"]])
        assert 4 == receiver.tries
        waited = at(delivery["log"][3]) - at(delivery["log"][2])
        assert waited >= dt.timedelta(seconds=1)
        assert all(one["duration_ms"] >= 0 for one in delivery["log"])
        assert "active" == (await shown(stage))["state"]


async def test_an_endpoint_that_is_gone_is_left_alone_until_it_is_enabled(store_url: str, tmp_path: Path) -> None:
    """410 disables: nothing is sent any more, everybody can see why, and a replay brings what was missed."""
    receiver = Receiver(OLD, status=410)
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url, events="[message.received]")) as stage:
        await say(stage, "ann", "一")

        async def disabled() -> bool:
            return bool((await shown(stage))["state"] == "disabled")

        await until(disabled)
        assert "410" in (await shown(stage))["reason"]
        since = (await shown(stage))["failing_since"]
        receiver.status = 204
        await say(stage, "ann", "二", first=1)
        await until(lambda: settled(stage))
        assert 1 == receiver.tries

        await stage.api("POST", "/webhooks/crm/enable", {})
        await stage.api("POST", "/webhooks/crm/replay", {"since": minutes_before(since)}, status=202)

        async def complete() -> bool:
            return len(receiver.calls) == 2

        await until(complete)
        assert ["一", "二"] == sorted(one.event["data"]["message"]["text"] for one in receiver.calls)
        assert "active" == (await shown(stage))["state"]


async def test_an_endpoint_that_fails_for_days_is_disabled(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `disable_after` without one success the endpoint is disabled, with the last error as the reason."""
    monkeypatch.setattr(webhooks, "STANDARD_WEBHOOKS", ",".join(["0.35"] * 50))
    receiver = Receiver(OLD, status=502)
    text = "[message.received], disable_after: 1s"
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url, events=text)) as stage:
        await say(stage, "ann", "在吗")

        async def disabled() -> bool:
            return bool((await shown(stage))["state"] == "disabled")

        await until(disabled)
        assert "502" in (await shown(stage))["reason"]


async def test_a_thin_event_has_no_word_of_a_customer(store_url: str, tmp_path: Path) -> None:
    """Thin content is ids and states: the receiver asks the API for the rest, with rights of its own."""
    receiver = Receiver(OLD)
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url, more=", content: thin")) as stage:
        await say(stage, "annabel", "我的手机号是13800138000，要退款")
        await until(lambda: settled(stage))

        async def complete() -> bool:
            return len(receiver.calls) == len(await everything(stage)) > 2

        await until(complete)
        [conversation] = await stage.conversations()
        heard = json.dumps([one.event for one in receiver.calls], ensure_ascii=False)
        assert "annabel" not in heard
        assert "13800138000" not in heard
        assert {conversation["id"]} == {one.event["data"]["conversation"]["id"] for one in receiver.calls}
        assert "aftersales" in heard


async def test_an_endpoint_hears_only_what_it_asked_for(store_url: str, tmp_path: Path) -> None:
    """Events, teams and channels select."""
    receiver = Receiver(OLD)
    text = ", teams: [complaints], channels: [shop]"
    async with (
        served(receiver.app) as url,
        shop(store_url, tmp_path, told(url, events="[message.*]", more=text)) as stage,
    ):
        await say(stage, "ann", "我要退款")
        await say(stage, "bob", "我要投诉")
        await until(lambda: settled(stage))

        async def heard() -> bool:
            return bool(receiver.calls)

        await until(heard)
        await until(lambda: settled(stage))
        assert [("huiliu.message.received", "我要投诉")] == [
            (one.event["type"], one.event["data"]["message"]["text"]) for one in receiver.calls
        ]


async def test_an_event_can_be_sent_again_and_an_endpoint_tried_out(store_url: str, tmp_path: Path) -> None:
    """Redelivery repeats the event with the same webhook-id as a delivery of its own; a test event is always there."""
    receiver = Receiver(OLD)
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url, events="[message.received]")) as stage:
        await say(stage, "ann", "在吗")
        [first] = await until(lambda: in_state(stage, "sent"))
        again = await stage.api("POST", f"/webhooks/crm/deliveries/{first['id']}/redeliver", {}, status=202)
        tried = await stage.api("POST", "/webhooks/crm/test", {}, status=202)

        async def arrived() -> bool:
            return len(receiver.calls) == 3

        await until(arrived)
        assert len({first["id"], again["id"], tried["id"]}) == 3
        assert [first["event"]] * 2 == [one.id for one in receiver.calls if one.event["type"] != "huiliu.webhook.test"]
        assert receiver.ids.count(tried["event"]) == 1
        page = await stage.api("GET", "/webhooks/crm/deliveries?limit=2")
        rest = await stage.api("GET", f"/webhooks/crm/deliveries?limit=2&cursor={page['next']}")
        assert [2, 1] == [len(page["items"]), len(rest["items"])]
        assert rest["next"] is None
        everything_again = {"since": minutes_before(first["created_at"]), "all": True}
        await stage.api("POST", "/webhooks/crm/replay", everything_again, status=202)

        async def repeated() -> bool:
            return receiver.ids.count(first["event"]) == 3

        await until(repeated)


async def test_what_waits_for_a_dead_endpoint_is_bounded_and_comes_when_it_is_back(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long outage holds few deliveries, the log the rest; after the first success all of it comes at once."""
    monkeypatch.setattr(webhooks, "MOST_WAITING", 5)
    monkeypatch.setattr(webhooks, "PROBE", 100)
    receiver = Receiver(OLD, status=503)
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url, events="[message.received]")) as stage:
        for number in range(20):
            await say(stage, f"c{number}", "在吗")

        async def tried() -> bool:
            return receiver.tries >= 5

        await until(tried)
        await until(lambda: settled_but_webhooks(stage))
        waiting = (await shown(stage))["waiting"]
        assert 5 <= waiting <= 64 + 5  # partitions look at the same time
        receiver.status = 200

        async def complete() -> bool:
            return len(set(receiver.ids)) == 20

        await until(complete, 40.0)
        assert 20 == len(receiver.calls)


async def test_nothing_is_kept_where_no_webhook_is_configured(store_url: str, tmp_path: Path) -> None:
    """Without a webhook and without a listener a message costs nothing more: no place in any log is kept."""
    async with shop(store_url, tmp_path, TEAMS) as stage:
        await say(stage, "ann", "在吗")
        await until(lambda: settled(stage))
        kept = [await stage.hub.store.do(str(one), "EXISTS", key(one, "hooks")) for one in range(COUNT)]

        assert 0 == sum(kept)
        assert () == stage.hub.tail.places


async def test_a_hanging_endpoint_does_not_delay_customers(store_url: str, tmp_path: Path) -> None:
    """While an endpoint answers nothing at all, answers to customers go out as ever."""
    receiver = Receiver(OLD, hanging=asyncio.Event())
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url)) as stage:
        for number in range(120):
            await say(stage, f"c{number}", "我要退款")

        async def stuck() -> bool:
            return receiver.tries >= 30

        await until(stuck)
        for one in (await stage.conversations(limit="60"))[:60]:
            reply = await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "好的"}, status=202)

            async def out(name: str = reply["delivery"]["id"]) -> bool:
                return bool((await stage.api("GET", f"/deliveries/{name}"))["state"] == "sent")

            await until(out, 20.0)
        assert receiver.hanging is not None
        receiver.hanging.set()


async def test_an_admin_at_a_terminal_sees_and_does_the_same(store_url: str, tmp_path: Path) -> None:
    """`huiliu webhooks` lists, logs, tries out, repeats and replays; a secret that it makes is one."""
    receiver = Receiver(OLD)
    runner = CliRunner()
    async with served(receiver.app) as url, shop(store_url, tmp_path, told(url, events="[message.received]")) as stage:
        app = commands(lambda: Client(stage.base, TOKEN), lambda: "en")

        async def run(*words: str, code: int = 0) -> str:
            done = await asyncio.to_thread(runner.invoke, app, list(words))
            assert code == done.exit_code, done.output
            return done.output

        await say(stage, "ann", "在吗")
        [first] = await until(lambda: in_state(stage, "sent"))
        assert "active" in await run("list")
        assert first["event"] in await run("log", "crm", "--json")
        assert "204" in await run("log", "crm")
        assert (await run("redeliver", "crm", first["id"])).startswith("d")
        assert json.loads(await run("test", "crm", "--json"))["id"].startswith("d")
        assert "active" in await run("enable", "crm")
        await run("replay", "crm", "--since", "1h", "--all")
        await run("test", "crn", code=1)

        async def arrived() -> bool:
            return len(receiver.calls) == 4

        await until(arrived)
        assert 3 == receiver.ids.count(first["event"])
        secret = (await run("secret")).strip()
        assert [] == faults_of(tmp_path / "made", told(url).replace(OLD, secret))


def faults_of(folder: Path, text: str) -> list[str]:
    """Return what is wrong with a configuration."""
    return [str(fault) for fault in attempt(write(folder, configuration(CHANNEL, more=text)), kinds).faults]


@pytest.mark.chaos
@pytest.mark.timeout(900 if LONG else 120)
async def test_killing_the_hub_loses_no_event(store_url: str, tmp_path: Path, free_port: Callable[[], int]) -> None:
    """SIGKILL at random: every event reaches the endpoint, and one that comes twice has the same webhook-id."""
    chance = random.Random(20_261_123)
    receiver = Receiver(OLD)
    port = free_port()
    async with served(receiver.app) as url:
        text = configuration(CHANNEL, port=port, more=f"store: {{url: '{store_url}'}}\n{told(url)}")
        process = HubProcess(write(tmp_path / "killed", text), port)
        store, _, _ = await open_store(store_url, SCRIPTS, "always")
        recorder = Recorder(store, Wakes(store), Attachments(tmp_path / "files"))
        process.start()
        try:
            count = 0
            for wait in moments(chance, 40 if LONG else 4, 0.8, 2.5):
                for _ in range(15):
                    count += 1
                    said = Message(f"m{count}", f"visitor:c{chance.randrange(30)}", AT + count, "我要退款", name="ann")
                    await recorder.record("shop", [said])
                await asyncio.sleep(wait)
                process.kill()
                process.start()
            async with shop(store_url, tmp_path, told(url), index=4) as stage:
                await until(lambda: settled(stage), 60.0)

                async def complete() -> bool:
                    return len(set(receiver.ids)) >= len(await everything(stage))

                await until(complete, 60.0)
                expected = {str(one.id) for one in await everything(stage)}
        finally:
            process.kill()
            await store.close()
    twice = len(receiver.ids) - len(set(receiver.ids))
    sys.stderr.write(f"{len(expected)} events, {twice} came twice\n")
    assert expected == set(receiver.ids)
    assert 0 == receiver.refused


async def in_state(stage: Stage, state: str) -> list[dict[str, Any]]:
    found = await log_of(stage)
    return found if found and all(one["state"] == state for one in found) else []


async def settled_but_webhooks(stage: Stage) -> bool:
    """Tell whether everything is routed."""
    async with stage.http.get(f"{stage.base}/metrics") as answer:
        return "huiliu_log_lag_seconds 0.0\n" in await answer.text()


def at(shape: dict[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(shape["at"])


def minutes_before(text: str) -> str:
    return (dt.datetime.fromisoformat(text) - dt.timedelta(minutes=5)).isoformat()
