"""Follows the log and applies the rules: locate, decide, place, acknowledge, assign. Doing it twice changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from connectors.base import Capabilities
from inbox import contacts
from inbox import log as logbook
from inbox.channels import NOTHING, Channels
from inbox.contacts import NoContact
from inbox.conversations import Conflict, Conversation, load
from inbox.leases import Fenced, Held
from inbox.log import Entry
from inbox.merging import Merging
from inbox.partitions import Id
from inbox.placing import NOBODY, Decided, Origin, Placer, Spot, parse
from inbox.recording import AGAIN, Recorder
from inbox.store import Store, StoreError
from inbox.wakes import Wakes
from inbox.work import HUB, Actor
from outbox.deliveries import Author, Deliveries, Reply
from outbox.echoes import Echoes
from outbox.leaving import Heard, Leaving
from outbox.planner import standing
from outbox.survey_answers import SurveyAnswers
from router import evidence
from router.assignment import Assigner
from router.effects import Judged, judge
from router.escalation import Escalation, is_event
from router.language import language
from router.lookups import Orders
from router.rules import ConversationFacts, Facts
from router.ruleset import Rules
from router.staffroom import Staffroom

log = logging.getLogger(__name__)

TRIES = 8
POISON = 3
EFFECTS = frozenset({"b", "o"})  # fields of a placed entry on which something hangs
FOLLOWED = frozenset({logbook.STATE, logbook.REPLY})
TRACKED = ("assigned", "resolved", "reopened", "snoozed")
ASKING = frozenset({"team", "agent", "priority", "skills", "language"})  # what changes who may have a conversation
HUB_AUTHOR = Author("hub", "", "")


class Router:
    """The reader that gives every inbound event its conversation and its team.

    *observe* hears of every decision once it holds, with the message's id; it must be quick and must not fail.
    What the *staffroom* takes is from people of the house, and no rule is asked about it.
    """

    def __init__(  # a composition root passes what there is
        self,
        store: Store,
        wakes: Wakes,
        placer: Placer,
        recorder: Recorder,
        deliveries: Deliveries,
        assigner: Assigner,
        channels: Channels,
        rules: Callable[[], Rules],
        now: Callable[[], int],
        orders: Orders,
        observe: Callable[[str, Judged], None] = lambda *_: None,
        leaving: Leaving | None = None,
        staffroom: Staffroom | None = None,
        survey_answers: SurveyAnswers | None = None,
        merging: Merging | None = None,
        withheld: Callable[[], int] = lambda: 0,
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._placer = placer
        self._recorder = recorder
        self._deliveries = deliveries
        self._echoes = Echoes(store, deliveries)
        self._assigner = assigner
        self._channels = channels
        self._rules = rules
        self._now = now
        self._orders = orders
        self._observe = observe
        self._leaving = leaving
        self._withheld = withheld
        self._staffroom = staffroom
        self._survey_answers = survey_answers
        self._merging = merging
        self.counts: Counter[str] = Counter()
        self._escalation = Escalation(store, wakes, rules, self.counts)

    async def handle(self, held: Held, entries: Sequence[Entry]) -> None:
        """Reader of the log: customers in parallel, one customer's events in order. Raises `Fenced`, `StoreError`."""
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.type in logbook.INBOUND:
                if entry.fields.get("ty") == logbook.ERASED:
                    continue
                groups.setdefault(entry.fields["a"], []).append(entry)
            elif entry.type in FOLLOWED or (entry.type == logbook.PLACED and not EFFECTS.isdisjoint(entry.fields)):
                groups.setdefault(f"c{entry.fields['c']}", []).append(entry)
        if len(groups) == 1:
            await self._in_order(held, next(iter(groups.values())))
        elif groups:
            await asyncio.gather(*(self._in_order(held, group) for group in groups.values()))

    async def _in_order(self, held: Held, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for attempt in range(1, POISON + 1):
                try:
                    if is_event(entry):
                        await self._escalation.decide(held, entry)
                    elif entry.type == logbook.STATE:
                        await self._state(held, entry)
                    elif entry.type == logbook.REPLY:
                        await self._replied(held, entry)
                    elif entry.type == logbook.PLACED:
                        await self._placed(held, entry)
                    else:
                        await self._event(held, entry)
                    break
                except (Fenced, StoreError):
                    raise
                except Exception as error:
                    log.exception("an event of partition %d could not be routed (attempt %d)", held.partition, attempt)
                    if attempt == POISON:
                        await self._set_aside(entry, error)

    async def _set_aside(self, entry: Entry, error: Exception) -> None:
        """Shunt an event that fails again and again, so that the customers behind it are served.

        Its place in the log names it: a reader that starts anew and fails anew leaves no second one.
        """
        raw = msgspec.json.encode(entry.fields)
        meta = {"log": f"{entry.partition}:{entry.id}", "stage": "routing"}
        reason = f"{type(error).__name__}: {error}"
        channel, at = entry.fields.get("ch", ""), self._now()
        await self._recorder.shunt(channel, raw, reason, meta, at, received=False, once=meta["log"])
        self.counts["set_aside"] += 1

    async def _event(self, held: Held, entry: Entry) -> None:
        entry, placing = await self._repeated(entry)
        origin = self._origin(entry)
        if placing is not None:
            await self._finish(held, origin, placing)
        else:
            await self._route(held, origin)

    async def _route(self, held: Held, origin: Origin) -> None:
        if origin.entry.type == logbook.ECHO and await self._own_echo(origin):
            return
        if self._staffroom is not None and await self._staffroom.take(held, origin):
            return
        # First of all, so that nothing is sent in answer to somebody who has just left.
        heard = await self._leaving.hear(origin) if self._leaving is not None else None
        for _ in range(TRIES):
            with contextlib.suppress(Conflict):
                await self._once(held, origin, heard)
                return
            if await self._erased(origin.entry):
                return
        raise Conflict

    async def _once(self, held: Held, origin: Origin, heard: Heard | None) -> None:
        """Give an event its place as things stand now. Raises `Conflict`, `Fenced`, `StoreError`."""
        spot = await self._placer.locate(origin)
        if heard is None and self._leaving is not None and origin.entry.type == logbook.MESSAGE:
            await self._leaving.follow(origin, spot.address)
        if await self._answered(held, origin, spot):
            return
        judged = await self._judge(origin, spot)
        if judged is not None and judged.ignored:
            told = evidence.story(judged.tree, judged.decision, judged.facts, spot.conversation)
            if await self._placer.ignore(held, origin, judged.decision.ignore or "", told):
                self._observe(origin.message_id, judged)
            self.counts["ignored"] += 1
            if heard is not None and self._leaving is not None:
                await self._leaving.answer(heard, origin, "")
            return
        effects = self._effects(origin, spot, judged)
        placed = await self._placer.place(held, origin, spot, effects)
        if heard is not None and self._leaving is not None:
            await self._leaving.answer(heard, origin, placed.conversation)
        if judged is not None and placed.fresh and origin.entry.type == logbook.MESSAGE:
            self._observe(origin.message_id, judged)
        if effects.story or spot.new or spot.reopens:  # else nothing hangs on it, and the log can be read later
            where = spot.conversation.place.partition if spot.conversation is not None else held.partition
            self._wakes.ring((f"p{where}",))
        if origin.rest.media:
            self._wakes.ring((f"f{held.partition}",))
        await self._link(origin)

    async def _erased(self, entry: Entry) -> bool:
        """Tell whether who wrote an event has been erased since it was read."""
        [found] = await logbook.fetch(self._store, [(entry.partition, entry.id)])
        return found is None or found.fields.get("ty") == logbook.ERASED

    async def _repeated(self, entry: Entry) -> tuple[Entry, Entry | None]:
        """Return what a replayed entry repeats, and how that was placed; the entry itself if it is to be placed."""
        for position in entry.fields.get(AGAIN, "").split():
            placing = await self._placer.verdict(Id("m", entry.partition, position))
            if placing is not None:
                return dataclasses.replace(entry, id=position), placing
        return entry, None

    async def _finish(self, held: Held, origin: Origin, placing: Entry) -> None:
        """Do what follows the placing of an event that stands where it belongs, and was set aside all the same."""
        log.info("%s was placed before it was set aside; what followed is done again", origin.message_id)
        heard = await self._leaving.hear(origin) if self._leaving is not None else None
        if heard is not None and self._leaving is not None:
            where = f"c{placing.partition}-{placing.fields['c']}" if placing.type == logbook.PLACED else ""
            await self._leaving.answer(heard, origin, where)
        if origin.rest.media:
            self._wakes.ring((f"f{held.partition}",))
        if placing.type == logbook.PLACED:
            await self._link(origin)

    async def _link(self, origin: Origin) -> None:
        """Link the customer with whoever has the addresses that their platform or the shop proves to be theirs."""
        if self._merging is None or not origin.rest.proven:
            return
        spot = await self._placer.locate(origin)
        for address in origin.rest.proven:
            with contextlib.suppress(NoContact):  # erased meanwhile
                await self._merging.prove(spot.root, address, (origin.message_id, origin.channel), HUB)

    async def _answered(self, held: Held, origin: Origin, spot: Spot) -> bool:
        """Take a message that answers a survey: it stands on the timeline, and the conversation stays as it is.

        Free words that a route knows are taken too, and go on their way: whoever complains there wants to be heard.
        Raises `Conflict`, `Fenced`, `StoreError`.
        """
        reading = await self._survey_answers.read(origin, spot) if self._survey_answers is not None else None
        if reading is None or self._survey_answers is None:
            return False
        judged = await self._judge(origin, spot) if reading.given.wordy else None
        heard = judged is not None and bool(judged.decision.routes)
        if heard:
            pass
        elif spot.conversation is None:
            await self._placer.ignore(held, origin, f"survey {reading.invitation.survey}", {})
        else:
            quiet = dataclasses.replace(spot, reopens=False)
            await self._placer.place(held, origin, quiet, Decided(quiet=True))
        if not reading.known:
            await self._survey_answers.give(reading.invitation, reading.given)
            self.counts["survey_answers"] += 1
        return not heard

    def _origin(self, entry: Entry) -> Origin:
        channel = self._channels.get(entry.fields["ch"])
        if channel is None:
            return parse(entry, "", self._fallback(entry))
        return parse(entry, channel.kind, channel.capabilities)

    def _fallback(self, entry: Entry) -> Capabilities:
        """A channel that is no longer configured: its stored messages are still placed."""
        log.warning("an event of channel %s, which is not configured any more", entry.fields["ch"])
        return NOTHING

    async def _own_echo(self, origin: Origin) -> bool:
        """Tell whether an echo is only the platform repeating what the outbox sent."""
        entry = origin.entry
        return await self._echoes.ours(
            entry.partition, origin.channel, origin.address, origin.text, entry.fields["x"], origin.at
        )

    async def _judge(self, origin: Origin, spot: Spot) -> Judged | None:
        """Ask the rules, and whom they want to be asked. None if nothing can follow from it.

        What a stranger did that is no message opens no conversation, so that there is nothing to decide about.
        """
        if origin.entry.type == logbook.ECHO or (origin.entry.type == logbook.NOTICE and spot.conversation is None):
            return None
        tree, known, unclaimed = self._rules().tree, facts(origin, spot), evidence.unclaimed(spot.conversation)
        judged = judge(tree, known, unclaimed=unclaimed)
        if judged.asks_order:
            order = await self._orders.find(known, spot.root)
            judged = judge(tree, dataclasses.replace(known, order=order), unclaimed=unclaimed)
        return judged if known.event == "message" or judged.decision.routes else None

    def _effects(self, origin: Origin, spot: Spot, judged: Judged | None) -> Decided:
        """Return what the decision changes, and what is stored of it even if it changes nothing."""
        if judged is None:
            return Decided()
        decision, known, counts = judged.decision, spot.conversation, judged.counts
        told = evidence.story(judged.tree, decision, judged.facts, known)
        values: dict[str, Any] = {}
        if counts:
            for name in ("team", "priority", "stage", "sla", "risk", "agent", "skills", "survey"):
                value = getattr(decision, name)
                if value:
                    values[name] = value
            if (
                known is not None
                and known.agent
                and "agent" not in values
                and values.get("team", known.team) != known.team
            ):
                values["agent"] = ""
            values["route"] = decision.route
        tags = tuple(dict.fromkeys([*(known.tags if known else ()), *decision.tags]))
        if tags != (known.tags if known else ()):
            values["tags"] = tags
        spoken = judged.facts.contact_language or judged.facts.language or ""
        if not values:
            return Decided(spoken, seen=evidence.packed(told))
        told["set"] = values
        before = known.agent if known is not None and spot.reopens and "agent" not in values else ""
        if known is not None and before and self._assigner.hands_out(values.get("team", known.team)):
            # Who had it gets it again only if they are there and have room; until that is known it is nobody's.
            values["agent"] = ""
            told["back"] = before
        # What was written before a restore, and is fetched again or comes late, may have been acknowledged then.
        if decision.acknowledge and not origin.rest.auto and counts and origin.at >= self._withheld():
            told["acknowledge"] = list(decision.acknowledge)
        if values.get("agent"):
            values |= {"why": f"route {decision.route}", "assigned_at": self._now()}
        return Decided(spoken, values, told)

    async def _placed(self, held: Held, entry: Entry) -> None:
        """Do what hangs on a placed message. It is read from the log, so a crash before it forgets nothing."""
        story = entry.rest()
        changed = story.get("set", {}).keys()
        if "o" not in entry.fields and changed.isdisjoint(ASKING) and not story.get("acknowledge"):
            return  # only tags and the like: whoever waits for an agent goes on waiting
        conversation = await load(self._store, f"c{held.partition}-{entry.fields['c']}")
        await self._acknowledge(entry.fields["m"], conversation, story.get("acknowledge", ()))
        if conversation.status == "resolved":
            return  # read again after a crash: what made it so comes later in the log
        if conversation.agent:
            if "o" in entry.fields or "agent" in changed:
                await self._assigner.hold(conversation, conversation.agent, position=entry.id)
        elif conversation.team and conversation.status == "open" and ("o" in entry.fields or changed & ASKING):
            if "agent" in changed:  # the decision took it from an agent of its former team
                await self._assigner.hold(conversation, "", calm=True)
            await self._assigner.want(conversation, back=story.get("back", ""))

    async def _acknowledge(self, message: str, conversation: Conversation, templates: Sequence[str]) -> None:
        if templates and self._leaving is not None and not await self._leaving.acknowledged(conversation):
            self.counts["unacknowledged"] += 1
            return
        contact = await contacts.known(self._store, conversation.contact) if templates else NOBODY
        for name in templates:
            filled = self._rules().acknowledgement(name, conversation, contact)
            if filled is None:
                log.warning("no template %s to acknowledge with", name)
                continue
            if filled.missing:
                log.warning("%s is not sent: it has no value for %s", name, ", ".join(filled.missing))
                self.counts["not_acknowledged"] += 1
                continue
            ack = f"ack:{message}:{name}"
            reply = Reply(HUB_AUTHOR, filled.text, subject=filled.subject, client_id=ack, auto=True)
            channel = self._channels.get(conversation.channel)
            can = channel.capabilities if channel is not None else NOTHING
            terms = standing(filled, name, conversation, can)
            _, fresh = await self._deliveries.enqueue(conversation, reply, self._now(), terms=terms)
            self.counts["acknowledged"] += fresh

    async def _replied(self, held: Held, entry: Entry) -> None:
        """Note that a person answered: their conversation is not taken from them for silence."""
        author = msgspec.json.decode(entry.fields["au"], type=Actor)
        if author.kind == "agent":
            name, at = f"c{held.partition}-{entry.fields['c']}", int(entry.fields["at"])
            await self._assigner.answered(name, at, entry.id)

    async def _state(self, held: Held, entry: Entry) -> None:
        """Keep the agents' loads in step with what people and rules did to a conversation."""
        event, story = entry.fields["ev"], entry.rest()
        if event not in TRACKED:
            return
        conversation = await load(self._store, f"c{held.partition}-{entry.fields['c']}")
        waiting_for = str(story.get("from_team", "")) or conversation.team
        if conversation.status == "resolved":
            await self._assigner.hold(conversation, "", left=waiting_for, over=True)
        elif conversation.agent:
            by_hub = msgspec.json.decode(entry.fields["au"], type=Actor).kind == HUB.kind
            at = int(entry.fields["at"])
            await self._assigner.hold(
                conversation, conversation.agent, left=waiting_for, by_hub=by_hub, at=at, position=entry.id
            )
        elif conversation.status == "snoozed":
            await self._assigner.hold(conversation, "", left=waiting_for)
        else:
            # Moved on to a team, or put back: it joins the queue of its team, behind those who wait longer.
            if waiting_for != conversation.team or story.get("from_agent"):
                await self._assigner.hold(conversation, "", left=waiting_for, calm=True)
            silent = story.get("taken_from", "") if story.get("because") == "silent" else ""
            await self._assigner.want(conversation, avoid=silent)


def facts(origin: Origin, spot: Spot) -> Facts:
    """Return what the rules may ask about a message or another event, but for what other tools know."""
    known, customer = spot.conversation, spot.contact
    a_message = origin.entry.type == logbook.MESSAGE
    return Facts(
        channel=origin.channel,
        kind=origin.kind,
        event="message" if a_message else origin.rest.name,
        text=origin.text,
        subject=origin.rest.subject,
        sender=origin.address,
        at=origin.at,
        attachments=tuple(media.type for media in origin.rest.media),
        language=language(origin.text or origin.rest.subject),
        contact_tags=frozenset(customer.tags),
        contact_tier=customer.tier or None,
        contact_language=customer.language or None,
        conversation=ConversationFacts(
            new=spot.new,
            reopened=spot.reopens,
            status=known.status if known else None,
            team=known.team or None if known else None,
            opened_at=known.opened_at if known else None,
            priority=known.priority if known else "normal",
            messages=(known.messages if known else 0) + a_message,
        ),
    )
