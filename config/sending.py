"""``delivery:`` in ``huiliu.yaml``: how patiently, how fast and how carefully messages go out."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, model_validator

from config.faults import Wrong
from config.values import DURATIONS, Millis, Section

S = TypeVar("S", bound=Section)
SECOND, MINUTE, HOUR = DURATIONS["s"], DURATIONS["m"], DURATIONS["h"]
LONGEST = 50 * SECOND


def patience(value: int) -> int:
    """Accept for how long a platform is waited for. Raises `Wrong`."""
    if value > LONGEST:
        raise Wrong("{value} is too long: another process would think that this one has died", expected="at most 50s")
    return value


Patience = Annotated[Millis, AfterValidator(patience)]


class Waits(Section):
    """How long to wait between attempts."""

    first: Millis = 2 * SECOND
    """The longest wait after the first attempt."""
    factor: float = Field(default=2.5, ge=1, le=100, allow_inf_nan=False)
    """By how much each further wait may be longer."""
    longest: Millis = HOUR
    """The longest wait of all."""
    lifetime: Millis = 24 * HOUR
    """After what time a message is given up."""

    @model_validator(mode="after")
    def _grow(self) -> Waits:
        if self.longest < self.first:
            raise Wrong("the longest wait is shorter than the first", expected="longest of at least first")
        return self


class Retry(Waits):
    """How long to wait between attempts, and what differs for single kinds of error."""

    unreachable: Waits | None = None
    """The platform was not reached, or is busy."""
    throttled: Waits | None = None
    """The platform asks for patience; it says itself for how long."""
    uncertain: Waits | None = None
    """No answer came, where the platform drops a second message with our id."""
    bad_options: Waits | None = None
    """The platform refuses the channel's credentials or permissions; by default the message is given up at once."""


class Breaker(Section):
    """When a channel rests because sends keep failing."""

    failures: int = Field(default=5, ge=1, le=1000)
    """After how many failures in a row."""
    pause: Millis = 10 * SECOND
    """For how long at first; then one message is tried. Twice as long each time that it fails as well."""
    longest: Millis = 5 * MINUTE
    """For how long at most."""


class Recipient(Section):
    """How many messages one recipient gets."""

    messages: int = Field(ge=1, le=1000)
    """How many at most."""
    within: Millis
    """In any such time."""


class Delivery(Section):
    """How messages go out."""

    retry: Retry = Retry()
    """How long to wait between attempts."""
    breaker: Breaker = Breaker()
    """When a channel rests because sends keep failing."""
    recipient: Recipient | None = None
    """How many messages one recipient gets; by default as many as there are."""
    timeout: Patience = 45 * SECOND
    """For how long a platform may take over one message; 50s at most."""
    at_once: int = Field(default=32, ge=1, le=1000)
    """How many messages one process sends at the same time on one channel."""

    def under(self, special: Delivery | None) -> Delivery:
        """Return these with what *special* says instead."""
        return merged(self, special) if special is not None else self


def merged(general: S, special: S) -> S:
    """Return *general* with every key that was written in *special*, also in the sections below."""
    values = {}
    for name in special.model_fields_set:
        value, before = getattr(special, name), getattr(general, name)
        both = isinstance(value, Section) and isinstance(before, Section)
        values[name] = merged(before, value) if both else value
    return general.model_copy(update=values)
