"""Gathers what decides about a message and asks `outbox.forecast`: for a preview, for a reply, and before each send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from config.delivery import Step
from config.settings import Settings
from config.templates import Filled
from connectors.base import Capabilities, Metered, PlatformTemplate
from inbox import contacts
from inbox import log as logbook
from inbox.channels import NOTHING, Channels
from inbox.conversations import Conversation, load_many
from inbox.partitions import key, parse_id, partition_of, tag
from inbox.store import Store
from outbox.deliveries import Deliveries, Delivery
from outbox.forecast import Content, Facts, Fallback, SendPlan, Way, plan_send
from outbox.letters import Lane
from outbox.material import Material
from outbox.obstacles import Objection, Obstacle, Sending
from outbox.plan import plan
from outbox.quiet import quiet_until
from outbox.reasons import reason, spoken
from outbox.terms import NOW, Instead, Terms


@dataclass(frozen=True, slots=True)
class Wanted:
    """A template to be filled for a conversation as one channel needs it. *text* is what the agent wrote."""

    template: str
    conversation: Conversation
    channel: str
    kind: str
    variables: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    language: str = ""


APPROVED = "approved"
"""Why a template goes in its platform's form although nothing stands in the way of its text."""

Fill = Callable[[Wanted], Awaitable[Filled | None]]
"""Fills a template, None if there is none of its name. Raises `StoreError`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is looked at: what it says, where it goes, and what is known about it already.

    It leaves *at* (0 = now); *done* parts are out. It has *waited* so long for its customer (milliseconds). *final*:
    it goes this way or not at all. *queued*: it has its place in line. *chosen* is the template that it was made of.
    *about* is what a letter belongs to; *legal*: the law wants it.
    """

    channel: str
    address: str
    content: Content
    lane: Lane = "reply"
    conversation: Conversation | None = None
    contact: str = ""
    agent: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    at: int = 0
    done: int = 0
    insist: bool = False
    waited: int = 0
    final: bool = False
    queued: bool = False
    chosen: tuple[str, Filled] | None = None
    about: str = ""
    legal: bool = False


class Planner:
    """Knows how things stand with a message. *settings* are those in use, *objections* are others' words on it."""

    def __init__(  # a composition root passes what there is
        self,
        store: Store,
        deliveries: Deliveries,
        channels: Channels,
        settings: Callable[[], Settings],
        fill: Fill,
        now: Callable[[], int],
        objections: Sequence[Objection] = (),
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._channels = channels
        self._settings = settings
        self._fill = fill
        self._now = now
        self.objections = tuple(objections)

    async def look(self, draft: Draft) -> SendPlan:
        """Return what would become of *draft*; nothing changes. Raises `StoreError`."""
        settings, now = self._settings(), self._now()
        at = max(draft.at, now)
        facts = Facts(
            now=at,
            way=await self._way(draft, draft.channel, draft.address, draft.content),
            content=draft.content,
            lane=draft.lane,
            quiet_until=quiet_until(settings.delivery.quiet, draft.lane, at),
            done=draft.done,
            insist=draft.insist,
            later=at > now,
            locale=spoken(settings.locale),
        )
        found = await self._approved(draft, facts) or plan_send(facts)
        if found.action != "refuse" or draft.conversation is None or draft.lane != "reply" or draft.final:
            return found
        if draft.done:
            return found
        steps = settings.delivery.steps(draft.channel, facts.way.kind)
        fallbacks = await self._fallbacks(draft, draft.conversation, steps)
        if draft.chosen is not None:
            name, filled = draft.chosen
            content = written(filled, facts.way.capabilities)
            if content.template is not None:  # whoever chose the template means what the platform has approved of it
                way = await self._way(draft, draft.channel, draft.address, content)
                fallbacks.insert(0, Fallback(way, content, name, missing=filled.missing))
        return plan_send(replace(facts, fallback=tuple(fallbacks))) if fallbacks else found

    async def _approved(self, draft: Draft, facts: Facts) -> SendPlan | None:
        """Return how the chosen template goes where its platform wants nothing else; None if it does not go so."""
        if draft.chosen is None or draft.done or draft.final or not prefers_templates(facts.way.capabilities):
            return None
        name, filled = draft.chosen
        content = written(filled, facts.way.capabilities)
        if content.template is None or filled.missing:
            return None
        found = plan_send(replace(facts, content=content))
        return replace(found, action="template", template=name, because=APPROVED) if found.goes else None

    async def objections_to(self, delivery: Delivery) -> tuple[Obstacle, ...]:
        """Return what others say of a delivery whose words they have seen. Raises `StoreError`."""
        sending = Sending(delivery.channel, delivery.address, delivery.lane, about=delivery.about)
        return tuple([one for ask in self.objections for one in await ask(sending)])

    async def again(self, delivery: Delivery, material: Material) -> SendPlan:
        """Return what becomes of a delivery that is about to leave. Raises `StoreError`."""
        instead = delivery.instead
        content = Content(
            material.text,
            material.html,
            material.subject,
            material.media,
            material.template,
        )
        conversation = material.conversation
        draft = Draft(
            delivery.channel,
            delivery.address,
            content,
            delivery.lane,
            conversation,
            conversation.contact if conversation is not None else "",
            material.author_id,
            done=delivery.part,
            insist=delivery.insist,
            waited=self._now() - delivery.since if delivery.since else 0,
            final=instead is not None,
            queued=True,
            about=delivery.about,
            legal=material.legal,
        )
        return await self.look(draft)

    def turns(self, channel: str, kind: str) -> bool:
        """Tell whether there is something to do where a channel does not take an answer."""
        return bool(self._settings().delivery.steps(channel, kind))

    async def sending(self, conversation: Conversation) -> SendPlan:
        """Return what would become of a short answer now: what an agent wants to know before typing."""
        content = Content(text="…")
        return await self.look(
            Draft(
                conversation.channel,
                conversation.address,
                content,
                conversation=conversation,
                contact=conversation.contact,
            )
        )

    async def _fallbacks(self, draft: Draft, conversation: Conversation, steps: Sequence[Step]) -> list[Fallback]:
        found: list[Fallback] = []
        for step in steps:
            if step.hold is not None:
                if step.hold > draft.waited:
                    way = await self._way(draft, draft.channel, draft.address, draft.content)
                    found.append(Fallback(way, draft.content, hold=step.hold - draft.waited))
                continue
            channel = step.channel or draft.channel
            for address in await self._addresses(conversation, channel) if step.channel else [draft.address]:
                one = await self._fallback(draft, conversation, step, channel, address)
                if one is not None:
                    found.append(one)
        return found

    async def _fallback(
        self, draft: Draft, conversation: Conversation, step: Step, channel: str, address: str
    ) -> Fallback | None:
        """Return what a step would send to *address*; None if its template is gone."""
        content, missing = draft.content, tuple[str, ...]()
        if step.template:
            kind = self._kind(channel)
            wanted = Wanted(step.template, conversation, channel, kind, draft.variables, draft.content.text)
            filled = await self._fill(wanted)
            if filled is None:
                return None
            capabilities = self._capabilities(channel)
            content, missing = written(filled, capabilities), filled.missing
        way = await self._way(draft, channel, address, content)
        return Fallback(way, content, step.template or "", missing=missing)

    async def _way(self, draft: Draft, name: str, address: str, content: Content) -> Way:
        channel = self._channels.get(name)
        capabilities = channel.capabilities if channel is not None else NOTHING
        connector: object = channel.connector if channel is not None else None
        until, left, owed = await self._room(draft, name, address, capabilities)
        objections = [one for ask in self.objections for one in await ask(self._asked(draft, name, address, content))]
        if channel is None:
            why = reason("channel_gone", spoken(self._settings().locale), channel=name)
            objections.append(Obstacle("channel_gone", "block", why))
        return Way(
            name,
            channel.kind if channel is not None else "",
            address,
            capabilities,
            until,
            left,
            owed,
            connector.segments if isinstance(connector, Metered) else None,
            down=channel is not None and (channel.connector is None or channel.state == "down"),
            objections=tuple(objections),
        )

    def _asked(self, draft: Draft, channel: str, address: str, content: Content) -> Sending:
        return Sending(
            channel,
            address,
            draft.lane,
            content.text,
            content.subject,
            content.html,
            draft.contact,
            draft.conversation.id if draft.conversation is not None else "",
            draft.agent,
            draft.about,
            draft.legal,
        )

    async def _room(
        self, draft: Draft, channel: str, address: str, capabilities: Capabilities
    ) -> tuple[int | None, int | None, int]:
        """Return until when the window is open, what is left of it, and how much of that stands in line already."""
        if capabilities.window is None:
            return None, None, 0
        if draft.queued or draft.conversation is None:
            return *await self._window(channel, address), 0
        while True:
            owed = await self._owed(draft.conversation, channel, capabilities)
            window = await self._window(channel, address)
            # What went out between the two counts in both; when it is out, it counts in the window alone.
            if not owed or owed == await self._owed(draft.conversation, channel, capabilities):
                return *window, owed

    async def _window(self, channel: str, address: str) -> tuple[int | None, int | None]:
        partition = partition_of(address)
        name = key(partition, f"a:{address}")
        until, left = await self._store.do(tag(partition), "HMGET", name, f"wu:{channel}", f"wl:{channel}")
        return int(until) if until else None, int(left) if left else None

    async def _owed(self, conversation: Conversation, channel: str, capabilities: Capabilities) -> int:
        """Return how many messages of the window those will use that stand in line already."""
        count = 0
        for delivery in await self._deliveries.lines.waiting(conversation):
            if delivery.channel != channel or (delivery.instead is not None and delivery.instead.approved is not None):
                continue
            place = parse_id(delivery.message, "m")
            [entry] = await logbook.fetch(self._store, [(place.partition, place.key)])
            if entry is not None:
                material = Material.of(entry, conversation, capabilities).replaced(delivery.instead)
                count += len(plan(material.text, material.media, capabilities)) - delivery.part - delivery.left
        return count

    async def _addresses(self, conversation: Conversation, channel: str) -> list[str]:
        """Return where the contact can be reached on another channel: where they wrote last, first."""
        [(_, fields)] = await contacts.load_many(self._store, [conversation.contact])
        capabilities = self._capabilities(channel)
        written, reached = [], []
        for address in contacts.addresses_of(fields):
            partition = partition_of(address)
            name = key(partition, f"a:{address}")
            if await self._store.do(tag(partition), "HEXISTS", name, f"conv:{channel}"):
                written.append(address)
            elif address.partition(":")[0] in capabilities.reaches:
                reached.append(address)
        return [*written, *reached]

    async def handle(self, channel: str, address: str) -> str:
        """Return what the connector needs to continue what *address* began on a channel, "" if it did not.

        Raises `StoreError`.
        """
        partition = partition_of(address)
        known = await self._store.do(tag(partition), "HGET", key(partition, f"a:{address}"), f"conv:{channel}")
        found = (await load_many(self._store, [parse_id(known, "c")]))[0] if known else None
        return found.handle if found is not None else ""

    def _capabilities(self, name: str) -> Capabilities:
        channel = self._channels.get(name)
        return channel.capabilities if channel is not None else NOTHING

    def _kind(self, name: str) -> str:
        channel = self._channels.get(name)
        return channel.kind if channel is not None else ""


def prefers_templates(capabilities: Capabilities) -> bool:
    """Tell whether a platform takes what it has approved at any time, and free text only at a price or not at all."""
    return capabilities.templates and capabilities.window is None


def standing(filled: Filled, template: str, conversation: Conversation, capabilities: Capabilities) -> Terms:
    """Return in what form a text of the hub's own goes out within *conversation*: as approved, where that is wanted."""
    content = written(filled, capabilities)
    if content.template is None or not prefers_templates(capabilities):
        return NOW
    return Terms(
        instead=Instead(
            conversation.channel,
            conversation.address,
            template=template,
            text=content.text,
            approved=content.template,
            because=APPROVED,
        )
    )


def written(filled: Filled, capabilities: Capabilities) -> Content:
    """Return what a filled template sends on a channel: what its platform has approved, where it has, else the text."""
    template = None
    if filled.approved is not None and capabilities.templates:
        name, data, url = filled.approved
        template = PlatformTemplate(name, data, url)
    return Content(text=filled.text, subject=filled.subject, template=template)
