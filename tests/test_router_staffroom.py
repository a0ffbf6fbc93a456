"""Messages of people of the house: who is believed, what is done, and that none of it is ever a customer's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.enrolment import Enrolment, Reach
from connectors.base import Capabilities, Media, Message, Notice
from inbox import log as logbook
from inbox.fetching import Fetching
from inbox.partitions import COUNT, partition_of
from inbox.timeline import MESSAGES, items
from inbox.work import Actor
from outbox.drafts import Draft, Drafts
from outbox.hands import Hands
from outbox.notifier import Notifier, Sight
from outbox.reply_tokens import write
from router.credentials import Credentials
from router.orderly import Orderly
from router.staffroom import Staffroom
from tests.backroom import LILEI, Platform, Room, room

MAIL = Capabilities(staff=True, threads=True, media=frozenset({"file"}))
STAFF = Capabilities(staff=True, choices=6)
TEAMS = """
teams:
  frontdesk: {name: 前台, members: [lilei, hanmeimei], assign: {strategy: manual}}
  aftersales: {name: 售后组, members: [hanmeimei], assign: {strategy: manual}}
agents:
  lilei: {name: 李雷}
  hanmeimei: {name: 韩梅梅}
agents_reply: %s
"""
CUSTOMER = "tel:+8613900139000"
BOX = "mailto:lilei@example.com"
MEMBER = "wecom:LiLei"
PHONE = "tel:+8613800138000"
DAY = 86_400_000
ENROLLED = Enrolment(
    {BOX: "lilei", MEMBER: "lilei", PHONE: "lilei", "mailto:hanmeimei@example.com": "hanmeimei"},
    {"lilei": (Reach("wecom", "wecom", MEMBER),)},
)
LILEI_ACTOR = Actor("agent", "lilei", "李雷")
SIGNED = {"result": "pass", "signature": "s1"}


@dataclass
class House:
    """A room whose router has a staffroom."""

    room: Room
    staffroom: Staffroom
    drafts: Drafts
    hands: Hands
    notifier: Notifier

    async def customer(self, text: str = "在吗", address: str = CUSTOMER) -> str:
        """Let a customer write; give lilei the conversation and tell them; return its id."""
        conversation = await self.room.write(text, address)
        known = await self.room.load(conversation)
        await self.hands.told("lilei", conversation, f"{known.last_inbound_at}-9", self.room.clock())
        return conversation

    def token(self, conversation: str, *, agent: str = "lilei", made: int = 0) -> str:
        """Return the token of a notice that was made *made* milliseconds from now."""
        now = self.room.clock()
        return write("secret", agent, conversation, now, now + made)

    async def say(self, text: str, address: str, channel: str, *, id: str = "", **fields: Any) -> None:
        """Let somebody write on *channel*; route it, twice: as after a crash."""
        event = Message(id or f"x{text}{address}", address, self.room.clock(), text, **fields)
        await self.room.recorder.record(channel, [event])
        await self.room.route()
        partition = partition_of(address)
        entries = await logbook.read(self.room.store, partition, "0-0", 1000)
        await self.room.router.handle(self.room.leases.held[partition], entries)

    async def mail(self, text: str, token: str = "", *, sender: str = BOX, auth: Any = SIGNED, **fields: Any) -> None:
        """Let a mail come in answer to the notice with *token*."""
        details = {"token": token} if token else {}
        await self.say(text, sender, "mail", details={**details, "auth": auth or {}}, **fields)

    async def texts(self, conversation: str) -> list[tuple[str, str]]:
        """Return (mark, text) of a conversation's messages, oldest first."""
        found, _ = await items(self.room.store, (await self.room.load(conversation)).place, MESSAGES, None, 100)
        return [(item.mark, item.entry.fields.get("tx", "")) for item in reversed(found) if item.mark in "mon"]

    async def said(self) -> list[str]:
        """Return what the hub has said to anybody of the house."""
        found = []
        for partition in range(COUNT):
            entries = await logbook.read(self.room.store, partition, "0-0", 1000)
            found += [(entry.ms, entry.fields["tx"]) for entry in entries if entry.type == logbook.LETTER]
        return [text for _, text in sorted(found)]

    async def held(self) -> list[Draft]:
        """Return the drafts that wait."""
        return (await self.drafts.listing("", 50))[0]


@asynccontextmanager
async def opened(store_url: str, folder: Path, policy: str = "{}") -> AsyncIterator[House]:
    """Open a house whose agents answer by mail, WeCom and SMS."""
    platforms = {"shop": Platform(), "mail": Platform(MAIL), "wecom": Platform(STAFF), "sms": Platform(STAFF)}
    async with room(
        store_url, folder, routes="default: {team: frontdesk, agent: lilei}\n", more=TEAMS % policy, platforms=platforms
    ) as made:
        drafts, hands = Drafts(made.store, made.wakes, made.answers), Hands(made.store)

        async def there(_: str) -> str:
            return "online"

        sight = Sight(lambda: made.settings, lambda: ENROLLED, lambda _: {}, there, lambda _: "", lambda: "secret")
        notifier = Notifier(made.store, made.wakes, made.deliveries, drafts, hands, made.channels, sight, made.clock)
        staffroom = Staffroom(
            made.store,
            made.placer,
            made.answers,
            made.deliveries,
            drafts,
            hands,
            notifier,
            Credentials(hands, lambda: made.settings, lambda: ENROLLED, lambda: "secret"),
            Orderly(made.store, made.desk, drafts, hands, notifier, lambda: made.settings, made.clock),
            made.desk,
            Fetching(made.store, made.wakes, made.channels, made.attachments, made.clock),
            lambda: made.settings,
            lambda: ENROLLED,
            made.clock,
        )
        made.router._staffroom = staffroom
        yield House(made, staffroom, drafts, hands, notifier)


@pytest.fixture
async def house(store_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(store_url, tmp_path) as made:
        yield made


PROOFS: list[tuple[str, str, dict[str, Any], str]] = [
    ("all of it", "{}", {}, ""),
    ("no signature", "{}", {"auth": {"result": "none"}}, "no_signature"),
    ("a false signature", "{}", {"auth": {"result": "fail"}}, "bad_signature"),
    ("the keys are away", "{}", {"auth": {"result": "error"}}, "no_signature"),
    ("another sender", "{}", {"sender": "mailto:x@evil.example"}, "other_sender"),
    ("another agent", "{}", {"sender": "mailto:hanmeimei@example.com"}, "other_sender"),
    ("an old notice", "{life: 1d}", {"made": -2 * DAY}, "expired"),
    ("the token alone", "{mail: {require: token}}", {"auth": {}}, ""),
    ("the token alone, forged sender", "{mail: {require: token}}", {"sender": "mailto:x@y.z"}, "other_sender"),
    ("the signature alone", "{mail: {require: dkim}}", {"token": "", "subject": "Re: [#10] x"}, ""),
    ("no token", "{}", {"token": "", "subject": "Re: [#10] x"}, "no_token"),
    ("a made-up token", "{}", {"token": "a" * 45, "subject": "Re: [#10] x"}, "bad_token"),
]


@pytest.mark.parametrize(("label", "policy", "how", "reason"), PROOFS, ids=[label for label, *_ in PROOFS])
async def test_what_proves_a_mail(
    store_url: str, tmp_path: Path, label: str, policy: str, how: dict[str, Any], reason: str
) -> None:
    """What the policy asks for is sent once; all else waits as a draft, with the reason; commands are not done."""
    async with opened(store_url, tmp_path, policy) as house:
        conversation = await house.customer()
        how = dict(how)
        token = how.pop("token", None)
        made = how.pop("made", 0)
        token = house.token(conversation, made=made) if token is None else token
        await house.mail("好的", token, **how)
        await house.mail("/resolve", token, **how)

        sent = [text for mark, text in await house.texts(conversation) if mark == "o"]
        drafts = await house.held()
        assert ([], ["好的"]) if reason else (["好的"], []) == (sent, [one.text for one in drafts])
        assert [reason] * len(drafts) == [one.reason for one in drafts]
        assert ("open" if reason else "resolved") == (await house.room.load(conversation)).status
        assert 1 == len(await house.room.conversations())


async def test_revoked_notices_prove_nothing(house: House) -> None:
    """After a revocation old notices cannot be answered, new ones can."""
    conversation = await house.customer()
    old = house.token(conversation)
    house.room.clock.offset += 2000
    await house.hands.revoke("lilei", house.room.clock())
    await house.mail("旧的", old)
    house.room.clock.offset += 2000
    await house.mail("新的", house.token(conversation))

    assert ["revoked"] == [one.reason for one in await house.held()]
    assert [("m", "在吗"), ("o", "新的")] == await house.texts(conversation)


async def test_a_signed_mail_counts_once(house: House) -> None:
    """The same signature under another Message-ID is the same answer; another mail is another."""
    conversation = await house.customer()
    token = house.token(conversation)
    await house.mail("好的", token, id="<1@x>")
    await house.mail("好的", token, id="<2@x>")
    await house.mail("好的", token, id="<3@x>", auth={"result": "pass", "signature": "s2"})

    assert 2 == len([mark for mark, _ in await house.texts(conversation) if mark == "o"])


async def test_every_command_does_what_it_says(house: House) -> None:
    """Each command is done once, though the log is read twice, and says what it did."""
    conversation = await house.customer()
    for text in (
        "/note 大客户",
        "/tag 发票 vip",
        "/tag -vip",
        "/snooze 2h",
        "/reopen",
        "/转交 售后组",
        "/接下",
        "/解决",
    ):
        await house.say(text, MEMBER, "wecom")
        house.room.clock.offset += 10
    known = await house.room.load(conversation)

    assert [("m", "在吗"), ("n", "大客户")] == await house.texts(conversation)
    assert (("发票",), "resolved", "lilei", "aftersales") == (known.tags, known.status, known.agent, known.team)
    said = await house.said()
    assert len(said) == 8
    assert ["#10：已备注。", "#10：已解决。"] == [said[0], said[-1]]


async def test_a_colleague_who_is_no_agent_asks_like_a_customer(house: House) -> None:
    """What they write becomes a conversation; a command is answered and goes to nobody else."""
    await house.say("仓库的打印机坏了", "wecom:WangFang", "wecom")
    await house.say("/解决", "wecom:WangFang", "wecom")
    asked = await house.room.latest("wecom:WangFang")

    assert [("m", "仓库的打印机坏了")] == await house.texts(asked.id)
    [said] = await house.said()
    assert "huiliu.yaml" in said


async def test_next_takes_the_most_urgent_once(house: House) -> None:
    """One that waits is taken and shown with its messages; reading the log again takes no second one."""
    first, second = "tel:+8613900139001", "tel:+8613900139002"
    for text, address in (("普通", first), ("投诉", second)):
        name = await house.room.write(text, address)
        await house.room.desk.assign(name, LILEI_ACTOR, agent="")
    await house.say("/下一个", MEMBER, "wecom")
    mine = await house.room.conversations(agent="lilei")

    assert [first] == [one.address for one in mine]
    assert "普通" in (await house.said())[-1]
    await house.say("您好", MEMBER, "wecom")
    assert ("o", "您好") in await house.texts(mine[0].id)


async def test_what_is_no_command_is_no_answer(house: House) -> None:
    """A mistyped command, a wrong argument or an unknown team change nothing and reach nobody."""
    conversation = await house.customer()
    for text in ("/refnud 100", "/snooze later", "/assign nobody", "/approve w1-x", "/tag a,b;" + "c" * 80):
        await house.say(text, MEMBER, "wecom")

    assert [("m", "在吗")] == await house.texts(conversation)
    assert 5 == len(await house.said())


async def test_a_doubtful_answer_is_asked_about(house: House) -> None:
    """When the notice of another customer came just now nobody guesses; the code decides."""
    first = await house.customer("甲", "tel:+8613900139001")
    second = await house.customer("乙", "tel:+8613900139002")
    await house.say("马上发货", MEMBER, "wecom")
    assert "#10" in (await house.said())[0]
    await house.say("#10 马上发货", MEMBER, "wecom")
    await house.say("请稍等", MEMBER, "wecom")

    assert [("m", "甲"), ("o", "马上发货"), ("o", "请稍等")] == await house.texts(first)
    assert [("m", "乙")] == await house.texts(second)


async def test_answers_by_sms_can_wait_for_approval(store_url: str, tmp_path: Path) -> None:
    """A shop that does not trust numbers has every SMS approved; commands by SMS are not done then."""
    async with opened(store_url, tmp_path, "{sms: {require: approval}}") as house:
        conversation = await house.customer()
        await house.say("10 好的", PHONE, "sms")
        await house.say("10 /resolve", PHONE, "sms")

        assert ["needs_approval"] == [one.reason for one in await house.held()]
        assert "open" == (await house.room.load(conversation)).status


async def test_files_go_along(house: House) -> None:
    """Files of an answer go to the customer, but not logos, signature files or what was refused."""
    conversation = await house.customer()
    kept = Media("application/pdf", "发票.pdf", data=b"%PDF")
    media = (
        kept,
        Media("image/png", "logo.png", data=b"x" * 100, cid="logo"),
        Media("application/pkcs7-signature", "smime.p7s", data=b"s"),
        Media("image/png", "截图.png", data=b"x" * 20_000, cid="shot"),
    )
    await house.mail("见附件", house.token(conversation), media=media)
    found, _ = await items(house.room.store, (await house.room.load(conversation)).place, frozenset("o"), None, 10)

    assert ["发票.pdf", "截图.png"] == [one["name"] for one in found[0].entry.rest()["media"]]


async def test_nothing_of_the_house_becomes_a_customers(house: House) -> None:
    """Automatic answers, notices, commands of who is no agent, strangers with tokens: logged, and nothing else."""
    conversation = await house.customer()
    token = house.token(conversation)
    await house.mail("我在休假", token, auto=True)
    await house.mail("打印机坏了")
    await house.mail("x", "b" * 45, sender="mailto:x@y.z")
    await house.say("/帮助", "wecom:Intern", "wecom")
    await house.room.recorder.record("wecom", [Notice("n1", MEMBER, house.room.clock(), "enter")])
    await house.room.route()

    assert [conversation] == [one.id for one in await house.room.conversations()]
    assert [("m", "在吗")] == await house.texts(conversation)
    assert [] == await house.held()


async def test_mail_past_the_hub(house: House) -> None:
    """An agent's own mail into a customer's thread waits as a draft, or is a note if the customer has it already."""
    event = Message("<c1@x>", "mailto:kunde@x.cn", house.room.clock(), "在吗", subject="订单")
    await house.room.recorder.record("mail", [event])
    await house.room.route()
    [known] = await house.room.conversations()
    await house.mail("我直接回了", id="<a1@x>", refs=("<c1@x>",))
    details = {"to": ["kunde@x.cn"], "cc": ["service@example.com"]}
    await house.say("已经回复您了", BOX, "mail", id="<a2@x>", refs=("<c1@x>",), details=details)

    assert [("我直接回了", "no_token")] == [(one.text, one.reason) for one in await house.held()]
    texts = await house.texts(known.id)
    assert [("m", "在吗")] == texts[:1]
    assert "已经回复您了" in texts[1][1]
    assert ("n", 2) == (texts[1][0], len(texts))


async def test_an_answer_that_comes_late_waits(house: House) -> None:
    """Who answers a notice after a colleague has answered is asked, by name and words."""
    conversation = await house.customer()
    token = house.token(conversation)
    house.room.clock.offset += 50
    await house.room.reply(conversation, "我是李雷", author=LILEI)
    other = write("secret", "hanmeimei", conversation, house.room.clock() - DAY, house.room.clock())
    await house.mail("我是韩梅梅", other, sender="mailto:hanmeimei@example.com")
    await house.mail("补充一句", token)

    [draft] = await house.held()
    assert ("overtaken", "我是韩梅梅") == (draft.reason, draft.text)
    assert "李雷" in draft.why
    assert ("o", "补充一句") in await house.texts(conversation)
