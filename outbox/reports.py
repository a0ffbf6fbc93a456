"""Reports for whoever asks: reads what they need from the store, has them made, and gives the file."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.loading import Loaded
from inbox import cases, diary
from inbox.diary import Days
from inbox.performance import Setting
from inbox.periods import Period
from inbox.promises import Promises
from inbox.store import Store
from inbox.workload import Terms
from inbox.workshop import Job, Say, Spool, press, workshop
from inbox.worktime import Worktime
from outbox import harvest
from outbox.editions import ServiceOrder, SurveyOrder, service_edition, survey_edition
from outbox.findings import Questionnaire
from outbox.scores import measures, worded

READ = 0.4
"""The share of the work after which everything is read."""
COUNTING = 2.0
"""Seconds that a report spends on counting days that nobody has asked about before; the rest is counted later."""
SURVEY_BY = ("team", "agent", "channel", "tag", "week")
SERVICE_BY = ("team", "agent", "channel", "tag", "week", "hour")


class NoSurvey(LookupError):
    """There is no survey of this name; the message says which there are."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants of a report. *only* limits it: team, agent, channel or tag; *without* leaves teams out."""

    period: Period
    by: tuple[str, ...]
    only: Mapping[str, str]
    language: str
    format: str
    late: bool = False
    quotes: bool = False
    responses: bool = False
    contacts: bool = False
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reports:
    """Makes reports. *key* is the hub's own secret, which pseudonyms are made with."""

    store: Store
    loaded: Callable[[], Loaded]
    promises: Callable[[], Promises]
    key: Callable[[], str] = field(repr=False)

    @contextlib.asynccontextmanager
    async def survey(self, name: str, asked: Asked, say: Say) -> AsyncIterator[Path]:
        """Make the report of a survey, or the export of its responses; *say* hears how far it is (0 to 1).

        Raises `NoSurvey`, `Failed`, `StoreError`.
        """
        order = SurveyOrder(
            self.questionnaire(name, asked.language),
            asked.period,
            asked.by,
            asked.only,
            self._filters(asked),
            "responses" if asked.responses else "figures",
            asked.format,
            asked.quotes,
            asked.contacts,
            asked.late,
            asked.without,
            self.key().encode(),
        )
        async with workshop() as folder:
            spool = Spool(folder / "spool")
            async for share, part in harvest.harvest(self.store, name, asked.period.before.since, asked.period.until):
                await spool.add(part)
                say(share * READ)
            await spool.flush()
            out = folder / "report"
            job = Job(survey_edition, (spool.path, order, out))
            await press(job, folder, spool.size, lambda share: say(READ + share * (1 - READ)))
            yield out

    @contextlib.asynccontextmanager
    async def service(self, asked: Asked, say: Say) -> AsyncIterator[Path]:
        """Make the service report. Raises `Failed`, `StoreError`."""
        period = asked.period
        async with workshop() as folder:
            spool = Spool(folder / "spool")
            async for share, part in cases.cases(self.store, period.before.since, asked.only):
                await spool.add(part)
                say(share * READ)
            await spool.flush()
            days, earlier = await self._days(asked)
            order = ServiceOrder(
                self._setting(asked.language),
                terms(self.loaded(), self.promises()),
                period,
                asked.by,
                asked.only,
                self._filters(asked),
                asked.format,
                days,
                earlier,
                asked.late,
                asked.without,
            )
            out = folder / "report"
            job = Job(service_edition, (spool.path, order, out))
            await press(job, folder, spool.size, lambda share: say(READ + share * (1 - READ)))
            yield out

    async def _days(self, asked: Asked) -> tuple[Days | None, Days | None]:
        """Return messages and deliveries of both periods; None where the report is limited to a part of them."""
        channel = asked.only.get("channel", "")
        if set(asked.only) - {"channel"} or asked.without:
            return None, None
        found = []
        for period in (asked.period, asked.period.before):
            days = await diary.days(self.store, period, COUNTING)
            if channel:
                days.counts = type(days.counts)({key: n for key, n in days.counts.items() if key[1] == channel})
            found.append(days)
        return found[0], found[1]

    def questionnaire(self, name: str, language: str) -> Questionnaire:
        """Return what a report needs to know of a survey. Raises `NoSurvey`."""
        loaded = self.loaded()
        survey = loaded.surveys.get(name)
        if survey is None:
            known = ", ".join(sorted(loaded.surveys))
            raise NoSurvey(f"surveys are {known}" if known else "there are no surveys")
        reporting = loaded.settings.reporting
        return Questionnaire(
            name=name,
            title=worded(survey.title, language),
            purpose=survey.purpose,
            owner=survey.owner,
            kind=survey.kind,
            measures=measures(survey, language, reporting.satisfied),
            language=language,
            stratified=survey.sampling.strata is not None,
            names=names(loaded),
            least=reporting.least,
            level=reporting.confidence / 100,
        )

    def _setting(self, language: str) -> Setting:
        loaded = self.loaded()
        reporting = loaded.settings.reporting
        return Setting(language, names(loaded), reporting.confidence / 100, reporting.least)

    def _filters(self, asked: Asked) -> dict[str, str]:
        known = names(self.loaded())
        shown = {by: known.get(by, {}).get(value, value) for by, value in asked.only.items()}
        if asked.without:
            shown["without"] = ", ".join(known["team"].get(name, name) for name in sorted(asked.without))
        return shown


def names(loaded: Loaded) -> dict[str, dict[str, str]]:
    """Return the display names of teams and agents."""
    settings = loaded.settings
    return {
        "team": {name: str(one.name) for name, one in settings.teams.items()},
        "agent": {name: str(one.name) for name, one in settings.agents.items()},
    }


def terms(loaded: Loaded, promises: Promises) -> Terms:
    """Return what is promised, and when teams work."""
    settings = loaded.settings
    worktimes = {name: Worktime(hours) for name, hours in settings.hours.items()}
    hours = {name: worktimes[team.hours] for name, team in settings.teams.items() if team.hours in worktimes}
    return Terms(promises.by_name, promises.own_hours, promises.by_team, hours)


def silent(_: float) -> None:
    """Hear how far a report is, and say nothing."""
