"""Access tokens shared by all processes of the hub: one refresh at a time, and only when it is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from connectors.base import Memory


class Grant(msgspec.Struct, frozen=True):
    """A token as the platform gave it; *expires_at* is in milliseconds since 1970 UTC."""

    token: str
    expires_at: int
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Grant(expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The current access token of one channel.

    *fetch* asks the platform for a new one and is given the grant known so far (None at first); it
    runs under a lock that all processes share, so concurrent callers cause exactly one request.
    A token is renewed *early* milliseconds before it expires.
    """

    memory: Memory
    now: Callable[[], int]
    fetch: Callable[[Grant | None], Awaitable[Grant]]
    name: str = "access_token"
    early: int = 300_000
    patience: float = 30.0

    async def get(self) -> str:
        """Return a token that is valid by our clock. Raises what *fetch* raises."""
        grant = await self._known()
        if grant is not None and self.now() < grant.expires_at - self.early:
            return grant.token
        return await self._renew(stale=grant.token if grant is not None else None)

    async def renew(self, refused: str) -> str:
        """Return a token other than *refused*, which the platform no longer accepts. Raises what *fetch* raises."""
        return await self._renew(stale=refused)

    async def _renew(self, stale: str | None) -> str:
        async with self.memory.lock(self.name, seconds=self.patience):
            grant = await self._known()
            if grant is not None and grant.token != stale and self.now() < grant.expires_at:
                return grant.token
            fresh = await self.fetch(grant)
            await self.memory.put(self.name, msgspec.json.encode(fresh).decode())
            return fresh.token

    async def _known(self) -> Grant | None:
        stored = await self.memory.get(self.name)
        return msgspec.json.decode(stored, type=Grant) if stored else None
