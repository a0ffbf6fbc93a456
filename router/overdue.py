"""What happens in assignment when time passes: silence, overflow, presences that end, shifts that begin.

What is due when stands in the store; the owner of one partition looks after it, so it outlives every process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from inbox.chores import Chore
from inbox.conversations import Conflict, Conversation, NoConversation, load
from inbox.leases import Held
from inbox.lists import Filter, page
from inbox.partitions import UnknownId, shared_key
from inbox.store import Store, StoreError
from inbox.wakes import Wakes
from inbox.work import HUB, Desk
from router.assignment import GROUP, SETTLE, UPGRADE, Assigner
from router.crews import Roster
from router.presence import BELL, HOME, Presences
from router.wording import span

log = logging.getLogger(__name__)

LOOK = 1_000
AGAIN = 5_000
BATCH = 200
PAGE = 100
SAID = {
    "silent": ("{agent} did not answer within {time}", "{agent} {time}内没有回复"),
    "offline": ("{agent} went offline", "{agent} 已离线"),
    "overflow": ("{team} had nobody free within {time}", "{team} {time}内没有空闲客服"),
}


class Overdue:
    """Does what is due in the agents' slot."""

    def __init__(
        self,
        store: Store,
        wakes: Wakes,
        desk: Desk,
        assigner: Assigner,
        presences: Presences,
        roster: Callable[[], Roster],
        now: Callable[[], int],
        locale: Callable[[], str] = lambda: "en",
    ) -> None:
        self._store = store
        self._desk = desk
        self._assigner = assigner
        self._presences = presences
        self._roster = roster
        self._now = now
        self._locale = locale
        self._chore = Chore(wakes, BELL, self.turn, now)
        self._looked: tuple[str, frozenset[str]] = ("", frozenset())

    async def follow(self, held: Held) -> None:
        """Run for as long as this process owns the partition that stands for the agents' slot."""
        if held.partition == HOME:
            await self._chore.follow(held)

    async def turn(self, held: Held) -> int:
        """Do everything that is due and hand out what can be; return when to look again. Raises `StoreError`."""
        handing = frozenset(crew.name for crew in self._roster().automatic())
        if self._looked != (held.epoch, handing):
            await self._take_over(handing)
            self._looked = (held.epoch, handing)
        due = shared_key(GROUP, "due")
        ready = await self._store.do(GROUP, "ZRANGEBYSCORE", due, "-inf", self._now(), "WITHSCORES", "LIMIT", 0, BATCH)
        for what, at in zip(ready[::2], ready[1::2], strict=True):
            again = await self._tried(what)
            arguments = (what, at, "" if again is None else again)
            await self._store.run(SETTLE, GROUP, [shared_key(GROUP, "of")], arguments)
        await self._assigner.mend()
        later = await self._store.do(GROUP, "ZRANGE", due, 0, 0, "WITHSCORES")
        return min(int(float(later[1])) if later else LOOK + self._now(), LOOK + self._now())

    async def _tried(self, what: str) -> int | None:
        try:
            return await self._do(what)
        except StoreError:
            raise
        except (NoConversation, UnknownId):
            return None
        except Conflict:
            return self._now() + LOOK
        except Exception:
            log.exception("what is due in assignment failed; it is tried again")
            return self._now() + AGAIN

    async def _do(self, what: str) -> int | None:
        """Do one thing that is due; return when it is due again, None = never."""
        kind, _, name = what.partition(" ")
        if kind == "p":
            return await self._presence(name)
        conversation = await load(self._store, name)
        return await (self._silence if kind == "s" else self._overflow)(conversation)

    async def _silence(self, conversation: Conversation) -> int | None:
        """Take an unanswered conversation from an agent who is silent or gone."""
        agent = await self._store.do(GROUP, "HGET", shared_key(GROUP, "of"), conversation.id)
        if not agent:
            return None
        if conversation.agent != agent:  # the conversation is being told; what comes of it is known in a moment
            told = not await self._store.do(GROUP, "HEXISTS", shared_key(GROUP, "handoff"), conversation.id)
            return None if told else self._now() + LOOK
        if conversation.status != "open":
            return None
        said = (await self._presences.all([agent]))[agent]
        gone = said.state == "offline" and said.said is not None and said.said.release
        crew = self._roster().crews.get(conversation.team)
        after = crew.reassign_after if crew is not None else 0
        if not gone:
            if not after:
                return None
            if not await self._somebody_else(conversation, agent):
                return self._now() + after
        why = "offline" if gone else "silent"
        await self._desk.assign(
            conversation.id,
            HUB,
            agent="",
            reason=self._say(why, agent=agent, time=after),
            more={"taken_from": agent, "because": why},
            only=lambda now: now.agent == agent and now.status == "open",
        )
        return None

    async def _somebody_else(self, conversation: Conversation, agent: str) -> bool:
        """Tell whether anybody else is there who could ever have the conversation, now or when they have room."""
        reason = await self._assigner.probe(conversation)
        could = ("room", "full", "silent")
        return reason is not None and any(
            name != agent and why.partition(":")[0] in could for name, why in reason.others
        )

    async def _overflow(self, conversation: Conversation) -> int | None:
        """Move a conversation that has waited too long to the team that steps in."""
        team = conversation.team
        crew = self._roster().crews.get(team)
        waits = await self._store.do(GROUP, "ZSCORE", shared_key(GROUP, f"wait:{team}"), conversation.id)
        if crew is None or not crew.overflow_to or not waits:
            return None
        await self._desk.assign(
            conversation.id,
            HUB,
            team=crew.overflow_to,
            agent="",
            reason=self._say("overflow", team=team, time=crew.overflow_after),
            more={"because": "overflow"},
            only=lambda now: now.team == team and not now.agent and now.status == "open",
        )
        return None

    async def _presence(self, agent: str) -> int | None:
        """End a presence: who said nothing more is gone, who was away is back."""
        said = await self._presences.said(agent)
        if said is None or not said.until:
            return None
        if said.until > self._now():
            return said.until
        if said.then == "offline":
            await self._presences.say(agent, "offline")
        else:
            await self._presences.forget(agent)
        return None

    async def _take_over(self, handing: frozenset[str]) -> None:
        """Bring what version 0.1 stored into today's shape, and queue who belongs to teams that hand out since now."""
        await self._store.run(UPGRADE, GROUP, [shared_key(GROUP, "of")], (self._now(),))
        name = shared_key(GROUP, "handing")
        known = frozenset(await self._store.do(GROUP, "SMEMBERS", name))
        for team in sorted(handing - known):
            await self._gather(team)
        for command, teams in (("SADD", handing - known), ("SREM", known - handing)):
            if teams:
                await self._store.do(GROUP, command, name, *sorted(teams))

    async def _gather(self, team: str) -> None:
        """Queue every conversation of a team that has no agent: until now people took them themselves."""
        for status in ("open", "pending"):
            cursor, more = "", True
            while more:
                found = await page(self._store, Filter(team=team, status=status), cursor, PAGE)
                for conversation in found.items:
                    if not conversation.agent:
                        await self._assigner.want(conversation)
                cursor, more = found.next, bool(found.next)

    def _say(self, what: str, *, agent: str = "", team: str = "", time: int = 0) -> str:
        chinese = self._locale().startswith("zh")
        return SAID[what][chinese].format(agent=agent, team=team, time=span(time, self._locale()))
