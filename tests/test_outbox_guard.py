"""The guard of words: what it finds, where, what it lets pass, and that nothing hostile upsets it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.folding import fold, traced
from config.guard import PRESETS, Allow, GuardFile, Rule, Scope, Use, shipped
from inbox.sightings import host, identity, luhn
from outbox.guard import Facts, Guard
from outbox.watch import readable

CARD = "6222021234567890128"
IDENTITY = "11010519491231002X"
FACTS = Facts(channel="shop", kind="tiktok-shop", own=frozenset({"+8613800138000", "anna@example.com"}))
ALL = Guard(
    GuardFile(
        use=PRESETS,  # type: ignore[arg-type]  # names stand for themselves
        allow=Allow(hosts=("shop.example",), phones=("400-823-8238",), emails=("@shop.example",)),
    ),
    own_hosts=["hub.example.com"],
    own_emails=["service@example.com"],
    secrets=["s3cret-of-the-app", "short"],
)

HITS = [
    ("这是全国第一的产品", "absolute-terms", "全国第一"),
    ("國 家 級推荐", "absolute-terms", "國 家 級"),
    ("效果最佳！", "absolute-terms", "最佳"),
    ("全网最低价", "absolute-terms", "全网最低"),
    ("我们家绝对划算", "superlatives", "绝对"),
    ("１００％有效", "superlatives", "１００％"),
    ("这款最好看", "superlatives", "最好"),
    ("人民大会堂专供", "state-symbols", "人民大会堂专供"),
    ("我们会尽快", "vague-words", "尽快"),
    ("坏了包赔", "promises", "包赔"),
    ("You are an IDIOT.", "rude-words", "IDIOT"),
    ("智-障", "rude-words", "智-障"),
    ("打 139 0013 9000 找他", "strange-phone", "139 0013 9000"),
    ("+1 415 867 5309", "strange-phone", "+1 415 867 5309"),
    ("写信给bob@example.org吧", "strange-email", "bob@example.org"),
    ("单号 123456789012345678 已发", "strange-order", "123456789012345678"),
    (f"卡号{CARD}。", "bank-card", CARD),
    ("卡号 6222 0212 3456 7890 128", "bank-card", "6222 0212 3456 7890 128"),
    (f"身份证{IDENTITY.lower()}", "identity-number", IDENTITY.lower()),
    ("密钥sk-abcdefghijklmnopqrst", "secrets", "sk-abcdefghijklmnopqrst"),
    ("AKIAABCDEFGHIJKLMNOP", "secrets", "AKIAABCDEFGHIJKLMNOP"),
    ("密码：hunter2hunter2", "secrets", "hunter2hunter2"),
    ("token is abc123def456", "secrets", ""),
    ("secret: abc123def456", "secrets", "abc123def456"),
    ("redis://:passw0rd@10.0.0.1/0", "secrets", "redis://:passw0rd@"),
    ("看 s3cret-of-the-app", "secrets", "s3cret-of-the-app"),
    ("https://evil.example/a?b", "foreign-links", "https://evil.example/a?b"),
    ("http://shop.example@evil.com/", "foreign-links", "http://shop.example@evil.com/"),
    ("http://evil.com\\@shop.example", "foreign-links", "http://evil.com\\@shop.example"),
    ("点t.cn/abc。", "foreign-links", "t.cn/abc"),
    ("notshop.example.com", "foreign-links", "notshop.example.com"),
    ("加 微 信聊", "diversion", "加 微 信"),
    ("ＶＸ号 abc", "diversion", "ＶＸ号"),
    ("w\u200be\u200bc\u200bh\u200bat", "diversion", "w\u200be\u200bc\u200bh\u200bat"),
    ("掃 二 維 碼", "diversion", "掃 二 維 碼"),
    ("加V", "diversion", "加V"),
]


@pytest.mark.parametrize(
    ("text", "rule", "part"), [hit for hit in HITS if hit[2]], ids=[hit[0] for hit in HITS if hit[2]]
)
def test_finds_it_where_it_stands(text: str, rule: str, part: str) -> None:
    """Every rule finds what it is about, in any spelling, and says where in the text as written that is."""
    found = {(one.rule, text[one.offset : one.offset + one.length]) for one in ALL.judge(text, FACTS)}

    assert (rule, part) in found


FINE = [
    "第一时间为您安排，第一步先拍照",
    "国家级非物质文化遗产",
    "最佳食用期为三天，最低温度零下五度",
    "您最好提前联系，最大号码是 45",
    "本店最新款，同系列最大的一款",
    "100%纯棉",
    "没有绝对的事",
    "二十四小时内尽快处理：24小时内尽快",
    "无法保证退款",
    "不要加微信，不支持线下交易",
    "您的号码 138-0013-8000，邮箱 ANNA@example.com",
    "客服电话 400-823-8238，邮箱 help@shop.example、service@example.com",
    "详见 https://www.shop.example/a 和 hub.example.com/s/1",
    "订单在 2026-11-22 10:30 发出，共 3 件，合计 1299.00 元",
    "请加。微信支付也可以",
    "we chat with customers, and stupidity is no word of ours",
    "ADDVIP 会员，加VIP 群组",
    "文件 report.pdf 和 v2.0.1",
    "short",
    "token is required",
    "密码请您自行保管",
    "",
    "好的，马上为您查询物流，请稍等。",
]


@pytest.mark.parametrize("text", FINE)
def test_lets_pass_what_is_fine(text: str) -> None:
    """Exceptions hold, what belongs to customer or shop may be written, and words inside words are none."""
    assert [] == [(one.rule, text[one.offset :][: one.length]) for one in ALL.judge(text, FACTS)]


def test_what_the_conversation_holds_may_be_written() -> None:
    """A number, an address, an order or a link that the customer has named is no stranger's."""
    text = "订单 123456789012345678，电话 13900139000，bob@example.org，https://evil.example/a"
    said = fold("我的单号123456789012345678，打 139-0013-9000 或 Bob@Example.org，看 https://evil.example/a")
    facts = Facts(said=said)
    found = ALL.judge(text, Facts())

    assert {"strange-order", "strange-phone", "strange-email", "foreign-links"} == {one.rule for one in found}
    assert () == ALL.judge(text, facts)
    assert () != ALL.judge(f"{CARD} {IDENTITY}", Facts(said=f"{CARD} {IDENTITY}".lower()))


def test_secrets_are_never_told() -> None:
    """What a finding says holds words of the policy only, never what was recognised."""
    for text in (f"卡{CARD}", IDENTITY, "sk-abcdefghijklmnopqrst", "13900139000", "s3cret-of-the-app"):
        for one in ALL.judge(text, FACTS):
            assert text not in repr(one)
            assert CARD not in one.why


SCOPED = Guard(
    GuardFile(
        rules=(
            Rule(
                name="a", words="alpha", reason={"zh": "甲", "en": "A"}, only=Scope(channels=("shop",)), action="block"
            ),
            Rule(name="b", words="beta", reason="B", only=Scope(kinds=("email",), lanes=("campaign",))),
            Rule(name="c", regex=r"g[a]mma\d+", reason="C", only=Scope(teams=("x",)), excuse_regex=r"gamma7\d"),
            Rule(name="d", words="delta", reason="D", replace="epsilon"),
        )
    )
)


@pytest.mark.parametrize(
    ("facts", "rules"),
    [
        (Facts(channel="shop"), "ad"),
        (Facts(channel="other"), "d"),
        (Facts(kind="email", lane="campaign"), "bd"),
        (Facts(kind="email"), "d"),
        (Facts(team="x"), "cd"),
        (Facts(channel="shop", kind="email", team="x", lane="campaign"), "abcd"),
    ],
)
def test_rules_hold_where_they_apply(facts: Facts, rules: str) -> None:
    """A rule is asked only within its channels, kinds, teams and lanes."""
    found = SCOPED.judge("alpha beta gamma1 gamma71 delta", facts)

    assert list(rules) == [one.rule for one in found]


def test_reasons_come_in_the_language_that_is_asked_for() -> None:
    """A block and a warning say why, in Chinese or English, and what to write instead."""
    chinese, *_, last = SCOPED.judge("alpha delta", Facts(channel="shop"))
    [english, *_] = SCOPED.judge("alpha", Facts(channel="shop", locale="en"))

    assert ("甲：alpha", "block", "guard") == (chinese.why, chinese.weight, chinese.code)
    assert "A: alpha" == english.why
    assert ("epsilon", "warn") == (last.replace, last.weight)


def test_presets_can_be_changed() -> None:
    """A shop may soften a shipped set, leave rules out, add exceptions and say where it applies."""
    use = Use(
        preset="advertising-law",
        action="warn",
        without=("superlatives",),
        excuse="最佳影帝",
        only=Scope(kinds=("email",)),
    )
    guard = Guard(GuardFile(use=(use,)))

    assert [("absolute-terms", "warn")] == [
        (one.rule, one.weight) for one in guard.judge("最佳影帝，最佳口感，绝对好", Facts(kind="email"))
    ]
    assert () == guard.judge("最佳", Facts(kind="wechat"))
    assert all(rule.reason for preset in PRESETS for rule in shipped(preset))
    names = [rule.name for preset in PRESETS for rule in shipped(preset)]
    assert len(names) == len(set(names))


@given(st.text(max_size=400))
def test_any_text_can_be_judged(text: str) -> None:
    """No text upsets the guard, and every finding lies inside its text."""
    for one in ALL.judge(text, FACTS):
        assert 0 <= one.offset < one.offset + one.length <= len(text)


PIECES = [*(hit[0] for hit in HITS), "\ud800", "\u200b", "ﬁ", "İ", "가", "a\u0301", "\U0001f600", "\n", "㎏", "Ⅷ"]


@given(st.lists(st.sampled_from(PIECES), max_size=4))
def test_what_is_found_stays_found_among_other_text(pieces: list[str]) -> None:
    """Whatever stands around it, a word that is forbidden is found at its place."""
    before = "。".join(pieces)
    text = f"{before}。效果最佳。{before}"
    spans = {
        text[one.offset : one.offset + one.length]
        for one in Guard(GuardFile(use=("advertising-law",))).judge(text, Facts())
    }

    assert "最佳" in spans


@given(st.text(max_size=200))
def test_a_traced_text_is_the_folded_one(text: str) -> None:
    """Tracing folds as everything else does, up to what only whole texts compose, and its places lie in order."""
    trace = traced(text)

    assert len(trace.text) == len(trace.starts) == len(trace.ends)
    assert list(trace.starts) == sorted(trace.starts)
    assert all(start < end <= len(text) for start, end in zip(trace.starts, trace.ends, strict=True))
    if not any("\u1100" <= char <= "\u11ff" or "\ua960" <= char <= "\ud7ff" for char in text):
        assert fold(trace.text) == fold(text)


@pytest.mark.parametrize(
    ("number", "right"),
    [("4111111111111111", True), ("4111111111111112", False), (CARD, True), ("0", True), ("18", True), ("19", False)],
)
def test_check_digits_of_cards(number: str, right: bool) -> None:
    """The Luhn digit is right or it is no card."""
    assert luhn(number) is right


@pytest.mark.parametrize(
    ("number", "right"),
    [
        ("11010519491231002x", True),
        ("110105194912310021", False),
        ("440524188001010014", False),
        ("99010519491231002x", False),
        ("11010519491331002x", False),
    ],
)
def test_identity_numbers(number: str, right: bool) -> None:
    """Province, birthday and check character are those of an identity number, or it is none."""
    assert identity(number) is right


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://a.example/x", "a.example"),
        ("a.example:80/x", "a.example"),
        ("http://u:p@a.example", "a.example"),
        ("http://a.example\\@b.example", "a.example"),
        ("http://[::1", ""),
        ("https://a.example.", "a.example"),
    ],
)
def test_where_a_link_leads(link: str, expected: str) -> None:
    """A link leads where a browser would go."""
    assert expected == host(link)


def test_html_is_read_as_people_read_it() -> None:
    """Tags fall away, entities are letters, and the address of a link counts."""
    found = readable('<p>最<b>&#20339;</b></p><a class=x href="https://evil.example/?a=1&amp;b=2">hier</a>')

    assert "最 佳" in found
    assert "https://evil.example/?a=1&b=2" in found


def test_a_text_of_2_kb_takes_no_time() -> None:
    """All shipped rules over 2 kB: about half a millisecond on a quiet machine, so 5 ms are enough for any."""
    text = ("您好，您的订单已经发货，预计明天到达，请注意查收。如有问题请随时联系我们。" * 30)[:700]
    took = []
    for _ in range(30):
        began = time.perf_counter()
        ALL.judge(text, FACTS)
        took.append(time.perf_counter() - began)

    assert len(text.encode()) > 2_000
    assert min(took) < 0.005


@pytest.mark.parametrize(
    "text",
    [
        "1 1" * 20_000,
        "a@" * 30_000,
        "最" * 60_000,
        "加 " * 50_000,
        "a.b." * 20_000,
        "0123456789 " * 9_000,
        "-" * 99_999,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """The time is linear in the text, whatever stands in it."""
    began = time.perf_counter()
    ALL.judge(text, FACTS)

    assert time.perf_counter() - began < 5
