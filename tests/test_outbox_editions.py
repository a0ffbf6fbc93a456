"""Every form of a report has the same figures, opens in its program, and runs nothing that a customer wrote."""

from __future__ import annotations

import csv
import html
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pyreadstat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbox import cells, workshop
from inbox.conversations import Value
from inbox.periods import Period
from inbox.report import Report
from inbox.report_values import shown
from inbox.workshop import Job, Spool, append
from outbox.answer_rows import LABELS
from outbox.editions import SurveyOrder, survey_edition
from outbox.harvest import Chunk, unpacked
from outbox.responses import Response
from outbox.spss import NoSpss
from outbox.tallies import Record
from tests.test_outbox_findings import BY, MONDAY, NOW, WEEK, ZONE, questionnaire, record, survey

FORMULAS = (
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1",
    " =1+1",
    "＝1+1",
    '=HYPERLINK("http://x.example","y")',
)
QUESTIONS = [
    {"id": "score"},
    {"id": "solved", "kind": "yes_no", "text": "问题解决了吗？"},
    {"id": "reason", "kind": "choice", "text": "原因", "labels": {"slow": "太慢", "wrong": "不对"}},
    {"id": "missing", "kind": "choices", "text": "还差什么", "labels": {"money": "钱", "goods-x": "货"}},
    {"id": "with", "kind": "text", "text": "说说"},
]
SAID: tuple[dict[str, Any], ...] = (
    {"score": 5, "solved": "yes", "with": FORMULAS[0]},
    {"score": 4, "solved": "no", "reason": "slow", "missing": ("money", "goods-x"), "with": FORMULAS[4]},
    {"score": 2, "reason": "wrong", "missing": ("goods-x",), "with": "电话13812345678"},
)


def stored(one: Record) -> list[Any]:
    """Return a record as the store's script tells it."""
    known = msgspec.structs.asdict(one.invitation)
    place = known.pop("id").partition("-")[2]
    moving = [str(known.pop(name) or "") for name in ("state", "sent", "reminded", "expires", "reason", "delivery")]
    responses: list[Any] = []
    for response in one.responses:
        responses += [place, flat(response)]
    return [place, msgspec.json.encode(known).decode(), *moving, one.delivery, responses or ""]


def flat(response: Response) -> list[Value]:
    fields: list[Value] = ["order", " ".join(each.question for each in response.answers)]
    for each in response.answers:
        fields += [f"q:{each.question}", msgspec.json.encode(each.value).decode()]
    for name in ("survey", "at", "via", "version", "seconds", "mode", "interviewer"):
        fields += [name, str(getattr(response, name))]
    return [*fields, "flags", " ".join(response.flags), "complete", "1"]


def spooled(path: Path, records: Sequence[Record]) -> Path:
    """Write records as they come out of the store."""
    text = msgspec.json.encode([stored(one) for one in records])
    append(path, [msgspec.msgpack.encode(Chunk(1, text))])
    return path


def said(number: int, answers: dict[str, Any]) -> Record:
    """Return a record with the answers to several questions."""
    one = record(number, 5, tags=("退款", "=1+1"))
    given = tuple(
        msgspec.structs.replace(one.responses[0].answers[0], question=name, value=value)
        for name, value in answers.items()
    )
    return Record(one.invitation, (msgspec.structs.replace(one.responses[0], answers=given),))


ASKED = questionnaire(survey(kind="csat", questions=QUESTIONS), smallest=2)
RECORDS = [said(number, SAID[number % 3]) for number in range(12)] + [record(number, None) for number in range(12, 30)]
ORDER = SurveyOrder(
    ASKED, Period(MONDAY, MONDAY + 2 * WEEK, ZONE, NOW), BY, {}, {}, "figures", "json", quotes=True, key=b"k"
)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every form of the same report, and of the same responses."""
    folder = tmp_path_factory.mktemp("forms")
    spool = spooled(folder / "spool", RECORDS)
    found = {}
    for what, form in [
        *(("figures", form) for form in ("json", "html", "csv", "xlsx")),
        *(("responses", form) for form in ("csv", "xlsx", "sav", "codebook", "codebook-md")),
    ]:
        out = folder / f"{what}.{form}"
        survey_edition(spool, replace(ORDER, what=what, format=form), out, lambda _: None)  # type: ignore[arg-type]
        found[f"{what}.{form}"] = out
    return found


def sheet(path: Path, name: str) -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(path)
    return [tuple(cell.value for cell in row) for row in book[name].iter_rows()]


def test_records_survive_the_spool(tmp_path: Path) -> None:
    """What comes out of the store is what was kept: nothing is lost or bent on its way to the press."""
    path = spooled(tmp_path / "spool", RECORDS)

    assert [one.responses[0].answers for one in RECORDS if one.responses] == [
        one.responses[0].answers for _, part in workshop.parts(path) for one in unpacked(part) if one.responses
    ]


def test_every_form_has_the_same_figures(forms: dict[str, Path]) -> None:
    """What the API says stands in the workbook and the list digit for digit, and rounded on the page."""
    report = msgspec.json.decode(forms["figures.json"].read_bytes(), type=Report)
    summary = {row[0]: row[1:5] for row in sheet(forms["figures.xlsx"], "概要") if row[0]}
    listed = {
        (row["分组"], row["指标"]): row
        for row in csv.DictReader(io.StringIO(forms["figures.csv"].read_text(encoding="utf-8-sig")))
    }
    page = html.unescape(re.sub(r"<[^>]+>", " ", forms["figures.html"].read_text(encoding="utf-8")))

    assert len(report.figures) >= 6
    for one, row in zip(report.figures, [row for row in summary.values() if isinstance(row[3], int)], strict=True):
        estimate = one.estimate
        assert (estimate.value, estimate.low, estimate.high, estimate.n) == pytest.approx(row, rel=1e-15)
        assert shown(estimate.value, one.unit, "zh-CN") in page
    team = report.table("team")
    assert team is not None
    found = next(row for row in sheet(forms["figures.xlsx"], "分组") if row[0] == "售后组")
    for cell, seen in zip(team.rows[0].cells, found[1:], strict=False):
        assert seen == (cell if cell is None else pytest.approx(cell, rel=1e-15))
    assert repr(team.rows[0].cells[3]) == listed["售后组", "回复率"]["值"]


def test_spss_reads_what_was_answered(forms: dict[str, Path]) -> None:
    """Labels, value labels, the missing value and every answer come back out of the .sav file."""
    frame, meta = pyreadstat.read_sav(forms["responses.sav"], user_missing=True)
    bare, _ = pyreadstat.read_sav(forms["responses.sav"])

    assert [5, 4, 2] * 4 == [int(one) for one in frame["score"]]
    assert [1, 0, -99] * 4 == [int(one) for one in frame["solved"]]
    assert ([-99, 1, 2] * 4, 4) == ([int(one) for one in frame["reason"]], int(bare["reason"].isna().sum()))
    assert [-99, 1, 1] * 4 == [int(one) for one in frame["missing_goods_x"]]
    assert FORMULAS[0] == frame["q_with"][0]
    assert "13812345678" not in str(frame["q_with"][2])
    assert {-99.0: "未回答", 1.0: "太慢", 2.0: "不对"} == meta.variable_value_labels["reason"]
    assert {5.0: "非常满意", 1.0: "非常不满意"}.items() <= meta.variable_value_labels["score"].items()
    assert "还差什么 — 货" == meta.column_names_to_labels["missing_goods_x"]
    assert [{"lo": -99.0, "hi": -99.0}] == meta.missing_ranges["score"]
    assert ("ordinal", "nominal", "scale") == tuple(
        meta.variable_measure[one] for one in ("score", "reason", "seconds")
    )
    assert "2026-11-03 00:01:00" == str(frame["answered_at"][0])


def test_answers_are_the_same_in_every_form(forms: dict[str, Path]) -> None:
    """The list, the workbook and the SPSS file hold the same responses, which give the score of the report."""
    rows = list(csv.DictReader(io.StringIO(forms["responses.csv"].read_text(encoding="utf-8-sig"))))
    heads, *lines = sheet(forms["responses.xlsx"], "回复明细")
    frame, _ = pyreadstat.read_sav(forms["responses.sav"])
    report = msgspec.json.decode(forms["figures.json"].read_bytes(), type=Report)
    score = next(one for one in report.figures if one.key == "score_csat").estimate

    place = heads.index("score")
    assert (
        [int(row["score"]) for row in rows] == [line[place] for line in lines] == [int(one) for one in frame["score"]]
    )
    assert (
        [row["respondent"] for row in rows]
        == [line[heads.index("respondent")] for line in lines]
        == list(frame["respondent"])
    )
    assert score.value == pytest.approx(sum(int(row["score"]) >= 4 for row in rows) / len(rows))


def test_no_customer_text_is_a_formula(forms: dict[str, Path]) -> None:
    """A workbook holds text as text; a list guards what a spreadsheet would run."""
    book = openpyxl.load_workbook(forms["responses.xlsx"])
    kinds = {cell.data_type for page in book for row in page.iter_rows() for cell in row}
    text = forms["responses.csv"].read_text(encoding="utf-8-sig")

    assert "f" not in kinds
    assert FORMULAS[0] in [cell.value for row in book["回复明细"].iter_rows() for cell in row]
    assert not [cell for row in csv.reader(io.StringIO(text)) for cell in row if cell[:1] in set("=+-@\t\r")]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_guarded(text: str) -> None:
    """Whatever a spreadsheet might run begins with an apostrophe, and its words stay."""
    assert cells.harmless(text) == f"'{text}"


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_any_text_is_one_harmless_cell(texts: list[str]) -> None:
    """A list that is written and read again has the same number of cells, none of which a spreadsheet would run."""
    file = io.StringIO(newline="")
    cells.write(file, ["a"] * len(texts), [texts])
    [_, row] = csv.reader(io.StringIO(file.getvalue(), newline=""))

    assert len(texts) == len(row)
    assert not [cell for cell in row if cell[:1] in cells.FORMULAS]


def test_nobody_is_known_by_an_export(forms: dict[str, Path], tmp_path: Path) -> None:
    """Without contacts there are pseudonyms, which differ between surveys; with them the person is named."""
    text = forms["responses.csv"].read_text(encoding="utf-8-sig")
    other, named = tmp_path / "other", tmp_path / "named"
    spool = spooled(tmp_path / "spool", RECORDS)
    survey_edition(
        spool, replace(ORDER, what="responses", format="csv", asked=replace(ASKED, name="nps")), other, lambda _: None
    )
    survey_edition(spool, replace(ORDER, what="responses", format="csv", contacts=True), named, lambda _: None)
    people = [set(re.findall(r"p[0-9a-f]{16}", each)) for each in (text, other.read_text(encoding="utf-8"))]

    assert "wechat:" not in text
    assert "13812345678" not in text
    assert len(people[0]) == 12
    assert not people[0] & people[1]
    assert "wechat:3" in named.read_text(encoding="utf-8")
    assert "13812345678" in named.read_text(encoding="utf-8")


def test_the_codebook_explains_every_variable(forms: dict[str, Path]) -> None:
    """Every column of the export stands in the codebook, in both of its forms, with its values."""
    heads = forms["responses.csv"].read_text(encoding="utf-8-sig").splitlines()[0].split(",")
    book = msgspec.json.decode(forms["responses.codebook"].read_bytes())
    text = forms["responses.codebook-md"].read_text(encoding="utf-8")

    assert heads == [one["name"] for one in book["variables"]]
    assert all(one["label"] for one in book["variables"])
    assert [] == [one for one in heads if f"## `{one}`" not in text]
    assert {"value": "slow", "code": 1, "label": "太慢"} in next(
        one["values"] for one in book["variables"] if one["name"] == "reason"
    )
    assert all(len(pair) == 2 for pair in LABELS.values())


def test_without_the_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever has not installed the extra is told which one."""
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    with pytest.raises(NoSpss, match=r"huiliu\[spss\]"):
        survey_edition(
            spooled(tmp_path / "s", RECORDS),
            replace(ORDER, what="responses", format="sav"),
            tmp_path / "o",
            lambda _: None,
        )


def test_the_page_fetches_nothing_and_runs_nothing(forms: dict[str, Path]) -> None:
    """One file, without scripts, links or pictures from anywhere; each chart says in words what it shows."""
    text = forms["figures.html"].read_text(encoding="utf-8")

    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|\son\w+=|href=", text)
    assert 4 == text.count("<svg viewBox") == text.count("<desc") == text.count("<title id=")


async def test_large_reports_are_made_in_a_process_of_their_own(tmp_path: Path) -> None:
    """The same file comes out of the process as out of a thread; it tells how far it is, and is gone with who waits."""
    spool = Spool(tmp_path / "spool")
    for part in range(3):
        text = msgspec.json.encode(
            [stored(said(number, SAID[number % 3])) for number in range(part * 100, part * 100 + 100)]
        )
        await spool.add(msgspec.msgpack.encode(Chunk(1, text)))
    await spool.flush()
    told: list[float] = []
    outs = [tmp_path / "thread", tmp_path / "process"]
    for out, size in zip(outs, (0, workshop.SMALL + 1), strict=True):
        await workshop.press(Job(survey_edition, (spool.path, ORDER, out)), tmp_path, size, told.append)

    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert told[-1] == 1.0
    assert len(told) > 3


async def test_a_report_that_fails_says_so(tmp_path: Path) -> None:
    """A job that goes wrong in its process is an error here, not silence."""
    (tmp_path / "spool").write_bytes(b"\x00\x00\x00\x01x")
    with pytest.raises(workshop.Failed):
        await workshop.press(
            Job(survey_edition, (tmp_path / "spool", ORDER, tmp_path / "out")),
            tmp_path,
            workshop.SMALL + 1,
            lambda _: None,
        )
