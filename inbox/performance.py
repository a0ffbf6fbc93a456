"""The service report: volumes, times, promises kept, backlog, deliveries; made out of what was counted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from inbox.api import rfc3339
from inbox.cases import EARLIER
from inbox.course import CLOCKS
from inbox.diary import Days
from inbox.estimates import Change, Estimate, changed, count, quantile, share
from inbox.report import Cell, Chart, Column, Definition, Figure, Report, Row, Series, Table, Unit
from inbox.report_words import name
from inbox.workload import Ledger, Load

TIMES = (
    ("median_work", 0.5, "work"),
    ("p90_work", 0.9, "work"),
    ("median_wall", 0.5, "wall"),
    ("p90_wall", 0.9, "wall"),
)
VOLUMES = ("opened", "reopened", "resolved", "turns", "backlog")
OUTCOMES = ("sent", "delivered", "read", "failed", "dead", "uncertain")
MESSAGES = (("messages_in", "in"), ("messages_out", "out"), ("messages_auto", "auto"))
CHARTED = 12
LISTED = 500
BY_DAY = 35
"""Up to so many days volumes are drawn by day, above by week."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a service report is told of the shop: language, the names of groups, the level of confidence."""

    language: str
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    level: float = 0.95
    least: int = 5

    def label(self, by: str, name: str) -> str:
        """Return the name that people know a group by."""
        if by == "hour":
            return f"{name}:00"
        return self.names.get(by, {}).get(name, name)


def service_report(
    setting: Setting,
    ledger: Ledger,
    by: Sequence[str],
    filters: Mapping[str, str],
    days: Days | None = None,
    earlier: Days | None = None,
) -> Report:
    """Make the report out of what *ledger* has counted, and the messages and deliveries of both periods if known."""
    maker = _Maker(setting, ledger, days, earlier)
    return Report(
        kind="service",
        name="service",
        language=setting.language,
        timezone=ledger.period.zone.key,
        made_at=rfc3339(ledger.period.now) or "",
        period=ledger.period.span(),
        before=ledger.before.span(),
        figures=tuple(maker.figures()),
        tables=(maker.clocks(), *(maker.table(one) for one in by), *maker.deliveries()),
        charts=tuple(maker.charts(by)),
        definitions=tuple(maker.definitions(by)),
        notes=tuple(maker.notes()),
        filters=dict(filters),
    )


class _Maker:
    """Makes the parts of one report."""

    def __init__(self, setting: Setting, ledger: Ledger, days: Days | None, earlier: Days | None) -> None:
        self._setting = setting
        self._ledger = ledger
        self._days = days if days is not None and not days.missing else None
        self._days_before = earlier if earlier is not None and not earlier.missing else None
        self._missing = sum(one.missing for one in (days, earlier) if one is not None)
        self._all = ledger.now["all", ""]
        self._earlier = ledger.earlier["all", ""]
        self._compared = any(getattr(self._earlier, one) for one in VOLUMES)

    def figures(self) -> Iterator[Figure]:
        now, before, level = self._all, self._earlier, self._setting.level
        for clock in CLOCKS:
            one, other = _quantile(now, clock, 0.5, "work", level), _quantile(before, clock, 0.5, "work", level)
            yield Figure("median_work", "seconds", one, changed(one, other) if other.n else None, clock, good=-1)
        for clock in CLOCKS:
            one, other = _quantile(now, clock, 0.9, "work", level), _quantile(before, clock, 0.9, "work", level)
            yield Figure("p90_work", "seconds", one, changed(one, other) if other.n else None, clock, good=-1)
        if now.kept[1]:
            one, other = share(*now.kept, 0, level), share(*before.kept, 0, level)
            yield Figure("kept", "share", one, changed(one, other) if other.n else None, good=1)
        for key in VOLUMES:
            yield self._counted(key, getattr(now, key), getattr(before, key), -1 if key == "backlog" else 0)
        if self._days is not None:
            for key, word in MESSAGES:
                earlier = self._days_before.total(word) if self._days_before is not None else 0
                yield self._counted(key, self._days.total(word), earlier, 0)

    def _counted(self, key: str, number: int, earlier: int, good: int) -> Figure:
        one, other = count(number, self._setting.level), count(earlier, self._setting.level)
        change: Change | None = changed(one, other) if self._compared or earlier else None
        return Figure(key, "count", one, change, good=good)

    def clocks(self) -> Table:
        """Return the table of the three times: how long they took, and how often the promise was kept."""
        level = self._setting.level
        columns = [Column("n", "count")]
        for key, _, _ in TIMES:
            columns += [Column(key, "seconds", part=part) for part in ("", "low", "high", "change")]
        columns += [
            Column("judged", "count"),
            *(Column("kept", "share", part=part) for part in ("", "low", "high", "change")),
        ]
        rows = []
        for clock in CLOCKS:
            cells: list[Cell] = [len(self._all.wall[clock])]
            for _, q, which in TIMES:
                one = _quantile(self._all, clock, q, which, level)
                cells += _parts(one, _quantile(self._earlier, clock, q, which, level))
            kept, judged = self._all.judged[clock]
            before = self._earlier.judged[clock]
            cells += [judged, *_parts(share(kept, judged, 0, level), share(before[0], before[1], 0, level))]
            rows.append(Row(name(clock, self._setting.language), tuple(cells)))
        return Table("clock", tuple(columns), tuple(rows))

    def table(self, by: str) -> Table:
        """Return the table of one kind of groups."""
        level = self._setting.level
        volumes = [one for one in VOLUMES if one != "backlog" or by not in ("week", "hour")]
        columns = [Column(one, "count") for one in volumes]
        for clock in CLOCKS:
            for key, _, which in TIMES:
                columns.append(Column(key, "seconds", clock, detail=which == "wall"))
        columns += [
            Column("judged", "count", detail=True),
            *(Column("kept", "share", part=p) for p in ("", "low", "high", "change")),
        ]
        partial = dict(self._ledger.period.weeks()) if by == "week" else {}
        labels = self._ledger.labels(by)
        rows = []
        previous = Load()
        for group in labels[:LISTED]:
            load = self._ledger.now.get((by, group), Load())
            earlier = previous if by == "week" else self._ledger.earlier.get((by, group), Load())
            cells: list[Cell] = [getattr(load, one) for one in volumes]
            for clock in CLOCKS:
                cells += [_quantile(load, clock, q, which, level).value for _, q, which in TIMES]
            kept = share(*load.kept, 0, level)
            cells += [load.kept[1], *_parts(kept, share(*earlier.kept, 0, level))]
            rows.append(Row(self._setting.label(by, group), tuple(cells), partial.get(group, False)))
            previous = load
        return Table(by, tuple(columns), tuple(rows), notes=("more_groups",) if len(labels) > LISTED else ())

    def deliveries(self) -> Iterator[Table]:
        """Yield what became of deliveries, by channel."""
        days = self._days
        if days is None or not days.counts:
            return
        columns = tuple(Column(key, "count") for key in (*(key for key, _ in MESSAGES), *OUTCOMES))
        rows = []
        for channel in days.channels():
            words = (*(word for _, word in MESSAGES), *OUTCOMES)
            rows.append(Row(self._setting.label("channel", channel), tuple(days.total(one, channel) for one in words)))
        yield Table("delivery", columns, tuple(rows))

    def charts(self, by: Sequence[str]) -> Iterator[Chart]:
        period, level = self._ledger.period, self._setting.level
        dates = [day.isoformat() for day, begin, _ in period.days() if begin < period.now]
        weeks = [week for week, _ in period.weeks()]
        loads = [self._ledger.now.get(("week", week), Load()) for week in weeks]
        if len(dates) <= BY_DAY:
            counts = [self._ledger.by_day.get(day, [0, 0]) for day in dates]
            series = [
                Series(key, tuple(float(one[place]) for one in counts))
                for place, key in ((0, "opened"), (1, "resolved"))
            ]
            yield Chart("volume_by_day", "column", "count", tuple(dates), tuple(series), low=0)
        elif "week" in by:
            series = [Series(key, tuple(float(getattr(one, key)) for one in loads)) for key in ("opened", "resolved")]
            yield Chart("volume_by_week", "column", "count", tuple(weeks), tuple(series), low=0)
        if "week" in by and len(weeks) > 1:
            times = [_quantile(one, "first_reply", 0.5, "work", level) for one in loads]
            yield _drawn("first_reply_by_week", "line", "seconds", weeks, "first_reply", times)
            kept = [share(*one.kept, 0, level) for one in loads]
            if any(one.n for one in kept):
                yield _drawn("kept_by_week", "line", "share", weeks, "kept", kept)
        if "hour" in by:
            hours = [self._ledger.now.get(("hour", f"{hour:02}"), Load()) for hour in range(24)]
            labels = tuple(str(hour) for hour in range(24))
            yield Chart(
                "opened_by_hour",
                "column",
                "count",
                labels,
                (Series("opened", tuple(float(one.opened) for one in hours)),),
            )
        if "team" in by:
            teams = [(team, self._ledger.now["team", team]) for team in self._ledger.labels("team")]
            shares = [(self._setting.label("team", team), share(*load.kept, 0, level)) for team, load in teams]
            known = [(label, one) for label, one in shares if one.n][:CHARTED]
            if len(known) > 1:
                yield _drawn(
                    "kept_by_team", "bar", "share", [label for label, _ in known], "kept", [one for _, one in known]
                )

    def definitions(self, by: Sequence[str]) -> Iterator[Definition]:
        level = f"{self._setting.level:.0%}"
        yield Definition("period_service", {"timezone": self._ledger.period.zone.key})
        for key in ("opened", "resolved", "turns", "backlog", "times", "working", "quantiles", "kept"):
            yield Definition(key)
        if self._days is not None:
            yield Definition("outcomes")
        yield Definition("interval", {"level": level})
        yield Definition("change", {"level": level})
        for one, key in (("agent", "by_agent_service"), ("tag", "by_tag"), ("week", "by_week"), ("hour", "by_hour")):
            if one in by:
                yield Definition(key)
        yield Definition("limit_scan", {"days": str(EARLIER)})

    def notes(self) -> Iterator[Definition]:
        """Yield what has to be known to read the figures rightly."""
        if self._ledger.period.partial:
            yield Definition("partial")
        if self._missing:
            yield Definition("counted_only", {"days": str(self._missing)})


def _quantile(load: Load, clock: str, q: float, which: str, level: float) -> Estimate:
    return quantile(load.ordered(which, clock), q, level)


def _parts(now: Estimate, before: Estimate) -> list[Cell]:
    return [now.value, now.low, now.high, changed(now, before).difference]


def _drawn(key: str, kind: str, unit: Unit, labels: Sequence[str], about: str, estimates: Sequence[Estimate]) -> Chart:
    series = Series(
        about,
        tuple(one.value for one in estimates),
        "",
        tuple(one.low for one in estimates),
        tuple(one.high for one in estimates),
    )
    ends = (0.0, 1.0) if unit == "share" else (0.0, None)
    return Chart(key, kind, unit, tuple(labels), (series,), "", *ends)  # type: ignore[arg-type]  # one of the kinds
