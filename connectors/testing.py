"""What the author of a connector tests with: memory, a kit, a scripted platform and the contract of every connector.

Subclass `ReceivingContract` for a connector that gets webhooks, `SendingContract` for one that
calls a platform by HTTP, both for one that does both, `ConnectorContract` alone for any other, and
name the subclass Test…: pytest with ``asyncio_mode = auto`` does the rest. Only tests import this
module: it needs pytest and hypothesis, and nothing of ours but the contract itself.
"""

from __future__ import annotations

import pytest

# Before the import, so that a broken promise shows the values that broke it.
pytest.register_assert_rewrite("connectors.contract")

from connectors.contract import ConnectorContract, Payload, ReceivingContract, Sending, SendingContract  # noqa: E402
from connectors.hostile import leaks, secrets_of  # noqa: E402
from connectors.props import (  # noqa: E402
    NOW,
    PUBLIC_URL,
    InMemory,
    Leaving,
    attachment,
    kit,
    outbound,
    read_events,
    webhook_call,
)
from connectors.scripted import PATIENCE, Fault, Platform, Reply, Request, closed_port, session  # noqa: E402

__all__ = [
    "NOW",
    "PATIENCE",
    "PUBLIC_URL",
    "ConnectorContract",
    "Fault",
    "InMemory",
    "Leaving",
    "Payload",
    "Platform",
    "ReceivingContract",
    "Reply",
    "Request",
    "Sending",
    "SendingContract",
    "attachment",
    "closed_port",
    "kit",
    "leaks",
    "outbound",
    "read_events",
    "secrets_of",
    "session",
    "webhook_call",
]
