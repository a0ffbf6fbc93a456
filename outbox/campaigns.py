"""Bulk sends in the store: what they are and how far they are. Everything of one is in one slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec

from config.campaigns import CampaignFile
from inbox.conversations import pairs
from inbox.leases import Fenced, Held
from inbox.lists import parse_cursor, ranked
from inbox.partitions import Id, digest, key, new_key, parse_id, partition_of, tag
from inbox.store import Script, Store
from inbox.wakes import Wakes
from outbox.obstacles import PAUSED, Obstacle, Sending

CAMPAIGN = Script.load(Path(__file__).parent / "scripts" / "campaign.lua")
DUE = "bdue"
BELL = "b"
CHUNK = 200
ELSEWHERE = "…"
PAUSE = 5_000
"""Milliseconds after which a message of a paused bulk send is looked at again."""

State = Literal["draft", "preparing", "running", "paused", "braked", "stopped", "done"]
STATES: tuple[State, ...] = get_args(State)
OUTCOMES = ("owed", "sent", "delivered", "read", "failed", "uncertain", "suppressed")

_WHY = {
    "paused": {"zh": "群发已暂停", "en": "the bulk send is paused"},
    "stopped": {"zh": "群发已停止", "en": "the bulk send was stopped"},
}


class NoCampaign(LookupError):
    """There is no bulk send with this id."""


class NotThen(ValueError):
    """The bulk send's state does not allow this."""


class Row(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One recipient: the *address*, the *channel* that carries it, and what the text needs to know."""

    channel: str
    address: str
    contact: str = ""
    name: str = ""
    language: str = ""
    handle: str = ""
    values: dict[str, str] = {}


class Campaign(msgspec.Struct, frozen=True):
    """A bulk send. Times are in milliseconds since 1970 UTC.

    *counts* are by outcome, and by reason ("x:…") for who was left out. *written* is its definition as it came, but
    for the text of a list. *base* is how many had been tried, had failed and had opted out when somebody went on after
    a brake.
    """

    id: str
    state: State
    written: str
    created: int
    changed: int
    by: str = ""
    total: int = 0
    next: int = 0
    at: int = 0
    why: str = ""
    base: tuple[int, int, int] = (0, 0, 0)
    counts: Mapping[str, int] = {}

    @property
    def place(self) -> Id:
        return parse_id(self.id, "b")

    @property
    def definition(self) -> CampaignFile:
        """What somebody wrote."""
        return CampaignFile.model_validate_json(self.written)

    def count(self, *names: str) -> int:
        """Return the sum of some counts."""
        return sum(self.counts.get(name, 0) for name in names)


def from_hash(place: Id, fields: Mapping[str, str]) -> Campaign:
    """Build a bulk send from its hash in the store."""
    return Campaign(
        id=str(place),
        state=cast("State", fields["state"]),
        written=fields["written"],
        created=int(fields["created"]),
        changed=int(fields.get("changed", 0)),
        by=fields.get("by", ""),
        total=int(fields.get("total", 0)),
        next=int(fields.get("next", 0)),
        at=int(fields.get("at", 0)),
        why=fields.get("why", ""),
        base=msgspec.json.decode(fields.get("base", "[0,0,0]"), type=tuple[int, int, int]),
        counts={name[2:]: int(value) for name, value in fields.items() if name.startswith("n:")},
    )


class Campaigns:
    """The records of bulk sends."""

    def __init__(self, store: Store, wakes: Wakes, now: Callable[[], int], locale: Callable[[], str]) -> None:
        self._store = store
        self._wakes = wakes
        self._now = now
        self._locale = locale

    async def create(self, written: Mapping[str, Any], by: str, now: int, once: str = "") -> tuple[Campaign, bool]:
        """Keep a bulk send that nobody has started; return it, and whether it is new. Raises `StoreError`.

        *written* is what `CampaignFile` accepts. The same client_id, or without one the same *once*, gives the one that
        is there.
        """
        client_id, text = written.get("client_id") or once, written.get("list")
        name = digest("campaign", client_id) if client_id else new_key()
        place = Id("b", partition_of(f"campaign\0{name}"), name)
        if text is not None:
            await self._store.do(tag(place.partition), "SET", key(place.partition, f"bl:{name}"), text)
            written = {**written, "list": ELSEWHERE}
        fields = (
            "state",
            "draft",
            "written",
            msgspec.json.encode(written).decode(),
            "created",
            now,
            "changed",
            now,
            "by",
            by,
        )
        fresh = await self._store.run(CAMPAIGN, *self._keys(place), ("create", name, now, *fields))
        return await self.load(str(place)), bool(fresh)

    async def load(self, campaign_id: str) -> Campaign:
        """Return a bulk send. Raises `UnknownId`, `NoCampaign`, `StoreError`."""
        place = parse_id(campaign_id, "b")
        fields = pairs(await self._store.do(tag(place.partition), "HGETALL", key(place.partition, f"b:{place.key}")))
        if not fields:
            raise NoCampaign(campaign_id)
        return from_hash(place, fields)

    async def listing(self, cursor: str, limit: int) -> tuple[list[Campaign], str]:
        """Return bulk sends, newest first, and the next cursor. Raises `BadCursor`, `StoreError`."""
        places = await ranked(self._store, ["campaigns"], "b", parse_cursor(cursor, "b"), limit + 1)
        found = [await self.load(str(place)) for _, place in places[:limit]]
        return found, f"{places[limit - 1][0]}:{places[limit - 1][1]}" if len(places) > limit else ""

    async def turn(
        self, campaign_id: str, state: State, now: int, *, former: Sequence[State], facts: Sequence[str | int] = ()
    ) -> Campaign:
        """Bring a bulk send into another state. Raises `NotThen`, `NoCampaign`, `UnknownId`, `StoreError`."""
        place = parse_id(campaign_id, "b")
        arguments = ("turn", place.key, state, now, " ".join(former), "why", "", *facts)
        verdict, *rest = await self._store.run(CAMPAIGN, *self._keys(place), arguments)
        if verdict == "gone":
            raise NoCampaign(campaign_id)
        if verdict == "moved":
            raise NotThen(f"the bulk send is {rest[0]}")
        self._wakes.ring((f"{BELL}{place.partition}",))
        return await self.load(campaign_id)

    async def left(self, address: str, campaign_id: str) -> None:
        """Count, once, that somebody opted out after a bulk send wrote to them. Raises `StoreError`."""
        place = parse_id(campaign_id, "b")
        await self._store.run(CAMPAIGN, *self._keys(place), ("left", place.key, digest(address)))
        self._wakes.ring((f"{BELL}{place.partition}",))

    async def due(self, partition: int, now: int) -> tuple[list[Campaign], int | None]:
        """Return what of a partition is to be looked at, and when the next one is. Raises `StoreError`."""
        names, later = await self._store.many(
            tag(partition),
            [
                ("ZRANGEBYSCORE", key(partition, DUE), "-inf", now),
                ("ZRANGEBYSCORE", key(partition, DUE), f"({now}", "+inf", "WITHSCORES", "LIMIT", 0, 1),
            ],
        )
        found = [await self.load(f"b{partition}-{name}") for name in names]
        return found, int(float(later[1])) if later else None

    async def own(self, held: Held, campaign: Campaign, operation: str, *arguments: str | int) -> str:
        """Do a step as the partition's owner; return "" or the state that forbids it. Raises `Fenced`, `StoreError`."""
        whole = (operation, campaign.place.key, held.epoch, *arguments)
        verdict, *rest = await self._store.run(CAMPAIGN, *self._keys(campaign.place), whole)
        if verdict in ("fenced", "gone"):
            raise Fenced
        return str(rest[0]) if verdict == "moved" else ""

    async def rows(self, campaign: Campaign, first: int, count: int) -> list[Row]:
        """Return *count* recipients from number *first* on. Raises `StoreError`."""
        partition = campaign.place.partition
        name = key(partition, f"br:{campaign.place.key}")
        found = await self._store.do(tag(partition), "LRANGE", name, first, first + count - 1)
        return [msgspec.json.decode(one, type=Row) for one in found]

    async def text(self, campaign: Campaign) -> str:
        """Return the list of a bulk send as it came, "" if it goes to a segment. Raises `StoreError`."""
        partition = campaign.place.partition
        name = key(partition, f"bl:{campaign.place.key}")
        return str(await self._store.do(tag(partition), "GET", name) or "")

    async def owed(self, campaign: Campaign) -> dict[str, str]:
        """Return the last known outcome of every delivery that may still change. Raises `StoreError`."""
        partition = campaign.place.partition
        return pairs(await self._store.do(tag(partition), "HGETALL", key(partition, f"bo:{campaign.place.key}")))

    async def objection(self, sending: Sending) -> tuple[Obstacle, ...]:
        """Hold what a paused bulk send owes, and keep in what a stopped one owes; an `Objection`."""
        if sending.lane != "campaign" or not sending.about.startswith("b"):
            return ()
        place = parse_id(sending.about, "b")
        name = key(place.partition, f"b:{place.key}")
        state = await self._store.do(tag(place.partition), "HGET", name, "state")
        if state in ("paused", "braked"):
            return (Obstacle(PAUSED, "hold", self._why("paused"), self._now() + PAUSE),)
        if state == "stopped":
            return (Obstacle("stopped", "block", self._why("stopped")),)
        return ()

    def _why(self, name: str) -> str:
        return _WHY[name]["zh" if self._locale().startswith("zh") else "en"]

    def _keys(self, place: Id) -> tuple[str, list[str]]:
        return tag(place.partition), [key(place.partition, DUE)]


def packed(rows: Sequence[Row]) -> list[str]:
    """Encode recipients for the store."""
    return [msgspec.json.encode(row).decode() for row in rows]
