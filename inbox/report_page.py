"""A report as one HTML file: nothing is fetched, nothing runs; for screens of any width, light and dark, and paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path

from inbox import report_charts
from inbox.report import Cell, Chart, Column, Figure, Keywords, Report, Row, Table
from inbox.report_values import compared, differing, margin, shown
from inbox.report_words import column_name, defined, figure_name, name, say, table_name, title

ROWS = 60
"""Rows of a table that a page shows; files hold all."""


def page(report: Report) -> str:
    """Return *report* as an HTML document."""
    language = report.language
    parts = [
        "<!doctype html>",
        f'<html lang="{escape(language)}"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title(report))}</title><style>{style()}</style></head><body><main>",
        _head(report),
        _notes(report),
        _figures(report),
        _charts(report),
        _tables(report),
        *(_words(one, language) for one in report.keywords),
        _definitions(report),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part)


@cache
def style() -> str:
    """Return the style sheet."""
    return (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


@cache
def policy() -> str:
    """Return what a report's page may do: nothing runs, nothing is fetched, and one style sheet holds."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _head(report: Report) -> str:
    language = report.language
    period, before = report.period, report.before
    brand = f'<p class="brand">{escape(say(report.kind, language))}</p>' if report.title else ""
    lines = [f"<header>{brand}"]
    lines.append(f"<h1>{escape(report.title or title(report))}</h1>")
    when = say("period", language, first=period.first, last=period.last)
    partial = f' <span class="mark">{escape(say("partial", language))}</span>' if period.partial else ""
    earlier = say("before", language, first=before.first, last=before.last)
    lines.append(
        f'<p class="when"><strong>{escape(when)}</strong>{partial} <span class="soft">{escape(earlier)}</span></p>'
    )
    facts = []
    if report.purpose:
        facts.append((say("purpose", language), report.purpose))
    if report.owner:
        facts.append((say("owner", language), report.owner))
    if report.filters:
        only = ", ".join(f"{name(key, language)}: {value}" for key, value in report.filters.items())
        facts.append((say("filters", language), only))
    if facts:
        items = "".join(f"<div><dt>{escape(head)}</dt><dd>{escape(text)}</dd></div>" for head, text in facts)
        lines.append(f'<dl class="facts">{items}</dl>')
    return "".join([*lines, "</header>"])


def _notes(report: Report) -> str:
    items = "".join(f"<li>{escape(defined(one, report.language))}</li>" for one in report.notes)
    if not items:
        return ""
    return f'<section class="notes" aria-label="{escape(say("notes", report.language))}"><ul>{items}</ul></section>'


def _figures(report: Report) -> str:
    language = report.language
    heading = f"<h2>{escape(say('figures', language))}</h2>"
    main = [one for one in report.figures if one.unit != "count"]
    counts = [one for one in report.figures if one.unit == "count"]
    cards = "".join(_card(one, language) for one in main)
    small = "".join(_small(one, language) for one in counts)
    blocks = [f'<div class="cards">{cards}</div>' if cards else "", f'<dl class="counts">{small}</dl>' if small else ""]
    return f"<section>{heading}{''.join(blocks)}</section>"


def _card(one: Figure, language: str) -> str:
    head, below = figure_name(one, language)
    about = f'<p class="about">{escape(below)}</p>' if below else ""
    if one.hidden:
        value, reach = say("hidden", language), ""
    else:
        value, reach = shown(one.estimate.value, one.unit, language), margin(one.estimate, one.unit, language)
    top = f'<span class="top"> / {one.top}</span>' if one.unit == "mean" and one.top and not one.hidden else ""
    cases = "of" if one.unit in ("points", "mean") or one.key.startswith("score") else "cases"
    count = say(cases, language, n=f"{one.estimate.n:,}")
    return (
        f'<article class="card"><h3>{escape(head)}</h3>{about}'
        f'<p class="value{" none" if one.hidden or one.estimate.value is None else ""}">{escape(value)}{top}</p>'
        f'<p class="reach">{escape(reach)} <span class="soft">{escape(count)}</span></p>'
        f"{_change(one, language)}</article>"
    )


def _change(one: Figure, language: str) -> str:
    change = one.change
    if change is None or change.difference is None or one.hidden:
        return f'<p class="change none">{escape(say("unknown", language))}</p>'
    mood = "same"
    if change.verdict in ("higher", "lower") and one.good:
        mood = "better" if (change.verdict == "higher") == (one.good > 0) else "worse"
    arrow = {"higher": "▲", "lower": "▼"}.get(change.verdict, "＝" if change.verdict == "unchanged" else "")
    words = escape(compared(change, one.unit, language))
    return f'<p class="change {mood}"><span aria-hidden="true">{arrow}</span> {words}</p>'


def _small(one: Figure, language: str) -> str:
    change = one.change
    moved = ""
    if change is not None and change.difference is not None:
        moved = f' <span class="soft">{escape(differing(change.difference, one.unit, language))}</span>'
    value = escape(shown(one.estimate.value, one.unit, language))
    return f"<div><dt>{escape(name(one.key, language))}</dt><dd>{value}{moved}</dd></div>"


def _charts(report: Report) -> str:
    language = report.language
    drawn = []
    for number, one in enumerate(report.charts):
        if not any(value is not None for series in one.series for value in series.values):
            continue
        drawn.append(_chart(one, language, number))
    if not drawn:
        return ""
    return f'<section><h2>{escape(say("charts", language))}</h2><div class="charts">{"".join(drawn)}</div></section>'


def _chart(one: Chart, language: str, number: int) -> str:
    about = f'<span class="about">{escape(one.about)}</span>' if one.about else ""
    svg = report_charts.drawn(one, language, number)
    key = report_charts.legend(one.series, one.kind, language)
    return f"<figure><figcaption>{escape(name(one.key, language))}{about}</figcaption>{key}{svg}</figure>"


def _tables(report: Report) -> str:
    tables = [one for one in report.tables if one.rows]
    if not tables:
        return ""
    drawn = "".join(_table(one, report, number) for number, one in enumerate(tables))
    return f"<section><h2>{escape(say('tables', report.language))}</h2>{drawn}</section>"


def _table(table: Table, report: Report, number: int) -> str:
    language = report.language
    groups = grouped(table.columns)
    wording = "".join(
        f'<th scope="col">{escape(head)}</th>' for head in (column_name(group[0][1], language) for group in groups)
    )
    rows = "".join(_row(row, groups, language) for row in table.rows[:ROWS])
    caption = table_name(table, language)
    first = say("answers_head", language) if table.key == "answers" else caption
    more = ""
    if len(table.rows) > ROWS:
        more = f'<p class="soft">{escape(say("more_groups", language, count=ROWS))}</p>'
    head = f'<th scope="col">{escape(first)}</th>{wording}'
    return (
        f'<div class="block"><h3 id="t{number}">{escape(caption)}</h3>'
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="t{number}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}</div>"
    )


def grouped(columns: Sequence[Column]) -> list[list[tuple[int, Column]]]:
    """Return the columns that are shown, each with the parts of it (low, high, change) that follow it."""
    kept = [(place, one) for place, one in enumerate(columns) if not one.detail]
    return [list(group) for _, group in groupby(kept, key=lambda item: (item[1].key, item[1].about))]


def _row(row: Row, groups: Sequence[Sequence[tuple[int, Column]]], language: str) -> str:
    label = escape(row.label or say("nobody", language))
    mark = f' <span class="mark">{escape(say("partial", language))}</span>' if row.partial else ""
    cells = "".join(_cell(row, group, language) for group in groups)
    return f'<tr><th scope="row">{label}{mark}</th>{cells}</tr>'


def _cell(row: Row, group: Sequence[tuple[int, Column]], language: str) -> str:
    place, column = group[0]
    value = row.cells[place]
    parts: dict[str, Cell] = {one.part: row.cells[other] for other, one in group[1:]}
    if value is None and row.hidden and parts:
        return f'<td class="none">{escape(say("hidden", language))}</td>'
    text = f"<span>{escape(shown(value, column.unit, language))}</span>"
    low, high, change = parts.get("low"), parts.get("high"), parts.get("change")
    below = []
    if isinstance(low, int | float) and isinstance(high, int | float):
        below.append(
            say("between", language, low=shown(low, column.unit, language), high=shown(high, column.unit, language))
        )
    if isinstance(change, int | float):
        below.append(differing(change, column.unit, language))
    small = f"<small>{escape(' · '.join(below))}</small>" if below else ""
    return f"<td>{text}{small}</td>"


def _words(found: Keywords, language: str) -> str:
    heading = f"<h2>{escape(say('keywords', language))}</h2>"
    about = f'<p class="about">{escape(found.about)}</p>'
    number = say("words_read", language, read=f"{found.read:,}", answers=f"{found.answers:,}")
    read = f'<p class="soft">{escape(number)}</p>'
    if not found.items:
        return f"<section>{heading}{about}{read}<p>{escape(say('no_words', language))}</p></section>"
    return f'<section>{heading}{about}{read}<div class="words">{"".join(_sides(found, language))}</div></section>'


def _sides(found: Keywords, language: str) -> Iterator[str]:
    for side in ("bad", "good", ""):
        items = [one for one in found.items if one.side == side]
        if not items:
            continue
        lines = []
        for one in items:
            example = f"<q>{escape(one.example)}</q>" if one.example else ""
            lines.append(
                f'<li><span class="word">{escape(one.word)}</span> <span class="soft">{one.all}</span>{example}</li>'
            )
        heading = f"<h3>{escape(say('side_' + side, language))}</h3>"
        yield f'<div class="side {side or "both"}">{heading}<ul>{"".join(lines)}</ul></div>'


def _definitions(report: Report) -> str:
    language = report.language
    items = "".join(f"<li>{escape(defined(one, language))}</li>" for one in report.definitions)
    made = say("made", language, at=report.made_at, timezone=report.timezone)
    return (
        f'<section class="definitions"><h2>{escape(say("definitions", language))}</h2><ul>{items}</ul></section>'
        f"<footer><p>{escape(made)}</p></footer>"
    )
