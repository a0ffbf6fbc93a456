"""A shop full of customers and agents in front of hubs that may be killed at any moment, and an oracle outside.

The oracle knows what the hub promised: which pushes it answered with 200 and which replies with 202. At the end
`Shop.judge` compares that with what the API shows and with what the simulated platform delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from connectors.simulators.wechat import WeChatPlatform
from tests.hubs import TOKEN
from tests.processes import HubProcess

LONG = os.environ.get("HUILIU_LONG") == "1"
CHANNEL = "shop-wechat"
APP_ID, SECRET, PUSH_TOKEN = "wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken"
AES = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
FINAL = frozenset({"sent", "delivered", "read", "uncertain", "dead", "failed"})
AGAIN = 0.5
"""Seconds after which a platform or an agent's program tries again what was not answered."""

LOOK = 0.03
PATIENCE = 40.0
"""Seconds in which a customer must be served however often the hub is killed meanwhile."""


def seed() -> int:
    """Return the run's seed: $HUILIU_SEED, to repeat a run, else a new one."""
    given = os.environ.get("HUILIU_SEED")
    return int(given) if given else random.SystemRandom().randrange(10**6)


def moments(chance: random.Random, count: int, shortest: float, longest: float) -> list[float]:
    """Draw *count* waiting times in seconds: the moments of faults are what these tests vary, so they wait for them."""
    return [chance.uniform(shortest, longest) for _ in range(count)]


def wechat_channel(api_base: str) -> str:
    """Return the channel's lines of a huiliu.yaml; it takes encrypted pushes only."""
    return (
        f"  {CHANNEL}: {{kind: wechat, app_id: {APP_ID}, app_secret: {SECRET}, token: {PUSH_TOKEN}, "
        f"encoding_aes_key: {AES}, api_base: '{api_base}'}}"
    )


def wechat() -> WeChatPlatform:
    """Return the simulated platform for `wechat_channel`."""
    return WeChatPlatform(APP_ID, SECRET, PUSH_TOKEN, aes_key=AES)


async def eventually(
    look: Callable[[], Awaitable[Any]], what: str, seconds: float = PATIENCE, pause: float = LOOK
) -> Any:
    """Return what *look* finds as soon as that is true; a hub that is away meanwhile is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
            found = await look()
            if found:
                return found
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        await asyncio.sleep(pause)  # paces a client that asks over HTTP


class Away(aiohttp.ClientError):
    """The hub answered that it cannot serve now (503)."""


@dataclass
class Desk:
    """An agent's program: asks the API of whichever of *hubs* answers."""

    http: aiohttp.ClientSession
    hubs: list[HubProcess]
    turn: int = 0

    async def ask(self, method: str, path: str, body: Any = None, *, hub: HubProcess | None = None) -> Any:
        """Call the API; raises `aiohttp.ClientError` or TimeoutError while no hub can answer."""
        self.turn += 1
        chosen = hub or self.hubs[self.turn % len(self.hubs)]
        async with self.http.request(
            method,
            f"{chosen.base}/api/v1{path}",
            json=body,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=aiohttp.ClientTimeout(total=10),
        ) as response:
            if response.status == 503:
                assert response.headers.get("Retry-After"), "a 503 says when to come again"
                raise Away
            answer = await response.json(content_type=None)
            assert response.status < 300, (method, path, response.status, answer)
            return answer

    async def pages(self, path: str) -> list[dict[str, Any]]:
        """Return all items of a list."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            joint = "&" if "?" in path else "?"
            page = await self.ask("GET", f"{path}{joint}limit=200" + (f"&cursor={cursor}" if cursor else ""))
            items += page["items"]
            cursor = page["next"] or ""
            if not cursor:
                return items


@dataclass(frozen=True)
class Accepted:
    """A reply that the hub answered with 202."""

    delivery: str
    openid: str
    text: str
    at: float


@dataclass
class Oracle:
    """What the hub promised, written down outside of it. Times are those of time.monotonic().

    *tried* maps a message to its customer, *acked* to when its last push began and when that was answered.
    """

    log: Path
    tried: dict[str, str] = field(default_factory=dict)
    acked: dict[str, tuple[float, float]] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    accepted: list[Accepted] = field(default_factory=list)
    routed: list[tuple[float, float]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0

    def note(self, line: str) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.monotonic():.3f} {line}\n")

    def first_ack(self, after: float) -> float | None:
        """Return when the first push that began *after* was answered with 200."""
        return min((at for began, at in self.acked.values() if began > after), default=None)

    def first_routed(self, after: float) -> float | None:
        """Return when the first message that was answered *after* was seen with its team."""
        return min((seen for acked, seen in self.routed if acked > after), default=None)


@dataclass
class Verdict:
    """What `Shop.judge` found; all but the figures should be empty."""

    lost: list[str]
    twice: list[str]
    strangers: list[str]
    misordered: list[str]
    unsent: list[str]
    sent_twice: list[str]
    figures: dict[str, Any]

    def faults(self) -> dict[str, list[str]]:
        """Return what is not as promised."""
        names = ("lost", "twice", "strangers", "misordered", "unsent", "sent_twice")
        return {name: found for name in names if (found := getattr(self, name))}


class Shop:
    """Customers who write, and agents who answer each message once, while hubs come and go.

    Patient customers wait for the answer before they write again; hasty ones write without a pause and are not
    answered. *chance* decides who gives up: like WeChat itself, after three pushes that nobody took.
    """

    def __init__(self, platform: WeChatPlatform, desk: Desk, oracle: Oracle, chance: random.Random) -> None:
        self.platform = platform
        self.desk = desk
        self.oracle = oracle
        self.chance = chance
        self.conversations: dict[str, str] = {}
        self.closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def open(self, patient: int, hasty: int) -> AsyncIterator[Shop]:
        """Let customers come in for as long as the context lasts, and serve everybody who is in at its end."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(patient):
                self._tasks.append(tasks.create_task(self._patient(f"patient-{number:06d}")))
            for number in range(hasty):
                self._tasks.append(tasks.create_task(self._hasty(f"hasty-{number:06d}")))
            try:
                yield self
            finally:
                self.closing.set()

    async def _patient(self, openid: str) -> None:
        count = 0
        while not self.closing.is_set():
            count += 1
            message = await self.write(openid, f"我要退款 {count}", gives_up=self.chance.random() < 0.2)
            if message:
                seen = await self._appear(openid, message)
                self.oracle.routed.append((self.oracle.acked[message][1], seen))
                for part in range(1 + self.chance.randrange(2)):
                    await self._answer(openid, f"{openid}/{count}/{part}")
                await self._settled(openid)

    async def _hasty(self, openid: str) -> None:
        count = 0
        while not self.closing.is_set():
            count += 1
            await self.write(openid, f"在吗 {count}", gives_up=self.chance.random() < 0.2)
            await asyncio.sleep(LOOK)  # even a hasty customer types

    async def write(self, openid: str, text: str, *, gives_up: bool) -> str:
        """Push one message until the hub takes it; return its id, "" if the platform *gives_up* before."""
        began = time.monotonic()
        push = await self.platform.write(openid, text)
        message = str(push.fields["MsgId"])
        self.oracle.tried[message] = openid
        deadline = time.monotonic() + PATIENCE
        while True:
            self.oracle.statuses.update(push.statuses)
            if push.taken:
                self.oracle.acked[message] = (began, time.monotonic())
                self.oracle.order.setdefault(openid, []).append(message)
                self.oracle.note(f"200 {message}")
                return message
            self.oracle.slowest = max(self.oracle.slowest, time.monotonic() - began)
            if gives_up:
                return ""
            assert time.monotonic() < deadline, f"no hub took a push for {PATIENCE:g} s"
            await asyncio.sleep(AGAIN)  # the platform's own pause before it pushes again
            began = time.monotonic()
            push = await self.platform.push(push.fields)

    async def _appear(self, openid: str, message: str) -> float:
        """Wait until the message is in the inbox, with a team; return when that was seen."""

        async def look() -> bool:
            if openid not in self.conversations:
                for one in await self.desk.pages(f"/conversations?q={openid}"):
                    self.conversations[openid] = one["id"]
                    assert one["team"] == "aftersales"
            if openid not in self.conversations:
                return False
            path = f"/conversations/{self.conversations[openid]}/messages?limit=5"
            found = (await self.desk.ask("GET", path))["items"]
            return any(one["external_id"] == message for one in found)

        await eventually(look, f"message {message} of {openid} to be placed")
        return time.monotonic()

    async def _answer(self, openid: str, text: str) -> None:
        """Answer by API, with the same client_id until the hub says 202."""
        path = f"/conversations/{self.conversations[openid]}/replies"
        reply = await eventually(
            lambda: self.desk.ask("POST", path, {"text": text, "client_id": text}), f"reply {text}", pause=AGAIN
        )
        self.oracle.accepted.append(Accepted(reply["delivery"]["id"], openid, text, time.monotonic()))
        self.oracle.note(f"202 {text} {reply['delivery']['id']}")

    async def _settled(self, openid: str) -> None:
        """Wait until what was answered last is known to have gone out, or not."""
        last = next(one for one in reversed(self.oracle.accepted) if one.openid == openid)

        now: list[Any] = [None]

        async def look() -> bool:
            now[0] = await self.desk.ask("GET", f"/deliveries/{last.delivery}")
            return now[0]["state"] in FINAL

        try:
            await eventually(look, "a delivery to end")
        except AssertionError as error:
            raise AssertionError(f"{error}: {now[0]}") from None

    async def judge(self) -> Verdict:
        """Compare what was promised with what is there; all customers have been served."""
        oracle = self.oracle
        inbound: dict[str, list[str]] = {}

        async def all_there() -> bool:
            inbound.update(await self._inbound())
            return oracle.acked.keys() <= {message for messages in inbound.values() for message in messages}

        with contextlib.suppress(AssertionError):
            await eventually(all_there, "everything acknowledged to be in the inbox", 10.0, 0.3)
        seen = Counter(message for messages in inbound.values() for message in messages)
        states: Counter[str] = Counter()
        unsent, sent_twice = [], []
        for one in oracle.accepted:
            state = (await self.desk.ask("GET", f"/deliveries/{one.delivery}"))["state"]
            states[state] += 1
            times = sum(delivered.text == one.text for delivered in self.platform.received[one.openid])
            if times > 1:
                sent_twice.append(f"{one.text} × {times} ({state})")
            if state not in ("sent", "uncertain") or (state == "sent" and times == 0):
                unsent.append(f"{one.text} × {times} ({state})")
        uncertain = {one["id"] for one in await self.desk.pages("/deliveries?state=uncertain")}
        assert len(uncertain) >= min(states["uncertain"], 200), "what is uncertain is listed for people"
        return Verdict(
            lost=sorted(oracle.acked.keys() - seen.keys()),
            twice=sorted(message for message, count in seen.items() if count > 1),
            strangers=sorted(seen.keys() - oracle.tried.keys()),
            misordered=[*self._misordered_inbound(inbound), *self._misordered_outbound()],
            unsent=unsent,
            sent_twice=sent_twice,
            figures={
                "pushes": len(oracle.tried),
                "acknowledged": len(oracle.acked),
                "recorded": len(seen),
                "replies": len(oracle.accepted),
                "states": dict(states),
                "statuses": dict(oracle.statuses),
            },
        )

    async def _inbound(self) -> dict[str, list[str]]:
        """Return the external ids of all inbound messages by conversation, oldest first."""
        found: dict[str, list[str]] = {}
        for one in await self.desk.pages("/conversations"):
            messages = await self.desk.pages(f"/conversations/{one['id']}/messages")
            found[one["contact"]["addresses"][0].removeprefix("wechat:")] = [
                message["external_id"] for message in reversed(messages) if message["direction"] == "inbound"
            ]
        return found

    def _misordered_inbound(self, inbound: dict[str, list[str]]) -> list[str]:
        """Return whose acknowledged messages are not in the order in which they were written."""
        wrong = []
        for openid, wrote in self.oracle.order.items():
            acked = set(wrote)
            if [message for message in inbound.get(openid, ()) if message in acked] != wrote:
                wrong.append(openid)
        return wrong

    def _misordered_outbound(self) -> list[str]:
        """Return who got the answers in another order than they were accepted in."""
        wrong = []
        for openid, delivered in self.platform.received.items():
            accepted = [one.text for one in self.oracle.accepted if one.openid == openid]
            got = [one.text for one in delivered]
            if got != [text for text in accepted if text in set(got)]:
                wrong.append(f"{openid} (out)")
        return wrong
