"""How a question is put on a channel: as buttons where it has them, else in words; with a link where it may. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.phrases import Phrase
from config.questions import Question
from config.surveys import OnChannel, Survey
from connectors.base import Capabilities, Choice, PlatformTemplate
from outbox.survey_words import say

DEFAULT = OnChannel()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is sent: *choices* are buttons in the platform's own form, and there is nothing in their place in *text*.

    *template* goes out instead of all of it where the platform takes nothing else.
    """

    text: str
    subject: str = ""
    choices: tuple[Choice, ...] = ()
    template: PlatformTemplate | None = None


@dataclass(frozen=True, slots=True)
class Occasion:
    """One invitation as far as its words depend on it: *url* is its page, "" if there is none to tell.

    *values* are those of the variables in texts.
    """

    invitation: str
    language: str
    url: str
    values: Mapping[str, str]


def chosen_language(survey: Survey, *wanted: str) -> str:
    """Return the first language of *wanted* in which *survey* exists, else its first one."""
    for language in filter(None, wanted):
        for own in survey.languages:
            if own.partition("-")[0] == language.partition("-")[0]:
                return own
    return survey.languages[0]


def wording(text: Phrase | None, occasion: Occasion, key: str) -> str:
    """Return *text* filled in, or our own words for *key* where there is none."""
    if text is None:
        return say(occasion.language, key)
    return text.said(occasion.language, occasion.values)


def label(question: Question, value: str, language: str) -> str:
    """Return what is read for a value, "" for a score without words of its own."""
    own = question.labels.get(value)
    if own is not None:
        return own.said(language, {})
    return say(language, value) if question.kind == "yes_no" else ""


def invite(survey: Survey, occasion: Occasion, channel: str, can: Capabilities, *, reminder: bool = False) -> Asked:
    """Return the message that asks somebody to take part, which puts the first question at once where it can."""
    here = survey.channels.get(channel, DEFAULT)
    words = survey.reminder if reminder else here.invitation or survey.invitation
    opening = wording(words, occasion, "reminder" if reminder else "invitation")
    subject = (survey.subject or survey.title).said(occasion.language, occasion.values)
    link = links(survey, channel, can) and bool(occasion.url)
    if here.chat is False and link:
        return Asked(f"{opening}\n{say(occasion.language, 'only_link', url=occasion.url)}", subject)
    asked = ask(survey.questions[0], occasion, can)
    # Where one presses a button, a link beside it only distracts.
    more = [say(occasion.language, "link", url=occasion.url)] if link and not asked.choices else []
    return Asked("\n".join([opening, asked.text, *more]), subject, asked.choices)


def approved(survey: Survey, occasion: Occasion, kind: str) -> Asked | None:
    """Return what the platform of a *kind* has approved as invitation; None if nothing, or a value is missing."""
    known = survey.platform.get(kind)
    if known is None:
        return None
    missing: list[str] = []
    data = {place: text.filled(occasion.values, missing) for place, text in known.data.items()}
    url = known.url.filled(occasion.values, missing) if known.url is not None else occasion.url
    if missing:
        return None
    words = wording(survey.invitation, occasion, "invitation")
    return Asked(f"{words}\n{url}", template=PlatformTemplate(known.template_id, data, url))


def links(survey: Survey, channel: str, can: Capabilities) -> bool:
    """Tell whether a message on a channel may hold the address of the page."""
    own = survey.channels.get(channel, DEFAULT).link
    return can.links if own is None else own


def ask(question: Question, occasion: Occasion, can: Capabilities) -> Asked:
    """Return one question as a message."""
    text = question.text.said(occasion.language, occasion.values)
    values = question.values()
    if values and question.kind != "choices" and len(values) <= can.choices:
        return Asked(text, choices=tuple(_choice(question, value, occasion) for value in values))
    hint = _hint(question, occasion.language)
    return Asked("\n".join(filter(None, [text, hint])))


def _choice(question: Question, value: str, occasion: Occasion) -> Choice:
    words = label(question, value, occasion.language)
    shown = " ".join(filter(None, [value if question.kind == "score" else "", words]))
    url = f"{occasion.url}?{question.id}={value}" if occasion.url else ""
    return Choice(choice_id(occasion.invitation, question.id, value), shown, url)


def choice_id(invitation: str, question: str, value: str) -> str:
    """Return the id of a button: the value comes first, so that a number is shown as itself."""
    return f"{value}@{invitation}.{question}"


def pressed(choice: str) -> tuple[str, str, str] | None:
    """Take the id of a button apart into invitation, question and value; None if it is no survey's."""
    value, at, rest = choice.partition("@")
    invitation, dot, question = rest.rpartition(".")
    return (invitation, question, value) if at and dot and value and invitation and question else None


def _hint(question: Question, language: str) -> str:
    """Return how to answer *question* in words."""
    values = question.values()
    match question.kind:
        case "score":
            named = [(value, label(question, value, language)) for value in values]
            named = [pair for pair in named if pair[1]]
            named = named if len(named) <= 5 else [named[0], named[-1]]
            if not named:
                return say(language, "range_bare", low=question.min, high=question.max)
            labels = say(language, "comma").join(say(language, "label", value=one, label=word) for one, word in named)
            return say(language, "range", low=question.min, high=question.max, labels=labels)
        case "text":
            return "" if question.required else say(language, "free")
        case _:
            lines = [f"{number}. {label(question, value, language)}" for number, value in enumerate(values, 1)]
            return "\n".join([*lines, say(language, "numbers" if question.kind == "choices" else "number")])


def thank(survey: Survey, occasion: Occasion, score: int | None, code: str, *, can: Capabilities) -> str:
    """Return what is said to who has answered, with their code, and with the way onward after a high score."""
    lines = [wording(survey.thanks, occasion, "thanks")]
    if survey.incentive is not None and code:
        text = survey.incentive.text.said(occasion.language, occasion.values)
        lines.append(say(occasion.language, "code", text=text, code=code))
    onward = onward_of(survey, score)
    if onward is not None and can.links:
        lines += [wording(onward[0], occasion, "onward") if onward[0] is not None else "", onward[1]]
    return "\n".join(filter(None, lines))


def onward_of(survey: Survey, score: int | None) -> tuple[Phrase | None, str] | None:
    """Return the words and the address to which a score leads on, None if it does not."""
    promoters = survey.promoters
    if promoters is None or score is None or score <= promoters.above:
        return None
    return promoters.text, promoters.invite
