"""The way through a survey's questions: which comes next, which answers are good, which look careless. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.questions import END, LONGEST_TEXT, Question
from config.surveys import Survey
from outbox.responses import FAST, STRAIGHT, Answer, Value

LEAST_ALIKE = 3  # as many equal scores may well be meant


class Unfit(ValueError):
    """An answer that the question does not allow; the text says what it allows."""


def following(survey: Survey, done: Mapping[str, Value | None]) -> Question | None:
    """Return the question that comes next when those in *done* are answered (None: left out); None at the end."""
    questions = survey.questions
    index = 0
    while index < len(questions):
        question = questions[index]
        if question.id not in done:
            return question
        goal = question.following(done[question.id])
        if goal == END:
            return None
        index = next((place for place, each in enumerate(questions) if each.id == goal), index + 1)
    return None


def sheet(survey: Survey, done: Mapping[str, Value | None]) -> tuple[Question, ...]:
    """Return the questions that can be shown together now: up to one whose answer decides what follows."""
    first = following(survey, done)
    if first is None:
        return ()
    start = survey.questions.index(first)
    shown: list[Question] = []
    for question in survey.questions[start:]:
        if question.id in done:
            break
        shown.append(question)
        if question.branch:
            break
    return tuple(shown)


def finished(survey: Survey, done: Mapping[str, Value | None]) -> bool:
    """Tell whether nothing more is asked."""
    return following(survey, done) is None


def checked(question: Question, value: Any) -> Value:
    """Return *value* as an answer to *question*. Raises `Unfit`."""
    known = question.values()
    match question.kind:
        case "score":
            if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 3:
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or not question.min <= value <= question.max:
                raise Unfit(f"{question.id}: a number from {question.min} to {question.max}")
            return value
        case "text":
            if not isinstance(value, str) or not value.strip() or "\0" in value:
                raise Unfit(f"{question.id}: text")
            if len(value) > LONGEST_TEXT:
                raise Unfit(f"{question.id}: at most {LONGEST_TEXT} characters")
            return value.strip().replace("\r\n", "\n")
        case "choices":
            chosen = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
            if not chosen or any(one not in known for one in chosen):
                raise Unfit(f"{question.id}: some of {', '.join(known)}")
            return tuple(one for one in known if one in chosen)
        case _:
            if isinstance(value, bool) and question.kind == "yes_no":
                value = "yes" if value else "no"
            if not isinstance(value, str) or value not in known:
                raise Unfit(f"{question.id}: one of {', '.join(known)}")
            return value


def path(survey: Survey, given: Mapping[str, Any]) -> list[Answer]:
    """Return all of *given* as answers in the order in which they are asked. Raises `Unfit`.

    A question that is not on the way that the answers themselves lead is refused, and so is one without an answer
    that needs one.
    """
    unknown = [name for name in given if survey.question(name) is None]
    if unknown:
        raise Unfit(f"there is no question {unknown[0]}; questions are {', '.join(one.id for one in survey.questions)}")
    done: dict[str, Value | None] = {}
    while (question := following(survey, done)) is not None:
        if question.id in given:
            done[question.id] = checked(question, given[question.id])
        elif question.required:
            raise Unfit(f"{question.id}: this question needs an answer")
        else:
            done[question.id] = None
    beside = [name for name in given if name not in done]
    if beside:
        raise Unfit(f"{beside[0]}: this is not asked after the other answers")
    return [Answer(name, value) for name, value in done.items() if value is not None]


def suspicions(survey: Survey, answers: Sequence[Answer], seconds: int) -> tuple[str, ...]:
    """Return what makes *answers* look careless: all scores alike, or given faster than one can read.

    *seconds* is the time for all of them, 0 if it is not known.
    """
    scales = [each.value for each in answers if (found := survey.question(each.question)) and found.kind == "score"]
    flags = []
    if len(scales) >= LEAST_ALIKE and len(set(scales)) == 1:
        flags.append(STRAIGHT)
    if len(answers) >= LEAST_ALIKE and 0 < seconds < len(answers):
        flags.append(FAST)
    return tuple(flags)


def main_score(survey: Survey, answers: Sequence[Answer]) -> int | None:
    """Return the score that counts, None if it is not among *answers*."""
    main = survey.main
    found = next((each.value for each in answers if main is not None and each.question == main.id), None)
    return found if isinstance(found, int) else None


def comment(survey: Survey, answers: Sequence[Answer]) -> str:
    """Return what was written in answer to questions for free text."""
    texts = [each.value for each in answers if (found := survey.question(each.question)) and found.kind == "text"]
    return "\n".join(str(text) for text in texts)
