"""The supervisor's and admin's views in a real browser on a real hub: what they show is true, what they do is done."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyotp
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, async_playwright, expect

from inbox import passwords
from tests import browsers
from tests.floor_stage import Floor, floor, openid
from tests.hubs import until
from tests.stores import StoreUnderTest, require_peer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.once]

SCREENS = Path(__file__).parent.parent / "docs" / "screens"
KEEP = bool(os.environ.get("HUILIU_SCREENS"))
LONG = os.environ.get("HUILIU_LONG") == "1"
KEPT = {"board": "light", "survey": "light", "trouble": "dark", "people": "light", "replay": "dark"}
"""Views of which the documentation shows pictures, and in which theme."""

WAIT = 15_000
expect.set_options(timeout=WAIT)
AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
THEME = """(theme) => new Promise((done) => {
  document.documentElement.dataset.theme = theme;
  requestAnimationFrame(() => requestAnimationFrame(done));
})"""
OUTSIDE = """() => [...document.querySelectorAll('main.view *')].filter((one) =>
  !one.closest('.table-wrap, nav.tabs, pre') && one.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 3).map((one) => one.outerHTML.slice(0, 160))"""
VIEWS = {
    "board": "/board", "channels": "/channels", "trouble": "/trouble", "uncertain": "/trouble?tab=uncertain",
    "waiting": "/trouble?tab=scheduled", "unparsed": "/trouble?tab=shunted", "service": "/reports",
    "scheduled": "/reports/scheduled", "surveys": "/surveys", "survey": "/surveys/csat",
    "invitations": "/surveys/csat?tab=invitations", "responses": "/surveys/csat?tab=responses",
    "preview": "/surveys/csat?tab=preview", "questions": "/surveys/csat?tab=questions", "routes": "/routes",
    "lint": "/routes?tab=lint", "history": "/routes?tab=history", "shadow": "/routes?tab=shadow",
    "replay": "/routes?tab=replay", "campaigns": "/campaigns", "templates": "/templates", "teams": "/teams",
    "webhooks": "/webhooks/crm", "people": "/people", "audit": "/audit",
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(store: StoreUnderTest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Floor]:
    store.flush()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "MEMORY", 64)
        async with floor(store.url, tmp_path_factory.mktemp("floor"), hostile=not KEEP) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Any]:
    path = require_peer("chromium")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(path), args=["--no-sandbox"])
        yield browser
        await browser.close()


@asynccontextmanager
async def seat(
    chromium: Any, day: Floor, name: str = "boss", *, locale: str = "zh-CN", width: int = 1280
) -> AsyncIterator[Page]:
    """Seat somebody at the console; fail if the page fails, breaks its policy, runs a name, or calls a stranger."""
    visitor = browsers.Browser(day.stage)
    assert (await visitor.enter(name)).status == 200
    assert (await visitor.call("PUT", "/session", {"locale": locale})).status == 200
    context = await chromium.new_context(
        viewport={"width": width, "height": 900}, locale=locale, accept_downloads=True, reduced_motion="reduce"
    )
    await context.add_cookies(
        [{"name": key, "value": value, "url": day.stage.base} for key, value in visitor.cookies.items()]
    )
    await context.add_init_script("window.hits = []; window.hit = (number) => hits.push(number);")
    page = await context.new_page()
    page.set_default_timeout(WAIT)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(f"a dialog: {dialog.message}"))
    page.on(
        "request", lambda asked: None if asked.url.startswith((day.stage.base, "blob:")) else faults.append(asked.url)
    )
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    try:
        yield page
        assert [] == await page.evaluate("window.hits")
        assert [] == faults
    finally:
        await context.close()


async def show(page: Page, day: Floor, where: str) -> None:
    """Go to a view and wait until it stands there."""
    await page.goto(f"{day.stage.base}/console/#{where}")
    await page.wait_for_selector(f"main.view .page.floor nav.tabs a[aria-current=page][href='#{home(where)}']")


def home(where: str) -> str:
    """Return the view of its section that a view belongs to."""
    path = where.partition("?")[0]
    return path if path == "/reports/scheduled" else "/" + path.split("/")[1]


async def serious(page: Page, options: dict[str, Any]) -> list[str]:
    """Return what axe finds that keeps people from using a page.

    Axe's own way to read style sheets is left out: the policy of the page refuses it.
    """
    asked = {**options, "preload": False, "resultTypes": ["violations"]}
    found = (await Axe().run(page, options=asked)).response["violations"]
    return [
        f"{one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


async def keep(page: Page, name: str) -> None:
    """Keep a picture for the documentation, if that is asked for."""
    if KEEP:
        await page.screenshot(path=str(SCREENS / f"console-{name}.png"))


async def read(path: Path) -> str:
    """Return the text of a file."""
    return await asyncio.to_thread(path.read_text, encoding="utf-8")


async def answer(day: Floor, path: str) -> Any:
    """Return what the API says."""
    return await day.stage.api("GET", path)


@pytest.mark.parametrize(
    "views", [list(VIEWS)[start::5] for start in (range(5) if LONG or KEEP else [0])], ids=lambda one: one[0]
)
@pytest.mark.parametrize(("locale", "width"), [("zh-CN", 1280), ("en", 375)] if LONG or KEEP else [("zh-CN", 375)])
async def test_every_view_can_be_used_by_everybody(
    chromium: Any, day: Floor, locale: str, width: int, views: list[str]
) -> None:
    """No serious finding of axe, light or dark; nothing is off the screen; no name or text runs."""
    async with seat(chromium, day, locale=locale, width=width) as page:
        found: list[str] = []
        for name in views:
            await show(page, day, VIEWS[name])
            await expect(page.locator("main.view .spinner, main.view [aria-busy=true]")).to_have_count(0, timeout=WAIT)
            if name in KEPT:
                await page.evaluate(THEME, KEPT[name])
                await keep(page, f"{name}-{locale[:2]}-{width}")
            for theme, options in (("light", AXE), ("dark", CONTRAST)):
                await page.evaluate(THEME, theme)
                found += [f"{name} {theme}: {one}" for one in await serious(page, options)]
            found += [f"{name}: {one}" for one in await page.evaluate(OUTSIDE)]
        assert [] == found


async def test_the_board_is_true_and_live(chromium: Any, day: Floor) -> None:
    """Its figures are those of the API; what happens changes them without a reload; presence is set from it."""
    async with seat(chromium, day, "boss") as page:
        await show(page, day, "/board")
        waiting = page.locator(".figure", has_text="等待回复").locator("strong")
        now = (await answer(day, "/board"))["waiting"]["count"]
        await expect(waiting).to_have_text(str(now))
        await day.platform.write(openid(20), "请问有货吗")
        await expect(waiting).to_have_text(str(now + 1), timeout=2 * WAIT)
        await expect(page.locator("tr[data-row=frontdesk] td").first).to_have_text(
            str((await answer(day, "/board"))["teams"][0]["open"])
        )
        await page.get_by_role("button", name="韩梅梅 的状态").click()
        await page.get_by_role("menuitemradio", name="暂离").click()
        await expect(page.get_by_role("button", name="韩梅梅 的状态：暂离")).to_be_visible()
        agents = (await answer(day, "/agents"))["items"]
        assert ["away"] == [one["presence"]["state"] for one in agents if one["id"] == "hanmeimei"]


async def test_a_restricted_team_is_not_on_the_board_of_others(chromium: Any, day: Floor) -> None:
    """A supervisor whom it does not name sees neither the team nor its late conversation; one whom it names does."""
    await browsers.add(day.stage, "other", "supervisor")
    for name, sees in (("other", False), ("chief", True)):
        async with seat(chromium, day, name) as page:
            await show(page, day, "/board")
            await expect(page.locator("tr[data-row=frontdesk]")).to_be_visible()
            await expect(page.locator("tr[data-row=complaints]")).to_have_count(int(sees))
            await expect(page.get_by_role("link", name="人员")).to_have_count(0)


async def test_what_went_wrong_is_put_right(chromium: Any, day: Floor) -> None:
    """A dead letter is sent again, an uncertain one is confirmed, a payload is read and forgotten."""
    async with seat(chromium, day) as page:
        await show(page, day, "/trouble")
        before = len(day.platform.received[openid(0)])
        await page.get_by_role("button", name="经过").first.click()
        await expect(page.get_by_role("dialog")).to_contain_text("客户上次来信太久")
        await expect(page.get_by_role("dialog")).to_contain_text("45015")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="重发").first.click()
        await expect(page.get_by_text("没有未送达的消息")).to_be_visible()

        async def arrived() -> bool:
            return len(day.platform.received[openid(0)]) > before

        await until(arrived)
        await page.get_by_role("link", name="结果未知").click()
        await page.get_by_role("button", name="已送达").click()
        await expect(page.get_by_text("没有结果未知的消息")).to_be_visible()
        await page.get_by_role("link", name="无法解析").click()
        await page.get_by_role("button", name="原始数据").last.click()
        await expect(page.locator("dialog pre")).to_contain_text("unheard-of")
        await page.keyboard.press("Escape")
        left = len((await answer(day, "/shunted"))["items"])
        await page.get_by_role("button", name="丢弃").last.click()
        await page.get_by_role("dialog").get_by_role("button", name="丢弃").click()

        async def forgotten() -> bool:
            return len((await answer(day, "/shunted"))["items"]) == left - 1

        await until(forgotten)


async def test_routes_tell_the_way_of_a_message(chromium: Any, day: Floor) -> None:
    """What is typed is explained as the API explains it; a replay says what would move; a rule set can be put back."""
    async with seat(chromium, day) as page:
        await show(page, day, "/routes")
        await page.get_by_label("消息内容").fill("我要退款")
        await expect(page.locator(".way > div p b")).to_have_text("refund")
        await expect(page.locator("li.route.matched > details > summary b").first).to_have_text("refund")
        await keep(page, "way-zh-1280")

        await page.get_by_role("link", name="试跑").click()
        text = await page.get_by_label("规则文件").input_value()
        await page.get_by_label("规则文件").fill(text.replace("team: aftersales", "team: complaints"))
        await page.get_by_role("button", name="开始试跑").click()
        await expect(page.locator(".chip.good", has_text="完成")).to_be_visible(timeout=2 * WAIT)
        await expect(page.locator(".figure", has_text="改变").locator("strong")).to_have_text("2")
        await page.get_by_label("规则文件").fill("routes: [{name: x, when: {tixt: a}}]")
        await page.get_by_role("button", name="开始试跑").click()
        await expect(page.get_by_role("alert")).to_contain_text("tixt")

        path = day.stage.folder / "routes.yaml"
        before = path.read_text(encoding="utf-8")
        path.write_text(before.replace("[退款, 退货]", "[退款, 退货, 换货]"), encoding="utf-8")

        async def loaded() -> bool:
            return len((await answer(day, "/routes/history"))["items"]) > 1

        await until(loaded)
        await page.get_by_role("link", name="历史").click()
        await page.get_by_role("button", name="与现用的差别").last.click()
        await expect(page.locator("dialog .diff .added")).to_contain_text("换货")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="恢复").last.click()
        await page.get_by_role("dialog").get_by_role("button", name="恢复").click()
        await expect(page.get_by_text("已改写 1 个文件")).to_be_visible()
        assert before == path.read_text(encoding="utf-8")


async def test_a_survey_shows_its_figures_and_gives_its_files(chromium: Any, day: Floor) -> None:
    """The report on the page has the figures of the API, filters narrow it, files are those of the API."""
    async with seat(chromium, day) as page:
        await show(page, day, "/surveys/csat")
        report = await answer(day, "/reports/surveys/csat?since=28d&language=zh")
        rate = next(one for one in report["figures"] if one["key"] == "response_rate")["estimate"]["value"]
        await expect(page.locator(".figure", has_text="回复率").locator("strong")).to_have_text(f"{rate * 100:.1f} %")
        assert len(report["charts"]) == await page.locator("svg.chart").count()
        async with page.expect_download() as coming:
            await page.get_by_role("button", name="明细 CSV").click()
        file = await read(await (await coming.value).path())
        assert file.startswith("\ufeff")
        assert "物流太慢了" in file
        await page.get_by_role("combobox", name="渠道").select_option("shop-wechat")
        await expect(page.locator(".figure", has_text="回复率").locator("strong")).to_have_text("0.0 %")
        assert "channel=shop-wechat" in page.url

        await page.get_by_role("link", name="邀请", exact=True).click()
        await page.get_by_role("link", name="已答").click()
        await expect(page.locator("tbody tr").first).to_contain_text("visitor:")
        await page.get_by_role("link", name="预览").click()
        await page.get_by_label("语言").select_option("en")
        await expect(page.locator(".bubble").first).to_contain_text("?")


async def test_a_bulk_send_is_made_previewed_and_sent(chromium: Any, day: Floor) -> None:
    """The form's preview says how many get it; what stands against it is confirmed; its counts are live."""
    async with seat(chromium, day) as page:
        await show(page, day, "/campaigns")
        await page.get_by_role("button", name="新建群发").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("名称").fill("春季上新")
        await dialog.get_by_label("中文内容").fill("{{ contact.name }} 您好，新品到店。拒收请回复TD")
        await dialog.get_by_role("button", name="预览").click()
        total = dialog.locator(".figure", has_text="将收到").locator("strong")
        await expect(total).not_to_have_text("0")
        expected = int(await total.inner_text())
        await dialog.get_by_role("button", name="保存为草稿").click()
        await page.get_by_role("button", name="开始发送").click()
        confirm = page.get_by_role("button", name="仍然发送")
        sent = page.locator(".figure", has_text="已发送").locator("strong")
        await expect(
            confirm.or_(page.locator(".chip", has_text=re.compile("发送中|已完成|准备中"))).first
        ).to_be_visible()
        if await confirm.count():
            await confirm.click()
        await expect(sent).to_have_text(str(expected), timeout=2 * WAIT)
        await expect(page.locator("header .chip")).to_have_text("已完成", timeout=2 * WAIT)


async def test_people_are_added_changed_and_locked_out(chromium: Any, day: Floor) -> None:
    """The link sets a password once; locking out ends sessions; a lost second factor is taken away."""
    lilei = browsers.Browser(day.stage)
    assert (await lilei.enter("lilei")).status == 200
    made = await lilei.call("POST", "/session/totp", {"password": browsers.PASSWORD})
    code = pyotp.TOTP(made.body["secret"]).now()
    assert (await lilei.call("PUT", "/session/totp", {"code": code})).status == 200
    async with seat(chromium, day) as page:
        await show(page, day, "/people")
        await page.get_by_role("button", name="添加人员").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("登录名").fill("dana")
        await dialog.get_by_label("角色").select_option("supervisor")
        await dialog.get_by_label("名字").fill("丹娜")
        await dialog.get_by_role("button", name="添加人员").click()
        link = await page.get_by_role("textbox", name="设置密码的链接").input_value()
        body = {"token": link.partition("#welcome=")[2], "password": browsers.PASSWORD}
        await day.stage.api("POST", "/session/password", body, token="")
        dana = browsers.Browser(day.stage)
        assert (await dana.enter("dana")).status == 200
        await page.keyboard.press("Escape")

        await page.get_by_role("button", name="李雷 的操作").click()
        await page.get_by_role("menuitem", name="移除二次验证").click()
        await page.get_by_role("dialog").get_by_role("button", name="移除二次验证").click()
        await expect(page.locator("tr[data-row=lilei]")).not_to_contain_text("已启用")
        await page.get_by_role("button", name="丹娜 的操作").click()
        await page.get_by_role("menuitem", name="停用").click()
        await page.get_by_role("dialog").get_by_role("button", name="停用").click()
        await expect(page.locator("tr[data-row=dana]")).to_contain_text("已停用")
        assert (await dana.call("GET", "/session")).status == 401

        await show(page, day, "/audit?who=person:boss")
        await expect(page.locator("tbody tr").first).to_contain_text("修改人员")
        await expect(page.locator("tbody")).not_to_contain_text("程序")


async def test_webhooks_are_tested_and_their_events_sent_again(chromium: Any, day: Floor) -> None:
    """A test arrives and stands in the log by itself; an event that is sent again arrives with the same id."""
    async with seat(chromium, day) as page:
        await show(page, day, "/webhooks/crm")
        await page.get_by_role("button", name="测试").click()
        row = page.locator("tr", has_text="webhook.test").first
        await expect(row).to_contain_text("204", timeout=WAIT)
        known = len(day.receiver.calls)
        await row.get_by_role("button", name="再发").click()

        async def again() -> bool:
            tests = [one.id for one in day.receiver.calls if one.event["type"].endswith("webhook.test")]
            return len(day.receiver.calls) > known and len(tests) > len(set(tests))

        await until(again)
        await row.get_by_role("button", name="各次尝试").click()
        await expect(page.get_by_role("dialog")).to_contain_text("204")


async def test_words_are_checked_before_they_are_sent(chromium: Any, day: Floor) -> None:
    """A template reads as customers will read it; the policy about words is asked as somebody types."""
    async with seat(chromium, day) as page:
        await show(page, day, "/templates")
        await page.get_by_role("button", name="parcel-sent").click()
        await page.get_by_label("tracking").fill("SF123")
        await expect(page.locator(".bubble")).to_have_text("您的包裹已发出，单号 SF123。")
        await page.get_by_label("文字").fill("您好")
        await expect(page.get_by_text("没有问题")).to_be_visible()


async def test_a_reader_sees_reports_and_nothing_to_manage(chromium: Any, day: Floor) -> None:
    """What a role may not do is not offered: neither in the rail nor by its address."""
    async with seat(chromium, day, "guest") as page:
        await show(page, day, "/reports")
        await expect(page.get_by_role("link", name="报表", exact=True)).to_be_visible()
        await expect(page.get_by_role("link", name="看板", exact=True)).to_have_count(0)
        await page.goto(f"{day.stage.base}/console/#/people")
        await expect(page.get_by_text("这里什么也没有")).to_be_visible()
