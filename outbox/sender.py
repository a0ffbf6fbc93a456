"""Sends one delivery, part by part, and notes what is out before the next part goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from connectors.base import Media, Outbound, OutboundMedia, Rejected, Sent, Uncertain, Unreachable, WindowClosed
from inbox import conversations
from inbox.attachments import Attachments
from inbox.channels import Channel
from inbox.leases import Fenced, Held
from inbox.partitions import key, partition_of, tag
from inbox.placing import Placer
from inbox.store import Store, StoreError
from outbox.aside import Aside
from outbox.deliveries import USED_UP, Deliveries
from outbox.material import Material, material
from outbox.plan import Part
from outbox.records import Delivery, NoDelivery, NotNow
from outbox.turns import Gate, Turn

log = logging.getLogger(__name__)
T = TypeVar("T")

STORE_PAUSE = 0.2
MARKING = 0.05
"""Seconds before its turn at which a message is marked as leaving."""

FRESH = 2.0
"""Seconds for which a mark proves that the partition is ours: less than others wait for the next sign of life."""

MARKS = 3
"""How often a message is marked before it is left for later, because the store takes longer than that."""


@dataclass(slots=True)
class Attempt:
    """One attempt as this process knows it. *turn* is the turn of the next request at *gate*, *timeout* in seconds.

    *marked* when the store knows that a request may go out, *took* when it used up a message of the reply window, of
    which *until* is the end that the store knew then (None: it was not asked). *left* when one may have left, of which
    no answer is kept yet; *asked* when the platform was called at all; *out* counts the parts that are out by it.
    """

    gate: Gate
    turn: Turn
    timeout: float
    marked: bool = False
    took: bool = False
    until: str | None = None
    left: bool = False
    asked: bool = False
    out: int = 0


class Sender:
    """What one attempt does."""

    def __init__(  # a composition root passes what there is
        self,
        store: Store,
        deliveries: Deliveries,
        placer: Placer,
        attachments: Attachments,
        now: Callable[[], int],
        media_url: Callable[[Media], str],
        aside: Aside,
        unsubscribe: Callable[[Delivery], str] = lambda _: "",
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._placer = placer
        self._attachments = attachments
        self._now = now
        self._media_url = media_url
        self._aside = aside
        self._unsubscribe = unsubscribe

    async def send(self, held: Held, delivery: Delivery, channel: Channel, attempt: Attempt) -> Sent:
        """Send the parts that are not out yet; return what the platform said to the last.

        Raises what a send raises, and `Stopped` if something else becomes of it.
        """
        carried = await material(self._store, delivery, channel)
        out = delivery.part >= delivery.of  # by a process that died before it said so: nobody can refuse it any more
        parts: Sequence[Part] = () if out else await self._aside.admit(delivery, carried)
        if delivery.part and not out and len(parts) != delivery.of:
            raise Rejected(f"{delivery.part} of {delivery.of} parts are out, and the rest would be cut otherwise now")
        external_ids = list(delivery.external_ids)
        for external_id in external_ids:
            await self._own(delivery, channel, external_id)  # the process before may have died before it did
        windowed = channel.capabilities.window is not None and carried.template is None
        sent = Sent()
        for index in range(delivery.part, len(parts)):
            if index > delivery.part:
                attempt.turn = await attempt.gate.another(delivery.lane)
            if windowed and not delivery.insist:
                await self._check_window(delivery, attempt)
            sent = await self._part(held, delivery, channel, carried, parts, index, attempt)
            external_ids.append(sent.external_id)
            try:
                await surely(partial(self._deliveries.note_part, delivery, index + 1, tuple(external_ids)))
            except Fenced:
                if index + 1 < len(parts):
                    await surely(partial(self._taken, delivery, index, len(parts), sent))
                    raise  # else: the platform's yes settles what another owner had to call uncertain
            attempt.marked = attempt.took = attempt.left = False
            attempt.out += 1
            if sent.external_id:
                await surely(partial(self._own, delivery, channel, sent.external_id))
        for external_id in filter(None, external_ids):
            await surely(partial(self._remember, delivery, external_id))
        if carried.conversation is not None:
            await self._told(delivery, carried.conversation, sent)
        return sent

    async def _taken(self, delivery: Delivery, index: int, of: int, sent: Sent) -> None:
        """Say that a part is out after all, if whoever has the partition now had to call it uncertain."""
        with contextlib.suppress(NotNow, NoDelivery):
            found = await self._deliveries.load(delivery.id)
            same = (found.part, found.of, found.round) == (index, of, delivery.round)
            if found.state == "uncertain" and same:
                facts = {"cause": "attempt", "external_id": sent.external_id, "state": sent.state}
                await self._deliveries.arrived(found, self._now(), **facts)

    async def _told(self, delivery: Delivery, conversation: conversations.Conversation, sent: Sent) -> None:
        """Note what follows for the conversation when all parts are out."""
        if delivery.answers:
            await surely(partial(self._aside.answered, delivery, conversation.last_inbound_at))
            conversation = await conversations.load(self._store, conversation.id)
        if delivery.channel == conversation.channel and sent.handle and sent.handle != conversation.handle:
            await self._follow_thread(conversation, sent.handle)

    async def _part(  # one call, made in one place
        self,
        held: Held,
        delivery: Delivery,
        channel: Channel,
        carried: Material,
        parts: Sequence[Part],
        index: int,
        attempt: Attempt,
    ) -> Sent:
        """Hand one part to the platform, which has only so much time for it."""
        assert channel.connector is not None
        windowed = channel.capabilities.window is not None and carried.template is None

        clock = asyncio.get_running_loop().time

        async def leaving() -> None:
            await self._on_time(delivery, attempt, MARKING)
            for number in range(MARKS):
                marked, takes = clock(), windowed and not attempt.marked
                await self._deliveries.leave(held, delivery, self._now(), windowed=takes, of=len(parts))
                attempt.marked, attempt.took = True, attempt.took or takes
                if not number:
                    await self._on_time(delivery, attempt, 0.0)  # the store may have taken its time
                if clock() - marked <= FRESH:
                    attempt.left = True
                    return
                # A process that was frozen in here may have been replaced meanwhile.
            raise StoreError("its answers take too long")

        outbound = self._outbound(delivery, carried, parts, index, leaving)
        attempt.asked = True
        try:
            async with asyncio.timeout(attempt.timeout) as limit:
                return await channel.connector.send(outbound)
        except TimeoutError:
            if not limit.expired():
                raise
            kind = Uncertain if attempt.left else Unreachable
            raise kind(f"the platform took longer than {attempt.timeout:g} s") from None

    async def _on_time(self, delivery: Delivery, attempt: Attempt, before: float) -> None:
        """Wait until *before* seconds before the turn; whoever missed it takes another: two at once break the rate."""
        loop = asyncio.get_running_loop()
        if loop.time() > attempt.turn.until:
            attempt.turn = await attempt.gate.another(delivery.lane)
        if (early := attempt.turn.at - before - loop.time()) > 0:
            await asyncio.sleep(early)

    def _outbound(
        self,
        delivery: Delivery,
        carried: Material,
        parts: Sequence[Part],
        index: int,
        leaving: Callable[[], Awaitable[None]],
    ) -> Outbound:
        return Outbound(
            id=delivery.outbound_id(index, len(parts)),
            address=delivery.address,
            at=carried.at,
            leaving=leaving,
            text=parts[index].text,
            html=carried.html if index == 0 else "",
            subject=carried.subject,
            media=tuple(self._file(media) for media in parts[index].media),
            handle=carried.handle,
            refs=carried.refs,
            author=carried.author,
            auto=carried.auto,
            token=carried.token,
            choices=carried.choices if index == len(parts) - 1 else (),
            template=carried.template,
            unsubscribe=self._unsubscribe(delivery),
        )

    def _file(self, media: Media) -> OutboundMedia:
        sha = media.ref.removeprefix("sha256:")

        async def read() -> bytes:
            return await self._attachments.read(sha)

        return OutboundMedia(media.type, media.name, media.size, read, self._media_url(media))

    async def _check_window(self, delivery: Delivery, attempt: Attempt) -> None:
        """Raise `WindowClosed` when the window has closed, or was used up by others, since the plan was made."""
        partition, names = partition_of(delivery.address), (f"wu:{delivery.channel}", f"wl:{delivery.channel}")
        until, left = await self._store.do(tag(partition), "HMGET", key(partition, f"a:{delivery.address}"), *names)
        attempt.until = until or ""
        if until and int(until) <= self._now():
            raise WindowClosed("the platform's reply window is closed until the customer writes again")
        if left == "0":
            raise WindowClosed(USED_UP)

    async def _follow_thread(self, conversation: conversations.Conversation, handle: str) -> None:
        """Let the next answer follow this one; if the customer wrote meanwhile, it follows that instead."""
        place = conversation.place
        change = conversations.Change(id=place.key, version=conversation.version, set={"handle": handle})
        with contextlib.suppress(conversations.Conflict):
            await surely(partial(conversations.commit, self._store, place.partition, change))

    async def _own(self, delivery: Delivery, channel: Channel, external_id: str) -> None:
        """Say whose a platform's id is, for answers to it and for its echo."""
        if channel.capabilities.threads and delivery.conversation:
            await self._placer.refer(channel.name, external_id, delivery.conversation)
        await self._deliveries.note_link(delivery, external_id)

    async def _remember(self, delivery: Delivery, external_id: str) -> None:
        """Link the id of a part once all are out, and apply receipts that were faster than the answers to our calls."""
        for state, at, error in await self._deliveries.link(delivery, external_id):
            facts: dict[str, Any] = {"error": error, "about": external_id}
            await self._deliveries.settle(delivery, state, at, cause="receipt", **facts)


async def surely(step: Callable[[], Awaitable[T]]) -> T:
    """Note what only this process knows; while the store is away it is kept here. Raises `Fenced`.

    Every such step may be done twice: a store that died may have done it before its answer was lost.
    """
    while True:
        try:
            return await step()
        except StoreError as error:
            log.debug("the outcome of a send waits for the store: %s", error)
            await asyncio.sleep(STORE_PAUSE)
