"""What the API says of the router's routes: decisions, rules and their history, replays, who is there."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from inbox.openapi import PAGED, Operation, Operations, Page, Query, Time
from inbox.schemas import Presence
from router import endpoints, proof_endpoints, staff
from router.conditions import Verdict
from router.rules import Decision


class Route(msgspec.Struct):
    """A route that was tried."""

    name: str
    matched: bool
    condition: Verdict | None
    sets: dict[str, Any]
    goes_on: bool
    routes: list[Route]


class Explanation(msgspec.Struct):
    """A decision with every route that was tried."""

    decision: Decision
    rules: str
    at: Time | None
    tried: list[Route]
    untried: int
    default: dict[str, Any]


class Decided(msgspec.Struct, tag_field="kind", tag="decision"):
    """What the rules said to a message."""

    id: str
    at: Time | None
    message: str
    conversation: str | None
    opened: str | None
    ignored: str | None
    hash: str | None
    route: str | None
    routes: list[str]
    set: dict[str, Any]
    facts: dict[str, Any]
    acknowledge: list[str]
    explanation: Explanation | None
    unexplained: str | None


class By(msgspec.Struct):
    """Who did it."""

    kind: str
    id: str | None


class Given(msgspec.Struct, tag_field="kind", tag="assignment"):
    """Who was given a conversation, by whom and why."""

    id: str
    at: Time | None
    conversation: str
    team: str | None
    agent: str | None
    from_team: str | None
    from_agent: str | None
    by: By
    reason: str | None
    because: str | None
    assignment: dict[str, Any] | None


class Candidate(msgspec.Struct):
    """An agent, and why not them."""

    agent: str
    why: str


class Candidates(msgspec.Struct):
    """Who could have a conversation now."""

    conversation: str
    team: str | None
    agent: str | None
    candidates: list[Candidate]
    reason: str | None


class Worker(msgspec.Struct):
    """Which rules a process uses."""

    name: str
    hash: str
    loaded_at: Time | None
    said_at: Time | None
    faults: list[str]
    shadow: str | None
    shadow_faults: list[str]


class Standing(msgspec.Struct):
    """Where the rules stand."""

    ok: bool
    agree: bool
    faults: list[str]
    shadow_faults: list[str]
    workers: list[Worker]


class Rules(msgspec.Struct):
    """The route files in use."""

    hash: str
    routes: list[dict[str, Any]]
    status: Standing


class Finding(msgspec.Struct):
    """What can be used and is probably not meant."""

    file: str
    line: int
    column: int
    path: str
    what: str
    expected: str | None
    rule: str | None
    severity: Literal["error", "warning"]


class Waiting(msgspec.Struct):
    """Whose customers wait, and who has waited longest."""

    count: int
    oldest_since: Time | None
    conversation: str | None


class Late(msgspec.Struct):
    """How many clocks have warned or are over; *more*: there are more than were counted."""

    warned: int
    breached: int
    more: bool


class Line(msgspec.Struct):
    """Who waits for the hub to give them to somebody."""

    count: int
    oldest_since: Time | None


class TeamNow(msgspec.Struct):
    """A team now; *queue* is null where the hub hands nothing out."""

    id: str
    name: str
    restricted: bool
    members: list[str]
    open: int
    pending: int
    snoozed: int
    oldest_since: Time | None
    queue: Line | None
    warned: int
    breached: int


class Needs(msgspec.Struct):
    """What needs a person."""

    drafts: int
    dead: int
    uncertain: int
    scheduled: int
    shunted: int


class Lag(msgspec.Struct):
    """How old the oldest is that is not routed, or not sent, yet."""

    routing_seconds: float
    sending_seconds: float


class Floor(msgspec.Struct):
    """The floor at a glance."""

    at: Time | None
    waiting: Waiting
    late: Late
    teams: list[TeamNow]
    needs: Needs
    lag: Lag


class Loaded(msgspec.Struct):
    """A rule set that was taken into use."""

    hash: str
    at: Time | None
    by: str
    how: str
    in_use: bool


class RuleSet(msgspec.Struct):
    """A rule set, with its files as they were written."""

    hash: str
    files: dict[str, str]
    timezone: str


class Difference(msgspec.Struct, rename={"since": "from", "until": "to"}):
    """What differs between two rule sets."""

    since: str
    until: str
    lines: list[str]


class Copied(msgspec.Struct):
    """A file that was written, and the copy of what it was."""

    file: str
    copy: str


class RolledBack(msgspec.Struct):
    """What was put back."""

    hash: str
    wanted: str
    changed: list[Copied]


class Shadowed(msgspec.Struct):
    """What the candidate in the shadow would have done."""

    state: Literal["none", "faulty", "watching"]
    live: str
    candidate: str | None
    faults: list[str]
    report: dict[str, Any]


class Replay(msgspec.Struct):
    """A replay; its *report* when it is done."""

    id: str
    state: Literal["running", "done", "failed", "lost"]
    since: Time | None
    at: Time | None
    share: float
    messages: int
    live: str
    candidate: str
    error: str
    report: dict[str, Any] | None


class AtWork(msgspec.Struct):
    """Whether an agent is there, and what counts for their capacity now."""

    id: str
    conversations: int
    capacity: int | None
    presence: Presence


class Share(msgspec.Struct):
    """How much an agent was given."""

    agent: str
    given: int
    taken: int
    weight: int


class Waits(msgspec.Struct):
    """How long it took until somebody had it, in seconds."""

    count: int
    median: float | None
    p95: float | None
    longest: float | None


class Shift(msgspec.Struct):
    """A team's shift on a day."""

    team: str
    shift: str | None
    date: str
    agents: list[Share]
    spread: int
    fairness: float
    waiting: Waits


class Queue(msgspec.Struct):
    """Who waits for a team now."""

    team: str
    count: int
    oldest_since: Time | None


class Fairness(msgspec.Struct):
    """How work was shared out."""

    since: Time | None
    items: list[Shift]
    waiting: list[Queue]
    next: None


KIND = Query("kind", "what to tell", {"type": "string", "enum": ["", "decision", "assignment", "all"]})
SINCE = Query("since", "a time, or how long ago")
LANGUAGE = Query("language", "`zh` or `en`; the hub's if not given")
RULES = (Query("from", "a hash; by default that in use"), Query("to", "a hash; by default that in use"))

OPERATIONS: Operations = {
    ("GET", "/conversations/{id}/trail"): Operation(
        "Why it is where it is", Page[Decided | Given], query=(KIND, *PAGED), errors=(422,)
    ),
    ("GET", "/messages/{id}/trail"): Operation("What was decided about a message", Page[Decided]),
    ("GET", "/conversations/{id}/candidates"): Operation("Who could have it now", Candidates),
    ("GET", "/routes"): Operation("Show the rules in use", Rules),
    ("GET", "/routes/status"): Operation("Where the rules stand", Standing),
    ("GET", "/routes/lint"): Operation("What lint finds", Page[Finding], query=(LANGUAGE,)),
    ("GET", "/board"): Operation("The floor at a glance", Floor),
    ("GET", "/routes/history"): Operation("List the rule sets that were in use", Page[Loaded], query=PAGED),
    ("GET", "/routes/history/{id}"): Operation("Show a rule set", RuleSet, errors=(409,)),
    ("GET", "/routes/diff"): Operation("Compare two rule sets", Difference, query=RULES, errors=(404, 409)),
    ("POST", "/routes/explain"): Operation(
        "What the rules would say",
        Explanation,
        endpoints.ExplainBody,
        example={"channel": "site-chat", "text": "我要退款"},
    ),
    ("POST", "/routes/rollback"): Operation(
        "Put an earlier rule set back", RolledBack, proof_endpoints.RollbackBody, errors=(404,)
    ),
    ("GET", "/routes/shadow"): Operation("What the candidate would have done", Shadowed),
    ("POST", "/routes/replays"): Operation("Try rules on stored messages", Replay, proof_endpoints.ReplayBody, 202),
    ("GET", "/routes/replays/{id}"): Operation("How far a replay is", Replay),
    ("PUT", "/agents/{id}/presence"): Operation(
        "Say whether an agent is there", AtWork, staff.PresenceBody, example={"state": "away", "for": "30m"}
    ),
    ("GET", "/reports/assignment"): Operation(
        "How fairly work was shared out",
        Fairness,
        query=(Query("team", "of this team only"), SINCE),
        errors=(422,),
    ),
}
