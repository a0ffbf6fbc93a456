"""aliyun-sms before the simulator, without a hub: refusals, limits, what became of a message, and a strict platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession, web

from connectors.aliyun import AliyunSms
from connectors.aliyun_options import AliyunOptions
from connectors.base import (
    BadOptions,
    Known,
    PlatformTemplate,
    Question,
    Rejected,
    SendError,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
)
from connectors.simulators.aliyun import DAY, HOUR, MINUTE, AliyunPlatform, Approved, Refused
from connectors.testing import NOW, kit, outbound
from tests.aliyun_account import ADDRESS, APPROVED, BUYER, CODE, KEY_ID, NOTICE, REPLY, SECRET, SIGN, connector, options
from tests.hubs import served


class Clock:
    """The platform's clock and ours."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Line:
    """A connector before the platform, without a hub."""

    platform: AliyunPlatform
    http: ClientSession
    api: str
    clock: Clock

    def connector(self, **changes: Any) -> AliyunSms:
        given = AliyunOptions.model_validate(options(api_base=self.api, **changes))
        return AliyunSms(given, kit(http=self.http, now=self.clock))


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    clock = Clock()
    platform = AliyunPlatform(KEY_ID, SECRET, templates=APPROVED, now=clock, balance=300)
    async with served(platform.app) as api, ClientSession() as http:
        yield Line(platform, http, api, clock)


@pytest.mark.parametrize(
    ("changes", "message", "error", "code"),
    [
        ({"access_key_secret": "another-secret"}, {}, BadOptions, "SignatureDoesNotMatch"),
        ({"access_key_id": "LTAI-nobody"}, {}, BadOptions, "InvalidAccessKeyId.NotFound"),
        ({"sign_name": "别人的签名"}, {}, BadOptions, "isv.SMS_SIGNATURE_ILLEGAL"),
        ({"reply_template": {"code": "SMS_0"}}, {}, BadOptions, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({"reply_template": {"code": REPLY, "parameter": "other"}}, {}, Rejected, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"reply_template": {"code": REPLY, "longest": 99}}, {"text": "字" * 36}, Rejected, "isv.PARAM_LENGTH_LIMIT"),
        ({}, {"text": "见 https://example.com/a"}, Rejected, "isv.PARAM_NOT_SUPPORT_URL"),
        ({}, {"text": "好的😀"}, Rejected, "isv.UNSUPPORTED_CONTENT"),
        ({}, {"template": PlatformTemplate("SMS_0", {"a": "b"})}, Rejected, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({}, {"template": PlatformTemplate(NOTICE, {"order": "1"})}, Rejected, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({}, {"address": "tel:+8613900000000"}, Rejected, "isv.BLACK_KEY_CONTROL_LIMIT"),
    ],
)
async def test_refusals_of_the_platform(
    line: Line, changes: dict[str, Any], message: dict[str, Any], error: type[SendError], code: str
) -> None:
    """What an admin must mend, what is final, and what a text may not hold, each by the platform's own code."""
    line.platform.blacklist.add("13900000000")
    with pytest.raises(error) as refused:
        await line.connector(**changes).send(outbound(**{"text": "在的", **message}))

    assert (error, code) == (type(refused.value), refused.value.code)
    assert ([code], []) == (line.platform.refused, line.platform.messages)
    assert "13900000000" not in f"{refused.value!r}"


async def test_limits_of_a_number(line: Line) -> None:
    """One a minute, five an hour, ten a day for codes; fifty a day for a notice; others are not held up."""
    one = line.connector(reply_template={"code": CODE})
    waits = []
    for _ in range(12):
        try:
            await one.send(outbound(text="1234"))
            line.clock.now += MINUTE
        except Throttled as limit:
            waits.append(limit.retry_after)
            line.clock.now += HOUR
    assert [3600.0, 3600.0] == waits
    with pytest.raises(Throttled) as today:
        await one.send(outbound(text="1234"))
    assert today.value.retry_after == 21_600
    await one.send(outbound(text="1234", address="tel:+8613900139000"))
    line.clock.now += DAY
    await one.send(outbound(text="1234"))
    with pytest.raises(Throttled) as now:
        await one.send(outbound(text="1234"))
    assert now.value.retry_after == 60

    notices = line.connector()
    for _ in range(50):
        await notices.send(outbound(text="在的"))
    with pytest.raises(Throttled):
        await notices.send(outbound(text="在的"))
    await notices.send(outbound(template=PlatformTemplate(NOTICE, {"order": "1", "tracking": "2"})))


async def test_money_ends(line: Line) -> None:
    """An empty account is an admin's matter, and says so; long texts cost more than one message."""
    line.platform.balance = 1
    assert await line.connector().send(outbound(text="在的")) == Sent("d1")
    with pytest.raises(BadOptions, match="balance") as refused:
        await line.connector().send(outbound(text="在的"))
    assert refused.value.code == "isv.AMOUNT_NOT_ENOUGH"


@pytest.mark.parametrize(("length", "size"), [(70, 1), (71, 2), (134, 2), (135, 3)])
def test_the_simulator_counts_as_carriers_do(length: int, size: int) -> None:
    """The signature counts, too: 70 characters are one message, and 67 go into each of several."""
    platform = AliyunPlatform(KEY_ID, SECRET, templates={"S": Approved("字" * (length - len(SIGN) - 2))})
    platform._send({"PhoneNumbers": BUYER, "SignName": SIGN, "TemplateCode": "S"})

    assert size == platform.messages[0].size


async def test_a_clock_that_is_wrong_is_no_reason_to_give_up(line: Line) -> None:
    """The platform refuses a call that is 15 minutes old; nothing was sent, and it is tried again."""
    one = line.connector()
    line.platform._now = lambda: NOW + 16 * MINUTE
    with pytest.raises(Unreachable, match="clock"):
        await one.send(outbound(text="在的"))
    line.platform._now = line.clock
    await one.send(outbound(text="在的"))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refused("isp.SYSTEM_ERROR"), Unreachable),
        (Refused("Throttling.User", status=400), Throttled),
        (Refused("ServiceUnavailable", status=503), Unreachable),
        (Refused("InternalError", status=500), Uncertain),
        (Refused("isv.SOMETHING_NEW"), Rejected),
    ],
)
async def test_troubles_of_the_platform(line: Line, fault: Refused, error: type[SendError]) -> None:
    """What is the platform's own fault is tried again where nothing can have left, and is in doubt elsewhere."""
    line.platform.faults.api.append(fault)
    with pytest.raises(error):
        await line.connector().send(outbound(text="在的"))


@pytest.mark.parametrize(
    ("code", "state", "error"),
    [
        ("", "sent", ""),
        ("DELIVERED", "delivered", ""),
        ("MOBILE_NOT_ON_SERVICE", "failed", "MOBILE_NOT_ON_SERVICE: the handset cannot be reached"),
    ],
)
async def test_the_platform_is_asked_what_became_of_a_message(line: Line, code: str, state: Any, error: str) -> None:
    """Among hundreds of a day ours is found by its id; one that is not listed is never called absent."""
    one = line.connector(reply_template={"code": NOTICE, "parameter": "order"})
    line.platform._templates[NOTICE] = Approved("订单${order}。")
    await one.send(outbound("mine", text="A"))
    if code:
        line.platform.callback = "http://127.0.0.1:9"
        line.platform.messages[0].status = 3 if code == "DELIVERED" else 2
        line.platform.messages[0].code = code
    for index in range(49):
        await one.send(outbound(f"other-{index}", text="B"))
    line.clock.now += DAY  # the list is asked for the day of the message, and for today
    await one.send(outbound("tomorrow", text="C"))

    asked = Question("mine", ADDRESS, NOW)
    assert await one.query(asked) == (Known("mine", f"【{SIGN}】订单A。", state, error),)
    assert await one.query(Question("never", ADDRESS, NOW)) is None
    line.platform.faults.unlisted = True
    assert await one.query(asked) is None


async def test_a_push_is_made_again_until_it_is_taken() -> None:
    """A hub that is away for a while is called again after 1, 5 and 10 minutes, and then no more."""
    waited: list[float] = []
    statuses = [503, 503, 500, 200]

    async def hook(request: web.Request) -> web.Response:
        return web.json_response({"code": 0}, status=statuses.pop(0) if statuses else 503)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    app = web.Application()
    app.router.add_post("/", hook)
    async with served(app) as hub:
        platform = AliyunPlatform(KEY_ID, SECRET, hub, sleep=sleep)
        assert await platform.write(BUYER, "在吗") == 200
        assert [60.0, 300.0, 600.0] == waited
        assert await platform.write(BUYER, "在吗") == 503
    assert [60.0, 300.0, 600.0] * 2 == waited


async def test_the_simulator_is_as_strict_as_the_platform(line: Line) -> None:
    """It refuses what is not signed, what was signed for something else, and what it has had before."""
    sent: list[Any] = []
    platform = line.platform

    async def call(headers: dict[str, str], query: str) -> str:
        async with line.http.post(f"{line.api}/?{query}", headers=headers) as response:
            return str((await response.json())["Code"])

    class Spy:
        """Keeps the calls of a session and makes them."""

        def request(self, method: str, url: Any, **given: Any) -> Any:
            sent.append((dict(given["headers"]), url.raw_query_string))
            return line.http.request(method, url, **given)

    given = AliyunOptions.model_validate(options(api_base=line.api))
    await AliyunSms(given, kit(http=Spy(), now=line.clock)).send(outbound(text="在的"))  # type: ignore[arg-type]
    [(headers, query)] = sent
    assert "SignatureNonceUsed" == await call(headers, query)
    platform._nonces.clear()
    assert "SignatureDoesNotMatch" == await call(headers, query.replace(BUYER, "13900139000"))
    assert "SignatureDoesNotMatch" == await call({**headers, "x-acs-signature-nonce": "another"}, query)
    assert "IncompleteSignature" == await call({**headers, "Authorization": "none"}, query)
    assert "InvalidAction.NotFound" == await call({**headers, "x-acs-action": "DeleteEverything"}, query)
    assert "InvalidVersion" == await call({**headers, "x-acs-version": "2018-05-01"}, query)
    assert "InvalidTimeStamp.Format" == await call({**headers, "x-acs-date": "today"}, query)
    assert 1 == len(platform.messages)


async def test_an_account_without_the_hub_is_unreachable() -> None:
    """Nothing is lost while the platform's address does not answer at all."""
    async with ClientSession() as http:
        with pytest.raises(Unreachable):
            await connector(http, api_base="http://127.0.0.1:9").send(outbound(text="在的"))
