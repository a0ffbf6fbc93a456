"""Things that the owner of a partition does by the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from inbox.leases import Held
from inbox.store import StoreError
from inbox.wakes import Wakes

log = logging.getLogger(__name__)

LOOK = 10.0
"""Seconds after which a chore looks though nothing rang: for what a process that died has left."""


class Chore:
    """Runs *turn* for a held partition whenever its bell rings or its next time has come, for ever.

    *turn* returns when it wants to run next (milliseconds since 1970 UTC), None = when something rings.
    """

    def __init__(
        self,
        wakes: Wakes,
        bell: str,
        turn: Callable[[Held], Awaitable[int | None]],
        now: Callable[[], int],
    ) -> None:
        self._wakes = wakes
        self._bell = bell
        self._turn = turn
        self._now = now

    async def follow(self, held: Held) -> None:
        """Run for one partition until cancelled."""
        with self._wakes.listen(f"{self._bell}{held.partition}") as news:
            while True:
                news.clear()
                wait = LOOK
                try:
                    next_at = await self._turn(held)
                    if next_at is not None:
                        wait = min(LOOK, max(0.01, (next_at - self._now()) / 1000))
                except StoreError as error:
                    log.debug("a chore of partition %d waits: %s", held.partition, error)
                except Exception:
                    log.exception("a chore of partition %d failed", held.partition)
                try:
                    async with asyncio.timeout(wait):
                        await news.wait()
                except TimeoutError:
                    pass
