"""Has every clock looked at in time, and tells of warnings and breaches: each once, in the conversation's own log.

When to look next stands in the store, changes in one step with the conversation, and is taken over with the
partition. What is found is written under the partition's fencing token, together with the note that it was told, so
that a process that dies in between, or was taken for dead, leaves nothing out and tells nothing twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inbox import clocks, course
from inbox import log as logbook
from inbox.api import rfc3339
from inbox.clocks import Happening, Plan, Told
from inbox.conversations import CLOCKS, LATE, Change, Conflict, Conversation, Value, commit, known_course, load_many
from inbox.leases import Fenced, Held
from inbox.partitions import Id, key, tag
from inbox.promises import Promises
from inbox.store import Script, Store, StoreError
from inbox.wakes import Wakes
from inbox.work import HUB, encode

log = logging.getLogger(__name__)

SCRIPTS = Path(__file__).parent / "scripts"
RESCORE = Script.load(SCRIPTS / "rescore.lua")
REWIND = Script.load(SCRIPTS / "rewind.lua")
LOOK = 0.5
"""Seconds between looks at what other processes have changed, and at a clock that somebody has set."""

BATCH = 64
AT_ONCE = 4
"""Partitions that are judged at the same time: after a change of promises messages must not wait for all of them."""

WARNING, BREACH = "sla_warning", "sla_breach"
EVENTS = frozenset({WARNING, BREACH})


@dataclass(slots=True)
class Watched:
    """A partition that this process holds: by which promises its clocks are set, and when the next one is due."""

    held: Held
    digest: str = ""


class Ticks:
    """Looks after the clocks of every partition that this process holds. *counts* are by channel and outcome."""

    def __init__(self, store: Store, wakes: Wakes, promises: Callable[[], Promises], now: Callable[[], int]) -> None:
        self._store = store
        self._wakes = wakes
        self._promises = promises
        self._now = now
        self._watched: dict[int, Watched] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.counts: Counter[tuple[str, str]] = Counter()

    async def follow(self, held: Held) -> None:
        """Count a partition among those to look after, until cancelled."""
        self.watch(held)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if self._watched.get(held.partition, Watched(held)).held is held:
                self._watched.pop(held.partition, None)

    def watch(self, held: Held) -> None:
        """Look after a partition from the next turn on."""
        self._watched[held.partition] = Watched(held)

    async def run(self) -> None:
        """Look whenever a clock is due, and twice a second at what has changed, for ever."""
        while True:
            wait = LOOK
            try:
                next_at = await self.turn()
                if next_at is not None:
                    wait = min(LOOK, max(0.0, (next_at - self._now()) / 1000))
            except StoreError as error:
                log.debug("the clocks wait for the store: %s", error)
            except Exception:
                log.exception("a look at the clocks failed; it is tried again")
            await asyncio.sleep(wait)

    async def turn(self) -> int | None:
        """Look once at every partition; return when the next clock is due. Raises `StoreError`."""
        watched = list(self._watched.values())
        found = await asyncio.gather(*(self._partition(one) for one in watched), return_exceptions=True)
        moments: list[int] = []
        errors: list[BaseException] = []
        for one, result in zip(watched, found, strict=True):
            if isinstance(result, Fenced):
                log.info("the clocks of partition %d belong to another worker now", one.held.partition)
                self._watched.pop(one.held.partition, None)
            elif isinstance(result, BaseException):
                errors.append(result)
            elif result is not None:
                moments.append(result)
        if errors:
            raise errors[0]
        return min(moments, default=None)

    async def _partition(self, watched: Watched) -> int | None:
        """Look at one partition; return when its next clock is due. Raises `Fenced`, `StoreError`."""
        held, promises = watched.held, self._promises()
        slot, name = tag(held.partition), key(held.partition, CLOCKS)
        if watched.digest != promises.digest:
            log_key = [key(held.partition, "log")]
            if await self._store.run(REWIND, slot, log_key, (held.epoch, promises.digest)) < 0:
                raise Fenced
            watched.digest = promises.digest
        now = self._now()
        # What is due comes before what has only changed: after a change of the promises that is everything.
        first = _moment(await self._store.do(slot, "ZRANGE", name, 0, 0, "WITHSCORES"))
        if first is None or first > now:
            return first
        due = await self._store.do(slot, "ZRANGEBYSCORE", name, "(0", now, "LIMIT", 0, BATCH)
        if len(due) < BATCH:
            due += await self._store.do(slot, "ZRANGEBYSCORE", name, 0, 0, "LIMIT", 0, BATCH - len(due))
        async with self._turns:
            await self._judge(held, promises, due)
        if len(due) == BATCH:
            return now
        # What changes from now on waits for the next look: under load something always has, and each look costs.
        return _moment(await self._store.do(slot, "ZRANGEBYSCORE", name, "(0", "+inf", "WITHSCORES", "LIMIT", 0, 1))

    async def _judge(self, held: Held, promises: Promises, due: Sequence[str]) -> None:
        """Read the clocks of conversations and tell what there is to tell. Raises `Fenced`, `StoreError`."""
        found = await load_many(self._store, [Id("c", held.partition, one) for one in due])
        quiet: dict[str, tuple[Conversation, Plan]] = {}
        arguments: list[Value] = [held.epoch]
        for name, conversation in zip(due, found, strict=True):
            if conversation is None:
                arguments += (name, "0", "", "", "")
                continue
            plan = self._plan(promises, conversation)
            if any(one.what != clocks.MET for one in plan.happenings):
                with contextlib.suppress(Conflict):  # it has just changed; the next turn looks again
                    await self._tell(held, conversation, plan)
                continue
            quiet[name] = conversation, plan
            told = str(plan.told) if plan.told != Told.parsed(conversation.told) else ""
            late = "" if plan.late is None else -plan.late
            arguments += (name, conversation.version, "" if plan.next_at is None else plan.next_at, told, late)
        if len(arguments) > 1:
            await self._note(held, quiet, arguments)

    async def _note(self, held: Held, quiet: Mapping[str, tuple[Conversation, Plan]], arguments: list[Value]) -> None:
        """Note when to look next at conversations of which there is nothing to tell. Raises `Fenced`, `StoreError`."""
        noted = await self._store.run(RESCORE, tag(held.partition), [key(held.partition, "log")], arguments)
        if noted is None:
            raise Fenced
        for name in noted:
            if name in quiet:
                self._count(*quiet[name])

    def _plan(self, promises: Promises, conversation: Conversation) -> Plan:
        promise = promises.holds(conversation)
        told = Told.parsed(conversation.told)
        if promise is None:
            return Plan((), told, None)
        return clocks.plan(promise, course.runs(course.steps(known_course(conversation))), told, self._now())

    async def _tell(self, held: Held, conversation: Conversation, plan: Plan) -> None:
        """Write what happened into the conversation's log. Raises `Conflict`, `Fenced`, `StoreError`."""
        place = conversation.place
        entries = [one for one in plan.happenings if one.what != clocks.MET]
        places = {CLOCKS: plan.next_at, LATE: None if plan.late is None else -plan.late}
        await commit(
            self._store,
            held.partition,
            Change(
                id=place.key,
                version=conversation.version,
                epoch=held.epoch,
                set={"told": str(plan.told)},
                log=[("s", _entry(place.key, one)) for one in entries],
                marks=[(name, score, place.key) for name, score in places.items() if score is not None],
                unmarks=[(name, place.key) for name, score in places.items() if score is None],
            ),
        )
        self._count(conversation, plan)
        self._wakes.ring((f"p{held.partition}",))

    def _count(self, conversation: Conversation, plan: Plan) -> None:
        for one in plan.happenings:
            self.counts[conversation.channel, f"{one.reading.run.clock}_{one.what}"] += 1


def _moment(reply: Sequence[str]) -> int | None:
    """Return the score of the one element in a reply with scores."""
    return int(float(reply[1])) if reply else None


def _entry(name: str, one: Happening) -> list[Value]:
    """Return the log entry that tells of *one*, which reads as an event of the conversation."""
    reading = one.reading
    story = {
        "clock": reading.run.clock,
        "policy": one.promise,
        "since": rfc3339(reading.run.start),
        "due": rfc3339(reading.due or 0),
        "limit_seconds": reading.limit.time // 1000,
    }
    fields: list[Value] = ["t", logbook.STATE, "c", name, "ev", f"sla_{one.what}", "at", one.at]
    return [*fields, "au", encode(HUB), "b", msgspec.json.encode(story).decode()]
