"""Sends what is due: one owner per partition, one lane per channel, one step at a time per conversation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from connectors.base import (
    BadOptions,
    Media,
    Outbound,
    OutboundMedia,
    Rejected,
    SendError,
    Sent,
    Uncertain,
    Unreachable,
    WindowClosed,
)
from inbox import conversations
from inbox import log as logbook
from inbox.attachments import Attachments
from inbox.channels import Channel, Channels
from inbox.leases import Fenced, Held
from inbox.log import Entry
from inbox.partitions import Id, key, parse_id, shared_key, tag
from inbox.placing import Placer
from inbox.store import Script, Store, StoreError
from inbox.wakes import Wakes
from outbox.deliveries import Author, Deliveries, Delivery
from outbox.plan import Part, plan
from outbox.retries import Schedule

log = logging.getLogger(__name__)
T = TypeVar("T")

RATE = Script.load(Path(__file__).parent / "scripts" / "rate.lua")
SCAN = 100
LOOK = 1.0
LANE = 32
STORE_PAUSE = 0.2
CHANNEL_AWAY = 30_000
STATES_OF_RECEIPTS = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed"}


@dataclass(slots=True)
class Attempt:
    """One attempt as this process knows it: *left* when a request may have gone out of which no answer is kept yet."""

    left: bool = False


@dataclass(slots=True)
class Work:
    """What one process is sending now."""

    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    lanes: dict[str, asyncio.Semaphore] = field(default_factory=dict)


class Worker:
    """The outbox of one process."""

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
        schedule: Schedule | None = None,
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._deliveries = deliveries
        self._placer = placer
        self._channels = channels
        self._attachments = attachments
        self._now = now
        self._media_url = media_url
        self._schedule = schedule or Schedule()
        self._work = Work()
        self._stopping = False
        self.counts: Counter[tuple[str, str]] = Counter()

    async def follow(self, held: Held) -> None:
        """Send what is due in a partition, for ever; leave when the partition is lost."""
        reclaim = held.inherited
        with self._wakes.listen(f"o{held.partition}") as news:
            while not self._stopping:
                news.clear()
                wait = LOOK
                try:
                    if reclaim:
                        await self._deliveries.reclaim(held, self._now())
                        reclaim = False
                    ready, later = await self._deliveries.due(held.partition, self._now(), SCAN)
                except Fenced:
                    return
                except StoreError as error:
                    log.debug("the outbox of partition %d waits: %s", held.partition, error)
                    await asyncio.sleep(LOOK)
                    continue
                for name in ready:
                    self._start(held, name)
                if later is not None:
                    wait = min(LOOK, max(0.001, (later - self._now()) / 1000))
                try:
                    async with asyncio.timeout(wait):
                        await news.wait()
                except TimeoutError:
                    pass

    async def finish(self, seconds: float) -> None:
        """Start nothing more and wait for sends in flight; the rest stays due in the store."""
        self._stopping = True
        tasks = list(self._work.tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, held: Held, name: str) -> None:
        label = f"{held.partition}-{name}"
        if label in self._work.tasks or self._stopping:
            return
        task = asyncio.get_running_loop().create_task(self._guarded(held, name), name=f"deliver-{label}")
        self._work.tasks[label] = task
        task.add_done_callback(lambda _: self._work.tasks.pop(label, None))

    async def _guarded(self, held: Held, name: str) -> None:
        try:
            await self._deliver(held, name)
        except Fenced:
            log.info("a delivery of partition %d belongs to another worker now", held.partition)
        except StoreError as error:
            log.debug("a delivery waits for the store: %s", error)
        except Exception:
            # Left as it is: the claim runs out and the next attempt knows whether this one may have left.
            log.exception("a delivery of partition %d failed in the hub itself", held.partition)

    async def _deliver(self, held: Held, name: str) -> None:
        place = Id("d", held.partition, name)
        found = (await self._deliveries.load_many([place]))[0]
        if found is None:
            return
        channel = self._channels.get(found.channel)
        if channel is None or channel.connector is None:
            await self._put_off(held, name, f"channel {found.channel} is not up")
            return
        lane = self._work.lanes.setdefault(channel.name, asyncio.Semaphore(LANE))
        async with lane:
            await self._keep_rate(channel)
            if self._stopping:
                return
            claimed = await self._deliveries.claim(held, name, self._now())
            if claimed is None:
                return
            delivery, crashed = claimed
            if crashed and not channel.capabilities.idempotent:
                await self._outcome(held, delivery, Uncertain("the hub stopped while this was being sent"), channel)
                return
            await self._send(held, delivery, channel)

    async def _put_off(self, held: Held, name: str, reason: str) -> None:
        claimed = await self._deliveries.claim(held, name, self._now())
        if claimed is None:
            return
        delivery, crashed = claimed
        now = self._now()
        if crashed:
            await self._deliveries.settle(delivery, "uncertain", now, held=held, error=reason)
        elif now > delivery.created + self._schedule.lifetime:
            await self._deliveries.settle(delivery, "dead", now, held=held, error=reason)
        else:
            await self._deliveries.settle(delivery, "deferred", now, held=held, error=reason, due=now + CHANNEL_AWAY)

    async def _keep_rate(self, channel: Channel) -> None:
        rate = channel.rate or channel.capabilities.rate
        if not rate:
            return
        group = f"ch:{channel.name}"
        wait = await self._store.run(RATE, group, [shared_key(group, "rate")], (rate,))
        if wait:
            await asyncio.sleep(wait / 1_000_000)

    async def _send(self, held: Held, delivery: Delivery, channel: Channel) -> None:
        """Send an answer and settle."""
        attempt = Attempt()
        try:
            sent = await self._parts(held, delivery, channel, attempt)
        except SendError as error:
            windowed = channel.capabilities.window is not None
            refund = attempt.left and windowed and not isinstance(error, Uncertain | WindowClosed)
            if windowed and isinstance(error, WindowClosed):
                await self._surely(partial(self._deliveries.close_window, delivery))
            await self._outcome(held, delivery, error, channel, refund=refund)
            return
        except Fenced:
            if not attempt.left:
                await self._settle(held, delivery, "deferred", self._now(), due=self._now())  # the new owner's, at once
            raise
        except StoreError as error:
            if attempt.left:
                await self._outcome(held, delivery, Uncertain(f"the store was away ({error})"), channel)
            else:
                now = self._now()
                await self._settle(held, delivery, "deferred", now, error=f"the store was away ({error})", due=now)
            return
        except Exception as error:
            # A fault in the connector. If the request may have left, the outcome is unknown.
            log.exception("the connector of %s failed", channel.name)
            kind = Uncertain if attempt.left else Unreachable
            await self._outcome(held, delivery, kind(f"the connector failed ({type(error).__name__})"), channel)
            return
        self.counts[channel.name, "sent"] += 1
        channel.mark("up", "", self._now())
        values = ("handle", sent.handle) if sent.handle else ()
        await self._settle(held, delivery, sent.state, self._now(), values=values)

    async def _parts(self, held: Held, delivery: Delivery, channel: Channel, attempt: Attempt) -> Sent:
        """Send the parts that are not out yet; return what the platform said to the last. Raises what a send raises."""
        assert channel.connector is not None
        entry, conversation = await self._material(delivery)
        media = tuple(msgspec.convert(entry.rest().get("media", []), tuple[Media, ...]))
        parts = plan(entry.fields.get("tx", ""), media, channel.capabilities)
        external_ids = list(delivery.external_ids)
        for external_id in filter(None, external_ids):
            await self._own(delivery, channel, external_id)  # the process before may have died before it did
        windowed = channel.capabilities.window is not None
        sent = Sent()
        for index in range(delivery.part, len(parts)):
            if index > delivery.part:
                await self._keep_rate(channel)
            if windowed and not delivery.insist:
                await self._check_window(held, delivery)
            outbound = self._outbound(
                held, delivery, entry, conversation, parts[index], index, len(parts), windowed, attempt
            )
            sent = await channel.connector.send(outbound)
            external_ids.append(sent.external_id)
            try:
                await self._surely(partial(self._deliveries.note_part, delivery, index + 1, tuple(external_ids)))
            except Fenced:
                if index + 1 < len(parts):
                    raise  # else: the platform's yes settles what another owner had to call uncertain
            attempt.left = False
            if sent.external_id:
                await self._surely(partial(self._own, delivery, channel, sent.external_id))
        for external_id in filter(None, external_ids):
            last = external_id == external_ids[-1]
            await self._surely(partial(self._remember, delivery, external_id, last=last))
        if sent.handle and sent.handle != conversation.handle:
            await self._follow_thread(conversation, sent.handle)
        return sent

    async def _follow_thread(self, conversation: conversations.Conversation, handle: str) -> None:
        """Let the next answer follow this one; if the customer wrote meanwhile, it follows that instead."""
        place = conversation.place
        change = conversations.Change(id=place.key, version=conversation.version, set={"handle": handle})
        with contextlib.suppress(conversations.Conflict):
            await self._surely(partial(conversations.commit, self._store, place.partition, change))

    async def _settle(self, held: Held, delivery: Delivery, state: str, now: int, **facts: Any) -> None:
        await self._surely(partial(self._deliveries.settle, delivery, state, now, held=held, **facts))

    async def _surely(self, step: Callable[[], Awaitable[T]]) -> T:
        """Note what only this process knows; while the store is away it is kept here. Raises `Fenced`.

        Every such step may be done twice: a store that died may have done it before its answer was lost.
        """
        while True:
            try:
                return await step()
            except StoreError as error:
                log.debug("the outcome of a send waits for the store: %s", error)
                await asyncio.sleep(STORE_PAUSE)

    async def _material(self, delivery: Delivery) -> tuple[Entry, conversations.Conversation]:
        place = parse_id(delivery.message, "m")
        entries = await logbook.fetch(self._store, [(place.partition, place.key)])
        conversation = await conversations.load(self._store, delivery.conversation)
        if entries[0] is None:
            raise Rejected("the message of this delivery is gone from the log")
        return entries[0], conversation

    async def _check_window(self, held: Held, delivery: Delivery) -> None:
        """Raise `WindowClosed` when the platform would refuse the message anyway."""
        names = (f"wu:{delivery.channel}", f"wl:{delivery.channel}")
        address = key(held.partition, f"a:{delivery.address}")
        until, left = await self._store.do(tag(held.partition), "HMGET", address, *names)
        if int(until or 0) <= self._now():
            raise WindowClosed("the platform's reply window is closed until the customer writes again")
        if left == "0":
            raise WindowClosed("all messages that the customer's last message allowed are used up")

    def _outbound(  # one value, built in one place
        self,
        held: Held,
        delivery: Delivery,
        entry: Entry,
        conversation: conversations.Conversation,
        part: Part,
        index: int,
        count: int,
        windowed: bool,
        attempt: Attempt,
    ) -> Outbound:
        body = entry.rest()
        author = msgspec.json.decode(entry.fields["au"], type=Author)

        async def leaving() -> None:
            await self._deliveries.leave(held, delivery, self._now(), windowed=windowed)
            attempt.left = True

        return Outbound(
            id=delivery.id if count == 1 else f"{delivery.id}.{index}",
            address=delivery.address,
            at=int(entry.fields["at"]),
            leaving=leaving,
            text=part.text,
            html=body.get("html", "") if index == 0 else "",
            subject=body.get("subject", ""),
            media=tuple(self._file(media) for media in part.media),
            handle=conversation.handle,
            author=author.name,
            auto=bool(body.get("auto")),
        )

    def _file(self, media: Media) -> OutboundMedia:
        sha = media.ref.removeprefix("sha256:")

        async def read() -> bytes:
            return await self._attachments.read(sha)

        return OutboundMedia(media.type, media.name, media.size, read, self._media_url(media))

    async def _own(self, delivery: Delivery, channel: Channel, external_id: str) -> None:
        """Say whose a platform's id is, for answers to it and for its echo."""
        if channel.capabilities.threads:
            await self._placer.refer(channel.name, external_id, delivery.conversation)
        await self._deliveries.note_link(delivery, external_id)

    async def _remember(self, delivery: Delivery, external_id: str, *, last: bool) -> None:
        """Link the id of a part once all are out, and apply receipts that were faster than the answers to our calls."""
        for state, at, error in await self._deliveries.link(delivery, external_id):
            await self._apply(delivery, state, at, error, last=last)

    async def _apply(self, delivery: Delivery, state: str, at: int, error: str, *, last: bool) -> None:
        """Settle by a receipt: the last part of an answer speaks for all, but none may fail."""
        if last or state == "failed":
            await self._deliveries.settle(delivery, STATES_OF_RECEIPTS[state], at, error=error)

    async def _outcome(
        self, held: Held, delivery: Delivery, error: SendError, channel: Channel, *, refund: bool = False
    ) -> None:
        """Settle a send that did not succeed."""
        now = self._now()
        self.counts[channel.name, type(error).__name__.lower()] += 1
        uncertain = isinstance(error, Uncertain)
        due = None
        if error.retryable or (uncertain and channel.capabilities.idempotent):
            due = self._schedule.next_due(delivery.attempts, delivery.created, error, now)
        if isinstance(error, Unreachable | BadOptions):
            channel.mark("degraded", str(error), now)
        state = "deferred" if due is not None else "uncertain" if uncertain else "dead"
        await self._settle(held, delivery, state, now, error=str(error), code=error.code, due=due, refund=refund)

    async def handle(self, held: Held, entries: Sequence[Entry]) -> None:
        """Reader of the log: apply receipts. Raises `StoreError`."""
        for entry in entries:
            if entry.type == logbook.RECEIPT:
                try:
                    await self._receipt(entry.fields)
                except (LookupError, ValueError):
                    # About no delivery that we know: it stays in the log, and those behind it must not wait.
                    log.exception("a receipt of channel %s was left out", entry.fields.get("ch", ""))
                    self.counts[entry.fields.get("ch", ""), "receipt_left_out"] += 1
            elif entry.type == logbook.REPLY:
                self._wakes.ring((f"o{held.partition}",))

    async def _receipt(self, fields: dict[str, str]) -> None:
        channel, external_id, state, at = fields["ch"], fields["x"], fields["st"], int(fields["at"])
        delivery_id = await self._deliveries.receipt(channel, external_id, state, at, fields.get("er", ""))
        if delivery_id is None:
            return
        delivery = await self._deliveries.load(delivery_id)
        last = not delivery.external_ids or external_id == delivery.external_ids[-1]
        await self._apply(delivery, state, at, fields.get("er", ""), last=last)
        self.counts[channel, f"receipt_{state}"] += 1
