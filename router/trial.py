"""The `tests:` blocks of route files: each example is decided as it would be for real, and compared. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from config.conditions import FAMILIES, several, written
from config.faults import Fault, Problem
from config.loading import Loaded
from config.routes import RouteFile, RouteTest, TrialMessage
from config.values import duration
from router.compilation import instant
from router.contradictions import contradictions
from router.language import language
from router.pieces import Anatomist
from router.rules import ConversationFacts, Decision, Facts, OrderFacts, Tree, compile_routes, decide

# A Wednesday without anything special: an example without `at` must not pass by day and fail by night.
AT = "2026-06-03T10:00"
LISTS = ("tags", "acknowledge", "skills")
_MIME = dict(zip(FAMILIES, ("image/jpeg", "audio/amr", "video/mp4", "application/octet-stream"), strict=True))


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a decision that is not as expected."""

    field: str
    expected: Any
    got: Any


@dataclass(frozen=True, slots=True)
class TestResult:
    """How one example went. *file* and *index* say which test it is, from 0."""

    __test__: ClassVar[bool] = False  # pytest takes it for a test case otherwise

    file: int
    index: int
    name: str
    facts: Facts = field(repr=False)
    decision: Decision
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is as expected."""
        return not self.differences


def run_tests(
    tree: Tree,
    files: Sequence[RouteFile],
    *,
    kinds: Mapping[str, str] | None = None,
    timezone: ZoneInfo | None = None,
    at: int | None = None,
) -> list[TestResult]:
    """Try all examples of *files* against *tree*, in file order.

    *kinds* tells the kind of each channel. Moments without a zone are in *timezone* (default Asia/Shanghai).
    Messages without `at` are written at *at*, in milliseconds since 1970 UTC; by default on a Wednesday at 10:00.
    """
    zone = timezone or ZoneInfo("Asia/Shanghai")
    results: list[TestResult] = []
    for number, file in enumerate(files):
        for index, test in enumerate(file.tests):
            facts = imagine(test.message, kinds or {}, zone, instant(AT, zone) if at is None else at)
            decision = decide(tree, facts)
            results.append(TestResult(number, index, test.name, facts, decision, differences(test, decision)))
    return results


def prove(loaded: Loaded) -> list[Fault]:
    """Return a fault for every condition that never holds; if there is none, for every example that fails."""
    settings = loaded.settings
    kinds = {name: channel.kind for name, channel in settings.channels.items()}
    if found := contradictions(loaded.routes, Anatomist(settings.timezone, kinds)):
        return [fault for number, problem in found for fault in loaded.documents[number].faults([problem])]
    tree = compile_routes(loaded.routes, settings.hours, timezone=settings.timezone)
    return [
        fault
        for result in run_tests(tree, loaded.routes, kinds=kinds, timezone=settings.timezone)
        for fault in loaded.documents[result.file].faults(_problems(result))
    ]


def imagine(message: TrialMessage, kinds: Mapping[str, str], zone: ZoneInfo, at: int) -> Facts:
    """Return the facts of a test's *message*, written at *at* unless it says when."""
    when = instant(message.at, zone) if message.at else at
    return Facts(
        channel=message.channel,
        kind=message.kind or kinds.get(message.channel, ""),
        at=when,
        event=message.event,
        text=message.text,
        subject=message.subject,
        sender=message.sender,
        attachments=tuple(_MIME.get(word, word) for word in several(message.attachments)),
        language=message.language or language(message.text or message.subject),
        contact_tags=frozenset(several(message.contact.tag)),
        contact_tier=message.contact.tier,
        contact_language=message.contact.language,
        conversation=_conversation(message, when),
        order=OrderFacts({}, "none") if message.order is None else OrderFacts(message.order),
    )


def _conversation(message: TrialMessage, at: int) -> ConversationFacts:
    imagined = message.conversation
    if imagined == "new":
        return ConversationFacts(opened_at=at)
    if isinstance(imagined, str):
        return ConversationFacts(new=False, reopened=True, status="resolved", messages=2)
    status = "resolved" if imagined.reopened and "status" not in imagined.model_fields_set else imagined.status
    return ConversationFacts(
        new=imagined.new,
        reopened=imagined.reopened,
        status=None if imagined.new else status,
        team=imagined.team,
        priority=imagined.priority,
        opened_at=at - duration(imagined.age) if imagined.age else at if imagined.new else None,
        messages=imagined.messages,
    )


def differences(test: RouteTest, decision: Decision) -> tuple[Difference, ...]:
    """Return in what *decision* differs from what *test* expects; tags and skills are compared as sets."""
    found: list[Difference] = []
    for key, value in written(test.expect):
        got = getattr(decision, key)
        expected = () if key in LISTS and value is None else several(value) if key in LISTS else value
        same = set(expected) == set(got) if key in ("tags", "skills") else expected == got
        if not same:
            found.append(Difference(key, expected, got))
    return tuple(found)


def _problems(result: TestResult) -> list[Problem]:
    route = result.decision.route
    return [
        Problem(
            ("tests", result.index, "expect", each.field),
            f'test "{result.name}" fails: {each.field} is {shown(each.got)}'
            + (f" by route {route}" if each.field != "route" else ""),
            shown(each.expected),
        )
        for each in result.differences
    ]


def shown(value: Any) -> str:
    """Return a field of a decision in words."""
    if isinstance(value, tuple | list):
        return ", ".join(value) or "nothing"
    return "nothing" if value is None else str(value)
