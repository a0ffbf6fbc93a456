"""Search: what the index finds, read from the store and shown as it stands there; and how the index of each machine is.

The index only proposes. Whether a caller may see a conversation, and what a message says, the store tells.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from prometheus_client.core import GaugeMetricFamily

from inbox import lists
from inbox import log as logbook
from inbox.conversations import Change, Conversation, commit, load_many, pairs
from inbox.findable import Piece, parts, snippet
from inbox.finding import Finder, Hits, Narrow, NoIndex
from inbox.grams import parse
from inbox.indexer import STATES, WANTED, Standing
from inbox.lists import Filter, Page, parse_cursor
from inbox.log import Entry
from inbox.partitions import parse_id
from inbox.store import Store

STALE = 15_000
"""An index that has not been heard of for so many milliseconds has no keeper."""

ROUNDS = 4
LATEST = 30
AHEAD = 10**15 - 1
"""Milliseconds since 1970 UTC that no conversation will see: a cursor at the beginning."""

GAUGES = {
    "messages": ("huiliu_search_messages", "Messages in the search index"),
    "behind": ("huiliu_search_behind_seconds", "Age of the oldest log entry that the search index has not read"),
    "progress": ("huiliu_search_progress", "How much of the search index is built, from 0 to 1"),
    "size": ("huiliu_search_bytes", "Bytes of the search index on the disk"),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A message that was found, its conversation as it stands, and the place of the hit."""

    entry: Entry
    conversation: Conversation
    snippet: list[Piece]


class Search:
    """Answers searches of one hub process. *folder* is where this machine's index is, *hurry* has it kept."""

    def __init__(
        self, store: Store, folder: Callable[[], Path], hurry: Callable[[], None], now: Callable[[], int]
    ) -> None:
        self._store = store
        self._finder = Finder(folder)
        self._hurry = hurry
        self._now = now

    async def messages(
        self, text: str, narrow: Narrow, after: int, limit: int, shown: Callable[[Conversation], bool]
    ) -> tuple[list[Found], int]:
        """Return up to *limit* messages with the words of *text* behind place *after*, and where to go on (0 = no).

        *shown* tells of a conversation whether it belongs there, as it stands now. Raises `BadQuery`, `NoIndex`,
        `StoreError`.
        """
        self._hurry()
        query = parse(text)
        found: list[Found] = []
        for _ in range(ROUNDS):
            hits = await self._finder.messages(query, narrow, after, limit - len(found))
            for entry, conversation in await self._read(hits):
                if shown(conversation):
                    found.append(Found(entry, conversation, snippet(parts(entry), query)))
            after = hits.after
            if not after or len(found) >= limit:
                break
        return found, after

    async def conversations(self, wanted: Filter, cursor: str, limit: int) -> Page:
        """Return up to *limit* conversations with the words of `wanted.text`, as `inbox.lists.page` does.

        Raises `BadCursor`, `BadQuery`, `NoIndex`, `StoreError`.
        """
        self._hurry()
        query = parse(wanted.text)
        status = wanted.status if len(wanted.statuses) == 1 else ""
        narrow = Narrow(wanted.team, wanted.agent, status, wanted.channel, hidden=wanted.hidden)
        place = parse_cursor(cursor)
        after = (place[0], str(place[1])) if place is not None else None
        found: list[Conversation] = []
        for _ in range(ROUNDS):
            spots, after = await self._finder.conversations(query, narrow, after, limit - len(found))
            loaded = await load_many(self._store, [parse_id(name, "c") for _, name in spots])
            found += [one for one in loaded if one is not None and wanted.narrows(one)]
            if after is None or len(found) >= limit:
                break
        return Page(found, f"{after[0]}:{after[1]}" if after is not None else "")

    async def page(self, wanted: Filter, cursor: str, limit: int) -> Page:
        """Return a page of the list of conversations, by `conversations` if there are words to look for.

        Without an index only what stands in conversations themselves is looked at, and so are the latest ones on the
        first page, of which the index may not know yet. Raises `BadCursor`, `BadQuery`, `StoreError`.
        """
        if wanted.text.strip() and not wanted.late:
            with contextlib.suppress(NoIndex):
                found = await self.conversations(wanted, cursor, limit)
                return found if cursor else self._with_latest(found, await self._latest(wanted), limit)
        return await lists.page(self._store, wanted, cursor, limit)

    def _with_latest(self, found: Page, latest: list[Conversation], limit: int) -> Page:
        """Put those of *latest* first that the index does not know; what they push off is on the next page."""
        known = {one.id for one in found.items}
        end = found.items[-1].last_message_at if found.next and found.items else -1
        # Whom the index knows, and who is newer than the last one found, has been found.
        unknown = [one for one in latest if one.id not in known and one.last_message_at > end][: max(1, limit // 2)]
        kept = found.items[: limit - len(unknown)]
        following = found.next
        if len(kept) < len(found.items):
            at = kept[-1].last_message_at if kept else AHEAD
            following = f"{at}:{[*unknown, *kept][-1].id}"
        return Page(sorted([*unknown, *kept], key=lambda one: -one.last_message_at), following)

    async def _latest(self, wanted: Filter) -> list[Conversation]:
        places = await lists.candidates(self._store, wanted, None, LATEST)
        loaded = await load_many(self._store, [place for _, place in places])
        return [one for one in loaded if one is not None and wanted.shows(one)]

    async def _read(self, hits: Hits) -> list[tuple[Entry, Conversation]]:
        """Read what was found from the store; what is not there any more is left out."""
        names = list(dict.fromkeys(hit.conversation for hit in hits.found))
        entries, loaded = await asyncio.gather(
            logbook.fetch(self._store, [(hit.place.partition, hit.place.key) for hit in hits.found]),
            load_many(self._store, [parse_id(name, "c") for name in names]),
        )
        conversations = {one.id: one for one in loaded if one is not None}
        return [
            (entry, conversations[hit.conversation])
            for hit, entry in zip(hits.found, entries, strict=True)
            if entry is not None and hit.conversation in conversations
        ]

    async def standings(self) -> dict[str, Standing]:
        """Return how the index of each machine stands. Raises `StoreError`."""
        said = pairs(await self._store.do("hub", "HGETALL", STATES))
        now = self._now()
        known = {machine: msgspec.json.decode(text, type=Standing) for machine, text in said.items()}
        return {
            machine: msgspec.structs.replace(one, state="unkept") if one.at + STALE < now else one
            for machine, one in sorted(known.items())
        }

    async def rebuild(self) -> None:
        """Have every machine build its index anew, while the old one answers. Raises `StoreError`."""
        self._hurry()
        await self._store.do("hub", "SET", WANTED, self._now())

    async def metrics(self) -> list[GaugeMetricFamily]:
        """Return how the indexes stand, for Prometheus. Raises `StoreError`."""
        known = await self.standings()
        families = []
        for field, (name, text) in GAUGES.items():
            family = GaugeMetricFamily(name, text, labels=["machine"])
            for machine, one in known.items():
                family.add_metric([machine], float(getattr(one, field)))
            families.append(family)
        return families

    def close(self) -> None:
        """Let the threads go."""
        self._finder.close()


async def forget(store: Store, conversation_ids: Iterable[str], now: int) -> None:
    """Have the search index of every machine remove these conversations with all their messages, for good.

    Call it after they were removed from the store, or with their contact; doing it twice changes nothing. What is
    written into such a conversation later is found again. Raises `UnknownId`, `StoreError`.
    """
    for name in conversation_ids:
        place = parse_id(name, "c")
        await commit(store, place.partition, Change(log=[("", ["t", logbook.FORGOTTEN, "c", place.key, "at", now])]))
