"""Sanitised mail in a real browser: nothing runs, nothing is loaded."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright

from connectors.mail_html import sanitise, tokens
from tests.mail_attacks import ATTACKS
from tests.stores import require_peer


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """An empty page of Chromium."""
    chromium = require_peer("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


async def test_no_attack_runs_or_loads(page: Page) -> None:
    """None of the attacks opens a dialog, makes a request or leaves the page."""
    seen: list[str] = []
    attack = ""
    page.on("dialog", lambda dialog: seen.append(f"dialog: {attack}"))
    page.on("request", lambda request: seen.append(f"{request.url}: {attack}"))
    page.on("framenavigated", lambda frame: seen.append(f"went to {frame.url}: {attack}"))
    for attack in ATTACKS:
        cleaned = sanitise(attack, tokens(attack))
        await page.evaluate("source => { document.body.innerHTML = source }", cleaned)
        await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    # Pictures of the mail itself (cid:) are no requests to anybody; the console puts its own addresses there.
    assert [] == [entry for entry in seen if not entry.startswith("cid:")]


async def test_the_trap_works(page: Page) -> None:
    """The same page does notice an attack that is not cleaned."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    await page.evaluate("() => { document.body.innerHTML = '<img src=http://127.0.0.1:9/o.gif>' }")
    await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    assert ["http://127.0.0.1:9/o.gif"] == seen
