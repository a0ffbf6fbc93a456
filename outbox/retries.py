"""When to try again. Retry time lives in the store, never in a sleeping task."""

from __future__ import annotations

import random
from dataclasses import dataclass

from connectors.base import SendError, Throttled


@dataclass(frozen=True, slots=True)
class Schedule:
    """Exponential backoff with jitter; all figures in milliseconds. After *lifetime* a delivery is dead."""

    first: int = 2_000
    factor: float = 2.5
    longest: int = 3_600_000
    jitter: float = 0.2
    lifetime: int = 24 * 3_600_000

    def next_due(
        self, attempts: int, created: int, error: SendError, now: int, chance: float | None = None
    ) -> int | None:
        """Return when to try again after *attempts* attempts, or None when it is time to give up.

        A platform's own Retry-After is obeyed (with at most one second on top, so that waiting
        deliveries do not return all at once).
        """
        spread = random.random() if chance is None else chance  # noqa: S311  # jitter
        if isinstance(error, Throttled):
            due = now + int(error.retry_after * 1000 + spread * 1000)
        else:
            steps = min(max(0, attempts - 1), 64)  # further ones change nothing but overflow
            wait = min(self.first * self.factor**steps, float(self.longest))
            due = now + int(wait * (1 + self.jitter * (2 * spread - 1)))
        return due if due <= created + self.lifetime else None
