"""What surveys leave behind: invitations, and the responses to them. Records only; reports are built on these."""

from __future__ import annotations

from msgspec import Struct

from inbox.partitions import Id, parse_id

WAITING = "waiting"
SENT = "sent"
ANSWERED = "answered"
EXPIRED = "expired"
SUPPRESSED = "suppressed"
STATES = (WAITING, SENT, ANSWERED, EXPIRED, SUPPRESSED)
VIAS = ("page", "reply", "button", "mail", "staff")

DUPLICATE = "duplicate"
STRAIGHT = "straight_lining"
FAST = "too_fast"
FLAGS = (DUPLICATE, STRAIGHT, FAST)

Value = int | str | tuple[str, ...]


class Invitation(Struct, frozen=True):
    """One person asked to answer one survey. Times are in milliseconds since 1970 UTC, 0 = never.

    *state*: `waiting` for its time, `sent` (handed to the outbox; *delivery* says what became of it), `answered`,
    `expired` without an answer, or `suppressed` for a *reason* (see docs/surveys.md). *team*, *agent*, *agents*,
    *tags*, *stage* and *topic* are those of the conversation when the customer was chosen: who served, and what it was
    about. *topic* is the route that decided. *agent* is who had it last, *agents* everybody who answered in it.
    *created* is when chance chose it; *expires* when it can no longer be answered.
    """

    id: str
    survey: str
    version: str
    channel: str
    address: str
    contact: str = ""
    conversation: str = ""
    team: str = ""
    agent: str = ""
    agents: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    stage: str = ""
    topic: str = ""
    language: str = ""
    created: int = 0
    sent: int = 0
    reminded: int = 0
    expires: int = 0
    state: str = WAITING
    reason: str = ""
    delivery: str = ""
    stratum: str = ""
    key: str = ""

    @property
    def place(self) -> Id:
        """Its partition and key."""
        return parse_id(self.id, "i")


class Answer(Struct, frozen=True):
    """The answer to one question: a score (int), a choice or text (str; `yes`/`no`), or several choices."""

    question: str
    value: Value


class Response(Struct, frozen=True):
    """What one person answered, so far; *complete* once nothing more is asked.

    *at* is when the first answer came, *seconds* the time from the page's being opened to its being sent (0 =
    unknown). *via*: `page`, `reply` (typed in a chat), `button` (pressed in a chat), `mail` (one-click link), `staff`
    (entered for the customer; *mode* says phone, in_person or other, *interviewer* by whom). *flags*: `duplicate` (a
    second response to one invitation; it never counts), `straight_lining`, `too_fast`. *codes* are what staff filed
    the open text under.
    """

    id: str
    invitation: str
    survey: str
    version: str
    at: int
    via: str
    answers: tuple[Answer, ...] = ()
    flags: tuple[str, ...] = ()
    seconds: int = 0
    complete: bool = False
    mode: str = ""
    interviewer: str = ""
    codes: tuple[str, ...] = ()

    @property
    def place(self) -> Id:
        """Its partition and key."""
        return parse_id(self.id, "r")

    @property
    def valid(self) -> bool:
        """Whether it counts: the first one to its invitation does."""
        return DUPLICATE not in self.flags

    def value(self, question: str) -> Value | None:
        """Return what was answered to a question, None if nothing."""
        return next((each.value for each in self.answers if each.question == question), None)
