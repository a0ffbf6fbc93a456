"""Texts that the hub sends by itself, filled in for a conversation."""

from __future__ import annotations

from config.loading import Loaded
from config.templates import render
from inbox.conversations import Conversation


def fill(loaded: Loaded, name: str, conversation: Conversation) -> str | None:
    """Fill a template for a conversation; None if there is no such template."""
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
        "sla.first_reply": f"{sla.first_reply // 60_000} min" if sla and sla.first_reply else "",
    }
    return render(template, values, settings.locale)
