"""The API of contacts: who they are, what they had with us, and which of them are one person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from inbox import contacts, past, register
from inbox.api import Ask, Problem, Route, answer, listing, rfc3339
from inbox.channels import Channels
from inbox.kinship import Merge
from inbox.merging import Merging
from inbox.past import parse_moment
from inbox.register import Wanted
from inbox.shapes import customer_shape
from inbox.store import Store
from inbox.suggestions import Suggestion, Suggestions
from inbox.views import Views
from inbox.work import Actor, Refusal


class ContactBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /contacts/{id}: null takes a value back, a missing field leaves it as it is; addresses are added."""

    tags: list[str] | msgspec.UnsetType = msgspec.UNSET
    tier: str | msgspec.UnsetType | None = msgspec.UNSET
    language: str | msgspec.UnsetType | None = msgspec.UNSET
    name: str | msgspec.UnsetType | None = msgspec.UNSET
    channel: str | msgspec.UnsetType | None = msgspec.UNSET
    addresses: list[str] = []


class MergeBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /contacts/{id}/merge."""

    other: str = msgspec.field(name="with")
    reason: str = ""


class SplitBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /contacts/{id}/split."""

    merge: str
    reason: str = ""


class ApartBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /contacts/{id}/apart."""

    other: str = msgspec.field(name="with")


@dataclass(frozen=True, slots=True)
class ContactApi:
    """What the endpoints need."""

    store: Store
    merging: Merging
    suggestions: Suggestions
    channels: Channels
    views: Views
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        one = "/contacts/{id}"
        return [
            Route("GET", "/contacts", "readonly", self.list_contacts),
            Route("GET", one, "readonly", self.show),
            Route("PUT", one, "agent", self.put),
            Route("GET", f"{one}/conversations", "readonly", self.conversations),
            Route("GET", f"{one}/timeline", "readonly", self.timeline),
            Route("GET", f"{one}/suggestions", "readonly", self.suggest),
            Route("GET", f"{one}/merges", "readonly", self.merges),
            Route("POST", f"{one}/merge", "agent", self.merge),
            Route("POST", f"{one}/split", "agent", self.split),
            Route("POST", f"{one}/apart", "agent", self.apart),
        ]

    async def list_contacts(self, ask: Ask) -> web.Response:
        """Customers, those heard of last first; who is known from hidden conversations alone is left out."""
        wanted = Wanted(ask.query("q"), ask.query("tag"), ask.query("tier"), ask.query("language"))
        found, following = await register.page(self.store, wanted, ask.query("cursor"), ask.limit())
        hides = await asyncio.gather(*(past.hides(self.store, one.fields, ask.hidden) for one in found))
        shown = [customer_shape(one.id, one.fields) for one, hidden in zip(found, hides, strict=True) if not hidden]
        return listing(shown, following)

    async def show(self, ask: Ask) -> web.Response:
        return answer(await self._shape(ask.part("id")))

    async def _shape(self, contact: str) -> dict[str, Any]:
        root, fields = await contacts.resolve(self.store, contact)
        standing = await self.merging.all(root, fields)
        return {**customer_shape(root, fields), "merges": [merge_shape(one) for one in standing]}

    async def put(self, ask: Ask) -> web.Response:
        """Set what rules may ask about a contact; what is not given stays."""
        body = await ask.body(ContactBody)
        tags = None if body.tags is msgspec.UNSET else body.tags
        single = (body.tier, body.language, body.name, body.channel)
        tier, language, name, channel = (None if one is msgspec.UNSET else one or "" for one in single)
        if channel and self.channels.get(channel) is None:
            raise Problem(422, "There is no such channel")
        try:
            values = contacts.checked(tags, tier, language, name, channel)
            addresses = contacts.reachable(body.addresses)
        except Refusal as error:
            raise Problem(422, "The body does not fit", str(error)) from None
        if addresses:
            await contacts.reach(self.store, ask.part("id"), ask.actor, addresses, self.now())
        await contacts.update(self.store, ask.part("id"), ask.actor, values, self.now())
        return answer(await self._shape(ask.part("id")))

    async def conversations(self, ask: Ask) -> web.Response:
        """Every conversation of a person on all channels, the latest activity first."""
        fields = await contacts.load(self.store, ask.part("id"))
        found = await past.had(self.store, fields, ask.hidden)
        shown = await past.page(self.store, found, ask.query("cursor"), ask.limit())
        return listing(await self.views.conversations(shown.items), shown.next)

    async def timeline(self, ask: Ask) -> web.Response:
        """What was said and done in all these conversations as one, newest first."""
        before = parse_moment(ask.query("cursor"))
        fields = await contacts.load(self.store, ask.part("id"))
        found = await past.had(self.store, fields, ask.hidden)
        items, following = await past.timeline(self.store, found, before, ask.limit())
        shown = [(await self.views.messages(conversation, [item]))[0] for conversation, item in items]
        return listing(shown, following)

    async def suggest(self, ask: Ask) -> web.Response:
        """Who may be the same person, and why."""
        found = await self.suggestions.of(ask.part("id"), ask.hidden)
        hides = await asyncio.gather(*(past.hides(self.store, one.fields, ask.hidden) for one in found))
        return listing([suggestion_shape(one) for one, hidden in zip(found, hides, strict=True) if not hidden])

    async def merges(self, ask: Ask) -> web.Response:
        """Every merge of a contact, newest first, also those that were taken back."""
        root, fields = await contacts.resolve(self.store, ask.part("id"))
        found = await self.merging.history(root, fields)
        return listing([past_merge_shape(one) for one in found])

    async def merge(self, ask: Ask) -> web.Response:
        """Make another contact a part of this one."""
        body = await ask.body(MergeBody)
        host, done = await self.merging.merge(ask.part("id"), body.other, ask.actor, reason=body.reason.strip())
        return answer({"contact": await self._shape(host), "merge": merge_shape(done)})

    async def split(self, ask: Ask) -> web.Response:
        """Take a merge back."""
        body = await ask.body(SplitBody)
        stays, free = await self.merging.split(ask.part("id"), body.merge, ask.actor, reason=body.reason.strip())
        return answer({"contact": await self._shape(stays), "split": await self._shape(free)})

    async def apart(self, ask: Ask) -> web.Response:
        """Remember that two contacts are two people."""
        body = await ask.body(ApartBody)
        return answer(await self._shape(await self.merging.apart(ask.part("id"), body.other, ask.actor)))


def who(actor: Actor) -> dict[str, Any]:
    """Return who did something, as the API shows authors."""
    kind = actor.kind if actor.kind in ("hub", "contact") else "agent"
    return {"kind": kind, "id": actor.id or None, "name": actor.name or None}


def merge_shape(one: Merge) -> dict[str, Any]:
    """Return a merge as the API shows it."""
    return {
        "id": one.id,
        "contact": one.contact,
        "name": one.name or None,
        "addresses": list(one.addresses),
        "at": rfc3339(one.at),
        "by": who(one.by),
        "how": one.how,
        "reason": one.reason or None,
        "evidence": list(one.evidence),
        "conflicts": [{"field": each.field, "kept": each.kept, "left": each.left} for each in one.conflicts],
    }


def past_merge_shape(one: Merge) -> dict[str, Any]:
    """Return a merge with what became of it."""
    end = one.undone
    undone = {"at": rfc3339(end.at), "by": who(end.by), "reason": end.reason or None} if end is not None else None
    return {**merge_shape(one), "undone": undone}


def suggestion_shape(one: Suggestion) -> dict[str, Any]:
    """Return a suggestion as the API shows it."""
    because = [
        {
            "kind": each.kind,
            "value": each.value,
            "message": each.message or None,
            "conversation": each.conversation or None,
        }
        for each in one.reasons
    ]
    return {"contact": customer_shape(one.contact, one.fields), "because": because}
