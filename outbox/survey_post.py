"""Sends what a survey says: within the conversation that it is about, or as a letter where there is none."""

from __future__ import annotations

from inbox.conversations import Conversation, NoConversation, load
from inbox.partitions import Id, digest, key, tag
from outbox.asking import Asked
from outbox.deliveries import Author, Delivery, Reply
from outbox.letters import Letter
from outbox.means import Means
from outbox.planner import APPROVED, prefers_templates
from outbox.responses import Invitation
from outbox.terms import NOW, Instead, Terms

HUB = Author("hub")
INVITE, REMIND, THANK, ASK = "invite", "remind", "thank", "ask"


def client_id(one: Invitation, what: str) -> str:
    """Return what makes a message of an invitation one message, however often it is owed."""
    return f"survey:{one.id}:{what}"


def own(one: Invitation, questions: tuple[str, ...]) -> frozenset[str]:
    """Return the keys of all deliveries that an invitation may have within its conversation."""
    kinds = [INVITE, REMIND, THANK, *(f"{ASK}:{name}" for name in questions)]
    return frozenset(digest(one.conversation, "client", client_id(one, what)) for what in kinds)


async def conversation_of(means: Means, one: Invitation) -> Conversation | None:
    """Return the conversation that an invitation is about, None if there is none or it is archived."""
    if not one.conversation:
        return None
    try:
        return await load(means.store, one.conversation)
    except NoConversation:
        return None


def within(one: Invitation, conversation: Conversation | None) -> bool:
    """Tell whether an invitation is sent within its conversation."""
    return conversation is not None and (conversation.channel, conversation.address) == (one.channel, one.address)


async def post(
    means: Means, one: Invitation, conversation: Conversation | None, asked: Asked, what: str
) -> tuple[Delivery, bool]:
    """Owe a message of an invitation; return its delivery and whether it is new. Raises `StoreError`."""
    now = means.now()
    if conversation is not None and within(one, conversation):
        reply = Reply(
            HUB,
            asked.text,
            subject=asked.subject if means.capabilities(one.channel).threads and not conversation.handle else "",
            client_id=client_id(one, what),
            auto=True,
            choices=asked.choices,
            lane="survey",
        )
        delivery, fresh = await means.deliveries.enqueue(conversation, reply, now, terms=_terms(means, one, asked))
    else:
        letter = Letter(
            channel=one.channel,
            address=one.address,
            key=client_id(one, what),
            lane="survey",
            text=asked.text,
            subject=asked.subject,
            choices=asked.choices,
            about=one.conversation,
            template=asked.template,
        )
        delivery, fresh = await means.deliveries.owe_letter(letter, now)
    return delivery, fresh


def _terms(means: Means, one: Invitation, asked: Asked) -> Terms:
    """Return in what form an invitation leaves that stands in a conversation."""
    if asked.template is None:
        return NOW
    because = APPROVED if prefers_templates(means.capabilities(one.channel)) else "window_closed"
    how = Instead(
        one.channel, one.address, template=one.survey, text=asked.text, approved=asked.template, because=because
    )
    return Terms(instead=how)


async def belongs(means: Means, one: Invitation, delivery: Delivery) -> None:
    """Remember whose a delivery is, to learn that it could not be made. Raises `StoreError`."""
    place: Id = delivery.place
    await means.store.do(tag(place.partition), "HSET", key(place.partition, "ivof"), place.key, one.id)
