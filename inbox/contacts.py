"""What is known of a customer beyond name and addresses: tags, tier, preferred language. Rules ask about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from config.faults import Wrong
from config.values import language as language_tag
from inbox import log as logbook
from inbox.conversations import Change, Value, commit, pairs
from inbox.partitions import key, parse_id, tag
from inbox.store import Store
from inbox.work import Actor, Refusal, encode

KNOWN = ("tags", "tier", "language")
"""Fields of a contact's hash in the store that rules may ask about; empty or missing: nothing is known."""
MOST_TAGS = 50
LENGTH = 60


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


def checked(tags: Sequence[str] | None, tier: str | None, language: str | None) -> dict[str, str]:
    """Return what the store shall hold of the values that are given (None: left as it is). Raises `Refusal`."""
    values: dict[str, str] = {}
    if tags is not None:
        if any(not name.strip() or "," in name or len(name) > LENGTH for name in tags):
            raise Refusal(f"a tag is 1 to {LENGTH} characters without a comma")
        names = tuple(dict.fromkeys(name.strip() for name in tags))
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
    return values


async def load(store: Store, contact_id: str) -> dict[str, str]:
    """Return the contact's hash in the store. Raises `UnknownId`, `NoContact`, `StoreError`."""
    place = parse_id(contact_id, "k")
    fields = pairs(await store.do(tag(place.partition), "HGETALL", key(place.partition, f"k:{place.key}")))
    if not fields:
        raise NoContact(contact_id)
    return fields


async def known(store: Store, contact_id: str) -> Contact:
    """Return what rules may ask about a contact, nothing if there is no such contact. Raises `StoreError`."""
    place = parse_id(contact_id, "k")
    found = await store.do(tag(place.partition), "HMGET", key(place.partition, f"k:{place.key}"), *KNOWN)
    return from_hash(dict(zip(KNOWN, found, strict=True)))


async def update(store: Store, contact_id: str, actor: Actor, values: Mapping[str, str], now: int) -> dict[str, str]:
    """Set *values*, which `checked` has returned, and return the contact's hash; doing it twice changes nothing.

    Raises `UnknownId`, `NoContact`, `StoreError`.
    """
    fields = await load(store, contact_id)
    changed = {name: value for name, value in values.items() if fields.get(name, "") != value}
    if not changed:
        return fields
    place = parse_id(contact_id, "k")
    record: list[Value] = [word for pair in changed.items() for word in pair]
    story = msgspec.json.encode(changed).decode()
    entry: list[Value] = ["t", logbook.CONTACT, "k", place.key, "at", now, "au", encode(actor), "b", story]
    await commit(store, place.partition, Change(records=[(f"k:{place.key}", record)], log=[("", entry)]))
    return {**fields, **changed}
