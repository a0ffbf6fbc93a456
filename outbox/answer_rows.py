"""Single responses as rows for analysis: which variables there are, and what stands in them. Pure.

Without *contacts* nothing in a row leads to a person: respondents have pseudonyms of this survey alone, times are whole
seconds, and free text is masked.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inbox.periods import Period
from inbox.report_words import name, say
from inbox.variables import Listing, Plain, Variable, fitting
from outbox.findings import Questionnaire
from outbox.masking import masked
from outbox.responses import DUPLICATE, FAST, STRAIGHT, VIAS, Response
from outbox.scores import Measure
from outbox.tallies import Book, Record

LABELS: Mapping[str, tuple[str, str]] = {
    "response": ("Pseudonym of the response", "回复的假名"),
    "respondent": ("Pseudonym of the person, the same within this survey", "回复者的假名，在本问卷内一致"),
    "version": ("Version of the questions", "题目版本"),
    "answered_at": ("When the first answer came (local time)", "首次回答时间（当地时间）"),
    "invited_at": ("When the invitation was sent (local time)", "邀请发送时间（当地时间）"),
    "week": ("ISO week of the invitation", "邀请所在的 ISO 周"),
    "agents": ("Everybody who served", "参与服务的客服"),
    "tags": ("Tags", "标签"),
    "seconds": ("Seconds from opening the page to sending it", "从打开页面到提交的秒数"),
    "complete": ("Whether everything was answered", "是否答完"),
    "valid": ("Whether the response counts", "是否有效"),
    "flag_duplicate": ("A second response to the same invitation", "对同一邀请的重复回复"),
    "flag_straight": ("The same score for every question", "所有问题同一分数"),
    "flag_fast": ("Faster than the questions can be read", "快于阅读所需时间"),
    "mode": ("How staff took it down", "人工录入方式"),
    "codes": ("What staff filed the open text under", "人工归类"),
    "weight": ("Weight of the stratum", "分层权重"),
    "contact": ("Contact", "联系人"),
    "address": ("Address", "地址"),
    "conversation": ("Conversation", "会话"),
    "interviewer": ("Who took it down", "录入人"),
}
PLACES = ("channel", "team", "agent", "stage", "topic", "language", "stratum")
YES = {"yes": 1, "no": 0}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an export holds. *key* makes the pseudonyms; *weights* are by stratum."""

    asked: Questionnaire
    period: Period
    key: bytes = field(repr=False)
    contacts: bool = False
    only: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def weights(asked: Questionnaire, book: Book) -> dict[str, float]:
    """Return for each stratum how many people one answer stands for, with a mean of 1 over all answers; {} if none."""
    if not asked.stratified:
        return {}
    known = {name: one for (by, name), one in book.now.items() if by == "stratum" and one.valid}
    people = sum(one.population for one in known.values())
    answers = sum(one.valid for one in known.values())
    return {name: one.population / one.valid * answers / people for name, one in known.items()}


class Rows:
    """The variables of an export, and the row of each response."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._names: dict[str, str] = {}
        self.variables = tuple(self._variables())

    def listing(self, records: Any) -> Listing:
        """Return the table of what *records()* yields."""
        return Listing(self._wanted.asked.title, self.variables, lambda: self.rows(records()))

    def rows(self, records: Iterable[Record]) -> Iterator[tuple[Plain, ...]]:
        """Yield the row of each response in the period."""
        period = self._wanted.period
        book = Book((), period, (), {})
        for record in records:
            if not record.responses or not period.holds(record.at):
                continue
            if any(value not in book.groups(record, record.answer, by) for by, value in self._wanted.only.items()):
                continue
            for response in record.responses:
                yield tuple(self._row(record, response))

    def _variables(self) -> Iterator[Variable]:
        language = self._wanted.asked.language
        fixed = [
            Variable("response", "", "text"),
            Variable("respondent", "", "text"),
            Variable("version", "", "text"),
            Variable("invited_at", "", "time", "scale"),
            Variable("answered_at", "", "time", "scale"),
            Variable("week", "", "text"),
            *(Variable(one, name(one, language), "text") for one in PLACES),
            Variable("agents", "", "text"),
            Variable("tags", "", "text"),
            Variable("via", name("via", language), "code", labels={one: one for one in VIAS}),
            Variable("mode", "", "text"),
            Variable("seconds", "", "number", "scale"),
            *(Variable(one, "", "number", labels=self._yes()) for one in ("valid", "complete", *FLAGGED)),
            Variable("codes", "", "text"),
        ]
        if self._wanted.weights:
            fixed.append(Variable("weight", "", "number", "scale"))
        if self._wanted.contacts:
            fixed += [Variable(one, "", "text") for one in ("contact", "address", "conversation", "interviewer")]
        place = 1 if language.startswith("zh") else 0
        taken: list[str] = []
        for one in fixed:
            taken.append(one.name)
            yield one if one.label else Variable(one.name, LABELS[one.name][place], one.kind, one.measure, one.labels)
        for measure in self._wanted.asked.measures:
            for variable in self._question(measure, taken):
                taken.append(variable.name)
                yield variable

    def _yes(self) -> dict[str, str]:
        words = ("否", "是") if self._wanted.asked.language.startswith("zh") else ("No", "Yes")
        return {"0": words[0], "1": words[1]}

    @staticmethod
    def _question(one: Measure, taken: Sequence[str]) -> Iterator[Variable]:
        if one.method == "choices":
            names = list(taken)
            for value, label in one.labels.items():
                names.append(fitting(f"{one.id}_{value}", names))
                yield Variable(names[-1], f"{one.title} — {label}", "number", labels={"0": "0", "1": label}, asked=True)
            return
        fit = fitting(one.id, taken)
        if one.scored:
            yield Variable(fit, one.title, "number", "ordinal", one.labels, asked=True)
        elif one.method == "yes_no":
            labels = {"1": one.labels.get("yes", "yes"), "0": one.labels.get("no", "no")}
            yield Variable(fit, one.title, "number", labels=labels, asked=True)
        elif one.method == "choice":
            yield Variable(fit, one.title, "code", labels=one.labels, asked=True)
        else:
            yield Variable(fit, one.title, "text", asked=True)

    def _row(self, record: Record, response: Response) -> Iterator[Plain]:
        invitation, wanted = record.invitation, self._wanted
        yield self._pseudonym("r", response.id)
        yield self._pseudonym("p", invitation.contact or invitation.address or response.id)
        yield response.version
        yield self._local(invitation.sent or invitation.created)
        yield self._local(response.at)
        yield wanted.period.week(record.at)
        for one in PLACES:
            yield getattr(invitation, one) or None
        yield " ".join(invitation.agents) or None
        yield ", ".join(invitation.tags) or None
        yield response.via
        yield response.mode or None
        yield response.seconds or None
        yield int(response.valid)
        yield int(response.complete)
        for flag in FLAGGED.values():
            yield int(flag in response.flags)
        yield ", ".join(response.codes) or None
        if wanted.weights:
            yield wanted.weights.get(invitation.stratum)
        if wanted.contacts:
            yield invitation.contact or None
            yield invitation.address or None
            yield invitation.conversation or None
            yield response.interviewer or None
        given = {one.question: one.value for one in response.answers}
        for measure in wanted.asked.measures:
            yield from self._answer(measure, given.get(measure.id))

    def _answer(self, one: Measure, value: Any) -> Iterator[Plain]:
        if one.method == "choices":
            chosen = value if isinstance(value, tuple) else (value,)
            for option in one.labels:
                yield None if value is None else int(option in chosen)
        elif one.method == "yes_no":
            yield YES.get(str(value))
        elif one.scored:
            yield value if isinstance(value, int) else None
        elif value is None:
            yield None
        else:
            text = str(value)
            yield text if one.method != "text" or self._wanted.contacts else masked(text)

    def _local(self, at: int) -> dt.datetime | None:
        return self._wanted.period.local(at).replace(tzinfo=None, microsecond=0) if at else None

    def _pseudonym(self, kind: str, text: str) -> str:
        """Return a name that says nothing about *text*, and is another one in any other survey."""
        data = f"{kind}\0{self._wanted.asked.name}\0{text}".encode()
        return kind + hashlib.blake2b(data, key=self._wanted.key[:64], digest_size=8).hexdigest()


FLAGGED = {"flag_duplicate": DUPLICATE, "flag_straight": STRAIGHT, "flag_fast": FAST}


def codebook(listing: Listing, language: str) -> dict[str, Any]:
    """Return what the variables and their values mean, as plain data."""
    return {
        "title": listing.title,
        "language": language,
        "missing": {"csv": "", "xlsx": "", "sav": "-99 (numbers of questions), empty (texts)"},
        "variables": [
            {
                "name": one.name,
                "label": one.label,
                "kind": one.kind,
                "measure": one.measure,
                "values": [
                    {"value": value, "code": place if one.kind == "code" else None, "label": label}
                    for place, (value, label) in enumerate(one.labels.items(), 1)
                ],
            }
            for one in listing.variables
        ],
    }


def codebook_text(listing: Listing, language: str) -> str:
    """Return the codebook as Markdown."""
    lines = [f"# {say('codebook', language)}: {listing.title}", ""]
    for one in listing.variables:
        lines += [f"## `{one.name}`", "", f"{one.label} ({one.kind}, {one.measure})", ""]
        for place, (value, label) in enumerate(one.labels.items(), 1):
            code = f" ({place})" if one.kind == "code" else ""
            lines.append(f"- `{value}`{code}: {label}")
        if one.labels:
            lines.append("")
    return "\n".join(lines)
