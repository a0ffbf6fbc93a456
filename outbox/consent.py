"""Who may be written to: what addresses have said, or somebody has recorded for them, and what follows from it.

Consent belongs to addresses, so that it survives whatever becomes of contacts. What holds for a lane on a channel is
the latest word that covers it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from config.consent import Consent as Policy
from inbox import log as logbook
from inbox.contacts import NoContact
from inbox.contacts import load as load_contact
from inbox.conversations import Change, Conflict, NoConversation, Value, commit, load
from inbox.partitions import UnknownId, key, parse_id, partition_of, tag
from inbox.store import Script, Store
from inbox.work import Actor, encode
from outbox.forgotten import Forgotten
from outbox.obstacles import Obstacle, Sending

CONSENT = Script.load(Path(__file__).parent / "scripts" / "consent.lua")
PREFIX = "co:"
ALL = "*"
ASKED = frozenset({"reply", "notice"})
"""Lanes in which the customer has asked for something, or is answered."""

State = Literal["opted_out", "consented", "unknown"]
How = Literal["word", "platform", "unfollow", "follow", "page", "one-click", "mail", "person", "import"]
OF_HUBS = frozenset({"page", "one-click", "person", "import"})
"""How words came of which a hub's clock tells the moment; that of all others is the log's."""

TRIES = 8

_WHY = {
    "opted_out": {
        "zh": "对方已退订（{at}）",
        "en": "the recipient has opted out ({at})",
    },
    "no_consent": {
        "zh": "没有对方同意接收的记录",
        "en": "nothing says that the recipient has agreed to be written to",
    },
}


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of being written to: for a *channel* and a *lane*, or all of them ("*").

    *at* is in milliseconds since 1970 UTC; 0, of a word that is still to be recorded, is the moment of that.
    *evidence* says where it can be looked up: the id of a message or event, a source, a link. *reason* is a person's.
    """

    state: State
    at: int
    how: How
    evidence: str = ""
    by: str = ""
    reason: str = ""
    channel: str = ALL
    lane: str = ALL

    @property
    def field(self) -> str:
        """The field of the address's record."""
        return f"{PREFIX}{self.channel}/{self.lane}"

    def covers(self, channel: str, lane: str) -> bool:
        """Tell whether it speaks of *lane* on *channel*."""
        return self.channel in (ALL, channel) and self.lane in (ALL, lane)


class Told(msgspec.Struct, frozen=True):
    """What came of a word: whether it is *fresh*, the *word* that holds now, the last *campaign* ("" = none).

    Of a word that *holds* the one with the store's moment is told; a repetition holds without being fresh.
    """

    fresh: bool
    holds: bool
    word: Word
    campaign: str = ""


def words(record: Mapping[str, str]) -> tuple[Word, ...]:
    """Return what the record of an address holds, the latest word first."""
    found = [msgspec.json.decode(value, type=Word) for name, value in record.items() if name.startswith(PREFIX)]
    return tuple(sorted(found, key=lambda one: -one.at))


def latest(known: Iterable[Word], channel: str, lane: str) -> Word | None:
    """Return the word that holds for *lane* on *channel*; None without any.

    That is the last; of one millisecond an opt-out, else the narrowest.
    """
    covering = (one for one in known if one.covers(channel, lane))
    return max(covering, key=_weight, default=None)


def _weight(word: Word) -> tuple[int, bool, bool, bool]:
    return word.at, word.state == "opted_out", word.lane != ALL, word.channel != ALL


class Consent:
    """What is kept of consent. *policy* and *locale* are those of the configuration in use."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        locale: Callable[[], str],
        forgotten: Forgotten | None = None,
    ) -> None:
        self._store = store
        self.policy = policy
        self._locale = locale
        self._forgotten = forgotten or Forgotten(store, lambda: "")

    async def record(self, address: str, word: Word) -> Told:
        """Remember *word* for *address*, unless a later one is known; doing it twice changes nothing.

        What is said now (*at* 0) holds. A moment that a hub gives and that lies ahead becomes the store's. Raises
        `StoreError`.
        """
        partition = partition_of(address)
        packed = msgspec.json.encode(msgspec.structs.replace(word, at=0))
        by_hub = int(word.how in OF_HUBS)
        arguments = (f"a:{address}", word.field, packed, word.at, by_hub, logbook.CONSENT, address)
        reply = await self._store.run(CONSENT, tag(partition), [key(partition, "log")], arguments)
        fresh, holds, known, campaign = reply
        return Told(bool(fresh), bool(holds), msgspec.json.decode(known, type=Word), campaign)

    async def summary(self, addresses: Sequence[str]) -> str:
        """Return what is known of all these addresses as one line for a table, "" if nothing. Raises `StoreError`."""
        found = await asyncio.gather(*(self.known(address) for address in addresses))
        return "; ".join(
            f"{address} {word.state} {word.channel}/{word.lane} {day(word.at)}"
            for address, each in zip(addresses, found, strict=True)
            for word in each
        )

    async def known(self, address: str) -> tuple[Word, ...]:
        """Return what is known of *address*, the latest word first. Raises `StoreError`."""
        return words(await self.address(address))

    async def address(self, address: str) -> dict[str, str]:
        """Return the record of an address, with what is kept of one that was erased. Raises `StoreError`."""
        return await self._forgotten.record(address)

    async def obstacle(
        self, address: str, channel: str, lane: str, *, contact: str = "", conversation: str = ""
    ) -> Obstacle | None:
        """Say what of consent stands in the way of a message. Raises `StoreError`.

        *contact* is looked up if it is not given, where the policy is about contacts; who has opted out and written
        again since is known from the *conversation*.
        """
        policy = self.policy()
        if lane in ASKED and policy.replies == "always":
            return None
        record = await self.address(address)
        known: Sequence[Word] = words(record)
        if policy.whole_contact:
            known = await self._of_contact(address, contact or record.get("contact", ""), known)
        holds = latest(known, channel, lane)
        if holds is not None and holds.state == "opted_out":
            if lane in ASKED and policy.replies == "until-they-write" and await self._wrote(conversation, holds.at):
                return None
            return self._obstacle("opted_out", holds.at)
        if lane in policy.required and (holds is None or holds.state != "consented"):
            return self._obstacle("no_consent")
        return None

    async def objection(self, sending: Sending) -> tuple[Obstacle, ...]:
        """Say what of consent stands in the way, as an `Objection`."""
        if sending.legal:
            return ()
        found = await self.obstacle(
            sending.address,
            sending.channel,
            sending.lane,
            contact=sending.contact,
            conversation=sending.conversation,
        )
        return (found,) if found is not None else ()

    def _obstacle(self, code: str, at: int = 0) -> Obstacle:
        texts = _WHY[code]
        why = texts["zh" if self._locale().startswith("zh") else "en"]
        return Obstacle(code, "block", why.format(at=day(at)))

    async def _wrote(self, conversation: str, since: int) -> bool:
        """Tell whether the customer has written again since they left."""
        if not conversation:
            return False
        try:
            return (await load(self._store, conversation)).last_inbound_at > since
        except (NoConversation, UnknownId):
            return False

    async def _of_contact(self, address: str, contact: str, known: Sequence[Word]) -> Sequence[Word]:
        """Return what is known of all addresses of a contact; other addresses speak of their opt-outs only."""
        if not contact:
            return known
        try:
            fields = await load_contact(self._store, contact)
        except (NoContact, UnknownId):
            return known
        others = [one for one in fields.get("addresses", "").split("\n") if one and one != address]
        found = await asyncio.gather(*(self.known(one) for one in others))
        return (*known, *(msgspec.structs.replace(one, channel=ALL) for each in found for one in each))

    async def note(self, address: str, actor: Actor, word: Word) -> None:
        """Write on the timelines of an address's conversations what *actor* recorded. Raises `StoreError`."""
        record = await self.address(address)
        story = {name: getattr(word, name) for name in ("state", "lane", "how", "reason", "evidence")}
        story |= {"address": address, "on": word.channel}
        for conversation in {value for name, value in record.items() if name.startswith("conv:")}:
            place = parse_id(conversation, "c")
            fields: list[Value] = ["t", logbook.STATE, "c", place.key, "ev", "consent", "at", word.at]
            fields += ["au", encode(actor), "b", msgspec.json.encode(story).decode()]
            change = Change(id=place.key, log=[("s", fields)])
            for _ in range(TRIES):
                try:
                    await commit(self._store, place.partition, change)
                    break
                except Conflict:
                    continue


def day(at: int) -> str:
    """Return the day of *at* in UTC, as 2026-11-21."""
    return dt.datetime.fromtimestamp(at / 1000, dt.UTC).date().isoformat()
