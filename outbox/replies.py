"""The API of answers: owed, or only looked at."""

from __future__ import annotations

import base64
import datetime as dt
import mimetypes
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from aiohttp import web

from config.settings import Settings
from connectors.base import Media
from inbox import log as logbook
from inbox.api import Ask, Problem, Route, answer, moment, rfc3339
from inbox.channels import Channels
from inbox.conversations import Conversation, load
from inbox.endpoints import FileBody
from inbox.partitions import parse_id
from inbox.shapes import message_shape
from inbox.store import Store, StoreError
from inbox.timeline import Item
from outbox.answers import Answers, Obstructed, Unconfirmed, Unfit, Wishes, confirmed
from outbox.collisions import Overtaken, compose
from outbox.deliveries import Author, Reply
from outbox.endpoints import delivery_shape
from outbox.forecast import CONTENT, SendPlan
from outbox.guard import Finding
from outbox.obstacles import Obstacle
from outbox.planner import Planner
from outbox.reasons import course, spoken, telling

MAX_TEXT = 100_000
MAX_FILES = 20
MAX_VARIABLES = 50


class ReplyBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/replies and …/replies/preview."""

    text: str | None = ""
    html: str | None = ""
    subject: str | None = ""
    attachments: list[str | FileBody] | None = []
    template: str | None = ""
    variables: dict[str, str] = {}
    language: str = ""
    client_id: str | None = ""
    agent: str = ""
    seen: str = ""
    send_at: str = ""
    unless_customer_writes: bool = False
    insist: bool = False
    confirm: list[str] = []
    anyway: bool = False


@dataclass(frozen=True, slots=True)
class Replies:
    """What the endpoints need. *find_file* keeps a file that is given, or finds one by its id."""

    store: Store
    answers: Answers
    planner: Planner
    channels: Channels
    settings: Callable[[], Settings]
    find_file: Callable[[str | FileBody], Awaitable[Media]]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("POST", "/conversations/{id}/replies", "agent", self.reply),
            Route("POST", "/conversations/{id}/replies/preview", "agent", self.preview),
        ]

    async def reply(self, ask: Ask) -> web.Response:
        """Owe an answer; 409 or 422 with what stands in its way."""
        body, conversation = await self._asked(ask)
        media = tuple([await self.find_file(one) for one in body.attachments or ()])
        reply, wishes = self._reply(ask, body, media), self._wishes(body)
        try:
            given = await self.answers.give(conversation, reply, wishes)
        except Overtaken as late:
            raise overtaken(late) from None
        except Unfit as error:
            raise Problem(422, "The reply cannot be sent", str(error)) from None
        except Unconfirmed as error:
            told = await self._told(ask, conversation, reply, wishes, error.plan)
            shown = [obstacle_shape(one) for one in told.obstacles]
            warnings = [one for one in told.obstacles if not confirmed(one, wishes.confirmed, anyway=wishes.anyway)]
            detail = "; ".join(one.why for one in warnings)
            raise Problem(409, "Somebody has to confirm this", detail, obstacles=shown) from None
        except Obstructed as error:
            raise refusal(await self._told(ask, conversation, reply, wishes, error.plan)) from None
        # From here on it is owed: what only tells of that must not look like a refusal, or it would be sent again.
        with suppress(StoreError):
            await compose(self.store, conversation, reply.author.id, self.now(), on=False)
        place = parse_id(given.delivery.message, "m")
        entry = (await logbook.fetch(self.store, [(place.partition, place.key)]))[0]
        assert entry is not None  # written with the delivery, in one step
        shape = delivery_shape(given.delivery)
        message = message_shape(Item(0, "o", entry), conversation, shape, {})
        plan = None
        if given.plan is not None:
            told = given.plan
            with suppress(Unfit, StoreError):
                told = await self._told(ask, conversation, reply, wishes, given.plan)
            with telling(ask.language):
                plan = plan_shape(told, self.settings())
        return answer({"message": message, "delivery": shape, "duplicate": not given.fresh, "plan": plan}, 202)

    async def _told(
        self, ask: Ask, conversation: Conversation, reply: Reply, wishes: Wishes, plan: SendPlan
    ) -> SendPlan:
        """Return *plan* with its obstacles in the caller's language, if they are the same when it is made again."""
        if not ask.language or not plan.obstacles:
            return plan
        with telling(ask.language):
            again = await self.answers.look(conversation, reply, wishes)
        same = [one.code for one in plan.obstacles] == [one.code for one in again.obstacles]
        return replace(plan, obstacles=again.obstacles) if same else plan

    async def preview(self, ask: Ask) -> web.Response:
        """Say what would become of an answer; nothing is kept."""
        body, conversation = await self._asked(ask)
        media = tuple([await self._seen(one) for one in body.attachments or ()])
        with telling(ask.language):
            try:
                plan = await self.answers.look(conversation, self._reply(ask, body, media), self._wishes(body))
            except Unfit as error:
                raise Problem(422, "The reply cannot be sent", str(error)) from None
            return answer(plan_shape(plan, self.settings()))

    async def sending(self, conversation: Conversation) -> dict[str, Any]:
        """Return what an agent wants to know before typing: whether an answer would go now, and why not."""
        plan = await self.planner.sending(conversation)
        shape = plan_shape(plan, self.settings())
        for name in ("parts", "cost"):
            del shape[name]
        return shape

    async def _asked(self, ask: Ask) -> tuple[ReplyBody, Conversation]:
        body = await ask.body(ReplyBody, limit=None)  # files may be in it; the server's limit for files holds
        conversation = await load(self.store, ask.part("id"))
        text = body.text or ""
        if "\0" in text or "\0" in (body.html or "") or "\0" in (body.subject or ""):
            raise Problem(422, "The reply cannot be sent", "no channel carries the character NUL")
        if not text.strip() and not body.attachments and not body.template:
            raise Problem(422, "The reply is empty", "give text, a template or attachments")
        if len(text) > MAX_TEXT or len(body.attachments or ()) > MAX_FILES or len(body.variables) > MAX_VARIABLES:
            most = f"at most {MAX_TEXT} characters, {MAX_FILES} files and {MAX_VARIABLES} variables"
            raise Problem(422, "The reply is too large", most)
        if self.channels.get(conversation.channel) is None:
            raise Problem(409, "The channel is gone", f"{conversation.channel} is not configured any more")
        return body, conversation

    def _reply(self, ask: Ask, body: ReplyBody, media: tuple[Media, ...]) -> Reply:
        author = self._author(ask, body.agent)
        once = body.client_id or str(ask.facts.get("key", ""))
        return Reply(author, body.text or "", body.html or "", body.subject or "", media, once)

    def _wishes(self, body: ReplyBody) -> Wishes:
        send_at = moment(body.send_at) if body.send_at else 0
        if body.unless_customer_writes and not send_at:
            raise Problem(422, "The body does not fit", "unless_customer_writes needs send_at")
        return Wishes(
            body.template or "",
            body.variables,
            body.language,
            send_at,
            body.unless_customer_writes,
            body.insist,
            frozenset(body.confirm),
            body.anyway,
            parse_id(body.seen, "m").key if body.seen and not body.anyway else "",
        )

    async def _seen(self, given: str | FileBody) -> Media:
        """Return what a file of a preview is, without keeping it. Raises `Problem` 422."""
        if isinstance(given, str) or not given.content:
            return await self.find_file(given)
        try:
            data = base64.b64decode(given.content, validate=True)
        except ValueError:  # also what is no ASCII
            raise Problem(422, "The body does not fit", "content of a file must be base64") from None
        kind = given.type or mimetypes.guess_type(given.name)[0] or "application/octet-stream"
        return Media(kind, given.name, len(data))

    def _author(self, ask: Ask, agent: str) -> Author:
        """Return who writes: the token's agent, or the one it names if it may speak for others."""
        agents = self.settings().agents
        if not agent:
            # A program without an agent of its own has no name that a customer should read.
            return Author("agent", ask.actor.id, ask.actor.name if ask.actor.kind == "agent" else "")
        if agent not in agents:
            raise Problem(422, "There is no such agent", f"agents are {', '.join(sorted(agents))}")
        if ask.token.role == "agent" and ask.actor.kind == "agent" and agent != ask.actor.id:
            raise Problem(403, "Not allowed", "this token writes for another agent")
        return Author("agent", agent, str(agents[agent].name))


def overtaken(late: Overtaken) -> Problem:
    """Return the answer to somebody whom another agent has forestalled."""
    name = late.author.name or late.author.id
    detail = f"{name} answered at {rfc3339(late.at)}; say anyway: true to send yours as well"
    more: dict[str, Any] = {"agent": late.author.id, "at": rfc3339(late.at), "message": late.message, "text": late.text}
    return Problem(409, "Somebody else has answered meanwhile", detail, **more)


def refusal(plan: SendPlan) -> Problem:
    """Return the answer to a reply that does not go: 422 if other words would, 409 if another time would."""
    status = 422 if any(one.code in CONTENT for one in plan.blocks) else 409
    detail = "; ".join(one.why for one in plan.blocks)
    return Problem(status, "The reply would not go", detail, obstacles=[obstacle_shape(one) for one in plan.obstacles])


def obstacle_shape(one: Obstacle) -> dict[str, Any]:
    """Return an obstacle as the API shows it."""
    shape: dict[str, Any] = {"code": one.code, "weight": one.weight, "why": one.why, "until": rfc3339(one.until or 0)}
    if isinstance(one, Finding):
        shape |= {"rule": one.rule, "part": one.part, "offset": one.offset, "length": one.length}
        shape |= {"replace": one.replace or None}
    return shape


def plan_shape(plan: SendPlan, settings: Settings) -> dict[str, Any]:
    """Return what becomes of a message as the API shows it; *will* says it in words."""
    way, template = plan.way, plan.content.template
    return {
        "action": plan.action,
        "will": said(plan, settings),
        "channel": way.channel,
        "address": way.address,
        "template": plan.template or None,
        "approved": {"id": template.id, "data": dict(template.data), "url": template.url or None} if template else None,
        "because": plan.because or None,
        "until": rfc3339(plan.until or 0),
        "window": {
            "open_until": rfc3339(way.open_until or 0),
            "messages_left": way.left,
            "messages_owed": way.owed,
        }
        if way.capabilities.window is not None
        else None,
        "parts": [
            {"text": part.text, "attachments": [media.name or media.type for media in part.media]}
            for part in plan.parts
        ],
        "cost": {"messages": plan.cost.messages, "segments": plan.cost.segments},
        "obstacles": [obstacle_shape(one) for one in plan.obstacles],
    }


def said(plan: SendPlan, settings: Settings) -> str:
    """Say in words what becomes of a message."""
    name = plan.action
    words = {"channel": plan.way.channel, "address": plan.way.address, "template": plan.template}
    if plan.action == "hold" and plan.until is not None:
        local = dt.datetime.fromtimestamp(plan.until / 1000, settings.timezone)
        return course("until", spoken(settings.locale), until=f"{local:%Y-%m-%d %H:%M}")
    if plan.action == "channel" and plan.template:
        return course("other", spoken(settings.locale), **words)
    return course(name, spoken(settings.locale), count=str(len(plan.parts)), **words)
