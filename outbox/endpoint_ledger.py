"""What is known of the endpoints of outgoing webhooks: how they fare, what they were sent, and what each attempt gave.

Everything of one endpoint lies in one partition, beside its deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from prometheus_client.core import GaugeMetricFamily

from config.webhooks import Webhook
from inbox.conversations import pairs
from inbox.partitions import Id, digest, key, partition_of, tag
from inbox.store import Store, Word
from outbox.deliveries import KEPT_LETTER, Deliveries
from outbox.records import FINAL, Delivery

SCHEME = "webhook"
STATES = ("active", "failing", "disabled")
KEPT_DELIVERIES = 50_000
KEPT_ATTEMPTS = 12
SWEEP = 200


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call: when, the status of the answer or why there was none, and how long it took in milliseconds."""

    at: int
    took: int
    status: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """How an endpoint fares; times in milliseconds since 1970 UTC, 0 = never or not."""

    disabled_at: int = 0
    why: str = ""
    failing_since: int = 0
    succeeded_at: int = 0
    recovered: bool = False
    last: Attempt | None = None

    @property
    def name(self) -> str:
        """What people call it: active, failing or disabled."""
        return "disabled" if self.disabled_at else "failing" if self.failing_since else "active"


def address(name: str) -> str:
    """Return the address, and the name of the channel, of an endpoint."""
    return f"{SCHEME}:{name}"


class Ledger:
    """The endpoints' records in the store. *url* arguments tell a new address, whose past is not that of the old."""

    def __init__(self, store: Store, deliveries: Deliveries) -> None:
        self._store = store
        self._deliveries = deliveries

    def _keys(self, name: str) -> tuple[int, str, str, str]:
        home = partition_of(address(name))
        return home, key(home, f"wh:{name}"), key(home, f"wl:{name}"), key(home, f"wo:{name}")

    async def state(self, name: str, url: str) -> State:
        """Return how an endpoint fares. Raises `StoreError`."""
        home, record, _, _ = self._keys(name)
        fields = pairs(await self._store.do(tag(home), "HGETALL", record))
        if fields.get("url") != digest(url):
            return State()
        last = fields.get("last")
        return State(
            disabled_at=int(fields.get("disabled", 0)),
            why=fields.get("why", ""),
            failing_since=int(fields.get("failing", 0)),
            succeeded_at=int(fields.get("ok", 0)),
            recovered="recovered" in fields,
            last=msgspec.json.decode(last, type=Attempt) if last else None,
        )

    async def note(self, name: str, delivery: str, now: int) -> None:
        """Enter a delivery, by its key, that is owed or about to be. Raises `StoreError`."""
        home, _, index, waiting = self._keys(name)
        await self._store.many(
            tag(home),
            [
                ("ZADD", index, "NX", now, delivery),
                ("SADD", waiting, delivery),
                ("ZREMRANGEBYSCORE", index, "-inf", now - KEPT_LETTER),
                ("ZREMRANGEBYRANK", index, 0, -KEPT_DELIVERIES - 1),
            ],
        )

    async def waiting(self, name: str) -> int:
        """Return how many deliveries wait; some that died may be among them until `sweep`. Raises `StoreError`."""
        home, _, _, waiting = self._keys(name)
        return int(await self._store.do(tag(home), "SCARD", waiting))

    async def sweep(self, name: str) -> list[Delivery]:
        """Forget what does not wait any more; return some of what does. Raises `StoreError`."""
        home, _, _, waiting = self._keys(name)
        names: list[str] = await self._store.do(tag(home), "SRANDMEMBER", waiting, SWEEP)
        found = await self._deliveries.load_many([Id("d", home, one) for one in names])
        over = [one for one, there in zip(names, found, strict=True) if there is None or there.state in FINAL]
        if over:
            await self._store.do(tag(home), "SREM", waiting, *over)
        return [one for one in found if one is not None and one.state not in FINAL]

    async def attempted(self, name: str, url: str, delivery: str, attempt: Attempt, *, over: bool) -> State:
        """Enter an attempt; *over* if there will be no other. Return how the endpoint fared before.

        An attempt without error is a success. Raises `StoreError`.
        """
        before = await self.state(name, url)
        home, record, _, waiting = self._keys(name)
        said = msgspec.json.encode(attempt)
        attempts = key(home, f"wa:{delivery}")
        commands: list[Sequence[Word]] = [
            ("HSET", record, "last", said, "url", digest(url)),
            ("RPUSH", attempts, said),
            ("LTRIM", attempts, -KEPT_ATTEMPTS, -1),
            ("PEXPIRE", attempts, KEPT_LETTER),
        ]
        if not attempt.error:
            commands += [("HSET", record, "ok", attempt.at), ("HDEL", record, "failing", "disabled", "why")]
            if before.failing_since:
                commands.append(("HSET", record, "recovered", 1))
        elif not before.failing_since:
            commands.append(("HSET", record, "failing", attempt.at))
        if over or not attempt.error:
            commands.append(("SREM", waiting, delivery))
        await self._store.many(tag(home), commands)
        return before

    async def disable(self, name: str, url: str, why: str, now: int) -> None:
        """Leave an endpoint alone from now on. Raises `StoreError`."""
        home, record, _, _ = self._keys(name)
        await self._store.do(tag(home), "HSET", record, "disabled", now, "why", why, "url", digest(url))

    async def enable(self, name: str) -> None:
        """Let an endpoint be told again. Raises `StoreError`."""
        home, record, _, _ = self._keys(name)
        await self._store.do(tag(home), "HDEL", record, "disabled", "why", "failing")

    async def forget_recovery(self, name: str) -> None:
        """Note that what waited for an endpoint that is back was hastened. Raises `StoreError`."""
        home, record, _, _ = self._keys(name)
        await self._store.do(tag(home), "HDEL", record, "recovered")

    async def metrics(self, webhooks: Mapping[str, Webhook]) -> list[GaugeMetricFamily]:
        """Return how all endpoints fare, for Prometheus. Raises `StoreError`."""
        states = GaugeMetricFamily(
            "huiliu_webhooks", "1 for the state an outgoing webhook is in", labels=["webhook", "state"]
        )
        waiting = GaugeMetricFamily(
            "huiliu_webhooks_waiting", "Events that wait for an outgoing webhook", labels=["webhook"]
        )
        for name, webhook in webhooks.items():
            now = (await self.state(name, webhook.url)).name
            for state in STATES:
                states.add_metric([name, state], float(state == now))
            waiting.add_metric([name], float(await self.waiting(name)))
        return [states, waiting]

    async def page(self, name: str, before: int | None, limit: int) -> tuple[list[Delivery], int | None]:
        """Return up to *limit* deliveries entered before a time, newest first, and where to go on.

        Raises `StoreError`.
        """
        home, _, index, _ = self._keys(name)
        upto = "+inf" if before is None else f"({before}"
        flat = await self._store.do(
            tag(home), "ZREVRANGEBYSCORE", index, upto, "-inf", "WITHSCORES", "LIMIT", 0, limit + 1
        )
        names, scores = flat[::2], [int(float(score)) for score in flat[1::2]]
        following = None
        if len(names) > limit:
            # A cursor is a time, so that a page ends with all of one moment or none; one moment fills no page.
            kept = [score for score in scores[:limit] if score != scores[limit]] or scores[:limit]
            names, following = names[: len(kept)], kept[-1]
        found = await self._deliveries.load_many([Id("d", home, one) for one in names])
        return [one for one in found if one is not None], following

    async def attempts(self, found: Sequence[Delivery]) -> list[list[Attempt]]:
        """Return the latest attempts of deliveries, oldest first. Raises `StoreError`."""
        lists = []
        for one in found:
            raw = await self._store.do(
                tag(one.place.partition), "LRANGE", key(one.place.partition, f"wa:{one.place.key}"), 0, -1
            )
            lists.append([msgspec.json.decode(each, type=Attempt) for each in raw])
        return lists
