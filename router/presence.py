"""Whether agents are there: what they or their tools said, for how long it holds, and what their shifts say otherwise.

Nobody needs to say anything: who never did is there whenever their shift is on, and always without shifts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from config.hours import Hours
from inbox.partitions import shared_key
from inbox.store import Store
from inbox.wakes import Wakes
from router.assignment import GROUP, PRESENCE, Assigner
from router.crews import Roster
from router.hours import is_open, next_open

STATES = ("online", "away", "offline")
HOME = 0  # the owner of this partition looks after what is due in the agents' slot
BELL = "a"


class Said(msgspec.Struct, frozen=True):
    """What was said of an agent: *state* at *at*. Times are in milliseconds since 1970 UTC.

    *until* is when it ends (0 = not by itself) and *then* what holds from there: "offline", or "" for what the shifts
    say. *shift*: it was said on duty, and an "online" ends with the shift. *release*: what is unanswered goes back.
    """

    state: str
    at: int
    until: int = 0
    then: str = ""
    shift: bool = False
    release: bool = False


class Now(msgspec.Struct, frozen=True):
    """How things stand: *state* is online, away, offline or shift (off duty); *said* is None when nobody said so."""

    state: str
    said: Said | None = None


class Presences:
    """What is known of who is there."""

    def __init__(
        self, store: Store, wakes: Wakes, assigner: Assigner, roster: Callable[[], Roster], now: Callable[[], int]
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._assigner = assigner
        self._roster = roster
        self._now = now

    async def say(self, agent: str, state: str, lasting: int = 0, *, release: bool | None = None) -> Said:
        """Note that *agent* is online, away or offline, for *lasting* milliseconds (0 = until something else is said).

        An "online" that ends is an agent who is gone: offline. An "away" or "offline" that ends leaves it to the
        shifts. *release* gives what an offline agent has not answered back to the queues; None = as their teams say.
        Raises `StoreError`.
        """
        now, roster = self._now(), self._roster()
        if release is None:
            release = any(crew.release for crew in roster.of(agent))
        hours = [roster.hours[name] for name in roster.shifts_of(agent) if name in roster.hours]
        on = not hours or any(is_open(one, now) for one in hours)
        until = now + lasting if lasting else 0 if on or state != "online" else begins(hours, now)
        then = "offline" if state == "online" and lasting else ""
        said = Said(state, now, until, then, shift=bool(hours) and on, release=release and state == "offline")
        arguments = (agent, msgspec.json.encode(said), until, now, int(said.release))
        await self._store.run(PRESENCE, GROUP, [shared_key(GROUP, "of")], arguments)
        await self._changed(agent)
        return said

    async def forget(self, agent: str) -> None:
        """Forget what was said of *agent*: their shifts count. Raises `StoreError`."""
        await self._store.run(PRESENCE, GROUP, [shared_key(GROUP, "of")], (agent, "", 0, self._now(), 0))
        await self._changed(agent)

    async def said(self, agent: str) -> Said | None:
        """Return what was last said of *agent*, whether it still holds or not. Raises `StoreError`."""
        packed = await self._store.do(GROUP, "HGET", shared_key(GROUP, "presence"), agent)
        return msgspec.json.decode(packed, type=Said) if packed else None

    async def all(self, agents: Iterable[str]) -> dict[str, Now]:
        """Return how things stand with each of *agents*. Raises `StoreError`."""
        names = list(agents)
        if not names:
            return {}
        now, roster = self._now(), self._roster()
        on = roster.on(now)
        packed = await self._store.do(GROUP, "HMGET", shared_key(GROUP, "presence"), *names)
        found = {}
        for name, one in zip(names, packed, strict=True):
            duty = [on[each.shifts] for crew in roster.crews.values() for each in crew.members if each.name == name]
            said = msgspec.json.decode(one, type=Said) if one else None
            found[name] = current(said, now, on=any(duty) or not duty)
        return found

    async def _changed(self, agent: str) -> None:
        self._wakes.ring((f"{BELL}{HOME}",))
        await self._assigner.offer(agent)


def current(said: Said | None, now: int, *, on: bool) -> Now:
    """Return how things stand at *now* for whom *said* was said; *on* = on duty. The same rule as in crew.lua."""
    if said is not None:
        if said.until and now >= said.until:
            if said.then == "offline":
                return Now("offline", said)
        elif said.state != "online" or on or not said.shift:
            return Now(said.state, said)
    return Now("online" if on else "shift")


def begins(hours: Iterable[Hours], now: int) -> int:
    """Return when the next shift begins, 0 if none does within a year."""
    return min((moment for one in hours if (moment := next_open(one, now)) is not None), default=0)
