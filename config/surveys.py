"""Surveys as admins write them: who is asked what, when, on which channel, and what follows from the answers."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from config.conditions import day
from config.faults import Path as Where
from config.faults import Problem, Wrong, listed, nearest
from config.hours import Interval, interval, weekdays
from config.phrases import Phrase
from config.questions import END, MOST_QUESTIONS, Question, usual
from config.templates import Approved
from config.values import (
    DURATIONS,
    Label,
    Language,
    Millis,
    Name,
    Named,
    PlacedPath,
    Section,
    UniqueNames,
    one_or_more,
    percent,
    unique,
    web_url,
)

STRATA = ("channel", "kind", "team", "agent", "stage", "language", "tier")
DEFAULT_COOL_DOWN = 30 * DURATIONS["d"]
DEFAULT_EXPIRES = 7 * DURATIONS["d"]


def _percentage(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else percent(value)


def _link(value: str) -> str:
    web_url(value.partition("?")[0].partition("#")[0])
    return value


def _weekdays(value: str) -> str:
    weekdays(value)
    return value


def _quiet(value: Any) -> Interval:
    return interval(value)


def _date(value: Any) -> dt.date:
    return value if isinstance(value, dt.date) else day(str(value))


Percentage = Annotated[
    int, PlainValidator(_percentage), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,3} *%$"})
]
Quiet = Annotated[Interval, PlainValidator(_quiet), WithJsonSchema({"type": "string", "examples": ["21:00-09:00"]})]
Date = Annotated[dt.date, PlainValidator(_date), WithJsonSchema({"type": "string", "examples": ["2026-12-31"]})]
Link = Annotated[str, AfterValidator(_link)]
Words = Annotated[tuple[Label, ...], BeforeValidator(one_or_more), AfterValidator(unique)]
Listed = Annotated[UniqueNames, BeforeValidator(one_or_more)]
Days = Annotated[str, AfterValidator(_weekdays)]


class Resolved(Section):
    """Ask when a conversation is resolved."""

    on: Literal["resolved"]
    """After what it is asked."""
    routed: bool = False
    """Only conversations for which a route says `survey:` with this name."""


class Delivered(Section):
    """Ask when something has reached the customer."""

    on: Literal["delivered"]
    """After what it is asked."""
    of: Literal["order", "reply"] = "order"
    """order: an event of the shop says so; reply: the channel says that an agent's answer has arrived."""
    event: str = Field(default="order_event", min_length=1)
    """Name of the event."""
    where: Mapping[str, Annotated[tuple[str, ...], BeforeValidator(one_or_more)]] = {"status": ("delivered", "signed")}
    """Details of the event, each with the values that count; one that is missing does not."""


class Scheduled(Section):
    """Ask at certain times everybody whose conversation was resolved lately."""

    on: Literal["scheduled"]
    """After what it is asked."""
    at: str = Field(default="10:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    """Time of day."""
    days: Days = "mon-sun"
    """Days of the week, like mon, mon-fri or sat,sun."""
    month_days: tuple[Annotated[int, Field(ge=1, le=31)], ...] = ()
    """Days of the month; by default all."""
    look_back: Millis = 7 * DURATIONS["d"]
    """Whose last message is not older than this."""


class Manual(Section):
    """Ask only who is named on the command line or through the API."""

    on: Literal["manual"]
    """After what it is asked."""


Trigger = Annotated[Resolved | Delivered | Scheduled | Manual, Field(discriminator="on")]


class Audience(Section):
    """Who is meant: everything that is given must hold, of a list one of its items."""

    channels: Listed = ()
    """Names of channels."""
    kinds: Listed = ()
    """Kinds of channels."""
    teams: Listed = ()
    """Teams that served."""
    agents: Listed = ()
    """Agents who served."""
    stages: Words = ()
    """Stages such as aftersale."""
    tags: Words = ()
    """Tags of the conversation, for instance those of a batch of orders."""
    topics: Words = ()
    """Names of the routes that decided."""
    languages: Annotated[tuple[Language, ...], BeforeValidator(one_or_more)] = ()
    """Languages of the conversation or the contact; zh means zh-CN too."""
    contact_tags: Words = ()
    """Tags of the contact, for instance a region or segment."""
    tiers: Words = ()
    """Tiers of the contact."""


class Strata(Section):
    """Groups in each of which exactly the rate is invited, instead of only on average."""

    by: Annotated[tuple[str, ...], BeforeValidator(one_or_more), AfterValidator(unique)]
    """What makes a group: channel, kind, team, agent, stage, language or tier, or several of them."""
    rates: Mapping[str, Percentage] = {}
    """Rates of single groups, by their values joined with /, such as shop-wechat or shop-wechat/aftersales."""

    @model_validator(mode="after")
    def _known(self) -> Strata:
        for word in self.by:
            if word not in STRATA:
                raise Wrong("there is no such group", expected=listed(STRATA), nearest=nearest(word, STRATA))
        if not self.by:
            raise Wrong("this list is empty", expected=listed(STRATA))
        return self


class Quota(Section):
    """At most so many invitations to a part of the audience."""

    to: Audience = Audience()
    """To whom; by default to everybody."""
    most: int = Field(ge=1)
    """How many invitations."""
    per: Literal["day", "week", "month", "survey"] = "survey"
    """In what time; survey: altogether."""


class Sampling(Section):
    """Who of the audience is invited."""

    rate: Percentage = 100
    """What part of it, by chance."""
    seed: int = 1
    """What chance begins with: the same seed invites the same conversations again."""
    strata: Strata | None = None
    """Groups in which the rate is kept exactly."""
    quotas: tuple[Quota, ...] = ()
    """Limits, all of which hold."""


class Incentive(Section):
    """What a customer gets for a valid response: a code of their own."""

    file: PlacedPath | None = None
    """File with one code a line; each is given out once."""
    webhook: Link | None = None
    """Address that is asked for a code (POST; the answer is {"code": …})."""
    secret: SecretStr | None = None
    """Bearer token for the webhook."""
    text: Phrase
    """What is said with it; the code stands behind."""

    @model_validator(mode="after")
    def _from_one_place(self) -> Incentive:
        if (self.file is None) == (self.webhook is None):
            raise Wrong("codes come from one place", expected="file or webhook")
        return self


class FollowUp(Section):
    """What happens after a low score."""

    below: int = Field(ge=1, le=10)
    """A score less than this."""
    team: Name | None = None
    """The team that calls back; by default who served."""
    sla: Name | None = None
    """The promise that holds for it; by default the team's."""
    priority: Literal["normal", "high", "urgent"] = "high"
    """Its priority."""
    tags: Words = ("low-score",)
    """Tags that it gets."""


class Promoters(Section):
    """What is said to who would recommend us."""

    above: int = Field(ge=0, le=9)
    """A score more than this."""
    invite: Link
    """Where to go on, for instance to a review."""
    text: Phrase | None = None
    """What is said with it."""


class OnChannel(Section):
    """What is different on one channel."""

    invitation: Phrase | None = None
    """Another invitation."""
    link: bool | None = None
    """Whether the address of the page stands in the message; by default not on marketplaces, which forbid links."""
    chat: bool | None = None
    """Whether the questions are asked in the chat itself; otherwise the message only holds the link."""
    skip: bool = False
    """Never ask on this channel."""


class Survey(Section):
    """One survey."""

    title: Phrase
    """What customers see above it."""
    purpose: Label
    """Why customers are asked."""
    owner: Label
    """Who answers for it: a team or a person."""
    scope: Label | None = None
    """What it is about and what not."""
    since: Date | None = None
    """The first day on which anybody is invited."""
    until: Date | None = None
    """The last one."""
    enabled: bool = True
    """Whether anybody is invited at all; answers to invitations that are out still count."""
    kind: Literal["csat", "nps", "ces", "custom"] = "csat"
    """csat: satisfaction, nps: recommendation, ces: effort; they bring their questions along."""
    trigger: Trigger
    """What makes the hub ask."""
    audience: Audience = Audience()
    """Who may be asked."""
    never: Audience | None = None
    """Who is never asked."""
    sampling: Sampling = Sampling()
    """Who of them is."""
    delay: Millis | None = None
    """How long after the trigger; a conversation that was reopened meanwhile is not asked about."""
    quiet: Quiet | None = None
    """When nobody is asked, in the hub's time zone; the invitation waits."""
    cool_down: Millis | None = DEFAULT_COOL_DOWN
    """How long a person is left alone after any invitation on any channel; by default 30d, null: no such time."""
    prefer: Listed = ()
    """Channels on which to ask, the first on which the customer can be reached; by default where they wrote."""
    remind: Millis | None = None
    """After what time to ask once more who has not answered."""
    expires: Millis = DEFAULT_EXPIRES
    """How long an invitation can be answered; by default 7d."""
    languages: Annotated[tuple[Language, ...], BeforeValidator(one_or_more), Field(min_length=1)] = ("zh", "en")
    """Languages in which it exists, the first for everybody else."""
    questions: tuple[Question, ...] = Field(default=(), max_length=MOST_QUESTIONS)
    """What is asked; by default what `kind` usually asks, and for the reason."""
    invitation: Phrase | None = None
    """The words before the first question."""
    reminder: Phrase | None = None
    """The words of the reminder."""
    subject: Phrase | None = None
    """Subject of mail; by default the title."""
    thanks: Phrase | None = None
    """What is said to who has answered."""
    channels: Mapping[Name, OnChannel] = {}
    """What is different on single channels."""
    platform: Mapping[Name, Approved] = {}
    """What the platform of a kind has approved: the invitation where the reply window is closed."""
    incentive: Incentive | None = None
    """What a valid response is rewarded with."""
    follow_up: FollowUp | None = None
    """What happens after a low score."""
    promoters: Promoters | None = None
    """What is said after a high one."""

    @model_validator(mode="before")
    @classmethod
    def _with_the_usual(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        asked = usual(str(value.get("kind", "csat")), value.get("questions"))
        return value if asked is None else {**value, "questions": asked}

    @model_validator(mode="after")
    def _fits_together(self) -> Survey:
        if not self.questions:
            raise Wrong("nothing is asked", expected="questions")
        if self.since and self.until and self.until < self.since:
            raise Wrong("the survey ends before it begins", expected="until after since")
        if self.kind == "nps" and self.main is not None and (self.main.min, self.main.max) != (0, 10):
            raise Wrong("a net promoter score is asked from 0 to 10", expected="min: 0 and max: 10")
        if self.kind != "custom" and self.main is None:
            raise Wrong(f"{self.kind} needs a question of kind score", expected="a score, or kind: custom")
        if self.main is None and (self.follow_up or self.promoters):
            raise Wrong("without a score there is no low or high one", expected="a question of kind score")
        if self.remind is not None and self.remind >= self.expires:
            raise Wrong("the reminder comes after the end", expected="remind before expires")
        return self

    @property
    def main(self) -> Question | None:
        """The question whose score counts: the first one of kind score."""
        return next((each for each in self.questions if each.kind == "score"), None)

    def question(self, name: str) -> Question | None:
        """Return the question with an id."""
        return next((each for each in self.questions if each.id == name), None)

    def version(self) -> str:
        """Return eight hex digits that change whenever the questions do."""
        asked = "\n".join(repr(each.model_copy(update={"words": {}})) for each in self.questions)
        return hashlib.sha256(asked.encode()).hexdigest()[:8]


class SurveyFile(Named[dict[Name, Survey]]):
    """A file of surveys by name."""


class Known(Protocol):
    """What surveys may point at."""

    @property
    def teams(self) -> Mapping[str, Any]: ...
    @property
    def agents(self) -> Mapping[str, Any]: ...
    @property
    def sla(self) -> Mapping[str, Any]: ...
    @property
    def channels(self) -> Mapping[str, Any]: ...


def problems(file: SurveyFile, settings: Known) -> list[Problem]:
    """Return everything that does not fit together within *file*, or with *settings*."""
    return [problem for name, survey in file.root.items() for problem in _survey((name,), survey, settings)]


def _survey(at: Where, survey: Survey, settings: Known) -> Iterator[Problem]:
    audiences = [((*at, "audience"), survey.audience)]
    if survey.never is not None:
        audiences.append(((*at, "never"), survey.never))
    for number, quota in enumerate(survey.sampling.quotas):
        audiences.append(((*at, "sampling", "quotas", number, "to"), quota.to))
    for path, audience in audiences:
        yield from _names((*path, "channels"), audience.channels, settings.channels, "channel")
        yield from _names((*path, "teams"), audience.teams, settings.teams, "team")
        yield from _names((*path, "agents"), audience.agents, settings.agents, "agent")
    yield from _names((*at, "prefer"), survey.prefer, settings.channels, "channel")
    for name in survey.channels:
        if name not in settings.channels:
            yield _unknown((*at, "channels", name), "channel", name, settings.channels, key=True)
    if survey.follow_up is not None:
        for word, known, noun in (("team", settings.teams, "team"), ("sla", settings.sla, "service level")):
            name = getattr(survey.follow_up, word)
            if name is not None and name not in known:
                yield _unknown((*at, "follow_up", word), noun, name, known)
    yield from _order((*at, "questions"), survey.questions)
    yield from _languages(at, survey)


def _names(at: Where, names: Sequence[str], known: Mapping[str, Any], noun: str) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if name not in known:
            yield _unknown((*at, number), noun, name, known)


def _unknown(at: Where, noun: str, name: str, known: Mapping[str, Any], *, key: bool = False) -> Problem:
    expected = listed(known) if known else f"a {noun}, of which there is none"
    return Problem(at, f'there is no {noun} "{name}"', expected, nearest(name, known), key=key)


def _order(at: Where, questions: Sequence[Question]) -> Iterator[Problem]:
    """Yield ids that are given twice, and branches that lead nowhere or back."""
    ids = [each.id for each in questions]
    for number, question in enumerate(questions):
        if question.id in ids[:number]:
            yield Problem((*at, number, "id"), f'another question is called "{question.id}"', "each name once")
        later = [*ids[number + 1 :], END]
        for index, branch in enumerate(question.branch):
            if branch.to not in later:
                what = f'"{branch.to}" is no later question'
                yield Problem((*at, number, "branch", index, "to"), what, listed(later), nearest(branch.to, later))


def _languages(at: Where, survey: Survey) -> Iterator[Problem]:
    """Yield texts that lack a language in which the survey exists."""
    texts: list[tuple[Where, Phrase | None]] = [
        ((*at, word), getattr(survey, word)) for word in ("title", "invitation", "reminder", "subject", "thanks")
    ]
    for number, question in enumerate(survey.questions):
        place: Where = (*at, "questions", number)
        texts.append(((*place, "text"), question.text))
        texts += [((*place, "labels", value), label) for value, label in question.labels.items()]
    texts += [((*at, "channels", name, "invitation"), one.invitation) for name, one in survey.channels.items()]
    if survey.incentive is not None:
        texts.append(((*at, "incentive", "text"), survey.incentive.text))
    if survey.promoters is not None:
        texts.append(((*at, "promoters", "text"), survey.promoters.text))
    for path, text in texts:
        missing = [one for one in survey.languages if text is not None and not text.speaks(one)]
        if missing:
            yield Problem(path, f"there is no text in {listed(missing, last='and')}", "a text for each of `languages`")


def codes(path: Path) -> list[str]:
    """Return the codes in a file, one a line. Raises OSError, UnicodeDecodeError."""
    return list(
        dict.fromkeys(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    )
