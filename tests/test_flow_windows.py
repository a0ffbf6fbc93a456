"""Many customers, many answers, much time: what the hub sends is what the platforms take."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import hub as root
from connectors import registry
from inbox.partitions import COUNT
from outbox.deliveries import PARKED
from tests.fronts import FRONTS, ChatFront, Front, WeChatFront, fronts
from tests.hubs import TOKEN, Stage, configuration, running, until, write

TOTAL = 10_000 if os.environ.get("HUILIU_LONG") else 30
BATCH = 100 if TOTAL > 1000 else 15
CUSTOMERS = 12 if TOTAL > 1000 else 3
SEED = int(os.environ.get("HUILIU_SEED", "20261122"))
HOUR = 3600.0
SOON = 35_000
"""Milliseconds that are let pass by the second: the longest time to undo, and the longest that a pace asks for."""

TEXTS = """
waits:
  text: "有新回复：{{ reply.text || 请查看 }}"
  platform: {wechat: {template_id: t-1, data: {thing1: "{{ reply.text || 请查看 }}"}}}
parcel: {text: "{{ contact.name || 您好 }}，单号 {{ tracking }}，{{ conversation.id }}", variables: [tracking]}
complaint-received: 收到
"""
DELIVERY = """
delivery:
  undo: 20s
  fallback:
    wechat: [{channel: shop-sms}, {hold: 3d}]
    tiktok-shop: [{channel: service-mail}, hold]
    twilio-sms: [{channel: service-mail}]
"""
FILES = {
    "image/jpeg": b"\xff\xd8\xff\xe0" + b"j" * 50_000,
    "image/gif": b"GIF89a" + b"g" * 900,
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01" + b"p" * (11 << 20),
    "audio/amr": b"#!AMR\n" + b"a" * 2000,
    "video/mp4": b"\x00\x00\x00\x18ftypmp42" + b"v" * 3_000_000,
    "application/pdf": b"%PDF-1.7" + b"d" * 20_000,
    "image/webp": b"RIFF\x00\x00\x00\x00WEBP" + b"w" * 300,
}
WORDS = (
    "好的，",
    "您的包裹已经发出。",
    "refund ",
    "😀",
    "請稍等\n",
    "\n\n",
    "a",
    "é",
    "{",
    "€",
    "\t",
    "\u200b",
    "\x07",
)
STEPS = ((0, 30), (20, 30), (70, 15), (HOUR, 12), (7 * HOUR, 6), (30 * HOUR, 4), (50 * HOUR, 2), (31 * 24 * HOUR, 1))
KNOWN = frozenset({"window_closed", "quota_used", "media_refused", "too_long", "customer_wrote", "cancelled"})


class Clock:
    """The clock of hub and platforms alike."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset


def said(chance: random.Random) -> str:
    """Return words of any length, some of them nothing to see."""
    length = chance.choices((0, 1, 12, 200, 900, 3000, 9000), (1, 4, 8, 4, 2, 2, 1))[0]
    return "".join(chance.choice(WORDS) for _ in range(chance.randint(0, length)))


class Run:
    """One run: customers of every channel, agents who answer them, and what became of it."""

    def __init__(self, stage: Stage, places: list[Front], clock: Clock, chance: random.Random) -> None:
        self.stage, self.places, self.clock, self.chance = stage, places, clock, chance
        self.customers = [(front, number) for front in places for number in range(CUSTOMERS)]
        self.conversations: dict[tuple[str, int], str] = {}
        self.files: list[str] = []
        self.owed: list[str] = []
        self.counts: Counter[str] = Counter()

    async def open(self) -> None:
        """Let everybody write once, link phones and mail addresses, and keep the files."""
        for kind, data in FILES.items():
            url = f"{self.stage.base}/api/v1/attachments?name=文件.{kind[-3:]}"
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
            async with self.stage.http.post(url, data=io.BytesIO(data), headers=headers) as response:
                self.files.append((await response.json())["id"])
        for front in self.places:
            await front.join(self.stage)
        for front, number in self.customers:
            if isinstance(front, ChatFront):
                await front.enter(number)
            if isinstance(front, WeChatFront):
                await front.platform.write(front._openid(number), "你好")
            else:
                await front.act(number, self.chance)
        for front, number in self.customers:
            self.conversations[front.channel, number] = (await self._find(front.address(number)))["id"]
        for front, number in self.customers:
            if number % 2 and front.channel != "service-mail":
                one = await self._find(front.address(number))
                more = [f"mailto:{front.channel}-{number}@example.org"]
                more += [f"tel:+86139{number:04}{self.places.index(front):04}"] if front.channel != "shop-sms" else []
                await self.stage.api("PUT", f"/contacts/{one['contact']['id']}", {"addresses": more})

    async def _find(self, address: str) -> dict[str, Any]:
        async def look() -> Any:
            found = await self.stage.conversations(q=address.replace("+", "%2B"))
            return found[0] if found else None

        one: dict[str, Any] = await until(look, 60)
        return one

    async def round(self, count: int) -> None:
        """Let some customers act and be answered *count* times in all, wait until all is quiet, and let time pass."""
        served = self.chance.sample(self.customers, min(len(self.customers), max(1, count // 4)))
        shares = [count // len(served) + (index < count % len(served)) for index in range(len(served))]
        seeds = [self.chance.random() for _ in served]
        await asyncio.gather(*map(self._serve, served, shares, seeds))
        await self.quiet()
        self.clock.offset += int(self.chance.choices(*zip(*STEPS, strict=True))[0] * 1000)
        self.stage.hub.wakes.ring(f"o{partition}" for partition in range(COUNT))
        await self.quiet()

    async def _serve(self, customer: tuple[Front, int], count: int, seed: float) -> None:
        front, number = customer
        chance = random.Random(seed)
        if chance.random() < 0.5:
            await front.act(number, chance)
        for _ in range(count):
            await self._answer(self.conversations[front.channel, number], chance)

    async def _answer(self, conversation: str, chance: random.Random) -> None:
        body: dict[str, Any] = {"text": said(chance)}
        if chance.random() < 0.2:
            body["attachments"] = chance.choices(self.files, (8, 8, 1, 8, 2, 8, 4), k=chance.choice((1, 1, 2, 12)))
        if chance.random() < 0.1:
            body["template"] = "waits"
        elif chance.random() < 0.1:
            body |= {"template": "parcel", "variables": {"tracking": f"SF{chance.randrange(10**6)}"}}
        if chance.random() < 0.15:
            at = self.clock() / 1000 + chance.choice((30, HOUR, 20 * HOUR, 60 * HOUR))
            body["send_at"] = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}Z"
            body["unless_customer_writes"] = chance.random() < 0.5
        looked = chance.random() < 0.2
        if looked:
            await self._call("POST", f"/conversations/{conversation}/replies/preview", body)
        status, answer = await self._call("POST", f"/conversations/{conversation}/replies", body)
        self.counts[f"answered {status}"] += 1
        if status == 202:
            self.owed.append(answer["delivery"]["id"])
            self.counts[f"planned {answer['plan']['action']}"] += 1
            if chance.random() < 0.05:
                status, _ = await self._call("POST", f"/deliveries/{self.owed[-1]}/cancel")
                self.counts[f"cancelled {status}"] += 1
        else:
            assert status in (409, 422), answer
            self.counts.update(
                f"refused {one['code']}" for one in answer.get("obstacles", ()) if one["weight"] == "block"
            )

    async def _call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.stage.base}/api/v1{path}"
        async with self.stage.http.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def quiet(self) -> None:
        """Wait until nothing is being sent, and nothing is due."""
        deliveries = self.stage.hub.deliveries

        async def look() -> bool:
            await asyncio.sleep(0.02)  # a look asks for every partition, and is not worth more
            cursor = ""
            while True:
                found, cursor = await deliveries.listing("due", cursor, 200)
                now = self.clock()
                if any(not one.parked and (one.state == "sending" or one.due <= now + SOON) for one in found):
                    if all(one.state in ("queued", "deferred") and one.due > now for one in found if not one.parked):
                        self.clock.offset += 1000  # only time is waited for: to undo, or a platform's pace
                        self.stage.hub.wakes.ring(f"o{partition}" for partition in range(COUNT))
                    return False
                if any(one.parked and one.due <= now for one in found):
                    return False
                if not cursor:
                    return True

        await until(look, 120)

    async def close(self) -> Counter[str]:
        """Let what is parked come due; return how everything ended."""
        for _ in range(40):
            if not (await self.stage.hub.deliveries.listing(PARKED, "", 1))[0]:
                break
            self.clock.offset += int(6 * HOUR * 1000)
            self.stage.hub.wakes.ring(f"o{partition}" for partition in range(COUNT))
            await self.quiet()
        ends: Counter[str] = Counter()
        for name in self.owed:
            one = await self.stage.hub.deliveries.load(name)
            ends[f"{one.state} {one.code}".strip()] += 1
        return ends


def test_every_kind_with_a_simulator_takes_part() -> None:
    """A connector that joins the table joins the run; what it is called there is what it is called in YAML."""
    assert FRONTS.keys() <= registry.BUILT_IN.keys()
    assert {"email", "tiktok-shop", "twilio-sms", "webchat", "wechat", "wecom-app"} <= FRONTS.keys()


@pytest.mark.once
@pytest.mark.timeout(3600 if TOTAL > 1000 else 180)
async def test_the_platforms_refuse_nothing(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of any length, with any files, at any time: what leaves is what its platform takes, down to the last."""
    clock, chance = Clock(), random.Random(SEED)
    monkeypatch.setattr(root, "now_ms", clock)
    async with fronts(clock) as places:
        channels = "\n".join(f"  {one.channel}: {json.dumps(one.options())}" for one in places)
        config = write(tmp_path, configuration(channels) + DELIVERY, templates=TEXTS)
        async with running(store_url, config) as stage:
            run = Run(stage, places, clock, chance)
            await run.open()
            done = 0
            while done < TOTAL:
                count = min(BATCH, TOTAL - done)
                await run.round(count)
                done += count
            ends = await run.close()
    refused = {one.channel: one.refused() for one in places}
    told = f"seed {SEED}: {done} answers {sorted(run.counts.items())} {sorted(ends.items())} {refused}"
    print(told)  # noqa: T201  # the long form is run by hand, and its figures are its result

    assert {one.channel: [] for one in places} == refused
    assert set() == {end for end in ends if end.split(" ")[0] not in ("sent", "delivered", "read")} - {
        f"{state} {code}" for state in ("dead", "failed") for code in KNOWN
    }
