"""A console in a browser, for tests: the demo's world with its people, and what one does at the desk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright

from connectors.simulators.world import PASSWORD
from tests.stores import require_peer

SCREENS = Path(__file__).parent.parent / "docs" / "screens"
THOROUGH = bool(os.environ.get("HUILIU_LONG") or os.environ.get("HUILIU_SCREENS"))
SLOW = 20_000  # milliseconds that a loaded machine may take
AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}
SERIOUS = {"serious", "critical"}
LOCALES = {"zh": "zh-CN", "en": "en-US"}


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """Run Debian's Chromium."""
    binary = require_peer("chromium")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(binary), args=["--no-sandbox"])
        yield browser
        await browser.close()


class Screen:
    """A page of somebody's browser; what it logs as an error, and every foreign request, is remembered."""

    def __init__(self, page: Any, base: str) -> None:
        self.page = page
        self.base = base
        self.faults: list[str] = []
        self.strangers: list[str] = []
        page.set_default_timeout(SLOW)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._said)
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, said: Any) -> None:
        # A browser logs every answer of 400 and more by itself; that is no fault of the page.
        if said.type == "error" and "Failed to load resource" not in said.text and "net::" not in said.text:
            self.faults.append(said.text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.base, "blob:", "data:")):
            self.strangers.append(url)

    async def enter(self, name: str, password: str = PASSWORD, where: str = "") -> None:
        """Sign in at the door."""
        await self.page.goto(f"{self.base}/console/{where}")
        await self.page.fill("input[name=username]", name)
        await self.page.fill("input[name=password]", password)
        await self.page.click("button[type=submit]")
        await self.page.wait_for_selector(".frame")

    async def go(self, where: str) -> None:
        """Go to a place of the console."""
        await self.page.evaluate("(hash) => { location.hash = hash; }", where)

    async def open(self, words: str) -> None:
        """Open the conversation whose row shows *words*."""
        await self.page.click(f".conversation:has-text('{words}')")
        await self.page.wait_for_selector(".message")

    async def say(self, text: str) -> None:
        """Write an answer and send it with Enter."""
        await self.page.fill(".composer textarea", text)
        await self.page.press(".composer textarea", "Enter")
        await self.page.wait_for_selector(f".message.ours:has-text('{text}')")

    async def seen(self, selector: str, *, state: str = "visible") -> Any:
        """Wait until something is there."""
        return await self.page.wait_for_selector(selector, state=state)

    async def keep(self, name: str) -> None:
        """Keep a picture for the documentation, if that is asked for."""
        if os.environ.get("HUILIU_SCREENS"):
            await self.page.mouse.move(0, 0)
            await self.page.screenshot(path=str(SCREENS / f"{name}.png"))

    async def barriers(self) -> list[str]:
        """Return what axe finds serious on the page."""
        found = (await Axe().run(self.page, options=AXE)).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in SERIOUS
        ]

    async def fits(self) -> bool:
        """Tell whether nothing makes the page scroll sideways."""
        return bool(await self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


async def screen(
    browser: Any, base: str, *, language: str = "zh", size: Sequence[int] = (1280, 800), dark: bool = False
) -> Screen:
    """Open a browser of somebody's own; close it by `screen.page.context.close()`."""
    context = await browser.new_context(
        locale=LOCALES[language],
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        timezone_id="Asia/Shanghai",
    )
    return Screen(await context.new_page(), base)
