"""What routes may know of a message. Pure values; whoever has the message fills them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from config.lookups import Scalar


@dataclass(frozen=True, slots=True)
class ConversationFacts:
    """How things stand with the conversation when the message arrives.

    *new*: the message opens it; *reopened*: it was resolved and the message opens it again. *status* is what it
    was before the message (None for a new one). *team* owns it now. *priority* is its priority now. *opened_at*
    is in milliseconds since 1970 UTC. *messages* counts what the customer has written in it, this one included.
    """

    new: bool = True
    reopened: bool = False
    status: str | None = None
    team: str | None = None
    priority: str = "normal"
    opened_at: int | None = None
    messages: int = 1


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What an existing tool says of the customer's order.

    *fields* by the names of the configuration; one that has no value is not there. *outcome* is how they were got:
    found, cached, none (the tool knows no such order), unasked (nothing to ask by), or what went wrong: timeout,
    failed, refused (it failed again and again and is left in peace); *fields* are then the fallback.
    """

    fields: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict, repr=False)
    outcome: str = "found"

    @property
    def known(self) -> bool:
        """Whether the tool knows an order."""
        return self.outcome in ("found", "cached")


@dataclass(frozen=True, slots=True)
class Facts:
    """One message, or one other event, as routes see it.

    *sender* is an address with or without its scheme (mailto:a@b.cn). *at* is in milliseconds since 1970 UTC.
    *attachments* are MIME types. *order* is None as long as nobody has been asked. What is not known is None or
    empty: a condition on it does not hold.
    """

    channel: str
    kind: str
    at: int
    event: str = "message"
    text: str = field(default="", repr=False)
    subject: str = field(default="", repr=False)
    sender: str = field(default="", repr=False)
    attachments: tuple[str, ...] = ()
    language: str | None = None
    contact_tags: frozenset[str] = frozenset()
    contact_tier: str | None = None
    contact_language: str | None = None
    conversation: ConversationFacts = ConversationFacts()
    order: OrderFacts | None = None
