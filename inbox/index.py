"""One generation of the search index: an SQLite file that is written by one process and read by many.

What was read of the logs is kept in the same file as what came of it, and written in the same transaction: a process
that dies in the middle has lost nothing and doubled nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inbox.conversations import Conversation
from inbox.findable import card
from inbox.grams import grams, joined
from inbox.partitions import COUNT

VERSION = "1"
"""Of what the file holds and how its texts were cut; another one is built anew."""

PATIENCE = 5.0
KNOWN = 50_000
STEP = 64
SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE places (partition INTEGER PRIMARY KEY, position TEXT NOT NULL);
CREATE TABLE conversations (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, contact TEXT NOT NULL DEFAULT '',
    channel TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL DEFAULT '', team TEXT NOT NULL DEFAULT '',
    agent TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT '', tags TEXT NOT NULL DEFAULT '',
    last INTEGER NOT NULL DEFAULT 0, card TEXT NOT NULL DEFAULT '', stale INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX conversations_by_time ON conversations (last DESC, id DESC);
CREATE INDEX conversations_of_contact ON conversations (contact);
CREATE INDEX conversations_stale ON conversations (number) WHERE stale;
CREATE TABLE messages (
    number INTEGER PRIMARY KEY, ms INTEGER NOT NULL, sequence INTEGER NOT NULL, partition INTEGER NOT NULL,
    conversation INTEGER NOT NULL, direction TEXT NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL
);
CREATE UNIQUE INDEX messages_by_place ON messages (ms, sequence, partition);
CREATE INDEX messages_of_conversation ON messages (conversation);
CREATE VIRTUAL TABLE words USING fts5(grams, content='', detail=none, columnsize=0, tokenize='ascii');
CREATE VIRTUAL TABLE cards USING fts5(grams, content='', detail=none, columnsize=0, tokenize='ascii');
"""


@dataclass(frozen=True, slots=True)
class Document:
    """A message that can be found: its place in the logs, its conversation, and its words."""

    partition: int
    ms: int
    sequence: int
    conversation: str
    direction: str
    at: int
    parts: Sequence[str]


class Index:
    """A file that is written. Every method but `commit` belongs to a transaction that `commit` ends."""

    def __init__(self, path: Path) -> None:
        """Open *path*, or make it. Raises `sqlite3.Error`, OSError."""
        self.path = path
        self._db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        self._db.execute("PRAGMA page_size = 8192")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA cache_size = -16000")
        self._db.execute("PRAGMA secure_delete = ON")
        path.chmod(0o600)
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone():
            self._db.executescript(f"BEGIN; {SCHEMA} INSERT INTO facts VALUES ('version', '{VERSION}'); COMMIT;")
        self._numbers: dict[str, int] = {}

    def fact(self, name: str) -> str:
        """Return what is kept under *name*, "" if nothing is."""
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else ""

    def keep(self, **facts: str | int) -> None:
        """Keep *facts*."""
        self._begin()
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", [(k, str(v)) for k, v in facts.items()])

    def places(self) -> list[str]:
        """Return up to where each partition's log was read."""
        known = dict(self._db.execute("SELECT partition, position FROM places").fetchall())
        return [known.get(partition, "0-0") for partition in range(COUNT)]

    def mark(self, places: Mapping[int, str]) -> None:
        """Remember up to where logs were read."""
        self._begin()
        self._db.executemany("INSERT OR REPLACE INTO places VALUES (?, ?)", places.items())

    def add(self, one: Document) -> None:
        """Make a message findable; one that is known already only moves to its conversation."""
        self._begin()
        number = self._number(one.conversation)
        where = (one.ms, one.sequence, one.partition)
        known = self._db.execute(
            "SELECT number, conversation FROM messages WHERE ms = ? AND sequence = ? AND partition = ?", where
        ).fetchone()
        if known is not None:
            if known[1] != number:
                self._db.execute("UPDATE messages SET conversation = ? WHERE number = ?", (number, known[0]))
            return
        text = joined(one.parts)
        written = self._db.execute(
            "INSERT INTO messages (ms, sequence, partition, conversation, direction, at, text) VALUES (?,?,?,?,?,?,?)",
            (*where, number, one.direction, one.at, text),
        )
        self._db.execute("INSERT INTO words (rowid, grams) VALUES (?, ?)", (written.lastrowid, grams(text)))

    def touch(self, conversation: str) -> None:
        """Have a conversation read again: something about it has changed."""
        self._begin()
        self._db.execute("UPDATE conversations SET stale = 1 WHERE number = ?", (self._number(conversation),))

    def touch_contact(self, contact: str) -> None:
        """Have the conversations of a contact read again."""
        self._begin()
        self._db.execute("UPDATE conversations SET stale = 1 WHERE contact = ?", (contact,))

    def stale(self, count: int) -> list[str]:
        """Return up to *count* conversations that are to be read again."""
        rows = self._db.execute("SELECT id FROM conversations WHERE stale LIMIT ?", (count,)).fetchall()
        return [row[0] for row in rows]

    def describe(self, one: Conversation, contact: Mapping[str, str]) -> None:
        """Take down how a conversation stands."""
        self._begin()
        number = self._number(one.id)
        text = joined(card(one, contact))
        self._card(number, text)
        tags = f",{','.join(one.tags)}," if one.tags else ""
        self._db.execute(
            "UPDATE conversations SET contact = ?, channel = ?, kind = ?, team = ?, agent = ?, status = ?, tags = ?,"
            " last = ?, card = ?, stale = 0 WHERE number = ?",
            (
                *(one.contact, one.channel, one.kind, one.team, one.agent, one.status, tags),
                *(one.last_message_at, text, number),
            ),
        )

    def forget(self, conversation: str) -> None:
        """Remove a conversation and everything of it."""
        self._begin()
        number = self._number(conversation)
        rows = self._db.execute("SELECT number, text FROM messages WHERE conversation = ?", (number,)).fetchall()
        gone = "INSERT INTO words (words, rowid, grams) VALUES ('delete', ?, ?)"
        self._db.executemany(gone, [(message, grams(text)) for message, text in rows])
        self._db.execute("DELETE FROM messages WHERE conversation = ?", (number,))
        self._card(number, "")
        self._db.execute("DELETE FROM conversations WHERE number = ?", (number,))
        self._numbers.pop(conversation, None)
        self.keep(unsettled="all")

    def settle(self) -> bool:
        """Do a step of bringing the grams of what was forgotten out of the file; tell whether there is more to do."""
        step = self.fact("unsettled")
        if not step:
            return False
        self._begin()
        before = self._db.total_changes
        for table in ("words", "cards"):
            # FTS5: a negative number has all segments merged, positive ones go on with that in steps of so many pages.
            rank = -STEP if step == "all" else STEP
            self._db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('merge', ?)", (rank,))
        more = step == "all" or self._db.total_changes - before > 2  # a step that does nothing changes one row
        self.keep(unsettled="some" if more else "")
        self.commit()
        if not more:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return more

    def messages(self) -> int:
        """Return how many messages can be found, nearly: what was forgotten is counted."""
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM messages").fetchone()[0])

    def commit(self) -> None:
        """End the transaction: all of it is there from now on, also after a crash."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Drop what was not committed."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._numbers.clear()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _number(self, conversation: str) -> int:
        known = self._numbers.get(conversation)
        if known is not None:
            return known
        self._db.execute("INSERT OR IGNORE INTO conversations (id) VALUES (?)", (conversation,))
        row = self._db.execute("SELECT number FROM conversations WHERE id = ?", (conversation,)).fetchone()
        if len(self._numbers) > KNOWN:
            self._numbers.clear()
        self._numbers[conversation] = int(row[0])
        return int(row[0])

    def _card(self, number: int, text: str) -> None:
        """Replace the words of a conversation itself, if they have changed."""
        old = self._db.execute("SELECT card FROM conversations WHERE number = ?", (number,)).fetchone()[0]
        if old == text:
            return
        if old:
            self._db.execute("INSERT INTO cards (cards, rowid, grams) VALUES ('delete', ?, ?)", (number, grams(old)))
        if text:
            self._db.execute("INSERT INTO cards (rowid, grams) VALUES (?, ?)", (number, grams(text)))


def fresh(path: Path, facts: Iterable[tuple[str, str]]) -> Index:
    """Make a new file that knows *facts*. Raises `sqlite3.Error`, OSError."""
    index = Index(path)
    index.keep(**dict(facts))
    index.commit()
    return index
