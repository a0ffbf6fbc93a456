"""What customers write about in open answers: the words that set the satisfied and the others apart. Pure.

Chinese is written without spaces, so words are found in the answers themselves: runs of two to four characters that
hold together (their parts occur together far more often than by chance), that stand free (different characters before
and behind them), and that are no mere part of a longer one. English words and pairs of words are taken as they are.
Which side a word belongs to is told by its log odds with a prior out of all answers (Monroe, Colaresi and Quinn 2008,
"Fightin' Words", formula 16 to 22): rare words do not win by chance.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from config.folding import fold
from inbox.report import Keyword, Keywords
from outbox.masking import MASK, masked

MOST_READ = 20_000
"""Answers that are read; of more a sample by a fixed seed."""
LONGEST = 400
SHOWN = 12
LEAST = 3
"""A word is in so many answers at least."""
LONGEST_WORD = 4
HOLDS = 1.6
"""Least pointwise mutual information (natural logarithm) between the parts of a Chinese word."""
FREE = 0.7
"""Least entropy (natural logarithm) of what stands before and behind it; 0.69 = two neighbours, equally often."""
PART = 0.8
"""A word is only part of a longer one that has at least this share of its answers."""
SIGNIFICANT = 1.65
"""A word belongs to a side from this z on: one-sided 95 %."""
PRIOR = 0.5
EXAMPLE = 120
EDGE = ""

_CHINESE = re.compile(r"[\u4e00-\u9fff]+")
_LATIN = re.compile(r"[a-z][a-z']{1,24}")
_PIECES = re.compile(r"[\u4e00-\u9fff]+|[a-z][a-z']{1,24}|[^\u4e00-\u9fffa-z]+")


@dataclass(slots=True)
class Texts:
    """Open answers to one question, with the side of whoever wrote each: a sample of a fixed size that is fair.

    *seed* makes it the same every time.
    """

    about: str
    seed: int = 1
    answers: int = 0
    kept: list[tuple[str, str]] = field(default_factory=list)
    _chance: random.Random | None = None

    def add(self, text: str, side: str) -> None:
        """Take an answer in; of more than `MOST_READ` each has the same chance to be kept (Vitter's algorithm R)."""
        text = text[:LONGEST].strip()
        if not text:
            return
        self.answers += 1
        if len(self.kept) < MOST_READ:
            self.kept.append((text, side))
            return
        if self._chance is None:
            self._chance = random.Random(self.seed)  # noqa: S311  # a sample, no secret
        place = self._chance.randrange(self.answers)
        if place < MOST_READ:
            self.kept[place] = (text, side)

    def keywords(self, *, quotes: bool = False, least: int = LEAST) -> Keywords:
        """Return the words that matter most, the most telling of each side first; *quotes* adds an example to each.

        A word is in *least* answers or more.
        """
        cleaned = [(fold(masked(text)), side) for text, side in self.kept]
        found = words(text for text, _ in cleaned)
        found = [(word, places) for word, places in found if len(places) >= max(LEAST, least)]
        ranked = _ranked(found, [side for _, side in cleaned])
        if quotes:
            ranked = [self._quoted(one, found) for one in ranked]
        return Keywords(self.about, self.answers, len(self.kept), tuple(ranked))

    def _quoted(self, one: Keyword, found: Sequence[tuple[str, Sequence[int]]]) -> Keyword:
        places = next(places for word, places in found if word == one.word)
        fitting = [place for place in places if not one.side or self.kept[place][1] == one.side] or places
        texts = [masked(self.kept[place][0]).replace("\n", " ") for place in fitting]
        # The middle one by length says more than the shortest and reads better than the longest.
        text = sorted(texts, key=len)[len(texts) // 2]
        start = max(0, fold(text).find(one.word) - EXAMPLE // 2) if len(text) > EXAMPLE else 0
        cut = text[start : start + EXAMPLE]
        example = ("…" if start else "") + cut + ("…" if start + EXAMPLE < len(text) else "")
        return Keyword(one.word, one.good, one.bad, one.all, one.score, one.side, example)


def words(texts: Iterable[str]) -> list[tuple[str, list[int]]]:
    """Return the words of folded *texts* with the places of the texts in which each is."""
    chinese: dict[str, list[int]] = defaultdict(list)
    latin: dict[str, list[int]] = defaultdict(list)
    counts: Counter[str] = Counter()
    before: dict[str, Counter[str]] = defaultdict(Counter)
    behind: dict[str, Counter[str]] = defaultdict(Counter)
    total = 0
    kept = list(texts)
    frequent = _frequent(kept)
    for place, text in enumerate(kept):
        seen: set[str] = set()
        for run in _CHINESE.findall(text):
            total += len(run)
            counts.update(run)
            for word, left, right in _grams(run):
                if word not in frequent:
                    continue
                counts[word] += 1
                before[word][left] += 1
                behind[word][right] += 1
                seen.add(word)
        for word in seen:
            chinese[word].append(place)
        for word in set(_english(text)):
            latin[word].append(place)
    stop = stopwords()
    whole = {
        word: places
        for word, places in chinese.items()
        if not _stopped(word, stop)
        and _holds(word, counts, total) >= HOLDS
        and min(_entropy(before[word]), _entropy(behind[word])) >= FREE
    }
    return [*_longest(whole), *_pairs(latin)]


def _frequent(texts: Sequence[str]) -> set[str]:
    """Return the runs that are in `LEAST` texts or more, a length at a time: a longer one holds only such parts."""
    frequent: set[str] = set()
    for length in range(2, LONGEST_WORD + 1):
        found: Counter[str] = Counter()
        for text in texts:
            runs = set()
            for run in _CHINESE.findall(text):
                for start in range(len(run) - length + 1):
                    word = run[start : start + length]
                    if length == 2 or (word[:-1] in frequent and word[1:] in frequent):
                        runs.add(word)
            found.update(runs)
        frequent.update(word for word, number in found.items() if number >= LEAST)
    return frequent


def _grams(run: str) -> Iterator[tuple[str, str, str]]:
    """Yield every run of two to four characters with what stands before and behind it."""
    for start in range(len(run)):
        for end in range(start + 2, min(len(run), start + LONGEST_WORD) + 1):
            yield run[start:end], run[start - 1] if start else EDGE, run[end] if end < len(run) else EDGE


def _english(text: str) -> Iterator[str]:
    """Yield the words and pairs of words of a text that mean something."""
    stop = stopwords()
    last = ""
    for piece in _PIECES.findall(text):
        if _LATIN.fullmatch(piece):
            if piece not in stop:
                yield piece
                if last:
                    yield f"{last} {piece}"
            last = "" if piece in stop else piece
        elif piece.strip():
            last = ""


def _stopped(word: str, stop: frozenset[str]) -> bool:
    """Tell whether a Chinese run says nothing: it is such a word, or begins or ends with a character that is one."""
    return word in stop or word[0] in stop or word[-1] in stop


def _holds(word: str, counts: Mapping[str, int], total: int) -> float:
    """Return how much more often than by chance the parts of a word stand together, where it is weakest."""
    return min(
        math.log(counts[word] * total / (counts[word[:cut]] * counts[word[cut:]]))
        for cut in range(1, len(word))
        if counts[word[:cut]] and counts[word[cut:]]
    )


def _entropy(neighbours: Counter[str]) -> float:
    """Return how freely a word stands on one side; each edge of the text counts as a neighbour of its own."""
    total = sum(neighbours.values())
    edges = neighbours[EDGE]
    inner = sum(number * math.log(total / number) for word, number in neighbours.items() if word != EDGE)
    return (inner + edges * math.log(total)) / total


def _longest(found: Mapping[str, list[int]]) -> Iterator[tuple[str, list[int]]]:
    """Yield words without those that are only part of a longer one."""
    covered: Counter[str] = Counter()
    for word, places in found.items():
        for start in range(len(word)):
            for end in range(start + 2, len(word) + 1):
                part = word[start:end]
                if part != word and part in found:
                    covered[part] = max(covered[part], len(places))
    for word, places in found.items():
        if covered[word] < PART * len(places):
            yield word, places


def _pairs(found: Mapping[str, list[int]]) -> Iterator[tuple[str, list[int]]]:
    """Yield English words and pairs; a word that is hardly ever without the same other one gives way to the pair."""
    covered: Counter[str] = Counter()
    for word, places in found.items():
        for part in word.split(" ") if " " in word else ():
            covered[part] = max(covered[part], len(places))
    for word, places in found.items():
        if len(places) >= LEAST and (" " in word or covered[word] < PART * len(places)):
            yield word, places


def _ranked(found: Sequence[tuple[str, Sequence[int]]], sides: Sequence[str]) -> list[Keyword]:
    """Return the words by how much they tell of a side, then by how often they are there."""
    sizes = Counter(sides)
    total = len(sides)
    items = []
    for word, places in found:
        by_side = Counter(sides[place] for place in places)
        score = log_odds(by_side["good"], sizes["good"], by_side["bad"], sizes["bad"], len(places), total)
        side = "good" if score >= SIGNIFICANT else "bad" if score <= -SIGNIFICANT else ""
        items.append(Keyword(word, by_side["good"], by_side["bad"], len(places), round(score, 4), side))
    good = sorted((one for one in items if one.side == "good"), key=lambda one: (-one.score, -one.all, one.word))
    bad = sorted((one for one in items if one.side == "bad"), key=lambda one: (one.score, -one.all, one.word))
    rest = sorted((one for one in items if not one.side), key=lambda one: (-one.all, one.word))
    return [*bad[:SHOWN], *good[:SHOWN], *rest[:SHOWN]]


def log_odds(good: int, good_size: int, bad: int, bad_size: int, all_: int, total: int) -> float:
    """Return the z score of the log odds of a word between two sides, 0 if one of them has written nothing.

    The counts are of answers that hold the word. The prior is worth `PRIOR` of all answers, spread as in all of them.
    """
    if not good_size or not bad_size or not total:
        return 0.0
    prior = PRIOR * all_ / total * min(good_size, bad_size)
    rest = PRIOR * (1 - all_ / total) * min(good_size, bad_size)
    if not prior or not rest:
        return 0.0
    one = math.log((good + prior) / (good_size - good + rest))
    other = math.log((bad + prior) / (bad_size - bad + rest))
    return (one - other) / math.sqrt(1 / (good + prior) + 1 / (bad + prior))


@cache
def stopwords() -> frozenset[str]:
    """Return the words, and single Chinese characters, that say nothing about a shop."""
    text = (Path(__file__).parent / "stopwords.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset({word for line in lines for word in fold(line).split()} | {fold(MASK)})
