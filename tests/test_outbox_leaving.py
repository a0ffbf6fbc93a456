"""What counts as leaving and returning, what does not, and what a later word changes."""

from __future__ import annotations

import email
import email.policy
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.consent import Consent as Policy
from connectors.base import Rejected
from connectors.mail_compose import compose
from connectors.mail_thread import read_handle
from connectors.simulators.mail import MailSimulator
from connectors.testing import outbound
from inbox.channels import NOTHING
from inbox.log import Entry
from inbox.partitions import key, partition_of, tag
from inbox.placing import Origin
from inbox.recording import Rest
from outbox.consent import Consent, Word, latest
from outbox.leaving import Leaving
from outbox.letters import Letter
from outbox.seals import BadSeal, Recipient, Seals
from tests.backroom import opened
from tests.hubs import TEAMS, configuration, running, until, write

SEALS = Seals("a-key-of-the-hub")


def leaving(**policy: Any) -> Leaving:
    """Return what hears of leaving; nothing of the store is asked."""
    nothing: Any = None
    known = Consent(nothing, lambda: Policy.model_validate(policy), lambda: "zh-CN")
    return Leaving(nothing, known, nothing, nothing, lambda: SEALS, nothing, nothing, lambda: 9)


def origin(text: str, address: str = "tel:+8613800138000", kind: str = "twilio-sms", **rest: Any) -> Origin:
    entry = Entry(
        1, "1000-0", {"t": rest.pop("t", "e"), "ch": "shop", "a": address, "x": "x1", "at": "1000", "tx": text}
    )
    return Origin(entry, "shop", address, 1000, text, Rest(**rest), NOTHING, kind)


STOPS = [
    *(
        "STOP",
        "stop",
        " Stop. ",
        "ＳＴＯＰ",
        "“STOP”",
        "s t o p",
        "UNSUBSCRIBE",
        "END",
        "QUIT",
        "Cancel!",
        "STOPALL",
        "TD",
        "td。",
        "Ｔ",
    ),
    *("T", "退订", "退訂", "【退订】", "取消订阅", "取消訂閱", "拒收", "OPT-OUT", "\u200bTD\u200b"),
]
STARTS = ["START", "unstop", "恢复订阅", "恢復訂閱！", "重新订阅"]
NEITHER = [
    *(
        "stop sending me the wrong size",
        "我要退订单里的一件",
        "TD-1234 什么时候到",
        "订单TD",
        "the end",
        "cancel my order",
        "t恤有吗",
    ),
    *("怎么取消订阅", "退订 谢谢", "start over please", "", "。", "👍", "回T退订", "stop stop"),
]


@pytest.mark.parametrize("text", STOPS)
def test_words_that_end_messages(text: str) -> None:
    """Carriers' words, alone in a text message, in any case, width and punctuation, end messages everywhere."""
    heard = leaving().meaning(origin(text))

    assert heard is not None
    assert ("opted_out", "*", "*", "word", "m1-1000-0") == (
        *(
            heard.words[0].state,
            heard.words[0].channel,
            heard.words[0].lane,
            heard.words[0].how,
            heard.words[0].evidence,
        ),
    )
    assert heard.event == "opt_out"


@pytest.mark.parametrize("text", STARTS)
def test_words_that_allow_them_again(text: str) -> None:
    """START and its like are consent to what was ended."""
    heard = leaving().meaning(origin(text))

    assert heard is not None
    assert ("consented", "opt_in") == (heard.words[0].state, heard.event)


@pytest.mark.parametrize("text", NEITHER)
def test_sentences_that_are_none(text: str) -> None:
    """A sentence with such a word in it is a message like any other."""
    assert leaving().meaning(origin(text)) is None


@pytest.mark.parametrize(
    ("text", "kind", "policy", "hears"),
    [
        ("END", "wechat", {}, False),
        ("t", "webchat", {}, False),
        ("退订", "wechat", {}, True),
        ("不要了", "wechat", {"words": {"any": {"stop": ["不要了"]}}}, True),
        ("退订", "wechat", {"words": {"any": {"stop": ["不要了"]}}}, False),
        ("ARRET", "wechat", {"words": {"wechat": {"stop": ["arret"]}, "any": {"stop": ["x"]}}}, True),
        ("ARRET", "wechat", {"words": {"shop": {"stop": ["halt"]}, "wechat": {"stop": ["arret"]}}}, False),
        ("T", "twilio-sms", {"words": {"twilio-sms": {"stop": ["stop"]}}}, False),
    ],
)
def test_words_can_be_chosen(text: str, kind: str, policy: dict[str, Any], hears: bool) -> None:
    """Which words count is said by channel, by kind, or for all; single letters count on SMS only."""
    address = "tel:+8613800138000" if kind == "twilio-sms" else "wechat:o1"

    assert hears == (leaving(**policy).meaning(origin(text, address, kind)) is not None)


@pytest.mark.parametrize(
    ("name", "state", "channel"),
    [
        ("opt_out", "opted_out", "*"),
        ("opt_in", "consented", "*"),
        ("unfollow", "opted_out", "shop"),
        ("follow", "unknown", "shop"),
    ],
)
def test_what_platforms_report(name: str, state: str, channel: str) -> None:
    """A platform's own word counts; what the hub has recorded itself is not counted again."""
    heard = leaving().meaning(origin("", t="y", name=name))

    assert heard is not None
    assert (state, channel) == (heard.words[0].state, heard.words[0].channel)
    assert leaving().meaning(origin("", t="y", name=name, details={"recorded": True})) is None
    assert leaving().meaning(origin("", t="y", name="enter")) is None


ANNA = Recipient("news", "mailto:anna@example.com", "campaign")


@pytest.mark.parametrize(
    ("subject", "to"),
    [
        (f"unsubscribe {SEALS.seal(ANNA)}", []),
        (f"Unsubscribe: {SEALS.seal(ANNA).upper()} ", []),
        ("退订", [f"news+u-{SEALS.seal(ANNA)}@shop.example"]),
    ],
)
def test_a_mail_to_the_shop_unsubscribes_whom_the_link_was_given_to(subject: str, to: list[str]) -> None:
    """A mail program's own unsubscribe button may write from another address: the token says who is meant."""
    heard = leaving().meaning(origin("", "mailto:forwarded@example.org", "email", subject=subject, details={"to": to}))

    assert heard is not None
    assert ("mailto:anna@example.com", ["survey", "campaign"]) == (heard.address, [word.lane for word in heard.words])
    narrow = leaving(unsubscribe="lane").meaning(
        origin("", "mailto:x@example.org", "email", subject=subject, details={"to": to})
    )
    assert narrow is not None
    assert ["campaign"] == [word.lane for word in narrow.words]


@pytest.mark.parametrize(
    ("subject", "text", "hears"),
    [
        ("unsubscribe", "", True),
        ("Re: 11.11", "退订\n-- \nAnna", True),
        ("Re: 11.11", "unsubscribe", True),
        ("unsubscribe abc", "", False),
        (f"unsubscribe {SEALS.seal(ANNA)[:-1]}2", "", False),
        ("unsubscribe", "why is my order late?", False),
        ("11.11", "How do I unsubscribe?", False),
    ],
)
def test_mails_that_ask_to_leave(subject: str, text: str, hears: bool) -> None:
    """A mail that says nothing else asks to leave; one with a question is for an agent."""
    heard = leaving().meaning(origin(text, "mailto:a@example.com", "email", subject=subject))

    assert hears == (heard is not None and heard.address == "mailto:a@example.com")


def test_the_last_word_holds() -> None:
    """Of all words that cover a lane on a channel the last holds; of one moment an opt-out, else the narrowest."""
    out = Word("opted_out", 10, "word")
    shop = Word("consented", 20, "person", channel="shop", lane="campaign")
    later = Word("opted_out", 30, "unfollow", channel="other")

    assert out == latest([out], "shop", "survey")
    assert shop == latest([out, shop, later], "shop", "campaign")
    assert out == latest([out, shop, later], "shop", "survey")
    assert later == latest([out, shop, later], "other", "campaign")
    assert latest([later], "shop", "reply") is None
    tied = Word("unknown", 20, "page")
    assert shop == latest([tied, shop], "shop", "campaign")
    stop = Word("opted_out", 20, "word")
    assert stop == latest([shop, stop], "shop", "campaign") == latest([stop, shop], "shop", "campaign")


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=40), st.integers(0, 400), st.integers(1, 255))
def test_tokens_cannot_be_made_or_changed(address: str, channel: str, place: int, flip: int) -> None:
    """A token opens to whom it was made for, and to nobody else however it is changed."""
    recipient = Recipient(
        channel.encode(errors="replace").decode(), address.encode(errors="replace").decode(), "survey"
    )
    token = SEALS.seal(recipient)
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    place %= len(token)
    changed = token[:place] + letters[(letters.index(token[place]) + flip % 31 + 1) % 32] + token[place + 1 :]

    assert recipient == SEALS.open(token) == SEALS.open(token.upper())
    assert token == SEALS.seal(recipient)
    assert address not in token or len(address) < 4
    with pytest.raises(BadSeal):
        Seals("another key").open(token)
    with pytest.raises(BadSeal):
        SEALS.open(changed)


@pytest.fixture
async def consents(store_url: str) -> AsyncIterator[Consent]:
    async with opened(store_url) as store:
        yield Consent(store, Policy, lambda: "en")


ADDRESS = "tel:+8613800138000"
MINUTE = 60_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def wrote(consents: Consent, at: str = "*") -> int:
    """Write an entry into the log as a message is; return its milliseconds."""
    partition = partition_of(ADDRESS)
    entry = await consents._store.do(tag(partition), "XADD", key(partition, "log"), at, "t", "e")
    return int(entry.partition("-")[0])


async def test_a_clock_that_is_ahead_does_not_outlive_a_stop(consents: Consent) -> None:
    """Consent that a process with a fast clock noted does not hold against what the customer writes after it."""
    fast = now_ms() + MINUTE
    noted = await consents.record(ADDRESS, Word("consented", fast, "person", "by phone", by="lilei"))
    stop = await consents.record(ADDRESS, Word("opted_out", await wrote(consents), "word", "m1"))

    assert noted.word.at < fast
    assert (True, True) == (noted.fresh, noted.holds)
    assert "opted_out" == stop.word.state


async def test_a_clock_that_is_behind_loses_no_click(consents: Consent) -> None:
    """What somebody clicks now comes after all that they wrote before, whatever the clock of the process says."""
    await consents.record(ADDRESS, Word("consented", now_ms() + MINUTE, "word", "m1"))
    clicked = await consents.record(ADDRESS, Word("opted_out", 0, "page", "link"))

    assert ("opted_out", True) == (clicked.word.state, clicked.holds)


async def test_a_store_whose_clock_goes_back_loses_no_word(consents: Consent) -> None:
    """The log's time stands still until the clock has come up to it; words go on holding in the order they come."""
    last = await wrote(consents, f"{now_ms() + MINUTE}-0")
    for state, how, at in (
        ("consented", "word", last),
        ("opted_out", "word", await wrote(consents)),
        ("consented", "person", 0),
        ("opted_out", "word", await wrote(consents)),
    ):
        told = await consents.record(ADDRESS, Word(state, at, how, "m1"))  # type: ignore[arg-type]  # of a table

        assert (state, True, True) == (told.word.state, told.fresh, told.holds)


@pytest.mark.parametrize(
    ("how", "ahead"), [("word", -MINUTE), ("word", MINUTE), ("import", -MINUTE), ("import", MINUTE)]
)
async def test_a_word_that_comes_twice_is_kept_once(consents: Consent, how: Any, ahead: int) -> None:
    """A repetition holds, is not fresh, and leaves nothing in the log; also where its moment lies ahead."""
    word = Word("opted_out", now_ms() + ahead, how, "m1", reason='asked; "at":0, on the phone')
    first = await consents.record(ADDRESS, word)
    known = await consents.known(ADDRESS)
    again = await consents.record(ADDRESS, word)

    assert (True, True) == (first.fresh, first.holds)
    assert (False, True) == (again.fresh, again.holds)
    assert known == await consents.known(ADDRESS) == (again.word,)
    assert word == msgspec.structs.replace(again.word, at=word.at)
    partition = partition_of(ADDRESS)
    entries = await consents._store.do(tag(partition), "XRANGE", key(partition, "log"), "-", "+")
    assert [again.word] == [
        msgspec.json.decode(dict(zip(fields[::2], fields[1::2], strict=True))["b"], type=Word) for _, fields in entries
    ]


async def test_a_word_that_is_older_than_what_is_known_does_not_hold(consents: Consent) -> None:
    """What was said before is told as not holding, and changes nothing."""
    stop = await consents.record(ADDRESS, Word("opted_out", now_ms() - 10, "word", "m2"))
    late = await consents.record(ADDRESS, Word("consented", now_ms() - MINUTE, "person", "by phone"))

    assert (False, False, stop.word) == (late.fresh, late.holds, late.word)


async def test_mails_name_the_ways_to_leave() -> None:
    """List-Unsubscribe has a page and a mail, unbroken however long; one click only where the page is safe."""
    token = SEALS.seal(Recipient("service-mail", f"mailto:{'a' * 60}@example.com", "campaign"))
    for base, post in (("https://hub.example.com", "List-Unsubscribe=One-Click"), ("http://127.0.0.1:8080", None)):
        message = outbound(address="mailto:a@example.com", text="hi", subject="11.11")
        message = msgspec.structs.replace(message, unsubscribe=f"{base}/u/{token}")
        raw = await compose(message, read_handle(""), "service@shop.example", "Shop")
        mail = email.message_from_bytes(raw, policy=email.policy.SMTP)
        assert f"<{base}/u/{token}>, <mailto:service@shop.example?subject=unsubscribe%20{token}>" == (
            " ".join(str(mail["List-Unsubscribe"]).split())
        )
        assert post == mail["List-Unsubscribe-Post"]
        assert max(map(len, raw.split(b"\r\n"))) < 998
    plain = await compose(outbound(address="mailto:a@example.com", text="hi"), read_handle(""), "s@shop.example", "")
    assert b"List-Unsubscribe" not in plain
    bad = msgspec.structs.replace(message, unsubscribe="https://hub.example.com/u/x\r\nBcc: b@example.com")
    with pytest.raises(Rejected):
        await compose(bad, read_handle(""), "s@shop.example", "")


async def test_a_survey_by_mail_can_be_unsubscribed_by_mail(store_url: str, tmp_path: Path) -> None:
    """A mail of a survey carries the token; a mail with it in the subject ends surveys and bulk sends, not answers."""
    async with MailSimulator("service@shop.example", "secret-of-the-box") as provider:
        channel = f"  service-mail: {{kind: email, {yaml_of({**provider.options(), 'backfill': '1d'})}}}"
        more = TEAMS + "consent: {required: []}\n"
        text = configuration(channel, public_url="https://hub.example.com", more=more)
        async with running(store_url, write(tmp_path, text)) as stage:
            address = "mailto:anna@example.com"
            letter = Letter(
                channel="service-mail", address=address, key="k", lane="survey", text="5?", subject="?", auto=False
            )
            await stage.hub.deliveries.owe_letter(letter, 1)
            [sent] = await provider.wait_delivered(1)
            mail = email.message_from_bytes(sent.raw, policy=email.policy.default)
            token = str(mail["List-Unsubscribe"]).partition("subject=unsubscribe%20")[2].rstrip(">")
            raw = f"From: a.other@example.org\r\nTo: service@shop.example\r\nSubject: unsubscribe {token}\r\n\r\n\r\n"
            await provider.deliver(raw.encode())

            async def left() -> bool:
                found = [
                    await stage.hub.consent.obstacle(address, "service-mail", lane) for lane in ("survey", "campaign")
                ]
                return all(one is not None and one.code == "opted_out" for one in found)

            await until(left, 30)
            assert await stage.hub.consent.obstacle(address, "service-mail", "reply") is None
            assert {"mail"} == {word.how for word in await stage.hub.consent.known(address)}


def yaml_of(options: dict[str, Any]) -> str:
    return msgspec.json.encode(options).decode()[1:-1]
