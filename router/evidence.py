"""What a decision was based on, in as few bytes as possible, and back again. Pure.

The message itself is in the log, and the rules are kept by their hash. What is stored with a decision is the rest:
what was known about the conversation and the customer, as far as it is not what one would expect.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from config.routes import DEFAULT
from inbox.conversations import Conversation
from inbox.log import MESSAGE, Entry
from inbox.partitions import AT
from inbox.placing import Origin
from router.facts import ConversationFacts, Facts
from router.language import language
from router.rules import Decision, Tree
from router.versions import SHORT

TOLD = frozenset({"channel", "kind", "at", "event", "text", "subject", "sender", "attachments", "language"})
"""Facts that the message tells itself."""
USUAL = {
    field.name: msgspec.to_builtins(field.default)
    for field in dataclasses.fields(Facts)
    if field.name not in TOLD and field.name != "conversation"
}
PACKED = ("hash", "route", "conversation", "facts", "routes", "unclaimed")
NEW, REOPENED = "new", "reopened"


def story(tree: Tree, decision: Decision, facts: Facts, known: Conversation | None) -> dict[str, Any]:
    """Return what is stored with a decision about a message in the conversation *known*, None for a new one."""
    told: dict[str, Any] = {"hash": tree.hash[:SHORT], "route": decision.route}
    if decision.routes not in ((), (decision.route,)):
        told["routes"] = list(decision.routes)
    if kept := compact(facts, known):
        told["facts"] = kept
    if unclaimed(known):
        told["unclaimed"] = True
    return told


def unclaimed(known: Conversation | None) -> bool:
    """Tell whether only the default has claimed a conversation, and nobody has answered."""
    return known is not None and known.route == DEFAULT and not known.first_reply_at


def compact(facts: Facts, known: Conversation | None) -> dict[str, Any]:
    """Return the *facts* that neither the message nor its place in the log tells."""
    plain: dict[str, Any] = msgspec.to_builtins(facts)
    kept = {name: plain[name] for name, usual in USUAL.items() if plain[name] != usual}
    stands = facts.conversation
    opened = NEW if stands.new else REOPENED if stands.reopened else ""
    usual = msgspec.to_builtins(expected(opened, known.place.key if known is not None else ""))
    said = {name: value for name, value in plain["conversation"].items() if value != usual[name]}
    return {**kept, "conversation": said} if said else kept


def expected(opened: str, conversation: str) -> ConversationFacts:
    """Return how a conversation is taken to stand that a message opened, reopened, or ("") found open.

    *conversation* is its key, which begins with the time when it was opened.
    """
    if opened == NEW:
        return ConversationFacts()
    since = int(conversation.partition("-")[0]) if AT.fullmatch(conversation) else None
    reopened = opened == REOPENED
    status = "resolved" if reopened else "open"
    return ConversationFacts(new=False, reopened=reopened, status=status, opened_at=since)


def told(entry: Entry) -> dict[str, Any] | None:
    """Return the story of a log entry by which a message was placed or ignored, None if none was stored."""
    if body := entry.fields.get("b"):
        whole: dict[str, Any] = msgspec.json.decode(body)
        return whole
    return unpacked(entry.fields["q"]) if entry.fields.get("q") else None


def packed(story: dict[str, Any]) -> str:
    """Return the *story* of a decision without effect, of which there is one for nearly every message, in few bytes.

    A list in the order of `PACKED` without the empty rest; names would be two fifths of it.
    """
    facts = dict(story.get("facts", {}))
    whole = {**story, "conversation": facts.pop("conversation", None), "facts": facts}
    values = [whole.get(name) or None for name in PACKED]
    while values[-1] is None:
        values.pop()
    return msgspec.json.encode(values).decode()


def unpacked(text: str) -> dict[str, Any]:
    """Return the story that `packed` made *text* of."""
    story = {name: value for name, value in zip(PACKED, msgspec.json.decode(text), strict=False) if value is not None}
    conversation = story.pop("conversation", None)
    if conversation is not None:
        story["facts"] = {**story.get("facts", {}), "conversation": conversation}
    return story


def recall(origin: Origin, placed: Entry, story: dict[str, Any]) -> Facts:
    """Return the facts on which the decision about *origin* was based; *placed* is the entry that holds *story*."""
    kept = dict(story.get("facts", {}))
    usual = expected(placed.fields.get("o", NEW if "c" not in placed.fields else ""), placed.fields.get("c", ""))
    if "conversation" in story:  # a decision of version 0.1
        stands = {**msgspec.to_builtins(ConversationFacts()), **story["conversation"]}
    else:
        stands = {**msgspec.to_builtins(usual), **kept.pop("conversation", {})}
    return msgspec.convert(
        {
            "channel": origin.channel,
            "kind": origin.kind,
            "at": origin.at,
            "event": "message" if origin.entry.type == MESSAGE else origin.rest.name,
            "text": origin.text,
            "subject": origin.rest.subject,
            "sender": origin.address,
            "attachments": [media.type for media in origin.rest.media],
            "language": language(origin.text or origin.rest.subject),
            **kept,
            "conversation": stands,
        },
        Facts,
    )
