"""What must be known of addresses that were erased: who asked not to be written to. Kept under a keyed hash.

Nobody can read from it who that was; but whoever is about to write to the same address again finds it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

import msgspec

from inbox.conversations import pairs
from inbox.partitions import key, partition_of, tag
from inbox.store import Store

GONE = "gone"


class Forgotten:
    """The opt-outs of erased addresses. *secret* is the hub's own; without it nothing is known."""

    def __init__(self, store: Store, secret: Callable[[], str]) -> None:
        self._store = store
        self._secret = secret

    def mark(self, address: str) -> str:
        """Return what stands for *address*."""
        return hmac.digest(self._secret().encode(), f"erased {address}".encode(), hashlib.sha256).hex()[:32]

    async def keep(self, address: str, fields: Sequence[str]) -> None:
        """Remember fields and values of an address's record by turns. Raises `StoreError`."""
        if fields:
            partition, packed = partition_of(address), msgspec.json.encode(list(fields))
            await self._store.do(tag(partition), "HSET", key(partition, GONE), self.mark(address), packed)

    async def record(self, address: str) -> dict[str, str]:
        """Return the record of an address, with what is kept of one that was erased. Raises `StoreError`."""
        partition = partition_of(address)
        asked: list[Sequence[str]] = [("HGETALL", key(partition, f"a:{address}"))]
        if not self._secret():
            return pairs(await self._store.do(tag(partition), *asked[0]))
        asked.append(("HGET", key(partition, GONE), self.mark(address)))
        reply, kept = await self._store.many(tag(partition), asked)
        return {**(pairs(msgspec.json.decode(kept)) if kept else {}), **pairs(reply)}
