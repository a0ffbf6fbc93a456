"""A real hub as processes that may be killed at any moment, a shop full of customers and agents, and an oracle outside.

The oracle knows what the hub promised: which pushes it answered with 200 and which replies with 202. At the end
`Shop.judge` compares that with what the API shows and with what the simulated platform delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from connectors.simulators.wechat import WeChatPlatform
from tests.hubs import TOKEN

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

EXPECTED_ERRORS = ("starting the embedded store again", "the store is away")


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


@dataclass
class HubProcess:
    """`huiliu run` in a process group of its own; its log goes to *log*. *launcher* replaces the installed command."""

    config: Path
    port: int
    workers: int = 1
    launcher: Sequence[str] = (sys.executable, "-m", "hub")
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.config.with_name(f"hub-{self.port}.log")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, without waiting for anything."""
        command = [*self.launcher, "-c", str(self.config), "run", "--workers", str(self.workers)]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", **self.environ}
        self.started = time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, env=environ
            )

    def workers_of(self) -> list[int]:
        """Return the ids of the workers: the children of the process that the hub forks them from."""
        assert self.process is not None
        mine = {pid: parent(pid) for pid in self.processes()}
        nurseries = [pid for pid, above in mine.items() if above == self.process.pid]
        return sorted(pid for pid, above in mine.items() if above in nurseries)

    def processes(self) -> list[int]:
        """Return the ids of the hub's own processes: the parent and its workers, never the store."""
        assert self.process is not None
        return [pid for pid in pids() if group(pid) == self.process.pid]

    def kill(self) -> None:
        """End all processes of the hub at once with SIGKILL; its store is told by the kernel."""
        assert self.process is not None
        doomed = self.processes()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in doomed), "the killed processes to end")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the parent."""
        assert self.process is not None
        self.process.send_signal(number)

    async def terminate(self, limit: float = 30.0) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, limit)
        return code, time.monotonic() - began

    def store_pid(self) -> int:
        """Return the process id of the embedded store, which stands in its lock; 0 while there is none."""
        text = (self.config.parent / "var" / "store.lock").read_text(encoding="ascii").strip()
        return int(text) if text and Path(f"/proc/{text}").exists() else 0

    def stop(self) -> None:
        """End everything, for the end of a test."""
        if self.process is not None:
            self.kill()

    def memory(self) -> int:
        """Return the resident bytes of all processes of the hub."""
        return sum(resident(pid) for pid in self.processes())

    def faults(self, *expected: str) -> list[str]:
        """Return what the log tells of faults: errors and tracebacks, without those that were *expected*."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        loud = [line for line in lines if re.search(r"Traceback|\[(error|critical) *\]|never retrieved|Warning:", line)]
        known = (*EXPECTED_ERRORS, *expected)
        return [line for line in loud if not any(words in line for words in known)]


def pids() -> Iterator[int]:
    """Yield the ids of all processes."""
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def group(pid: int) -> int:
    """Return the process group of *pid*, 0 if it is gone or only waits to be reaped."""
    return _fact(pid, 2)


def parent(pid: int) -> int:
    """Return the parent of *pid*, 0 if it is gone or only waits to be reaped."""
    return _fact(pid, 1)


def _fact(pid: int, number: int) -> int:
    """Return a number of proc(5) stat, counted from the state on."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if facts[0] == "Z" else int(facts[number])


def resident(pid: int) -> int:
    """Return the resident bytes of a process, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Block until *condition* holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.005)


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
