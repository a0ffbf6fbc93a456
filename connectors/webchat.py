"""Web chat: our own protocol between a visitor's page and the hub (docs/channels/webchat.md).

A visitor's box in the channel's memory holds the conversation in order: what the shop sent, and
an echo of what the visitor wrote, so that a reload or a second device shows the same. An echo
says nothing about durability; only the answer to the frame does.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal

import msgspec

from connectors import base, uploads
from connectors import webchat_visitors as visitors
from connectors.base import (
    Answer,
    Capabilities,
    Event,
    Kit,
    Media,
    Message,
    MessageType,
    Outbound,
    Receipt,
    Received,
    Rejected,
    Sent,
    Unverified,
    WebhookCall,
    mail_address,
    media_family,
)
from connectors.webchat_frames import (
    Delivered,
    Hint,
    Item,
    Ping,
    Read,
    Say,
    Typing,
    numbered,
    parse,
    parse_hello,
    parse_item,
    parse_upload,
)
from connectors.webchat_options import WebChatOptions
from connectors.webchat_pages import Pages
from connectors.webchat_visitors import Visitor

TEXT_LIMIT = 4000
"""Characters of one message, both ways."""

FRAME_LIMIT = 64 << 10
MOST_CHOICES = 12
KEEP = 30 * 86_400
"""Seconds for which a conversation waits for its visitor after the last message."""

FEED_WAIT = 25.0
FEED_LIFE = 6 * 3_600_000
"""Milliseconds after which a feed ends and the page comes again: a revoked key or a moved store is noticed."""

TYPING_LIFE = 8_000
MOST_RECEIPTS = 500
SCHEME = "visitor:"
JSON = "application/json"


class WebChat:
    """A chat page and widget of our own."""

    kind: ClassVar[str] = "webchat"
    Options: ClassVar[type[base.Options]] = WebChatOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=TEXT_LIMIT,
        media=frozenset({"image", "file", "voice", "video"}),
        media_limit=25 << 20,
        mixed=True,
        receipts=frozenset({"delivered", "read"}),
        idempotent=True,
        choices=MOST_CHOICES,
    )

    def __init__(self, options: WebChatOptions, kit: Kit) -> None:
        self._options = options
        self._kit = kit
        self.origins = frozenset(options.allowed_origins)
        self._root = f"/chat/{kit.channel}"
        self._pages = Pages(options, kit, text_limit=TEXT_LIMIT)
        self._key: bytes = options.secret.get_secret_value().encode() if options.secret else b""

    async def page(self, call: WebhookCall) -> Answer:
        """Answer the page, the widget and their files."""
        return self._pages.answer(call)

    async def receive(self, call: WebhookCall) -> Received:
        """Take one frame (socket and /frames), one file (/files) or a request for a token (/hello)."""
        door = call.path.removeprefix(self._root)
        if door not in ("/hello", "/files", "/frames", "/socket"):
            return _error("", "unknown", 404)
        self._pages.admit(call)
        key = await self._signing_key()
        if door == "/hello":
            return self._hello(call, key)
        visitor = visitors.check(_token(call), key, call.now)
        if door == "/files":
            return await self._file(visitor, call)
        if len(call.body) > FRAME_LIMIT:
            return _error("", "too_large", 413)
        frame = parse(call.body)
        if isinstance(frame, Say):
            return await self._say(visitor, frame, call.now)
        if isinstance(frame, Ping | Typing):
            return Received((), _ack())  # a visitor's keystrokes are nobody's event
        return await self._seen(visitor, frame, call.now)

    async def feed(self, call: WebhookCall) -> AsyncIterator[str]:
        """Yield the visitor's conversation after position ?after=, then what is added to it."""
        self._pages.admit(call)
        visitor = visitors.check(_token(call), await self._signing_key(), call.now)
        box, after = _box(visitor.id), _position(call.query.get("after", ""))
        while (now := self._kit.now()) < call.now + FEED_LIFE:
            for position, item in await self._kit.memory.wait(box, after, timeout=FEED_WAIT):
                after = position
                if item.startswith('{"type":"typing"') and parse_item(item).at < now - TYPING_LIFE:
                    continue
                yield numbered(item, position)

    async def send(self, message: Outbound) -> Sent:
        """Put *message* into its visitor's box, where it waits for him; a second send changes nothing."""
        if len(message.text) > TEXT_LIMIT:
            raise Rejected(f"a web chat message has at most {TEXT_LIMIT} characters")
        box = _box(_visitor(message.address))
        if not all(media.url.startswith(("https://", "http://", "/")) for media in message.media):
            raise Rejected("a web chat can show a file only by a public address, and this one has none")
        media = tuple({"name": one.name, "type": one.type, "size": one.size, "url": one.url} for one in message.media)
        choices = tuple({"id": one.id, "label": one.label} for one in message.choices)
        item = Item(message.id, message.at, message.text, author=message.author, media=media, choices=choices)
        await message.leaving()
        await self._post(box, f"out:{message.id}", item)
        return Sent(external_id=message.id)

    async def forget(self, address: str) -> None:
        """Remove what the visitor's page would show of the chat."""
        if address.startswith(SCHEME):
            await self._kit.memory.empty(_box(_visitor(address)))

    async def typing(self, address: str, handle: str, *, on: bool) -> None:  # noqa: ARG002  # handles are not used here
        """Show or hide "is typing" on the visitor's page; at most one hint in four seconds is kept."""
        now = self._kit.now()
        await self._post(_box(_visitor(address)), f"typing:{on}:{now // 4000}", Hint(on, now))

    def _hello(self, call: WebhookCall, key: bytes) -> Received:
        """Give a token: for the shop's customer if he is named, for the known visitor, else for a new one."""
        hello = parse_hello(call.body)
        known = True
        if hello.user:
            if self._options.identity_secret is None:
                raise Unverified("this channel has no identity_secret, so nobody can name himself")
            visitor = visitors.identify(hello.user, self._options.identity_secret.get_secret_value().encode(), call.now)
        else:
            try:
                visitor = msgspec.structs.replace(visitors.check(hello.token, key, call.now), at=call.now // 1000)
            except Unverified:
                known, visitor = False, Visitor(f"a-{secrets.token_urlsafe(16)}", call.now // 1000)
        body = {"type": "hello", "visitor": visitor.id, "known": known, "token": visitors.sign(visitor, key)}
        return Received((), Answer(200, msgspec.json.encode(body), JSON))

    async def _say(self, visitor: Visitor, frame: Say, now: int) -> Received:
        text = frame.text.replace("\r\n", "\n").replace("\0", "").strip()
        if not text:
            return _error(frame.id, "empty")
        if len(text) > TEXT_LIMIT:
            return _error(frame.id, "too_long")
        await self._post(_box(visitor.id), f"in:{frame.id}", Item(frame.id, now, text, own=True, choice=frame.choice))
        return Received((_message(visitor, frame.id, now, text=text, choice=frame.choice),), _ack(id=frame.id))

    async def _file(self, visitor: Visitor, call: WebhookCall) -> Received:
        upload = parse_upload(call.query)
        if not call.body:
            return _error(upload.id, "empty")
        if len(call.body) > self._options.max_file:
            return _error(upload.id, "too_large", 413)
        mime = uploads.sniff(call.body, upload.name)
        media = Media(mime, uploads.clean_name(upload.name, mime), len(call.body), call.body)
        shown = {"name": media.name, "type": mime, "size": media.size}
        await self._post(_box(visitor.id), f"in:{upload.id}", Item(upload.id, call.now, own=True, media=(shown,)))
        family: MessageType = media_family(mime)  # type: ignore[assignment]  # its four words are message types
        event = _message(visitor, upload.id, call.now, type=family, media=(media,))
        return Received((event,), _ack(id=upload.id, media=[shown]))

    async def _seen(self, visitor: Visitor, frame: Delivered | Read, now: int) -> Received:
        """Say which of the shop's messages the page has shown; what it says twice is the same receipt."""
        state: Literal["delivered", "read"] = "read" if isinstance(frame, Read) else "delivered"
        box = await self._kit.memory.read(_box(visitor.id), frame.after)
        seen = [parse_item(item) for position, item in box if position <= frame.upto]
        messages = [item for item in seen if isinstance(item, Item) and not item.own]
        events = [Receipt(item.id, state, now) for item in messages[-MOST_RECEIPTS:]]
        return Received(events, _ack(**{state: frame.upto}))

    async def _post(self, box: str, item_id: str, item: Item | Hint) -> None:
        await self._kit.memory.post(box, item_id, msgspec.json.encode(item).decode(), keep=KEEP)

    async def _signing_key(self) -> bytes:
        if not self._key:
            memory = self._kit.memory
            async with memory.lock("signing-key", seconds=10):
                stored = await memory.get("signing-key")
                if stored is None:
                    stored = secrets.token_urlsafe(32)
                    await memory.put("signing-key", stored)
            self._key = stored.encode()
        return self._key


MAIL = re.compile(r"[^\s<>@,;:\"()\[\]\\]{1,64}@[^\s<>@,;:\"()\\]{1,190}")


def _message(visitor: Visitor, id: str, now: int, **fields: Any) -> Event:
    details = {"email": visitor.email} if visitor.email else {}
    # Only an identity that the shop has signed has an address; as in mail, it is kept in small letters.
    proven = (f"mailto:{mail_address(visitor.email)}",) if MAIL.fullmatch(visitor.email) else ()
    external = f"{visitor.id}:{id}"
    return Message(external, SCHEME + visitor.id, now, name=visitor.name, details=details, proven=proven, **fields)


def _token(call: WebhookCall) -> str:
    """Return the visitor's token: in Authorization, as a socket's second subprotocol, or in the query.

    The query is for programs only: addresses end up in logs of proxies.
    """
    authorization = call.headers.get("Authorization")
    if authorization is not None:
        return authorization[7:] if authorization.startswith("Bearer ") else ""
    offered = call.headers.get("Sec-WebSocket-Protocol", "").partition(",")[2].strip()
    return offered or call.query.get("visitor", "")


def _visitor(address: str) -> str:
    if not address.startswith(SCHEME):
        raise Rejected("a web chat reaches addresses of the form visitor:… only")
    return address.removeprefix(SCHEME)


def _box(visitor: str) -> str:
    return f"chat:{visitor}"


def _position(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _ack(**fields: Any) -> Answer:
    return Answer(200, msgspec.json.encode({"type": "ack", **fields}), JSON)


def _error(id: str, code: str, status: int = 400) -> Received:
    return Received((), Answer(status, msgspec.json.encode({"type": "error", "id": id, "code": code}), JSON))
