"""The API of bulk sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from pydantic import ValidationError

from config import strictness
from config.campaigns import CampaignFile, pieces, wants
from config.consent import bare
from config.faults import Wrong, dotted
from config.settings import Settings
from config.templates import Template, Variable
from connectors.base import Metered
from inbox.api import Ask, Problem, Route, answer, listing, rfc3339
from inbox.channels import Channels
from inbox.endpoints import Nothing
from outbox.answers import confirmed
from outbox.audience import Audiences, BadList, read
from outbox.campaigns import Campaign, Campaigns, NotThen
from outbox.dispatch import TRIED, Dispatch
from outbox.guard import Finding
from outbox.obstacles import Objection, Obstacle, Sending
from outbox.proofreading import literal
from outbox.reasons import spoken, telling
from outbox.replies import obstacle_shape

MAX_BODY = 24 << 20
SAMPLES = 5
WAYS_OUT = ("退订", "td", "stop", "unsubscribe", "拒收", "回t", "回复t", "optout")

_NO_WAY_OUT = {
    "zh": "短信里没有写怎样退订，例如“拒收请回复T”",
    "en": "the text message does not say how to end such messages, such as “Reply STOP to opt out”",
}


class StartBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /campaigns/{id}/start: warnings that somebody knows of."""

    confirm: list[str] = []
    anyway: bool = False


@dataclass(frozen=True, slots=True)
class CampaignApi:
    """What the endpoints need. *objection* is the guard of words."""

    campaigns: Campaigns
    audiences: Audiences
    sending: Dispatch
    objection: Objection
    channels: Channels
    settings: Callable[[], Settings]
    templates: Callable[[], Mapping[str, Template]]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/campaigns", "supervisor", self.list_all),
            Route("POST", "/campaigns", "supervisor", self.create),
            Route("POST", "/campaign-preview", "supervisor", self.try_out),
            Route("GET", "/campaigns/{id}", "supervisor", self.show),
            Route("GET", "/campaigns/{id}/preview", "supervisor", self.preview),
            Route("POST", "/campaigns/{id}/start", "supervisor", self.start),
            Route("POST", "/campaigns/{id}/pause", "supervisor", self.pause),
            Route("POST", "/campaigns/{id}/stop", "supervisor", self.stop),
        ]

    async def list_all(self, ask: Ask) -> web.Response:
        found, following = await self.campaigns.listing(ask.query("cursor"), ask.limit())
        return listing([campaign_shape(one) for one in found], following)

    async def create(self, ask: Ask) -> web.Response:
        """Keep a bulk send; it goes out when somebody starts it."""
        written, _ = await self._written(ask)
        by = ask.actor.name or ask.actor.id
        once = str(ask.facts.get("key", ""))
        campaign, fresh = await self.campaigns.create(written, by, self.now(), once)
        return answer({**campaign_shape(campaign), "duplicate": not fresh}, 201)

    async def try_out(self, ask: Ask) -> web.Response:
        """Say what would come of a bulk send; nothing is kept."""
        written, definition = await self._written(ask)
        with telling(ask.language):
            return answer(await self._preview(definition, str(written.get("list", ""))))

    async def show(self, ask: Ask) -> web.Response:
        return answer(campaign_shape(await self.campaigns.load(ask.part("id"))))

    async def preview(self, ask: Ask) -> web.Response:
        campaign = await self.campaigns.load(ask.part("id"))
        with telling(ask.language):
            return answer(await self._preview(campaign.definition, await self.campaigns.text(campaign)))

    async def start(self, ask: Ask) -> web.Response:
        """Begin, or go on after a pause or a brake. What stands against the text must be known to who starts it."""
        body = await ask.body(StartBody)
        campaign, former = await self.campaigns.load(ask.part("id")), ("draft", "paused", "braked")
        if campaign.state not in former:
            raise NotThen(f"the bulk send is {campaign.state}")
        definition = campaign.definition
        with telling(ask.language):
            found = await self._objections(definition, *self._likely(definition, await self.campaigns.text(campaign)))
        shown = [obstacle_shape(one) for one in found]
        if any(one.weight == "block" for one in found):
            raise Problem(422, "The bulk send may not go out", "; ".join(one.why for one in found), obstacles=shown)
        open_ones = [one for one in found if not confirmed(one, body.confirm, anyway=body.anyway)]
        if open_ones:
            detail = "; ".join(one.why for one in open_ones)
            raise Problem(409, "Somebody has to confirm this", detail, obstacles=shown)
        base = [campaign.count(*TRIED), campaign.count("failed"), campaign.count("opted_out")]
        facts = ("base", msgspec.json.encode(base).decode()) if campaign.state == "braked" else ()
        state = "running" if campaign.total else "preparing"
        done = await self.campaigns.turn(campaign.id, state, self.now(), former=former, facts=facts)  # type: ignore[arg-type]  # of the states
        return answer(campaign_shape(done), 202)

    async def pause(self, ask: Ask) -> web.Response:
        await ask.body(Nothing)
        former = ("preparing", "running")
        done = await self.campaigns.turn(ask.part("id"), "paused", self.now(), former=former)  # type: ignore[arg-type]  # of the states
        return answer(campaign_shape(done), 202)

    async def stop(self, ask: Ask) -> web.Response:
        """End it for good: what has not left yet never leaves."""
        await ask.body(Nothing)
        former = ("draft", "preparing", "running", "paused", "braked")
        done = await self.campaigns.turn(ask.part("id"), "stopped", self.now(), former=former)  # type: ignore[arg-type]  # of the states
        return answer(campaign_shape(done), 202)

    async def _written(self, ask: Ask) -> tuple[dict[str, Any], CampaignFile]:
        """Return the body as it came and as a definition. Raises `Problem`, which says where and what."""
        data = await ask.read(MAX_BODY)
        try:
            written: dict[str, Any] = msgspec.json.decode(data or b"{}", type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Problem(400, "The body is no JSON object", str(error)) from None
        try:
            definition = strictness.validator(CampaignFile).validate_python(written)
        except ValidationError as error:
            told = "; ".join(map(_said, error.errors(include_input=False)))
            raise Problem(422, "The body does not fit", told) from None
        self._check(definition)
        return written, definition

    def _check(self, definition: CampaignFile) -> None:
        """Raise `Problem` if a definition names what does not exist."""
        settings = self.settings()
        for what, name, known in (
            ("channel", definition.channel, [channel.name for channel in self.channels]),
            ("hours", definition.hours, list(settings.hours)),
            ("template", definition.template, list(self.templates())),
        ):
            if name is not None and name not in known:
                raise Problem(422, "The body does not fit", f"{what}: there is no {what} {name}")
        if definition.addresses is not None:
            try:
                rows, _, columns = read(definition.addresses)
            except BadList as error:
                raise Problem(422, "The list cannot be read", str(error)) from None
            missing = [name for name in definition.columns() if name not in columns]
            if missing:
                raise Problem(422, "The list has no such column", ", ".join(missing))
            if not rows:
                raise Problem(422, "The list is empty")

    async def _preview(self, definition: CampaignFile, text: str) -> dict[str, Any]:
        try:
            audience = await self.audiences.gather(definition, text)
        except BadList as error:
            raise Problem(422, "The list cannot be read", str(error)) from None
        by_text = any(row.address.startswith("tel:") for row in audience.rows)
        obstacles = await self._objections(definition, list(audience.channels), by_text=by_text)
        return {
            "total": len(audience.rows),
            "channels": dict(audience.channels),
            "left_out": dict(audience.left_out),
            "examples": [{"address": address, "reason": reason} for address, reason in audience.examples],
            "samples": [self._sample(definition, row) for row in audience.rows[:SAMPLES]],
            "minutes": -(-len(audience.rows) // definition.per_minute),
            "obstacles": [obstacle_shape(one) for one in obstacles],
        }

    def _sample(self, definition: CampaignFile, row: Any) -> dict[str, Any]:
        text, subject = self.sending.sample(definition, row)
        channel = self.channels.get(row.channel)
        connector: object = channel.connector if channel is not None else None
        return {
            "address": row.address,
            "channel": row.channel,
            "text": text,
            "subject": subject if row.address.startswith("mailto:") else None,
            "segments": connector.segments(text) if isinstance(connector, Metered) else None,
        }

    def _likely(self, definition: CampaignFile, text: str) -> tuple[list[str], bool]:
        """Return the channels that may carry a bulk send, and whether people get it as a text message."""
        segment = definition.segment
        names = [
            one.name
            for one in self.channels
            if (definition.channel or one.name) == one.name
            and (segment is None or definition.channel or wants(segment.channels, one.name))
            and (segment is None or definition.channel or wants(segment.kinds, one.kind))
        ]
        if segment is None:
            return names, any(row.address.startswith("tel:") for row in read(text)[0])
        return names, any("tel" in one.capabilities.reaches for one in self.channels if one.name in names)

    async def _objections(self, definition: CampaignFile, channels: Sequence[str], by_text: bool) -> list[Obstacle]:
        """Return what stands against the texts on *channels*, each thing once. *by_text*: as text messages, too."""
        found: dict[str, Obstacle] = {}
        texts = self._bare_texts(definition)
        for channel in channels:
            for text in texts:
                for one in await self.objection(Sending(channel, "", "campaign", text)):
                    found.setdefault(f"{one.code} {one.why}", one)
        if by_text and not all(any(word in bare(text) for word in WAYS_OUT) for text in texts):
            locale = "zh" if spoken(self.settings().locale).startswith("zh") else "en"
            found["no_way_out"] = Finding("no_way_out", "warn", _NO_WAY_OUT[locale], rule="no-way-out")
        return list(found.values())

    def _bare_texts(self, definition: CampaignFile) -> list[str]:
        """Return what everybody will read: the texts without what is filled in."""
        if definition.text is not None:
            written = [definition.text] if isinstance(definition.text, str) else list(definition.text.values())
            return ["".join(part for part in pieces(text) if not isinstance(part, Variable)) for text in written]
        template = self.templates().get(definition.template or "")
        wordings = [wording for _, wording in template.variants()] if template is not None else []
        return [literal(text) for wording in wordings for text in wording.texts.values()]


def _said(error: Mapping[str, Any]) -> str:
    """Say one thing that is wrong with a body: where, what, and what was expected."""
    wrong = error.get("ctx", {}).get("error")
    where, what = dotted(error["loc"]), error["msg"]
    if isinstance(wrong, Wrong):
        what = wrong.what.replace("{value}", "this") + (f"; expected {wrong.expected}" if wrong.expected else "")
    return f"{where}: {what}" if where else what


def campaign_shape(one: Campaign) -> dict[str, Any]:
    """Return a bulk send as the API shows it."""
    written: Mapping[str, Any] = msgspec.json.decode(one.written)
    return {
        "id": one.id,
        "name": written["name"],
        "state": one.state,
        "why": one.why or None,
        "by": one.by or None,
        "created_at": rfc3339(one.created),
        "changed_at": rfc3339(one.changed),
        "total": one.total,
        "done": one.next,
        "counts": {name: count for name, count in sorted(one.counts.items()) if not name.startswith("x:")},
        "left_out": {name[2:]: count for name, count in sorted(one.counts.items()) if name.startswith("x:")},
        "definition": written,
    }
