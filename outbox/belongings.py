"""Everything that the hub has of one person, found wherever it lies: for the person to see, and to be erased."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

from connectors.base import Media
from inbox import contacts, past, rewriting
from inbox import log as logbook
from inbox.contacts import NoContact
from inbox.conversations import Conversation, load_many, pairs
from inbox.fetching import Fetched
from inbox.log import Entry
from inbox.merging import ERASING, Merging
from inbox.partitions import Id, key, parse_id, partition_of, tag
from inbox.shapes import attachment_source
from inbox.store import Store
from outbox.campaigns import Campaign, Campaigns, Row
from outbox.deliveries import Deliveries, Delivery
from outbox.invitations import MOST_DUPLICATES, Invitations
from outbox.responses import Invitation, Response

HAD = "had"
"""The field of a contact that is being erased: its conversations, which do not name its addresses any more."""

SCAN = 2_000
CHUNK = 500


@dataclass(slots=True)
class Belongings:
    """What there is of a person. *contacts* are the hashes of the contact and its parts, by id, the root first.

    *records* are those of the addresses. *entries* are of the log, *files* the hashes of its attachments by the
    message and place where they are. *rows* are places in lists of bulk sends that are not over.
    """

    root: str
    contacts: dict[str, dict[str, str]]
    records: dict[str, dict[str, str]] = field(default_factory=dict)
    conversations: list[Conversation] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    invitations: list[Invitation] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    drafts: list[Id] = field(default_factory=list)
    files: dict[tuple[int, str, int], tuple[str, str, str]] = field(default_factory=dict)
    rows: list[tuple[Campaign, int]] = field(default_factory=list)

    @property
    def partitions(self) -> list[int]:
        """In which logs something of the person may stand."""
        found = {partition_of(address) for address in self.records}
        found |= {one.place.partition for one in self.conversations}
        return sorted(found | {parse_id(one, "k").partition for one in self.contacts})

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        types = [one.type for one in self.entries]
        return {
            "contacts": len(self.contacts),
            "addresses": len(self.records),
            "conversations": len(self.conversations),
            "messages": sum(one in logbook.INBOUND or one == logbook.REPLY for one in types),
            "notes": types.count(logbook.NOTE),
            "letters": types.count(logbook.LETTER),
            "entries": len(types),
            "deliveries": len(self.deliveries),
            "files": len({sha for sha, _, _ in self.files.values()}),
            "drafts": len(self.drafts),
            "invitations": len(self.invitations),
            "responses": len(self.responses),
            "list_rows": len(self.rows),
        }


class Searching:
    """Looks for what belongs to a person; slow, as it reads whole logs, and rare."""

    def __init__(
        self, store: Store, merging: Merging, deliveries: Deliveries, invitations: Invitations, campaigns: Campaigns
    ) -> None:
        self._store = store
        self._merging = merging
        self._deliveries = deliveries
        self._invitations = invitations
        self._campaigns = campaigns

    async def find(self, contact_id: str) -> Belongings:
        """Return what there is of a person. Raises `UnknownId`, `NoContact`, `StoreError`."""
        root, fields = await contacts.resolve(self._store, contact_id)
        found = Belongings(root, {root: fields})
        for one in await self._merging.all(root, fields):
            found.contacts[one.contact] = await contacts.own(self._store, one.contact)
        addresses = dict.fromkeys(one for each in found.contacts.values() for one in contacts.addresses_of(each))
        for address in addresses:
            partition = partition_of(address)
            name = key(partition, f"a:{address}")
            found.records[address] = pairs(await self._store.do(tag(partition), "HGETALL", name))
        if ERASING in fields:
            await self._newcomers(found)
        had = await past.had(self._store, {"addresses": "\n".join(addresses)})
        noted = [parse_id(one, "c") for one in fields.get(HAD, "").split()]
        loaded = await load_many(self._store, list(dict.fromkeys([*(one.place for one in had), *noted])))
        found.conversations = [one for one in loaded if one is not None]
        for partition in found.partitions:
            await self._entries(found, partition)
            await self._surveys(found, partition)
        await self._lists(found)
        return found

    async def _newcomers(self, found: Belongings) -> None:
        """Add the contacts that arose because the person wrote on after the record of an address was erased."""
        for record in found.records.values():
            owner = record.get("contact", "")
            if not owner or owner in found.contacts:
                continue
            try:
                fields = await contacts.own(self._store, owner)
            except NoContact:
                continue
            if contacts.INTO not in fields and set(contacts.addresses_of(fields)) <= set(found.records):
                found.contacts[owner] = fields

    async def _entries(self, found: Belongings, partition: int) -> None:
        """Read a whole log for what concerns the person."""
        own = [one.place.key for one in found.conversations if one.place.partition == partition]
        here = Here(set(found.records), {one.id for one in found.conversations}, set(own))
        here.contacts = {place.key for place in self._places(found) if place.partition == partition}
        async for entry in rewriting.entries(self._store, partition):
            if here.concerns(entry):
                found.entries.append(entry)
                found.files |= await self._files(entry)
        places = [Id("d", partition, name) for name in sorted(here.deliveries)]
        loaded = await self._deliveries.load_many(places)
        found.deliveries += [one for one in loaded if one is not None]
        found.drafts += [parse_id(name, "w") for name in sorted(here.drafts)]

    @staticmethod
    def _places(found: Belongings) -> list[Id]:
        return [parse_id(one, "k") for one in found.contacts]

    async def _files(self, entry: Entry) -> dict[tuple[int, str, int], tuple[str, str, str]]:
        """Return the files of an entry that are kept: hash, type and name."""
        body = entry.fields.get("b", "")
        if '"media"' not in body or entry.type == logbook.STATE:
            return {}
        media = msgspec.convert(msgspec.json.decode(body).get("media", []), list[Media])
        name = key(entry.partition, f"f:{entry.id}")
        later = pairs(await self._store.do(tag(entry.partition), "HGETALL", name))
        sources = {
            index: attachment_source(
                one, msgspec.json.decode(later[str(index)], type=Fetched) if str(index) in later else Fetched()
            )
            for index, one in enumerate(media)
        }
        return {(entry.partition, entry.id, index): one for index, one in sources.items() if one is not None}

    async def _surveys(self, found: Belongings, partition: int) -> None:
        """Look through the invitations of a partition, whichever survey they belong to."""
        async for name in self._keys(partition, "ivs:*"):
            places = [Id("i", partition, one) for one in await self._store.do(tag(partition), "ZRANGE", name, 0, -1)]
            for start in range(0, len(places), CHUNK):
                loaded = await self._invitations.load_many(places[start : start + CHUNK])
                found.invitations += [one for one in loaded if one is not None and self._asked(found, one)]
        for one in found.invitations:
            if one.place.partition == partition:
                endings = ("", *(f"-{number}" for number in range(1, MOST_DUPLICATES + 1)))
                answers = [Id("r", partition, one.place.key + ending) for ending in endings]
                found.responses += [each for each in await self._invitations.responses(answers) if each is not None]

    @staticmethod
    def _asked(found: Belongings, one: Invitation) -> bool:
        return one.address in found.records or one.contact in found.contacts

    async def _keys(self, partition: int, pattern: str) -> AsyncIterator[str]:
        """Yield the keys of a partition that look like *pattern*."""
        cursor, match = "0", key(partition, pattern)
        seen: set[str] = set()
        while True:
            cursor, names = await self._store.do(tag(partition), "SCAN", cursor, "MATCH", match, "COUNT", SCAN)
            for name in names:
                if name not in seen:
                    seen.add(name)
                    yield name
            if cursor == "0":
                return

    async def _lists(self, found: Belongings) -> None:
        """Look through the lists of bulk sends that have not come to an end."""
        cursor = ""
        while True:
            page, cursor = await self._campaigns.listing(cursor, CHUNK)
            for one in page:
                start = 0
                while rows := await self._campaigns.rows(one, start, CHUNK):
                    named = [start + index for index, row in enumerate(rows) if self._named(found, row)]
                    found.rows += [(one, number) for number in named]
                    start += len(rows)
            if not cursor:
                return

    async def drafts(self) -> list[Campaign]:
        """Return the bulk sends whose list is still kept as it came. Raises `StoreError`."""
        found, cursor = list[Campaign](), ""
        while True:
            page, cursor = await self._campaigns.listing(cursor, CHUNK)
            found += [one for one in page if await self._campaigns.text(one)]
            if not cursor:
                return found

    async def text(self, campaign: Campaign) -> str:
        """Return the list of a bulk send as it came. Raises `StoreError`."""
        return await self._campaigns.text(campaign)

    @staticmethod
    def _named(found: Belongings, row: Row) -> bool:
        return row.address in found.records or row.contact in found.contacts


@dataclass(slots=True)
class Here:
    """What of a log concerns a person; it learns while the log is read from its beginning.

    *names* are whole ids of conversations, *keys* those of this partition without it.
    """

    addresses: set[str]
    names: set[str]
    keys: set[str]
    contacts: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    deliveries: set[str] = field(default_factory=set)
    drafts: set[str] = field(default_factory=set)

    def concerns(self, entry: Entry) -> bool:
        """Tell whether *entry* is about the person, and remember what follows from it."""
        fields = entry.fields
        mine = (
            fields.get("a") in self.addresses
            or fields.get("c") in self.keys
            or fields.get("ab") in self.names
            or (entry.type == logbook.CONTACT and fields.get("k") in self.contacts)
            or (entry.type in (logbook.PLACED, logbook.IGNORED) and fields.get("m") in self.messages)
            or (entry.type == logbook.DELIVERY and fields.get("d") in self.deliveries)
        )
        if not mine:
            return False
        if entry.type in logbook.INBOUND:
            self.messages.add(entry.id)
        if entry.type in (logbook.REPLY, logbook.LETTER):
            self.deliveries.add(fields["d"])
        if entry.type == logbook.STATE and fields["ev"] == "draft_held":
            self.drafts.add(str(entry.rest().get("draft", "")))
        self.drafts.discard("")
        return True


async def gathered(store: Store, places: list[Id]) -> list[dict[str, str]]:
    """Return the drafts at these places as the store has them. Raises `StoreError`."""
    replies = await store.each(
        [(tag(one.partition), ("HGETALL", key(one.partition, f"w:{one.key}"))) for one in places]
    )
    return [pairs(reply) for reply in replies]
