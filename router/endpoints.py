"""The API of the router: why a conversation is where it is, and what the rules would say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from inbox import log as logbook
from inbox.api import Ask, Problem, Route, answer, listing, moment, rfc3339
from inbox.channels import Channels
from inbox.conversations import load
from inbox.log import Entry
from inbox.partitions import parse_id
from inbox.placing import Placer, Spot, parse
from inbox.store import Store
from inbox.timeline import DECISIONS, items
from router.reader import facts, trail
from router.rules import ConversationFacts, Explanation, Facts, explain
from router.ruleset import Rules


class ExplainBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /routes/explain."""

    channel: str
    text: str = ""
    subject: str = ""
    sender: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Routing:
    """What the endpoints need."""

    store: Store
    placer: Placer
    channels: Channels
    rules: Callable[[], Rules]
    shown: Callable[[], Any]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/conversations/{id}/trail", "readonly", self.trail),
            Route("GET", "/messages/{id}/trail", "readonly", self.message_trail),
            Route("GET", "/routes", "readonly", self.show),
            Route("POST", "/routes/explain", "readonly", self.explain),
        ]

    async def trail(self, ask: Ask) -> web.Response:
        """Every decision about a conversation, newest first, with the verdicts while the same rules are loaded."""
        conversation = await load(self.store, ask.part("id"))
        found, following = await items(self.store, conversation, DECISIONS, ask.cursor(), ask.limit())
        return listing([await self._decision(item.entry) for item in found], following)

    async def message_trail(self, ask: Ask) -> web.Response:
        """What was decided about one message of a customer."""
        entry = await self.placer.verdict(parse_id(ask.part("id"), "m"))
        if entry is None:
            raise Problem(404, "There is no decision about this message", "Only what a customer writes is routed.")
        return listing([await self._decision(entry)])

    async def _decision(self, entry: Entry) -> dict[str, Any]:
        """Return a decision as the API shows it."""
        story = entry.rest()
        position, _, abroad = entry.fields["m"].partition("@")
        partition = int(abroad) if abroad else entry.partition
        decision = {
            "id": f"m{entry.partition}-{entry.id}",
            "at": rfc3339(entry.ms),
            "message": f"m{partition}-{position}",
            "conversation": f"c{entry.partition}-{entry.fields['c']}" if "c" in entry.fields else None,
            "opened": entry.fields.get("o"),
            "ignored": entry.fields.get("er"),
            **trail(story),
            "acknowledge": story.get("acknowledge", []),
            "explanation": None,
        }
        if story.get("hash") == self.rules().tree.hash:
            decision["explanation"] = await self._explain_again(partition, position, story)
        return decision

    async def _explain_again(self, partition: int, position: str, story: dict[str, Any]) -> Any:
        """Explain a past decision: rules are pure and what they asked about is stored, so the verdicts are the same."""
        entry = (await logbook.fetch(self.store, [(partition, position)]))[0]
        if entry is None or entry.type != logbook.MESSAGE:
            return None
        channel = self.channels.get(entry.fields["ch"])
        if channel is None:
            return None
        origin = parse(entry, channel.kind, channel.capabilities)
        asked = facts(origin, Spot({}, None, reopens=False))
        known = msgspec.convert(story.get("conversation", {}), ConversationFacts)
        return shown(explain(self.rules().tree, dataclasses.replace(asked, conversation=known)))

    async def show(self, _: Ask) -> web.Response:
        return answer({"hash": self.rules().tree.hash, "routes": self.shown()})

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
            conversation=ConversationFacts(new=True),
        )
        return answer(shown(explain(self.rules().tree, asked)))


def shown(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as the API shows it."""
    plain: dict[str, Any] = msgspec.to_builtins(explanation)
    return {**plain, "at": rfc3339(explanation.at)}
