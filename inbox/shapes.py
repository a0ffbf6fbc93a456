"""How conversations, messages and contacts look in the API (docs/api.md). Fields may be added, never renamed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from connectors.base import Capabilities, Media
from inbox import log as logbook
from inbox.api import PREFIX, rfc3339
from inbox.contacts import from_hash, load_many
from inbox.conversations import Conversation, pairs
from inbox.fetching import Fetched, pending
from inbox.log import Entry
from inbox.partitions import key, tag
from inbox.store import Store
from inbox.timeline import Item

DIRECTIONS = {
    logbook.MESSAGE: "inbound",
    logbook.NOTICE: "event",
    logbook.ECHO: "outbound",
    logbook.REPLY: "outbound",
    logbook.NOTE: "note",
    logbook.STATE: "event",
}


def conversation_shape(
    one: Conversation,
    contact: tuple[str, Mapping[str, str]],
    address: Mapping[str, str],
    capabilities: Capabilities,
    sla: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a conversation as the API shows it. *contact* is id and hash, *sla* what its clocks say."""
    return {
        "id": one.id,
        "channel": one.channel,
        "kind": one.kind,
        "status": one.status,
        "team": one.team or None,
        "agent": one.agent or None,
        "priority": one.priority,
        "stage": one.stage or None,
        "tags": list(one.tags),
        "subject": one.subject,
        "contact": contact_shape(*contact, one),
        "opened_at": rfc3339(one.opened_at),
        "last_message_at": rfc3339(one.last_message_at),
        "last_inbound_at": rfc3339(one.last_inbound_at),
        "first_reply_at": rfc3339(one.first_reply_at),
        "resolved_at": rfc3339(one.resolved_at) if one.status == "resolved" else None,
        "snoozed_until": rfc3339(one.snoozed_until) if one.status == "snoozed" else None,
        "messages": one.messages,
        "unread": one.last_inbound_at > one.read_at or bool(one.attention),
        "attention": {"reason": "undelivered", "delivery": f"d{one.place.partition}-{one.attention}"}
        if one.attention
        else None,
        "risk": one.risk or None,
        "skills": list(one.skills),
        "language": one.language or None,
        "assignment": {"at": rfc3339(one.assigned_at), "reason": one.why or None} if one.assigned_at else None,
        "route": one.route or None,
        "sla": dict(sla),
        "window": window_shape(address, one.channel, capabilities),
    }


def contact_shape(
    contact_id: str, fields: Mapping[str, str], conversation: Conversation | None = None
) -> dict[str, Any]:
    """Return a contact as the API shows it."""
    addresses = fields.get("addresses", "") or (conversation.address if conversation else "")
    if addresses.startswith(logbook.ERASED):
        addresses = ""
    name = fields.get("name") or (conversation.name if conversation else "")
    known = from_hash(fields)
    return {
        "id": contact_id,
        "name": name or None,
        "addresses": addresses.split("\n") if addresses else [],
        "tags": list(known.tags),
        "tier": known.tier or None,
        "language": known.language or None,
    }


def customer_shape(contact_id: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return a contact for itself, with what its conversations do not show."""
    since = int(fields.get("since") or 0)
    return {**contact_shape(contact_id, fields), "channel": fields.get("channel") or None, "since": rfc3339(since)}


def window_shape(address: Mapping[str, str], channel: str, capabilities: Capabilities) -> dict[str, Any] | None:
    """Return until when and how often the customer may be answered; None where there is no such limit."""
    if capabilities.window is None:
        return None
    left = address.get(f"wl:{channel}", "")
    return {
        "open_until": rfc3339(int(address.get(f"wu:{channel}") or 0)),
        "messages_left": int(left) if left else None,
    }


async def details(store: Store, found: Sequence[Conversation]) -> list[tuple[str, dict[str, str], dict[str, str]]]:
    """Return (contact, its hash, address record) of each conversation. Raises `StoreError`.

    It takes one round trip per node, and one more for contacts that were merged.
    """
    wanted = [(one.place.partition, f"a:{one.address}") for one in found]
    people, replies = await asyncio.gather(
        load_many(store, [one.contact for one in found]),
        store.each([(tag(place), ("HGETALL", key(place, name))) for place, name in wanted]),
    )
    records = [pairs(reply) for reply in replies]
    return [(contact, fields, record) for (contact, fields), record in zip(people, records, strict=True)]


def message_shape(
    item: Item, conversation: Conversation, delivery: Mapping[str, Any] | None, fetched: Mapping[str, str]
) -> dict[str, Any]:
    """Return one element of a timeline as a message of the API."""
    entry, fields = item.entry, item.entry.fields
    body = entry.rest()
    shape: dict[str, Any] = {
        "id": item.message_id,
        "conversation": conversation.id,
        "direction": DIRECTIONS.get(entry.type, "event"),
        "author": author_shape(entry, conversation),
        "text": fields.get("tx", ""),
        "html": body.get("html") or None,
        "subject": body.get("subject") or None,
        "attachments": attachments_shape(item, body.get("media", ()), fetched),
        "at": rfc3339(int(fields.get("at") or entry.ms)),
        "external_id": fields.get("x") or next(reversed((delivery or {}).get("external_ids", ())), None),
        "type": fields.get("ty") or "text",
        "delivery": delivery,
    }
    if entry.type == logbook.DELIVERY:
        shape["author"] = {"kind": "hub", "id": None, "name": None}
        shape["event"] = delivery_event(entry)
    elif entry.type == logbook.STATE:
        shape["event"] = {"name": fields["ev"], **body}
    elif entry.type == logbook.NOTICE:
        shape["event"] = {"name": body.get("name", ""), **body.get("details", {})}
    elif body.get("details"):
        shape["details"] = body["details"]
    return shape


def delivery_event(entry: Entry) -> dict[str, Any]:
    """Return what one change of a delivery was, and what told us of it."""
    fields = entry.fields
    return {
        "name": "delivery",
        "delivery": f"d{entry.partition}-{fields['d']}",
        "state": fields["st"],
        "cause": fields.get("ca", "hub"),
        "attempt": int(fields["n"]) if "n" in fields else None,
        "by": fields.get("by"),
        "error": fields.get("er"),
        "code": fields.get("co"),
        "due_at": rfc3339(int(fields["du"])) if "du" in fields else None,
    }


def author_shape(entry: Entry, conversation: Conversation) -> dict[str, Any]:
    """Return who wrote or did something: contact, agent or hub."""
    if entry.type in {logbook.MESSAGE, logbook.NOTICE}:
        return {
            "kind": "contact",
            "id": conversation.contact,
            "name": entry.fields.get("n") or conversation.name or None,
        }
    if entry.type == logbook.ECHO:
        return {"kind": "agent", "id": None, "name": entry.fields.get("n") or None}
    author = msgspec.json.decode(entry.fields.get("au", "{}"))
    kind = author.get("kind") if author.get("kind") in ("hub", "contact") else "agent"
    return {"kind": kind, "id": author.get("id") or None, "name": author.get("name") or None}


def attachments_shape(
    item: Item, media: Sequence[Mapping[str, Any]], fetched: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the files of a message; *state* is "ready", "pending" or "failed" with an *error*."""
    shapes = []
    for index, raw in enumerate(media):
        one = msgspec.convert(raw, Media)
        later = msgspec.json.decode(fetched[str(index)], type=Fetched) if str(index) in fetched else Fetched()
        shape: dict[str, Any] = {
            "id": f"{item.message_id}.{index}",
            "name": later.name or one.name or None,
            "type": later.type or one.type,
            "size": later.size or one.size or None,
            "url": f"{PREFIX}/messages/{item.message_id}/attachments/{index}",
            "state": "ready",
        }
        if one.ref.startswith("refused:"):
            shape.update(state="failed", error=one.ref.removeprefix("refused:"), url=None)
        elif pending(one) and not later.sha:
            given_up = later.error and not later.tries
            shape.update(state="failed" if given_up else "pending", url=None)
            if later.error:
                shape["error"] = later.error
        shapes.append(shape)
    return shapes


def attachment_source(media: Media, later: Fetched) -> tuple[str, str, str] | None:
    """Return (hash, MIME type, name) of a file that can be read, None while it cannot."""
    if media.ref.startswith("sha256:"):
        return media.ref.removeprefix("sha256:"), media.type, media.name
    return (later.sha, later.type or media.type, later.name or media.name) if later.sha else None
