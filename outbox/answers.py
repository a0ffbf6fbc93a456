"""The one way in which an answer is owed: looked at first, then as it goes, in other form, later, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from config.settings import Settings
from config.templates import Filled
from inbox.conversations import Conversation, load
from inbox.store import Store
from outbox.aside import CANCEL, RELEASE, Aside
from outbox.collisions import not_overtaken
from outbox.deliveries import Deliveries, Delivery, Reply
from outbox.forecast import Content, SendPlan
from outbox.guard import Finding
from outbox.obstacles import Obstacle
from outbox.planner import Draft, Fill, Planner, Wanted
from outbox.terms import NOW, UNDO_MARGIN, Terms

LONGEST_WAIT = 366 * 24 * 3_600_000


class Unfit(ValueError):
    """What is asked for cannot be sent as it is written; the text says why."""


class Obstructed(Exception):
    """An answer does not go; *plan* tells what stands in its way."""

    def __init__(self, plan: SendPlan) -> None:
        super().__init__("; ".join(one.why for one in plan.blocks))
        self.plan = plan


class Unconfirmed(Obstructed):
    """An answer would go, but the policy about words warns of it, and nobody has confirmed that they know."""

    def __init__(self, plan: SendPlan, warnings: Sequence[Obstacle]) -> None:
        super().__init__(plan)
        self.args = ("; ".join(one.why for one in warnings),)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever answers wants beside the words.

    *template* is filled with *variables* and stands before the text; *send_at* is when it shall leave (milliseconds
    since 1970 UTC, 0 = now), *unless_written* calls it back if the customer writes before. *insist*: the platform
    decides whether its reply window is open. *confirmed* are warnings of the policy about words that they know of, by
    code or by the name of the rule; *anyway*: all of them. *seen* is the log position of the last message that they
    saw: if another agent has answered since, theirs does not go ("" = it goes all the same).
    """

    template: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    language: str = ""
    send_at: int = 0
    unless_written: bool = False
    insist: bool = False
    confirmed: frozenset[str] = frozenset()
    anyway: bool = False
    seen: str = ""


PLAIN = Wishes()


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that is owed: its delivery, whether it is *fresh*, and what was planned for it (None if it is not)."""

    delivery: Delivery
    fresh: bool
    plan: SendPlan | None = None


class Answers:
    """Owes answers to customers. *fill* fills templates."""

    def __init__(
        self,
        store: Store,
        deliveries: Deliveries,
        planner: Planner,
        aside: Aside,
        settings: Callable[[], Settings],
        fill: Fill,
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._planner = planner
        self._aside = aside
        self._settings = settings
        self._fill = fill
        self._now = now

    async def look(self, conversation: Conversation, reply: Reply, wishes: Wishes = PLAIN) -> SendPlan:
        """Return what would become of an answer; nothing is kept. Raises `Unfit`, `StoreError`."""
        reply, filled = await self._worded(conversation, reply, wishes)
        return await self._plan(conversation, reply, wishes, filled)

    async def give(self, conversation: Conversation, reply: Reply, wishes: Wishes = PLAIN) -> Given:
        """Owe an answer, in the form and at the time that the plan says.

        The same conversation and *client_id* give what is owed already, however things stand now. Raises `Unfit`,
        `Obstructed`, `Unconfirmed`, `Overtaken`, `Conflict`, `StoreError`.
        """
        if known := await self._deliveries.known(conversation, reply.client_id):
            return Given(known, fresh=False)
        reply, filled = await self._worded(conversation, reply, wishes)
        now = self._now()
        if wishes.send_at and not now < wishes.send_at <= now + LONGEST_WAIT:
            raise Unfit("send_at must be a time to come, within a year")
        plan = await self._plan(conversation, reply, wishes, filled)
        if plan.action == "refuse":
            raise Obstructed(plan)
        warnings = [one for one in plan.obstacles if not confirmed(one, wishes.confirmed, anyway=wishes.anyway)]
        if warnings and reply.author.kind == "agent":
            raise Unconfirmed(plan, warnings)
        terms = await self._terms(plan, reply, wishes, now)

        async def only(found: Conversation) -> None:
            await not_overtaken(self._store, found, reply.author.id, wishes.seen)

        delivery, fresh = await self._deliveries.enqueue(
            conversation, reply, now, terms=terms, only=only if wishes.seen else None
        )
        if terms.heeds:
            delivery = await self._meanwhile(conversation, delivery)
        return Given(delivery, fresh, plan)

    async def _worded(
        self, conversation: Conversation, reply: Reply, wishes: Wishes
    ) -> tuple[Reply, tuple[str, Filled] | None]:
        """Put the template's words where they belong. Raises `Unfit`."""
        if not wishes.template:
            if wishes.variables:
                raise Unfit("variables belong to a template, and none is named")
            return reply, None
        wanted = Wanted(
            wishes.template,
            conversation,
            conversation.channel,
            conversation.kind,
            wishes.variables,
            reply.text,
            wishes.language,
        )
        filled = await self._fill(wanted)
        if filled is None:
            raise Unfit(f"there is no template {wishes.template}")
        if filled.unknown:
            raise Unfit(f"the template {wishes.template} has no variable {', '.join(filled.unknown)}")
        if filled.missing:
            raise Unfit(f"the template {wishes.template} has no value for {', '.join(filled.missing)}")
        below = "" if "reply.text" in filled.used else reply.text
        text = f"{filled.text}\n{below}" if below else filled.text
        subject = reply.subject or filled.subject
        return msgspec.structs.replace(reply, text=text, subject=subject), (wishes.template, filled)

    async def _plan(
        self, conversation: Conversation, reply: Reply, wishes: Wishes, filled: tuple[str, Filled] | None
    ) -> SendPlan:
        draft = Draft(
            conversation.channel,
            conversation.address,
            Content(reply.text, reply.html, reply.subject, reply.media),
            reply.lane or ("notice" if reply.auto else "reply"),
            conversation,
            conversation.contact,
            reply.author.id if reply.author.kind == "agent" else "",
            wishes.variables,
            at=wishes.send_at,
            insist=wishes.insist,
            chosen=filled,
        )
        return await self._planner.look(draft)

    async def _terms(self, plan: SendPlan, reply: Reply, wishes: Wishes, now: int) -> Terms:
        instead = await self._aside.instead(plan) if plan.goes and plan.because else None
        if plan.action == "hold":
            why = next((one.why for one in plan.obstacles if one.code == plan.because), "")
            if plan.until is None:
                return Terms(now + plan.hold, parked=True, heeds=RELEASE, code=plan.because, why=why)
            return Terms(plan.until, parked=True, insist=wishes.insist, code=plan.because, why=why)
        if wishes.send_at:
            heeds = CANCEL if wishes.unless_written else ""
            return Terms(wishes.send_at, parked=True, heeds=heeds, insist=wishes.insist, instead=instead)
        undo = self._settings().delivery.undo if reply.author.kind == "agent" else 0
        due = now + undo + UNDO_MARGIN if undo else 0
        if instead is None and not wishes.insist and not due:
            return NOW
        return Terms(due, insist=wishes.insist, instead=instead)

    async def _meanwhile(self, planned: Conversation, delivery: Delivery) -> Delivery:
        """Let go at once what waits for a customer who has written while it was being put aside."""
        now = await load(self._store, planned.id)
        if now.last_inbound_at > planned.last_inbound_at:
            await self._aside.heed(delivery)
            return await self._deliveries.load(delivery.id)
        return delivery


def confirmed(obstacle: Obstacle, codes: Collection[str], *, anyway: bool = False) -> bool:
    """Tell whether nothing has to be confirmed, or somebody has confirmed it: by its code, its rule, or all at once."""
    if not isinstance(obstacle, Finding) or obstacle.weight != "warn":
        return True
    return anyway or obstacle.code in codes or obstacle.rule in codes
