"""Who gets the next conversation of a team: fair, within capacity, oldest first, the same for all processes.

All queues and loads live in one slot, so choosing and counting is one step. A conversation learns its agent in
a second step; between the two it stands in a list of hand-offs, which is gone through again and again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inbox.conversations import PRIORITIES, Conflict, Conversation, NoConversation, load
from inbox.partitions import shared_key
from inbox.store import Script, Store
from inbox.work import HUB, Desk
from router import reasons
from router.crews import Crew, Roster, primary
from router.reasons import Reason

log = logging.getLogger(__name__)

GROUP = "agents"
FOLDER = Path(__file__).parent
STALE_HANDOFF = 5_000
AT_ONCE = 100  # what one run of the script hands out at most: the store does nothing else meanwhile
LANE = 1 << 42  # as in crew.lua: a rank is (urgent 0 … low 3) * LANE + since


def script(name: str) -> Script:
    """Read one of the scripts of assignment with what they all share."""
    shared, own = (FOLDER / f"{part}.lua" for part in ("crew", name))
    return Script(shared.read_text(encoding="utf-8") + own.read_text(encoding="utf-8"), name)


DRAIN, HOLD, ANSWER, TOLD = script("drain"), script("hold"), script("answer"), script("told")
PRESENCE, SETTLE, UPGRADE = script("presence"), script("settle"), script("upgrade")
SCRIPTS = (DRAIN, HOLD, ANSWER, TOLD, PRESENCE, SETTLE, UPGRADE)


@dataclass(frozen=True, slots=True)
class Queue:
    """Who waits for an agent of a team: how many, and since when the oldest does (ms, 0 = nobody waits)."""

    team: str
    count: int
    oldest: int


class Assigner:
    """Assigns conversations to agents."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        roster: Callable[[], Roster],
        now: Callable[[], int],
        locale: Callable[[], str] = lambda: "en",
    ) -> None:
        self._store = store
        self._desk = desk
        self._roster = roster
        self._now = now
        self._locale = locale
        self._shifts: tuple[Roster | None, int, dict[tuple[str, ...], bool]] = (None, 0, {})

    def hands_out(self, team: str) -> bool:
        """Tell whether conversations of *team* get their agent from the hub."""
        crew = self._roster().crews.get(team)
        return crew is not None and crew.automatic

    async def want(self, conversation: Conversation, *, back: str = "", avoid: str = "") -> None:
        """Find an agent for a conversation of a team that assigns by itself, now or when one may have it.

        *back* is who had it before and gets it again if they may; *avoid* left it unanswered and gets it only when
        nobody else is there. Doing it twice changes nothing; what has changed about the conversation counts.
        Raises `StoreError`.
        """
        crew = self._roster().crews.get(conversation.team)
        if crew is None or not crew.automatic:
            return
        join = {"id": conversation.id, **asked(conversation)}
        join.update({name: agent for name, agent in (("back", back), ("avoid", avoid)) if agent})
        await self._drain([crew], join)

    async def hold(
        self,
        conversation: Conversation,
        agent: str,
        *,
        left: str = "",
        over: bool = False,
        by_hub: bool = False,
        calm: bool = False,
        at: int = 0,
        position: str = "",
    ) -> None:
        """Count a conversation as *agent*'s ("" = nobody's), and give the room that this makes to those who wait.

        *left* is a team whose queue it may stand in. *over*: it is resolved, and its wait is forgotten. *by_hub*: it
        goes on at once if the agent has gone offline meanwhile. *calm*: a log that is read again undoes no hand-off
        of its team that is under way. *at* is when they got it, if that was before now, and *position* where the log of
        its partition tells so, if that is known. Raises `StoreError`.
        """
        crew = self._roster().crews.get(conversation.team) or Crew(conversation.team, "manual")
        ask = {
            "now": self._now(),
            "since": at or self._now(),
            "at": position,
            "id": conversation.id,
            "agent": agent,
            "from": left or conversation.team,
            "ask": asked(conversation),
            "silent": crew.reassign_after,
            "sticky": crew.sticky,
            "over": over,
            "hub": by_hub,
            "calm": calm,
        }
        before = await self._run(HOLD, msgspec.msgpack.encode(ask))
        if before and before != agent:
            await self.offer(before)

    async def answered(self, conversation_id: str, at: int, position: str) -> None:
        """Note that an agent answered at *at*: nobody takes the conversation from them for silence.

        *position* is where the log tells so: processes whose clocks differ agree about it. Raises `StoreError`.
        """
        await self._run(ANSWER, conversation_id, at, position)

    async def offer(self, agent: str) -> None:
        """Let the teams of *agent* hand out what waits, the oldest of all of them first. Raises `StoreError`."""
        await self._drain(self._roster().of(agent))

    async def mend(self) -> None:
        """Finish hand-offs that a dead process left half done; drain after a reload or a new shift.

        Raises `StoreError`.
        """
        reply: Sequence[str] = await self._store.do(GROUP, "HGETALL", shared_key(GROUP, "handoff"))
        for conversation_id, story in zip(reply[::2], reply[1::2], strict=True):
            team, at, agent, *why = story.split(" ", 3)
            if abs(self._now() - int(at)) > STALE_HANDOFF:  # by the clock of a process that may have been ahead
                await self._hand_over(conversation_id, agent, team, why[0] if why else "")
        await self._drain(self._roster().automatic())

    async def probe(self, conversation: Conversation) -> Reason | None:
        """Say who could have a waiting or held conversation now, and why the others could not; None if nobody knows it.

        Raises `StoreError`.
        """
        crew = self._roster().crews.get(conversation.team)
        if crew is None:
            return None
        ask = {**self._asking([crew]), "probe": conversation.id}
        [reason] = await self._run(DRAIN, msgspec.msgpack.encode(ask))
        return reasons.parsed(reason)

    async def loads(self) -> dict[str, int]:
        """Return how many conversations each agent has who has any. Raises `StoreError`."""
        agents = self._roster().agents
        counts = await self._store.many(GROUP, [("ZCARD", shared_key(GROUP, f"has:{agent}")) for agent in agents])
        return {agent: int(count) for agent, count in zip(agents, counts, strict=True) if int(count)}

    async def queues(self) -> list[Queue]:
        """Return who waits in each team that hands out, in the order of the file. Raises `StoreError`."""
        crews = self._roster().automatic()
        return list(await asyncio.gather(*(self._queue(crew.name) for crew in crews)))

    async def _queue(self, team: str) -> Queue:
        name = shared_key(GROUP, f"wait:{team}")
        lanes = range(len(PRIORITIES))
        firsts = [
            ("ZRANGEBYSCORE", name, lane * LANE, f"({(lane + 1) * LANE}", "WITHSCORES", "LIMIT", 0, 1) for lane in lanes
        ]
        count, *found = await self._store.many(GROUP, [("ZCARD", name), *firsts])
        return Queue(team, int(count), min((int(float(one[1])) % LANE for one in found if one), default=0))

    def _asking(self, crews: Sequence[Crew]) -> dict[str, Any]:
        """Return what drain.lua is asked about *crews* at this moment."""
        now, roster = self._now(), self._roster()
        known, second, on = self._shifts
        if known is not roster or second != now // 1000:
            on = roster.on(now)
            self._shifts = (roster, now // 1000, on)
        return {"now": now, "most": AT_ONCE, "teams": [crew.packed(on) for crew in crews]}

    async def _run(self, which: Script, *arguments: str | bytes | float) -> Any:
        return await self._store.run(which, GROUP, [shared_key(GROUP, "of")], arguments)

    async def _drain(self, crews: Sequence[Crew], join: Mapping[str, Any] | None = None) -> None:
        more = bool(crews)
        while more:
            ask = self._asking(crews)
            if join is not None:
                ask["join"] = join
            more, *given = await self._run(DRAIN, msgspec.msgpack.encode(ask))
            handed = zip(given[::4], given[1::4], given[2::4], given[3::4], strict=True)
            await asyncio.gather(
                *(self._hand_over(conversation, agent, team, why) for conversation, team, agent, why in handed)
            )
            join = None

    async def _hand_over(self, conversation_id: str, agent: str, team: str, why: str) -> None:
        """Tell the conversation, unless it has been resolved, snoozed, taken or moved since it began to wait."""
        try:
            conversation = await load(self._store, conversation_id)
        except NoConversation:
            await self.hold(Conversation(conversation_id, "", "", "", "", team=team), "", over=True)
            return
        if conversation.agent != agent:
            reason = reasons.parsed(why)
            said = reasons.sentence(reason, self._locale()) if reason else f"{team}: free capacity"
            more = {"assignment": reasons.stored(reason)} if reason else {}
            try:
                conversation = await self._desk.assign(
                    conversation_id, HUB, agent=agent, reason=said, more=more, only=lambda now: claimable(now, team)
                )
            except Conflict:
                return  # it changes all the time; the hand-off stays on its list, and `mend` finishes it
        if conversation.agent == agent:
            await self._run(TOLD, conversation_id, agent)
        else:
            over = conversation.status == "resolved"
            await self.hold(conversation, "" if over else conversation.agent, left=team, over=over)


def claimable(conversation: Conversation, team: str) -> bool:
    """Tell whether a conversation still waits for an agent of *team*."""
    waits = conversation.status not in ("resolved", "snoozed")
    return waits and not conversation.agent and conversation.team == team


def asked(conversation: Conversation) -> dict[str, Any]:
    """Return what a conversation asks for, as the scripts keep it.

    It waits since its customer first wrote; after an answer or a resolution, since they wrote last.
    """
    answered = conversation.first_reply_at or conversation.resolved_at
    since = conversation.last_inbound_at if answered else 0
    return {
        "t": conversation.team,
        "s": since or conversation.opened_at,
        "p": PRIORITIES.index(conversation.priority),
        "ch": conversation.channel,
        "k": conversation.kind,
        "sk": sorted(conversation.skills),
        "la": primary(conversation.language),
        "co": conversation.contact,
        "av": [],
        "seen": [],
    }
