"""Fills an embedded store with conversations, through the same scripts by which real messages come in.

Every message is recorded, located and placed as the hub does it; rules are not asked, teams, agents, tags and states
are drawn. The same seed gives the same conversations. The folder is one that `huiliu -c FOLDER/huiliu.yaml run` takes.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import shutil
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _stage as stage  # found only now
from bench._talk import Line, name, talk  # the same
from connectors import registry  # the same
from connectors.base import Capabilities, Echo, Message  # the same
from inbox import readers  # the same
from inbox.attachments import Attachments  # the same
from inbox.embedded import Embedded  # the same
from inbox.leases import Held, Leases  # the same
from inbox.log import Entry  # the same
from inbox.logs import configure  # the same
from inbox.opening import open_store  # the same
from inbox.partitions import COUNT, key, tag  # the same
from inbox.placing import Decided, Placer, parse  # the same
from inbox.recording import Recorder, spread  # the same
from inbox.store import Store, Topology  # the same
from inbox.wakes import Wakes  # the same
from inbox.work import Actor, Desk  # the same
from router.scripts import SCRIPTS  # the same

BEGAN = 1_788_220_800_000  # 2026-09-01
QUARTER = 80 * 24 * 3600 * 1000
AT_ONCE = 300
TEAMS = ("frontdesk", "aftersales", "orders", "complaints", "wholesale")
STAGES = ("presale", "order", "aftersale", "complaint", "feedback")
TAGS = ("refund", "vip", "logistics", "invoice", "coupon", "repeat")
PRIORITIES = ("normal", "normal", "normal", "low", "high", "urgent")
KINDS = {"shop-wechat": "wechat", "brand-wechat": "wechat", "shop-tiktok": "tiktok-shop", "site-chat": "webchat"}
SCHEMES = {"wechat": "wechat:o9AgO5Kd5ggOC-bX{:012}", "tiktok-shop": "tiktok:7494{:014}", "webchat": "webchat:v{:020}"}
AGENTS = [f"agent{number:02}" for number in range(40)]
READERS = ("router", "outbox", "notifier", "surveys")
TOKEN = "bench-token-of-a-reader"
CHANNELS = """\
  shop-wechat: {kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app, token: token-of-the-bench}
  brand-wechat: {kind: wechat, app_id: wxca5fad812f8e6fb9, app_secret: s3cret-of-the-app, token: token-of-the-bench}
  shop-tiktok: {kind: tiktok-shop, app_key: benchkey, app_secret: s, shop_cipher: cipher, access_token: t}
  site-chat: {kind: webchat, allowed_origins: ["https://www.example.com"]}
"""


def write_files(folder: Path) -> None:
    """Write the configuration of the hub that shall run on the store."""
    members = {team: AGENTS[index::5] for index, team in enumerate(TEAMS)}
    teams = "\n".join(
        f"  {team}: {{name: {team}, members: [{', '.join(one)}], restricted: {str(team == 'complaints').lower()},"
        " assign: {strategy: manual}}"
        for team, one in members.items()
    )
    (folder / "routes.yaml").write_text("default: {team: frontdesk}\n", encoding="utf-8")
    (folder / "huiliu.yaml").write_text(
        f"http: {{host: 127.0.0.1, port: 0}}\nstore: {{url: embedded, path: {folder}/var, durability: everysec}}\n"
        f"api_tokens:\n  bench: {{token: {TOKEN}, role: readonly}}\n  ops: {{token: {TOKEN}-admin, role: admin}}\n"
        f"channels:\n{CHANNELS}routes: routes.yaml\nteams:\n{teams}\nagents:\n"
        + "".join(f"  {one}: {{name: 客服{one[-2:]}}}\n" for one in AGENTS),
        encoding="utf-8",
    )


class Seeder:
    """Writes conversations of some partitions. *held* are its leases, *done* counts messages of all processes."""

    def __init__(self, store: Store, held: dict[int, Held], folder: Path, seed: int, done: Synchronized[int]) -> None:
        wakes = Wakes(store)
        self._recorder = Recorder(store, wakes, Attachments(folder / "attachments", 1))
        self._placer = Placer(store)
        self._desk = Desk(store, wakes, lambda: time.time_ns() // 1_000_000)
        self._held = held
        self._seed = seed
        self._done = done
        self._capabilities: dict[str, Capabilities] = {
            kind: registry.find(kind).capabilities for kind in set(KINDS.values())
        }

    async def converse(self, number: int, count: int) -> None:
        """Write the whole conversation *number*, of *count* messages."""
        draw = random.Random(f"{self._seed}/{number}")
        channel = draw.choice(list(KINDS))
        address = address_of(draw, channel, number)
        who, began = name(draw), BEGAN + draw.randrange(QUARTER)
        team, agent = draw.choice(TEAMS), draw.choice(AGENTS)
        decided = Decided(
            draw.choice(("zh", "zh", "en")),
            {
                "team": team,
                "agent": agent if draw.random() < 0.8 else "",
                "stage": draw.choice(STAGES),
                "tags": tuple(draw.sample(TAGS, draw.choice((0, 1, 1, 2)))),
                "priority": draw.choice(PRIORITIES),
            },
        )
        conversation = ""
        for index, line in enumerate(talk(draw, count)):
            at = began + index * 60_000
            if line.who == "note" and conversation:
                await self._desk.note(conversation, Actor("agent", agent, f"客服{agent[-2:]}"), line.text)
            else:
                event = event_of(line, f"{number}.{index}", address, at, who)
                conversation = await self._place(channel, event, decided if index == 0 else Decided())
            with self._done.get_lock():
                self._done.value += 1
        await self._end(conversation, draw)

    async def _place(self, channel: str, event: Message | Echo, decided: Decided) -> str:
        """Record and place one message, as ingress and router do; return its conversation."""
        recorded = (await self._recorder.record(channel, [event]))[0]
        assert recorded is not None  # only what is ignored is not
        partition, _, words = spread(channel, event)
        texts = [word.decode() if isinstance(word, bytes) else str(word) for word in words]
        entry = Entry(partition, recorded.position, dict(zip(texts[::2], texts[1::2], strict=True)))
        kind = KINDS[channel]
        origin = parse(entry, kind, self._capabilities[kind])
        spot = await self._placer.locate(origin)
        return (await self._placer.place(self._held[partition], origin, spot, decided)).conversation

    async def _end(self, conversation: str, draw: random.Random) -> None:
        """Leave most conversations resolved, some snoozed."""
        fate = draw.random()
        if fate < 0.75:
            await self._desk.resolve(conversation, Actor("agent", "agent00", "客服00"))
        elif fate < 0.77:
            await self._desk.snooze(conversation, Actor("agent", "agent00"), time.time_ns() // 1_000_000 + 10**9)


def event_of(line: Line, external_id: str, address: str, at: int, who: str) -> Message | Echo:
    """Return a line as its platform would tell it; nobody but the hub knows notes."""
    if line.who == "agent":
        return Echo(external_id=f"h{external_id}", address=address, at=at, text=line.text, author="客服")
    return Message(external_id=f"m{external_id}", address=address, at=at, text=line.text, name=who)


def address_of(draw: random.Random, channel: str, number: int) -> str:
    """Return where a customer writes from; each has a conversation of their own."""
    return SCHEMES[KINDS[channel]].format(number * 1000 + draw.randrange(1000))


def lengths(seed: int, conversations: int, messages: int) -> list[int]:
    """Return how many messages each conversation has: few have many, all together *messages*."""
    draw = random.Random(seed)
    weights = [min(20.0, draw.paretovariate(1.6)) for _ in range(conversations)]
    free, total = messages - conversations, sum(weights)
    counts = [1 + int(free * weight / total) for weight in weights]
    for index in range(messages - sum(counts)):
        counts[index % conversations] += 1
    return counts


def share(
    url: str, held: dict[int, Held], folder: Path, options: argparse.Namespace, part: int, done: Synchronized[int]
) -> None:  # a process's whole errand
    """Write one process's part of the conversations."""
    configure("console")
    counts = lengths(options.seed, options.conversations, options.messages)
    mine = iter([(number, count) for number, count in enumerate(counts) if number % options.processes == part])

    async def work() -> None:
        store = Store(Topology(url), SCRIPTS)
        seeder = Seeder(store, held, folder, options.seed, done)

        async def lane() -> None:
            for number, count in mine:
                await seeder.converse(number, count)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(lane())
        await store.close()

    asyncio.run(work())


async def seed(folder: Path, options: argparse.Namespace) -> None:
    """Start the store, take its partitions, and have processes fill them."""
    began = time.monotonic()
    async with Embedded(folder / "var", durability="everysec") as embedded:
        store, _, _ = await open_store(embedded.url, SCRIPTS, "everysec")
        leases = Leases(store, "seed", time.time_ns() // 1_000_000, lambda _: None, lambda _: None)
        await leases.turn()
        for kind in KINDS.values():
            registry.find(kind)  # for all processes at once
        context = multiprocessing.get_context("fork")
        done: Synchronized[int] = context.Value("q", 0)
        held = dict(leases.held)
        processes = [
            context.Process(target=share, args=(embedded.url, held, folder, options, part, done))
            for part in range(options.processes)
        ]
        for process in processes:
            process.start()
        await follow(processes, done, options.messages, began)
        await handled(store, leases)
        await store.close()
    size = sum(file.stat().st_size for file in (folder / "var").rglob("*") if file.is_file())
    print(
        f"{options.conversations} conversations, {options.messages} messages in {time.monotonic() - began:.0f} s; "
        f"{size / 2**20:.0f} MiB on the disk"
    )


async def follow(processes: Sequence[BaseProcess], done: Synchronized[int], total: int, began: float) -> None:
    """Print how far the processes are until all have ended."""
    told = 0
    while any(process.is_alive() for process in processes):
        await asyncio.sleep(0.2)
        if done.value >= told + total // 50:
            told = done.value
            print(f"stored {told}/{total}, {told / (time.monotonic() - began):.0f}/s", flush=True)
    failed = [process.exitcode for process in processes if process.exitcode]
    if failed:
        sys.exit(f"processes failed: {failed}")


async def handled(store: Store, leases: Leases) -> None:
    """Say that the readers have seen everything, and give the partitions up."""
    for partition in range(COUNT):
        end = await store.do(tag(partition), "XREVRANGE", key(partition, "log"), "+", "-", "COUNT", 1)
        if end:
            words = [word for reader in READERS for word in (reader, end[0][0])]
            keys = [key(partition, "lease"), key(partition, "pos")]
            await store.run(readers.ADVANCE, tag(partition), keys, (leases.held[partition].epoch, *words))
    await leases.close()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("bench/.seed"))
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="delete what an earlier run left there")
    options = parser.parse_args()
    folder = options.folder.absolute()
    if options.fresh and (folder / "huiliu.yaml").exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "var").exists():
        print(f"{folder} is seeded already; --fresh begins anew")
        return 0
    print(stage.machine(), flush=True)
    write_files(folder)
    asyncio.run(seed(folder, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
