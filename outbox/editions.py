"""Reports made out of what was read, in one of their forms: what the press is given to do. Pure but for files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from inbox import cases
from inbox.api import encode
from inbox.diary import Days
from inbox.performance import Setting, service_report
from inbox.periods import Period
from inbox.report import Report
from inbox.report_files import write_figures, write_listing, write_workbook
from inbox.report_page import page
from inbox.workload import Ledger, Terms
from inbox.workshop import Say, parts
from outbox.answer_rows import Rows, Wanted, codebook, codebook_text, weights
from outbox.findings import Questionnaire, survey_report
from outbox.harvest import unpacked
from outbox.keywords import Texts
from outbox.spss import write_sav
from outbox.tallies import Book, Record

FIGURES = ("json", "html", "csv", "xlsx")
RESPONSES = ("csv", "xlsx", "sav", "codebook", "codebook-md")
COUNTED = 0.7
"""The share of the work after which everything is counted."""


@dataclass(frozen=True, slots=True)
class SurveyOrder:
    """A report or export of a survey. *by* are the kinds of groups, *only* limits it; *key* makes pseudonyms.

    What was asked for a team of *without* is not in it.

    *what*: figures, or responses one by one. *quotes*: with examples of open answers.
    """

    asked: Questionnaire
    period: Period
    by: tuple[str, ...]
    only: Mapping[str, str]
    filters: Mapping[str, str]
    what: Literal["figures", "responses"]
    format: str
    quotes: bool = False
    contacts: bool = False
    late: bool = False
    without: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ServiceOrder:
    """A service report; *days* and *earlier* are the messages and deliveries of both periods.

    Conversations of the teams of *without* are not in it.
    """

    setting: Setting
    terms: Terms
    period: Period
    by: tuple[str, ...]
    only: Mapping[str, str]
    filters: Mapping[str, str]
    format: str
    days: Days | None = None
    earlier: Days | None = None
    late: bool = False
    without: frozenset[str] = frozenset()


def survey_edition(spool: Path, order: SurveyOrder, out: Path, say: Say) -> None:
    """Make a survey's report or export out of *spool* and write it to *out*."""
    by = tuple(dict.fromkeys((*order.by, *(("stratum",) if order.asked.stratified else ()))))
    book = Book(order.asked.measures, order.period, by, dict(order.only))
    texts = {one.id: Texts(one.title) for one in order.asked.measures if one.method == "text"}
    main = order.asked.main
    for share, record in _records(spool, order.without):
        if book.add(record) and texts and record.answer is not None:
            side = main.side(record.answer.value(main.id)) if main is not None else ""
            for answer in record.answer.answers:
                if answer.question in texts:
                    texts[answer.question].add(str(answer.value), side)
        say(share * COUNTED)
    if order.what == "responses":
        _responses(spool, order, book, out)
    else:
        least = order.asked.least
        found = [one.keywords(quotes=order.quotes, least=least) for one in texts.values()]
        report = survey_report(order.asked, book, order.by, order.filters, found)
        write_report(msgspec.structs.replace(report, late=order.late), order.format, out)
    say(1.0)


def service_edition(spool: Path, order: ServiceOrder, out: Path, say: Say) -> None:
    """Make a service report out of *spool* and write it to *out*."""
    ledger = Ledger(order.terms, order.period, order.by, order.only)
    for share, part in parts(spool):
        for case in cases.decode(part):
            if case.team not in order.without:
                ledger.add(case)
        say(share * COUNTED)
    report = service_report(order.setting, ledger, order.by, order.filters, order.days, order.earlier)
    write_report(msgspec.structs.replace(report, late=order.late), order.format, out)
    say(1.0)


def write_report(report: Report, form: str, out: Path) -> None:
    """Write a report as json, html, csv or xlsx."""
    match form:
        case "json":
            out.write_bytes(encode(report))
        case "html":
            out.write_text(page(report), encoding="utf-8", errors="replace")
        case "csv":
            write_figures(report, out)
        case _:
            write_workbook(out, report.language, report)


def _responses(spool: Path, order: SurveyOrder, book: Book, out: Path) -> None:
    """Write single responses; a workbook has the figures beside them."""
    asked = order.asked
    wanted = Wanted(asked, order.period, order.key, order.contacts, order.only, weights(asked, book))
    listing = Rows(wanted).listing(lambda: (record for _, record in _records(spool, order.without)))
    match order.format:
        case "csv":
            write_listing(listing, out)
        case "sav":
            write_sav(listing, out, asked.language)
        case "codebook":
            out.write_bytes(encode(codebook(listing, asked.language)))
        case "codebook-md":
            out.write_text(codebook_text(listing, asked.language), encoding="utf-8")
        case _:
            report = survey_report(asked, book, order.by, order.filters)
            write_workbook(out, asked.language, report, listing)


def _records(spool: Path, without: frozenset[str]) -> Iterator[tuple[float, Record]]:
    for share, part in parts(spool):
        for record in unpacked(part):
            if record.invitation.team not in without:
                yield share, record
