"""To whom a bulk send goes: customers of a segment or the rows of a list, each once, and why others are left out."""

from __future__ import annotations

import asyncio
import csv
import io
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from config.campaigns import CampaignFile, Segment, wants
from config.conditions import several
from connectors.base import Capabilities
from inbox import contacts
from inbox.channels import Channel, Channels
from inbox.conversations import Conversation
from inbox.lists import Filter, page
from inbox.sightings import emails, number
from inbox.store import Store
from outbox.campaigns import Row
from outbox.consent import Consent

PAGE = 200
MOST_ROWS = 200_000
SCHEMES = {"phone": "tel", "email": "mailto"}
SHOWN = 20


class BadList(ValueError):
    """The list cannot be read; the text says where and why."""


@dataclass(slots=True)
class Audience:
    """Who is written to, in order, and how many are left out, by reason. *examples* are a few of those."""

    rows: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, str]] = field(default_factory=list)

    def leave_out(self, address: str, reason: str) -> None:
        """Count a recipient who is not written to."""
        self.left_out[reason] += 1
        if len(self.examples) < SHOWN:
            self.examples.append((address, reason))

    @property
    def channels(self) -> Counter[str]:
        """How many are written to on each channel."""
        return Counter(row.channel for row in self.rows)


def read(text: str, region: str = "CN") -> tuple[list[Row], list[tuple[int, str]], tuple[str, ...]]:
    """Return the rows of a CSV list (their channel is open), the lines without an address, and the columns.

    Raises `BadList`.
    """
    try:
        reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
        names = [str(name or "").strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        if not {"address", *SCHEMES} & set(names):
            raise BadList("line 1: the list has no column address, phone or email")
        if len(set(names)) != len(names):
            raise BadList("line 1: two columns have the same name")
        rows: list[Row] = []
        bad: list[tuple[int, str]] = []
        for given in reader:
            values = {name: (value or "").strip() for name, value in given.items() if isinstance(name, str)}
            if not any(values.values()):
                continue
            address = address_of(values, region)
            if not address:
                bad.append((reader.line_num, next(filter(None, values.values()))))
                continue
            rows.append(
                Row(
                    "",
                    address,
                    name=values.get("name", ""),
                    language=values.get("language", ""),
                    values={f"row.{name}": value for name, value in values.items()},
                )
            )
            if len(rows) > MOST_ROWS:
                raise BadList(f"line {reader.line_num}: a list has at most {MOST_ROWS} rows")
    except csv.Error as error:
        raise BadList(f"the list is no CSV: {error}") from None
    return rows, bad, tuple(f"row.{name}" for name in names)


def address_of(values: Mapping[str, str], region: str) -> str:
    """Return the address in a row, "" if there is none that can be written to."""
    text = values.get("address", "")
    if ":" in text:
        scheme, _, rest = text.partition(":")
        text = rest if scheme in ("tel", "mailto") else ""
        if not text and rest:
            return f"{scheme}:{rest}"
    for candidate in (text, values.get("phone", ""), values.get("email", "")):
        if any(found == candidate.lower() for _, _, found in emails(candidate.lower())):
            return f"mailto:{candidate.lower()}"
        digits = number(candidate, region) if candidate else ""
        if digits.startswith("+"):
            return f"tel:{digits}"
    return ""


class Audiences:
    """Puts audiences together from what the hub knows."""

    def __init__(self, store: Store, consent: Consent, channels: Channels, now: Callable[[], int]) -> None:
        self._store = store
        self._consent = consent
        self._channels = channels
        self._now = now

    async def gather(self, definition: CampaignFile, text: str, region: str = "CN") -> Audience:
        """Return who is written to, in the order of the seed, and who is not; *text* is the list, if there is one.

        Raises `BadList`, `StoreError`.
        """
        found = Audience()
        taken: set[str] = set()
        if definition.segment is not None:
            async for batch in self._segment(definition.segment, definition.channel):
                await self._sift(batch, definition, found, taken)
        else:
            rows, bad, _ = read(text, region)
            for _, shown in bad:
                found.leave_out(shown, "no_address")
            for start in range(0, len(rows), PAGE):
                batch = [self._carried(row, definition) for row in rows[start : start + PAGE]]
                await self._sift(batch, definition, found, taken)
        random.Random(definition.seed).shuffle(found.rows)  # noqa: S311  # an order that can be had again
        return found

    async def _segment(self, segment: Segment, channel: str | None) -> AsyncIterator[list[Row]]:
        """Yield customers who have written, the latest conversation first."""
        cursor = ""
        while True:
            found = await page(self._store, Filter(), cursor, PAGE)
            fitting = [one for one in found.items if self._fits(segment, one)]
            told = await contacts.load_many(self._store, [one.contact for one in fitting])
            yield [
                self._row(one, root, fields, channel)
                for one, (root, fields) in zip(fitting, told, strict=True)
                if known_fits(segment, fields, one.language)
            ]
            cursor = found.next
            if not cursor:
                return

    def _fits(self, segment: Segment, one: Conversation) -> bool:
        seen = self._now() - (one.last_inbound_at or one.opened_at)
        if segment.seen_within is not None and seen > segment.seen_within:
            return False
        if segment.not_seen_within is not None and seen <= segment.not_seen_within:
            return False
        return wants(segment.channels, one.channel) and wants(segment.kinds, one.kind)

    def _row(self, one: Conversation, root: str, fields: Mapping[str, str], channel: str | None) -> Row:
        carrier = self._channels.get(channel or one.channel)
        threads = carrier is not None and carrier.capabilities.threads
        return Row(
            channel or one.channel,
            one.address,
            root,
            one.name or fields.get("name", ""),
            fields.get("language") or one.language,
            # A mail of a bulk send begins a thread of its own.
            "" if threads or (channel or one.channel) != one.channel else one.handle,
        )

    def _carried(self, row: Row, definition: CampaignFile) -> Row:
        """Give a row of a list the channel that carries it."""
        name = definition.channel or next(
            (one.name for one in self._channels if reaches(one.capabilities, row.address)), ""
        )
        return Row(name, row.address, "", row.name, row.language, "", row.values)

    async def _sift(self, rows: Sequence[Row], definition: CampaignFile, found: Audience, taken: set[str]) -> None:
        records = await asyncio.gather(*(self._consent.address(row.address) for row in rows))
        owners = [row.contact or record.get("contact", "") for row, record in zip(rows, records, strict=True)]
        known = [one for one in owners if one]
        roots = dict(zip(known, await contacts.roots(self._store, known), strict=True))
        for row, record, owner in zip(rows, records, owners, strict=True):
            contact = roots.get(owner, "")
            if {contact or row.address, row.address} & taken:
                found.leave_out(row.address, "duplicate")
                continue
            reason = self._reason(row, record) or await self._unwilling(row, contact, definition)
            taken |= {contact or row.address, row.address}
            if reason:
                found.leave_out(row.address, reason)
            else:
                found.rows.append(
                    Row(row.channel, row.address, contact, row.name, row.language, row.handle, row.values)
                )

    def _reason(self, row: Row, record: Mapping[str, str]) -> str:
        """Return why a channel cannot carry it now, "" if it can."""
        channel = self._channels.get(row.channel)
        if channel is None or channel.connector is None:
            return "no_channel"
        return closed(channel, row.address, record, self._now())

    async def _unwilling(self, row: Row, contact: str, definition: CampaignFile) -> str:
        obstacle = await self._consent.obstacle(row.address, row.channel, "campaign", contact=contact)
        if obstacle is not None and obstacle.code == "no_consent" and definition.consent_source:
            return ""  # recorded before it is written to
        if obstacle is None and definition.segment is not None and definition.segment.consent == "consented":
            agreed = any(one.state == "consented" for one in await self._consent.known(row.address))
            return "" if agreed else "no_consent"
        return obstacle.code if obstacle is not None else ""


def closed(channel: Channel, address: str, record: Mapping[str, str], now: int) -> str:
    """Return why *channel* cannot write to *address* now, "" if it can. *record* is what is known of the address."""
    known = f"conv:{channel.name}" in record or f"wu:{channel.name}" in record
    if not known and not reaches(channel.capabilities, address):
        return "no_channel"
    if channel.capabilities.window is not None:
        until, left = int(record.get(f"wu:{channel.name}") or 0), record.get(f"wl:{channel.name}", "")
        if until <= now or left == "0":
            return "window_closed"
    return ""


def reaches(capabilities: Capabilities, address: str) -> bool:
    """Tell whether such a channel may write to somebody who has never written on it."""
    return address.partition(":")[0] in capabilities.reaches


def known_fits(segment: Segment, fields: Mapping[str, str], spoken: str) -> bool:
    """Tell whether what is known of a contact fits a segment."""
    known = contacts.from_hash(fields)
    tags = set(known.tags)
    if several(segment.tags) and not tags & set(several(segment.tags)):
        return False
    if tags & set(several(segment.without_tags)):
        return False
    language = known.language or spoken
    languages = several(segment.languages)
    if languages and not any(f"{language}-".startswith(f"{one}-") for one in languages):
        return False
    return wants(segment.tiers, known.tier)
