"""What a question measures: satisfaction, recommendation, effort, a mean, shares of choices; each with a definition.

Pure. A `Measure` is all that reports know of a question; answers are counted per value, and every score is computed
from such counts alone, so that counts of groups can be added up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from config.phrases import Phrase
from config.questions import Question
from config.surveys import Survey
from inbox.estimates import Estimate, mean, net, share
from inbox.report import Definition, Unit
from outbox.responses import Value

Method = Literal["csat", "nps", "ces", "mean", "choice", "choices", "yes_no", "text"]
SCORED = frozenset({"csat", "nps", "ces", "mean"})
CHOSEN = frozenset({"choice", "choices", "yes_no"})
PROMOTER, PASSIVE = 9, 7
SATISFIED = 4
"""Of a scale up to 5; on other scales the same part of it counts as satisfied."""
YES_NO = {"zh": {"yes": "是", "no": "否"}, "en": {"yes": "Yes", "no": "No"}}

Counts = Mapping[int | str, int]


class Measure(msgspec.Struct, frozen=True):
    """A question as reports see it: its *title* and *labels* in one language, and how its answers become a score.

    *good* is the least value that counts as satisfied (csat), easy (ces), or promoter (nps).
    """

    id: str
    title: str
    method: Method
    low: int = 0
    high: int = 0
    good: int = 0
    labels: Mapping[str, str] = {}

    @property
    def scored(self) -> bool:
        return self.method in SCORED

    @property
    def unit(self) -> Unit:
        return "share" if self.method == "csat" else "points" if self.method == "nps" else "mean"

    def score(self, counts: Counts, population: int = 0, level: float = 0.95) -> Estimate:
        """Return the score of the answers counted by value."""
        answers = {value: number for value, number in counts.items() if isinstance(value, int)}
        n = sum(answers.values())
        match self.method:
            case "csat":
                return share(
                    sum(number for value, number in answers.items() if value >= self.good), n, population, level
                )
            case "nps":
                promoters = sum(number for value, number in answers.items() if value >= PROMOTER)
                passives = sum(number for value, number in answers.items() if PASSIVE <= value < PROMOTER)
                return net(promoters, passives, n - promoters - passives, population, level)
            case _:
                return mean(answers, population, level)

    def average(self, counts: Counts, population: int = 0, level: float = 0.95) -> Estimate:
        """Return the mean of the answers, whatever the score is."""
        return mean({value: number for value, number in counts.items() if isinstance(value, int)}, population, level)

    def side(self, value: Value | None) -> str:
        """Tell whether an answer is "good" (satisfied, promoter, easy), "bad" (the opposite), or "" in between."""
        if not isinstance(value, int):
            return ""
        if self.method == "nps":
            return "good" if value >= PROMOTER else "bad" if value < PASSIVE else ""
        if value >= self.good:
            return "good"
        return "bad" if value <= self.low + self.high - self.good else ""

    def definition(self) -> Definition:
        """Return how the score is defined, for the wording."""
        values = {"question": self.title, "low": str(self.low), "high": str(self.high), "good": str(self.good)}
        return Definition(f"score_{self.method}", values)


def measures(survey: Survey, language: str, satisfied: int = SATISFIED) -> tuple[Measure, ...]:
    """Return the questions of a survey as reports see them; *satisfied*: from which answer of 5 a customer is."""
    main = survey.main
    found = []
    for each in survey.questions:
        method = _method(each, survey.kind if each is main else "custom")
        labels = {value: worded(text, language) for value, text in each.labels.items()}
        if each.kind == "yes_no":
            labels = {**YES_NO["zh" if language.startswith("zh") else "en"], **labels}
        scored = method in SCORED
        found.append(
            Measure(
                each.id,
                worded(each.text, language),
                method,
                each.min if scored else 0,
                each.max if scored else 0,
                least(method, each.max, satisfied) if scored else 0,
                labels,
            )
        )
    return tuple(found)


def least(method: str, high: int, satisfied: int = SATISFIED) -> int:
    """Return the least value of a scale up to *high* that counts as good: 9 of 10, 4 of 5, 5 of 7 (easy)."""
    if method == "nps":
        return PROMOTER
    if method == "ces":
        return high // 2 + 2
    return min(high, math.ceil(high * satisfied / 5))


def _method(question: Question, kind: str) -> Method:
    if question.kind != "score":
        return question.kind
    if kind in ("csat", "nps", "ces"):
        return kind  # type: ignore[return-value]  # one of the three
    return "csat" if (question.min, question.max) == (1, 5) else "mean"


def worded(phrase: Phrase, language: str) -> str:
    """Return a text in *language*, else in the one that comes first."""
    return phrase.said(language, {})
