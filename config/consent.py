"""Who may be written to, as admins write it: the words by which customers leave and return, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from config.faults import Wrong
from config.folding import fold
from config.values import Name, Section

Lane = Literal["reply", "notice", "survey", "campaign"]

CARRIERS_LEAVE = (
    "stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "revoke", "td", "t",
    "退订", "取消订阅", "拒收",
)  # fmt: skip
"""What ends messages by SMS: the CTIA's keywords, and what Chinese senders must offer (回T退订, 回TD退订)."""

LEAVE = ("stop", "stopall", "unsubscribe", "td", "退订", "取消订阅", "拒收")
"""The same elsewhere, where "end" or "t" may be an answer to something."""

RETURN = ("start", "unstop", "恢复订阅", "重新订阅")


def bare(text: str) -> str:
    """Return *text* as it is compared: folded, nothing but letters and digits."""
    return "".join(char for char in fold(text) if char.isalnum())


def _words(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(bare, value)):
        raise Wrong("a word without a letter or digit can never be written", expected="words like STOP or 退订")
    return value


_Words = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=40)], ...], AfterValidator(_words)]


class Keywords(Section):
    """The words of one channel, or of all channels of a kind; what is left out keeps its default."""

    stop: _Words | None = None
    """Words that end messages; a message counts only if it is nothing but one of them."""
    start: _Words | None = None
    """Words that allow them again."""


class Consent(Section):
    """Who may be written to."""

    words: Mapping[Name, Keywords] = {}
    """Words by channel or kind, or `any` for all others."""
    required: tuple[Lane, ...] = ("campaign",)
    """What goes only to who has agreed: survey, campaign."""
    whole_contact: bool = False
    """An opt-out ends messages to all addresses of the contact, not only to the one that it came from."""
    replies: Literal["until-they-write", "never", "always"] = "until-they-write"
    """Answers of agents and acknowledgements to who has opted out: held back until they write again, never, always."""
    unsubscribe: Literal["lane", "unasked"] = "unasked"
    """What the link in a mail ends: what came with it (lane), or all surveys and campaigns (unasked)."""
    confirm: Name | None = None
    """The template that confirms a keyword, once; by default nothing is sent."""
    confirmed_by_platform: tuple[Name, ...] = ("twilio-sms",)
    """Kinds of channels whose platform confirms by itself, and refuses what we send."""

    def keywords(self, channel: str, kind: str, *, carrier: bool) -> tuple[frozenset[str], frozenset[str]]:
        """Return the words that end and that allow messages on a channel, bare. *carrier*: it is one of SMS."""
        stop: tuple[str, ...] = CARRIERS_LEAVE if carrier else LEAVE
        start: tuple[str, ...] = RETURN
        for name in ("any", kind, channel):
            given = self.words.get(name)
            if given is not None:
                stop = stop if given.stop is None else given.stop
                start = start if given.start is None else given.start
        return frozenset(map(bare, stop)), frozenset(map(bare, start))
