"""Whose the things of the outbox are: by the conversation that each belongs to, a caller may know of it or not."""

from __future__ import annotations

from inbox.visibility import Owners
from outbox.deliveries import Deliveries, Delivery
from outbox.drafts import Drafts
from outbox.invitations import Invitations
from outbox.responses import Invitation


def owners(deliveries: Deliveries, drafts: Drafts, invitations: Invitations) -> Owners:
    """Return how the conversations of deliveries, drafts and survey responses are found, for `Visibility`."""

    async def of_delivery(delivery: str) -> str:
        return concerned(await deliveries.load(delivery))

    async def of_draft(draft: str) -> str:
        return (await drafts.load(draft)).conversation

    async def of_response(response: str) -> str:
        found = await invitations.response(response)
        return asked_in(await invitations.load(found.invitation))

    return {
        ("deliveries", "id"): of_delivery,
        ("dead", "id"): of_delivery,
        ("webhooks", "id"): of_delivery,
        ("drafts", "id"): of_draft,
        ("surveys", "response"): of_response,
    }


def concerned(delivery: Delivery) -> str:
    """Return the conversation of a delivery, or the one that a letter is about; "" if there is none."""
    about = delivery.conversation or delivery.about
    return about if about.startswith("c") else ""  # that of a bulk send is about the bulk send


def asked_in(one: Invitation | None) -> str:
    """Return the conversation for which somebody was asked, "" if there is none."""
    return one.conversation if one is not None else ""
