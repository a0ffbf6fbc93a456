"""The questions of a survey as admins write them, and the usual ones of the kinds that everybody knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from config.faults import Wrong, listed, nearest
from config.phrases import Phrase
from config.values import Section

END = "end"
MOST_QUESTIONS = 40
MOST_CHOICES = 30
LONGEST_SCALE = 11
LONGEST_TEXT = 2000

_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", re.ASCII)

QuestionKind = Literal["score", "choice", "choices", "text", "yes_no"]


def _word(value: str) -> str:
    if not _WORD.fullmatch(value) or value == END:
        raise Wrong(
            "{value} cannot be the id of a question", expected=f"small letters, digits and _, a letter first, not {END}"
        )
    return value


def _value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise Wrong("{value} cannot be a value", expected="1 to 40 letters, digits, - and _")
    return value


Word = Annotated[str, AfterValidator(_word)]
Value = Annotated[str, AfterValidator(_value)]


class Branch(Section):
    """Where to go on when an answer is such."""

    below: int | None = None
    """A score less than this."""
    above: int | None = None
    """A score more than this."""
    any_of: tuple[Value, ...] = ()
    """One of these values was chosen; of a yes_no question `yes` or `no`."""
    to: str
    """Id of a later question, or `end`."""

    @model_validator(mode="after")
    def _says_when(self) -> Branch:
        if self.below is None and self.above is None and not self.any_of:
            raise Wrong("this branch does not say when it is taken", expected="below, above or any_of")
        return self

    def takes(self, answer: int | str | tuple[str, ...]) -> bool:
        """Tell whether this branch is taken after *answer*; everything that it says must hold."""
        if self.any_of:
            given = answer if isinstance(answer, tuple) else (str(answer),)
            if not set(given) & set(self.any_of):
                return False
        if self.below is None and self.above is None:
            return True
        if not isinstance(answer, int):
            return False
        return (self.below is None or answer < self.below) and (self.above is None or answer > self.above)


class Question(Section):
    """One question."""

    id: Word
    """Its name in answers and exports; never change it while a survey runs."""
    kind: QuestionKind = "score"
    """score: a number; choice: one of `labels`; choices: any of them; text: free text; yes_no."""
    text: Phrase
    """What is asked, in one text or one for each language."""
    labels: Mapping[Value, Phrase] = {}
    """What each value means: of a score some or all of its numbers, of a choice every value in order."""
    words: Mapping[Value, tuple[str, ...]] = {}
    """Further words by which customers may answer in a chat, for each value."""
    min: int = Field(default=1, ge=0, le=1)
    """The lowest score."""
    max: int = Field(default=5, ge=2, le=10)
    """The highest score."""
    required: bool = True
    """Whether the page insists on an answer; never so for a text."""
    branch: tuple[Branch, ...] = ()
    """Where to go on; the first branch that is taken counts, otherwise the next question follows."""

    @model_validator(mode="before")
    @classmethod
    def _nobody_must_write(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("kind") == "text" and "required" not in value:
            return {**value, "required": False}
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Question:
        if self.kind in ("choice", "choices"):
            if not 2 <= len(self.labels) <= MOST_CHOICES:
                raise Wrong("there is nothing to choose from", expected=f"labels for 2 to {MOST_CHOICES} values")
        else:
            known = self.values()
            for name in (*self.labels, *self.words):
                if name not in known:
                    expected = listed(known) if known else "no labels: a text has no values"
                    raise Wrong("there are labels or words for a value that cannot be given", expected=expected)
        for name in self.words:
            if name not in self.values():
                raise Wrong(
                    "there are words for a value that cannot be chosen",
                    expected=listed(self.values()),
                    nearest=nearest(name, self.values()),
                )
        for branch in self.branch:
            self._check(branch)
        return self

    def _check(self, branch: Branch) -> None:
        if (branch.below is not None or branch.above is not None) and self.kind != "score":
            raise Wrong("below and above compare scores", expected="any_of")
        if branch.any_of and self.kind == "text":
            raise Wrong("a text has no values to branch on", expected="no branch")
        wrong = [one for one in branch.any_of if one not in self.values()]
        if wrong:
            raise Wrong(
                "a branch asks for a value that cannot be given",
                expected=listed(self.values()),
                nearest=nearest(wrong[0], self.values()),
            )

    def values(self) -> tuple[str, ...]:
        """Return every value that can be given, as text, in order; () for a free text."""
        match self.kind:
            case "score":
                return tuple(str(number) for number in range(self.min, self.max + 1))
            case "yes_no":
                return ("yes", "no")
            case "text":
                return ()
            case _:
                return tuple(self.labels)

    def following(self, answer: int | str | tuple[str, ...] | None) -> str:
        """Return where *answer* leads: an id or `end`; "" = to the next question. None = it was left out."""
        if answer is None:
            return ""
        return next((branch.to for branch in self.branch if branch.takes(answer)), "")


_CSAT = {
    "1": {"zh": "非常不满意", "en": "Very dissatisfied"},
    "2": {"zh": "不满意", "en": "Dissatisfied"},
    "3": {"zh": "一般", "en": "Neutral"},
    "4": {"zh": "满意", "en": "Satisfied"},
    "5": {"zh": "非常满意", "en": "Very satisfied"},
}
_NPS = {"0": {"zh": "完全不会", "en": "Not at all likely"}, "10": {"zh": "一定会", "en": "Extremely likely"}}
_CES = {
    "1": {"zh": "非常困难", "en": "Very difficult"},
    "4": {"zh": "一般", "en": "Neutral"},
    "7": {"zh": "非常轻松", "en": "Very easy"},
}
REASON = {
    "id": "comment",
    "kind": "text",
    "text": {"zh": "能告诉我们原因吗？", "en": "Would you tell us why?"},
}
USUAL: Mapping[str, Mapping[str, Any]] = {
    "csat": {
        "id": "score",
        "kind": "score",
        "text": {"zh": "您对这次服务满意吗？", "en": "How satisfied are you with our service?"},
        "min": 1,
        "max": 5,
        "labels": _CSAT,
    },
    "nps": {
        "id": "score",
        "kind": "score",
        "text": {
            "zh": "您有多大可能把我们推荐给朋友或同事？",
            "en": "How likely are you to recommend us to a friend or colleague?",
        },
        "min": 0,
        "max": 10,
        "labels": _NPS,
    },
    "ces": {
        "id": "score",
        "kind": "score",
        "text": {"zh": "这次解决问题对您来说容易吗？", "en": "How easy was it to get your problem solved?"},
        "min": 1,
        "max": 7,
        "labels": _CES,
    },
}
"""The main question of each kind, as one would write it; a scale of the same width gets the same labels."""


def usual(kind: str, questions: Any) -> Any:
    """Return the *questions* of a survey of *kind* as written, with what the kind says by itself filled in."""
    main = USUAL.get(kind)
    if main is None:
        return questions
    if questions is None:
        return [dict(main), REASON]
    if not isinstance(questions, list):
        return questions
    first = next((each for each in questions if isinstance(each, dict) and each.get("kind", "score") == "score"), None)
    return [_filled(main, first) if first is not None and each is first else each for each in questions]


def _filled(main: Mapping[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    scale = {"min": question.get("min", main["min"]), "max": question.get("max", main["max"])}
    labels = {"labels": main["labels"]} if scale == {"min": main["min"], "max": main["max"]} else {}
    return {"text": main["text"], **labels, **scale, **question}
