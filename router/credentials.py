"""Who of us wrote a message, how far that is proved, and in which conversation: decided before anything is done.

Three grades. *proved*: done at once. *claimed*: kept as a draft, for somebody may only say that they are the agent.
*lost*: nobody can tell which conversation it is for; the agent gets help. Nothing of the three becomes a customer's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from config.enrolment import Enrolment
from config.settings import Settings
from config.staff import IDS
from inbox.placing import Origin
from outbox import reply_tokens
from outbox.hands import Hand, Hands
from router import instructions
from router.instructions import SUBJECT_TARGET, Instruction

Grade = Literal["proved", "claimed", "lost"]


@dataclass(frozen=True, slots=True)
class Credential:
    """Who writes. *agent* is "" for somebody of the house who is no agent, or whom nobody knows.

    *conversation* is "" where none is named; *doubt* is the one before it, where either may be meant. *seen* is the
    log position up to which the writer has seen it. *reason* is a slug that says why the grade is not better.
    *known* tells whether the sender's address is the agent's, so that an answer may go there.
    """

    agent: str
    grade: Grade
    conversation: str = ""
    seen: str = ""
    reason: str = ""
    doubt: str = ""
    known: bool = True

    @property
    def sure(self) -> bool:
        """Whether it is proved who writes, with or without a conversation."""
        return self.grade == "proved" or self.reason in ("no_conversation", "unknown_code")


class Credentials:
    """Examines inbound events. *secret* is the hub's signing key."""

    def __init__(
        self,
        hands: Hands,
        settings: Callable[[], Settings],
        enrolment: Callable[[], Enrolment],
        secret: Callable[[], str],
    ) -> None:
        self._hands = hands
        self._settings = settings
        self._enrolment = enrolment
        self._secret = secret

    def concern(self, origin: Origin) -> bool:
        """Tell whether *origin* is from an agent, or says so, or is meant for the hub: then it is no customer's.

        A colleague who is no agent asks like a customer, but for commands and pressed buttons.
        """
        if self._enrolment().owner(origin.address) or origin.rest.details.get("token"):
            return True
        asked = instructions.read(origin.text, self._settings().agents_reply.prefix)
        return colleague(origin.address) and bool(asked.name or origin.rest.choice)

    async def examine(self, origin: Origin, asked: Instruction) -> Credential:
        """Say who wrote *origin*, which asks for *asked*. Raises `StoreError`."""
        owner = self._enrolment().owner(origin.address)
        if origin.address.startswith("mailto:"):
            return await self._mail(origin, owner, asked)
        if not owner:
            return Credential("", "lost", reason="not_enrolled", known=False)
        if origin.address.startswith("tel:"):
            return await self._sms(origin, owner, asked)
        return await self._platform(origin, owner, asked)

    async def _platform(self, origin: Origin, owner: str, asked: Instruction) -> Credential:
        """The platform says who it was, and signs it."""
        hand = await self._hands.of(owner)
        if asked.code:
            return _named(owner, hand, asked.code, origin.at)
        doubt = hand.former if hand.doubtful(origin.at) else ""
        grade: Grade = "proved" if hand.current else "lost"
        reason = "" if hand.current else "no_conversation"
        return Credential(owner, grade, hand.current, hand.seen(hand.current, origin.at), reason, doubt)

    async def _sms(self, origin: Origin, owner: str, asked: Instruction) -> Credential:
        """A sender's number can be forged; the code was sent to the real one."""
        hand = await self._hands.of(owner)
        if not asked.code:
            return Credential(owner, "lost", reason="no_code")
        found = _named(owner, hand, asked.code, origin.at)
        if found.grade == "proved" and self._settings().agents_reply.sms.require == "approval":
            return Credential(owner, "claimed", found.conversation, found.seen, "needs_approval")
        return found

    async def _mail(self, origin: Origin, owner: str, asked: Instruction) -> Credential:
        policy = self._settings().agents_reply
        token = reply_tokens.read(self._secret(), origin.rest.details.get("token", ""), self._settings().agents)
        signed = origin.rest.details.get("auth", {}).get("result", "none")
        agent = token.agent if token is not None else owner
        if not agent:
            return Credential("", "lost", reason="bad_token", known=False)
        known = owner == agent
        if token is not None:
            conversation, seen = token.conversation, f"{token.seen}-{1 << 30}"
        else:
            hand = await self._hands.of(agent)
            named = SUBJECT_TARGET.search(origin.rest.subject)
            conversation = hand.codes.get(asked.code or (named[1] if named else ""), "")
            seen = hand.seen(conversation, origin.at)
        reason = ""
        if not known:
            reason = "other_sender"
        elif token is None and "token" in policy.mail.require:
            reason = "bad_token" if origin.rest.details.get("token") else "no_token"
        elif token is not None and origin.at - token.made > policy.life:
            reason = "expired"
        elif token is not None and await self._hands.revoked(agent) >= token.made:
            reason = "revoked"
        elif "dkim" in policy.mail.require and signed != "pass":
            reason = "bad_signature" if signed == "fail" else "no_signature"
        if not conversation:
            return Credential(agent, "lost", reason=reason or "no_conversation", known=known)
        return Credential(agent, "claimed" if reason else "proved", conversation, seen, reason, known=known)


def _named(owner: str, hand: Hand, code: str, at: int) -> Credential:
    conversation = hand.codes.get(code, "")
    if not conversation:
        return Credential(owner, "lost", reason="unknown_code")
    return Credential(owner, "proved", conversation, hand.seen(conversation, at))


def colleague(address: str) -> bool:
    """Tell whether *address* is one that only people of the house have: members of a company on its own messenger."""
    return address.partition(":")[0] in IDS
