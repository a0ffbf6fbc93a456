"""What would become of a message: whether it goes, in how many parts, at what cost, and what is done where it does not.

Pure: everything that is known is in the `Facts`. The same answer is given before an agent sends, when the message is
accepted, and once more in the moment before it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from connectors.base import Capabilities, Media, PlatformTemplate
from outbox.letters import Lane
from outbox.obstacles import Obstacle
from outbox.plan import Part, blank, carries, plan, too_large
from outbox.reasons import reason

MOST_PARTS = 20
"""Nobody reads an answer in more messages than this; it is a slip, or a file."""

LEEWAY = 5_000
"""Milliseconds before its end from which a window counts as closed: clocks differ, and a request takes time."""

BOUND = frozenset(
    {"window_closed", "quota_used", "too_long", "media_refused", "no_template", "template_only", "channel_gone"}
)
"""What lies in the channel alone, so that another text or channel may help."""

AWAITED = frozenset({"window_closed", "quota_used"})
"""What passes when the customer writes."""

CONTENT = frozenset(
    {"too_long", "media_refused", "empty", "guard", "no_template", "template_only", "missing_variables"}
)
"""What lies in the message, so that writing another one helps."""

Action = Literal["send", "split", "template", "channel", "hold", "refuse"]


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be said. *template* takes the place of the text where the platform has approved it."""

    text: str = ""
    html: str = ""
    subject: str = ""
    media: tuple[Media, ...] = ()
    template: PlatformTemplate | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """A channel and an address on it, as they stand.

    The right to answer ends at *open_until* (milliseconds since 1970 UTC, 0 = there is none, None = nothing is known
    of it) and has *left* messages (None = any number), of which *owed* are promised to what waits already.
    *segments* says as how many messages the carrier counts a text. *objections* are others' words on this way.
    """

    channel: str
    kind: str
    address: str
    capabilities: Capabilities
    open_until: int | None = None
    left: int | None = None
    owed: int = 0
    segments: Callable[[str], int] | None = None
    down: bool = False
    objections: tuple[Obstacle, ...] = ()


@dataclass(frozen=True, slots=True)
class Fallback:
    """A step that was configured, with what it would send by which way; *hold* is how long it waits instead (ms).

    *missing* are variables of its template that nobody knows: then it is no way out.
    """

    way: Way
    content: Content
    template: str = ""
    hold: int = 0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that decides about one message.

    *done* parts of it are out already. *quiet_until* is when the quiet hours end in which *now* lies, 0 = it does not.
    *insist*: a person wants the platform to decide about its window. *later*: it is planned for a time to come, until
    which the customer may write.
    """

    now: int
    way: Way
    content: Content
    lane: Lane = "reply"
    fallback: tuple[Fallback, ...] = ()
    quiet_until: int = 0
    done: int = 0
    insist: bool = False
    later: bool = False
    locale: str = "en"


@dataclass(frozen=True, slots=True)
class Cost:
    """How many *messages* the platform counts, and how many *segments* a carrier bills (None where none does)."""

    messages: int
    segments: int | None = None


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What becomes of a message.

    *action*: it goes as it is, in several parts, as a template, by another channel; it waits until *until*
    (None = until the customer writes, at most *hold* milliseconds); or it is refused. *obstacles* are those of the
    message as it was meant; *because* is the code of the one that led to another text or channel.
    """

    action: Action
    way: Way
    content: Content
    parts: tuple[Part, ...] = ()
    cost: Cost = Cost(0)
    obstacles: tuple[Obstacle, ...] = ()
    template: str = ""
    because: str = ""
    until: int | None = None
    hold: int = 0

    @property
    def goes(self) -> bool:
        """Whether it leaves now."""
        return self.action not in ("hold", "refuse")

    @property
    def blocks(self) -> tuple[Obstacle, ...]:
        """What keeps it in."""
        return tuple(one for one in self.obstacles if one.weight == "block")


def plan_send(facts: Facts) -> SendPlan:
    """Decide what becomes of a message."""
    look = _Look(facts)
    found = (*look.at(facts.way, facts.content, facts.done), *look.hour())
    blocks = [one for one in found if one.weight == "block"]
    if not blocks:
        return look.going(facts.way, facts.content, found)
    refused = SendPlan("refuse", facts.way, facts.content, obstacles=found)
    if facts.done or not BOUND.issuperset(one.code for one in blocks):
        return refused
    because = blocks[0].code
    for step in facts.fallback:
        if step.hold:
            if AWAITED.issuperset(one.code for one in blocks):
                return SendPlan("hold", facts.way, facts.content, obstacles=found, because=because, hold=step.hold)
        elif not step.missing:
            more = look.at(step.way, step.content)
            if not any(one.weight == "block" for one in more):
                return look.going(step.way, step.content, (*found, *more), template=step.template, because=because)
    return refused


@dataclass(frozen=True, slots=True)
class _Look:
    """Looks at ways with the eyes of one message's facts."""

    facts: Facts

    def at(self, way: Way, content: Content, done: int = 0) -> tuple[Obstacle, ...]:
        """Return what stands in the way of *content*, of which *done* parts are out."""
        found = [*self._files(way, content), *self._words(way, content)]
        count = 1 if content.template is not None else len(_parts(way, content)) - done
        if not any(one.weight == "block" for one in found):
            found += self._window(way, content, count)
        return (*found, *way.objections)

    def hour(self) -> Iterator[Obstacle]:
        """Yield that the hour is wrong; who answers a person is only told."""
        if self.facts.quiet_until:
            weight: Literal["warn", "hold"] = "warn" if self.facts.lane == "reply" else "hold"
            yield self._obstacle("quiet_hours", weight, until=self.facts.quiet_until)

    def going(
        self, way: Way, content: Content, found: tuple[Obstacle, ...], *, template: str = "", because: str = ""
    ) -> SendPlan:
        """Return the plan of what nothing blocks: it goes now, or when what delays it is over."""
        parts = (Part(),) if content.template is not None else tuple(_parts(way, content))
        segments = sum(way.segments(part.text) for part in parts if part.text) if way.segments is not None else None
        plan = SendPlan(
            "send",
            way,
            content,
            parts,
            Cost(len(parts), segments),
            found,
            template,
            because,
        )
        holds = [one for one in found if one.weight == "hold"]
        if holds:
            until = max((one.until for one in holds if one.until is not None), default=None)
            return replace(plan, action="hold", until=until, because=because or holds[0].code)
        if way.channel != self.facts.way.channel:
            return replace(plan, action="channel")
        if template:
            return replace(plan, action="template")
        return replace(plan, action="split" if len(parts) > 1 else "send")

    def _files(self, way: Way, content: Content) -> Iterator[Obstacle]:
        if content.template is not None:
            return
        for one in content.media:
            if not carries(one, way.capabilities):
                yield self._obstacle("media_refused", "block", "family", channel=way.channel, type=one.type)
            elif too_large(one, way.capabilities):
                most = min(filter(None, (way.capabilities.media_limit, way.capabilities.media_total)))
                size, most_mb = f"{one.size / (1 << 20):.1f}", f"{most / (1 << 20):.0f}"
                yield self._obstacle("media_refused", "block", "size", channel=way.channel, size=size, most=most_mb)

    def _words(self, way: Way, content: Content) -> Iterator[Obstacle]:
        if content.template is not None:
            if not way.capabilities.templates:
                yield self._obstacle("no_template", "block", channel=way.channel)
            return
        if blank(content.text) and not content.media:
            yield self._obstacle("empty", "block")
            return
        if not way.capabilities.texts:
            yield self._obstacle("template_only", "block", channel=way.channel)
            return
        if content.html and not way.capabilities.html:
            yield self._obstacle("html_left_out", "warn", channel=way.channel)
        if (count := len(_parts(way, content))) > MOST_PARTS:
            yield self._obstacle("too_long", "block", channel=way.channel, count=str(count), most=str(MOST_PARTS))
        if way.down:
            yield self._obstacle("channel_down", "warn", channel=way.channel)

    def _window(self, way: Way, content: Content, count: int) -> Iterator[Obstacle]:
        if way.capabilities.window is None or content.template is not None:
            return
        weight: Literal["warn", "block"] = "warn" if self.facts.insist or self.facts.later else "block"
        until = way.open_until
        if until is None and way.capabilities.window.messages is None and way.left is None:
            return  # only time counts, and nobody has noted it: the platform knows
        if (until or 0) - LEEWAY <= self.facts.now:
            yield self._obstacle("window_closed", weight, channel=way.channel)
        elif way.left is not None and way.left - way.owed < count:
            left = max(0, way.left - way.owed)
            yield self._obstacle("quota_used", weight, count=str(count), left=str(left), channel=way.channel)

    def _obstacle(
        self,
        code: str,
        weight: Literal["block", "hold", "warn"],
        which: str = "",
        /,
        *,
        until: int | None = None,
        **words: str,
    ) -> Obstacle:
        return Obstacle(code, weight, reason(which or code, self.facts.locale, **words), until)


def _parts(way: Way, content: Content) -> list[Part]:
    """Cut *content* as the channel needs it; files that it does not take have been refused before."""
    taken = [one for one in content.media if carries(one, way.capabilities) and not too_large(one, way.capabilities)]
    return plan(content.text, taken, way.capabilities)
