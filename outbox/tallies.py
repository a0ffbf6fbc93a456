"""What is counted of a survey: invitations by what became of them, answers by their values, for every group. Pure.

A `Tally` holds numbers only; it does not grow with the answers. `Book` keeps one for each group of two periods, as
records come by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from inbox.periods import Period
from outbox.responses import ANSWERED, EXPIRED, SENT, SUPPRESSED, Invitation, Response
from outbox.scores import CHOSEN, Measure

LOST = frozenset({"failed", "dead"})
OPEN = frozenset({"queued", "deferred", "sending"})
UNSURE = "uncertain"
UNDELIVERABLE = "undeliverable"
"""Why an invitation is suppressed that went out and did not arrive."""
ASKED = frozenset({SENT, ANSWERED, EXPIRED})
BY = ("team", "agent", "channel", "tag", "week", "stage", "topic", "language", "stratum", "via")
NOBODY = ""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An invitation with the responses to it. *delivery* is the state of what carried it, "" if nothing did."""

    invitation: Invitation
    responses: tuple[Response, ...] = ()
    delivery: str = ""

    @property
    def answer(self) -> Response | None:
        """The response that counts, None if there is none."""
        return next((one for one in self.responses if one.valid), None)

    @property
    def fate(self) -> str:
        """What became of the invitation: reached, uncertain, failed, waiting or suppressed.

        Reached = handed over to the platform, and no receipt says that it failed; whoever answers was reached.
        """
        if self.answer is not None:
            return "reached"
        if self.invitation.state == SUPPRESSED and self.invitation.reason != UNDELIVERABLE:
            return "suppressed"
        if self.delivery in LOST or self.invitation.reason == UNDELIVERABLE:
            return "failed"
        if self.delivery == UNSURE:
            return "uncertain"
        if self.invitation.state in ASKED and self.delivery not in OPEN:
            return "reached"
        return "waiting"

    @property
    def at(self) -> int:
        """When it counts: when the invitation went out, was chosen, or, of one without time, was answered."""
        invitation = self.invitation
        return invitation.sent or invitation.created or min((one.at for one in self.responses), default=0)


@dataclass(slots=True)
class Tally:
    """What is counted of one group in one period."""

    fates: Counter[str] = field(default_factory=Counter)
    valid: int = 0
    complete: int = 0
    open: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[int | str]] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)

    @property
    def invited(self) -> int:
        """Everybody who was to be asked and was not left out."""
        return sum(number for fate, number in self.fates.items() if fate != "suppressed")

    @property
    def population(self) -> int:
        """Everybody whom the survey meant, also those who were left out."""
        return sum(self.fates.values())

    @property
    def reached(self) -> int:
        return self.fates["reached"]

    def counts(self, question: str) -> Counter[int | str]:
        """Return the answers to a question by their values."""
        return self.answers.get(question, Counter())

    def add(self, record: Record, answer: Response | None, fate: str, measures: dict[str, Measure], now: int) -> None:
        """Count a record."""
        self.fates[fate] += 1
        for response in record.responses:
            self.flags.update(response.flags)
        if answer is None:
            self.open += fate == "reached" and record.invitation.expires > now
            return
        self.valid += 1
        self.complete += answer.complete
        for one in answer.answers:
            measure = measures.get(one.question)
            if measure is None:
                continue
            self.given[one.question] += 1
            if measure.scored and isinstance(one.value, int):
                self.answers.setdefault(one.question, Counter())[one.value] += 1
            elif measure.method in CHOSEN:
                values = one.value if isinstance(one.value, tuple) else (str(one.value),)
                self.answers.setdefault(one.question, Counter()).update(values)


class Book:
    """The tallies of *period* and of the one before, in all and by group; *only* limits it to some groups."""

    def __init__(self, measures: Sequence[Measure], period: Period, by: Sequence[str], only: dict[str, str]) -> None:
        self.measures = {one.id: one for one in measures}
        self.period = period
        self.before = period.before
        self._by = tuple(by)
        self._only = only
        self.now: dict[tuple[str, str], Tally] = {("all", ""): Tally()}
        self.earlier: dict[tuple[str, str], Tally] = {("all", ""): Tally()}

    def add(self, record: Record) -> bool:
        """Count a record where it belongs; False if it belongs to neither period, or is not wanted."""
        at = record.at
        current = self.period.holds(at)
        if not current and not self.before.holds(at):
            return False
        answer = record.answer
        if any(value not in self.groups(record, answer, name) for name, value in self._only.items()):
            return False
        fate = record.fate
        tallies = self.now if current else self.earlier
        for where in self._places(record, answer):
            tally = tallies.get(where)
            if tally is None:
                tally = tallies[where] = Tally()
            tally.add(record, answer, fate, self.measures, self.period.now)
        return current

    def groups(self, record: Record, answer: Response | None, by: str) -> Sequence[str]:
        """Return the groups of one kind to which a record belongs; several for tags and agents."""
        invitation = record.invitation
        match by:
            case "agent":
                return invitation.agents or (invitation.agent,)
            case "tag":
                return invitation.tags
            case "week":
                return (self.period.week(record.at),)
            case "via":
                return (answer.via,) if answer is not None else ()
            case _:
                value: str = getattr(invitation, by)
                return (value,)

    def _places(self, record: Record, answer: Response | None) -> Iterator[tuple[str, str]]:
        yield "all", ""
        for by in self._by:
            for name in dict.fromkeys(self.groups(record, answer, by)):
                yield by, name

    def labels(self, by: str) -> list[str]:
        """Return the groups of one kind that occur in the period, the largest first; weeks in their order."""
        found = {name: tally for (kind, name), tally in self.now.items() if kind == by}
        if by == "week":
            return [week for week, _ in self.period.weeks()] or sorted(found)
        return sorted(found, key=lambda name: (-found[name].valid, -found[name].invited, name))
