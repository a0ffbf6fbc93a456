"""How customers leave and return: keywords, platforms' notices, mails to an unsubscribe address, links.

Everything here is safe to do twice, as readers do after a crash.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec

from config.consent import Consent as Policy
from config.consent import bare
from connectors.base import Notice
from inbox import log as logbook
from inbox.conversations import Conversation, load
from inbox.partitions import digest
from inbox.placing import Origin
from inbox.recording import Recorder
from inbox.store import Store
from outbox.consent import ALL, PREFIX, Consent, How, Told, Word, words
from outbox.deliveries import Author, Deliveries, Reply
from outbox.seals import BadSeal, Recipient, Seals

LONGEST_WORD = 40
CARRIER = "tel:"
UNASKED = ("survey", "campaign")
NOTICES: Mapping[str, tuple[str, How]] = {
    "opt_out": ("opted_out", "platform"),
    "opt_in": ("consented", "platform"),
    "unfollow": ("opted_out", "unfollow"),
    "follow": ("unknown", "follow"),
}
EVENTS = {"opted_out": "opt_out", "consented": "opt_in"}

_BY_MAIL = re.compile(r"^\s*(?:unsubscribe|退订)[\s:：]+([A-Za-z2-7]{32,1000})\s*$", re.IGNORECASE)
_TAGGED = re.compile(r"\+u-([a-z2-7]{32,1000})@", re.IGNORECASE)
_SIGNATURE = re.compile(r"\n-- ?\n")


@dataclass(frozen=True, slots=True)
class Heard:
    """What an inbound event says about being written to: which *words* for which *address*.

    *keyword*: a person wrote it, and nobody has told the routes of it yet.
    """

    address: str
    words: tuple[Word, ...]
    keyword: bool = False

    @property
    def event(self) -> Literal["opt_out", "opt_in"] | None:
        """The event that routes may react to."""
        return cast("Literal['opt_out', 'opt_in'] | None", EVENTS.get(self.words[0].state))


class Leaving:
    """Hears who leaves and returns. *confirmation* renders a template for a conversation, None if there is none.

    *left* is told of every opt-out that holds, with the bulk send that last wrote to the address.
    """

    def __init__(
        self,
        store: Store,
        consent: Consent,
        recorder: Recorder,
        deliveries: Deliveries,
        seals: Callable[[], Seals],
        confirmation: Callable[[str, Conversation], str | None],
        left: Callable[[str, str], Awaitable[None]],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._consent = consent
        self._recorder = recorder
        self._deliveries = deliveries
        self._seals = seals
        self._confirmation = confirmation
        self._left = left
        self._now = now
        self._words: dict[tuple[str, str, bool], tuple[frozenset[str], frozenset[str]]] = {}
        self._words_of: Policy | None = None

    @property
    def scope(self) -> str:
        """What a link ends: "lane" or "unasked"."""
        return self._consent.policy().unsubscribe

    async def acknowledged(self, conversation: Conversation) -> bool:
        """Tell whether an acknowledgement may go to a customer. Raises `StoreError`."""
        where = (conversation.address, conversation.channel, "notice")
        found = await self._consent.obstacle(*where, contact=conversation.contact, conversation=conversation.id)
        return found is None

    async def hear(self, origin: Origin) -> Heard | None:
        """Remember what an inbound event says about being written to; None if it says nothing. Raises `StoreError`."""
        heard = self.meaning(origin)
        if heard is not None:
            for word in heard.words:
                await self.take(heard.address, word)
        return heard

    def meaning(self, origin: Origin) -> Heard | None:
        """Tell what an inbound event says about being written to."""
        if origin.entry.type == logbook.NOTICE:
            state, how = NOTICES.get(origin.rest.name, ("", "platform"))
            if not state or origin.rest.details.get("recorded"):
                return None
            channel = origin.channel if how in ("follow", "unfollow") else ALL
            evidence = origin.entry.fields["x"]
            word = Word(cast("Any", state), origin.entry.ms, how, evidence, channel=channel)
            return Heard(origin.address, (word,))
        if origin.entry.type != logbook.MESSAGE:
            return None
        return self._by_mail(origin) or self._by_word(origin)

    def _by_mail(self, origin: Origin) -> Heard | None:
        """Read a mail that an unsubscribe link without a browser sends (RFC 2369)."""
        if not origin.address.startswith("mailto:"):
            return None
        found = _BY_MAIL.match(origin.rest.subject)
        if found is None:
            to = " ".join(map(str, origin.rest.details.get("to", ())))
            found = _TAGGED.search(to) if "+u-" in to else None
        if found is None:
            return None
        try:
            recipient = self._seals().open(found[1])
        except BadSeal:
            return None
        return Heard(recipient.address, self.ended(recipient, origin.entry.ms, "mail", origin.message_id))

    def _by_word(self, origin: Origin) -> Heard | None:
        """Tell whether a message is nothing but a keyword."""
        mail = origin.address.startswith("mailto:")
        text = _SIGNATURE.split(origin.text, maxsplit=1)[0].strip() if mail else origin.text
        if mail and not text:
            text = origin.rest.subject
        if not text or len(text) > LONGEST_WORD or origin.rest.media:
            return None
        carrier = origin.address.startswith(CARRIER)
        stop, start = self._keywords(origin.channel, origin.kind, carrier=carrier)
        said = bare(text)
        if said not in stop and said not in start:
            return None
        state: Any = "opted_out" if said in stop else "consented"
        return Heard(origin.address, (Word(state, origin.entry.ms, "word", origin.message_id),), keyword=True)

    def _keywords(self, channel: str, kind: str, *, carrier: bool) -> tuple[frozenset[str], frozenset[str]]:
        """Return the words of a channel, which are put together once for each policy."""
        policy = self._consent.policy()
        if policy is not self._words_of:
            self._words_of, self._words = policy, {}
        found = self._words.get((channel, kind, carrier))
        if found is None:
            found = self._words[channel, kind, carrier] = policy.keywords(channel, kind, carrier=carrier)
        return found

    async def follow(self, origin: Origin, record: Mapping[str, str]) -> None:
        """Count a message in which a platform has read an opt-out as that opt-out, not as writing again.

        *record* is what is known of its address. Raises `StoreError`.
        """
        external_id = origin.entry.fields["x"]
        for name in record:
            if name.startswith(PREFIX):
                for word in words({name: record[name]}):
                    if word.evidence.startswith(f"{external_id}:") and word.at < origin.entry.ms:
                        await self.take(origin.address, msgspec.structs.replace(word, at=origin.entry.ms))

    async def answer(self, heard: Heard, origin: Origin, conversation_id: str) -> None:
        """Let routes know of a keyword, and confirm it once where that is wanted. Raises `StoreError`."""
        if not heard.keyword or heard.event is None:
            return
        external_id, event = origin.entry.fields["x"], heard.event
        # The id that connectors of SMS give to the same thing: it is recorded once, whoever comes first.
        notice = Notice(f"{external_id}:{event}", origin.address, origin.at, event, handle=origin.rest.handle)
        await self._recorder.record(origin.channel, [notice])
        policy = self._consent.policy()
        if not policy.confirm or not conversation_id or origin.kind in policy.confirmed_by_platform:
            return
        conversation = await load(self._store, conversation_id)
        text = self._confirmation(policy.confirm, conversation)
        if text and event == "opt_out":
            reply = Reply(Author("hub"), text, client_id=f"opt-out:{origin.message_id}", auto=True, legal=True)
            await self._deliveries.enqueue(conversation, reply, self._now())

    def ended(self, recipient: Recipient, at: int, how: How, evidence: str) -> tuple[Word, ...]:
        """Return the words by which an unsubscribe link ends what it was given with."""
        lanes = UNASKED if self._consent.policy().unsubscribe == "unasked" else (recipient.lane,)
        return tuple(Word("opted_out", at, how, evidence, lane=lane) for lane in lanes)

    async def unsubscribe(
        self, recipient: Recipient, how: How, *, everything: bool = False, back: bool = False
    ) -> tuple[Told, ...]:
        """Do what somebody asked for on the page of a link; *back* takes it back. Raises `StoreError`."""
        at = self._now()
        found = self.ended(recipient, 0, how, f"link:{recipient.lane}:{recipient.channel}")
        if everything:
            found = (msgspec.structs.replace(found[0], lane=ALL),)
        if back:
            known = await self._consent.known(recipient.address)
            found = tuple(msgspec.structs.replace(one, state="consented") for one in found)
            if any(one.lane == ALL and one.state == "opted_out" and one.how == "page" for one in known):
                # First: what is said of a lane after it holds there.
                found = (msgspec.structs.replace(found[0], lane=ALL, state="unknown"), *found)
        told = tuple([await self.take(recipient.address, word) for word in found])
        if any(one.fresh for one in told):
            event = "opt_in" if back else "opt_out"
            external_id = f"link:{digest(recipient.address, recipient.lane, event, str(at))}"
            details = {"recorded": True, "lanes": [one.lane for one in found], "how": how}
            notice = Notice(external_id, recipient.address, at, event, details=details)
            await self._recorder.record(recipient.channel, [notice])
        return told

    async def take(self, address: str, word: Word) -> Told:
        """Remember a word, and tell the campaign that may have caused it. Raises `StoreError`."""
        told = await self._consent.record(address, word)
        if told.campaign and told.holds and word.state == "opted_out":
            await self._left(address, told.campaign)
        return told
