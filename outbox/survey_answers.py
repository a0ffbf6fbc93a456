"""Takes answers, wherever they come from, and does what follows: the next question, thanks, a code, a follow-up."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.questions import Question
from config.surveys import Survey, codes
from inbox import log as logbook
from inbox.conversations import Conversation
from inbox.log import Entry
from inbox.partitions import key, tag
from inbox.placing import Origin, Spot
from inbox.timeline import items
from outbox.asking import Asked, Occasion, ask, pressed, thank
from outbox.followups import open_follow_up
from outbox.invitations import DUE, Given, NoInvitation, Progress
from outbox.means import Means
from outbox.questionnaire import Unfit, checked, comment, finished, following, main_score, suspicions
from outbox.responses import ANSWERED, SENT, Answer, Invitation
from outbox.spoken import heard, heard_with_comment, skips
from outbox.survey_post import ASK, THANK, conversation_of, own, post, within

log = logging.getLogger(__name__)

COMMENT_WINDOW = 3_600_000  # later than an hour after the score, free words are a message like any other
RECENT = 30
CHATS = frozenset({"reply", "button"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A message that answers an invitation. *known*: it was taken before a crash, and is only to be placed."""

    invitation: Invitation
    given: Given
    known: bool = False


class SurveyAnswers:
    """Every way in for an answer. *counts* are by survey and what became of it."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._stocked: dict[Path, int] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    async def give(self, one: Invitation, given: Given) -> str:
        """Take answers that were checked; return what became of them, see `Invitations.take`. Raises `StoreError`."""
        survey = self._means.surveys().get(one.survey)
        if survey is None:
            return "closed"
        progress = await self._means.invitations.answers(one)
        done = done_of(progress)
        done |= {each.question: each.value for each in given.answers} | dict.fromkeys(given.skipped)
        complete = finished(survey, done)
        everything = [*progress.response.answers, *given.answers]
        seconds = progress.response.seconds + given.seconds if given.seconds else 0
        score = main_score(survey, given.answers)
        main = survey.main
        told: dict[str, Any] = {
            "survey": one.survey,
            "invitation": one.id,
            "answers": {each.question: each.value for each in given.answers},
            "via": given.via,
            "complete": complete,
        }
        if score is not None and main is not None:
            told |= {"score": score, "most": main.max}
        if words := comment(survey, given.answers):
            told["comment"] = words
        became = await self._means.invitations.take(
            one,
            given,
            complete=complete,
            flags=" ".join(suspicions(survey, everything, seconds)),
            version=survey.version(),
            event="score" if score is not None else "survey_answer",
            told=told,
        )
        self.counts[one.survey, became] += 1
        return became

    async def read(self, origin: Origin, spot: Spot) -> Reading | None:
        """Return what a message answers, None if it is a message like any other. Raises `StoreError`.

        Costs nothing for customers who were not asked anything.
        """
        if origin.entry.type != logbook.MESSAGE or origin.rest.media:
            return None
        button = pressed(origin.rest.choice) if origin.rest.choice else None
        name = button[0] if button is not None else spot.address.get(f"sv:{origin.channel}")
        if not name:
            return None
        try:
            one = await self._means.invitations.load(name)
        except (NoInvitation, ValueError):
            return None
        survey = self._means.surveys().get(one.survey)
        if survey is None or (one.channel, one.address) != (origin.channel, origin.address):
            return None
        before = await self._taken(one, origin.message_id)
        if before:
            return Reading(one, Given(origin.message_id, "reply", origin.at, (), wordy=before == "w"), known=True)
        if button is not None:
            return self._button(survey, one, origin, button)
        return await self._words(survey, one, origin, spot)

    async def _taken(self, one: Invitation, source: str) -> str:
        """Return the mark of a message that was taken before a crash, "" if it was not."""
        place = one.place
        name = key(place.partition, f"iv:{place.key}")
        return str(await self._means.store.do(tag(place.partition), "HGET", name, f"x:{source}") or "")

    def _button(self, survey: Survey, one: Invitation, origin: Origin, button: tuple[str, str, str]) -> Reading | None:
        question = survey.question(button[1])
        try:
            value = checked(question, button[2]) if question is not None else None
        except Unfit:
            value = None
        if question is None or value is None:
            return None
        return Reading(one, Given(origin.message_id, "button", self._means.now(), (Answer(question.id, value),)))

    async def _words(self, survey: Survey, one: Invitation, origin: Origin, spot: Spot) -> Reading | None:
        """Read typed words as an answer to the question that is open, if nothing of ours was said since."""
        now = self._means.now()
        if one.state not in (SENT, ANSWERED) or one.expires <= now or not origin.text.strip():
            return None
        if not self._here(one, spot.conversation) or not await self._last_word(survey, one, spot.conversation):
            return None
        progress = await self._means.invitations.answers(one)
        done = done_of(progress)
        question = following(survey, done)
        if question is None:
            return None
        found = self._heard(survey, question, origin.text, done)
        if found is None:
            return None
        answers, skipped, wordy = found
        asked = max(progress.last, one.sent, one.reminded)
        if question.kind == "text" and origin.at > asked + COMMENT_WINDOW:
            return None
        return Reading(one, Given(origin.message_id, "reply", now, answers, skipped, wordy=wordy))

    @staticmethod
    def _heard(
        survey: Survey, question: Question, text: str, done: dict[str, Any]
    ) -> tuple[tuple[Answer, ...], tuple[str, ...], bool] | None:
        """Return the answers and the skipped questions in *text*, and whether it holds free words."""
        if not question.required and skips(text):
            return (), (question.id,), False
        value = heard(question, text)
        if value is not None:
            return (Answer(question.id, value),), (), question.kind == "text"
        more = heard_with_comment(question, text)
        if more is None:
            return None
        behind = following(survey, {**done, question.id: more[0]})
        if behind is None or behind.kind != "text":
            return None
        return (Answer(question.id, more[0]), Answer(behind.id, more[1])), (), True

    @staticmethod
    def _here(one: Invitation, conversation: Conversation | None) -> bool:
        """Tell whether a message stands where the question was asked."""
        if not one.conversation or conversation is None:
            return not one.conversation
        return conversation.id == one.conversation or conversation.channel != one.channel

    async def _last_word(self, survey: Survey, one: Invitation, conversation: Conversation | None) -> bool:
        """Tell whether the invitation is the last thing that we said: otherwise "5" answers somebody's question."""
        if conversation is None:
            return True
        mine = own(one, tuple(each.id for each in survey.questions))
        found, _ = await items(self._means.store, conversation.place, frozenset("mo"), None, RECENT)
        for item in found:
            fields = item.entry.fields
            if item.entry.type == logbook.ECHO:
                return int(fields["at"]) < one.sent
            if item.entry.type == logbook.REPLY:
                return fields["d"] in mine or int(fields["at"]) < one.sent
        return True

    async def follow(self, entry: Entry) -> None:
        """Do what follows from an answer; the log tells of it, so that a crash forgets nothing. Raises `StoreError`."""
        means, story = self._means, entry.rest()
        one = await means.invitations.load(story["invitation"])
        survey = means.surveys().get(one.survey)
        if survey is None:
            return
        progress = await means.invitations.answers(one)
        score = story.get("score")
        if score is not None and survey.follow_up is not None and score < survey.follow_up.below:
            fresh = await open_follow_up(means, survey, one, score, str(story.get("comment", "")))
            self.counts[one.survey, "follow_up"] += fresh
        conversation = await conversation_of(means, one)
        code = await self.code(survey, one)
        if survey.incentive is not None and survey.incentive.webhook is not None and not code:
            place = one.place
            await means.store.do(
                tag(place.partition), "ZADD", key(place.partition, DUE), "NX", means.now(), f"code:{place.key}"
            )
            means.wakes.ring((f"v{place.partition}",))
        elif story["via"] in CHATS:
            await self.go_on(survey, one, conversation, progress, code)

    async def code(self, survey: Survey, one: Invitation) -> str:
        """Return the code that an invitation gets or has got, "" if there is none now. Raises `StoreError`."""
        if survey.incentive is None:
            return ""
        if survey.incentive.file is not None:
            code = await self._means.reservations.code(one.survey, one.id)
            if not code and await self._stock(one.survey, survey.incentive.file):
                code = await self._means.reservations.code(one.survey, one.id)
            return code
        return await self._means.reservations.known_code(one.survey, one.id)

    async def _stock(self, survey: str, file: Path) -> bool:
        """Take the codes of a file in, if it is not known as it is now; tell whether it was not."""
        try:
            stamp = (await asyncio.to_thread(file.stat)).st_mtime_ns
            if self._stocked.get(file) == stamp:
                return False
            found = await asyncio.to_thread(codes, file)
        except (OSError, UnicodeDecodeError) as error:
            log.warning("the codes of survey %s cannot be read: %s", survey, error)
            return False
        await self._means.reservations.add_codes(survey, found)
        self._stocked[file] = stamp
        return True

    async def go_on(
        self, survey: Survey, one: Invitation, conversation: Conversation | None, progress: Progress, code: str
    ) -> None:
        """Say in the chat what comes next: a question, or thanks, which an optional text may follow at once."""
        means = self._means
        occasion, can = means.occasion(survey, one, conversation), means.capabilities(one.channel)
        question = following(survey, done_of(progress))
        if question is not None and (question.kind != "text" or question.required):
            await post(means, one, conversation, ask(question, occasion, can), f"{ASK}:{question.id}")
            return
        text = thank(survey, occasion, main_score(survey, progress.response.answers), code, can=can)
        if question is not None:
            text = f"{text}\n{ask(question, occasion, can).text}"
        await post(means, one, conversation, Asked(text, _subject(survey, occasion, one, conversation)), THANK)


def _subject(survey: Survey, occasion: Occasion, one: Invitation, conversation: Conversation | None) -> str:
    title = (survey.subject or survey.title).said(occasion.language, occasion.values)
    return "" if within(one, conversation) else title


def done_of(progress: Progress) -> dict[str, Any]:
    """Return the questions that are done with: their answers, None for those that were left out."""
    return {each.question: each.value for each in progress.response.answers} | dict.fromkeys(progress.skipped)
