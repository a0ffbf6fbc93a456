"""The chat page and the widget in a real browser: what a visitor sees, and what survives what he goes through."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import async_playwright

from connectors.testing import attachment
from tests.chat_stage import SHOP_KEY, Stage, chat_stage, identity
from tests.stores import require_peer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.once]

# A browser that calls nobody on its own account.
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
]

HOSTILE = [
    "<script>hit(1)</script>",
    "<img src=x onerror=hit(2)>",
    "<svg/onload=hit(3)>",
    '"><iframe srcdoc="<script>parent.hit(4)</script>">',
    "javascript:hit(5)",
    'https://a.example/"onmouseover=hit(6) x="',
    "https://a.example/'><b>hit</b>",
    "data:text/html,<script>hit(7)</script>",
    "</textarea></title></script><script>hit(8)</script>",
    "{{constructor.constructor('hit(9)')()}}",
    "${hit(10)} `hit(11)`",
    "\u202e)21(tih>tpircs<",
    "java\tscript:hit(12) https://java\nscript:hit(13)",
    "<a href=javascript:hit(14)>https://a.example</a>",
]


# How Chromium reports that there is no network, or a hub that said "not now".
EXPECTED = re.compile(r"ERR_INTERNET_DISCONNECTED|status of 503")

EVIL_NAME = '"><img src=x onerror=hit(20)>.html'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    chromium = require_peer("chromium")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(chromium), args=QUIET)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with chat_stage() as stage:
        yield stage


@asynccontextmanager
async def browsing(browser: Any, stage: Stage, **context: Any) -> AsyncIterator[Any]:
    """Open the chat page as a new visitor, for tests that do what a page should not."""
    opened = await browser.new_context(**context)
    page = await opened.new_page()
    await page.goto(f"{stage.url}/chat/site-chat")
    await page.wait_for_selector("[data-state=online]")
    yield page
    await opened.close()


@asynccontextmanager
async def visit(browser: Any, stage: Stage, **context: Any) -> AsyncIterator[Any]:
    """Open the chat page as a new visitor; afterwards nothing may have gone wrong or gone elsewhere."""
    opened = await browser.new_context(**{"locale": "en-US", "viewport": {"width": 375, "height": 740}, **context})
    page = await opened.new_page()
    wrong = watch(page, stage.url)
    await page.goto(f"{stage.url}/chat/site-chat")
    await page.wait_for_selector("[data-state=online]")
    yield page
    await opened.close()
    assert wrong == []


def watch(page: Any, *hosts: str) -> list[str]:
    """Collect whatever a page should not do: run errors, open dialogs, break its policy, call other hosts."""
    wrong: list[str] = []

    async def dialog(box: Any) -> None:
        wrong.append(f"dialog {box.message}")
        await box.dismiss()

    def line(said: Any) -> None:
        if said.type == "error" and not EXPECTED.search(said.text):
            wrong.append(said.text)

    def request(call: Any) -> None:
        if not call.url.startswith((*hosts, "blob:")):
            wrong.append(f"request {call.url}")

    page.on("dialog", dialog)
    page.on("pageerror", lambda error: wrong.append(f"error {error}"))
    page.on("console", line)
    page.on("request", request)
    return wrong


async def holds(page: Any, condition: str) -> None:
    """Wait until *condition*, a JavaScript expression, holds on the page, whose policy allows no compiled polling."""
    look = (
        f"new Promise((done) => {{ const look = () => ({condition}) ? done() : requestAnimationFrame(look); look(); }})"
    )
    await asyncio.wait_for(page.evaluate(look), 30)


async def write(page: Any, text: str) -> None:
    await page.fill("#text", text)
    await page.keyboard.press("Enter")


async def address(stage: Stage, count: int = 1) -> str:
    await stage.until(lambda: len(stage.messages) >= count)
    return stage.messages[-1].address


async def texts(page: Any) -> list[str]:
    """Return the conversation as it stands on the page, the greeting left out."""
    shown: list[str] = await page.locator(".entry .text").all_inner_texts()
    return shown[1:]


async def test_visitor_writes_and_an_answer_appears(browser: Any, stage: Stage) -> None:
    """The visitor's words reach the hub and are marked as sent; the answer appears and is reported as read."""
    async with visit(browser, stage) as page:
        await write(page, "Where is my parcel?")
        visitor = await address(stage)
        await page.wait_for_selector(".own[data-state=sent]")
        await stage.say(visitor, "On its way: https://track.example/x?a=1&b=2.", author="Li Lei")
        link = page.locator(".shop .text a")
        assert await link.get_attribute("href") == "https://track.example/x?a=1&b=2"
        assert await link.get_attribute("rel") == "noopener noreferrer nofollow"
        await stage.until(lambda: [(one.message_id, one.state) for one in stage.receipts] == [("d1", "read")])

        assert await texts(page) == ["Where is my parcel?", "On its way: https://track.example/x?a=1&b=2."]
        assert await page.locator(".meta .author").inner_text() == "Li Lei"
    assert [message.text for message in stage.messages] == ["Where is my parcel?"]


async def test_reload_shows_the_same_conversation(browser: Any, stage: Stage) -> None:
    """After a reload the visitor is the same one and sees both sides in order, and nothing is reported twice."""
    async with visit(browser, stage) as page:
        await write(page, "one")
        visitor = await address(stage)
        await stage.say(visitor, "two", id="d1")
        await page.wait_for_selector(".shop >> text=two")
        await write(page, "three")
        await page.wait_for_selector(".own[data-state=sent] >> text=three")  # else it is rightly sent again
        await stage.until(lambda: len(stage.receipts) == 1)
        await page.reload()
        await page.wait_for_selector(".own >> text=three")
        assert await texts(page) == ["one", "two", "three"]
        await write(page, "four")

        assert await address(stage, 3) == visitor
    assert (stage.repeats, len(stage.receipts)) == (0, 1)


async def test_second_tab_follows(browser: Any, stage: Stage) -> None:
    """Two tabs of one visitor show the same conversation."""
    async with visit(browser, stage) as page:
        other = await page.context.new_page()
        await other.goto(f"{stage.url}/chat/site-chat")
        await other.wait_for_selector("[data-state=online]")
        await write(page, "from the first")
        await other.wait_for_selector(".own >> text=from the first")
        await write(other, "from the second")
        await page.wait_for_selector(".own >> text=from the second")

        assert await texts(page) == await texts(other) == ["from the first", "from the second"]
    assert {message.address for message in stage.messages} == {await address(stage)}


async def test_offline_messages_are_sent_once(browser: Any, stage: Stage) -> None:
    """What is written without a connection is kept, shown as waiting, and sent once, in order, when it is back."""
    async with visit(browser, stage) as page:
        await write(page, "before")
        await address(stage)
        await page.context.set_offline(True)
        await page.wait_for_selector("#banner:not([hidden])")
        for text in ("first", "second", "third"):
            await write(page, text)
        assert await page.locator(".own[data-state=queued]").count() == 3
        await page.context.set_offline(False)
        await stage.until(lambda: len(stage.messages) == 4)
        await page.wait_for_selector("#banner", state="hidden")
        await holds(page, "document.querySelectorAll('.own[data-state=sent]').length === 4")

    assert [message.text for message in stage.messages] == ["before", "first", "second", "third"]


async def test_unsent_message_survives_the_page(browser: Any, stage: Stage) -> None:
    """A message that the hub could not store stays with the visitor, over a reload, until the hub has it."""
    async with visit(browser, stage) as page:
        stage.down = True
        await write(page, "do not lose me")
        await page.wait_for_selector(".own[data-state=queued]")
        await page.reload()
        await page.wait_for_selector(".own[data-state=queued] >> text=do not lose me")
        assert stage.messages == []
        stage.down = False
        await stage.until(lambda: len(stage.messages) == 1)
        await page.wait_for_selector(".own[data-state=sent]")

        assert await texts(page) == ["do not lose me"]
        assert await page.evaluate("Object.keys(localStorage).filter((key) => key.includes('out:')).length") == 0


async def test_lost_connection_comes_back(browser: Any, stage: Stage) -> None:
    """A socket that breaks is opened again, and what was said meanwhile appears once."""
    async with visit(browser, stage) as page:
        await write(page, "hello")
        visitor = await address(stage)
        for number in range(3):
            for request in tuple(stage.ingress._sites._sockets.values()):
                assert request.transport is not None
                request.transport.abort()
            await stage.say(visitor, f"answer {number}", id=f"d{number}")
            await page.wait_for_selector(f".shop >> text=answer {number}")

        assert await texts(page) == ["hello", "answer 0", "answer 1", "answer 2"]


async def test_chat_without_sockets(browser: Any, stage: Stage) -> None:
    """Where a proxy lets no socket through, the chat works by polling."""
    context = await browser.new_context(locale="en-US")
    await context.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onclose({code: 1006})); } close() {} }"
    )
    page = await context.new_page()
    await page.goto(f"{stage.url}/chat/site-chat")
    await page.wait_for_selector("[data-state=online]")
    await write(page, "by post")
    await stage.say(await address(stage), "by poll")
    await page.wait_for_selector(".shop >> text=by poll")
    await page.wait_for_selector(".own[data-state=sent]")

    assert await texts(page) == ["by post", "by poll"]
    await context.close()


async def test_hostile_text_stays_text(browser: Any, stage: Stage) -> None:
    """Nothing that either side writes, names or links becomes markup, runs, or makes the page call anybody."""
    async with visit(browser, stage) as page:
        await page.evaluate("window.hits = []; window.hit = (n) => hits.push(n); null")
        for number, text in enumerate(HOSTILE):
            await write(page, text)
            visitor = await address(stage, number + 1)
            media = [] if number else [attachment(EVIL_NAME, "text/html", url="https://a.example/x#javascript:hit(21)")]
            await stage.say(visitor, text, id=f"d{number}", author=text, media=media)
        await holds(page, f"document.querySelectorAll('.shop').length === {len(HOSTILE) + 1}")
        links = await page.eval_on_selector_all(".bubble a", "nodes => nodes.map((node) => node.protocol)")

        assert await page.evaluate("hits") == []
        assert set(links) <= {"http:", "https:"}
        assert (
            await page.locator(
                ".bubble script, .bubble iframe, .bubble svg, .bubble b, .bubble :is([onerror],[onload])"
            ).count()
            == 0
        )
        for text in HOSTILE:
            assert await page.locator(".shop .text").filter(has_text=re.sub(r"\s+", " ", text)).count() >= 1, text


async def test_policy_stops_what_the_code_would_not(browser: Any, stage: Stage) -> None:
    """Even a script that found a way in could add no markup, compile no text and call no other host."""
    async with browsing(browser, stage) as page:
        outcomes = await page.evaluate(
            """async () => {
                const tries = {
                    markup: () => (document.body.innerHTML = "<b>x</b>"),
                    handler: () => document.body.setAttribute("onclick", "hit()"),
                    script: () => document.body.append(
                        Object.assign(document.createElement("script"), { text: "hit()" })
                    ),
                    call: () => fetch("https://elsewhere.example/"),
                };
                const outcomes = {};
                for (const [name, act] of Object.entries(tries)) {
                    try { await act(); outcomes[name] = "done"; } catch (error) { outcomes[name] = error.name; }
                }
                return outcomes;
            }"""
        )

    assert outcomes == dict.fromkeys(("markup", "handler", "script", "call"), "TypeError")


async def test_files_go_and_come(browser: Any, stage: Stage, tmp_path: Path) -> None:
    """A picture is sent with its real type and shown at once; one that is too large is refused before it leaves."""
    (tmp_path / "photo.png").write_bytes(picture())
    (tmp_path / "film.mp4").write_bytes(bytes((10 << 20) + 1))
    async with visit(browser, stage) as page:
        await page.set_input_files("#file", tmp_path / "photo.png")
        await address(stage)
        await page.wait_for_selector(".own[data-state=sent] .picture")
        await page.set_input_files("#file", tmp_path / "film.mp4")
        await page.wait_for_selector(".own[data-state=failed] >> text=at most 10 MB")
        assert len(stage.messages) == 1
        await page.click(".own[data-state=failed] >> text=Remove")
        await page.wait_for_selector(".own[data-state=failed]", state="detached")
    message = stage.messages[0]

    assert (message.type, message.media[0].type, message.media[0].name) == ("image", "image/png", "photo.png")
    assert message.media[0].data == picture()


async def test_failed_file_can_be_sent_again(browser: Any, stage: Stage, tmp_path: Path) -> None:
    """A file that did not arrive says so and goes again by one click, under the same id."""
    (tmp_path / "note.txt").write_text("hello")
    async with visit(browser, stage) as page:
        stage.down = True
        await page.set_input_files("#file", tmp_path / "note.txt")
        await page.wait_for_selector(".own[data-state=failed]")
        stage.down = False
        await page.click("text=Try again")
        await page.wait_for_selector(".own[data-state=sent] >> text=note.txt")
        await page.reload()
        await page.wait_for_selector(".own .card")

        assert await page.locator(".own").count() == 1
    assert (len(stage.messages), stage.repeats) == (1, 0)


def picture() -> bytes:
    """Return a PNG of 40 by 30 grey points."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\x80" * 40) * 30)
    head = struct.pack(">IIBBBBB", 40, 30, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def test_typing_shows_and_goes(browser: Any, stage: Stage) -> None:
    """The visitor sees that somebody types, until he stops or the answer is there."""
    async with visit(browser, stage) as page:
        await write(page, "hello")
        visitor = await address(stage)
        await stage.chat.typing(visitor, "", on=True)
        await page.wait_for_selector("#typing:not([hidden])")
        await stage.chat.typing(visitor, "", on=False)
        await page.wait_for_selector("#typing", state="hidden")


async def test_input_method_keeps_its_enter(browser: Any, stage: Stage) -> None:
    """Enter that chooses a Chinese word sends nothing; Shift and Enter begin a line; Enter alone sends."""
    async with visit(browser, stage, locale="zh-CN") as page:
        await page.fill("#text", "ni hao")
        await page.dispatch_event("#text", "keydown", {"key": "Enter", "isComposing": True})
        await page.dispatch_event("#text", "keydown", {"key": "Enter", "keyCode": 229})
        assert await page.input_value("#text") == "ni hao"
        await page.fill("#text", "第一行")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("第二行")
        await page.keyboard.press("Enter")
        await address(stage)

    assert stage.messages[0].text == "第一行\n第二行"


@pytest.mark.parametrize(
    ("locale", "lang", "names"),
    [
        ("zh-CN", "zh-CN", ["发送图片或文件", "输入消息", "发送", "对话记录"]),
        ("en-US", "en", ["Send a picture or file", "Write a message", "Send", "Conversation"]),
    ],
)
async def test_everything_has_a_name(browser: Any, stage: Stage, locale: str, lang: str, names: list[str]) -> None:
    """Who cannot see the page is told what everything is, in his language, and reaches it by keyboard alone."""
    attach, text, send, log = names
    async with visit(browser, stage, locale=locale) as page:
        assert await page.evaluate("document.documentElement.lang") == lang
        for role, name in (("button", attach), ("textbox", text), ("button", send), ("log", log)):
            assert await page.get_by_role(role, name=name, exact=True).count() == 1, name
        assert await page.get_attribute("#log", "aria-live") == "polite"
        await page.keyboard.type("hi")  # the page opens with the text field in focus
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await address(stage)
        assert await page.evaluate("document.activeElement.id") == "text"
        await page.keyboard.press("Shift+Tab")
        assert await page.evaluate("document.activeElement.id") == "attach"


@pytest.mark.parametrize("width", [320, 375, 1280])
async def test_nothing_sticks_out(browser: Any, stage: Stage, width: int) -> None:
    """Whatever is written, the page is never wider than the screen, and every control can be hit by a finger."""
    async with visit(browser, stage, viewport={"width": width, "height": 640}) as page:
        await write(page, "x" * 400)
        visitor = await address(stage)
        await stage.say(visitor, "https://example.com/" + "y" * 400 + " " + "没有空格的长句子" * 40, author="名" * 60)
        await page.wait_for_selector(".shop .text a")
        size = "(node) => { const box = node.getBoundingClientRect(); return [box.width, box.height]; }"
        controls = [await page.eval_on_selector(one, size) for one in ("#send", "#attach", "#text")]

        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.evaluate("document.querySelector('#room').scrollWidth") <= width
        assert min(min(pair) for pair in controls) >= 44


async def test_reader_keeps_his_place(browser: Any, stage: Stage) -> None:
    """At the end the page follows what comes; further up it stays where it is and offers a way down."""
    async with visit(browser, stage) as page:
        await write(page, "hello")
        visitor = await address(stage)
        for number in range(30):
            await stage.say(visitor, f"line {number}", id=f"d{number}")
        await page.wait_for_selector(".shop >> text=line 29")
        await holds(page, AT_END)
        await page.hover("#room")
        await page.mouse.wheel(0, -600)
        await holds(page, f"!({AT_END})")
        before = await page.evaluate("document.querySelector('#room').scrollTop")
        await stage.say(visitor, "news", id="d99")
        await page.wait_for_selector("#down:not([hidden])")
        assert abs(await page.evaluate("document.querySelector('#room').scrollTop") - before) < 5
        await page.click("#down")
        await holds(page, AT_END)


AT_END = "(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight < 60)(room)"


# The widget on a shop's site


@asynccontextmanager
async def shop(widget_of: str, policy: str) -> AsyncIterator[str]:
    """Serve a shop's page with a chat widget and a strict policy, on another origin; give its address.

    Its query is the identity that the shop gives its customer.
    """

    async def answer(request: web.BaseRequest) -> web.Response:
        html = (
            '<!doctype html><html lang="zh-CN"><meta name="viewport" content="width=device-width"><h1>示例商城</h1>'
            f'<script src="{widget_of}/chat/site-chat/widget.js" data-user="{request.query_string}" async></script>'
        )
        return web.Response(text=html, content_type="text/html", headers={"Content-Security-Policy": policy})

    listening = socket.create_server(("127.0.0.1", 0))
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield f"http://localhost:{listening.getsockname()[1]}"
    finally:
        await runner.cleanup()


def strict(hub: str) -> str:
    """Return the policy that docs/channels/webchat.md asks of a shop, and nothing more."""
    return f"default-src 'none'; script-src {hub}; frame-src {hub}; require-trusted-types-for 'script'"


async def test_widget_in_a_shop(browser: Any) -> None:
    """One script tag gives a button, behind it the chat; an answer that comes while it is shut shows on the button."""
    hub = socket.create_server(("127.0.0.1", 0))
    address_of_hub = f"http://127.0.0.1:{hub.getsockname()[1]}"
    async with (
        shop(address_of_hub, strict(address_of_hub)) as site,
        chat_stage({"allowed_origins": [site]}, listening=hub) as stage,
        browsing(browser, stage) as page,
    ):
        wrong = watch(page, site, stage.url)
        await page.goto(site)
        button = page.get_by_role("button", name="在线客服")
        await button.click()
        chat = page.frame_locator("iframe")
        await chat.locator("[data-state=online]").wait_for()
        await chat.locator("#text").fill("你好")
        await chat.locator("#send").click()
        visitor = await address(stage)
        await chat.locator(".own[data-state=sent]").wait_for()
        await chat.locator("#close").click()
        await chat.locator("body").wait_for(state="hidden")
        await stage.say(visitor, "在吗？")
        await stage.until(lambda: [one.state for one in stage.receipts] == ["delivered"])
        await page.get_by_role("button", name="在线客服 (1)").click()
        await chat.locator(".shop >> text=在吗？").wait_for()
        await stage.until(lambda: [one.state for one in stage.receipts][-1:] == ["read"])

        assert await page.evaluate("Object.keys(window).filter((name) => /huiliu/i.test(name))") == ["Huiliu"]
        assert [one.state for one in stage.receipts] == ["delivered", "read"]
        assert wrong == []


async def test_customer_of_the_shop(browser: Any) -> None:
    """A customer whom the shop names has his conversation, and leaves nothing of it to who comes after him."""
    hub = socket.create_server(("127.0.0.1", 0))
    at = f"http://127.0.0.1:{hub.getsockname()[1]}"
    async with (
        shop(at, strict(at)) as site,
        chat_stage({"allowed_origins": [site], "identity_secret": SHOP_KEY}, listening=hub) as stage,
        browsing(browser, stage) as page,
    ):
        chat = page.frame_locator("iframe")
        named = identity({"sub": "42", "exp": 4_000_000_000, "name": "韩梅梅"})

        async def come(who: str, text: str) -> list[str]:
            await page.goto(f"{site}/?{who}")
            await page.get_by_role("button", name="在线客服").click()
            await chat.locator("[data-state=online]").wait_for()
            await chat.locator("#text").fill(text)
            await chat.locator("#send").click()
            await chat.locator(".own[data-state=sent]").wait_for()
            shown: list[str] = await chat.locator(".own .text").all_inner_texts()
            return shown

        assert await come(named, "my order") == ["my order"]
        assert await come("", "who was here?") == ["who was here?"]
        assert await come(named, "my order again") == ["my order", "my order again"]
        senders = [(message.address[:10], message.name) for message in stage.messages]

    assert senders == [("visitor:u-", "韩梅梅"), ("visitor:a-", ""), ("visitor:u-", "韩梅梅")]


async def test_widget_in_a_strange_site(browser: Any) -> None:
    """A site that allowed_origins does not name gets no chat in its frame."""
    async with chat_stage() as stage, shop(stage.url, strict(stage.url)) as site, browsing(browser, stage) as page:
        refused, before = asyncio.Event(), dict(stage.counts)
        page.on("console", lambda line: refused.set() if "frame-ancestors" in line.text else None)
        await page.goto(site)
        await page.get_by_role("button", name="在线客服").click()
        await asyncio.wait_for(refused.wait(), 30)

    assert stage.counts == before


OWN_CLIENT = """
async (hub) => {
    const call = (where, token, body) => fetch(`${hub}/chat/site-chat/${where}`, {
        method: body === undefined ? "GET" : "POST",
        headers: {Authorization: `Bearer ${token}`, "Content-Type": "application/json"},
        body: body === undefined ? undefined : JSON.stringify(body),
    });
    const {token} = await (await call("hello", "", {})).json();
    const said = await call("frames", token, {type: "message", id: "client-01", text: "你好"});
    const wrong = await call("frames", "nobody", {type: "ping"});
    const seen = await (await call("poll?after=0", token)).json();
    return [said.status, (await said.json()).type, wrong.status, (await wrong.json()).code, seen[0].text];
}
"""


async def test_site_with_a_client_of_its_own(browser: Any) -> None:
    """An allowed site's own scripts speak the chat's protocol, and read what they are answered; nobody else's do."""
    hub = socket.create_server(("127.0.0.1", 0))
    at = f"http://127.0.0.1:{hub.getsockname()[1]}"
    policy = f"default-src 'none'; connect-src {at}"
    async with (
        shop(at, policy) as site,
        shop(at, policy) as stranger,
        chat_stage({"allowed_origins": [site]}, listening=hub) as stage,
        browsing(browser, stage) as page,
    ):
        await page.goto(site)
        assert await page.evaluate(OWN_CLIENT, at) == [200, "ack", 403, "unverified", "你好"]
        assert [message.text for message in stage.messages] == ["你好"]

        await page.goto(stranger)
        assert await page.evaluate(f"({OWN_CLIENT})({at!r}).catch((error) => error.name)") == "TypeError"


async def test_page_obeys_its_own_site_only(browser: Any, stage: Stage) -> None:
    """Messages of a window that is not the allowed parent change nothing on the page."""
    async with visit(browser, stage) as page:
        await page.evaluate("window.postMessage({huiliu: 'site-chat', user: 'x.y.z', shown: false, close: true}, '*')")
        await write(page, "still me")
        await address(stage)
        await stage.say(stage.messages[0].address, "and me")
        await stage.until(lambda: [one.state for one in stage.receipts] == ["read"])

    assert stage.messages[0].address.startswith("visitor:a-")
