"""Posts events to an existing tool, signed by the Standard Webhooks scheme 1.0.

The text of a message is the event as JSON, its id the event's id: the receiver knows by it what it has had. Only a
status of 200 to 299 is a success. Redirects are not followed, and the body of the answer means nothing.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import aiohttp
from aiohttp.resolver import DefaultResolver
from pydantic import Field
from yarl import URL

from connectors import base
from connectors.base import Capabilities, Kit, Outbound, Rejected, SecretStr, Sent, Throttled, Unreachable
from connectors.calls import retry_after
from connectors.vetting import NotPublic, PublicResolver, check

GONE = 410
ASKS_FOR_TIME = frozenset({429, 503})
LONGEST_PAUSE = 24 * 3600.0  # seconds; no endpoint may put us off for longer
BODY = 16 << 10
BODY_WAIT = 1.0
SECRET_PREFIX = "whsec_"  # noqa: S105  # what a secret begins with, by the scheme
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class WebhookOptions(base.Options):
    """An endpoint. *timeout* is in seconds. *secrets* have the form that the scheme gives them: whsec_….

    Unless *allow_private*, only public addresses are connected to.
    """

    url: Annotated[str, Field(repr=False)]
    secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1)]
    headers: Mapping[str, SecretStr] = {}
    timeout: Annotated[float, Field(gt=0, le=60)] = 15.0
    allow_private: bool = False


class Webhook:
    """One endpoint."""

    kind: ClassVar[str] = "webhook"
    Options: ClassVar[type[base.Options]] = WebhookOptions
    capabilities: ClassVar[Capabilities] = Capabilities(idempotent=True)

    def __init__(self, options: WebhookOptions, kit: Kit) -> None:
        self._options = options
        self._kit = kit
        self._url = URL(options.url)
        self._http: aiohttp.ClientSession | None = None

    async def send(self, message: Outbound) -> Sent:
        """Post one event; `Sent.handle` is the status of the answer.

        Raises `Rejected` (410), `Throttled` (429 and 503 that say when) or `Unreachable` (anything else: the receiver
        knows an event by its id, so that sending it again does no harm).
        """
        options = self._options
        body = message.text.encode()
        try:
            if not options.allow_private:
                check(self._url.host or "", self._url.port or 0)
            await message.leaving()
            status, headers = await self._post(body, self._headers(message.id, body))
        except NotPublic as error:
            raise Unreachable(f"nothing was sent: {error}", code="private") from None
        except TimeoutError:
            raise Unreachable(f"no answer within {options.timeout:g} s", code="timeout") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, NotPublic) or isinstance(error.__cause__, NotPublic):
                raise Unreachable(f"nothing was sent: {error.__cause__ or error.os_error}", code="private") from None
            raise Unreachable(f"cannot connect ({type(error).__name__})", code="connect") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"the connection broke ({type(error).__name__})", code="connection") from None
        if 200 <= status < 300:
            return Sent(handle=str(status))
        raise _failure(status, headers)

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        timeout = aiohttp.ClientTimeout(total=self._options.timeout)
        async with self._session().post(
            self._url, data=body, headers=headers, allow_redirects=False, timeout=timeout
        ) as answer:
            await _drain(answer)
            return answer.status, answer.headers

    def _session(self) -> aiohttp.ClientSession:
        """Return a session of this endpoint alone, with no cookies and no proxy out of the environment."""
        if self._http is None:
            resolver = DefaultResolver()
            connector = aiohttp.TCPConnector(
                resolver=resolver if self._options.allow_private else PublicResolver(resolver),
                limit=0,
                ttl_dns_cache=10,
            )
            self._http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._http

    def _headers(self, event: str, body: bytes) -> dict[str, str]:
        at = self._kit.now() // 1000
        return {
            **{name: value.get_secret_value() for name, value in self._options.headers.items()},
            "Content-Type": CONTENT_TYPE,
            "User-Agent": "huiliu",
            "Accept-Encoding": "identity",
            "webhook-id": event,
            "webhook-timestamp": str(at),
            "webhook-signature": signatures(self._options.secrets, event, at, body),
        }

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()


def signatures(secrets: Sequence[SecretStr], event: str, at: int, body: bytes) -> str:
    """Return a signature by each secret (Standard Webhooks 1.0: HMAC-SHA256 over id, timestamp and body)."""
    signed = b"%s.%d.%s" % (event.encode(), at, body)
    made = []
    for secret in secrets:
        raw = base64.b64decode(secret.get_secret_value().removeprefix(SECRET_PREFIX))
        made.append("v1," + base64.b64encode(hmac.digest(raw, signed, hashlib.sha256)).decode())
    return " ".join(made)


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read a short body, so that the connection can be used again; of any other it is closed.

    The status has been said, and whatever comes after it changes nothing.
    """
    size = 0
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(BODY_WAIT):
            while size <= BODY and (part := await answer.content.readany()):
                size += len(part)
    if not answer.content.at_eof():
        answer.close()


def _failure(status: int, headers: Mapping[str, str]) -> base.SendError:
    """Name the error for a status that is no success."""
    code = str(status)
    if status == GONE:
        return Rejected("the endpoint says that it is gone for good (status 410)", code=code)
    wait = retry_after(headers) if status in ASKS_FOR_TIME else 0.0
    if wait:
        return Throttled(
            f"the endpoint asks for time (status {status})", retry_after=min(wait, LONGEST_PAUSE), code=code
        )
    if 300 <= status < 400:
        return Unreachable(f"the endpoint redirects (status {status}), which is not followed", code=code)
    return Unreachable(f"the endpoint answered with status {status}", code=code)
