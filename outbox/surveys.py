"""Who is asked: follows the log, and keeps an invitation for everybody whom a survey means and chance takes.

Whoever is not asked although the survey means them is kept too, with the reason. Every decision is repeated safely:
what an invitation has taken (a person's turn, a place in a quota, a number) it gets again under its own id.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from config.hours import Interval
from config.surveys import Delivered, Quota, Resolved, Survey
from inbox import contacts
from inbox import log as logbook
from inbox.conversations import Conversation, NoConversation, load
from inbox.leases import Fenced, Held
from inbox.log import Entry
from inbox.partitions import digest, key, parse_id, partition_of, tag
from inbox.recording import Rest
from inbox.store import Store, StoreError
from inbox.timeline import items
from outbox.means import Means
from outbox.responses import SUPPRESSED, WAITING, Invitation
from outbox.sampling import Case, drawn, meant, period, stratum, taken
from outbox.survey_answers import SurveyAnswers

log = logging.getLogger(__name__)

LATEST = 2 * 24 * 3_600_000  # what is older has had its time: a reader that is new to a store reads all of its past
LOOK_BACK = 200  # answers of a conversation that are read to learn who served
TRIES = 3
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Person:
    """One person who might be asked. *unit* is what chance looks at, *conversation* what it is about, if anything."""

    channel: str
    address: str
    contact: str
    unit: str
    case: Case
    conversation: Conversation | None = None
    language: str = ""

    @property
    def partition(self) -> int:
        """Where the invitation is kept: with its conversation, else with its address."""
        return self.conversation.place.partition if self.conversation is not None else partition_of(self.address)


class Surveys:
    """The reader of the log that asks customers. *counts* are by channel and what became of a person."""

    def __init__(self, means: Means, answers: SurveyAnswers) -> None:
        self._means = means
        self._answers = answers
        self.counts: Counter[tuple[str, str]] = Counter()

    async def handle(self, held: Held, entries: Sequence[Entry]) -> None:
        """Reader of the log. Raises `Fenced`, `StoreError`."""
        if not self._means.surveys():
            return
        for entry in entries:
            if entry.ms < self._means.now() - LATEST:
                continue
            for attempt in range(1, TRIES + 1):
                try:
                    await self._entry(held, entry)
                    break
                except (Fenced, StoreError):
                    raise
                except Exception:
                    # One survey that goes wrong must not keep the others, and those behind it, waiting for ever.
                    log.exception("a survey of partition %d went wrong (attempt %d)", held.partition, attempt)

    async def _entry(self, held: Held, entry: Entry) -> None:
        if entry.type in (logbook.STATE, logbook.SURVEY) and "iv" in entry.fields:
            await self._answers.follow(entry)
        elif entry.type == logbook.STATE and entry.fields["ev"] == "resolved":
            await self._resolved(await load(self._means.store, f"c{held.partition}-{entry.fields['c']}"), entry)
        elif entry.type == logbook.NOTICE:
            await self._event(entry)
        elif entry.type == logbook.DELIVERY:
            await self._delivery(held, entry)

    async def _resolved(self, conversation: Conversation, entry: Entry) -> None:
        """Ask about a conversation that is resolved: what a route chose, else every survey that waits for it."""
        if conversation.address.startswith(logbook.ERASED):
            return
        found = self._means.surveys()
        if conversation.survey in found:
            names = [conversation.survey]
        else:
            names = [
                name
                for name, one in found.items()
                if isinstance(one.trigger, Resolved) and not one.trigger.routed and one.enabled
            ]
        if not names:
            return
        person = await self.about(conversation)
        for name in names:
            await self.choose(name, found[name], person, f"resolved {entry.id}")

    async def _event(self, entry: Entry) -> None:
        """Ask because the shop says that an order has arrived."""
        waiting = [
            (name, one, one.trigger)
            for name, one in self._means.surveys().items()
            if isinstance(one.trigger, Delivered) and one.trigger.of == "order" and one.enabled
        ]
        if not waiting:
            return
        rest = msgspec.json.decode(entry.fields.get("b") or b"{}", type=Rest)
        for name, survey, trigger in waiting:
            details = rest.details
            if rest.name == trigger.event and all(
                str(details.get(field, "")).casefold() in (one.casefold() for one in values)
                for field, values in trigger.where.items()
            ):
                channel, address = entry.fields["ch"], entry.fields["a"]
                person = await self.somebody(channel, address)
                order = str(details.get("order") or details.get("order_id") or entry.fields["x"])
                await self.choose(name, survey, person, f"order {order}")

    async def _delivery(self, held: Held, entry: Entry) -> None:
        """Ask because an agent's answer has arrived; and learn that an invitation cannot be delivered."""
        state, conversation_key = entry.fields["st"], entry.fields.get("c", "")
        if state in ("dead", "failed"):
            await self._undelivered(held, entry)
        if state not in ("delivered", "read") or not conversation_key:
            return
        waiting = [
            (name, one)
            for name, one in self._means.surveys().items()
            if isinstance(one.trigger, Delivered) and one.trigger.of == "reply" and one.enabled
        ]
        if not waiting:
            return
        delivery = await self._means.deliveries.load(f"d{held.partition}-{entry.fields['d']}")
        place = parse_id(delivery.message, "m")
        reply = (await logbook.fetch(self._means.store, [(place.partition, place.key)]))[0]
        if reply is None or msgspec.json.decode(reply.fields["au"]).get("kind") != "agent":
            return
        person = await self.about(await load(self._means.store, f"c{held.partition}-{conversation_key}"))
        for name, survey in waiting:
            await self.choose(name, survey, person, f"reply {entry.fields['d']}")

    async def _undelivered(self, held: Held, entry: Entry) -> None:
        slot, name = tag(held.partition), key(held.partition, "ivof")
        known = await self._means.store.do(slot, "HGET", name, entry.fields["d"])
        if known is None:
            return
        one = await self._means.invitations.load(known)
        delivery = await self._means.deliveries.load(f"d{held.partition}-{entry.fields['d']}")
        if await self._means.invitations.suppress(one, "undeliverable"):
            log.info("invitation %s cannot be delivered: %s", one.id, delivery.code or delivery.state)
            await self.let_go(one)

    async def about(self, conversation: Conversation) -> Person:
        """Return the customer of a conversation as one who might be asked. Raises `StoreError`."""
        known = await contacts.known(self._means.store, conversation.contact)
        agents = await served(self._means.store, conversation)
        language = known.language or conversation.language
        case = Case(
            channel=conversation.channel,
            kind=conversation.kind,
            team=conversation.team,
            agent=conversation.agent or (agents[-1] if agents else ""),
            agents=agents,
            stage=conversation.stage,
            tags=conversation.tags,
            topic=conversation.route,
            language=language,
            contact_tags=known.tags,
            tier=known.tier,
        )
        where = (conversation.channel, conversation.address, conversation.contact)
        return Person(*where, conversation.id, case, conversation, language)

    async def somebody(
        self, channel: str, address: str, language: str = "", hidden: frozenset[str] = frozenset()
    ) -> Person:
        """Return who is at an address, with the latest conversation there if there was one, but of no *hidden* team.

        Raises `StoreError`.
        """
        partition = partition_of(address)
        fields = (f"conv:{channel}", "contact")
        latest, contact = await self._means.store.do(tag(partition), "HMGET", key(partition, f"a:{address}"), *fields)
        if latest:
            try:
                conversation = await load(self._means.store, latest)
                if conversation.team not in hidden:
                    return await self.about(conversation)
            except NoConversation:
                log.debug("the latest conversation of an address is archived")
        known = await contacts.known(self._means.store, contact) if contact else contacts.Contact()
        configured = self._means.channels.get(channel)
        case = Case(
            channel=channel,
            kind=configured.kind if configured is not None else "",
            language=language or known.language,
            contact_tags=known.tags,
            tier=known.tier,
        )
        return Person(channel, address, contact or "", f"{channel} {address}", case, None, language or known.language)

    async def choose(  # one thought: everything that stands between a person and a question
        self, name: str, survey: Survey, person: Person, cause: str, *, named: bool = False
    ) -> Invitation | None:
        """Decide about one person for one *cause*; None if the survey does not mean them now.

        Whoever is *named* on a list is asked without looking at audience and chance. Raises `StoreError`.
        """
        means, now = self._means, self._means.now()
        ways = await means.ways(survey.prefer, person.contact)
        channel, address = ways[0] if ways else (person.channel, person.address)
        invitation = Invitation(
            id=f"i{person.partition}-{digest('invitation', name, person.unit, cause)}",
            survey=name,
            version=survey.version(),
            channel=channel,
            address=address,
            contact=person.contact,
            conversation=person.conversation.id if person.conversation is not None else "",
            team=person.case.team,
            agent=person.case.agent,
            agents=person.case.agents,
            tags=person.case.tags,
            stage=person.case.stage,
            topic=person.case.topic,
            language=person.language,
            created=now,
        )
        if await means.invitations.exists(invitation.place):
            return await means.invitations.load(invitation.id)
        if not running(survey, now, means.settings().timezone):
            return None
        if not named and (
            not meant(survey.audience, person.case) or (survey.never is not None and meant(survey.never, person.case))
        ):
            return None
        reason, group = ("", "") if named else await self._chance(name, survey, person, invitation.place.key)
        invitation = msgspec.structs.replace(invitation, stratum=group)
        reason = reason or await self._reserve(survey, person.case, invitation)
        state = SUPPRESSED if reason else WAITING
        invitation = msgspec.structs.replace(invitation, state=state, reason=reason)
        due = None if reason else after_quiet(survey.quiet, means.settings().timezone, now + (survey.delay or 0))
        fresh = await means.invitations.create(invitation, due)
        if group:
            await means.reservations.numbered(name, group, invitation.place.key)
        if fresh:
            self.counts[person.channel, reason or "chosen"] += 1
        return invitation if fresh else await means.invitations.load(invitation.id)

    async def _chance(self, name: str, survey: Survey, person: Person, unit: str) -> tuple[str, str]:
        """Return why chance leaves a person out ("" if it takes them), and their stratum."""
        sampling = survey.sampling
        if sampling.strata is None:
            return ("" if drawn(sampling, name, person.unit) else "not_sampled"), ""
        group = stratum(sampling.strata, person.case)
        number = await self._means.reservations.number(name, group, unit)
        return ("" if taken(sampling, name, group, number) else "not_sampled"), group

    async def _reserve(self, survey: Survey, case: Case, one: Invitation) -> str:
        """Take what the invitation needs; return why it cannot be sent, "" if it can."""
        here = survey.channels.get(one.channel)
        if here is not None and here.skip:
            return "channel_skipped"
        held = self._means.reservations
        if not await held.leave_alone(one.contact, one.address, one.id, one.created, survey.cool_down or 0):
            return "cool_down"
        quotas = self.quotas(survey, case, one.created)
        if await held.place(one.survey, quotas, one.id):
            return ""
        await held.disturb(one.contact, one.address, one.id)
        return "quota"

    def quotas(self, survey: Survey, case: Case, now: int) -> list[tuple[str, int]]:
        """Return the name and the size of every quota in which *case* counts now."""
        zone = self._means.settings().timezone
        return [
            (quota_name(quota, period(quota.per, now, zone)), quota.most)
            for quota in survey.sampling.quotas
            if meant(quota.to, case)
        ]

    async def let_go(self, one: Invitation) -> None:
        """Give back what an invitation has taken that will not be sent after all. Raises `StoreError`."""
        await self._means.reservations.disturb(one.contact, one.address, one.id)
        survey = self._means.surveys().get(one.survey)
        if survey is not None:
            zone = self._means.settings().timezone
            names = [quota_name(each, period(each.per, one.created, zone)) for each in survey.sampling.quotas]
            await self._means.reservations.free(one.survey, names, one.id)


def quota_name(quota: Quota, when: str) -> str:
    """Return the name of a quota's count: the same for the same part of the audience, whatever stands around it."""
    parts = {name: value for name, value in quota.to.model_dump().items() if value}
    return f"{digest('quota', repr(sorted(parts.items())), quota.per)[:12]}:{when}"


def running(survey: Survey, now: int, zone: ZoneInfo) -> bool:
    """Tell whether a survey invites anybody now."""
    today = dt.datetime.fromtimestamp(now / 1000, zone).date()
    begun = survey.since is None or today >= survey.since
    return survey.enabled and begun and (survey.until is None or today <= survey.until)


def after_quiet(quiet: Interval | None, zone: ZoneInfo, at: int) -> int:
    """Return *at*, or the end of the quiet hours in *zone* that it falls into, in milliseconds."""
    if quiet is None:
        return at
    local = dt.datetime.fromtimestamp(at / 1000, zone)
    for days in (-1, 0):
        midnight = (local + dt.timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        begins = _clock(midnight, quiet.start)
        ends = _clock(midnight, quiet.end)
        if begins <= local < ends:
            return int(ends.timestamp() * 1000)
    return at


def _clock(midnight: dt.datetime, seconds: int) -> dt.datetime:
    """Return when the wall clock shows *seconds* after *midnight*."""
    days, rest = divmod(seconds, DAY)
    return (midnight + dt.timedelta(days=days)).replace(hour=rest // 3600, minute=rest % 3600 // 60)


async def served(store: Store, conversation: Conversation) -> tuple[str, ...]:
    """Return the agents who answered in a conversation, the last one last. Raises `StoreError`."""
    found, _ = await items(store, conversation.place, frozenset("o"), None, LOOK_BACK)
    authors: list[dict[str, Any]] = [msgspec.json.decode(item.entry.fields.get("au", "{}")) for item in found]
    names = [str(one.get("id")) for one in authors if one.get("kind") == "agent" and one.get("id")]
    return tuple(reversed(dict.fromkeys(names)))
