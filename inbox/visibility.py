"""Per-team visibility: what belongs to a restricted team does not exist for anybody outside it.

`inbox.gate.hidden` says which teams those are for a caller. Routes that name one thing are guarded here, all in one
place; lists leave out what is hidden.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from aiohttp import web

from inbox import log as logbook
from inbox.api import Ask, Route, Work
from inbox.conversations import NoConversation
from inbox.log import Entry
from inbox.partitions import Id, UnknownId, key, parse_id, tag
from inbox.store import Store

Owner = Callable[[str], Awaitable[str | None]]
"""Finds the conversation that the thing of this id belongs to: "" if to none, None if that is not known (yet)."""

Owners = Mapping[tuple[str, str], Owner]
"""The owners of what paths name: by the first part of the path, and the name of the variable part."""

T = TypeVar("T")
NOWHERE = "0-0"
"""The key of a thing that cannot be: no log has an entry there."""


class Visibility:
    """The layer of the API."""

    def __init__(self, store: Store, owners: Owners) -> None:
        self._store = store
        self._owners = owners

    async def __call__(self, route: Route, ask: Ask, work: Work) -> web.StreamResponse:
        """Answer as if what is hidden from the caller were not there. Raises `StoreError`."""
        if not ask.hidden:
            return await work(ask)
        first = route.path.split("/")[1]
        for name in re.findall(r"\{(\w+)\}", route.path):
            owner = self._owners.get((first, name))
            if owner is not None and not await self._shown(ask, owner, ask.part(name)):
                return await self._absent(ask, name, work)
        return await work(ask)

    async def _absent(self, ask: Ask, name: str, work: Work) -> web.StreamResponse:
        """Answer as if there were nothing of this name."""
        asked = ask.part(name)
        letter, partition, _ = parse_id(asked, asked[0])
        ghost = str(Id(letter, partition, NOWHERE))
        response = await work(dataclasses.replace(ask, instead={name: ghost}))
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            response.body = response.body.replace(ghost.encode(), asked.encode())
        return response

    async def _shown(self, ask: Ask, owner: Owner, thing: str) -> bool:
        try:
            conversation = await owner(thing)
        except (UnknownId, LookupError):
            return True  # the handler says so itself
        if conversation is None:
            return False
        return not conversation or (await seen(self._store, ask.hidden, [conversation]))[0]


async def seen(store: Store, hidden: frozenset[str], conversations: Sequence[str]) -> list[bool]:
    """Tell of each conversation ("" = none) whether it may be seen. Raises `UnknownId`, `StoreError`."""
    if not hidden:
        return [True] * len(conversations)

    async def team(name: str) -> str:
        place = parse_id(name, "c")
        return await store.do(tag(place.partition), "HGET", key(place.partition, f"c:{place.key}"), "team") or ""

    known = {name: None for name in conversations if name}
    teams = dict(zip(known, await asyncio.gather(*map(team, known)), strict=True))
    return [not name or teams[name] not in hidden for name in conversations]


async def must_see(store: Store, ask: Ask, conversation: str) -> None:
    """Look whether the caller may know of a conversation that a body names. Raises `NoConversation`, `StoreError`.

    What is no id of one, or of none that is there, is for the handler to say.
    """
    with contextlib.suppress(UnknownId):
        if conversation and not (await seen(store, ask.hidden, [conversation]))[0]:
            raise NoConversation(conversation)


async def only_seen(store: Store, ask: Ask, found: Sequence[T], conversation: Callable[[T], str]) -> list[T]:
    """Return what of *found* the caller may see. Raises `StoreError`."""
    shown = await seen(store, ask.hidden, [conversation(one) for one in found])
    return [one for one, is_shown in zip(found, shown, strict=True) if is_shown]


async def itself(conversation: str) -> str:
    """Return the conversation that a conversation belongs to."""
    return conversation


def of_message(store: Store, verdict: Callable[[Id], Awaitable[Entry | None]]) -> Owner:
    """Return what finds a message's conversation; *verdict* finds the log entry by which it got there."""

    async def find(message: str) -> str | None:
        place = parse_id(message, "m")
        entry = (await logbook.fetch(store, [(place.partition, place.key)]))[0]
        if entry is None:
            return ""
        if entry.type not in logbook.INBOUND:
            return f"c{place.partition}-{entry.fields['c']}" if "c" in entry.fields else ""
        placed = await verdict(place)
        if placed is None:
            return None  # nobody knows yet whose it will be
        return f"c{placed.partition}-{placed.fields['c']}" if "c" in placed.fields else ""

    return find
