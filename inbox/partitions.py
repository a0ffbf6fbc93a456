"""Where things live: logical partitions, the ids that carry their partition, and the keys of a partition.

The partition's number is the Redis Cluster hash tag of all its keys, so any id finds its slot and
every script touches one slot. The number of partitions is fixed when a store is first used.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

COUNT = 64
OURS = "hl:"
"""What all keys begin with: a database may be shared."""

ID = re.compile(r"([a-z])(0|[1-9][0-9]{0,3})-([0-9a-zA-Z_-]{1,40})")
AT = re.compile(r"[0-9]{1,15}-[0-9]{1,15}")


class Id(NamedTuple):
    """An id taken apart: what it names ("c" conversation, "m" message, …), its partition, and its key there."""

    letter: str
    partition: int
    key: str

    def __str__(self) -> str:
        return f"{self.letter}{self.partition}-{self.key}"


class UnknownId(ValueError):
    """The text is no id of ours, or not of the kind that was asked for."""


def parse_id(text: str, letter: str) -> Id:
    """Take an id apart. Raises `UnknownId`."""
    match = ID.fullmatch(text)
    if match is None or match[1] != letter or int(match[2]) >= COUNT or (letter == "m" and not AT.fullmatch(match[3])):
        raise UnknownId(f"{text[:60]!r} is no {NAMES.get(letter, 'known')} id")
    return Id(letter, int(match[2]), match[3])


NAMES = {
    "c": "conversation",
    "m": "message",
    "k": "contact",
    "d": "delivery",
    "b": "bulk send",
    "s": "shunted",
    "t": "attachment",
    "w": "draft",
    "i": "invitation",
    "r": "response",
    "g": "merge",
}


def partition_of(address: str) -> int:
    """Return the partition that keeps everything of one customer's *address*."""
    return int.from_bytes(hashlib.blake2b(address.encode(), digest_size=4).digest()) % COUNT


def tag(partition: int) -> str:
    """Return the hash tag of a partition (without braces)."""
    return str(partition)


def key(partition: int, name: str) -> str:
    """Return the store's key for *name* in a partition."""
    return f"{OURS}{{{partition}}}:{name}"


def shared_key(group: str, name: str) -> str:
    """Return a key outside the partitions; everything of one *group* shares a slot."""
    return f"{OURS}{{{group}}}:{name}"


def digest(*parts: str) -> str:
    """Return 96 bits of a hash over *parts* as 24 hex digits: enough to tell all messages of a shop apart."""
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=12).hexdigest()


def new_key() -> str:
    """Return a random key for an id that derives from nothing."""
    return secrets.token_hex(10)


def before(first: str, second: str) -> bool:
    """Tell whether log position *first* ("ms-seq") comes before *second*."""
    return position(first) < position(second)


def position(text: str) -> tuple[int, int]:
    """Take a log position "ms-seq" apart."""
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)
