"""Answers that are not proved to be an agent's, or came too late: held until a person approves or discards them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from connectors.base import Media
from inbox import log as logbook
from inbox.conversations import Change, Conflict, Value, commit, load, pairs
from inbox.lists import parse_cursor, ranked
from inbox.partitions import Id, digest, key, parse_id, tag
from inbox.store import Store
from inbox.wakes import Wakes
from inbox.work import HUB, Actor, Refusal, encode
from outbox.answers import Answers, Obstructed, Wishes
from outbox.deliveries import Author, Delivery, Reply

TRIES = 16
LETTER = "w"
INDEX = "drafts"
APPROVAL = "draft_approved"

State = Literal["held", "approved", "discarded"]
HELD: State = "held"
APPROVED: State = "approved"
DISCARDED: State = "discarded"

OBSTRUCTED = "obstructed"
KNOWN = Wishes(anyway=True)


class NoDraft(LookupError):
    """There is no draft with this id."""


class Draft(msgspec.Struct, frozen=True):
    """An answer in the name of *agent* that waits. *key* names it; the same key in a conversation is one draft.

    *reason* is a slug (docs/agents.md), *why* what a person should know of it; *source* is the address that it came
    from, *via* the kind of channel. *client_id* makes sure that it goes out once, whatever way it takes in the end.
    """

    conversation: str
    key: str
    agent: str
    name: str
    text: str
    at: int
    reason: str
    why: str = ""
    via: str = ""
    source: str = ""
    media: tuple[Media, ...] = ()
    client_id: str = ""
    message: str = ""
    state: State = HELD
    by: str = ""

    @property
    def id(self) -> str:
        """Its id in the API."""
        return f"{LETTER}{self.place.partition}-{self.key}"

    @property
    def place(self) -> Id:
        """Where its conversation is, and with it the draft."""
        return parse_id(self.conversation, "c")

    @property
    def story(self) -> dict[str, str]:
        """What the timeline tells of it."""
        told = {"draft": self.id, "agent": self.agent, "reason": self.reason, "why": self.why}
        return {**told, "via": self.via}

    @property
    def reply(self) -> Reply:
        """What goes to the customer once it is approved."""
        details = {"via": self.via, "approved_by": self.by}
        author = Author("agent", self.agent, self.name)
        client = self.client_id or f"draft:{self.id}"
        return Reply(author, self.text, media=self.media, client_id=client, details=details)


class Drafts:
    """All drafts."""

    def __init__(self, store: Store, wakes: Wakes, answers: Answers) -> None:
        self._store = store
        self._wakes = wakes
        self._answers = answers

    async def hold(self, draft: Draft) -> bool:
        """Keep *draft*; False if it was kept before. Raises `NoConversation`, `Conflict`, `StoreError`."""
        place = draft.place
        change = Change(
            id=place.key,
            unless=f"{LETTER}:{draft.key}",
            records=[(f"{LETTER}:{draft.key}", ["state", HELD, "by", "", "b", msgspec.json.encode(draft).decode()])],
            marks=((INDEX, draft.at, draft.key),),
            log=[("s", self._entry(draft, "draft_held", HUB, draft.at, draft.story))],
        )
        await load(self._store, draft.conversation)
        done = await commit(self._store, place.partition, change)
        self._wakes.ring((f"p{place.partition}",))
        return done.fresh

    async def load(self, draft_id: str) -> Draft:
        """Return a draft. Raises `UnknownId`, `NoDraft`, `StoreError`."""
        found = (await self._load_many([parse_id(draft_id, LETTER)]))[0]
        if found is None:
            raise NoDraft(draft_id)
        return found

    async def listing(self, cursor: str, limit: int) -> tuple[list[Draft], str]:
        """Return up to *limit* drafts that wait, newest first, and the next cursor.

        Raises `BadCursor`, `StoreError`.
        """
        places = await ranked(self._store, [INDEX], LETTER, parse_cursor(cursor, LETTER), limit + 1)
        found = await self._load_many([place for _, place in places[:limit]])
        following = f"{places[limit - 1][0]}:{places[limit - 1][1]}" if len(places) > limit else ""
        return [one for one in found if one is not None], following

    async def approve(self, draft_id: str, actor: Actor, now: int) -> tuple[Draft, Delivery]:
        """Let a draft go out; twice is once.

        Whoever approves has seen what the policy about words warns of. Raises `NoDraft`, `Refusal` if it was discarded,
        `Obstructed` if it would not go, `StoreError`.
        """
        draft = await self.load(draft_id)
        conversation = await load(self._store, draft.conversation)
        plan = await self._answers.look(conversation, draft.reply, KNOWN)
        if draft.state == HELD and plan.action == "refuse":
            raise Obstructed(plan)
        draft = await self._decide(draft_id, actor, APPROVED, now)
        return draft, await self.send(draft, now)

    async def discard(self, draft_id: str, actor: Actor, now: int) -> Draft:
        """Drop a draft for good; twice is once. Raises `NoDraft`, `Refusal` if it was approved, `StoreError`."""
        return await self._decide(draft_id, actor, DISCARDED, now)

    async def send(self, draft: Draft, now: int) -> Delivery:
        """Owe what an approved draft says; doing it again changes nothing. Raises `Obstructed`, `StoreError`.

        The approval stands in the log first: whoever reads it does this as well, so that a crash in between
        loses nothing. If it would not go any more, it waits again.
        """
        conversation = await load(self._store, draft.conversation)
        try:
            return (await self._answers.give(conversation, draft.reply, KNOWN)).delivery
        except Obstructed as error:
            await self._hold_again(draft, str(error), now)
            raise

    async def _hold_again(self, draft: Draft, why: str, now: int) -> None:
        place = draft.place
        conversation = await load(self._store, draft.conversation)
        kept = msgspec.structs.replace(draft, state=HELD, by="", reason=OBSTRUCTED, why=why)
        fields: list[Value] = ["state", HELD, "by", "", "b", msgspec.json.encode(kept).decode()]
        change = Change(
            id=place.key,
            version=conversation.version,
            records=[(f"{LETTER}:{draft.key}", fields)],
            marks=((INDEX, draft.at, draft.key),),
            log=[("s", self._entry(draft, "draft_held", HUB, now, kept.story))],
        )
        with contextlib.suppress(Conflict):  # then whoever reads the approval in the log tries it again
            await commit(self._store, place.partition, change)
        self._wakes.ring((f"p{place.partition}",))

    async def _decide(self, draft_id: str, actor: Actor, state: State, now: int) -> Draft:
        for _ in range(TRIES):
            draft = await self.load(draft_id)
            if draft.state == state:
                return draft
            if draft.state != HELD:
                raise Refusal(f"the draft was {draft.state} by {draft.by or 'somebody'} already")
            conversation = await load(self._store, draft.conversation)
            place, by = draft.place, actor.id or actor.kind
            story = {"draft": draft.id, "agent": draft.agent}
            change = Change(
                id=place.key,
                version=conversation.version,
                records=[(f"{LETTER}:{draft.key}", ["state", state, "by", by])],
                unmarks=((INDEX, draft.key),),
                log=[("s", self._entry(draft, f"draft_{state}", actor, now, story))],
            )
            try:
                await commit(self._store, place.partition, change)
            except Conflict:
                continue
            self._wakes.ring((f"p{place.partition}",))
            return msgspec.structs.replace(draft, state=state, by=by)
        raise Conflict

    @staticmethod
    def _entry(draft: Draft, event: str, actor: Actor, now: int, story: dict[str, Any]) -> list[Value]:
        fields: list[Value] = ["t", logbook.STATE, "c", draft.place.key, "ev", event, "at", now, "au", encode(actor)]
        return [*fields, "b", msgspec.json.encode(story).decode()]

    async def _load_many(self, places: Sequence[Id]) -> list[Draft | None]:
        found: list[Draft | None] = []
        for place in places:
            name = key(place.partition, f"{LETTER}:{place.key}")
            fields = pairs(await self._store.do(tag(place.partition), "HGETALL", name))
            draft = msgspec.json.decode(fields["b"], type=Draft) if fields else None
            if draft is not None:
                draft = msgspec.structs.replace(draft, state=fields["state"], by=fields["by"])
            found.append(draft)
        return found


def draft_key(agent: str, message: str) -> str:
    """Return the key of the draft that *agent*'s inbound *message* becomes."""
    return digest("draft", agent, message)
