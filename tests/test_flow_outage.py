"""Without its store the hub promises nothing, and when the store is back it has kept every promise."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.chaos import AGAIN, LONG, eventually, moments
from tests.scenes import TAKEN_OVER, Report, Scene, judged, opened, seconds
from tests.stores import Server, connect, send

pytest_plugins = ["tests.chaos_fixtures"]
pytestmark = pytest.mark.chaos

KILLS = 20 if LONG else 3
AWAY = 30.0 if LONG else 5.0
RECOVERED = 2.0 if LONG else 8.0
"""Seconds from the return of the store to the first push that is answered with 200."""

PUSH_LIMIT = 5.0 if LONG else 8.0
"""Seconds after which WeChat hangs up."""

GROWTH = 64 << 20
STOP_LIMIT = 10.0


@pytest.mark.timeout(1200 if LONG else 120)
async def test_killing_the_store_loses_nothing_and_sends_nothing_twice(
    tmp_path: Path, chance: random.Random, report: Report
) -> None:
    """SIGKILL to the embedded store at random moments under load: the hub starts it again and keeps its promises."""
    back, routed = [], []
    async with opened(tmp_path, chance) as scene:
        async with scene.shop.open(patient=20, hasty=10):
            await scene.first_routed(scene.hub.started)
            for wait in moments(chance, KILLS, 0.2, 2.5):
                await asyncio.sleep(wait)
                killed = time.monotonic()
                os.kill(scene.hub.store_pid(), signal.SIGKILL)
                back.append(await scene.first_ack(killed))
                routed.append(await scene.first_routed(killed))
        verdict = await judged(scene, report, kills=KILLS, back=seconds(back), routed=seconds(routed))
        assert scene.hub.log.read_text().count("starting the embedded store again") == KILLS, "one server a time"

    assert verdict.faults() == {}
    assert verdict.figures["states"].keys() == {"sent"}, "the hub lived on, so it knows what became of every send"
    assert max(back) < RECOVERED
    assert max(routed) < RECOVERED + TAKEN_OVER


@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.timeout(300 if LONG else 120)
async def test_while_the_store_is_away_nothing_is_promised(
    how: str, tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """Without a store: 503 with Retry-After before WeChat hangs up, never 200, memory flat; then all goes on."""
    async with opened(tmp_path, chance, store=valkey.url) as scene:
        async with scene.shop.open(patient=12, hasty=16):
            await scene.first_routed(scene.hub.started)
            await asyncio.sleep(chance.uniform(1.0, 2.0))
            before = scene.hub.memory()
            if how == "stopped":
                pause(valkey, signal.SIGSTOP)
            else:
                valkey.end(signal.SIGKILL)
            probes, most = await probed(scene, AWAY)
            if how == "stopped":
                pause(valkey, signal.SIGCONT)
            else:
                await asyncio.to_thread(valkey.start)
            returned = time.monotonic()
            back = await scene.first_ack(returned)
            routed = await scene.first_routed(returned)
        slowest = max(took for _, _, took in probes)
        verdict = await judged(
            scene,
            report,
            away=f"{AWAY:g}s",
            probes=len(probes),
            slowest=f"{slowest:.2f}s",
            back=f"{back:.2f}s",
            routed=f"{routed:.2f}s",
            growth=f"{(most - before) / (1 << 20):.1f}MB",
        )

    assert verdict.faults() == {}
    assert {status for status, _, _ in probes} == {503}
    assert all(retry_after.isdigit() and int(retry_after) > 0 for _, retry_after, _ in probes)
    assert slowest < PUSH_LIMIT
    assert most - before < GROWTH
    assert back < RECOVERED
    assert routed < RECOVERED + TAKEN_OVER
    assert verdict.figures["states"].keys() == {"sent"}


@pytest.mark.parametrize(
    ("refuse", "relent"),
    [
        pytest.param("CONFIG SET maxmemory 1mb", "CONFIG SET maxmemory 0", id="OOM"),
        pytest.param("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", id="READONLY"),
    ],
)
@pytest.mark.timeout(120)
async def test_while_the_store_refuses_to_write_nothing_is_promised(
    refuse: str, relent: str, tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """A store that is full, or became a replica, answers with errors: 503 with Retry-After until it writes again."""
    async with opened(tmp_path, chance, store=valkey.url) as scene:
        async with scene.shop.open(patient=12, hasty=6):
            await scene.first_routed(scene.hub.started)
            with connect(valkey.url) as client:
                send(client, *refuse.split())
                probes, _ = await probed(scene, 2.0)
                send(client, *relent.split())
            relented = time.monotonic()
            back = await scene.first_ack(relented)
            await scene.first_routed(relented)
        verdict = await judged(scene, report, probes=len(probes), back=f"{back:.2f}s")

    assert verdict.faults() == {}
    assert {status for status, _, _ in probes} == {503}
    assert all(int(retry_after) > 0 for _, retry_after, _ in probes)
    assert max(took for _, _, took in probes) < PUSH_LIMIT
    assert back < RECOVERED


@pytest.mark.timeout(120)
async def test_cut_connections_and_forgotten_scripts_do_no_harm(
    tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """The store cuts every connection in the middle of commands, and forgets all scripts, again and again."""
    async with opened(tmp_path, chance, store=valkey.url) as scene:
        async with scene.shop.open(patient=16, hasty=8):
            await scene.first_routed(scene.hub.started)
            with connect(valkey.url) as client:
                for wait in moments(chance, 6 * KILLS, 0.05, 0.5):
                    await asyncio.sleep(wait)
                    send(client, "SCRIPT", "FLUSH")
                    if chance.random() < 0.7:
                        send(client, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await scene.first_routed(time.monotonic())
        verdict = await judged(scene, report)

    assert verdict.faults() == {}
    assert verdict.figures["states"].keys() == {"sent"}


@pytest.mark.timeout(120)
async def test_a_visitor_is_told_to_come_again(tmp_path: Path, chance: random.Random, valkey: Server) -> None:
    """Without a store a web chat's page gets 503 with Retry-After for its frame; sent again it is taken, once."""
    async with opened(tmp_path, chance, store=valkey.url, workers=1) as scene:
        http, chat = scene.shop.desk.http, f"{scene.hub.base}/chat/site-chat"

        async def hello() -> str:
            async with http.post(f"{chat}/hello", json={}) as response:
                return str((await response.json())["token"]) if response.status == 200 else ""

        token = await eventually(hello, "the hub to say hello")

        async def say() -> tuple[int, str, str]:
            frame = {"type": "message", "id": "message-1", "text": "在吗"}
            async with http.post(
                f"{chat}/frames", json=frame, headers={"Authorization": f"Bearer {token}"}
            ) as response:
                answer = await response.json()
                return response.status, response.headers.get("Retry-After", ""), answer.get("code", answer["type"])

        pause(valkey, signal.SIGSTOP)
        refused = await say()
        pause(valkey, signal.SIGCONT)

        async def taken() -> bool:
            return (await say())[0] == 200

        await eventually(taken, "the frame to be taken")
        [conversation] = await eventually(partial(scene.shop.desk.pages, "/conversations"), "the message")
        messages = await scene.shop.desk.pages(f"/conversations/{conversation['id']}/messages")

    assert (503, "unavailable") == (refused[0], refused[2])
    assert int(refused[1]) > 0
    assert ["在吗"] == [one["text"] for one in messages if one["direction"] == "inbound"]


@pytest.mark.timeout(120)
async def test_a_stop_without_a_store_is_as_quick(
    tmp_path: Path, chance: random.Random, report: Report, valkey: Server
) -> None:
    """SIGTERM while the store gives no answer: exit 0 in 10 s, and nothing that was promised is forgotten."""
    async with opened(tmp_path, chance, store=valkey.url) as scene:
        async with scene.shop.open(patient=16, hasty=8):
            await scene.first_routed(scene.hub.started)
            pause(valkey, signal.SIGSTOP)
            await probed(scene, 1.0)
            code, took = await scene.hub.terminate()
            pause(valkey, signal.SIGCONT)
            scene.hub.start()
        verdict = await judged(scene, report, stop=f"{took:.2f}s")

    assert verdict.faults() == {}
    assert code == 0
    assert took < STOP_LIMIT


def pause(server: Server, how: signal.Signals) -> None:
    """Stop the store's process, or let it go on."""
    process = server._process
    assert process is not None
    process.send_signal(how)


async def probed(scene: Scene, seconds: float) -> tuple[list[tuple[int, str, float]], int]:
    """Push for *seconds*; return each push's (status, Retry-After, seconds) and the hub's largest memory meanwhile."""
    platform, http = scene.shop.platform, scene.shop.desk.http
    until = time.monotonic() + seconds
    probes: list[tuple[int, str, float]] = []
    most = 0

    async def probe(number: int) -> None:
        openid = f"probe-{number:06d}"
        platform.account.customer(openid)
        count = 0
        while (began := time.monotonic()) < until:
            count += 1
            fields = {
                **platform._head(openid), "MsgType": "text", "Content": "在吗", "MsgId": 10**15 + 10**6 * number + count
            }  # fmt: skip
            scene.shop.oracle.tried[str(fields["MsgId"])] = openid
            sealed = platform.wrapper.wrap(fields, int(time.time()))
            async with http.post(platform.hub_url, params=sealed.query, data=sealed.body) as response:
                probes.append((response.status, response.headers.get("Retry-After", ""), time.monotonic() - began))
            await asyncio.sleep(AGAIN)  # a platform's pace

    async def watch() -> None:
        nonlocal most
        while time.monotonic() < until:
            most = max(most, scene.hub.memory())
            await asyncio.sleep(0.1)  # samples

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        for number in range(4):
            group.create_task(probe(number))
    return probes, most
