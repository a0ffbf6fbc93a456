"""What changes when an answer is owed, as one step in its conversation's slot."""

from __future__ import annotations

from typing import Any

import msgspec

from inbox import log as logbook
from inbox.conversations import Change, Conversation, Value, stepped
from inbox.course import ANSWERED
from inbox.partitions import digest, new_key
from outbox.lines import PARKED
from outbox.records import Reply, rest
from outbox.terms import Instead, Terms, waiting_line


def owed(  # each argument is one fact about what is owed
    conversation: Conversation,
    name: str,
    reply: Reply,
    now: int,
    also: dict[str, Any] | None,
    terms: Terms,
) -> Change:
    """Build the change that owes *reply*; a person's answer must know how the conversation stands."""
    place = conversation.place
    values: dict[str, Any] = {"last_message_at": max(now, conversation.last_message_at)}
    person, later = reply.author.kind == "agent", terms.due > now
    if person and not later:
        values |= answered(conversation, now)
    if terms.heeds:
        values["heed"] = "1"
    values.update(also or {})
    fields: list[Value] = [
        *("t", logbook.REPLY, "c", place.key, "d", name, "ch", conversation.channel, "at", now),
        *("au", msgspec.json.encode(reply.author).decode(), "tx", reply.text, "b", rest(reply)),
    ]
    instead = terms.instead or Instead(conversation.channel, conversation.address)
    due = terms.due if later else now
    record: list[Value] = [
        *("conv", place.key, "channel", instead.channel, "address", instead.address),
        *("state", "queued", "created", now, "due", due, "changed", now, "attempts", 0),
        *terms.record(now, answers=person and later),
    ]
    lane = reply.lane or ("notice" if reply.auto else "reply")
    if lane != "reply":
        record += ("lane", lane)
    log: list[tuple[str, list[Value]]] = [("o", fields)]
    if terms.instead is not None:
        log.append(("s", terms.instead.story(place.key, f"d{place.partition}-{name}", conversation.channel, now)))
    line = f"q:{place.key}"
    return Change(
        id=place.key,
        version=conversation.version if {"status", "heed"} & values.keys() else None,
        unless=f"d:{name}",
        set=values,
        count=(("messages", 1),),
        records=[(f"d:{name}", record)],
        log=log,
        link=(1, f"d:{name}", "message"),
        queue=((waiting_line(line) if terms.parked else line, name, due),),
        marks=(("due", due, name), (PARKED, due, name)) if terms.parked else (),
    )


def named(conversation: Conversation, client_id: str) -> str:
    """Return the key of an answer: of its own, or the one that belongs to *client_id*."""
    return digest(conversation.id, "client", client_id) if client_id else new_key()


def answered(conversation: Conversation, now: int) -> dict[str, Any]:
    """Return what changes about a conversation when a person answers in it."""
    values: dict[str, Any] = {
        "status": "pending" if conversation.status in ("open", "snoozed") else conversation.status
    }
    if not conversation.first_reply_at:
        values["first_reply_at"] = now
    return {**values, **stepped(conversation, ANSWERED, now)}
