"""Conversations as reports read them: only what they count, many at once, in little memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from inbox import course as courses
from inbox.conversations import STATUSES
from inbox.gathering import gathered
from inbox.partitions import key, tag
from inbox.store import Script, Store

CASES = Script.load(Path(__file__).parent / "scripts" / "cases.lua")
CHUNK = 200
"""Conversations of one script: it holds the store for a millisecond or two."""
EARLIER = 31
"""Days before the period in which a conversation must have had its last message, to be looked at, if it is resolved."""


class Case(msgspec.Struct, frozen=True, array_like=True):
    """A conversation; fields as in `inbox.conversations.Conversation`, numbers as text, "" for what is not there."""

    channel: str
    team: str
    agent: str
    tags: str
    stage: str
    status: str
    sla: str
    opened: str
    replied: str
    wrote: str
    resolved: str
    course: str

    def steps(self) -> tuple[courses.Step, ...]:
        """Return its course, derived where it was kept before there were courses."""
        if self.course:
            return courses.steps(self.course)
        numbers = (int(text or 0) for text in (self.opened, self.replied, self.wrote, self.resolved))
        return courses.steps(courses.derived(self.status, *numbers))


decode = msgspec.json.Decoder(list[Case]).decode


def cases(store: Store, since: int, only: Mapping[str, str]) -> AsyncIterator[tuple[float, bytes]]:
    """Give conversations that may have done something since *since* (ms), as JSON for `decode`, with the share read.

    Whatever is not resolved is among them, and what is resolved and had its last message since `EARLIER` days before.
    *only* (team, agent, channel) limits what is read. Raises `StoreError`.
    """
    oldest = max(0, since - EARLIER * 86_400_000)
    return gathered(lambda number: _partition(store, number, oldest, only))


async def _partition(store: Store, number: int, oldest: int, only: Mapping[str, str]) -> list[bytes]:
    letter, value = next(((one[0], only[one]) for one in ("agent", "team", "channel") if only.get(one)), ("s", ""))
    names = [f"i:s:{status}" if letter == "s" else f"i:{letter}:{value}:{status}" for status in STATUSES]
    ids: list[str] = []
    for status, name in zip(STATUSES, names, strict=True):
        least = oldest if status == "resolved" else "-inf"
        ids += await store.do(tag(number), "ZRANGEBYSCORE", key(number, name), least, "+inf")
    found = []
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        reply = await store.run(CASES, tag(number), [key(number, "log")], part)
        found.append(reply.encode(errors="surrogateescape"))
    return found
