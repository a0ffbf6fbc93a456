"""Sends what is due: one owner per partition, one way out per channel, one step at a time per conversation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from connectors.base import (
    BadOptions,
    Media,
    Rejected,
    SendError,
    Throttled,
    Uncertain,
    Unreachable,
    WindowClosed,
)
from inbox import log as logbook
from inbox.attachments import Attachments
from inbox.channels import Channel, Channels
from inbox.leases import Fenced, Held
from inbox.log import Entry
from inbox.partitions import Id
from inbox.placing import Placer
from inbox.store import Store, StoreError
from inbox.wakes import Wakes
from outbox.aside import Aside, Stopped
from outbox.breakers import REASON, Breakers
from outbox.deliveries import Deliveries, NotNow
from outbox.queries import Queries
from outbox.receipts import Receipts
from outbox.records import Delivery
from outbox.retries import Policy
from outbox.sender import Attempt, Sender, surely
from outbox.turns import Gate, Turn, Turns
from outbox.undelivered import Undelivered

log = logging.getLogger(__name__)

SCAN = 100
LOOK = 1.0
CHANNEL_AWAY = 30_000
UNASKED = frozenset({"survey", "campaign"})
KEPT_IN = frozenset({"opted_out", "no_consent", "stopped", "guard"})
RESTING = (500, 2_500)
"""Milliseconds after the end of a rest, between which what has waited for it comes back."""

MOST = 20_000
"""Deliveries that one process keeps in line; what exceeds that comes back later."""

LATER = (30_000, 60_000)
"""Milliseconds in which it comes back."""

STANDARD = Policy()


class Worker:
    """The outbox of one process. *policy* says how messages go out on a channel, *living* which workers are alive."""

    def __init__(  # a composition root passes what there is
        self,
        store: Store,
        wakes: Wakes,
        deliveries: Deliveries,
        placer: Placer,
        channels: Channels,
        attachments: Attachments,
        now: Callable[[], int],
        media_url: Callable[[Media], str],
        policy: Callable[[Channel], Policy],
        aside: Aside,
        living: Callable[[], Iterable[str]],
        unsubscribe: Callable[[Delivery], str] = lambda _: "",
    ) -> None:
        self._wakes = wakes
        self._deliveries = deliveries
        self._channels = channels
        self._now = now
        self._policy = policy
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: dict[int, set[str]] = {}
        self._stopping = False
        self.counts: Counter[tuple[str, str]] = Counter()
        self._aside = aside
        self._living = living
        self._sender = Sender(store, deliveries, placer, attachments, now, media_url, aside, unsubscribe)
        self._receipts = Receipts(deliveries, self.counts)
        self._undelivered = Undelivered(store, wakes, deliveries, now)
        self.turns = Turns(store, policy, self._start)
        self.queries = Queries(store, wakes, deliveries, channels, now, self.counts)
        self.breakers = Breakers(store, channels, policy, self.counts, now)

    async def follow(self, held: Held) -> None:
        """Send what is due in a partition, for ever; leave when the partition is lost."""
        others = True
        with self._wakes.listen(f"o{held.partition}") as news:
            while not self._stopping:
                news.clear()
                try:
                    if others:  # until what earlier owners had in hand has ended, or they have
                        others = await self._deliveries.reclaim(held, self._now(), self._living()) > 0
                    wait = await self._look(held)
                except Fenced:
                    return
                except NotNow:
                    continue  # it was changed this very moment
                except StoreError as error:
                    log.debug("the outbox of partition %d waits: %s", held.partition, error)
                    await asyncio.sleep(LOOK)
                    continue
                try:
                    async with asyncio.timeout(wait):
                        await news.wait()
                except TimeoutError:
                    pass

    async def finish(self, seconds: float) -> None:
        """Start nothing more and wait for sends in flight; the rest stays due in the store."""
        self._stopping = True
        self.turns.close()
        tasks = list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, held: Held) -> float:
        """Stand what is due in line; return in how many seconds to look again. Raises `Fenced`, `StoreError`."""
        known = self._known.setdefault(held.partition, set())
        count = SCAN + len(known)
        ready, later = await self._deliveries.due(held.partition, self._now(), count)
        names = [name for name in ready if name not in known]
        found = await self._deliveries.load_many([Id("d", held.partition, name) for name in names])
        due = [delivery for delivery in found if delivery is not None]
        for parked in (delivery for delivery in due if delivery.parked):
            await self._deliveries.lines.join(
                held.partition, parked.place.key, self._now()
            )  # the next look finds it in line
        ready_now = [delivery for delivery in due if not delivery.parked]
        await asyncio.gather(*(self._later(held, one) for one in ready_now if not self._join(held, one)))
        if len(ready) == count:
            return 0.0  # there may be more, for other channels
        return LOOK if later is None else min(LOOK, max(0.001, (later - self._now()) / 1000))

    def _join(self, held: Held, delivery: Delivery) -> bool:
        """Stand one delivery in line for its channel, unless that is away, or rests, or the line is too long."""
        channel = self._channels.get(delivery.channel)
        if channel is None or channel.connector is None or self.breakers.circuit(channel.name).until > self._now():
            return False
        if sum(map(len, self._known.values())) >= MOST:
            return False
        name = delivery.place.key
        self._known[held.partition].add(name)
        self.turns.gate(channel).join(delivery.lane, held, name)
        return True

    async def _later(self, held: Held, delivery: Delivery) -> None:
        """Put off what could not join."""
        channel, now = self._channels.get(delivery.channel), self._now()
        if channel is None or channel.connector is None:
            away = f"channel {delivery.channel} is not up"
            await self._put_off(held, delivery, None, now + CHANNEL_AWAY, away)
        elif not await self._rests(held, delivery, channel):
            await self._deliveries.postpone(held, delivery.place.key, now + random.randint(*LATER), now)  # noqa: S311

    def _start(self, gate: Gate, held: Held, name: str, turn: Turn) -> None:
        """Deliver in its own task what has reached its turn."""
        task = asyncio.get_running_loop().create_task(self._guarded(gate, held, name, turn), name=f"deliver-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, gate: Gate, held: Held, name: str, turn: Turn) -> None:
        try:
            await self._deliver(gate, held, name, turn)
        except Fenced:
            log.info("a delivery of partition %d belongs to another worker now", held.partition)
        except NotNow as error:
            log.debug("a delivery has moved on: %s", error)
        except StoreError as error:
            log.debug("a delivery waits for the store: %s", error)
        except Exception:
            # Left as it is: the claim runs out and the next attempt knows whether this one may have left.
            log.exception("a delivery of partition %d failed in the hub itself", held.partition)
        finally:
            self._known[held.partition].discard(name)
            gate.leave()

    async def _deliver(self, gate: Gate, held: Held, name: str, turn: Turn) -> None:
        """Take a delivery up in its turn, unless its recipient or its channel are not ready for it."""
        [found] = await self._deliveries.load_many([Id("d", held.partition, name)])
        channel, now = gate.channel, self._now()
        if found is None or self._stopping or await self._rests(held, found, channel):
            return
        policy = self._policy(channel)
        if free := await self.turns.recipient_free(channel, found.address, now):
            await self._put_off(held, found, channel, free, "its recipient has had enough messages for now")
            return
        if until := await self._aside.paused(found):
            await self._deliveries.postpone(held, name, until, now, found.error)
            return
        trying = self.breakers.circuit(channel.name).until > 0
        if trying and (again := await self.breakers.may_try(channel)):
            await self._deliveries.postpone(held, name, min(again, now + RESTING[1]), now)
            return
        claimed = await self._deliveries.claim(held, name, now)
        if claimed is None or (claimed[1] and not channel.capabilities.idempotent):
            if trying:
                await self.breakers.learnt_nothing(channel)
            if claimed is not None:
                error = Uncertain("the hub stopped while this was being sent")
                await self._outcome(held, claimed[0], error, channel, cause="hub")
            return
        await self._send(held, claimed[0], channel, Attempt(gate, turn, policy.timeout), trying=trying)

    async def _rests(self, held: Held, delivery: Delivery, channel: Channel) -> bool:
        """Put a delivery off while its channel rests."""
        circuit = self.breakers.circuit(channel.name)
        if circuit.until <= self._now():
            return False
        reason = f"channel {channel.name} rests: {REASON} ({circuit.reason})"
        await self._put_off(held, delivery, channel, circuit.until + random.randint(*RESTING), reason)  # noqa: S311
        return True

    async def _put_off(self, held: Held, delivery: Delivery, channel: Channel | None, due: int, reason: str) -> None:
        """Leave a delivery for later without an attempt; one that has waited for too long is dead."""
        now, place = self._now(), delivery.place
        policy = self._policy(channel) if channel is not None else STANDARD
        with contextlib.suppress(NotNow):
            if delivery.left and delivery.state == "sending":  # its process died; that is settled before it waits
                claimed = await self._deliveries.claim(held, place.key, now)
                if claimed is not None:
                    error = Uncertain(f"the hub stopped while this was being sent, and {reason}")
                    await self._outcome(held, claimed[0], error, channel, cause="hub")
            elif now > delivery.created + policy.lifetime(delivery.schedule):
                await self._deliveries.settle(delivery, "dead", now, cause="hub", error=reason, expect=delivery.state)
            elif await self._deliveries.postpone(held, place.key, due, now, reason):
                self.counts[delivery.channel, "put_off"] += 1

    async def _send(self, held: Held, delivery: Delivery, channel: Channel, attempt: Attempt, *, trying: bool) -> None:
        """Send an answer and settle."""
        windowed = channel.capabilities.window is not None
        try:
            sent = await self._sender.send(held, delivery, channel, attempt)
        except Stopped as stopped:
            if trying:
                await self.breakers.learnt_nothing(channel)
            await surely(partial(stopped.put, held))
            return
        except SendError as error:
            await self._learn(channel, error, attempt, trying=trying)
            refund = attempt.took and not isinstance(error, Uncertain | WindowClosed)
            if windowed and isinstance(error, WindowClosed):
                open_again = not await surely(partial(self._deliveries.close_window, delivery, attempt.until))
                if open_again or (not attempt.out and self._aside.turns(delivery, channel.kind)):
                    now = self._now()  # what is done where the window is closed is done at once
                    facts: dict[str, Any] = {"error": str(error), "code": error.code, "due": now}
                    await self._settle(held, delivery, "deferred", now, cause="attempt", **facts)
                    return
            await self._outcome(held, delivery, error, channel, refund=refund, trying=trying)
            return
        except Fenced:
            if not attempt.marked:
                now = self._now()  # the new owner's, at once
                await self._settle(held, delivery, "deferred", now, cause="hub", due=now)
            raise
        except StoreError as error:
            away = f"the store was away ({error})"
            if attempt.left:
                await self._outcome(held, delivery, Uncertain(away), channel)
            else:
                now, refund = self._now(), attempt.took
                await self._settle(held, delivery, "deferred", now, cause="hub", error=away, due=now, refund=refund)
            return
        except Exception as error:
            # A fault in the connector. If the request may have left, the outcome is unknown.
            log.exception("the connector of %s failed", channel.name)
            kind = Uncertain if attempt.left else Unreachable
            failed = kind(f"the connector failed ({type(error).__name__})")
            await self._learn(channel, failed, attempt, trying=trying)
            refund = attempt.took and not attempt.left
            await self._outcome(held, delivery, failed, channel, refund=refund, trying=trying)
            return
        self.counts[channel.name, "sent"] += 1
        channel.mark("up", "", self._now())
        await self._learn(channel, None, attempt, trying=trying)
        values = ("handle", sent.handle) if sent.handle else ()
        await self._settle(held, delivery, sent.state, self._now(), cause="attempt", values=values)

    async def _learn(self, channel: Channel, error: SendError | None, attempt: Attempt, *, trying: bool) -> None:
        """Tell the breaker how the platform behaved; while the store is away nobody learns."""
        try:
            if not attempt.asked:
                if trying:
                    await self.breakers.learnt_nothing(channel)
            elif error is None or isinstance(error, Rejected | WindowClosed | Throttled):
                await self.breakers.passed(channel)
            else:
                await self.breakers.failed(channel, str(error), tried=trying)
        except StoreError as away:
            log.debug("what a send told of its channel is forgotten: %s", away)

    async def _settle(self, held: Held, delivery: Delivery, state: str, now: int, **facts: Any) -> None:
        await surely(partial(self._deliveries.settle, delivery, state, now, held=held, **facts))

    async def _outcome(  # each keyword is one fact about the attempt
        self,
        held: Held,
        delivery: Delivery,
        error: SendError,
        channel: Channel | None,
        *,
        cause: str = "attempt",
        refund: bool = False,
        trying: bool = False,
    ) -> None:
        """Settle a send that did not succeed."""
        now = self._now()
        self.counts[delivery.channel, type(error).__name__.lower()] += 1
        policy = self._policy(channel) if channel is not None else STANDARD
        due = None
        if policy.again(error, idempotent=channel is not None and channel.capabilities.idempotent) or (
            # What goes out to see whether the channel works is not given up for the channel's own fault.
            trying and isinstance(error, BadOptions)
        ):
            schedule = policy.schedule(error, delivery.schedule)
            due = schedule.next_due(delivery.attempts, delivery.created, error, now)
        if channel is not None and isinstance(error, Unreachable | BadOptions):
            channel.mark("degraded", str(error), now)
        state = "deferred" if due is not None else "uncertain" if isinstance(error, Uncertain) else "dead"
        kept_in = state == "dead" and delivery.lane in UNASKED and error.code in KEPT_IN
        facts: dict[str, Any] = {"error": str(error), "code": error.code, "due": due, "refund": refund}
        if state == "uncertain":
            facts["ask"] = self.queries.first(channel, now)
        if kept_in:  # what nobody asked for, and nobody may have, needs nobody who looks after it
            state, facts["drop"] = "failed", True
        await self._settle(held, delivery, state, now, cause=cause, **facts)

    async def handle(self, held: Held, entries: Sequence[Entry]) -> None:
        """Reader of the log: apply receipts, tell of what was not delivered. Raises `StoreError`."""
        for entry in entries:
            if entry.type == logbook.RECEIPT:
                await self._receipts.apply(entry.fields)
            elif entry.type == logbook.DELIVERY:
                await self._undelivered.tell(held, entry)
            elif entry.type == logbook.PLACED:
                if "w" in entry.fields:
                    await self._aside.heard(held, entry)
            elif entry.type == logbook.REPLY:
                self._wakes.ring((f"o{held.partition}",))
