"""What the API shows of contacts: merges, suggestions, files of contacts."""

from __future__ import annotations

from typing import Literal

import msgspec

from inbox.openapi import Time
from inbox.schemas import Contact


class Customer(Contact):
    """A customer for itself; *channel* is the preferred one."""

    channel: str | None
    since: Time | None


class Disagreement(msgspec.Struct):
    """Where both contacts of a merge knew something else."""

    field: str
    kept: str
    left: str


class Doer(msgspec.Struct):
    """Who did something with a contact."""

    kind: Literal["contact", "agent", "hub"]
    id: str | None
    name: str | None


class Merged(msgspec.Struct):
    """A contact that became part of another one, and why."""

    id: str
    contact: str
    name: str | None
    addresses: list[str]
    at: Time | None
    by: Doer
    how: Literal["person", "proof"]
    reason: str | None
    evidence: list[str]
    conflicts: list[Disagreement]


class Person(Customer):
    """A customer with what was merged into it."""

    merges: list[Merged]


class TakenBack(msgspec.Struct):
    """When, by whom and why a merge was taken back."""

    at: Time | None
    by: Doer
    reason: str | None


class PastMerge(Merged):
    """A merge, and what became of it."""

    undone: TakenBack | None


class MergeDone(msgspec.Struct):
    """What both are now."""

    contact: Person
    merge: Merged


class SplitDone(msgspec.Struct):
    """The contact that stays, and the one that is free."""

    contact: Person
    split: Person


class Hint(msgspec.Struct):
    """Why two contacts may be one person."""

    kind: Literal["phone", "email", "name"]
    value: str
    message: str | None
    conversation: str | None


class Suggested(msgspec.Struct):
    """A contact that may be the same person."""

    contact: Customer
    because: list[Hint]


class LineFault(msgspec.Struct):
    """What is wrong in a line of a file."""

    line: int
    column: str | None
    why: str


class LineDone(msgspec.Struct):
    """What became of a line."""

    line: int
    outcome: Literal["created", "changed", "unchanged", "refused"]
    contact: str | None


class Imported(msgspec.Struct):
    """What became of a file of contacts."""

    preview: bool
    rows: int
    counts: dict[str, int]
    faults: list[LineFault]
    items: list[LineDone]
