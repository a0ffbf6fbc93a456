"""Bulk actions: the same work on many conversations, shown before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from aiohttp import web

from config.settings import Settings
from inbox.api import Ask, Problem, Route, answer, moment
from inbox.conversations import Conflict, Conversation, NoConversation, load_many
from inbox.lists import Filter
from inbox.partitions import Id, UnknownId, parse_id
from inbox.search import Search
from inbox.store import Store
from inbox.work import Actor, Desk, Refusal

MOST = 500
AT_ONCE = 16
PAGE = 200


class FilterBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which conversations, as in GET /conversations."""

    team: str = ""
    agent: str = ""
    status: Literal["open", "pending", "snoozed", "resolved", ""] = ""
    channel: str = ""
    q: str = ""


class BulkBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /conversations/bulk: *ids* or *filter*; *action* with what it takes; *preview* changes nothing."""

    action: Literal["assign", "resolve", "reopen", "snooze", "tag", "read"]
    ids: list[str] | msgspec.UnsetType = msgspec.UNSET
    filter: FilterBody | msgspec.UnsetType = msgspec.UNSET
    preview: bool = False
    team: str | msgspec.UnsetType = msgspec.UNSET
    agent: str | msgspec.UnsetType | None = msgspec.UNSET
    until: str = ""
    add: list[str] = []
    remove: list[str] = []


Act = Callable[[str], Awaitable[Conversation]]


@dataclass(frozen=True, slots=True)
class Bulk:
    """What the endpoint needs."""

    store: Store
    desk: Desk
    search: Search
    settings: Callable[[], Settings]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [Route("POST", "/conversations/bulk", "agent", self.run)]

    async def run(self, ask: Ask) -> web.Response:
        """Do one thing to many conversations, or say what that would change."""
        body = await ask.body(BulkBody)
        act = self._act(body, ask.actor)
        found, absent, more = await self._found(body, ask)
        if body.preview:
            ask.facts["unchanged"] = True
            items = [item(one.id, "would change" if changes(body, one, self.now()) else "unchanged") for one in found]
        else:
            turn = asyncio.Semaphore(AT_ONCE)

            async def do(one: Conversation) -> dict[str, Any]:
                async with turn:
                    return await self._done(one, act)

            items = list(await asyncio.gather(*map(do, found)))
        items += [item(name, "missing") for name in absent]
        counts: dict[str, int] = {}
        for one in items:
            counts[one["outcome"]] = counts.get(one["outcome"], 0) + 1
        return answer({"preview": body.preview, "items": items, "counts": counts, "more": more})

    async def _done(self, one: Conversation, act: Act) -> dict[str, Any]:
        try:
            after = await act(one.id)
        except (Refusal, Conflict) as error:
            return item(one.id, "refused", str(error) or "somebody else changed it at the same moment")
        except NoConversation:
            return item(one.id, "missing")
        return item(one.id, "changed" if after.version != one.version else "unchanged")

    async def _found(self, body: BulkBody, ask: Ask) -> tuple[list[Conversation], list[str], bool]:
        """Return the conversations, the ids that name none that the caller may see, and whether there are more."""
        if body.ids is msgspec.UNSET and body.filter is not msgspec.UNSET:
            one = body.filter
            agent = ask.actor.id if one.agent == "me" else one.agent
            wanted = Filter(one.team, agent, one.status, one.channel, one.q, ask.hidden)
            found, cursor = list[Conversation](), ""
            while len(found) < MOST:
                got = await self.search.page(wanted, cursor, min(PAGE, MOST - len(found)))
                found, cursor = found + got.items, got.next
                if not cursor:
                    break
            return found, [], bool(cursor)
        if body.ids is msgspec.UNSET or body.filter is not msgspec.UNSET:
            raise Problem(422, "The body does not fit", "give ids or a filter, not both")
        names = list(dict.fromkeys(body.ids))
        if not 0 < len(names) <= MOST:
            raise Problem(422, "The body does not fit", f"1 to {MOST} ids")
        places = {name: place for name in names if (place := known(name)) is not None}
        loaded = dict(zip(places, await load_many(self.store, list(places.values())), strict=True))
        shown = [one for one in loaded.values() if one is not None and one.team not in ask.hidden]
        there = {one.id for one in shown}
        return shown, [name for name in names if name not in there], False

    def _act(self, body: BulkBody, actor: Actor) -> Act:
        """Return what is done to each. Raises `Problem` 422."""
        desk, settings = self.desk, self.settings()
        match body.action:
            case "assign":
                team = None if body.team is msgspec.UNSET else body.team
                agent = None if body.agent is msgspec.UNSET else body.agent or ""
                if team is None and agent is None:
                    raise Problem(422, "The body does not fit", "give a team, an agent, or both")
                if team is not None and team not in settings.teams:
                    raise Problem(422, "There is no such team", f"teams are {', '.join(sorted(settings.teams))}")
                if agent and agent not in settings.agents:
                    raise Problem(422, "There is no such agent", f"agents are {', '.join(sorted(settings.agents))}")
                return lambda name: desk.assign(name, actor, team=team, agent=agent)
            case "resolve":
                return lambda name: desk.resolve(name, actor)
            case "reopen":
                return lambda name: desk.reopen(name, actor)
            case "snooze":
                until = moment(body.until)
                return lambda name: desk.snooze(name, actor, until)
            case "tag":
                if not body.add and not body.remove:
                    raise Problem(422, "The body does not fit", "give tags to add or to remove")
                return lambda name: desk.tags(name, actor, add=body.add, remove=body.remove)
            case _:
                return desk.read


def known(name: str) -> Id | None:
    """Return the place of a conversation, None if this is no id of one."""
    try:
        return parse_id(name, "c")
    except UnknownId:
        return None


def item(name: str, outcome: str, reason: str | None = None) -> dict[str, Any]:
    """Return what becomes of one conversation."""
    return {"id": name, "outcome": outcome, "reason": reason}


def changes(body: BulkBody, one: Conversation, now: int) -> bool:
    """Tell whether the action would change a conversation as it is."""
    match body.action:
        case "assign":
            team = one.team if body.team is msgspec.UNSET else body.team
            agent = (one.agent if team == one.team else "") if body.agent is msgspec.UNSET else body.agent or ""
            return (team, agent) != (one.team, one.agent)
        case "resolve":
            return one.status != "resolved"
        case "reopen":
            return one.status != "open"
        case "snooze":
            return one.status != "resolved" and moment(body.until) > now
        case "tag":
            return any(name not in one.tags for name in body.add) or any(name in one.tags for name in body.remove)
        case _:
            return one.last_inbound_at > one.read_at
