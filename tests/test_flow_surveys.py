"""Surveys through the real doors: who is asked and who is not, what counts as an answer, and what follows from it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from config.surveys import Scheduled
from connectors.base import Notice
from connectors.simulators.wechat import WeChatPlatform
from inbox import log as logbook
from inbox.leases import Held
from inbox.partitions import key, parse_id, partition_of, tag
from outbox.survey_commands import BadList, recipients
from outbox.survey_sending import last_time
from tests.hubs import ROUTES, TEAMS, Stage, configuration, running, served, until, write
from tests.survey_stage import CSAT as CHAT_CSAT
from tests.survey_stage import asked, asking, listed

AES = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APP = "wxba5fad812f8e6fb9"
OPENID = "o9AgO5Kd5ggOC-bXrbNODIiE3bGY"
CSAT = """
csat:
  title: {zh: 服务满意度, en: Service}
  purpose: know how we do
  owner: service
  trigger: {on: resolved}
"""
FOLLOWED = CSAT + "  follow_up: {below: 3, team: complaints, sla: fast, priority: urgent}\n"
CLOCKS = "sla:\n  fast: {first_reply: 10m, resolution: 2h}\n"


class Shop:
    """A shop on WeChat with surveys: *stage* is the hub, or one of two."""

    def __init__(self, stage: Stage, platform: WeChatPlatform, stages: list[Stage]) -> None:
        self.stage, self.platform, self.stages = stage, platform, stages

    def texts(self, openid: str = OPENID) -> list[str]:
        return [one.text for one in self.platform.received.get(openid, [])]

    async def told(self, words: str, openid: str = OPENID) -> list[str]:
        """Wait until a customer has received a message with *words*."""

        async def look() -> list[str]:
            return [text for text in self.texts(openid) if words in text]

        return await until(look)

    async def of(self, openid: str = OPENID) -> dict[str, Any]:
        """Return a customer's conversation."""

        async def look() -> list[dict[str, Any]]:
            found = await self.stage.conversations()
            return [one for one in found if one["contact"]["addresses"] == [f"wechat:{openid}"]]

        return (await until(look))[0]

    async def resolved(self, openid: str = OPENID, words: str = "我要退款") -> str:
        """Let a customer write, an agent answer and resolve; return the conversation."""
        await self.platform.write(openid, words)
        one = str((await self.of(openid))["id"])
        reply = {"text": f"好的 {openid}", "agent": "lilei"}
        await self.stage.api("POST", f"/conversations/{one}/replies", reply, status=202)
        await self.told("好的", openid)
        await self.stage.api("POST", f"/conversations/{one}/resolve", {})
        return one

    async def asked(self, openid: str = OPENID) -> str:
        """Let a customer be asked; return the conversation."""
        one = await self.resolved(openid)
        await self.told("满意吗", openid)
        return one

    async def answer(self, openid: str = OPENID, **wanted: Any) -> dict[str, Any]:
        """Return a customer's response, once it is as *wanted*."""

        async def look() -> dict[str, Any] | None:
            contact = (await self.of(openid))["contact"]["id"]
            for one in await listed(self.stage, "csat", "responses"):
                if one["contact"] == contact and all(one[name] == value for name, value in wanted.items()):
                    return one
            return None

        found = await until(look)
        assert found is not None
        return found

    async def state(self, conversation: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.stage.api("GET", f"/conversations/{conversation}")
        return found


@asynccontextmanager
async def shop(
    store_url: str, folder: Path, surveys: str = CSAT, *, routes: str = ROUTES, more: str = TEAMS, hubs: int = 1
) -> AsyncIterator[Shop]:
    """Run a shop on WeChat, with *hubs* processes on one store."""
    platform = WeChatPlatform(APP, "s3cret-of-the-app", "pushtoken", aes_key=AES)
    async with AsyncExitStack() as stack:
        api_base = await stack.enter_async_context(served(platform.app))
        channel = (
            f"  shop-wechat: {{kind: wechat, app_id: {APP}, app_secret: s3cret-of-the-app, token: pushtoken, "
            f"encoding_aes_key: {AES}, api_base: '{api_base}'}}"
        )
        config = write(folder, configuration(channel, more=more) + "surveys: surveys.yaml\n", routes=routes)
        (folder / "surveys.yaml").write_text(surveys, encoding="utf-8")
        stages = [await stack.enter_async_context(running(store_url, config, index=index)) for index in range(hubs)]
        platform.hub_url = f"{stages[0].base}/hooks/shop-wechat"
        yield Shop(stages[0], platform, stages)


def values(response: dict[str, Any]) -> dict[str, Any]:
    return {one["question"]: one["value"] for one in response["answers"]}


async def test_words_where_they_were_asked_for_are_the_answer(store_url: str, tmp_path: Path) -> None:
    """A ５ is the score, what follows is the reason; nothing opens again, and the timeline tells all of it."""
    async with shop(store_url, tmp_path) as one:
        conversation = await one.asked()
        await one.platform.write(OPENID, "５")
        await one.told("能告诉我们原因吗")
        await one.platform.write(OPENID, "客服很耐心")
        response = await one.answer(complete=True)

        assert {"score": 5, "comment": "客服很耐心"} == values(response)
        assert ("aftersales", "lilei", ["lilei"], "refund", ["refund"], "reply", []) == tuple(
            response[name] for name in ("team", "agent", "agents", "topic", "tags", "via", "flags")
        )
        state = await one.state(conversation)
        assert ("resolved", False, None) == (state["status"], state["unread"] and False, state["sla"]["next_reply_due"])
        timeline = await one.stage.messages(conversation)
        events = [message["event"]["name"] for message in timeline if message["direction"] == "event"]
        assert {"score", "survey_answer"} <= set(events)
        assert ["我要退款", "５", "客服很耐心"] == [m["text"] for m in timeline if m["direction"] == "inbound"]
        score = next(m for m in timeline if m.get("event", {}).get("name") == "score")
        assert ("contact", 5, 5) == (score["author"]["kind"], score["event"]["score"], score["event"]["most"])


async def test_the_same_words_elsewhere_are_a_message(store_url: str, tmp_path: Path) -> None:
    """A 5 to an agent's question, before anybody was asked, or by somebody else, is a message like any other."""
    async with shop(store_url, tmp_path) as one:
        await one.platform.write("o-stranger", "5")
        assert "open" == (await one.of("o-stranger"))["status"]

        conversation = await one.asked()
        reply = {"text": "请问退几件？", "agent": "lilei"}
        await one.stage.api("POST", f"/conversations/{conversation}/replies", reply, status=202)
        await one.told("退几件")
        await one.platform.write(OPENID, "2")

        async def reopened() -> bool:
            return bool((await one.state(conversation))["status"] == "open")

        await until(reopened)
        await one.platform.write("o-stranger", "满意")
        await one.platform.write(OPENID, "我还想问一下发票")
        assert [] == await listed(one.stage, "csat", "responses")


async def test_a_comment_that_a_route_knows_is_heard(store_url: str, tmp_path: Path) -> None:
    """Whoever complains in the comment is answered: it is kept with the score, and it reaches the complaints team."""
    async with shop(store_url, tmp_path) as one:
        conversation = await one.asked()
        await one.platform.write(OPENID, "1分，我要投诉，等了三天")
        response = await one.answer()
        assert {"score": 1, "comment": "我要投诉，等了三天"} == values(response)

        async def complained() -> bool:
            state = await one.state(conversation)
            return bool(state["status"] == "open" and state["team"] == "complaints")

        await until(complained)


async def test_a_low_score_is_followed_up_once(store_url: str, tmp_path: Path) -> None:
    """A 2 opens the conversation for the complaints team with its own clocks, priority and a note, and only once."""
    async with shop(store_url, tmp_path, FOLLOWED, more=TEAMS + CLOCKS) as one:
        conversation = await one.asked()
        await one.platform.write(OPENID, "不满意")
        await one.answer()

        async def opened() -> dict[str, Any] | None:
            state = await one.state(conversation)
            return state if state["status"] == "open" else None

        state = await until(opened)
        assert state is not None
        assert ("complaints", "urgent", "fast") == (state["team"], state["priority"], state["sla"]["policy"])
        assert state["sla"]["resolution_due"]
        assert "low-score" in state["tags"]
        await again(one, conversation)
        timeline = await one.stage.messages(conversation)
        notes = [message["text"] for message in timeline if message["direction"] == "note"]
        assert ["低分回访：csat 2/5"] == notes


async def again(one: Shop, conversation: str) -> None:
    """Let the readers handle the conversation's whole partition again, as after a crash before they were saved."""
    partition = parse_id(conversation, "c").partition
    entries = await logbook.read(one.stage.hub.store, partition, "0-0", 10_000)
    held = Held(partition, "0")
    await one.stage.hub.surveys.handle(held, entries)


async def test_reading_everything_again_changes_nothing(store_url: str, tmp_path: Path) -> None:
    """Whatever the reader had done before it died it does again without effect: one invitation, one thank-you."""
    async with shop(store_url, tmp_path) as one:
        conversation = await one.asked()
        await one.platform.write(OPENID, "4")
        await one.told("能告诉我们原因吗")

        async def noted() -> bool:
            shown = [each["delivery"] for each in await one.stage.messages(conversation)]
            return all(each["state"] == "sent" for each in shown if each)

        await until(noted)
        before = (one.texts(), await listed(one.stage, "csat", "invitations"), await one.stage.messages(conversation))
        for _ in range(3):
            await again(one, conversation)

        after = (one.texts(), await listed(one.stage, "csat", "invitations"), await one.stage.messages(conversation))
        assert before == after


async def test_peace_holds_across_merged_contacts(store_url: str, tmp_path: Path) -> None:
    """A person who is two contacts, merged into one, is asked on one channel; the other invitation says why not."""
    async with shop(store_url, tmp_path) as one:
        await one.asked("o-first")
        first, second = await one.of("o-first"), None
        await one.platform.write("o-second", "我要退款")
        second = await one.of("o-second")
        store, contact = one.stage.hub.store, parse_id(first["contact"]["id"], "k")
        addresses = "wechat:o-first\nwechat:o-second"
        await store.do(
            tag(contact.partition), "HSET", key(contact.partition, f"k:{contact.key}"), "addresses", addresses
        )
        home = partition_of("wechat:o-second")
        await store.do(tag(home), "HSET", key(home, "a:wechat:o-second"), "contact", first["contact"]["id"])
        place = parse_id(second["id"], "c")
        record = key(place.partition, f"c:{place.key}")
        await store.do(tag(place.partition), "HSET", record, "contact", first["contact"]["id"])
        await one.stage.api("POST", f"/conversations/{second['id']}/resolve", {})

        async def left_alone() -> list[dict[str, Any]]:
            return await listed(one.stage, "csat", "invitations", state="suppressed")

        [left] = await until(left_alone)
        assert (second["id"], "cool_down") == (left["conversation"], left["reason"])
        assert [] == one.texts("o-second")


async def test_who_is_not_asked_is_told_with_the_reason(store_url: str, tmp_path: Path) -> None:
    """Reopened before the time, not in the sample, channel left out: nobody is written to, and each says why."""
    slow = CSAT + "  delay: 5s\n  sampling: {seed: 3}\n"
    never = slow.replace("csat:", "rare:").replace("seed: 3", "seed: 3, rate: 1%") + "  cool_down: null\n"
    skipped = CSAT.replace("csat:", "skipped:") + "  channels: {shop-wechat: {skip: true}}\n"
    async with shop(store_url, tmp_path, slow + never + skipped) as one:
        conversation = await one.resolved()
        await one.stage.api("POST", f"/conversations/{conversation}/reopen", {})

        async def over() -> set[str]:
            found = [
                item
                for name in ("csat", "rare", "skipped")
                for item in await listed(one.stage, name, "invitations", state="suppressed")
            ]
            return {item["reason"] for item in found} if len(found) == 3 else set()

        assert {"reopened", "not_sampled", "channel_skipped"} == await until(over)
        assert ["好的 " + OPENID] == one.texts()


async def test_a_quota_is_kept_by_two_hubs(store_url: str, tmp_path: Path) -> None:
    """Twelve customers at once, two processes, five places: five are asked, seven are not, each once."""
    limited = CSAT + "  sampling: {quotas: [{most: 5}]}\n"
    async with shop(store_url, tmp_path, limited, hubs=2) as one:
        people = [f"o-person-{number}" for number in range(12)]
        await asyncio.gather(*(one.resolved(openid) for openid in people))

        async def decided() -> list[dict[str, Any]]:
            found = await listed(one.stage, "csat", "invitations")
            ready = [item for item in found if item["state"] in ("sent", "suppressed")]
            return ready if len(ready) == 12 else []

        found = await until(decided)
        assert 5 == sum(item["state"] == "sent" for item in found)
        assert {"quota"} == {item["reason"] for item in found if item["state"] == "suppressed"}

        async def asked_() -> bool:
            return sum(len(one.texts(openid)) for openid in people) == 12 + 5

        await until(asked_)


async def test_routes_choose_surveys_and_hear_of_scores(store_url: str, tmp_path: Path) -> None:
    """`survey:` in a route takes the place of the usual one, and a route may ask for the event of a score."""
    routes = ROUTES.replace("tags: [refund]}", "tags: [refund], survey: returns}") + (
        "  - name: scored\n    when: {event: score, text: {any_of: [物流]}}\n    set: {tags: [logistics]}\n"
    )
    returns = CSAT.replace("csat:", "returns:").replace("resolved}", "resolved, routed: true}")
    async with shop(store_url, tmp_path, CSAT + returns, routes=routes) as one:
        conversation = await one.asked()
        [invited] = await listed(one.stage, "returns", "invitations")
        assert ("sent", []) == (invited["state"], await listed(one.stage, "csat", "invitations"))
        await one.platform.write(OPENID, "3，物流太慢")

        async def tagged() -> bool:
            return "logistics" in (await one.state(conversation))["tags"]

        await until(tagged)
        assert "resolved" == (await one.state(conversation))["status"]


async def test_a_reminder_comes_once(store_url: str, tmp_path: Path) -> None:
    """Who has not answered is asked once more, and never again; an answer to the reminder counts."""
    async with shop(store_url, tmp_path, CSAT + "  remind: 1s\n  reminder: {zh: 再问一次, en: Again}\n") as one:
        await one.asked()
        await one.told("再问一次")
        await one.platform.write(OPENID, "4")
        assert {"score": 4} == values(await one.answer())
        assert 1 == sum("再问一次" in text for text in one.texts())


async def test_a_code_is_given_for_a_valid_response(store_url: str, tmp_path: Path) -> None:
    """Each customer gets a code of their own with the thanks; promoters are shown the way on."""
    (tmp_path / "codes.txt").write_text("CODE-1\nCODE-2\n", encoding="utf-8")
    more = CSAT + (
        "  incentive: {file: codes.txt, text: {zh: 您的优惠券, en: Your coupon}}\n"
        "  promoters: {above: 4, invite: 'https://shop.example.com/review', text: {zh: 欢迎晒单, en: Review us}}\n"
    )
    async with shop(store_url, tmp_path, more) as one:
        for openid, score in (("o-first", "5"), ("o-second", "3")):
            await one.asked(openid)
            await one.platform.write(openid, score)
        [first] = await one.told("您的优惠券", "o-first")
        [second] = await one.told("您的优惠券", "o-second")

    codes = [re.findall(r"CODE-\d", text) for text in (first, second)]
    assert [["CODE-1"], ["CODE-2"]] == sorted(codes)
    assert ("https://shop.example.com/review" in first, "https" in second) == (True, False)


async def test_a_list_is_asked_once(store_url: str, tmp_path: Path) -> None:
    """People on a list get a letter; the same list again asks nobody twice; their bare answer opens no conversation."""
    async with asking(store_url, tmp_path, CHAT_CSAT) as stage:
        body = {
            "key": "may",
            "recipients": [{"channel": "site-chat", "address": f"visitor:a-guest-{number}0"} for number in range(3)],
        }
        first = (await stage.api("POST", "/surveys/csat/invitations", body))["items"]
        second = (await stage.api("POST", "/surveys/csat/invitations", body))["items"]
        assert [one["id"] for one in first] == [one["id"] for one in second]

        async def out() -> bool:
            return {"sent"} == {one["state"] for one in await listed(stage, "csat", "invitations")}

        await until(out)
        assert [] == await stage.conversations()
        refused = {"recipients": [{"channel": "nope", "address": "visitor:x"}]}
        await stage.api("POST", "/surveys/csat/invitations", refused, status=422)
        await stage.api("POST", "/surveys/csat/invitations", body, token="test-token-of-lilei", status=403)
        await stage.api("GET", "/surveys/nope", status=404)


async def test_staff_enter_what_they_heard(store_url: str, tmp_path: Path) -> None:
    """What was said by telephone is kept with mode and interviewer, once; misfits are refused."""
    async with shop(store_url, tmp_path, CSAT + "  sampling: {rate: 1%, seed: 3}\n") as one:
        conversation = await one.resolved()
        entered = {"conversation": conversation, "answers": {"score": 4, "comment": "满意"}, "key": "call-1"}
        enter = "/surveys/csat/responses"
        kept = (await one.stage.api("POST", enter, entered, token="test-token-of-lilei", status=201))["response"]
        assert ("staff", "phone", "lilei", True) == tuple(kept[n] for n in ("via", "mode", "interviewer", "complete"))
        assert (await one.stage.api("POST", enter, entered, status=200))["duplicate"]
        twice = {**entered, "key": "", "conversation": "", "invitation": kept["invitation"]}
        await one.stage.api("POST", enter, twice, status=409)
        for wrong in ({"score": 6}, {"comment": "x"}, {"score": 3, "nothing": 1}, {}):
            await one.stage.api("POST", enter, {**entered, "answers": wrong}, status=422)
        await one.stage.api("POST", enter, entered, token="test-token-of-a-reader", status=403)
        coded = await one.stage.api("POST", f"{enter}/{kept['id']}/codes", {"codes": ["态度", "速度"]})
        assert ["态度", "速度"] == coded["codes"]


async def test_a_webhook_gives_the_code(store_url: str, tmp_path: Path) -> None:
    """A tool that gives codes is asked under one key until it gives one; the page then shows it."""
    asked_for: list[str] = []

    async def give(request: aiohttp.web.Request) -> aiohttp.web.Response:
        asked_for.append(request.headers["Idempotency-Key"])
        assert request.headers["Authorization"] == "Bearer coupon-secret"
        return aiohttp.web.json_response({"code": "FROM-TOOL"})

    app = aiohttp.web.Application()
    app.router.add_post("/codes", give)
    async with served(app) as tool:
        incentive = f"  incentive: {{webhook: '{tool}/codes', secret: coupon-secret, text: Code}}\n"
        async with asking(store_url, tmp_path, CHAT_CSAT + incentive) as stage:
            invitation, url = await asked(stage, "csat")
            async with aiohttp.ClientSession() as http:
                async with http.get(url) as page:
                    fields = dict(re.findall(r'name="(_\w+)" value="([^"]*)"', await page.text()))
                async with http.post(url, data={**fields, "score": "5"}) as done:
                    assert done.status == 200

                async def shown() -> bool:
                    async with http.get(f"{url}/thanks") as page:
                        return "FROM-TOOL" in await page.text()

                await until(shown)
    assert {invitation} == set(asked_for)


async def test_an_order_that_arrives_is_asked_about(store_url: str, tmp_path: Path) -> None:
    """The shop's event with the right details asks once for each order; others ask nothing."""
    delivered = CSAT.replace("{on: resolved}", "{on: delivered, event: parcel}") + "  cool_down: null\n"
    async with shop(store_url, tmp_path, delivered) as one:
        await one.platform.write(OPENID, "什么时候到")
        await one.of()
        at = one.stage.hub.means.now()
        events = [
            Notice(f"parcel-{number}", f"wechat:{OPENID}", at, "parcel", details=details)
            for number, details in enumerate(
                [
                    {"order": "1001", "status": "shipped"},
                    {"order": "1001", "status": "signed"},
                    {"order": "1001", "status": "delivered"},
                ]
            )
        ]
        for event in events:
            await one.stage.hub.recorder.record("shop-wechat", [event])
        await one.told("满意吗")
        [invited] = await listed(one.stage, "csat", "invitations")

    assert ("sent", "shop-wechat") == (invited["state"], invited["channel"])


async def test_a_schedule_asks_at_its_times(store_url: str, tmp_path: Path) -> None:
    """At each of its times, and once at each, a schedule asks whoever was resolved lately."""
    scheduled = CSAT.replace("{on: resolved}", '{on: scheduled, at: "00:00"}')
    async with shop(store_url, tmp_path, scheduled) as one:
        conversation = await one.resolved()
        partition = parse_id(conversation, "c").partition
        store = one.stage.hub.store
        name = key(partition, "ivran")

        async def seen() -> bool:
            return bool(await store.do(tag(partition), "HGET", name, "csat"))

        await until(seen)
        assert [] == await listed(one.stage, "csat", "invitations")
        index = key(partition, "i:s:resolved")
        midnight = int(await store.do(tag(partition), "HGET", name, "csat"))
        await store.do(tag(partition), "ZADD", index, midnight - 1000, parse_id(conversation, "c").key)
        await store.do(tag(partition), "HSET", name, "csat", 1)  # as if midnight had come since
        await one.told("满意吗")
        await again(one, conversation)
        assert 1 == len(await listed(one.stage, "csat", "invitations"))


def test_a_schedule_knows_its_days() -> None:
    """Days of the week and of the month hold together, in the hub's zone."""
    zone = ZoneInfo("Asia/Shanghai")
    now = int(datetime(2026, 11, 25, 9, 0, tzinfo=zone).timestamp() * 1000)  # a Wednesday

    def last(**written: Any) -> str:
        found = last_time(Scheduled.model_validate({"on": "scheduled", **written}), now, zone)
        return datetime.fromtimestamp((found or 0) / 1000, zone).strftime("%m-%d %H:%M")

    assert "11-24 10:00" == last()
    assert "11-25 08:30" == last(at="08:30")
    assert "11-23 10:00" == last(days="mon")
    assert "11-01 10:00" == last(month_days=[1])
    assert "10-31 10:00" == last(month_days=[31])


def test_a_list_is_read_with_its_faults(tmp_path: Path) -> None:
    """A list may have heads, comments and bare addresses; what does not fit is told with its line."""
    file = tmp_path / "people.csv"
    file.write_text("channel,address,language\n# 华东\nshop-sms,tel:+861,zh\nshop-sms,tel:+862\n", encoding="utf-8")
    assert [("shop-sms", "tel:+861", "zh"), ("shop-sms", "tel:+862")] == [
        tuple(one.values()) for one in recipients(file, "", "en")
    ]
    file.write_text("tel:+861\n", encoding="utf-8")
    assert [("shop-sms", "tel:+861")] == [tuple(one.values()) for one in recipients(file, "shop-sms", "en")]
    with pytest.raises(BadList, match=r"people\.csv:1: no channel"):
        list(recipients(file, "", "en"))
