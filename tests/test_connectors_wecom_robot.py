"""WeCom group robot: the contract of every connector, contents and limits against the simulated platform."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, ClassVar

import aiohttp
import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from connectors.base import BadOptions, Kit, Rejected, SendError, Sent, Throttled, Uncertain, Unreachable, Webhook
from connectors.simulators.wecom_robot import PER_MINUTE, Fault, WeComRobots
from connectors.testing import InMemory, Leaving, Reply, Request, Sending, SendingContract, attachment, leaks, outbound
from connectors.wecom_codes import REFUSALS
from connectors.wecom_options import WeComRobotOptions
from connectors.wecom_robot import WeComRobot
from tests.wechat_shop import AMR, JPEG, MP4, Clock, serving

KEY = "693a91f6-7abc-4bc4-97a0-0ec2sifa5aaa"
ADDRESS = "wecom-robot:test"


class TestWeComRobot(SendingContract):
    """The suite."""

    connector_class: ClassVar[type[Any]] = WeComRobot
    address: ClassVar[str] = ADDRESS

    def options(self, platform: str) -> Mapping[str, Any]:
        return {"key": KEY, "api_base": platform}

    def sendings(self) -> Iterable[Sending]:
        yield Sending("text", outbound(address=ADDRESS, text="有新会话等待接待"), Sent())
        media = {
            "picture": attachment(),
            "voice": attachment("a.amr", "audio/amr", b"#!AMR\n"),
            "video as a file": attachment("a.mp4", "video/mp4", b"\x00\x00\x00\x18ftypmp42"),
            "file": attachment("报表.xlsx", "application/octet-stream", b"PK......"),
        }
        for label, one in media.items():
            size = max(one.size, 6)
            yield Sending(label, outbound(address=ADDRESS, media=[replace(one, size=size)]), Sent())

    def platform_answer(self, request: Request) -> Reply:
        if request.path == "/cgi-bin/webhook/upload_media":
            return Reply(200, '{"errcode":0,"errmsg":"ok","type":"file","media_id":"m1","created_at":"1"}')
        return Reply(200, '{"errcode":0,"errmsg":"ok"}')

    def delivers(self, request: Request) -> bool:
        return request.path == "/cgi-bin/webhook/send"


@contextlib.asynccontextmanager
async def group(**options: Any) -> AsyncIterator[tuple[WeComRobots, WeComRobot, Clock]]:
    """Yield a group's platform, a connector for it, and the clock of both."""
    clock = Clock()
    platform = WeComRobots(KEY, clock)
    async with serving(platform.app) as api_base, aiohttp.ClientSession() as http:
        settings = WeComRobotOptions.model_validate({"key": KEY, "api_base": api_base, **options})
        yield (
            platform,
            WeComRobot(settings, Kit("test", http, InMemory(clock), "https://hub.example.com", clock)),
            clock,
        )


def message(text: str = "", **fields: Any) -> Any:
    """Return a message for the group."""
    return outbound(address=ADDRESS, text=text, **fields)


def test_it_only_sends() -> None:
    """Nothing comes back from a group, so agents cannot work through it, and nobody can press anything."""
    can = WeComRobot.capabilities

    assert (issubclass(WeComRobot, Webhook), can.staff, can.choices) == (False, False, 0)
    assert can.rate is not None
    assert can.rate * 60 <= PER_MINUTE


@pytest.mark.parametrize(
    ("options", "kind", "content"),
    [
        ({}, "text", {"content": "待接待 3"}),
        (
            {"mention": ["LiLei", "@all"], "mention_mobiles": ["13800138000"]},
            "text",
            {
                "content": "待接待 3",
                "mentioned_list": ["LiLei", "@all"],
                "mentioned_mobile_list": ["13800138000"],
            },
        ),
        ({"format": "markdown"}, "markdown", {"content": "待接待 3"}),
        ({"format": "markdown", "mention": ["LiLei"]}, "markdown", {"content": "待接待 3\n<@LiLei>"}),
        ({"format": "markdown_v2"}, "markdown_v2", {"content": "待接待 3"}),
    ],
)
async def test_texts(options: Any, kind: Any, content: Any) -> None:
    """A text goes in the configured format and calls whom the options name."""
    async with group(**options) as (platform, robot, _):
        await robot.send(message("待接待 3"))

    assert [(one.type, one.content) for one in platform.received] == [(kind, content)]


@pytest.mark.parametrize("format", ["text", "markdown", "markdown_v2"])
async def test_customers_call_nobody(format: Any) -> None:
    """A customer's words in a notice neither mention members nor hide a link."""
    async with group(format=format) as (platform, robot, _):
        await robot.send(message('<@all> <@LiLei> <a href="x">退款</a>'))

    assert platform.received[0].text == '(@all> (@LiLei> (a href="x">退款</a>'


async def test_pictures() -> None:
    """A picture goes inside the message with its md5; one over 2 MB goes as a file."""
    big = JPEG + bytes(2 << 20)
    async with group() as (platform, robot, _):
        await robot.send(message(media=[attachment("a.jpg", "image/jpeg", JPEG)]))
        await robot.send(message(id="d2", media=[attachment("b.jpg", "image/jpeg", big)]))
        picture, file = platform.received

        assert base64.b64decode(picture.content["base64"]) == JPEG
        assert picture.content["md5"] == hashlib.md5(JPEG).hexdigest()
        assert platform.files[file.content["media_id"]][1] == big


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("voice", attachment("a.amr", "audio/amr", AMR)),
        ("file", attachment("a.mp4", "video/mp4", MP4)),
        ("file", attachment("周报 第一周.xlsx", "application/octet-stream", b"PK\x03\x04....")),
    ],
    ids=["voice", "video", "sheet"],
)
async def test_files(kind: Any, file: Any) -> None:
    """A file is uploaded with its readable name, once for all attempts, then sent."""
    async with group() as (platform, robot, _):
        platform.fail("webhook/send", Fault(errcode=-1))
        with pytest.raises(Unreachable):
            await robot.send(message(media=[file]))
        await robot.send(message(media=[file]))
        [sent] = platform.received
        _, data, _, name = platform.files[sent.content["media_id"]]

        assert (sent.type, data, platform.calls["webhook/upload_media"]) == (kind, await file.read(), 1)
        assert kind == "voice" or name == file.name


async def test_expired_upload_is_replaced() -> None:
    """A file that the platform has forgotten between two attempts is uploaded once more."""
    file = message(media=[attachment("a.pdf", "application/pdf", b"%PDF-1.7")])
    async with group() as (platform, robot, _):
        platform.fail("webhook/send", Fault(errcode=-1))
        with pytest.raises(Unreachable):
            await robot.send(file)
        platform.files.clear()
        await robot.send(file)

        assert (len(platform.received), platform.calls["webhook/upload_media"]) == (1, 2)


async def test_other_files_go_as_links() -> None:
    """A file over 20 MB goes as an article that links to it; without an address it is rejected."""
    file = replace(attachment("很长的名字" * 20 + ".pdf", "application/pdf", b"%PDF-"), size=(20 << 20) + 1)
    async with group() as (platform, robot, _):
        await robot.send(message(media=[file]))
        with pytest.raises(Rejected):
            await robot.send(message(media=[replace(file, url="")]))
        [article] = platform.received[0].content["articles"]

        assert article["url"] == file.url
        assert article["description"].endswith(".pdf")


async def test_rate_of_the_platform() -> None:
    """The 21st message of a minute is refused by the platform and waits a minute."""
    async with group() as (platform, robot, clock):
        for n in range(PER_MINUTE):
            await robot.send(message(f"第{n}条", id=f"d{n}"))
        with pytest.raises(Throttled) as slow:
            await robot.send(message("多了", id="more"))
        assert (slow.value.code, slow.value.retry_after) == ("45009", 60.0)
        clock.move(slow.value.retry_after)
        await robot.send(message("多了", id="more"))

        assert len(platform.received) == PER_MINUTE + 1


@pytest.mark.parametrize("errcode", [*REFUSALS, 99999])
async def test_every_errcode(errcode: Any) -> None:
    """Each errcode becomes the error that the table names; a robot that is shut out waits ten minutes."""
    async with group() as (platform, robot, _):
        platform.fail("webhook/send", Fault(errcode=errcode))
        with pytest.raises(SendError) as error:
            await robot.send(message("请看"))

    assert type(error.value) is REFUSALS.get(errcode, (Rejected, ""))[0]
    assert error.value.code == str(errcode)
    assert getattr(error.value, "retry_after", 600) == {45009: 60.0, 45033: 5.0}.get(errcode, 600)
    assert leaks(error.value, [KEY]) == []


async def test_wrong_key_is_named() -> None:
    """With a key that the platform does not know the admin is told, without seeing it."""
    async with group(key="00000000-aaaa") as (_, robot, _clock):
        with pytest.raises(BadOptions, match="key") as error:
            await robot.send(message("请看"))

    assert leaks(error.value, ["00000000-aaaa"]) == []


@pytest.mark.parametrize("fault", [Fault(cut=True), Fault(status=500)], ids=["cut", "500"])
async def test_lost_answer_is_uncertain(fault: Any) -> None:
    """When the answer is lost the message counts as uncertain and is not sent again."""
    async with group() as (platform, robot, _):
        platform.fail("webhook/send", fault)
        with pytest.raises(Uncertain) as lost:
            await robot.send(message("请看"))

        assert platform.calls["webhook/send"] == 1
    assert leaks(lost.value, [KEY]) == []


@pytest.mark.parametrize("address", ["wecom-robot:other", "wecom-robot:", "wecom:LiLei", "test"])
async def test_foreign_address_is_rejected(address: Any) -> None:
    """What is meant for another group never reaches this one."""
    leaving = Leaving()
    async with group() as (platform, robot, _):
        with pytest.raises(Rejected):
            await robot.send(outbound(address=address, text="请看", leaving=leaving))

        assert (leaving.count, platform.calls["webhook/send"]) == (0, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"key": ""},
        {"key": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x"},
        {"format": "html"},
        {"format": "markdown_v2", "mention": ["LiLei"]},
        {"format": "markdown", "mention_mobiles": ["13800138000"]},
        {"api_base": "qyapi.weixin.qq.com"},
    ],
)
def test_options_are_refused(changed: Any) -> None:
    """A whole address instead of its key, and mentions that the format cannot make, are refused in silence."""
    with pytest.raises(ValidationError) as refused:
        WeComRobotOptions.model_validate({"key": KEY, **changed})

    assert KEY not in str(refused.value)
