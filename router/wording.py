"""Texts that the hub sends by itself, filled in for a conversation."""

from __future__ import annotations

import datetime as dt

from config.loading import Loaded
from config.settings import Settings
from config.templates import render
from inbox.conversations import Conversation
from router.hours import next_open


def fill(loaded: Loaded, name: str, conversation: Conversation, now: int) -> str | None:
    """Fill a template for a conversation; None if there is no such template. *now* is in milliseconds."""
    template = loaded.templates.get(name)
    if template is None:
        return None
    settings = loaded.settings
    team, agent = settings.teams.get(conversation.team), settings.agents.get(conversation.agent)
    sla = settings.sla.get(conversation.sla or (team.sla if team and team.sla else ""))
    values = {
        "contact.name": conversation.name,
        "conversation.id": conversation.id,
        "team.name": str(team.name) if team else "",
        "agent.name": str(agent.name) if agent else "",
        "channel.name": conversation.channel,
        "hours.next_open": opening(settings, team.hours if team else None, now),
        "sla.first_reply": span(sla.first_reply, settings.locale) if sla and sla.first_reply else "",
    }
    return render(template, values, settings.locale)


def opening(settings: Settings, name: str | None, now: int) -> str:
    """Say when the hours called *name* begin next, in their own zone; "" if nobody knows."""
    hours = settings.hours.get(name or "")
    moment = next_open(hours, now) if hours is not None else None
    if hours is None or moment is None:
        return ""
    local = dt.datetime.fromtimestamp(moment / 1000, hours.timezone)
    return f"{local.month}月{local.day}日 {local:%H:%M}" if settings.locale.startswith("zh") else f"{local:%d %B %H:%M}"


def span(milliseconds: int, locale: str) -> str:
    """Say how long a time is: 30 minutes, 24 hours."""
    minutes = milliseconds // 60_000
    chinese = locale.startswith("zh")
    if minutes % 60 == 0 and minutes:
        count = minutes // 60
        return f"{count} 小时" if chinese else f"{count} hour{'s' if count > 1 else ''}"
    return f"{minutes} 分钟" if chinese else f"{minutes} minute{'s' if minutes != 1 else ''}"
