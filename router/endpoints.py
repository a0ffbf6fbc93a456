"""The API of the router: why a conversation is where it is, and what the rules would say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from config.routes import DEFAULT
from inbox import log as logbook
from inbox.api import Ask, Problem, Route, answer, listing, moment, rfc3339
from inbox.channels import NOTHING, Channels
from inbox.conversations import load
from inbox.log import Entry
from inbox.partitions import parse_id
from inbox.placing import Placer, parse
from inbox.store import Store
from inbox.timeline import ASSIGNMENTS, DECISIONS, items
from inbox.work import Actor
from router import evidence, standing
from router.archive import Archive, NoVersion
from router.escalation import is_event, recalled
from router.language import language
from router.rules import ConversationFacts, Explanation, Facts, OrderFacts, explain
from router.ruleset import Rules
from router.versions import SHORT, Unreadable


class ContactBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is known of the customer of an imagined message."""

    tags: tuple[str, ...] = ()
    tier: str | None = None
    language: str | None = None


KINDS = {"decision": DECISIONS, "assignment": ASSIGNMENTS, "all": DECISIONS | ASSIGNMENTS}
"""What a trail may be asked for."""


class ExplainBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /routes/explain."""

    channel: str
    text: str = ""
    subject: str = ""
    sender: str = ""
    at: str = ""
    event: str = "message"
    language: str = ""
    contact: ContactBody = ContactBody()
    order: dict[str, str | int | float | bool | list[str | int | float | bool]] | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """What the endpoints need."""

    store: Store
    placer: Placer
    channels: Channels
    rules: Callable[[], Rules]
    archive: Archive
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/conversations/{id}/trail", "readonly", self.trail),
            Route("GET", "/messages/{id}/trail", "readonly", self.message_trail),
            Route("GET", "/routes", "readonly", self.show),
            Route("POST", "/routes/explain", "readonly", self.explain, changes=False),
        ]

    async def trail(self, ask: Ask) -> web.Response:
        """Every decision about a conversation with its verdicts, newest first; `?kind=assignment`: who got it, and why.

        `?kind=all`: both. Raises `Problem` 422 for any other kind.
        """
        kind = ask.query("kind") or "decision"
        if kind not in KINDS:
            raise Problem(422, "There is no such kind", f"expected {', '.join(KINDS)}")
        conversation = await load(self.store, ask.part("id"))
        found, following = await items(self.store, conversation.place, KINDS[kind], ask.cursor(), ask.limit())
        return listing([await self._shown(item.entry) for item in found], following)

    async def message_trail(self, ask: Ask) -> web.Response:
        """What was decided about one message of a customer."""
        entry = await self.placer.verdict(parse_id(ask.part("id"), "m"))
        if entry is None:
            raise Problem(404, "There is no decision about this message", "Only what a customer writes is routed.")
        return listing([await self._decision(entry)])

    async def _shown(self, entry: Entry) -> dict[str, Any]:
        return assignment(entry) if entry.type == logbook.STATE else await self._decision(entry)

    async def _decision(self, entry: Entry) -> dict[str, Any]:
        """Return a decision as the API shows it."""
        story = evidence.told(entry) or {}
        position, _, abroad = entry.fields["m"].partition("@")
        partition = int(abroad) if abroad else entry.partition
        route = story.get("route")
        explanation, unexplained = await self._explain_again(partition, position, entry, story)
        return {
            "kind": "decision",
            "id": f"m{entry.partition}-{entry.id}",
            "at": rfc3339(entry.ms),
            "message": f"m{partition}-{position}",
            "conversation": f"c{entry.partition}-{entry.fields['c']}" if "c" in entry.fields else None,
            "opened": entry.fields.get("o"),
            "ignored": entry.fields.get("er"),
            "hash": story.get("hash"),
            "route": route,
            "routes": story.get("routes", [] if route in (None, DEFAULT) else [route]),
            "set": story.get("set", {}),
            "facts": story.get("facts", {}),
            "acknowledge": story.get("acknowledge", []),
            "explanation": explanation,
            "unexplained": unexplained,
        }

    async def _explain_again(
        self, partition: int, position: str, entry: Entry, story: dict[str, Any]
    ) -> tuple[Any, str | None]:
        """Explain a past decision, or say why not.

        Rules are pure, every rule set is kept, and what was known is stored: the verdicts are the same as then.
        """
        message = (await logbook.fetch(self.store, [(partition, position)]))[0]
        if message is None:
            return None, "the message is not there any more"
        if message.type not in (logbook.MESSAGE, logbook.NOTICE) and not is_event(message):
            return None, "nothing was decided"
        if not story:
            return None, "what was known then was not stored"
        try:
            tree = self.rules().tree
            if story["hash"] != tree.hash[:SHORT]:
                tree = await self.archive.tree(story["hash"])
            if is_event(message):
                known = await load(self.store, f"c{partition}-{message.fields['c']}")
                return shown(explain(tree, recalled(message, known, story))), None
            channel = self.channels.get(message.fields["ch"])
            origin = parse(message, channel.kind if channel is not None else "", NOTHING)
            return shown(explain(tree, evidence.recall(origin, entry, story))), None
        except (NoVersion, Unreadable, msgspec.ValidationError) as error:
            return None, str(error)

    async def show(self, _: Ask) -> web.Response:
        """The rules in use, and whether the files as they are now could be used."""
        rules = self.rules()
        files = [file.model_dump(mode="json", exclude_unset=True, by_alias=True) for file in rules.version.routes]
        stands = await standing.all_of_them(self.store, self.now())
        return answer({"hash": rules.tree.hash, "routes": files, "status": standing.shape(stands)})

    async def explain(self, ask: Ask) -> web.Response:
        """What the rules would say to a message that nobody sent."""
        body = await ask.body(ExplainBody)
        channel = self.channels.get(body.channel)
        if channel is None:
            raise Problem(
                422, "There is no such channel", f"channels are {', '.join(one.name for one in self.channels)}"
            )
        asked = Facts(
            channel=body.channel,
            kind=channel.kind,
            text=body.text,
            subject=body.subject,
            sender=body.sender,
            at=moment(body.at) if body.at else self.now(),
            event=body.event,
            language=body.language or language(body.text or body.subject),
            contact_tags=frozenset(body.contact.tags),
            contact_tier=body.contact.tier,
            contact_language=body.contact.language,
            conversation=ConversationFacts(new=True),
            order=OrderFacts(outcome="none")
            if body.order is None
            else msgspec.convert({"fields": body.order}, OrderFacts),
        )
        return answer(shown(explain(self.rules().tree, asked)))


def assignment(entry: Entry) -> dict[str, Any]:
    """Return as the API shows it who was given a conversation, by whom and why."""
    story, author = entry.rest(), msgspec.json.decode(entry.fields["au"], type=Actor)
    return {
        "kind": "assignment",
        "id": f"m{entry.partition}-{entry.id}",
        "at": rfc3339(entry.ms),
        "conversation": f"c{entry.partition}-{entry.fields['c']}",
        "team": story.get("team", story.get("from_team")) or None,
        "agent": story.get("agent") or None,
        "from_team": story.get("from_team") or None,
        "from_agent": story.get("from_agent") or None,
        "by": {"kind": author.kind, "id": author.id or None},
        "reason": story.get("reason") or None,
        "because": story.get("because") or None,
        "assignment": story.get("assignment"),
    }


def shown(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as the API shows it."""
    plain: dict[str, Any] = msgspec.to_builtins(explanation)
    return {**plain, "at": rfc3339(explanation.at)}


def told(fields: dict[str, Any] | None) -> OrderFacts:
    """Return what is known of an imagined order, None standing for no order."""
    return OrderFacts(outcome="none") if fields is None else msgspec.convert({"fields": fields}, OrderFacts)
