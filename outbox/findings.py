"""What a survey found: the report, made out of tallies. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from inbox.api import rfc3339
from inbox.estimates import Estimate, changed, count, share, weighted
from inbox.report import Cell, Chart, Column, Definition, Figure, Keywords, Report, Row, Series, Table, Unit
from outbox.scores import CHOSEN, Counts, Measure
from outbox.tallies import Book, Tally

Score = Callable[[Counts, int, float], Estimate]
CHARTED = 12
LISTED = 500
"""Groups of one kind that a table has at most; the smallest are left out, and a note says so."""


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """What a report needs to know of a survey; *stratified*: its sample is drawn by strata.

    *names* are the display names of groups, by their kind; *least* is the smallest group whose scores are shown.
    """

    name: str
    title: str
    purpose: str
    owner: str
    kind: str
    measures: tuple[Measure, ...]
    language: str
    stratified: bool = False
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    least: int = 5
    level: float = 0.95

    @property
    def main(self) -> Measure | None:
        """The question whose score counts."""
        return next((one for one in self.measures if one.scored), None)

    def label(self, by: str, name: str) -> str:
        """Return the name that people know a group by."""
        return self.names.get(by, {}).get(name, name)


def survey_report(
    asked: Questionnaire,
    book: Book,
    by: Sequence[str],
    filters: Mapping[str, str],
    keywords: Sequence[Keywords] = (),
) -> Report:
    """Make the report out of what *book* has counted."""
    maker = _Maker(asked, book)
    tables = [maker.table(one) for one in by]
    return Report(
        kind="survey",
        name=asked.name,
        language=asked.language,
        timezone=book.period.zone.key,
        made_at=rfc3339(book.period.now) or "",
        period=book.period.span(),
        before=book.before.span(),
        figures=tuple(maker.figures()),
        tables=(*tables, *maker.answers()),
        charts=tuple(maker.charts(by)),
        keywords=tuple(keywords),
        definitions=tuple(maker.definitions(by)),
        notes=tuple(maker.notes()),
        title=asked.title,
        purpose=asked.purpose,
        owner=asked.owner,
        filters=dict(filters),
    )


class _Maker:
    """Makes the parts of one report."""

    def __init__(self, asked: Questionnaire, book: Book) -> None:
        self._asked = asked
        self._book = book
        self._all = book.now["all", ""]
        self._earlier = book.earlier["all", ""]

    def figures(self) -> Iterator[Figure]:
        asked, now, before = self._asked, self._all, self._earlier
        yield self._rate(now, before)
        for measure in asked.measures:
            if not measure.scored:
                continue
            yield self._scored(f"score_{measure.method}", measure.unit, measure, measure.score)
            if measure.method not in ("mean", "ces"):  # whose score is the mean
                yield self._scored("mean", "mean", measure, measure.average)
        for key, number, earlier_number in (
            ("invited", now.invited, before.invited),
            ("reached", now.reached, before.reached),
            ("valid", now.valid, before.valid),
        ):
            one, other = count(number, asked.level), count(earlier_number, asked.level)
            yield Figure(key, "count", one, changed(one, other) if earlier_number else None)

    def _rate(self, now: Tally, before: Tally) -> Figure:
        level = self._asked.level
        one = share(now.valid, now.reached, 0, level)
        other = share(before.valid, before.reached, 0, level)
        return Figure("response_rate", "share", one, changed(one, other) if other.n else None, good=1)

    def _scored(self, key: str, unit: Unit, measure: Measure, score: Score) -> Figure:
        """Return a score of all. Its interval is about those who were meant, its change about how things go."""
        least = self._asked.least
        one = self._whole(measure, score, self._book.now, finite=True)
        now, before = (self._whole(measure, score, of, finite=False) for of in (self._book.now, self._book.earlier))
        return Figure(
            key,
            unit,
            _shown(one, least),
            changed(now, before) if now.n >= least and before.n >= least else None,
            measure.title,
            good=1,
            hidden=0 < one.n < least,
            top=measure.high,
        )

    def _whole(self, measure: Measure, score: Score, of: Mapping[tuple[str, str], Tally], *, finite: bool) -> Estimate:
        """Return the score of all, weighted where the sample was drawn by strata."""
        asked, tally = self._asked, of["all", ""]
        if not asked.stratified:
            return score(tally.counts(measure.id), tally.population if finite else 0, asked.level)
        strata = [one for (by, _), one in of.items() if by == "stratum"]
        return weighted(
            [
                (score(one.counts(measure.id), one.population if finite else 0, asked.level), float(one.population))
                for one in strata
            ],
            asked.level,
        )

    def table(self, by: str) -> Table:
        """Return the table of one kind of groups: how many, the response rate, the scores, the change."""
        scored = [one for one in self._asked.measures if one.scored]
        columns = [
            Column("invited", "count"),
            Column("reached", "count"),
            Column("valid", "count"),
            *(Column("response_rate", "share", part=part) for part in ("", "low", "high")),
        ]
        for one in scored:
            columns += [
                Column(f"score_{one.method}", one.unit, one.title, part) for part in ("", "low", "high", "change")
            ]
        partial = dict(self._book.period.weeks()) if by == "week" else {}
        labels = self._book.labels(by)
        notes = ("more_groups",) if len(labels) > LISTED else ()
        rows = []
        previous: Tally | None = None
        for name in labels[:LISTED]:
            tally = self._book.now.get((by, name), Tally())
            earlier = previous if by == "week" else self._book.earlier.get((by, name))
            rows.append(self._row(by, name, tally, earlier or Tally(), scored, partial=partial.get(name, False)))
            previous = tally
        return Table(by, tuple(columns), tuple(rows), notes=notes)

    def _row(
        self, by: str, name: str, tally: Tally, earlier: Tally, scored: Sequence[Measure], *, partial: bool
    ) -> Row:
        asked = self._asked
        rate = share(tally.valid, tally.reached, 0, asked.level)
        cells: list[Cell] = [tally.invited, tally.reached, tally.valid, rate.value, rate.low, rate.high]
        verdict, hidden = None, False
        for number, one in enumerate(scored):
            estimate = one.score(tally.counts(one.id), 0, asked.level)
            change = changed(estimate, one.score(earlier.counts(one.id), 0, asked.level))
            if 0 < estimate.n < asked.least:
                hidden = True
                cells += [None, None, None, None]
                continue
            known = change.before.n >= asked.least
            cells += [estimate.value, estimate.low, estimate.high, change.difference if known else None]
            if number == 0 and known:
                verdict = change.verdict
        return Row(asked.label(by, name), tuple(cells), partial, hidden, verdict)

    def answers(self) -> Iterator[Table]:
        """Yield how often each answer was given, for every question but the open ones."""
        for one in self._asked.measures:
            if one.scored:
                keys: list[int | str] = list(range(one.low, one.high + 1))
            elif one.method in CHOSEN:
                keys = list(one.labels)
            else:
                continue
            counts, n = self._all.counts(one.id), self._all.given[one.id]
            hidden = 0 < n < self._asked.least
            rows = []
            for value in keys:
                part = share(counts[value], n, 0, self._asked.level)
                label = one.labels.get(str(value), "")
                said = f"{value} {label}".strip() if one.scored else label
                cells = (None, None, None, None) if hidden else (counts[value], part.value, part.low, part.high)
                rows.append(Row(said, cells, hidden=hidden))
            columns = (
                Column("answers", "count"),
                *(Column("of_answers", "share", part=p) for p in ("", "low", "high")),
            )
            yield Table("answers", columns, tuple(rows), one.title)

    def charts(self, by: Sequence[str]) -> Iterator[Chart]:
        main = self._asked.main
        weeks = [week for week, _ in self._book.period.weeks()]
        if "week" in by and len(weeks) > 1:
            tallies = [self._book.now.get(("week", week), Tally()) for week in weeks]
            rates = [share(one.valid, one.reached, 0, self._asked.level) for one in tallies]
            yield Chart(
                "response_rate_by_week", "line", "share", tuple(weeks), (_series("response_rate", rates),), low=0
            )
            if main is not None:
                scores = [
                    _shown(main.score(one.counts(main.id), 0, self._asked.level), self._asked.least) for one in tallies
                ]
                low, high = _ends(main)
                yield Chart(
                    "score_by_week",
                    "line",
                    main.unit,
                    tuple(weeks),
                    (_series(f"score_{main.method}", scores, main.title),),
                    main.title,
                    low,
                    high,
                )
        if main is not None:
            for kind in ("team", "agent", "channel", "tag"):
                if kind in by:
                    yield from self._by_group(kind, main)
            yield from self._spread(main, by)

    def _by_group(self, by: str, main: Measure) -> Iterator[Chart]:
        asked = self._asked
        rows = []
        for name in self._book.labels(by):
            estimate = main.score(self._book.now.get((by, name), Tally()).counts(main.id), 0, asked.level)
            if estimate.n >= asked.least:
                rows.append((asked.label(by, name), estimate))
        if len(rows) < 2:
            return
        rows = rows[:CHARTED]
        low, high = _ends(main)
        series = _series(f"score_{main.method}", [one for _, one in rows], main.title)
        yield Chart(
            f"score_by_{by}", "bar", main.unit, tuple(name for name, _ in rows), (series,), main.title, low, high
        )

    def _spread(self, main: Measure, by: Sequence[str]) -> Iterator[Chart]:
        """Yield how the answers to the main question are spread, in all and by team."""
        labels, tallies = [""], [self._all]
        if "team" in by:
            for name in self._book.labels("team")[:CHARTED]:
                tally = self._book.now["team", name]
                if sum(tally.counts(main.id).values()) >= self._asked.least:
                    labels.append(self._asked.label("team", name) or "—")
                    tallies.append(tally)
        totals = [sum(one.counts(main.id).values()) for one in tallies]
        if totals[0] < self._asked.least:
            return
        series = []
        for key, values in self._bands(main):
            shares = [
                sum(tally.counts(main.id)[value] for value in values) / total
                for tally, total in zip(tallies, totals, strict=True)
            ]
            series.append(Series(key, tuple(shares), self._band(main, key, values)))
        yield Chart("spread", "stack", "share", tuple(labels), tuple(series), main.title)

    @staticmethod
    def _bands(main: Measure) -> list[tuple[str, list[int]]]:
        scale = range(main.low, main.high + 1)
        if main.method == "nps":
            sides: dict[str, list[int]] = {"detractors": [], "passives": [], "promoters": []}
            for value in scale:
                side = main.side(value)
                sides["promoters" if side == "good" else "detractors" if side == "bad" else "passives"].append(value)
            return list(sides.items())
        return [(f"value_{value}", [value]) for value in scale]

    @staticmethod
    def _band(main: Measure, key: str, values: Sequence[int]) -> str:
        if not key.startswith("value_"):
            return ""
        label = main.labels.get(str(values[0]), "")
        return f"{values[0]} {label}".strip()

    def definitions(self, by: Sequence[str]) -> Iterator[Definition]:
        asked = self._asked
        yield Definition("period_survey", {"timezone": self._book.period.zone.key})
        yield Definition("invited")
        yield Definition("reached")
        yield Definition("valid")
        yield Definition("response_rate")
        for key in dict.fromkeys(one.method for one in asked.measures if one.scored):
            yield next(one.definition() for one in asked.measures if one.method == key)
        if any(one.scored and one.method != "mean" for one in asked.measures):
            yield Definition("mean")
        yield Definition("interval", {"level": f"{asked.level:.0%}"})
        if self._all.valid:
            yield Definition("population", {"population": str(self._all.population)})
        if asked.stratified:
            yield Definition("weighted")
        yield Definition("change", {"level": f"{asked.level:.0%}"})
        yield Definition("small", {"least": str(asked.least)})
        for one in ("agent", "tag", "week"):
            if one in by:
                yield Definition(f"by_{one}")
        if any(one.method == "text" for one in asked.measures):
            yield Definition("keywords")

    def notes(self) -> Iterator[Definition]:
        """Yield what has to be known to read the figures rightly."""
        now, period = self._all, self._book.period
        if period.partial:
            yield Definition("partial")
        if now.open:
            yield Definition("still_open", {"count": str(now.open)})
        for fate in ("waiting", "uncertain", "failed", "suppressed"):
            if now.fates[fate]:
                yield Definition(f"fate_{fate}", {"count": str(now.fates[fate])})
        for flag, number in sorted(now.flags.items()):
            yield Definition(f"flag_{flag}", {"count": str(number)})
        if now.valid and not self._earlier.valid:
            yield Definition("nothing_before")


def _shown(estimate: Estimate, least: int) -> Estimate:
    """Return an estimate without its values if too few have answered."""
    return estimate if estimate.n >= least else Estimate(n=estimate.n, population=estimate.population)


def _series(key: str, estimates: Sequence[Estimate], about: str = "") -> Series:
    return Series(
        key,
        tuple(one.value for one in estimates),
        about,
        tuple(one.low for one in estimates),
        tuple(one.high for one in estimates),
    )


def _ends(measure: Measure) -> tuple[float, float]:
    """Return the ends of the axis of a score."""
    if measure.method == "nps":
        return -1.0, 1.0
    return (0.0, 1.0) if measure.method == "csat" else (float(measure.low), float(measure.high))
