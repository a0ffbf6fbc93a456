"""Open the store: its scripts, its real durability, and that its data fit this version of the hub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Literal

from inbox.directory import RESTORING
from inbox.durability import Durability, Finding, judge, read
from inbox.partitions import COUNT, shared_key
from inbox.store import CONNECT_ERRORS, Script, Store, StoreDown, Topology

log = logging.getLogger(__name__)


class Unfit(Exception):
    """The store must not be used as it is; each of *findings* says why."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = tuple(findings)


async def open_store(
    url: str, scripts: Iterable[Script], asked: Literal["always", "everysec"]
) -> tuple[Store, Durability, list[Finding]]:
    """Connect and look closely. Returns the store, what it keeps, and warnings. Raises `Unfit`, `StoreError`."""
    topology = Topology(url)
    durability = await examine(topology)
    findings = judge(durability, asked)
    refused = [finding for finding in findings if finding.level == "refuse"]
    if refused:
        raise Unfit(refused)
    store = Store(topology, scripts)
    try:
        unfinished = await store.do("hub", "EXISTS", shared_key("hub", RESTORING))
        if unfinished:
            text = "a restore into this store has not come to its end; run huiliu restore again, or empty the store"
            raise Unfit([Finding("refuse", text)])
        await store.do("hub", "SET", shared_key("hub", "partitions"), COUNT, "NX")
        partitions = await store.do("hub", "GET", shared_key("hub", "partitions"))
        if int(partitions) != COUNT:
            text = f"the data are cut into {partitions} partitions, this version of the hub works with {COUNT}"
            raise Unfit([Finding("refuse", text)])
    except BaseException:
        await store.close()
        raise
    return store, durability, findings


async def examine(topology: Topology) -> Durability:
    """Read the store's durability from the store itself, every primary of a cluster. Raises `StoreDown`.

    A cancellation waits until it is read: redis-py swallows one, or leaves a socket behind, when it comes too early.
    """
    reading = asyncio.ensure_future(_examine(topology))
    try:
        return await asyncio.shield(reading)
    finally:
        await asyncio.wait([reading])


async def _examine(topology: Topology) -> Durability:
    client = await topology.admin()
    try:
        await client.initialize()
        return await read(client)
    except CONNECT_ERRORS as error:
        raise StoreDown(f"the store cannot be reached ({type(error).__name__})") from None
    finally:
        await client.aclose()
