"""Where agents and teams hear of work, what of it they want to hear, and how far what they write back is believed."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from config.faults import Wrong
from config.values import DURATIONS, Language, Millis, Name, Section, one_or_more

MINUTE, DAY = DURATIONS["m"], DURATIONS["d"]
MOBILE = re.compile(r"1[3-9]\d{9}")
SCHEME = re.compile(r"[a-z][a-z0-9.+-]*:\S+")
IDS = ("wecom", "dingtalk", "feishu")
SCHEMES = {"email": "mailto", "sms": "tel", **{kind: kind for kind in IDS}}

Happening = Literal["assigned", "message", "answered", "sla_warning", "sla_breach", "mention", "failed", "draft"]
TeamHappening = Literal["waiting", "sla_warning", "sla_breach", "failed"]
Absence = Literal["offline", "away", "shift"]


class Way(Section):
    """How one address is reached: what an agent's and a team's entries have in common."""

    userid: str | None = Field(default=None, min_length=1)
    """The id there (wecom, dingtalk, feishu)."""
    address: str | None = Field(default=None, min_length=1)
    """Mail address or phone number; for a messenger the address as its channel writes it, like `line:U123`."""
    number: str | None = Field(default=None, min_length=1)
    """Phone number (sms); the same as `address`."""
    channel: Name | None = None
    """The channel that carries it; needed when there are several of a fitting kind."""

    kind: str
    spoken: ClassVar[frozenset[str]] = frozenset({"email"})

    @model_validator(mode="after")
    def _can_be_reached(self) -> Way:
        if self.kind in IDS and self.userid is None:
            raise Wrong(f"{self.kind} needs to know the agent's userid", expected="userid")
        if self.kind == "sms" and self.address is None and self.number is None:
            raise Wrong("sms needs to know the agent's number", expected="number")
        if self.kind == "messenger" and (self.channel is None or not SCHEME.fullmatch(self.address or "")):
            raise Wrong("a messenger needs a channel and an address", expected="an address like line:U123")
        return self

    def target(self, mailbox: str = "") -> str:
        """Return the address in the hub's form (scheme and value), *mailbox* where mail names none; "" for a group."""
        match self.kind:
            case "email":
                return f"mailto:{(self.address or mailbox).lower()}"
            case "sms":
                return f"tel:{dialled(self.number or self.address or '')}"
            case "messenger":
                return self.address or ""
            case kind if kind in IDS:
                return f"{kind}:{self.userid}"
        return ""

    def fits(self, channel_kind: str) -> bool:
        """Tell whether a channel of *channel_kind* can carry it."""
        if self.kind == "messenger":
            return True
        return channel_kind in (self.kind, f"{self.kind}-app") or channel_kind.endswith(f"-{self.kind}")


class Notify(Way):
    """Where an agent hears of work."""

    kind: Literal["email", "wecom", "dingtalk", "feishu", "sms", "messenger"]
    """By what means."""


class TeamNotify(Way):
    """Where a whole team hears of work that nobody has yet."""

    kind: Literal["wecom-robot", "email", "sms", "messenger"]
    """By what means."""
    events: Annotated[tuple[TeamHappening, ...], BeforeValidator(one_or_more)] = get_args(TeamHappening)
    """What the team hears of."""
    after: Millis = 2 * MINUTE
    """How long a conversation may be nobody's before the team hears of it."""

    @model_validator(mode="after")
    def _has_an_address(self) -> TeamNotify:
        if self.kind == "email" and self.address is None:
            raise Wrong("notice by email needs an address", expected="address")
        return self


class Notices(Section):
    """What an agent hears of, and when."""

    events: Annotated[tuple[Happening, ...], BeforeValidator(one_or_more)] = get_args(Happening)
    """What the agent hears of."""
    pause: Annotated[tuple[Absence, ...], BeforeValidator(one_or_more)] = ("offline", "shift")
    """When notices wait until the agent is back: `offline`, `away`, `shift` (off duty)."""
    bundle: Millis = 20_000
    """After a notice, how long further messages of the same conversation are gathered before the next one."""
    language: Language | None = None
    """Language of notices; by default the agent's first one, else the hub's."""


class MailReply(Section):
    """How far answers by mail are believed."""

    require: Literal["token+dkim", "token", "dkim"] = "token+dkim"
    """What proves that an answer is the agent's: the notice's token, a valid signature of the sender's domain."""


class SmsReply(Section):
    """How far answers by SMS are believed."""

    require: Literal["code", "approval"] = "code"
    """`code`: the sender's number and the notice's code prove it; `approval`: every answer waits for approval."""


class AgentsReply(Section):
    """How agents answer from where they are told."""

    mail: MailReply = MailReply()
    """How far answers by mail are believed."""
    sms: SmsReply = SmsReply()
    """How far answers by SMS are believed."""
    life: Millis = 14 * DAY
    """How long a notice can be answered."""
    prefix: str = Field(default="/", min_length=1, max_length=3, pattern=r"^[!-/:-@\[-`{-~]+$")
    """What a command begins with; the same in full width counts, too."""


def dialled(number: str) -> str:
    """Return a phone number in the form +<country><number>; eleven digits are a mobile number of mainland China."""
    digits = re.sub(r"[^\d+]", "", number)
    if MOBILE.fullmatch(digits):
        return f"+86{digits}"
    return f"+{digits[2:]}" if digits.startswith("00") else digits
