"""The HTTP door for all connectors: platforms call /hooks/, visitors open /chat/ (in `connectors.sites`).

A call is verified and parsed by its connector, its events are made durable, and only then is it
answered. What a connector cannot understand is kept as it came (shunted) before it is answered.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import unquote, urlsplit

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from connectors.base import Answer, Malformed, Unverified, Webhook, WebhookCall
from connectors.door import (
    AWAY_RETRY,
    Channel,
    Count,
    Door,
    Head,
    Record,
    Refused,
    Shunt,
    Unavailable,
    described,
    head_of,
    parameters,
    peer,
    place,
    protections,
    read_body,
    respond,
    wait_header,
)
from connectors.doorway import Lobby
from connectors.sites import Sites

__all__ = ["Channel", "Ingress", "Unavailable", "rebuilt"]

HOOK_LIMIT = 1 << 20
"""Bytes of a webhook's body."""

FILE_LIMIT = 10 << 20
"""Bytes of a file that a visitor sends."""

_DOWN_RETRY = 60.0
_PREFIX = "/hooks/"
_DONE = Answer()
_log = logging.getLogger(__name__)


class Ingress:
    """The door; see `Door` for the arguments. *file_limit* is the most bytes of a visitor's file."""

    def __init__(
        self,
        channels: Callable[[], Mapping[str, Channel]],
        record: Record,
        shunt: Shunt,
        *,
        public_url: str,
        now: Callable[[], int],
        count: Count,
        remote: Callable[[str, CIMultiDictProxy[str]], str] = peer,
        away: type[Exception] = Unavailable,
        file_limit: int = FILE_LIMIT,
    ) -> None:
        self._door = Door(channels, record, shunt, public_url.rstrip("/"), now, count, remote, away)
        self._protected = protections(public_url)
        self._sites = Sites(self._door, file_limit=file_limit)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of /chat/ for the hub's router."""
        return self._sites.routes()

    async def close(self) -> None:
        """Take no more visitors, close their sockets with 1001 (going away) and let waiting polls answer."""
        await self._sites.close()

    def lobby(self, rest: Callable[[], asyncio.Protocol], keepalive: float) -> Lobby:
        """Return what meets the connections of a server, and gives those that are for others to *rest*."""
        return Lobby(self.answer, rest, HOOK_LIMIT, keepalive, self._protected)

    async def hook(self, request: web.BaseRequest) -> web.Response:
        """Answer one of aiohttp's requests to /hooks/ as `answer` does."""
        try:
            body: bytes | Refused = await read_body(request, HOOK_LIMIT, greet=True)
        except Refused as refused:
            body = refused
        response = respond(await self.answer(head_of(request), body), self._protected)
        if isinstance(body, Refused):
            response.force_close()  # the rest of the body is not worth reading
        return response

    async def answer(self, head: Head, body: bytes | Refused) -> Answer:
        """Answer a call of /hooks/{channel}[/{secret_path}] with *body*, or with the reason why that was not read.

        200 only after the events, or the shunted payload, are durable; 503 with Retry-After when
        they cannot be, 403 unverified, 404 no such channel, 405, 408, 413, 415 as HTTP has them.
        """
        door = self._door
        path = head.target.partition("?")[0]
        name, _, secret = path.removeprefix(_PREFIX).partition("/")
        channel = door.channels().get(name)
        if channel is None or not path.startswith(_PREFIX):
            return self._refuse("", Refused(404, "unknown"))
        try:
            receive = _webhook(channel, head.method, secret)
            if isinstance(body, Refused):
                raise body  # what it is called for was worth knowing first
        except Refused as refused:
            return self._refuse(name, refused)
        call = door.call(head, body)
        try:
            received = await receive.receive(call)
            if received.events:
                await door.record(name, received.events)
            if received.left is not None:
                await door.shunt(name, received.left.body, received.left.error, described(call))
                door.count(name, "shunted")
        except Unavailable as unavailable:
            return self._refuse(name, Refused(503, "unavailable", retry_after=unavailable.retry_after))
        except Unverified:
            return self._refuse(name, Refused(403, "unverified"))
        except Malformed as malformed:
            return await self._shunt(name, call, str(malformed) or "malformed")
        except Exception as error:  # noqa: BLE001  # a bug of ours must not lose what the platform sent
            if isinstance(error, door.away):
                return self._refuse(name, Refused(503, "unavailable", retry_after=AWAY_RETRY))
            _log.error("channel %s: a call failed: %s", name, place(error))
            return await self._shunt(name, call, place(error))
        door.count(name, "accepted" if received.answer.status < 400 else "refused")
        return received.answer

    async def _shunt(self, name: str, call: WebhookCall, error: str) -> Answer:
        """Keep what nobody understood and answer 200, so that the platform does not send it for ever."""
        try:
            await self._door.shunt(name, call.body, error, described(call))
        except Unavailable as unavailable:
            return self._refuse(name, Refused(503, "unavailable", retry_after=unavailable.retry_after))
        except Exception as failure:  # noqa: BLE001  # not kept, so not answered with 200
            _log.error("channel %s: a call could not be shunted: %s", name, place(failure))
            return self._refuse(name, Refused(500, "failed"))
        self._door.count(name, "shunted")
        return _DONE

    def _refuse(self, name: str, refused: Refused) -> Answer:
        self._door.count(name, refused.outcome)
        headers = wait_header(refused.retry_after) if refused.retry_after else {}
        if refused.status == 405:
            headers["Allow"] = "GET, POST"
        return Answer(refused.status, headers=headers)


def _webhook(channel: Channel, method: str, secret: str) -> Webhook:
    """Return the connector that the call is for. Raises `Refused`."""
    if method not in ("POST", "GET"):
        raise Refused(405, "method")
    connector = channel.connector
    if connector is None:
        raise Refused(503, "down", retry_after=_DOWN_RETRY)
    expected = channel.secret_path or ""
    if (secret or expected) and not hmac.compare_digest(_bytes(secret), _bytes(expected)):
        raise Refused(403, "unverified") if expected else Refused(404, "unknown")
    if not hasattr(connector, "receive"):
        raise Refused(404, "unknown")
    return cast("Webhook", connector)  # isinstance of a Protocol costs more than the rest of the call


def _bytes(path: str) -> bytes:
    return unquote(path).encode("utf-8", "surrogateescape") if "%" in path else path.encode("utf-8", "surrogateescape")


def rebuilt(body: bytes, meta: Mapping[str, object]) -> WebhookCall:
    """Return the call that was shunted as *body* with *meta*, for a connector to try again."""
    url = str(meta["url"])
    headers = meta["headers"]
    at = meta["at"]
    if not isinstance(headers, list) or not isinstance(at, int):
        raise TypeError("the description of a shunted call has headers (a list of pairs) and at (an integer)")
    return WebhookCall(
        method=str(meta["method"]),
        url=url,
        path=str(meta["path"]),
        query=parameters(urlsplit(url).query),
        headers=CIMultiDictProxy(CIMultiDict([(name, value) for name, value in headers])),
        body=body,
        remote=str(meta["remote"]),
        now=at,
    )
