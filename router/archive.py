"""Every rule set that was in use, kept in the store by its hash, and when it was loaded.

The oldest sets go when there are more than `MOST` or they take more than `MOST_BYTES`: decisions that were made by
them can then no longer be explained in full.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from inbox.partitions import shared_key
from inbox.store import Script, Store
from router.rules import Tree
from router.versions import SHORT, Unreadable, Version, grow, pack, unpack

KEEP = Script.load(Path(__file__).parent / "keep.lua")
SLOT = "rules"
MOST = 5_000
MOST_BYTES = 256 << 20
AT_HAND = 8
"""Compiled sets that a process holds for explanations."""
LEAST_DIGITS = 4


class NoVersion(LookupError):
    """No rule set with this hash is kept; the text says which there are, or what to write."""


@dataclass(frozen=True, slots=True)
class Load:
    """That a rule set was taken into use *at* a moment, in milliseconds since 1970 UTC, *by* a process or person.

    *how* is start, reload or rollback.
    """

    hash: str
    at: int
    by: str
    how: str


class Archive:
    """The rule sets of all hub processes on one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._trees: OrderedDict[str, Tree] = OrderedDict()

    async def keep(self, version: Version, at: int, by: str, how: str) -> bool:
        """Keep *version* and note that it is loaded; False if it was the last one already.

        Raises `TooLarge`, `StoreError`.
        """
        keys = [key("loads"), key(f"set:{version.short}"), key("sets"), key("asked")]
        packed = await asyncio.to_thread(pack, version)
        arguments = (version.short, version.hash, packed, at, by, how, MOST, MOST_BYTES)
        return bool(await self._store.run(KEEP, SLOT, keys, arguments))

    async def ask(self, version: Version, by: str) -> None:
        """Remember who wants *version* back: its next load is theirs. Raises `StoreError`."""
        await self._store.do(SLOT, "HSET", key("asked"), version.short, by)

    async def history(self, limit: int, before: str = "") -> tuple[list[Load], str]:
        """Return up to *limit* loads, newest first, and where to go on ("" at the end). Raises `StoreError`."""
        end = f"({before}" if before else "+"
        replies = await self._store.do(SLOT, "XREVRANGE", key("loads"), end, "-", "COUNT", limit + 1)
        loads = []
        for _, fields in replies[:limit]:
            told = dict(zip(fields[::2], fields[1::2], strict=True))
            loads.append(Load(told["hash"], int(told["at"]), told["by"], told["how"]))
        return loads, replies[limit - 1][0] if len(replies) > limit else ""

    async def find(self, digits: str) -> Version:
        """Return the set whose hash begins with *digits*. Raises `NoVersion`, `Unreadable`, `StoreError`."""
        wanted = digits.lower()[:SHORT]
        if len(wanted) < LEAST_DIGITS:
            raise NoVersion(f"write at least {LEAST_DIGITS} digits of the hash")
        known: list[str] = await self._store.do(SLOT, "ZREVRANGE", key("sets"), 0, -1)
        fitting = [name for name in known if name.startswith(wanted)]
        if len(fitting) > 1:
            raise NoVersion(f"{digits} could be {' or '.join(fitting[:5])}")
        packed = await self._store.do(SLOT, "GET", key(f"set:{fitting[0]}")) if fitting else None
        version = await asyncio.to_thread(unpack, packed.encode(errors="surrogateescape")) if packed else None
        if version is None or not version.hash.startswith(digits.lower()):
            raise NoVersion(f"no rule set {digits[:64]} is kept")
        return version

    async def tree(self, short: str) -> Tree:
        """Return the compiled set with the hash that decisions are stored with.

        Raises `NoVersion`, `Unreadable`, `StoreError`.
        """
        tree = self._trees.get(short)
        if tree is None:
            version = await self.find(short)
            try:
                tree = await asyncio.to_thread(grow, version)
            except (KeyError, ValueError) as error:
                raise Unreadable(f"the rule set cannot be compiled any more ({type(error).__name__})") from None
            self._trees[short] = tree
        self._trees.move_to_end(short)
        if len(self._trees) > AT_HAND:
            self._trees.popitem(last=False)
        return tree


def key(name: str) -> str:
    """Return a key of this archive."""
    return shared_key(SLOT, name)
