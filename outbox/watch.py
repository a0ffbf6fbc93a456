"""The guard at its post: what a message is about is looked up, so that the policy can be held against it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace

from config.folding import fold
from inbox.channels import Channels
from inbox.contacts import NoContact
from inbox.contacts import load as load_contact
from inbox.conversations import Conversation, NoConversation, load
from inbox.partitions import UnknownId
from inbox.store import Store
from inbox.timeline import items
from outbox.guard import TOLD_ELSEWHERE, Facts, Finding, Guard
from outbox.obstacles import Obstacle, Sending

SAID = frozenset("mo")
"""What of a timeline counts as said in the conversation: messages, and no notes, which may hold anything."""

REMEMBERED = 100  # messages of a conversation that are looked at
LONGEST = 64_000

_LINKED = re.compile(r"<[^>]*?\bhref\s*=\s*[\"']?([^\"'\s>]{1,2000})[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")


class Watch:
    """Holds every message against the policy in use."""

    def __init__(self, store: Store, guard: Callable[[], Guard], channels: Channels, locale: Callable[[], str]) -> None:
        self._store = store
        self._guard = guard
        self._channels = channels
        self._locale = locale

    async def objection(self, sending: Sending) -> tuple[Obstacle, ...]:
        """Say what of the policy stands in the way, as an `Objection`. Raises `StoreError`."""
        guard = self._guard()
        if not guard.rules or (sending.lane == "notice" and not sending.conversation):
            return ()  # a notice outside every conversation tells our own people, or tools, what customers wrote
        conversation: Conversation | None = None
        channel = self._channels.get(sending.channel)
        facts = Facts(
            sending.channel,
            channel.kind if channel is not None else "",
            lane=sending.lane,
            own=frozenset({value_of(sending.address)}),
            locale=self._locale(),
        )
        if guard.asks_team:
            conversation = await self._conversation(sending)
            facts = replace(facts, team=conversation.team if conversation is not None else "")
        found = judged(guard, sending, facts)
        if any(one.sort in TOLD_ELSEWHERE for one in found):
            conversation = conversation or await self._conversation(sending)
            facts = replace(facts, own=facts.own | await self._own(sending), said=await self._said(conversation))
            found = judged(guard, sending, facts)
        return found

    async def _conversation(self, sending: Sending) -> Conversation | None:
        name = sending.conversation or sending.about
        if not name.startswith("c"):
            return None
        try:
            return await load(self._store, name)
        except (NoConversation, UnknownId):
            return None

    async def _own(self, sending: Sending) -> frozenset[str]:
        """Return the numbers and mail addresses of the contact."""
        try:
            fields = await load_contact(self._store, sending.contact) if sending.contact else {}
        except (NoContact, UnknownId):
            fields = {}
        return frozenset(value_of(one) for one in fields.get("addresses", "").split("\n") if one)

    async def _said(self, conversation: Conversation | None) -> str:
        if conversation is None:
            return ""
        found, _ = await items(self._store, conversation.place, SAID, None, REMEMBERED)
        return fold("\n".join(one.entry.fields.get("tx", "") for one in found)[:LONGEST])


def judged(guard: Guard, sending: Sending, facts: Facts) -> tuple[Finding, ...]:
    """Return what stands against all parts of a message; HTML that repeats the text is not told of twice."""
    found = [*guard.judge(sending.subject, facts, "subject"), *guard.judge(sending.text, facts)]
    if sending.html:
        known = {one.rule for one in found}
        found += [one for one in guard.judge(readable(sending.html), facts, "html") if one.rule not in known]
    return tuple(found)


def readable(text: str) -> str:
    """Return what somebody reads of HTML, with the addresses of its links."""
    return html.unescape(_TAG.sub(" ", _LINKED.sub(r" \1 ", text)))


def value_of(address: str) -> str:
    """Return the folded number or mail address in an address."""
    return fold(address.partition(":")[2])
