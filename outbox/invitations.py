"""Invitations and responses in the store. Every step is one script in the invitation's slot; doing it twice is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inbox import log as logbook
from inbox.conversations import Change, Value, commit, pairs, text
from inbox.lists import parse_cursor, ranked
from inbox.partitions import Id, key, parse_id, tag
from inbox.store import Script, Store
from inbox.wakes import Wakes
from outbox.responses import SUPPRESSED, Answer, Invitation, Response

SCRIPTS = Path(__file__).parent / "scripts"
STEP = Script.load(SCRIPTS / "step.lua")
ANSWERED = Script.load(SCRIPTS / "answered.lua")
DUE = "ivdue"
"""A partition's jobs by when they are due: "send:<invitation>", "remind:…", "expire:…" and "code:…"."""

RUNS = "ivran"
"""A partition's hash: up to when each survey's schedule has been followed."""

MOST_DUPLICATES = 5
STATIC = frozenset(Invitation.__struct_fields__) - {"id", "state", "sent", "reminded", "expires", "reason", "delivery"}
NUMBERS = ("sent", "reminded", "expires")


class NoInvitation(LookupError):
    """There is no invitation with this id."""


class NoResponse(LookupError):
    """There is no response with this id."""


@dataclass(frozen=True, slots=True)
class Given:
    """Answers as they come in. *source* makes them idempotent: a message's id, or a form's own.

    *wordy*: they hold free words of a message, which may say more than the survey asked.
    """

    source: str
    via: str
    at: int
    answers: tuple[Answer, ...]
    skipped: tuple[str, ...] = ()
    seconds: int = 0
    mode: str = ""
    interviewer: str = ""
    wordy: bool = False


class Invitations:
    """The records of surveys."""

    def __init__(self, store: Store, wakes: Wakes) -> None:
        self._store = store
        self._wakes = wakes

    async def create(self, one: Invitation, due: int | None) -> bool:
        """Keep a new invitation, to be sent when *due* (None = never); False if it is there. Raises `StoreError`."""
        place = one.place
        known = msgspec.structs.asdict(one)
        record: list[Value] = ["b", body(one), "state", one.state]
        for name in ("reason", *NUMBERS):
            if known[name]:
                record += (name, known[name])
        marks: list[tuple[str, int, str]] = [(f"ivs:{one.survey}", one.created, place.key)]
        if due is not None:
            marks.append((DUE, due, f"send:{place.key}"))
        change = Change(unless=f"iv:{place.key}", records=[(f"iv:{place.key}", record)], marks=marks)
        done = await commit(self._store, place.partition, change)
        self._wakes.ring((f"v{place.partition}",))
        return done.fresh

    async def exists(self, place: Id) -> bool:
        """Tell whether an invitation is kept already. Raises `StoreError`."""
        return bool(await self._store.do(tag(place.partition), "EXISTS", key(place.partition, f"iv:{place.key}")))

    async def load(self, invitation_id: str) -> Invitation:
        """Return an invitation. Raises `UnknownId`, `NoInvitation`, `StoreError`."""
        place = parse_id(invitation_id, "i")
        found = (await self.load_many([place]))[0]
        if found is None:
            raise NoInvitation(invitation_id)
        return found

    async def load_many(self, places: Sequence[Id]) -> list[Invitation | None]:
        """Return invitations in the order asked for, None where there is none. Raises `StoreError`."""
        replies = await self._store.each(
            [(tag(one.partition), ("HGETALL", key(one.partition, f"iv:{one.key}"))) for one in places]
        )
        return [
            _invitation(place, pairs(reply)) if reply else None for place, reply in zip(places, replies, strict=True)
        ]

    async def step(  # each keyword is one thing that changes with the state
        self,
        one: Invitation,
        expect: Sequence[str],
        values: Mapping[str, str | int],
        *,
        later: Sequence[tuple[str, int]] = (),
        done: Sequence[str] = (),
    ) -> bool:
        """Set *values* if the invitation is in one of the states *expect*; tell whether it was.

        *later* are jobs with their times, *done* jobs that are not to be done any more. Raises `StoreError`.
        """
        place = one.place
        parts = {
            "key": place.key,
            "expect": list(expect),
            "set": text([word for pair in values.items() for word in pair]),
            "marks": [(DUE, str(at), f"{what}:{place.key}") for what, at in later],
            "unmarks": [(DUE, f"{what}:{place.key}") for what in done],
        }
        arguments = (msgspec.msgpack.encode(parts),)
        was = await self._store.run(STEP, tag(place.partition), [key(place.partition, "log")], arguments)
        if later:
            self._wakes.ring((f"v{place.partition}",))
        return was in expect

    async def suppress(self, one: Invitation, reason: str) -> bool:
        """Give up an invitation that has not been sent. Raises `StoreError`."""
        return await self.step(
            one, ("waiting", "sent"), {"state": SUPPRESSED, "reason": reason}, done=("send", "remind", "expire")
        )

    async def take(  # each keyword is one fact about the answers
        self,
        one: Invitation,
        given: Given,
        *,
        complete: bool,
        flags: str,
        version: str,
        event: str,
        told: Mapping[str, Any],
    ) -> str:
        """Keep answers to an invitation; return what became of them.

        "taken", "same" (this source was taken before), "duplicate" (kept, does not count), "closed" or "gone".
        *event* is what the log and the timeline tell of it, *told* its story. Raises `StoreError`.
        """
        place = one.place
        home = parse_id(one.conversation, "c") if one.conversation else None
        conversation = home.key if home is not None and home.partition == place.partition else ""
        parts: dict[str, Any] = {
            "key": place.key,
            "now": str(given.at),
            "source": given.source,
            "by": "w" if given.wordy else "1",
            "via": given.via,
            "version": version,
            "survey": one.survey,
            "answers": [(each.question, msgspec.json.encode(each.value).decode()) for each in given.answers]
            + [(name, "null") for name in given.skipped],
            "complete": "1" if complete else "0",
            "flags": flags,
            "seconds": str(given.seconds),
            "mode": given.mode,
            "interviewer": given.interviewer,
            "staff": given.via == "staff",
            "most": MOST_DUPLICATES,
            "conv": conversation,
            "log": text(_entry(one, conversation, event, given.at, told)),
            "mark": "s",
        }
        arguments = (msgspec.msgpack.encode(parts),)
        reply = await self._store.run(ANSWERED, tag(place.partition), [key(place.partition, "log")], arguments)
        self._wakes.ring((f"p{place.partition}",))
        return str(reply[0])

    async def response(self, response_id: str) -> Response:
        """Return a response. Raises `UnknownId`, `NoResponse`, `StoreError`."""
        place = parse_id(response_id, "r")
        found = (await self.responses([place]))[0]
        if found is None:
            raise NoResponse(response_id)
        return found

    async def answers(self, one: Invitation) -> Progress:
        """Return how far the response to an invitation is. Raises `StoreError`."""
        place = one.place
        name = key(place.partition, f"rsp:{place.key}")
        fields = pairs(await self._store.do(tag(place.partition), "HGETALL", name))
        return Progress.of(Id("r", place.partition, place.key), fields)

    async def responses(self, places: Sequence[Id]) -> list[Response | None]:
        """Return responses in the order asked for, None where there is none. Raises `StoreError`."""
        replies = await self._store.each(
            [(tag(one.partition), ("HGETALL", key(one.partition, f"rsp:{one.key}"))) for one in places]
        )
        return [
            Progress.of(place, pairs(reply)).response if reply else None
            for place, reply in zip(places, replies, strict=True)
        ]

    async def file(self, response_id: str, codes: Sequence[str]) -> Response:
        """File the open text of a response under *codes*. Raises `UnknownId`, `NoResponse`, `StoreError`."""
        place = (await self.response(response_id)).place
        name = key(place.partition, f"rsp:{place.key}")
        await self._store.do(tag(place.partition), "HSET", name, "codes", "\n".join(codes))
        return await self.response(response_id)

    async def invited(self, survey: str, cursor: str, limit: int) -> tuple[list[Invitation], str]:
        """Return up to *limit* invitations of a survey, newest first, and the next cursor.

        Raises `BadCursor`, `StoreError`.
        """
        places, following = await self._page(f"ivs:{survey}", "i", cursor, limit)
        return [one for one in await self.load_many(places) if one is not None], following

    async def responded(self, survey: str, cursor: str, limit: int) -> tuple[list[Response], str]:
        """Return up to *limit* responses to a survey, newest first, and the next cursor.

        Raises `BadCursor`, `StoreError`.
        """
        places, following = await self._page(f"rsps:{survey}", "r", cursor, limit)
        return [one for one in await self.responses(places) if one is not None], following

    async def _page(self, name: str, letter: str, cursor: str, limit: int) -> tuple[list[Id], str]:
        found = await ranked(self._store, [name], letter, parse_cursor(cursor, letter), limit + 1)
        following = f"{found[limit - 1][0]}:{found[limit - 1][1]}" if len(found) > limit else ""
        return [place for _, place in found[:limit]], following


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a response is: *answered* and *skipped* questions in order, *last* when the last of them came."""

    response: Response
    skipped: tuple[str, ...]
    last: int

    @property
    def questions(self) -> frozenset[str]:
        """Every question that is done with."""
        return frozenset([*(each.question for each in self.response.answers), *self.skipped])

    @classmethod
    def of(cls, place: Id, fields: Mapping[str, str]) -> Progress:
        """Build it from a response's hash, which may be empty."""
        invitation = f"i{place.partition}-{place.key.partition('-')[0]}"
        order = fields.get("order", "").split()
        given = {name: msgspec.json.decode(fields[f"q:{name}"]) for name in order}
        answers = [
            Answer(name, tuple(value) if isinstance(value, list) else value)
            for name, value in given.items()
            if value is not None
        ]
        response = Response(
            id=str(place),
            invitation=invitation,
            survey=fields.get("survey", ""),
            version=fields.get("version", ""),
            at=int(fields.get("at", 0)),
            via=fields.get("via", ""),
            answers=tuple(answers),
            flags=tuple(fields.get("flags", "").split()),
            seconds=int(fields.get("seconds", 0)),
            complete=fields.get("complete") == "1",
            mode=fields.get("mode", ""),
            interviewer=fields.get("interviewer", ""),
            codes=tuple(filter(None, fields.get("codes", "").split("\n"))),
        )
        return cls(response, tuple(name for name in order if given[name] is None), int(fields.get("last", 0)))


def body(one: Invitation) -> str:
    """Return what of an invitation is set when it is made."""
    known = msgspec.structs.asdict(one)
    return msgspec.json.encode({name: known[name] for name in STATIC if known[name]}).decode()


def _invitation(place: Id, fields: Mapping[str, str]) -> Invitation:
    known = msgspec.json.decode(fields["b"])
    moving: dict[str, Any] = {name: int(fields.get(name) or 0) for name in NUMBERS}
    moving |= {"state": fields["state"], "reason": fields.get("reason", ""), "delivery": fields.get("delivery", "")}
    return msgspec.convert({**known, **moving, "id": str(place)}, Invitation)


def _entry(one: Invitation, conversation: str, event: str, at: int, told: Mapping[str, Any]) -> list[Value]:
    """Return the log entry that tells of an answer: an event of the conversation, if there is one here."""
    kind = logbook.STATE if conversation else logbook.SURVEY
    author = msgspec.json.encode({"kind": "contact", "id": one.contact, "name": ""}).decode()
    fields: list[Value] = ["t", kind, "c", conversation, "iv", one.place.key, "ev", event, "at", at, "au", author]
    return [*fields, "b", msgspec.json.encode(told).decode()]
