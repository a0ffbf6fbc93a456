"""Waking: within a process, across processes, and after a time without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from inbox.store import Store
from inbox.wakes import Wakes
from tests.backroom import opened

pytestmark = pytest.mark.store


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with opened(store_url) as store:
        yield store


async def heard(event: asyncio.Event) -> None:
    async with asyncio.timeout(10.0):
        await event.wait()


async def test_a_bell_rings_in_every_process(store: Store) -> None:
    """Who listens hears it here and elsewhere; who listens to another bell does not."""
    here, there = Wakes(store), Wakes(store)
    with here.listen("p1") as own, there.listen("p1") as same, there.listen("p2") as other:
        listening = asyncio.create_task(there.run())
        try:
            await heard(same)
            other.clear()
            same.clear()
            here.ring(["p1"])
            await heard(own)
            await heard(same)
            assert not other.is_set()
        finally:
            listening.cancel()


async def test_after_a_lost_connection_everybody_looks(store: Store) -> None:
    """Nobody knows what rang while the subscription was away, so every bell rings when it is back."""
    wakes = Wakes(store)
    with wakes.listen("p1") as one, wakes.listen("p2") as two:
        listening = asyncio.create_task(wakes.run())
        try:
            await heard(one)
            one.clear()
            two.clear()
            await store.do("hub", "CLIENT", "KILL", "TYPE", "pubsub")
            await heard(one)
            await heard(two)
        finally:
            listening.cancel()
