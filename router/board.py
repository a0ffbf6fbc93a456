"""The floor at a glance: who waits since when, which promises are in danger, what needs a person. Counted, not listed.

Every process counts at most once a second, however many boards are open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from config.settings import Settings
from inbox import course
from inbox.api import Ask, Route, answer, rfc3339
from inbox.clocks import BREACH, LEVELS, Told
from inbox.conversations import LATE, Conversation, known_course, load_many
from inbox.course import FIRST_REPLY, NEXT_REPLY
from inbox.partitions import COUNT, Id, key, tag
from inbox.store import Store
from router.assignment import Queue

FRESH = 1_000
"""For how long what was counted is good, in milliseconds."""

SAMPLE = 32
"""Of how many open conversations of each partition, those that rest longest, it is asked since when they wait."""

MOST_LATE = 100
"""How many late conversations of each partition are told apart by team."""

OWNED = ("open", "pending", "snoozed")
NEEDS = {"drafts": "drafts", "dead": "dead", "uncertain": "uncertain", "scheduled": "parked", "shunted": "shunted"}
LAGS = {"routing_seconds": "huiliu_log_lag_seconds", "sending_seconds": "huiliu_oldest_due_seconds"}


@dataclass(slots=True)
class Sums:
    """What was counted: by (team, status), by team, and in all. Times are in milliseconds since 1970 UTC, 0 = none."""

    at: int = 0
    owned: Counter[tuple[str, str]] = field(default_factory=Counter)
    oldest: dict[str, Conversation] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    late: Counter[tuple[str, str]] = field(default_factory=Counter)
    more_late: bool = False
    needs: Counter[str] = field(default_factory=Counter)
    queues: dict[str, Queue] = field(default_factory=dict)
    lags: dict[str, float] = field(default_factory=dict)


class Board:
    """Counts, and shows what was counted. *queues* and *progress* are those of assignment and of the hub's status."""

    def __init__(
        self,
        store: Store,
        settings: Callable[[], Settings],
        queues: Callable[[], Awaitable[Sequence[Queue]]],
        progress: Callable[[int], Awaitable[Mapping[str, tuple[str, float]]]],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._settings = settings
        self._queues = queues
        self._progress = progress
        self._now = now
        self._sums = Sums()
        self._lock = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [Route("GET", "/board", "readonly", self.show)]

    async def show(self, ask: Ask) -> web.Response:
        """The floor now, without the teams that are hidden from the caller."""
        async with self._lock:
            if self._now() - self._sums.at >= FRESH:
                self._sums = await self._count()
            sums = self._sums
        teams = [name for name in self._settings().teams if name not in ask.hidden]
        first = min((team for team in teams if team in sums.since), key=sums.since.__getitem__, default=None)
        return answer(
            {
                "at": rfc3339(sums.at),
                "waiting": {
                    "count": sum(sums.owned[team, "open"] for team in teams),
                    "oldest_since": rfc3339(sums.since[first]) if first else None,
                    "conversation": sums.oldest[first].id if first else None,
                },
                "late": {
                    "warned": sum(sums.late[team, "warned"] for team in teams),
                    "breached": sum(sums.late[team, "breached"] for team in teams),
                    "more": sums.more_late,
                },
                "teams": [self._team(sums, team) for team in teams],
                "needs": {name: sums.needs[name] for name in NEEDS},
                "lag": {name: sums.lags[metric] for name, metric in LAGS.items()},
            }
        )

    def _team(self, sums: Sums, team: str) -> dict[str, Any]:
        configured, queue = self._settings().teams[team], sums.queues.get(team)
        return {
            "id": team,
            "name": str(configured.name),
            "restricted": configured.restricted,
            "members": list(configured.members),
            **{status: sums.owned[team, status] for status in OWNED},
            "oldest_since": rfc3339(sums.since.get(team, 0)),
            "queue": queue and {"count": queue.count, "oldest_since": rfc3339(queue.oldest)},
            "warned": sums.late[team, "warned"],
            "breached": sums.late[team, "breached"],
        }

    async def _count(self) -> Sums:
        """Count everything. Raises `StoreError`."""
        sums = Sums(at=self._now())
        teams = list(self._settings().teams)
        counted, queues, progress = await asyncio.gather(
            asyncio.gather(*(self._partition(sums, partition, teams) for partition in range(COUNT))),
            self._queues(),
            self._progress(sums.at),
        )
        for one in filter(None, await load_many(self._store, [place for waiting, _ in counted for place in waiting])):
            self._wait(sums, one)
        for one in filter(None, await load_many(self._store, [place for _, late in counted for place in late])):
            sums.late[one.team, level(one)] += 1
        sums.queues = {one.team: one for one in queues}
        sums.lags = {name: value for name, (_, value) in progress.items()}
        return sums

    async def _partition(self, sums: Sums, partition: int, teams: Sequence[str]) -> tuple[list[Id], list[Id]]:
        """Count one partition; return who rests there longest, and who is late."""
        places = [(team, status) for team in teams for status in OWNED]
        waiting, late, all_late, *counts = await self._store.many(
            tag(partition),
            [
                ("ZRANGE", key(partition, "i:s:open"), 0, SAMPLE - 1),
                ("ZREVRANGE", key(partition, LATE), 0, MOST_LATE - 1),
                ("ZCARD", key(partition, LATE)),
                *(("ZCARD", key(partition, index)) for index in NEEDS.values()),
                *(("ZCARD", key(partition, f"i:t:{team}:{status}")) for team, status in places),
            ],
        )
        sums.more_late = sums.more_late or all_late > len(late)
        for name, count in zip(NEEDS, counts, strict=False):
            sums.needs[name] += count
        for place, count in zip(places, counts[len(NEEDS) :], strict=True):
            sums.owned[place] += count
        return [Id("c", partition, one) for one in waiting], [Id("c", partition, one) for one in late]

    @staticmethod
    def _wait(sums: Sums, one: Conversation) -> None:
        since = waiting_since(one)
        if one.status == "open" and (one.team not in sums.since or since < sums.since[one.team]):
            sums.since[one.team], sums.oldest[one.team] = since, one


def waiting_since(one: Conversation) -> int:
    """Return since when the customer of an open conversation waits for a person."""
    runs = [run for run in course.runs(course.steps(known_course(one))) if run.clock in (FIRST_REPLY, NEXT_REPLY)]
    return runs[-1].start if runs and not runs[-1].over else one.last_message_at


def level(one: Conversation) -> str:
    """Return whether a clock of a late conversation is over, or has only warned of it."""
    told = Told.parsed(one.told)
    runs = {run.clock: run for run in course.runs(course.steps(known_course(one)))}
    over = any(LEVELS[BREACH] in told.level(run) for run in runs.values() if not run.over)
    return "breached" if over else "warned"
