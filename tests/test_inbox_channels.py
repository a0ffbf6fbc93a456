"""What is known of a channel."""

from __future__ import annotations

import pytest

from connectors.base import Event, Ignored, Message
from inbox.channels import Channel

AT = 1_795_305_600_000


def message(at: int) -> Message:
    return Message(f"m-{at}", "wechat:u", at, "在吗")


@pytest.mark.parametrize(
    ("events", "lag"),
    [
        ([message(AT - 3_000)], 3_000),
        ([message(AT - 9_000), message(AT - 2_000)], 2_000),
        ([message(AT + 60_000)], 0),
        ([Ignored("ping-1", "a ping")], 700),
        ([], 700),
    ],
    ids=["one", "the latest of several", "a platform whose clock is ahead", "what tells no time", "none"],
)
def test_a_channel_is_as_late_as_the_latest_event_that_came(events: list[Event], lag: int) -> None:
    """Against the platform's own time of it; never negative, and unchanged by what has no time."""
    channel = Channel("shop", "wechat", lag=700)
    channel.heard(events, AT)
    assert (AT, lag) == (channel.last_event_at, channel.lag)
