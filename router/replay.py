"""Stored messages decided again, by the rules in use and by a candidate, each with what was known when it came.

Every message is taken by itself: that the candidate would have sent an earlier one of the same conversation
elsewhere is not played on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec

from config.settings import Settings
from inbox.channels import NOTHING
from inbox.history import history
from inbox.log import Entry
from inbox.partitions import COUNT
from inbox.placing import parse
from inbox.store import Store
from router import evidence
from router.effects import Judged, judge, outcome
from router.rules import Tree
from router.tally import Tally
from router.versions import SHORT

BREATH = 50
"""Messages that are decided before other tasks of the process get their turn."""

NEVER_PLACED = "it has found no conversation"
NOT_KEPT = "what was known then was not stored"
CHANNEL_GONE = "its channel is not configured any more"
FAILED = "a rule set fails on it"
NOT_ASKED = "nobody was asked about the order then"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rule sets and what else is needed to compare them. *kinds* are those of the channels by name.

    *promises* are the service levels of the teams; days and hours are those of *zone*.
    """

    live: Tree
    candidate: Tree
    kinds: Mapping[str, str]
    promises: Mapping[str, str]
    zone: ZoneInfo

    @classmethod
    def of(cls, live: Tree, candidate: Tree, settings: Settings) -> Pair:
        """Return a pair for the settings in use."""
        kinds = {name: channel.kind for name, channel in settings.channels.items()}
        promises = {name: team.sla or "" for name, team in settings.teams.items()}
        return cls(live, candidate, kinds, promises, settings.timezone)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is: the *share* of the history, 0 to 1, and how many *messages* that were."""

    share: float
    messages: int


async def replay(
    store: Store,
    pair: Pair,
    since: int,
    until: int,
    progress: Callable[[Progress], None] = lambda _: None,
    pause: Callable[[], Awaitable[None]] | None = None,
) -> Tally:
    """Decide the messages from *since* to before *until* (milliseconds since 1970 UTC). Raises `StoreError`.

    *pause* is awaited every now and then, for whoever wants to leave the processor to others.
    """
    tally = Tally()
    messages = 0
    span = max(1, until - since)
    for partition in range(COUNT):
        async for chunk in history(store, partition, since, until):
            messages += chunk.messages
            for number, (message, placing) in enumerate(chunk.placed):
                if number % BREATH == 0:
                    await (pause() if pause is not None else asyncio.sleep(0))
                count(tally, pair, message, placing)
            share = (partition + min(1.0, max(0.0, (chunk.until - since) / span))) / COUNT
            progress(Progress(share, messages))
    progress(Progress(1.0, messages))
    if messages > tally.total:
        tally.unknown(NEVER_PLACED, messages - tally.total)
    return tally


def count(tally: Tally, pair: Pair, message: Entry, placing: Entry) -> None:
    """Decide one message again and count the result."""
    kind = pair.kinds.get(message.fields["ch"])
    story = evidence.told(placing)
    if kind is None:
        tally.unknown(CHANNEL_GONE)
        return
    if story is None:
        tally.unknown(NOT_KEPT)
        return
    origin = parse(message, kind, NOTHING)
    try:
        facts = evidence.recall(origin, placing, story)
        unclaimed = bool(story.get("unclaimed"))
        before = judge(pair.live, facts, unclaimed=unclaimed)
        after = judge(pair.candidate, facts, unclaimed=unclaimed)
    except (msgspec.ValidationError, ValueError, KeyError, TypeError):
        tally.unknown(FAILED)
        return
    if not known(before, after):
        tally.unknown(NOT_ASKED)
        return
    if story.get("hash") == pair.live.hash[:SHORT]:
        same = before.decision.route == story.get("route", before.decision.route)
        tally.reproduced += same
        tally.contradicted += not same
    tally.add(origin.message_id, origin.at, outcome(before), outcome(after), pair.zone, pair.promises)


def known(*judged: Judged) -> bool:
    """Tell whether nothing hangs on an order that nobody was asked about when the message came."""
    return all(one.facts.order is not None or not one.asks_order for one in judged)
