"""Sends a bulk send off: one owner, one row after the other, at its pace; a row counts once, however often it is tried.

The position moves after the letter is owed, and the letter is one by its key: a process that dies in between owes
nothing twice, and leaves nobody out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from config.campaigns import CampaignFile, Texts, fill
from config.settings import Settings
from config.templates import Filled
from inbox.channels import Channels
from inbox.leases import Held
from inbox.partitions import key, parse_id, partition_of, tag
from inbox.store import Store
from inbox.worktime import Worktime
from outbox.audience import Audiences, closed
from outbox.campaigns import CHUNK, Campaign, Campaigns, NotThen, Row, packed
from outbox.consent import Consent, Word, latest
from outbox.deliveries import Deliveries, Delivery
from outbox.forecast import Content
from outbox.letters import Letter
from outbox.obstacles import Objection, Sending
from outbox.planner import prefers_templates, written
from outbox.quiet import quiet_until

log = logging.getLogger(__name__)

BATCH = 25
LOOK = 500
SLOW = 10_000
FOLLOWED = 24 * 3_600_000
"""For how long after its end the outcomes of a bulk send are looked at: receipts come late."""

AHEAD = 200
"""Letters that may wait in the outbox: what waits there is out of reach of the pace."""

CATCH_UP = 1_000
HORIZON = 14 * 24 * 3_600_000
KEPT_IN = frozenset({"opted_out", "no_consent", "stopped", "guard"})
TRIED = ("sent", "delivered", "read", "failed", "uncertain")

Render = Callable[[str, Mapping[str, str], str, str], Filled | None]
"""Fills a template by name with values, in a language and for a channel; None if there is none of that name."""


class Dispatch:
    """Runs the bulk sends of the partitions that this process holds. *page* is the unsubscribe page of a recipient."""

    def __init__(
        self,
        store: Store,
        campaigns: Campaigns,
        audiences: Audiences,
        consent: Consent,
        deliveries: Deliveries,
        channels: Channels,
        objections: tuple[Objection, ...],
        settings: Callable[[], Settings],
        render: Render,
        page: Callable[[str, str], str],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._campaigns = campaigns
        self._audiences = audiences
        self._consent = consent
        self._deliveries = deliveries
        self._channels = channels
        self._objections = objections
        self._settings = settings
        self._render = render
        self._page = page
        self._now = now
        self._looked: dict[str, int] = {}

    async def turn(self, held: Held) -> int | None:
        """Do what is due in a partition; return when to look again. Raises `Fenced`, `StoreError`."""
        found, later = await self._campaigns.due(held.partition, self._now())
        times = [later] if later is not None else []
        for campaign in found:
            following = await self._one(held, campaign)
            await self._campaigns.own(held, campaign, "later", "" if following is None else following)
            times += [following] if following is not None else []
        return min(times, default=None)

    async def _one(self, held: Held, campaign: Campaign) -> int | None:
        """Do what is due for one bulk send; return when to look again, None = never. Raises `Fenced`, `StoreError`."""
        now = self._now()
        if campaign.state == "preparing":
            await self._prepare(held, campaign)
            return now
        await self._outcomes(held, campaign)
        if campaign.state in ("stopped", "done"):
            return now + SLOW if now < campaign.changed + FOLLOWED else None
        if campaign.state != "running":
            return now + SLOW
        campaign = await self._campaigns.load(campaign.id)
        why = self._trouble(campaign)
        if why:
            await self._turn(campaign, "braked", why)
            return now + LOOK
        if campaign.next >= campaign.total:
            if campaign.count("owed"):
                return now + LOOK
            await self._turn(campaign, "done", "")
            return now + LOOK
        return await self._batch(held, campaign)

    async def _turn(self, campaign: Campaign, state: str, why: str) -> None:
        try:
            facts = ("why", why)
            await self._campaigns.turn(campaign.id, state, self._now(), former=("running",), facts=facts)  # type: ignore[arg-type]  # of the states
        except NotThen:
            log.debug("a bulk send changed its state in the same moment")

    async def _prepare(self, held: Held, campaign: Campaign) -> None:
        """Put the audience together; whoever dies over it begins anew, as nothing has been sent."""
        audience = await self._audiences.gather(campaign.definition, await self._campaigns.text(campaign))
        if await self._campaigns.own(held, campaign, "rows", "first"):
            return
        for start in range(0, len(audience.rows), CHUNK):
            rows = packed(audience.rows[start : start + CHUNK])
            if await self._campaigns.own(held, campaign, "rows", "more", *rows):
                return
        left_out = [word for name, count in audience.left_out.items() for word in (f"n:x:{name}", count)]
        facts = ("total", len(audience.rows), "next", 0, "at", self._now(), *left_out)
        await self._campaigns.own(held, campaign, "begin", self._now(), "why", "", *facts)

    async def _batch(self, held: Held, campaign: Campaign) -> int:
        """Send some rows off; return when the next is due. Raises `Fenced`, `StoreError`."""
        definition, at = campaign.definition, campaign.at
        gap = 60_000 / definition.per_minute
        opens = self._opens(definition)
        if opens > self._now():
            return opens
        room = AHEAD - campaign.count("owed")
        rows = await self._campaigns.rows(campaign, campaign.next, min(BATCH, max(room, 0)))
        for number, row in enumerate(rows, campaign.next):
            now = self._now()
            if at > now:
                return at
            following = int(max(at, now - CATCH_UP) + gap)
            if await self._row(held, campaign, definition, number, row, following):
                return now + LOOK
            at = following
        return max(at, self._now()) if rows else self._now() + LOOK

    async def _row(
        self, held: Held, campaign: Campaign, definition: CampaignFile, number: int, row: Row, following: int
    ) -> str:
        """Owe one letter, or leave one out; return "" or the state that forbids it. Raises `Fenced`, `StoreError`."""
        values = self._values(row)
        content = self._content(definition, row, values)
        reason = "no_template" if content is None else await self._reason(campaign, definition, row, content)
        if content is None or reason:
            return await self._campaigns.own(held, campaign, "step", number, "", f"x:{reason}", following)
        partition = partition_of(row.address)
        await self._store.do(tag(partition), "HSET", key(partition, f"a:{row.address}"), "cg", campaign.id)
        letter = Letter(
            channel=row.channel,
            address=row.address,
            key=f"campaign:{campaign.id}",
            lane="campaign",
            text=content.text,
            subject=content.subject,
            handle=row.handle,
            about=campaign.id,
            auto=False,
            template=content.template,
        )
        delivery, _ = await self._deliveries.owe_letter(letter, self._now())
        return await self._campaigns.own(held, campaign, "step", number, delivery.id, "owed", following)

    async def _reason(self, campaign: Campaign, definition: CampaignFile, row: Row, content: Content) -> str:
        """Return why a row is left out now, "" if it is not."""
        channel = self._channels.get(row.channel)
        if channel is None or channel.connector is None:
            return "no_channel"
        if content.template is None and not channel.capabilities.texts:
            return "template_only"
        record = await self._consent.address(row.address)
        if reason := closed(channel, row.address, record, self._now()):
            return reason
        if definition.consent_source:
            known = await self._consent.known(row.address)
            if latest(known, row.channel, "campaign") is None:
                source = definition.consent_source
                word = Word("consented", campaign.created, "import", source, campaign.by, lane="campaign")
                await self._consent.record(row.address, word)
        words = (content.text, content.subject)
        sending = Sending(row.channel, row.address, "campaign", *words, contact=row.contact)
        for objection in self._objections:
            for obstacle in await objection(sending):
                if obstacle.weight == "block":
                    return obstacle.code
        return ""

    def _values(self, row: Row) -> dict[str, str]:
        page = self._page(row.channel, row.address)
        return {**row.values, "contact.name": row.name, "channel.name": row.channel, "unsubscribe.url": page}

    def _content(self, definition: CampaignFile, row: Row, values: Mapping[str, str]) -> Content | None:
        """Return what a row is sent, None if the template is gone."""
        language = row.language or self._settings().locale
        subject = fill(definition.subject, values, language) if definition.subject else definition.name
        if definition.template is not None:
            filled = self._render(definition.template, values, language, row.channel)
            if filled is None or filled.missing:
                return None
            channel = self._channels.get(row.channel)
            preferred = channel is not None and prefers_templates(channel.capabilities)
            approved = written(filled, channel.capabilities).template if channel is not None and preferred else None
            return Content(text=filled.text, subject=filled.subject or subject, template=approved)
        texts: Texts = definition.text or ""
        return Content(text=fill(texts, values, language), subject=subject)

    def sample(self, definition: CampaignFile, row: Row) -> tuple[str, str]:
        """Return text and subject as a recipient will read them."""
        content = self._content(definition, row, self._values(row)) or Content()
        return content.text, content.subject

    def _opens(self, definition: CampaignFile) -> int:
        """Return when it may go out: now, or when its hours begin and quiet hours end."""
        now = self._now()
        quiet = quiet_until(self._settings().delivery.quiet, "campaign", now)
        if quiet > now:
            return quiet
        hours = self._settings().hours.get(definition.hours or "")
        if hours is None:
            return now
        spans = Worktime(hours).spans(now, now + HORIZON)
        return spans[0][0] if spans else now + FOLLOWED

    async def _outcomes(self, held: Held, campaign: Campaign) -> None:
        """Count what became of letters. What is out is looked at from time to time, what waits at every turn."""
        known = await self._campaigns.owed(campaign)
        now = self._now()
        if now - self._looked.get(campaign.id, 0) < SLOW:
            known = {name: outcome for name, outcome in known.items() if outcome == "owed"}
        else:
            self._looked[campaign.id] = now
        names = list(known)
        for start in range(0, len(names), CHUNK):
            part = names[start : start + CHUNK]
            found = await self._deliveries.load_many([parse_id(name, "d") for name in part])
            await asyncio.gather(
                *(self._outcome(held, campaign, name, known[name], one) for name, one in zip(part, found, strict=True))
            )

    async def _outcome(self, held: Held, campaign: Campaign, name: str, before: str, delivery: Delivery | None) -> None:
        outcome, final = outcome_of(delivery, before, self._reports(delivery))
        if outcome != before or final:
            await self._campaigns.own(held, campaign, "outcome", name, before, outcome, "1" if final else "")

    def _reports(self, delivery: Delivery | None) -> bool:
        """Tell whether a platform will say more of a message that is out."""
        channel = self._channels.get(delivery.channel) if delivery is not None else None
        return channel is not None and bool({"delivered", "failed"} & channel.capabilities.receipts)

    def _trouble(self, campaign: Campaign) -> str:
        """Return why a bulk send has to stop by itself, "" if it need not."""
        brake = campaign.definition.brake
        base = campaign.base
        tried = campaign.count(*TRIED) - base[0]
        if tried < brake.after:
            return ""
        failed, left = campaign.count("failed") - base[1], campaign.count("opted_out") - base[2]
        if failed * 100 > brake.failed * tried:
            return f"{failed} of {tried} messages failed"
        if left * 100 > brake.opted_out * tried:
            return f"{left} of {tried} recipients opted out"
        return ""


def outcome_of(delivery: Delivery | None, before: str, more: bool) -> tuple[str, bool]:
    """Return the outcome of a delivery, and whether it is the last. *more*: its platform reports what is out."""
    if delivery is None:
        return before, True
    match delivery.state:
        case "queued" | "deferred" | "sending":
            return "owed", False
        case "sent":
            return "sent", not more
        case "uncertain":
            return "uncertain", False
        case "delivered" | "read":
            return delivery.state, True
        case _:
            return ("suppressed" if delivery.code in KEPT_IN else "failed"), True
