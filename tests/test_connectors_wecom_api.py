"""WeCom app, both ways, against the simulated platform: cards and presses, files, tokens, limits, errcodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from connectors.base import (
    BadOptions,
    Choice,
    Media,
    Message,
    Rejected,
    SendError,
    Sent,
    Throttled,
    Uncertain,
    Unreachable,
)
from connectors.simulators.wecom import Fault
from connectors.simulators.wecom_corp import PER_HOUR, PER_MINUTE
from connectors.testing import Leaving, Platform, Reply, Request, attachment, leaks, outbound
from connectors.wecom_app import PACE
from connectors.wecom_codes import REFUSALS, TASK_TAKEN, TOKEN_REFUSED, refused
from tests.wechat_shop import AMR, JPEG, MP4
from tests.wecom_desk import AES_KEY, AGENT, CHOICES, MEMBER, SECRET, TOKEN, Desk, message, open_desk

SECRETS = [SECRET, TOKEN, AES_KEY, MEMBER]


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    """An app with one member."""
    async with open_desk() as opened:
        yield opened


async def test_both_ways(desk: Desk) -> None:
    """The address verifies, a member writes, is answered, and gets exactly what was sent."""
    assert await desk.platform.handshake()
    push = await desk.platform.write(MEMBER, "回复 ]]> <b> 😀")
    [event] = desk.events

    assert isinstance(event, Message)
    assert (push.statuses, push.taken, event.text) == ((200,), True, "回复 ]]> <b> 😀")
    assert (event.external_id, event.address) == (str(push.fields["MsgId"]), f"wecom:{MEMBER}")

    sent = await desk.send('马上为您处理 \\u4f60 "引号"')

    assert sent.external_id
    assert desk.texts() == ['马上为您处理 \\u4f60 "引号"']


async def test_everything_a_member_can_do(desk: Desk) -> None:
    """Every kind of message and event that the simulated member knows is taken and becomes one event."""
    act = desk.platform
    pushes = [
        await act.event(MEMBER, "subscribe"),
        await act.enter(MEMBER),
        await act.write(MEMBER, "你好"),
        await act.picture(MEMBER, JPEG),
        await act.voice(MEMBER, AMR),
        await act.video(MEMBER, MP4),
        await act.location(MEMBER, 23.1, 113.3, "广州"),
        await act.link(MEMBER, "标题", "描述", "https://www.example.com/"),
        await act.event(MEMBER, "click", {"EventKey": "MINE"}),
        await act.event(MEMBER, "view", {"EventKey": "https://www.example.com/"}),
        await act.event(MEMBER, "unsubscribe"),
        await act.event("sys", "change_contact", {"ChangeType": "create_user", "UserID": "wang"}),
    ]
    kinds = [getattr(event, "type", getattr(event, "name", "ignored")) for event in desk.events]

    assert all(push.statuses == (200,) for push in pushes)
    assert desk.shunted == []
    messages = ["text", "image", "voice", "video", "location", "link"]
    assert kinds == ["follow", "enter", *messages, "click", "view", "unfollow", "ignored"]


async def test_repeats_are_one_event(desk: Desk) -> None:
    """The platform's repeats of a message and of a press carry the same external id."""
    await desk.send("新会话", choices=CHOICES)
    await desk.platform.write(MEMBER, "在吗", copies=3)
    await desk.platform.press(MEMBER, "认领", copies=3)

    assert len(desk.events) == 6
    assert len({event.external_id for event in desk.events}) == 2


async def test_forged_callback_is_refused(desk: Desk) -> None:
    """A callback that is signed with another token is answered 403, and nothing of it is kept."""
    push = await desk.platform.write(MEMBER, "认领", forged=True)

    assert (push.statuses, push.taken) == ((403, 403, 403), False)
    assert (desk.events, desk.shunted) == ([], [])


async def test_card_and_press(desk: Desk) -> None:
    """Choices go as buttons; a press comes back as the choice, and the card shows it instead of its buttons."""
    sent = await desk.send("新会话\n王芳：我要退款", id="d47-b7733957f2140abce1f8f693.0", choices=CHOICES)
    [card] = desk.platform.received[MEMBER]
    push = await desk.platform.press(MEMBER, "认领")
    [event] = desk.events

    assert (card.type, card.text) == ("template_card", "新会话\n王芳：我要退款")
    assert [button["text"] for button in card.content["button_list"]] == ["认领", "下一个", "已解决"]
    assert (event.choice, event.text, event.address) == ("claim", "认领", f"wecom:{MEMBER}")
    assert event.refs == (sent.external_id,) == ("huiliu-d47-b7733957f2140abce1f8f693_0",)
    assert (push.taken, desk.platform.broken_answers) == (True, [])
    assert desk.platform.corp.cards[sent.external_id].shown == "认领"
    assert desk.platform.calls["message/update_template_card"] == 0


@pytest.mark.parametrize("label", ["5 很满意", "a|b", "]]>", "<b>&amp;", "😀" * 60, " x\x00\n"])
async def test_labels_come_back(desk: Desk, label: Any) -> None:
    """Whatever a label holds, the press brings choice and token back, and the card shows the label."""
    await desk.send("请评价", choices=(Choice("s:7|5", label), Choice("s:7|1", "不满意")), token="k3x9")
    [card] = desk.platform.corp.cards.values()
    shown = next(iter(card.buttons.values()))
    await desk.platform.press(MEMBER, shown)

    assert (desk.events[0].choice, desk.events[0].details["token"]) == ("s:7|5", "k3x9")
    assert "k3x9" not in desk.events[0].external_id
    assert card.shown == shown.replace("|", "/")


async def test_long_words_go_before_the_card(desk: Desk) -> None:
    """What a card cannot show goes whole in a text before it, once, even if the card has to be tried again."""
    text = "新会话 " + "王芳" * 30 + "\n" + "退款" * 200
    desk.platform.fail("message/send", Fault(), times=1)
    desk.platform.fail("message/send", Fault(errcode=45009), times=1)
    with pytest.raises(Throttled):
        await desk.send(text, choices=CHOICES)
    await desk.process().send(message(text, choices=CHOICES))
    told, card = desk.platform.received[MEMBER]

    assert (told.type, told.text) == ("text", text)
    assert (card.type, card.text, len(card.text)) == ("template_card", f"新会话 {'王芳' * 30}"[:35] + "…", 36)


CARDS: list[tuple[Any, Any]] = [
    ("七个", [Choice(str(n), str(n)) for n in range(7)]),
    ("同一个", [Choice("a", "1"), Choice("a", "2")]),
    ("无文字", [Choice("a", " ")]),
    ("无编号", [Choice("", "a")]),
    ("太长", [Choice("a" * 1000, "退" * 10)]),
]


@pytest.mark.parametrize(("text", "choices"), CARDS, ids=[label for label, _ in CARDS])
async def test_odd_cards_are_rejected(desk: Desk, text: Any, choices: Any) -> None:
    """What the platform would refuse never leaves."""
    leaving = Leaving()
    with pytest.raises(Rejected):
        await desk.send(text, choices=tuple(choices), leaving=leaving)

    assert (leaving.count, desk.platform.calls["message/send"]) == (0, 0)


async def test_card_arrives_once(desk: Desk) -> None:
    """A card whose answer was lost is sent again only in name: the platform knows its id, and so it has arrived."""
    desk.platform.fail("message/send", Fault(cut=True))
    with pytest.raises(Uncertain):
        await desk.send("新会话", choices=CHOICES)

    assert await desk.send("新会话", choices=CHOICES) == Sent("huiliu-d1")
    assert len(desk.texts()) == 1


async def test_refused_card_may_have_used_its_id(desk: Desk) -> None:
    """If the platform refused a card and knows its id later, nobody can tell whether it was shown."""
    desk.platform.fail("message/send", Fault(errcode=-1))
    with pytest.raises(Unreachable):
        await desk.send("新会话", choices=CHOICES)
    desk.platform.fail("message/send", Fault(errcode=TASK_TAKEN))
    with pytest.raises(Uncertain):
        await desk.process().send(message("新会话", choices=CHOICES))


async def test_buttons_are_replaced_later(desk: Desk) -> None:
    """A message whose handle is "card:" and the ResponseCode of a press changes the card, once."""
    await desk.send("新会话", choices=CHOICES)
    await desk.platform.press(MEMBER, "认领")
    handle = f"card:{desk.events[0].details['ResponseCode']}"

    assert await desk.send("李雷已回复", id="d2", handle=handle) == Sent()
    assert desk.platform.corp.cards["huiliu-d1"].shown == "李雷已回复"
    assert len(desk.texts()) == 1
    with pytest.raises(Rejected):
        await desk.send("又一次", id="d3", handle=handle)


async def test_response_code_ends(desk: Desk) -> None:
    """After 72 hours a card cannot be changed any more."""
    await desk.send("新会话", choices=CHOICES)
    await desk.platform.press(MEMBER, "认领")
    desk.clock.move(72 * 3600)
    with pytest.raises(Rejected):
        await desk.send("晚了", handle=f"card:{desk.events[0].details['ResponseCode']}")


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("image", attachment("收据.jpg", "image/jpeg", JPEG)),
        ("voice", attachment("a.amr", "audio/amr", AMR)),
        ("video", attachment("a.mp4", "video/mp4", MP4)),
        ("file", attachment("报价 单.pdf", "application/pdf", b"%PDF-1.7")),
        ("file", attachment("a.gif", "image/gif", b"GIF89a..")),
        ("file", attachment("a.mp3", "audio/mpeg", b"ID3.....")),
    ],
    ids=lambda one: getattr(one, "name", one),
)
async def test_files_are_sent(desk: Desk, kind: Any, file: Any) -> None:
    """A file is uploaded before the message leaves and sent as what the platform shows best; a name stays readable."""
    leaving = Leaving()
    await desk.connector.send(message(media=[file], leaving=leaving))
    [delivered] = desk.platform.received[MEMBER]
    _, data, name = desk.platform.corp.file(str(delivered.content["media_id"]))

    assert (delivered.type, data, leaving.count) == (kind, await file.read(), 1)
    assert kind != "file" or name == file.name


@pytest.mark.parametrize("size", [5, (20 << 20) + 1], ids=["tiny", "huge"])
async def test_other_files_go_as_links(desk: Desk, size: Any) -> None:
    """What WeCom does not carry goes as a card that links to it; without an address nothing leaves."""
    file = attachment("报价.pdf", "application/pdf", b"%PDF-", "https://hub.example.com/m/1")
    file = replace(file, size=size)
    await desk.connector.send(message(media=[file]))
    [card] = desk.platform.received[MEMBER]

    assert (card.type, card.content["title"], card.content["url"]) == ("textcard", "报价.pdf", file.url)
    with pytest.raises(Rejected):
        await desk.connector.send(message(media=[replace(file, url="")]))


async def test_expired_file_is_uploaded_once_more(desk: Desk) -> None:
    """A second attempt uses the first upload; one that has expired meanwhile is replaced once."""
    outgoing = message(media=[attachment("a.jpg", "image/jpeg", JPEG)])
    desk.platform.fail("message/send", Fault(errcode=-1), times=2)
    for _ in range(2):
        with pytest.raises(Unreachable):
            await desk.process().send(outgoing)
    desk.platform.corp.files.clear()
    await desk.connector.send(outgoing)

    assert (desk.platform.calls["media/upload"], len(desk.platform.received[MEMBER])) == (2, 1)


async def test_media_arrive(desk: Desk) -> None:
    """Pictures, voices and videos are fetched by their media_id; one that is gone is rejected, not stored as text."""
    await desk.platform.picture(MEMBER, JPEG, "image/png")
    await desk.platform.voice(MEMBER, AMR)
    await desk.platform.video(MEMBER, MP4)
    desk.platform.corp.expire_tokens()
    got = [await desk.connector.fetch(event.media[0]) for event in desk.events]

    assert [(one.data, one.size) for one in got] == [(data, len(data)) for data in (JPEG, AMR, MP4)]
    assert (got[0].type, got[0].name.endswith(".png")) == ("image/png", True)
    with pytest.raises(Rejected) as gone:
        await desk.connector.fetch(Media(type="image/jpeg", ref="no-such-id"))
    assert gone.value.code == "40007"


async def test_expiry_during_concurrent_sends(desk: Desk) -> None:
    """Two processes that send to 50 members with a token that has just ended refresh it once; all arrive."""
    members = [f"member{n}" for n in range(50)]
    desk.platform.corp.members.update(members)
    await desk.send()
    desk.platform.corp.expire_tokens()
    before = desk.platform.calls["gettoken"]
    processes = [desk.process(), desk.process()]
    sends = (processes[n % 2].send(outbound(f"d{n}", f"wecom:{one}", "您好")) for n, one in enumerate(members))
    await asyncio.gather(*sends)

    assert desk.platform.calls["gettoken"] == before + 1
    assert all(len(desk.platform.received[one]) == 1 for one in members)


async def test_first_token_is_fetched_once(desk: Desk) -> None:
    """Sends of a hub that has just started ask for one token."""
    await asyncio.gather(*(desk.process().send(message("您好", id=f"d{n}")) for n in range(PACE)))

    assert desk.platform.calls["gettoken"] == 1


@pytest.mark.parametrize("errcode", sorted(TOKEN_REFUSED))
async def test_refused_token_does_not_loop(desk: Desk, errcode: Any) -> None:
    """When the platform refuses the token that it hands out, a message is tried twice and the admin is told."""
    await desk.send()
    desk.platform.corp.revoke_token()
    desk.platform.fail("message/send", Fault(errcode=errcode), times=2)
    leaving = Leaving()
    with pytest.raises(BadOptions) as error:
        await desk.send(leaving=leaving)

    assert (error.value.code, leaving.count) == (str(errcode), 2)
    assert (desk.platform.calls["message/send"], desk.platform.calls["gettoken"]) == (3, 2)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(errcode=40013), BadOptions),
        (Fault(errcode=40001), BadOptions),
        (Fault(errcode=60020), BadOptions),
        (Fault(errcode=45009), Throttled),
        (Fault(errcode=-1), Unreachable),
        (Fault(status=502), Unreachable),
        (Fault(cut=True), Unreachable),
    ],
)
async def test_token_trouble(desk: Desk, fault: Any, error: Any) -> None:
    """While no token can be had nothing leaves, and the error says whether to wait or to act."""
    desk.platform.fail("gettoken", fault, times=2)  # aiohttp repeats a GET whose connection broke
    leaving = Leaving()
    with pytest.raises(error) as trouble:
        await desk.send(leaving=leaving)

    assert leaving.count == 0
    assert leaks(trouble.value, SECRETS) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [({"secret": "another-secret"}, "40001"), ({"corp_id": "ww0"}, "40013"), ({"agent_id": 1000003}, "301002")],
)
async def test_wrong_settings_are_named(desk: Desk, options: Any, code: Any) -> None:
    """With a wrong secret, company or app the admin is told which, without seeing it."""
    with pytest.raises(BadOptions) as error:
        await desk.process(**options).send(message("您好"))

    assert error.value.code == code
    assert leaks(error.value, [*SECRETS, "another-secret"]) == []


@pytest.mark.parametrize("errcode", [*(code for code in REFUSALS if code not in {*TOKEN_REFUSED, TASK_TAKEN}), 99999])
async def test_every_errcode(desk: Desk, errcode: Any) -> None:
    """Each errcode of message/send becomes the error that the table names, with its code and no personal data."""
    expected = REFUSALS.get(errcode, (Rejected, ""))[0]
    desk.platform.fail("message/send", Fault(errcode=errcode), times=2)
    with pytest.raises(SendError) as error:
        await desk.send("请问单号多少")

    assert (type(error.value), error.value.code) == (expected, str(errcode))
    assert desk.platform.calls["message/send"] == 1
    assert leaks(error.value, [*SECRETS, "请问单号多少"]) == []


def test_documented_errcodes() -> None:
    """The errcodes whose meaning the documents fix (path/90313) do what they ask for."""
    table: dict[type[SendError], tuple[int, ...]] = {
        Unreachable: (-1,),
        BadOptions: (40001, 40013, 40014, 42001, 40056, 48002, 50003, 60011, 60020, 301002),
        Rejected: (40003, 40007, 45002, 60111, 81013, 82001, 12345),
        Throttled: (45009, 45033),
    }
    for error, codes in table.items():
        assert {type(refused(code)) for code in codes} == {error}


@pytest.mark.parametrize("userid", ["Stranger", "lilei2"])
async def test_stranger_is_rejected(desk: Desk, userid: Any) -> None:
    """A member who does not exist or cannot see the app is rejected for good."""
    with pytest.raises(Rejected) as error:
        await desk.connector.send(outbound(address=f"wecom:{userid}", text="您好"))

    assert error.value.code == "81013"
    assert leaks(error.value, [userid]) == []


@pytest.mark.parametrize(
    ("field", "code"), [("invaliduser", "81013"), ("unlicenseduser", "unlicenseduser")], ids=["invalid", "unlicensed"]
)
async def test_a_yes_without_the_member_is_a_no(desk: Desk, field: Any, code: Any) -> None:
    """A yes that leaves the member out is no yes: nobody got the message."""

    def script(request: Request) -> Reply:
        if request.path == "/cgi-bin/gettoken":
            return Reply(200, '{"errcode":0,"access_token":"scripted-access-token","expires_in":7200}')
        return Reply(200, f'{{"errcode":0,"errmsg":"ok","{field}":"{MEMBER.lower()}","msgid":"1"}}')

    async with Platform(script) as platform:
        with pytest.raises(Rejected, match=field) as error:
            await desk.process(api_base=platform.url).send(message("您好"))

    assert error.value.code == code
    assert leaks(error.value, [MEMBER.lower()]) == []


@pytest.mark.parametrize("address", ["tel:+8613800138000", "wecom:", "wecom:@all", "wecom:a|b", "wecom:a b", "LiLei"])
async def test_foreign_address_is_rejected(desk: Desk, address: Any) -> None:
    """An address of another kind, of everybody or of several never reaches the platform."""
    with pytest.raises(Rejected):
        await desk.connector.send(outbound(address=address, text="您好"))

    assert desk.platform.calls["message/send"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": " \n"},
        {"text": "\x00"},
        {"text": "a", "media": [attachment()]},
        {"media": [attachment()], "choices": CHOICES},
        {"choices": CHOICES},
        {"handle": "card:x", "text": "a", "choices": CHOICES},
        {"handle": "card:x"},
    ],
)
async def test_odd_messages_are_rejected(desk: Desk, fields: Any) -> None:
    """Nothing, blanks, or text and file in one message are refused before anything leaves."""
    leaving = Leaving()
    with pytest.raises(Rejected):
        await desk.connector.send(message(**fields, leaving=leaving))

    assert leaving.count == 0


async def test_limit_is_the_platforms(desk: Desk) -> None:
    """A text of exactly 2048 bytes of Chinese is accepted whole; one byte more is refused before it leaves."""
    text = "退" * 682 + "ab"
    await desk.send(text)
    with pytest.raises(Rejected) as long:
        await desk.send(text + "c")

    assert desk.texts() == [text]
    assert long.value.code == "45002"


@pytest.mark.parametrize("format", ["text", "markdown"])
async def test_words_of_customers_are_harmless(desk: Desk, format: Any) -> None:
    """Neither a hidden link nor a mention can be made by what a customer wrote; other signs stay."""
    text = '王芳：<a href="http://evil.example">退款单</a> <A\tHREF=x> <@all> a<b <3'
    await desk.process(format=format).send(message(text))
    [delivered] = desk.platform.received[MEMBER]

    assert delivered.type == format
    assert delivered.text == '王芳：(a href="http://evil.example">退款单</a> (A\tHREF=x> (@all> a<b <3'


async def until_sent(desk: Desk, text: str) -> None:
    """Send *text*, waiting as long as the connector asks for."""
    for _ in range(3):
        try:
            await desk.connector.send(message(text, id=text))
        except Throttled as early:
            desk.clock.move(early.retry_after)
        else:
            return
    raise AssertionError("a message waits for ever")


@pytest.mark.parametrize("gap", [0.0, 0.9, 3.4])
async def test_nothing_is_thrown_away(desk: Desk, gap: Any) -> None:
    """However fast messages for one member come, none exceeds what the platform delivers: the rest waits its time."""
    for n in range(PER_MINUTE * 2):
        desk.clock.move(gap)
        await until_sent(desk, f"第{n}条")

    assert len(desk.texts()) == PER_MINUTE * 2
    assert not desk.platform.corp.dropped
    assert PACE * 121 <= PER_HOUR


async def test_the_simulator_throws_away(desk: Desk) -> None:
    """Without that care the platform would say yes to the 31st message of a minute and show it to nobody."""
    for n in range(PER_MINUTE + 1):
        body = f'{{"touser":"{MEMBER}","agentid":{AGENT},"msgtype":"text","text":{{"content":"{n}"}}}}'
        assert desk.platform.corp.send(body.encode())["errcode"] == 0

    assert (len(desk.texts()), len(desk.platform.corp.dropped[MEMBER])) == (PER_MINUTE, 1)


@pytest.mark.parametrize("fault", [Fault(cut=True), Fault(status=500)], ids=["cut", "500"])
async def test_lost_answer_is_uncertain(desk: Desk, fault: Any) -> None:
    """When the platform accepts and the answer is lost, the message counts as uncertain and is not sent again."""
    desk.platform.fail("message/send", fault)
    leaving = Leaving()
    with pytest.raises(Uncertain) as lost:
        await desk.send(leaving=leaving)

    assert desk.texts() == (["您好"] if fault.cut else [])
    assert (desk.platform.calls["message/send"], leaving.count) == (1, 1)
    assert leaks(lost.value, SECRETS) == []


async def test_nothing_secret_is_remembered_in_clear(desk: Desk) -> None:
    """Shared memory holds the token and nothing of the options; the connector's repr holds neither."""
    await desk.send()
    held = repr(desk.memory._values) + repr(vars(desk.connector))

    assert [word for word in (SECRET, AES_KEY) if word in held] == []
