"""Reports as admins order them: how figures are counted, and which reports are sent to whom and when."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from config.faults import Problem, Wrong, listed, nearest
from config.hours import DAYS
from config.values import Label, Name, Section, one_or_more

_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_EVERY = re.compile(rf"(?:(daily)|(weekly)\s+([a-z]{{3,9}})|(monthly)\s+([1-9]|1\d|2[0-8]))\s+{_TIME}", re.ASCII)
EXPECTED = '"daily 09:00", "weekly mon 09:00" or "monthly 1 09:00" (days 1 to 28)'
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+")


class Known(Protocol):
    """What reports may point at."""

    @property
    def teams(self) -> Mapping[str, Any]: ...
    @property
    def agents(self) -> Mapping[str, Any]: ...
    @property
    def channels(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Every:
    """When a report is due: each day, week or month at a time of day. It is about the whole one before."""

    unit: Literal["day", "week", "month"]
    day: int
    minute: int

    def latest(self, now: int, zone: ZoneInfo) -> int:
        """Return when it was due last, at or before *now*, in milliseconds since 1970 UTC."""
        local = dt.datetime.fromtimestamp(now / 1000, zone)
        date = self._date(local.date())
        at = self._at(date, zone)
        return at if at <= now else self._at(self._date(date - dt.timedelta(days=1)), zone)

    def following(self, at: int, zone: ZoneInfo) -> int:
        """Return when it is due next after *at*, a time at which it was due."""
        date = dt.datetime.fromtimestamp(at / 1000, zone).date()
        step = {"day": 1, "week": 7, "month": 31}[self.unit]
        return self._at(self._date(date + dt.timedelta(days=step)), zone)

    def covers(self, at: int, zone: ZoneInfo) -> tuple[int, int]:
        """Return from when to when the report is that is due *at*: the whole day, week or month before."""
        date = dt.datetime.fromtimestamp(at / 1000, zone).date()
        match self.unit:
            case "day":
                end, begin = date, date - dt.timedelta(days=1)
            case "week":
                end = date - dt.timedelta(days=date.weekday())
                begin = end - dt.timedelta(days=7)
            case _:
                end = date.replace(day=1)
                begin = (end - dt.timedelta(days=1)).replace(day=1)
        return _midnight(begin, zone), _midnight(end, zone)

    def _date(self, date: dt.date) -> dt.date:
        """Return the last day at or before *date* on which it is due."""
        match self.unit:
            case "day":
                return date
            case "week":
                return date - dt.timedelta(days=(date.weekday() - self.day) % 7)
            case _:
                if date.day >= self.day:
                    return date.replace(day=self.day)
                return (date.replace(day=1) - dt.timedelta(days=1)).replace(day=self.day)

    def _at(self, date: dt.date, zone: ZoneInfo) -> int:
        hour, minute = divmod(self.minute, 60)
        return int(dt.datetime.combine(date, dt.time(hour, minute), zone).timestamp() * 1000)


def _midnight(date: dt.date, zone: ZoneInfo) -> int:
    return int(dt.datetime.combine(date, dt.time(), zone).timestamp() * 1000)


def every(value: Any) -> Every:
    """Parse ``weekly mon 09:00``. Raises `Wrong`."""
    if isinstance(value, Every):
        return value
    found = _EVERY.fullmatch(" ".join(value.lower().split())) if isinstance(value, str) else None
    if found is None:
        raise Wrong("{value} does not say when", expected=EXPECTED)
    minute = int(found[6]) * 60 + int(found[7])
    if found[1]:
        return Every("day", 0, minute)
    if found[4]:
        return Every("month", int(found[5]), minute)
    day = found[3][:3]
    if day not in DAYS:
        raise Wrong("{value} names no day", expected=EXPECTED, nearest=nearest(day, DAYS))
    return Every("week", DAYS.index(day), minute)


EveryText = Annotated[
    Every, PlainValidator(every), WithJsonSchema({"type": "string", "examples": ["daily 09:00", "weekly mon 09:00"]})
]
Form = Literal["html", "xlsx", "csv"]


class Scheduled(Section):
    """A report that is sent by mail."""

    what: Literal["survey", "service"] = "service"
    """What it is about."""
    survey: Name | None = None
    """Which survey (what: survey)."""
    every: EveryText
    """When: `daily 09:00`, `weekly mon 09:00` or `monthly 1 09:00`, in the hub's time zone; about the whole day, week
    or month before."""
    to: Annotated[tuple[Label, ...], BeforeValidator(one_or_more), Field(min_length=1)]
    """Who gets it: teams (every member with a mail address), agents, or mail addresses."""
    channel: Name | None = None
    """The channel of kind email that sends it; by default the first one."""
    format: Annotated[tuple[Form, ...], BeforeValidator(one_or_more), Field(min_length=1)] = ("html",)
    """Forms that are attached; the figures stand in the mail itself."""
    only: Mapping[Literal["team", "agent", "channel", "tag"], Label] = {}
    """What it is limited to."""
    language: Literal["zh-CN", "en"] | None = None
    """Its language; by default the hub's."""

    @model_validator(mode="after")
    def _fits_together(self) -> Scheduled:
        if (self.what == "survey") != (self.survey is not None):
            raise Wrong("a report about a survey names it", expected="survey, and what: survey")
        return self


class Reporting(Section):
    """How figures are counted."""

    confidence: Annotated[int, Field(ge=80, le=99)] = 95
    """Confidence of margins and intervals, in percent."""
    least: Annotated[int, Field(ge=1, le=100)] = 5
    """Scores of fewer answers than this are not shown."""
    satisfied: Annotated[int, Field(ge=2, le=5)] = 4
    """From which answer on the scale up to 5 a customer counts as satisfied; on other scales the same part of them."""


def problems(
    reports: Mapping[str, Scheduled],
    settings: Known,
    surveys: Collection[str] | None,
) -> Iterator[Problem]:
    """Yield every name in *reports* that points at nothing; *surveys* are None where they could not be read."""
    mail = [name for name, one in settings.channels.items() if one.kind == "email"]
    people = [*settings.teams, *settings.agents]
    for name, report in reports.items():
        at = ("reports", name)
        if surveys is not None and report.survey is not None and report.survey not in surveys:
            expected = listed(sorted(surveys)) if surveys else "a survey, of which there is none"
            near = nearest(report.survey, surveys)
            yield Problem((*at, "survey"), f'there is no survey "{report.survey}"', expected, near)
        if report.channel is not None and report.channel not in mail:
            expected = listed(mail) if mail else "a channel of kind email, of which there is none"
            yield Problem(
                (*at, "channel"), f'"{report.channel}" sends no mail', expected, nearest(report.channel, mail)
            )
        if report.channel is None and not mail:
            yield Problem((*at, "every"), "nothing can send this report", "a channel of kind email")
        for number, one in enumerate(report.to):
            if one not in people and not _ADDRESS.fullmatch(one):
                what = f'"{one}" is no team, agent or mail address'
                yield Problem(
                    (*at, "to", number), what, listed(people) if people else "a mail address", nearest(one, people)
                )
        for kind, known in (("team", settings.teams), ("agent", settings.agents), ("channel", settings.channels)):
            value = report.only.get(kind)  # type: ignore[call-overload]  # one of the keys
            if value is not None and value not in known:
                what = f'there is no {kind} "{value}"'
                yield Problem((*at, "only", kind), what, listed(known) if known else f"a {kind}", nearest(value, known))
