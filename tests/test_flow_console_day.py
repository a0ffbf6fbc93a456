"""An agent's day at the console: the real program, every platform simulated, real browsers."""

from __future__ import annotations

import asyncio
import email.message
import email.policy
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from connectors.simulators.world import MAILBOX, World, world
from tests.console_stage import Screen, chromium, screen
from tests.hubs import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.once]

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop() -> AsyncIterator[World]:
    async with world() as made:
        await made.people()
        yield made


async def mail(shop: World, words: str) -> None:
    """Let a customer write a mail."""
    one = email.message.EmailMessage(policy=email.policy.SMTP)
    one["From"], one["To"], one["Subject"] = "Ann <ann@customer.example>", MAILBOX, "Size chart"
    one["Message-ID"], one["Date"] = "<day-1@customer.example>", "Sat, 21 Nov 2026 10:05:00 +0800"
    one.set_content(words)
    await shop.mail.deliver(one.as_bytes())


async def test_messages_of_every_channel_arrive_live(browser: Any, shop: World) -> None:
    """Signed in and looking at an empty list: each channel's message appears by itself, marked with its channel."""
    desk = await screen(browser, shop.base)
    await desk.enter("hanmeimei", where="#/conversations?view=all")
    await desk.seen(".list-foot .empty")
    await desk.seen(".banner", state="hidden")

    visitor = await shop.visitor()
    assert await shop.wecom.handshake()
    await asyncio.gather(
        shop.wechat.write("o-wang", "这件衣服还有M码吗？"),
        shop.tiktok.write("buyer-1", "where is my parcel?"),
        shop.twilio.write("+14155550101", "Are you open on Sunday?"),
        mail(shop, "Hello, do you have a size chart?"),
        shop.wecom.write("WangFang", "仓库的打印机坏了"),
        visitor.write("网页上的优惠券怎么用？"),
    )
    for words, mark in (
        ("M码", "wechat"),
        ("my parcel", "shop"),
        ("on Sunday", "sms"),
        ("size chart", "mail"),
        ("打印机", "team"),
        ("优惠券", "webchat"),
    ):
        await desk.seen(f".row-box:has-text('{words}') .channel-mark[data-kind={mark}]")
    await desk.keep("console-list-zh-1280")
    assert (desk.faults, desk.strangers) == ([], [])
    await desk.page.context.close()


async def test_an_agents_day(browser: Any, shop: World) -> None:
    """Reply, note, canned answer, file, assign, snooze, resolve; the score of the customer appears by itself."""
    desk = await screen(browser, shop.base)
    page = desk.page
    await desk.enter("lilei", where="#/conversations?view=all")
    await shop.wechat.write("o-chen", "我想问一下发货时间")
    await desk.open("发货时间")

    await desk.say("您好，今天下单今天发。")
    await desk.seen(".message.ours:has-text('今天下单') .delivery[data-state=sent]")
    assert "您好，今天下单今天发。" in [one.text for one in shop.wechat.received["o-chen"]]

    await page.fill(".composer textarea", "/parc")
    await desk.seen(".canned li[aria-selected=true]:has-text('parcel')")
    await page.press(".composer textarea", "Enter")

    async def filled_in() -> bool:
        return "三天内送达" in await page.input_value(".composer textarea")

    await until(filled_in)
    await page.press(".composer textarea", "Enter")
    await desk.seen(".message.ours:has-text('三天内送达')")

    async with page.expect_file_chooser() as chosen:
        await page.click("button[aria-label=添加附件]")
    await (await chosen.value).set_files([{"name": "面单.png", "mimeType": "image/png", "buffer": PNG}])
    await desk.seen(".uploads li:not(.pending):has-text('面单.png')")
    await page.press(".composer textarea", "Enter")
    await desk.seen(".message.ours .picture img")
    assert (await page.get_attribute(".message.ours .picture img", "src")).startswith("blob:")

    await page.press(".composer textarea", "Escape")
    await page.keyboard.press("n")
    await desk.seen(".composer.noting")
    await page.fill(".composer textarea", "客户很着急")
    await page.press(".composer textarea", "Enter")
    await desk.seen(".message.note:has-text('客户很着急')")
    await desk.keep("console-thread-zh-1280")

    await page.press(".composer textarea", "Escape")
    await page.keyboard.press("a")
    await page.fill("dialog input", "韩梅梅")
    await page.press("dialog input", "Enter")
    await desk.seen(".thread-head .who:has-text('韩梅梅')")

    await page.click("[data-act=snooze]")
    await page.click(".menu button:has-text('1 小时后')")
    await desk.seen(".thread-head .chip:has-text('已搁置')")
    await page.click(".notice:has-text('搁置到') button:has-text('撤销')")
    await desk.seen(".thread-head .chip:has-text('待回复')")

    await page.click("[data-act=resolve]")
    await desk.seen(".thread-head .chip:has-text('已解决')")

    async def menu() -> dict[str, str]:
        return next((one.menu for one in shop.wechat.received["o-chen"] if one.menu), {})

    entries = await until(menu)
    await shop.wechat.choose("o-chen", next(name for name in entries if name.startswith("5@")))
    await desk.seen(".happening:has-text('客户评分 5/5')")

    await page.click("button:has-text('为什么在这里')")
    await desk.seen("dialog .trail")
    await desk.keep("console-trail-zh-1280")
    assert (desk.faults, desk.strangers) == ([], [])
    await page.context.close()


async def test_two_agents_at_once(browser: Any, shop: World) -> None:
    """One sees that the other writes, and what they answer, without losing what is half written."""
    one, other = await screen(browser, shop.base), await screen(browser, shop.base, language="en")
    await shop.twilio.write("+14155550177", "Is the blue one in stock?")
    for desk, name in ((one, "lilei"), (other, "hanmeimei")):
        await desk.enter(name, where="#/conversations?view=all")
        await desk.open("blue one")

    await one.page.fill(".composer textarea", "稍等")
    await other.seen(".composing:has-text('李雷')")
    await other.page.fill(".composer textarea", "Let me look")
    await one.say("It is in stock")
    await other.seen(".message.ours:has-text('It is in stock')")
    assert await other.page.input_value(".composer textarea") == "Let me look"
    await other.page.press(".composer textarea", "Enter")
    await one.seen(".message.ours:has-text('Let me look')")
    assert (one.faults, other.faults) == ([], [])
    for desk in (one, other):
        await desk.page.context.close()


async def test_the_second_of_two_answers_is_held(browser: Any, shop: World) -> None:
    """An answer to what somebody else has answered in the same moment is not sent; the agent sees it and may insist."""
    desk = await screen(browser, shop.base)
    await shop.twilio.write("+14155550188", "Do you ship abroad?")
    await desk.enter("lilei", where="#/conversations?view=all")
    await desk.open("ship abroad")
    [conversation] = (await shop.api("GET", "/conversations?q=%2B14155550188"))["items"]

    async def overtaken(route: Any) -> None:
        body = {"text": "To most countries", "agent": "hanmeimei"}
        await shop.api("POST", f"/conversations/{conversation['id']}/replies", body)
        await route.continue_()

    await desk.page.route("**/api/v1/conversations/*/replies", overtaken, times=1)
    await desk.page.fill(".composer textarea", "Yes we do")
    await desk.page.press(".composer textarea", "Enter")

    await desk.seen(".collision:has-text('韩梅梅')")
    await desk.keep("console-collision-zh-1280")
    await desk.page.click(".collision button:has-text('仍然发送')")
    await desk.seen(".message.ours:has-text('Yes we do')")
    await desk.page.context.close()


async def test_it_comes_back_after_the_hub_restarts(browser: Any, shop: World) -> None:
    """While the hub is away that is said; afterwards what was written meanwhile is there, and a draft is not lost."""
    desk = await screen(browser, shop.base)
    await desk.enter("lilei", where="#/conversations?view=all")
    await shop.wechat.write("o-zhou", "请问几点下班")
    await desk.open("几点下班")
    await desk.page.fill(".composer textarea", "写了一半")
    await shop.program.stop()
    await desk.seen(".banner:has-text('连接已断开')")
    await desk.keep("console-away-zh-1280")

    await shop.program.start()
    await desk.seen(".banner", state="hidden")
    await shop.wechat.write("o-zhou", "还在吗")
    await desk.seen(".message.theirs:has-text('还在吗')")
    assert await desk.page.input_value(".composer textarea") == "写了一半"
    await desk.page.reload()
    await desk.seen(".message.theirs:has-text('还在吗')")
    assert await desk.page.input_value(".composer textarea") == "写了一半"
    assert await desk.page.locator(".message.theirs:has-text('还在吗')").count() == 1
    await desk.page.context.close()


async def test_what_is_sent_again_arrives_once(browser: Any, shop: World) -> None:
    """The answer to a call is lost: the same call is made again, and what was added meanwhile waits in the box."""
    desk = await screen(browser, shop.base)
    await desk.enter("lilei", where="#/conversations?view=all")
    await shop.wechat.write("o-shen", "包裹到哪儿了")
    await desk.open("到哪儿了")

    async def lost(route: Any) -> None:
        await route.fetch()
        await route.abort()

    replies = "**/api/v1/conversations/*/replies"
    await desk.page.route(replies, lost)
    await desk.page.fill(".composer textarea", "今天到")
    await desk.page.press(".composer textarea", "Enter")
    await desk.seen(".composer.busy")
    await desk.page.type(".composer textarea", "，请查收")
    photo = {"name": "运单.txt", "mimeType": "text/plain", "buffer": b"SF1234"}
    await desk.page.set_input_files(".composer input[type=file]", photo)
    await desk.seen(".trouble-place .trouble")
    await desk.page.unroute(replies)
    await desk.page.click(".trouble-place button:has-text('再试一次')")
    await desk.seen(".trouble-place .trouble", state="detached")

    assert "，请查收" == await desk.page.input_value(".composer textarea")
    assert 1 == await desk.page.locator(".composer .uploads .file:not(.pending)").count()
    await desk.page.reload()
    await desk.seen(".message.ours:has-text('今天到')")
    assert 1 == await desk.page.locator(".message.ours:has-text('今天到')").count()
    assert "，请查收" == await desk.page.input_value(".composer textarea")
    await desk.page.context.close()


@pytest.mark.parametrize(("language", "width"), [("zh", 375), ("en", 375), ("en", 1280)])
async def test_it_works_on_a_telephone_and_in_both_languages(
    browser: Any, shop: World, language: str, width: int
) -> None:
    """List, thread, answer and back: nothing scrolls sideways, at 375 px and at a desk, in Chinese and English."""
    desk = await screen(browser, shop.base, language=language, size=(width, 760))
    customer = f"o-{language}{width}"
    await shop.wechat.write(customer, f"有没有 {customer} 的新款")
    await desk.enter("lilei")
    await choose_language(desk, language)
    await desk.go("#/conversations?view=all")
    await desk.seen(f".conversation:has-text('{customer}')")
    assert await desk.fits()
    await desk.keep(f"console-list-{language}-{width}")
    await desk.open(customer)
    await desk.say("有的 / yes")
    assert await desk.fits()
    await desk.keep(f"console-thread-{language}-{width}")
    if width < 760:
        await desk.page.click(".thread-head .back")
        await desk.seen(".list-pane .conversation")
    assert (desk.faults, desk.strangers) == ([], [])
    await choose_language(desk, "zh")  # it is the person's, wherever they sign in next
    await desk.page.context.close()


async def test_two_contacts_become_one_and_two_again(browser: Any, shop: World) -> None:
    """Who wrote by two channels is merged from the thread, with a reason, and split again exactly."""
    await shop.wechat.write("o-same", "我是张小姐，换了微信")
    await shop.twilio.write("+14155550199", "This is Miss Zhang")
    desk = await screen(browser, shop.base)
    page = desk.page
    await desk.enter("lilei", where="#/conversations?view=all")
    await desk.open("换了微信")
    await page.keyboard.press("Shift+M")
    await page.fill("dialog input[type=search]", "14155550199")
    await page.click("dialog .choices button")
    await page.fill("dialog input[name=reason]", "电话里确认了")
    await page.click("dialog button[type=submit]")
    await desk.seen(".addresses li:has-text('+14155550199')")
    await desk.keep("console-merged-zh-1280")
    await page.click(".customer button:has-text('拆分')")
    await page.fill("dialog input[name=reason]", "两个人")
    await page.click("dialog button[type=submit]")
    await desk.seen(".addresses li:has-text('+14155550199')", state="detached")
    assert [] == desk.faults
    await page.context.close()


READ_WHILE_IT_COMES = """async () => {
  const loaded = performance.getEntriesByType("resource").map((one) => one.name);
  const { Source } = await import(loaded.find((name) => name.endsWith("/desk/source.js")));
  const { items } = await (await fetch("/api/v1/conversations?limit=1")).json();
  const list = new Source({}, () => {});
  const reading = list.again();
  list.take({ ...items[0], id: "c0-new", last_message_at: "2099-01-01T00:00:00Z" });
  await reading;
  return list.items[0].id;
}"""


async def test_who_writes_while_the_list_is_read_stays_on_it(browser: Any, shop: World) -> None:
    """What a stream tells while the same list is on its way is newer than that list."""
    desk = await screen(browser, shop.base)
    await shop.wechat.write("o-first", "在吗")
    await desk.enter("lilei", where="#/conversations?view=all")
    await desk.seen(".conversation:has-text('在吗')")
    assert await desk.page.evaluate(READ_WHILE_IT_COMES) == "c0-new"
    await desk.page.context.close()


async def choose_language(desk: Screen, language: str) -> None:
    """Choose the language in one's own menu."""
    await desk.page.click(".rail > button")
    await desk.page.click(f".menu button:has-text('{'简体中文' if language == 'zh' else 'English'}')")
    await desk.seen(f".rail:has-text('{'对话' if language == 'zh' else 'Inbox'}')")
