"""Why a message would not go out as it is: what stands in the way, how heavily, and until when.

The planner collects obstacles; whoever guards something (consent, outgoing text) adds its own as an `Objection`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from outbox.letters import Lane

PAUSED = "paused"
"""The code of what a paused bulk send holds."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that stands in the way of a message.

    *code* is a stable slug for programs, *why* a sentence for people. A "block" keeps the message in, a "hold" delays
    it until *until* (milliseconds since 1970 UTC, None = until something happens), a "warn" only says so.
    """

    code: str
    weight: Literal["block", "hold", "warn"]
    why: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """What is about to go out, and to whom, for those who may object.

    *contact* and *conversation* are ids, "" where there is none. *agent* is who writes, "" for the hub itself.
    *about* is what a letter belongs to. *legal*: the law wants this message, whoever has opted out of others.
    """

    channel: str
    address: str
    lane: Lane = "reply"
    text: str = ""
    subject: str = ""
    html: str = ""
    contact: str = ""
    conversation: str = ""
    agent: str = ""
    about: str = ""
    legal: bool = False


Objection = Callable[[Sending], Awaitable[tuple[Obstacle, ...]]]
"""Says what stands in the way of a message, nothing if it may go. Raises `StoreError`."""
