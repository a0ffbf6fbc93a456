"""How a customer seems to feel: words, what changes them, and an explanation. Pure.

A layered lexicon (`sentiment.txt`) for Chinese, with a little English. Neutral is the answer unless the words say
otherwise. The score is advisory: good enough to put an angry message first, not to refuse or to promise anything.
`tests/test_router_sentiment.py` measures it on sentences that were labelled before it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import re2
from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from config.folding import fold
from router.text import plain

LABELS = ("negative", "neutral", "positive")
NEGATIVE, POSITIVE = -0.35, 0.4  # scores from which on a text is called so
REACH = 8  # characters behind a negation that it turns round
STEP = 3  # characters behind a word like 很 that it strengthens
LOOKED_AT = 2_000  # characters of the text; who is angry says so early
MEMORY = 64 << 20  # bytes that RE2 may use for all patterns together; it finds nothing when they do not suffice
SAID = 8  # words that an explanation names
# How much of a word is left in a question that is no rhetorical one.
ASKED = {"insult": 0.8, "feeling": 0.4, "emoji": 1.0, "smile": 1.0, "pattern": 1.0, "thanks": 1.0}
ASKED_ELSE = 0.2
# A fault that is denied says little, praise that is denied says much.
DENIED = {"praise": -0.8, "thanks": -0.4}
DENIED_ELSE = -0.6
WORDS = frozenset({"insult", "threat", "feeling", "fault", "praise", "thanks", "emoji", "smile"})

_CLAUSES = re.compile(r"[,，。.！!？?；;\n~～、…]+|\s{2,}")
_ASKS = re.compile(
    r"[?]|[吗么嘛没不]$|呢$|(.)[不没]\1|请问|怎么(?:样|用|办|退|换|补|申请|联系|查|开|改|取消|操作|赔|弄|找|辨|区分|处理|才能)|如何|多久|多少"
    r"|几(?:天|个|点|号|时)|什么(?:时候|意思|快递|码|区别|颜色)|哪(?:里|儿|个|些|款)|能否|可否|是否|能不能|可不可以"
    r"|^(?:how|what|when|where|which|who|can|could|do|does|is|are|will|would|may)\b"
)
_EITHER = re.compile(r"(.)[不没]\1")  # 好不好, 有没有: the words of a question, not of an opinion
_LOUD = re.compile(r"[!！]{2,}|[?？][!！]|[!！][?？]|[?？]{2,}")
_REPEATED = re.compile(r"([^!,，\s]{2})[!,，\s]*\1")


@dataclass(frozen=True, slots=True)
class Found:
    """A word or pattern in the text that says something: its score, and what changed it, such as "太 ×1.4"."""

    word: str
    score: float
    by: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.word} {self.score:+.2f}" + (f" ({', '.join(self.by)})" if self.by else "")


@dataclass(frozen=True, slots=True)
class Sentiment:
    """*label* is negative, neutral or positive; *score* runs from -1 to 1; *because* says which words made it."""

    label: str
    score: float
    because: tuple[Found, ...] = ()

    def shown(self) -> dict[str, Any]:
        """Return it as JSON values, for explanations."""
        return {"label": self.label, "score": self.score, "because": [str(each) for each in self.because[:SAID]]}


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    weight: float


@dataclass(frozen=True, slots=True)
class _Hit:
    start: int
    end: int
    word: str
    entry: _Entry


class _Lexicon:
    """The words and patterns of the data file, ready to be looked for."""

    def __init__(self, source: str) -> None:
        self.entries: dict[str, _Entry] = {}
        self.patterns: list[tuple[Any, _Entry]] = []
        entry = _Entry("plain", 0.0)
        for line in source.splitlines():
            if header := re.fullmatch(r"\[([a-z]+\??) (-?[0-9.]+)\]", line):
                entry = _Entry(header[1], float(header[2]))
            elif not line or line.startswith("#"):
                continue
            elif entry.kind.startswith("pattern"):
                self.patterns.append((re2.compile(line), entry))
            else:
                self.entries.update((word, entry) for word in map(fold, line.split()))
        # Most patterns are not in most texts: one pass over the text tells which are.
        options = re2.Options()
        options.max_mem = MEMORY
        self.present = re2.Set.SearchSet(options)
        for pattern, _ in self.patterns:
            self.present.Add(pattern.pattern)
        self.present.Compile()
        self.words = list(self.entries)
        self.automaton = AhoCorasick(
            self.words, matchkind=MatchKind.LeftmostLongest, implementation=Implementation.ContiguousNFA
        )

    def hits(self, text: str) -> list[_Hit]:
        """Return what is in *text*, in order; what lies inside a pattern's match belongs to the pattern."""
        either = [match.span() for match in _EITHER.finditer(text)]
        found = [
            _Hit(match.start(), match.end(), match.group(0), entry)
            for pattern, entry in (self.patterns[number] for number in sorted(self.present.Match(text) or ()))
            for match in pattern.finditer(text)
            if not _within(match.span(), either)
        ]
        taken = [*either, *((each.start, each.end) for each in found)]
        for number, start, end in self.automaton.find_matches_as_indexes(text):
            if not _within((start, end), taken) and _stands_alone(text, start, end):
                word = self.words[number]
                found.append(_Hit(start, end, word, self.entries[word]))
        return sorted(found, key=lambda hit: (hit.start, hit.end))


@cache
def _lexicon() -> _Lexicon:
    return _Lexicon(Path(__file__).with_name("sentiment.txt").read_text(encoding="utf-8"))


def sentiment(text: str) -> Sentiment:
    """Say how the customer who wrote *text* seems to feel."""
    folded = plain(text[:LOOKED_AT])
    if not folded:
        return Sentiment("neutral", 0.0)
    hits = _lexicon().hits(folded)
    found: list[Found] = []
    for start, end in _clauses(folded):
        inside = [hit for hit in hits if start <= hit.start < end]
        if any(hit.entry.kind == "turn" for hit in inside):
            found = [_halved(each) if each.score > 0 else each for each in found]
        found += _clause(folded[start:end], inside)
    found += _tone(folded, found)
    score = _total(found)
    label = "negative" if score <= NEGATIVE else "positive" if score >= POSITIVE else "neutral"
    said = sorted((each for each in found if each.score), key=lambda each: -abs(each.score))
    return Sentiment(label, score, tuple(said))


def _halved(found: Found) -> Found:
    """Return what stood before a "but": people say it to be polite."""
    return replace(found, score=found.score * 0.5, by=(*found.by, "… ×0.5"))


def _total(found: Sequence[Found]) -> float:
    """Add up, from -1 to 1. What is wrong outweighs what is right: nobody thanks for a broken cup."""
    bad = sum(each.score for each in found if each.score < 0)
    good = sum(each.score for each in found if each.score > 0)
    total = bad + (good * 0.6 if bad <= NEGATIVE else good)
    return round(max(-1.0, min(1.0, total)), 2)


def _clauses(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the clauses of *text* begin and end; the sign at the end of a clause belongs to it."""
    ends = [match.end() for match in _CLAUSES.finditer(text)]
    for start, end in pairwise([0, *ends, len(text)]):
        if start < end:
            yield start, end


def _clause(clause: str, hits: Sequence[_Hit]) -> Iterator[Found]:
    """Yield what the words of one clause say, with what stands before them taken into account."""
    body = _CLAUSES.sub(lambda sign: "?" if "?" in sign[0] or "？" in sign[0] else "", clause)
    loud = _LOUD.search(clause) is not None
    asks = (_ASKS.search(body.rstrip("啊呀哦哈")) is not None and not loud) or any(
        hit.entry.kind == "maybe" for hit in hits
    )
    for index, hit in enumerate(hits):
        kind, score = hit.entry.kind, hit.entry.weight
        if kind.startswith("pattern"):
            factor = ASKED_ELSE if asks and kind == "pattern?" else 1.0
            yield Found(hit.word, score * factor, ("? ×0.2",) if factor < 1 else ())
        elif kind in WORDS:
            score, by = _changed(hit, hits[:index])
            if asks:
                factor = ASKED.get(kind, ASKED_ELSE)
                score, by = score * factor, (*by, f"? ×{factor}")
            yield Found(hit.word, round(score, 2), by)


def _changed(hit: _Hit, before: Sequence[_Hit]) -> tuple[float, tuple[str, ...]]:
    """Return the score of *hit* after the negations and degrees *before* it, and what those were."""
    score, by = hit.entry.weight, []
    behind, negations = hit.start, 0
    for other in reversed(before):
        kind = other.entry.kind
        gap = behind - other.end
        if kind in WORDS or kind.startswith("pattern"):
            break
        if kind in ("more", "less") and gap <= STEP:
            # 不是很满意 is less than 不满意: a degree between negation and word softens.
            score *= other.entry.weight
            by.append(f"{other.word} ×{other.entry.weight}")
            behind = other.start
        elif kind == "not" and hit.start - other.end <= REACH:
            negations += 1
            by.append(f"{other.word} ×−1")
            behind = other.start
    if negations % 2:
        score *= DENIED.get(hit.entry.kind, DENIED_ELSE)
    return score, tuple(reversed(by))


def _tone(text: str, found: Iterable[Found]) -> Iterator[Found]:
    """Yield what exclamation marks and repetition add to what was said."""
    total = sum(each.score for each in found)
    loud = _LOUD.search(text)
    if loud is None:
        return
    if total < 0:
        yield Found(loud[0], round(total * 0.3, 2))
    elif total == 0 and _REPEATED.search(text):
        yield Found(loud[0], -0.5)


def _within(span: tuple[int, int], spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in spans)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Tell whether a word of Latin letters is a whole word there; Chinese has no such edges."""
    if not (text[start].isascii() and text[start].isalnum()):
        return True
    before = start == 0 or not (text[start - 1].isascii() and text[start - 1].isalnum())
    return before and (end == len(text) or not (text[end].isascii() and text[end].isalnum()))
