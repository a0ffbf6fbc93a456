"""Who may be the same person: of the same name, or reachable at what a customer wrote in a text. It is never more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from config.folding import fold
from inbox import contacts, past, register
from inbox import log as logbook
from inbox.kinship import APART, listed
from inbox.merging import Merging
from inbox.sightings import emails, phones
from inbox.store import Store

Kind = Literal["phone", "email", "name"]
WEIGHT: Mapping[Kind, int] = {"phone": 3, "email": 3, "name": 1}
INBOUND = frozenset("m")
READ = 300
"""Messages of a customer that are looked through, the latest first."""

MOST = 20
SHORTEST_NAME = 2


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a *value* that both have. *message* is where one of them wrote it, "" for a name."""

    kind: Kind
    value: str
    message: str = ""
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A contact that may be the same person."""

    contact: str
    fields: Mapping[str, str]
    reasons: tuple[Reason, ...]

    @property
    def weight(self) -> int:
        """How much speaks for it."""
        return sum(WEIGHT[one.kind] for one in self.reasons)


class Suggestions:
    """Looks when somebody asks; nothing is kept. *region* is that of phone numbers without a country code."""

    def __init__(self, store: Store, merging: Merging, region: Callable[[], str]) -> None:
        self._store = store
        self._merging = merging
        self._region = region

    async def of(self, contact_id: str, hidden: frozenset[str]) -> list[Suggestion]:
        """Return who may be the same person as a contact, the best first.

        What was written in conversations of *hidden* teams is not looked at. Raises `UnknownId`, `NoContact`,
        `StoreError`.
        """
        root, fields = await contacts.resolve(self._store, contact_id)
        found: dict[str, list[Reason]] = {}
        async for owner, reason in self._written(fields, hidden):
            found.setdefault(owner, []).append(reason)
        name = fields.get("name", "")
        if len(name) >= SHORTEST_NAME:
            for owner in await register.named(self._store, name):
                found.setdefault(owner, []).append(Reason("name", name))
        apart = set(listed(fields, APART)) | {root}
        loaded = await contacts.load_many(self._store, [one for one in found if one not in apart])
        made = [
            Suggestion(owner, known, tuple(_once(found[owner])))
            for owner, known in loaded
            if known and owner in found and not self._said(known, root)
        ]
        return sorted(made, key=lambda one: (-one.weight, one.contact))[:MOST]

    @staticmethod
    def _said(fields: Mapping[str, str], other: str) -> bool:
        """Tell whether somebody said that a contact and *other* are two people."""
        return other in listed(fields, APART)

    async def _written(self, fields: Mapping[str, str], hidden: frozenset[str]) -> AsyncIterator[tuple[str, Reason]]:
        """Yield who has the numbers and mail addresses that a customer wrote."""
        own = set(contacts.addresses_of(fields))
        had = await past.had(self._store, fields, hidden)
        items, _ = await past.timeline(self._store, had, None, READ, INBOUND)
        places: dict[str, Reason] = {}
        for conversation, item in items:
            if item.entry.type != logbook.MESSAGE:
                continue
            for kind, address, value in self._seen(item.entry.fields.get("tx", "")):
                if address not in own:
                    places.setdefault(address, Reason(kind, value, item.message_id, conversation.id))
        owners = await asyncio.gather(*(contacts.owner_of(self._store, address) for address in places))
        for owner, reason in zip(owners, places.values(), strict=True):
            if owner:
                yield owner, reason

    def _seen(self, text: str) -> Iterable[tuple[Kind, str, str]]:
        folded = fold(text).lower()
        for _, _, value in phones(folded, self._region()):
            yield "phone", f"tel:{value}", value
        for _, _, value in emails(folded):
            yield "email", f"mailto:{value}", value


def _once(reasons: Iterable[Reason]) -> Iterable[Reason]:
    """Leave out what was said before."""
    return {(one.kind, one.value): one for one in reversed(list(reasons))}.values()
