"""Tells agents where they work, and teams in their groups, what has become theirs; each thing once, bursts together.

A reader of the log hands in what somebody has to be told. What waits stands in the store beside its conversation; the
owner of the partition tells it when it is due, as the conversation stands then. What is told is sealed first and goes
out as a letter under a key of its own, so that neither a crash nor a second owner tells it twice.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from config.enrolment import Enrolment, Reach
from config.settings import Settings
from config.staff import Notices
from inbox import log as logbook
from inbox import shapes
from inbox.channels import NOTHING, Channels
from inbox.conversations import Conversation, NoConversation, load
from inbox.course import CLOCKS
from inbox.leases import Held
from inbox.log import Entry
from inbox.partitions import UnknownId, key, position, tag
from inbox.store import Script, Store, StoreError
from inbox.timeline import items
from inbox.wakes import Wakes
from outbox import notices, reply_tokens
from outbox.answers import Obstructed
from outbox.deliveries import Deliveries, NoDelivery
from outbox.drafts import APPROVAL, APPROVED, HELD, Draft, Drafts, NoDraft
from outbox.hands import Hands
from outbox.happenings import LOST, Doer, Event, Sealed, concerns, happened, since_epoch, still_true, taken, waits
from outbox.letters import Letter
from outbox.notices import Line, Scene, Tongue

log = logging.getLogger(__name__)

NOTICE = Script.load(Path(__file__).parent / "scripts" / "notice.lua")
DUE = "notices"
BELL = "n"
BATCH = 50
LIFE = 3 * 24 * 3_600_000  # what could not be told for so long is not news any more
NEWS = 3_600_000
"""What is older when it is read is no news: a hub that begins to tell agents does not begin with its whole past."""

AWAY = 60_000
SHOWN = 10
SPOKEN = frozenset("mon")
PENDING = frozenset({"queued", "sending", "deferred"})


@dataclass(frozen=True, slots=True)
class Sight:
    """What the hub knows beside the store.

    *due* tells a conversation's deadlines, *presence* whether an agent is there, *link* the address of a
    conversation's page, "" where there is none.
    """

    settings: Callable[[], Settings]
    enrolment: Callable[[], Enrolment]
    due: Callable[[Conversation], dict[str, Any]]
    presence: Callable[[str], Awaitable[str]]
    link: Callable[[str], str]
    secret: Callable[[], str]


class Notifier:
    """The reader "notifier" and the chore that tells."""

    def __init__(
        self,
        store: Store,
        wakes: Wakes,
        deliveries: Deliveries,
        drafts: Drafts,
        hands: Hands,
        channels: Channels,
        sight: Sight,
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._deliveries = deliveries
        self._drafts = drafts
        self._hands = hands
        self._channels = channels
        self._sight = sight
        self._now = now
        self.counts: Counter[tuple[str, str]] = Counter()

    async def handle(self, held: Held, entries: Sequence[Entry]) -> None:
        """Reader of the log. Raises `StoreError`."""
        silent = self._sight.enrolment().silent
        known: dict[str, Conversation | None] = {}
        for entry in entries:
            if entry.type == logbook.STATE and entry.fields["ev"] == APPROVAL:
                await self._send_approved(entry.rest()["draft"])
            if not silent and entry.type == logbook.DELIVERY and not entry.fields.get("c"):
                await self._try_elsewhere(entry)
            if silent or entry.ms < self._now() - NEWS or not concerns(entry):
                continue
            name = entry.fields["c"]
            if name not in known:
                known[name] = await self._conversation(f"c{held.partition}-{name}")
            conversation = known[name]
            if conversation is not None:
                try:
                    events = [one async for one in self._events(entry, conversation)]
                except (LookupError, ValueError):
                    log.exception("an event of partition %d is told to nobody", held.partition)
                    continue
                for event in events:
                    await self._hand_in(held.partition, entry, conversation, event)

    async def _send_approved(self, name: str) -> None:
        """Send a draft, unless it was erased, or waits again and may have been discarded since its approval."""
        with contextlib.suppress(Obstructed, NoDraft, NoConversation):
            draft = await self._drafts.load(name)
            if draft.state == APPROVED:
                await self._drafts.send(draft, self._now())

    async def _conversation(self, name: str) -> Conversation | None:
        try:
            return await load(self._store, name)
        except (NoConversation, UnknownId):
            return None

    async def _events(self, entry: Entry, known: Conversation) -> Any:
        """Yield whom to tell of *entry*. Never those who did it."""
        if entry.type == logbook.DELIVERY:
            for event in await self._lost(entry, known):
                yield event
            return
        doer = msgspec.json.decode(entry.fields.get("au", "{}"), type=Doer)
        for event in happened(entry, known, doer, self._sight.settings()):
            if event.who != f"a:{doer.id}" or doer.kind != "agent":
                yield event
        if waits(entry, known):
            for way, _ in self._sight.enrolment().teams.get(known.team, ()):
                if "waiting" in way.events:
                    yield Event(f"t:{known.team}", "waiting", wait=way.after)
                    break

    async def _lost(self, entry: Entry, known: Conversation) -> list[Event]:
        """Return whom to tell that an answer did not arrive: who wrote it, and whose the conversation is."""
        why = entry.fields.get("er", "")
        delivery = await self._deliveries.load(f"d{entry.partition}-{entry.fields['d']}")
        if delivery.state not in LOST or "dropped" in why:
            return []
        _, _, position_ = delivery.message.partition("-")
        message = (await logbook.fetch(self._store, [(entry.partition, position_)]))[0]
        author = msgspec.json.decode(message.fields["au"], type=Doer) if message is not None else Doer("hub")
        people = [author.id] if author.kind == "agent" else []
        whom = [f"a:{one}" for one in dict.fromkeys([*people, known.agent]) if one] or [f"t:{known.team}"]
        return [Event(one, "failed", why.replace("\n", " ")[:120]) for one in whom]

    async def _try_elsewhere(self, entry: Entry) -> None:
        """Tell an agent by their next way of what did not reach them by the one before. Raises `StoreError`."""
        if entry.fields["st"] not in ("dead", "failed") or entry.ms < self._now() - NEWS:
            return
        lost = await self._deliveries.load(f"d{entry.partition}-{entry.fields['d']}")
        agent = self._sight.enrolment().owner(lost.address)
        known = await self._conversation(lost.about) if agent and lost.lane == "notice" and lost.about else None
        if known is None or known.agent != agent or known.status == "resolved":
            return
        ways = self._sight.enrolment().agents.get(agent, ())
        places = [
            number for number, way in enumerate(ways) if (way.channel, way.address) == (lost.channel, lost.address)
        ]
        if places and places[0] + 1 < len(ways):
            await self.show(known, agent, ways[places[0] + 1], f"after:{lost.id}")

    async def _hand_in(self, partition: int, entry: Entry, known: Conversation, event: Event) -> None:
        """Note what is to be told, unless the reader does not want to hear of it. Raises `StoreError`."""
        kind, _, name = event.who.partition(":")
        enrolment = self._sight.enrolment()
        bundle = 0
        if kind == "a":
            wanted = self._wanted(name)
            if not enrolment.agents.get(name) or wanted is None or event.what not in wanted.events:
                return
            bundle = wanted.bundle if event.what == "message" else 0
        elif not any(event.what in way.events for way, _ in enrolment.teams.get(name, ())):
            return
        member, due = f"{known.place.key}|{event.who}", self._now() + event.wait
        arguments = ("add", member, entry.id, f"{event.what} {event.detail}".strip(), due, bundle, LIFE)
        if await self._run(partition, arguments):
            self._wakes.ring((f"{BELL}{partition}",))

    async def _run(self, partition: int, arguments: Sequence[str | int]) -> Any:
        return await self._store.run(NOTICE, tag(partition), [key(partition, DUE)], arguments)

    def _wanted(self, agent: str) -> Notices | None:
        found = self._sight.settings().agents.get(agent)
        return found.notices if found is not None else None

    async def turn(self, held: Held) -> int | None:
        """Tell what is due in a partition; return when to look again, if anything waits. Raises `StoreError`."""
        if self._sight.enrolment().silent:
            return None
        name, slot = key(held.partition, DUE), tag(held.partition)
        for member in await self._store.do(slot, "ZRANGEBYSCORE", name, "-inf", self._now(), "LIMIT", 0, BATCH):
            try:
                await self._tell(held.partition, member)
            except StoreError:
                raise
            except Exception:
                log.exception("a notice of partition %d could not be made; it is tried again", held.partition)
                await self._run(held.partition, ("later", member, self._now() + AWAY))
        later = await self._store.do(slot, "ZRANGE", name, 0, 0, "WITHSCORES")
        return int(float(later[1])) if later else None

    async def _tell(self, partition: int, member: str) -> None:
        """Tell one agent or team of one conversation. Raises `StoreError`."""
        place, _, who = member.partition("|")
        kind, _, name = who.partition(":")
        wait = await self._not_yet(partition, member, name) if kind == "a" else 0
        if wait:
            await self._run(partition, ("later", member, self._now() + wait))
            return
        sealed = taken(await self._run(partition, ("take", member)))
        if sealed is None:
            return
        conversation = await self._conversation(f"c{partition}-{place}")
        letters: list[str] = []
        seen = sealed.seen
        if conversation is not None:
            reasons = still_true(conversation, who, sealed)
            held = await self._held(reasons)
            reasons = [(event, detail) for event, detail in reasons if event != "draft" or detail in held]
            if reasons:
                letters, seen = await self._letters(conversation, who, reasons, held, sealed)
        wanted = self._wanted(name) if kind == "a" else None
        bundle = wanted.bundle if wanted is not None else 0
        await self._run(partition, ("done", member, sealed.upto, self._now(), seen, "".join(letters[:1]), bundle, LIFE))

    async def _not_yet(self, partition: int, member: str, agent: str) -> int:
        """Return for how long an agent is not to be told: they are away, or the notice before is still on its way."""
        wanted = self._wanted(agent)
        if wanted is None:
            return 0
        if wanted.pause and await self._sight.presence(agent) in wanted.pause:
            return AWAY
        letter, at = await self._store.do(tag(partition), "HMGET", key(partition, f"notice:{member}"), "letter", "at")
        if not letter or self._now() - int(at) > 10 * wanted.bundle:
            return 0
        try:
            return wanted.bundle if (await self._deliveries.load(letter)).state in PENDING else 0
        except (NoDelivery, UnknownId):
            return 0

    async def _held(self, reasons: Sequence[tuple[str, str]]) -> dict[str, Draft]:
        """Return the drafts that there is news of, by id; not those that somebody has decided on, or were erased."""
        held = {}
        for name in [detail for event, detail in reasons if event == "draft"]:
            with contextlib.suppress(NoDraft):
                draft = await self._drafts.load(name)
                if draft.state == HELD:
                    held[name] = draft
        return held

    async def _letters(
        self,
        known: Conversation,
        who: str,
        reasons: Sequence[tuple[str, str]],
        held: Mapping[str, Draft],
        sealed: Sealed,
    ) -> tuple[list[str], str]:
        """Owe the letters of a notice; return their ids and the log position up to which they tell."""
        kind, _, name = who.partition(":")
        lines, seen = await self._lines(known)
        lines += [Line(one.at, one.name, one.text, one.id) for one in held.values()]
        told = [(event, held[detail].reason if event == "draft" else detail) for event, detail in reasons]
        owed = []
        for reach in self._reaches(kind, name, reasons):
            code = await self._hands.told(name, known.id, seen, self._now()) if kind == "a" else ""
            scene = await self._scene(known, name if kind == "a" else "", told, lines, code)
            letter = self._letter(scene, reach, f"notice:{who}:{known.id}:{sealed.upto}", seen)
            delivery, fresh = await self._deliveries.owe_letter(letter, self._now())
            self.counts[reach.channel, "notice"] += fresh
            owed.append(delivery.id)
        return owed, seen

    async def show(self, known: Conversation, agent: str, reach: Reach, name: str) -> str:
        """Show *agent* a conversation that they asked for, by *reach*; return its short code. Raises `StoreError`.

        The same *name* shows it once.
        """
        lines, seen = await self._lines(known)
        await self._hands.told(agent, known.id, seen, self._now())
        code = await self._hands.chose(agent, known.id, self._now())
        scene = await self._scene(known, agent, [("assigned", "")], lines, code)
        await self._deliveries.owe_letter(self._letter(scene, reach, name, seen), self._now())
        return code

    def tongue(self, agent: str) -> Tongue:
        """Return in what language and zone *agent* reads."""
        settings = self._sight.settings()
        known = settings.agents.get(agent)
        spoken = known.notices.language or next(iter(known.languages), "") if known is not None else ""
        return Tongue(spoken if spoken.startswith(("zh", "en")) else settings.locale, settings.timezone)

    def _reaches(self, kind: str, name: str, reasons: Sequence[tuple[str, str]]) -> list[Reach]:
        """Return by what ways to tell: an agent by the first that is up, a team by each that wants to hear of it."""
        enrolment = self._sight.enrolment()
        if kind == "t":
            about = {event for event, _ in reasons}
            return [reach for way, reach in enrolment.teams.get(name, ()) if about.intersection(way.events)]
        ways = enrolment.agents.get(name, ())
        able = [one for one in ways if (channel := self._channels.get(one.channel)) and channel.capabilities.staff]
        up = [one for one in able if (channel := self._channels.get(one.channel)) and channel.state != "down"]
        return list((up or able or list(ways))[:1])

    async def _lines(self, known: Conversation) -> tuple[list[Line], str]:
        """Return the latest messages, oldest first, and the log position of the last one."""
        found, _ = await items(self._store, known.place, SPOKEN, None, SHOWN)
        lines = []
        for item in reversed(found):
            who = ""
            if item.mark != "m" or item.entry.type == logbook.ECHO:
                doer = msgspec.json.decode(item.entry.fields.get("au", "{}"), type=Doer)
                who = doer.name or doer.id or "Huiliu"
            if item.entry.type != logbook.NOTICE:
                lines.append(Line(int(item.entry.fields["at"]), who, item.entry.fields.get("tx", "")))
        return lines, max((item.entry.id for item in found), key=position, default="0-0")

    async def _scene(
        self, known: Conversation, agent: str, reasons: Sequence[tuple[str, str]], lines: Sequence[Line], code: str
    ) -> Scene:
        due = self._sight.due(known)
        clocks = [(name, since_epoch(at)) for name in CLOCKS if (at := due.get(f"{name}_due"))]
        channel = self._channels.get(known.channel)
        window = None
        if channel is not None and channel.capabilities.window is not None:
            [(_, _, address)] = await shapes.details(self._store, [known])
            left = address.get(f"wl:{known.channel}", "")
            window = int(address.get(f"wu:{known.channel}") or 0), int(left) if left else None
        return Scene(known, agent, reasons, lines, clocks, window, code, self._sight.link(known.id))

    def _letter(self, scene: Scene, reach: Reach, name: str, seen: str) -> Letter:
        tongue = self.tongue(scene.agent)
        channel, form = self._channels.get(reach.channel), notices.form_of(reach.kind)
        capabilities = channel.capabilities if channel is not None else NOTHING
        token = ""
        if scene.agent:
            moment = position(seen)[0]
            token = reply_tokens.write(self._sight.secret(), scene.agent, scene.conversation.id, moment, self._now())
        return Letter(
            channel=reach.channel,
            address=reach.address or f"{reach.kind}:{reach.channel}",
            key=name,
            lane="notice",
            text=notices.text(scene, tongue, form, capabilities),
            subject=notices.subject(scene, tongue) if form == "mail" else "",
            choices=notices.choices(scene, tongue, capabilities),
            about=scene.conversation.id,
            token=token,
        )
