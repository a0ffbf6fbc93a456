"""From the platform's push to the agent's answer on the customer's phone, through the real doors."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.simulators.wechat import Fault, WeChatPlatform
from tests.hubs import configuration, running, served, until, write

AES = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
OPENID = "o9AgO5Kd5ggOC-bXrbNODIiE3bGY"


def wechat_channel(api_base: str) -> str:
    return (
        "  shop-wechat: {kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app, token: pushtoken, "
        f"encoding_aes_key: {AES}, api_base: '{api_base}'}}"
    )


@pytest.fixture
def platform() -> WeChatPlatform:
    return WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken", aes_key=AES)


async def test_a_message_is_routed_and_answered_once(store_url: str, tmp_path: Path, platform: WeChatPlatform) -> None:
    """A customer writes by WeChat, the rules name the team, an agent answers by API, the customer reads it once."""
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(wechat_channel(api_base)))
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"

            push = await platform.write(OPENID, "我要退款")
            assert push.taken
            [one] = await until(lambda: stage.conversations(team="aftersales"))
            assert one["stage"] == "aftersale"
            assert one["window"]["messages_left"] == 5

            reply = {"text": "好的，马上为您处理", "client_id": "a1"}
            first = await stage.api("POST", f"/conversations/{one['id']}/replies", reply, status=202)
            again = await stage.api("POST", f"/conversations/{one['id']}/replies", reply, status=202)
            assert first["delivery"]["id"] == again["delivery"]["id"]

            async def sent() -> bool:
                state = await stage.api("GET", f"/deliveries/{first['delivery']['id']}")
                return bool(state["state"] == "sent")

            await until(sent)
            assert [one.text for one in platform.received[OPENID]] == ["好的，马上为您处理"]
            messages = await stage.messages(one["id"])
            assert ["inbound", "outbound"] == [m["direction"] for m in messages if m["direction"] != "event"]


async def test_a_repeated_push_gives_one_message(store_url: str, tmp_path: Path, platform: WeChatPlatform) -> None:
    """WeChat pushes up to three times when it gets no answer in time: one message, counted as two duplicates."""
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(wechat_channel(api_base)))
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            fields = (await platform.write(OPENID, "你好")).fields
            await platform.push(fields, copies=2)

            [one] = await until(stage.conversations)
            inbound = [m for m in await stage.messages(one["id"]) if m["direction"] == "inbound"]

            assert 1 == len(inbound)
            counts = stage.hub.recorder.counts
            assert (3, 1, 2) == tuple(counts["shop-wechat", name] for name in ("received", "recorded", "duplicate"))


async def test_a_complaint_is_acknowledged_once_and_assigned(
    store_url: str, tmp_path: Path, platform: WeChatPlatform
) -> None:
    """A route's acknowledgement goes out once, and the team's agent gets the conversation."""
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(wechat_channel(api_base)))
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            await platform.write(OPENID, "我要投诉")

            [one] = await until(lambda: stage.conversations(agent="lilei"))
            assert (one["team"], one["priority"]) == ("complaints", "urgent")

            async def acknowledged() -> bool:
                return bool(platform.received.get(OPENID))

            await until(acknowledged)
            assert 1 == len(platform.received[OPENID])
            trail = (await stage.api("GET", f"/conversations/{one['id']}/trail"))["items"]
            assert "complaint" == trail[-1]["route"]
            assert trail[-1]["explanation"]["tried"][0]["matched"]


async def test_a_closed_window_becomes_a_dead_letter_that_can_be_retried(
    store_url: str, tmp_path: Path, platform: WeChatPlatform
) -> None:
    """When the platform says that the window is closed the reply is dead with the reason, and retry truly sends."""
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(wechat_channel(api_base)))
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            await platform.write(OPENID, "在吗")
            [one] = await until(stage.conversations)
            platform.fail("custom/send", Fault(errcode=45015))
            reply = await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "在的"}, status=202)

            [dead] = await until(lambda: dead_letters(stage))
            assert (dead["id"], dead["code"]) == (reply["delivery"]["id"], "45015")

            await stage.api("POST", f"/dead/{dead['id']}/retry", {}, status=202)
            await until(lambda: received(platform))
            assert ["在的"] == [m.text for m in platform.received[OPENID]]
            assert [] == await dead_letters(stage)


async def dead_letters(stage: object) -> list[dict[str, str]]:
    found: list[dict[str, str]] = (await stage.api("GET", "/dead"))["items"]  # type: ignore[attr-defined]
    return found


async def received(platform: WeChatPlatform) -> bool:
    return bool(platform.received.get(OPENID))
