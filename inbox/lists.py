"""Lists of conversations, newest activity first, from the index that every change keeps in its own slot."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inbox.conversations import LATE, STATUSES, Conversation, load_many
from inbox.partitions import COUNT, Id, UnknownId, key, parse_id, tag
from inbox.store import Store

SCAN_LIMIT = 2_000
FEW = 6
LOWEST = -(1 << 62)
CURSOR = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list shows; empty = everything. *status* may be several, with commas between them.

    *text* is looked for in subject, name and address. What belongs to a team in *hidden* is not there, nor what *only*,
    if it is given, says no to. *late*: only where a clock has warned or is over, the first to be due first.
    """

    team: str = ""
    agent: str = ""
    status: str = ""
    channel: str = ""
    text: str = ""
    hidden: frozenset[str] = frozenset()
    only: Callable[[Conversation], bool] | None = None
    late: bool = False

    @property
    def statuses(self) -> tuple[str, ...]:
        """Every status that is shown."""
        return tuple(self.status.split(",")) if self.status else STATUSES

    def index(self) -> tuple[str, str]:
        """Return the index that cuts most: agent, then team, then channel, then status alone."""
        for letter, value in (("a", self.agent), ("t", self.team), ("c", self.channel)):
            if value:
                return letter, value
        return "s", ""

    def shows(self, conversation: Conversation) -> bool:
        """Tell whether a conversation belongs to the list."""
        if not self.narrows(conversation):
            return False
        if not self.text:
            return True
        words = f"{conversation.subject}\n{conversation.name}\n{conversation.address}\n{conversation.id}".casefold()
        return self.text.casefold() in words

    def narrows(self, conversation: Conversation) -> bool:
        """Tell whether a conversation belongs to the list, whatever its text is."""
        if conversation.team in self.hidden or conversation.status not in self.statuses:
            return False
        wanted = (self.team, self.agent, self.channel)
        has = (conversation.team, conversation.agent, conversation.channel)
        if any(one and one != other for one, other in zip(wanted, has, strict=True)):
            return False
        return self.only is None or self.only(conversation)


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
    if wanted.late:
        return await ranked(store, [LATE], "c", after, count)
    letter, value = wanted.index()
    names = [f"i:s:{status}" if letter == "s" else f"i:{letter}:{value}:{status}" for status in wanted.statuses]
    return await ranked(store, names, "c", after, count)


async def ranked(store: Store, names: Sequence[str], letter: str, after: Place | None, count: int) -> list[Place]:
    """Return the next *count* members of the sorted sets *names* of all partitions, highest score first.

    Of each set only a few are asked for, and more of those alone that may hold more of the best. Raises `StoreError`.
    """
    sets = [(partition, name) for partition in range(COUNT) for name in names]
    # All of one moment, however many they are: a limit over them and those before could cut the moment short.
    same = [(one, str(after[0]), str(after[0]), -1) for one in sets] if after is not None else []
    top = f"({after[0]}" if after is not None else "+inf"
    few = min(count, FEW)
    found = await _ranges(store, [*same, *((one, top, "-inf", few) for one in sets)], letter)
    level, found = found[: len(same)], found[len(same) :]
    beside = [one for each in level for one in each if after is None or one < after]
    best = _best(count, beside, found)
    least = best[-1][0] if len(best) == count else LOWEST
    short = [index for index, each in enumerate(found) if few < count and len(each) == few and each[-1][0] >= least]
    more = await _ranges(store, [(sets[index], top, "-inf", count) for index in short], letter)
    for index, each in zip(short, more, strict=True):
        found[index] = each
    return _best(count, beside, found) if short else best


def _best(count: int, beside: Sequence[Place], found: Sequence[Sequence[Place]]) -> list[Place]:
    return heapq.nlargest(count, [*beside, *(one for each in found for one in each)])


async def _ranges(
    store: Store, asked: Sequence[tuple[tuple[int, str], str, str, int]], letter: str
) -> list[list[Place]]:
    """Return for each ((partition, set), highest, lowest score, count) the members, highest score first."""
    replies = await store.each(
        [
            (
                tag(partition),
                ("ZREVRANGEBYSCORE", key(partition, name), top, bottom, "WITHSCORES", "LIMIT", 0, count),
            )
            for (partition, name), top, bottom, count in asked
        ]
    )
    return [
        [
            (int(float(score)), Id(letter, partition, member))
            for member, score in zip(reply[::2], reply[1::2], strict=True)
        ]
        for ((partition, _), *_), reply in zip(asked, replies, strict=True)
    ]
