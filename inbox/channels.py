"""The configured channels of this process: their connectors, whether they work, and why not."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.base import Capabilities, Closer, Connector, Event, Fetcher, Ignored, Listener

log = logging.getLogger(__name__)

NOTHING = Capabilities()


@dataclass(slots=True)
class Channel:
    """One configured channel. *connector* is None when it could not be built; *reason* says why it is not up.

    *last_event_at* and *changed_at* are in milliseconds since 1970 UTC, 0 = never; *lag* is in milliseconds how long
    after the platform's own time of it the last event came. *source* is the part of the configuration that it was
    built from.
    """

    name: str
    kind: str
    connector: Connector | None = None
    required: bool = True
    rate: float | None = None
    reason: str = ""
    state: str = "up"
    last_event_at: int = 0
    lag: int = 0
    changed_at: int = 0
    secret_path: str | None = None
    source: Any = field(default=None, repr=False)

    @property
    def capabilities(self) -> Capabilities:
        return self.connector.capabilities if self.connector is not None else NOTHING

    @property
    def listener(self) -> Listener | None:
        """The connector, if it is one that asks the platform."""
        connector: object = self.connector
        return connector if isinstance(connector, Listener) else None

    @property
    def fetcher(self) -> Fetcher | None:
        """The connector, if it can download files."""
        connector: object = self.connector
        return connector if isinstance(connector, Fetcher) else None

    async def close(self) -> None:
        """Let the connector give back what it holds; a fault in that is logged and changes nothing."""
        connector: object = self.connector
        if isinstance(connector, Closer):
            try:
                await connector.close()
            except Exception:
                log.exception("the connector of %s did not close", self.name)

    def heard(self, events: Sequence[Event], now: int) -> None:
        """Note that *events* have come in."""
        self.last_event_at = now
        times = [one.at for one in events if not isinstance(one, Ignored)]
        if times:
            self.lag = max(0, now - max(times))

    def mark(self, state: str, reason: str, now: int) -> None:
        """Say whether the channel is "up", "degraded" or "down"."""
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason, self.changed_at = state, reason, now


@dataclass(slots=True)
class Channels:
    """All channels by name; replaced as a whole when the configuration is reloaded.

    *unlisted* are channels to the outbox alone: no customer is there, and no list of channels shows them.
    """

    by_name: Mapping[str, Channel] = field(default_factory=dict)
    unlisted: Mapping[str, Channel] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Channel]:
        return iter(self.by_name.values())

    def get(self, name: str) -> Channel | None:
        return self.by_name.get(name) or self.unlisted.get(name)
