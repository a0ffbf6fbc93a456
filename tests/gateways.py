"""A gateway for short messages that tests slow down, hang and count; and, run as a program, a hub that knows it.

Kinds: `gateway` sends whatever it is told, `gateway-ids` drops a second message with the same id.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from connectors.base import (
    Answer,
    Capabilities,
    Kit,
    Malformed,
    Message,
    Options,
    Outbound,
    Received,
    Sent,
    WebhookCall,
)
from connectors.calls import call

KINDS = ("gateway", "gateway-ids")


class GatewayOptions(Options):
    """Where the gateway is."""

    api_base: str


class Gateway:
    """A gateway that knows nothing of ids."""

    kind: ClassVar[str] = "gateway"
    Options: ClassVar[type[Options]] = GatewayOptions
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, options: GatewayOptions, kit: Kit) -> None:
        self._options = options
        self._kit = kit

    async def receive(self, called: WebhookCall) -> Received:
        try:
            fields = msgspec.json.decode(called.body, type=dict[str, str])
        except msgspec.DecodeError:
            raise Malformed("no JSON") from None
        return Received([Message(fields["id"], fields["from"], called.now, fields["text"])], Answer())

    async def send(self, message: Outbound) -> Sent:
        reply = await call(
            self._kit.http,
            "POST",
            f"{self._options.api_base}/{self._kit.channel}",
            leaving=message.leaving,
            timeout=40.0,
            json={"id": message.id, "to": message.address, "text": message.text},
        )
        return Sent(reply.json()["id"])


class GatewayWithIds(Gateway):
    """A gateway that drops a second message with the same id."""

    kind: ClassVar[str] = "gateway-ids"
    capabilities: ClassVar[Capabilities] = Capabilities(idempotent=True)


@dataclass
class Side:
    """The gateway's side: what came, when, and how slowly it answers.

    *delays* are seconds between which an answer takes, by channel; *honours* are the channels that drop repeats.
    *requests* are (when, channel, id, text, when it was answered), by time.monotonic(); 0 = never.
    """

    honours: frozenset[str] = frozenset()
    delays: dict[str, tuple[float, float]] = field(default_factory=dict)
    requests: list[list[Any]] = field(default_factory=list)
    arrived: dict[str, list[str]] = field(default_factory=dict)
    """Channel -> the texts that reached people."""
    seen: set[tuple[str, str]] = field(default_factory=set)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{channel}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        channel, body = request.match_info["channel"], await request.json()
        entry = [time.monotonic(), channel, body["id"], body["text"], 0.0]
        self.requests.append(entry)
        if channel not in self.honours or (channel, body["id"]) not in self.seen:
            self.seen.add((channel, body["id"]))
            self.arrived.setdefault(channel, []).append(body["text"])
        shortest, longest = self.delays.get(channel, (0.0, 0.0))
        if longest:
            await asyncio.sleep(random.uniform(shortest, longest))
        entry[4] = time.monotonic()
        return web.json_response({"id": f"g-{body['id']}"})


def install() -> None:
    """Make the kinds known to this process and to those that it forks."""
    from connectors import registry  # only the program needs it

    names = {"gateway": "tests.gateways:Gateway", "gateway-ids": "tests.gateways:GatewayWithIds"}
    registry.BUILT_IN = {**registry.BUILT_IN, **names}


if __name__ == "__main__":
    install()
    from hub import main

    main()
