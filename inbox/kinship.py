"""What one contact gives another when both turn out to be one person, and how exactly that is taken back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from inbox.contacts import MOST_TAGS, addresses_of
from inbox.work import Actor

How = Literal["person", "proof"]
MERGE, UNDONE = "m:", "x:"
"""Fields of a contact: a merge into it that stands, and one that was taken back, by the key of the merge."""

SINGLE = ("name", "tier", "language", "channel")
APART = "apart"
"""The field of a contact that lists those of which somebody said that they are not the same person."""

MOST_ADDRESSES = 200


class Gave(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a contact has of another one that was merged into it, and had not before."""

    addresses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    single: dict[str, str] = {}


class Conflict(msgspec.Struct, frozen=True):
    """Both knew something else: what holds, and what the part has kept for itself."""

    field: str
    kept: str
    left: str


class End(msgspec.Struct, frozen=True):
    """When, by whom and why a merge was taken back."""

    at: int
    by: Actor
    reason: str = ""


class Merge(msgspec.Struct, frozen=True, omit_defaults=True):
    """A contact that became part of another one, with the evidence. *at* is in milliseconds since 1970 UTC.

    *name* and *addresses* are those that it had. *how*: a person said so, or it was proved; *evidence* names what
    proves it, and the message with which that came.
    """

    id: str
    contact: str
    at: int
    by: Actor
    how: How = "person"
    reason: str = ""
    evidence: tuple[str, ...] = ()
    name: str = ""
    addresses: tuple[str, ...] = ()
    gave: Gave = Gave()
    conflicts: tuple[Conflict, ...] = ()
    undone: End | None = None


def listed(fields: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the words of a list in a contact's hash."""
    text = fields.get(name, "")
    return tuple(text.split(",")) if text else ()


def merges(fields: Mapping[str, str], prefix: str = MERGE) -> list[Merge]:
    """Return the merges that a contact's hash holds, the latest first."""
    found = [msgspec.json.decode(value, type=Merge) for name, value in fields.items() if name.startswith(prefix)]
    return sorted(found, key=lambda one: (-one.at, one.id))


def given(host: Mapping[str, str], guest: Mapping[str, str]) -> tuple[Gave, tuple[Conflict, ...]]:
    """Return what *guest* adds to *host*, and where *host* has its own way."""
    own, tags = addresses_of(host), listed(host, "tags")
    more = tuple(one for one in listed(guest, "tags") if one not in tags)[: MOST_TAGS - len(tags)]
    single = {name: guest[name] for name in SINGLE if guest.get(name) and not host.get(name)}
    differing = [name for name in SINGLE if guest.get(name) and host.get(name) not in (None, "", guest[name])]
    gave = Gave(tuple(one for one in addresses_of(guest) if one not in own), more, single)
    return gave, tuple(Conflict(name, host[name], guest[name]) for name in differing)


def joined(host: Mapping[str, str], gave: Gave) -> dict[str, str]:
    """Return what of *host* changes when *gave* is added."""
    changes = dict(gave.single)
    if gave.addresses:
        changes["addresses"] = "\n".join([*addresses_of(host), *gave.addresses])
    if gave.tags:
        changes["tags"] = ",".join([*listed(host, "tags"), *gave.tags])
    return changes


def parted(host: Mapping[str, str], gave: Gave) -> dict[str, str]:
    """Return what of *host* changes when *gave* is taken back; what somebody has set anew since stays."""
    changes: dict[str, str] = {}
    addresses = [one for one in addresses_of(host) if one not in gave.addresses]
    if addresses != addresses_of(host):
        changes["addresses"] = "\n".join(addresses)
    tags = tuple(one for one in listed(host, "tags") if one not in gave.tags)
    if tags != listed(host, "tags"):
        changes["tags"] = ",".join(tags)
    return changes | {name: "" for name, value in gave.single.items() if host.get(name) == value}


def common(upper: Gave, lower: Gave) -> Gave:
    """Return what of *upper* came from *lower*: a contact passes on what it was given."""
    return Gave(
        tuple(one for one in upper.addresses if one in lower.addresses),
        tuple(one for one in upper.tags if one in lower.tags),
        {name: value for name, value in upper.single.items() if lower.single.get(name) == value},
    )


def less(upper: Gave, part: Gave) -> Gave:
    """Return *upper* without *part*."""
    return Gave(
        tuple(one for one in upper.addresses if one not in part.addresses),
        tuple(one for one in upper.tags if one not in part.tags),
        {name: value for name, value in upper.single.items() if name not in part.single},
    )
