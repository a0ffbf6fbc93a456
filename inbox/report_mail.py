"""A report as the words and the plain table of a mail."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from inbox.report import Report
from inbox.report_values import compared, margin, shown
from inbox.report_words import defined, figure_name, say, title


def lines(report: Report) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, value, margin and comparison of every figure, in words."""
    language = report.language
    for one in report.figures:
        label = " · ".join(filter(None, figure_name(one, language)))
        if one.hidden:
            yield label, say("hidden", language), "", ""
            continue
        reach = "" if one.unit == "count" else margin(one.estimate, one.unit, language)
        told = compared(one.change, one.unit, language)
        yield label, shown(one.estimate.value, one.unit, language), reach, told


def summary(report: Report) -> str:
    """Return the figures as the text of a mail."""
    language = report.language
    period, before = report.period, report.before
    told = [title(report), say("period", language, first=period.first, last=period.last)]
    told.append(say("before", language, first=before.first, last=before.last))
    if report.late:
        told.append(say("late", language))
    told += [defined(one, language) for one in report.notes]
    told.append("")
    for label, value, reach, compared_ in lines(report):
        told.append("  ".join(filter(None, (f"{label}: {value}", reach, f"({compared_})" if compared_ else ""))))
    told += ["", say("made", language, at=report.made_at, timezone=report.timezone)]
    return "\n".join(told)


def letter(report: Report) -> str:
    """Return the figures as HTML of the plainest kind, which every mail program shows."""
    language = report.language
    period, before = report.period, report.before
    cell = 'style="padding:6px 14px 6px 0;border-top:1px solid #ddd;text-align:left;vertical-align:top"'
    rows = "".join(f"<tr>{''.join(f'<td {cell}>{escape(text)}</td>' for text in line)}</tr>" for line in lines(report))
    notes = "".join(f"<p>{escape(defined(one, language))}</p>" for one in report.notes)
    late = f"<p><strong>{escape(say('late', language))}</strong></p>" if report.late else ""
    when = escape(say("period", language, first=period.first, last=period.last))
    earlier = escape(say("before", language, first=before.first, last=before.last))
    made = escape(say("made", language, at=report.made_at, timezone=report.timezone))
    heads = "".join(
        f"<th {cell}>{escape(say(head, language))}</th>" for head in ("figure", "value", "interval_head", "compared")
    )
    return (
        f'<html lang="{language}"><body style="font-family:sans-serif;line-height:1.5">'
        f'<h1 style="font-size:20px">{escape(title(report))}</h1>'
        f"<p><strong>{when}</strong><br>{earlier}</p>{late}{notes}"
        f'<table style="border-collapse:collapse;font-size:14px"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table><p>{made}</p></body></html>"
    )
