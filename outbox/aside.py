"""What does not go as it was meant: held for an hour or for its customer, sent another way, or called back."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec

from connectors.base import Rejected
from inbox.conversations import Change, Conflict, Conversation, commit, load
from inbox.course import WROTE, extended
from inbox.leases import Held
from inbox.log import Entry
from inbox.partitions import parse_id
from inbox.store import Store
from outbox.deliveries import Deliveries, Delivery, NotNow
from outbox.forecast import SendPlan
from outbox.material import Material
from outbox.obstacles import PAUSED
from outbox.owing import answered
from outbox.plan import Part
from outbox.planner import Planner
from outbox.reasons import reason
from outbox.terms import Instead, event
from outbox.withholding import CODE as RESTORED
from outbox.withholding import may_be_out

CANCEL: Literal["cancel"] = "cancel"
RELEASE: Literal["release"] = "release"
TRIES = 8


class Stopped(Exception):
    """A message does not leave now: *put* says what happens to it instead."""

    def __init__(self, put: Callable[[Held], Awaitable[None]]) -> None:
        super().__init__("put aside")
        self.put = put


class Aside:
    """Looks at each delivery in the moment before it leaves.

    *locale* is the language of reasons. *withheld* is when a restore withheld what was owed, see `outbox.withholding`.
    """

    def __init__(
        self,
        store: Store,
        deliveries: Deliveries,
        planner: Planner,
        now: Callable[[], int],
        locale: Callable[[], str],
        withheld: Callable[[], int] = lambda: 0,
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._planner = planner
        self._now = now
        self._locale = locale
        self._withheld = withheld

    async def admit(self, delivery: Delivery, material: Material) -> Sequence[Part]:
        """Return the parts of a delivery that may leave now. Raises `Stopped`, `Rejected`, `StoreError`."""
        conversation = material.conversation
        if conversation is not None and called_back(delivery, conversation):
            raise Stopped(lambda held: self._call_back(delivery, held))
        if conversation is not None and may_be_out(delivery, conversation, self._withheld(), self._now()):
            raise Stopped(lambda held: self._doubt(delivery, held))
        plan = await self._planner.again(delivery, material)
        if plan.action == "refuse":
            [why, *_] = plan.blocks
            raise Rejected(why.why, code=why.code)
        if plan.action == "hold":
            raise Stopped(lambda held: self._hold(held, delivery, material, plan))
        if plan.because:
            raise Stopped(lambda held: self._divert(held, delivery, material, plan))
        return plan.parts

    async def paused(self, delivery: Delivery) -> int | None:
        """Return until when a letter goes on waiting for what it was held for before; None if it need not.

        So that it is neither taken up nor noted again and again. Raises `StoreError`.
        """
        if delivery.state != "deferred" or delivery.code != PAUSED:
            return None
        found = await self._planner.objections_to(delivery)
        return next((one.until for one in found if one.code == PAUSED and one.weight == "hold"), None)

    def turns(self, delivery: Delivery, kind: str) -> bool:
        """Tell whether something else may be done with a delivery for which its channel turns out to be closed."""
        fresh = not delivery.part and not delivery.insist and delivery.instead is None
        return (
            fresh
            and bool(delivery.conversation)
            and delivery.lane == "reply"
            and self._planner.turns(delivery.channel, kind)
        )

    async def heard(self, held: Held, entry: Entry) -> None:
        """Do what waits for the customer of a conversation, who has just written. Raises `StoreError`."""
        for delivery in await self._deliveries.lines.parked(held.partition, entry.fields["c"]):
            await self.heed(delivery)

    async def heed(self, delivery: Delivery) -> None:
        """Let a delivery go, or call it back, as was agreed for when the customer writes. Raises `StoreError`."""
        if delivery.heeds == RELEASE or (delivery.heeds == CANCEL and delivery.part):
            await self._deliveries.lines.release(delivery, self._now())
        elif delivery.heeds == CANCEL and called_back(delivery, await load(self._store, delivery.conversation)):
            with contextlib.suppress(NotNow):  # it is being sent, or a person was faster
                await self._call_back(delivery)

    async def _doubt(self, delivery: Delivery, held: Held) -> None:
        """Put before a person what may have gone out before the store was restored."""
        why = reason(RESTORED, self._locale())
        await self._deliveries.settle(delivery, "uncertain", self._now(), held=held, error=why, code=RESTORED)

    async def _call_back(self, delivery: Delivery, held: Held | None = None) -> None:
        """Give up what was not to be sent once the customer has written."""
        now, locale = self._now(), self._locale()
        why = reason("customer_wrote", locale)
        conversation = parse_id(delivery.conversation, "c").key
        told = {"delivery": delivery.id, "because": "customer_wrote", "why": why}
        await self._deliveries.settle(
            delivery,
            "failed",
            now,
            held=held,
            expect=None if held is not None else delivery.state,
            error=why,
            code="customer_wrote",
            drop=True,
            force=held is None,
            story=event(conversation, "send_cancelled", now, told),
        )

    async def _hold(self, held: Held, delivery: Delivery, material: Material, plan: SendPlan) -> None:
        """Let it wait beside its line until the hour is right, or until the customer writes."""
        now, conversation = self._now(), material.conversation
        awaits = plan.until is None and conversation is not None
        if awaits:
            await self._heed(delivery.conversation)
        why = next((one.why for one in plan.obstacles if one.code == plan.because), "")
        await self._deliveries.settle(
            delivery,
            "deferred",
            now,
            held=held,
            error=why,
            code=plan.because,
            due=plan.until if plan.until is not None else now + plan.hold,
            park=True,
            values=("heeds", RELEASE) if awaits and delivery.heeds != CANCEL else (),
        )
        if conversation is not None and awaits:
            meanwhile = await load(self._store, delivery.conversation)
            if meanwhile.last_inbound_at > conversation.last_inbound_at:
                await self._deliveries.lines.release(delivery, now)  # whoever reads the log was too early to find it

    async def _heed(self, conversation_id: str) -> None:
        """Have the customer's next message heard of."""
        place = parse_id(conversation_id, "c")
        await commit(self._store, place.partition, Change(id=place.key, set={"heed": "1"}))

    async def _divert(self, held: Held, delivery: Delivery, material: Material, plan: SendPlan) -> None:
        """Send it by another channel or in other words; the timeline tells why."""
        now, conversation = self._now(), material.conversation
        assert conversation is not None  # letters have no way but their own
        instead = await self.instead(plan)
        values: list[Any] = ["channel", instead.channel, "address", instead.address]
        await self._deliveries.settle(
            delivery,
            "queued",
            now,
            held=held,
            due=now,
            force=True,
            requeue=True,
            values=(*values, "instead", msgspec.json.encode(instead).decode()),
            story=instead.story(conversation.place.key, delivery.id, conversation.channel, now),
        )

    async def instead(self, plan: SendPlan) -> Instead:
        """Return what a plan sends in the place of what was meant. Raises `StoreError`."""
        why = next((one.why for one in plan.obstacles if one.code == plan.because), "")
        return Instead(
            channel=plan.way.channel,
            address=plan.way.address,
            handle=await self._planner.handle(plan.way.channel, plan.way.address),
            template=plan.template,
            text=plan.content.text if plan.template else "",
            subject=plan.content.subject if plan.template else "",
            approved=plan.content.template,
            because=plan.because,
            why=why,
        )

    async def answered(self, delivery: Delivery, seen: int) -> None:
        """Note that a person's answer, which was to leave later, is out: the customer waits no more.

        Unless they have written since *seen*, the time of their last message when it was sent: they wait for the next.
        """
        for _ in range(TRIES):
            conversation = await load(self._store, delivery.conversation)
            place = conversation.place
            values = answered(conversation, self._now())
            if conversation.last_inbound_at > seen:
                values |= {"status": conversation.status}
                values |= {"course": extended(values.get("course", conversation.course), WROTE, self._now())}
            try:
                await commit(self._store, place.partition, Change(place.key, conversation.version, set=values))
            except Conflict:
                continue
            return


def called_back(delivery: Delivery, conversation: Conversation) -> bool:
    """Tell whether a customer has written what a delivery was not to follow; half an answer is not called back."""
    return delivery.heeds == CANCEL and not delivery.part and conversation.last_inbound_at > delivery.since
