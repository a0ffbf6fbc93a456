"""The shared memory of one channel's connector (`connectors.base.Memory`), kept in the store."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from inbox.partitions import shared_key
from inbox.store import Script, Store, StoreError
from inbox.wakes import Wakes

MEMORY = Script.load(Path(__file__).parent / "scripts" / "memory.lua")
LOCK_LOOK = (0.01, 0.05)
LOCK_LIFE = 6.0  # seconds that a lock outlives a holder that died
MOST_ITEMS = 2_000  # of one box; the oldest go first


class ChannelMemory:
    """Everything of one channel lives in one slot."""

    def __init__(self, store: Store, wakes: Wakes, channel: str) -> None:
        self._store = store
        self._wakes = wakes
        self._tag = f"ch:{channel}"

    def _key(self, name: str) -> str:
        return shared_key(self._tag, name)

    async def get(self, key: str) -> str | None:
        value: str | None = await self._store.do(self._tag, "GET", self._key(f"v:{key}"))
        return value

    async def put(self, key: str, value: str, *, ttl: float | None = None) -> None:
        expiry = ("PX", max(1, int(ttl * 1000))) if ttl is not None else ()
        await self._store.do(self._tag, "SET", self._key(f"v:{key}"), value, *expiry)

    async def forget(self, key: str) -> None:
        await self._store.do(self._tag, "DEL", self._key(f"v:{key}"))

    @asynccontextmanager
    async def lock(self, name: str, *, seconds: float) -> AsyncIterator[None]:
        """Hold *name* alone among all processes. Raises `StoreError`."""
        key, mine = self._key(f"l:{name}"), secrets.token_hex(8)
        life = int(min(seconds, LOCK_LIFE) * 1000)
        while not await self._store.do(self._tag, "SET", key, mine, "NX", "PX", life):  # noqa: ASYNC110  # other processes hold it
            await asyncio.sleep(random.uniform(*LOCK_LOOK))  # noqa: S311  # spreads the waiters, guards nothing
        keeping = asyncio.create_task(self._keep_locked(key, mine, seconds), name=f"lock-{name}")
        try:
            yield
        finally:
            keeping.cancel()
            with contextlib.suppress(StoreError):  # the lock ends by itself
                await self._store.run(MEMORY, self._tag, [key], ("unlock", mine))

    async def _keep_locked(self, key: str, mine: str, seconds: float) -> None:
        """Let the lock live on for as long as this process does, at most *seconds* altogether."""
        left = seconds
        while (left := left - LOCK_LIFE / 3) > 0:
            await asyncio.sleep(LOCK_LIFE / 3)
            with contextlib.suppress(StoreError):
                await self._store.run(MEMORY, self._tag, [key], ("prolong", mine, int(min(left, LOCK_LIFE) * 1000)))

    async def post(self, box: str, item_id: str, item: str, *, keep: float) -> int:
        keys = [self._key(f"b:{box}"), self._key(f"i:{box}")]
        arguments = ("post", item_id, item, int(keep), MOST_ITEMS)
        position = await self._store.run(MEMORY, self._tag, keys, arguments)
        self._wakes.ring((f"{self._tag}/{box}",))
        return int(position)

    async def empty(self, box: str) -> None:
        await self._store.do(self._tag, "DEL", self._key(f"b:{box}"), self._key(f"i:{box}"))

    async def read(self, box: str, after: int) -> list[tuple[int, str]]:
        keys = [self._key(f"b:{box}"), self._key(f"i:{box}")]
        first, items = await self._store.run(MEMORY, self._tag, keys, ("read", after))
        return [(first + index, item.partition("\n")[2]) for index, item in enumerate(items, start=1)]

    async def wait(self, box: str, after: int, *, timeout: float) -> list[tuple[int, str]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        with self._wakes.listen(f"{self._tag}/{box}") as news:
            while True:
                news.clear()
                items = await self.read(box, after)
                left = deadline - loop.time()
                if items or left <= 0:
                    return items
                try:
                    async with asyncio.timeout(min(left, 5.0)):
                        await news.wait()
                except TimeoutError:
                    continue
