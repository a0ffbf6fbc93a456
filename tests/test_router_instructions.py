"""What agents write, taken apart: commands in both languages, codes, durations, and the words of a mail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.notices import WORDS
from router.instructions import Instruction, own_words, read, span, tags

LINE = f"—— {WORDS['line'][1]} ——"
ENGLISH_LINE = f"—— {WORDS['line'][0]} ——"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("您好，已发货", Instruction("", "您好，已发货")),
        ("第一行\n/note 第二行", Instruction("", "第一行\n/note 第二行")),
        ("/note 大客户\n要发票", Instruction("note", "大客户\n要发票")),
        ("／备注 大客户", Instruction("note", "大客户")),
        ("/备注大客户", Instruction("note", "大客户")),
        ("/转交 售后组", Instruction("assign", "售后组")),
        ("/Assign aftersales", Instruction("assign", "aftersales")),
        ("/resolve\n李雷 售后", Instruction("resolve", "", more="李雷 售后")),
        ("/snooze 2h", Instruction("snooze", "2h")),
        ("/稍后 2小时", Instruction("snooze", "2小时")),
        ("/标签 发票 -退款", Instruction("tag", "发票 -退款")),
        ("/下一个", Instruction("next")),
        ("/状态", Instruction("status")),
        ("/?", Instruction("help")),
        ("#12 您好", Instruction("", "您好", "12")),
        ("＃12：您好", Instruction("", "您好", "12")),
        ("#12 /resolve", Instruction("resolve", "", "12")),
        ("/resolve #12", Instruction("resolve", "", "12")),
        ("12 您好", Instruction("", "12 您好")),
        ("/refund 100", Instruction("unknown", "refund")),
        ("/snoze 2h", Instruction("unknown", "snoze", near="snooze")),
        ("/", Instruction("unknown")),
        ("//x", Instruction("unknown", "/x")),
    ],
)
def test_what_a_text_means(text: str, expected: Instruction) -> None:
    """Commands are known by their first line, words are left as they are, and nothing in between goes out."""
    assert expected == read(text, "/")


@pytest.mark.parametrize(
    ("text", "code", "words"), [("12 您好", "12", "您好"), ("#12您好", "12", "您好"), ("5 件都要", "", "5 件都要")]
)
def test_a_bare_number_names_the_conversation_where_it_may(text: str, code: str, words: str) -> None:
    """By SMS a number of two digits and more in front is the code."""
    assert Instruction("", words, code) == read(text, "/", bare=True)


@given(st.text(max_size=200), st.sampled_from(["/", "!", "::"]))
def test_what_begins_like_a_command_is_never_words(text: str, prefix: str) -> None:
    """Whatever follows the prefix, nothing of it is taken for an answer to the customer."""
    assert read(prefix + text, prefix).name != ""


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        *[("2h", 120), ("30m", 30), ("1d", 1440), ("1h30m", 90), ("2 hours", 120), ("45 min", 45), ("1w", 10080)],
        *[("2小时", 120), ("30分钟", 30), ("１天", 1440), ("半小时", 30), ("1个小时", 60), ("2小时30分钟", 150)],
        *[("", 0), ("明天", 0), ("h", 0), ("90", 0), ("2h later", 0), ("999d", 0), ("0m", 0)],
    ],
)
def test_durations(text: str, minutes: int) -> None:
    """People say how long in either language; what is no duration is none."""
    assert minutes * 60_000 == span(text)


def test_tags_are_added_and_taken_away() -> None:
    """A minus takes away, and any separator will do."""
    assert (["发票", "vip"], ["退款"]) == tags("发票，+vip -退款")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"好的\n\n> {LINE}\n> 张三：在吗", "好的"),
        (f"好的\n\n在 2026年11月20日，service <s@b.cn> 写道：\n> {LINE}\n> 张三", "好的"),
        (f"Sure.\nOn Fri, Nov 20, 2026 at 10:00 Shop <s@b.cn> wrote:\n>> {ENGLISH_LINE}", "Sure."),
        (f"{LINE}\n张三：在吗\n\n写在下面的回复", ""),
        ("好的\n-- \n李雷\n售后组", "好的"),
        ("-- \n只有签名的样子", "-- \n只有签名的样子"),
        ("好的\n\n发自我的iPhone", "好的"),
        ("Sure\n\nSent from my phone", "Sure"),
        ("地址：\n杭州市", "地址：\n杭州市"),
        ("请看：\n\n", "请看："),
    ],
)
def test_only_the_agents_own_words(text: str, words: str) -> None:
    """Nothing of a notice or a signature is left; what an agent wrote is."""
    assert words == own_words(text)


@given(st.text(max_size=300), st.text(max_size=300))
def test_nothing_of_a_notice_ever_gets_through(above: str, below: str) -> None:
    """Whatever a mail program makes of it, what stands below the line is gone."""
    words = own_words(f"{above}\n> {LINE}\n> 13800138000 {below}")

    assert "13800138000" not in words
    assert WORDS["line"][1] not in words or WORDS["line"][1] in above
