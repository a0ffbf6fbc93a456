"""Who is staff: the addresses from which agents write and at which they are told, and the channel that carries each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from config.faults import Path, Problem, listed
from config.settings import Settings
from config.staff import Notify, TeamNotify, Way


@dataclass(frozen=True, slots=True)
class Reach:
    """One way to tell somebody: *channel* carries it to *address* ("" is a group that the channel itself is)."""

    kind: str
    channel: str
    address: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Everybody's addresses. *agents* and *teams* hold what can be used now, in the order of the file."""

    owners: Mapping[str, str] = field(default_factory=dict)
    agents: Mapping[str, tuple[Reach, ...]] = field(default_factory=dict)
    teams: Mapping[str, tuple[tuple[TeamNotify, Reach], ...]] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether nobody is told of anything."""
        return not any(self.agents.values()) and not any(self.teams.values())

    def owner(self, address: str) -> str:
        """Return the agent whose *address* it is, "" for anybody else's."""
        return self.owners.get(address, "") or self.owners.get(address.lower(), "")


def enrolment(settings: Settings) -> Enrolment:
    """Return who is staff under *settings*."""
    kinds = {name: one.kind for name, one in settings.channels.items()}
    owners: dict[str, str] = {}
    agents: dict[str, tuple[Reach, ...]] = {}
    for name, agent in settings.agents.items():
        if agent.email:
            owners.setdefault(f"mailto:{agent.email.lower()}", name)
        reaches = [(one, one.target(agent.email or "")) for one in agent.notify]
        for _, address in reaches:
            owners.setdefault(address, name)
        agents[name] = tuple(
            Reach(one.kind, channel, address) for one, address in reaches if (channel := carrier(one, kinds))
        )
    teams = {
        name: tuple(
            (one, Reach(one.kind, channel, one.target())) for one in team.notify if (channel := carrier(one, kinds))
        )
        for name, team in settings.teams.items()
    }
    return Enrolment(owners, agents, teams)


def carrier(way: Way, kinds: Mapping[str, str]) -> str:
    """Return the channel that carries *way*: the one it names, else the only one of a fitting kind, else ""."""
    if way.channel is not None:
        return way.channel if way.channel in kinds else ""
    fitting = [name for name, kind in kinds.items() if way.fits(kind)]
    return fitting[0] if len(fitting) == 1 else ""


def problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield every entry whose channel is ambiguous or cannot carry it, and every address that two agents share.

    Looks at the data as written; what is wrong with an entry by itself is said elsewhere.
    """
    kinds = _kinds(data)
    owners: dict[str, str] = {}
    for path, way in _ways(data):
        yield from _channel(path, way, kinds)
        if path[0] == "agents" and (address := way.target(_mailbox(data, str(path[1])))):
            first = owners.setdefault(address, str(path[1]))
            if first != path[1]:
                yield Problem(path, f"this is the address of {first} too", "an address of its own")


def _channel(path: Path, way: Way, kinds: Mapping[str, str]) -> Iterator[Problem]:
    fitting = [name for name, kind in kinds.items() if way.fits(kind)]
    if way.channel is None and len(fitting) > 1:
        yield Problem(path, "several channels could carry this", f"channel: {listed(fitting)}")
    elif way.channel is not None and way.channel in kinds and way.channel not in fitting:
        what = f"a channel of kind {kinds[way.channel]} cannot carry {way.kind}"
        yield Problem((*path, "channel"), what, listed(fitting) if fitting else "a channel of a fitting kind")


def _ways(data: Mapping[str, Any]) -> Iterator[tuple[Path, Way]]:
    models: tuple[tuple[str, type[Way]], ...] = (("agents", Notify), ("teams", TeamNotify))
    for section, model in models:
        entries = data.get(section)
        for name, one in entries.items() if isinstance(entries, dict) else ():
            given = one.get("notify") if isinstance(one, dict) else None
            for number, each in enumerate(given if isinstance(given, list) else ()):
                try:
                    yield (section, name, "notify", number), model.model_validate(each)
                except ValueError:
                    continue


def _kinds(data: Mapping[str, Any]) -> dict[str, str]:
    channels = data.get("channels")
    named = channels.items() if isinstance(channels, dict) else ()
    return {name: one["kind"] for name, one in named if isinstance(one, dict) and isinstance(one.get("kind"), str)}


def _mailbox(data: Mapping[str, Any], agent: str) -> str:
    email = data["agents"][agent].get("email")
    return email if isinstance(email, str) else ""
