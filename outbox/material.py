"""What a delivery carries, as its log entry tells it: the same for an answer and for a letter."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from connectors.base import Capabilities, Choice, Media, PlatformTemplate, Rejected
from inbox import log as logbook
from inbox.channels import Channel
from inbox.conversations import Conversation, load
from inbox.log import Entry
from inbox.partitions import parse_id
from inbox.store import Store
from outbox import choices as pressed
from outbox.records import Delivery
from outbox.terms import Instead


class Body(msgspec.Struct, frozen=True):
    """What of an answer or a letter has no log field of its own."""

    html: str = ""
    subject: str = ""
    media: tuple[Media, ...] = ()
    choices: tuple[Choice, ...] = ()
    handle: str = ""
    refs: tuple[str, ...] = ()
    auto: bool = False
    legal: bool = False
    token: str = ""
    template: PlatformTemplate | None = None


class Writer(msgspec.Struct, frozen=True):
    """Who wrote it, as far as the reader is told."""

    name: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """What is to be sent. *choices* are those that the channel shows itself; others are in the text already."""

    at: int
    text: str
    html: str
    subject: str
    media: tuple[Media, ...]
    choices: tuple[Choice, ...]
    handle: str
    refs: tuple[str, ...]
    author: str
    auto: bool
    legal: bool
    token: str
    conversation: Conversation | None
    author_id: str = ""
    template: PlatformTemplate | None = None

    @classmethod
    def of(cls, entry: Entry, conversation: Conversation | None, capabilities: Capabilities) -> Material:
        """Take the log entry of an answer in *conversation*, or of a letter (None), for a channel that can so much."""
        body = msgspec.json.decode(entry.fields.get("b") or b"{}", type=Body)
        text, html, choices = entry.fields.get("tx", ""), body.html, body.choices
        linkless = capabilities.links_choices and not all(choice.url for choice in choices)
        if len(choices) > capabilities.choices or linkless:
            text = pressed.written(text, choices)
            html = pressed.written_html(html, choices) if html else ""
            choices = ()
        writer = msgspec.json.decode(entry.fields["au"], type=Writer)
        return cls(
            at=int(entry.fields["at"]),
            text=text,
            html=html,
            subject=body.subject,
            media=body.media,
            choices=choices,
            handle=conversation.handle if conversation is not None else body.handle,
            refs=body.refs,
            author=writer.name,
            auto=body.auto,
            legal=body.legal,
            token=body.token,
            conversation=conversation,
            author_id=writer.id,
            template=body.template,
        )

    def replaced(self, instead: Instead | None) -> Material:
        """Return what goes out in its place: by another channel as it is, as a template without its files."""
        if instead is None:
            return self
        if not instead.template:
            return replace(self, handle=instead.handle)
        same = self.conversation is not None and instead.channel == self.conversation.channel
        handle = self.handle if same else instead.handle
        return replace(
            self,
            text=instead.text,
            html="",
            subject=instead.subject or self.subject,
            media=(),
            choices=(),
            handle=handle,
            template=instead.approved,
        )


async def material(store: Store, delivery: Delivery, channel: Channel) -> Material:
    """Return what a delivery carries. Raises `Rejected` if that is gone, `StoreError`."""
    place = parse_id(delivery.message, "m")
    [entry] = await logbook.fetch(store, [(place.partition, place.key)])
    conversation = await load(store, delivery.conversation) if delivery.conversation else None
    if entry is None:
        raise Rejected("the message of this delivery is gone from the log")
    return Material.of(entry, conversation, channel.capabilities).replaced(delivery.instead)
