"""The survey page in a real browser: how it looks on a telephone and on a desk, and whether everybody can use it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright

from tests.hubs import Stage
from tests.stores import StoreUnderTest, require_peer
from tests.survey_stage import asked, asking, listed

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.once]

SCREENS = Path(__file__).parent.parent / "docs" / "screens"
THOROUGH = bool(os.environ.get("HUILIU_LONG") or os.environ.get("HUILIU_SCREENS"))
SIZES = [("zh", 375), ("en", 1280), ("zh", 1280), ("en", 375)]
LOCALES = {"zh": "zh-CN", "en": "en-US"}
AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    chromium = require_peer("chromium")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(store: StoreUnderTest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    store.flush()
    async with asking(store.url, tmp_path_factory.mktemp("asking")) as stage:
        yield stage


async def accessible(page: Any) -> list[str]:
    """Return what axe finds on a page that keeps people from using it."""
    found = (await Axe().run(page, options=AXE)).response["violations"]
    return [f"{one['id']}: {one['help']} {[node['html'] for node in one['nodes']]}" for one in found]


async def keep(page: Any, name: str) -> None:
    """Keep a picture of the page for the documentation, if that is asked for."""
    if os.environ.get("HUILIU_SCREENS"):
        await page.screenshot(path=str(SCREENS / f"{name}.png"), full_page=True)


@pytest.mark.parametrize(("language", "width"), SIZES if THOROUGH else SIZES[:2])
async def test_the_page_can_be_used_by_everybody(browser: Any, stage: Stage, language: str, width: int) -> None:
    """Questions, faults and thanks fit the screen, break no rule of accessibility, and call no foreign host."""
    context = await browser.new_context(
        locale=LOCALES[language], viewport={"width": width, "height": 760}, java_script_enabled=True
    )
    page = await context.new_page()
    strangers: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(stage.base) else strangers.append(request.url))
    _, url = await asked(stage, "csat", f"a-visitor-{language}{width}", language=language)

    await page.goto(url)
    assert await accessible(page) == []
    await keep(page, f"survey-{language}-{width}")
    await page.click("button")
    assert await page.get_attribute("input[name=score]", "required") is not None
    await page.check("input[name=score][value='4']")
    await page.fill("textarea", "物流快 / fast")
    await page.click("button")
    await page.wait_for_url("**/thanks**")
    assert await accessible(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await keep(page, f"survey-thanks-{language}-{width}")
    assert strangers == []
    await context.close()


async def test_it_works_without_a_script_and_leads_where_answers_lead(browser: Any, stage: Stage) -> None:
    """Without JavaScript, page by page: a low score asks what could be better, a fault is announced and links there."""
    context = await browser.new_context(
        locale="zh-CN", viewport={"width": 375, "height": 760}, java_script_enabled=False
    )
    page = await context.new_page()
    invitation, url = await asked(stage, "long", "a-branches1")
    await page.goto(url)
    await keep(page, "survey-nps-375")
    await page.click("button")
    assert "需要回答" in await page.inner_text("[role=alert]")
    assert await page.inner_text("fieldset .error")
    await page.check("input[name=ease][value='3']")
    await page.click("button")
    await page.check("input[value=refund]")
    await page.fill("textarea", "退款太慢")
    await keep(page, "survey-branch-375")
    await page.click("button")
    assert "感谢您的评价" in await page.inner_text("main")
    [response] = [one for one in await listed(stage, "long", "responses") if one["invitation"] == invitation]
    assert [("ease", 3), ("slow", ["refund"]), ("words", "退款太慢")] == [
        (each["question"], each["value"]) for each in response["answers"]
    ]
    await page.goto(url)
    assert "已经回答过" in await page.inner_text("h1")
    await context.close()


async def test_faults_are_accessible_too(browser: Any, stage: Stage) -> None:
    """The page with faults, in the dark, breaks no rule either; keyboard alone is enough to answer."""
    context = await browser.new_context(locale="en-US", viewport={"width": 375, "height": 760}, color_scheme="dark")
    page = await context.new_page()
    _, url = await asked(stage, "long", "a-keyboard1", language="en")
    await page.goto(url)
    await page.click("button")
    assert await accessible(page) == []
    await keep(page, "survey-dark-375")
    await page.focus("input[name=ease]")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("input[name=slow]", state="attached")
    assert await accessible(page) == []
    await context.close()
