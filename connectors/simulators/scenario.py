"""The demo: customers of a shop write on every built-in channel, agents answer, platforms misbehave.

Each step says what should come of it and looks whether it did; `play` returns 0 only if all did.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email.message
import email.policy
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rich.cells import set_cell_size
from rich.console import Console
from rich.markup import escape

from connectors.simulators.tiktok_pushes import Push
from connectors.simulators.twilio import Refused
from connectors.simulators.wechat import Fault
from connectors.simulators.world import MAILBOX, PASSWORD, PATIENCE, PEOPLE, TOKEN, World, world

WIDTHS = (8, 12, 10, 32, 36)
HEADS = {
    "en": ("time", "channel", "customer", "what happens", "what should come of it", ""),
    "zh-CN": ("时间", "渠道", "客户", "发生了什么", "应有的结果", ""),
}
SAID = {
    "en": {
        "intro": "Huiliu demo: every platform is simulated on this machine; the hub is real.",
        "all": "{} of {} steps ended as they should.",
        "counts": "received = recorded + duplicate + ignored + shunted",
        "where": "Console: {console}   Chat page: {chat}   API: {api}",
        "stay": "The hub goes on. Chat page: {chat}   Survey page: {survey}   API: {api}   token: {token}   "
        "Ctrl-C ends it.",
        "console": "Console: {console}   sign in as {names}   password: {password}",
        "log": "The hub's log:",
    },
    "zh-CN": {
        "intro": "汇流演示：所有平台都在本机模拟，汇流本身是真实运行的。",
        "all": "{} / {} 个步骤的结果正确。",
        "counts": "收到 = 已记录 + 重复 + 忽略 + 无法解析",
        "where": "控制台：{console}   聊天页：{chat}   API：{api}",
        "stay": "汇流继续运行。聊天页：{chat}   问卷页：{survey}   API：{api}   令牌：{token}   按 Ctrl-C 结束。",
        "console": "控制台：{console}   账号：{names}   密码：{password}",
        "log": "汇流日志：",
    },
}
SHARED = 1.5  # the hub shares its counts once a second
SMALL_TALK = ("你好，在吗？", "这件有M码吗", "什么时候发货", "我要退款", "质量太差，我要投诉", "谢谢")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. *play* raises `AssertionError` when what came of it is not what should."""

    channel: str
    customer: str
    what: tuple[str, str]
    outcome: tuple[str, str]
    play: Callable[[World], Awaitable[None]]


class Table:
    """Rows that appear as things happen; columns line up for Chinese, too."""

    def __init__(self, locale: str) -> None:
        self.locale = locale if locale in HEADS else "en"
        self.console = Console(highlight=False)
        self.say("intro")

    def head(self) -> None:
        """Print what the columns are."""
        self._row(HEADS[self.locale], "bold")

    def _row(self, cells: tuple[str, ...], style: str = "") -> None:
        padded = [set_cell_size(cell, width) for cell, width in zip(cells, WIDTHS, strict=False)]
        self.console.print("  ".join([*padded, *cells[len(WIDTHS) :]]), style=style, soft_wrap=True, markup=False)

    def step(self, step: Step, error: str) -> None:
        """Print what became of a step."""
        index = 0 if self.locale == "en" else 1
        mark = "✘ " + error if error else "✔"
        cells = (time.strftime("%H:%M:%S"), step.channel, step.customer, step.what[index], step.outcome[index], mark)
        self._row(cells, "red" if error else "")

    def say(self, name: str, **values: Any) -> None:
        """Print a sentence."""
        self.console.print(escape(SAID[self.locale][name].format(**values)), soft_wrap=True)


async def until(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Return what *look* finds once it finds something. Raises `AssertionError` when it does not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not (found := await look()):
        assert loop.time() < deadline, f"in vain: {what}"
        await asyncio.sleep(0.05)
    return found


async def conversation(w: World, words: str, *, channel: str = "") -> dict[str, Any]:
    """Return the conversation in which a customer wrote *words*."""

    async def look() -> dict[str, Any] | None:
        for one in (await w.api("GET", f"/conversations?channel={channel}&limit=200"))["items"]:
            messages = (await w.api("GET", f"/conversations/{one['id']}/messages"))["items"]
            if any(words in message["text"] and message["direction"] == "inbound" for message in messages):
                found: dict[str, Any] = one
                return found
        return None

    found: dict[str, Any] = await until(look, f"a conversation with {words!r}")
    return found


async def routed(w: World, words: str, team: str, *, channel: str = "") -> dict[str, Any]:
    """Return the conversation with *words* once it is with *team*."""

    async def look() -> dict[str, Any] | None:
        one = await conversation(w, words, channel=channel)
        return one if one["team"] == team else None

    found: dict[str, Any] = await until(look, f"{words!r} with {team}")
    return found


async def held(w: World, one: dict[str, Any]) -> str:
    """Return the agent who got a conversation."""

    async def look() -> str:
        found: str = (await w.api("GET", f"/conversations/{one['id']}"))["agent"]
        return found

    agent: str = await until(look, "an agent")
    return agent


async def answer(w: World, one: dict[str, Any], text: str, state: str = "sent") -> dict[str, Any]:
    """Answer by the API and wait until the delivery is in *state* (or further)."""
    reply = await w.api("POST", f"/conversations/{one['id']}/replies", {"text": text, "client_id": f"demo-{text[:20]}"})
    further = {"sent": ("sent", "delivered", "read"), "delivered": ("delivered", "read")}.get(state, (state,))

    async def look() -> dict[str, Any] | None:
        delivery: dict[str, Any] = await w.api("GET", f"/deliveries/{reply['delivery']['id']}")
        return delivery if delivery["state"] in further else None

    found: dict[str, Any] = await until(look, f"a delivery that is {state}")
    return found


def heard(w: World, openid: str) -> list[str]:
    """Return what a WeChat customer received."""
    return [message.text for message in w.wechat.received[openid]]


async def presale(w: World) -> None:
    await w.wechat.write("o-wang", "这件衣服还有M码吗？")
    one = await routed(w, "M码", "frontdesk")
    await answer(w, one, "有的，今天下单今天发。")
    assert heard(w, "o-wang") == ["有的，今天下单今天发。"]


async def duplicate(w: World) -> None:
    await w.wechat.write("o-li", "我要退款，订单 1001", copies=3)
    one = await routed(w, "订单 1001", "aftersales")
    messages = (await w.api("GET", f"/conversations/{one['id']}/messages"))["items"]
    assert sum(message["direction"] == "inbound" for message in messages) == 1, "repeated pushes gave several messages"
    await held(w, one)


async def complaint(w: World) -> None:
    await w.wechat.write("o-zhang", "再不处理我就投诉到12315！")
    one = await routed(w, "12315", "complaints")
    assert one["priority"] == "urgent"
    assert await held(w, one) == "lilei"

    async def acknowledged() -> bool:
        return len(heard(w, "o-zhang")) == 1

    await until(acknowledged, "an acknowledgement")


async def expired_token(w: World) -> None:
    await w.wechat.write("o-zhao", "发货了吗？")
    one = await routed(w, "发货了吗", "frontdesk")
    before = w.wechat.calls["stable_token"]
    w.wechat.tokens.expire()
    await answer(w, one, "已经发货。")
    assert w.wechat.calls["stable_token"] == before + 1, "not exactly one refresh"


async def closed_window(w: World) -> None:
    await w.wechat.write("o-qian", "周末有活动吗")
    one = await routed(w, "活动", "frontdesk")
    w.wechat.fail("custom/send", Fault(errcode=45015))
    delivery = await answer(w, one, "有的，满 300 减 50。", "dead")
    assert delivery["code"] == "45015"
    assert delivery["id"] in [dead["id"] for dead in (await w.api("GET", "/dead"))["items"]]


async def forged(w: World) -> None:
    push = await w.wechat.write("o-mallory", "我是坏人", forged=True)
    assert 403 in push.statuses, f"answered {push.statuses}"


async def gbk_mail(w: World) -> None:
    part = "--b\r\nContent-Type: text/plain; charset=gb2312\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    name = "=?GBK?B?" + b64("退货单.txt".encode("gbk")) + "?="
    head = (
        "From: =?GB2312?B?" + b64("陈女士".encode("gbk")) + "?= <chen@customer.example>\r\n"
        f"To: {MAILBOX}\r\nSubject: =?GB2312?B?" + b64("申请退货".encode("gbk")) + "?=\r\n"
        "Message-ID: <demo-gbk-1@customer.example>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0800\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    )
    body = f"{part}您好，附件是退货单，请查收。\r\n".encode("gbk")
    file = (
        f'--b\r\nContent-Type: application/octet-stream; name="{name}"\r\n'
        f'Content-Disposition: attachment; filename="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + b64("退货单号 8848".encode("gbk"))
        + "\r\n--b--\r\n"
    )
    await w.mail.deliver(head.encode() + body + file.encode())
    one = await routed(w, "退货单", "aftersales")
    messages = (await w.api("GET", f"/conversations/{one['id']}/messages"))["items"]
    [inbound] = [message for message in messages if message["direction"] == "inbound"]
    [attachment] = inbound["attachments"]
    assert attachment["name"] == "退货单.txt", attachment
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with w.http.get(w.base + attachment["url"], headers=headers) as response:
        assert (await response.read()).decode("gbk") == "退货单号 8848"
    await answer(w, one, "收到，退货已受理。")
    [mail] = [mail for mail in await w.mail.wait_delivered(1) if mail.recipient == "chen@customer.example"]
    sent = email.message_from_bytes(mail.raw, policy=email.policy.default)
    assert sent["In-Reply-To"] == "<demo-gbk-1@customer.example>"


async def plain_mail(w: World) -> None:
    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = "Ann <ann@customer.example>", MAILBOX, "Size chart"
    mail["Message-ID"], mail["Date"] = "<demo-2@customer.example>", "Sat, 21 Nov 2026 10:05:00 +0800"
    mail.set_content("Hello, do you have a size chart?")
    await w.mail.deliver(mail.as_bytes())
    one = await routed(w, "size chart", "frontdesk", channel="service-mail")
    assert one["subject"] == "Size chart"


async def sms(w: World) -> None:
    await w.twilio.write("+14155550101", "Where is my order?")
    one = await routed(w, "Where is my order", "frontdesk", channel="shop-sms")
    await answer(w, one, "It arrives tomorrow.", "delivered")


async def rate_limited_sms(w: World) -> None:
    await w.twilio.write("+14155550102", "I want a refund")
    one = await routed(w, "I want a refund", "aftersales", channel="shop-sms")
    w.twilio.faults.api.append(Refused(429, 20429, "Too Many Requests", {"Retry-After": "1"}))
    delivery = await answer(w, one, "Your refund is on its way.", "delivered")
    assert delivery["attempts"] == 2, f"{delivery['attempts']} attempts"


async def tiktok(w: World) -> None:
    await w.tiktok.write("buyer-1", "can I get a refund for order 577?")
    one = await routed(w, "order 577", "aftersales", channel="shop-tiktok")
    await answer(w, one, "Of course, please tap Return in your order.")
    assert "Of course, please tap Return in your order." in w.tiktok.conversation("buyer-1").texts
    await w.tiktok.settled()
    messages = (await w.api("GET", f"/conversations/{one['id']}/messages"))["items"]
    assert sum(message["direction"] == "outbound" for message in messages) == 1, (
        "the platform's echo was not recognised"
    )


async def garbled(w: World) -> None:
    body = b'{"type":14,"data":"not an object'
    push: Push = w.tiktok.sign(body)
    headers = {"Authorization": push.signature, "Content-Type": "application/json"}
    async with w.http.post(f"{w.base}/hooks/shop-tiktok", data=body, headers=headers) as response:
        assert response.status == 200
    assert "shop-tiktok" in [one["channel"] for one in (await w.api("GET", "/shunted"))["items"]]


async def mainland_sms(w: World) -> None:
    w.aliyun.faults.copies = 2
    await w.aliyun.write("13800138001", "短信问一下，包裹到哪里了？")
    one = await routed(w, "包裹到哪里了", "frontdesk", channel="sms-cn")
    delivery = await answer(w, one, "已到本市，今天派送")
    [message] = w.aliyun.messages
    assert message.content == "【示例商城】您好，客服回复：已到本市，今天派送，如有疑问请直接回复本短信。", (
        message.content
    )
    await w.aliyun.report(message)

    async def delivered() -> bool:
        return bool((await w.api("GET", f"/deliveries/{delivery['id']}"))["state"] == "delivered")

    await until(delivered, "a delivery that is delivered")
    messages = (await w.api("GET", f"/conversations/{one['id']}/messages"))["items"]
    assert sum(message["direction"] == "inbound" for message in messages) == 1, "the second push was not recognised"


async def advertising(w: World) -> None:
    before = len((await w.api("GET", "/conversations?limit=200"))["items"])
    await w.twilio.write("+14155550103", "代开发票，加微信")
    await w.twilio.write("+14155550104", "你好，店里几点关门？")
    await routed(w, "几点关门", "frontdesk")
    assert len((await w.api("GET", "/conversations?limit=200"))["items"]) == before + 1


async def visitor(w: World) -> None:
    one = await w.visitor()
    name = await one.write("网页上的优惠券怎么用？")

    async def acknowledged() -> bool:
        return name in one.acknowledged

    await until(acknowledged, "an acknowledgement of the visitor's message")
    talk = await routed(w, "优惠券", "frontdesk", channel="site-chat")
    await answer(w, talk, "结算时自动抵扣。", "read")
    assert [item["text"] for item in one.received] == ["结算时自动抵扣。"]


async def colleague(w: World) -> None:
    assert await w.wecom.handshake(), "the address did not verify"
    await w.wecom.write("WangFang", "仓库的打印机坏了，找谁？", copies=2)
    one = await routed(w, "打印机", "frontdesk", channel="staff-desk")
    await answer(w, one, "已通知仓库，十分钟内处理。")
    assert [message.text for message in w.wecom.received["WangFang"]] == ["已通知仓库，十分钟内处理。"]


async def second_visitor(w: World) -> None:
    one = await w.visitor()
    await one.write("我要投诉客服不理人")
    await routed(w, "不理人", "complaints", channel="site-chat")

    async def acknowledged() -> bool:
        return bool(one.received)

    await until(acknowledged, "an acknowledgement on the page")


async def resolve(w: World, words: str) -> dict[str, Any]:
    """Resolve the conversation with *words* and return it."""
    one = await conversation(w, words)
    await w.api("POST", f"/conversations/{one['id']}/resolve", {})
    return one


async def responded(w: World, one: dict[str, Any]) -> dict[str, Any]:
    """Return the response of a conversation's customer once it is there."""

    async def look() -> dict[str, Any] | None:
        found: list[dict[str, Any]] = (await w.api("GET", "/surveys/csat/responses"))["items"]
        return next((each for each in found if each["conversation"] == one["id"]), None)

    found: dict[str, Any] = await until(look, "a response to the survey")
    return found


async def survey_menu(w: World) -> None:
    one = await resolve(w, "M码")

    async def menu() -> dict[str, str]:
        return next((message.menu for message in w.wechat.received["o-wang"] if message.menu), {})

    entries = await until(menu, "a menu with scores")
    await w.wechat.choose("o-wang", next(name for name in entries if name.startswith("5@")))
    response = await responded(w, one)
    assert response["answers"] == [{"question": "score", "value": 5}], response
    assert (await w.api("GET", f"/conversations/{one['id']}"))["status"] == "resolved", "the score reopened it"


async def survey_low(w: World) -> None:
    one = await resolve(w, "发货了吗")

    async def asked() -> bool:
        return any(message.menu for message in w.wechat.received["o-zhao"])

    await until(asked, "a menu with scores")
    await w.wechat.write("o-zhao", "１分，等了三天")
    response = await responded(w, one)
    assert [each["value"] for each in response["answers"]] == [1, "等了三天"], response

    async def followed() -> bool:
        now = await w.api("GET", f"/conversations/{one['id']}")
        return bool(now["status"] == "open" and now["team"] == "complaints" and now["priority"] == "urgent")

    await until(followed, "a follow-up")


async def survey_link(w: World) -> None:
    """Leave a page open for whoever watches: its address is printed at the end."""
    await resolve(w, "I want a refund")

    async def link() -> str:
        texts = [text.body for text in w.twilio.messages if text.to == "+14155550102"]
        return next((word for text in texts for word in text.split() if "/s/" in word), "")

    w.survey_page = await until(link, "a text message with a link")
    async with w.http.head(w.survey_page) as looked, w.http.get(w.survey_page) as shown:
        assert (looked.status, shown.status) == (200, 200), (looked.status, shown.status)
    found = (await w.api("GET", "/surveys/csat/responses"))["items"]
    assert not [each for each in found if each["channel"] == "shop-sms"], "looking at the page was taken for an answer"


def b64(data: bytes) -> str:
    """Return base64 as text."""
    return base64.b64encode(data).decode()


STEPS = (
    Step("wechat", "小王", ("asks for a size", "问尺码"), ("front desk, answered", "前台，已回复"), presale),
    Step("wechat", "小李", ("wants a refund; pushed 3 times", "要求退款，平台推送 3 次"), ("after-sales, one message", "售后，只有一条消息"), duplicate),
    Step("wechat", "小张", ("complains", "投诉"), ("urgent, acknowledged once", "紧急，自动回执一次"), complaint),
    Step("wechat", "小赵", ("token expires before the answer", "回复前令牌过期"), ("one refresh, answered", "刷新一次，已回复"), expired_token),
    Step("wechat", "小钱", ("reply window is closed", "回复窗口已关闭"), ("dead letter with the reason", "进入失败列表，写明原因"), closed_window),
    Step("wechat", "mallory", ("bad signature", "签名错误"), ("403, nothing kept", "403，不保存"), forged),
    Step("email", "陈女士", ("mail in GBK with a file", "GBK 邮件带附件"), ("after-sales, file readable, threads", "售后，附件可读，回复成串"), gbk_mail),
    Step("email", "Ann", ("asks for a size chart", "询问尺码表"), ("front desk", "前台"), plain_mail),
    Step("twilio-sms", "+1…0101", ("asks where the order is", "询问订单"), ("answered, delivered", "已回复，已送达"), sms),
    Step("twilio-sms", "+1…0102", ("platform says 429", "平台限流 429"), ("second attempt, delivered", "第二次发送成功"), rate_limited_sms),
    Step("twilio-sms", "+1…0103", ("advertising; then a question", "广告短信；随后有人提问"), ("ignored by a rule; front desk", "按规则忽略；前台"), advertising),
    Step("aliyun-sms", "138…8001", ("asks for parcel; pushed twice", "询问包裹，平台推送 2 次"), ("by an approved template, delivered", "用已批准的模板回复，已送达"), mainland_sms),
    Step("tiktok-shop", "buyer-1", ("wants a refund", "要求退款"), ("after-sales, answered, echo known", "售后，已回复，识别回显"), tiktok),
    Step("tiktok-shop", "—", ("payload nobody can parse", "无法解析的数据"), ("200, shunted", "200，保留待查"), garbled),
    Step("wecom-app", "王芳", ("a colleague asks, pushed twice", "同事提问，平台推送 2 次"), ("front desk, answered", "前台，已回复"), colleague),
    Step("webchat", "visitor 1", ("asks on the site", "网站上提问"), ("answered, read", "已回复，已读"), visitor),
    Step("webchat", "visitor 2", ("complains on the site", "网站上投诉"), ("complaints, acknowledged", "投诉组，自动回执"), second_visitor),
    Step("wechat", "小王", ("resolved: asked by menu, taps 5", "解决后收到评价菜单，点 5"), ("one response, stays resolved", "一份答卷，会话不重开"), survey_menu),
    Step("wechat", "小赵", ("writes “１分，等了三天”", "回复“１分，等了三天”"), ("score and comment, follow-up", "分数和原因，自动回访"), survey_low),
    Step("twilio-sms", "+1…0102", ("gets the survey as a link", "收到问卷链接"), ("looking at it is no answer", "只打开不算回答"), survey_link),
)  # fmt: skip


async def play(*, once: bool, locale: str) -> int:
    """Play the scenario; 0 if every message ended where it should. Without *once* go on until interrupted."""
    table = Table(locale)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with world() as w:
        good = 0
        table.say("where", console=f"{w.base}/console/", chat=f"{w.base}/chat/site-chat", api=f"{w.base}/api/v1")
        table.head()
        for step in STEPS:
            if stop.is_set():
                return int(once)  # whoever ends what would go on for ever has seen no failure
            error = await outcome(step, w)
            table.step(step, error)
            good += not error
        balanced = await books(w, table)
        table.console.print(SAID[table.locale]["all"].format(good, len(STEPS)))
        if good < len(STEPS) or not balanced:
            table.say("log")
            table.console.print(w.log.read_text(encoding="utf-8", errors="replace")[-6000:], markup=False)
            return 1
        if not once:
            await w.people()
            table.say(
                "stay", chat=f"{w.base}/chat/site-chat", survey=w.survey_page, api=f"{w.base}/api/v1", token=TOKEN
            )
            table.say("console", console=f"{w.base}/console/", names=", ".join(PEOPLE), password=PASSWORD)
            await go_on(w, stop)
    return 0


async def outcome(step: Step, w: World) -> str:
    """Play one step and say what went wrong, "" if nothing."""
    try:
        await step.play(w)
    except AssertionError as error:
        return str(error) or "not as expected"
    except Exception as error:  # noqa: BLE001  # the demo tells what happened and goes on
        return f"{type(error).__name__}: {error}"
    return ""


async def books(w: World, table: Table) -> bool:
    """Print the counts per channel once they have been passed on, and tell whether the books balance."""

    async def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await w.api("GET", "/channels"))["items"]
        return found if all(balance(one["counts"]) for one in found) else []

    table.say("counts")
    await asyncio.sleep(SHARED)
    try:
        found = await until(look, "counts that add up")
    except AssertionError:
        return False
    for one in found:
        counts = one["counts"]
        parts = " + ".join(str(counts.get(name, 0)) for name in ("recorded", "duplicate", "ignored", "shunted"))
        table.console.print(f"  {one['id']:<14} {counts.get('received', 0):>4} = {parts}", markup=False)
    return True


def balance(counts: dict[str, int]) -> bool:
    """Tell whether everything that a channel received ended as exactly one thing."""
    ends = sum(counts.get(name, 0) for name in ("recorded", "duplicate", "ignored", "shunted"))
    return counts.get("received", 0) == ends > 0


async def go_on(w: World, stop: asyncio.Event) -> None:
    """Let customers write now and then until *stop*."""
    chance = random.Random(7)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(2, 6)):
                await stop.wait()
        if not stop.is_set():
            await w.wechat.write(f"o-guest-{chance.randrange(9)}", chance.choice(SMALL_TALK))
