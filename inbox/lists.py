"""Lists of conversations, newest activity first, from the index that every change keeps in its own slot."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass

from inbox.conversations import STATUSES, Conversation, load_many
from inbox.partitions import COUNT, Id, UnknownId, key, parse_id, tag
from inbox.store import Store

SCAN_LIMIT = 2_000
CURSOR = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows; empty = everything. *text* is looked for in subject, name and address."""

    team: str = ""
    agent: str = ""
    status: str = ""
    channel: str = ""
    text: str = ""

    def index(self) -> tuple[str, str]:
        """Return the index that cuts most: agent, then team, then channel, then status alone."""
        for letter, value in (("a", self.agent), ("t", self.team), ("c", self.channel)):
            if value:
                return letter, value
        return "s", ""

    def shows(self, conversation: Conversation) -> bool:
        """Tell whether a conversation belongs to the list."""
        wanted = (self.team, self.agent, self.status, self.channel)
        has = (conversation.team, conversation.agent, conversation.status, conversation.channel)
        if any(one and one != other for one, other in zip(wanted, has, strict=True)):
            return False
        if not self.text:
            return True
        words = f"{conversation.subject}\n{conversation.name}\n{conversation.address}\n{conversation.id}".casefold()
        return self.text.casefold() in words


@dataclass(frozen=True, slots=True)
class Page:
    """Conversations of one page; *next* is the cursor of the next one, "" at the end."""

    items: list[Conversation]
    next: str = ""


Place = tuple[int, Id]


class BadCursor(ValueError):
    """The cursor was not given out by a list."""


async def page(store: Store, wanted: Filter, cursor: str, limit: int) -> Page:
    """Return up to *limit* conversations after *cursor*. Raises `BadCursor`, `StoreError`.

    A cursor is the place in the index up to which was looked: what moves up meanwhile is not shown
    again, what is new stands on the first page.
    """
    after = parse_cursor(cursor)
    found: list[Conversation] = []
    scanned = 0
    while True:
        batch = await candidates(store, wanted, after, limit + 1)
        loaded = await load_many(store, [place for _, place in batch])
        for (score, place), conversation in zip(batch, loaded, strict=True):
            if conversation is not None and wanted.shows(conversation):
                if len(found) == limit and after is not None:
                    return Page(found, f"{after[0]}:{after[1]}")
                found.append(conversation)
            after = (score, place)
        scanned += len(batch)
        if len(batch) <= limit:
            return Page(found)
        if scanned > SCAN_LIMIT and after is not None:
            return Page(found, f"{after[0]}:{after[1]}")


def parse_cursor(cursor: str, letter: str = "c") -> Place | None:
    """Take a cursor of a list of conversations ("c"), deliveries ("d") or shunted payloads ("s") apart.

    Raises `BadCursor`.
    """
    if not cursor:
        return None
    score, _, name = cursor.partition(":")
    try:
        if not CURSOR.fullmatch(score):
            raise BadCursor("this is no cursor of this list")
        return int(score), parse_id(name, letter)
    except UnknownId:
        raise BadCursor("this is no cursor of this list") from None


async def candidates(store: Store, wanted: Filter, after: Place | None, count: int) -> list[Place]:
    """Return the next *count* (last activity, conversation) pairs of the best index, newest first."""
    letter, value = wanted.index()
    statuses: Sequence[str] = (wanted.status,) if wanted.status else STATUSES
    names = [f"i:s:{status}" if letter == "s" else f"i:{letter}:{value}:{status}" for status in statuses]
    return await ranked(store, names, "c", after, count)


async def ranked(store: Store, names: Sequence[str], letter: str, after: Place | None, count: int) -> list[Place]:
    """Return the next *count* members of the sorted sets *names* of all partitions, highest score first.

    Raises `StoreError`.
    """
    ranges: list[tuple[str, str, tuple[str | int, ...]]] = [("+inf", "-inf", ("LIMIT", 0, count))]
    if after is not None:
        # All of one moment, however many they are, and those before it: a limit over both could cut the moment short.
        ranges = [(str(after[0]), str(after[0]), ()), (f"({after[0]}", "-inf", ("LIMIT", 0, count))]
    asked = [(partition, name, part) for partition in range(COUNT) for name in names for part in ranges]
    replies = await asyncio.gather(
        *(
            store.do(tag(partition), "ZREVRANGEBYSCORE", key(partition, name), top, bottom, "WITHSCORES", *limit)
            for partition, name, (top, bottom, limit) in asked
        )
    )
    pool = [
        (int(float(score)), Id(letter, partition, member))
        for (partition, _, _), reply in zip(asked, replies, strict=True)
        for member, score in zip(reply[::2], reply[1::2], strict=True)
    ]
    if after is not None:
        pool = [one for one in pool if one < after]
    return heapq.nlargest(count, pool)
