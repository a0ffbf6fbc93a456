"""The contract between the hub and a connector: what it is given, what it returns, how it fails.

A connector is *given* options and a `Kit`, and *returns* events. It never writes to the store,
never answers around the ingress and never calls back. This module and `connectors.testing` are
all that a third-party connector needs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, SecretStr

if TYPE_CHECKING:
    import aiohttp  # workers that only parse need not load it

__all__ = [
    "Answer",
    "BadOptions",
    "Capabilities",
    "Choice",
    "Closer",
    "Connector",
    "ConnectorError",
    "Echo",
    "Event",
    "Fetcher",
    "Forgetful",
    "Ignored",
    "Kit",
    "Known",
    "Leftover",
    "Listener",
    "Malformed",
    "Media",
    "Memory",
    "Message",
    "Metered",
    "Notice",
    "Options",
    "Outbound",
    "OutboundMedia",
    "PlatformTemplate",
    "Querier",
    "Question",
    "Receipt",
    "Received",
    "Rejected",
    "SecretStr",
    "SendError",
    "Sent",
    "Site",
    "Throttled",
    "Typist",
    "Uncertain",
    "Unreachable",
    "Unverified",
    "Webhook",
    "WebhookCall",
    "Window",
    "WindowClosed",
]

MessageType = Literal[
    "text", "image", "voice", "video", "file", "location", "link", "card", "order", "product", "sticker", "other"
]


class Media(Struct, frozen=True, omit_defaults=True):
    """A file that came with a message: either its bytes, or a reference that `Fetcher.fetch` understands.

    *type* is a MIME type ("application/octet-stream" when the platform does not say), *size* is in
    bytes (0 = unknown). *cid* is the Content-ID by which HTML refers to it.
    """

    type: str
    name: str = ""
    size: int = 0
    data: bytes | None = None
    ref: str = ""
    cid: str = ""


class Choice(Struct, frozen=True, omit_defaults=True):
    """One thing that the reader of a message may press: *id* comes back in `Message.choice`, *label* is what is read.

    *url* is a page that asks the same, for where nothing can be pressed (mail, SMS).
    """

    id: str
    label: str
    url: str = ""


class Window(Struct, frozen=True, omit_defaults=True):
    """The right to answer that an event grants: for *seconds*, at most *messages* (None = unlimited).

    No messages at all (0) take back whatever was granted before: the customer has left.
    """

    seconds: int
    messages: int | None = None


class Message(Struct, frozen=True, omit_defaults=True, tag_field="event", tag="message"):
    """What a customer wrote.

    *external_id* is the platform's id, the same whenever the platform repeats the message; it is
    unique within the channel. *address* is scheme + value ("tel:+8613800138000", "mailto:a@b.cn",
    "wechat:<openid>"). *at* is when the customer wrote it, in milliseconds since 1970 UTC.
    *refs* are external ids of messages that this one answers (mail). *handle* is whatever the
    connector needs to answer this conversation; it comes back in `Outbound.handle`. *auto* marks
    mail written by a machine, which is never answered automatically. *choice* is the `Choice.id`
    that was pressed, where the platform says so. *proven* are further addresses of the very same person, for which
    the platform or the shop itself stands ("unionid:…", a signed "mailto:…"): never what somebody only typed.
    *details* keeps platform fields that have no name of their own here; JSON values only.
    """

    external_id: str
    address: str
    at: int
    text: str = ""
    type: MessageType = "text"
    name: str = ""
    subject: str = ""
    html: str = ""
    media: tuple[Media, ...] = ()
    refs: tuple[str, ...] = ()
    handle: str = ""
    window: Window | None = None
    auto: bool = False
    choice: str = ""
    details: dict[str, Any] = msgspec.field(default_factory=dict)
    proven: tuple[str, ...] = ()


class Notice(Struct, frozen=True, omit_defaults=True, tag_field="event", tag="notice"):
    """What a customer did that is no message: followed, entered a chat, clicked a menu, unsubscribed.

    *name* is ours where the meaning is common ("follow", "unfollow", "enter", "scan", "click",
    "view", "location", "opt_out", "opt_in"), else the platform's event name.
    """

    external_id: str
    address: str
    at: int
    name: str
    window: Window | None = None
    handle: str = ""
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class Receipt(Struct, frozen=True, omit_defaults=True, tag_field="event", tag="receipt"):
    """What became of a message that we sent; *message_id* is the `Sent.external_id` of the send.

    Repeats of one receipt carry the same (*message_id*, *state*).
    """

    message_id: str
    state: Literal["sent", "delivered", "read", "failed"]
    at: int
    error: str = ""


class Echo(Struct, frozen=True, omit_defaults=True, tag_field="event", tag="echo"):
    """A message of our side as the platform reports it: sent by the hub, or by a person in the platform's own tool."""

    external_id: str
    address: str
    at: int
    text: str = ""
    type: MessageType = "text"
    media: tuple[Media, ...] = ()
    author: str = ""
    handle: str = ""
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class Ignored(Struct, frozen=True, omit_defaults=True, tag_field="event", tag="ignored"):
    """Something that is deliberately not kept; *reason* is a short fixed phrase, counted per reason."""

    external_id: str
    reason: str


Event = Message | Notice | Receipt | Echo | Ignored


class WebhookCall(Struct, frozen=True):
    """One HTTP request (or one frame of a chat socket) as the platform made it.

    *url* is the full public URL with its query, as the platform knows it (signatures cover it).
    *query* and *headers* are case-preserving mappings; header lookup is case-insensitive.
    *now* is in milliseconds since 1970 UTC.
    """

    method: str
    url: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    remote: str
    now: int


class Answer(Struct, frozen=True):
    """The HTTP answer that the ingress gives once the events are durable."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Leftover(Struct, frozen=True):
    """What of a call could not be understood while the rest could: a *body* with nothing else in it, and why."""

    body: bytes
    error: str


class Received(Struct, frozen=True):
    """What a call meant: events to store, then the answer to give; what is *left* over is shunted before that."""

    events: Sequence[Event] = ()
    answer: Answer = Answer()
    left: Leftover | None = None


class OutboundMedia(Struct, frozen=True):
    """A file to send. *read* returns its bytes; *url* is a public, signed, expiring address of the same bytes."""

    type: str
    name: str
    size: int
    read: Callable[[], Awaitable[bytes]]
    url: str = ""


class PlatformTemplate(Struct, frozen=True, omit_defaults=True):
    """A message that the platform has approved beforehand: its *id* there, and the text of each of its places.

    *url* is the page that it leads to, if any.
    """

    id: str
    data: Mapping[str, str] = msgspec.field(default_factory=dict)
    url: str = ""


class Outbound(Struct, frozen=True):
    """One platform message to send: the outbox has already cut it to the connector's capabilities.

    *id* is the same for every attempt: the idempotency id where the platform honours one.
    Call *leaving* directly before the request that cannot be taken back: it marks the delivery as
    possibly gone and raises if another process has taken it over. *choices* come only where
    `Capabilities.choices` allows them: the connector shows them in the platform's own form, below the text.
    *token* is a word of small letters and digits that the answer to this very message shall carry, where a kind can
    have it so; it comes back in `Message.details["token"]`.
    *template* comes only where `Capabilities.templates` allows it, and then takes the place of text and files.
    *unsubscribe* is the page by which this recipient ends such messages, for platforms with a place for it.
    """

    id: str
    address: str
    at: int
    leaving: Callable[[], Awaitable[None]]
    text: str = ""
    html: str = ""
    subject: str = ""
    media: tuple[OutboundMedia, ...] = ()
    handle: str = ""
    refs: tuple[str, ...] = ()
    author: str = ""
    auto: bool = False
    choices: tuple[Choice, ...] = ()
    token: str = ""
    template: PlatformTemplate | None = None
    unsubscribe: str = ""


class Sent(Struct, frozen=True):
    """The platform accepted a message: its id there ("" when the platform gives none)."""

    external_id: str = ""
    state: Literal["sent", "delivered"] = "sent"
    handle: str = ""


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a channel kind can carry, as data: the outbox enforces it and the console shows it.

    *text_limit* counts *text_unit* ("chars" code points, "utf16" code units, "bytes" UTF-8 bytes;
    None = no limit). *media* lists outbound families out of "image", "file", "voice", "video".
    *media_limit* is the size of one file in bytes, *media_total* of all files of one message, *media_count*
    their number (0 = no limit).
    *mixed*: text and media travel in one message. *window* is the usual right to answer.
    *receipts*: states that the platform reports back. *idempotent*: the platform (or its receiver)
    drops a second send with the same `Outbound.id`, so an uncertain send may be repeated.
    *threads*: a message without refs opens a conversation of its own. *rate* is messages per second
    for one channel, unless the channel's options say otherwise. *choices* is how many choices one
    message can offer in the platform's own form (0 = none: the outbox writes them into the text); with *links_choices*
    that is a link, and every choice needs its page.
    *staff*: agents may work through this kind, so that the hub may write to them and take their answers.
    *templates*: it sends what the platform has approved beforehand, which needs no window. *texts*: it sends free
    text, too; without that only templates.
    *reaches*: schemes of addresses that may be written to although they have never written on this channel.
    *links*: a message may hold web addresses; marketplaces forbid that.
    """

    text_limit: int | None = None
    text_unit: Literal["chars", "utf16", "bytes"] = "chars"
    media: frozenset[str] = frozenset()
    media_limit: int = 0
    media_total: int = 0
    media_count: int = 0
    mixed: bool = False
    html: bool = False
    window: Window | None = None
    receipts: frozenset[str] = frozenset()
    idempotent: bool = False
    threads: bool = False
    rate: float | None = None
    choices: int = 0
    links_choices: bool = False
    staff: bool = False
    templates: bool = False
    texts: bool = True
    reaches: frozenset[str] = frozenset()
    links: bool = True


class ConnectorError(Exception):
    """Base of everything a connector may raise on purpose. No message ever holds a secret or personal data."""


class Unverified(ConnectorError):
    """The call does not prove that it comes from the platform; it is refused with 403 and nothing is kept."""


class Malformed(ConnectorError):
    """The call is genuine but cannot be understood; the raw payload is shunted and the platform gets 200."""


class SendError(ConnectorError):
    """A send did not succeed; the subclass says what may be done about it.

    *code* is the platform's own code, for the timeline.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Unreachable(SendError):
    """The platform was not reached or said it is busy: nothing left, try again later."""

    retryable = True


class Throttled(SendError):
    """The platform asks us to slow down; try again after *retry_after* seconds."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float, code: str = "") -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Uncertain(SendError):
    """The request left but no answer came: the message may have gone out. Never resent blindly."""


class Rejected(SendError):
    """The platform refuses this message or this recipient for good."""


class WindowClosed(SendError):
    """The platform's reply window is closed or its quota used up; another channel or template may do."""


class BadOptions(SendError):
    """The channel's own settings are refused (credentials, permission, address list): an admin must act."""


class Memory(Protocol):
    """Small shared state of one channel, durable and common to all hub processes."""

    async def get(self, key: str) -> str | None: ...

    async def put(self, key: str, value: str, *, ttl: float | None = None) -> None:
        """Set *key*; it vanishes after *ttl* seconds if given."""

    async def forget(self, key: str) -> None: ...

    def lock(self, name: str, *, seconds: float) -> AbstractAsyncContextManager[None]:
        """Hold *name* alone among all processes, waiting for it; given up by force after *seconds*."""

    async def post(self, box: str, item_id: str, item: str, *, keep: float) -> int:
        """Append *item* to a durable ordered box unless *item_id* is in it already; return its position (1, 2, …).

        Items are kept for *keep* seconds after the last post.
        """

    async def read(self, box: str, after: int) -> list[tuple[int, str]]:
        """Return the items of *box* with a position greater than *after*, oldest first."""

    async def empty(self, box: str) -> None:
        """Remove *box* with all that is in it."""

    async def wait(self, box: str, after: int, *, timeout: float) -> list[tuple[int, str]]:
        """Like `read`, but wait up to *timeout* seconds for the first item (posted by any process)."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What the hub gives every connector: its channel's name, HTTP session, shared memory, public URL and clock.

    *public_url* is the hub's address without a trailing slash; this channel's webhook is
    `{public_url}/hooks/{channel}`. *now* returns milliseconds since 1970 UTC.
    """

    channel: str
    http: aiohttp.ClientSession
    memory: Memory
    public_url: str
    now: Callable[[], int]


class Options(BaseModel):
    """Base of every connector's options: strict, frozen, secrets as `SecretStr`.

    For each `SecretStr` field *x* the configuration also accepts *x*_file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Connector(Protocol):
    """One configured channel's code. Constructed as ``Class(options, kit)``; must not do I/O until used."""

    kind: ClassVar[str]
    Options: ClassVar[type[Options]]
    capabilities: ClassVar[Capabilities]

    def __init__(self, options: Any, kit: Kit) -> None: ...

    async def send(self, message: Outbound) -> Sent:
        """Send one platform message, or raise a `SendError`."""


@runtime_checkable
class Webhook(Protocol):
    """Optional: the platform calls us at /hooks/{channel}."""

    async def receive(self, call: WebhookCall) -> Received:
        """Verify, then parse. Raises `Unverified` or `Malformed`, and nothing else."""


@runtime_checkable
class Listener(Protocol):
    """Optional: we ask the platform. One process at a time listens for a channel.

    A listener that mends itself says in an attribute *trouble* why it hears nothing now, "" while it does.
    """

    def listen(self) -> AsyncGenerator[Event]:
        """Yield events for ever. The line after a `yield` runs once that event is durable: mark it seen there."""


@runtime_checkable
class Closer(Protocol):
    """Optional: there is something to give back when the channel is no longer used."""

    async def close(self) -> None: ...


@runtime_checkable
class Fetcher(Protocol):
    """Optional: media come as references that must be downloaded."""

    async def fetch(self, media: Media) -> Media:
        """Return *media* with its data (and what was learnt of type and name). Raises a `SendError`."""


class Question(Struct, frozen=True):
    """What of ours reached *address* since *at*? *id* is the `Outbound.id` of the message that is in doubt."""

    id: str
    address: str
    at: int
    handle: str = ""


class Known(Struct, frozen=True):
    """A message of ours as the platform knows it: its id there, its words, and what became of it."""

    external_id: str
    text: str
    state: Literal["sent", "delivered", "read", "failed"] = "sent"
    error: str = ""


@runtime_checkable
class Querier(Protocol):
    """Optional: the platform tells afterwards what it took."""

    async def query(self, question: Question) -> tuple[Known, ...] | None:
        """Return all messages of ours that the question is about, oldest first; None if that is not certain.

        A message that is left out here is sent again: say None rather than too little. Raises a `SendError`.
        """


@runtime_checkable
class Forgetful(Protocol):
    """Optional: the connector remembers something of its customers besides what it gives the hub."""

    async def forget(self, address: str) -> None:
        """Remove all that is remembered of *address*: the person is erased by law. Doing it twice changes nothing."""


@runtime_checkable
class Typist(Protocol):
    """Optional: the platform can show that somebody is typing."""

    async def typing(self, address: str, handle: str, *, on: bool) -> None: ...


@runtime_checkable
class Metered(Protocol):
    """Optional: a message costs more than itself."""

    def segments(self, text: str) -> int:
        """Return as how many messages the carrier counts *text*."""


@runtime_checkable
class Site(Protocol):
    """Optional: pages and a live socket of the channel's own, below /chat/{channel}/.

    The ingress owns HTTP and sockets. A POST below /chat/{channel}/ and every text frame of
    /chat/{channel}/socket becomes a `WebhookCall` for `receive`; its answer's body is sent back on
    the same way after the events are durable.

    A connector that has `origins`, a frozenset of origins in lower case ("https://www.example.com"), lets
    browsers show pages of these sites what its POSTs and its poll answer (CORS); without it, its own pages only.
    """

    async def page(self, call: WebhookCall) -> Answer:
        """Answer a GET below /chat/{channel}/."""

    async def receive(self, call: WebhookCall) -> Received: ...

    def feed(self, call: WebhookCall) -> AsyncIterator[str]:
        """Yield text frames for the visitor who opened *call* (the socket's GET), oldest unseen first, for ever.

        Raises `Unverified` before the first frame when the visitor or the origin is not accepted.
        """


def media_family(mime: str) -> str:
    """Name the outbound family ("image", "voice", "video", "file") that a MIME type belongs to."""
    family = mime.partition("/")[0]
    return {"image": "image", "audio": "voice", "video": "video"}.get(family, "file")


def mail_address(text: str) -> str:
    """Return a mail address in the one spelling of it that addresses of customers have."""
    return text.strip(".").lower()
