"""When to try again. Retry time lives in the store, never in a sleeping task."""

from __future__ import annotations

import random
from dataclasses import dataclass

from config.sending import Delivery, Recipient, Waits, merged
from connectors.base import BadOptions, SendError, Throttled, Uncertain, Unreachable

STANDARD_WEBHOOKS = "5,300,1800,7200,18000,36000,50400,72000,86400"
"""The delays, in seconds, that the Standard Webhooks specification recommends; the first attempt is made at once."""

SPREAD = 0.1
LEAST = 0.1
CLASSES: tuple[tuple[str, type[SendError]], ...] = (
    ("unreachable", Unreachable),
    ("throttled", Throttled),
    ("uncertain", Uncertain),
    ("bad_options", BadOptions),
)


@dataclass(frozen=True, slots=True)
class Delays:
    """Waits between one attempt and the next, in milliseconds. After the last one a delivery is dead."""

    waits: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Delays:
        """Take "5,300", which is seconds, apart. Raises ValueError."""
        return cls(tuple(int(float(word) * 1000) for word in text.split(",")))

    @property
    def lifetime(self) -> int:
        """For how long a delivery is tried at most, unless its platform asks for more patience."""
        return int(sum(self.waits) * (1 + SPREAD))

    def next_due(
        self,
        attempts: int,
        created: int,  # noqa: ARG002  # as in `Schedule`
        error: SendError,
        now: int,
        chance: float | None = None,
    ) -> int | None:
        """Return when to try again after *attempts* attempts, or None when it is time to give up.

        Every wait is up to a tenth longer or shorter.
        """
        spread = random.random() if chance is None else chance  # noqa: S311  # jitter
        if not 0 < attempts <= len(self.waits):
            return None
        wait = self.waits[attempts - 1] * (1 + SPREAD * (2 * spread - 1))
        if isinstance(error, Throttled):
            wait = max(wait, error.retry_after * 1000)
        return now + int(wait)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Exponential backoff with full jitter; all figures in milliseconds. After *lifetime* a delivery is dead."""

    first: int = 2_000
    factor: float = 2.5
    longest: int = 3_600_000
    lifetime: int = 24 * 3_600_000

    def next_due(
        self, attempts: int, created: int, error: SendError, now: int, chance: float | None = None
    ) -> int | None:
        """Return when to try again after *attempts* attempts, or None when it is time to give up.

        The wait is anything between a tenth of the backoff and all of it: what failed together comes back spread as
        widely as can be, and never at once. A platform's own Retry-After is obeyed, with at most one second on top.
        """
        spread = random.random() if chance is None else chance  # noqa: S311  # jitter
        if isinstance(error, Throttled):
            due = now + int(error.retry_after * 1000 + spread * 1000)
        else:
            steps = min(max(0, attempts - 1), 64)  # further ones change nothing but overflow
            wait = min(self.first * self.factor**steps, float(self.longest))
            due = now + int(wait * (LEAST + (1 - LEAST) * spread))
        return due if due <= created + self.lifetime else None


@dataclass(frozen=True, slots=True)
class Policy:
    """How messages go out on one channel; times in milliseconds, *timeout* in seconds."""

    general: Schedule = Schedule()
    special: tuple[tuple[type[SendError], Schedule], ...] = ()
    failures: int = 5
    pause: int = 10_000
    longest_pause: int = 300_000
    recipient: Recipient | None = None
    timeout: float = 45.0
    at_once: int = 32

    @classmethod
    def of(cls, settings: Delivery) -> Policy:
        """Take the settings of a channel."""
        retry, breaker = settings.retry, settings.breaker
        own = [(error, getattr(retry, name)) for name, error in CLASSES if getattr(retry, name) is not None]
        return cls(
            general=_schedule(retry),
            special=tuple((error, _schedule(merged(retry, waits))) for error, waits in own),
            failures=breaker.failures,
            pause=breaker.pause,
            longest_pause=max(breaker.pause, breaker.longest),
            recipient=settings.recipient,
            timeout=settings.timeout / 1000,
            at_once=settings.at_once,
        )

    def again(self, error: SendError, *, idempotent: bool) -> bool:
        """Tell whether a send that ended in *error* may be tried again."""
        if isinstance(error, Uncertain):
            return idempotent
        return error.retryable or any(isinstance(error, kind) for kind, _ in self.special)

    def schedule(self, error: SendError, own: str = "") -> Schedule | Delays:
        """Return when what ended in *error* is tried again; *own* is what the delivery itself says, if anything."""
        if own:
            return Delays.of(own)
        return next((schedule for kind, schedule in self.special if isinstance(error, kind)), self.general)

    def lifetime(self, own: str = "") -> int:
        """Return after what time a delivery that could not be tried is given up, in milliseconds."""
        return Delays.of(own).lifetime if own else self.general.lifetime


def _schedule(waits: Waits) -> Schedule:
    return Schedule(waits.first, waits.factor, waits.longest, waits.lifetime)
