"""How far a follower of all logs is: one place in each partition's log, in a short text that only the hub reads.

Places are the log's own ids, which never go back, and no times: nodes of a cluster have clocks of their own.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from inbox.partitions import COUNT

FORMAT = 1
LONGEST = 2_000  # characters; an honest one has less than half
Place = tuple[int, int]
START: Place = (0, 0)


class BadBookmark(ValueError):
    """The text is no bookmark of ours."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The last entry that is done with in each partition; *at* is when it was written, in milliseconds since 1970 UTC.

    *within* = (partition, how many events of the entry that comes next there are done with already).
    """

    at: int
    places: tuple[Place, ...]
    within: tuple[int, int] | None = None

    def inside(self, partition: int, count: int) -> Bookmark:
        """Return the bookmark that stands behind *count* events of the next entry of *partition*."""
        return replace(self, within=(partition, count))


def encode(bookmark: Bookmark) -> str:
    """Return the text of a bookmark: letters, digits, - and _."""
    base = max((milliseconds for milliseconds, _ in bookmark.places), default=0)
    raw = bytearray((FORMAT,))
    _append(raw, base)
    _append(raw, bookmark.at)
    for milliseconds, sequence in bookmark.places:
        # Most entries are the only ones of their millisecond, and the partitions' last entries lie close together.
        _append(raw, 0 if (milliseconds, sequence) == START else 1 + ((base - milliseconds) << 1 | bool(sequence)))
        if sequence:
            _append(raw, sequence)
    for number in bookmark.within or ():
        _append(raw, number)
    raw += zlib.crc32(raw).to_bytes(4)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> Bookmark:
    """Return the bookmark that `encode` made *text* of. Raises `BadBookmark`."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadBookmark("this is no position of ours") from None
    if len(text) > LONGEST or len(raw) < 5 or raw[0] != FORMAT or zlib.crc32(raw[:-4]).to_bytes(4) != raw[-4:]:
        raise BadBookmark("this is no position of ours")
    numbers = _numbers(raw[1:-4])
    try:
        base, at = next(numbers), next(numbers)
        places = tuple(_place(base, first, numbers) for first in (next(numbers) for _ in range(COUNT)))
        rest = tuple(numbers)
    except (StopIteration, RuntimeError):
        raise BadBookmark("this position is cut off") from None
    if len(rest) not in (0, 2) or (rest and rest[0] >= COUNT):
        raise BadBookmark("this is no position of ours")
    return Bookmark(at, places, (rest[0], rest[1]) if rest else None)


def newest(places: Sequence[Place], others: Sequence[Place]) -> tuple[Place, ...]:
    """Return of each partition the later of two places."""
    return tuple(max(one, other) for one, other in zip(places, others, strict=True))


def _place(base: int, first: int, numbers: Iterator[int]) -> Place:
    if not first:
        return START
    return base - ((first - 1) >> 1), next(numbers) if (first - 1) & 1 else 0


def _append(raw: bytearray, number: int) -> None:
    """Append *number* in groups of seven bits, lowest first; the high bit says that more follow."""
    while number > 0x7F:
        raw.append(number & 0x7F | 0x80)
        number >>= 7
    raw.append(number)


def _numbers(raw: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
