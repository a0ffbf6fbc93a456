"""What agents do with conversations: assign, note, resolve, reopen, snooze, tag. Each leaves a mark on the timeline."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from inbox import log as logbook
from inbox.conversations import Change, Committed, Conflict, Conversation, Value, commit, load, stepped
from inbox.course import RESOLVED, RETURNED, SNOOZED
from inbox.leases import Held
from inbox.partitions import Id, digest, key, tag
from inbox.store import Store
from inbox.wakes import Wakes

BELL = "z"
TRIES = 8
CALM = 0.002  # seconds before the second try, at most; doubled for each further one
MOST_TAGS = 100
REMEMBERED = 24 * 3_600_000
"""Milliseconds for which a change is known by its idempotency key."""

FIRST = "0-1"  # before every position of a log


class Actor(msgspec.Struct, frozen=True):
    """Who does something: kind "agent" (a person), "token" (a program) or "hub"."""

    kind: str
    id: str = ""
    name: str = ""


HUB = Actor("hub", "", "Huiliu")


class Refusal(ValueError):
    """What was asked for makes no sense for this conversation now; the text says why."""


class Desk:
    """The one way in which people and rules act on a conversation."""

    def __init__(self, store: Store, wakes: Wakes, now: Callable[[], int]) -> None:
        self._store = store
        self._wakes = wakes
        self._now = now

    async def assign(
        self,
        conversation_id: str,
        actor: Actor,
        *,
        team: str | None = None,
        agent: str | None = None,
        reason: str = "",
        more: Mapping[str, Any] | None = None,
        once: str = "",
        only: Callable[[Conversation], bool] = lambda _: True,
    ) -> Conversation:
        """Give a conversation to a team, to an agent ("" = to nobody), or both.

        *more* goes into the log with it. Nothing happens unless *only* is true of the conversation as it stands in the
        moment of the change; the conversation that is returned tells. What was done with the same *once* within a day
        is not done again.

        Raises, like every method here, `UnknownId`, `NoConversation`, `Conflict` (changed again and
        again meanwhile) or `StoreError`.
        """

        def change(now: Conversation) -> tuple[dict[str, Any], dict[str, Any]]:
            if not only(now):
                return {}, {}
            values: dict[str, Any] = {}
            if team is not None:
                values["team"] = team
            if agent is not None:
                values["agent"] = agent
            elif team is not None and team != now.team:
                values["agent"] = ""
            if actor.kind != HUB.kind:
                values["route"] = ""  # a person has decided; no later greeting or keyword undoes that by itself
            told = {**values, "from_team": now.team, "from_agent": now.agent, "reason": reason, **(more or {})}
            return {**values, "why": reason, "assigned_at": self._now()}, told

        return await self._change(conversation_id, actor, "assigned", change, once=once)

    async def resolve(self, conversation_id: str, actor: Actor) -> Conversation:
        """Mark a conversation as done."""

        def change(now: Conversation) -> tuple[dict[str, Any], dict[str, Any]]:
            if now.status == "resolved":
                return {}, {}
            at = self._now()
            values = {"status": "resolved", "resolved_at": at, "snoozed_until": 0, **stepped(now, RESOLVED, at)}
            return values, {"from": now.status}

        return await self._change(conversation_id, actor, "resolved", change)

    async def reopen(self, conversation_id: str, actor: Actor) -> Conversation:
        """Open a conversation that is resolved, pending or snoozed."""
        return await self._change(conversation_id, actor, "reopened", self._open)

    async def snooze(self, conversation_id: str, actor: Actor, until: int) -> Conversation:
        """Put a conversation aside until *until* or until the customer writes. Raises `Refusal` for the past."""
        if until <= self._now():
            raise Refusal("the time to wake up is in the past")

        def change(now: Conversation) -> tuple[dict[str, Any], dict[str, Any]]:
            if now.status == "resolved":
                raise Refusal("a resolved conversation cannot be snoozed; reopen it first")
            steps = stepped(now, SNOOZED, self._now())
            return {"status": "snoozed", "snoozed_until": until, **steps}, {"until": until}

        return await self._change(conversation_id, actor, "snoozed", change, snooze=until)

    async def tags(
        self, conversation_id: str, actor: Actor, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Conversation:
        """Add and remove tags. Raises `Refusal` for a tag that is empty or holds a comma."""
        for name in add:
            if not name.strip() or "," in name or len(name) > 60:
                raise Refusal("a tag is 1 to 60 characters without a comma")
        if len(add) > MOST_TAGS:
            raise Refusal(f"at most {MOST_TAGS} tags")

        def change(now: Conversation) -> tuple[dict[str, Any], dict[str, Any]]:
            tags = tuple(dict.fromkeys([*(one for one in now.tags if one not in remove), *add]))
            if tags == now.tags:
                return {}, {}
            if len(tags) > MOST_TAGS:
                raise Refusal(f"at most {MOST_TAGS} tags")
            return {"tags": tags}, {"tags": list(tags)}

        return await self._change(conversation_id, actor, "tagged", change)

    async def read(self, conversation_id: str, at: int | None = None) -> Conversation:
        """Remember up to when a conversation has been read: until *at*, else with everything that is there now."""
        if at is None:
            at = max(self._now(), (await load(self._store, conversation_id)).last_inbound_at)

        def change(now: Conversation) -> tuple[dict[str, Any], dict[str, Any]]:
            values: dict[str, Any] = {"read_at": at} if at > now.read_at else {}
            return values | ({"attention": ""} if now.attention else {}), {}

        return await self._change(conversation_id, HUB, "", change)

    async def note(
        self, conversation_id: str, actor: Actor, text: str, *, source: tuple[str, str] = ("", ""), once: str = ""
    ) -> str:
        """Leave a note that no customer sees; return its message id. Raises `Refusal` if it is empty.

        *source* = (address, log position) of the message that it came with: the same one leaves one note, and "" is
        returned when it was left before. The same *once* leaves one note within a day, and returns its id again.
        """
        if not text.strip():
            raise Refusal("a note needs text")
        conversation = await load(self._store, conversation_id)
        place = conversation.place
        fields: list[Value] = ["t", logbook.NOTE, "c", place.key, "at", self._now(), "au", encode(actor), "tx", text]
        change = Change(id=place.key, log=[("n", fields)])
        address, position = source
        if position:
            writer = f"note:{digest(address)}"
            change.once = (f"c:{place.key}", writer, position, "")
            change.records = [(f"c:{place.key}", [writer, position])]
        done = await self._commit_once(place.partition, change, once)
        self._wakes.ring((f"p{place.partition}",))
        left = done.ids[0] if done.ids else done.answer
        return f"m{place.partition}-{left}" if left else ""

    async def wake_snoozed(self, held: Held) -> int | None:
        """Open conversations whose time has come; return when the next one wakes, if any. Raises `StoreError`."""
        name, slot = key(held.partition, "snoozed"), tag(held.partition)
        for one in await self._store.do(slot, "ZRANGEBYSCORE", name, "-inf", self._now()):
            conversation = await load(self._store, f"c{held.partition}-{one}")
            asleep = conversation.status == "snoozed"
            if asleep and conversation.snoozed_until > self._now():
                continue  # snoozed again since the set was read: its new time stands there
            values, story = self._open(conversation) if asleep else ({}, {})
            with contextlib.suppress(Conflict):  # it has just been touched; the next turn looks again
                await self._commit(conversation, HUB, "reopened" if asleep else "", values, story, awake=True)
        later = await self._store.do(slot, "ZRANGE", name, 0, 0, "WITHSCORES")
        return int(float(later[1])) if later else None

    def _open(self, now: Conversation) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what opens a conversation, and the story of it; nothing if it is open."""
        if now.status == "open":
            return {}, {}
        return {"status": "open", "snoozed_until": 0, **stepped(now, RETURNED, self._now())}, {"from": now.status}

    async def _change(
        self,
        conversation_id: str,
        actor: Actor,
        event: str,
        change: Callable[[Conversation], tuple[dict[str, Any], dict[str, Any]]],
        *,
        snooze: int | None = None,
        once: str = "",
    ) -> Conversation:
        for attempt in range(TRIES):
            if attempt:  # its customer writes one message after the other: let some of them pass
                await asyncio.sleep(random.uniform(0, CALM * 2**attempt))  # noqa: S311  # no secret
            conversation = await load(self._store, conversation_id)
            values, story = change(conversation)
            if not values:
                return conversation
            try:
                await self._commit(conversation, actor, event, values, story, snooze=snooze, once=once)
            except Conflict:
                continue
            return await load(self._store, conversation_id)
        raise Conflict

    async def _commit(  # private; its one caller has all of these at hand
        self,
        conversation: Conversation,
        actor: Actor,
        event: str,
        values: dict[str, Any],
        story: dict[str, Any],
        *,
        snooze: int | None = None,
        awake: bool = False,
        once: str = "",
    ) -> Committed:
        place: Id = conversation.place
        logged: list[tuple[str, list[Value]]] = []
        if event:
            fields: list[Value] = ["t", logbook.STATE, "c", place.key, "ev", event, "at", self._now()]
            logged = [
                (
                    "a" if event == "assigned" else "s",
                    [*fields, "au", encode(actor), "b", msgspec.json.encode(story).decode()],
                )
            ]
        done = await self._commit_once(
            place.partition,
            Change(
                id=place.key,
                version=conversation.version,
                set=values,
                log=logged,
                marks=(("snoozed", snooze, place.key),) if snooze is not None else (),
                unmarks=(("snoozed", place.key),) if awake else (),
            ),
            once,
        )
        self._wakes.ring((f"p{place.partition}", *((f"{BELL}{place.partition}",) if snooze is not None else ())))
        return done

    async def _commit_once(self, partition: int, change: Change, once: str) -> Committed:
        """Apply *change*, which logs one entry, once for *once*; later its position is the answer."""
        if not once:
            return await commit(self._store, partition, change)
        name = f"did:{once}"
        change.once, change.link = (name, "at", FIRST, "at"), (1, name, "at")
        done = await commit(self._store, partition, change)
        await self._store.do(tag(partition), "PEXPIRE", key(partition, name), REMEMBERED)
        return done


def encode(actor: Actor) -> str:
    """Encode an actor for the log."""
    return msgspec.json.encode(actor).decode()
