"""Notices: who is told of what, once, bursts together, and not of what is no longer so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from config.enrolment import Enrolment, Reach
from config.staff import TeamNotify
from connectors.base import Capabilities, Rejected
from inbox import log as logbook
from inbox.conversations import Conversation
from inbox.partitions import COUNT, key, tag
from inbox.promises import due_times
from inbox.work import Actor
from outbox import collisions, notices
from outbox.collisions import Overtaken
from outbox.deliveries import Author, Reply
from outbox.drafts import Draft, Drafts
from outbox.hands import DOUBT, WRITING, Hands
from outbox.happenings import Doer, happened
from outbox.notices import Line, Scene, Tongue
from outbox.notifier import Notifier, Sight
from tests.backroom import LILEI, Platform, Room, room

STAFF = Capabilities(staff=True, choices=6, text_limit=400)
HANMEIMEI = Author("agent", "hanmeimei", "韩梅梅")
TEAMS = """
teams:
  frontdesk: {name: 前台, members: [lilei, hanmeimei], assign: {strategy: manual}}
agents:
  lilei: {name: 李雷, notices: {bundle: 20s, pause: [away]}}
  hanmeimei: {name: 韩梅梅, notices: {events: [mention, draft]}}
"""
ROUTES = "default: {team: frontdesk}\n"
PHONE = "tel:+8613700137000"
CUSTOMER = "tel:+8613800138000"
GROUP = TeamNotify.model_validate({"kind": "wecom-robot", "channel": "group", "after": "1m"})
ENROLLED = Enrolment(
    {"wecom:LiLei": "lilei", "wecom:HanMeimei": "hanmeimei"},
    {
        "lilei": (Reach("wecom", "staff", "wecom:LiLei"),),
        "hanmeimei": (Reach("wecom", "staff", "wecom:HanMeimei"),),
    },
    {"frontdesk": ((GROUP, Reach("wecom-robot", "group", "")),)},
)


class Enrolled(NamedTuple):
    """Who is enrolled: a test may add to it."""

    owners: dict[str, str]
    agents: dict[str, tuple[Reach, ...]]


@dataclass
class Post:
    """A room with a notifier whose turns the test takes."""

    room: Room
    notifier: Notifier
    drafts: Drafts
    presence: dict[str, str] = field(default_factory=dict)
    enrolled: Enrolled = field(default_factory=lambda: Enrolled({}, {}))

    async def read(self, *, again: bool = False) -> None:
        """Let the notifier read every log, from its beginning: as after a crash, that must change nothing."""
        for held in self.room.leases.held.values():
            entries = await logbook.read(self.room.store, held.partition, "0-0", 1000)
            if entries:
                await self.notifier.handle(held, entries)
                if again:
                    await self.notifier.handle(held, entries[-1:])

    async def tell(self, seconds: float = 0.0) -> None:
        """Let time pass, read the logs, and tell what is due; twice, as two owners would."""
        self.room.clock.offset += int(seconds * 1000)
        await self.read(again=True)
        for held in self.room.leases.held.values():
            await asyncio.gather(self.notifier.turn(held), self.notifier.turn(held))

    async def told(self, address: str = "wecom:LiLei") -> list[str]:
        """Return the texts that were owed to *address*, oldest first."""
        found = []
        for partition in range(COUNT):
            for entry in await logbook.read(self.room.store, partition, "0-0", 1000):
                if entry.type == logbook.LETTER:
                    delivery = await self.room.deliveries.load(f"d{partition}-{entry.fields['d']}")
                    if delivery.address == address:
                        found.append((entry.ms, entry.fields["tx"]))
        return [text for _, text in sorted(found)]

    async def mine(self, text: str = "在吗") -> str:
        """Let a customer write, give lilei the conversation, and tell it; return its id."""
        conversation = await self.room.write(text, CUSTOMER)
        await self.room.desk.assign(conversation, Actor("token", "ops"), agent="lilei")
        await self.tell()
        return conversation


@asynccontextmanager
async def opened(store_url: str, folder: Path) -> AsyncIterator[Post]:
    """Open a room with two agents on one channel and a group on another."""
    platforms = {"shop": Platform(), "staff": Platform(STAFF), "group": Platform(Capabilities(text_limit=400))}
    async with room(store_url, folder, routes=ROUTES, more=TEAMS, platforms=platforms) as made:
        drafts = Drafts(made.store, made.wakes, made.answers)
        presence: dict[str, str] = {}
        enrolled = Enrolled(dict(ENROLLED.owners), dict(ENROLLED.agents))

        async def there(agent: str) -> str:
            return presence.get(agent, "online")

        sight = Sight(
            lambda: made.settings,
            lambda: Enrolment(enrolled.owners, enrolled.agents, ENROLLED.teams),
            lambda conversation: due_times(made.promises, conversation),
            there,
            lambda conversation: f"https://hub.example.com/{conversation}",
            lambda: "secret",
        )
        hands = Hands(made.store)
        notifier = Notifier(made.store, made.wakes, made.deliveries, drafts, hands, made.channels, sight, made.clock)
        yield Post(made, notifier, drafts, presence, enrolled)


@pytest.fixture
async def post(store_url: str, tmp_path: Path) -> AsyncIterator[Post]:
    async with opened(store_url, tmp_path) as made, made.room.sending():
        yield made


async def sent(post: Post, count: int) -> Sequence[Any]:
    """Wait until the staff's channel has carried *count* messages; return them."""
    platform = post.room.platform("staff")
    async with asyncio.timeout(20):
        while len(platform.sent) < count:  # noqa: ASYNC110  # the outbox announces nothing to a test
            await asyncio.sleep(0.01)
    return platform.sent


async def test_a_notice_tells_all_one_needs(post: Post) -> None:
    """Who, where, what, why and how to answer; buttons that name the conversation; a token; and it is one notice."""
    conversation = await post.mine("我的包裹在哪里")
    [text] = await post.told()
    [message] = await sent(post, 1)

    assert ["#10", "shop", "我的包裹在哪里", "分配", "/帮助", conversation] == [
        word for word in ("#10", "shop", "我的包裹在哪里", "分配", "/帮助", conversation) if word in text
    ]
    assert [f"resolve {conversation}", f"snooze {conversation}"] == [one.id for one in message.choices]
    assert message.token
    await post.tell()
    assert [text] == await post.told()


async def test_a_burst_is_one_notice(post: Post) -> None:
    """Twenty messages within seconds after a notice become one more, when the time to gather is over."""
    await post.mine()
    for number in range(20):
        await post.room.write(f"第{number}条", CUSTOMER)
    await post.tell(1)
    assert 1 == len(await post.told())
    await sent(post, 1)
    await post.tell(20)
    await post.tell(20)
    notices = await post.told()

    assert 2 == len(notices)
    assert "第19条" in notices[1]


async def test_what_is_no_longer_so_is_not_told(post: Post) -> None:
    """A message that was answered, a conversation that went to somebody else or was resolved: nobody is told late."""
    conversation = await post.mine()
    await sent(post, 1)
    await post.room.write("再问一下", CUSTOMER)
    await post.read()
    await post.room.reply(conversation, "好的", author=LILEI)
    await post.tell(60)
    assert 1 == len(await post.told())

    await post.room.write("还有", CUSTOMER)
    await post.room.desk.resolve(conversation, Actor("agent", "hanmeimei"))
    await post.tell(60)
    assert 1 == len(await post.told())


async def test_nobody_is_told_of_their_own_doing(post: Post) -> None:
    """Who takes a conversation, answers it or mentions themselves knows."""
    conversation = await post.room.write("在吗", CUSTOMER)
    me = Actor("agent", "lilei", "李雷")
    await post.room.desk.assign(conversation, me, agent="lilei")
    await post.room.reply(conversation, "在的", author=LILEI)
    await post.room.desk.note(conversation, me, "@lilei 记得发货")
    await post.tell(60)

    assert [] == await post.told()


async def test_mentions_and_other_peoples_answers(post: Post) -> None:
    """A note calls whom it names, by id or by the name that is shown; whose conversation it is hears of answers."""
    conversation = await post.mine()
    await sent(post, 1)
    await post.room.desk.note(conversation, Actor("agent", "lilei", "李雷"), "请 @韩梅梅 看一下")
    await post.room.reply(conversation, "我来看", author=HANMEIMEI)
    await post.tell(60)

    [mention] = await post.told("wecom:HanMeimei")
    assert "李雷" in mention
    assert "韩梅梅" in (await post.told())[1]


async def test_who_is_away_is_told_later(post: Post) -> None:
    """While an agent is away nothing is sent; when they are back they hear of what is still theirs."""
    post.presence["lilei"] = "away"
    await post.mine()
    await post.tell(600)
    assert [] == await post.told()
    post.presence["lilei"] = "online"
    await post.tell(61)

    assert 1 == len(await post.told())


async def test_a_notice_on_its_way_is_not_piled_upon(store_url: str, tmp_path: Path) -> None:
    """While the platform does not take the first one, messages are gathered behind it."""
    async with opened(store_url, tmp_path) as post:  # and nobody sends
        await post.mine()
        for _ in range(4):
            await post.room.write("还在吗", CUSTOMER)
            await post.tell(21)

        assert 1 == len(await post.told())


async def test_a_team_hears_of_who_waits(post: Post) -> None:
    """After a while its group is told, once, and not of a conversation that somebody has taken meanwhile."""
    other = "tel:+8613800138001"
    await post.room.write("没人吗", CUSTOMER)
    taken = await post.room.write("在吗", other)
    await post.tell(1)
    await post.room.desk.assign(taken, Actor("token", "ops"), agent="hanmeimei")
    await post.tell(60)
    await post.tell(60)

    [text] = await post.told("wecom-robot:group")
    assert "没人吗" in text
    assert "还没有人接" in text


async def test_a_draft_is_told_with_what_may_be_done(post: Post) -> None:
    """In whose name it is and whose conversation it is: both see the words, and may send or drop them."""
    conversation = await post.mine()
    await sent(post, 1)
    at = post.room.clock()
    draft = Draft(conversation, "abc", "hanmeimei", "韩梅梅", "给您退款", at, "no_signature", via="email")
    assert await post.drafts.hold(draft)
    assert not await post.drafts.hold(draft)
    await post.tell(30)

    for text in ((await post.told("wecom:HanMeimei"))[0], (await post.told())[1]):
        assert "给您退款" in text
        assert draft.id in text
    assert [f"approve {draft.id}", f"discard {draft.id}"] == [one.id for one in (await sent(post, 3))[-1].choices]


async def test_of_several_drafts_at_once_each_is_told(post: Post) -> None:
    """Their words stand with their names and what may be done; no button could say which one it means."""
    conversation = await post.mine()
    await sent(post, 1)
    at = post.room.clock()
    drafts = [
        Draft(conversation, "abc", "lilei", "李雷", "给您退款", at, "no_signature", via="email"),
        Draft(conversation, "def", "lilei", "李雷", "冒充的回复", at, "bad_signature", via="email"),
    ]
    for draft in drafts:
        await post.drafts.hold(draft)
    await post.tell(30)

    text = (await post.told())[1]
    for draft in drafts:
        assert f"李雷 [{draft.id}]: {draft.text}" in text
        assert f"/批准 {draft.id} 发送" in text
        assert draft.reason in text
    assert () == (await sent(post, 2))[-1].choices


async def test_a_heap_of_drafts_fits_a_notice(post: Post) -> None:
    """Forged answers by the dozen do not silence the notice of them: it shows the latest, and counts the others."""
    conversation = await post.mine()
    for number in range(40):
        text = f"冒充的回复 {number}"
        draft = Draft(conversation, f"x{number}", "lilei", "李雷", text, post.room.clock(), "bad_signature")
        await post.drafts.hold(draft)
    await post.tell(30)

    text = (await post.told())[1]
    shown = text.count("/批准 ")
    assert "冒充的回复 39" in text
    assert 1 <= shown <= 6
    assert f"另有 {40 - shown} 条等待确认" in text
    assert STAFF.text_limit is not None
    assert len(text) <= STAFF.text_limit


@pytest.mark.parametrize("decided", ["approve", "discard", "erase"])
async def test_what_was_decided_is_not_asked(post: Post, decided: str) -> None:
    """Of a draft that somebody has decided on before the notice went, or that was erased, nobody is told."""
    conversation = await post.mine()
    drafts = [
        Draft(conversation, name, "lilei", "李雷", "给您退款", post.room.clock(), "no_signature") for name in "ab"
    ]
    for draft in drafts:
        await post.drafts.hold(draft)
    await post.read()
    if decided == "erase":
        await erase(post, drafts[0])
    else:
        await getattr(post.drafts, decided)(drafts[0].id, Actor("token", "ops"), post.room.clock())
    await post.tell(30)
    [_, text] = await post.told()

    assert drafts[1].id in text
    assert drafts[0].id not in text


async def erase(post: Post, draft: Draft) -> None:
    """Remove a draft from the store, as the erasure of its customer does."""
    await post.room.store.do(tag(draft.place.partition), "DEL", key(draft.place.partition, f"w:{draft.key}"))


async def test_an_erased_approval_holds_nothing_up(post: Post) -> None:
    """Of an approval whose draft was erased before it was read nothing is left; what comes after it is told."""
    conversation = await post.mine()
    draft = Draft(conversation, "abc", "lilei", "李雷", "给您退款", post.room.clock(), "no_signature")
    await post.drafts.hold(draft)
    await post.drafts._decide(draft.id, Actor("token", "ops"), "approved", post.room.clock())
    await erase(post, draft)
    await post.room.desk.note(conversation, Actor("agent", "hanmeimei"), "@lilei 看一下")
    await post.tell(30)

    assert ["看一下" in text for text in await post.told()] == [False, True]


async def test_what_was_discarded_after_all_does_not_go_out(post: Post) -> None:
    """An approval that is read again, after its answer was obstructed and then discarded, sends nothing."""
    conversation = await post.mine()
    draft = Draft(conversation, "abc", "lilei", "李雷", "给您退款", post.room.clock(), "no_signature")
    await post.drafts.hold(draft)
    approved = await post.drafts._decide(draft.id, Actor("token", "ops"), "approved", post.room.clock())
    await post.drafts._hold_again(approved, "the window is closed", post.room.clock())
    await post.drafts.discard(draft.id, Actor("token", "ops"), post.room.clock())
    await post.tell(30)

    logs = [await logbook.read(post.room.store, partition, "0-0", 1000) for partition in range(COUNT)]
    assert [] == [entry.id for entries in logs for entry in entries if entry.type == logbook.REPLY]


async def test_an_approval_outlives_a_crash(post: Post) -> None:
    """If the process dies between the approval and the sending, whoever reads the log sends; once altogether."""
    conversation = await post.mine()
    draft = Draft(conversation, "abc", "lilei", "李雷", "给您退款", post.room.clock(), "no_signature")
    await post.drafts.hold(draft)
    await post.drafts._decide(draft.id, Actor("token", "ops"), "approved", post.room.clock())
    await post.tell()
    await post.drafts.approve(draft.id, Actor("token", "ops"), post.room.clock())
    await post.tell()
    async with asyncio.timeout(20):
        while not post.room.platform().texts:  # noqa: ASYNC110  # the outbox announces nothing to a test
            await asyncio.sleep(0.01)

    assert ["给您退款"] == post.room.platform().texts


async def test_what_is_long_past_is_no_news(post: Post) -> None:
    """A hub that begins to tell agents does not tell them of its whole past."""
    conversation = await post.room.write("在吗", CUSTOMER)
    await post.room.desk.assign(conversation, Actor("token", "ops"), agent="lilei")
    await post.tell(2 * 3600)

    assert [] == await post.told()


async def test_of_two_agents_at_once_one_is_asked(post: Post) -> None:
    """Both have seen the same and answer at the same moment: one answer is owed, the other one's writer hears of it."""
    conversation = await post.room.write("在吗", CUSTOMER)
    for number in range(15):
        known = await post.room.load(conversation)
        seen = (await logbook.read(post.room.store, known.place.partition, "0-0", 1000))[-1].id

        def still(agent: str, seen: str = seen) -> Any:
            async def check(now: Any) -> None:
                await collisions.not_overtaken(post.room.store, now, agent, seen)

            return check

        results = await asyncio.gather(
            *(
                post.room.deliveries.enqueue(
                    known, Reply(author, f"{author.id} {number}"), post.room.clock(), only=still(author.id)
                )
                for author in (LILEI, HANMEIMEI)
            ),
            return_exceptions=True,
        )
        assert 1 == sum(isinstance(one, Overtaken) for one in results), results
    texts = post.room.platform().texts
    assert len(texts) == len(set(texts))


async def test_who_is_writing_is_seen_for_a_while(post: Post) -> None:
    """Composing lasts as long as it is said again, and ends when it is said to end."""
    known = await post.room.load(await post.room.write("在吗", CUSTOMER))
    store, clock = post.room.store, post.room.clock
    await collisions.compose(store, known, "lilei", clock())
    await collisions.compose(store, known, "hanmeimei", clock() + 5)
    assert ["hanmeimei", "lilei"] == [one.agent for one in await collisions.composing(store, known, clock())]
    await collisions.compose(store, known, "lilei", clock(), on=False)
    assert ["hanmeimei"] == [one.agent for one in await collisions.composing(store, known, clock())]

    assert [] == await collisions.composing(store, known, clock() + collisions.COMPOSING + 10)


async def test_codes_stay_and_the_latest_is_meant(post: Post) -> None:
    """A conversation keeps its code; the latest notice is the one that is meant, and for a minute that is in doubt."""
    hands, now = Hands(post.room.store), post.room.clock()
    first = await hands.told("lilei", "c1-1-0", "1-0", now)
    assert first == await hands.told("lilei", "c1-1-0", "5-0", now)
    assert not (await hands.of("lilei")).doubtful(now)
    second = await hands.told("lilei", "c1-2-0", "2-0", now + 1000)
    hand = await hands.of("lilei")
    assert ("c1-2-0", "c1-1-0") == (hand.current, hand.former)
    assert (hand.doubtful(now + 2000), hand.doubtful(now + 1000 + DOUBT)) == (True, False)
    assert ({first: "c1-1-0", second: "c1-2-0"}, "5-0") == (hand.codes, hand.seen("c1-1-0", now + DOUBT))
    await hands.chose("lilei", "c1-1-0", now + 3000)

    assert not (await hands.of("lilei")).doubtful(now + 3000)


async def test_what_was_told_a_moment_ago_was_not_read(post: Post) -> None:
    """Who writes right after a notice has written it without that notice; the first of all was what they answer."""
    hands, now = Hands(post.room.store), post.room.clock()
    await hands.told("lilei", "c1-1-0", "5-0", now)
    assert "5-0" == (await hands.of("lilei")).seen("c1-1-0", now + 1)
    await hands.told("lilei", "c1-1-0", "6-0", now + WRITING)
    await hands.told("lilei", "c1-1-0", "7-0", now + WRITING + 5)
    hand = await hands.of("lilei")
    assert "5-0" == hand.seen("c1-1-0", now + WRITING + 10)
    assert "7-0" == hand.seen("c1-1-0", now + 2 * WRITING + 5)
    assert "" == hand.seen("c1-9-0", now)


async def test_an_answer_that_did_not_arrive_is_told(post: Post) -> None:
    """Who wrote it and whose the conversation is hear of it, with the reason."""
    conversation = await post.mine()
    await sent(post, 1)
    post.room.platform().script.append(Rejected("the number is gone"))
    delivery = await post.room.reply(conversation, "好的", author=LILEI)
    await post.room.state(delivery, "dead")
    await post.tell(30)

    assert "the number is gone" in (await post.told())[-1]


async def test_the_next_way_is_taken_when_one_fails(post: Post) -> None:
    """A notice that its channel refuses for good comes by the next one that the agent has."""
    post.enrolled.agents["lilei"] += (Reach("sms", "shop", PHONE),)
    post.enrolled.owners[PHONE] = "lilei"
    post.room.platform("staff").script.append(Rejected("no such member"))
    await post.mine("在吗在吗")

    async def tried() -> bool:
        await post.tell()
        return any("在吗在吗" in text for text in post.room.platform().texts)

    async with asyncio.timeout(20):
        while not await tried():  # noqa: ASYNC110  # the outbox announces nothing to a test
            await asyncio.sleep(0.01)
    assert 1 == len(await post.told(PHONE))


@pytest.mark.parametrize("event", ["sla_warning", "sla_breach"])
async def test_deadlines_are_told_to_agent_and_team(post: Post, event: str) -> None:
    """When the time runs out whoever has the conversation hears of it, and so does the team."""
    known = await post.room.load(await post.mine())
    fields = {"t": "s", "c": known.place.key, "ev": event, "at": "1", "au": "{}", "b": '{"clock": "first_reply"}'}
    entry = logbook.Entry(known.place.partition, "1-1", fields)
    events = happened(entry, known, Doer(), post.room.settings)

    assert {("a:lilei", event, "first_reply"), ("t:frontdesk", event, "first_reply")} == {one[:3] for one in events}


def test_a_notice_holds_nothing_that_a_channel_refuses() -> None:
    """Whatever customers call themselves and write: one line each, nothing invisible, within the channel's limit."""
    known = Conversation("c1-1-0", "shop", "wechat", "wechat:o1", "k1-1-0", name="张\x00三\r\nBcc: x@y.z\u202e")
    lines = [Line(0, "", "你好\x07\n" * 200) for _ in range(30)]
    scene = Scene(known, "lilei", [("message", "")], lines, code="12")
    tongue = Tongue("zh", ZoneInfo("Asia/Shanghai"))
    shown = notices.text(scene, tongue, "chat", Capabilities(text_limit=900, text_unit="bytes"))

    assert len(shown.encode()) <= 900
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert notices.subject(scene, tongue).isprintable()
