"""The API of the surveys: what is asked, who was invited and why not, what was answered; asking and entering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from aiohttp import web

from config.surveys import Survey
from inbox.api import Ask, Problem, Route, answer, listing, moment, rfc3339
from inbox.conversations import load
from inbox.partitions import digest, new_key, parse_id
from inbox.visibility import must_see, only_seen
from outbox.asking import Occasion, invite
from outbox.invitations import Given, NoInvitation
from outbox.means import Means
from outbox.ownership import asked_in
from outbox.questionnaire import Unfit, path
from outbox.responses import STATES, Invitation, Response
from outbox.survey_answers import SurveyAnswers
from outbox.surveys import Person, Surveys

MOST_RECIPIENTS = 1000
MOST_CODES = 20
SCAN = 2000


class Recipient(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody on a list: an address on a channel."""

    channel: str
    address: str
    language: str = ""


class InviteBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/invitations. *key* makes it idempotent: a person is asked once under one key."""

    conversations: list[str] = []
    recipients: list[Recipient] = []
    key: str = ""
    sample: bool = False


class ResponseBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/responses: what a customer said by telephone or in person."""

    answers: dict[str, Any]
    invitation: str = ""
    conversation: str = ""
    channel: str = ""
    address: str = ""
    mode: Literal["phone", "in_person", "other"] = "phone"
    interviewer: str = ""
    at: str = ""
    key: str = ""


class CodesBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST …/responses/{id}/codes: what the open text is filed under."""

    codes: list[str]


@dataclass(frozen=True, slots=True)
class SurveyApi:
    """What the endpoints need."""

    means: Means
    surveys: Surveys
    answers: SurveyAnswers

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        one = "/surveys/{id}"
        return [
            Route("GET", "/surveys", "readonly", self.list_surveys),
            Route("GET", one, "readonly", self.show),
            Route("GET", f"{one}/preview", "readonly", self.preview),
            Route("GET", f"{one}/invitations", "readonly", self.list_invitations),
            Route("POST", f"{one}/invitations", "supervisor", self.invite),
            Route("GET", f"{one}/responses", "readonly", self.list_responses),
            Route("POST", f"{one}/responses", "agent", self.enter),
            Route("POST", f"{one}/responses/{{response}}/codes", "agent", self.file),
        ]

    def _survey(self, ask: Ask) -> tuple[str, Survey]:
        name, known = ask.part("id"), self.means.surveys()
        if name not in known:
            detail = f"surveys are {', '.join(sorted(known))}" if known else "there are no surveys"
            raise Problem(404, "There is no such survey", detail)
        return name, known[name]

    async def list_surveys(self, _: Ask) -> web.Response:
        return listing([survey_shape(name, one) for name, one in self.means.surveys().items()])

    async def show(self, ask: Ask) -> web.Response:
        name, survey = self._survey(ask)
        shape = survey_shape(name, survey) | {"questions": [question_shape(each) for each in survey.questions]}
        if survey.incentive is not None and survey.incentive.file is not None:
            shape["codes_left"] = await self.means.reservations.free_codes(name)
        return answer(shape)

    async def preview(self, ask: Ask) -> web.Response:
        """How the invitation reads on every channel: its words, its buttons, its length."""
        _, survey = self._survey(ask)
        wanted = ask.query("language")
        if wanted and wanted not in survey.languages:
            raise Problem(400, "Bad parameter", f"language must be one of {', '.join(survey.languages)}")
        shown = []
        for channel in self.means.channels:
            for language in [wanted] if wanted else survey.languages:
                url = self.means.page("i0-" + "0" * 24)
                occasion = Occasion("i0-" + "0" * 24, language, url, {"channel.name": channel.name})
                asked = invite(survey, occasion, channel.name, channel.capabilities)
                shown.append(
                    {
                        "channel": channel.name,
                        "kind": channel.kind,
                        "language": language,
                        "subject": asked.subject,
                        "text": asked.text,
                        "choices": [each.label for each in asked.choices],
                        "length": len(asked.text),
                    }
                )
        return listing(shown)

    async def list_invitations(self, ask: Ask) -> web.Response:
        name, _ = self._survey(ask)
        state, cursor, limit = ask.query("state"), ask.query("cursor"), ask.limit()
        if state and state not in STATES:
            raise Problem(400, "Bad parameter", f"state must be one of {', '.join(STATES)}")
        found: list[Invitation] = []
        for _ in range(SCAN // limit + 1):
            page, cursor = await self.means.invitations.invited(name, cursor, limit - len(found))
            found += [one for one in page if not state or one.state == state]
            if not cursor or len(found) >= limit:
                break
        shown = await only_seen(self.means.store, ask, found, asked_in)
        return listing([invitation_shape(one) for one in shown], cursor)

    async def invite(self, ask: Ask) -> web.Response:
        """Ask people by name: each once under one key, whoever was asked lately is left alone."""
        name, survey = self._survey(ask)
        body = await ask.body(InviteBody)
        if not body.conversations and not body.recipients:
            raise Problem(422, "Nobody is named", "give conversations, recipients, or both")
        if len(body.conversations) + len(body.recipients) > MOST_RECIPIENTS:
            raise Problem(422, "The list is too long", f"at most {MOST_RECIPIENTS} at a time")
        channels = self.means.settings().channels
        for one in body.recipients:
            if one.channel not in channels:
                raise Problem(422, "There is no such channel", f"channels are {', '.join(sorted(channels))}")
            if ":" not in one.address or "\n" in one.address or len(one.address) > 300:
                raise Problem(422, "That is no address", f"{one.address[:60]}: expected one such as tel:+8613800138000")
        key = body.key or str(ask.facts.get("key", "")) or new_key()
        people = [await self._customer(ask, each) for each in body.conversations]
        people += [await self._somebody(ask, one.channel, one.address, one.language) for one in body.recipients]
        return listing([await self._one(name, survey, person, key, named=not body.sample) for person in people])

    async def _customer(self, ask: Ask, conversation: str) -> Person:
        """Return the customer of a conversation. Raises `UnknownId`, `NoConversation`, `StoreError`."""
        await must_see(self.means.store, ask, conversation)
        return await self.surveys.about(await load(self.means.store, conversation))

    async def _somebody(self, ask: Ask, channel: str, address: str, language: str = "") -> Person:
        """Return who is at an address, as far as the caller may know. Raises `StoreError`."""
        return await self.surveys.somebody(channel, address, language, ask.hidden)

    async def _one(self, name: str, survey: Survey, person: Person, key: str, *, named: bool) -> dict[str, Any]:
        one = await self.surveys.choose(name, survey, person, f"manual {key}", named=named)
        if one is None:
            why = "the survey does not run now, or does not mean them"
            return {"address": person.address, "channel": person.channel, "state": None, "reason": why}
        return invitation_shape(one)

    async def list_responses(self, ask: Ask) -> web.Response:
        name, _ = self._survey(ask)
        found, following = await self.means.invitations.responded(name, ask.query("cursor"), ask.limit())
        both = await self._with_invitations(found)
        shown = await only_seen(self.means.store, ask, both, lambda one: asked_in(one[1]))
        return listing([response_shape(*one) for one in shown], following)

    async def _with_invitations(self, found: Sequence[Response]) -> list[tuple[Response, Invitation | None]]:
        asked = await self.means.invitations.load_many([parse_id(one.invitation, "i") for one in found])
        return list(zip(found, asked, strict=True))

    async def enter(self, ask: Ask) -> web.Response:
        """Keep what a customer answered by telephone or in person."""
        name, survey = self._survey(ask)
        body = await ask.body(ResponseBody)
        try:
            answers = path(survey, body.answers)
        except Unfit as error:
            raise Problem(422, "The answers do not fit", str(error)) from None
        at = moment(body.at) if body.at else self.means.now()
        key = body.key or str(ask.facts.get("key", "")) or new_key()
        one = await self._invitation(ask, name, survey, body, at, key)
        given = set(body.answers)
        skipped = tuple(each.id for each in survey.questions if each.id not in given and not each.required)
        source = f"staff:{key}"
        interviewer = body.interviewer or ask.actor.id
        became = await self.answers.give(
            one, Given(source, "staff", at, tuple(answers), skipped, mode=body.mode, interviewer=interviewer)
        )
        progress = await self.means.invitations.answers(one)
        shape = response_shape(progress.response, await self.means.invitations.load(one.id))
        if became == "duplicate":
            raise Problem(
                409, "They have answered already", "it is kept as a duplicate and does not count", response=shape
            )
        return answer({"response": shape, "duplicate": became == "same"}, 200 if became == "same" else 201)

    async def _invitation(  # the call, the survey, and what the answer is known by
        self, ask: Ask, name: str, survey: Survey, body: ResponseBody, at: int, key: str
    ) -> Invitation:
        """Return the invitation that is answered; one that nobody sent is made up for the occasion."""
        if body.invitation:
            one = await self.means.invitations.load(body.invitation)
            if not await only_seen(self.means.store, ask, [one], asked_in):
                raise NoInvitation(one.id)
            if one.survey != name:
                raise Problem(422, "The invitation is for another survey", one.survey)
            return one
        if body.conversation:
            person = await self._customer(ask, body.conversation)
        elif body.address and body.channel:
            person = await self._somebody(ask, body.channel, body.address)
        else:
            raise Problem(422, "The body does not fit", "say whose answer it is: invitation, conversation, or address")
        case = person.case
        one = Invitation(
            id=f"i{person.partition}-{digest('entered', name, person.unit, key)}",
            survey=name,
            version=survey.version(),
            channel=person.channel,
            address=person.address,
            contact=person.contact,
            conversation=person.conversation.id if person.conversation is not None else "",
            team=case.team,
            agent=case.agent,
            agents=case.agents,
            tags=case.tags,
            stage=case.stage,
            topic=case.topic,
            language=person.language,
            created=at,
            sent=at,
        )
        await self.means.invitations.create(one, None)
        return one

    async def file(self, ask: Ask) -> web.Response:
        """File the open text of a response under codes of one's own."""
        self._survey(ask)
        body = await ask.body(CodesBody)
        codes = list(dict.fromkeys(each.strip() for each in body.codes))
        if len(codes) > MOST_CODES or any(not each or len(each) > 60 or "\n" in each for each in codes):
            raise Problem(422, "The codes do not fit", f"at most {MOST_CODES}, each 1 to 60 characters")
        found = await self.means.invitations.file(ask.part("response"), codes)
        [both] = await self._with_invitations([found])
        return answer(response_shape(*both))


def survey_shape(name: str, one: Survey) -> dict[str, Any]:
    """Return a survey as the API shows it."""
    return {
        "id": name,
        "kind": one.kind,
        "version": one.version(),
        "title": one.title.written(),
        "purpose": one.purpose,
        "owner": one.owner,
        "scope": one.scope,
        "enabled": one.enabled,
        "since": one.since.isoformat() if one.since else None,
        "until": one.until.isoformat() if one.until else None,
        "trigger": one.trigger.on,
        "languages": list(one.languages),
    }


def question_shape(one: Any) -> dict[str, Any]:
    """Return a question as the API shows it."""
    return {
        "id": one.id,
        "kind": one.kind,
        "required": one.required,
        "text": one.text.written(),
        "values": list(one.values()),
        "labels": {value: label.written() for value, label in one.labels.items()},
    }


def invitation_shape(one: Invitation) -> dict[str, Any]:
    """Return an invitation as the API shows it."""
    return {
        "id": one.id,
        "survey": one.survey,
        "version": one.version,
        "state": one.state,
        "reason": one.reason or None,
        "channel": one.channel,
        "address": one.address,
        "contact": one.contact or None,
        "conversation": one.conversation or None,
        "team": one.team or None,
        "agent": one.agent or None,
        "agents": list(one.agents),
        "tags": list(one.tags),
        "stage": one.stage or None,
        "topic": one.topic or None,
        "language": one.language or None,
        "stratum": one.stratum or None,
        "delivery": one.delivery or None,
        "created_at": rfc3339(one.created),
        "sent_at": rfc3339(one.sent),
        "reminded_at": rfc3339(one.reminded),
        "expires_at": rfc3339(one.expires),
    }


def response_shape(one: Response, asked: Invitation | None) -> dict[str, Any]:
    """Return a response as the API shows it, with who served and on which channel."""
    shape: dict[str, Any] = {
        "id": one.id,
        "invitation": one.invitation,
        "survey": one.survey,
        "version": one.version,
        "at": rfc3339(one.at),
        "via": one.via,
        "answers": [{"question": each.question, "value": each.value} for each in one.answers],
        "flags": list(one.flags),
        "valid": one.valid,
        "complete": one.complete,
        "seconds": one.seconds or None,
        "mode": one.mode or None,
        "interviewer": one.interviewer or None,
        "codes": list(one.codes),
    }
    if asked is not None:
        names = ("channel", "contact", "conversation", "team", "agent", "stage", "topic")
        shape |= {name: getattr(asked, name) or None for name in names}
        shape |= {"agents": list(asked.agents), "tags": list(asked.tags)}
    return shape
