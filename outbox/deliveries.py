"""Deliveries in the store: queued, claimed, settled. Every step is one script in the conversation's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from connectors.base import Media
from inbox import log as logbook
from inbox.conversations import Change, Conflict, Conversation, Value, commit, load, pairs, stepped, text
from inbox.course import ANSWERED
from inbox.leases import Fenced, Held
from inbox.lists import parse_cursor, ranked
from inbox.partitions import Id, digest, key, new_key, parse_id, tag
from inbox.recording import receipt_partition
from inbox.store import Script, Store
from inbox.wakes import Wakes

SCRIPTS = Path(__file__).parent / "scripts"
CLAIM = Script.load(SCRIPTS / "claim.lua")
RECLAIM = Script.load(SCRIPTS / "reclaim.lua")
PART = Script.load(SCRIPTS / "part.lua")
LEAVE = Script.load(SCRIPTS / "leave.lua")
SETTLE = Script.load(SCRIPTS / "settle.lua")
RECEIPT = Script.load(SCRIPTS / "receipt.lua")
FINAL = frozenset({"sent", "delivered", "read", "failed", "dead", "uncertain"})
CLAIM_MS = 10_000
SENDER_MS = 60_000
TRIES = 64  # each time another one got in first; so many people do not write into one conversation at once


class NoDelivery(LookupError):
    """There is no delivery with this id."""


class NotNow(ValueError):
    """The delivery's state does not allow this."""


class Author(msgspec.Struct, frozen=True):
    """Who wrote a message of ours: kind "agent" or "hub"."""

    kind: str
    id: str = ""
    name: str = ""


class Reply(msgspec.Struct, frozen=True):
    """An answer to be delivered. *media* refer to kept attachments ("sha256:…"). *client_id* makes it idempotent."""

    author: Author
    text: str = ""
    html: str = ""
    subject: str = ""
    media: tuple[Media, ...] = ()
    client_id: str = ""
    auto: bool = False


class Delivery(msgspec.Struct, frozen=True):
    """One answer on its way. States are defined in docs/delivery-states.md."""

    id: str
    conversation: str
    channel: str
    address: str
    message: str
    state: str
    attempts: int = 0
    due: int = 0
    created: int = 0
    part: int = 0
    error: str = ""
    code: str = ""
    left: bool = False
    changed: int = 0
    external_ids: tuple[str, ...] = ()
    handle: str = ""
    insist: bool = False

    @property
    def place(self) -> Id:
        return parse_id(self.id, "d")


def from_hash(partition: int, name: str, fields: dict[str, str]) -> Delivery:
    """Build a delivery from its hash in the store."""
    return Delivery(
        id=f"d{partition}-{name}",
        conversation=f"c{partition}-{fields['conv']}",
        channel=fields["channel"],
        address=fields["address"],
        message=f"m{partition}-{fields.get('message', '')}",
        state=fields["state"],
        attempts=int(fields.get("attempts", 0)),
        due=int(fields.get("due", 0)),
        created=int(fields.get("created", 0)),
        part=int(fields.get("part", 0)),
        error=fields.get("error", ""),
        code=fields.get("code", ""),
        left=fields.get("left") == "1",
        changed=int(fields.get("changed", 0)),
        external_ids=tuple(filter(None, fields.get("ext", "").split(" "))),
        handle=fields.get("handle", ""),
        insist=fields.get("insist") == "1",
    )


class Deliveries:
    """The outbox's records."""

    def __init__(self, store: Store, wakes: Wakes) -> None:
        self._store = store
        self._wakes = wakes

    async def enqueue(
        self, conversation: Conversation, reply: Reply, now: int, *, also: dict[str, Any] | None = None
    ) -> tuple[Delivery, bool]:
        """Owe *reply* to the customer; return the delivery and whether it is new. Raises `Conflict`, `StoreError`.

        The same conversation and *client_id* give the delivery that is there already. *also* sets
        further fields of the conversation in the same step.
        """
        place = conversation.place
        name = digest(conversation.id, "client", reply.client_id) if reply.client_id else new_key()
        for _ in range(TRIES):
            try:
                done = await commit(self._store, place.partition, self._owed(conversation, name, reply, now, also))
                break
            except Conflict:
                conversation = await load(self._store, conversation.id)
        else:
            raise Conflict
        delivery = await self.load(f"d{place.partition}-{name}")
        self._wakes.ring((f"o{place.partition}", f"p{place.partition}"))
        return delivery, done.fresh

    def _owed(
        self, conversation: Conversation, name: str, reply: Reply, now: int, also: dict[str, Any] | None
    ) -> Change:
        """Build the change that owes *reply*; a person's answer must know how the conversation stands."""
        place = conversation.place
        values: dict[str, Any] = {"last_message_at": max(now, conversation.last_message_at)}
        if reply.author.kind == "agent":
            values["status"] = "pending" if conversation.status in ("open", "snoozed") else conversation.status
            if not conversation.first_reply_at:
                values["first_reply_at"] = now
            values |= stepped(conversation, ANSWERED, now)
        values.update(also or {})
        fields: list[Value] = [
            *("t", logbook.REPLY, "c", place.key, "d", name, "ch", conversation.channel, "at", now),
            *("au", msgspec.json.encode(reply.author).decode(), "tx", reply.text, "b", rest(reply)),
        ]
        record: list[Value] = [
            *("conv", place.key, "channel", conversation.channel, "address", conversation.address),
            *("state", "queued", "created", now, "due", now, "changed", now, "attempts", 0),
        ]
        return Change(
            id=place.key,
            version=conversation.version if "status" in values else None,
            unless=f"d:{name}",
            set=values,
            count=(("messages", 1),),
            records=[(f"d:{name}", record)],
            log=[("o", fields)],
            link=(1, f"d:{name}", "message"),
            queue=((f"q:{place.key}", name, now),),
        )

    async def load(self, delivery_id: str) -> Delivery:
        """Return a delivery. Raises `UnknownId`, `NoDelivery`, `StoreError`."""
        place = parse_id(delivery_id, "d")
        found = (await self.load_many([place]))[0]
        if found is None:
            raise NoDelivery(delivery_id)
        return found

    async def load_many(self, places: Sequence[Id]) -> list[Delivery | None]:
        """Return deliveries in the order asked for. Raises `StoreError`."""
        replies = await asyncio.gather(
            *(self._store.do(tag(one.partition), "HGETALL", key(one.partition, f"d:{one.key}")) for one in places)
        )
        return [
            from_hash(place.partition, place.key, pairs(reply)) if reply else None
            for place, reply in zip(places, replies, strict=True)
        ]

    async def due(self, partition: int, now: int, count: int) -> tuple[list[str], int | None]:
        """Return keys of deliveries that are due, and when the next one will be. Raises `StoreError`."""
        name = key(partition, "due")
        ready, later = await self._store.many(
            tag(partition),
            [
                ("ZRANGEBYSCORE", name, "-inf", now, "LIMIT", 0, count),
                ("ZRANGEBYSCORE", name, f"({now}", "+inf", "WITHSCORES", "LIMIT", 0, 1),
            ],
        )
        return ready, int(float(later[1])) if later else None

    async def reclaim(self, held: Held, now: int) -> None:
        """Make due what the partition's former owner was sending. Raises `Fenced`, `StoreError`."""
        arguments = (held.epoch, now, SENDER_MS)
        if await self._store.run(RECLAIM, tag(held.partition), [key(held.partition, "due")], arguments) < 0:
            raise Fenced

    async def claim(self, held: Held, name: str, now: int) -> tuple[Delivery, bool] | None:
        """Take a due delivery to send it; True = an earlier attempt may have left. None if it is no longer due.

        Raises `Fenced`, `StoreError`.
        """
        # Only for a claim whose answer was lost: a task that lives is not started again, a dead owner's is reclaimed.
        arguments = (held.epoch, name, now, CLAIM_MS)
        reply = await self._store.run(CLAIM, tag(held.partition), [key(held.partition, "due")], arguments)
        match reply[0]:
            case "gone":
                return None
            case "fenced":
                raise Fenced
            case verdict:
                return from_hash(held.partition, name, pairs(reply[1:])), verdict == "crashed"

    async def leave(self, held: Held, delivery: Delivery, now: int, *, windowed: bool) -> None:
        """Mark that the request goes out now. Raises `Fenced`, `StoreError`."""
        arguments = (
            held.epoch,
            delivery.place.key,
            delivery.attempts,
            f"a:{delivery.address}",
            f"wl:{delivery.channel}" if windowed else "",
            now,
            SENDER_MS,
        )
        if not await self._store.run(LEAVE, tag(held.partition), [key(held.partition, "due")], arguments):
            raise Fenced

    async def settle(  # each keyword is one fact about the outcome
        self,
        delivery: Delivery,
        state: str,
        now: int,
        *,
        held: Held | None = None,
        error: str = "",
        code: str = "",
        due: int | None = None,
        refund: bool = False,
        expect: str | None = None,
        drop: bool = False,
        force: bool = False,
        requeue: bool = False,
        values: Sequence[Value] = (),
    ) -> str:
        """Record an outcome and return the state that holds now.

        *refund* gives the reply window its message back; *drop* keeps it out of the dead letters. Raises
        `NotNow` if the state is not the one to *expect*, `Fenced`, `NoDelivery`, `StoreError`.
        """
        place = delivery.place
        final = state in FINAL
        parts: dict[str, Any] = {
            "key": place.key,
            "attempt": str(delivery.attempts) if held else None,
            "state": state,
            "at": now,
            "set": text(
                ["error", error, "code", code, "changed", now, "left", "0", *(("due", due) if due else ()), *values]
            ),
            "due": due,
            "expect": expect,
            "drop": drop or None,
            "final": final or None,
            "force": force or None,
            "requeue": requeue or None,
            "refund": (f"a:{delivery.address}", f"wl:{delivery.channel}") if refund else None,
            "log": text(
                ["t", logbook.DELIVERY, "c", parse_id(delivery.conversation, "c").key, "d", place.key, "st", state]
                + (["er", error] if error else [])
            ),
        }
        packed = msgspec.msgpack.encode({name: part for name, part in parts.items() if part is not None})
        reply = await self._store.run(SETTLE, tag(place.partition), [key(place.partition, "log")], (packed,))
        if reply[0] == "gone":
            if held is not None:
                raise Fenced
            raise NoDelivery(delivery.id)
        if reply[0] == "moved":
            raise NotNow(f"the delivery is {reply[1]} meanwhile")
        if final or due is not None:
            self._wakes.ring((f"o{place.partition}",))
        if reply[1]:
            self._wakes.ring((f"p{place.partition}",))
        return str(reply[0])

    async def close_window(self, delivery: Delivery) -> None:
        """Remember that the platform takes no more until the customer writes again. Raises `StoreError`."""
        partition = delivery.place.partition
        name = key(partition, f"a:{delivery.address}")
        await self._store.do(tag(partition), "HSET", name, f"wl:{delivery.channel}", 0)

    async def note_part(self, delivery: Delivery, part: int, external_ids: Sequence[str]) -> None:
        """Remember that a part is out, so that no later attempt sends it again. Raises `Fenced`, `StoreError`."""
        place = delivery.place
        arguments = (place.key, delivery.attempts, part, " ".join(external_ids))
        if not await self._store.run(PART, tag(place.partition), [key(place.partition, "due")], arguments):
            raise Fenced

    async def link(self, delivery: Delivery, external_id: str) -> list[tuple[str, int, str]]:
        """Say which delivery a platform's id belongs to; return receipts that came earlier. Raises `StoreError`."""
        partition, keys, mark = self._link(delivery.channel, external_id)
        early = await self._store.run(RECEIPT, tag(partition), keys, ("link", mark, delivery.id))
        return [(state, int(at), error) for state, at, error in (item.split(" ", 2) for item in early)]

    async def note_link(self, delivery: Delivery, external_id: str) -> None:
        """Say whose a platform's id is while parts are to be sent: receipts wait for `link`. Raises `StoreError`."""
        partition, keys, mark = self._link(delivery.channel, external_id)
        await self._store.run(RECEIPT, tag(partition), keys, ("part", mark, delivery.id))

    async def linked(self, channel: str, external_id: str) -> str | None:
        """Return the delivery that a platform's id belongs to, if known. Raises `StoreError`."""
        partition, keys, mark = self._link(channel, external_id)
        found: str | None = await self._store.do(tag(partition), "HGET", keys[0], mark)
        return found.removeprefix("~") if found else None

    async def in_flight(self, partition: int, channel: str, address: str, words: str) -> bool:
        """Tell whether the very message *words* is being sent to *address* now: its echo may outrun our answer."""
        known = await self._store.do(tag(partition), "HGET", key(partition, f"a:{address}"), f"conv:{channel}")
        if not known:
            return False
        place = parse_id(known, "c")
        head = await self._store.do(tag(place.partition), "LINDEX", key(place.partition, f"q:{place.key}"), 0)
        if not head:
            return False
        delivery = (await self.load_many([Id("d", place.partition, head)]))[0]
        return (
            delivery is not None
            and delivery.state in {"sending", "uncertain", "deferred"}
            and await self._says(delivery, words)
        )

    async def prove(self, partition: int, channel: str, address: str, words: str, external_id: str, at: int) -> bool:
        """Tell whether an echo proves that an uncertain delivery went out; it is settled then. Raises `StoreError`."""
        known = await self._store.do(tag(partition), "HGET", key(partition, f"a:{address}"), f"conv:{channel}")
        if not known:
            return False
        place = parse_id(known, "c")
        names = await self._store.do(tag(place.partition), "ZRANGE", key(place.partition, "uncertain"), 0, -1)
        for delivery in await self.load_many([Id("d", place.partition, name) for name in names]):
            if delivery is not None and delivery.conversation == known and await self._says(delivery, words):
                await self.link(delivery, external_id)
                await self.settle(delivery, "sent", at)
                return True
        return False

    async def _says(self, delivery: Delivery, words: str) -> bool:
        """Tell whether *words*, or for none a file, are what a delivery carries."""
        message = parse_id(delivery.message, "m")
        entry = (await logbook.fetch(self._store, [(message.partition, message.key)]))[0]
        if entry is None:
            return False
        return words in entry.fields.get("tx", "") if words else bool(entry.rest().get("media"))

    async def receipt(self, channel: str, external_id: str, state: str, at: int, error: str) -> str | None:
        """Return the delivery that a receipt is about, or keep the receipt until that is known. Raises `StoreError`."""
        partition, keys, mark = self._link(channel, external_id)
        arguments = ("receipt", mark, f"{state} {at} {error}")
        return await self._store.run(RECEIPT, tag(partition), keys, arguments) or None

    def _link(self, channel: str, external_id: str) -> tuple[int, list[str], str]:
        partition = receipt_partition(channel, external_id)
        mark = digest(channel, "x", external_id)
        return partition, [key(partition, f"x:{mark[:2]}"), key(partition, f"xe:{mark}")], mark

    async def listing(self, which: str, cursor: str, limit: int) -> tuple[list[Delivery], str]:
        """Return up to *limit* deliveries of "due", "dead" or "uncertain", newest first, and the next cursor.

        Raises `BadCursor`, `StoreError`.
        """
        places = await ranked(self._store, [which], "d", parse_cursor(cursor, "d"), limit + 1)
        found = await self.load_many([place for _, place in places[:limit]])
        following = f"{places[limit - 1][0]}:{places[limit - 1][1]}" if len(places) > limit else ""
        return [one for one in found if one is not None], following

    async def retry(self, delivery_id: str, now: int) -> Delivery:
        """Owe a dead, failed or uncertain delivery again; whether the reply window is open is left to the platform.

        Raises `NoDelivery`, `NotNow`, `StoreError`.
        """
        delivery = await self.load(delivery_id)
        if delivery.state not in ("dead", "failed", "uncertain", "deferred"):
            raise NotNow(f"a delivery that is {delivery.state} needs no retry")
        await self.settle(
            delivery,
            "queued",
            now,
            due=now,
            expect=delivery.state,
            force=True,
            requeue=True,
            values=("attempts", 0, "created", now, "insist", 1),
        )
        return await self.load(delivery_id)

    async def drop(self, delivery_id: str, now: int) -> Delivery:
        """Give a delivery up for good: it leaves the dead letters. Raises `NoDelivery`, `NotNow`, `StoreError`."""
        delivery = await self.load(delivery_id)
        if delivery.state not in ("dead", "failed", "uncertain", "queued", "deferred"):
            raise NotNow(f"a delivery that is {delivery.state} cannot be dropped")
        error = delivery.error or "dropped by a person"
        await self.settle(delivery, "failed", now, expect=delivery.state, force=True, drop=True, error=error)
        return await self.load(delivery_id)


def rest(reply: Reply) -> str:
    """Encode what of a reply has no log field of its own."""
    values: dict[str, Any] = {}
    if reply.html:
        values["html"] = reply.html
    if reply.subject:
        values["subject"] = reply.subject
    if reply.media:
        values["media"] = reply.media
    if reply.auto:
        values["auto"] = True
    return msgspec.json.encode(values).decode() if values else ""
