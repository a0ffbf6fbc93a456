"""TikTok Shop: the contract of every connector, what its pushes mean, and its dealings with a strict platform."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.base import (
    Answer,
    BadOptions,
    Echo,
    Ignored,
    Malformed,
    Media,
    Message,
    Notice,
    Rejected,
    SendError,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
    Unverified,
    WebhookCall,
    WindowClosed,
)
from connectors.calls import Reply as HttpReply
from connectors.simulators.tiktok import DAY, TikTokPlatform
from connectors.testing import (
    NOW,
    InMemory,
    Leaving,
    Payload,
    Platform,
    ReceivingContract,
    Reply,
    Request,
    Sending,
    SendingContract,
    attachment,
    closed_port,
    kit,
    leaks,
    outbound,
    read_events,
    session,
    webhook_call,
)
from connectors.tiktok import TikTokShop
from connectors.tiktok_api import judge
from connectors.tiktok_options import TikTokOptions

APP_KEY, APP_SECRET, CIPHER = "29a39d", "b0b7fa5d4e1d4d1b9a0c", "GCP_XF90igAAAABh00qsWgtvOiGFNqyubMt3"
SHOP = "7494049642642441621"
CONVERSATION = "576486316948490001"
PAYLOADS = Path(__file__).parent / "payloads" / "tiktok-shop"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 32, 16) + b"\x08\x02\x00\x00\x00"


def configured(platform: str, **more: Any) -> dict[str, Any]:
    """Return a channel's options as they stand in YAML."""
    return {
        "app_key": APP_KEY,
        "app_secret": APP_SECRET,
        "shop_cipher": CIPHER,
        "access_token": "TTP_access-1",
        "refresh_token": "TTR_refresh-1",
        "shop_id": SHOP,
        "api_base": platform,
        "auth_base": platform,
        **more,
    }


def signed(body: bytes) -> WebhookCall:
    """Return *body* as TikTok would push it."""
    signature = hmac.new(APP_SECRET.encode(), APP_KEY.encode() + body, hashlib.sha256).hexdigest()
    return webhook_call(body, headers={"Authorization": signature, "Content-Type": "application/json"})


def carries(text: str) -> Any:
    """Return a check that the last request was a rightly signed send of *text*."""

    def check(requests: Sequence[Request]) -> None:
        request = requests[-1]
        query = dict(request.query)
        sign = query.pop("sign")
        joined = "".join(key + query[key] for key in sorted(query))
        base = f"{APP_SECRET}{request.path}{joined}".encode() + request.body + APP_SECRET.encode()

        assert hmac.new(APP_SECRET.encode(), base, hashlib.sha256).hexdigest() == sign
        assert request.path == f"/customer_service/202309/conversations/{CONVERSATION}/messages"
        assert request.headers["x-tts-access-token"] == "TTP_access-1"
        assert query == {"app_key": APP_KEY, "shop_cipher": CIPHER, "timestamp": str(NOW // 1000)}
        assert request.json() == {
            "type": "TEXT",
            "content": json.dumps({"content": text}, ensure_ascii=False, separators=(",", ":")),
        }

    return check


def carries_image(requests: Sequence[Request]) -> None:
    """Check that an image went up as a multipart form and was then sent by its address."""
    upload, send = requests

    assert upload.path == "/customer_service/202309/images/upload"
    assert b'name="data"' in upload.body
    assert PNG in upload.body
    assert json.loads(send.json()["content"]) == {"url": "https://p16.tiktokcdn.com/img", "width": 32, "height": 16}


class TestContract(ReceivingContract, SendingContract):
    """TikTok Shop keeps the contract."""

    connector_class = TikTokShop
    address = "tiktok:7494560109732334001"
    proofs = ("Authorization",)

    def options(self, platform: str) -> Mapping[str, Any]:
        return configured(platform)

    def payloads(self) -> Iterable[Payload]:
        answer = Answer(200, b'{"code":0,"message":"success"}', "application/json")
        for file in sorted(PAYLOADS.glob("*.json")):
            if not file.name.endswith(".expected.json"):
                expected = read_events(file.with_name(f"{file.stem}.expected.json"))
                yield Payload(file.stem, signed(file.read_bytes()), expected, answer)

    def sign(self, body: bytes) -> WebhookCall:
        return signed(body)

    def sendings(self) -> Iterable[Sending]:
        sent = Sent("7494560109732339999", handle=CONVERSATION)
        to: dict[str, Any] = {"address": self.address, "handle": CONVERSATION}
        yield Sending("text", outbound(text="今天发货 😀", **to), sent, carries("今天发货 😀"))
        picture = attachment("photo.png", "image/png", PNG)
        yield Sending("image", outbound(media=[picture], **to), sent, carries_image)
        video = attachment("film.mp4", "video/mp4", b"film")
        yield Sending("video as a link", outbound(media=[video], **to), sent, carries(f"film.mp4\n{video.url}"))

    def platform_answer(self, request: Request) -> Reply:
        if request.path.endswith("/images/upload"):
            return Reply(body='{"code":0,"data":{"url":"https://p16.tiktokcdn.com/img","width":32,"height":16}}')
        return Reply(body='{"code":0,"message":"Success","data":{"message_id":"7494560109732339999"}}')

    def delivers(self, request: Request) -> bool:
        return request.path.endswith("/messages")


@dataclass
class Shop:
    """A strict platform, the connector in front of it, and the events that the platform's pushes became."""

    platform: TikTokPlatform
    connector: TikTokShop
    memory: InMemory
    http: aiohttp.ClientSession
    url: str
    clock: list[int]
    events: list[Any] = field(default_factory=list)

    def again(self, **options: Any) -> TikTokShop:
        """Return the connector of another process."""
        checked = TikTokOptions.model_validate(configured(self.url, **options))
        return TikTokShop(checked, kit(http=self.http, memory=self.memory, now=lambda: self.clock[0]))

    def to(self, buyer: str, text: str = "", **more: Any) -> Any:
        """Return a message to *buyer*."""
        conversation = self.platform.conversation(buyer)
        return outbound(address=f"tiktok:{conversation.im_user_id}", handle=conversation.id, text=text, **more)


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve *app* on loopback and return its address."""
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop whose pushes reach its connector over HTTP, as through the hub's door."""
    clock = [NOW]
    memory = InMemory(lambda: clock[0])
    platform = TikTokPlatform(
        APP_KEY, APP_SECRET, CIPHER, shop_id=SHOP, now=lambda: clock[0], rate=10_000, attempts=3, pause=0.01
    )

    async def door(request: web.Request) -> web.Response:
        body = await request.read()
        call = WebhookCall(
            "POST", str(request.url), request.path, request.query, request.headers, body, "127.0.0.1", clock[0]
        )
        try:
            received = await stage.connector.receive(call)
        except Unverified:
            return web.Response(status=403)
        stage.events += received.events
        answer = received.answer
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)

    hub = web.Application()
    hub.router.add_post("/hooks/shop-tiktok", door)
    async with served(hub) as hub_url, served(platform.app) as url, aiohttp.ClientSession() as http:
        platform.hub_url = f"{hub_url}/hooks/shop-tiktok"
        options = TikTokOptions.model_validate(configured(url))
        connector = TikTokShop(options, kit(http=http, memory=memory, now=lambda: clock[0]))
        stage = Shop(platform, connector, memory, http, url, clock)
        yield stage


async def test_a_conversation_there_and_back(shop: Shop) -> None:
    """A buyer writes, the hub answers, and the platform's echo names the same message at the buyer's address."""
    push = await shop.platform.write("Albert", "什么时候发货？")
    sent = await shop.connector.send(shop.to("Albert", "今天发货"))
    await shop.platform.settled()
    asked, echo = shop.events
    conversation = shop.platform.conversations["Albert"]

    assert push is not None
    assert push.statuses == [200]
    assert isinstance(asked, Message)
    assert (asked.text, asked.handle, asked.address) == (
        "什么时候发货？",
        conversation.id,
        f"tiktok:{conversation.im_user_id}",
    )
    assert conversation.texts == ["今天发货"]
    assert isinstance(echo, Echo)
    assert (echo.external_id, echo.address, echo.text) == (sent.external_id, asked.address, "今天发货")


async def test_a_person_in_seller_center_is_heard(shop: Shop) -> None:
    """What somebody answers in the platform's own tool arrives as an echo at the buyer's address."""
    await shop.platform.write("Albert", "hi")
    await shop.platform.reply("Albert", "hello from Seller Center")
    echo = shop.events[-1]

    assert isinstance(echo, Echo)
    assert (echo.text, echo.author, echo.address) == (
        "hello from Seller Center",
        "customer_service",
        shop.events[0].address,
    )


async def test_another_process_knows_the_buyer(shop: Shop) -> None:
    """An echo that reaches another process than the buyer's message goes to the same address."""
    await shop.platform.write("Albert", "hi")
    shop.connector = shop.again()
    await shop.platform.reply("Albert", "hello")

    assert shop.events[1].address == shop.events[0].address


async def test_an_opened_chat_is_noticed_once_the_buyer_is_known(shop: Shop) -> None:
    """NEW_CONVERSATION names no buyer: it is ignored by name at first, and a notice once the buyer has written."""
    await shop.platform.enter("Albert")
    await shop.platform.write("Albert", "hi")
    await shop.platform.enter("Albert")
    first, message, second = shop.events

    assert isinstance(first, Ignored)
    assert first.reason == "conversation without a message"
    assert isinstance(second, Notice)
    assert (second.name, second.address) == ("enter", message.address)


async def test_repeats_and_disorder_keep_ids_and_times(shop: Shop) -> None:
    """A push made twice has one id; pushes in the wrong order are told apart by their times, within one second."""
    shop.platform.faults.hold = True
    for text in ("one", "two", "three"):
        await shop.platform.write("Albert", text)
    await shop.platform.release()
    shop.platform.faults.duplicate = 1
    await shop.platform.write("Albert", "four")
    messages = {event.external_id: event for event in shop.events if isinstance(event, Message)}
    ordered = sorted(messages.values(), key=lambda message: message.at)

    assert len(shop.events) == 5
    assert [message.text for message in ordered] == ["one", "two", "three", "four"]


async def test_a_forged_push_is_refused(shop: Shop) -> None:
    """The platform's simulator can sign wrongly, and then nothing is received."""
    shop.platform.faults.forge = 1
    push = await shop.platform.write("Albert", "hi")

    assert push is not None
    assert push.statuses == [403]
    assert shop.events == []


async def test_fifty_sends_with_an_expired_token_refresh_it_once(shop: Shop) -> None:
    """Fifty sends of two processes meet an expired token: one refresh, and every message is sent exactly once."""
    await shop.platform.write("Albert", "hi")
    other = shop.again()
    shop.platform.expire()
    processes = (shop.connector, other)
    await asyncio.gather(*(processes[n % 2].send(shop.to("Albert", f"answer {n}")) for n in range(50)))

    assert shop.platform.refreshes == 1
    assert sorted(shop.platform.conversations["Albert"].texts) == sorted(f"answer {n}" for n in range(50))


async def test_the_token_is_renewed_before_its_end(shop: Shop) -> None:
    """After the first refresh the end is known, and the next refresh comes before the platform refuses anything."""
    await shop.platform.write("Albert", "hi")
    shop.platform.expire()
    await shop.connector.send(shop.to("Albert", "one"))
    shop.clock[0] += 7 * DAY - 60_000
    requests = shop.platform.requests
    await shop.connector.send(shop.to("Albert", "two"))

    assert shop.platform.refreshes == 2
    assert shop.platform.requests == requests + 1


async def test_a_chain_of_single_use_tokens_survives_restarts(shop: Shop) -> None:
    """Each process goes on with the refresh token that the one before it stored, not with the configured one."""
    await shop.platform.write("Albert", "hi")
    for number in range(4):
        shop.platform.expire()
        await shop.again().send(shop.to("Albert", f"after restart {number}"))

    assert shop.platform.refreshes == 4


async def test_new_tokens_in_the_configuration_win(shop: Shop) -> None:
    """A shop that was authorized again goes on with the configured tokens, whatever the store still holds."""
    await shop.platform.write("Albert", "hi")
    shop.platform.expire()
    await shop.connector.send(shop.to("Albert", "one"))
    shop.platform.access_token, shop.platform.refresh_token = "TTP_new", "TTR_new"
    await shop.again(access_token="TTP_new", refresh_token="TTR_new").send(shop.to("Albert", "two"))

    assert shop.platform.conversations["Albert"].texts == ["one", "two"]
    assert shop.platform.refreshes == 1


async def test_a_failed_refresh_costs_nothing(shop: Shop) -> None:
    """While the refresh fails, sends wait for another try: nothing leaves, and the refresh token stays good."""
    await shop.platform.write("Albert", "hi")
    shop.platform.expire()
    shop.platform.faults.refresh_fail = 1
    with pytest.raises(Unreachable):
        await shop.connector.send(shop.to("Albert", "one"))
    await shop.connector.send(shop.to("Albert", "one"))

    assert shop.platform.conversations["Albert"].texts == ["one"]


async def test_a_refresh_whose_answer_is_lost_asks_for_a_new_authorization(shop: Shop) -> None:
    """The one loss that nobody can repair is said plainly: the platform spent the token, its answer never came."""
    await shop.platform.write("Albert", "hi")
    shop.platform.expire()
    shop.platform.faults.refresh_cut = 1
    with pytest.raises(SendError):  # the HTTP client repeats a GET whose kept-alive connection broke
        await shop.connector.send(shop.to("Albert", "one"))
    with pytest.raises(BadOptions, match="authorize the shop again") as refused:
        await shop.connector.send(shop.to("Albert", "one"))

    assert refused.value.code == "36004005"
    assert shop.platform.conversations["Albert"].texts == []


async def test_an_expired_token_without_refresh_token_is_a_fault_of_the_options(shop: Shop) -> None:
    """Without a refresh_token the admin must act; nothing leaves."""
    await shop.platform.write("Albert", "hi")
    shop.platform.expire()
    with pytest.raises(BadOptions, match="no refresh_token"):
        await shop.again(refresh_token=None).send(shop.to("Albert", "one"))

    assert shop.platform.conversations["Albert"].texts == []


async def test_a_refused_new_token_is_not_asked_for_again_and_again() -> None:
    """When even the new token is refused, the send fails after two requests and one refresh."""
    grant = {"access_token": "TTP_new", "access_token_expire_in": NOW // 1000 + 3600, "refresh_token": "TTR_new"}

    def script(request: Request) -> Reply:
        if request.path == "/api/v2/token/refresh":
            return Reply(body=json.dumps({"code": 0, "data": grant}))
        return Reply(401, '{"code":105002,"message":"Expired credentials."}')

    leaving = Leaving()
    async with Platform(script, leaving) as platform, session(platform) as http:
        connector = TikTokShop(TikTokOptions.model_validate(configured(platform.url)), kit(http=http))
        with pytest.raises(BadOptions, match="access token"):
            await connector.send(outbound(text="one", handle=CONVERSATION, leaving=leaving))
        tokens = [request.headers.get("x-tts-access-token", "refresh") for request in platform.requests]

    assert tokens == ["TTP_access-1", "refresh", "TTP_new"]


async def test_a_message_is_announced_again_before_its_second_try(shop: Shop) -> None:
    """After a refresh the delivery may have been taken over: `leaving` is asked before each request."""
    await shop.platform.write("Albert", "hi")
    shop.platform.expire()
    leaving = Leaving()
    await shop.connector.send(shop.to("Albert", "one", leaving=leaving))

    assert leaving.count == 2


async def test_a_closed_window_is_known_as_such(shop: Shop) -> None:
    """No chat for 30 days and no order for 60: `WindowClosed`, until the buyer orders."""
    await shop.platform.write("Albert", "hi")
    shop.clock[0] += 31 * DAY
    shop.platform.expires = shop.clock[0] // 1000 + 86400
    with pytest.raises(WindowClosed) as closed:
        await shop.connector.send(shop.to("Albert", "are you still there?"))
    shop.platform.conversations["Albert"].last_order = shop.clock[0] - DAY
    await shop.connector.send(shop.to("Albert", "your parcel"))

    assert closed.value.code == "45102007"
    assert shop.platform.conversations["Albert"].texts == ["your parcel"]


async def test_a_rate_limit_says_how_long(shop: Shop) -> None:
    """The platform's own Retry-After is passed on."""
    await shop.platform.write("Albert", "hi")
    shop.platform.faults.throttle = 1
    with pytest.raises(Throttled) as throttled:
        await shop.connector.send(shop.to("Albert", "one"))

    assert (throttled.value.retry_after, throttled.value.code) == (1.0, "36009002")


async def test_a_send_without_answer_is_uncertain_and_the_echo_tells(shop: Shop) -> None:
    """A cut connection leaves the send uncertain; the echo shows that it went out."""
    await shop.platform.write("Albert", "hi")
    shop.platform.faults.cut = 1
    with pytest.raises(Uncertain):
        await shop.connector.send(shop.to("Albert", "one"))
    await shop.platform.settled()

    assert shop.platform.conversations["Albert"].texts == ["one"]
    assert [event.text for event in shop.events if isinstance(event, Echo)] == ["one"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"shop_cipher": "GCP_other"}, "101000"),
        ({"app_key": "other"}, "36009004"),
        ({"send_version": 202501}, "36009014"),
    ],
)
async def test_wrong_options_are_named(shop: Shop, options: dict[str, Any], code: str) -> None:
    """What the platform refuses about the channel's settings is the admin's to mend."""
    await shop.platform.write("Albert", "hi")
    with pytest.raises(BadOptions) as refused:
        await shop.again(**options).send(shop.to("Albert", "one"))

    assert refused.value.code == code


async def test_a_wrong_clock_is_named(shop: Shop) -> None:
    """A server whose clock is off is told so."""
    await shop.platform.write("Albert", "hi")
    options = TikTokOptions.model_validate(configured(shop.url))
    late = TikTokShop(options, kit(http=shop.http, memory=shop.memory, now=lambda: shop.clock[0] - 600_000))
    with pytest.raises(BadOptions, match="clock"):
        await late.send(shop.to("Albert", "one"))


async def test_the_newest_send_version_works(shop: Shop) -> None:
    """The version in the path is an option; an unquoted number in YAML will do."""
    await shop.platform.write("Albert", "hi")
    await shop.again(send_version=202606).send(shop.to("Albert", "one"))

    assert shop.platform.conversations["Albert"].texts == ["one"]


async def test_words_against_the_policy_are_rejected(shop: Shop) -> None:
    """A message that breaks TikTok's policy is refused for good, with the platform's code."""
    await shop.platform.write("Albert", "hi")
    shop.platform.banned.add("whatsapp")
    with pytest.raises(Rejected) as refused:
        await shop.connector.send(shop.to("Albert", "write me on whatsapp"))

    assert refused.value.code == "45101006"


@pytest.mark.parametrize("handle", ["", "../../orders", "576/messages", "5 6", "x" * 65])
async def test_only_a_conversation_can_be_answered(shop: Shop, handle: str) -> None:
    """Without a conversation, or with one that would bend the path, nothing is sent."""
    before = shop.platform.requests
    with pytest.raises(Rejected):
        await shop.connector.send(msgspec.structs.replace(shop.to("Albert", "one"), handle=handle))

    assert shop.platform.requests == before


@pytest.mark.parametrize(
    "more",
    [
        {"text": ""},
        {"text": "both", "media": [attachment("a.png", "image/png", PNG)]},
        {"media": [attachment("a.png", "image/png", PNG)] * 2},
        {"media": [attachment("a.png", "image/png", b"x" * ((10 << 20) + 1), url="https://h/" + "x" * 2000)]},
    ],
)
async def test_a_message_is_one_text_or_one_image(shop: Shop, more: dict[str, Any]) -> None:
    """Anything else is refused before it leaves; the outbox cuts, a connector never does."""
    leaving = Leaving()
    with pytest.raises(Rejected):
        await shop.connector.send(shop.to("Albert", **more, leaving=leaving))

    assert leaving.count == 0


async def test_an_image_goes_up_and_out(shop: Shop) -> None:
    """An image is uploaded, sent by its address, and echoed."""
    await shop.platform.write("Albert", "hi")
    await shop.connector.send(shop.to("Albert", media=[attachment("a.png", "image/png", PNG)]))
    message = shop.platform.conversations["Albert"].messages[-1]

    assert message["type"] == "IMAGE"
    assert json.loads(message["content"])["width"] == 32


async def test_a_picture_is_fetched(shop: Shop) -> None:
    """A buyer's picture comes as an address; fetching it learns its type."""
    address = shop.platform.picture(PNG, shop.url)
    await shop.platform.write("Albert", type="IMAGE", content={"url": address, "width": 32, "height": 16})
    message = shop.events[0]
    assert isinstance(message, Message)
    fetched = await shop.connector.fetch(message.media[0])

    assert (fetched.data, fetched.type, fetched.name, fetched.size) == (PNG, "image/png", "image.png", len(PNG))


async def test_an_expired_picture_is_rejected(shop: Shop) -> None:
    """An address that the platform no longer serves is a loss, not a fault to retry."""
    with pytest.raises(Rejected):
        await shop.connector.fetch(Media(type="image/png", ref=f"{shop.url}/media/gone.png"))


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "/media/1.png",
        "file:///etc/passwd",
        "ftp://p16.tiktokcdn.com/1",
        "http://p16.tiktokcdn.com/1.png",
        "https://p16.tiktokcdn.com:8443/1.png",
        "https://eviltiktokcdn.com/1.png",
        "https://tiktokcdn.com.evil.example/1.png",
        "https://p16.tiktokcdn.com@127.0.0.1/1.png",
        "https://127.0.0.1/1.png",
        "https://[::1]/1.png",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:6379/",
        "https://p16.tiktokcdn.com\\@127.0.0.1/",
        "https://[broken/",
        "https://a:99999/",
    ],
)
async def test_only_the_platforms_own_hosts_are_fetched(ref: str) -> None:
    """An address in a push cannot make the hub read from its own network: nothing is requested."""
    connector = TikTokShop(TikTokOptions.model_validate(configured("http://127.0.0.1:9")), kit())
    with pytest.raises(Rejected) as refused:
        await connector.fetch(Media(type="image/png", ref=ref))

    assert not ref or ref not in str(refused.value)


@given(ref=st.text(max_size=60) | st.text(max_size=20).map("https://{}".format))
@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_reference_is_rejected_at_worst(ref: str) -> None:
    """Whatever stands in a push as an address, fetching it is `Rejected` and nothing else."""
    connector = TikTokShop(TikTokOptions.model_validate(configured("http://127.0.0.1:9")), kit())
    with pytest.raises(Rejected):
        await connector.fetch(Media(type="image/png", ref=ref))


CODES: list[tuple[int, int, str, type[SendError], type[SendError]]] = [
    (200, 105002, "Expired credentials.", BadOptions, BadOptions),
    (200, 36009004, "Invalid credentials. The `x-tts-access-token` header is invalid.", BadOptions, BadOptions),
    (400, 36009004, "Invalid timestamp.", BadOptions, BadOptions),
    (403, 105005, "Access denied.", BadOptions, BadOptions),
    (403, 36009033, "Your IP address is not in the IP allow list.", BadOptions, BadOptions),
    (401, 106001, "The `sign` query parameter is invalid.", BadOptions, BadOptions),
    (429, 36009002, "Too many requests.", Throttled, Throttled),
    (200, 45101004, "Quota reached (10000/day).", Throttled, Throttled),
    (429, 12052109, "Too many requests.", Throttled, Throttled),
    (500, 36009003, "Internal error.", Uncertain, Unreachable),
    (200, 45101001, "Internal error.", Uncertain, Unreachable),
    (502, 99, "bad gateway", Uncertain, Unreachable),
    (503, 99, "unavailable", Unreachable, Unreachable),
    (400, 45101002, "Invalid params.", Rejected, Rejected),
    (404, 45101003, "Record not found.", Rejected, Rejected),
    (200, 45101006, "Sensitive words.", Rejected, Rejected),
    (200, 45102007, "No permission to access the conversation.", WindowClosed, WindowClosed),
    (200, 99999999, "A code nobody has seen.", Rejected, Rejected),
    (401, 99999999, "A code nobody has seen.", BadOptions, BadOptions),
    (403, 99999999, "A code nobody has seen.", Rejected, Rejected),
    (500, 0, "Success", Uncertain, Unreachable),
]


@pytest.mark.parametrize(("status", "code", "message", "sending", "asking"), CODES)
def test_every_code_becomes_the_right_error(
    status: int, code: int, message: str, sending: type[SendError], asking: type[SendError]
) -> None:
    """The code says what may be done: a send that failed inside may have gone out, a question may be repeated."""
    body = json.dumps({"code": code, "message": f"{message} {APP_SECRET}", "data": None}).encode()
    for repeatable, expected in ((False, sending), (True, asking)):
        with pytest.raises(expected) as refused:
            judge(HttpReply(status, {}, body), repeatable=repeatable)

        assert refused.value.code == str(code or status)
        assert leaks(refused.value, [APP_SECRET]) == []


async def test_two_thousand_mutations_of_a_push_are_refused() -> None:
    """Every change of one bit in body or signature of a genuine push is refused: none of over 2,000 gets in."""
    connector = TikTokShop(TikTokOptions.model_validate(configured("http://127.0.0.1:9")), kit())
    body = (PAYLOADS / "documented-text.json").read_bytes()
    signature = signed(body).headers["Authorization"]
    tried = 0
    for index in range(len(body) * 8):
        changed = bytearray(body)
        changed[index // 8] ^= 1 << index % 8
        with pytest.raises(Unverified):
            await connector.receive(webhook_call(bytes(changed), headers={"Authorization": signature}))
        tried += 1
    for index in range(len(signature) * 8):
        digits = bytearray(signature.encode())
        digits[index // 8] ^= 1 << index % 8
        with pytest.raises(Unverified):
            await connector.receive(webhook_call(body, headers={"Authorization": digits.decode("latin-1")}))
        tried += 1

    assert tried > 2000


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "Bearer x"}])
async def test_a_push_is_verified_before_it_is_parsed(headers: dict[str, str]) -> None:
    """Garbage without a signature is `Unverified`, never `Malformed`."""
    connector = TikTokShop(TikTokOptions.model_validate(configured("http://127.0.0.1:9")), kit())
    with pytest.raises(Unverified):
        await connector.receive(webhook_call(b"{", headers=headers))


async def test_a_push_without_a_part_that_counts_is_malformed() -> None:
    """A message without its ids or its sender cannot be placed, and is kept aside as `Malformed`."""
    connector = TikTokShop(TikTokOptions.model_validate(configured("http://127.0.0.1:9")), kit())
    good = json.loads((PAYLOADS / "documented-text.json").read_bytes())
    for path in (("data", "message_id"), ("data", "conversation_id"), ("data", "sender"), ("type",), ("data",)):
        push = json.loads(json.dumps(good))
        holder = push
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
        with pytest.raises(Malformed):
            await connector.receive(signed(json.dumps(push).encode()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"app_secret": ""},
        {"app_key": ""},
        {"access_token": ""},
        {"shop_cipher": ""},
        {"send_version": "latest"},
        {"api_base": "open-api.tiktokglobalshop.com"},
        {"api_base": "https://user@host"},
        {"auth_base": "https://host/?q=1"},
    ],
)
def test_a_channel_without_its_secrets_does_not_start(wrong: dict[str, str]) -> None:
    """Empty secrets and addresses that are none are refused when the configuration is read."""
    with pytest.raises(ValidationError):
        TikTokOptions.model_validate(configured("https://h", **wrong))


async def test_an_unreachable_login_host_leaves_the_message_here(shop: Shop) -> None:
    """When the token host cannot be reached, the send can be tried again."""
    await shop.platform.write("Albert", "hi")
    shop.platform.expire()
    with pytest.raises(Unreachable):
        await shop.again(auth_base=f"http://127.0.0.1:{closed_port()}").send(shop.to("Albert", "one"))


@pytest.mark.parametrize("trouble", ["refresh_fail", "refresh_cut", "closed", "refused"])
async def test_no_failing_refresh_shows_a_secret(shop: Shop, trouble: str) -> None:
    """The refresh carries every secret in its query; none is in an error, its cause or its context."""
    await shop.platform.write("Albert", "hi")
    shop.platform.expire()
    options: dict[str, Any] = {}
    if trouble == "closed":
        options = {"auth_base": f"http://127.0.0.1:{closed_port()}"}
    elif trouble == "refused":
        shop.platform.refresh_token = "spent"
    else:
        setattr(shop.platform.faults, trouble, 1)
    with pytest.raises(SendError) as failed:
        await shop.again(**options).send(shop.to("Albert", "one"))

    assert leaks(failed.value, [APP_SECRET, "TTP_access-1", "TTR_refresh-1"]) == []


async def call_platform(shop: Shop, method: str, path: str, body: bytes = b"", **query: str) -> dict[str, Any]:
    """Call the simulator with a signature made here."""
    full = {"app_key": APP_KEY, "shop_cipher": CIPHER, "timestamp": str(shop.clock[0] // 1000), **query}
    joined = "".join(key + full[key] for key in sorted(full))
    base = f"{APP_SECRET}{path}{joined}".encode() + body + APP_SECRET.encode()
    full["sign"] = hmac.new(APP_SECRET.encode(), base, hashlib.sha256).hexdigest()
    headers = {"x-tts-access-token": shop.platform.access_token, "Content-Type": "application/json"}
    async with shop.http.request(method, shop.url + path, params=full, data=body, headers=headers) as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def test_the_simulator_pages_and_reads(shop: Shop) -> None:
    """The platform lists conversations and messages in pages, reopens a conversation and counts what is unread."""
    base = "/customer_service/202309/conversations"
    for number in range(12):
        await shop.platform.write("Albert", f"line {number}")
    await shop.platform.write("Berta", "hello")
    albert = shop.platform.conversations["Albert"]
    listed = await call_platform(shop, "GET", base, page_size="1")
    first = await call_platform(shop, "GET", f"{base}/{albert.id}/messages", page_size="10", sort_order="ASC")
    token = first["data"]["next_page_token"]
    second = await call_platform(
        shop, "GET", f"{base}/{albert.id}/messages", page_size="10", sort_order="ASC", page_token=token
    )
    opened = await call_platform(shop, "POST", base, json.dumps({"buyer_user_id": albert.user_id}).encode())
    await call_platform(shop, "POST", f"{base}/{albert.id}/messages/read")
    shown = await call_platform(shop, "GET", f"/customer_service/202601/conversations/{albert.id}")
    wrong = [
        (await call_platform(shop, "GET", base, page_size="21"))["code"],
        (await call_platform(shop, "GET", "/customer_service/202309/nothing"))["code"],
    ]

    assert len(listed["data"]["conversations"]) == 1
    assert listed["data"]["next_page_token"] == "1"
    texts = [json.loads(one["content"])["content"] for one in first["data"]["messages"] + second["data"]["messages"]]
    assert texts == [f"line {number}" for number in range(12)]
    assert opened["data"]["conversation_id"] == albert.id
    assert (shown["data"]["conversation"]["unread_count"], shown["data"]["conversation"]["id"]) == (0, albert.id)
    assert wrong == [45101002, 36009009]


async def test_the_simulator_gives_up_on_a_deaf_hub(shop: Shop) -> None:
    """A hub that cannot be reached gets the push several times, as the platform would do for hours."""
    shop.platform.hub_url = f"http://127.0.0.1:{closed_port()}/hooks/shop-tiktok"
    push = await shop.platform.write("Albert", "hi")

    assert push is not None
    assert (push.statuses, push.taken) == ([0, 0, 0], False)
