"""Charts of reports as inline SVG: text stays text, colours are the page's, every chart says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from inbox.report import Chart, Series
from inbox.report_values import shown
from inbox.report_words import name, say, series_name

WIDTH = 340
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 26
PLOT = 150
ROW = 40
BAR = 12
LONGEST_LABEL = 34
TICKS = 4
STACKED = 11
"""Colours that the page has for the parts of a stack."""


def drawn(chart: Chart, language: str, number: int) -> str:
    """Return a chart as an SVG element; *number* tells it from the others of its page."""
    draw = {"line": _line, "column": _columns, "bar": _bars, "stack": _stack}[chart.kind]
    height, parts = draw(chart, language)
    title = name(chart.key, language)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="c{number}t c{number}d" class="{chart.kind}">'
        f'<title id="c{number}t">{escape(title)}</title>'
        f'<desc id="c{number}d">{escape(described(chart, language))}</desc>{"".join(parts)}</svg>'
    )


def described(chart: Chart, language: str) -> str:
    """Say in words what a chart shows: every value of it."""
    told = []
    for series in chart.series:
        pairs = zip(chart.labels, series.values, strict=True)
        values = ", ".join(
            f"{label or say('all', language)} {shown(value, chart.unit, language)}" for label, value in pairs
        )
        told.append(f"{series_name(series, language)}: {values}")
    return "; ".join(told)


def scale(low: float, high: float, *, times: bool = False) -> list[float]:
    """Return three to six round values from below *low* to above *high*; of *times* such as are round in minutes."""
    if high <= low:
        high = low + 1
    rough = (high - low) / TICKS
    step: float
    if times:
        steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]
        step = next((one for one in steps if one >= rough), math.ceil(rough / 86400) * 86400)
    else:
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9) * step
    count = math.ceil((high - first) / step - 1e-9)
    return [round(first + place * step, 10) for place in range(count + 1)]


class _Axes:
    """The plane of a chart that has time from left to right."""

    def __init__(self, chart: Chart, low: float, high: float) -> None:
        self.ticks = scale(low, high, times=chart.unit == "seconds")
        self._low, self._high = self.ticks[0], self.ticks[-1]
        self._slots = max(1, len(chart.labels))

    @property
    def slot(self) -> float:
        """How wide the place of one label is."""
        return (WIDTH - LEFT - RIGHT) / self._slots

    def x(self, place: int) -> float:
        """Return the middle of a label's place."""
        return LEFT + self.slot * (place + 0.5)

    def y(self, value: float) -> float:
        """Return the height of a value."""
        return TOP + PLOT * (1 - (value - self._low) / (self._high - self._low))

    def frame(self, chart: Chart, language: str) -> Iterator[str]:
        """Yield grid, ticks and labels."""
        for tick in self.ticks:
            y = self.y(tick)
            text = shown(tick, chart.unit, language).replace(".0 %", " %").replace(".00", "")
            text = text.removesuffix(".0") if chart.unit == "points" else text
            yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        every = max(1, math.ceil(len(chart.labels) / 6))
        for place, label in enumerate(chart.labels):
            if place % every == 0:
                text = label[5:] if len(label) in (8, 10) and label[4] == "-" else label
                y = TOP + PLOT + 18
                yield f'<text class="tick" x="{self.x(place):.1f}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _line(chart: Chart, language: str) -> tuple[int, list[str]]:
    known = [value for one in chart.series for value in (*one.values, *one.highs, *one.lows) if value is not None]
    low = chart.low if chart.low is not None else min([0.0, *known])
    axes = _Axes(chart, low, chart.high if chart.high is not None else max(known, default=1.0))
    parts = list(axes.frame(chart, language))
    for number, series in enumerate(chart.series):
        for run in _runs(series):
            if series.lows and all(series.lows[place] is not None for place in run):
                upper = [f"{axes.x(place):.1f},{axes.y(series.highs[place] or 0):.1f}" for place in run]
                lower = [f"{axes.x(place):.1f},{axes.y(series.lows[place] or 0):.1f}" for place in reversed(run)]
                parts.append(f'<polygon class="band s{number}" points="{" ".join([*upper, *lower])}"/>')
            points = " ".join(f"{axes.x(place):.1f},{axes.y(series.values[place] or 0):.1f}" for place in run)
            parts.append(f'<polyline class="path s{number}" points="{points}"/>')
        for place, value in enumerate(series.values):
            if value is not None:
                said = escape(f"{chart.labels[place]}: {shown(value, chart.unit, language)}")
                x, y = axes.x(place), axes.y(value)
                parts.append(
                    f'<circle class="dot s{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{said}</title></circle>'
                )
    return TOP + PLOT + BOTTOM, parts


def _runs(series: Series) -> Iterator[list[int]]:
    """Yield the places of values that follow each other without a gap."""
    run: list[int] = []
    for place, value in enumerate(series.values):
        if value is not None:
            run.append(place)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _columns(chart: Chart, language: str) -> tuple[int, list[str]]:
    known = [value for one in chart.series for value in one.values if value is not None]
    axes = _Axes(chart, 0.0, max(known, default=1.0) or 1.0)
    parts = list(axes.frame(chart, language))
    width = axes.slot * 0.76 / max(1, len(chart.series))
    for number, series in enumerate(chart.series):
        for place, value in enumerate(series.values):
            if not value:
                continue
            x = axes.x(place) - axes.slot * 0.38 + number * width
            y = axes.y(value)
            said = escape(
                f"{chart.labels[place]}: {series_name(series, language)} {shown(value, chart.unit, language)}"
            )
            parts.append(
                f'<rect class="fill s{number}" x="{x:.1f}" y="{y:.1f}" width="{max(1.0, width - 1):.1f}" '
                f'height="{axes.y(0) - y:.1f}" rx="1.5"><title>{said}</title></rect>'
            )
    return TOP + PLOT + BOTTOM, parts


def _bars(chart: Chart, language: str) -> tuple[int, list[str]]:
    [series] = chart.series
    low, high = chart.low or 0.0, chart.high if chart.high is not None else 1.0
    known = [value for value in (*series.values, *series.highs) if value is not None]
    if chart.high is None:
        high = max(known, default=1.0) or 1.0

    def x(value: float) -> float:
        return (min(max(value, low), high) - low) / (high - low) * WIDTH

    parts = []
    zero = x(max(low, 0.0) if low < 0 < high else low)
    for place, (label, value) in enumerate(zip(chart.labels, series.values, strict=True)):
        top = place * ROW
        text = shown(value, chart.unit, language)
        parts.append(f'<text class="label" x="0" y="{top + 14}">{escape(cut(label or say("nobody", language)))}</text>')
        parts.append(f'<text class="amount" x="{WIDTH}" y="{top + 14}" text-anchor="end">{escape(text)}</text>')
        parts.append(f'<rect class="track" x="0" y="{top + 20}" width="{WIDTH}" height="{BAR}" rx="3"/>')
        if value is None:
            continue
        begin, end = sorted((zero, x(value)))
        parts.append(
            f'<rect class="fill s0" x="{begin:.1f}" y="{top + 20}" width="{max(1.0, end - begin):.1f}" '
            f'height="{BAR}" rx="3"/>'
        )
        if series.lows and series.lows[place] is not None and series.highs[place] is not None:
            first, last, y = x(series.lows[place] or 0), x(series.highs[place] or 0), top + 20 + BAR / 2
            parts.append(
                f'<path class="whisker" d="M{first:.1f} {y - 4}v8M{first:.1f} {y}H{last:.1f}M{last:.1f} {y - 4}v8"/>'
            )
    return len(chart.labels) * ROW, parts


def _stack(chart: Chart, language: str) -> tuple[int, list[str]]:
    parts = []
    colours = shades(len(chart.series))
    for place, label in enumerate(chart.labels):
        top = place * ROW
        parts.append(f'<text class="label" x="0" y="{top + 14}">{escape(cut(label or say("all", language)))}</text>')
        x = 0.0
        for number, series in enumerate(chart.series):
            value = series.values[place]
            if not value:
                continue
            width = value * WIDTH
            said = escape(f"{series_name(series, language)}: {shown(value, chart.unit, language)}")
            parts.append(
                f'<rect class="part p{colours[number]}" x="{x:.1f}" y="{top + 20}" width="{max(0.5, width - 1):.1f}" '
                f'height="{BAR + 2}"><title>{said}</title></rect>'
            )
            x += width
    return len(chart.labels) * ROW, parts


def shades(count: int) -> list[int]:
    """Return which of the page's colours from bad (0) to good (10) the parts of a stack have."""
    if count <= 1:
        return [STACKED - 1] * count
    return [round(place * (STACKED - 1) / (count - 1)) for place in range(count)]


def cut(text: str) -> str:
    """Return a label that fits above its bar; Chinese characters count twice."""
    taken, width = "", 0
    for letter in text:
        width += 2 if ord(letter) > 0x2E7F else 1
        if width > LONGEST_LABEL:
            return taken + "…"
        taken += letter
    return taken


def legend(series: Sequence[Series], kind: str, language: str) -> str:
    """Return the legend of a chart with several series as HTML, "" for one."""
    if len(series) < 2:
        return ""
    colours = shades(len(series))
    items = []
    for number, one in enumerate(series):
        shade = f"p{colours[number]}" if kind == "stack" else f"s{number}"
        swatch = f'<rect class="fill {shade}" width="10" height="10" rx="2"/>'
        key = f'<svg class="key" viewBox="0 0 10 10" aria-hidden="true">{swatch}</svg>'
        items.append(f"<li>{key}{escape(series_name(one, language))}</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'
