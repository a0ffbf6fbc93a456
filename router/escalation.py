"""Escalation: what routes decide when a clock of a conversation warns or is over, or a score arrives. Idempotent.

Routes that speak of events are asked as for a message, and the decision stands on the conversation's trail. What
hangs on it (an acknowledgement, the search for an agent) follows from the log, as it does for a message.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from inbox import contacts
from inbox import log as logbook
from inbox.contacts import Contact
from inbox.conversations import PRIORITIES, Change, Conflict, Conversation, commit, load
from inbox.leases import Held
from inbox.log import Entry
from inbox.store import Store
from inbox.ticks import EVENTS
from inbox.wakes import Wakes
from router.facts import ConversationFacts, Facts
from router.rules import Decision, decide
from router.ruleset import Rules
from router.versions import SHORT

TRIES = 8
ASKED = EVENTS | {"score"}
RULED = "ruled"
"""Field of a conversation with the log position of the last event about which routes were asked."""


class Escalation:
    """Asks the routes about events of conversations and does what they say; *counts* what it did."""

    def __init__(self, store: Store, wakes: Wakes, rules: Callable[[], Rules], counts: Counter[str]) -> None:
        self._store = store
        self._wakes = wakes
        self._rules = rules
        self._counts = counts

    async def decide(self, held: Held, entry: Entry) -> None:
        """Ask about one event of the log. Raises `Conflict`, `Fenced`, `StoreError`."""
        for _ in range(TRIES):
            conversation = await load(self._store, f"c{held.partition}-{entry.fields['c']}")
            if conversation.status == "resolved" and entry.fields["ev"] in EVENTS:
                return
            asked = event_facts(entry, conversation, await contacts.known(self._store, conversation.contact))
            tree = self._rules().tree
            decision = decide(tree, asked)
            if not decision.routes:
                return
            values = changes(conversation, decision)
            if not values and not decision.acknowledge:
                return
            story: dict[str, Any] = {
                "hash": tree.hash[:SHORT],
                "route": decision.route,
                "routes": list(decision.routes),
                "set": values,
                "event": entry.fields["ev"],
                "facts": customer(asked),
                "conversation": msgspec.to_builtins(asked.conversation),
            }
            if decision.acknowledge:
                story["acknowledge"] = list(decision.acknowledge)
            try:
                done = await commit(self._store, held.partition, self._change(held, entry, conversation, story))
            except Conflict:
                continue
            self._counts["escalated"] += done.fresh
            self._wakes.ring((f"p{held.partition}",))
            return
        raise Conflict

    def _change(self, held: Held, entry: Entry, conversation: Conversation, story: Mapping[str, Any]) -> Change:
        name = conversation.place.key
        body = msgspec.json.encode(story).decode()
        return Change(
            id=name,
            version=conversation.version,
            epoch=held.epoch,
            once=(f"c:{name}", RULED, entry.id, ""),
            set=story["set"],
            records=[(f"c:{name}", [RULED, entry.id])],
            log=[("d", ["t", logbook.PLACED, "c", name, "m", entry.id, "b", body])],
        )


def is_event(entry: Entry) -> bool:
    """Tell whether *entry* is an event of a conversation about which routes are asked."""
    return entry.type == logbook.STATE and entry.fields["ev"] in ASKED


def event_facts(entry: Entry, conversation: Conversation, known: Contact) -> Facts:
    """Return what the rules may ask about an event of a conversation; the words are those beside a score."""
    return Facts(
        channel=conversation.channel,
        kind=conversation.kind,
        at=int(entry.fields["at"]),
        event=entry.fields["ev"],
        subject=conversation.subject,
        text=str(entry.rest().get("comment", "")),
        sender=conversation.address,
        contact_tags=frozenset(known.tags),
        contact_tier=known.tier or None,
        contact_language=known.language or None,
        conversation=ConversationFacts(
            new=False,
            status=conversation.status,
            team=conversation.team or None,
            opened_at=conversation.opened_at,
            priority=conversation.priority,
            messages=conversation.messages,
        ),
    )


def recalled(entry: Entry, conversation: Conversation, story: Mapping[str, Any]) -> Facts:
    """Return the facts on which the decision about an event was based, whose *story* was stored with it."""
    stands = msgspec.convert(story["conversation"], ConversationFacts)
    told = {"contact_tags": [], "contact_tier": None, "contact_language": None, **story.get("facts", {})}
    asked = dataclasses.replace(event_facts(entry, conversation, Contact()), conversation=stands)
    return dataclasses.replace(asked, **{**told, "contact_tags": frozenset(told["contact_tags"])})


def customer(asked: Facts) -> dict[str, Any]:
    """Return what was known of the customer, as it is stored with a decision."""
    told = {
        "contact_tags": sorted(asked.contact_tags),
        "contact_tier": asked.contact_tier,
        "contact_language": asked.contact_language,
    }
    return {name: value for name, value in told.items() if value}


def changes(known: Conversation, decision: Decision) -> dict[str, Any]:
    """Return what *decision* changes about a conversation under way; another team takes it without the old agent.

    A priority is raised, never lowered: what is urgent already is no less so because its time runs out.
    """
    wanted = {name: getattr(decision, name) for name in ("team", "agent", "priority", "stage", "sla", "risk")}
    values: dict[str, Any] = {name: value for name, value in wanted.items() if value and value != getattr(known, name)}
    if PRIORITIES.index(values.get("priority", known.priority)) < PRIORITIES.index(known.priority):
        del values["priority"]
    if "team" in values and known.agent and not decision.agent:
        values["agent"] = ""
    if "team" in values or "agent" in values:
        values["route"] = decision.route  # a person or rule has taken it up: no later keyword undoes that by itself
    tags = tuple(dict.fromkeys((*known.tags, *decision.tags)))
    if tags != known.tags:
        values["tags"] = tags
    return values
