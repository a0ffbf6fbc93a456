"""What a TikTok Shop push means, as a pure function from its body to an event.

Source: TikTok Shop Partner Center, "Customer Service API overview", "Get Conversation Messages"
202309 (message types and their content) and the webhook topics NEW_CONVERSATION, NEW_MESSAGE and
NEW_MESSAGE_LISTENER.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from connectors.base import Echo, Event, Ignored, Malformed, Media, MessageType, Notice, Window
from connectors.marketplace import decode, identifier, milliseconds, moment, said, unwrap

TOPICS = {
    "1": "order_status_change",
    "3": "recipient_address_update",
    "4": "package_update",
    "5": "product_status_change",
    "6": "seller_deauthorization",
    "7": "upcoming_authorization_expiration",
    "11": "cancellation_status_change",
    "12": "return_status_change",
}

TYPES: dict[str, MessageType] = {
    "TEXT": "text",
    "IMAGE": "image",
    "VIDEO": "video",
    "EMOTICONS": "sticker",
    "PRODUCT_CARD": "product",
    "ORDER_CARD": "order",
    "LOGISTICS_CARD": "card",
    "RETURN_REFUND_CARD": "card",
    "COUPON_CARD": "card",
}

NOTICES = {
    "BUYER_ENTER_FROM_PRODUCT": "enter",
    "BUYER_ENTER_FROM_ORDER": "enter",
    "BUYER_ENTER_FROM_TRANSFER": "transfer",
    "ALLOCATED_SERVICE": "agent_joined",
    "NOTIFICATION": "notification",
}

OWN = frozenset({"SHOP", "CUSTOMER_SERVICE", "ROBOT"})

WINDOW = Window(30 * 24 * 3600)
"""A chat lets the shop write for so long ("can_send_message" of "Get Conversations"). An order or a return lets it
write longer, of which pushes say nothing."""

UNHEARD = "tiktok-conversation:"
"""Scheme of the address of a buyer whom the push does not name: the conversation stands for the buyer."""


def parse(body: bytes, *, now: int, shop_id: str = "") -> Event:
    """Return what the push *body* reports. Raises `Malformed`.

    Pushes for another shop than *shop_id* ("" = any) are ignored by name. Where the platform does
    not name the buyer (a new conversation, messages of the shop's own side) the address is
    `UNHEARD` and the conversation. *now* is the time of what carries none.
    """
    push = decode(body)
    topic, shop = identifier(push.get("type")), identifier(push.get("shop_id"))
    if not topic:
        raise Malformed("the push has no type")
    notification = identifier(push.get("tts_notification_id")) or hashlib.sha256(body).hexdigest()[:32]
    if shop_id and shop and shop != shop_id:
        return Ignored(notification, "another shop")
    if topic == "33":
        return Ignored(notification, "creator message")
    data = unwrap(push.get("data"))
    sent = milliseconds(push.get("timestamp")) or now
    if topic == "14":
        return _message(data, sent)
    if topic == "13":
        return _opened(data, notification, sent)
    if not shop:
        raise Malformed(f"the push of type {topic[:8]} names no shop")
    name = TOPICS.get(topic, f"type_{topic[:16]}")
    return Notice(notification, f"tiktok-shop:{shop}", sent, name, details={"data": data})


def _opened(data: dict[str, Any], notification: str, sent: int) -> Notice:
    conversation = _required(data, "conversation_id")
    at = milliseconds(data.get("create_time")) or sent
    return Notice(notification, UNHEARD + conversation, at, "enter", handle=conversation)


def _message(data: dict[str, Any], sent: int) -> Event:
    external_id, conversation = _required(data, "message_id"), _required(data, "conversation_id")
    if data.get("is_visible") is False:
        return Ignored(external_id, "not visible")
    sender = data.get("sender")
    if not isinstance(sender, dict):
        raise Malformed("the message has no sender")
    role, kind = identifier(sender.get("role")), identifier(data.get("type"))
    address = "tiktok:" + _required(sender, "im_user_id") if role == "BUYER" else UNHEARD + conversation
    index = identifier(data.get("index"))
    at = moment(index, milliseconds(data.get("create_time")) or sent)
    content = unwrap(data.get("content"))
    if role not in OWN | {"BUYER"} or kind in NOTICES:
        name = NOTICES.get(kind) or ("system" if role == "SYSTEM" else "message_by_unknown_role")
        details = _known(content, index=index, role=role, type=kind)
        return Notice(external_id, address, at, name, handle=conversation, details=details)
    text, media, rest = _content(kind, content)
    details = _known(rest, index=index, type="" if kind == "TEXT" else kind)
    if role != "BUYER":
        details = _known(details, role=role)
    return said(
        own=role in OWN,
        external_id=external_id,
        address=address,
        at=at,
        handle=conversation,
        text=text,
        type=TYPES.get(kind, "other"),
        media=media,
        author=_text(sender.get("nickname")) or ("" if role == "BUYER" else role.lower()),
        details=details,
        window=WINDOW,
    )


def _content(kind: str, content: dict[str, Any]) -> tuple[str, tuple[Media, ...], dict[str, Any]]:
    """Return text, media and what is left of *content*; content that is broken is text, so that somebody reads it."""
    rest = dict(content)
    text = _text(rest.pop("content", None)) if isinstance(rest.get("content"), str) else ""
    if not text and isinstance(rest.get("raw"), str):
        text = rest.pop("raw")
    url = _text(rest.get("url"))
    if kind not in ("IMAGE", "VIDEO", "EMOTICONS") or not url:
        return text, (), rest
    del rest["url"]
    known = kind == "VIDEO" and rest.get("format") == "mp4"
    return text, (Media(type="video/mp4" if known else "application/octet-stream", ref=url),), rest


def addressed(event: Event, customer: str) -> Event:
    """Return *event*, whose buyer the push did not name, at *customer*'s address ("" = nobody knows it yet).

    A conversation that opens without a buyer says nothing that the buyer's first message will not say.
    """
    if not isinstance(event, Notice | Echo) or not event.address.startswith(UNHEARD):
        return event
    if not customer:
        empty = isinstance(event, Notice) and event.name == "enter" and not event.details
        return Ignored(event.external_id, "conversation without a message") if empty else event
    return msgspec.structs.replace(event, address=customer)


def _known(details: dict[str, Any], **more: str) -> dict[str, Any]:
    return {**details, **{key: value for key, value in more.items() if value}}


def _required(holder: dict[str, Any], key: str) -> str:
    found = identifier(holder.get(key))
    if not found:
        raise Malformed(f"the message has no {key}")
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
