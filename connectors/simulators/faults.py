"""Calls of WeChat and WeCom that go wrong on demand, and how their platforms say no: by an errcode, with status 200."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Fault:
    """How a call goes wrong: refused with *errcode* or HTTP *status*; or done, and then answered late or never."""

    errcode: int = 0
    status: int = 0
    wait: float = 0.0
    cut: bool = False


class Refused(Exception):
    """A call that the platform answers with an errcode, and perhaps more *fields*."""

    def __init__(self, errcode: int, message: str = "error", **fields: str) -> None:
        super().__init__(message)
        self.errcode = errcode
        self.fields = fields


@dataclass
class Faults:
    """The faults that wait for their calls, how often each was called, and what was not granted, with its errcode."""

    calls: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, int]] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    _queued: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))

    def add(self, call: str, fault: Fault, times: int = 1) -> None:
        """Let the next *times* calls of *call* go wrong."""
        self._queued[call].extend([fault] * times)

    async def answer(
        self,
        call: str,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        messages: Mapping[int, str],
    ) -> web.StreamResponse:
        """Answer *request*, which is one of *call*, by *handler* or by a fault; *messages* are errmsgs by errcode."""
        self.calls[call] += 1
        fault = self._queued[call].popleft() if self._queued[call] else Fault()
        try:
            if fault.errcode:
                raise Refused(fault.errcode)
            if fault.status:
                return web.Response(status=fault.status, text="<html>bad gateway</html>", content_type="text/html")
            response = await handler(request)
        except Refused as refused:
            self.refused.append((call, refused.errcode))
            response = refusal(call, refused, messages)
        if fault.wait:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), fault.wait)
        if fault.cut and request.transport is not None:
            request.transport.abort()
        return response

    async def shut(self, _app: web.Application) -> None:
        """Let no answer wait any longer: the platform goes down."""
        self.closing.set()


def refusal(call: str, refused: Refused, messages: Mapping[int, str]) -> web.Response:
    """Return the platform's no; its errmsg carries numbers that nobody may match on."""
    hint = f"hint: [{secrets.token_hex(8)}], more info at the platform"
    said = messages.get(refused.errcode, str(refused))
    body = json.dumps({"errcode": refused.errcode, "errmsg": f"{said}, {hint}", **refused.fields})
    # media/get gives its errors as text/plain; a client that trusts the type would store them as a file.
    return web.Response(text=body, content_type="text/plain" if call == "media/get" else "application/json")
