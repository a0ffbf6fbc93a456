"""Who gets the next conversation of a team: fair, within capacity, oldest first, the same for all processes.

All loads live in one slot, so choosing and counting is one step. A conversation learns its agent in
a second step; between the two it stands in a list of hand-offs, which is gone through again and again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from config.settings import Settings
from inbox.conversations import Conversation, NoConversation, load
from inbox.partitions import shared_key
from inbox.store import Script, Store
from inbox.work import HUB, Desk

log = logging.getLogger(__name__)

GROUP = "agents"
DRAIN = Script.load(Path(__file__).parent / "drain.lua")
HOLD = Script.load(Path(__file__).parent / "hold.lua")
STALE_HANDOFF = 5_000
AUTOMATIC = frozenset({"least-busy", "round-robin"})


@dataclass(frozen=True, slots=True)
class Crew:
    """A team as assignment sees it: *members* with their capacity, in the order of the file."""

    name: str
    strategy: str
    members: tuple[tuple[str, int], ...]


class Assigner:
    """Assigns conversations to agents."""

    def __init__(
        self, store: Store, desk: Desk, crews: Callable[[], Mapping[str, Crew]], now: Callable[[], int]
    ) -> None:
        self._store = store
        self._desk = desk
        self._crews = crews
        self._now = now

    async def want(self, conversation: Conversation) -> None:
        """Find an agent for a conversation of a team that assigns by itself, now or when one has room.

        Doing it twice changes nothing. Raises `StoreError`.
        """
        crew = self._crews().get(conversation.team)
        if crew is None or crew.strategy not in AUTOMATIC or not crew.members:
            return
        await self._drain(crew, join=(conversation.id, conversation.last_inbound_at or conversation.opened_at))

    async def hold(self, conversation_id: str, agent: str, team: str) -> None:
        """Count a conversation as *agent*'s ("" = nobody's), and give the room that this makes to those who wait.

        Raises `StoreError`.
        """
        before = await self._store.run(HOLD, GROUP, [shared_key(GROUP, "of")], (conversation_id, agent, team))
        if before and before != agent:
            await self.offer(before)

    async def offer(self, agent: str) -> None:
        """Let the teams of *agent* hand out what waits. Raises `StoreError`."""
        for crew in self._crews().values():
            if crew.strategy in AUTOMATIC and any(member == agent for member, _ in crew.members):
                await self._drain(crew)

    async def mend(self) -> None:
        """Finish hand-offs that a dead process left half done, and drain after a reload. Raises `StoreError`."""
        reply: Sequence[str] = await self._store.do(GROUP, "HGETALL", shared_key(GROUP, "handoff"))
        for conversation_id, story in zip(reply[::2], reply[1::2], strict=True):
            team, at, agent = story.split(" ", 2)
            if self._now() - int(at) > STALE_HANDOFF:
                await self._hand_over(conversation_id, agent, team)
        for crew in self._crews().values():
            if crew.strategy in AUTOMATIC and crew.members:
                await self._drain(crew)

    async def loads(self) -> dict[str, int]:
        """Return how many conversations each agent has. Raises `StoreError`."""
        reply = await self._store.do(GROUP, "HGETALL", shared_key(GROUP, "load"))
        return {agent: int(count) for agent, count in zip(reply[::2], reply[1::2], strict=True)}

    async def _drain(self, crew: Crew, join: tuple[str, int] | None = None) -> None:
        ask: dict[str, Any] = {
            "team": crew.name,
            "strategy": crew.strategy,
            "members": crew.members,
            "now": str(self._now()),
        }
        if join is not None:
            ask["join"] = (join[0], str(join[1]))
        keys = [shared_key(GROUP, "of")]
        given: list[str] = await self._store.run(DRAIN, GROUP, keys, (msgspec.msgpack.encode(ask),))
        for conversation_id, agent in zip(given[::2], given[1::2], strict=True):
            await self._hand_over(conversation_id, agent, crew.name)

    async def _hand_over(self, conversation_id: str, agent: str, team: str) -> None:
        """Tell the conversation, unless it has been resolved, taken or moved since it began to wait."""
        try:
            conversation = await load(self._store, conversation_id)
        except NoConversation:
            await self.hold(conversation_id, "", team)
            return
        if conversation.agent == agent:
            await self._store.do(GROUP, "HDEL", shared_key(GROUP, "handoff"), conversation_id)
        elif conversation.status == "resolved" or conversation.agent or conversation.team != team:
            await self.hold(conversation_id, "" if conversation.status == "resolved" else conversation.agent, team)
        else:
            await self._desk.assign(conversation_id, HUB, agent=agent, reason=f"{team}: free capacity")
            await self._store.do(GROUP, "HDEL", shared_key(GROUP, "handoff"), conversation_id)


def crews(settings: Settings) -> dict[str, Crew]:
    """Return the teams as assignment sees them; an agent's own capacity goes before the team's."""
    return {
        name: Crew(
            name,
            team.assign.strategy,
            tuple(
                (one, capacity if (capacity := settings.agents[one].capacity) is not None else team.assign.capacity)
                for one in team.members
            ),
        )
        for name, team in settings.teams.items()
    }
