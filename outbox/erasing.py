"""Remove what the hub has of a person, because the law gives them the right to it. Every step may be done twice.

What makes the person known goes; that something happened, when, and how much of it, stays, so that reports go on adding
up. The contact itself goes last: until then it says that it is being erased, and whoever owns its partition goes on
where a process died.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from connectors.base import Forgetful, Media
from inbox import contacts, rewriting
from inbox import log as logbook
from inbox.attachments import Attachments
from inbox.channels import Channels
from inbox.contacts import INTO, LIST, NoContact
from inbox.conversations import Change, Conflict, commit
from inbox.fetching import DUE as DUE_FILES
from inbox.fetching import Fetched, pending
from inbox.leases import Held
from inbox.log import ERASED, Entry
from inbox.merging import BUSY, ERASING
from inbox.partitions import key, new_key, parse_id, partition_of, shared_key, tag
from inbox.recording import Recorder, Rest
from inbox.search import forget
from inbox.store import Refused, Script, Store
from inbox.work import Actor, Desk
from outbox.audience import address_of
from outbox.belongings import HAD, Belongings, Searching
from outbox.blanking import blanked
from outbox.campaigns import Row
from outbox.consent import PREFIX, Word
from outbox.deliveries import Deliveries, NoDelivery, NotNow
from outbox.drafts import INDEX
from outbox.forgotten import Forgotten
from outbox.invitations import DUE as SURVEYS_DUE
from outbox.responses import SUPPRESSED

log = logging.getLogger(__name__)

ERASE = Script.load(Path(__file__).parent / "scripts" / "erase.lua")
DUE = "kgone"
BELL = "kg"
FILES = "files"
JOBS = "fetches"
"""Fields of a contact that is being erased: the hashes of its files, and where files stand that may come still."""

PATIENCE = 60_000
"""Milliseconds after which somebody else goes on with what nobody has finished."""

TRIES = 8
CHUNK = 200
LEAST = 5
"""Characters of an address by which a payload that nobody could parse is taken for the person's."""

NOBODY = Row("", "")

State = Literal["would", "erased", "nothing"]


class BeingSent(Exception):
    """An answer to the person is on its way at this very moment."""


class Order(msgspec.Struct, frozen=True):
    """Who wanted a person erased, when and why."""

    at: int
    by: Actor
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Erased:
    """What went (or would go), by kind, and what stays: what, how many, and why."""

    state: State
    goes: dict[str, int]
    stays: tuple[tuple[str, int, str], ...]


class Eraser:
    """Erases people. *stays* in words is for whoever has to answer to them."""

    def __init__(
        self,
        store: Store,
        searching: Searching,
        deliveries: Deliveries,
        desk: Desk,
        recorder: Recorder,
        attachments: Attachments,
        channels: Channels,
        forgotten: Forgotten,
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._searching = searching
        self._deliveries = deliveries
        self._desk = desk
        self._recorder = recorder
        self._attachments = attachments
        self._channels = channels
        self._forgotten = forgotten
        self._now = now

    async def look(self, contact_id: str) -> Erased:
        """Return what would go, and what would stay. Raises `UnknownId`, `NoContact`, `StoreError`."""
        found = await self._searching.find(contact_id)
        shunted = await self._shunted(found)
        return self._told("would", found, shunted)

    async def erase(self, contact_id: str, actor: Actor, reason: str = "") -> Erased:
        """Remove a person; a contact that is not there any more has been erased before.

        Raises `UnknownId`, `BeingSent`, `Conflict`, `StoreError`.
        """
        parse_id(contact_id, "k")
        try:
            root, fields = await contacts.resolve(self._store, contact_id)
        except NoContact:
            return Erased("nothing", {}, ())
        order = Order(self._now(), actor, reason)
        told = fields.get(ERASING) or msgspec.json.encode(order).decode()
        for _ in range(TRIES):
            free = {BUSY: "", INTO: ""}
            if await contacts.write(self._store, root, free, {ERASING: told}, mark=(DUE, self._now())):
                return await self._erase(root, msgspec.json.decode(told, type=Order))
        raise Conflict

    async def turn(self, held: Held) -> int | None:
        """Go on with what a process that died has begun; return when to look again. Raises `StoreError`."""
        name, slot = key(held.partition, DUE), tag(held.partition)
        for one in await self._store.do(slot, "ZRANGEBYSCORE", name, "-inf", self._now() - PATIENCE):
            told = await self._store.do(slot, "HGET", key(held.partition, f"k:{one}"), ERASING)
            await self._store.do(slot, "ZADD", name, "XX", self._now(), one)
            if told is None:
                await self._store.do(slot, "ZREM", name, one)
                continue
            try:
                await self._erase(f"k{held.partition}-{one}", msgspec.json.decode(told, type=Order))
            except (BeingSent, Conflict, rewriting.Disturbed):
                log.info("the erasure of a contact goes on later")
        first = await self._store.do(slot, "ZRANGE", name, 0, 0, "WITHSCORES")
        return int(float(first[1])) + PATIENCE if first else None

    async def _erase(self, root: str, order: Order) -> Erased:
        for _ in range(TRIES):
            found = await self._searching.find(root)
            if any(one.state == "sending" for one in found.deliveries):
                raise BeingSent
            shunted = await self._shunted(found)
            stand_in = f"{ERASED}:{new_key()}"
            for address, record in found.records.items():
                await self._forgotten.keep(address, opted_out(record))
            for name in shunted:
                await self._recorder.drop_shunted(name)
            await self._withdraw(found, order)
            await self._lists(found)
            await self._surveys(found, stand_in)
            noted = await self._noted(found)
            if noted is None:
                continue
            files, jobs = noted
            for partition in found.partitions:
                mine = {one.id: blanked(one, stand_in) for one in found.entries if one.partition == partition}
                await rewriting.rewrite(self._store, partition, mine)
            files |= await self._unfetched(jobs)
            await self._conversations(found, stand_in, order)
            if not await self._files(files):
                continue
            await self._unnamed(jobs)
            await forget(self._store, [one.id for one in found.conversations], self._now())
            if await self._person(found, order):
                await self._compact(found)
                return self._told("erased", found, shunted)
        raise Conflict

    async def _withdraw(self, found: Belongings, order: Order) -> None:
        """Call back what has not left, and take words and addresses out of what has."""
        for one in found.deliveries:
            if one.state in ("queued", "deferred"):
                try:
                    await self._deliveries.drop(one.id, self._now(), order.by.id)
                except (NotNow, NoDelivery):
                    raise BeingSent from None
        for one in found.deliveries:
            name = key(one.place.partition, f"d:{one.place.key}")
            values = ("address", f"{ERASED}:{one.place.key}", "error", "")
            slot = tag(one.place.partition)
            commands = [("HSET", name, *values), ("HDEL", name, "instead", "handle")]
            if await self._store.do(slot, "EXISTS", name):
                await self._store.many(slot, commands)
        for place in found.drafts:
            commands = [
                ("DEL", key(place.partition, f"w:{place.key}")),
                ("ZREM", key(place.partition, INDEX), place.key),
            ]
            await self._store.many(tag(place.partition), commands)

    async def _lists(self, found: Belongings) -> None:
        """Take the person out of the lists of bulk sends that are not over; who is not there is left out."""
        nobody = msgspec.json.encode(NOBODY).decode()
        for campaign, number in found.rows:
            place = campaign.place
            await self._store.do(tag(place.partition), "LSET", key(place.partition, f"br:{place.key}"), number, nobody)
        for campaign in await self._searching.drafts():
            text = await self._searching.text(campaign)
            kept = without(text, found)
            if kept != text:
                place = campaign.place
                await self._store.do(tag(place.partition), "SET", key(place.partition, f"bl:{place.key}"), kept)

    async def _surveys(self, found: Belongings, stand_in: str) -> None:
        """Leave of invitations and responses what counts: when, how, and the scores."""
        for one in found.invitations:
            place, name = one.place, key(one.place.partition, f"iv:{one.place.key}")
            known = msgspec.json.decode(await self._store.do(tag(place.partition), "HGET", name, "b") or b"{}")
            known |= {"address": stand_in, "contact": "", "key": ""}
            values: list[str] = ["b", msgspec.json.encode(known).decode()]
            if one.state in ("waiting", "sent"):
                values += ["state", SUPPRESSED, "reason", ERASED]
            due = [f"{what}:{place.key}" for what in ("send", "remind", "expire", "code")]
            commands = [("HSET", name, *values), ("ZREM", key(place.partition, SURVEYS_DUE), *due)]
            await self._store.many(tag(place.partition), commands)
        for each in found.responses:
            name = key(each.place.partition, f"rsp:{each.place.key}")
            texts = [f"q:{answer.question}" for answer in each.answers if isinstance(answer.value, str)]
            values = [word for field in texts for word in (field, "null")]
            await self._store.do(tag(each.place.partition), "HSET", name, "codes", "", *values)

    async def _conversations(self, found: Belongings, stand_in: str, order: Order) -> None:
        """Take names and addresses out of conversations, and close those that somebody waits in."""
        nothing = {"address": stand_in, "name": "", "subject": "", "handle": "", "why": "", "contact": found.root}
        for one in found.conversations:
            change = Change(id=one.place.key, set=nothing)
            await commit(self._store, one.place.partition, change)
            if one.status != "resolved":
                await self._desk.resolve(one.id, order.by)
            name, slot = key(one.place.partition, f"c:{one.place.key}"), tag(one.place.partition)
            fields = await self._store.do(slot, "HKEYS", name)
            # Digests of addresses: a telephone number can be found again from one.
            marks = [field for field in fields if field.startswith(("from:", "note:"))]
            if marks:
                await self._store.do(slot, "HDEL", name, *marks)

    async def _noted(self, found: Belongings) -> tuple[set[str], set[str]] | None:
        """Return the person's files, and the jobs for those that may come still.

        Both are noted, as the log that names them will not do so any more, and so are the conversations, which an
        address leads to only as long as it stands in them. None if somebody has changed the contact since it was
        looked through.
        """
        root = found.contacts[found.root]
        files = {sha for sha, _, _ in found.files.values()} | set(root.get(FILES, "").split())
        jobs = {one for entry in found.entries for one in fetches(entry)} | set(root.get(JOBS, "").split())
        conversations = sorted(one.id for one in found.conversations)
        values = {FILES: " ".join(sorted(files)), JOBS: " ".join(sorted(jobs)), HAD: " ".join(conversations)}
        values = {name: value for name, value in values.items() if value != root.get(name, "")}
        if values:
            if not await contacts.write(self._store, found.root, {"v": root.get("v", "")}, values):
                return None
            found.contacts[found.root] = await contacts.own(self._store, found.root)
        for partition, position, _ in found.files:
            await self._store.do(tag(partition), "DEL", key(partition, f"f:{position}"))
        return files, jobs

    async def _unfetched(self, jobs: Collection[str]) -> set[str]:
        """Let nobody fetch the files of *jobs* any more, and return those that were fetched until now.

        The log does not name them any more: nobody begins anew. Who has begun finds that the job is gone.
        """
        found = set[str]()
        for partition, position, index in map(parted, jobs):
            await self._store.do(tag(partition), "ZREM", key(partition, DUE_FILES), f"{position}:{index}")
            known = await self._store.do(tag(partition), "HGET", key(partition, f"f:{position}"), index)
            if known:
                found.add(msgspec.json.decode(known, type=Fetched).sha)
        return found - {""}

    async def _unnamed(self, jobs: Collection[str]) -> None:
        """Forget what became of the files of *jobs*, now that they are gone."""
        for partition, position, _ in map(parted, jobs):
            await self._store.do(tag(partition), "DEL", key(partition, f"f:{position}"))

    async def _files(self, own: set[str]) -> bool:
        """Remove the files that nobody else's message needs; False if somebody has just kept one of them anew."""
        if not own:
            return True
        kept = {sha: await self._attachments.kept_at(sha) for sha in own}
        lonely = own - await rewriting.mentioned(self._store, own)
        gone = [await self._attachments.remove(sha, kept[sha]) for sha in lonely]
        if not all(gone):
            return False
        known = await self._store.do("files", "HGETALL", shared_key("files", "known"))
        for name, packed in zip(known[::2], known[1::2], strict=True):
            if msgspec.json.decode(packed, type=Media).ref.removeprefix("sha256:") in lonely:
                await self._store.do("files", "HDEL", shared_key("files", "known"), name)
        return True

    async def _person(self, found: Belongings, order: Order) -> bool:
        """Remove addresses and contacts; False if somebody has changed the contact meanwhile."""
        for channel in self._channels:
            connector: object = channel.connector
            for address in found.records:
                if isinstance(connector, Forgetful):
                    await connector.forget(address)
        for address, record in found.records.items():
            partition = partition_of(address)
            keys = [key(partition, f"a:{address}")]
            if not await self._store.run(ERASE, tag(partition), keys, (record.get("placed", ""),)):
                return False  # they have written meanwhile: that goes, too
        for name in found.contacts:
            if name != found.root:
                await contacts.write(self._store, name, {}, unmark=(LIST,), drop=True)
        version = found.contacts[found.root].get("v", "")
        ids = [one.id for one in found.conversations]
        entry = contacts.told(parse_id(found.root, "k"), order.by, self._now(), ERASED, {"conversations": ids})
        return await contacts.write(
            self._store, found.root, {"v": version, BUSY: ""}, unmark=(LIST, DUE), drop=True, log=entry
        )

    async def _compact(self, found: Belongings) -> None:
        """Ask the store to write its files anew: until then they hold what was there before."""
        for partition in found.partitions:
            try:
                asked = await self._store.do(tag(partition), "CONFIG", "GET", "appendonly")
                if "yes" in asked:
                    await self._store.do(tag(partition), "BGREWRITEAOF")
            except Refused as refusal:
                log.warning("the store does not write its file anew at once: %s", refusal.code)

    async def _shunted(self, found: Belongings) -> list[str]:
        """Return the payloads that nobody could parse in which an address of the person stands."""
        values = [address.partition(":")[2].encode() for address in found.records]
        values = [one for one in values if len(one) >= LEAST]
        names, cursor = [], ""
        while values:
            page, cursor = await self._recorder.shunted(cursor, CHUNK)
            names += [one.id for one in page if any(value in one.raw for value in values)]
            if not cursor:
                break
        return names

    def _told(self, state: State, found: Belongings, shunted: Sequence[str]) -> Erased:
        opted = sum(bool(opted_out(record)) for record in found.records.values())
        stays = [
            ("opt_outs", opted, "that nobody writes to them again; kept as a keyed hash of the address"),
            ("conversations", len(found.conversations), "when they were, whose they were, how many messages they had"),
            ("log_entries", len(found.entries), "when something happened, and of what kind; without words or names"),
            ("scores", len(found.responses), "answers in numbers; without words, and nobody can tell whose"),
        ]
        goes = {**found.counts(), "shunted": len(shunted)}
        return Erased(state, goes, tuple(one for one in stays if one[1]))


def opted_out(record: dict[str, str]) -> list[str]:
    """Return by turns field and value of the opt-outs in an address's record, without who and why."""
    kept: list[str] = []
    for name, value in record.items():
        if name.startswith(PREFIX):
            word = msgspec.json.decode(value, type=Word)
            if word.state == "opted_out":
                bare = Word(word.state, word.at, word.how, channel=word.channel, lane=word.lane)
                kept += [name, msgspec.json.encode(bare).decode()]
    return kept


def fetches(entry: Entry) -> list[str]:
    """Return the jobs for the files of a message that the platform has given as references."""
    body = entry.fields.get("b", "")
    if entry.type not in logbook.INBOUND or '"media"' not in body:
        return []
    media = msgspec.json.decode(body, type=Rest).media
    return [f"{entry.partition}:{entry.id}:{index}" for index, one in enumerate(media) if pending(one)]


def parted(job: str) -> tuple[int, str, str]:
    """Return partition, position and place of what `fetches` has named."""
    partition, position, index = job.split(":")
    return int(partition), position, index


def without(text: str, found: Belongings) -> str:
    """Return the CSV list *text* without the rows of a person."""
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error:
        return text
    if not rows:
        return text
    heads = [name.strip().lower() for name in rows[0]]
    kept = [row for row in rows[1:] if address_of(dict(zip(heads, row, strict=False)), "CN") not in found.records]
    if len(kept) == len(rows) - 1:
        return text
    written = io.StringIO()
    csv.writer(written).writerows([rows[0], *kept])
    return written.getvalue()
