"""The API of the inbox: conversations, messages, agents' work, files, channels, shunted payloads."""

from __future__ import annotations

import asyncio
import base64
import mimetypes
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import BodyPartReader, web

from config.settings import Settings
from connectors.base import Media
from inbox import log as logbook
from inbox import shapes
from inbox.api import Ask, Problem, Route, answer, listing, moment, rfc3339
from inbox.attachments import Attachments, NoAttachment, TooLarge
from inbox.channels import Channels
from inbox.conversations import STATUSES, Conversation, load, pairs
from inbox.fetching import Fetched
from inbox.lists import Filter
from inbox.partitions import key, new_key, parse_id, shared_key, tag
from inbox.previews import latest
from inbox.recording import Recorder, Shunted
from inbox.search import Search
from inbox.store import Store
from inbox.timeline import EVERYTHING, MESSAGES, Item, items
from inbox.views import Views
from inbox.work import Desk

NAME_LIMIT = 120
MIME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}", re.IGNORECASE)
VAGUE = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})
FILE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=3600",
}


class NoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/notes."""

    text: str


class AssignBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/assign: null puts the conversation back, a missing field leaves it as it is."""

    team: str | msgspec.UnsetType = msgspec.UNSET
    agent: str | msgspec.UnsetType | None = msgspec.UNSET
    reason: str = ""


class SnoozeBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/snooze."""

    until: str


class TagsBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/tags."""

    add: list[str] = []
    remove: list[str] = []


class ReadBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/read."""

    at: str = ""


class FileBody(msgspec.Struct, forbid_unknown_fields=True):
    """A file given within a JSON body: *content* is base64."""

    name: str = ""
    type: str = ""
    content: str = ""
    id: str = ""
    size: int | None = None
    url: str | None = None


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """An empty body."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """What the endpoints need. *replay* runs a shunted payload through its connector.

    *sending* tells whether an answer would go now.
    """

    store: Store
    desk: Desk
    recorder: Recorder
    attachments: Attachments
    channels: Channels
    settings: Callable[[], Settings]
    views: Views
    replay: Callable[[Shunted], Awaitable[str]]
    at_work: Callable[[], Awaitable[Mapping[str, dict[str, Any]]]]
    sending: Callable[[Conversation], Awaitable[dict[str, Any]]]
    search: Search
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        one = "/conversations/{id}"
        return [
            Route("GET", "/conversations", "readonly", self.list_conversations),
            Route("GET", one, "readonly", self.show_conversation),
            Route("GET", f"{one}/messages", "readonly", self.list_messages),
            Route("POST", f"{one}/notes", "agent", self.note),
            Route("POST", f"{one}/assign", "agent", self.assign),
            Route("POST", f"{one}/resolve", "agent", self.resolve),
            Route("POST", f"{one}/reopen", "agent", self.reopen),
            Route("POST", f"{one}/snooze", "agent", self.snooze),
            Route("POST", f"{one}/tags", "agent", self.tags),
            Route("POST", f"{one}/read", "agent", self.read),
            Route("GET", "/messages/{id}/attachments/{index}", "readonly", self.attachment),
            Route("POST", "/attachments", "agent", self.upload),
            Route("GET", "/teams", "readonly", self.list_teams),
            Route("GET", "/agents", "readonly", self.list_agents),
            Route("GET", "/channels", "readonly", self.list_channels),
            Route("GET", "/shunted", "supervisor", self.list_shunted),
            Route("GET", "/shunted/{id}", "admin", self.show_shunted),
            Route("POST", "/shunted/{id}/replay", "admin", self.replay_shunted),
            Route("POST", "/shunted/{id}/drop", "admin", self.drop_shunted),
        ]

    async def list_conversations(self, ask: Ask) -> web.Response:
        status = ask.query("status")
        if status and not set(status.split(",")) <= set(STATUSES):
            raise Problem(400, "Bad parameter", f"status must be one of {', '.join(STATUSES)}")
        agent = ask.query("agent")
        if agent == "me":
            agent = ask.actor.id
        if ask.query("sla") not in {"", "late"}:
            raise Problem(400, "Bad parameter", "sla must be late")
        wanted = Filter(
            team=ask.query("team"),
            agent=agent,
            status=status,
            channel=ask.query("channel"),
            text=ask.query("q"),
            hidden=ask.hidden,
            only=self._only(ask),
            late=ask.query("sla") == "late",
        )
        found = await self.search.page(wanted, ask.query("cursor"), ask.limit())
        shown = await self._shapes(found.items)
        if ask.flag("latest"):
            words = await latest(self.store, found.items)
            shown = [{**one, "latest": last} for one, last in zip(shown, words, strict=True)]
        return listing(shown, found.next)

    def _only(self, ask: Ask) -> Callable[[Conversation], bool] | None:
        """Return what else the conversations of a list must be."""
        tests: list[Callable[[Conversation], bool]] = []
        for name, test in (("unassigned", self._unassigned), ("at_risk", self._at_risk)):
            if ask.flag(name):
                tests.append(test)
        return (lambda one: all(test(one) for test in tests)) if tests else None

    @staticmethod
    def _unassigned(one: Conversation) -> bool:
        return not one.agent

    def _at_risk(self, one: Conversation) -> bool:
        """Tell whether a clock of it has warned or is over, or an answer of ours did not arrive."""
        due = self.views.due(one)
        return bool(due["warned"] or due["breached"] or one.attention)

    async def show_conversation(self, ask: Ask) -> web.Response:
        conversation = await load(self.store, ask.part("id"))
        return answer({**await self._shape(conversation), "sending": await self.sending(conversation)})

    async def _shape(self, conversation: Conversation) -> dict[str, Any]:
        return (await self._shapes([conversation]))[0]

    async def _shapes(self, found: list[Conversation]) -> list[dict[str, Any]]:
        return await self.views.conversations(found)

    async def list_messages(self, ask: Ask) -> web.Response:
        """Messages, newest first; `order=asc` gives each page oldest first."""
        order = ask.query("order")
        if order not in {"", "asc", "desc"}:
            raise Problem(400, "Bad parameter", "order must be asc or desc")
        steps = ask.query("deliveries")
        if steps not in {"", "trouble", "all"}:
            raise Problem(400, "Bad parameter", "deliveries must be trouble or all")
        marks = EVERYTHING if steps == "all" else MESSAGES
        place, before, limit = parse_id(ask.part("id"), "c"), ask.cursor(), ask.limit()
        conversation, (found, following) = await asyncio.gather(
            load(self.store, str(place)), items(self.store, place, marks, before, limit)
        )
        shown = await self.views.messages(conversation, found)
        return listing(shown[::-1] if order == "asc" else shown, following)

    async def note(self, ask: Ask) -> web.Response:
        body = await ask.body(NoteBody)
        if not body.text.strip():
            raise Problem(422, "The note is empty", "give text")
        once = str(ask.facts.get("key", ""))
        message_id = await self.desk.note(ask.part("id"), ask.actor, body.text, once=once)
        place = parse_id(message_id, "m")
        entry = (await logbook.fetch(self.store, [(place.partition, place.key)]))[0]
        assert entry is not None  # it was written a moment ago, and the log forgets nothing
        conversation = await load(self.store, ask.part("id"))
        return answer({"message": shapes.message_shape(Item(0, "n", entry), conversation, None, {})}, 201)

    async def assign(self, ask: Ask) -> web.Response:
        body = await ask.body(AssignBody)
        settings = self.settings()
        team = None if body.team is msgspec.UNSET else body.team
        agent = None if body.agent is msgspec.UNSET else body.agent or ""
        if team is None and agent is None:
            raise Problem(422, "The body does not fit", "give a team, an agent, or both")
        if team is not None and team not in settings.teams:
            raise Problem(422, "There is no such team", f"teams are {', '.join(sorted(settings.teams))}")
        if agent and agent not in settings.agents:
            raise Problem(422, "There is no such agent", f"agents are {', '.join(sorted(settings.agents))}")
        name, once = ask.part("id"), str(ask.facts.get("key", ""))
        done = await self.desk.assign(name, ask.actor, team=team, agent=agent, reason=body.reason, once=once)
        return answer(await self._shape(done))

    async def resolve(self, ask: Ask) -> web.Response:
        await ask.body(Nothing)
        return answer(await self._shape(await self.desk.resolve(ask.part("id"), ask.actor)))

    async def reopen(self, ask: Ask) -> web.Response:
        await ask.body(Nothing)
        return answer(await self._shape(await self.desk.reopen(ask.part("id"), ask.actor)))

    async def snooze(self, ask: Ask) -> web.Response:
        body = await ask.body(SnoozeBody)
        return answer(await self._shape(await self.desk.snooze(ask.part("id"), ask.actor, moment(body.until))))

    async def tags(self, ask: Ask) -> web.Response:
        body = await ask.body(TagsBody)
        done = await self.desk.tags(ask.part("id"), ask.actor, add=body.add, remove=body.remove)
        return answer(await self._shape(done))

    async def read(self, ask: Ask) -> web.Response:
        body = await ask.body(ReadBody)
        done = await self.desk.read(ask.part("id"), moment(body.at) if body.at else None)
        return answer(await self._shape(done))

    async def attachment(self, ask: Ask) -> web.Response:
        """The bytes of a file, never rendered in this origin."""
        place = parse_id(ask.part("id"), "m")
        entry = (await logbook.fetch(self.store, [(place.partition, place.key)]))[0]
        index = ask.part("index")
        body = entry.fields.get("b", "") if entry is not None else ""
        media: tuple[Media, ...] = ()
        if body and entry is not None:
            media = tuple(msgspec.convert(entry.rest().get("media", []), list[Media]))
        if not re.fullmatch(r"[0-9]{1,4}", index) or int(index) >= len(media):
            raise Problem(404, "There is no such file")
        name = key(place.partition, f"f:{place.key}")
        later = await self.store.do(tag(place.partition), "HGET", name, index)
        source = shapes.attachment_source(
            media[int(index)], msgspec.json.decode(later, type=Fetched) if later else Fetched()
        )
        if source is None:
            raise Problem(404, "The file is not here", "It is still being fetched, or the platform did not give it.")
        sha, _, filename = source
        try:
            data = await self.attachments.read(sha)
        except NoAttachment:
            raise Problem(404, "The file is gone") from None
        disposition = f"attachment; filename*=UTF-8''{quote(safe_name(filename))}"
        headers = {**FILE_HEADERS, "Content-Disposition": disposition}
        return web.Response(body=data, headers=headers, content_type="application/octet-stream")

    async def upload(self, ask: Ask) -> web.Response:
        """Keep a file for a later reply: the body is the file, its name and type come as parameters or header."""
        name, kind = ask.query("name"), ask.request.content_type
        if kind.startswith("multipart/"):
            data, name, kind = await first_file(ask.request, name, self.attachments.max_size)
        else:
            data = await ask.read()
        if not data:
            raise Problem(422, "The file is empty")
        if kind in VAGUE:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        media = await self.keep(data, name or "file", ask.query("type") or kind)
        file_id = new_key()
        await self.store.do("files", "HSET", shared_key("files", "known"), file_id, msgspec.json.encode(media))
        return answer({"id": file_id, "name": media.name, "type": media.type, "size": media.size}, 201)

    async def keep(self, data: bytes, name: str, kind: str) -> Media:
        """Keep a file's bytes. Raises `Problem` 413 and 422, `StoreError`."""
        if not MIME.fullmatch(kind):
            raise Problem(422, "The body does not fit", "type of a file must be one such as image/png")
        try:
            sha = await self.attachments.save(data)
        except TooLarge as error:
            raise Problem(413, "The file is too large", str(error)) from None
        return Media(kind, name[:255], len(data), ref=f"sha256:{sha}")

    async def find_file(self, given: str | FileBody) -> Media:
        """Return a file named in a reply, by id or with its content. Raises `Problem` 422."""
        if isinstance(given, FileBody) and given.content:
            try:
                data = base64.b64decode(given.content, validate=True)
            except ValueError:  # also what is no ASCII
                raise Problem(422, "The body does not fit", "content of a file must be base64") from None
            kind = given.type or mimetypes.guess_type(given.name)[0] or "application/octet-stream"
            return await self.keep(data, given.name or "file", kind)
        name = given if isinstance(given, str) else given.id
        known = await self.store.do("files", "HGET", shared_key("files", "known"), name)
        if not known:
            raise Problem(422, "There is no such file", "upload it first: POST /api/v1/attachments")
        return msgspec.json.decode(known, type=Media)

    async def list_teams(self, _: Ask) -> web.Response:
        teams = self.settings().teams
        return listing(
            [
                {
                    "id": name,
                    "name": str(team.name),
                    "members": list(team.members),
                    "sla": team.sla,
                    "hours": team.hours,
                    "restricted": team.restricted,
                }
                for name, team in teams.items()
            ]
        )

    async def list_agents(self, _: Ask) -> web.Response:
        at_work = await self.at_work()
        settings = self.settings()
        return listing(
            [
                {
                    "id": name,
                    "name": str(agent.name),
                    "teams": [team for team, one in settings.teams.items() if name in one.members],
                    "skills": list(agent.skills),
                    "languages": list(agent.languages),
                    **at_work.get(name, {}),
                }
                for name, agent in settings.agents.items()
            ]
        )

    async def list_channels(self, _: Ask) -> web.Response:
        known = await channel_states(self.store)
        counts = await channel_counts(self.store)
        shown = []
        for channel in self.channels:
            state = known.get(channel.name, {})
            one = channel.capabilities
            shown.append(
                {
                    "id": channel.name,
                    "kind": channel.kind,
                    "state": state.get("state", channel.state),
                    "reason": state.get("reason", channel.reason) or None,
                    "required": channel.required,
                    "last_event_at": rfc3339(int(state.get("last_event_at", 0))),
                    "lag": int(state.get("lag", 0)) / 1000 if state.get("last_event_at") else None,
                    "counts": counts.get(channel.name, {}),
                    "capabilities": {
                        "text_limit": one.text_limit,
                        "text_unit": one.text_unit,
                        "media": sorted(one.media),
                        "window": {"seconds": one.window.seconds, "messages": one.window.messages}
                        if one.window
                        else None,
                        "receipts": sorted(one.receipts),
                        "idempotent": one.idempotent,
                    },
                }
            )
        return listing(shown)

    async def list_shunted(self, ask: Ask) -> web.Response:
        found, following = await self.recorder.shunted(ask.query("cursor"), ask.limit())
        return listing([self._shunted_shape(one) for one in found], following)

    def _shunted_shape(self, one: Shunted) -> dict[str, Any]:
        return {
            "id": one.id,
            "channel": one.channel,
            "error": one.error,
            "at": rfc3339(one.at),
            "size": len(one.raw),
            "stage": one.meta.get("stage", "parsing"),
        }

    async def _find_shunted(self, ask: Ask) -> Shunted:
        one = await self.recorder.find_shunted(ask.part("id"))
        if one is None:
            raise Problem(404, "There is no such shunted payload")
        return one

    async def show_shunted(self, ask: Ask) -> web.Response:
        one = await self._find_shunted(ask)
        text = one.raw.decode(errors="backslashreplace")
        return answer({**self._shunted_shape(one), "raw": text, "raw_base64": base64.b64encode(one.raw).decode()})

    async def replay_shunted(self, ask: Ask) -> web.Response:
        one = await self._find_shunted(ask)
        error = await self.replay(one)
        if error:
            raise Problem(409, "It still cannot be understood", error)
        await self.recorder.drop_shunted(one.id)
        return answer({"id": one.id, "state": "recorded"})

    async def drop_shunted(self, ask: Ask) -> web.Response:
        if not await self.recorder.drop_shunted(ask.part("id")):
            raise Problem(404, "There is no such shunted payload")
        return answer({"id": ask.part("id"), "state": "dropped"})


def safe_name(name: str) -> str:
    """Return a file name that is one: no path, nothing that a terminal or a file system takes for a command."""
    name = "".join(letter for letter in name if letter.isprintable() and letter not in '/\\:*?"<>|')
    return name.strip(". ")[-NAME_LIMIT:] or "file"


async def first_file(request: web.Request, name: str, limit: int) -> tuple[bytes, str, str]:
    """Return bytes, name and type of the first file of a form. Raises `Problem` 413 and 422."""
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.filename is not None:
                kind = part.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip()
                data = bytearray()  # aiohttp's own limit is for whole bodies and does not hold for forms
                while chunk := await part.read_chunk(1 << 16):
                    data += chunk
                    if len(data) > limit:
                        raise Problem(413, "The file is too large", f"at most {limit} bytes")
                return bytes(part.decode(data)), name or part.filename, kind
    except (ValueError, RuntimeError):
        raise Problem(422, "The form cannot be read") from None
    raise Problem(422, "There is no file in the form", "send one as curl -F file=@name does")


async def channel_states(store: Store) -> dict[str, dict[str, Any]]:
    """Return what the workers last said of each channel. Raises `StoreError`."""
    reply = pairs(await store.do("hub", "HGETALL", shared_key("hub", "channels")))
    return {name: msgspec.json.decode(state) for name, state in reply.items()}


async def channel_counts(store: Store) -> dict[str, dict[str, int]]:
    """Return received, recorded, duplicate, ignored and shunted of each channel. Raises `StoreError`."""
    reply = pairs(await store.do("hub", "HGETALL", shared_key("hub", "counts")))
    counts: dict[str, dict[str, int]] = {}
    for name, count in reply.items():
        channel, _, outcome = name.rpartition(" ")
        counts.setdefault(channel, {})[outcome] = int(count)
    return counts
