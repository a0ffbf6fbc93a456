"""aliyun-sms before the simulator: a whole hub that texts in the mainland, and every way in which that goes wrong."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.simulators.aliyun import AGAIN, AliyunPlatform
from tests.aliyun_account import ADDRESS, APPROVED, BUYER, CODE, KEY_ID, NOTICE, PATH, REPLY, SECRET, SIGN
from tests.hubs import Stage, configuration, running, served, until, write

TEXTS = f"""
complaint-received:
  text: 您的投诉已收到，我们会尽快处理并给您答复，请留意短信或来电，感谢您的理解与支持。
  platform: {{aliyun-sms: {{template_id: {NOTICE}, data: {{order: 投诉, tracking: "{{{{ conversation.id }}}}"}}}}}}
parcel:
  variables: [order, tracking]
  text: "订单 {{{{ order }}}} 已发货，单号 {{{{ tracking }}}}，请注意查收，如有问题请联系我们的客服人员。"
  platform:
    aliyun-sms:
      template_id: {NOTICE}
      data: {{order: "{{{{ order }}}}", tracking: "{{{{ tracking }}}}"}}
thanks: 谢谢。
"""

SURVEY = f"""
csat:
  title: 服务满意度
  purpose: know how we do
  owner: service
  trigger: {{on: resolved}}
  cool_down: null
  platform: {{aliyun-sms: {{template_id: {NOTICE}, data: {{order: 评价, tracking: 请回复1至5}}}}}}
"""


@dataclass
class Shop:
    """A running hub with the channel "sms-cn", and the platform."""

    stage: Stage
    platform: AliyunPlatform

    def contents(self) -> list[str]:
        """Return what customers read, in order."""
        return [one.content for one in self.platform.messages]

    async def conversation(self) -> dict[str, Any]:
        """Return the customer's conversation, when it is there."""
        [one] = await until(lambda: self.stage.conversations(channel="sms-cn"))
        return one

    async def words(self, count: int) -> list[str]:
        """Return what the customer wrote, when there are so many messages."""
        one = await self.conversation()

        async def look() -> list[str]:
            found = [m["text"] for m in await self.stage.messages(one["id"]) if m["direction"] == "inbound"]
            return found if len(found) >= count else []

        return await until(look)

    async def answer(self, *, status: int = 202, **body: Any) -> dict[str, Any]:
        """Answer the customer; return what the API says."""
        one = await self.conversation()
        said: dict[str, Any] = await self.stage.api("POST", f"/conversations/{one['id']}/replies", body, status=status)
        return said

    async def state(self, owed: dict[str, Any], *states: str) -> dict[str, Any]:
        """Return a delivery when it is in one of *states*."""

        async def look() -> Any:
            one = await self.stage.api("GET", f"/deliveries/{owed['delivery']['id']}")
            return one if one["state"] in states else None

        found: dict[str, Any] = await until(look)
        return found


@asynccontextmanager
async def shop(store_url: str, folder: Path, reply: str = f"{{code: {REPLY}}}", more: str = "") -> AsyncIterator[Shop]:
    """Run a hub with one channel; *reply* is its reply_template, "" for none."""
    platform = AliyunPlatform(KEY_ID, SECRET, templates=APPROVED, sleep=_at_once)
    async with served(platform.app) as api:
        carrier = f", reply_template: {reply}" if reply else ""
        channel = (
            f"  sms-cn: {{kind: aliyun-sms, access_key_id: {KEY_ID}, access_key_secret: {SECRET}, sign_name: {SIGN}, "
            f"secret_path: {PATH}, api_base: '{api}'{carrier}}}"
        )
        text = configuration(channel)
        config = write(folder, text + more, templates=TEXTS)
        async with running(store_url, config) as stage:
            platform.callback = f"{stage.base}/hooks/sms-cn/{PATH}"
            yield Shop(stage, platform)


async def _at_once(_: float) -> None:
    """Wait for nothing."""


async def test_a_conversation_by_text(store_url: str, tmp_path: Path) -> None:
    """A customer writes, the answer goes out in the approved template, and its report says that it arrived."""
    async with shop(store_url, tmp_path) as one:
        assert await one.platform.write(BUYER, "我的订单到哪了？") == 200
        assert ["我的订单到哪了？"] == await one.words(1)
        owed = await one.answer(text="您的包裹已到杭州，明天送达")
        await one.state(owed, "sent")
        [sent] = one.platform.messages
        assert f"【{SIGN}】您好，客服回复：您的包裹已到杭州，明天送达，如有疑问请直接回复本短信。" == sent.content
        assert (BUYER, f"sms-cn:{owed['delivery']['id']}") == (sent.phone, sent.out_id)

        assert await one.platform.report(sent) == 200
        await one.state(owed, "delivered")
        shown = await one.conversation()
        assert (ADDRESS, "aliyun-sms") == (shown["contact"]["addresses"][0], shown["kind"])


async def test_a_long_answer_goes_in_parts_that_fit_the_variable(store_url: str, tmp_path: Path) -> None:
    """Nothing is cut off: each part is a message of its own, and one that failed makes the answer fail."""
    async with shop(store_url, tmp_path) as one:
        await one.platform.write(BUYER, "怎么退货")
        text = (
            "请先在订单页点击申请退货。然后等客服审核，一般一个工作日内完成。审核通过后快递会上门取件，请保持电话畅通。"
        )
        owed = await one.answer(text=text)
        assert "split" == owed["plan"]["action"]
        await one.state(owed, "sent")
        values = [content.split("：", 1)[1].rsplit("，如有", 1)[0] for content in one.contents()]
        assert text == "".join(values)
        assert max(map(len, values)) <= 35
        name = owed["delivery"]["id"]
        outs = [message.out_id for message in one.platform.messages]
        assert [f"sms-cn:{name}.{index}" for index in range(len(values))] == outs

        await one.platform.report(one.platform.messages[0], code="MOBILE_NOT_ON_SERVICE")
        failed = await one.state(owed, "failed")
        assert "the handset cannot be reached" in failed["error"]


async def test_pushes_come_more_than_once(store_url: str, tmp_path: Path) -> None:
    """Whatever is pushed twice counts once, messages and reports alike."""
    async with shop(store_url, tmp_path) as one:
        one.platform.faults.copies = 3
        await one.platform.write(BUYER, "在吗", sequence=7)
        await one.platform.write(BUYER, "在吗", sequence=8)
        assert ["在吗", "在吗"] == await one.words(2)
        owed = await one.answer(text="在的")
        await one.state(owed, "sent")
        await one.platform.report(*one.platform.messages)
        await one.state(owed, "delivered")

        async def look() -> Any:
            [channel] = (await one.stage.api("GET", "/channels"))["items"]
            return channel["counts"] if channel["counts"].get("received", 0) == 9 else None

        counts = await until(look)
        assert (3, 6) == (counts["recorded"], counts["duplicate"])


async def test_a_broken_element_takes_nothing_along(store_url: str, tmp_path: Path) -> None:
    """Of a push with a hidden number the rest is received; what is left over can be looked at and replayed."""
    async with shop(store_url, tmp_path) as one:
        hidden = {"phone_number": "138****8000", "content": "谁", "sequence_id": 1}
        sound = {"phone_number": BUYER, "content": "我", "sequence_id": 2}
        assert await one.platform.push([hidden, sound]) == 200
        assert ["我"] == await one.words(1)
        [kept] = (await one.stage.api("GET", "/shunted"))["items"]
        assert "phone_number of a message is no number that could be answered" == kept["error"]
        shown = await one.stage.api("GET", f"/shunted/{kept['id']}")
        assert ("138****8000" in shown["raw"], BUYER in shown["raw"], PATH in str(shown)) == (True, False, False)
        await one.stage.api("POST", f"/shunted/{kept['id']}/replay", {}, status=409)


@pytest.mark.parametrize("path", ["", "/", f"/{PATH}x", f"/{PATH[:-1]}", f"/{PATH.upper()}"])
async def test_only_the_secret_path_is_called(store_url: str, tmp_path: Path, path: str) -> None:
    """A caller who does not know the path gets 403 and leaves nothing behind, however often the platform repeats."""
    async with shop(store_url, tmp_path) as one:
        one.platform.callback = f"{one.stage.base}/hooks/sms-cn{path}"
        assert await one.platform.write(BUYER, "转账给我") == 403
        assert [403] * (1 + len(AGAIN)) == [status for _, status in one.platform.pushed]
        assert [] == await one.stage.conversations()


async def test_a_template_goes_as_it_was_approved(store_url: str, tmp_path: Path) -> None:
    """Whoever answers with a template sends the platform's own, with its variables; its words stand in the hub."""
    async with shop(store_url, tmp_path) as one:
        await one.platform.write(BUYER, "发货了吗")
        owed = await one.answer(template="parcel", variables={"order": "A-1", "tracking": "SF123"})
        assert ("template", NOTICE) == (owed["plan"]["action"], owed["plan"]["approved"]["id"])
        await one.state(owed, "sent")
        assert [f"【{SIGN}】您的订单A-1已发货，单号SF123。"] == one.contents()


async def test_an_acknowledgement_goes_as_it_was_approved(store_url: str, tmp_path: Path) -> None:
    """What the hub sends by itself uses the approved template, too, even where no free text can go."""
    async with shop(store_url, tmp_path, reply="") as one:
        await one.platform.write(BUYER, "我要投诉")
        number = (await one.conversation())["id"]

        async def look() -> bool:
            return bool(one.contents())

        await until(look)
        assert [f"【{SIGN}】您的订单投诉已发货，单号{number}。"] == one.contents()


async def test_a_survey_goes_as_it_was_approved(store_url: str, tmp_path: Path) -> None:
    """The invitation that the platform has approved goes out, not its many words; a digit answers it."""
    (tmp_path / "surveys.yaml").write_text(SURVEY, encoding="utf-8")
    async with shop(store_url, tmp_path, more="surveys: surveys.yaml\n") as one:
        await one.platform.write(BUYER, "在吗")
        await one.state(await one.answer(text="在的"), "sent")
        number = (await one.conversation())["id"]
        await one.stage.api("POST", f"/conversations/{number}/resolve", {})

        async def look() -> str:
            return "" if len(one.contents()) < 2 else one.contents()[-1]

        assert f"【{SIGN}】您的订单评价已发货，单号请回复1至5。" == await until(look)
        await one.platform.write(BUYER, "5")

        async def scored() -> Any:
            return (await one.stage.api("GET", "/surveys/csat/responses"))["items"] or None

        await until(scored)


@pytest.mark.parametrize("reply", ["", f"{{code: {REPLY}}}"], ids=["templates only", "texts too"])
async def test_a_bulk_send_goes_as_it_was_approved(store_url: str, tmp_path: Path, reply: str) -> None:
    """Everybody gets the approved template with their own values; words without one are left out, and counted."""
    async with shop(store_url, tmp_path, reply=reply) as one:
        rows = "phone,name,order,tracking\n13800138001,甲,A-1,SF1\n13800138002,乙,A-2,SF2"
        given = {"name": "发货", "list": rows, "per_minute": 60_000, "consent_source": "shop form"}

        async def run(**what: str) -> dict[str, Any]:
            name = (await one.stage.api("POST", "/campaigns", {**given, **what}))["id"]
            await one.stage.api("POST", f"/campaigns/{name}/start", {"anyway": True}, status=202)

            async def look() -> Any:
                found = await one.stage.api("GET", f"/campaigns/{name}")
                return found if found["state"] == "done" else None

            done: dict[str, Any] = await until(look, 60)
            return done

        await run(template="parcel")
        texts = [f"【{SIGN}】您的订单A-1已发货，单号SF1。", f"【{SIGN}】您的订单A-2已发货，单号SF2。"]
        assert texts == sorted(one.contents())
        done = await run(text="您的订单已发货，拒收请回复TD")
        assert ({} if reply else {"template_only": 2}) == done["left_out"]
        assert len(one.contents()) == (4 if reply else 2)


async def test_without_a_carrier_free_text_is_refused_at_once(store_url: str, tmp_path: Path) -> None:
    """The agent hears it before anything is owed, and what helps; nothing reaches the platform."""
    async with shop(store_url, tmp_path, reply="") as one:
        await one.platform.write(BUYER, "在吗")
        problem = await one.answer(text="在的", status=422)
        assert ["template_only"] == [each["code"] for each in problem["obstacles"]]
        shown = await one.stage.api("GET", f"/conversations/{(await one.conversation())['id']}")
        assert "refuse" == shown["sending"]["action"]
        assert ([], []) == (one.platform.messages, one.platform.refused)


@pytest.mark.parametrize("word", ["R", "ＴＤ", "退订", "T", "n"])
async def test_who_leaves_is_left_alone(store_url: str, tmp_path: Path, word: str) -> None:
    """The words that texts must offer end messages; whoever writes again is answered again."""
    async with shop(store_url, tmp_path) as one:
        await one.platform.write(BUYER, "在吗")
        await one.words(1)
        await one.platform.write(BUYER, word)
        await one.words(2)
        refused = await one.answer(text="还在考虑吗", status=409)
        assert ["opted_out"] == [each["code"] for each in refused["obstacles"] if each["weight"] == "block"]
        await one.platform.write(BUYER, "还是发给我吧")
        await one.words(3)
        await one.state(await one.answer(text="好的"), "sent")


async def test_a_limit_delays_and_does_not_lose(store_url: str, tmp_path: Path) -> None:
    """A number that has had its message of this minute gets the next one a minute later."""
    async with shop(store_url, tmp_path, reply=f"{{code: {CODE}}}") as one:
        await one.platform.write(BUYER, "验证码")
        await one.state(await one.answer(text="1234"), "sent")
        waiting = await one.state(await one.answer(text="5678"), "deferred")
        due = dt.datetime.fromisoformat(waiting["due_at"]) - dt.datetime.now(dt.UTC)
        assert 50 < due.total_seconds() < 62
        assert ("isv.BUSINESS_LIMIT_CONTROL", 1) == (waiting["code"], len(one.contents()))


async def test_a_lost_answer_is_settled_by_the_report(store_url: str, tmp_path: Path) -> None:
    """The platform took it and the connection broke: it is in doubt until the report, and never sent twice."""
    async with shop(store_url, tmp_path) as one:
        await one.platform.write(BUYER, "在吗")
        one.platform.faults.silent, one.platform.faults.unlisted = 1, True
        owed = await one.answer(text="在的")
        await one.state(owed, "uncertain")
        await one.platform.report(*one.platform.messages)
        await one.state(owed, "delivered")
        assert 1 == len(one.contents())
