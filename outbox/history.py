"""How a delivery came to be what it is. Every change is one log entry that names the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from inbox import log as logbook
from inbox.partitions import parse_id
from inbox.store import Store
from outbox.records import Delivery

Cause = Literal["accepted", "attempt", "receipt", "echo", "query", "person", "hub"]
"""What told us: the reply itself, an attempt, the platform (asked or not), a person, or the hub's own rules."""

LONGEST = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One change: the state from then on, and what told us. Times are in milliseconds since 1970 UTC, 0 = none."""

    at: int
    state: str
    cause: Cause
    attempt: int = 0
    by: str = ""
    error: str = ""
    code: str = ""
    due: int = 0


def step(at: int, fields: Mapping[str, str]) -> Step:
    """Read a log entry. Those of 0.1.0 do not name their cause; all were results of attempts, receipts or echoes."""
    return Step(
        at=at,
        state=fields["st"],
        cause=fields.get("ca", "hub"),  # type: ignore[arg-type]  # written by us
        attempt=int(fields.get("n", 0)),
        by=fields.get("by", ""),
        error=fields.get("er", ""),
        code=fields.get("co", ""),
        due=int(fields.get("du", 0)),
    )


async def history(store: Store, delivery: Delivery) -> list[Step]:
    """Return the changes of a delivery, oldest first, as far back as the log reaches. Raises `StoreError`."""
    steps: list[Step] = []
    position = delivery.log
    while position and len(steps) < LONGEST:
        entry = (await logbook.fetch(store, [(delivery.place.partition, position)]))[0]
        if entry is None:
            break
        steps.append(step(entry.ms, entry.fields))
        position = entry.fields.get("pv", "")
    message = parse_id(delivery.message, "m")
    if not position:
        steps.append(Step(int(message.key.partition("-")[0]), "queued", "accepted"))
    return steps[::-1]
