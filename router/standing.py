"""Which rules each hub process uses, and what is wrong with the files as they are now: said by all, read by anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from inbox.api import rfc3339
from inbox.conversations import pairs
from inbox.partitions import shared_key
from inbox.store import Store

SLOT = "rules"
KEY = shared_key(SLOT, "workers")
GONE_AFTER = 20_000
FORGOTTEN_AFTER = 3600_000
FAULTS = 20


class Stand(msgspec.Struct, frozen=True):
    """What one process says. Times are in milliseconds since 1970 UTC.

    *faults* refuse the files as they are now, *shadow_faults* only the candidate. *shadow* is the candidate's hash,
    "" if there is none in use.
    """

    name: str
    hash: str
    loaded_at: int
    at: int
    faults: list[str] = []
    shadow: str = ""
    shadow_faults: list[str] = []


async def say(store: Store, stand: Stand) -> None:
    """Let everybody know. Raises `StoreError`."""
    await store.do(SLOT, "HSET", KEY, stand.name, msgspec.json.encode(stand))


async def leave(store: Store, name: str) -> None:
    """Say that the process *name* ends. Raises `StoreError`."""
    await store.do(SLOT, "HDEL", KEY, name)


async def all_of_them(store: Store, now: int) -> list[Stand]:
    """Return what the living processes say, by name. Raises `StoreError`."""
    said = pairs(await store.do(SLOT, "HGETALL", KEY))
    stands = [msgspec.json.decode(text, type=Stand) for text in said.values()]
    forgotten = [one.name for one in stands if now - one.at > FORGOTTEN_AFTER]
    if forgotten:
        await store.do(SLOT, "HDEL", KEY, *forgotten)
    return sorted((one for one in stands if now - one.at <= GONE_AFTER), key=lambda one: one.name)


def shape(stands: Sequence[Stand]) -> dict[str, Any]:
    """Return the standing of all processes as the API shows it."""
    return {
        "ok": not any(one.faults for one in stands),
        "agree": len({one.hash for one in stands}) <= 1,
        "faults": list(dict.fromkeys(fault for one in stands for fault in one.faults)),
        "shadow_faults": list(dict.fromkeys(fault for one in stands for fault in one.shadow_faults)),
        "workers": [
            {
                "name": one.name,
                "hash": one.hash,
                "loaded_at": rfc3339(one.loaded_at),
                "said_at": rfc3339(one.at),
                "faults": one.faults,
                "shadow": one.shadow or None,
                "shadow_faults": one.shadow_faults,
            }
            for one in stands
        ],
    }
