"""What every part of the surveys works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from config.settings import Settings
from config.surveys import Survey
from connectors.base import Capabilities
from inbox import contacts
from inbox.channels import NOTHING, Channels
from inbox.conversations import Conversation
from inbox.partitions import key, partition_of, tag
from inbox.store import Store
from inbox.wakes import Wakes
from outbox.asking import Occasion, chosen_language
from outbox.deliveries import Deliveries
from outbox.invitations import Invitations
from outbox.obstacles import Objection
from outbox.reservations import Reservations
from outbox.responses import Invitation


@dataclass(frozen=True, slots=True)
class Means:
    """*surveys* are those of the configuration in use; *page* gives the address of an invitation's page."""

    store: Store
    wakes: Wakes
    deliveries: Deliveries
    channels: Channels
    invitations: Invitations
    reservations: Reservations
    surveys: Callable[[], Mapping[str, Survey]]
    settings: Callable[[], Settings]
    page: Callable[[str], str]
    now: Callable[[], int]
    objections: Sequence[Objection] = ()

    def capabilities(self, channel: str) -> Capabilities:
        """Return what a channel can carry; nothing if it is not configured any more."""
        known = self.channels.get(channel)
        return known.capabilities if known is not None else NOTHING

    async def open(self, channel: str, address: str) -> bool:
        """Tell whether the platform takes a message for an address now. Raises `StoreError`."""
        if self.capabilities(channel).window is None:
            return True
        partition = partition_of(address)
        fields = (f"wu:{channel}", f"wl:{channel}")
        until, left = await self.store.do(tag(partition), "HMGET", key(partition, f"a:{address}"), *fields)
        return int(until or 0) > self.now() and left != "0"

    async def ways(self, channels: Sequence[str], contact: str) -> list[tuple[str, str]]:
        """Return the channels, with the address, on which a contact has written before. Raises `StoreError`.

        The one that the contact prefers comes first, then they come as in *channels*.
        """
        found: list[tuple[str, str]] = []
        if not channels or not contact:
            return found
        [(_, fields)] = await contacts.load_many(self.store, [contact])
        latest = [f"conv:{channel}" for channel in channels]
        for address in contacts.addresses_of(fields):
            partition = partition_of(address)
            known = await self.store.do(tag(partition), "HMGET", key(partition, f"a:{address}"), *latest)
            found += [(channel, address) for channel, one in zip(channels, known, strict=True) if one]
        preferred = fields.get("channel")
        return sorted(found, key=lambda way: (way[0] != preferred, channels.index(way[0])))

    def occasion(self, survey: Survey, one: Invitation, conversation: Conversation | None) -> Occasion:
        """Return what the words of an invitation depend on."""
        settings = self.settings()
        team, agent = settings.teams.get(one.team), settings.agents.get(one.agent)
        values = {
            "contact.name": conversation.name if conversation is not None else "",
            "conversation.id": one.conversation,
            "team.name": str(team.name) if team else "",
            "agent.name": str(agent.name) if agent else "",
            "channel.name": one.channel,
        }
        language = chosen_language(survey, one.language, settings.locale)
        return Occasion(one.id, language, self.page(one.id), values)
