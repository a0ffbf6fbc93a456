"""A report as files for spreadsheets: one long table (.csv) or a workbook (.xlsx) of figures that are not rounded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inbox import cells
from inbox.cells import LONGEST
from inbox.report import Cell, Column, Report, Table, Unit
from inbox.report_words import column_name, defined, figure_name, name, say, table_name, title
from inbox.variables import Listing, Plain

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

HEADS = ("section", "group", "figure", "value", "low", "high", "n", "error", "difference", "verdict", "unit")
FORMATS: dict[Unit, str] = {
    "count": "#,##0",
    "share": "0.0%",
    "points": "+0.0%;-0.0%;0.0%",
    "mean": "0.00",
    "seconds": "#,##0",
}
TIME_FORMAT = "yyyy-mm-dd hh:mm:ss"
MOST_ROWS = 1_048_000
"""Rows of one sheet; Excel takes 1,048,576."""

Line = tuple[Cell, ...]


def lines(report: Report) -> Iterator[Line]:
    """Yield every figure of a report as one line of `HEADS`: those at the top, the cells of all tables, the words."""
    language = report.language
    for one in report.figures:
        label = ": ".join(filter(None, figure_name(one, language)))
        estimate, change = one.estimate, one.change
        yield (
            say("figures", language),
            say("all", language),
            label,
            estimate.value,
            estimate.low,
            estimate.high,
            estimate.n,
            estimate.error,
            change.difference if change else None,
            say(change.verdict, language) if change else None,
            say(one.unit, language),
        )
    for table in report.tables:
        for row in table.rows:
            label = row.label or say("nobody", language)
            for place, column in enumerate(table.columns):
                if column.part:
                    continue
                low, high, moved = (_part(table, row.cells, column, part) for part in ("low", "high", "change"))
                yield (
                    table_name(table, language),
                    label,
                    _headline(column, language),
                    row.cells[place],
                    low,
                    high,
                    None,
                    None,
                    moved,
                    None,
                    say(column.unit, language),
                )
    for found in report.keywords:
        for word in found.items:
            for key in ("all", "good", "bad"):
                yield (
                    say("keywords", language),
                    word.word,
                    say(key, language),
                    getattr(word, key),
                    *(None,) * 6,
                    say("count", language),
                )


def _part(table: Table, row: Sequence[Cell], column: Column, part: str) -> Cell:
    for place, one in enumerate(table.columns):
        if (one.key, one.about, one.part) == (column.key, column.about, part):
            return row[place]
    return None


def _headline(column: Column, language: str) -> str:
    """Return what a column is about in full: its name and the question."""
    head = column_name(column, language)
    return (
        f"{head}: {column.about}"
        if column.about and column.about not in head and column.key.startswith("score_")
        else head
    )


def write_figures(report: Report, path: Path) -> None:
    """Write the figures of a report as a comma-separated file."""
    with cells.opened(path) as file:
        cells.write(file, [say(head, report.language) for head in HEADS], lines(report))


def write_listing(listing: Listing, path: Path) -> None:
    """Write single answers as a comma-separated file."""
    with cells.opened(path) as file:
        cells.write(file, [one.name for one in listing.variables], listing.rows())


def write_workbook(path: Path, language: str, report: Report | None = None, listing: Listing | None = None) -> None:
    """Write a workbook: summary, groups, weeks, words of *report*; responses and codebook of *listing*.

    Text is always written as text. Rows are not held in memory.
    """
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": False,
    }
    import xlsxwriter  # noqa: PLC0415  # the daemon starts faster without it

    with xlsxwriter.Workbook(str(path), options) as book:
        writer = _Writer(book, language)
        if report is not None:
            writer.summary(report)
            writer.groups(report)
            writer.weeks(report)
            writer.words(report)
        if listing is not None:
            writer.responses(listing)
            writer.codebook(listing)


class _Writer:
    """Writes sheets, row by row."""

    def __init__(self, book: Workbook, language: str) -> None:
        self._book = book
        self._language = language
        self._head: Format = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self._bold: Format = book.add_format({"bold": True})
        self._time: Format = book.add_format({"num_format": TIME_FORMAT})
        self._formats: dict[str, Format] = {
            unit: book.add_format({"num_format": text}) for unit, text in FORMATS.items()
        }

    def summary(self, report: Report) -> None:
        """Write what the report is about, the figures, and the definitions."""
        language = self._language
        sheet = self._sheet("summary")
        sheet.set_column(0, 0, 34)
        sheet.set_column(1, 9, 16)
        sheet.write_string(0, 0, title(report), self._bold)
        self._row(sheet, 1, [say("period", language, first=report.period.first, last=report.period.last)])
        self._row(sheet, 2, [say("before", language, first=report.before.first, last=report.before.last)])
        self._row(sheet, 3, [say("made", language, at=report.made_at, timezone=report.timezone)])
        row = 5
        self._row(sheet, row, [say(head, language) for head in ("figure", *HEADS[3:])], self._head)
        for one in report.figures:
            row += 1
            estimate, change = one.estimate, one.change
            label = ": ".join(filter(None, figure_name(one, language)))
            sheet.write_string(row, 0, label)
            numbers = (estimate.value, estimate.low, estimate.high)
            for place, value in enumerate(numbers, 1):
                self._write(sheet, row, place, value, one.unit)
            self._write(sheet, row, 4, estimate.n, "count")
            self._write(sheet, row, 5, estimate.error, "mean")
            self._write(sheet, row, 6, change.difference if change else None, one.unit)
            self._write(sheet, row, 7, say(change.verdict, language) if change else None, "text")
            self._write(sheet, row, 8, say(one.unit, language), "text")
        row += 2
        for text in (*report.notes, *report.definitions):
            sheet.write_string(row, 0, defined(text, language)[:LONGEST])
            row += 1

    def groups(self, report: Report) -> None:
        """Write every table but that of weeks, one below the other."""
        sheet = self._sheet("tables")
        row = 0
        for table in report.tables:
            if table.key != "week":
                row = self._table(sheet, row, table) + 2

    def weeks(self, report: Report) -> None:
        """Write the table of weeks."""
        table = report.table("week")
        if table is not None:
            self._table(self._sheet("week"), 0, table)

    def words(self, report: Report) -> None:
        """Write the words of open answers."""
        if not report.keywords:
            return
        sheet = self._sheet("keywords")
        sheet.set_column(0, 0, 24)
        sheet.set_column(6, 6, 60)
        heads = [say(head, self._language) for head in ("word", "group", "all", "good", "bad", "weight", "example")]
        row = 0
        for found in report.keywords:
            self._row(sheet, row, [found.about], self._bold)
            self._row(sheet, row + 1, heads, self._head)
            row += 2
            for one in found.items:
                side = say(f"side_{one.side}", self._language)
                self._row(sheet, row, [one.word, side, one.all, one.good, one.bad, one.score, one.example])
                row += 1
            row += 1

    def _table(self, sheet: Worksheet, row: int, table: Table) -> int:
        sheet.set_column(0, 0, 24)
        sheet.set_column(1, len(table.columns), 14)
        sheet.write_string(row, 0, table_name(table, self._language), self._bold)
        heads = [_full(one, self._language) for one in table.columns]
        self._row(sheet, row + 1, ["", *heads, say("partial", self._language)], self._head)
        row += 2
        for one in table.rows:
            sheet.write_string(row, 0, one.label or say("nobody", self._language))
            for place, (value, column) in enumerate(zip(one.cells, table.columns, strict=True), 1):
                self._write(sheet, row, place, value, column.unit)
            if one.partial:
                sheet.write_string(row, len(table.columns) + 1, say("partial", self._language))
            row += 1
        return row

    def responses(self, listing: Listing) -> None:
        """Write single answers, and further sheets where one is full."""
        heads = [one.name for one in listing.variables]
        number, row, sheet = 1, MOST_ROWS, None
        for values in listing.rows():
            if row >= MOST_ROWS or sheet is None:
                sheet = self._sheet("responses", "" if number == 1 else f" {number}")
                number += 1
                self._row(sheet, 0, heads, self._head)
                sheet.freeze_panes(1, 0)
                row = 1
            self._row(sheet, row, values)
            row += 1
        if sheet is None:
            self._row(self._sheet("responses"), 0, heads, self._head)

    def codebook(self, listing: Listing) -> None:
        """Write what the variables and their values mean."""
        sheet = self._sheet("codebook")
        sheet.set_column(0, 0, 24)
        sheet.set_column(1, 1, 60)
        self._row(sheet, 0, ["variable", "label", "kind", "measure", "value", "meaning"], self._head)
        row = 1
        for one in listing.variables:
            self._row(sheet, row, [one.name, one.label, one.kind, one.measure])
            row += 1
            for value, label in one.labels.items():
                self._row(sheet, row, [one.name, "", "", "", value, label])
                row += 1

    def _sheet(self, key: str, more: str = "") -> Worksheet:
        # What a sheet may be called: 31 characters without []:*?/\ ; the wordings keep to that.
        return self._book.add_worksheet(
            (name(key, self._language) if key == "week" else say(key, self._language)) + more
        )

    def _row(self, sheet: Worksheet, row: int, values: Sequence[Plain], style: Format | None = None) -> None:
        for place, value in enumerate(values):
            match value:
                case None:
                    continue
                case dt.datetime():
                    sheet.write_datetime(row, place, value, self._time)
                case int() | float():
                    sheet.write_number(row, place, value, style)
                case _:
                    sheet.write_string(row, place, value[:LONGEST], style)

    def _write(self, sheet: Worksheet, row: int, place: int, value: Cell, unit: str) -> None:
        if isinstance(value, str):
            sheet.write_string(row, place, value[:LONGEST])
        elif value is not None:
            sheet.write_number(row, place, value, self._formats.get(unit))


def _full(column: Column, language: str) -> str:
    head = column_name(column, language)
    return f"{head}\n{column.about}" if column.key.startswith("score_") and column.about else head
