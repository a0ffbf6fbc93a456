"""What invitations compete for, shared by all processes: a person's peace, places in quotas, numbers, codes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from inbox.contacts import NoContact, roots
from inbox.contacts import load as load_contact
from inbox.partitions import key, parse_id, partition_of, shared_key, tag
from inbox.store import Script, Store

SCRIPTS = Path(__file__).parent / "scripts"
QUIET = Script.load(SCRIPTS / "quiet.lua")
QUOTA = Script.load(SCRIPTS / "quota.lua")
RANK = Script.load(SCRIPTS / "rank.lua")
CODE = Script.load(SCRIPTS / "code.lua")
CHUNK = 500


class Reservations:
    """Everything that only one invitation can have. What it has taken it gets again when it asks again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def leave_alone(self, contact: str, address: str, invitation: str, now: int, time: int) -> bool:
        """Take a person's turn; False if they were asked within *time* (milliseconds), on whichever channel.

        The mark stands with the contact, so that two channels cannot ask at the same moment, and with the address, so
        that it holds for whomever the contact is merged with later. Raises `StoreError`.
        """
        contact = await self._root(contact)
        others = await self.addresses(contact)
        marks = await asyncio.gather(*(self._asked(one) for one in others if one != address))
        if any(at + time > now for at in marks):
            return False
        if contact:
            place = parse_id(contact, "k")
            if not await self._quiet(place.partition, f"k:{place.key}", "take", invitation, now, time):
                return False
        if await self._quiet(partition_of(address), f"a:{address}", "take", invitation, now, time):
            return True
        await self._give_contact(contact, invitation)
        return False

    async def disturb(self, contact: str, address: str, invitation: str) -> None:
        """Give a person's turn back: nothing was sent. Raises `StoreError`."""
        await self._give_contact(await self._root(contact), invitation)
        await self._quiet(partition_of(address), f"a:{address}", "give", invitation)

    async def _root(self, contact: str) -> str:
        """Return the contact that one is (part of): what was asked of either counts for both."""
        return (await roots(self._store, [contact]))[0] if contact else ""

    async def _give_contact(self, contact: str, invitation: str) -> None:
        if contact:
            place = parse_id(contact, "k")
            await self._quiet(place.partition, f"k:{place.key}", "give", invitation)

    async def addresses(self, contact: str) -> list[str]:
        """Return a contact's addresses. Raises `StoreError`."""
        if not contact:
            return []
        try:
            known = (await load_contact(self._store, contact)).get("addresses", "")
            return [one for one in known.split("\n") if one]
        except NoContact:
            return []

    async def _asked(self, address: str) -> int:
        partition = partition_of(address)
        value = await self._store.do(tag(partition), "HGET", key(partition, f"a:{address}"), "asked")
        return int(value.partition(" ")[0]) if value else 0

    async def _quiet(self, partition: int, name: str, *arguments: str | int) -> bool:
        return bool(await self._store.run(QUIET, tag(partition), [key(partition, name)], arguments))

    async def place(self, survey: str, quotas: Sequence[tuple[str, int]], invitation: str) -> bool:
        """Take a place in every one of *quotas* (name, most), or in none of them. Raises `StoreError`."""
        if not quotas:
            return True
        group = f"survey:{survey}"
        keys = [shared_key(group, f"quota:{name}") for name, _ in quotas]
        arguments: list[str | int] = ["take", invitation, *(most for _, most in quotas)]
        return not await self._store.run(QUOTA, group, keys, arguments)

    async def free(self, survey: str, quotas: Sequence[str], invitation: str) -> None:
        """Give the places in quotas back. Raises `StoreError`."""
        if quotas:
            group = f"survey:{survey}"
            keys = [shared_key(group, f"quota:{name}") for name in quotas]
            await self._store.run(QUOTA, group, keys, ("give", invitation))

    async def number(self, survey: str, stratum: str, unit: str) -> int:
        """Return the place of a unit in its stratum, from 0; it keeps it until `numbered`. Raises `StoreError`."""
        return int(await self._rank(survey, "take", stratum, unit))

    async def numbered(self, survey: str, stratum: str, unit: str) -> None:
        """Say that what follows from a unit's number is written down. Raises `StoreError`."""
        await self._rank(survey, "done", stratum, unit)

    async def _rank(self, survey: str, *arguments: str) -> int:
        group = f"survey:{survey}"
        keys = [shared_key(group, "strata"), shared_key(group, "ranks")]
        return int(await self._store.run(RANK, group, keys, arguments))

    async def add_codes(self, survey: str, codes: Sequence[str]) -> None:
        """Take in incentive codes; those that were taken in before change nothing. Raises `StoreError`."""
        for start in range(0, len(codes), CHUNK):
            await self._code(survey, "add", *codes[start : start + CHUNK])

    async def code(self, survey: str, invitation: str) -> str:
        """Give out a code of a file to an invitation; the same one when asked again, "" if none is left.

        Raises `StoreError`.
        """
        return await self._code(survey, "give", invitation)

    async def keep_code(self, survey: str, invitation: str, code: str) -> str:
        """Remember a code that another tool gave for an invitation; return the one that holds. Raises `StoreError`."""
        return await self._code(survey, "keep", invitation, code)

    async def known_code(self, survey: str, invitation: str) -> str:
        """Return the code that an invitation was given, "" if none. Raises `StoreError`."""
        group = f"survey:{survey}"
        return str(await self._store.do(group, "HGET", shared_key(group, "given"), invitation) or "")

    async def free_codes(self, survey: str) -> int:
        """Return how many codes are left. Raises `StoreError`."""
        group = f"survey:{survey}"
        return int(await self._store.do(group, "LLEN", shared_key(group, "codes")))

    async def _code(self, survey: str, *arguments: str) -> str:
        group = f"survey:{survey}"
        keys = [shared_key(group, name) for name in ("codes", "known", "given")]
        return str(await self._store.run(CODE, group, keys, arguments))
