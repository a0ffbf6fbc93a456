"""The shapes of what the outbox's API shows, as types: answers, drafts, templates, bulk sends, surveys, webhooks."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from inbox.openapi import Time
from inbox.schemas import Approved, Author, Delivery, Message, Obstacle, Sending, State


class Step(msgspec.Struct):
    """One change of a delivery, and what told of it."""

    at: Time | None
    state: State
    cause: str
    attempt: int | None
    by: str | None
    error: str | None
    code: str | None
    due_at: Time | None


class DeliveryShown(Delivery):
    """A delivery with where it goes and how it came to be what it is."""

    address: str
    history: list[Step]


class Part(msgspec.Struct):
    """One of the messages that an answer becomes."""

    text: str
    attachments: list[str]


class Cost(msgspec.Struct):
    """How many messages the platform counts, and how many segments a carrier bills."""

    messages: int
    segments: int | None


class Plan(Sending):
    """What becomes of an answer: the messages, what they cost, what stands in their way."""

    parts: list[Part]
    cost: Cost


class Replied(msgspec.Struct):
    """A reply that will be delivered; *duplicate*: it was there already."""

    message: Message
    delivery: Delivery
    duplicate: bool
    plan: Plan | None


class Template(msgspec.Struct):
    """A text with variables; *needs* are those without which it cannot be sent."""

    id: str
    languages: list[str]
    channels: list[str]
    kinds: list[str]
    platforms: list[str]
    variables: list[str]
    needs: list[str]
    for_agents: bool


class Filled(msgspec.Struct):
    """How a template reads."""

    name: str
    channel: str | None
    language: str | None
    text: str
    subject: str | None
    approved: Approved | None
    missing: list[str]
    unknown: list[str]


class Composing(msgspec.Struct):
    """Somebody who is writing."""

    agent: str
    name: str | None
    until: Time | None


class DraftFile(msgspec.Struct):
    """A file of a draft."""

    name: str | None
    type: str
    size: int | None


class Draft(msgspec.Struct):
    """An answer that came from outside and waits for somebody to approve it."""

    id: str
    conversation: str
    state: Literal["held", "approved", "discarded"]
    author: Author
    text: str
    attachments: list[DraftFile]
    reason: str
    why: str | None
    via: str | None
    source: str | None
    at: Time | None
    decided_by: str | None


class DraftSent(msgspec.Struct):
    """A draft that was approved, and what carries it."""

    draft: Draft
    delivery: Delivery


class Revoked(msgspec.Struct):
    """Until when an agent's notices can no longer be answered."""

    id: str
    revoked_at: Time


class Consented(msgspec.Struct):
    """What is known about writing to an address."""

    address: str
    channel: str
    lane: str
    state: Literal["consented", "opted_out", "unknown"]
    at: Time | None
    how: str | None
    evidence: str | None
    by: str | None
    reason: str | None


class SegmentWritten(msgspec.Struct, forbid_unknown_fields=True):
    """Customers who have written, chosen by what is known of them."""

    tags: list[str] | str = []
    without_tags: list[str] | str = []
    tiers: list[str] | str = []
    languages: list[str] | str = []
    channels: list[str] = []
    kinds: list[str] = []
    seen_within: str | int | None = None
    not_seen_within: str | int | None = None
    consent: Literal["consented", "any"] = "any"


class BrakeWritten(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """When a bulk send stops by itself; shares are such as 5%."""

    failed: str | int = 10
    opted_out: str | int = 5
    after: int = 50


class CampaignWritten(msgspec.Struct, forbid_unknown_fields=True, rename={"addresses": "list"}):
    """A bulk send as its file says it, with the CSV itself in `list`; see docs/campaigns.md."""

    name: str
    template: str | None = None
    text: str | dict[str, str] | None = None
    subject: str | dict[str, str] | None = None
    segment: SegmentWritten | None = None
    addresses: str | None = None
    channel: str | None = None
    per_minute: int = 60
    seed: int = 0
    hours: str | None = None
    brake: BrakeWritten = BrakeWritten()
    consent_source: str = ""
    client_id: str = ""


class Campaign(msgspec.Struct):
    """A bulk send, with how many of its messages became what."""

    id: str
    name: str
    state: Literal["draft", "preparing", "running", "paused", "braked", "stopped", "done"]
    why: str | None
    by: str | None
    created_at: Time | None
    changed_at: Time | None
    total: int
    done: int
    counts: dict[str, int]
    left_out: dict[str, int]
    definition: dict[str, Any]


class CampaignMade(Campaign):
    """The same; *duplicate*: it was there already."""

    duplicate: bool


class LeftOut(msgspec.Struct):
    """Somebody who gets nothing, and why."""

    address: str
    reason: str


class Sample(msgspec.Struct):
    """What one recipient will read."""

    address: str
    channel: str
    text: str
    subject: str | None
    segments: int | None


class CampaignPreview(msgspec.Struct):
    """What would come of a bulk send."""

    total: int
    channels: dict[str, int]
    left_out: dict[str, int]
    examples: list[LeftOut]
    samples: list[Sample]
    minutes: int
    obstacles: list[Obstacle]


class ScheduledReport(msgspec.Struct):
    """A report that is sent by mail."""

    name: str
    what: str
    survey: str | None
    to: list[str]
    format: list[str]
    last_due_at: Time | None
    next_due_at: Time | None
    sent_until: Time | None


class ReportSent(msgspec.Struct):
    """To whom a report goes, and how many of the mails are new."""

    name: str
    due_at: Time | None
    to: list[str]
    sent: int


class Attempted(msgspec.Struct):
    """One attempt to tell an endpoint; *status* is that of its answer, or a word for why there was none."""

    at: Time | None
    status: str | None
    duration_ms: int | None
    error: str | None


class WebhookShown(msgspec.Struct):
    """An endpoint that is told of events, and how it fares; its address is shown without its query."""

    name: str
    url: str
    events: list[str]
    teams: list[str]
    channels: list[str]
    content: str
    secrets: int
    state: Literal["active", "failing", "disabled"]
    reason: str | None
    disabled_at: Time | None
    failing_since: Time | None
    succeeded_at: Time | None
    waiting: int
    last_attempt: Attempted | None


class Told(Delivery):
    """A delivery to an endpoint: the id and type of its event, and what each attempt gave."""

    event: str | None
    type: str | None
    status: str | None
    duration_ms: int | None
    log: list[Attempted]


class Replaying(msgspec.Struct):
    """From when on an endpoint is told again."""

    webhook: str
    since: Time
    all: bool


class Kept(msgspec.Struct):
    """What stays of a person, and why."""

    what: str
    count: int
    why: str


class Gone(msgspec.Struct):
    """What went (or would go) of a person, by kind, and what stays."""

    id: str
    dry_run: bool
    state: Literal["would", "erased", "nothing"]
    goes: dict[str, int]
    stays: list[Kept]
