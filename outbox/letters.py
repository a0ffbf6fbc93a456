"""Letters: what we owe somebody outside every conversation, such as a notice, a survey, a bulk send or a webhook."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from connectors.base import Choice, Media, PlatformTemplate
from inbox import log as logbook
from inbox.conversations import Change, Value
from inbox.partitions import digest, partition_of

Lane = Literal["reply", "notice", "survey", "campaign"]
"""What a delivery is for. Under a limit the earlier lane goes first."""

LANES: tuple[Lane, ...] = get_args(Lane)


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message of ours that stands in no conversation.

    *key* makes it idempotent: the same channel, address and key are one letter. *media* refer to kept
    attachments ("sha256:…"). *handle*, *refs*, *author*, *auto*, *token* and *template* reach the connector as
    they are. *about* is the id of the conversation that it is about, if any. *ordered* letters to one address on
    one channel go out one after the other. *schedule* says when it is tried again, see `outbox.retries.Delays`;
    "" = as its channel says.
    """

    channel: str
    address: str
    key: str
    lane: Lane
    text: str = ""
    html: str = ""
    subject: str = ""
    media: tuple[Media, ...] = ()
    choices: tuple[Choice, ...] = ()
    handle: str = ""
    refs: tuple[str, ...] = ()
    author: str = ""
    auto: bool = True
    about: str = ""
    ordered: bool = True
    schedule: str = ""
    token: str = ""
    template: PlatformTemplate | None = None

    @property
    def partition(self) -> int:
        """Where it is kept: with its address."""
        return partition_of(self.address)

    @property
    def name(self) -> str:
        """The key of its delivery."""
        return digest("letter", self.channel, self.address, self.key)


def line(channel: str, address: str) -> str:
    """Return the name of the queue of ordered letters to *address* on *channel*."""
    return f"q:l:{digest(channel, address)}"


def owed(letter: Letter, now: int) -> Change:
    """Return the change that owes *letter*; it does nothing if the letter is owed already."""
    author: dict[str, str] = {"kind": "hub", "name": letter.author} if letter.author else {"kind": "hub"}
    fields: list[Value] = [
        *("t", logbook.LETTER, "d", letter.name, "ch", letter.channel, "at", now),
        *("au", msgspec.json.encode(author).decode(), "tx", letter.text, "b", _rest(letter)),
        *("a", letter.address, "ab", letter.about),  # its record goes long before the log does
    ]
    queue = line(letter.channel, letter.address) if letter.ordered else ""
    record: list[Value] = [
        *("line", queue, "channel", letter.channel, "address", letter.address, "lane", letter.lane),
        *("state", "queued", "created", now, "due", now, "changed", now, "attempts", 0),
    ]
    for name, value in (("about", letter.about), ("schedule", letter.schedule)):
        if value:
            record += (name, value)
    return Change(
        unless=f"d:{letter.name}",
        records=[(f"d:{letter.name}", record)],
        log=[("", fields)],
        link=(1, f"d:{letter.name}", "message"),
        queue=((queue, letter.name, now),),
    )


def _rest(letter: Letter) -> str:
    """Encode what of a letter has no log field of its own."""
    names = ("html", "subject", "media", "choices", "handle", "refs", "auto", "token", "template")
    values: dict[str, Any] = {name: value for name in names if (value := getattr(letter, name))}
    return msgspec.json.encode(values).decode() if values else ""
