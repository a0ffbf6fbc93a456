"""Why a conversation went to somebody: the same facts in English and in Chinese."""

from __future__ import annotations

import re

import pytest

from router.reasons import WORDS, Reason, parsed, sentence, stored

OTHERS = (("b", "full:3/3"), ("c", "skill:law"))
SENTENCES = [
    (Reason("a", "least-busy", load="1/8"), "a has 1/8: the fewest open conversations", "a 现有 1/8：手上会话最少"),
    (Reason("a", "round-robin", load="1/8"), "a has 1/8: it is their turn", "a 现有 1/8：轮到"),
    (Reason("a", "weighted", load="1/8"), "a has 1/8: it is their turn by weight", "a 现有 1/8：按权重轮到"),
    (
        Reason("a", "weighted", "sticky", load="1/8"),
        "a has 1/8: the contact's last agent",
        "a 现有 1/8：该客户上次的客服",
    ),
    (Reason("a", "weighted", "back", load="1/8"), "a has 1/8: the same agent as before", "a 现有 1/8：仍由原客服接待"),
    (Reason("a", "weighted", "language:en", load="1/8"), "a has 1/8: speaks en", "a 现有 1/8：会说 en"),
    (
        Reason("a", "least-busy", waited=61_000, load="1/8", others=OTHERS, more=2),
        "a has 1/8: the fewest open conversations; waited 61 s; b is full (3/3); c lacks the skill law; and 2 others",
        "a 现有 1/8：手上会话最少；等候 61 秒；b 已满（3/3）；c 没有技能 law；另有 2 人",
    ),
    (
        Reason("", others=(("d", "shift"),)),
        "nobody can have it now; d is off duty",
        "目前没有人能接；d 不在班",
    ),
    (
        Reason("", others=(("b", "away"), ("c", "offline"), ("d", "language:en"), ("e", "silent"), ("f", "room:1/2"))),
        "nobody can have it now; b is away; c is offline; d does not speak en; e left it unanswered; f had room (1/2)",
        "目前没有人能接；b 暂离；c 离线；d 不会说 en；e 之前没有回复；f 有空位（1/2）",
    ),
]


@pytest.mark.parametrize(("reason", "english", "chinese"), SENTENCES)
def test_sentences(reason: Reason, english: str, chinese: str) -> None:
    """Each way to be chosen, and each not to be, has its words in both languages."""
    assert (english, chinese) == (sentence(reason, "en"), sentence(reason, "zh-CN"))


def test_both_languages_have_the_same_words() -> None:
    """Nothing is said in one language only."""
    holes = {name: sorted(re.findall(r"\{\w+\}", text)) for name, text in WORDS["en"].items()}

    assert holes == {name: sorted(re.findall(r"\{\w+\}", text)) for name, text in WORDS["zh"].items()}


@pytest.mark.parametrize("others", ["{}", "[]", '[["b","away"]]'])
def test_what_the_script_writes_is_read(others: str) -> None:
    """Lua knows no empty list; it writes an empty map instead."""
    reason = parsed(
        f'{{"agent":"a","strategy":"least-busy","how":"","waited":1500,"load":"1/2","others":{others},"more":0}}'
    )

    assert reason is not None
    assert (1.5, len(reason.others)) == (stored(reason)["waited_seconds"], "away" in others)
    assert parsed("") is None
