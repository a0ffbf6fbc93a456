"""The API of reports: figures for everybody who may read, single responses and quotes for supervisors."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from config.settings import Settings
from inbox.api import HEADERS, ROLES, Ask, Problem, Route, answer, encode
from inbox.periods import BadPeriod, parsed
from inbox.report_page import policy
from inbox.store import StoreError
from inbox.workshop import Failed, Say
from outbox.editions import FIGURES, RESPONSES
from outbox.reports import SERVICE_BY, SURVEY_BY, Asked, NoSurvey, Reports, silent
from outbox.schedule import NoReport, Schedule
from outbox.spss import NoSpss, require
from outbox.tallies import BY

TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "sav": "application/x-spss-sav",
    "codebook": "application/json",
    "codebook-md": "text/markdown; charset=utf-8",
}
SUFFIXES = {"codebook": "codebook.json", "codebook-md": "codebook.md"}
ONLY = ("team", "agent", "channel", "tag")
PARAMETERS = frozenset({*ONLY, "since", "until", "by", "format", "language", "texts", "contacts", "progress"})
SERVICE_GROUPS = ("team", "agent", "channel", "tag", "week", "hour", "stage")
CHUNK = 1 << 16
TICK = 0.5
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class ReportEndpoints:
    """The endpoints."""

    reports: Reports
    schedule: Schedule
    settings: Callable[[], Settings]
    now: Callable[[], int]

    def routes(self) -> list[Route]:
        """Return the table: method, path, least role, handler."""
        return [
            Route("GET", "/reports/service", "readonly", self.service),
            Route("GET", "/reports/surveys/{id}", "readonly", self.survey),
            Route("GET", "/reports/surveys/{id}/responses", "supervisor", self.responses),
            Route("GET", "/reports/scheduled", "readonly", self.scheduled),
            Route("POST", "/reports/scheduled/{id}/send", "supervisor", self.send),
        ]

    async def service(self, ask: Ask) -> web.StreamResponse:
        """Volumes, times, promises kept, backlog and deliveries."""
        asked = self._asked(ask, FIGURES, SERVICE_BY, SERVICE_GROUPS)
        return await self._given(ask, asked, "service", lambda say: self.reports.service(asked, say))

    async def survey(self, ask: Ask) -> web.StreamResponse:
        """Response rate, scores and words of a survey; `format=sav` is that of single responses."""
        name = ask.part("id")
        if ask.query("format") == "sav":
            _least(ask, "supervisor", "single responses")
            return await self.responses(ask)
        asked = self._asked(ask, FIGURES, SURVEY_BY, BY)
        if asked.quotes:
            _least(ask, "supervisor", "examples of open answers")
        self._known(name)
        return await self._given(ask, asked, name, lambda say: self.reports.survey(name, asked, say))

    async def responses(self, ask: Ask) -> web.StreamResponse:
        """Single responses for analysis, under pseudonyms; `contacts=true` shows who they are."""
        name = ask.part("id")
        asked = self._asked(ask, RESPONSES, SURVEY_BY, BY, responses=True)
        if asked.format == "sav":
            try:
                require()
            except NoSpss as error:
                raise Problem(501, "This hub cannot write .sav files", str(error)) from None
        self._known(name)
        return await self._given(ask, asked, f"{name}-responses", lambda say: self.reports.survey(name, asked, say))

    async def scheduled(self, _: Ask) -> web.Response:
        """Reports that are sent by mail: when they were sent last, and when they are due."""
        return answer({"items": await self.schedule.shapes(), "next": None})

    async def send(self, ask: Ask) -> web.Response:
        """Send a scheduled report now, about its last whole period; once, however often it is asked for."""
        try:
            return answer(await self.schedule.send(ask.part("id")), 202)
        except NoReport as error:
            raise Problem(404, "There is no such report", str(error)) from None
        except Failed as error:
            raise Problem(500, "The report could not be made", str(error)) from None

    def _known(self, name: str) -> None:
        try:
            self.reports.questionnaire(name, "en")
        except NoSurvey as error:
            raise Problem(404, "There is no such survey", str(error)) from None

    def _asked(
        self,
        ask: Ask,
        forms: tuple[str, ...],
        usual: tuple[str, ...],
        groups: tuple[str, ...],
        *,
        responses: bool = False,
    ) -> Asked:
        """Read the parameters. Raises `Problem` 400, which says what was expected."""
        settings = self.settings()
        for given in ask.request.query:
            if given not in PARAMETERS:
                raise Problem(
                    400, "Bad parameter", f"there is no parameter {given[:40]}; expected {_list(sorted(PARAMETERS))}"
                )
        form = ask.query("format") or ("csv" if responses else "json")
        if form not in forms:
            raise Problem(400, "Bad parameter", f"format must be one of {_list(forms)}")
        by = tuple(dict.fromkeys(filter(None, ask.query("by").split(",")))) or usual
        for one in by:
            if one not in groups:
                raise Problem(400, "Bad parameter", f"by must be some of {_list(groups)}, separated by commas")
        language = ask.query("language") or settings.locale
        if not re.fullmatch(r"zh(-CN)?|en", language):
            raise Problem(400, "Bad parameter", "language must be zh or en")
        try:
            period = parsed(ask.query("since"), ask.query("until"), settings.timezone, self.now())
        except BadPeriod as error:
            raise Problem(400, "Bad parameter", str(error)) from None
        return Asked(
            period,
            by,
            self._only(ask, settings),
            "zh-CN" if language.startswith("zh") else "en",
            form,
            quotes=_flag(ask, "texts"),
            responses=responses,
            contacts=_flag(ask, "contacts"),
            without=ask.hidden,
        )

    @staticmethod
    def _only(ask: Ask, settings: Settings) -> dict[str, str]:
        """Return what the report is limited to; a team, agent or channel that nobody knows is a mistake."""
        only = {one: value for one in ONLY if (value := ask.query(one))}
        for kind, known in (("team", settings.teams), ("agent", settings.agents), ("channel", settings.channels)):
            if kind in only and only[kind] not in known:
                names = _list(sorted(known)) if known else "none"
                raise Problem(400, "Bad parameter", f"there is no such {kind}; expected one of {names}")
        if len(only.get("tag", "")) > LONGEST_NAME:
            raise Problem(400, "Bad parameter", "tag must be the name of a tag")
        return only

    async def _given(
        self, ask: Ask, asked: Asked, name: str, make: Callable[[Say], AbstractAsyncContextManager[Path]]
    ) -> web.StreamResponse:
        """Have the report made and answer with the file, after lines that tell how far it is if that was asked for."""
        stem = f"{name}-{asked.period.span().first}-{asked.period.span().last}"
        headers = {
            **HEADERS,
            "Content-Type": TYPES[asked.format],
            "Content-Disposition": _disposition(f"{stem}.{SUFFIXES.get(asked.format, asked.format)}", asked.format),
        }
        if asked.format == "html":
            headers["Content-Security-Policy"] = policy() + "; frame-ancestors 'none'; sandbox"
        if _flag(ask, "progress"):
            return await self._told(ask, headers, make)
        try:
            async with make(silent) as path:
                return await _sent(ask, path, headers)
        except Failed as error:
            raise Problem(500, "The report could not be made", str(error)) from None

    @staticmethod
    async def _told(
        ask: Ask, headers: dict[str, str], make: Callable[[Say], AbstractAsyncContextManager[Path]]
    ) -> web.StreamResponse:
        """Answer with lines of JSON, the last of which says how long the file is, and then the file."""
        told = {**headers, "Content-Type": "application/x-huiliu-report", "Content-Disposition": "attachment"}
        response = web.StreamResponse(headers=told)
        await response.prepare(ask.request)
        share = 0.0

        def say(now: float) -> None:
            nonlocal share
            share = now

        async def tell() -> None:
            while True:
                await response.write(encode({"progress": round(share, 3)}) + b"\n")
                await asyncio.sleep(TICK)

        teller = asyncio.create_task(tell())
        try:
            async with make(say) as path:
                teller.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await teller
                size = (await asyncio.to_thread(path.stat)).st_size
                done: dict[str, Any] = {"size": size, "name": headers["Content-Disposition"]}
                await response.write(encode(done) + b"\n")
                await _copy(path, response)
        except (Failed, StoreError) as error:
            await response.write(encode({"error": str(error)}) + b"\n")
        finally:
            teller.cancel()
        with contextlib.suppress(ConnectionResetError):  # whoever has the whole file may hang up before the end mark
            await response.write_eof()
        return response


async def _sent(ask: Ask, path: Path, headers: dict[str, str]) -> web.StreamResponse:
    """Send a file whole before its folder is gone."""
    response = web.StreamResponse(headers=headers)
    response.content_length = (await asyncio.to_thread(path.stat)).st_size
    await response.prepare(ask.request)
    if ask.request.method != "HEAD":
        await _copy(path, response)
    await response.write_eof()
    return response


async def _copy(path: Path, response: web.StreamResponse) -> None:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            await response.write(chunk)


def _least(ask: Ask, role: str, what: str) -> None:
    if ROLES.index(ask.token.role) < ROLES.index(role):
        raise Problem(403, "Not allowed", f"{what} need the role {role}; the token has {ask.token.role}")


def _flag(ask: Ask, name: str) -> bool:
    text = ask.query(name) or "false"
    if text not in ("true", "false"):
        raise Problem(400, "Bad parameter", f"{name} must be true or false")
    return text == "true"


def _disposition(name: str, form: str) -> str:
    return f'{"inline" if form in ("json", "html") else "attachment"}; filename="{name}"'


def _list(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(words)
