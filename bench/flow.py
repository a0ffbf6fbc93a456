"""What a message costs on its whole way, how long it takes, and how much it leaves behind.

Four measurements on real hubs (`huiliu run`, one worker, embedded store, fsync before every 200): CPU of
a hub that has nothing to do; messages per second per core from the webhook to the assigned agent; at
half of the rate that saturates the hub, the time from a webhook's 200 until the message stands in the
API with its team, with and without what hiccups of the machine have touched; and bytes of store
memory per message. See bench/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _stage as stage  # found only now
from bench._hiccups import Hiccups, hiccups  # the same
from bench._pushes import CHANNELS, ROUTES, TEAMS, Push, Sender, Shop, fire  # the same

LATENCY_LIMIT = 50.0
"""Milliseconds from 200 to visible that 99 of 100 messages keep to."""

IDLE_LIMIT = 3.0
"""Percent of a core that a hub without traffic may use."""

MEMORY_AIM = 700
"""Bytes of store memory per message, everything included."""

PER_CONVERSATION = 20
CONNECTIONS = 64
FASTEST = 8_000
PROBES = 40
REST = 0.15
"""Seconds between two probes of a watcher: to ask without a pause would be a load of its own."""

PEEK = 0.003
"""Seconds between two questions about one message."""

PROBE_WORD = "探针"
TOKEN = "bench-token-of-a-reader"
PROBE_TEAM = "  probes: {name: 探针, members: [lilei], assign: {strategy: manual}}\n"
MORE = f"{TEAMS.replace('agents:', PROBE_TEAM + 'agents:')}\napi_tokens:\n  bench: {{token: {TOKEN}, role: readonly}}\n"
PROBED = f"""{ROUTES}
  - name: probe
    when: {{text: {{any_of: [{PROBE_WORD}]}}}}
    set: {{team: probes}}
"""


def mixed(shop: Shop) -> Iterator[Push]:
    """Alternate between the channels."""
    while True:
        yield shop.wechat()
        yield shop.tiktok()


def rest(hub: stage.Hub, seconds: float) -> float:
    """Return the percentage of a core that the hub uses while nothing happens."""
    before, began = hub.server.cpu, time.monotonic()
    time.sleep(seconds)
    share = (hub.server.cpu - before) / (time.monotonic() - began) * 100
    print(f"idle: {share:.1f} % of a core (at most {IDLE_LIMIT:g})", flush=True)
    return share


def saturate(hub: stage.Hub, rounds: int, seconds: float) -> float:
    """Load the hub as much as it takes, several times; print what a message costs and return the routed rate."""
    rates, costs, store_costs = [], [], []
    pushes = mixed(Shop(seed=11, senders=5000))
    with tempfile.TemporaryDirectory(prefix="huiliu-bench-") as name:
        for number in range(rounds + 1):
            hub.clear_its_core()  # the index is kept by a process that starts later than the hub
            cpu, store_cpu = hub.server.cpu, hub.store_cpu
            one = fire(
                hub.server.port,
                pushes,
                Path(name),
                seconds=seconds,
                connections=CONNECTIONS,
                most=int(FASTEST * seconds),
            )
            waited = hub.drain()
            if not number:
                continue  # fills caches and opens most conversations
            costs.append((hub.server.cpu - cpu) / one.taken * 1e6)
            store_costs.append((hub.store_cpu - store_cpu) / one.taken * 1e6)
            rates.append(one.taken / (one.seconds + waited))
            print(
                f"saturated {number}/{rounds}: {one.rate:.0f}/s answered, {rates[-1]:.0f}/s routed, "
                f"hub {costs[-1]:.0f} us and store {store_costs[-1]:.0f} us of CPU per message",
                flush=True,
            )
    cost = stage.median(costs)
    print(
        f"whole way: {cost:.0f} us of hub CPU per message ({min(costs):.0f}..{max(costs):.0f}), that is "
        f"{1e6 / cost:.0f} messages/s per core; the store needs {stage.median(store_costs):.0f} us of its own core",
        flush=True,
    )
    return stage.median(rates)


async def follow(hub: stage.Hub, rate: float, seconds: float) -> float:
    """Send *rate* messages a second; return how long (99 of 100) they took from 200 until the API showed them.

    How long those took that no hiccup of the machine has touched is printed beside it.
    """
    sender = Sender(hub.server.port, CONNECTIONS)
    await sender.open()
    shop = Shop(seed=12, senders=5000)
    seen: list[Wait] = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as api:
        probes = await known_probes(hub, api, sender, shop)
        pushes = list(itertools.islice(mixed(shop), int(rate * seconds)))
        hub.clear_its_core()
        gc.collect()
        gc.disable()  # a collection in this process would hold up the calls, and look like a slow hub
        with hiccups() as slow:
            load = asyncio.create_task(sender.send_paced(pushes, rate))
            watching = [asyncio.create_task(probe(hub, api, sender, shop, one, load)) for one in halves(probes)]
            while not load.done():
                await asyncio.wait([load], timeout=2.0)
                print(f"half load: {len(sender.taken)} messages answered", flush=True)
            await load
            for task in watching:
                seen += await task
        gc.enable()
    hub.drain()
    placed = placing_times(hub, sender.taken)
    late = tell_waits(f"half load, {rate:.0f}/s", placed, seen)
    print(
        f"the machine itself was slow {len(slow.spans)} times, {slow.total:.0f} ms of {seconds:.0f} s; "
        f"{sender.refused} refused",
        flush=True,
    )
    tell_waits("half load without that", untouched(placed, slow), untouched(seen, slow))
    return late


class Wait(NamedTuple):
    """When a message was answered with 200, and how long it took from then on; in milliseconds."""

    answered: float
    took: float


def untouched(waits: Sequence[Wait], slow: Hiccups) -> list[Wait]:
    """Return the waits during which the machine was not slow."""
    return [one for one in waits if not slow.touch(one.answered, one.answered + one.took)]


def tell_waits(what: str, placed: Sequence[Wait], seen: Sequence[Wait]) -> float:
    """Print how long messages took to their conversation and into the API; return the latter's p99."""
    to_place, to_api = [one.took for one in placed], [one.took for one in seen]
    print(
        f"{what}: from 200 to its conversation p50 {stage.quantile(to_place, 0.5):.0f} ms, "
        f"p99 {stage.quantile(to_place, 0.99):.0f} ms ({len(placed)} messages by the log); until the API showed it "
        f"p50 {stage.quantile(to_api, 0.5):.1f} ms, p99 {stage.quantile(to_api, 0.99):.1f} ms, "
        f"most {max(to_api):.1f} ms ({len(seen)} probes)",
        flush=True,
    )
    return stage.quantile(to_api, 0.99)


async def known_probes(hub: stage.Hub, api: aiohttp.ClientSession, sender: Sender, shop: Shop) -> dict[int, str]:
    """Let some customers open a conversation; return customer -> conversation."""
    customers = {f"wechat:o9AgO5Kd5ggOC-bX{900_000 + one:012}": 900_000 + one for one in range(PROBES)}
    for one in customers.values():
        await sender.send(shop.wechat(one, PROBE_WORD))
    hub.drain()
    async with api.get(f"{hub.url}/api/v1/conversations?team=probes&limit=200") as response:
        found = (await response.json())["items"]
    known = {customers[one["contact"]["addresses"][0]]: one["id"] for one in found}
    if len(known) != PROBES:
        sys.exit(f"the API shows {len(known)} conversations of {PROBES} customers")
    return known


def halves(probes: dict[int, str]) -> list[dict[int, str]]:
    """Split the probes among two watchers."""
    items = list(probes.items())
    return [dict(items[::2]), dict(items[1::2])]


async def probe(
    hub: stage.Hub,
    api: aiohttp.ClientSession,
    sender: Sender,
    shop: Shop,
    probes: dict[int, str],
    load: asyncio.Task[None],
) -> list[Wait]:
    """Write as one customer after the other, ask the API until it shows the message, and return the waits."""
    waits: list[Wait] = []
    while not load.done():
        for customer, conversation in probes.items():
            push = shop.wechat(customer, PROBE_WORD)
            answered = await sender.send(push)
            while answered is not None:
                async with api.get(f"{hub.url}/api/v1/conversations/{conversation}/messages?limit=1") as response:
                    items = (await response.json())["items"]
                now = time.time() * 1000
                if items and items[0]["external_id"] == push.external_id:
                    waits.append(Wait(answered, now - answered))
                    break
                await asyncio.sleep(PEEK)
            await asyncio.sleep(REST)
            if load.done():
                break
    return waits


def placing_times(hub: stage.Hub, taken: dict[str, float]) -> list[Wait]:
    """Return for each message of *taken* how long it took from its 200 to its entry in a conversation."""
    waits = []
    for entries in hub.logs():
        external = {position: fields["x"] for position, fields in entries if fields["t"] == "e"}
        for position, fields in entries:
            answered = taken.get(external.get(fields.get("m", ""), "")) if fields["t"] == "p" else None
            if answered is not None:
                waits.append(Wait(answered, max(0.0, int(position.partition("-")[0]) - answered)))
    return waits


def crews(count: int) -> str:
    """Return teams with *count* agents, who between them have room for every conversation."""
    names = [f"agent{number:03}" for number in range(count)]
    members = ", ".join(names)
    agents = "\n".join(f"  {name}: {{name: 客服{name[-3:]}}}" for name in names)
    one = f"members: [{members}], assign: {{strategy: round-robin, capacity: 1000}}"
    return (
        f"teams:\n  frontdesk: {{name: 前台, {one}}}\n  aftersales: {{name: 售后组, {one}}}\n"
        f"  orders: {{name: 订单组, {one}}}\nagents:\n{agents}\n"
    )


async def fill(hub: stage.Hub, messages: int) -> None:
    """Send *messages*, each customer's turn coming round PER_CONVERSATION times; print the progress."""
    sender = Sender(hub.server.port, CONNECTIONS)
    await sender.open()
    shop = Shop(seed=13)
    customers = max(1, messages // PER_CONVERSATION)
    began = time.monotonic()

    def pushes() -> Iterator[Push]:
        for number in range(messages):
            customer = number % customers
            yield (shop.tiktok if customer % 2 else shop.wechat)(customer)

    await sender.send_all(pushes(), progress(messages, began))
    if sender.refused:
        sys.exit(f"{sender.refused} calls were refused")


def progress(total: int, began: float) -> Callable[[int], None]:
    """Return a listener that prints every twentieth part of *total*."""
    step = max(1, total // 20)

    def tell(done: int) -> None:
        if done % step == 0:
            print(f"stored {done}/{total}, {done / (time.monotonic() - began):.0f}/s", flush=True)

    return tell


def weigh(messages: int) -> float:
    """Fill a fresh store with *messages*, print who takes how much of it, and return bytes per message."""
    with stage.hub(CHANNELS, routes=ROUTES, more=crews(max(2, messages // PER_CONVERSATION // 800))) as hub:
        before = hub.used_memory()
        asyncio.run(fill(hub, messages))
        hub.drain()
        after = hub.used_memory()
        each = {name: (after[name] - before[name]) / messages for name in after}
        print(
            f"memory at {messages} messages, {PER_CONVERSATION} per conversation: {each['used_memory']:.0f} bytes per "
            f"message all-in (aim {MEMORY_AIM}); resident {each['used_memory_rss']:.0f}; append-only file "
            f"{hub.disk() / messages:.0f}; hub process {stage.resident(hub.server.pid) / 2**20:.0f} MiB"
        )
        families = hub.families()
        for family, (keys, size) in sorted(families.items(), key=lambda item: -item[1][1]):
            print(f"  {family:12}{size / messages:8.1f} bytes per message in {keys} keys")
        other = each["used_memory"] - sum(size for _, size in families.values()) / messages
        print(f"  {'key table':12}{other:8.1f} bytes per message")
    return each["used_memory"]


def measure(options: argparse.Namespace) -> int:
    """Run what was asked for; return the exit code."""
    print(stage.machine(), flush=True)
    stage.stay_off_the_server_core()
    faults: list[str] = []
    if not options.only or options.only == "speed":
        with stage.hub(CHANNELS, routes=PROBED, more=MORE) as hub:
            share = rest(hub, 5.0)
            rate = saturate(hub, options.rounds, options.seconds)
            late = asyncio.run(follow(hub, rate / 2, 10 * options.seconds))
        if share > IDLE_LIMIT:
            faults.append(f"an idle hub uses {share:.1f} % of a core, at most {IDLE_LIMIT:g} is allowed")
        if late >= LATENCY_LIMIT:
            faults.append(
                f"99 of 100 messages are visible after {late:.0f} ms, less than {LATENCY_LIMIT:g} is asked for"
            )
    if not options.only or options.only == "memory":
        each: Any = weigh(options.messages)
        if each > MEMORY_AIM:
            faults.append(f"a message takes {each:.0f} bytes of the store, the aim is {MEMORY_AIM}")
    print(*faults or ["fine"], sep="\n")
    return 1 if faults else 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--messages", type=int, default=200_000, help="how many to measure the memory with")
    parser.add_argument("--only", choices=("speed", "memory"))
    return measure(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
