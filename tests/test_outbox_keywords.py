"""The words that set the satisfied and the others apart are found without a dictionary."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import keywords
from outbox.keywords import Texts, log_odds, words
from tests.filing import BAD, GOOD


def written(count: int) -> Texts:
    """Return answers of both sides in a fixed order."""
    chance = random.Random(5)
    texts = Texts("为什么？")
    for _ in range(count):
        texts.add(chance.choice(GOOD) + chance.choice(("", "！", "。谢谢")), "good")
        texts.add(chance.choice(BAD) + chance.choice(("", "！", "。差评")), "bad")
    return texts


def test_each_side_has_its_words() -> None:
    """Complaints are about refunds, praise about service; what both say belongs to none."""
    found = {one.word: one.side for one in written(80).keywords().items}

    assert ("bad", "good") == (found["退款"], found["friendly service"])
    assert not {"的", "了", "and", "很"} & found.keys()
    assert "good" == next(side for word, side in found.items() if "耐心" in word)


def test_examples_hold_no_personal_data() -> None:
    """A quote shows the word in an answer of its side, with numbers blacked out; without being asked there is none."""
    quoted = written(80).keywords(quotes=True).items

    assert all(one.word in one.example.lower() for one in quoted)
    assert not any("13812345678" in one.example for one in quoted)
    assert {""} == {one.example for one in written(20).keywords().items}


def test_rare_words_do_not_win() -> None:
    """A word of one answer is no finding, and a small group's words are not told."""
    texts = Texts("")
    for _ in range(4):
        texts.add("包装破损严重", "bad")

    assert () == texts.keywords(least=5).items


def test_parts_of_words_are_left_out() -> None:
    """包装破损 is one word where 包装 is hardly ever written without it."""
    found = dict(words([f"包装破损{end}" for end in "了啊呢吧的"] * 2))

    assert ["包装破损"] == list(found)


@pytest.mark.parametrize(("good", "bad", "sign"), [(40, 5, 1), (5, 40, -1), (20, 20, 0), (0, 0, 0)])
def test_log_odds_tell_the_side(good: int, bad: int, sign: int) -> None:
    """The sign is that of the side that says it more often; alike is zero, and so is nothing."""
    score = log_odds(good, 100, bad, 100, good + bad, 200)

    assert (score > 1, score < -1) == (sign > 0, sign < 0)
    assert score == pytest.approx(-log_odds(bad, 100, good, 100, good + bad, 200))


def test_of_too_many_answers_a_fair_sample_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, every answer has the same chance, and the same answers give the same words."""
    monkeypatch.setattr(keywords, "MOST_READ", 50)
    first, second = written(500), written(500)
    late = sum(1 for text, _ in first.kept if text)

    assert (1000, 50, 50) == (first.answers, len(first.kept), late)
    assert first.keywords() == second.keywords()


@given(st.lists(st.text(max_size=60), max_size=40))
def test_any_text_can_be_read(texts: list[str]) -> None:
    """Whatever customers write, words come out of it and nothing else happens."""
    kept = Texts("")
    for number, text in enumerate(texts):
        kept.add(text, ("good", "bad", "")[number % 3])

    assert all(one.all >= keywords.LEAST for one in kept.keywords().items)
