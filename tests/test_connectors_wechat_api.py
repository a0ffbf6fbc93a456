"""WeChat, sending: files, tokens, errcodes and lost answers against the simulated platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from connectors.base import (
    BadOptions,
    Rejected,
    SendError,
    Throttled,
    Uncertain,
    Unreachable,
    WindowClosed,
)
from connectors.simulators.wechat import Fault
from connectors.testing import NOW, Leaving, attachment, leaks, outbound
from connectors.wechat_api import REFUSALS, refusal, until_reset
from tests.wechat_shop import (
    AES_KEY,
    AMR,
    JPEG,
    MP4,
    OPENID,
    SECRET,
    TOKEN,
    Shop,
    message,
    open_shop,
)


@pytest_asyncio.fixture
async def shop() -> AsyncIterator[Shop]:
    """A service account in safe mode whose customer has just written."""
    async with open_shop() as opened:
        await opened.platform.write(OPENID, "在吗")
        yield opened


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("image", attachment("收据.jpg", "image/jpeg", JPEG)),
        ("voice", attachment("a.amr", "audio/amr", AMR)),
        ("video", attachment("a.mp4", "video/mp4", MP4)),
    ],
)
async def test_media_are_sent(shop: Shop, kind: Any, file: Any) -> None:
    """A picture, voice or video is uploaded before the message leaves, then sent by its media_id."""
    leaving = Leaving()
    await shop.connector.send(message(media=[file], leaving=leaving))
    [delivered] = shop.platform.received[OPENID]

    assert delivered.type == kind
    assert shop.platform.account.file(str(delivered.content["media_id"]))[1] == await file.read()
    assert leaving.count == 1


LINKED = [
    attachment("报价.pdf", "application/pdf", b"%PDF-1.7", "https://hub.example.com/m/1"),
    attachment("a.webp", "image/webp", b"RIFF", "https://hub.example.com/m/1"),
    attachment("a.bmp", "image/bmp", b"BM", "https://hub.example.com/m/1"),  # "New temporary materials" names no BMP
    attachment("a.wav", "audio/wav", b"RIFF", "https://hub.example.com/m/1"),
    attachment("big.amr", "audio/amr", b"#!AMR" + bytes(2 << 20), "https://hub.example.com/m/1"),
]


@pytest.mark.parametrize("file", LINKED, ids=lambda file: file.name)
async def test_other_files_go_as_links(shop: Shop, file: Any) -> None:
    """What WeChat does not carry, by type or by size, goes as a text with its name and address."""
    await shop.connector.send(message(media=[file]))

    assert shop.texts() == [f"{file.name}\nhttps://hub.example.com/m/1"]


async def test_file_without_address_is_rejected(shop: Shop) -> None:
    """Without a public address such a file cannot go at all, and nothing leaves."""
    leaving = Leaving()
    file = attachment("报价.pdf", "application/pdf", b"%PDF-1.7")
    file = type(file)(file.type, file.name, file.size, file.read, "")
    with pytest.raises(Rejected):
        await shop.connector.send(message(media=[file], leaving=leaving))

    assert leaving.count == 0


async def test_mini_program_sends_voice_as_link() -> None:
    """A Mini Program carries pictures only; a voice goes as a link instead of a refusal."""
    async with open_shop(style="json", account="miniprogram") as shop:
        await shop.platform.write(OPENID, "在吗")
        await shop.connector.send(message(media=[attachment("a.amr", "audio/amr", AMR, "https://hub.example.com/m/1")]))
        await shop.connector.send(message(media=[attachment("a.jpg", "image/jpeg", JPEG)]))

        assert [one.type for one in shop.platform.received[OPENID]] == ["text", "image"]


async def test_expired_media_is_uploaded_once_more(shop: Shop) -> None:
    """A media_id that has expired between two attempts is replaced once; the customer gets the picture once."""
    shop.platform.fail("custom/send", Fault(errcode=45011))
    outgoing = message(media=[attachment("a.jpg", "image/jpeg", JPEG)])
    with pytest.raises(Throttled):
        await shop.connector.send(outgoing)
    shop.platform.account.files.clear()
    await shop.connector.send(outgoing)

    assert shop.platform.calls["media/upload"] == 2
    assert len(shop.platform.received[OPENID]) == 1


async def test_upload_is_remembered(shop: Shop) -> None:
    """A second attempt of the same delivery does not upload the file again."""
    shop.platform.fail("custom/send", Fault(errcode=-1))
    outgoing = message(media=[attachment("a.jpg", "image/jpeg", JPEG)])
    with pytest.raises(Unreachable):
        await shop.connector.send(outgoing)
    await shop.process().send(outgoing)

    assert shop.platform.calls["media/upload"] == 1


async def test_media_refused_for_ever_does_not_loop(shop: Shop) -> None:
    """If the platform never knows the file, it is uploaded twice and then given up."""
    shop.platform.fail("custom/send", Fault(errcode=40007), times=50)
    with pytest.raises(Rejected):
        await shop.connector.send(message(media=[attachment("a.jpg", "image/jpeg", JPEG)]))

    assert (shop.platform.calls["media/upload"], shop.platform.calls["custom/send"]) == (2, 2)


async def test_expiry_during_concurrent_sends(shop: Shop) -> None:
    """A token that ends while two processes send 50 messages is refreshed exactly once; every message arrives."""
    shop.platform.account.customers[OPENID].rights["message"] = (NOW + 10**9, 100)
    await shop.send()
    shop.platform.tokens.expire()
    before = shop.platform.calls["stable_token"]
    processes = [shop.process(), shop.process()]
    await asyncio.gather(*(processes[n % 2].send(message(f"第{n}条", id=f"d{n}")) for n in range(50)))

    assert shop.platform.calls["stable_token"] == before + 1
    assert len(set(shop.texts())) == 51


async def test_first_token_is_fetched_once(shop: Shop) -> None:
    """Fifty sends of a hub that has just started ask for one token."""
    shop.platform.account.customers[OPENID].rights["message"] = (NOW + 10**9, 100)
    await asyncio.gather(*(shop.process().send(message(id=f"d{n}", text="您好")) for n in range(50)))

    assert shop.platform.calls["stable_token"] == 1


async def test_revoked_token_is_forced(shop: Shop) -> None:
    """A token that the platform refuses but goes on handing out is replaced by a forced refresh, once for all."""
    await shop.send()
    shop.platform.tokens.revoke()
    await asyncio.gather(*(shop.send(id=f"d{n}") for n in range(4)))

    assert shop.platform.calls["stable_token"] == 3
    assert len(shop.texts()) == 5


async def test_forced_refreshes_are_spaced(shop: Shop) -> None:
    """A second forced refresh within 30 s is not asked for: the message waits out the rest."""
    await shop.send()
    shop.platform.tokens.revoke()
    await shop.send()
    shop.clock.move(20)
    shop.platform.tokens.revoke()
    with pytest.raises(Throttled) as early:
        await shop.send()
    assert early.value.retry_after == 10
    shop.clock.move(10)
    await shop.send()

    assert len(shop.texts()) == 3


async def test_expired_token_needs_no_force(shop: Shop) -> None:
    """A token that has simply ended costs no forced refresh, of which there are 20 a day."""
    await shop.send()
    for _ in range(3):
        shop.platform.tokens.expire()
        await shop.send()

    assert await shop.memory.get("forced_refresh_at") is None
    assert shop.platform.calls["stable_token"] == 4


async def test_token_is_renewed_in_time(shop: Shop) -> None:
    """The token is renewed before it ends, without a refused call."""
    await shop.send()
    shop.clock.move(7200 - 240)
    await shop.send()

    assert (shop.platform.calls["stable_token"], shop.platform.calls["custom/send"]) == (2, 2)


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
async def test_refused_token_does_not_loop(shop: Shop, errcode: Any) -> None:
    """When every token is refused, a message is tried twice and the admin is told."""
    await shop.send()
    shop.platform.fail("custom/send", Fault(errcode=errcode), times=100)
    leaving = Leaving()
    with pytest.raises(BadOptions) as refused:
        await shop.send(leaving=leaving)

    assert refused.value.code == str(errcode)
    assert (shop.platform.calls["custom/send"], leaving.count) == (3, 2)
    assert shop.platform.calls["stable_token"] <= 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(errcode=40013), BadOptions),
        (Fault(errcode=40125), BadOptions),
        (Fault(errcode=40164), BadOptions),
        (Fault(errcode=61004), BadOptions),
        (Fault(errcode=89503), BadOptions),
        (Fault(errcode=40001), BadOptions),
        (Fault(errcode=45009), Throttled),
        (Fault(errcode=45011), Throttled),
        (Fault(errcode=-1), Unreachable),
        (Fault(status=502), Unreachable),
        (Fault(cut=True), Unreachable),
    ],
)
async def test_token_trouble(shop: Shop, fault: Any, error: Any) -> None:
    """While no token can be had nothing leaves, and the error says whether to wait or to act."""
    shop.platform.fail("stable_token", fault)
    leaving = Leaving()
    with pytest.raises(error) as trouble:
        await shop.send(leaving=leaving)

    assert leaving.count == 0
    assert leaks(trouble.value, [SECRET, TOKEN, AES_KEY, OPENID]) == []


async def test_wrong_secret_is_named(shop: Shop) -> None:
    """With a wrong app_secret the admin is told so, without seeing it."""
    with pytest.raises(BadOptions, match="app_secret") as refused:
        await shop.process(app_secret="another-secret").send(message("您好"))

    assert leaks(refused.value, ["another-secret"]) == []


@pytest.mark.parametrize("errcode", [*(code for code in REFUSALS if code not in (40001, 40014, 42001)), 99999])
async def test_every_errcode(shop: Shop, errcode: Any) -> None:
    """Each errcode of custom/send becomes the error that the table names, with its code and no personal data."""
    expected = REFUSALS.get(errcode, (Rejected, ""))[0]
    shop.platform.fail("custom/send", Fault(errcode=errcode), times=2)
    with pytest.raises(SendError) as refused:
        await shop.send("请问单号多少")

    assert type(refused.value) is expected
    assert refused.value.code == str(errcode)
    assert shop.platform.calls["custom/send"] == 1
    assert leaks(refused.value, [SECRET, TOKEN, AES_KEY, OPENID, "请问单号多少"]) == []


def test_documented_errcodes() -> None:
    """The errcodes whose meaning the documents fix ("Global return codes", "getAccessToken") do what they ask for."""
    table = {
        Unreachable: (-1,),
        BadOptions: (
            *(40001, 40014, 42001, 40013, 40125, 40164, 48001, 48004, 50002),
            *(61004, 61452, 89501, 89503, 89506, 89507),
        ),
        Rejected: (40003, 40007, 45002, 48002, 12345),
        Throttled: (45009, 45011),
        WindowClosed: (45015, 45047),
    }
    for error, codes in table.items():
        assert {type(refusal(code, NOW)) for code in codes} == {error}


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        (1_795_017_600_000 - 1_000, 60.0),
        (1_795_017_600_000 - 3_600_000, 3600.0),
        (1_795_017_600_000, 86_400.0),
        (1_795_017_600_000 + 1_000, 86_399.0),
    ],
)
def test_daily_quota_resets_at_midnight_in_beijing(at: Any, seconds: Any) -> None:
    """45009 waits until the day turns in China (2026-11-19 00:00 +08:00), and never less than a minute."""
    error = refusal(45009, at)

    assert isinstance(error, Throttled)
    assert (error.retry_after, until_reset(at)) == (seconds, seconds)


async def test_minute_quota_waits_a_minute(shop: Shop) -> None:
    """45011 is retried after at least 60 s."""
    shop.platform.fail("custom/send", Fault(errcode=45011))
    with pytest.raises(Throttled) as slow:
        await shop.send()

    assert slow.value.retry_after >= 60


async def test_stranger_is_rejected(shop: Shop) -> None:
    """An openid that this account does not know is rejected for good."""
    with pytest.raises(Rejected) as refused:
        await shop.connector.send(outbound(address="wechat:oStranger", text="您好"))

    assert refused.value.code == "40003"


@pytest.mark.parametrize("address", ["tel:+8613800138000", "wechat:", "wechat:a b", "oStranger", "wechat:微信"])
async def test_foreign_address_is_rejected(shop: Shop, address: Any) -> None:
    """An address of another kind never reaches the platform."""
    with pytest.raises(Rejected):
        await shop.connector.send(outbound(address=address, text="您好"))

    assert shop.platform.calls["custom/send"] == 0


@pytest.mark.parametrize("fields", [{}, {"text": " \n"}, {"text": "\x00"}, {"text": "a", "media": [attachment()]}])
async def test_odd_messages_are_rejected(shop: Shop, fields: Any) -> None:
    """Nothing, blanks, or text and file in one message are refused before anything leaves."""
    leaving = Leaving()
    with pytest.raises(Rejected):
        await shop.connector.send(message(**fields, leaving=leaving))

    assert leaving.count == 0


async def test_limit_is_the_platforms(shop: Shop) -> None:
    """A text of exactly 2048 bytes of Chinese is accepted whole; one byte more is refused before it leaves."""
    text = "退" * 682 + "ab"
    await shop.send(text)
    with pytest.raises(Rejected) as long:
        await shop.send(text + "c")

    assert shop.texts() == [text]
    assert long.value.code == "45002"


@pytest.mark.parametrize("fault", [Fault(cut=True), Fault(status=500)], ids=["cut", "500"])
async def test_lost_answer_is_uncertain(shop: Shop, fault: Any) -> None:
    """When the platform accepts and the answer is lost, the message counts as uncertain and is not sent again."""
    shop.platform.fail("custom/send", fault)
    leaving = Leaving()
    with pytest.raises(Uncertain) as lost:
        await shop.send(leaving=leaving)

    assert shop.texts() == (["您好"] if fault.cut else [])
    assert (shop.platform.calls["custom/send"], leaving.count) == (1, 1)
    assert leaks(lost.value, [SECRET, OPENID]) == []


async def test_staff_name(shop: Shop) -> None:
    """With kf_account the answer comes from that member of staff; an unknown one is the admin's business."""
    shop.platform.account.kf_accounts.add("kf1@shop")
    await shop.process(kf_account="kf1@shop").send(message("您好"))
    with pytest.raises(BadOptions):
        await shop.process(kf_account="kf2@shop").send(message("您好"))

    assert len(shop.texts()) == 1


async def test_nothing_secret_is_remembered_in_clear(shop: Shop) -> None:
    """Shared memory holds the token and nothing of the options; the connector's repr holds neither."""
    await shop.send()
    held = repr(shop.memory._values) + repr(vars(shop.connector))

    assert [word for word in (SECRET, AES_KEY) if word in held] == []
