"""What all processes together know of the hub's work: counts and channel states, shared once a second."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from inbox.channels import Channel, Channels
from inbox.conversations import CLOCKS, pairs
from inbox.leases import BEAT_SCRIPT, DEAD_AFTER
from inbox.partitions import COUNT, key, shared_key, tag
from inbox.store import Script, Store, StoreError

log = logging.getLogger(__name__)

EVERY = 1.0
DEAD_MS = int(DEAD_AFTER * 1000)
OUTCOMES = ("received", "recorded", "duplicate", "ignored", "shunted")
STATES = ("up", "degraded", "down")
Counts = Counter[tuple[str, str]]
COUNT_SCRIPT = Script.load(Path(__file__).parent / "scripts" / "count.lua")


class Status:
    """Passes this process's counts and channel states on, and reads those of all."""

    def __init__(self, store: Store, channels: Channels, counters: Callable[[], Iterable[tuple[str, Counts]]]) -> None:
        self._store = store
        self._channels = channels
        self._counters = counters
        self._process = secrets.token_hex(6)
        self._passed: dict[str, Counts] = {}
        self._said: dict[str, bytes] = {}

    async def run(self) -> None:
        """Share every second, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.share()
            except StoreError:
                log.debug("counts wait for the store")

    async def share(self) -> None:
        """Pass on what is new. Raises `StoreError`."""
        for name, counts in self._counters():
            if self._passed.get(name) == counts:
                continue
            now = counts.copy()
            flat = [word for what, count in now.items() for word in (" ".join(what), count)]
            keys = [shared_key("hub", name), shared_key("hub", f"{name}:{self._process}")]
            await self._store.run(COUNT_SCRIPT, "hub", keys, flat)
            self._passed[name] = now
        for channel in self._channels:
            if channel.name not in self._said:
                await self._recall(channel)
            said = msgspec.json.encode(
                {
                    "state": channel.state,
                    "reason": channel.reason,
                    "last_event_at": channel.last_event_at,
                    "lag": channel.lag,
                    "changed_at": channel.changed_at,
                }
            )
            if self._said.get(channel.name) != said:
                await self._store.do("hub", "HSET", shared_key("hub", "channels"), channel.name, said)
                self._said[channel.name] = said

    async def _recall(self, channel: Channel) -> None:
        """Learn from the processes before this one when a channel was last heard."""
        known = await self._store.do("hub", "HGET", shared_key("hub", "channels"), channel.name)
        state = msgspec.json.decode(known) if known else {}
        if int(state.get("last_event_at", 0)) > channel.last_event_at:
            channel.last_event_at, channel.lag = int(state["last_event_at"]), int(state.get("lag", 0))

    async def metrics(
        self, gauges: Mapping[str, tuple[str, float]], now: int, more: Sequence[GaugeMetricFamily] = ()
    ) -> bytes:
        """Return everything in the Prometheus text format; *gauges* are name -> (help, value) of this process.

        *more* are families that others have read.

        Raises `StoreError`.
        """
        registry = CollectorRegistry()
        registry.register(Families([*await self._families(), *more, *plain({**gauges, **await self.progress(now)})]))
        return generate_latest(registry)

    async def progress(self, now: int) -> dict[str, tuple[str, float]]:
        """Return whether anything lags behind: what an alert looks at. *now* is in milliseconds."""
        living = set(await self._store.run(BEAT_SCRIPT, "hub", [shared_key("hub", "workers")], ("", DEAD_MS)))
        states = await asyncio.gather(*(self._partition(partition) for partition in range(COUNT)))
        unread = [read for _, read, _, _ in states if read]
        due = [oldest for _, _, oldest, _ in states if oldest]
        clocks = [clock for _, _, _, clock in states if clock]
        return {
            "huiliu_partitions_unowned": (
                "Partitions without a living owner",
                float(sum(owner not in living for owner, *_ in states)),
            ),
            "huiliu_log_lag_seconds": (
                "Age of the oldest log entry that is not routed yet",
                max(1, now - min(unread)) / 1000 if unread else 0.0,  # 0 = all are, also those logged since *now*
            ),
            "huiliu_oldest_due_seconds": (
                "For how long the oldest delivery has been due",
                max(0.0, (now - min(due)) / 1000) if due else 0.0,
            ),
            "huiliu_clocks_late_seconds": (
                "For how long the oldest warning or breach has not been told",
                max(0.0, (now - min(clocks)) / 1000) if clocks else 0.0,
            ),
        }

    async def _partition(self, partition: int) -> tuple[str, int, int, int]:
        """Return a partition's owner, and the times of its first unrouted entry, delivery and clock; 0 = none."""
        slot, log_key = tag(partition), key(partition, "log")
        owner, position, due, clock = await self._store.many(
            slot,
            [
                ("HGET", key(partition, "lease"), "owner"),
                ("HGET", key(partition, "pos"), "router"),
                ("ZRANGE", key(partition, "due"), 0, 0, "WITHSCORES"),
                ("ZRANGEBYSCORE", key(partition, CLOCKS), "(0", "+inf", "WITHSCORES", "LIMIT", 0, 1),
            ],
        )
        unread = await self._store.do(slot, "XRANGE", log_key, f"({position or '0-0'}", "+", "COUNT", 1)
        logged = int(unread[0][0].partition("-")[0]) if unread else 0
        return owner or "", logged, int(float(due[1])) if due else 0, int(float(clock[1])) if clock else 0

    async def _families(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        families: list[CounterMetricFamily | GaugeMetricFamily] = []
        tables = {
            "counts": ("huiliu_events", "Events by channel and outcome; received is the sum of the others"),
            "sends": ("huiliu_sends", "Outcomes of sends, and receipts, by channel"),
            "hooks": ("huiliu_hook_calls", "Calls of platforms by channel and outcome"),
            "routing": ("huiliu_routing", "What the router did"),
            "readers": ("huiliu_left_out", "Log entries left out by a reader that failed on them again and again"),
            "shadow": ("huiliu_shadow", "What the routes that are only watched would have done"),
            "sla": ("huiliu_sla", "Promises by channel, clock and outcome: met, warning, breach"),
            "notices": ("huiliu_notices", "Notices to agents and teams by channel"),
            "staff": ("huiliu_staff", "What agents wrote where they work, by channel and what became of it"),
            "surveys": ("huiliu_surveys", "What became of who might be asked, by channel"),
            "survey_answers": ("huiliu_survey_answers", "Answers to surveys, by survey and what became of them"),
            "lookups": ("huiliu_lookups", "Questions about orders to an existing tool by channel and outcome"),
        }
        for name, (metric, text) in tables.items():
            family = CounterMetricFamily(metric, text, labels=["channel", "outcome"])
            for field, count in pairs(await self._store.do("hub", "HGETALL", shared_key("hub", name))).items():
                channel, _, outcome = field.rpartition(" ")
                family.add_metric([channel, outcome], float(count))
            families.append(family)
        states = GaugeMetricFamily(
            "huiliu_channel_state", "1 for the state a channel is in", labels=["channel", "state"]
        )
        for field, said in pairs(await self._store.do("hub", "HGETALL", shared_key("hub", "channels"))).items():
            if self._channels.get(field) is None:
                continue  # not configured any more
            current = msgspec.json.decode(said)["state"]
            for state in STATES:
                states.add_metric([field, state], float(state == current))
        families.append(states)
        waiting = GaugeMetricFamily("huiliu_deliveries", "Deliveries that need something", labels=["state"])
        for which in ("due", "uncertain", "dead"):
            counts = await asyncio.gather(*(self._store.do(tag(p), "ZCARD", key(p, which)) for p in range(COUNT)))
            waiting.add_metric([which], float(sum(counts)))
        families.append(waiting)
        return families


class Families(Collector):
    """Metric families that were read before."""

    def __init__(self, families: Iterable[CounterMetricFamily | GaugeMetricFamily]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        return self._families


def plain(gauges: Mapping[str, tuple[str, float]]) -> list[GaugeMetricFamily]:
    """Return gauges without labels."""
    return [GaugeMetricFamily(name, text, value=value) for name, (text, value) in gauges.items()]
