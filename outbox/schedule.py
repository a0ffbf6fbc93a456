"""Reports that are sent by mail when they are due: each once, whichever process does it, and late rather than never.

The store keeps up to when a report was sent. One process at a time makes what is due; should two make the same, the
letters have one key for each time and address, and go out once.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from config.loading import Loaded
from config.reporting import Scheduled
from connectors.base import Media
from inbox.api import rfc3339
from inbox.attachments import Attachments
from inbox.partitions import new_key, shared_key
from inbox.periods import Period
from inbox.report import Report
from inbox.report_mail import letter as mailed
from inbox.report_mail import summary
from inbox.report_words import say as word
from inbox.report_words import title
from inbox.store import Store, StoreError
from inbox.workshop import Failed, workshop
from outbox.deliveries import Deliveries
from outbox.editions import write_report
from outbox.letters import Letter
from outbox.reports import SERVICE_BY, SURVEY_BY, Asked, NoSurvey, Reports, silent

log = logging.getLogger(__name__)

SLOT = "reports"
LOOK = 20.0
"""Seconds between looks at what is due."""
TURN = 900
"""Seconds for which one process has the turn; it makes a report in less, or another one may try."""
LATE = 3_600_000
"""Milliseconds after which a report counts as sent late."""
MOST_MISSED = 4
"""Of times that were missed, how many of the last are made up for."""
TYPES = {
    "html": "text/html",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
MARK = {"zh": "（补发）", "en": " (late)"}


class NoReport(LookupError):
    """No report of this name is scheduled; the message says which are."""


@dataclass(frozen=True, slots=True)
class Due:
    """A report that is to be sent: for the time *at* which it was due, *late* if that is long ago."""

    name: str
    one: Scheduled
    at: int
    late: bool


@dataclass(slots=True)
class Schedule:
    """Looks after scheduled reports; every process has one."""

    store: Store
    reports: Reports
    deliveries: Deliveries
    attachments: Attachments
    loaded: Callable[[], Loaded]
    now: Callable[[], int]
    _me: str = field(default_factory=new_key)

    async def run(self) -> None:
        """Send what is due, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.turn()
            except StoreError as error:
                log.debug("scheduled reports wait for the store: %s", error)
            except Exception:
                log.exception("scheduled reports could not be looked at; it is tried again")

    async def turn(self) -> int:
        """Send everything that is due now; return how many reports that were. Raises `StoreError`."""
        if not self.loaded().settings.reports:
            return 0
        due = await self._due()
        if not due or not await self.store.do(SLOT, "SET", key("turn"), self._me, "NX", "EX", TURN):
            return 0
        sent = 0
        try:
            for one in await self._due():  # another process may have had the turn just before
                try:
                    await self._send(one)
                    sent += 1
                except (Failed, NoSurvey):
                    log.exception("the report %s cannot be made; it is tried again", one.name)
                    continue
                await self.store.do(SLOT, "HSET", key("sent"), one.name, one.at)
        finally:
            if await self.store.do(SLOT, "GET", key("turn")) == self._me:
                await self.store.do(SLOT, "DEL", key("turn"))
        return sent

    async def send(self, name: str) -> dict[str, Any]:
        """Send a report about its last whole period now; what was sent for that time already is not sent again.

        Raises `NoReport`, `Failed`, `StoreError`.
        """
        settings = self.loaded().settings
        one = settings.reports.get(name)
        if one is None:
            known = ", ".join(sorted(settings.reports))
            raise NoReport(f"scheduled reports are {known}" if known else "there are no scheduled reports")
        at = one.every.latest(self.now(), settings.timezone)
        try:
            fresh, addresses = await self._send(Due(name, one, at, late=False))
        except NoSurvey as error:
            raise NoReport(str(error)) from None
        return {"name": name, "due_at": rfc3339(at), "to": addresses, "sent": fresh}

    async def shapes(self) -> list[dict[str, Any]]:
        """Return scheduled reports as the API shows them. Raises `StoreError`."""
        settings = self.loaded().settings
        known = await self._known()
        found = []
        for name, one in settings.reports.items():
            last = one.every.latest(self.now(), settings.timezone)
            found.append(
                {
                    "name": name,
                    "what": one.what,
                    "survey": one.survey,
                    "to": list(one.to),
                    "format": list(one.format),
                    "last_due_at": rfc3339(last),
                    "next_due_at": rfc3339(one.every.following(last, settings.timezone)),
                    "sent_until": rfc3339(known.get(name, 0)),
                }
            )
        return found

    async def _known(self) -> dict[str, int]:
        flat = await self.store.do(SLOT, "HGETALL", key("sent"))
        return {name: int(at) for name, at in zip(flat[::2], flat[1::2], strict=True)}

    async def _due(self) -> list[Due]:
        """Return what has not been sent, the oldest first; a report that is new begins with its next time."""
        settings, now = self.loaded().settings, self.now()
        zone = settings.timezone
        known = await self._known()
        found = []
        for name, one in settings.reports.items():
            last = one.every.latest(now, zone)
            if name not in known:
                await self.store.do(SLOT, "HSETNX", key("sent"), name, last)
                continue
            times: list[int] = []
            at = one.every.following(known[name], zone)
            while at <= now and len(times) < 1_000:
                times.append(at)
                at = one.every.following(at, zone)
            if len(times) > MOST_MISSED:
                log.warning("of %d missed reports %s the last %d are sent", len(times), name, MOST_MISSED)
            found += [Due(name, one, at, late=now - at > LATE) for at in times[-MOST_MISSED:]]
        return sorted(found, key=lambda due: due.at)

    async def _send(self, due: Due) -> tuple[int, list[str]]:
        """Owe the letters of one report; return how many are new, and to whom they go."""
        loaded = self.loaded()
        channel = due.one.channel or next(
            (name for name, one in loaded.settings.channels.items() if one.kind == "email"), ""
        )
        addresses = recipients(due.one, loaded)
        if not channel or not addresses:
            log.warning("the report %s has nobody to go to", due.name)
            return 0, []
        report = await self._made(due)
        media = [await self._attached(report, form) for form in due.one.format]
        subject = self._subject(report, due)
        fresh = 0
        for address in addresses:
            letter = Letter(
                channel=channel,
                address=f"mailto:{address}",
                key=f"report:{due.name}:{due.at}",
                lane="notice",
                subject=subject,
                text=summary(report),
                html=mailed(report),
                media=tuple(media),
                ordered=False,
            )
            _, new = await self.deliveries.owe_letter(letter, self.now())
            fresh += new
        return fresh, addresses

    async def _made(self, due: Due) -> Report:
        """Make the report. Raises `Failed`, `NoSurvey`, `StoreError`."""
        settings = self.loaded().settings
        since, until = due.one.every.covers(due.at, settings.timezone)
        asked = Asked(
            Period(since, until, settings.timezone, self.now()),
            SURVEY_BY if due.one.what == "survey" else SERVICE_BY,
            {str(kind): str(value) for kind, value in due.one.only.items()},
            due.one.language or settings.locale,
            "json",
            late=due.late,
        )
        made = (
            self.reports.survey(due.one.survey or "", asked, silent)
            if due.one.what == "survey"
            else self.reports.service(asked, silent)
        )
        async with made as path:
            return msgspec.json.decode(await asyncio.to_thread(path.read_bytes), type=Report)

    async def _attached(self, report: Report, form: str) -> Media:
        """Keep a form of the report as a file that the mail takes along."""
        async with workshop() as folder:
            path = folder / "report"
            await asyncio.to_thread(write_report, report, form, path)
            data = await asyncio.to_thread(Path.read_bytes, path)
        digest = await self.attachments.save(data)
        name = f"{report.name}-{report.period.first}.{form}"
        return Media(type=TYPES[form], name=name, size=len(data), ref=f"sha256:{digest}")

    @staticmethod
    def _subject(report: Report, due: Due) -> str:
        language = report.language
        period = word("period", language, first=report.period.first, last=report.period.last)
        late = MARK["zh" if language.startswith("zh") else "en"] if due.late else ""
        return re.sub(r"\s+", " ", f"{title(report)} · {period}{late}")


def recipients(one: Scheduled, loaded: Loaded) -> list[str]:
    """Return the mail addresses that a report goes to: of teams those of their members, each once."""
    settings = loaded.settings
    agents: Mapping[str, Any] = settings.agents
    found: list[str] = []
    for name in one.to:
        if name in settings.teams:
            members = [member for member in settings.teams[name].members if member in agents]
            found += [str(agents[member].email) for member in members if agents[member].email]
        elif name in agents:
            found += [str(agents[name].email)] if agents[name].email else []
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def key(name: str) -> str:
    """Return a key of the schedule."""
    return shared_key(SLOT, name)
