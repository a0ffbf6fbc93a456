"""Writes public events: reads for log entries what the API would show, and puts it into them.

An event tells of its own moment in `message`, `change` and `decision`; `conversation`, `delivery` and `contact` show
how these stand when it is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inbox import contacts, shapes
from inbox import log as logbook
from inbox.bulletins import Bulletin, BulletinId, Head, heads, placed_type
from inbox.contacts import NoContact
from inbox.conversations import Conversation, load_many
from inbox.log import Entry
from inbox.partitions import Id, UnknownId
from inbox.store import Store, StoreError
from inbox.timeline import Item, where
from inbox.views import Views

log = logging.getLogger(__name__)

Wanted = Callable[[str], bool]
DECIDED = ("route", "routes", "set", "event")


@dataclass(frozen=True, slots=True)
class Material:
    """What was read for a batch of entries, by id."""

    conversations: Mapping[str, tuple[Conversation, dict[str, Any]]]
    origins: Mapping[tuple[int, str], Entry]


class Press:
    """Makes bulletins of log entries."""

    def __init__(self, store: Store, views: Views) -> None:
        self._store = store
        self._views = views

    async def bulletins(self, entries: Sequence[Entry], wanted: Wanted) -> list[tuple[Bulletin, ...]]:
        """Return for each entry its events of a *wanted* type, in order. Raises `StoreError`."""
        told = [(entry, heads(entry)) for entry in entries]
        chosen = [(entry, found) for entry, found in told if any(wanted(name) for head in found for name in head.types)]
        if not chosen:
            return [() for _ in entries]
        material = await self._material([entry for entry, _ in chosen])
        made = await asyncio.gather(*(self._made(entry, found, wanted, material) for entry, found in chosen))
        by_place = {(entry.partition, entry.id): one for (entry, _), one in zip(chosen, made, strict=True)}
        return [by_place.get((entry.partition, entry.id), ()) for entry in entries]

    async def find(self, one: BulletinId) -> Bulletin | None:
        """Return the event with this id, None if its entry is not in the log. Raises `StoreError`."""
        entry = (await logbook.fetch(self._store, [(one.partition, one.position)]))[0]
        if entry is None:
            return None
        [found] = await self.bulletins([entry], lambda _: True)
        return next((each for each in found if each.id == one), None)

    async def _material(self, entries: Sequence[Entry]) -> Material:
        names = list(dict.fromkeys(filter(None, map(conversation_of, entries))))
        places = list(dict.fromkeys(filter(None, map(origin_of, entries))))
        found, origins = await asyncio.gather(
            load_many(self._store, [Id("c", *name) for name in names]), logbook.fetch(self._store, places)
        )
        there = [one for one in found if one is not None]
        views = await self._views.conversations(there)
        return Material(
            {one.id: (one, view) for one, view in zip(there, views, strict=True)},
            {place: origin for place, origin in zip(places, origins, strict=True) if origin is not None},
        )

    async def _made(
        self, entry: Entry, found: Sequence[Head], wanted: Wanted, material: Material
    ) -> tuple[Bulletin, ...]:
        """Return the events of one entry; a fault of ours in one of them costs its data, never the event."""
        made = []
        place = conversation_of(entry)
        name = str(Id("c", *place)) if place else ""
        known = material.conversations.get(name)
        for ordinal, head in enumerate(found):
            kind = head.types[0] if len(head.types) == 1 else self._placed(entry, material)
            if not kind or not wanted(kind):
                continue
            try:
                data = await self._data(entry, kind, known, material)
            except StoreError:
                raise
            except Exception:
                log.exception("an event of partition %d is told without its data", entry.partition)
                data = {"conversation": {"id": name}} if name else {}
            made.append(
                Bulletin(
                    type=kind,
                    id=BulletinId(entry.partition, entry.id, head.name),
                    ordinal=ordinal,
                    conversation=name,
                    teams=teams(data),
                    at=int(entry.fields.get("at") or entry.ms),
                    subject=name or str(data.get("contact", data.get("message", {})).get("id", "")),
                    data=data,
                    team=known[0].team if known is not None else "",
                )
            )
        return tuple(made)

    def _placed(self, entry: Entry, material: Material) -> str:
        place = origin_of(entry)
        return placed_type(material.origins.get(place)) if place is not None else ""

    async def _data(
        self, entry: Entry, kind: str, known: tuple[Conversation, dict[str, Any]] | None, material: Material
    ) -> dict[str, Any]:
        if entry.type == logbook.CONTACT:
            return await self._contact(entry)
        if entry.type == logbook.SURVEY:
            return {"change": {"name": entry.fields["ev"], **entry.rest()}}
        if entry.type == logbook.CONSENT:
            return {"address": {"value": entry.fields["a"]}, "change": {"name": "consent", **entry.rest()}}
        if entry.type == logbook.IGNORED:
            message = {"id": f"m{entry.partition}-{entry.fields['m']}"}
            return {"message": message, "change": {"name": "ignored", "reason": entry.fields.get("er", "")}}
        name = f"c{entry.partition}-{entry.fields['c']}"
        data: dict[str, Any] = {"conversation": known[1] if known is not None else {"id": name}}
        if known is None:
            return data
        conversation = known[0]
        if kind == "conversation.routed":
            story = entry.rest()
            data["decision"] = {name: story[name] for name in DECIDED if name in story}
        elif entry.type == logbook.DELIVERY:
            place = (entry.partition, entry.fields["d"])
            data["delivery"] = (await self._views.delivery_shapes([place]))[0]
            data["change"] = {"state": entry.fields["st"], "error": entry.fields.get("er") or None}
        elif kind != "conversation.opened":
            data["message"] = await self._message(entry, conversation, material)
            if entry.type == logbook.STATE:
                data["change"] = {"name": entry.fields["ev"], **entry.rest()}
        return data

    async def _message(self, entry: Entry, conversation: Conversation, material: Material) -> dict[str, Any]:
        place = origin_of(entry)
        origin = material.origins.get(place, entry) if place is not None else entry
        return (await self._views.messages(conversation, [Item(0, "", origin)]))[0]

    async def _contact(self, entry: Entry) -> dict[str, Any]:
        name = f"k{entry.partition}-{entry.fields['k']}"
        change = {"name": entry.fields.get("ev", "contact"), **entry.rest()}
        try:
            return {"contact": shapes.customer_shape(*await contacts.resolve(self._store, name)), "change": change}
        except (NoContact, UnknownId):
            return {"contact": {"id": name}, "change": change}


def conversation_of(entry: Entry) -> tuple[int, str] | None:
    """Return partition and key of the conversation that an entry is about, None if it is about none."""
    name = entry.fields.get("c")
    return (entry.partition, name) if name else None


def origin_of(entry: Entry) -> tuple[int, str] | None:
    """Return where the message stands that an entry has placed; None if it places none."""
    if entry.type != logbook.PLACED:
        return None
    return where(entry.partition, f"m{entry.fields['m']}")


def teams(data: Mapping[str, Any]) -> frozenset[str]:
    """Return the teams that an event concerns: the one that has its conversation, and the one that had it."""
    named: Iterable[Any] = (
        data.get("conversation", {}).get("team"),
        data.get("change", {}).get("from_team"),
        data.get("decision", {}).get("set", {}).get("team"),
    )
    return frozenset(str(one) for one in named if one)


def listed(types: Collection[str]) -> Wanted:
    """Return what tells whether a type is among *types*; no types mean all."""
    return (lambda name: name in types) if types else (lambda _: True)
