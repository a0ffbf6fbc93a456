"""A report in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group
from rich.table import Table as Grid
from rich.text import Text

from inbox.commands import harmless
from inbox.report import Cell, Chart, Column, Figure, Keywords, Report, Row, Table
from inbox.report_page import grouped
from inbox.report_values import compared, differing, margin, shown
from inbox.report_words import column_name, defined, figure_name, name, say, table_name, title

ROWS = 30
SPARKS = "▁▂▃▄▅▆▇█"
MOODS = {"better": "green", "worse": "red"}


def printed(report: Report, console: Console, *, definitions: bool = True) -> None:
    """Print *report* as tables that fit the terminal."""
    language = report.language
    console.print(Text(harmless(title(report)), style="bold"))
    period, before = report.period, report.before
    partial = f" ({say('partial', language)})" if period.partial else ""
    console.print(
        Text(say("period", language, first=period.first, last=period.last) + partial),
        Text(say("before", language, first=before.first, last=before.last), style="dim"),
    )
    if report.filters:
        only = ", ".join(f"{name(key, language)}: {value}" for key, value in report.filters.items())
        console.print(Text(harmless(f"{say('filters', language)} {only}")))
    for note in report.notes:
        console.print(Text(f"! {defined(note, language)}", style="yellow"))
    console.print(_figures(report))
    for chart in report.charts:
        if chart.kind in ("line", "column") and chart.unit != "text":
            console.print(_sparks(chart, language))
    for table in report.tables:
        if table.rows:
            console.print(_table(table, language))
    for found in report.keywords:
        console.print(_words(found, language))
    if definitions:
        console.print(Text(say("definitions", language), style="bold"))
        for one in report.definitions:
            console.print(Text(f"· {defined(one, language)}", style="dim"))


def _figures(report: Report) -> Grid:
    language = report.language
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column(say("figure", language), overflow="fold")
    grid.add_column(say("value", language), justify="right", no_wrap=True)
    grid.add_column(say("interval_head", language), justify="left", no_wrap=True)
    grid.add_column(say("n", language), justify="right", no_wrap=True)
    grid.add_column(say("compared", language), overflow="fold")
    for one in report.figures:
        label = " · ".join(filter(None, figure_name(one, language)))
        value = say("hidden", language) if one.hidden else shown(one.estimate.value, one.unit, language)
        reach = "" if one.unit == "count" else margin(one.estimate, one.unit, language)
        grid.add_row(
            Text(harmless(label)),
            Text(value, style="bold"),
            Text(reach),
            Text(f"{one.estimate.n:,}" if one.unit != "count" else ""),
            Text("" if one.hidden else compared(one.change, one.unit, language), style=MOODS.get(mood(one), "")),
        )
    return grid


def mood(one: Figure) -> str:
    """Tell whether a figure changed for the better or the worse; "same" if neither."""
    if one.change is None or one.change.verdict not in ("higher", "lower") or not one.good or one.hidden:
        return "same"
    return "better" if (one.change.verdict == "higher") == (one.good > 0) else "worse"


def _sparks(chart: Chart, language: str) -> Text:
    """Draw a chart of time in one line of each series."""
    text = Text()
    for series in chart.series:
        known = [value for value in series.values if value is not None]
        if not known:
            continue
        top = max(known) or 1.0
        bars = "".join(
            " " if value is None else SPARKS[min(7, max(0, round(value / top * 7)))] for value in series.values
        )
        label = (
            f"{name(chart.key, language)} · {name(series.key, language)}"
            if len(chart.series) > 1
            else name(chart.key, language)
        )
        ends = f"{chart.labels[0]} … {chart.labels[-1]}"
        text.append(f"{label}  ")
        text.append(bars, style="cyan")
        text.append(f"  {ends}, max {shown(max(known), chart.unit, language)}\n", style="dim")
    return text


def _table(table: Table, language: str) -> Group:
    groups = [
        group for group in grouped(table.columns) if any(row.cells[group[0][0]] is not None for row in table.rows)
    ]
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, title=harmless(table_name(table, language)), title_justify="left")
    grid.add_column("", overflow="fold")
    for group in groups:
        grid.add_column(Text(column_name(group[0][1], language)), justify="right", overflow="fold")
    for row in table.rows[:ROWS]:
        label = row.label or say("nobody", language)
        mark = f" ({say('partial', language)})" if row.partial else ""
        grid.add_row(Text(harmless(label + mark)), *(Text(_cell(row, group, language)) for group in groups))
    left = len(table.rows) - ROWS
    more = [Text(say("more_groups", language, count=ROWS), style="dim")] if left > 0 else []
    return Group(grid, *more)


def _cell(row: Row, group: list[tuple[int, Column]], language: str) -> str:
    place, column = group[0]
    value = row.cells[place]
    if value is None and row.hidden and len(group) > 1:
        return say("hidden", language)
    parts: dict[str, Cell] = {one.part: row.cells[other] for other, one in group[1:]}
    text = shown(value, column.unit, language)
    low, high, change = parts.get("low"), parts.get("high"), parts.get("change")
    if isinstance(low, int | float) and isinstance(high, int | float) and column.unit != "seconds":
        ends = [shown(end, column.unit, language).removesuffix(" %") for end in (low, high)]
        text += f"\n{ends[0]}…{ends[1]}"
    if isinstance(change, int | float):
        text += f"\n{differing(change, column.unit, language)}"
    return text


def _words(found: Keywords, language: str) -> Group:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, title=harmless(found.about), title_justify="left")
    for head in ("word", "all", "good", "bad", "group", "example"):
        grid.add_column(
            say(head, language), justify="right" if head in ("all", "good", "bad") else "left", overflow="fold"
        )
    for one in found.items:
        side = say(f"side_{one.side}", language)
        grid.add_row(
            Text(harmless(one.word)), str(one.all), str(one.good), str(one.bad), Text(side), Text(harmless(one.example))
        )
    read = say("words_read", language, read=f"{found.read:,}", answers=f"{found.answers:,}")
    return Group(Text(say("keywords", language), style="bold"), Text(read, style="dim"), grid)
