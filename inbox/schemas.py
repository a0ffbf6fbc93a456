"""The shapes of what the API shows, as types: what its description says of them, and what a typed client reads.

Where they are made: `inbox.shapes`, and the endpoints. Fields may be added, never renamed.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from inbox.openapi import Time

Role = Literal["readonly", "agent", "supervisor", "admin"]
Status = Literal["open", "pending", "snoozed", "resolved"]
Lane = Literal["reply", "notice", "survey", "campaign"]
State = Literal["queued", "sending", "sent", "delivered", "read", "deferred", "uncertain", "failed", "dead"]
Maybe = msgspec.UnsetType
"""What is not there at all where it makes no sense."""


class Contact(msgspec.Struct):
    """A customer."""

    id: str
    name: str | None
    addresses: list[str]
    tags: list[str]
    tier: str | None
    language: str | None


class Due(msgspec.Struct):
    """The promise that holds, and when its clocks are due."""

    policy: str | None
    first_reply_due: Time | None
    next_reply_due: Time | None
    resolution_due: Time | None
    paused: list[str]
    warned: list[str]
    breached: list[str]


class Window(msgspec.Struct):
    """Until when and how often the customer may be answered."""

    open_until: Time | None
    messages_left: int | None


class Assignment(msgspec.Struct):
    """When and why it was last given to somebody."""

    at: Time | None
    reason: str | None


class Attention(msgspec.Struct):
    """Why somebody has to look at it: an answer that did not arrive."""

    reason: Literal["undelivered"]
    delivery: str


class Conversation(msgspec.Struct):
    """A conversation."""

    id: str
    channel: str
    kind: str
    status: Status
    team: str | None
    agent: str | None
    priority: Literal["low", "normal", "high", "urgent"]
    stage: str | None
    tags: list[str]
    subject: str
    contact: Contact
    opened_at: Time | None
    last_message_at: Time | None
    last_inbound_at: Time | None
    first_reply_at: Time | None
    resolved_at: Time | None
    snoozed_until: Time | None
    messages: int
    unread: bool
    attention: Attention | None
    risk: str | None
    skills: list[str]
    language: str | None
    assignment: Assignment | None
    route: str | None
    sla: Due
    window: Window | None


class Obstacle(msgspec.Struct):
    """What stands in the way of a message; *offset* and *length* say where in which *part* of it, if it is a word."""

    code: str
    weight: Literal["block", "hold", "warn"]
    why: str
    until: Time | None
    rule: str | Maybe = msgspec.UNSET
    part: str | Maybe = msgspec.UNSET
    offset: int | Maybe = msgspec.UNSET
    length: int | Maybe = msgspec.UNSET
    replace: str | Maybe | None = msgspec.UNSET


class Approved(msgspec.Struct):
    """A template as the platform has approved it."""

    id: str
    data: dict[str, str]
    url: str | None


class Left(msgspec.Struct):
    """Until when and how often the customer may be answered, and how many answers are on their way."""

    open_until: Time | None
    messages_left: int | None
    messages_owed: int


class Sending(msgspec.Struct):
    """What would become of an answer now; *will* says it in words."""

    action: Literal["send", "split", "template", "channel", "hold", "refuse"]
    will: str
    channel: str
    address: str
    template: str | None
    approved: Approved | None
    because: str | None
    until: Time | None
    window: Left | None
    obstacles: list[Obstacle]


class ConversationShown(Conversation):
    """A conversation, with what would become of an answer now."""

    sending: Sending


class Author(msgspec.Struct):
    """Who wrote or did something."""

    kind: Literal["contact", "agent", "hub"]
    id: str | None
    name: str | None


class Latest(msgspec.Struct):
    """The last message or note of a conversation, and how it begins."""

    direction: Literal["inbound", "outbound", "note", "event"]
    author: Author
    text: str
    type: str
    at: Time | None


class Listed(Conversation):
    """A conversation in a list."""

    latest: Latest | msgspec.UnsetType | None = msgspec.UNSET


class Attachment(msgspec.Struct):
    """A file of a message; *url* is null until it can be read."""

    id: str
    name: str | None
    type: str
    size: int | None
    url: str | None
    state: Literal["ready", "pending", "failed"]
    error: str | Maybe = msgspec.UNSET


class Instead(msgspec.Struct):
    """What goes out in the place of what was written, and why."""

    channel: str
    address: str
    template: str | None
    text: str | None
    because: str
    why: str


class Delivery(msgspec.Struct):
    """What is owed to a customer, and what became of it. One of no conversation may be *about* one."""

    id: str
    state: State
    attempts: int
    error: str | None
    code: str | None
    conversation: str | None
    about: str | None
    lane: Lane
    channel: str
    message: str
    external_ids: list[str]
    created_at: Time | None
    changed_at: Time | None
    due_at: Time | None
    undo_until: Time | None
    waits_for: Literal["customer", "time"] | None
    instead: Instead | None


class Message(msgspec.Struct):
    """A message, a note, or something that was done."""

    id: str
    conversation: str
    direction: Literal["inbound", "outbound", "note", "event"]
    author: Author
    text: str
    html: str | None
    subject: str | None
    attachments: list[Attachment]
    at: Time | None
    external_id: str | None
    type: str
    delivery: Delivery | None
    event: dict[str, Any] | Maybe = msgspec.UNSET
    details: dict[str, Any] | Maybe = msgspec.UNSET


class Noted(msgspec.Struct):
    """A note that was left."""

    message: Message


class File(msgspec.Struct):
    """A file that was kept for a reply."""

    id: str
    name: str
    type: str
    size: int


class Team(msgspec.Struct):
    """A team."""

    id: str
    name: str
    members: list[str]
    sla: str | None
    hours: str | None
    restricted: bool


class Presence(msgspec.Struct):
    """Whether an agent is there."""

    state: Literal["online", "away", "offline", "shift"]
    said_at: Time | None
    until: Time | None


class Agent(msgspec.Struct):
    """An agent, with what counts for their capacity now."""

    id: str
    name: str
    teams: list[str]
    skills: list[str]
    languages: list[str]
    conversations: int
    capacity: int | None
    presence: Presence


class Limits(msgspec.Struct):
    """How long and how often a channel's customers may be answered."""

    seconds: int
    messages: int | None


class Capabilities(msgspec.Struct):
    """What a channel carries."""

    text_limit: int | None
    text_unit: str
    media: list[str]
    window: Limits | None
    receipts: list[str]
    idempotent: bool


class Channel(msgspec.Struct):
    """A channel."""

    id: str
    kind: str
    state: Literal["up", "degraded", "down"]
    reason: str | None
    required: bool
    last_event_at: Time | None
    lag: float | None
    counts: dict[str, int]
    capabilities: Capabilities


class Shunted(msgspec.Struct):
    """A payload that could not be parsed."""

    id: str
    channel: str
    error: str
    at: Time | None
    size: int
    stage: str


class Payload(Shunted):
    """The same with what came."""

    raw: str
    raw_base64: str


class Outcome(msgspec.Struct):
    """What becomes of one conversation."""

    id: str
    outcome: Literal["changed", "unchanged", "would change", "refused", "missing"]
    reason: str | None


class BulkDone(msgspec.Struct):
    """What became of all; *more*: there are further ones that fit the filter."""

    preview: bool
    items: list[Outcome]
    counts: dict[str, int]
    more: bool


class Way(msgspec.Struct):
    """A provider to sign in with."""

    id: str
    name: str
    url: str


class Ways(msgspec.Struct):
    """How one may sign in."""

    password: bool
    providers: list[Way]
    locale: str


class Me(msgspec.Struct):
    """Who the caller is; what is a session's is null for a program."""

    id: str
    kind: Literal["person", "token"]
    name: str
    agent: str | None
    role: Role
    teams: list[str]
    hidden: list[str]
    locale: str
    csrf: str | None
    created_at: Time | None
    until: Time | None
    way: str | None
    totp: bool | None


class SessionShown(msgspec.Struct):
    """A session."""

    id: str
    current: bool
    created_at: Time | None
    seen_at: Time | None
    until: Time | None
    remote: str | None
    browser: str | None
    way: str


class Secret(msgspec.Struct):
    """What an authenticator app is set up with."""

    secret: str
    url: str


class Recovery(msgspec.Struct):
    """Codes for a lost phone, told once."""

    recovery: list[str]


class PersonShown(msgspec.Struct):
    """Somebody who may sign in."""

    id: str
    role: Role
    name: str
    agent: str | None
    login: str | None
    disabled: bool
    password: bool
    totp: bool
    recovery: int
    sessions: int
    created_at: Time | None


class Invitation(msgspec.Struct):
    """A link with which a password is set, once."""

    token: str
    link: str
    until: Time | None


class Invited(Invitation):
    """The same, with whom it is for."""

    person: PersonShown


class Ended(msgspec.Struct):
    """How many sessions were ended."""

    id: str
    ended: int


class Who(msgspec.Struct):
    """A person or a program."""

    kind: str
    id: str | None


class Changed(msgspec.Struct):
    """An entry of the audit log."""

    id: str
    at: Time | None
    who: Who
    role: str | None
    what: str
    method: str
    path: str
    parts: dict[str, str]
    fields: list[str]
    values: dict[str, str | bool | None]
    remote: str | None
    request: str
    status: int | None
