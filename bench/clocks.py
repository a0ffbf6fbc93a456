"""What 100,000 open clocks cost, and how exactly they tick.

A real hub (`huiliu run`, one worker, embedded store) with conversations whose deadlines are hours away: CPU of the
hub while nothing happens, beside the same hub without any, for that is what its other tasks cost. Then some of the
deadlines fall within seconds: how late is each told? And a change of all promises: how long until every clock is set?
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _stage as stage  # found only now
from inbox import clocks, course
from inbox.clocks import Limit, Promise, Told
from inbox.conversations import CLOCKS
from inbox.partitions import COUNT, key
from inbox.worktime import Worktime

LIMIT = 2.0
"""Percent of a core that 100,000 open clocks may cost."""

LATE_LIMIT = 1000
"""Milliseconds after its time within which everything is told."""

HOUR = 3_600_000
SOON = 20
SETTLE = 600.0
MORE = """
hours: {office: {week: {mon-sun: ["00:00-12:00", "12:30-24:00"]}}}
sla:
  standard: {first_reply: 30m, resolution: 20d, hours: office}
  quick: {first_reply: 1h, warn_at: 100%}
teams: {frontdesk: {name: 前台, members: [], assign: {strategy: manual}, sla: standard}}
"""
ROUTES = "default: {team: frontdesk}\n"


def conversation(number: int, opened: int, sla: str) -> dict[Any, Any]:
    """Return an open conversation, as the hub keeps it, in which nobody has answered or somebody has."""
    text = f"W{opened}" if sla == "quick" else f"W{opened} a60000 w60000"
    return {
        "channel": "site-chat",
        "kind": "webchat",
        "address": f"visitor:{number}",
        "contact": "k0-1-0",
        "status": "open",
        "team": "frontdesk",
        "sla": sla,
        "opened": opened,
        "last": opened,
        "last_in": opened,
        "course": text,
        "version": 1,
    }


def fill(hub: stage.Hub, count: int, opened: int, sla: str, spread: int = 0, first: int = 0) -> None:
    """Put *count* conversations into the store, opened within *spread* milliseconds after *opened*."""
    rng = random.Random(7)
    pipe = hub.store.pipeline(transaction=False)
    for number in range(first, first + count):
        partition, name = number % COUNT, f"{opened}-{number}"
        fields = conversation(number, opened + rng.randrange(spread + 1), sla)
        pipe.hset(key(partition, f"c:{name}"), mapping=fields)
        pipe.zadd(key(partition, "i:s:open"), {name: opened})
        pipe.zadd(key(partition, CLOCKS), {name: 0})
        if number % 2000 == 0:
            pipe.execute()
    pipe.execute()


def unset(hub: stage.Hub) -> int:
    """Return how many clocks have still to be set."""
    pipe = hub.store.pipeline(transaction=False)
    for partition in range(COUNT):
        pipe.zcount(key(partition, CLOCKS), 0, 0)
    return sum(pipe.execute())


def settle(hub: stage.Hub) -> float:
    """Wait until every clock is set; return the seconds."""
    began = time.monotonic()
    while unset(hub):
        if time.monotonic() > began + SETTLE:
            sys.exit("the clocks were not set in time")
        time.sleep(0.1)
    return time.monotonic() - began


def cost(hub: stage.Hub, seconds: float) -> float:
    """Return the percentage of a core that the hub uses meanwhile."""
    time.sleep(3)  # what it has just done is written down
    before, began = hub.server.cpu, time.monotonic()
    time.sleep(seconds)
    return (hub.server.cpu - before) / (time.monotonic() - began) * 100


def lateness(hub: stage.Hub) -> list[int]:
    """Return for everything that was told how many milliseconds after its time that was."""
    return [
        int(entry.partition("-")[0]) - int(fields["at"])
        for entries in hub.logs()
        for entry, fields in entries
        if fields.get("ev", "").startswith("sla_")
    ]


def arithmetic(count: int) -> float:
    """Return the microseconds that a look at one clock takes, without the store."""
    now = 1_795_000_000_000
    promise = Promise("standard", {name: Limit(HOUR, HOUR // 2) for name in course.CLOCKS}, Worktime())
    text = f"W{now - HOUR // 4}" + " a60000 w60000" * 5
    began = time.perf_counter()
    for _ in range(count):
        clocks.plan(promise, course.runs(course.steps(text)), Told(), now)
    return (time.perf_counter() - began) / count * 1e6


def main() -> int:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="open conversations")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the hub is watched each time")
    parser.add_argument("--due", type=int, default=2000, help=f"deadlines that fall within {SOON} seconds")
    arguments = parser.parse_args()
    print(stage.machine())
    stage.stay_off_the_server_core()
    print(f"arithmetic: {arithmetic(5000):.0f} us for a look at a conversation with eleven turns")
    with stage.hub("  site-chat: {kind: webchat}", routes=ROUTES, more=MORE) as hub:
        without = cost(hub, arguments.seconds)
        now = int(time.time() * 1000)
        cpu = hub.server.cpu
        fill(hub, arguments.count, now, "standard", spread=HOUR // 10)
        took = settle(hub)
        each = (hub.server.cpu - cpu) / arguments.count * 1e6
        print(f"set: {arguments.count} clocks in {took:.1f} s after the last one, {each:.0f} us of CPU each")
        having = cost(hub, arguments.seconds)
        print(f"idle: {without:.2f} % of a core without clocks, {having:.2f} % with {arguments.count}")
        fill(hub, arguments.due, int(time.time() * 1000) - HOUR + 5000, "quick", SOON * 1000, arguments.count)
        time.sleep(SOON + 8)
        late = lateness(hub)
    print(
        f"ticks: {len(late)} of {arguments.due} told, late by {stage.median(late):.0f} ms median, "
        f"{stage.quantile(late, 0.99):.0f} ms at 99 %, {max(late, default=0)} ms at most (at most {LATE_LIMIT})"
    )
    good = having - without < LIMIT and len(late) == arguments.due and max(late, default=0) < LATE_LIMIT
    print(f"{'within' if good else 'ABOVE'} the limits: {having - without:.2f} % of a core (at most {LIMIT:g})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
