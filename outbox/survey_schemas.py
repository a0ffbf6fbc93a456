"""The shapes of what the API shows of surveys, as types: questions, invitations, responses, codebooks."""

from __future__ import annotations

from typing import Literal

import msgspec

from inbox.openapi import Time
from inbox.schemas import Maybe


class Survey(msgspec.Struct):
    """A survey; texts are by language, `*` for any."""

    id: str
    kind: str
    version: str
    title: dict[str, str]
    purpose: str
    owner: str
    scope: str | None
    enabled: bool
    since: str | None
    until: str | None
    trigger: str
    languages: list[str]


class Question(msgspec.Struct):
    """A question with its values and their names."""

    id: str
    kind: str
    required: bool
    text: dict[str, str]
    values: list[int | str]
    labels: dict[str, dict[str, str]]


class SurveyShown(Survey):
    """A survey with its questions, and how many codes of its incentive are left."""

    questions: list[Question]
    codes_left: int | Maybe = msgspec.UNSET


class SurveyPreview(msgspec.Struct):
    """How an invitation reads on a channel."""

    channel: str
    kind: str
    language: str
    subject: str
    text: str
    choices: list[str]
    length: int


class SurveyInvitation(msgspec.Struct):
    """Somebody who was, will be or was not asked; *reason* says why not."""

    id: str
    survey: str
    version: str
    state: Literal["waiting", "sent", "answered", "expired", "suppressed"]
    reason: str | None
    channel: str
    address: str
    contact: str | None
    conversation: str | None
    team: str | None
    agent: str | None
    agents: list[str]
    tags: list[str]
    stage: str | None
    topic: str | None
    language: str | None
    stratum: str | None
    delivery: str | None
    created_at: Time | None
    sent_at: Time | None
    reminded_at: Time | None
    expires_at: Time | None


class SurveyAsked(msgspec.Struct):
    """What became of one who was named: an invitation, or without a *state* nothing but the *reason*."""

    channel: str
    address: str
    state: str | None
    reason: str | None
    id: str | Maybe = msgspec.UNSET
    survey: str | Maybe = msgspec.UNSET
    version: str | Maybe = msgspec.UNSET
    contact: str | Maybe | None = msgspec.UNSET
    conversation: str | Maybe | None = msgspec.UNSET
    team: str | Maybe | None = msgspec.UNSET
    agent: str | Maybe | None = msgspec.UNSET
    agents: list[str] | Maybe = msgspec.UNSET
    tags: list[str] | Maybe = msgspec.UNSET
    stage: str | Maybe | None = msgspec.UNSET
    topic: str | Maybe | None = msgspec.UNSET
    language: str | Maybe | None = msgspec.UNSET
    stratum: str | Maybe | None = msgspec.UNSET
    delivery: str | Maybe | None = msgspec.UNSET
    created_at: Time | Maybe | None = msgspec.UNSET
    sent_at: Time | Maybe | None = msgspec.UNSET
    reminded_at: Time | Maybe | None = msgspec.UNSET
    expires_at: Time | Maybe | None = msgspec.UNSET


class SurveyAnswer(msgspec.Struct):
    """What was said to a question."""

    question: str
    value: int | str | list[str]


class SurveyResponse(msgspec.Struct):
    """What somebody answered, with who served them; the latter is missing where the invitation is gone."""

    id: str
    invitation: str
    survey: str
    version: str
    at: Time | None
    via: str
    answers: list[SurveyAnswer]
    flags: list[str]
    valid: bool
    complete: bool
    seconds: int | None
    mode: str | None
    interviewer: str | None
    codes: list[str]
    channel: str | Maybe | None = msgspec.UNSET
    contact: str | Maybe | None = msgspec.UNSET
    conversation: str | Maybe | None = msgspec.UNSET
    team: str | Maybe | None = msgspec.UNSET
    agent: str | Maybe | None = msgspec.UNSET
    stage: str | Maybe | None = msgspec.UNSET
    topic: str | Maybe | None = msgspec.UNSET
    agents: list[str] | Maybe = msgspec.UNSET
    tags: list[str] | Maybe = msgspec.UNSET


class Entered(msgspec.Struct):
    """A response that was entered; *duplicate*: it was there already."""

    response: SurveyResponse
    duplicate: bool


class CodeMeant(msgspec.Struct):
    """What a value of a variable means; *code* is its number in files for statistics."""

    value: int | str
    code: int | None
    label: str


class VariableMeant(msgspec.Struct):
    """A variable of an export."""

    name: str
    label: str
    kind: str
    measure: str
    values: list[CodeMeant]


class Codebook(msgspec.Struct):
    """What the variables of an export of responses mean, and how each form says that something is missing."""

    title: str
    language: str
    missing: dict[str, str]
    variables: list[VariableMeant]
