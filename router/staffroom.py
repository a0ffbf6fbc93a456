"""What people of the house write from where they work: answers to customers and commands. Never a customer's message.

Everything an event does is done once: answers by their client id, notes and the event itself by its log position,
the hub's own words by their key. The log keeps the event, as ignored by the rule "staff".
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from config.enrolment import Enrolment, Reach
from config.settings import Settings
from connectors.base import Media, SendError
from inbox import log as logbook
from inbox.attachments import TooLarge
from inbox.conversations import NoConversation, load
from inbox.fetching import Fetching, pending
from inbox.leases import Held
from inbox.partitions import UnknownId, before, key, tag
from inbox.placing import Origin, Placer
from inbox.store import Store
from inbox.work import HUB, Desk
from outbox import collisions
from outbox.answers import Answers, Obstructed, Wishes
from outbox.collisions import Overtaken
from outbox.deliveries import Author, Deliveries, Reply
from outbox.drafts import OBSTRUCTED, Draft, Drafts, draft_key
from outbox.hands import Hands
from outbox.letters import Letter
from outbox.notices import customer
from outbox.notifier import Notifier
from router import instructions
from router.credentials import Credential, Credentials
from router.instructions import Instruction
from router.orderly import Orderly, Told
from router.staff_wording import say

log = logging.getLogger(__name__)

RULE = "staff"
FETCH_SECONDS = 20.0
HELP_EVERY = 10 * 60_000
"""How often help goes to somebody who did not prove who they are."""

NOT_SHOWN = frozenset({"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"})
HARMLESS = frozenset({"next", "status"})
"""Commands that a sender's number alone may give."""

SMALLEST_PICTURE = 16 << 10
"""A smaller picture inside a mail is the logo of a signature."""


class Staffroom:
    """Takes the events of people of the house out of the customers' way and does what they say."""

    def __init__(  # a composition root passes what there is
        self,
        store: Store,
        placer: Placer,
        answers: Answers,
        deliveries: Deliveries,
        drafts: Drafts,
        hands: Hands,
        notifier: Notifier,
        credentials: Credentials,
        orderly: Orderly,
        desk: Desk,
        fetching: Fetching,
        settings: Callable[[], Settings],
        enrolment: Callable[[], Enrolment],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._placer = placer
        self._answers = answers
        self._deliveries = deliveries
        self._drafts = drafts
        self._hands = hands
        self._notifier = notifier
        self._credentials = credentials
        self._orderly = orderly
        self._desk = desk
        self._fetching = fetching
        self._settings = settings
        self._enrolment = enrolment
        self._now = now
        self.counts: Counter[tuple[str, str]] = Counter()

    async def take(self, held: Held, origin: Origin) -> bool:
        """Do what *origin* says if it is from somebody of the house; False if it is a customer's.

        Raises `Fenced`, `StoreError`.
        """
        if origin.entry.type == logbook.ECHO or not self._credentials.concern(origin):
            return False
        slot, name = tag(held.partition), key(held.partition, f"a:{origin.address}")
        done = await self._store.do(slot, "HGET", name, "placed")
        if done and not before(done, origin.entry.id):
            return True
        outcome = "silent"
        if origin.entry.type == logbook.MESSAGE and not origin.rest.auto and origin.capabilities.staff:
            outcome = await self._hear(origin)
        self.counts[origin.channel, outcome] += 1
        await self._placer.ignore(held, origin, RULE, {"outcome": outcome})
        return True

    async def _hear(self, origin: Origin) -> str:
        """Do what a message says; return what became of it, as a slug."""
        mail = origin.address.startswith("mailto:")
        words = instructions.own_words(origin.text) if mail else origin.text
        prefix = self._settings().agents_reply.prefix
        asked = instructions.read(words, prefix, bare=origin.address.startswith("tel:"))
        if origin.rest.choice:
            verb, _, target = origin.rest.choice.partition(" ")
            asked = Instruction(f"press {verb}", target)
        known = await self._credentials.examine(origin, asked)
        if not known.agent and not origin.address.startswith("mailto:"):
            await self._answer(origin, known, say("not_enrolled", self._language(known)))
            return "unknown"
        if not known.agent:
            return "unknown"  # somebody else's mail with a token that is none: an answer would go to a stranger
        if mail and known.grade == "lost" and not asked.name:
            beside = await self._beside(origin, known, words)
            if beside is not None:
                return beside
        if known.grade == "lost" and asked.name in ("", "note", "unknown"):
            return await self._lost(origin, known, asked)
        if asked.name:
            return await self._command(origin, known, asked)
        if known.doubt:
            return await self._ask(origin, known)
        return await self._reply(origin, known, asked.argument)

    async def _lost(self, origin: Origin, known: Credential, asked: Instruction) -> str:
        language = self._language(known)
        why = say(known.reason or "no_conversation", language)
        if asked.name == "unknown":
            why = self._unknown(asked, language)
        await self._answer(origin, known, f"{why}\n{self._help(language)}")
        return "lost"

    async def _beside(self, origin: Origin, known: Credential, words: str) -> str | None:
        """Keep a mail that an agent wrote into a customer's thread past the hub; None if it is in no such thread.

        If the customer was among its readers, only the others need to know of it.
        """
        conversation = (await self._placer.locate(origin)).conversation
        if conversation is None or not words:
            return None
        readers = [f"mailto:{one}" for name in ("to", "cc") for one in origin.rest.details.get(name, ())]
        if conversation.address in readers:
            text = say("beside", self._language(known), sender=origin.address.partition(":")[2], words=words)
            await self._desk.note(conversation.id, HUB, text, source=(origin.address, origin.entry.id))
            return "noted"
        return await self._reply(
            origin, dataclasses.replace(known, grade="claimed", conversation=conversation.id), words
        )

    async def _ask(self, origin: Origin, known: Credential) -> str:
        """Ask which of two conversations was meant: a notice came while the answer was written."""
        hand = await self._hands.of(known.agent)
        names = [customer(await load(self._store, one)) for one in (known.doubt, known.conversation)]
        values = {"old": hand.code(known.doubt), "new": hand.code(known.conversation)}
        text = say("doubt", self._language(known), old_name=names[0], new_name=names[1], **values)
        await self._answer(origin, known, text)
        return "doubtful"

    async def _reply(self, origin: Origin, known: Credential, words: str) -> str:
        """Let the customer have an answer, or keep it as a draft where it is not proved or comes too late."""
        words = words.replace("\0", "")
        try:
            media = await self._files(origin)
        except SendError as error:
            log.info("a file of an agent could not be fetched: %s", error)
            names = ", ".join(one.name or one.type for one in origin.rest.media)
            await self._answer(origin, known, say("no_file", self._language(known), name=names))
            return "no_file"
        if not words and not media:
            await self._answer(origin, known, say("empty", self._language(known)))
            return "empty"
        draft = self._draft(origin, known, words, media)
        if known.grade != "proved":
            return await self._hold(origin, known, draft, say(known.reason, self._language(known)))
        try:
            conversation = await load(self._store, known.conversation)
        except (NoConversation, UnknownId):
            await self._answer(origin, known, say("no_conversation", self._language(known)))
            return "lost"
        author = Author("agent", draft.agent, draft.name)
        details = {"via": draft.via}
        reply = Reply(author, words, media=draft.media, client_id=draft.client_id, details=details)
        try:
            await self._answers.give(conversation, reply, Wishes(seen=known.seen))
        except Obstructed as error:
            kept = msgspec.structs.replace(draft, reason=OBSTRUCTED)
            return await self._hold(origin, known, kept, str(error))
        except Overtaken as late:
            tongue = self._notifier.tongue(known.agent)
            told = {
                "name": late.author.name or late.author.id,
                "time": tongue.moment(late.at),
                "words": late.text[:200],
            }
            kept = msgspec.structs.replace(draft, reason="overtaken")
            return await self._hold(origin, known, kept, say("overtaken", tongue.language, **told))
        await collisions.compose(self._store, conversation, known.agent, self._now(), on=False)
        if not origin.address.startswith("mailto:"):  # a mail names its conversation, and says nothing of the others
            await self._hands.chose(known.agent, conversation.id, self._now())
        return "replied"

    def _draft(self, origin: Origin, known: Credential, words: str, media: Sequence[Media]) -> Draft:
        agent = self._settings().agents[known.agent]
        signature = origin.rest.details.get("auth", {}).get("signature", "")
        return Draft(
            conversation=known.conversation,
            key=draft_key(known.agent, origin.message_id),
            agent=known.agent,
            name=str(agent.name),
            text=words,
            at=self._now(),
            reason=known.reason or "needs_approval",
            via=origin.kind,
            source=origin.address,
            media=tuple(media),
            # One signed mail is one answer, whoever sends it again under another Message-ID.
            client_id=f"signed:{known.agent}:{signature}" if signature else f"staff:{origin.message_id}",
            message=origin.message_id,
        )

    async def _hold(self, origin: Origin, known: Credential, draft: Draft, why: str) -> str:
        kept = msgspec.structs.replace(draft, why=why)
        try:
            await self._drafts.hold(kept)
        except (NoConversation, UnknownId):
            await self._answer(origin, known, say("no_conversation", self._language(known)))
            return "lost"
        if not self._enrolment().agents.get(known.agent):  # else the notifier tells them
            code = await self._hands.code(known.agent, known.conversation, self._now())
            values = {"code": code, "why": why, "draft": kept.id, "p": self._settings().agents_reply.prefix}
            await self._answer(origin, known, say("held", self._language(known), **values))
        return "drafted"

    async def _command(self, origin: Origin, known: Credential, asked: Instruction) -> str:
        """Do a command, if it is proved who gave it, and say what became of it."""
        language = self._language(known)
        if asked.name == "unknown":
            await self._answer(origin, known, f"{self._unknown(asked, language)}\n{self._help(language)}")
            return "unknown_command"
        if asked.name == "help":
            await self._answer(origin, known, self._help(language))
            return "helped"
        if not (known.sure or (known.reason == "no_code" and asked.name in HARMLESS)):
            command = f"{self._settings().agents_reply.prefix}{asked.name.removeprefix('press ')}"
            why = say(known.reason or "no_conversation", language)
            await self._answer(origin, known, say("not_done", language, command=command, why=why))
            return "not_done"
        reach = Reach(channel_way(origin.address), origin.channel, origin.address)
        told = Told(known.agent, known.conversation, origin, reach, self._notifier.tongue(known.agent))
        text = await self._orderly.do(told, asked)
        if text:
            more = say("more", language) if asked.more and not asked.name.startswith("press") else ""
            await self._answer(origin, known, text + more)
        return "commanded"

    async def _files(self, origin: Origin) -> list[Media]:
        """Return the files for the customer, fetched where the platform only names them. Raises a `SendError`."""
        found = []
        for media in origin.rest.media:
            logo = media.cid and media.type.startswith("image/") and media.size < SMALLEST_PICTURE
            if media.type in NOT_SHOWN or media.ref.startswith("refused:") or logo:
                continue
            if pending(media):
                found.append(await self._fetched(origin.channel, media))
            else:
                found.append(media)
        return found

    async def _fetched(self, channel: str, media: Media) -> Media:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                got = await self._fetching.fetch(channel, media)
        except (TimeoutError, TooLarge) as error:
            raise SendError(f"the file was not fetched ({type(error).__name__})") from None
        if not got.sha:
            raise SendError(got.error)
        return Media(got.type or media.type, got.name or media.name, got.size, ref=f"sha256:{got.sha}")

    async def _answer(self, origin: Origin, known: Credential, text: str) -> None:
        """Write back to whom it concerns; never to an address that only claims to be an agent's."""
        if not known.known and known.agent:
            return
        sure = known.sure or not origin.address.startswith("mailto:")
        name = f"staff:{origin.message_id}" if sure else f"help:{known.agent}:{self._now() // HELP_EVERY}"
        subject = origin.rest.subject
        letter = Letter(
            channel=origin.channel,
            address=origin.address,
            key=name,
            lane="notice",
            text=text,
            subject="" if sure or not subject else f"Re: {subject}",
            # What is not proved may name an address for answers that is not the agent's.
            handle=origin.rest.handle if sure and origin.address.startswith("mailto:") else "",
            about=known.conversation,
        )
        await self._deliveries.owe_letter(letter, self._now())

    def _unknown(self, asked: Instruction, language: str) -> str:
        prefix = self._settings().agents_reply.prefix
        near = say("near", language, p=prefix, word=asked.near) if asked.near else ""
        return say("unknown", language, word=f"{prefix}{asked.argument}", near=near)

    def _help(self, language: str) -> str:
        return say("help", language, p=self._settings().agents_reply.prefix)

    def _language(self, known: Credential) -> str:
        return self._notifier.tongue(known.agent).language


def channel_way(address: str) -> str:
    """Return the kind of way by which somebody at *address* is reached."""
    return {"mailto": "email", "tel": "sms"}.get(address.partition(":")[0], "messenger")
