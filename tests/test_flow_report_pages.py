"""Reports as people see them: in a browser, on a phone and on a desk, in both languages, light and dark."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, FloatRect, ViewportSize, async_playwright

from config.hours import Hours
from inbox.clocks import Limit, Promise
from inbox.performance import Setting, service_report
from inbox.periods import Period
from inbox.report import Keyword, Report
from inbox.report_page import page
from inbox.workload import Ledger, Terms
from inbox.worktime import Worktime
from outbox.findings import Questionnaire, survey_report
from outbox.keywords import Texts
from outbox.responses import Response
from outbox.scores import measures
from outbox.tallies import Book, Record
from tests import filing
from tests.stores import require_peer
from tests.test_inbox_workload import case
from tests.test_outbox_findings import MONDAY, ZONE, survey

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.once]

SCREENS = Path(__file__).parent.parent / "docs" / "screens"
WEEK = 7 * filing.DAY
HOURS = Hours.model_validate({"timezone": "Asia/Shanghai", "week": {"mon-sun": ["08:00-24:00"]}})
LIMITS = {
    "first_reply": Limit(30 * filing.MINUTE, 24 * filing.MINUTE),
    "next_reply": Limit(30 * filing.MINUTE, 24 * filing.MINUTE),
    "resolution": Limit(filing.DAY, 19 * filing.HOUR),
}
OPEN_LATE = Promise("standard", LIMITS, Worktime(HOURS), "late")
NAMES = {
    "team": {"aftersales": "售后组", "frontdesk": "前台", "complaints": "投诉组"},
    "agent": {"lilei": "李雷", "hanmeimei": "韩梅梅", "wangfang": "王芳"},
}
ENGLISH = {
    "team": {"aftersales": "After sales", "frontdesk": "Front desk", "complaints": "Complaints"},
    "agent": {"lilei": "Li Lei", "hanmeimei": "Han Meimei", "wangfang": "Wang Fang"},
}
FIRST = MONDAY - 4 * WEEK
PERIOD = Period(MONDAY, MONDAY + 4 * WEEK, ZONE, MONDAY + 4 * WEEK - 3 * filing.DAY)


def answered(language: str) -> Report:
    """Return the report of a shop's survey, with the second half better than the first."""
    one = survey()
    names = NAMES if language == "zh-CN" else ENGLISH
    purpose, owner = (
        ("了解顾客对每次服务的满意度", "客服主管")
        if language == "zh-CN"
        else ("How customers find each service", "Head of service")
    )
    title = "服务满意度" if language == "zh-CN" else "How was our service?"
    asked = Questionnaire("csat", title, purpose, owner, "csat", measures(one, language), language, names=names)
    by = ("team", "agent", "channel", "tag", "week")
    book = Book(asked.measures, PERIOD, by, {})
    texts = Texts(asked.measures[1].title)
    for invitation, given in filing.answers(filing.Shop(per_day=26), FIRST, 54):
        answers: tuple[Response, ...] = ()
        if given is not None:
            answers = (Response("r", invitation.id, "csat", "v", given.at, given.via, given.answers, complete=True),)
        record = Record(invitation, answers)
        if book.add(record) and given is not None:
            for each in given.answers:
                if each.question == "comment":
                    texts.add(str(each.value), asked.measures[0].side(given.answers[0].value))
    return survey_report(asked, book, by, {}, [texts.keywords(quotes=True)])


def served(language: str) -> Report:
    """Return the service report of the same shop."""
    promises = dict.fromkeys(filing.TEAMS, "standard")
    ledger = Ledger(
        Terms({"standard": OPEN_LATE}, {}, promises, {}),
        PERIOD,
        ("team", "agent", "channel", "tag", "week", "hour"),
        {},
    )
    for told in filing.conversations(1800, FIRST, 54):
        values = told.values
        blank = case("W9:00")
        ledger.add(
            msgspec.structs.replace(
                blank,
                channel=values["channel"],
                team=values["team"],
                agent=values["agent"],
                tags=",".join(values["tags"]),
                status=values["status"],
                course=values["course"],
            )
        )
    by = ("team", "agent", "channel", "tag", "week", "hour")
    return service_report(Setting(language, NAMES if language == "zh-CN" else ENGLISH), ledger, by, {})


REPORTS = [(kind, language) for kind in ("survey", "service") for language in ("zh-CN", "en")]


def made(kind: str, language: str) -> str:
    return page(answered(language) if kind == "survey" else served(language))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, once for all tests of this file."""
    path = require_peer("chromium")
    async with async_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        opened = await driver.chromium.launch(executable_path=str(path), args=arguments)
        yield opened
        await opened.close()


def short(report: Report) -> Report:
    """Return a report with the first rows of its tables: what holds for three of them holds for thirty."""
    return msgspec.structs.replace(
        report, tables=tuple(msgspec.structs.replace(one, rows=one.rows[:3]) for one in report.tables)
    )


@pytest.mark.parametrize(
    ("kind", "language", "width", "scheme"),
    [
        ("survey", "zh-CN", 375, "light"),
        ("survey", "en", 1280, "dark"),
        ("service", "en", 375, "dark"),
        ("service", "zh-CN", 1280, "light"),
    ],
)
async def test_a_report_can_be_read_by_everybody(  # what is varied is one thought: who looks, and how
    browser: Browser, tmp_path: Path, kind: str, language: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    """No serious finding of axe on a phone or a desk, light or dark; nothing is off the screen, nothing is fetched."""
    report = answered(language) if kind == "survey" else served(language)
    file = tmp_path / "report.html"
    file.write_text(page(short(report)), encoding="utf-8")  # a test's own file
    viewport: ViewportSize = {"width": width, "height": 900}
    context = await browser.new_context(viewport=viewport, color_scheme=scheme, bypass_csp=True)
    tab = await context.new_page()
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    await tab.goto(file.as_uri())
    found = await Axe().run(tab)
    wide = await tab.evaluate("document.documentElement.scrollWidth")
    serious = [one["id"] for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    await context.close()

    assert (serious, [file.as_uri()]) == ([], asked)
    assert wide <= width


@pytest.mark.skipif(not os.environ.get("HUILIU_SCREENS"), reason="draws the pictures of the documentation anew")
@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize(("kind", "language"), REPORTS)
async def test_pictures_for_the_documentation(
    browser: Browser, tmp_path: Path, kind: str, language: str, width: int
) -> None:
    """The pictures show the reports as they are."""
    file = tmp_path / "report.html"
    file.write_text(made(kind, language), encoding="utf-8")  # a test's own file
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme="light")
    tab = await context.new_page()
    await tab.goto(file.as_uri())
    clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": 1500 if width > 999 else 1800}
    picture = SCREENS / f"report-{kind}-{language[:2]}-{width}.png"
    await tab.screenshot(path=picture, clip=clip, full_page=True)
    await context.close()


async def test_what_people_wrote_is_shown_and_not_obeyed(browser: Browser, tmp_path: Path) -> None:
    """Titles, names, tags and answers are text on the page, whatever is in them."""
    hostile = '"><img src=x onerror="document.title=1"><script>document.title=1</script>'
    report = answered("en")
    words = msgspec.structs.replace(
        report.keywords[0], items=(Keyword(hostile, 1, 1, 2, 0.0, "", hostile),), about=hostile
    )
    tables = tuple(
        msgspec.structs.replace(one, rows=tuple(msgspec.structs.replace(row, label=hostile) for row in one.rows))
        for one in report.tables
    )
    charts = tuple(
        msgspec.structs.replace(one, labels=tuple(hostile for _ in one.labels), about=hostile) for one in report.charts
    )
    changes: dict[str, Any] = {"title": hostile, "purpose": hostile, "owner": hostile, "filters": {"tag": hostile}}
    file = tmp_path / "report.html"
    text = page(msgspec.structs.replace(report, keywords=(words,), tables=tables, charts=charts, **changes))
    file.write_text(text, encoding="utf-8")  # a test's own file
    context = await browser.new_context(bypass_csp=True)
    tab = await context.new_page()
    await tab.goto(file.as_uri())
    pictures = await tab.locator("img, script").count()
    heading, title = await tab.locator("h1").inner_text(), await tab.title()
    await context.close()

    assert (0, hostile) == (pictures, heading)
    assert title.startswith("Survey report: ")
