"""Texts that the hub sends by itself or agents answer with, filled in for a conversation in its own language."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType

from config.loading import Loaded
from config.settings import Settings
from config.templates import Filled, render
from inbox.contacts import Contact
from inbox.conversations import Conversation
from inbox.placing import NOBODY
from router.hours import next_open

NOTHING: Mapping[str, str] = MappingProxyType({})


def fill(  # each keyword is one fact that a text may hang on
    loaded: Loaded,
    name: str,
    conversation: Conversation,
    now: int,
    *,
    contact: Contact = NOBODY,
    channel: str = "",
    kind: str = "",
    language: str = "",
    more: Mapping[str, str] = NOTHING,
    own: Mapping[str, str] = NOTHING,
) -> Filled | None:
    """Fill a template for a conversation; None if there is no such template. *now* is in milliseconds.

    It is sent in *language*, else in the one that people noted for the *contact*, else in the conversation's, else in
    the hub's. *more* are values that only the caller knows, *own* those of the template's own variables.
    """
    template = loaded.templates.get(name)
    if template is None:
        return None
    settings = loaded.settings
    channel, kind = channel or conversation.channel, kind or conversation.kind
    spoken = (language, contact.language, conversation.language, settings.locale)
    wording = template.variant(channel, kind).language(*spoken) or next(filter(None, spoken))
    return render(
        template,
        {**values(settings, conversation, wording, now), "channel.name": channel, **more},
        *spoken,
        channel=channel,
        kind=kind,
        own=own,
    )


def values(settings: Settings, conversation: Conversation, language: str, now: int) -> dict[str, str]:
    """Return what is known for the variables of a conversation, in words of *language*."""
    team, agent = settings.teams.get(conversation.team), settings.agents.get(conversation.agent)
    sla = settings.sla.get(conversation.sla or (team.sla if team and team.sla else ""))
    return {
        "contact.name": conversation.name,
        "conversation.id": conversation.id,
        "team.name": str(team.name) if team else "",
        "agent.name": str(agent.name) if agent else "",
        "hours.next_open": opening(settings, team.hours if team else None, language, now),
        "sla.first_reply": span(sla.first_reply, language) if sla and sla.first_reply else "",
    }


def opening(settings: Settings, name: str | None, language: str, now: int) -> str:
    """Say when the hours called *name* begin next, in their own zone; "" if nobody knows."""
    hours = settings.hours.get(name or "")
    moment = next_open(hours, now) if hours is not None else None
    if hours is None or moment is None:
        return ""
    local = dt.datetime.fromtimestamp(moment / 1000, hours.timezone)
    return f"{local.month}月{local.day}日 {local:%H:%M}" if language.startswith("zh") else f"{local:%d %B %H:%M}"


def span(milliseconds: int, language: str) -> str:
    """Say how long a time is: 30 minutes, 24 hours."""
    minutes = milliseconds // 60_000
    chinese = language.startswith("zh")
    if minutes % 60 == 0 and minutes:
        count = minutes // 60
        return f"{count} 小时" if chinese else f"{count} hour{'s' if count > 1 else ''}"
    return f"{minutes} 分钟" if chinese else f"{minutes} minute{'s' if minutes != 1 else ''}"
