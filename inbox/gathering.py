"""Reads something of every partition: a few at once, in order, and tells how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from inbox.partitions import COUNT

T = TypeVar("T")

AT_ONCE = 4


async def gathered(read: Callable[[int], Awaitable[list[T]]]) -> AsyncIterator[tuple[float, T]]:
    """Yield what *read* returns of each partition, one by one, with the share (0 to 1) that has been read by then.

    Raises what *read* raises.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def partition(number: int) -> list[T]:
        async with turns:
            return await read(number)

    tasks = [asyncio.create_task(partition(number)) for number in range(COUNT)]
    try:
        for number, task in enumerate(tasks, 1):
            for found in await task:
                yield number / COUNT, found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
