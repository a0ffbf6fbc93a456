"""The HTTP interface that WeChat and WeCom share: a token in the address, JSON with an errcode, files up and down.

Sources: developers.weixin.qq.com, "New temporary materials"; developer.work.weixin.qq.com, path/90253, path/90254.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import aiohttp

from connectors import errcodes
from connectors.base import Kit, SendError, Uncertain, Unreachable
from connectors.calls import Reply, call
from connectors.errcodes import JSON_HEADERS, MAX_JSON, decode, encode
from connectors.tokens import Grant, Tokens

TOKEN_TIMEOUT = 8.0
FILE_TIMEOUT = 60.0


class Answer(errcodes.Answer, frozen=True):
    """What every interface here may answer with."""

    access_token: str = ""
    expires_in: int = 0
    media_id: str = ""


A = TypeVar("A", bound=Answer)


class Interface(ABC, Generic[A]):
    """Calls in the name of one account. Raises `SendError`s that never hold a token, a secret or an address.

    *kind* is what its interfaces answer with, *refused* are the errcodes that call for a new token, *early* is how
    many milliseconds before its end a token is renewed.
    """

    def __init__(self, kit: Kit, base: str, kind: type[A], refused: frozenset[int], *, early: int) -> None:
        self._http = kit.http
        self._now = kit.now
        self._base = base
        self._kind = kind
        self._token_refused = refused
        self._tokens = Tokens(kit.memory, kit.now, self._grant, early=early)

    @abstractmethod
    def refusal(self, errcode: int) -> SendError:
        """Return what an *errcode* means."""

    @abstractmethod
    async def _grant(self, known: Grant | None) -> Grant:
        """Ask for a token that may be used instead of *known*; runs under the lock of `Tokens`."""

    def _spurned(self, token: str) -> None:
        """Take note that the platform refuses *token*."""

    async def post(
        self,
        path: str,
        payload: Mapping[str, Any],
        *,
        leaving: Callable[[], Awaitable[None]] | None = None,
        repeatable: bool = False,
    ) -> A:
        """Post *payload* to *path* and return what the platform says with its yes; see `calls.call`."""
        body = encode(payload)

        async def request(token: str) -> Reply:
            return await call(
                self._http,
                "POST",
                f"{self._base}{path}",
                leaving=leaving,
                repeatable=repeatable,
                max_answer=MAX_JSON,
                params={"access_token": token},
                data=body,
                headers=JSON_HEADERS,
            )

        _, answer = await self._ask(request, repeatable=repeatable)
        if answer.errcode is None and not repeatable:
            raise Uncertain("the platform answered without an errcode")
        return answer

    async def upload(self, family: str, name: str, mime: str, data: bytes) -> str:
        """Upload a temporary file (valid for 3 days) and return its media_id."""

        async def request(token: str) -> Reply:
            # People see the name of a file, and the platforms read it as it stands there, not percent-encoded.
            form = aiohttp.FormData(quote_fields=False)
            form.add_field("media", io.BytesIO(data), filename=name, content_type=mime)
            return await call(
                self._http,
                "POST",
                f"{self._base}/cgi-bin/media/upload",
                repeatable=True,
                max_answer=MAX_JSON,
                timeout=FILE_TIMEOUT,
                params={"access_token": token, "type": family},
                data=form,
            )

        _, answer = await self._ask(request, repeatable=True)
        if not answer.media_id:
            raise Unreachable("the platform answered an upload without a media_id")
        return answer.media_id

    async def _fetch(self, media_id: str) -> tuple[Reply, A]:
        """Ask for a file that somebody sent; it is there for 3 days."""

        async def request(token: str) -> Reply:
            return await call(
                self._http,
                "GET",
                f"{self._base}/cgi-bin/media/get",
                repeatable=True,
                timeout=FILE_TIMEOUT,
                params={"access_token": token, "media_id": media_id},
            )

        return await self._ask(request, repeatable=True)

    async def _ask(self, request: Callable[[str], Awaitable[Reply]], *, repeatable: bool) -> tuple[Reply, A]:
        """Make *request* with the current token; if the platform refuses that, once more with a new one."""
        token = await self._tokens.get()
        reply = await request(token)
        answer = decode(reply, self._kind, repeatable=repeatable)
        if answer.errcode in self._token_refused:
            self._spurned(token)
            reply = await request(await self._tokens.renew(token))
            answer = decode(reply, self._kind, repeatable=repeatable)
        if answer.errcode:
            raise self.refusal(answer.errcode)
        return reply, answer

    async def _granted(self, method: str, path: str, **request: Any) -> Grant:
        """Make the call that gives a token; it ends as many seconds after the call as the platform says."""
        asked_at = self._now()
        reply = await call(
            self._http,
            method,
            f"{self._base}{path}",
            repeatable=True,
            timeout=TOKEN_TIMEOUT,
            max_answer=MAX_JSON,
            **request,
        )
        answer = decode(reply, self._kind, repeatable=True)
        if answer.errcode:
            raise self.refusal(answer.errcode)
        if not answer.access_token or answer.expires_in <= 0:
            raise Unreachable("the platform answered a token request without a token")
        return Grant(answer.access_token, asked_at + answer.expires_in * 1000)
