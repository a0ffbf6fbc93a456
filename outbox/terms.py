"""When an answer leaves, and in what form: what may be agreed about a delivery beside its content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from connectors.base import PlatformTemplate
from inbox import log as logbook
from inbox.conversations import Value
from inbox.work import HUB, Actor, encode

UNDO_MARGIN = 500
"""Milliseconds that an answer waits beyond its time to undo: clocks of several machines differ."""


class Instead(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes out in the place of what was written: by which channel, to what address, in what words.

    *template* is the name of the text that was used, "" if the words are the agent's own, and *approved* what the
    platform sends for it. *because* is the code of the obstacle that made it necessary, *why* that in words.
    """

    channel: str
    address: str
    handle: str = ""
    template: str = ""
    text: str = ""
    html: str = ""
    subject: str = ""
    approved: PlatformTemplate | None = None
    because: str = ""
    why: str = ""

    def story(self, conversation: str, delivery: str, meant: str, now: int) -> list[Value]:
        """Return the event for the timeline of the conversation with this key; *meant* is its own channel."""
        told = {
            "delivery": delivery,
            "from_channel": meant,
            "to_channel": self.channel,
            "template": self.template,
            "because": self.because,
            "why": self.why,
        }
        return event(conversation, "fell_back", now, told)


class Terms(msgspec.Struct, frozen=True):
    """What is agreed about an answer.

    It leaves at *due* (milliseconds since 1970 UTC, 0 = now). *parked*: until then it stands beside the line of its
    conversation, so that nothing waits for it. *heeds*: what happens to it when the customer writes meanwhile,
    "release" it or "cancel" it. *insist*: whether the reply window is open is left to the platform.
    """

    due: int = 0
    parked: bool = False
    heeds: Literal["", "release", "cancel"] = ""
    insist: bool = False
    instead: Instead | None = None
    code: str = ""
    why: str = ""

    def record(self, now: int, *, answers: bool) -> list[Value]:
        """Return the fields of the delivery's record; *answers*: the customer counts as answered once it is out."""
        fields: list[Value] = []
        if self.parked:
            fields += ("parked", 1, "since", now)
        if self.heeds:
            fields += ("heeds", self.heeds)
        if self.insist:
            fields += ("insist", 1)
        if answers:
            fields += ("answers", 1)
        if self.instead is not None:
            fields += ("instead", msgspec.json.encode(self.instead).decode())
        if self.code:
            fields += ("code", self.code, "error", self.why)
        return fields


NOW = Terms()


def waiting_line(line: str) -> str:
    """Return where the deliveries of *line* stand that are parked, in the order in which they were accepted."""
    return f"w:{line}"


def event(conversation: str, name: str, now: int, told: Mapping[str, str], by: Actor = HUB) -> list[Value]:
    """Return an event for the timeline of the conversation with this key; what is empty is not told."""
    story = msgspec.json.encode({key: value for key, value in told.items() if value}).decode()
    return ["t", logbook.STATE, "c", conversation, "ev", name, "at", now, "au", encode(by), "b", story]
