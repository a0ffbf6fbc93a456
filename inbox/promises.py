"""Until when a conversation should be answered and resolved."""

from __future__ import annotations

from config.settings import Settings
from inbox.conversations import Conversation


def due_times(settings: Settings, conversation: Conversation) -> dict[str, int | None]:
    """Return until when the conversation should be answered and resolved; None where nothing is promised.

    Promises that run in opening hours only are not computed here: a wrong time would be worse than none.
    """
    team = settings.teams.get(conversation.team)
    sla = settings.sla.get(conversation.sla or (team.sla if team and team.sla else ""))
    times: dict[str, int | None] = {"first_reply_due": None, "next_reply_due": None, "resolution_due": None}
    if sla is None or sla.hours is not None or conversation.status == "resolved":
        return times
    if sla.first_reply and not conversation.first_reply_at:
        times["first_reply_due"] = conversation.opened_at + sla.first_reply
    if sla.next_reply and conversation.first_reply_at and conversation.status == "open":
        times["next_reply_due"] = conversation.last_inbound_at + sla.next_reply
    if sla.resolution:
        times["resolution_due"] = conversation.opened_at + sla.resolution
    return times
