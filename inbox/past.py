"""What a person has had to do with us, on all channels: every conversation of their addresses, and one timeline of all.

Nothing is kept for this: each conversation names the one before it, and its timeline names positions in the log.
"""

from __future__ import annotations

import asyncio
import heapq
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from inbox import log as logbook
from inbox.contacts import addresses_of
from inbox.conversations import Conversation, load_many
from inbox.lists import BadCursor, Page, Place, parse_cursor
from inbox.partitions import Id, key, parse_id, partition_of, tag
from inbox.store import Script, Store
from inbox.timeline import MESSAGES, Item, stretch, where

PAST = Script.load(Path(__file__).parent / "scripts" / "past.lua")
MOST = 5_000
"""Conversations of one address that are looked at."""

CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15}):(c[0-9]{1,4}-[0-9a-zA-Z_-]{1,40}):([0-9]{1,9})")


class Had(NamedTuple):
    """A conversation that somebody had: when its last message came, its team, when its timeline got its latest element.

    Times are in milliseconds since 1970 UTC.
    """

    last: int
    place: Id
    team: str
    latest: int


class Moment(NamedTuple):
    """The place of an element in a timeline of several conversations: its position in the log, and where it stands."""

    ms: int
    seq: int
    conversation: str
    number: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}:{self.conversation}:{self.number}"


async def had(store: Store, fields: Mapping[str, str], hidden: frozenset[str] = frozenset()) -> list[Had]:
    """Return the conversations of a contact, the latest activity first; *fields* is its hash.

    Those of the teams in *hidden* are left out. Raises `StoreError`.
    """
    addresses = addresses_of(fields)
    replies = await asyncio.gather(*(_of_address(store, address) for address in addresses))
    found = {one.place: one for each in replies for one in each if one.team not in hidden}
    return sorted(found.values(), key=lambda one: (one.last, one.place), reverse=True)


async def hides(store: Store, fields: Mapping[str, str], hidden: frozenset[str]) -> bool:
    """Tell whether a contact has conversations, all of which belong to teams in *hidden*. Raises `StoreError`."""
    if not hidden:
        return False
    found = await had(store, fields)
    return bool(found) and all(one.team in hidden for one in found)


async def _of_address(store: Store, address: str) -> list[Had]:
    partition = partition_of(address)
    reply = await store.run(PAST, tag(partition), [key(partition, f"a:{address}")], (MOST,))
    return [
        Had(int(last), Id("c", partition, name), team, int(latest[1:].partition("-")[0] or 0))
        for name, last, team, latest in zip(reply[::4], reply[1::4], reply[2::4], reply[3::4], strict=True)
    ]


async def page(store: Store, found: Sequence[Had], cursor: str, limit: int) -> Page:
    """Return up to *limit* of the conversations that `had` has found, after *cursor*.

    Raises `BadCursor`, `StoreError`.
    """
    after = parse_cursor(cursor)
    left = [one for one in found if after is None or _place(one) < after]
    loaded = await load_many(store, [one.place for one in left[:limit]])
    last = left[limit - 1] if len(left) > limit else None
    return Page([one for one in loaded if one is not None], f"{last.last}:{last.place}" if last is not None else "")


def _place(one: Had) -> Place:
    return one.last, one.place


def parse_moment(cursor: str) -> Moment | None:
    """Take a cursor of a timeline apart, None for its beginning. Raises `BadCursor`."""
    if not cursor:
        return None
    match = CURSOR.fullmatch(cursor)
    if match is None:
        raise BadCursor("this is no cursor of this list")
    return Moment(int(match[1]), int(match[2]), match[3], int(match[4]))


async def timeline(
    store: Store, found: Sequence[Had], before: Moment | None, limit: int, marks: frozenset[str] = MESSAGES
) -> tuple[list[tuple[Conversation, Item]], str]:
    """Return up to *limit* elements of all conversations together, newest first, and the next cursor ("" at the end).

    Raises `StoreError`.
    """
    newest: list[tuple[Moment, str]] = []
    for one in sorted(found, key=lambda one: -one.latest):
        if len(newest) > limit and one.latest < newest[0][0].ms:
            break  # this one, and all that follow, ended before what was found
        for moment, text in await _elements(store, one, before, limit + 1, marks):
            heapq.heappush(newest, (moment, text))
            if len(newest) > limit + 1:
                heapq.heappop(newest)
    picked = sorted(newest, reverse=True)
    shown = picked[:limit]
    names = list(dict.fromkeys(moment.conversation for moment, _ in shown))
    loaded = await load_many(store, [parse_id(name, "c") for name in names])
    known = {name: one for name, one in zip(names, loaded, strict=True) if one is not None}
    places = [where(parse_id(moment.conversation, "c").partition, text) for moment, text in shown]
    entries = await logbook.fetch(store, places)
    items = [
        (known[moment.conversation], Item(moment.number, text[0], entry))
        for (moment, text), entry in zip(shown, entries, strict=True)
        if entry is not None and moment.conversation in known
    ]
    return items, str(shown[-1][0]) if len(picked) > limit else ""


async def _elements(
    store: Store, one: Had, before: Moment | None, count: int, marks: frozenset[str]
) -> list[tuple[Moment, str]]:
    """Return up to *count* of the newest elements of a conversation that come before a moment."""
    picked: list[tuple[Moment, str]] = []
    end: int | None = None
    while end != 0 and len(picked) < count:
        end, texts = await stretch(store, one.place, end)
        for number in range(len(texts) - 1, -1, -1):
            text = texts[number]
            if text[0] not in marks:
                continue
            ms, _, seq = where(0, text)[1].partition("-")
            moment = Moment(int(ms), int(seq), str(one.place), end + number)
            if before is None or moment < before:
                picked.append((moment, text))
    return picked[:count]
