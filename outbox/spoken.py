"""What a customer's own words answer to a question: 5, ５, 五分, 非常满意, "very satisfied". Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from config.folding import fold
from config.phrases import Phrase
from config.questions import LONGEST_TEXT, Question
from outbox.responses import Value

ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMERALS = {
    **{str(number): number for number in range(11)},
    **{sign: number for number, sign in enumerate("零一二三四五六七八九十")},
    **{word: number for number, word in enumerate(ENGLISH)},
    "〇": 0,
    "两": 2,
}
YES = frozenset(
    {
        "是",
        "是的",
        "对",
        "对的",
        "嗯",
        "嗯嗯",
        "有",
        "有的",
        "好",
        "好的",
        "可以",
        "解决了",
        "已解决",
        "愿意",
        "yes",
        "y",
        "yeah",
        "yep",
        "sure",
        "true",
    }
)
NO = frozenset(
    {
        "否",
        "不",
        "不是",
        "没",
        "没有",
        "没有解决",
        "未解决",
        "没解决",
        "不可以",
        "不愿意",
        "不用",
        "no",
        "n",
        "nope",
        "not",
        "false",
    }
)
SKIP = frozenset(
    {
        "跳过",
        "略过",
        "无",
        "没有",
        "没了",
        "不了",
        "不用了",
        "算了",
        "skip",
        "no",
        "none",
        "nothing",
        "nope",
        "no thanks",
    }
)
# Other words for the five degrees of the usual scale of satisfaction.
DEGREES: Mapping[int, frozenset[str]] = {
    5: frozenset(
        {"很满意", "十分满意", "特别满意", "超级满意", "完全满意", "好评", "很好", "非常好", "excellent", "great"}
    ),
    4: frozenset({"比较满意", "挺满意", "还不错", "不错", "good"}),
    3: frozenset({"还行", "还可以", "凑合", "中等", "so so", "average"}),
    2: frozenset({"不太满意", "不怎么满意", "不好", "unsatisfied", "bad"}),
    1: frozenset({"很不满意", "特别不满意", "十分不满意", "差评", "很差", "非常差", "terrible", "very bad"}),
}
COMMENT_AFTER = "，,。.；;：:！!、\n"

_EDGES = " \t\r\n.。,，!！~～、;；:：…\"'“”‘’（）()[]【】"
_NUMBER = "|".join(sorted(map(re.escape, NUMERALS), key=len, reverse=True))
_SCORE = re.compile(rf"(?:打|给|选|评)?\s*({_NUMBER})\s*(?:(?:/|／)\s*\d+|分|星|颗星|points?|stars?|pts?)?", re.ASCII)
_BEGINS = re.compile(rf"\s*(?:打|给)?\s*({_NUMBER})\s*(?:分|星|points?|stars?)?\s*(?=[{COMMENT_AFTER}])", re.ASCII)
_STARS = re.compile(r"(?:⭐|★|🌟)+")
_BETWEEN = re.compile(r"[\s,，、;；/和]+")


def heard(question: Question, text: str) -> Value | None:
    """Return what *text* and nothing beside it answers to *question*, None if it is no answer."""
    if question.kind == "text":
        return text.strip()[:LONGEST_TEXT] or None
    said = plain(text)
    if not said:
        return None
    match question.kind:
        case "score":
            return _score(question, said)
        case "yes_no":
            return _labelled(question, said) or (
                "yes" if said in YES else "no" if said in NO else _placed(question, said)
            )
        case "choice":
            return _labelled(question, said) or _placed(question, said)
        case _:
            return _several(question, said)


def heard_with_comment(question: Question, text: str) -> tuple[Value, str] | None:
    """Return a score and the comment behind it, as in "2分，等太久了"; None if *text* is nothing like that."""
    if question.kind != "score":
        return None
    found = _BEGINS.match(fold(text))
    if found is None:
        return None
    value = NUMERALS[found[1]]
    rest = re.sub(rf"^[^{COMMENT_AFTER}]*[{COMMENT_AFTER}]+", "", text, count=1).strip()
    return (value, rest[:LONGEST_TEXT]) if question.min <= value <= question.max and rest else None


def skips(text: str) -> bool:
    """Tell whether *text* declines to answer a question that need not be answered."""
    return plain(text) in SKIP


def plain(text: str) -> str:
    """Return *text* as words are compared: folded, without spaces and punctuation around."""
    return " ".join(fold(text).strip(_EDGES).split())


def words(question: Question) -> Iterator[tuple[str, str]]:
    """Yield (folded word, value) of every label in every language, and of every further word."""
    for value, label in question.labels.items():
        for text in _texts(label):
            yield plain(text), value
    for value, several in question.words.items():
        for text in several:
            yield plain(text), value


def _texts(label: Phrase) -> Iterator[str]:
    for parts in label.texts.values():
        yield "".join(part for part in parts if isinstance(part, str))


def _labelled(question: Question, said: str) -> str | None:
    return next((value for word, value in words(question) if word == said), None) or (
        said if said in question.values() else None
    )


def _placed(question: Question, said: str) -> str | None:
    """Return the value that stands at the place *said*, counted from 1."""
    values = question.values()
    number = NUMERALS.get(said, int(said) if said.isascii() and said.isdigit() and len(said) < 3 else 0)
    return values[number - 1] if 1 <= number <= len(values) else None


def _score(question: Question, said: str) -> int | None:
    labelled = next((value for word, value in words(question) if word == said), None)
    if labelled is not None:
        return int(labelled)
    if (question.min, question.max) == (1, 5):
        degree = next((score for score, several in DEGREES.items() if said in several), None)
        if degree is not None:
            return degree
    if _STARS.fullmatch(said):
        number = len(said)
    else:
        # "5 非常满意": the number with its own label, as it was printed
        for word, value in words(question):
            if word and said.endswith(word) and said[: -len(word)].strip(_EDGES) == value:
                return int(value)
        found = _SCORE.fullmatch(said)
        if found is None:
            return None
        number = NUMERALS[found[1]]
    return number if question.min <= number <= question.max else None


def _several(question: Question, said: str) -> tuple[str, ...] | None:
    one = _labelled(question, said)
    if one is not None:
        return (one,)
    found = [_labelled(question, part) or _placed(question, part) for part in _BETWEEN.split(said) if part]
    if not found or None in found:
        return None
    chosen = {value for value in found if value is not None}
    return tuple(value for value in question.values() if value in chosen)
