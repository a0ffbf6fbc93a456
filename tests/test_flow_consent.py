"""Customers leave and return by every door, and nothing that they do not want reaches them."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from connectors.simulators.wechat import WeChatPlatform
from inbox.partitions import key, partition_of, tag
from outbox.letters import Letter
from outbox.seals import Recipient
from tests.hubs import TEAMS, Stage, configuration, running, served, until, write
from tests.test_flow_messages import AES, OPENID, wechat_channel
from tests.texting import texting
from tests.twilio_account import BUYER

ADDRESS = f"tel:{BUYER}"
ROUTES = """
default: {team: frontdesk}
routes:
  - name: left
    when: {event: opt_out}
    set: {tags: [left]}
  - name: complaint
    when: {text: {any_of: [投诉]}}
    set: {team: complaints, acknowledge: complaint-received}
"""


async def words_of(stage: Stage, contact: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await stage.api("GET", f"/contacts/{contact}/consent"))["items"]
    return found


async def settled(stage: Stage, delivery: str, state: str) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        found: dict[str, Any] = await stage.api("GET", f"/deliveries/{delivery}")
        return found if found["state"] == state else {}

    return await until(look)


async def test_stop_by_sms_ends_messages_until_the_customer_writes_again(store_url: str, tmp_path: Path) -> None:
    """STOP is kept with evidence and refuses answers and letters; writing again allows answers, START everything."""
    async with texting(store_url, tmp_path) as shop:
        stage = shop.stage
        (tmp_path / "routes.yaml").write_text(ROUTES, encoding="utf-8")
        await shop.platform.write(BUYER, "hello")
        [one] = await until(stage.conversations)
        await shop.platform.write(BUYER, "STOP")

        async def left() -> list[dict[str, Any]]:
            return [word for word in await words_of(stage, one["contact"]["id"]) if word["state"] == "opted_out"]

        [word] = await until(left)
        assert (word["address"], word["channel"], word["lane"]) == (ADDRESS, "*", "*")
        assert word["evidence"]

        async def told() -> bool:
            return any(message["text"] == "STOP" for message in await stage.messages(one["id"]))

        await until(told)
        refused = await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "wait"}, status=409)
        assert ["opted_out"] == [each["code"] for each in refused["obstacles"]]
        letter = Letter(channel="sms", address=ADDRESS, key="s1", lane="survey", text="How were we?")
        delivery, _ = await stage.hub.deliveries.owe_letter(letter, 1)
        assert "opted_out" == (await settled(stage, delivery.id, "failed"))["code"]

        shop.platform.opted_out.clear()  # the platform's own list is not what is tested here
        await shop.platform.write(BUYER, "one more question")

        async def reopened() -> bool:
            return (await stage.conversations())[0]["last_inbound_at"] > word["at"] and any(
                message["text"] == "one more question" for message in await stage.messages(one["id"])
            )

        await until(reopened)
        await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "yes?"}, status=202)

        async def answered() -> bool:
            return shop.texts() == ["yes?"]

        await until(answered)
        obstacle = await stage.hub.consent.obstacle(ADDRESS, "sms", "survey", conversation=one["id"])
        assert obstacle is not None
        await shop.platform.write(BUYER, "START")

        async def returned() -> bool:
            return await stage.hub.consent.obstacle(ADDRESS, "sms", "campaign") is None

        await until(returned)


async def test_who_unfollows_gets_nothing_unasked(store_url: str, tmp_path: Path) -> None:
    """Unfollowing a WeChat account ends everything on that channel; following again says nothing of consent."""
    platform = WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken", aes_key=AES)
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(wechat_channel(api_base), more=TEAMS + "consent: {required: []}\n"))
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            address = f"wechat:{OPENID}"
            await platform.write(OPENID, "你好")
            await until(stage.conversations)

            async def obstacle(lane: str, channel: str = "shop-wechat") -> str:
                found = await stage.hub.consent.obstacle(address, channel, lane)
                return found.code if found is not None else "none"

            assert "none" == await obstacle("survey")
            await platform.unfollow(OPENID)
            await until(lambda: equal(obstacle("survey"), "opted_out"))
            assert "none" == await obstacle("survey", "elsewhere")
            await platform.follow(OPENID)
            await until(lambda: equal(obstacle("survey"), "none"))
            await platform.write(OPENID, "退订。")
            await until(lambda: equal(obstacle("survey", "elsewhere"), "opted_out"))


async def equal(found: Awaitable[str], wanted: str) -> bool:
    return await found == wanted


async def test_a_link_is_looked_at_by_anybody_and_used_by_the_recipient(store_url: str, tmp_path: Path) -> None:
    """GET records nothing however often; a mail program's one click does, and so does the page, which takes it back."""
    async with texting(store_url, tmp_path) as shop:
        stage, consent = shop.stage, shop.stage.hub.consent
        address = "mailto:anna@example.com"
        page = stage.hub.links.unsubscribe(Recipient("sms", address, "survey"))
        path = f"{stage.base}/u/{page.rpartition('/')[2]}"
        assert page.startswith("https://hub.example.com/u/")
        assert "anna" not in page

        for headers in ({}, {"Accept-Language": "en"}, {"User-Agent": "Scanner"}):
            for method in ("GET", "HEAD", "GET"):
                async with stage.http.request(method, path, headers=headers) as answer:
                    assert answer.status == 200
                    text = await answer.text()
                    assert "anna@" not in text
                    assert "Set-Cookie" not in answer.headers
        assert () == await consent.known(address)

        async with stage.http.post(path, data={"List-Unsubscribe": "One-Click"}) as answer:
            assert answer.status == 200
        known = await consent.known(address)
        assert {("survey", "opted_out", "one-click"), ("campaign", "opted_out", "one-click")} == {
            (word.lane, word.state, word.how) for word in known
        }
        assert await consent.obstacle(address, "sms", "reply") is None

        async with stage.http.post(path, data={"do": "return"}) as answer:
            assert answer.status == 200
        assert await consent.obstacle(address, "sms", "campaign") is None

        async with stage.http.post(path, data={"do": "leave", "all": "1"}) as answer:
            assert answer.status == 200
        assert (await consent.obstacle(address, "sms", "reply")) is not None
        async with stage.http.post(path, data={"do": "return"}) as answer:
            assert answer.status == 200
        assert [None] * 3 == [await consent.obstacle(address, "sms", lane) for lane in ("reply", "survey", "campaign")]

        for bad in ("x", "a" * 40, path.rpartition("/")[2][:-1], path.rpartition("/")[2][:-1] + "2", "%00" * 40):
            async with stage.http.post(f"{stage.base}/u/{bad}", data={"do": "leave"}) as answer:
                assert answer.status == 404
        async with stage.http.post(path, data={"what": "ever"}) as answer:
            assert answer.status == 400


async def test_a_person_records_consent_with_a_reason(store_url: str, tmp_path: Path) -> None:
    """What a person records has a reason and stands on the timeline; an agent may not overrule the customer."""
    async with texting(store_url, tmp_path) as shop:
        stage = shop.stage
        await shop.platform.write(BUYER, "hello")
        [one] = await until(stage.conversations)
        path = f"/contacts/{one['contact']['id']}/consent"
        assert [("unknown", None)] == [
            (word["state"], word["at"]) for word in await words_of(stage, one["contact"]["id"])
        ]

        body = {"address": ADDRESS, "state": "consented", "lane": "campaign", "reason": "asked by phone"}
        found = await stage.api("PUT", path, body, token="test-token-of-lilei")
        assert [("consented", "person", "李雷", "asked by phone")] == [
            (word["state"], word["how"], word["by"], word["reason"]) for word in found["items"]
        ]
        [event] = [m for m in await stage.messages(one["id"]) if (m.get("event") or {}).get("name") == "consent"]
        assert ("asked by phone", "consented") == (event["event"]["reason"], event["event"]["state"])
        assert await stage.hub.consent.obstacle(ADDRESS, "sms", "campaign") is None

        await shop.platform.write(BUYER, "STOP")
        await until(lambda: barred(stage))
        refused = await stage.api("PUT", path, body, token="test-token-of-lilei", status=403)
        assert "supervisor" in refused["detail"]
        await stage.api("PUT", path, body)
        assert await stage.hub.consent.obstacle(ADDRESS, "sms", "campaign") is None
        for changes in (
            {"reason": " "},
            {"address": "tel:+1"},
            {"lane": "x"},
            {"channel": "fax"},
            {"at": "2999-01-01T00:00:00Z"},
            {"state": "maybe"},
        ):
            await stage.api("PUT", path, {**body, **changes}, status=422)
        await stage.api("GET", path, token="test-token-of-a-reader")
        await stage.api("PUT", path, body, token="test-token-of-a-reader", status=403)


async def barred(stage: Stage) -> bool:
    return await stage.hub.consent.obstacle(ADDRESS, "sms", "campaign") is not None


CONFIRMED = TEAMS + "consent: {confirm: thanks, confirmed_by_platform: [], whole_contact: true}\n"


async def test_an_opt_out_is_confirmed_once_and_never_acknowledged(store_url: str, tmp_path: Path) -> None:
    """Where the law wants it, one confirmation goes out to who has left, and nothing else."""
    platform = WeChatPlatform("wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken", aes_key=AES)
    async with served(platform.app) as api_base:
        routes = ROUTES.replace("any_of: [投诉]", "any_of: [投诉, 退订]")
        config = write(tmp_path, configuration(wechat_channel(api_base), more=CONFIRMED), routes=routes)
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            for _ in range(2):
                await platform.write(OPENID, "你好")
            [one] = await until(stage.conversations)
            fields = (await platform.write(OPENID, "【退訂】")).fields
            await platform.push(fields, copies=2)
            await until(lambda: tagged(stage))

            async def confirmed() -> bool:
                return [m.text for m in platform.received.get(OPENID, [])] == ["谢谢。"]

            await until(confirmed)
            refused = await stage.api("POST", f"/conversations/{one['id']}/replies", {"text": "别走"}, status=409)
            assert "opted_out" == refused["obstacles"][0]["code"]

            async def left_out() -> bool:
                return stage.hub.router.counts["unacknowledged"] == 1

            await until(left_out)
            place, contact = partition_of(f"wechat:{OPENID}"), one["contact"]["id"]
            both = f"wechat:{OPENID}\nmailto:anna@example.com"
            record = key(place, f"k:{contact.partition('-')[2]}")
            await stage.hub.store.do(tag(place), "HSET", record, "addresses", both)
            found = await stage.hub.consent.obstacle("mailto:anna@example.com", "any", "survey", contact=contact)
            assert found is not None
            assert [] == (await stage.api("GET", "/dead"))["items"]


async def tagged(stage: Stage) -> bool:
    return any("left" in one["tags"] for one in await stage.conversations())
