"""Calls of the TikTok Shop API: signed, with a token that renews itself, and every refusal as the `SendError` it means.

Source: TikTok Shop Partner Center, "Sign your API request", "Common errors", "Send Message" 202309
(codes 45101001 to 45102007) and "Refresh token".
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from connectors.base import BadOptions, Kit, Rejected, SendError, Throttled, Uncertain, Unreachable, WindowClosed
from connectors.calls import Reply, call, failure, retry_after
from connectors.marketplace import NEVER, Succession, chain_name, milliseconds, sign_enclosed
from connectors.tiktok_options import TikTokOptions
from connectors.tokens import Grant, Tokens

EVERY_ERROR = frozenset(range(400, 600))
EXPIRED = frozenset({105001, 105002, 105003, 105004})
THROTTLED = {36009002: 10.0, 36009037: 10.0, 45101004: 3600.0}
"""Seconds to wait where the platform names none; 45101004 is the quota of 10,000 requests a day."""

BROKEN = frozenset({36009003, 36009007, 45101001})
REFUSED: dict[int, tuple[type[SendError], str]] = {
    101000: (BadOptions, "the access token does not fit the shop_cipher"),
    105005: (BadOptions, "the app lacks the scope seller.customer_service"),
    106001: (BadOptions, "TikTok does not accept our signature: check app_key and app_secret"),
    106013: (BadOptions, "the shop_cipher is missing"),
    36009009: (BadOptions, "TikTok does not know this path: check send_version and api_base"),
    36009014: (BadOptions, "TikTok does not know this API version: check send_version"),
    36009033: (BadOptions, "this server's IP address is not on the app's allow list"),
    45101002: (Rejected, "TikTok finds the message invalid"),
    45101003: (Rejected, "TikTok does not know this conversation"),
    45101006: (Rejected, "TikTok finds words in the message that break its policy"),
    45102007: (
        WindowClosed,
        "TikTok lets the shop write only after a chat within 30 days, an order within 60 days or a return",
    ),
}


class Expired(BadOptions):
    """The access token is no longer accepted; a refresh may help."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API, not yet signed: the token and the time are added when it is made.

    A request with *leaving* cannot be taken back; any other may be made twice.
    """

    method: str
    path: str
    json: dict[str, Any] | None = None
    form: Callable[[], aiohttp.FormData] | None = None
    leaving: Callable[[], Awaitable[None]] | None = None


class Api:
    """The API as one shop's authorization sees it."""

    def __init__(self, options: TikTokOptions, kit: Kit) -> None:
        self._options = options
        self._http = kit.http
        self._now = kit.now
        self._secret = options.app_secret.get_secret_value()
        access = options.access_token.get_secret_value()
        refresh = options.refresh_token.get_secret_value() if options.refresh_token else ""
        chain = Succession(Grant(access, NEVER, refresh), self._refresh)
        self._tokens = Tokens(kit.memory, kit.now, chain.fetch, name=chain_name(access, refresh))

    async def ask(self, request: Request) -> dict[str, Any]:
        """Make *request*, once more with a new token if the platform has expired ours."""
        token = await self._tokens.get()
        try:
            return await self._once(request, token)
        except Expired:
            return await self._once(request, await self._tokens.renew(token))

    async def _once(self, request: Request, token: str) -> dict[str, Any]:
        body = msgspec.json.encode(request.json) if request.json is not None else b""
        query = {
            "app_key": self._options.app_key,
            "shop_cipher": self._options.shop_cipher,
            "timestamp": str(self._now() // 1000),
        }
        query["sign"] = sign_enclosed(self._secret, request.path, query, body)
        headers = {"x-tts-access-token": token}
        if request.form is None:
            headers["Content-Type"] = "application/json"
        reply = await call(
            self._http,
            request.method,
            self._options.api_base + request.path,
            leaving=request.leaving,
            repeatable=request.leaving is None,
            see=EVERY_ERROR,
            params=query,
            headers=headers,
            data=request.form() if request.form is not None else body,
        )
        return judge(reply, repeatable=request.leaving is None)

    async def _refresh(self, refresh_token: str) -> Grant:
        if not refresh_token:
            raise BadOptions("the access token has expired and there is no refresh_token: authorize the shop again")
        reply = await call(
            self._http,
            "GET",
            f"{self._options.auth_base}/api/v2/token/refresh",
            repeatable=True,
            see=EVERY_ERROR,
            timeout=10.0,
            params={
                "app_key": self._options.app_key,
                "app_secret": self._secret,
                "refresh_token": refresh_token,
                "grant_type": "refresh_token",
            },
        )
        try:
            data = judge(reply, repeatable=True)
        except (Rejected, BadOptions) as refusal:
            raise BadOptions(
                "TikTok refuses the refresh token: authorize the shop again and configure the new tokens",
                code=refusal.code,
            ) from None
        token, successor = data.get("access_token"), data.get("refresh_token")
        expires = milliseconds(data.get("access_token_expire_in"))
        if not isinstance(token, str) or not token or not expires:
            raise Unreachable("TikTok answered the refresh without a token")
        return Grant(token, expires, successor if isinstance(successor, str) else "")


def judge(reply: Reply, *, repeatable: bool) -> dict[str, Any]:
    """Return the data of the platform's answer. Raises the `SendError` that its code or its status means.

    Errors come with HTTP 200 or with a fitting status; the code says more than the status. 36009004
    stands for several faults of a request, told apart by the message ("Common errors").
    """
    lost = Unreachable if repeatable else Uncertain
    try:
        answer = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    code = answer.get("code") if isinstance(answer, dict) else None
    if not isinstance(code, int) or isinstance(code, bool) or (code == 0 and reply.status >= 300):
        raise failure(reply, lost) if reply.status >= 300 else lost("TikTok's answer cannot be read")
    if code == 0:
        data = answer.get("data")
        return data if isinstance(data, dict) else {}
    raise _refusal(code, str(answer.get("message")), reply, lost)


def _refusal(code: int, said: str, reply: Reply, lost: type[Unreachable | Uncertain]) -> SendError:
    shown = str(code)
    if code in EXPIRED or (code == 36009004 and re.search("access.token", said)):
        return Expired("TikTok does not accept the access token", code=shown)
    if code in THROTTLED or reply.status == 429:
        wait = retry_after(reply.headers) or THROTTLED.get(code, 30.0)
        return Throttled("TikTok asks us to slow down", retry_after=wait, code=shown)
    if code in BROKEN:
        return lost("TikTok failed inside", code=shown)
    if code == 36009004:
        clock = " and this server's clock" if "timestamp" in said else ""
        return BadOptions(
            f"TikTok finds the request invalid: check app_key, app_secret, shop_cipher{clock}", code=shown
        )
    if code in REFUSED:
        error, sentence = REFUSED[code]
        return error(sentence, code=shown)
    if reply.status >= 500:
        kind = Unreachable if reply.status == 503 else lost
        return kind(f"TikTok failed with status {reply.status}", code=shown)
    if reply.status == 401:
        return BadOptions("TikTok refuses our credentials", code=shown)
    # A 403 whose code nobody has documented may be about one conversation: the channel is not to blame.
    return Rejected(f"TikTok refuses the message (code {shown})", code=shown)
