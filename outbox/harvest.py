"""What a survey has kept, read for reports: part by part, as the store gives it, in little memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from inbox.conversations import pairs
from inbox.gathering import gathered
from inbox.partitions import Id, key, parse_id, tag
from inbox.store import Script, Store
from outbox.invitations import MOST_DUPLICATES, NUMBERS, Progress
from outbox.responses import Invitation
from outbox.tallies import Record

HARVEST = Script.load(Path(__file__).parent / "scripts" / "harvest.lua")
CHUNK = 100
"""Invitations of one script: it holds the store for a millisecond or two."""
AHEAD = 62 * 86_400_000
"""Milliseconds before a period in which what is sent in it may have been chosen: delays are shorter."""

Raw = tuple[str, str, str, str, str, str, str, str, str, list[Any] | str]


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """An invitation as harvest.lua tells it."""

    key: str
    body: str
    state: str
    sent: str
    reminded: str
    expires: str
    reason: str
    delivery: str
    delivered: str
    responses: list[Any] | str


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """What one script found: the *partition*, the JSON, and the states of deliveries elsewhere by their id."""

    partition: int
    text: bytes
    elsewhere: dict[str, str] = {}


decode = msgspec.json.Decoder(list[Kept]).decode


def harvest(store: Store, survey: str, since: int, until: int) -> AsyncIterator[tuple[float, bytes]]:
    """Give what the survey keeps of invitations sent from *since* to before *until* (ms), packed, and the share read.

    More may come; `unpacked` gives records, and whoever counts them looks at the times. Raises `StoreError`.
    """
    return gathered(lambda number: _partition(store, survey, number, max(0, since - AHEAD), until))


async def _partition(store: Store, survey: str, number: int, since: int, until: int) -> list[bytes]:
    ids = await store.do(tag(number), "ZRANGEBYSCORE", key(number, f"ivs:{survey}"), since, f"({until}")
    found = []
    for start in range(0, len(ids), CHUNK):
        arguments = (number, MOST_DUPLICATES, *ids[start : start + CHUNK])
        text = await store.run(HARVEST, tag(number), [key(number, "log")], arguments)
        elsewhere = await _elsewhere(store, text)
        found.append(msgspec.msgpack.encode(Chunk(number, text.encode(errors="surrogateescape"), elsewhere)))
    return found


async def _elsewhere(store: Store, text: str) -> dict[str, str]:
    """Return the states of deliveries that lie in other partitions than their invitations. Raises `StoreError`."""
    if '"?"' not in text:
        return {}
    names = [one.delivery for one in decode(text.encode(errors="replace")) if one.delivered == "?"]
    places = [parse_id(name, "d") for name in names]
    states = await store.each(
        [(tag(one.partition), ("HGET", key(one.partition, f"d:{one.key}"), "state")) for one in places]
    )
    return {name: state or "" for name, state in zip(names, states, strict=True)}


def unpacked(packed: bytes) -> Iterator[Record]:
    """Yield the records of one part that `harvest` gave."""
    chunk = msgspec.msgpack.decode(packed, type=Chunk)
    for one in decode(chunk.text):
        numbers = dict(zip(NUMBERS, (one.sent, one.reminded, one.expires), strict=True))
        moving: dict[str, Any] = {name: int(text or 0) for name, text in numbers.items()}
        moving |= {"state": one.state, "reason": one.reason, "delivery": one.delivery}
        place = Id("i", chunk.partition, one.key)
        invitation = msgspec.convert({**msgspec.json.decode(one.body), **moving, "id": str(place)}, Invitation)
        answers = one.responses if isinstance(one.responses, list) else []
        responses = tuple(
            Progress.of(Id("r", chunk.partition, name), pairs(fields)).response
            for name, fields in zip(answers[::2], answers[1::2], strict=True)
        )
        delivered = one.delivered if one.delivered != "?" else chunk.elsewhere.get(one.delivery, "")
        yield Record(invitation, responses, delivered)
