"""Give a recorded event its contact and its conversation. Doing it twice changes nothing.

A message belongs to the conversation that it answers (mail: by message id), else to the latest one of
its address on its channel; a resolved one is reopened for a while, later a new one is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from connectors.base import Capabilities
from inbox import contacts, conversations, course, fetching
from inbox import log as logbook
from inbox.contacts import Contact
from inbox.conversations import Change, Conversation, commit, pairs
from inbox.leases import Held
from inbox.log import Entry
from inbox.partitions import Id, digest, key, parse_id, tag
from inbox.recording import Rest, receipt_partition
from inbox.store import Script, Store

NOBODY = Contact()
LOCATE = Script.load(Path(__file__).parent / "scripts" / "locate.lua")
REOPEN_FOR = 3 * 24 * 3600 * 1000
SUBJECT_LIMIT = 120
CLOCKS_DIFFER = 5_000
CHUNK = 500
LOOK_AHEAD = 20  # chunks of the log; a message is placed moments after it is logged


@dataclass(frozen=True, slots=True)
class Origin:
    """An inbound log entry, parsed once."""

    entry: Entry
    channel: str
    address: str
    at: int
    text: str
    rest: Rest
    capabilities: Capabilities
    kind: str

    @property
    def message_id(self) -> str:
        return f"m{self.entry.partition}-{self.entry.id}"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an event belongs: the address's record, and a conversation if there is one to continue.

    *contact* is what is known of the customer, *root* the contact that they are (part of), "" for a stranger.
    """

    address: Mapping[str, str]
    conversation: Conversation | None
    reopens: bool
    contact: Contact = NOBODY
    root: str = ""

    @property
    def new(self) -> bool:
        return self.conversation is None

    def newest(self, channel: str) -> str:
        """Return which conversation of the address on *channel* was opened last, "" if none was.

        The latest message (`conv:`) may stand in an earlier one; from the newest all others are found by `before`.
        """
        return self.address.get(f"opened:{channel}") or self.address.get(f"conv:{channel}", "")


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of an event: its conversation ("" for a stranger's notice), and whether it is new or reopened."""

    conversation: str
    fresh: bool
    opened: bool = False
    reopened: bool = False


@dataclass(slots=True)
class Decided:
    """What the router wants to have set on the conversation, and what the log shall tell of it.

    *language* is that of the message, "" if it cannot be told.
    *story* is told of what has an effect that others wait for, *seen* of a decision that has none. *quiet* leaves the
    conversation as it stands, but for the message on its timeline: nobody has to answer it.
    """

    language: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    story: dict[str, Any] = field(default_factory=dict)
    seen: str = ""
    quiet: bool = False


def parse(entry: Entry, kind: str, capabilities: Capabilities) -> Origin:
    """Parse an inbound log entry."""
    fields = entry.fields
    body = fields.get("b")
    rest = msgspec.json.decode(body, type=Rest) if body else Rest()
    return Origin(entry, fields["ch"], fields["a"], int(fields["at"]), fields.get("tx", ""), rest, capabilities, kind)


class Placer:
    """Finds and opens conversations."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def locate(self, origin: Origin) -> Spot:
        """Find where *origin* belongs, without changing anything. Raises `StoreError`."""
        partition, latest = origin.entry.partition, f"conv:{origin.channel}"
        keys = [key(partition, f"a:{origin.address}")]
        asked = (latest, *contacts.KNOWN, contacts.INTO)
        found, conversation_found, told = await self._store.run(LOCATE, tag(partition), keys, asked)
        record = pairs(found)
        root, contact = await self._contact(record, told)
        known = await self._referred(origin)
        conversation: Conversation | None = None
        if known is None and not origin.capabilities.threads:
            known = record.get(latest)
            if known and conversation_found:
                conversation = conversations.from_hash(known, pairs(conversation_found))
        if conversation is None and known:
            conversation = (await conversations.load_many(self._store, [parse_id(known, "c")]))[0]
        if conversation is None:
            return Spot(record, None, reopens=False, contact=contact, root=root)
        if conversation.status == "resolved" and origin.entry.type == logbook.MESSAGE:
            if not origin.rest.refs and origin.entry.ms - conversation.resolved_at > REOPEN_FOR:
                return Spot(record, None, reopens=False, contact=contact, root=root)
            return Spot(record, conversation, reopens=True, contact=contact, root=root)
        return Spot(record, conversation, reopens=False, contact=contact, root=root)

    async def _contact(self, record: Mapping[str, str], told: Sequence[str | None]) -> tuple[str, Contact]:
        """Return the contact and what is known of it: *told*, or asked for where it is in another partition."""
        name = record.get("contact", "")
        if not name or (told and not any(told)):
            return name, NOBODY
        if told and not told[-1]:
            return name, contacts.from_hash(dict(zip(contacts.KNOWN, told, strict=False)))
        [(root, fields)] = await contacts.load_many(self._store, [name])
        return root, contacts.from_hash(fields)

    async def _referred(self, origin: Origin) -> str | None:
        """Return the conversation of a message that this one answers, if it was on the same channel."""
        for reference in origin.rest.refs:
            found = await self._reference(origin.channel, reference)
            if found:
                return found
        return None

    async def _reference(self, channel: str, external_id: str) -> str | None:
        partition = receipt_partition(channel, external_id)
        mark = digest(channel, "ref", external_id)
        found: str | None = await self._store.do(tag(partition), "HGET", key(partition, f"refs:{mark[:2]}"), mark)
        return found

    async def refer(self, channel: str, external_id: str, conversation_id: str) -> None:
        """Remember that answers to *external_id* belong to a conversation. Raises `StoreError`."""
        partition = receipt_partition(channel, external_id)
        mark = digest(channel, "ref", external_id)
        # The first one holds: a reader that starts again knows an address's latest conversation, not each message's.
        await self._store.do(tag(partition), "HSETNX", key(partition, f"refs:{mark[:2]}"), mark, conversation_id)

    async def verdict(self, message: Id) -> Entry | None:
        """Return the log entry by which an inbound message found its conversation, or was ignored; None if none did.

        Raises `StoreError`.
        """
        event = (await logbook.fetch(self._store, [(message.partition, message.key)]))[0]
        if event is None or event.type not in logbook.INBOUND:
            return None
        partition, item, after = message.partition, message.key, event.id
        known = await self._reference(event.fields["ch"], event.fields["x"])
        if known and parse_id(known, "c").partition != partition:
            # A colleague's mail: it stands in the log of the conversation, whose node may have another clock.
            partition, item = parse_id(known, "c").partition, f"{item}@{message.partition}"
            after = f"{event.ms - CLOCKS_DIFFER}-0"
        for _ in range(LOOK_AHEAD):
            entries = await logbook.read(self._store, partition, after, CHUNK)
            for entry in entries:
                if entry.type in {logbook.PLACED, logbook.IGNORED} and entry.fields["m"] == item:
                    return entry
            if len(entries) < CHUNK:
                return None
            after = entries[-1].id
        return None

    async def place(self, held: Held, origin: Origin, spot: Spot, decided: Decided) -> Placed:
        """Append *origin* to its conversation, opening one if need be.

        Raises `Conflict` (locate again), `Fenced` or `StoreError`.
        """
        conversation = spot.conversation
        if conversation is None and origin.entry.type != logbook.MESSAGE:
            await self._note_address(held, origin, spot)
            return Placed("", fresh=True)
        if conversation is not None and conversation.place.partition != held.partition:
            placed = await self._append_abroad(origin, conversation, spot, decided)
            await self._note_address(held, origin, spot)
        else:
            placed = await self._append(held, origin, spot, decided)
        if origin.capabilities.threads and origin.entry.type == logbook.MESSAGE and placed.conversation:
            await self.refer(origin.channel, origin.entry.fields["x"], placed.conversation)
        return placed

    async def ignore(self, held: Held, origin: Origin, reason: str, story: Mapping[str, Any]) -> bool:
        """Leave a message out of every conversation because a rule says so; the log keeps it, with reason and *story*.

        Returns False if an earlier run had done it. Raises `Fenced` or `StoreError`.
        """
        entry = origin.entry
        told = msgspec.json.encode(story).decode()
        done = await commit(
            self._store,
            held.partition,
            Change(
                epoch=held.epoch,
                once=(f"a:{origin.address}", "placed", entry.id, "contact"),
                records=[(f"a:{origin.address}", ["placed", entry.id])],
                log=[("", ["t", logbook.IGNORED, "m", entry.id, "er", reason, "b", told])],
            ),
        )
        return done.fresh

    async def _append(self, held: Held, origin: Origin, spot: Spot, decided: Decided) -> Placed:
        partition, entry = held.partition, origin.entry
        place = spot.conversation.place if spot.conversation else Id("c", partition, entry.id)
        contact = spot.address.get("contact") or f"k{partition}-{entry.id}"
        change = self._change(origin, spot, place, decided, entry.id)
        change.epoch = held.epoch
        change.once = (f"a:{origin.address}", "placed", entry.id, f"conv:{origin.channel}")
        change.same = self._owned(origin, spot)
        if spot.conversation is None:
            change.set = {
                "channel": origin.channel,
                "kind": origin.kind,
                "address": origin.address,
                "contact": contact,
                "before": spot.newest(origin.channel),
                "opened_at": entry.ms,
                "subject": origin.rest.subject[:SUBJECT_LIMIT],
                **change.set,
            }
        learnt = [*self._record(origin, spot, contact), f"conv:{origin.channel}", str(place)]
        newest = str(place) if spot.new else spot.newest(origin.channel)
        if newest:
            learnt += (f"opened:{origin.channel}", newest)
        change.records = [(f"a:{origin.address}", learnt)]
        name = entry.fields.get("n", "")
        home = parse_id(contact, "k")
        if "contact" not in spot.address:
            change.records.append((f"k:{home.key}", ["name", name, "addresses", origin.address, "since", origin.at]))
            change.marks = (*change.marks, (contacts.LIST, origin.at, home.key))
        elif (
            name and entry.type == logbook.MESSAGE and name != spot.address.get("name") and home.partition == partition
        ):
            change.records.append((f"k:{home.key}", ["name", name]))
        done = await commit(self._store, partition, change)
        if not done.fresh:
            return Placed(done.answer or str(place), fresh=False)
        return Placed(str(place), fresh=True, opened=spot.new, reopened=spot.reopens)

    async def _append_abroad(self, origin: Origin, conversation: Conversation, spot: Spot, decided: Decided) -> Placed:
        """Append to a conversation of another partition (a colleague's mail); its own slot says if that was done."""
        place, entry = conversation.place, origin.entry
        change = self._change(origin, spot, place, decided, f"{entry.id}@{entry.partition}")
        # By address, as one customer's events come in order; those of a partition do not.
        writer = f"from:{digest(origin.address)}"
        change.once = (f"c:{place.key}", writer, entry.id, "")
        change.records = [(f"c:{place.key}", [writer, entry.id])]
        done = await commit(self._store, place.partition, change)
        return Placed(str(place), fresh=done.fresh, reopened=spot.reopens)

    def _change(self, origin: Origin, spot: Spot, place: Id, decided: Decided, item: str) -> Change:
        """Build what every placing does to its conversation."""
        entry = origin.entry
        values: dict[str, Any] = {
            "last_message_at": max(entry.ms, spot.conversation.last_message_at if spot.conversation else 0)
        }
        if decided.quiet:
            pass
        elif entry.type == logbook.MESSAGE:
            values["status"] = "open"
            values["last_inbound_at"] = entry.ms
            if origin.rest.handle:
                values["handle"] = origin.rest.handle
            spoken = spot.conversation.language if spot.conversation else ""
            # "ok" and 你好 tell less than what was known before.
            if decided.language and not f"{spoken}-".startswith(f"{decided.language}-"):
                values["language"] = decided.language
            name = entry.fields.get("n", "")
            if name and (spot.conversation is None or not spot.conversation.name):
                values["name"] = name
            values |= self._course(spot, entry.ms)
        elif spot.conversation is None:
            values["status"] = "open"
        elif entry.type == logbook.ECHO:
            values |= self._answered(spot.conversation, entry.ms)
        values.update(decided.set)
        fields: list[conversations.Value] = ["t", logbook.PLACED, "c", place.key, "m", item]
        if spot.new or spot.reopens:
            fields += ["o", "new" if spot.new else "reopened"]
        if decided.story:
            fields += ["b", msgspec.json.encode(decided.story).decode()]
        elif decided.seen:
            fields += ["q", decided.seen]
        unset: tuple[str, ...] = ()
        if entry.type == logbook.MESSAGE and spot.conversation is not None and spot.conversation.heed:
            fields += ["w", 1]
            unset = ("heed",)
        return Change(
            id=place.key,
            version=spot.conversation.version if spot.conversation else None,
            set=values,
            unset=unset,
            count=(("messages", 1),) if entry.type != logbook.NOTICE else (),
            log=[("d" if decided.story or decided.seen else "", fields), *self._reopening(spot, place, entry.ms)],
            timeline=(f"m{item}",),
            marks=tuple(
                (fetching.DUE, entry.ms, f"{entry.id}:{index}")
                for index, media in enumerate(origin.rest.media)
                if fetching.pending(media) and place.partition == entry.partition
            ),
        )

    def _course(self, spot: Spot, at: int) -> dict[str, str]:
        """Return how a customer's message carries the course of the conversation on."""
        if spot.conversation is None:
            return {"course": course.extended("", course.OPENED, at)}
        return conversations.stepped(spot.conversation, course.OPENED if spot.reopens else course.WROTE, at)

    def _answered(self, known: Conversation, at: int) -> dict[str, Any]:
        """Return what an answer changes that one of us gave in the platform's own tool: the customer waits no more."""
        values: dict[str, Any] = dict(conversations.stepped(known, course.ANSWERED, at))
        if not known.first_reply_at:
            values["first_reply_at"] = at
        return values

    def _reopening(self, spot: Spot, place: Id, at: int) -> list[tuple[str, list[conversations.Value]]]:
        """Return the timeline's word that the customer opened a resolved conversation again."""
        if not spot.reopens:
            return []
        author = msgspec.json.encode({"kind": "hub", "id": "", "name": ""}).decode()
        return [("s", ["t", logbook.STATE, "c", place.key, "ev", "reopened", "at", at, "au", author])]

    def _record(self, origin: Origin, spot: Spot, contact: str) -> list[conversations.Value]:
        """Return what the address's record learns: contact, position, and the window that the event grants."""
        values: list[conversations.Value] = ["contact", contact, "placed", origin.entry.id]
        name = origin.entry.fields.get("n", "")
        if name and origin.entry.type == logbook.MESSAGE:
            values += ["name", name]
        if origin.rest.window is not None:
            values += self._window(origin, spot)
        return values

    def _window(self, origin: Origin, spot: Spot) -> list[conversations.Value]:
        """Keep the better of the window that is open and the one that the event grants.

        WeChat: a menu click grants 3 messages for a minute; it must not cut the 48 hours that a
        message granted, unless those are used up.
        """
        assert origin.rest.window is not None
        seconds, messages = origin.rest.window
        if messages == 0:  # who has left may not be written to, whatever was granted before
            return [f"wu:{origin.channel}", origin.at, f"wl:{origin.channel}", 0]
        until = origin.at + seconds * 1000
        known_until = int(spot.address.get(f"wu:{origin.channel}") or 0)
        known_left = spot.address.get(f"wl:{origin.channel}") or ""
        if until < known_until and known_left != "0":
            return []
        return [f"wu:{origin.channel}", until, f"wl:{origin.channel}", "" if messages is None else messages]

    def _owned(self, origin: Origin, spot: Spot) -> tuple[str, str, str]:
        """Return what has to hold still: somebody else may have got the address meanwhile, or been erased."""
        return f"a:{origin.address}", "contact", spot.address.get("contact", "")

    async def _note_address(self, held: Held, origin: Origin, spot: Spot) -> None:
        """Record on the address alone that the event was placed (no conversation of this partition changes).

        Raises `Conflict`, `Fenced` or `StoreError`.
        """
        contact = spot.address.get("contact") or f"k{held.partition}-{origin.entry.id}"
        change = Change(
            epoch=held.epoch,
            once=(f"a:{origin.address}", "placed", origin.entry.id, "contact"),
            same=self._owned(origin, spot),
            records=[(f"a:{origin.address}", self._record(origin, spot, contact))],
        )
        if "contact" not in spot.address:
            name = origin.entry.fields.get("n", "")
            change.records.append(
                (f"k:{origin.entry.id}", ["name", name, "addresses", origin.address, "since", origin.at])
            )
            change.marks = ((contacts.LIST, origin.at, origin.entry.id),)
        await commit(self._store, held.partition, change)
