"""The API of consent, and of trying a text against the policy about words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from aiohttp import web

from inbox import contacts
from inbox.api import ROLES, Ask, Problem, Route, answer, listing, moment, rfc3339
from inbox.channels import Channels
from inbox.store import Store
from inbox.visibility import must_see
from outbox.consent import ALL, Consent, Word, latest
from outbox.leaving import Leaving
from outbox.letters import LANES, Lane
from outbox.obstacles import Sending
from outbox.reasons import telling
from outbox.replies import obstacle_shape
from outbox.watch import Watch

MAX_TEXT = 100_000
LONGEST = 500


class ConsentBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /contacts/{id}/consent: what a person records, for all channels and lanes unless it says which."""

    address: str
    state: Literal["consented", "opted_out", "unknown"]
    reason: str
    channel: str = ALL
    lane: str = ALL
    source: str = ""
    at: str = ""


class GuardBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /guard/test."""

    text: str
    channel: str = ""
    lane: Lane = "reply"
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class Consents:
    """What the endpoints need."""

    store: Store
    consent: Consent
    leaving: Leaving
    watch: Watch
    channels: Channels
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/contacts/{id}/consent", "readonly", self.show),
            Route("PUT", "/contacts/{id}/consent", "agent", self.put),
            Route("POST", "/guard/test", "agent", self.test),
        ]

    async def show(self, ask: Ask) -> web.Response:
        """Every word that is known of each address, the latest first; an address without any is unknown."""
        return listing(await self._items(ask.part("id")))

    async def _items(self, contact: str) -> list[dict[str, Any]]:
        addresses = await self._addresses(contact)
        known = await asyncio.gather(*(self.consent.known(address) for address in addresses))
        nothing = Word("unknown", 0, "person")
        return [
            word_shape(address, word)
            for address, found in zip(addresses, known, strict=True)
            for word in found or (nothing,)
        ]

    async def _addresses(self, contact: str) -> list[str]:
        fields = await contacts.load(self.store, contact)
        return [one for one in fields.get("addresses", "").split("\n") if one]

    async def put(self, ask: Ask) -> web.Response:
        contact = ask.part("id")
        addresses = await self._addresses(contact)
        body = await ask.body(ConsentBody)
        if body.address not in addresses:
            raise Problem(422, "The contact has no such address")
        if not body.reason.strip() or len(body.reason) > LONGEST or len(body.source) > LONGEST:
            raise Problem(422, "The body does not fit", f"give a reason, of at most {LONGEST} characters")
        if body.channel != ALL and self.channels.get(body.channel) is None:
            raise Problem(422, "There is no such channel")
        if body.lane != ALL and body.lane not in LANES:
            raise Problem(422, "The body does not fit", f"lane must be * or one of {', '.join(LANES)}")
        if body.at and moment(body.at) > self.now():
            raise Problem(422, "The body does not fit", "at lies in the future")
        holds = latest(await self.consent.known(body.address), body.channel, body.lane)
        own = holds is not None and holds.state == "opted_out" and holds.how != "person"
        if own and body.state != "opted_out" and ROLES.index(ask.token.role) < ROLES.index("supervisor"):
            raise Problem(403, "Not allowed", "the customer opted out; only a supervisor may record otherwise")
        word = Word(
            body.state,
            moment(body.at) if body.at else 0,
            "person",
            body.source,
            ask.actor.name or ask.actor.id,
            body.reason,
            body.channel,
            body.lane,
        )
        told = await self.leaving.take(body.address, word)
        if not told.holds:
            raise Problem(409, "That makes no sense now", "something later is known already")
        await self.consent.note(body.address, ask.actor, told.word)
        return listing(await self._items(contact))

    async def test(self, ask: Ask) -> web.Response:
        """What the policy says about a text, as if it were a reply; nothing is sent."""
        body = await ask.body(GuardBody)
        if len(body.text) > MAX_TEXT:
            raise Problem(422, "The text is too large", f"at most {MAX_TEXT} characters")
        await must_see(self.store, ask, body.conversation)
        sending = Sending(body.channel, "", body.lane, body.text, conversation=body.conversation)
        with telling(ask.language):
            found = await self.watch.objection(sending)
        return answer({"items": [obstacle_shape(one) for one in found], "next": None})


def word_shape(address: str, word: Word) -> dict[str, Any]:
    """Return what is known of an address as the API shows it."""
    return {
        "address": address,
        "channel": word.channel,
        "lane": word.lane,
        "state": word.state,
        "at": rfc3339(word.at),
        "how": word.how if word.at else None,
        "evidence": word.evidence or None,
        "by": word.by or None,
        "reason": word.reason or None,
    }
