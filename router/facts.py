"""What routes may know of a message. Pure values; whoever has the message fills them in."""

from __future__ import annotations

from dataclasses import dataclass, field


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
class Facts:
    """One message, or one other event, as routes see it.

    *sender* is an address with or without its scheme (mailto:a@b.cn). *at* is in milliseconds since 1970 UTC.
    *attachments* are MIME types. What is not known is None or empty: a condition on it does not hold.
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
