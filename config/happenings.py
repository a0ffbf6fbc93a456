"""The events that the hub tells the outside of, by name, and patterns over these names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

from config.faults import Wrong, nearest

PREFIX = "huiliu."
EVENTS = (
    "message.received",
    "message.sent",
    "message.ignored",
    "notice.received",
    "reply.created",
    "note.created",
    "delivery.changed",
    "conversation.opened",
    "conversation.routed",
    "conversation.assigned",
    "conversation.resolved",
    "conversation.reopened",
    "conversation.snoozed",
    "conversation.tagged",
    "conversation.changed",
    "sla.warning",
    "sla.breach",
    "contact.changed",
    "contact.merged",
    "contact.split",
    "contact.erased",
    "consent.changed",
    "survey.answered",
)

GROUPS = tuple(dict.fromkeys(f"{name.partition('.')[0]}.*" for name in EVENTS))

_PATTERN = re.compile(r"\*|[a-z_]+\.(?:\*|[a-z_]+)")


def pattern(value: str) -> str:
    """Accept the name of an event, a group like `conversation.*`, or `*`, with or without our prefix.

    Return it without the prefix. Raises `Wrong`.
    """
    bare = value.removeprefix(PREFIX)
    if not _PATTERN.fullmatch(bare) or not chosen([bare]):
        raise Wrong(
            'there is no event "{}"'.format(value.replace('"', "'")),
            expected="a name like message.received, a group like conversation.*, or *",
            nearest=nearest(bare, (*EVENTS, *GROUPS)),
        )
    return bare


def chosen(patterns: Sequence[str]) -> frozenset[str]:
    """Return the names that *patterns* mean."""
    return frozenset(
        name
        for name in EVENTS
        for one in patterns
        if one in ("*", name) or (one.endswith(".*") and name.startswith(one[:-1]))
    )


EventPattern = Annotated[str, AfterValidator(pattern)]
