"""Make what a connector returned durable: duplicate check and log entry in one step, in the sender's slot.

`received = recorded + duplicate + ignored + shunted` holds for every channel; the counts are kept here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from connectors.base import Echo, Event, Ignored, Media, Message, Notice, Receipt
from inbox import log as logbook
from inbox.attachments import Attachments, TooLarge
from inbox.lists import parse_cursor, ranked
from inbox.partitions import Id, digest, key, new_key, parse_id, partition_of, tag
from inbox.store import Script, Store
from inbox.wakes import Wakes

log = logging.getLogger(__name__)

RECORD = Script.load(Path(__file__).parent / "scripts" / "record.lua")
CARRIERS = (Message, Echo)
encode = msgspec.json.Encoder().encode
Received = Message | Notice | Receipt | Echo
AGAIN = "again"
"""The field of a replayed entry that names the positions, with blanks between, of what it repeats."""

LAST_TIME = 253_402_214_400_000  # 9999-12-31T00:00:00Z


class Recorded(NamedTuple):
    """Where an event was stored; *first* is False when an earlier one with the same id is there already."""

    partition: int
    position: str
    first: bool


class Shunted(msgspec.Struct, frozen=True):
    """A payload that nobody could parse, with everything needed to try again."""

    id: str
    channel: str
    error: str
    at: int
    raw: bytes
    meta: dict[str, Any]


def receipt_partition(channel: str, message_id: str) -> int:
    """Return the partition that knows which delivery the platform's *message_id* belongs to."""
    return partition_of(f"{channel}\x00{message_id}")


class Recorder:
    """The one way into the log for whatever comes from outside."""

    def __init__(self, store: Store, wakes: Wakes, attachments: Attachments) -> None:
        self._store = store
        self._wakes = wakes
        self._attachments = attachments
        self.counts: Counter[tuple[str, str]] = Counter()

    async def record(self, channel: str, events: Sequence[Event]) -> list[Recorded | None]:
        """Store *events* durably, each once; None for those that are ignored.

        Raises `StoreError`: then some may be stored and the caller must have them sent again.
        """
        if len(events) == 1 and not (isinstance(events[0], CARRIERS) and events[0].media):
            return [await self._one(channel, events[0])]
        # Files first: what follows writes in the order of the events, which is the customer's.
        ready = [await self._keep_media(one) if isinstance(one, CARRIERS) and one.media else one for one in events]
        recorded = list(await asyncio.gather(*(self._one(channel, event) for event in ready)))
        for event, kept in zip(events, ready, strict=True):
            if isinstance(event, CARRIERS) and isinstance(kept, CARRIERS):
                await self._renew(event.media, kept.media)
        return recorded

    async def _renew(self, given: Sequence[Media], kept: Sequence[Media]) -> None:
        """Keep files once more: who erased the same bytes meanwhile did not see in the log that they are needed."""
        for media, file in zip(given, kept, strict=True):
            name, _, sha = file.ref.partition(":")
            if media.data is not None and name == "sha256" and not await self._attachments.renew(sha):
                await self._attachments.save(media.data)

    async def _one(self, channel: str, event: Event) -> Recorded | None:
        if isinstance(event, Ignored):
            self._count(channel, "ignored")
            log.info("ignored an event of %s: %s", channel, event.reason)
            return None
        try:
            partition, mark, fields = spread(channel, event)
            first, position = await self._write(partition, mark, fields)
        except UnicodeEncodeError:
            partition, mark, fields = spread(channel, whole(event))
            first, position = await self._write(partition, mark, fields)
        self._count(channel, "recorded" if first else "duplicate")
        if first:
            self._wakes.ring((f"p{partition}",))
        return Recorded(partition, position, first == 1)

    def _write(self, partition: int, mark: str, fields: tuple[str | int | bytes, ...]) -> Awaitable[tuple[int, str]]:
        keys = (key(partition, "log"), key(partition, f"seen:{mark[:2]}"))
        return self._store.run(RECORD, tag(partition), keys, (bytes.fromhex(mark[2:]), *fields))

    async def _keep_media(self, event: Message | Echo) -> Message | Echo:
        return msgspec.structs.replace(event, media=tuple([await self._keep(media) for media in event.media]))

    async def _keep(self, media: Media) -> Media:
        """Put a file's bytes where they belong; the log keeps only their hash."""
        if media.data is None:
            return media
        try:
            sha = await self._attachments.save(media.data)
        except TooLarge as error:
            return msgspec.structs.replace(media, data=None, ref=f"refused:{error}", size=len(media.data))
        return msgspec.structs.replace(media, data=None, ref=f"sha256:{sha}", size=len(media.data))

    def _count(self, channel: str, outcome: str) -> None:
        self.counts[channel, "received"] += 1
        self.counts[channel, outcome] += 1

    async def shunt(
        self,
        channel: str,
        raw: bytes,
        error: str,
        meta: Mapping[str, Any],
        now: int,
        *,
        received: bool = True,
        once: str = "",
    ) -> str:
        """Keep durably what could not be parsed; return its id. Raises `StoreError`.

        *received* is False for what was counted when it was recorded, and could not be routed later. What is shunted
        with the same *once* takes the place of what was shunted with it before; "" is never the same.
        """
        partition = partition_of(f"shunt\x00{channel}")
        name = Id("s", partition, digest(once) if once else new_key())
        fields = (
            "channel",
            channel,
            "error",
            error[:500],
            "at",
            now,
            "raw",
            base64.b64encode(raw),
            "meta",
            json.dumps(dict(meta)),
        )
        await self._store.many(
            tag(partition),
            [("HSET", key(partition, f"s:{name.key}"), *fields), ("ZADD", key(partition, "shunted"), now, name.key)],
        )
        if received:
            self._count(channel, "shunted")
        return str(name)

    async def log_again(self, one: Shunted) -> None:
        """Append an entry that could not be routed to its log once more: its readers try anew. Raises `StoreError`.

        It is appended once, however often this is called, and tells of what it repeats.
        """
        home, _, position = str(one.meta["log"]).partition(":")
        partition = int(home)
        fields = msgspec.json.decode(one.raw, type=dict[str, str])
        fields[AGAIN] = f"{fields.get(AGAIN, '')} {position}".strip()
        await self._write(partition, digest(AGAIN, position), tuple(word for pair in fields.items() for word in pair))
        self._wakes.ring((f"p{partition}",))

    async def shunted(self, cursor: str, limit: int) -> tuple[list[Shunted], str]:
        """Return up to *limit* shunted payloads after *cursor*, newest first, and the next cursor ("" at the end).

        Raises `BadCursor`, `StoreError`.
        """
        places = await ranked(self._store, ["shunted"], "s", parse_cursor(cursor, "s"), limit + 1)
        found = [await self._shunted(place) for _, place in places[:limit]]
        following = f"{places[limit - 1][0]}:{places[limit - 1][1]}" if len(places) > limit else ""
        return [one for one in found if one is not None], following

    async def find_shunted(self, name: str) -> Shunted | None:
        """Return one shunted payload. Raises `UnknownId`, `StoreError`."""
        return await self._shunted(parse_id(name, "s"))

    async def _shunted(self, name: Id) -> Shunted | None:
        reply = await self._store.do(tag(name.partition), "HGETALL", key(name.partition, f"s:{name.key}"))
        fields = dict(zip(reply[::2], reply[1::2], strict=True))
        if not fields:
            return None
        raw, meta = base64.b64decode(fields["raw"]), msgspec.json.decode(fields["meta"])
        return Shunted(str(name), fields["channel"], fields["error"], int(fields["at"]), raw, meta)

    async def drop_shunted(self, name: str) -> bool:
        """Forget a shunted payload; False if it is not there. Raises `UnknownId`, `StoreError`."""
        one = parse_id(name, "s")
        dropped, _ = await self._store.many(
            tag(one.partition),
            [
                ("DEL", key(one.partition, f"s:{one.key}")),
                ("ZREM", key(one.partition, "shunted"), one.key),
            ],
        )
        return bool(dropped)


def spread(channel: str, event: Received) -> tuple[int, str, tuple[str | int | bytes, ...]]:
    """Return an event's partition, its duplicate mark and its log fields.

    Events of one type always have the same fields: a stream stores repeated field names almost for free.
    """
    fields: tuple[str | int | bytes, ...]
    if isinstance(event, Message):
        mark = digest(channel, "m", event.external_id)
        fields = (
            *("t", logbook.MESSAGE, "ch", channel, "x", event.external_id, "a", event.address, "n", event.name),
            *("at", printable(event.at), "ty", event.type, "tx", event.text, "b", rest(event)),
        )
        return partition_of(event.address), mark, fields
    if isinstance(event, Notice):
        mark = digest(channel, "n", event.external_id)
        fields = (
            "t",
            logbook.NOTICE,
            "ch",
            channel,
            "x",
            event.external_id,
            "a",
            event.address,
            "at",
            printable(event.at),
            "b",
            rest(event),
        )
        return partition_of(event.address), mark, fields
    if isinstance(event, Echo):
        mark = digest(channel, "h", event.external_id)
        fields = (
            *("t", logbook.ECHO, "ch", channel, "x", event.external_id, "a", event.address, "n", event.author),
            *("at", printable(event.at), "ty", event.type, "tx", event.text, "b", rest(event)),
        )
        return partition_of(event.address), mark, fields
    mark = digest(channel, "r", event.message_id, event.state)
    fields = (
        "t",
        logbook.RECEIPT,
        "ch",
        channel,
        "x",
        event.message_id,
        "st",
        event.state,
        "at",
        printable(event.at),
        "er",
        event.error,
    )
    return receipt_partition(channel, event.message_id), mark, fields


def printable(at: int) -> int:
    """Return the time *at*, or the nearest one that RFC 3339 can print: a sender may claim any date."""
    return min(max(at, 1), LAST_TIME)


def whole(event: Received) -> Received:
    """Return *event* with U+FFFD for every half of a surrogate pair, which JSON can carry and UTF-8 cannot."""

    def mend(value: Any) -> Any:
        if isinstance(value, str):
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if isinstance(value, dict):
            return {mend(name): mend(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(mend(one) for one in value)
        if isinstance(value, Media):
            return Media(**{name: mend(getattr(value, name)) for name in value.__struct_fields__})
        return value

    return type(event)(**{name: mend(getattr(event, name)) for name in event.__struct_fields__})


class Rest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event has beyond the fields of its own log entry."""

    subject: str = ""
    html: str = ""
    media: tuple[Media, ...] = ()
    refs: tuple[str, ...] = ()
    handle: str = ""
    window: tuple[int, int | None] | None = None
    auto: bool = False
    name: str = ""
    details: dict[str, Any] = msgspec.field(default_factory=dict)
    choice: str = ""
    proven: tuple[str, ...] = ()


def rest(event: Message | Notice | Echo) -> bytes:
    """Encode what has no field of its own; empty if there is nothing."""
    window = (
        (event.window.seconds, event.window.messages) if isinstance(event, Message | Notice) and event.window else None
    )
    if isinstance(event, Message):
        more = Rest(
            event.subject,
            event.html,
            event.media,
            event.refs,
            event.handle,
            window,
            event.auto,
            "",
            event.details,
            event.choice,
            event.proven,
        )
    elif isinstance(event, Notice):
        more = Rest(handle=event.handle, window=window, name=event.name, details=event.details)
    else:
        more = Rest(media=event.media, handle=event.handle, details=event.details)
    encoded = encode(more)
    return b"" if encoded == b"{}" else encoded
