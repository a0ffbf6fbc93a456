"""Asks this machine's search index. Every question is one step of SQLite, which keeps no event loop waiting."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from inbox.generations import Generations
from inbox.grams import Query, expression
from inbox.partitions import Id, UnknownId, parse_id, position

log = logging.getLogger(__name__)

T = TypeVar("T")
Spot = tuple[int, str]
"""Last activity and id of a conversation."""

LOOKED = 5_000
"""So many candidates are compared in one step."""

BROAD = 4_000
"""A word that more messages have is looked for in conversations one after the other, the latest first."""

WALKED = 1_000
BUDGET = 0.12
"""Seconds after which a page that is not full is given out as it is."""

THREADS = 2
LATEST = f"ORDER BY 1 DESC LIMIT {LOOKED}"


class NoIndex(Exception):
    """There is no index on this machine (yet)."""


@dataclass(frozen=True, slots=True)
class Narrow:
    """What a search is narrowed to; empty = everything. *since* and *until* are in milliseconds, 0 = open."""

    team: str = ""
    agent: str = ""
    status: str = ""
    channel: str = ""
    kind: str = ""
    tag: str = ""
    direction: str = ""
    since: int = 0
    until: int = 0
    hidden: frozenset[str] = frozenset()

    def of_conversations(self) -> tuple[str, list[Any]]:
        """Return the SQL condition on a conversation `c`, and its values."""
        wanted = {
            name: value for name in ("team", "agent", "status", "channel", "kind") if (value := getattr(self, name))
        }
        conditions = [f"c.{name} = ?" for name in wanted]
        values: list[Any] = list(wanted.values())
        if self.tag:
            conditions.append("instr(c.tags, ?) > 0")
            values.append(f",{self.tag},")
        if self.hidden:
            conditions.append("c.team NOT IN (SELECT value FROM json_each(?))")
            values.append(_json(sorted(self.hidden)))
        return "".join(f" AND {one}" for one in conditions), values

    def of_messages(self) -> tuple[str, list[Any]]:
        """Return the SQL condition on a message `m`, and its values."""
        wanted: list[tuple[str, Any]] = []
        if self.direction:
            wanted.append(("m.direction = ?", self.direction))
        if self.since:
            wanted.append(("m.at >= ?", self.since))
        if self.until:
            wanted.append(("m.at < ?", self.until))
        return "".join(f" AND {one}" for one, _ in wanted), [value for _, value in wanted]


@dataclass(frozen=True, slots=True)
class Candidates:
    """SQL that yields numbers of messages that may fit, and its values."""

    sql: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found: its number in the index, its id, its conversation."""

    number: int
    place: Id
    conversation: str


@dataclass(frozen=True, slots=True)
class Hits:
    """What was found so far. *after* is where to go on, 0 at the end."""

    found: list[Hit]
    after: int


class Finder:
    """Reads the index of *folder*, in threads of its own."""

    def __init__(self, folder: Callable[[], Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, "search")
        self._local = threading.local()

    async def messages(self, query: Query, narrow: Narrow, after: int, count: int) -> Hits:
        """Return up to *count* messages behind number *after* (0 = from the beginning), the latest first.

        A page may hold fewer although there are more. Raises `NoIndex`.
        """
        return await self._run(lambda db: self._messages(db, query, narrow, after, count))

    async def conversations(
        self, query: Query, narrow: Narrow, after: Spot | None, count: int
    ) -> tuple[list[Spot], Spot | None]:
        """Return up to *count* conversations behind *after*, the latest activity first, and where to go on, if at all.

        They have every word: in any of their messages, in subject, names, addresses and ids. A page may hold fewer
        although there are more. Raises `NoIndex`.
        """
        return await self._run(lambda db: self._conversations(db, query, narrow, after, count))

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def ask() -> T:
            for last in (False, True):
                try:
                    return work(self._connection())
                except (sqlite3.Error, FileNotFoundError) as error:
                    self._forget()  # a generation that was swept away, or is being built
                    if last:
                        log.warning("the search index does not answer: %s", error)
                        raise NoIndex from None
            raise AssertionError("unreachable: the second round returns or raises")

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _connection(self) -> sqlite3.Connection:
        path = Generations(self._folder()).current()
        if path is None:
            self._forget()
            raise NoIndex
        inode = path.stat().st_ino
        if getattr(self._local, "path", None) != path or self._local.inode != inode:
            self._forget()
            db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0, check_same_thread=False)
            db.execute("PRAGMA mmap_size = 268435456")
            db.execute("PRAGMA cache_size = -8000")
            self._local.db, self._local.path, self._local.inode = db, path, inode
        db = self._local.db
        assert isinstance(db, sqlite3.Connection)
        return db

    def _forget(self) -> None:
        db = getattr(self._local, "db", None)
        self._local.db = self._local.path = None
        if db is not None:
            db.close()

    def _messages(self, db: sqlite3.Connection, query: Query, narrow: Narrow, after: int, count: int) -> Hits:
        deadline = self._clock() + BUDGET
        exact = self._exact(query)
        if exact is not None:
            return Hits([] if after else self._step(db, exact, (), narrow, 1)[0], 0)
        found: list[Hit] = []
        wanted = query.expression
        at = after or 1 << 62
        while True:
            candidates = Candidates(f"SELECT number FROM messages WHERE number < ? {LATEST}", (at,))
            if wanted:
                sql = f"SELECT rowid AS number FROM words WHERE words MATCH ? AND rowid < ? {LATEST}"
                candidates = Candidates(sql, (wanted, at))
            rows, at, looked = self._step(db, candidates, query.words, narrow, count - len(found))
            found += rows
            if len(found) >= count:
                return Hits(found, found[-1].number)
            if looked < LOOKED:
                return Hits(found, 0)
            if self._clock() > deadline:
                return Hits(found, at)

    def _step(
        self, db: sqlite3.Connection, candidates: Candidates, words: Sequence[str], narrow: Narrow, count: int
    ) -> tuple[list[Hit], int, int]:
        """Compare a batch of candidates; return those that fit, the least number looked at, and how many were."""
        conversations, wanted = narrow.of_conversations()
        messages, said = narrow.of_messages()
        fits = " AND instr(m.text, ?) > 0" * len(words)
        row = db.execute(
            f"WITH hit AS MATERIALIZED ({candidates.sql})"
            " SELECT (SELECT json_group_array(json_array(number, partition, ms || '-' || sequence, id)) FROM ("
            " SELECT m.number, m.partition, m.ms, m.sequence, c.id"
            " FROM hit CROSS JOIN messages AS m ON m.number = hit.number"
            " CROSS JOIN conversations AS c ON c.number = m.conversation"
            f" WHERE 1{messages}{fits}{conversations} ORDER BY m.number DESC LIMIT ?)),"
            " (SELECT coalesce(min(number), 0) FROM hit), (SELECT count(*) FROM hit)",
            [*candidates.values, *said, *words, *wanted, count],
        ).fetchone()
        found = [
            Hit(number, Id("m", partition, place), conversation)
            for number, partition, place, conversation in msgspec.json.decode(row[0])
        ]
        return sorted(found, key=lambda hit: -hit.number), int(row[1]), int(row[2])

    def _exact(self, query: Query) -> Candidates | None:
        """Return how to find the one message whose id is looked for; None if none is."""
        if len(query.words) != 1:
            return None
        try:
            place = parse_id(query.words[0], "m")
        except UnknownId:
            return None
        sql = "SELECT number FROM messages WHERE ms = ? AND sequence = ? AND partition = ?"
        return Candidates(sql, (*position(place.key), place.partition))

    def _conversations(
        self, db: sqlite3.Connection, query: Query, narrow: Narrow, after: Spot | None, count: int
    ) -> tuple[list[Spot], Spot | None]:
        deadline = self._clock() + BUDGET
        known: set[int] | None = None
        broad: list[str] = []
        for word in query.words:
            having = self._having(db, word)
            if having is None:
                broad.append(word)
            else:
                known = having if known is None else known & having
        found: list[Spot] = []
        at = after or (1 << 62, "")
        while True:
            rows, last, looked = self._walk(db, known, broad, narrow, at, count - len(found))
            found += rows
            if len(found) >= count:
                return found, found[-1]
            if looked < WALKED:
                return found, None
            at = last
            if self._clock() > deadline:
                return found, at

    def _having(self, db: sqlite3.Connection, word: str) -> set[int] | None:
        """Return the conversations that have *word*, None if they are too many to be worth it."""
        wanted = expression(word)
        if not wanted:
            return None
        numbers = db.execute(
            "SELECT json_group_array(rowid) FROM"
            f" (SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC LIMIT {BROAD + 1})",
            (wanted,),
        ).fetchone()[0]
        if numbers.count(",") >= BROAD:
            return None
        row = db.execute(
            "SELECT json_group_array(conversation) FROM ("
            " SELECT m.conversation FROM json_each(?) AS hit CROSS JOIN messages AS m ON m.number = hit.value"
            " WHERE instr(m.text, ?) > 0"
            " UNION SELECT c.number FROM (SELECT rowid FROM cards WHERE cards MATCH ?) AS hit"
            " CROSS JOIN conversations AS c ON c.number = hit.rowid WHERE instr(c.card, ?) > 0)",
            (numbers, word, wanted, word),
        ).fetchone()
        return set(msgspec.json.decode(row[0], type=list[int]))

    def _walk(
        self,
        db: sqlite3.Connection,
        known: set[int] | None,
        broad: Sequence[str],
        narrow: Narrow,
        at: Spot,
        count: int,
    ) -> tuple[list[Spot], Spot, int]:
        """Look at the next conversations; return those that fit, the last one looked at, and how many were."""
        condition, wanted = narrow.of_conversations()
        source, values = "conversations AS c", list[Any]()
        if known is not None:
            source = "json_each(?) AS hit CROSS JOIN conversations AS c ON c.number = hit.value"
            values = [_json(sorted(known))]
        looked = (
            f"SELECT c.number, c.last, c.id, c.card FROM {source} WHERE (c.last, c.id) < (?, ?){condition}"
            f" ORDER BY c.last DESC, c.id DESC LIMIT {WALKED}"
        )
        values += [*at, *wanted]
        fits = "".join(
            " AND (instr(c.card, ?) > 0 OR EXISTS"
            " (SELECT 1 FROM messages AS m WHERE m.conversation = c.number AND instr(m.text, ?) > 0))"
            for _ in broad
        )
        words = [word for word in broad for _ in range(2)]
        row = db.execute(
            f"WITH c AS MATERIALIZED ({looked}) SELECT"
            " (SELECT json_group_array(json_array(last, id)) FROM"
            f" (SELECT c.last, c.id FROM c WHERE 1{fits} ORDER BY c.last DESC, c.id DESC LIMIT ?)),"
            " (SELECT json_array(last, id) FROM c ORDER BY last, id LIMIT 1), (SELECT count(*) FROM c)",
            [*values, *words, count],
        ).fetchone()
        found = sorted(msgspec.json.decode(row[0], type=list[tuple[int, str]]), reverse=True)
        last = msgspec.json.decode(row[1], type=tuple[int, str]) if row[1] else at
        return found, last, int(row[2])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
