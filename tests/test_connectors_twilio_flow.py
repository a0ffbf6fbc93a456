"""twilio-sms before the simulator: conversations, receipts, files, opt-outs, limits and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import ClientSession, web

from connectors.base import (
    BadOptions,
    Ignored,
    Media,
    Notice,
    Receipt,
    Received,
    Rejected,
    SendError,
    Throttled,
    Unreachable,
    Unverified,
)
from connectors.simulators.twilio import Refused, TwilioPlatform
from connectors.testing import NOW, outbound, webhook_call
from connectors.twilio import TwilioSms
from tests.twilio_account import ACCOUNT, BUYER, HOOK, SERVICE, SMS, TOKEN, connector


@dataclass
class Scene:
    """A hub with one Twilio channel, and Twilio."""

    platform: TwilioPlatform
    connector: TwilioSms
    received: list[Received]
    statuses: list[int]

    @property
    def events(self) -> list[Any]:
        return [event for one in self.received for event in one.events]


@pytest.fixture
async def scene(aiohttp_server: Any) -> AsyncIterator[Scene]:
    """A connector behind a real HTTP door that answers 403 and 200 as the hub does, or what stands in `statuses`."""
    public = "https://hub.example.com"
    statuses: list[int] = []
    received: list[Received] = []

    async def hook(request: web.Request) -> web.Response:
        if statuses:
            return web.Response(status=statuses.pop(0))
        call = webhook_call(
            await request.read(), method=request.method, url=f"{public}{request.raw_path}", headers=request.headers
        )
        try:
            result = await one.receive(call)
        except Unverified:
            return web.Response(status=403)
        received.append(result)
        return web.Response(body=result.answer.body, headers={"Content-Type": result.answer.content_type})

    app = web.Application()
    app.router.add_route("*", "/hooks/test", hook)
    hub = await aiohttp_server(app)
    platform = TwilioPlatform(
        ACCOUNT, TOKEN, f"{HOOK}#rc=2&rp=5xx,ct", hub_url=str(hub.make_url("")), now=lambda: NOW, rate=3, pause=0.0
    )
    api, store = await aiohttp_server(platform.app), await aiohttp_server(platform.store)
    platform.api_url, platform.store_url = str(api.make_url("")).rstrip("/"), str(store.make_url("")).rstrip("/")
    async with ClientSession() as http:
        one = connector(http, api_base=platform.api_url)
        yield Scene(platform, one, received, statuses)


async def test_conversation_by_sms(scene: Scene) -> None:
    """A customer writes, our answer goes out from the number they wrote to, and its fate comes back."""
    called = await scene.platform.write(BUYER, "在吗？")
    (message,) = scene.events
    answer = outbound(address=message.address, text="在的", handle=message.handle)
    sent = await scene.connector.send(answer)
    await scene.platform.report(scene.platform.messages[0])

    assert (called.status, called.answer) == (200, "<Response></Response>")
    assert (message.text, message.address) == ("在吗？", f"tel:{BUYER}")
    assert (scene.platform.messages[0].to, scene.platform.messages[0].sender) == (BUYER, SMS)
    assert [type(event) for event in scene.events[1:]] == [Ignored, Receipt, Receipt]
    assert [(event.message_id, event.state) for event in scene.events[2:]] == [
        (sent.external_id, "sent"),
        (sent.external_id, "delivered"),
    ]


async def test_reports_may_come_twice_and_in_any_order(scene: Scene) -> None:
    """Shuffled and doubled callbacks give the same receipts, which the outbox then orders."""
    sent = await scene.connector.send(outbound(address=f"tel:{BUYER}", text="hi"))
    scene.platform.faults.shuffle, scene.platform.faults.copies = True, 2
    await scene.platform.report(scene.platform.messages[0], ("sent", "delivered", "undelivered"), error=30008)

    assert len(scene.events) == 6
    assert {(event.message_id, event.state) for event in scene.events} == {
        (sent.external_id, state) for state in ("sent", "delivered", "failed")
    }


async def test_repeated_webhook_gives_one_id(scene: Scene) -> None:
    """Twilio calls again after a 503, as the overrides in the address ask, and the message keeps its id."""
    scene.statuses.append(503)
    scene.platform.faults.copies = 2
    await scene.platform.write(BUYER, "hello")

    assert [called.status for called in scene.platform.called] == [503, 200, 200]
    assert len({event.external_id for event in scene.events}) == 1


async def test_forged_webhook_is_refused(scene: Scene) -> None:
    """A caller without the token gets 403 and leaves nothing behind."""
    scene.platform.faults.forge = True
    called = await scene.platform.write(BUYER, "send me money")

    assert (called.status, scene.events) == (403, [])


async def test_new_fields_do_not_break_the_signature(scene: Scene) -> None:
    """Twilio adds fields without notice; they are verified and kept."""
    scene.platform.faults.extra = {"Brand new": "ü & =", "AAA": ""}
    called = await scene.platform.write(BUYER, "hello")

    assert called.status == 200
    assert scene.events[0].details["Brand new"] == "ü & ="


async def test_picture_is_fetched_without_taking_the_token_along(scene: Scene) -> None:
    """A file comes from the API with credentials and from its redirect without; the store refuses any."""
    await scene.platform.write(BUYER, "look", files=[("image/png", b"\x89PNG-data"), ("audio/amr", b"#!AMR")])
    (message,) = scene.events
    picture, voice = [await scene.connector.fetch(media) for media in message.media]

    assert (picture.data, picture.type, picture.size) == (b"\x89PNG-data", "image/png", 9)
    assert picture.name.startswith("ME")
    assert picture.name.endswith(".png")
    assert (voice.data, voice.type) == (b"#!AMR", "audio/amr")


@pytest.mark.parametrize(
    "ref",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://twilio.com.evil.example/x",
        "https://eviltwilio.com/x",
        "http://api.twilio.com/x",
        "https://api.twilio.com:8443/x",
        "https://user:pw@api.twilio.com/x",
        "file:///etc/passwd",
        "//api.twilio.com/x",
        "http://[",
        "",
    ],
)
async def test_strange_addresses_are_not_fetched(ref: str) -> None:
    """Only Twilio's API is asked for files: not our own network, not a look-alike, not in clear text."""
    with pytest.raises(Rejected):
        await connector().fetch(Media("image/png", ref=ref))


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://example.com/x",
        "https://s3.example.com/x",
        "https://evil-amazonaws.com/x",
        "ftp://127.0.0.1/x",
        "",
    ],
)
async def test_redirects_stay_with_twilio(scene: Scene, location: str, aiohttp_server: Any) -> None:
    """A redirect is followed to Twilio's stores only; one that leads nowhere ends."""
    await scene.platform.write(BUYER, "look", files=[("image/png", b"PNG")])
    (message,) = scene.events
    scene.platform.faults.api.append(Refused(307, 0, "", {"Location": location}))
    for _ in range(4):
        scene.platform.faults.api.append(Refused(307, 0, "", {"Location": ""}))
    with pytest.raises(Rejected, match="away from Twilio|no web address" if location else "in circles"):
        await scene.connector.fetch(message.media[0])


async def test_a_file_that_is_not_there_yet_is_asked_for_again(scene: Scene) -> None:
    """Twilio may tell of a file seconds before it has it: 404 is no reason to give it up."""
    await scene.platform.write(BUYER, "look", files=[("image/png", b"PNG")])
    (message,) = scene.events
    scene.platform.faults.api.append(Refused(404, 20404, "not found"))
    with pytest.raises(Unreachable):
        await scene.connector.fetch(message.media[0])

    assert (await scene.connector.fetch(message.media[0])).data == b"PNG"


async def test_stop_is_an_opt_out_and_later_sends_are_rejected(scene: Scene) -> None:
    """STOP comes as a notice before its message; Twilio then refuses to send, and START takes it back."""
    await scene.platform.write(BUYER, "STOP")
    notice, message = scene.events
    with pytest.raises(Rejected, match="opted out") as refused:
        await scene.connector.send(outbound(address=f"tel:{BUYER}", text="one more offer"))
    await scene.platform.write(BUYER, "START")
    await scene.connector.send(outbound(address=f"tel:{BUYER}", text="welcome back"))

    assert (notice.name, notice.address, message.text) == ("opt_out", f"tel:{BUYER}", "STOP")
    assert refused.value.code == "21610"
    assert [event.name for event in scene.events if isinstance(event, Notice)] == ["opt_out", "opt_in"]


async def test_rate_limit_is_throttled(scene: Scene) -> None:
    """More than the account may send in a second is told to wait as long as Twilio says."""
    message = outbound(address=f"tel:{BUYER}", text="hi")
    for _ in range(3):
        await scene.connector.send(message)
    with pytest.raises(Throttled) as throttled:
        await scene.connector.send(message)

    assert throttled.value.retry_after == 1
    assert len(scene.platform.messages) == 3


@pytest.mark.parametrize(
    ("changes", "address", "expected", "code"),
    [
        ({"auth_token": "another-token-1"}, f"tel:{BUYER}", BadOptions, "20003"),
        ({"from_number": "+15005550099"}, f"tel:{BUYER}", BadOptions, "21606"),
        ({"account_sid": "AC" + "e" * 32}, f"tel:{BUYER}", BadOptions, "20003"),
        ({"from_number": None, "messaging_service_sid": SERVICE}, f"tel:{BUYER}", BadOptions, "21701"),
        ({}, "tel:10086", Rejected, "21211"),
    ],
)
async def test_refusals_of_the_platform(
    scene: Scene, changes: dict[str, Any], address: str, expected: type[SendError], code: str
) -> None:
    """Wrong credentials and senders are for an admin, wrong recipients are final."""
    async with ClientSession() as http:
        one = connector(http, api_base=scene.platform.api_url, **changes)
        with pytest.raises(expected) as refused:
            await one.send(outbound(address=address, text="hi"))

    assert refused.value.code == code


async def test_messaging_service_sends(aiohttp_server: Any) -> None:
    """With a messaging service Twilio picks the sender; no callback is asked for when it is switched off."""
    platform = TwilioPlatform(ACCOUNT, TOKEN, HOOK, messaging_service_sid=SERVICE)
    server = await aiohttp_server(platform.app)
    async with ClientSession() as http:
        changes = {"from_number": None, "messaging_service_sid": SERVICE, "status_callback": False}
        one = connector(http, api_base=str(server.make_url("")), **changes)
        sent = await one.send(outbound(address=f"tel:{BUYER}", text="hi", handle="+15005550001"))

    assert sent.external_id == platform.messages[0].sid
    assert platform.messages[0].callback == ""


@pytest.mark.parametrize(
    ("handle", "sender"), [("whatsapp:+15005550006", "whatsapp:+15005550006"), ("", f"whatsapp:{SMS}")]
)
async def test_other_schemes_answer_on_their_own(handle: str, sender: str, aiohttp_server: Any) -> None:
    """Somebody who wrote by WhatsApp through the same account is answered there."""
    forms: list[dict[str, str]] = []

    async def create(request: web.Request) -> web.Response:
        forms.append(dict(parse_qsl(await request.text())))
        return web.json_response({"sid": "SM" + "2" * 32}, status=201)

    app = web.Application()
    app.router.add_post(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", create)
    server = await aiohttp_server(app)
    async with ClientSession() as http:
        one = connector(http, api_base=str(server.make_url("")))
        await one.send(outbound(address=f"whatsapp:{BUYER}", text="hi", handle=handle))

    assert (forms[0]["To"], forms[0]["From"]) == (f"whatsapp:{BUYER}", sender)


async def test_automatic_reports(aiohttp_server: Any) -> None:
    """The simulator reports by itself when asked to: the demo's customers get their messages."""
    seen: list[str] = []
    delivered = asyncio.Event()

    async def hook(request: web.Request) -> web.Response:
        seen.append(str((await request.post())["MessageStatus"]))
        if seen[-1] == "delivered":
            delivered.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hooks/test", hook)
    hub = await aiohttp_server(app)
    platform = TwilioPlatform(ACCOUNT, TOKEN, HOOK, hub_url=str(hub.make_url("")), automatic=True)
    server = await aiohttp_server(platform.app)
    async with ClientSession() as http:
        await connector(http, api_base=str(server.make_url(""))).send(outbound(address=f"tel:{BUYER}", text="hi"))
        async with asyncio.timeout(10):
            await delivered.wait()

    assert seen == ["queued", "sent", "delivered"]
