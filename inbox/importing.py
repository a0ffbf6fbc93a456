"""Take contacts of a file in: known ones are brought up to date, others are made. Doing it twice changes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from inbox import contacts
from inbox.channels import Channels
from inbox.contact_files import Fault, Reading, Row
from inbox.contacts import LIST, NoContact, addresses_of
from inbox.conversations import Change, Conflict, commit
from inbox.partitions import Id, UnknownId, digest, key, parse_id, partition_of, tag
from inbox.store import Store
from inbox.work import Actor, Refusal

Outcome = Literal["created", "changed", "unchanged", "refused"]
AT_ONCE = 32
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a line. *contact* is "" where there is none (yet)."""

    line: int
    outcome: Outcome
    contact: str = ""


@dataclass(slots=True)
class Import:
    """What became of a file; *items* are its first lines."""

    rows: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    items: list[Taken] = field(default_factory=list)


class Importer:
    """Takes rows in."""

    def __init__(self, store: Store, channels: Channels, now: Callable[[], int]) -> None:
        self._store = store
        self._channels = channels
        self._now = now

    async def take(self, reading: Reading, actor: Actor, *, preview: bool) -> Import:
        """Take the rows of a file in, or only say what that would do. Raises `StoreError`."""
        done = Import(reading.count, faults=list(reading.faults))
        for start in range(0, len(reading.rows), AT_ONCE):
            rows = reading.rows[start : start + AT_ONCE]
            found = await asyncio.gather(*(self._owner(row) for row in rows))
            lines: dict[str, list[tuple[Row, str]]] = {}
            for row, owner in zip(rows, found, strict=True):
                if isinstance(owner, Fault):
                    done.faults.append(owner)
                else:
                    # Lines about one contact come one after the other, so that the last of them holds.
                    lines.setdefault(owner or f"line {row.line}", []).append((row, owner))
            parts = await asyncio.gather(*(self._lines(part, actor, preview=preview) for part in lines.values()))
            for one in sorted((one for part in parts for one in part), key=lambda one: one.line):
                done.counts[one.outcome] += 1
                done.items.append(one)
                if one.outcome == "refused":
                    done.faults.append(Fault(one.line, "", "somebody else changed it at the same moment; try again"))
        done.counts["refused"] += reading.count - sum(done.counts.values())
        done.faults.sort(key=lambda one: one.line)
        del done.items[SHOWN:]
        return done

    async def _lines(self, part: Sequence[tuple[Row, str]], actor: Actor, *, preview: bool) -> list[Taken]:
        taken = []
        for row, owner in part:
            try:
                taken.append(await self._line(row, owner, actor, preview=preview))
            except (Refusal, Conflict, NoContact):
                taken.append(Taken(row.line, "refused", owner))
        return taken

    async def _owner(self, row: Row) -> str | Fault:
        """Return whose line it is, "" for somebody new, or what speaks against it."""
        owners = {
            owner: address for address in row.addresses if (owner := await contacts.owner_of(self._store, address))
        }
        if row.id:
            try:
                owners[(await contacts.resolve(self._store, row.id))[0]] = ""
            except (UnknownId, NoContact):
                return Fault(row.line, "id", "there is no such contact")
        if len(owners) > 1:
            return Fault(row.line, "", f"its addresses belong to {' and '.join(sorted(owners))}; merge them first")
        channel = row.values.get("channel")
        if channel and self._channels.get(channel) is None:
            return Fault(row.line, "channel", "there is no such channel")
        return next(iter(owners), "")

    async def _line(self, row: Row, owner: str, actor: Actor, *, preview: bool) -> Taken:
        if not owner:
            if preview:
                return Taken(row.line, "created")
            owner = await self._made(row, actor)
            await self._changed(row, owner, actor)
            return Taken(row.line, "created", owner)
        if preview:
            differs = self._differs(row, await self._fields(owner))
            return Taken(row.line, "changed" if differs else "unchanged", owner)
        return Taken(row.line, "changed" if await self._changed(row, owner, actor) else "unchanged", owner)

    async def _fields(self, owner: str) -> dict[str, str]:
        try:
            return await contacts.load(self._store, owner)
        except NoContact:
            return {}  # its address was taken, and the process died before the contact was made

    def _differs(self, row: Row, fields: dict[str, str]) -> bool:
        values = any(fields.get(name, "") != value for name, value in row.values.items())
        return values or not set(row.addresses) <= set(addresses_of(fields))

    async def _changed(self, row: Row, owner: str, actor: Actor) -> bool:
        fields = await self._fields(owner)
        if not fields:
            await self._create(row, parse_id(owner, "k"), actor)
            fields = await contacts.load(self._store, owner)
        if not self._differs(row, fields):
            return False
        if not set(row.addresses) <= set(addresses_of(fields)):
            await contacts.reach(self._store, owner, actor, row.addresses, self._now())
        await contacts.update(self._store, owner, actor, row.values, self._now())
        return True

    async def _made(self, row: Row, actor: Actor) -> str:
        """Make a contact of a row; return it, or the one that has come to be at the address meanwhile."""
        first = row.addresses[0]
        place = Id("k", partition_of(first), digest("contact", first))
        name = key(place.partition, f"a:{first}")
        if not await self._store.do(tag(place.partition), "HSETNX", name, "contact", str(place)):
            return await contacts.owner_of(self._store, first)
        await self._create(row, place, actor)
        return str(place)

    async def _create(self, row: Row, place: Id, actor: Actor) -> None:
        now, first = self._now(), row.addresses[0]
        entry = contacts.told(place, actor, now, "changed", {"addresses": first})
        change = Change(
            unless=f"k:{place.key}",
            records=[(f"k:{place.key}", ["addresses", first, "since", now])],
            marks=((LIST, now, place.key),),
            log=[("", entry)],
        )
        await commit(self._store, place.partition, change)
