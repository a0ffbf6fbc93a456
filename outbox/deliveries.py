"""Deliveries in the store: queued, claimed, settled. Every step is one script in the conversation's slot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from connectors.base import WindowClosed
from inbox import log as logbook
from inbox.conversations import Conflict, Conversation, Value, commit, load, pairs, text
from inbox.leases import Fenced, Held
from inbox.lists import parse_cursor, ranked
from inbox.partitions import Id, digest, key, parse_id, partition_of, tag
from inbox.recording import receipt_partition
from inbox.store import Script, Store
from inbox.wakes import Wakes
from inbox.work import Actor
from outbox import letters
from outbox.letters import Letter
from outbox.lines import PARKED, Lines
from outbox.owing import named, owed
from outbox.records import FINAL, Author, Delivery, NoDelivery, NotNow, Reply, from_hash
from outbox.terms import NOW, Terms, event

__all__ = ["PARKED", "Author", "Deliveries", "Delivery", "NoDelivery", "NotNow", "Reply"]

SCRIPTS = Path(__file__).parent / "scripts"
CLAIM = Script.load(SCRIPTS / "claim.lua")
RECLAIM = Script.load(SCRIPTS / "reclaim.lua")
PART = Script.load(SCRIPTS / "part.lua")
LEAVE = Script.load(SCRIPTS / "leave.lua")
SHUT = Script.load(SCRIPTS / "shut.lua")
POSTPONE = Script.load(SCRIPTS / "postpone.lua")
SETTLE = Script.load(SCRIPTS / "settle.lua")
RECEIPT = Script.load(SCRIPTS / "receipt.lua")
TAKE = Script.load(SCRIPTS / "take.lua")
USED_UP = "all messages that the customer's last message allowed are used up"
CLAIM_MS = 10_000
ASKS = "asks"
SENDER_MS = 60_000
KEPT_LETTER = 30 * 24 * 3_600_000  # how long the record of a letter that is out is kept
TRIES = 64  # each time another one got in first; so many people do not write into one conversation at once


class Deliveries:
    """The outbox's records."""

    def __init__(self, store: Store, wakes: Wakes) -> None:
        self._store = store
        self._wakes = wakes
        self.lines = Lines(store, wakes, self.load_many)

    async def enqueue(
        self,
        conversation: Conversation,
        reply: Reply,
        now: int,
        *,
        also: dict[str, Any] | None = None,
        terms: Terms = NOW,
        only: Callable[[Conversation], Awaitable[None]] | None = None,
    ) -> tuple[Delivery, bool]:
        """Owe *reply* to the customer; return the delivery and whether it is new. Raises `Conflict`, `StoreError`.

        The same conversation and *client_id* give the delivery that is there already. *also* sets
        further fields of the conversation in the same step. *terms* say when it leaves, and in what form. *only* may
        raise to keep a new answer from being owed; what it finds still holds in the moment of the change.
        """
        place = conversation.place
        name = named(conversation, reply.client_id)
        for _ in range(TRIES):
            if only is not None and (await self.load_many([Id("d", place.partition, name)]))[0] is None:
                await only(conversation)
            try:
                change = owed(conversation, name, reply, now, also, terms)
                done = await commit(self._store, place.partition, change)
                break
            except Conflict:
                conversation = await load(self._store, conversation.id)
        else:
            raise Conflict
        delivery = await self.load(f"d{place.partition}-{name}")
        self._wakes.ring((f"o{place.partition}", f"p{place.partition}"))
        return delivery, done.fresh

    async def owe_letter(self, letter: Letter, now: int) -> tuple[Delivery, bool]:
        """Owe *letter*; return its delivery and whether it is new. Raises `StoreError`.

        Of letters that are out the key is known for `KEPT_LETTER` more.
        """
        done = await commit(self._store, letter.partition, letters.owed(letter, now))
        delivery = await self.load(f"d{letter.partition}-{letter.name}")
        self._wakes.ring((f"o{letter.partition}",))
        return delivery, done.fresh

    async def known(self, conversation: Conversation, client_id: str) -> Delivery | None:
        """Return what is owed under *client_id* already. Raises `StoreError`."""
        place = Id("d", conversation.place.partition, named(conversation, client_id))
        return (await self.load_many([place]))[0] if client_id else None

    async def take(self, channel: str, address: str, *, back: bool = False) -> bool:
        """Use one message of a reply window that lies in another slot than its delivery, or give it *back*.

        Returns whether there was one. Raises `StoreError`.
        """
        partition = partition_of(address)
        arguments = (f"wl:{channel}", 1 if back else -1)
        return bool(await self._store.run(TAKE, tag(partition), [key(partition, f"a:{address}")], arguments))

    async def load(self, delivery_id: str) -> Delivery:
        """Return a delivery. Raises `UnknownId`, `NoDelivery`, `StoreError`."""
        place = parse_id(delivery_id, "d")
        found = (await self.load_many([place]))[0]
        if found is None:
            raise NoDelivery(delivery_id)
        return found

    async def load_many(self, places: Sequence[Id]) -> list[Delivery | None]:
        """Return deliveries in the order asked for. Raises `StoreError`."""
        replies = await self._store.each(
            [(tag(one.partition), ("HGETALL", key(one.partition, f"d:{one.key}"))) for one in places]
        )
        return [
            from_hash(place.partition, place.key, pairs(reply)) if reply else None
            for place, reply in zip(places, replies, strict=True)
        ]

    async def due(self, partition: int, now: int, count: int) -> tuple[list[str], int | None]:
        """Return keys of deliveries that are due, and when the next one will be. Raises `StoreError`."""
        return await self._ripe(partition, "due", now, count)

    async def questions(self, partition: int, now: int, count: int) -> tuple[list[str], int | None]:
        """Return keys of uncertain deliveries of which the platform is to be asked, and when the next will be.

        Raises `StoreError`.
        """
        return await self._ripe(partition, ASKS, now, count)

    async def _ripe(self, partition: int, what: str, now: int, count: int) -> tuple[list[str], int | None]:
        name = key(partition, what)
        ready, later = await self._store.many(
            tag(partition),
            [
                ("ZRANGEBYSCORE", name, "-inf", now, "LIMIT", 0, count),
                ("ZRANGEBYSCORE", name, f"({now}", "+inf", "WITHSCORES", "LIMIT", 0, 1),
            ],
        )
        return ready, int(float(later[1])) if later else None

    async def ask_again(self, place: Id, when: int | None) -> None:
        """Have the platform asked once more about a delivery at *when*, or no more. Raises `StoreError`."""
        name = key(place.partition, ASKS)
        if when is None:
            await self._store.do(tag(place.partition), "ZREM", name, place.key)
        else:  # XX: if it has been settled meanwhile there is nothing to ask
            await self._store.do(tag(place.partition), "ZADD", name, "XX", when, place.key)

    async def absent(self, delivery: Delivery, now: int) -> str:
        """Owe an uncertain delivery that the platform surely does not have again. Raises as `settle` does."""
        return await self.settle(
            delivery,
            "queued",
            now,
            cause="query",
            error="the platform does not have it",
            due=now,
            expect="uncertain",
            force=True,
            requeue=True,
        )

    async def reclaim(self, held: Held, now: int, living: Iterable[str]) -> int:
        """Make due what workers that are not among the *living* were sending; return how many others still send.

        Raises `Fenced`, `StoreError`.
        """
        arguments: list[Value] = [held.epoch, now, SENDER_MS, held.worker, *living]
        others: int = await self._store.run(RECLAIM, tag(held.partition), [key(held.partition, "due")], arguments)
        if others < 0:
            raise Fenced
        return others

    async def claim(self, held: Held, name: str, now: int) -> tuple[Delivery, bool] | None:
        """Take a due delivery to send it; True = an earlier attempt may have left. None if it is no longer due.

        Raises `Fenced`, `StoreError`.
        """
        # Only for a claim whose answer was lost: a task that lives is not started again, a dead owner's is reclaimed.
        arguments = (held.epoch, name, now, CLAIM_MS, held.worker)
        reply = await self._store.run(CLAIM, tag(held.partition), [key(held.partition, "due")], arguments)
        match reply[0]:
            case "gone":
                return None
            case "fenced":
                raise Fenced
            case verdict:
                return from_hash(held.partition, name, pairs(reply[1:])), verdict == "crashed"

    async def postpone(self, held: Held, name: str, due: int, now: int, reason: str = "") -> bool:
        """Leave a due delivery until *due* without an attempt; return whether *reason* is new.

        Raises `Fenced`, `StoreError`.
        """
        arguments = (held.epoch, name, due, now, reason)
        done = await self._store.run(POSTPONE, tag(held.partition), [key(held.partition, "due")], arguments)
        if done < 0:
            raise Fenced
        if done == 1:
            self._wakes.ring((f"p{held.partition}",))
        return bool(done == 1)

    async def leave(self, held: Held, delivery: Delivery, now: int, *, windowed: bool, of: int = 1) -> None:
        """Mark that the request goes out now, one of *of* parts, and one message of the reply window if there is one.

        Raises `WindowClosed` when nothing is left of the window, `Fenced`, `StoreError`.
        """
        own = partition_of(delivery.address) == held.partition
        if windowed and not own and not await self.take(delivery.channel, delivery.address) and not delivery.insist:
            raise WindowClosed(USED_UP)
        arguments = (
            held.epoch,
            delivery.place.key,
            delivery.claims,
            f"a:{delivery.address}",
            f"wl:{delivery.channel}" if windowed and own else "",
            now,
            SENDER_MS,
            of,
            0 if delivery.insist else 1,
        )
        match await self._store.run(LEAVE, tag(held.partition), [key(held.partition, "due")], arguments):
            case 0:
                raise Fenced
            case 2:
                raise WindowClosed(USED_UP)

    async def settle(  # each keyword is one fact about the outcome
        self,
        delivery: Delivery,
        state: str,
        now: int,
        *,
        cause: str = "hub",
        by: str = "",
        held: Held | None = None,
        error: str = "",
        code: str = "",
        due: int | None = None,
        ask: int | None = None,
        refund: bool = False,
        expect: str | None = None,
        drop: bool = False,
        force: bool = False,
        requeue: bool = False,
        park: bool = False,
        story: Sequence[Value] = (),
        about: str = "",
        values: Sequence[Value] = (),
    ) -> str:
        """Record an outcome and return the state that holds now.

        *cause* and *by* say what told us, see `outbox.history`. *ask* is when the platform may be asked about what is
        uncertain. *refund* gives the reply window its message back; *drop* keeps it out of the dead letters;
        *park* lets it wait beside its line; *story* is an event for the timeline;
        *about* is the platform's id that its report is about. Raises `NotNow` if the state is not
        the one to *expect*, `Fenced`, `NoDelivery`, `StoreError`.
        """
        place = delivery.place
        final = state in FINAL
        own = partition_of(delivery.address) == place.partition
        if refund and not own:
            await self.take(delivery.channel, delivery.address, back=True)
        logged: dict[str, Value] = {
            "t": logbook.DELIVERY,
            "c": delivery.conversation.partition("-")[2],
            "d": place.key,
            "st": state,
            "ca": cause,
        }
        more: dict[str, Value] = {
            "n": delivery.attempts if cause == "attempt" else 0,
            "by": by,
            "er": error,
            "co": code,
            "du": due or 0,
        }
        logged |= {name: value for name, value in more.items() if value}
        parts: dict[str, Any] = {
            "key": place.key,
            "attempt": str(delivery.claims) if held else None,
            "state": state,
            "at": now,
            "set": text(
                ["error", error, "code", code, "changed", now, "left", "0", *(("due", due) if due else ()), *values]
            ),
            "due": due,
            "ask": ask,
            "expect": expect,
            "seen": delivery.log if expect == "uncertain" else None,
            "drop": drop or None,
            "final": final or None,
            "force": force or None,
            "requeue": requeue or None,
            "refund": (f"a:{delivery.address}", f"wl:{delivery.channel}") if refund and own else None,
            "park": park or None,
            "story": text(story) if story else None,
            "about": about or None,
            "keep": KEPT_LETTER,
            "log": text(word for pair in logged.items() for word in pair),
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
        if ask is not None:
            self._wakes.ring((f"u{place.partition}",))
        return str(reply[0])

    async def arrived(
        self,
        delivery: Delivery,
        now: int,
        *,
        cause: str,
        by: str = "",
        external_id: str = "",
        state: str = "sent",
        error: str = "",
    ) -> str:
        """Settle an uncertain delivery of which the part in question did arrive; what is left of it is owed.

        A part that failed there is not out. Returns the state that holds now. Raises `NotNow` if it is no longer
        uncertain, `NoDelivery`, `StoreError`.
        """
        part = delivery.part + (state != "failed")
        values: list[Value] = ["part", part]
        rest_waits = part < delivery.of and state != "failed"
        ids = [*(one for one in delivery.external_ids if one != external_id), external_id]
        values += ("ext", " ".join(ids))  # the last place is the last part's, though nobody may know its id
        early: list[tuple[str, str, int, str]] = []
        if rest_waits and external_id:
            await self.note_link(delivery, external_id)
        elif not rest_waits:  # nobody sends anything any more who would link those before
            early = [(one, *news) for one in filter(None, ids) for news in await self.link(delivery, one)]
        facts: dict[str, Any] = {"due": now, "requeue": True} if rest_waits else {}
        facts |= {"cause": cause, "by": by, "error": error, "values": values, "about": external_id}
        state = await self.settle(
            delivery, "queued" if rest_waits else state, now, expect="uncertain", force=True, **facts
        )
        for one, news, at, reason in early:  # what the platform reported before we knew whose it is
            state = await self.settle(delivery, news, at, cause="receipt", error=reason, about=one)
        return state

    async def close_window(self, delivery: Delivery, until: str | None) -> bool:
        """Remember that the platform takes no more until the customer writes again, unless they have done so.

        They have where the window does not end at *until* (None: that is not known) any more. Returns whether it is
        closed. Raises `StoreError`.
        """
        partition = partition_of(delivery.address)
        name, channel = key(partition, f"a:{delivery.address}"), delivery.channel
        known = () if until is None else (until,)
        return bool(await self._store.run(SHUT, tag(partition), [name], (f"wu:{channel}", f"wl:{channel}", *known)))

    async def note_part(self, delivery: Delivery, part: int, external_ids: Sequence[str]) -> None:
        """Remember that a part is out, so that no later attempt sends it again. Raises `Fenced`, `StoreError`."""
        place = delivery.place
        arguments = (place.key, delivery.claims, part, " ".join(external_ids))
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
        """Return up to *limit* deliveries of "due", "dead", "uncertain" or `PARKED`, newest first, and the next cursor.

        Raises `BadCursor`, `StoreError`.
        """
        places = await ranked(self._store, [which], "d", parse_cursor(cursor, "d"), limit + 1)
        found = await self.load_many([place for _, place in places[:limit]])
        following = f"{places[limit - 1][0]}:{places[limit - 1][1]}" if len(places) > limit else ""
        return [one for one in found if one is not None], following

    async def retry(self, delivery_id: str, now: int, by: str = "") -> Delivery:
        """Owe a dead, failed or uncertain delivery again; whether the reply window is open is left to the platform.

        What the platform reported as failed is sent again from the start, as a new message. Raises `NoDelivery`,
        `NotNow`, `StoreError`.
        """
        delivery = await self.load(delivery_id)
        if delivery.state not in ("dead", "failed", "uncertain", "deferred"):
            raise NotNow(f"a delivery that is {delivery.state} needs no retry")
        # It goes out now, whatever was agreed about the time until then.
        values: list[Value] = ["base", delivery.claims, "created", now, "insist", 1, "heeds", ""]
        refused = "failed" in delivery.reports.values() or delivery.part >= delivery.of
        if delivery.state == "failed" and refused:
            past = " ".join([*delivery.past, *delivery.external_ids])
            values += ("part", 0, "ext", "", "reports", "", "round", delivery.round + 1, "past", past)
        await self.settle(
            delivery,
            "queued",
            now,
            cause="person",
            by=by,
            due=now,
            expect=delivery.state,
            force=True,
            requeue=True,
            values=values,
        )
        return await self.load(delivery_id)

    async def confirm(self, delivery_id: str, now: int, by: str = "") -> Delivery:
        """Take a person's word that an uncertain delivery arrived. Raises `NoDelivery`, `NotNow`, `StoreError`."""
        delivery = await self.load(delivery_id)
        if delivery.state != "uncertain":
            raise NotNow(f"a delivery that is {delivery.state} needs nobody's word")
        await self.arrived(delivery, now, cause="person", by=by)
        return await self.load(delivery_id)

    async def cancel(self, delivery_id: str, actor: Actor, why: str, now: int) -> Delivery:
        """Call back what has not left: it never will. Raises `NoDelivery`, `NotNow` once it may have left."""
        delivery = await self.load(delivery_id)
        if delivery.state not in ("queued", "deferred"):
            raise NotNow(f"the delivery is {delivery.state}; it cannot be called back")
        if delivery.part:
            raise NotNow("a part of the delivery is out; it cannot be called back")
        told = {"delivery": delivery.id, "because": "cancelled"}
        await self.settle(
            delivery,
            "failed",
            now,
            cause="person",
            by=actor.id,
            expect=delivery.state,
            force=True,
            drop=True,
            error=why,
            code="cancelled",
            story=event(delivery.conversation.partition("-")[2], "send_cancelled", now, told, actor),
        )
        return await self.load(delivery_id)

    async def drop(self, delivery_id: str, now: int, by: str = "") -> Delivery:
        """Give a delivery up for good: it leaves the dead letters. Raises `NoDelivery`, `NotNow`, `StoreError`."""
        delivery = await self.load(delivery_id)
        if delivery.state not in ("dead", "failed", "uncertain", "queued", "deferred"):
            raise NotNow(f"a delivery that is {delivery.state} cannot be dropped")
        error = delivery.error or "dropped by a person"
        await self.settle(
            delivery, "failed", now, cause="person", by=by, expect=delivery.state, force=True, drop=True, error=error
        )
        return await self.load(delivery_id)
