"""Service figures, counted by hand: what happened in a period, how long it took, and which promises were kept."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.hours import Hours
from inbox import clocks, workload
from inbox.cases import Case
from inbox.clocks import Limit, Promise
from inbox.course import runs
from inbox.estimates import share
from inbox.performance import Setting, service_report
from inbox.periods import Period
from inbox.report import column
from inbox.workload import Ledger, Terms
from inbox.worktime import Worktime

ZONE = ZoneInfo("Asia/Shanghai")
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MONDAY = int(dt.datetime(2026, 11, 2, tzinfo=ZONE).timestamp() * 1000)
OFFICE = Worktime(Hours.model_validate({"timezone": "Asia/Shanghai", "week": {"mon-fri": ["09:00-18:00"]}}))
PROMISE = Promise(
    "standard",
    {
        "first_reply": Limit(30 * MINUTE, 20 * MINUTE),
        "next_reply": Limit(30 * MINUTE, 20 * MINUTE),
        "resolution": Limit(9 * HOUR, 8 * HOUR),
    },
    OFFICE,
    "office",
)
TERMS = Terms({"standard": PROMISE}, {}, {"aftersales": "standard"}, {"frontdesk": OFFICE})
BY = ("team", "agent", "channel", "tag", "week", "hour")


def case(course: str, **fields: str) -> Case:
    """Return a conversation with a course such as "W9:00 a+20m r+1h": instants of Monday, or after the one before."""
    words, last = [], 0
    for word in course.split():
        what, when = word[0], word[1:]
        if when.startswith("+"):
            step = int(when[1:-1]) * {"m": MINUTE, "h": HOUR, "d": DAY}[when[-1]]
            words.append(f"{what}{step}")
        else:
            hour, minute = when.split(":")
            step = MONDAY + int(hour) * HOUR + int(minute) * MINUTE
            words.append(f"{what}{step}")
        last += step
    status = "resolved" if words[-1][0] == "r" else "open"
    known = {"channel": "shop", "team": "aftersales", "agent": "lilei", "tags": "", "stage": "", "status": status}
    return Case(
        **{
            **known,
            "sla": "",
            "opened": "",
            "replied": "",
            "wrote": "",
            "resolved": "",
            **fields,
            "course": " ".join(words),
        }
    )


def counted(*cases: Case, now: int = MONDAY + 7 * DAY, only: dict[str, str] | None = None) -> Ledger:
    ledger = Ledger(TERMS, Period(MONDAY, MONDAY + 7 * DAY, ZONE, now), BY, only or {})
    for one in cases:
        ledger.add(one)
    return ledger


CASES = (
    case("W9:00 a+20m r+1h"),  # in time
    case("W17:50 a+15h", tags="refund,late"),  # over night: 10 working minutes, in time
    case("W10:00 a+50m w+5m a+10m r+10m W+1h a+5m", agent="hanmeimei", tags="refund"),  # late; then reopened
    case("W8:00", team="frontdesk", agent=""),  # nobody answers, and nothing is promised
)


def test_volumes_are_counted() -> None:
    """New, reopened and resolved conversations, customers' turns, and what is left at the end."""
    load = counted(*CASES).now["all", ""]

    assert (4, 1, 2, 6, 3) == (load.opened, load.reopened, load.resolved, load.turns, load.backlog)


def test_times_run_in_working_hours_and_by_the_clock() -> None:
    """A question before closing time that is answered the next morning took minutes of work, and a night."""
    load = counted(*CASES).now["all", ""]

    assert [600.0, 1200.0, 3000.0] == sorted(load.work["first_reply"])
    assert [1200.0, 3000.0, 54000.0] == sorted(load.wall["first_reply"])
    assert [300.0, 600.0] == sorted(load.work["next_reply"])


def test_promises_are_judged_once_each() -> None:
    """Of three first replies two were in time; both next replies and both resolutions were."""
    judged = counted(*CASES).now["all", ""].judged

    assert ([2, 3], [2, 2], [2, 2]) == (judged["first_reply"], judged["next_reply"], judged["resolution"])


def test_what_is_overdue_counts_as_broken() -> None:
    """A customer who still waits when the time is over is no secret of the report."""
    load = counted(case("W9:00"), now=MONDAY + 10 * HOUR).now["all", ""]

    assert ([0, 1], [0, 0]) == (load.judged["first_reply"], load.judged["resolution"])


@pytest.mark.parametrize(
    ("by", "name", "opened"),
    [
        ("team", "frontdesk", 1),
        ("agent", "hanmeimei", 1),
        ("tag", "refund", 2),
        ("tag", "late", 1),
        ("week", "2026-W45", 4),
        ("hour", "09", 1),
        ("channel", "shop", 4),
    ],
)
def test_groups_are_counted(by: str, name: str, opened: int) -> None:
    """Each conversation counts in each of its groups."""
    assert opened == counted(*CASES).now[by, name].opened


def test_a_report_is_limited_to_what_is_asked_for() -> None:
    """Only conversations of a tag, or of an agent."""
    assert 2 == counted(*CASES, only={"tag": "refund"}).now["all", ""].opened
    assert 1 == counted(*CASES, only={"tag": "refund", "agent": "lilei"}).now["all", ""].opened


def test_the_past_is_told_as_it_was() -> None:
    """What was open at the end of the period before was backlog then, though it is resolved now."""
    ledger = counted(case("W9:00 r+1h"), case("W-3:00 r+5h"))

    assert (0, 1) == (ledger.now["all", ""].backlog, ledger.earlier["all", ""].backlog)
    assert (1, 1) == (ledger.now["all", ""].opened, ledger.earlier["all", ""].opened)


def test_groups_are_put_together_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sets of groups there are, and whenever somebody looks, the figures are the same."""
    whole = counted(*CASES, *(case("W9:00 a+5m", tags=f"t{number}") for number in range(9)))
    monkeypatch.setattr(workload, "MOST_PAIRS", 2)
    parts = counted(*CASES[:2])
    assert 2 == parts.now["all", ""].opened
    for one in (*CASES[2:], *(case("W9:00 a+5m", tags=f"t{number}") for number in range(9))):
        parts.add(one)

    assert whole.now["all", ""].opened == parts.now["all", ""].opened == 13
    for place, load in whole.now.items():
        other = parts.now[place]
        assert (load.turns, load.kept, load.backlog) == (other.turns, other.kept, other.backlog)
        assert load.ordered("work", "first_reply") == other.ordered("work", "first_reply")


@given(st.lists(st.tuples(st.sampled_from("wasor"), st.integers(0, 3 * DAY)), max_size=12))
def test_promises_are_judged_as_the_clocks_do(steps: list[tuple[str, int]]) -> None:
    """The short way of the report finds the same as the clocks that warn: whatever happened, and whenever."""
    words = [f"W{MONDAY + 9 * HOUR}", *(f"{what}{gap}" for what, gap in steps)]
    one = msgspec.structs.replace(case("W9:00"), course=" ".join(words))
    now = MONDAY + 100 * DAY
    ledger = Ledger(TERMS, Period(MONDAY - DAY, now, ZONE, now), (), {})
    ledger.add(one)
    readings = [reading for run in runs(one.steps()) if (reading := clocks.read(PROMISE, run)) is not None]
    late = [each.late or (not each.run.over and each.due is not None and each.due <= now) for each in readings]
    judged = [bool(each.run.over) or over for each, over in zip(readings, late, strict=True)]

    assert (judged.count(True) - late.count(True), judged.count(True)) == ledger.now["all", ""].kept


def test_the_report_says_what_was_counted() -> None:
    """Medians, shares and counts of the report are those of the ledger, in every table."""
    report = service_report(Setting("en", {"team": {"aftersales": "After sales"}}), counted(*CASES), BY, {})
    figures: dict[str, Any] = {f"{one.key} {one.about}".strip(): one.estimate for one in report.figures}
    teams = report.table("team")
    assert teams is not None

    assert (1200.0, share(6, 7)) == (figures["median_work first_reply"].value, figures["kept"])
    assert (4, 3) == (figures["opened"].n, figures["backlog"].n)
    assert ["After sales", "frontdesk"] == [row.label for row in teams.rows]
    assert 3 == teams.rows[0].cells[column(teams.columns, "opened")]
    assert 24 == len((report.table("hour") or teams).rows)
