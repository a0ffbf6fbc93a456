"""An existing tool that receives webhooks: verifies every call by the reference library; misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError


@dataclass
class Call:
    """One call that was verified: *id* is the webhook-id, *event* the body, *signatures* how many came with it."""

    id: str
    event: dict[str, Any]
    headers: dict[str, str]
    signatures: int


@dataclass
class Receiver:
    """Takes calls at /hook; answers with *status* unless an *answer* was put into the queue."""

    secret: str
    status: int = 204
    calls: list[Call] = field(default_factory=list)
    refused: int = 0
    tries: int = 0
    answers: deque[web.Response] = field(default_factory=deque)
    hanging: asyncio.Event | None = None

    @property
    def app(self) -> web.Application:
        """The tool as an application."""
        app = web.Application()
        app.router.add_post("/hook", self._take)
        return app

    @property
    def ids(self) -> list[str]:
        """The webhook-ids that were taken, in order."""
        return [one.id for one in self.calls]

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.tries += 1
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            self.refused += 1
            return web.Response(status=400)
        if self.hanging is not None:
            await self.hanging.wait()
        if self.answers:
            return self.answers.popleft()
        if self.status >= 300:
            return web.Response(status=self.status)
        signatures = len(headers["webhook-signature"].split(" "))
        self.calls.append(Call(headers["webhook-id"], json.loads(body), headers, signatures))
        return web.Response(status=self.status)
