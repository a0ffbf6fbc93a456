"""What the API says of the routes of search."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from inbox import endpoints
from inbox.conversations import STATUSES
from inbox.openapi import PAGED, Operation, Operations, Page, Query, Time
from inbox.operations import FILTERS
from inbox.schemas import Conversation, Message
from inbox.search_endpoints import WAYS

_MOMENT = {"type": "string", "format": "date-time"}
_ENUM: dict[str, Any] = {"type": "string", "enum": ["", *WAYS]}


class SnippetPiece(msgspec.Struct):
    """A part of the place of a hit; *hit*: it is what was looked for."""

    text: str
    hit: bool


class FoundMessage(msgspec.Struct):
    """A message that was found, its conversation as it stands, and the place of the hit."""

    message: Message
    conversation: Conversation
    snippet: list[SnippetPiece]


class FoundMessages(msgspec.Struct):
    """A page of hits; *complete* is false while the index is being built."""

    items: list[FoundMessage]
    next: str | None
    complete: bool


class SearchIndex(msgspec.Struct):
    """How the index of one machine stands."""

    machine: str
    state: Literal["building", "ready", "rebuilding", "unkept"]
    messages: int
    progress: float
    behind_seconds: float
    bytes: int
    built_at: Time | None
    at: Time | None


class Rebuilding(msgspec.Struct):
    """What goes on now."""

    state: str


OPERATIONS: Operations = {
    ("GET", "/search"): Operation(
        "Find messages",
        FoundMessages,
        query=(
            Query("q", "words, all of which a message has; a phrase in quotes"),
            *(one for one in FILTERS if one.name in {"team", "agent", "channel"}),
            Query("status", "in this status", {"type": "string", "enum": ["", *STATUSES]}),
            Query("kind", "on channels of this kind"),
            Query("tag", "in conversations with this tag"),
            Query("direction", "who wrote it", _ENUM),
            Query("since", "from this time on", _MOMENT),
            Query("until", "before this time", _MOMENT),
            *PAGED,
        ),
        errors=(409,),
    ),
    ("GET", "/search/index"): Operation("Show how the search index stands", Page[SearchIndex]),
    ("POST", "/search/rebuild"): Operation(
        "Build the search index anew", Rebuilding, endpoints.Nothing, 202, errors=(409,), optional=True
    ),
}
