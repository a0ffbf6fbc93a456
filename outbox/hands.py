"""What agents hold in hand who answer where nothing threads (WeCom, SMS): short codes, the conversation meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inbox.conversations import pairs
from inbox.partitions import shared_key
from inbox.store import Script, Store

HAND = Script.load(Path(__file__).parent / "scripts" / "hand.lua")
GROUP = "staff"
MOST = 400  # codes that an agent can use at a time; the oldest go first
LIFE = 60 * 24 * 3_600_000
DOUBT = 60_000
"""For so long after a notice about another conversation nobody can tell which of both an answer is for."""
WRITING = 10_000
"""What was told less than this before an answer came was not read when it was written."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Up to which log position an agent was told, when that was (ms), and up to where before."""

    last: str
    at: int
    before: str


@dataclass(frozen=True, slots=True)
class Hand:
    """What one agent was told of. *current* is the conversation of the latest notice, since *since* (ms)."""

    codes: Mapping[str, str]
    told: Mapping[str, Seen]
    current: str = ""
    former: str = ""
    since: int = 0

    def code(self, conversation: str) -> str:
        """Return the short code of *conversation*, "" if it has none."""
        return next((code for code, known in self.codes.items() if known == conversation), "")

    def seen(self, conversation: str, at: int) -> str:
        """Return up to which log position the agent had read *conversation* who wrote at *at* (ms), "" if unknown."""
        known = self.told.get(conversation)
        if known is None:
            return ""
        return known.before if at - known.at < WRITING else known.last

    def doubtful(self, at: int) -> bool:
        """Tell whether what was written at *at* may have been meant for the conversation before the current one."""
        return bool(self.former) and at - self.since < DOUBT


class Hands:
    """The hands of all agents."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def told(self, agent: str, conversation: str, seen: str, now: int) -> str:
        """Note that *agent* is told of *conversation*, up to *seen* (log position); return its short code.

        Raises `StoreError`, as every method here.
        """
        return await self._note("told", agent, conversation, seen, now)

    async def chose(self, agent: str, conversation: str, now: int) -> str:
        """Note that *agent* has named *conversation*; return its short code."""
        return await self._note("chose", agent, conversation, "", now)

    async def code(self, agent: str, conversation: str, now: int) -> str:
        """Return the short code of *conversation* for *agent*, who goes on with another one."""
        return await self._note("code", agent, conversation, "", now)

    async def _note(self, what: str, agent: str, conversation: str, seen: str, now: int) -> str:
        arguments = (what, conversation, seen, now, MOST, LIFE, WRITING)
        return str(await self._store.run(HAND, GROUP, [shared_key(GROUP, f"hand:{agent}")], arguments))

    async def of(self, agent: str) -> Hand:
        """Return what *agent* was told of."""
        found = pairs(await self._store.do(GROUP, "HGETALL", shared_key(GROUP, f"hand:{agent}")))
        return Hand(
            {name[2:]: value for name, value in found.items() if name.startswith("c:")},
            {name[2:]: _seen(value) for name, value in found.items() if name.startswith("s:")},
            found.get("now", ""),
            found.get("was", ""),
            int(found.get("since", 0)),
        )

    async def picked(self, agent: str, message: str, conversation: str) -> str:
        """Remember which conversation *agent* took by *message*; return the one that an earlier run took for it."""
        name = shared_key(GROUP, f"hand:{agent}")
        known = await self._store.do(GROUP, "HGET", name, "next")
        before, _, taken = (known or "").partition(" ")
        if before == message:
            return taken
        await self._store.do(GROUP, "HSET", name, "next", f"{message} {conversation}")
        return conversation

    async def revoke(self, agent: str, now: int) -> None:
        """Let no notice that *agent* has had so far be answered any more."""
        await self._store.do(GROUP, "HSET", shared_key(GROUP, "revoked"), agent, now)

    async def revoked(self, agent: str) -> int:
        """Return when the notices of *agent* were last revoked, 0 = never (ms)."""
        return int(await self._store.do(GROUP, "HGET", shared_key(GROUP, "revoked"), agent) or 0)


def _seen(value: str) -> Seen:
    last, at, before = value.split(" ")
    return Seen(last, int(at), before)
