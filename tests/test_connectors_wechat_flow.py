"""WeChat, both ways: the simulated platform pushes through the hub's own door, and is answered within its windows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web

from connectors.base import (
    Event,
    Media,
    Message,
    PlatformTemplate,
    Receipt,
    Rejected,
    SendError,
    Unreachable,
    WindowClosed,
)
from connectors.ingress import Ingress
from connectors.testing import NOW, Platform, Reply, Request, kit, session
from connectors.wechat import WeChat
from connectors.wechat_api import trusted
from connectors.wechat_options import WeChatOptions
from tests.wechat_shop import AMR, JPEG, MP4, OPENID, Shop, open_shop, serving

NATURES = [*((mode, style) for mode in ("plain", "compat", "safe") for style in ("xml", "json"))]


@pytest_asyncio.fixture
async def shop() -> AsyncIterator[Shop]:
    """A service account in safe mode whose customer has just written."""
    async with open_shop() as opened:
        await opened.platform.write(OPENID, "在吗")
        yield opened


@pytest.mark.parametrize(("mode", "style"), NATURES)
async def test_both_ways(mode: str, style: str) -> None:
    """In every mode and format: the address verifies, a customer writes, is answered, and gets what was sent."""
    async with open_shop(mode, style) as shop:
        assert await shop.platform.handshake()
        push = await shop.platform.write(OPENID, "我要退款 ]]> <b> 😀")
        [event] = shop.events

        assert isinstance(event, Message)
        assert (push.statuses, push.taken, event.text) == ((200,), True, "我要退款 ]]> <b> 😀")
        assert event.external_id == str(push.fields["MsgId"])

        await shop.send('马上为您处理 \\u4f60 "引号"')

        assert shop.texts() == ['马上为您处理 \\u4f60 "引号"']


async def test_everything_a_customer_can_do() -> None:
    """Every kind of message and event that the simulated customer knows is taken and becomes one event."""
    async with open_shop() as shop:
        act = shop.platform
        pushes = [
            await act.follow(OPENID, "42"),
            await act.write(OPENID, "你好"),
            await act.choose(OPENID, "101", "满意"),
            await act.picture(OPENID, JPEG),
            await act.voice(OPENID, AMR, "你好"),
            await act.video(OPENID, MP4),
            await act.location(OPENID, 23.1, 113.3, "广州"),
            await act.link(OPENID, "标题", "描述", "https://www.example.com/"),
            await act.page(OPENID, "商品", "pages/item?id=1"),
            await act.menu(OPENID, "HELP"),
            await act.scan(OPENID, "42"),
            await act.enter(OPENID),
            await act.event(OPENID, "VIEW", {"EventKey": "https://www.example.com/"}),
            await act.finish_template(OPENID, 200163836),
            await act.unfollow(OPENID),
        ]
        kinds = [getattr(event, "type", getattr(event, "name", "receipt")) for event in shop.events]

        assert all(push.statuses == (200,) for push in pushes)
        assert shop.shunted == []
        messages = ["text", "text", "image", "voice", "video", "location", "link", "card"]

        assert kinds == ["follow", *messages, "click", "scan", "enter", "view", "receipt", "unfollow"]


async def test_repeats_are_one_message(shop: Shop) -> None:
    """The platform's repeats, identical or not in their envelope, carry the same external id."""
    shop.events.clear()
    push = await shop.platform.write(OPENID, "在吗", copies=3)
    await shop.platform.push(push.fields)

    assert len(shop.events) == 4
    assert {event.external_id for event in shop.events} == {str(push.fields["MsgId"])}


async def test_forged_push_is_refused(shop: Shop) -> None:
    """A push that is signed with another token is answered 403, and nothing of it is kept."""
    shop.events.clear()
    push = await shop.platform.write(OPENID, "在吗", forged=True)

    assert (push.statuses, push.taken) == ((403, 403, 403), False)
    assert shop.events == []
    assert shop.shunted == []


async def test_slow_hub_is_called_three_times(shop: Shop) -> None:
    """The simulated platform behaves like the real one: cut off after its patience, three tries in all."""
    shop.platform.patience = 0.05
    gate = asyncio.Event()
    record = shop.record

    async def slow(channel: str, events: Sequence[Event]) -> None:
        await record(channel, events)
        await gate.wait()

    ingress = Ingress(
        lambda: {"shop": shop}, slow, shop.shunt, public_url="https://h", now=shop.clock, count=lambda *_: None
    )
    async with serving(web.Server(ingress.hook)) as hub:
        shop.platform.hub_url = f"{hub}/hooks/shop"
        push = await shop.platform.write(OPENID, "还在吗")
        gate.set()

    assert (push.statuses, push.taken) == ((0, 0, 0), False)


async def test_media_arrive(shop: Shop) -> None:
    """Pictures and voices are fetched by their media_id, a video by the address that the platform names."""
    await shop.platform.picture(OPENID, JPEG, "image/png")
    await shop.platform.voice(OPENID, AMR)
    await shop.platform.video(OPENID, MP4)
    got = [await shop.connector.fetch(event.media[0]) for event in shop.events[-3:]]

    assert [(one.type, one.data, one.size) for one in got] == [
        ("image/png", JPEG, len(JPEG)),
        ("audio/amr", AMR, len(AMR)),
        ("video/mp4", MP4, len(MP4)),
    ]
    assert got[0].name.endswith(".png")


async def test_lost_media_are_rejected(shop: Shop) -> None:
    """An error that media/get writes as text/plain is not stored as the customer's file; a token error is cured."""
    with pytest.raises(Rejected) as gone:
        await shop.connector.fetch(Media(type="image/jpeg", ref="no-such-id"))
    assert gone.value.code == "40007"
    shop.platform.tokens.expire()
    await shop.platform.picture(OPENID, JPEG)
    fetched = await shop.connector.fetch(shop.events[-1].media[0])

    assert fetched.data == JPEG


async def test_a_file_that_calls_itself_text_is_a_file() -> None:
    """WeChat has called files text/plain (EasyWeChat issue 290, weixin4j issue 15): the bytes say what it is."""

    def script(request: Request) -> Reply:
        if request.path == "/cgi-bin/stable_token":
            return Reply(200, '{"access_token":"scripted-access-token","expires_in":7200}')
        return Reply(200, JPEG, {"Content-Type": "text/plain"})

    async with Platform(script) as platform, session(platform) as http:
        options = {"app_id": "wx1", "app_secret": "secret", "token": "token", "api_base": platform.url}
        connector = WeChat(WeChatOptions.model_validate(options), kit(http=http))
        fetched = await connector.fetch(Media(type="image/jpeg", ref="m1"))

    assert (fetched.type, fetched.data) == ("image/jpeg", JPEG)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, '{"video_url":"http://169.254.169.254/latest"}', {"Content-Type": "text/plain"}), Rejected),
        (Reply(200, "<html>maintenance</html>", {"Content-Type": "text/html"}), Unreachable),
        (Reply(200, "busy", {"Content-Type": "text/plain"}), Unreachable),
        (Reply(200, '{"errcode":', {"Content-Type": "text/plain"}), Unreachable),
    ],
)
async def test_odd_downloads(reply: Reply, error: type[SendError]) -> None:
    """An address outside the platform is not followed, and a page or a broken answer is not taken for the file."""

    def script(request: Request) -> Reply:
        if request.path == "/cgi-bin/stable_token":
            return Reply(200, '{"access_token":"scripted-access-token","expires_in":7200}')
        return reply

    async with Platform(script) as platform, session(platform) as http:
        options = {"app_id": "wx1", "app_secret": "secret", "token": "token", "api_base": platform.url}
        connector = WeChat(WeChatOptions.model_validate(options), kit(http=http))
        with pytest.raises(error):
            await connector.fetch(Media(type="video/mp4", ref="m1"))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://127.0.0.1:8081/x", False),
        ("https://127.0.0.1:8080/x", False),
        ("http://vweixinp.tc.qq.com/x", True),
        ("https://mp.weixin.qq.com/x", True),
        ("https://evilqq.com/x", False),
        ("https://qq.com.evil.cn/x", False),
        ("https://qq.com@169.254.169.254/", False),
        ("http://169.254.169.254/latest", False),
        ("file:///etc/passwd", False),
        ("ftp://a.qq.com/x", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_video_addresses(url: Any, allowed: Any) -> None:
    """A video is fetched from the platform's own domains only, whatever the answer says."""
    assert trusted(url, "http://127.0.0.1:8080", ("qq.com", "qpic.cn")) is allowed


async def test_quota_of_answers(shop: Shop) -> None:
    """The sixth answer to a message is refused; a new message of the customer allows five more."""
    for _ in range(5):
        await shop.send()
    with pytest.raises(WindowClosed) as closed:
        await shop.send()
    assert closed.value.code == "45047"
    await shop.platform.write(OPENID, "还有")
    await shop.send()

    assert len(shop.texts()) == 6


@pytest.mark.parametrize(
    ("act", "seconds", "messages"), [("write", 172_800, 5), ("follow", 60, 3), ("menu", 60, 3), ("scan", 60, 3)]
)
async def test_announced_windows_are_the_platforms(act: Any, seconds: Any, messages: Any) -> None:
    """The window that an event announces is exactly what the platform then allows, in time and in number."""
    async with open_shop() as shop:
        await getattr(shop.platform, act)(OPENID, "x")
        window = cast("Message", shop.events[0]).window
        assert window is not None
        assert (window.seconds, window.messages) == (seconds, messages)
        shop.clock.move(seconds - 1)
        for _ in range(messages - 1):
            await shop.send()
        shop.clock.move(1)
        with pytest.raises(WindowClosed) as closed:
            await shop.send()
        assert closed.value.code == "45015"


async def test_unfollowed_customer_is_out_of_reach(shop: Shop) -> None:
    """After an unfollow nothing can be sent, even within 48 hours."""
    await shop.platform.unfollow(OPENID)
    with pytest.raises(WindowClosed):
        await shop.send()


async def test_typing(shop: Shop) -> None:
    """Typing is shown and hidden; showing it twice is no error."""
    customer = shop.platform.account.customers[OPENID]
    for on in (True, True, False):
        await shop.connector.typing(f"wechat:{OPENID}", "", on=on)

        assert customer.typing is on


async def test_typing_for_strangers(shop: Shop) -> None:
    """Typing for somebody unknown is an error like any other."""
    with pytest.raises(Rejected):
        await shop.connector.typing("wechat:oStranger", "", on=True)


async def test_template_result_is_a_receipt(shop: Shop) -> None:
    """The platform's report about a template message becomes a receipt for its msgid."""
    await shop.platform.finish_template(OPENID, 24_000_000_000_000_001, "failed:user block")

    assert shop.events[-1] == Receipt("24000000000000001", "failed", NOW, "failed:user block")


async def test_an_approved_template_goes_out_without_a_window(shop: Shop) -> None:
    """Long after the customer wrote the platform takes what it has approved; its result comes back by the msgid."""
    await shop.platform.write(OPENID, "在吗")
    shop.platform.pass_days(OPENID, 3)
    template = PlatformTemplate("tmpl-1", {"thing1": "您有\x07新回复"}, "https://shop.example/m")
    sent = await shop.send(template=template, text="")

    [asked] = shop.platform.templates
    assert ("tmpl-1", {"thing1": {"value": "您有新回复"}}, "https://shop.example/m") == (
        asked["template_id"],
        asked["data"],
        asked["url"],
    )
    await shop.platform.finish_template(OPENID, int(sent.external_id))
    assert Receipt(sent.external_id, "delivered", shop.events[-1].at) == shop.events[-1]
