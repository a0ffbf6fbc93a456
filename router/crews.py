"""Teams as assignment sees them: who is in them, what each can and may take, and what their team wants. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.assigning import USUAL, Capacity
from config.hours import Hours
from config.settings import Agent, Settings, Team
from router.hours import is_open

AUTOMATIC = frozenset({"least-busy", "round-robin", "weighted"})


@dataclass(frozen=True, slots=True)
class Member:
    """An agent in a team.

    *capacity* counts open conversations altogether; *limits* holds (tag, most) for single channels ("c:shop-wechat")
    and kinds ("k:wechat"). *languages* are primary subtags. *shifts* are the hours in which they work; empty = always.
    """

    name: str
    capacity: int
    limits: tuple[tuple[str, int], ...] = ()
    weight: int = 1
    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Crew:
    """A team: its *members* in the order of the file. Times are in milliseconds, 0 = never."""

    name: str
    strategy: str
    members: tuple[Member, ...] = ()
    language: str = "prefer"
    sticky: int = 0
    overflow_to: str = ""
    overflow_after: int = 0
    reassign_after: int = 0
    release: bool = False

    @property
    def automatic(self) -> bool:
        """Whether the hub hands its conversations out."""
        return self.strategy in AUTOMATIC

    def has(self, agent: str) -> bool:
        """Tell whether *agent* is a member."""
        return any(member.name == agent for member in self.members)

    def packed(self, on: Mapping[tuple[str, ...], bool]) -> dict[str, Any]:
        """Return what drain.lua needs to know; *on* says which shifts are on now."""
        return {
            "name": self.name,
            "strategy": self.strategy,
            "la": self.language,
            "sticky": self.sticky,
            "to": self.overflow_to,
            "over": self.overflow_after,
            "silent": self.reassign_after,
            "members": [
                {
                    "n": one.name,
                    "c": one.capacity,
                    "li": one.limits,
                    "w": one.weight,
                    "sk": dict.fromkeys(one.skills, True),
                    "la": one.languages,
                    "on": on[one.shifts],
                }
                for one in self.members
            ],
        }


@dataclass(frozen=True, slots=True)
class Roster:
    """All crews by name, the hours that their shifts name, and all agents, also those in no crew."""

    crews: Mapping[str, Crew]
    hours: Mapping[str, Hours] = field(default_factory=dict)
    others: frozenset[str] = frozenset()

    @property
    def agents(self) -> list[str]:
        """The names of all agents."""
        return sorted(self.others.union(*({one.name for one in crew.members} for crew in self.crews.values())))

    def on(self, now: int) -> dict[tuple[str, ...], bool]:
        """Return for each set of shifts in use whether one of them is on at *now*; no shifts = always."""
        used = {member.shifts for crew in self.crews.values() for member in crew.members}
        return {
            shifts: not shifts or any(is_open(self.hours[name], now) for name in shifts if name in self.hours)
            for shifts in used
        }

    def of(self, agent: str) -> list[Crew]:
        """Return the automatic crews of *agent*, in the order of the file."""
        return [crew for crew in self.automatic() if crew.has(agent)]

    def capacity(self, agent: str) -> int | None:
        """Return the most open conversations that *agent* is given by any team, None if none gives them any."""
        found = [member.capacity for crew in self.of(agent) for member in crew.members if member.name == agent]
        return max(found, default=None)

    def automatic(self) -> list[Crew]:
        """Return the crews whose conversations the hub hands out."""
        return [crew for crew in self.crews.values() if crew.automatic]

    def shifts_of(self, agent: str) -> tuple[str, ...]:
        """Return the hours in which *agent* works in any team; empty = always."""
        found = [member.shifts for crew in self.crews.values() for member in crew.members if member.name == agent]
        return () if not all(found) else tuple(dict.fromkeys(name for shifts in found for name in shifts))


def roster(settings: Settings) -> Roster:
    """Return the teams as assignment sees them; what an agent says of themselves goes before what the team says."""
    channels = frozenset(settings.channels)
    speech = primary(settings.locale)

    def member(name: str, team: Team) -> Member:
        agent: Agent = settings.agents[name]
        total, limits = _capacity(team.assign.capacity, agent.capacity, channels)
        return Member(
            name,
            total,
            limits,
            agent.weight,
            tuple(agent.skills),
            tuple(dict.fromkeys(map(primary, agent.languages))) or (speech,),
            tuple(agent.shifts or team.assign.shifts),
        )

    crews = {
        name: Crew(
            name,
            team.assign.strategy,
            tuple(member(one, team) for one in team.members),
            team.assign.language,
            team.assign.sticky or 0,
            team.assign.overflow.to if team.assign.overflow else "",
            team.assign.overflow.after if team.assign.overflow else 0,
            team.assign.reassign.after if team.assign.reassign else 0,
            team.assign.offline == "release",
        )
        for name, team in settings.teams.items()
    }
    return Roster(crews, settings.hours, frozenset(settings.agents))


def primary(language: str) -> str:
    """Return what languages are compared by: ``zh-CN`` and ``zh-TW`` are both ``zh``."""
    return language.partition("-")[0].lower()


def _capacity(
    team: Capacity, agent: Capacity | None, channels: frozenset[str]
) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Put both capacities together. A name that is a channel and a kind means the channel."""
    own = agent or Capacity()
    limits = {**dict(team.of), **dict(own.of)}
    total = own.total if own.total is not None else team.total if team.total is not None else USUAL
    return total, tuple((f"{'c' if name in channels else 'k'}:{name}", most) for name, most in limits.items())
