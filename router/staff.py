"""The API of assignment: who is there, who waits, and whether the work is shared out fairly."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client.core import GaugeMetricFamily

from config.settings import Settings
from config.values import DURATIONS, duration
from inbox.api import ROLES, Ask, Problem, Route, answer, moment, rfc3339
from inbox.conversations import load
from inbox.store import Store
from router import fairness, reasons
from router.assignment import Assigner
from router.crews import Roster
from router.presence import STATES, Now, Presences

DAY = DURATIONS["d"]
MONTH = 31 * DAY


class PresenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /agents/{id}/presence. *state* null forgets what was said; *for* is a duration such as 90s or 30m."""

    state: str | None
    lasting: str = msgspec.field(name="for", default="")
    release: bool | None = None


@dataclass(frozen=True, slots=True)
class Staff:
    """What the endpoints need."""

    store: Store
    assigner: Assigner
    presences: Presences
    roster: Callable[[], Roster]
    settings: Callable[[], Settings]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("PUT", "/agents/{id}/presence", "agent", self.put_presence),
            Route("GET", "/conversations/{id}/candidates", "readonly", self.candidates),
            Route("GET", "/reports/assignment", "readonly", self.report),
        ]

    async def at_work(self) -> dict[str, dict[str, Any]]:
        """Return for each agent how many conversations they have, of how many, and whether they are there.

        Raises `StoreError`.
        """
        loads, roster = await self.assigner.loads(), self.roster()
        there = await self.presences.all(roster.agents)
        return {
            name: {
                "conversations": loads.get(name, 0),
                "capacity": roster.capacity(name),
                "presence": presence_shape(one),
            }
            for name, one in there.items()
        }

    async def put_presence(self, ask: Ask) -> web.Response:
        """Say whether an agent is there; an agent says it of themselves, a supervisor of anybody."""
        agent = ask.part("id")
        if agent not in self.settings().agents:
            raise Problem(404, "There is no such agent", f"agents are {', '.join(sorted(self.settings().agents))}")
        own = ask.actor.kind == "agent" and ask.actor.id == agent
        if not own and ROLES.index(ask.token.role) < ROLES.index("supervisor"):
            raise Problem(403, "Not allowed", "an agent says this of themselves only; a supervisor of anybody")
        body = await ask.body(PresenceBody)
        if body.state is None:
            await self.presences.forget(agent)
        elif body.state in STATES:
            await self.presences.say(agent, body.state, lasting(body.lasting), release=body.release)
        else:
            raise Problem(422, "The body does not fit", f"state must be one of {', '.join(STATES)}, or null")
        return answer({"id": agent, **(await self.at_work())[agent]})

    async def candidates(self, ask: Ask) -> web.Response:
        """Who of its team could have a conversation now, and why the others could not."""
        conversation = await load(self.store, ask.part("id"))
        reason = await self.assigner.probe(conversation)
        locale = self.settings().locale
        return answer(
            {
                "conversation": conversation.id,
                "team": conversation.team or None,
                "agent": conversation.agent or None,
                "candidates": reasons.stored(reason)["others"] if reason else [],
                "reason": reasons.sentence(reason, locale) if reason else None,
            }
        )

    async def report(self, ask: Ask) -> web.Response:
        """How fairly conversations were shared out, per team, shift and day, and who waits now."""
        team, settings = ask.query("team"), self.settings()
        if team and team not in settings.teams:
            raise Problem(422, "There is no such team", f"teams are {', '.join(sorted(settings.teams))}")
        since = self._since(ask.query("since"))
        given = [one for one in await fairness.read(self.store, since) if one.team not in ask.hidden]
        known = [one for one in await self.assigner.queues() if one.team not in ask.hidden]
        queues = [one for one in known if team in ("", one.team)]
        return answer(
            {
                "since": rfc3339(since),
                "items": fairness.report(given, self.roster(), settings.timezone, team),
                "waiting": [
                    {"team": one.team, "count": one.count, "oldest_since": rfc3339(one.oldest)} for one in queues
                ],
                "next": None,
            }
        )

    def _since(self, text: str) -> int:
        """Read a time, or how long ago; by default a week. Raises `Problem`."""
        if not text:
            return self.now() - 7 * DAY
        if re.fullmatch(r"([0-9]{1,9}[smhdw])+", text):
            return max(0, self.now() - lasting(text))
        return moment(text)

    async def metrics(self) -> list[GaugeMetricFamily]:
        """Return who waits, per team, and how many agents are in each state. Raises `StoreError`."""
        now = self.now()
        waiting = GaugeMetricFamily(
            "huiliu_waiting", "Conversations that wait for an agent of the team", labels=["team"]
        )
        oldest = GaugeMetricFamily(
            "huiliu_oldest_waiting_seconds", "For how long the oldest of them has waited", labels=["team"]
        )
        for one in await self.assigner.queues():
            waiting.add_metric([one.team], float(one.count))
            oldest.add_metric([one.team], max(0, now - one.oldest) / 1000 if one.oldest else 0.0)
        agents = GaugeMetricFamily("huiliu_agents", "Agents by whether they are there", labels=["state"])
        states = [there.state for there in (await self.presences.all(self.roster().agents)).values()]
        for state in (*STATES, "shift"):
            agents.add_metric([state], float(states.count(state)))
        return [waiting, oldest, agents]


def lasting(text: str) -> int:
    """Read a duration such as 90s in milliseconds, 0 for "". Raises `Problem` 422."""
    try:
        return duration(text) if text else 0
    except ValueError:
        raise Problem(422, "That is no duration", "expected a duration such as 90s, 30m, 8h or 7d") from None


def presence_shape(now: Now) -> dict[str, Any]:
    """Return how things stand with an agent as the API shows it."""
    said = now.said
    return {
        "state": now.state,
        "said_at": rfc3339(said.at) if said else None,
        "until": rfc3339(said.until) if said else None,
    }
