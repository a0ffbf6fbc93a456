"""A team whose members and strategy a test chooses, on a real store: what assignment is tried with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inbox.conversations import Change, commit
from inbox.work import Actor
from router.crews import Crew, Member
from tests.backroom import Room, room

LILEI = Actor("agent", "lilei", "李雷")
TEAM = "aftersales"


@dataclass
class Team:
    """A team whose members and strategy the test chooses; its customers write one after another."""

    room: Room
    count: int = 0

    def crew(self, strategy: str, **members: int) -> None:
        """Set the team up: member -> capacity, in this order."""
        self.crews(Crew(TEAM, strategy, tuple(Member(*one) for one in members.items())))

    def crews(self, *crews: Crew) -> None:
        """Set several teams up."""
        self.room.crews = {crew.name: crew for crew in crews}

    async def ask(self) -> str:
        """Let a new customer write to the team; return the conversation."""
        self.count += 1
        return await self.room.write("退款", f"tel:+86138{self.count:08}")

    async def queue(self, **values: Any) -> str:
        """Let a new customer write to the team and wait with these fields of a conversation."""
        automatic = self.room.crews
        self.room.crews = {name: replace(crew, strategy="manual") for name, crew in automatic.items()}
        name = await self.ask()
        self.room.crews = automatic
        place = (await self.room.load(name)).place
        await commit(self.room.store, place.partition, Change(id=place.key, set=values))
        await self.want(name)
        return name

    async def want(self, name: str) -> None:
        """Have an agent found for a conversation as it is now."""
        await self.room.assigner.want(await self.room.load(name))
        await self.room.route()

    async def owner(self, conversation_id: str) -> str:
        return (await self.room.load(conversation_id)).agent

    async def owners(self, *ids: str) -> list[str]:
        return [await self.owner(one) for one in ids]

    async def resolve(self, conversation_id: str) -> None:
        await self.room.desk.resolve(conversation_id, LILEI)
        await self.room.route()

    async def loads(self) -> dict[str, int]:
        return {agent: count for agent, count in (await self.room.assigner.loads()).items() if count}

    async def agree(self) -> None:
        """Check that the loads are what the open conversations say."""
        counted: dict[str, int] = {}
        for one in await self.room.conversations():
            if one.agent and one.status != "resolved":
                counted[one.agent] = counted.get(one.agent, 0) + 1
        assert counted == await self.loads()


@asynccontextmanager
async def team(store_url: str, folder: Path, **parts: Any) -> AsyncIterator[Team]:
    """Open a room with one team, which has nobody in it yet."""
    async with room(store_url, folder, **parts) as made:
        yield Team(made)
