"""What is owed, as the store knows it: answers, letters, and the delivery of each."""

from __future__ import annotations

from typing import Any

import msgspec

from connectors.base import Choice, Media
from inbox.partitions import Id, parse_id
from outbox.letters import Lane
from outbox.terms import Instead

FINAL = frozenset({"sent", "delivered", "read", "failed", "dead", "uncertain"})
TROUBLE = frozenset({"uncertain", "dead", "failed"})
"""States in which a person must look."""


class NoDelivery(LookupError):
    """There is no delivery with this id."""


class NotNow(ValueError):
    """The delivery's state does not allow this."""


class Author(msgspec.Struct, frozen=True):
    """Who wrote a message of ours: kind "agent" or "hub"."""

    kind: str
    id: str = ""
    name: str = ""


class Reply(msgspec.Struct, frozen=True):
    """An answer to be delivered. *media* refer to kept attachments ("sha256:…"). *client_id* makes it idempotent.

    Without a *lane* of its own an answer goes as a reply, and one that a machine wrote (*auto*) as a notice.
    *legal*: the law wants it to go out, whoever has opted out of other messages.
    *details* say how it came to us; they are shown with the message and not sent.
    """

    author: Author
    text: str = ""
    html: str = ""
    subject: str = ""
    media: tuple[Media, ...] = ()
    client_id: str = ""
    auto: bool = False
    choices: tuple[Choice, ...] = ()
    lane: Lane | None = None
    legal: bool = False
    details: dict[str, Any] = {}


class Delivery(msgspec.Struct, frozen=True):
    """One answer or letter on its way. States are defined in docs/delivery-states.md.

    A letter has no *conversation* (""); the one that it is *about*, if any, only explains it. *of* is the number of
    its parts, *part* how many of them are out; *round* counts how often a person had it sent again from the start.
    *attempts* are those since then, *claims* are all: the fence between two of them, which is never set back.
    *reports* is the best that the platform has reported about each of its ids in this round, *past* are those of the
    rounds before.
    *log* is the position of its latest change. For *parked*, *heeds*, *answers*, *since* and *instead* see
    `outbox.terms`.
    """

    id: str
    conversation: str
    channel: str
    address: str
    message: str
    state: str
    attempts: int = 0
    claims: int = 0
    due: int = 0
    created: int = 0
    part: int = 0
    error: str = ""
    code: str = ""
    left: bool = False
    changed: int = 0
    external_ids: tuple[str, ...] = ()
    handle: str = ""
    insist: bool = False
    lane: Lane = "reply"
    about: str = ""
    schedule: str = ""
    of: int = 1
    round: int = 0
    reports: dict[str, str] = {}
    past: tuple[str, ...] = ()
    log: str = ""
    parked: bool = False
    heeds: str = ""
    answers: bool = False
    since: int = 0
    instead: Instead | None = None

    def outbound_id(self, index: int, of: int) -> str:
        """Return the id of one of *of* parts: the same for every attempt, another one once a person starts it anew.

        No platform takes more than 32 characters, so a number of the round stands for itself only.
        """
        return f"{self.id}{f'.{index}' if of > 1 else ''}{f'-{self.round}' if self.round else ''}"

    @property
    def place(self) -> Id:
        return parse_id(self.id, "d")


def from_hash(partition: int, name: str, fields: dict[str, str]) -> Delivery:
    """Build a delivery from its hash in the store."""
    return Delivery(
        id=f"d{partition}-{name}",
        conversation=f"c{partition}-{fields['conv']}" if "conv" in fields else "",
        channel=fields["channel"],
        address=fields["address"],
        message=f"m{partition}-{fields.get('message', '')}",
        state=fields["state"],
        attempts=int(fields.get("attempts", 0)) - int(fields.get("base", 0)),
        claims=int(fields.get("attempts", 0)),
        due=int(fields.get("due", 0)),
        created=int(fields.get("created", 0)),
        part=int(fields.get("part", 0)),
        error=fields.get("error", ""),
        code=fields.get("code", ""),
        left=fields.get("left") == "1",
        changed=int(fields.get("changed", 0)),
        external_ids=tuple(filter(None, fields.get("ext", "").split(" "))),
        handle=fields.get("handle", ""),
        insist=fields.get("insist") == "1",
        lane=msgspec.convert(fields.get("lane", "reply"), Lane),
        about=fields.get("about", ""),
        schedule=fields.get("schedule", ""),
        of=int(fields.get("of", 1)),
        round=int(fields.get("round", 0)),
        reports=msgspec.json.decode(fields.get("reports") or "{}", type=dict[str, str]),
        past=tuple(fields.get("past", "").split()),
        log=fields.get("log", ""),
        parked=fields.get("parked") == "1",
        heeds=fields.get("heeds", ""),
        answers=fields.get("answers") == "1",
        since=int(fields.get("since", 0)),
        instead=msgspec.json.decode(fields["instead"], type=Instead) if "instead" in fields else None,
    )


def rest(reply: Reply) -> str:
    """Encode what of a reply has no log field of its own."""
    values: dict[str, Any] = {}
    if reply.html:
        values["html"] = reply.html
    if reply.legal:
        values["legal"] = True
    if reply.subject:
        values["subject"] = reply.subject
    if reply.media:
        values["media"] = reply.media
    if reply.auto:
        values["auto"] = True
    if reply.choices:
        values["choices"] = reply.choices
    if reply.details:
        values["details"] = reply.details
    return msgspec.json.encode(values).decode() if values else ""
