"""Every channel asks in its own form, and takes the answer in it: all of them at once, through their simulators."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.message
import email.policy
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from connectors.simulators.scenario import conversation, until
from connectors.simulators.world import MAILBOX, World, world

FORM = re.compile(r'name="(_\w+)" value="([^"]*)"')
Ask = Callable[[World], Awaitable[tuple[str, str]]]


async def resolved(w: World, words: str, channel: str) -> str:
    """Resolve the conversation in which a customer wrote *words*; return its id."""
    one = await conversation(w, words, channel=channel)
    await w.api("POST", f"/conversations/{one['id']}/resolve", {})
    return str(one["id"])


async def found(look: Callable[[], Any], what: str) -> Any:
    async def again() -> Any:
        return look()

    return await until(again, what)


async def wechat_menu(w: World) -> tuple[str, str]:
    """A menu whose entries are tapped; the platform gives back the id of the entry."""
    await w.wechat.write("o-menu", "菜单前的问题")
    one = await resolved(w, "菜单前的问题", "shop-wechat")
    menu = await found(lambda: next((m.menu for m in w.wechat.received["o-menu"] if m.menu), None), "a menu")
    assert ["1 非常不满意", "5 非常满意"] == [label for label in menu.values() if "非常" in label]
    await w.wechat.choose("o-menu", next(name for name, label in menu.items() if label == "4 满意"))
    return one, "button"


async def wechat_words(w: World) -> tuple[str, str]:
    """Words typed under the menu."""
    await w.wechat.write("o-words", "打字前的问题")
    one = await resolved(w, "打字前的问题", "shop-wechat")
    await found(lambda: [m for m in w.wechat.received["o-words"] if m.menu], "a menu")
    await w.wechat.write("o-words", "满意")
    return one, "reply"


async def wechat_template(w: World) -> tuple[str, str]:
    """What the platform has approved, with a link to the page, where all answers that the customer allowed are out."""
    await w.wechat.write("o-template", "窗口用完前的问题")
    one = (await conversation(w, "窗口用完前的问题", channel="shop-wechat"))["id"]
    for number in range(5):
        await w.api("POST", f"/conversations/{one}/replies", {"text": f"第 {number} 条"})
    await found(lambda: len(w.wechat.received["o-template"]) >= 5, "five answers")
    await w.api("POST", f"/conversations/{one}/resolve", {})
    asked = await found(
        lambda: next((t for t in w.wechat.templates if t["touser"] == "o-template"), None), "a template"
    )
    assert ("asked-1", one) == (asked["template_id"], asked["data"]["keyword1"]["value"])
    async with w.http.get(asked["url"]) as page:
        text = await page.text()
    async with w.http.post(asked["url"], data={**dict(FORM.findall(text)), "score": "4"}) as done:
        assert done.status == 200
    return one, "page"


async def chat_buttons(w: World) -> tuple[str, str]:
    """Buttons in the web chat."""
    visitor = await w.visitor()
    await visitor.write("网页上的问题一")
    one = await resolved(w, "网页上的问题一", "site-chat")
    card = await found(lambda: next((item for item in visitor.received if item.get("choices")), None), "buttons")
    four = next(choice for choice in card["choices"] if choice["label"].startswith("4"))
    await visitor.write(four["label"], four["id"])
    return one, "button"


async def text_message(w: World) -> tuple[str, str]:
    """A text message with a number to reply by, and a link."""
    await w.twilio.write("+14155550177", "could you tell me when you are open please")
    one = await resolved(w, "when you are open", "shop-sms")
    text = await found(
        lambda: next((m.body for m in w.twilio.messages if m.to == "+14155550177" and "/s/" in m.body), None), "a text"
    )
    assert "1 to 5" in text
    await w.twilio.write("+14155550177", "4")
    return one, "reply"


async def marketplace(w: World) -> tuple[str, str]:
    """Plain words without a link on a marketplace, which forbids links."""
    await w.tiktok.write("buyer-77", "I would like to know if you have it in blue please")
    one = await resolved(w, "have it in blue", "shop-tiktok")
    text = await found(
        lambda: next((t for t in w.tiktok.conversation("buyer-77").texts if "1 to 5" in t), None), "a message"
    )
    assert "/s/" not in text
    await w.tiktok.write("buyer-77", "Satisfied")
    return one, "reply"


def mail(sender: str, subject: str, text: str, **headers: str) -> bytes:
    made = email.message.EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"], made["Subject"] = sender, MAILBOX, subject
    made["Message-ID"], made["Date"] = f"<{abs(hash((sender, text)))}@x.example>", "Sat, 21 Nov 2026 10:05:00 +0800"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made.as_bytes()


async def asked_by_mail(w: World, who: str, question: str) -> tuple[str, email.message.EmailMessage]:
    for _ in range(10):  # what came before the mailbox was first read is not the hub's; a copy is the same mail
        await w.mail.deliver(mail(f"Bo <{who}>", "A question", question))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await conversation(w, question, channel="service-mail")
                break
    one = await resolved(w, question, "service-mail")
    raw = await found(
        lambda: next((m.raw for m in w.mail.delivered if m.recipient == who and b"/s/" in m.raw), None), "a mail"
    )
    return one, email.message_from_bytes(raw, policy=email.policy.default)


async def one_click(w: World) -> tuple[str, str]:
    """One-click scores in a mail lead to the page with the score chosen; the form makes it an answer."""
    one, asked = await asked_by_mail(w, "bo@customer.example", "Do you ship abroad?")
    html = asked.get_body(("html",)).get_content()  # type: ignore[union-attr]
    links = re.findall(r'href="([^"]+/s/[^"]+)"', html)
    assert 5 == len(links)
    async with w.http.get(links[3]) as page:
        text = await page.text()
    assert re.findall(r'value="(\d)" checked', text) == ["4"]
    async with w.http.post(links[3], data={**dict(FORM.findall(text)), "score": "4"}) as done:
        assert done.status == 200
    return one, "page"


async def mail_reply(w: World) -> tuple[str, str]:
    """A reply to the mail that says nothing but 4."""
    one, asked = await asked_by_mail(w, "cy@customer.example", "Is there a warranty?")
    await w.mail.deliver(mail("Cy <cy@customer.example>", "Re: A question", "4", In_Reply_To=str(asked["Message-ID"])))
    return one, "reply"


FORMS: list[Ask] = [
    wechat_menu,
    wechat_words,
    wechat_template,
    chat_buttons,
    text_message,
    marketplace,
    one_click,
    mail_reply,
]


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as made:
        yield made


async def test_every_channel_asks_and_hears_in_its_own_form(w: World) -> None:
    """Menu, words, template, buttons, text, marketplace, click, mail: one valid 4 each, and nothing is reopened."""
    answered = dict(await asyncio.gather(*(form(w) for form in FORMS)))

    async def responses() -> dict[str, dict[str, Any]]:
        items = (await w.api("GET", "/surveys/csat/responses"))["items"]
        by_conversation = {one["conversation"]: one for one in items}
        return by_conversation if by_conversation.keys() >= answered.keys() else {}

    kept = await until(responses, "all responses")
    assert answered == {name: one["via"] for name, one in kept.items()}
    assert {("score", 4)} == {(one["answers"][0]["question"], one["answers"][0]["value"]) for one in kept.values()}
    states = [(await w.api("GET", f"/conversations/{name}"))["status"] for name in answered]
    assert {"resolved"} == set(states)
