"""The memory that all processes of the hub share for one channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from inbox.memory import MOST_ITEMS, ChannelMemory
from inbox.store import Store
from inbox.wakes import Wakes
from tests.backroom import eventually, opened

KEEP = 60.0
LIMIT = 30.0


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with opened(store_url) as store:
        yield store


@pytest.fixture
def memory(store: Store) -> ChannelMemory:
    return ChannelMemory(store, Wakes(store), "shop")


async def test_values_are_common_and_can_be_forgotten(store: Store, memory: ChannelMemory) -> None:
    """What one process puts another gets; channels do not see each other's values."""
    other_process = ChannelMemory(store, Wakes(store), "shop")
    other_channel = ChannelMemory(store, Wakes(store), "spare")
    await memory.put("token", "值\x00")

    assert "值\x00" == await other_process.get("token")
    assert None is await other_channel.get("token")
    await other_process.forget("token")
    assert None is await memory.get("token")


async def test_values_vanish_in_time(store: Store, memory: ChannelMemory) -> None:
    """A value with a time to live has one in the store; one without stays."""
    await memory.put("short", "x", ttl=60)
    await memory.put("long", "x")

    assert 0 < await store.do("ch:shop", "PTTL", "hl:{ch:shop}:v:short") <= 60_000
    assert -1 == await store.do("ch:shop", "PTTL", "hl:{ch:shop}:v:long")
    await memory.put("tiny", "x", ttl=0.0001)
    async with asyncio.timeout(LIMIT):
        while await memory.get("tiny") is not None:
            pass


async def test_a_lock_lets_one_in_at_a_time(store: Store, memory: ChannelMemory) -> None:
    """Of twelve holders in two processes never two are inside, and all get in."""
    memories = [memory, ChannelMemory(store, Wakes(store), "shop")]
    inside: list[int] = []
    most = 0

    async def enter(number: int) -> None:
        nonlocal most
        async with memories[number % 2].lock("token", seconds=LIMIT):
            inside.append(number)
            most = max(most, len(inside))
            await asyncio.sleep(0)
            inside.remove(number)
            done.append(number)

    done: list[int] = []
    await asyncio.gather(*(enter(number) for number in range(12)))
    assert (1, 12) == (most, len(done))


async def test_a_lock_is_taken_from_the_dead_and_not_given_back_twice(memory: ChannelMemory) -> None:
    """A lock ends by itself; its former holder cannot end that of the next one."""
    async with memory.lock("token", seconds=0.05):
        async with memory.lock("token", seconds=LIMIT):
            pass
        async with memory.lock("token", seconds=LIMIT):
            held = asyncio.create_task(enter(memory))
        await held


async def enter(memory: ChannelMemory) -> None:
    async with memory.lock("token", seconds=LIMIT):
        pass


async def test_a_box_keeps_order_and_knows_its_items(memory: ChannelMemory) -> None:
    """Items stand in the order of posting; one posted again keeps its place and is not doubled."""
    assert [1, 2, 3] == [await memory.post("v1", name, f"item\n{name}", keep=KEEP) for name in ("a", "b", "c")]
    assert 2 == await memory.post("v1", "b", "changed", keep=KEEP)

    assert [(1, "item\na"), (2, "item\nb"), (3, "item\nc")] == await memory.read("v1", 0)
    assert [(3, "item\nc")] == await memory.read("v1", 2)
    assert [] == await memory.read("v1", 3)
    assert [] == await memory.read("v2", 0)


async def test_positions_survive_the_end_of_a_box(store: Store, memory: ChannelMemory) -> None:
    """A box is bounded: the oldest items go, the others keep their positions, and reading goes on."""
    for number in range(0, MOST_ITEMS + 30, 10):
        await asyncio.gather(*(memory.post("v1", f"{number + n}", f"{number + n}", keep=KEEP) for n in range(10)))

    items = await memory.read("v1", 0)
    assert (MOST_ITEMS, 31, MOST_ITEMS + 30) == (len(items), items[0][0], items[-1][0])
    assert MOST_ITEMS + 31 == await memory.post("v1", "new", "new", keep=KEEP)
    assert [(MOST_ITEMS + 31, "new")] == await memory.read("v1", MOST_ITEMS + 30)


async def test_waiting_ends_with_the_first_item_or_in_time(store: Store, memory: ChannelMemory) -> None:
    """A reader that waits gets what another process posts; without one it gets nothing when the time is over."""
    far = ChannelMemory(store, memory._wakes, "shop")
    waiting = asyncio.create_task(memory.wait("v1", 0, timeout=LIMIT))
    await eventually(lambda: bool(memory._wakes._events))
    await far.post("v1", "a", "hello", keep=KEEP)

    assert [(1, "hello")] == await waiting
    assert [(1, "hello")] == await memory.wait("v1", 0, timeout=0)
    assert [] == await memory.wait("v1", 1, timeout=0.02)
