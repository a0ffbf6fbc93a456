"""What becomes of a decision: how much of it counts for a conversation as it stands, and in what two decisions differ.

Pure. The router acts by it, and replay and shadow compare by it, so that they speak of what would really happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from config.routes import DEFAULT
from inbox.conversations import PRIORITIES
from router.facts import Facts
from router.rules import Decision, Tree, consider

FIELDS = ("ignore", "team", "agent", "priority", "stage", "sla", "risk", "survey", "skills", "acknowledge", "tags")
"""In what two outcomes may differ, the weightiest first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision with what it was made by and from: the rules' *tree* and the *facts*.

    *unclaimed*: only the default has claimed the conversation so far, and nobody has answered in it. *asks_order*: a
    condition that was looked at asks for the order.
    """

    tree: Tree = field(repr=False)
    facts: Facts
    unclaimed: bool
    decision: Decision
    asks_order: bool = False

    @property
    def counts(self) -> bool:
        """Whether the conversation takes the whole decision, or only its tags.

        One that is new, reopened or without a team takes all of it. One that is under way does not, unless the
        decision raises its priority, or asks about the conversation itself or another event: an "ok" must not move a
        complaint to the front desk. And "你好" first and the matter second is how people write: what only the default
        has claimed, and nobody has answered, still goes to the team that a route names.
        """
        stands, decision = self.facts.conversation, self.decision
        if stands.new or stands.reopened or not stands.team:
            return True
        raised = PRIORITIES.index(decision.priority) > PRIORITIES.index(stands.priority)
        meant = decision.route in self.tree.about_conversation or self.facts.event != "message"
        return raised or meant or (self.unclaimed and decision.route != DEFAULT)

    @property
    def ignored(self) -> bool:
        """Whether the message is left out of every conversation: never out of one that is under way."""
        stands = self.facts.conversation
        return bool(self.decision.ignore) and (stands.new or stands.reopened)


def judge(tree: Tree, facts: Facts, *, unclaimed: bool) -> Judged:
    """Decide about a message."""
    decision, asks_order = consider(tree, facts)
    return Judged(tree, facts, unclaimed, decision, asks_order)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a message ends up. *arrives*: its conversation comes to *team* by it. *fields* are those of `FIELDS`.

    *unrouted*: no route matched, and the default alone said where it goes.
    """

    route: str
    team: str
    sla: str
    arrives: bool
    unrouted: bool
    fields: tuple[Any, ...]


def outcome(judged: Judged) -> Outcome:
    """Return what becomes of a message that was decided about."""
    stands, decision = judged.facts.conversation, judged.decision
    if judged.ignored:
        return Outcome(decision.route, "", "", arrives=False, unrouted=False, fields=_fields(ignore=decision.ignore))
    if not judged.counts:
        fields = _fields(team=stands.team, priority=stands.priority, tags=_set(decision.tags))
        return Outcome(decision.route, stands.team or "", "", arrives=False, unrouted=False, fields=fields)
    team = decision.team or stands.team or ""
    fields = _fields(
        team=team,
        agent=decision.agent,
        priority=decision.priority,
        stage=decision.stage,
        sla=decision.sla,
        risk=decision.risk,
        survey=decision.survey,
        skills=_set(decision.skills),
        acknowledge=decision.acknowledge,
        tags=_set(decision.tags),
    )
    fresh = stands.new or stands.reopened or team != stands.team
    unrouted = not decision.routes
    return Outcome(decision.route, team, decision.sla or "", arrives=fresh, unrouted=unrouted, fields=fields)


def differing(before: Outcome, after: Outcome) -> tuple[str, ...]:
    """Return the names of the fields in which two outcomes differ."""
    return tuple(name for name, one, other in zip(FIELDS, before.fields, after.fields, strict=True) if one != other)


def _fields(**known: Any) -> tuple[Any, ...]:
    """Return the known values in the order of `FIELDS`; nothing and empty are the same."""
    return tuple(known.get(name) or None for name in FIELDS)


def _set(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(words))
