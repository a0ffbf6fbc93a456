"""A survey's report says what was counted, with the definitions of every figure; and never more than it may."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from config.surveys import Survey
from inbox.estimates import changed, share, weighted
from inbox.periods import Period
from inbox.report import Figure, Report, column
from inbox.report_words import DEFINED, NAMES, NOTED, SAID, defined, name
from outbox.findings import Questionnaire, survey_report
from outbox.responses import Answer, Invitation, Response
from outbox.scores import least, measures
from outbox.tallies import Book, Record

ZONE = ZoneInfo("Asia/Shanghai")
MONDAY = int(dt.datetime(2026, 11, 2, tzinfo=ZONE).timestamp() * 1000)
DAY = 86_400_000
WEEK = 7 * DAY
NOW = MONDAY + 3 * WEEK
BY = ("team", "agent", "channel", "tag", "week")


def survey(kind: str = "csat", **more: object) -> Survey:
    """Return a survey of a kind with its usual questions."""
    whole = {"title": {"zh": "满意度", "en": "Satisfaction"}, "purpose": "p", "owner": "o", "kind": kind}
    return Survey.model_validate({**whole, "trigger": {"on": "manual"}, **more})


def questionnaire(one: Survey, *, stratified: bool = False, smallest: int = 5) -> Questionnaire:
    return Questionnaire(
        "csat", "满意度", "p", "o", one.kind, measures(one, "zh"), "zh-CN",
        stratified=stratified, names={"team": {"aftersales": "售后组"}}, least=smallest,
    )  # fmt: skip


def record(
    number: int,
    score: int | None,
    *,
    at: int = MONDAY + DAY,
    team: str = "aftersales",
    state: str = "sent",
    **more: Any,
) -> Record:
    """Return an invitation, with an answer if there is a *score*."""
    sent = 0 if state in ("waiting", "suppressed") else at
    fields: dict[str, Any] = {
        "reason": "",
        "delivery": "",
        "agents": ("lilei",),
        "tags": (),
        "stratum": "",
        "delivered": "",
        "flags": (),
    } | more
    invitation = Invitation(
        f"i1-{number}", "csat", "v", "shop-wechat", f"wechat:{number}", "", "", team=team, agent="lilei",
        agents=fields["agents"], tags=fields["tags"], created=at, sent=sent, expires=sent + WEEK if sent else 0,
        state=state, reason=fields["reason"], delivery=fields["delivery"], stratum=fields["stratum"],
    )  # fmt: skip
    if score is None:
        return Record(invitation, (), fields["delivered"])
    answers, flags = (Answer("score", score),), fields["flags"]
    named = (f"r1-{number}", f"i1-{number}", "csat", "v")
    response = Response(*named, at + 60_000, "button", answers, flags, 12, complete=True)
    return Record(invitation, (response,), fields["delivered"])


def made(records: Sequence[Record], one: Survey | None = None, **more: bool | int) -> Report:
    """Return the report of *records* for two weeks, of which the second is not over when it is made."""
    asked = questionnaire(one or survey(), **more)  # type: ignore[arg-type]
    by = (*BY, "stratum") if asked.stratified else BY
    book = Book(asked.measures, Period(MONDAY, MONDAY + 2 * WEEK, ZONE, NOW), by, {})
    for each in records:
        book.add(each)
    return survey_report(asked, book, BY, {})


def figure(report: Report, key: str) -> Figure:
    return next(one for one in report.figures if one.key == key)


def test_the_response_rate_is_what_it_says() -> None:
    """Valid answers among those reached: what waits, failed, or was left out is not; a repetition is no answer."""
    records = [
        *(record(number, 5) for number in range(30)),
        *(record(number, None) for number in range(30, 80)),
        record(80, None, state="expired"),
        record(81, None, state="waiting"),
        record(82, None, state="suppressed", reason="cool_down"),
        record(83, None, state="suppressed", reason="undeliverable"),
        record(84, None, delivery="d1-a", delivered="dead"),
        record(85, None, delivery="d1-b", delivered="uncertain"),
        record(86, 1, flags=("duplicate",)),
    ]
    report = made(records)
    rate = figure(report, "response_rate")

    assert share(30, 82) == rate.estimate
    assert (86, 82, 30) == tuple(figure(report, key).estimate.n for key in ("invited", "reached", "valid"))
    assert {"fate_waiting", "fate_suppressed", "fate_failed", "fate_uncertain", "flag_duplicate"} <= {
        one.key for one in report.notes
    }


@pytest.mark.parametrize(
    ("kind", "scores", "value"),
    [
        ("csat", [5] * 6 + [4] * 2 + [3, 1], 0.8),
        ("nps", [10] * 4 + [9] + [8, 7] + [6, 3, 0], 0.2),
        ("ces", [7, 7, 6, 5, 5, 4, 4, 3, 2, 7], 5.0),
    ],
)
def test_scores_are_those_of_the_definitions(kind: str, scores: list[int], value: float) -> None:
    """CSAT is the share of 4 and 5, NPS promoters less detractors, CES the mean; and the report says so."""
    report = made([record(number, score) for number, score in enumerate(scores)], survey(kind))
    found = figure(report, f"score_{kind}")

    assert value == pytest.approx(found.estimate.value)
    assert found.estimate.margin is not None
    assert f"score_{kind}" in {one.key for one in report.definitions}


@pytest.mark.parametrize(
    ("method", "high", "good"),
    [("csat", 5, 4), ("csat", 10, 8), ("csat", 3, 3), ("ces", 7, 5), ("ces", 5, 4), ("nps", 10, 9)],
)
def test_where_satisfaction_begins(method: str, high: int, good: int) -> None:
    """On other scales the same part counts as satisfied."""
    assert good == least(method, high)


def test_groups_have_their_rows() -> None:
    """By team, agent, channel, tag and week; an answer counts for each of its agents and tags."""
    records = [record(number, 5, tags=("refund", "late"), agents=("lilei", "hanmeimei")) for number in range(6)]
    records += [record(number, 1, team="frontdesk", at=MONDAY + WEEK + DAY) for number in range(6, 14)]
    report = made(records)
    tables = {one.key: one for one in report.tables}
    score = column(tables["team"].columns, "score_csat")

    assert [("frontdesk", 0.0), ("售后组", 1.0)] == [(row.label, row.cells[score]) for row in tables["team"].rows]
    assert [("lilei", 14), ("hanmeimei", 6)] == [(row.label, row.cells[0]) for row in tables["agent"].rows]
    assert ["late", "refund"] == sorted(row.label for row in tables["tag"].rows)
    assert [("2026-W45", 1.0), ("2026-W46", 0.0)] == [(row.label, row.cells[score]) for row in tables["week"].rows]
    assert "lower" == tables["week"].rows[1].verdict


def test_small_groups_are_not_told() -> None:
    """Of four answers the score is hidden everywhere: in figures, rows, and the spread of answers."""
    report = made([record(number, 2) for number in range(4)] + [record(9, None)])
    text = msgspec.json.encode([report.figures, report.tables, report.charts]).decode()

    assert figure(report, "score_csat").hidden
    assert figure(report, "score_csat").estimate.value is None
    assert all(row.hidden for table in report.tables for row in table.rows if table.key in ("team", "answers"))
    assert '"spread"' not in text


def test_changes_are_against_the_period_before() -> None:
    """The difference has limits, and says whether it is more than chance."""
    before = [record(number, 5 if number < 40 else 1, at=MONDAY - WEEK) for number in range(100)]
    now = [record(number, 5 if number < 180 else 1) for number in range(100, 200)]
    change = figure(made([*before, *now]), "score_csat").change

    assert change is not None
    assert changed(share(80, 100), share(40, 100)) == change
    assert "higher" == change.verdict
    assert figure(made(now), "score_csat").change is None


def test_strata_are_weighted() -> None:
    """The score of all is that of the strata by the people in them, not by who happened to answer."""
    one = survey(sampling={"rate": "10%", "strata": {"by": "team"}})
    records = [record(number, 5, stratum="small") for number in range(20)]
    records += [record(number, 1 if number % 2 else 5, stratum="large") for number in range(20, 40)]
    records += [record(number, None, stratum="large", state="suppressed", reason="sample") for number in range(40, 200)]
    found = figure(made(records, one, stratified=True), "score_csat").estimate
    expected = weighted([(share(20, 20, 20), 20.0), (share(10, 20, 180), 180.0)])

    assert 0.55 == pytest.approx(found.value)
    assert expected == found


def test_nothing_is_nothing() -> None:
    """A survey that nobody was asked in has a report, too."""
    report = made([])

    assert figure(report, "response_rate").estimate.value is None
    assert [] == [row for table in report.tables if table.key == "team" for row in table.rows]


def test_every_word_is_there_in_both_languages() -> None:
    """Each definition, note and name of a report has its wording, and no placeholder is left over."""
    report = made([record(number, 5, tags=("t",)) for number in range(9)])
    for language in ("en", "zh-CN"):
        told = [defined(one, language) for one in (*report.definitions, *report.notes)]
        keys = [
            *(one.key for one in report.figures),
            *(one.key for one in report.charts),
            *(one.key for one in report.tables),
        ]

        assert not [text for text in told if "{" in text or (" " not in text and language == "en")]
        assert {one.key for one in report.figures} <= NAMES.keys()
        assert all(name(one, language) for one in keys)
    for words in (NAMES, SAID, DEFINED, NOTED):
        assert [] == [key for key, pair in words.items() if not all(pair)]
