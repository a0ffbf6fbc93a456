"""What is known of a customer: name and addresses, tags, tier, preferred language and channel. Rules ask about it.

A contact that was merged into another one is an alias of it from then on: whoever asks for it gets the other one, its
*root*. It keeps what it was, so that the merge can be taken back (see `inbox.merging`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from config.faults import Wrong
from config.values import language as language_tag
from connectors.base import mail_address
from inbox import log as logbook
from inbox.conversations import Conflict, Value, pairs, text
from inbox.partitions import Id, key, parse_id, partition_of, tag
from inbox.store import Script, Store
from inbox.work import Actor, Refusal, encode

CONTACT = Script.load(Path(__file__).parent / "scripts" / "contact.lua")
LIST = "contacts"
"""The sorted set of a partition's contacts, by when they were first heard of."""

INTO = "into"
"""The field of a contact that was merged: of which one it is a part now."""

KNOWN = ("tags", "tier", "language")
"""Fields of a contact's hash in the store that rules may ask about; empty or missing: nothing is known."""
TRIES = 16
DEPTH = 32
"""A contact that was merged into one that was merged into one … so often."""

MOST_TAGS = 50
MOST_ADDRESSES = 20
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{0,30}:[^\s,]{1,200}")
TAKEN = "one of these addresses belongs to contact {owner}"
LENGTH = 60
NAME_LENGTH = 200


class NoContact(LookupError):
    """There is no contact with this id."""


@dataclass(frozen=True, slots=True)
class Contact:
    """What rules may ask about a customer. "" and () where nothing is known."""

    tags: tuple[str, ...] = ()
    tier: str = ""
    language: str = ""


def from_hash(fields: Mapping[str, str | None]) -> Contact:
    """Build it from the contact's hash in the store."""
    tags = fields.get("tags")
    return Contact(tuple(tags.split(",")) if tags else (), fields.get("tier") or "", fields.get("language") or "")


def checked(
    tags: Sequence[str] | None,
    tier: str | None,
    language: str | None,
    name: str | None = None,
    channel: str | None = None,
) -> dict[str, str]:
    """Return what the store shall hold of the values that are given (None: left as it is). Raises `Refusal`."""
    values: dict[str, str] = {}
    if tags is not None:
        if any(not one.strip() or "," in one or "\n" in one or len(one) > LENGTH for one in tags):
            raise Refusal(f"a tag is 1 to {LENGTH} characters without a comma")
        names = tuple(dict.fromkeys(one.strip() for one in tags))
        if len(names) > MOST_TAGS:
            raise Refusal(f"at most {MOST_TAGS} tags")
        values["tags"] = ",".join(names)
    if tier is not None:
        if len(tier) > LENGTH:
            raise Refusal(f"a tier has at most {LENGTH} characters")
        values["tier"] = tier.strip()
    if language:
        try:
            language_tag(language)
        except Wrong as error:
            raise Refusal(f"a language is {error.expected}") from None
    if language is not None:
        values["language"] = language
    if name is not None:
        values["name"] = " ".join(name.split())
        if len(values["name"]) > NAME_LENGTH:
            raise Refusal(f"a name has at most {NAME_LENGTH} characters")
    if channel is not None:
        values["channel"] = channel
    return values


def reachable(addresses: Sequence[str]) -> tuple[str, ...]:
    """Return *addresses* once each, as they are when somebody writes from there. Raises `Refusal` if one is none."""
    addresses = [spelled(one) for one in addresses]
    if not all(map(ADDRESS.fullmatch, addresses)):
        raise Refusal("an address has a scheme, such as tel:+8613800138000 or mailto:wang@example.com")
    if len(addresses) > MOST_ADDRESSES:
        raise Refusal(f"at most {MOST_ADDRESSES} addresses")
    return tuple(dict.fromkeys(addresses))


def spelled(address: str) -> str:
    """Return an address in the one spelling that incoming mail has, too; of other schemes as it is."""
    scheme, _, value = address.partition(":")
    return f"{scheme}:{mail_address(value)}" if scheme == "mailto" else address


async def reach(store: Store, contact_id: str, actor: Actor, addresses: Sequence[str], now: int) -> dict[str, str]:
    """Let a contact be reached at *addresses* too, and return its hash; those of its own stay first.

    Each of them belongs to this contact from then on, and so does what comes from it. Raises `Refusal` for one that
    belongs to somebody else, `UnknownId`, `NoContact`, `Conflict`, `StoreError`.
    """
    root, _ = await resolve(store, contact_id)
    free: list[str] = []
    for address in addresses:
        owner = await owner_of(store, address)
        if owner and owner != root:
            raise Refusal(TAKEN.format(owner=owner))
        if not owner:
            free.append(address)
    lost = {address: owner for address in free if (owner := await _claim(store, address, root)) != root}
    # What has been got stays theirs: something may have come from it already.
    got = [address for address in addresses if address not in lost]

    def add(fields: Mapping[str, str]) -> dict[str, str]:
        return {"addresses": "\n".join(dict.fromkeys([*addresses_of(fields), *got]))}

    fields = (await change(store, root, actor, add, now))[1]
    if lost:
        raise Refusal(TAKEN.format(owner=next(iter(lost.values()))))
    return fields


async def _claim(store: Store, address: str, contact_id: str) -> str:
    """Give an address that is free to a contact; return whose it is then. Raises `Conflict`, `StoreError`."""
    partition = partition_of(address)
    if await store.do(tag(partition), "HSETNX", key(partition, f"a:{address}"), "contact", contact_id):
        return contact_id
    owner = await owner_of(store, address)
    if not owner:
        raise Conflict  # whoever got it first has been erased this very moment
    return owner


async def owner_of(store: Store, address: str) -> str:
    """Return the contact that an address belongs to, "" if to none. Raises `StoreError`."""
    partition = partition_of(address)
    owner = await store.do(tag(partition), "HGET", key(partition, f"a:{address}"), "contact")
    return (await roots(store, [owner]))[0] if owner else ""


def addresses_of(fields: Mapping[str, str]) -> list[str]:
    """Return the addresses that a contact's hash holds."""
    return [one for one in fields.get("addresses", "").split("\n") if one]


async def resolve(store: Store, contact_id: str) -> tuple[str, dict[str, str]]:
    """Return the id and the hash of the contact that *contact_id* is (part of). Raises as `load` does."""
    name = contact_id
    for _ in range(DEPTH):
        fields = await own(store, name)
        if INTO not in fields:
            return name, fields
        name = fields[INTO]
    raise NoContact(contact_id)


async def own(store: Store, contact_id: str) -> dict[str, str]:
    """Return the hash of just this contact, merged or not. Raises `UnknownId`, `NoContact`, `StoreError`."""
    place = parse_id(contact_id, "k")
    fields = pairs(await store.do(tag(place.partition), "HGETALL", key(place.partition, f"k:{place.key}")))
    if not fields:
        raise NoContact(contact_id)
    return fields


async def load(store: Store, contact_id: str) -> dict[str, str]:
    """Return the hash of the contact that *contact_id* is (part of). Raises `UnknownId`, `NoContact`, `StoreError`."""
    return (await resolve(store, contact_id))[1]


async def load_many(store: Store, contact_ids: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Return id and hash of the contact that each is (part of); an empty hash where there is none.

    Contacts of one store are read in one round trip, and one more for those that were merged. Raises `UnknownId`,
    `StoreError`.
    """
    known: dict[str, dict[str, str]] = {}
    asked = list(dict.fromkeys(contact_ids))
    for _ in range(DEPTH):
        places = [parse_id(one, "k") for one in asked]
        replies = await store.each(
            [(tag(one.partition), ("HGETALL", key(one.partition, f"k:{one.key}"))) for one in places]
        )
        known |= {name: pairs(reply) for name, reply in zip(asked, replies, strict=True)}
        asked = [into for name in asked if (into := known[name].get(INTO)) and into not in known]
        if not asked:
            break

    def root(name: str) -> str:
        for _ in range(DEPTH):
            into = known.get(name, {}).get(INTO)
            if not into:
                break
            name = into
        return name

    return [(root(name), known.get(root(name), {})) for name in contact_ids]


async def roots(store: Store, contact_ids: Sequence[str]) -> list[str]:
    """Return which contact each is (part of), itself if nobody knows it. Raises `UnknownId`, `StoreError`."""
    asked = [parse_id(one, "k") for one in contact_ids]
    replies = await store.each(
        [(tag(one.partition), ("HGET", key(one.partition, f"k:{one.key}"), INTO)) for one in asked]
    )
    return [await _last(store, into) if into else name for name, into in zip(contact_ids, replies, strict=True)]


async def _last(store: Store, name: str) -> str:
    """Follow a contact to the one that it is part of."""
    for _ in range(DEPTH):
        place = parse_id(name, "k")
        into = await store.do(tag(place.partition), "HGET", key(place.partition, f"k:{place.key}"), INTO)
        if not into:
            break
        name = into
    return name


async def known(store: Store, contact_id: str) -> Contact:
    """Return what rules may ask about a contact, nothing if there is no such contact. Raises `StoreError`."""
    place = parse_id(contact_id, "k")
    for _ in range(DEPTH):
        name = key(place.partition, f"k:{place.key}")
        *found, into = await store.do(tag(place.partition), "HMGET", name, *KNOWN, INTO)
        if not into:
            return from_hash(dict(zip(KNOWN, found, strict=True)))
        place = parse_id(into, "k")
    return Contact()


async def update(store: Store, contact_id: str, actor: Actor, values: Mapping[str, str], now: int) -> dict[str, str]:
    """Set *values*, which `checked` has returned, and return the contact's hash; doing it twice changes nothing.

    Raises `UnknownId`, `NoContact`, `Conflict`, `StoreError`.
    """
    return (await change(store, contact_id, actor, lambda _: values, now))[1]


async def change(
    store: Store, contact_id: str, actor: Actor, values: Callable[[Mapping[str, str]], Mapping[str, str]], now: int
) -> tuple[str, dict[str, str]]:
    """Set what *values* makes of the hash of the contact that *contact_id* is (part of); return its id and hash.

    Raises `UnknownId`, `NoContact`, `Conflict`, `StoreError`.
    """
    for _ in range(TRIES):
        root, fields = await resolve(store, contact_id)
        changed = {name: value for name, value in values(fields).items() if fields.get(name, "") != value}
        if not changed:
            return root, fields
        entry = told(parse_id(root, "k"), actor, now, "changed", changed)
        if await write(store, root, {INTO: "", "v": fields.get("v", "")}, changed, log=entry):
            return root, {**fields, **changed}
    raise Conflict


def told(place: Id, actor: Actor, now: int, event: str, story: Mapping[str, Any]) -> list[Value]:
    """Return the log entry of what became of a contact; *event* is "changed", "merged", "split" or "erased"."""
    fields: list[Value] = ["t", logbook.CONTACT, "k", place.key, "at", now, "au", encode(actor)]
    if event != "changed":
        fields += ("ev", event)
    return [*fields, "b", msgspec.json.encode(story).decode()]


async def write(
    store: Store,
    contact_id: str,
    expect: Mapping[str, str],
    values: Mapping[str, Value] = MappingProxyType({}),
    *,
    unset: Iterable[str] = (),
    log: Sequence[Value] = (),
    mark: tuple[str, int] | None = None,
    unmark: Sequence[str] = (),
    drop: bool = False,
) -> bool:
    """Change the hash of just this contact if its fields are as *expect* says ("" = not there); tell whether it was.

    *mark* puts it into a sorted set of its partition, *unmark* takes it out of some; *drop* removes it altogether.
    Raises `UnknownId`, `StoreError`.
    """
    place = parse_id(contact_id, "k")
    parts: dict[str, Any] = {
        "key": place.key,
        "expect": list(expect.items()),
        "set": text([word for pair in values.items() for word in pair]),
        "unset": list(unset),
        "log": text(log),
        "mark": (mark[0], str(mark[1])) if mark is not None else None,
        "unmark": list(unmark),
        "drop": drop,
    }
    packed = msgspec.msgpack.encode({name: part for name, part in parts.items() if part})
    return bool(await store.run(CONTACT, tag(place.partition), [key(place.partition, "log")], (packed,)))
