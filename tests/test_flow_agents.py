"""Agents answer from where they are: what they write reaches the customer once, as theirs, and nothing else does."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from connectors.simulators.wecom_robot import WeComRobots
from tests.agents_desk import MOBILE, OPENID, Mailboxes, Signer, answer_to, desk, mailboxes, until
from tests.hubs import served

UNASSIGNED = "default: {team: frontdesk}\n"
pytestmark = [pytest.mark.timeout(120), pytest.mark.once]


@pytest.fixture(scope="module")
def servers() -> Iterator[Mailboxes]:
    """The mail servers of example.com."""
    with mailboxes() as running:
        yield running


@pytest.fixture(scope="module")
def signer() -> Signer:
    """The key of example.com."""
    return Signer.of("example.com")


async def test_a_signed_mail_reaches_the_customer(
    store_url: str, tmp_path: Path, servers: Mailboxes, signer: Signer
) -> None:
    """A notice comes by mail; its signed answer reaches the customer once, in the agent's name, without history."""
    keys = {signer.place: signer.record}
    async with desk(store_url, tmp_path, notify="{kind: email}", mail=servers, keys=keys) as here:
        conversation = await here.customer_writes("我的包裹在哪里？")
        notice = await here.notice()

        assert "我的包裹在哪里？" in notice.get_content()
        raw, recipient = answer_to(notice, "您好，包裹明天送达。\n-- \n李雷 售后")
        servers.send(signer.sign(raw), "lilei@example.com", recipient)
        await here.customer_reads("您好，包裹明天送达。")

        [sent] = await here.answers(conversation["id"])
        assert {"kind": "agent", "id": "lilei", "name": "李雷"} == sent["author"]
        assert {"via": "email"} == sent["details"]
        assert [] == await here.drafts()


async def test_what_is_not_proved_is_held(store_url: str, tmp_path: Path, servers: Mailboxes, signer: Signer) -> None:
    """Without a signature, with a stranger's, or from a stranger's address an answer is a draft, and no customer's."""
    stranger = Signer.of("evil.example")
    keys = {one.place: one.record for one in (signer, stranger)}
    async with desk(store_url, tmp_path, notify="{kind: email}", mail=servers, keys=keys) as here:
        conversation = await here.customer_writes("可以退款吗")
        notice = await here.notice(since="可以退款吗")

        raw, recipient = answer_to(notice, "没有签名的回复")
        servers.send(raw, "lilei@example.com", recipient)
        raw, _ = answer_to(notice, "冒充的回复：退款一万元")
        servers.send(stranger.sign(raw), "x@evil.example", recipient)
        raw, _ = answer_to(notice, "别人的邮箱", sender="x@evil.example")
        servers.send(stranger.sign(raw), "x@evil.example", recipient)

        async def held() -> list[dict[str, Any]]:
            found = await here.drafts()
            return found if len(found) == 3 else []

        drafts = {one["text"]: one for one in await until(held)}
        assert {
            "没有签名的回复": "no_signature",
            "冒充的回复：退款一万元": "bad_signature",
            "别人的邮箱": "other_sender",
        } == {text: one["reason"] for text, one in drafts.items()}
        assert [] == here.customer_read()
        assert [conversation["id"]] == [one["id"] for one in await here.stage.conversations()]
        await here.notice(since="冒充的回复")  # the real agent is told

        name = drafts["没有签名的回复"]["id"]
        first = await here.stage.api("POST", f"/drafts/{name}/approve", {}, status=202)
        again = await here.stage.api("POST", f"/drafts/{name}/approve", {}, status=202)
        assert first["delivery"]["id"] == again["delivery"]["id"]
        forged = drafts["冒充的回复：退款一万元"]["id"]
        await here.stage.api("POST", f"/drafts/{forged}/discard", {})
        await here.stage.api("POST", f"/drafts/{forged}/approve", {}, status=409)
        await here.customer_reads("没有签名的回复")
        [sent] = await here.answers(conversation["id"])
        assert ("lilei", "email") == (sent["author"]["id"], sent["details"]["via"])


async def test_mail_that_is_no_answer(store_url: str, tmp_path: Path, servers: Mailboxes, signer: Signer) -> None:
    """Automatic answers, mails about nothing and answers without words reach nobody; a signed mail counts once."""
    keys = {signer.place: signer.record}
    async with desk(store_url, tmp_path, notify="{kind: email}", mail=servers, keys=keys) as here:
        conversation = await here.customer_writes("在吗，退款")
        notice = await here.notice(since="在吗，退款")

        away, recipient = answer_to(notice, "我在休假", headers={"Auto-Submitted": "auto-replied"})
        servers.send(signer.sign(away), "lilei@example.com", recipient)
        plain = EmailMessage()
        plain["From"], plain["To"], plain["Subject"] = "lilei@example.com", "service@example.com", "打印机坏了"
        plain["Message-ID"] = "<printer@example.com>"
        plain.set_content("谁来修一下打印机？")
        servers.send(signer.sign(plain.as_bytes()), "lilei@example.com", "service@example.com")
        wordless, _ = answer_to(notice, "")
        servers.send(signer.sign(wordless), "lilei@example.com", recipient)
        good, _ = answer_to(notice, "在的")
        signed = signer.sign(good, include_headers=[b"from", b"to", b"subject"])
        servers.send(signed, "lilei@example.com", recipient)
        servers.send(re.sub(rb"Message-ID: .*", b"Message-ID: <again@example.com>", signed), "x@x.org", recipient)
        await here.nothing_pending("service-mail", 5)
        await here.customer_reads("在的")
        await here.notice(since="打印机坏了", subject=True)

        assert [conversation["id"]] == [one["id"] for one in await here.stage.conversations()]
        assert [] == await here.drafts()
        assert 1 == len(await here.answers(conversation["id"]))


async def test_by_sms(store_url: str, tmp_path: Path) -> None:
    """An agent answers by SMS with the notice's code; without a code nobody guesses, and commands work."""
    async with desk(store_url, tmp_path, notify="{kind: sms, number: '13800138000'}") as here:
        conversation = await here.customer_writes("什么时候发货")
        notice = await here.texted()
        assert "什么时候发货" in notice
        code = re.search(r"#(\d+)", notice)
        assert code is not None

        await here.sms.write(MOBILE, "今天发货")
        assert "12" in await here.texted(2)  # what to do instead
        called = await here.sms.write(MOBILE, f"{code[1]} 今天发货")
        await here.sms._call(here.sms._webhook, called.fields, "POST")
        await here.customer_reads("今天发货")
        await here.sms.write(MOBILE, f"{code[1]} /备注 大客户")
        await here.texted(3)

        texts = [(one["direction"], one["text"]) for one in await here.stage.messages(conversation["id"])]
        assert ("note", "大客户") in texts
        assert [("outbound", "今天发货")] == [one for one in texts if one[0] == "outbound"]
        [sent] = await here.answers(conversation["id"])
        assert ("lilei", "twilio-sms") == (sent["author"]["id"], sent["details"]["via"])
        assert [conversation["id"]] == [one["id"] for one in await here.stage.conversations()]


async def test_by_wecom(store_url: str, tmp_path: Path) -> None:
    """An agent answers by WeCom, gives orders by words and buttons; what is no order goes to nobody."""
    async with desk(store_url, tmp_path, notify="{kind: wecom, userid: LiLei}") as here:
        conversation = await here.customer_writes("发票怎么开")
        one = f"/conversations/{conversation['id']}"
        await here.told_words("发票怎么开")
        await here.wecom.write("LiLei", "请提供抬头和税号")
        await here.customer_reads("请提供抬头和税号")
        await here.wecom.write("LiLei", "／标签 发票 vip")
        await here.told_words("发票, vip")
        await here.wecom.write("LiLei", "/refnud 100")
        await here.told_words("/refnud")
        await here.wecom.write("LiLei", "/稍后 2小时")
        await here.told_words("再提醒")
        shown = await here.stage.api("GET", one)
        assert ("snoozed", ["发票", "vip"]) == (shown["status"], shown["tags"])
        await here.wecom.write("Intern", "/帮助")
        await here.told_words("登记", member="Intern")
        await here.wecom.press("LiLei", "解决")
        await here.told_words("已解决")

        assert "resolved" == (await here.stage.api("GET", one))["status"]
        assert ["请提供抬头和税号"] == here.customer_read()
        [sent] = await here.answers(conversation["id"])
        assert ("lilei", "wecom-app") == (sent["author"]["id"], sent["details"]["via"])
        assert [conversation["id"]] == [one["id"] for one in await here.stage.conversations()]


async def test_two_agents_at_once(store_url: str, tmp_path: Path) -> None:
    """Who answers what another has answered meanwhile is asked; each sees the other, and nothing goes twice."""
    other = ", notify: [{kind: wecom, userid: HanMeimei}]"
    async with desk(store_url, tmp_path, notify="{kind: wecom, userid: LiLei}", other=other) as here:
        conversation = await here.customer_writes("能便宜点吗")
        one = f"/conversations/{conversation['id']}"
        await here.told_words("能便宜点吗")
        seen = (await here.stage.messages(conversation["id"]))[-1]["id"]
        lilei = "test-token-of-lilei"

        await here.stage.api("POST", f"{one}/composing", {}, token=lilei)
        writing = (await here.stage.api("GET", f"{one}/composing"))["items"]
        assert ["lilei"] == [each["agent"] for each in writing]

        body = {"text": "给您九折", "client_id": "hmm-1", "seen": seen, "agent": "hanmeimei"}
        first = await asyncio.gather(*(here.stage.api("POST", f"{one}/replies", body, status=202) for _ in range(2)))
        assert 1 == len({each["delivery"]["id"] for each in first})
        late = {"text": "最低九五折", "seen": seen}
        refused = await here.stage.api("POST", f"{one}/replies", late, token=lilei, status=409)
        assert ("hanmeimei", "给您九折") == (refused["agent"], refused["text"])

        await here.wecom.write("LiLei", "最低九五折了")
        [draft] = await until(here.drafts)
        assert ("overtaken", "lilei") == (draft["reason"], draft["author"]["id"])
        await here.told_words("韩梅梅 已经回复")  # the one whose conversation it is sees that the other was there
        await here.told_words("最低九五折了")
        await here.customer_reads("给您九折")
        await here.wecom.write("LiLei", f"/批准 {draft['id']}")
        await here.customer_reads("给您九折", "最低九五折了")
        await here.stage.api("POST", f"{one}/replies", {**late, "anyway": True}, token=lilei, status=202)
        await here.customer_reads("给您九折", "最低九五折了", "最低九五折")


async def test_by_terminal(store_url: str, tmp_path: Path) -> None:
    """`huiliu reply` answers as before, and what it sends is an agent's answer like any other."""
    async with desk(store_url, tmp_path, notify="{kind: wecom, userid: LiLei}") as here:
        conversation = await here.customer_writes("你们在哪里")
        config = tmp_path / "huiliu.yaml"
        port = here.stage.hub.serving.port
        config.write_text(config.read_text(encoding="utf-8").replace("port: 0", f"port: {port}"), encoding="utf-8")
        command = (sys.executable, "-m", "hub", "-c", str(config), "reply", conversation["id"], "在杭州")
        done = await asyncio.create_subprocess_exec(*command, env={**os.environ, "LANG": "zh_CN.UTF-8"})
        assert 0 == await done.wait()
        await here.customer_reads("在杭州")


async def test_a_group_hears_and_a_picture_goes_along(store_url: str, tmp_path: Path) -> None:
    """The team's group hears of who waits; an agent takes it by WeCom, and their picture reaches the customer."""
    robot = WeComRobots("693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa")

    async def heard() -> bool:
        return any("有人吗" in one.text for one in robot.received)

    async with served(robot.app) as base:
        group = ", notify: [{kind: wecom-robot, after: 1s}]"
        channel = f"  team-group: {{kind: wecom-robot, key: {robot.key}, api_base: '{base}'}}"
        wecom = "{kind: wecom, userid: LiLei}"
        async with desk(store_url, tmp_path, notify=wecom, channels=channel, group=group, routes=UNASSIGNED) as here:
            await here.wechat.write(OPENID, "有人吗")
            await until(heard)
            await here.wecom.write("LiLei", "/下一个")
            await here.told_words("有人吗")
            await here.wecom.picture("LiLei", b"\xff\xd8\xff" + b"x" * 100)

            async def received() -> bool:
                return [one.type for one in here.wechat.received.get(OPENID, [])] == ["image"]

            await until(received)
            [one] = await here.stage.conversations(agent="lilei")
            [sent] = await here.answers(one["id"])
            assert 1 == len(sent["attachments"])
