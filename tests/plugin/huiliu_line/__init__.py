"""LINE for Huiliu: text and pictures both ways (developers.line.biz, Messaging API)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from typing import ClassVar, Literal

import msgspec

from connectors.base import (
    Capabilities,
    Event,
    Ignored,
    Kit,
    Malformed,
    Media,
    Message,
    Notice,
    Options,
    Outbound,
    Received,
    Rejected,
    SecretStr,
    Sent,
    Uncertain,
    Unverified,
    WebhookCall,
)
from connectors.calls import call

NOTICES = {"follow": "follow", "unfollow": "unfollow"}


class LineOptions(Options):
    """What a LINE channel needs."""

    channel_secret: SecretStr
    access_token: SecretStr
    api_base: str = "https://api.line.me"


class Source(msgspec.Struct, frozen=True, rename="camel"):
    """Who an event comes from."""

    user_id: str = ""


class Content(msgspec.Struct, frozen=True):
    """The message of an event."""

    id: str
    type: str
    text: str = ""


class Item(msgspec.Struct, frozen=True, rename="camel"):
    """One event of a push."""

    type: str
    webhook_event_id: str
    timestamp: int
    source: Source = Source()
    message: Content | None = None


class Push(msgspec.Struct, frozen=True):
    """The body of a webhook call."""

    events: tuple[Item, ...]


class Pushed(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to a send."""

    sent_messages: tuple[SentMessage, ...]


class SentMessage(msgspec.Struct, frozen=True):
    """One accepted message."""

    id: str


class Line:
    """A LINE Official Account. Repeats of a send are dropped by the platform (X-Line-Retry-Key)."""

    kind: ClassVar[str] = "line"
    Options: ClassVar[type[Options]] = LineOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=5000,
        text_unit="utf16",
        media=frozenset({"image"}),
        media_limit=10 << 20,
        idempotent=True,
    )

    def __init__(self, options: LineOptions, kit: Kit) -> None:
        self._options = options
        self._kit = kit

    async def receive(self, call: WebhookCall) -> Received:
        secret = self._options.channel_secret.get_secret_value().encode()
        expected = base64.b64encode(hmac.digest(secret, call.body, hashlib.sha256))
        given = call.headers.get("X-Line-Signature", "")
        if not hmac.compare_digest(expected, given.encode()):
            raise Unverified("X-Line-Signature is missing or wrong")
        return Received(parse(call.body))

    async def send(self, message: Outbound) -> Sent:
        if len(message.text.encode("utf-16-le")) > 2 * 5000:
            raise Rejected("the text is longer than 5000 characters")
        items = [{"type": "text", "text": message.text}] if message.text else []
        items += [
            {"type": "image", "originalContentUrl": media.url, "previewImageUrl": media.url} for media in message.media
        ]
        reply = await call(
            self._kit.http,
            "POST",
            f"{self._options.api_base}/v2/bot/message/push",
            leaving=message.leaving,
            # 409: an earlier attempt with this key was accepted, so this one has nothing left to do.
            see=frozenset({409}),
            headers={
                "Authorization": f"Bearer {self._options.access_token.get_secret_value()}",
                "X-Line-Retry-Key": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._kit.channel}/{message.id}")),
            },
            json={"to": message.address.removeprefix("line:"), "messages": items},
        )
        if reply.status == 409:
            return Sent()
        try:
            pushed = msgspec.json.decode(reply.body, type=Pushed)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Uncertain("LINE accepted the message with an answer that cannot be read") from None
        return Sent(pushed.sent_messages[0].id if pushed.sent_messages else "")


def parse(body: bytes) -> tuple[Event, ...]:
    """Return the events of a push. Raises `Malformed`."""
    try:
        push = msgspec.json.decode(body, type=Push)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"not a LINE webhook: {type(error).__name__}") from None
    return tuple(event(item) for item in push.events)


def event(item: Item) -> Event:
    """Return what one item means."""
    if not item.webhook_event_id:
        raise Malformed("an event without webhookEventId")
    if not item.source.user_id:
        return Ignored(item.webhook_event_id, "no user")
    address = f"line:{item.source.user_id}"
    if item.message is None:
        return Notice(item.webhook_event_id, address, item.timestamp, NOTICES.get(item.type, item.type))
    kind: Literal["text", "image", "other"] = "other"
    media: tuple[Media, ...] = ()
    if item.message.type == "text":
        kind = "text"
    elif item.message.type == "image":
        kind, media = "image", (Media("image/jpeg", ref=item.message.id),)
    return Message(item.message.id, address, item.timestamp, text=item.message.text, type=kind, media=media)
