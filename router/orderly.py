"""Does what agents order from where they work: note, assign, resolve, snooze, tag, take, next, status, approve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from config.enrolment import Reach
from config.faults import listed
from config.settings import Settings
from inbox.conversations import PRIORITIES, Conversation, NoConversation, load
from inbox.lists import Filter, page
from inbox.partitions import UnknownId
from inbox.placing import Origin
from inbox.store import Store
from inbox.work import Actor, Desk, Refusal
from outbox.drafts import Drafts, NoDraft
from outbox.hands import Hands
from outbox.notices import Tongue, customer
from outbox.notifier import Notifier
from router import instructions
from router.instructions import Instruction
from router.staff_wording import say

SHOWN = 10
LOOK = 100
HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Told:
    """Who orders: *agent*, in *conversation* ("" = none), by the message *origin*, to be answered by *reach*."""

    agent: str
    conversation: str
    origin: Origin
    reach: Reach
    tongue: Tongue

    def say(self, name: str, /, **values: object) -> str:
        """Return a sentence in the agent's language."""
        return say(name, self.tongue.language, **values)


class Orderly:
    """Carries out commands. Doing one again changes nothing."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        drafts: Drafts,
        hands: Hands,
        notifier: Notifier,
        settings: Callable[[], Settings],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._desk = desk
        self._drafts = drafts
        self._hands = hands
        self._notifier = notifier
        self._settings = settings
        self._now = now

    async def do(self, told: Told, asked: Instruction) -> str:
        """Carry out *asked*; return what to say to the agent, "" if that is said already. Raises `StoreError`."""
        name, argument, conversation = asked.name, asked.argument, told.conversation
        if name.startswith("press "):
            name, conversation, argument = pressed(asked)
        free: dict[str, Callable[[Told, str], Awaitable[str]]] = {
            "next": self._next,
            "status": self._status,
            "approve": self._approve,
            "discard": self._discard,
        }
        bound: dict[str, Callable[[Told, Conversation, str], Awaitable[str]]] = {
            "note": self._note,
            "assign": self._assign,
            "resolve": self._resolve,
            "reopen": self._reopen,
            "snooze": self._snooze,
            "tag": self._tag,
            "take": self._take,
        }
        try:
            if name in free:
                return await free[name](told, argument)
            if name not in bound:
                return told.say("no_conversation")
            return await bound[name](told, await load(self._store, conversation), argument)
        except (NoConversation, UnknownId):
            return told.say("no_conversation")
        except Refusal as error:
            return told.say("refused", why=error)

    def _actor(self, told: Told) -> Actor:
        return Actor("agent", told.agent, str(self._settings().agents[told.agent].name))

    async def _code(self, told: Told, known: Conversation) -> str:
        if told.reach.kind == "email":  # a mail names its conversation, and says nothing of the others
            return await self._hands.code(told.agent, known.id, self._now())
        return await self._hands.chose(told.agent, known.id, self._now())

    async def _note(self, told: Told, known: Conversation, text: str) -> str:
        source = told.origin.address, told.origin.entry.id
        await self._desk.note(known.id, self._actor(told), text, source=source)
        return told.say("noted", code=await self._code(told, known))

    async def _assign(self, told: Told, known: Conversation, text: str) -> str:
        settings = self._settings()
        teams = {str(one.name).lower(): name for name, one in settings.teams.items()}
        agents = {str(one.name).lower(): name for name, one in settings.agents.items()}
        wanted = text.strip().lstrip("@").lower()
        team = wanted if wanted in settings.teams else teams.get(wanted)
        agent = None if team else wanted if wanted in settings.agents else agents.get(wanted)
        if team is None and agent is None:
            return told.say("no_such", to=text, known=listed([*settings.teams, *settings.agents]))
        code = await self._code(told, known)
        await self._desk.assign(known.id, self._actor(told), team=team, agent=agent)
        named = settings.teams[team].name if team else settings.agents[agent or ""].name
        return told.say("assigned", code=code, to=named)

    async def _resolve(self, told: Told, known: Conversation, _: str) -> str:
        await self._desk.resolve(known.id, self._actor(told))
        return told.say("resolved", code=await self._code(told, known))

    async def _reopen(self, told: Told, known: Conversation, _: str) -> str:
        await self._desk.reopen(known.id, self._actor(told))
        return told.say("reopened", code=await self._code(told, known))

    async def _snooze(self, told: Told, known: Conversation, text: str) -> str:
        lasting = instructions.span(text)
        if not lasting:
            return told.say("no_span", text=text, p=self._settings().agents_reply.prefix)
        until = told.origin.entry.ms + lasting
        await self._desk.snooze(known.id, self._actor(told), until)
        return told.say("snoozed", code=await self._code(told, known), time=told.tongue.moment(until))

    async def _tag(self, told: Told, known: Conversation, text: str) -> str:
        add, remove = instructions.tags(text)
        done = await self._desk.tags(known.id, self._actor(told), add=add, remove=remove)
        return told.say("tagged", code=await self._code(told, known), tags=", ".join(done.tags) or "–")

    async def _take(self, told: Told, known: Conversation, _: str) -> str:
        if known.agent != told.agent:
            await self._desk.assign(known.id, self._actor(told), agent=told.agent)
        return told.say("taken", code=await self._code(told, known))

    async def _next(self, told: Told, _: str) -> str:
        """Take the most urgent conversation that waits in the agent's teams, the oldest of them, and show it."""
        message = told.origin.message_id
        for known in await self._waiting(told.agent):
            target = await self._hands.picked(told.agent, message, known.id)
            done = await self._desk.assign(
                target,
                self._actor(told),
                agent=told.agent,
                only=lambda now: now.agent in ("", told.agent) and now.status == "open",
            )
            if done.agent == told.agent:
                await self._notifier.show(done, told.agent, told.reach, f"next:{message}")
                return ""
            await self._hands.picked(told.agent, "", "")
        return told.say("none_next")

    async def _waiting(self, agent: str) -> list[Conversation]:
        found: list[Conversation] = []
        for team, one in self._settings().teams.items():
            if agent in one.members:
                listed_ = await page(self._store, Filter(team=team, status="open"), "", LOOK)
                found += [known for known in listed_.items if not known.agent]
        return sorted(found, key=lambda known: (-PRIORITIES.index(known.priority), known.opened_at))

    async def _status(self, told: Told, _: str) -> str:
        found = (await page(self._store, Filter(agent=told.agent), "", LOOK)).items
        mine = [known for known in found if known.status != "resolved"]
        lines = [told.say("status", count=len(mine))]
        for known in mine[:SHOWN]:
            code = await self._hands.code(told.agent, known.id, self._now())
            words = " ".join((known.subject, *known.tags)).strip()
            lines.append(told.say("status_line", code=code, name=customer(known), status=known.status, words=words))
        return "\n".join(lines)

    async def _approve(self, told: Told, text: str) -> str:
        try:
            await self._drafts.approve(text.strip(), self._actor(told), self._now())
        except (NoDraft, UnknownId):
            return told.say("no_draft")
        return told.say("approved")

    async def _discard(self, told: Told, text: str) -> str:
        try:
            await self._drafts.discard(text.strip(), self._actor(told), self._now())
        except (NoDraft, UnknownId):
            return told.say("no_draft")
        return told.say("discarded")


def pressed(asked: Instruction) -> tuple[str, str, str]:
    """Return (command, conversation, argument) of a button that was pressed."""
    name, target = asked.name.removeprefix("press "), asked.argument
    if name == "snooze":
        return name, target, "1h"
    return name, target, target if name in ("approve", "discard") else ""
