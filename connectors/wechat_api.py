"""WeChat's HTTP interface as seen by one account: the shared token, the errcodes, uploads and downloads.

Sources: developers.weixin.qq.com, "api_getstableaccesstoken", "api_sendcustommessage", "Global return codes",
"New temporary materials".
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from connectors.base import (
    BadOptions,
    Kit,
    Rejected,
    SecretStr,
    SendError,
    Throttled,
    Uncertain,
    Unreachable,
    WindowClosed,
)
from connectors.calls import Reply, call
from connectors.tokens import Grant, Tokens

TOKEN_TIMEOUT = 8.0
MAX_JSON = 1 << 20
# The platform renews a stable token 5 minutes before it ends and honours both until then. Asking a little
# later than that never brings back the token that is about to end.
EARLY = 240_000
FORCED_SPACING = 30_000
HOUR = 3_600_000
DAY = 24 * HOUR

TOKEN_REFUSED = frozenset({40001, 40014, 42001})
MEDIA_GONE = 40007

# errcode -> what may be done, and a sentence for people. The errmsg of the platform is not repeated: its
# wording changes, and it may hold an openid or an address.
REFUSALS: dict[int, tuple[type[SendError], str]] = {
    -1: (Unreachable, "the platform is busy"),
    40001: (BadOptions, "the platform refuses app_secret, or a token that it has just issued"),
    40002: (BadOptions, "the platform refuses the grant type for this kind of account"),
    40003: (Rejected, "this openid does not belong to this account"),
    40004: (Rejected, "the platform does not take this type of file"),
    40005: (Rejected, "the platform does not take this type of file"),
    40006: (Rejected, "the file is too large for the platform"),
    MEDIA_GONE: (Rejected, "the platform does not know the file, even when it has just been uploaded"),
    40008: (Rejected, "the platform does not take this type of message"),
    40009: (Rejected, "the picture is too large for the platform"),
    40010: (Rejected, "the voice clip is too large for the platform"),
    40011: (Rejected, "the video is too large for the platform"),
    40013: (BadOptions, "the platform does not know this app_id"),
    40014: (BadOptions, "the platform refuses a token that it has just issued"),
    40033: (Rejected, "the text holds characters that the platform forbids"),
    40125: (BadOptions, "the platform refuses app_secret"),
    40164: (BadOptions, "the hub's IP address is not on the account's allow-list"),
    40243: (BadOptions, "app_secret is frozen; unfreeze it on the platform"),
    42001: (BadOptions, "the platform calls a token expired that it has just issued"),
    43004: (Rejected, "the customer does not follow the account"),
    44004: (Rejected, "the text is empty"),
    45001: (Rejected, "the file is too large for the platform"),
    45002: (Rejected, "the text is too long for the platform"),
    45009: (Throttled, "the account's quota for today is used up"),
    45011: (Throttled, "too many calls in this minute"),
    45015: (WindowClosed, "the customer wrote too long ago or no longer follows the account"),
    45047: (WindowClosed, "the number of answers per customer message is used up"),
    47001: (Rejected, "the platform cannot read the request"),
    48001: (BadOptions, "the account may not use this interface; it needs the permission on the platform"),
    48002: (Rejected, "the customer refuses messages of this account"),
    48004: (BadOptions, "the platform has banned this interface for the account"),
    50001: (BadOptions, "the account may not use this interface"),
    50002: (BadOptions, "the platform has limited this account"),
    61451: (BadOptions, "the platform does not know this kf_account"),
    65401: (BadOptions, "the platform does not know this kf_account"),
    87014: (Rejected, "the platform's content check refuses this message"),
}


class Answer(msgspec.Struct, frozen=True):
    """The JSON that every interface answers with; *errcode* is absent or 0 when all is well."""

    errcode: int | None = None
    media_id: str = ""
    video_url: str = ""
    access_token: str = ""
    expires_in: int = 0


class Api:
    """Calls for one account. Raises `SendError`s that never hold a token, a secret or an openid."""

    def __init__(self, kit: Kit, base: str, app_id: str, secret: SecretStr) -> None:
        self._http = kit.http
        self._memory = kit.memory
        self._now = kit.now
        self._base = base
        self._app_id = app_id
        self._secret = secret
        self._tokens = Tokens(kit.memory, kit.now, self._grant, early=EARLY)
        self._refused: set[str] = set()

    async def post(
        self,
        path: str,
        payload: Mapping[str, Any],
        *,
        leaving: Callable[[], Awaitable[None]] | None = None,
        repeatable: bool = False,
    ) -> None:
        """Post *payload* to *path* and return once the platform has said yes; see `calls.call` for the arguments."""
        # The platform answers 40033 to \uXXXX escapes, so non-ASCII goes out as UTF-8.
        body = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")

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
                headers={"Content-Type": "application/json; charset=utf-8"},
            )

        _, answer = await self._ask(request, repeatable=repeatable)
        if answer.errcode is None and not repeatable:
            raise Uncertain("the platform answered without an errcode")

    async def upload(self, family: str, name: str, mime: str, data: bytes) -> str:
        """Upload a temporary file (valid for 3 days) and return its media_id."""

        async def request(token: str) -> Reply:
            form = aiohttp.FormData()
            form.add_field("media", data, filename=name, content_type=mime)
            return await call(
                self._http,
                "POST",
                f"{self._base}/cgi-bin/media/upload",
                repeatable=True,
                max_answer=MAX_JSON,
                timeout=60.0,
                params={"access_token": token, "type": family},
                data=form,
            )

        _, answer = await self._ask(request, repeatable=True)
        if not answer.media_id:
            raise Unreachable("the platform answered an upload without a media_id")
        return answer.media_id

    async def download(self, media_id: str, media_hosts: tuple[str, ...]) -> Reply:
        """Return the bytes of a file that a customer sent; a video comes from the address that the platform names.

        Raises `Rejected` when that address is neither the platform's own nor below *media_hosts*: anything
        else would let a forged answer send the hub to hosts inside the shop's network.
        """

        async def request(token: str) -> Reply:
            return await call(
                self._http,
                "GET",
                f"{self._base}/cgi-bin/media/get",
                repeatable=True,
                timeout=60.0,
                params={"access_token": token, "media_id": media_id},
            )

        reply, answer = await self._ask(request, repeatable=True)
        if not answer.video_url:
            return reply
        if not trusted(answer.video_url, self._base, media_hosts):
            raise Rejected("the platform names a video address outside its own domains")
        return await call(self._http, "GET", answer.video_url, repeatable=True, timeout=60.0)

    async def _ask(self, request: Callable[[str], Awaitable[Reply]], *, repeatable: bool) -> tuple[Reply, Answer]:
        """Make *request* with the current token; if the platform refuses that, once more with a new one."""
        token = await self._tokens.get()
        reply = await request(token)
        answer = read(reply, repeatable=repeatable)
        if answer.errcode in TOKEN_REFUSED:
            self._refused.add(token)
            reply = await request(await self._tokens.renew(token))
            answer = read(reply, repeatable=repeatable)
        if answer.errcode:
            raise refusal(answer.errcode, self._now())
        return reply, answer

    async def _grant(self, known: Grant | None) -> Grant:
        """Ask for the stable token, and force a new one only if that is the one that was refused.

        Runs under the lock of `Tokens`. The platform allows 20 forced refreshes a day, 30 s apart.
        """
        grant = await self._stable_token(force=False)
        if grant.token in self._refused:
            await self._space_out()
            grant = await self._stable_token(force=True)
        self._refused.discard(known.token if known else "")
        return grant

    async def _space_out(self) -> None:
        """Note the moment of a forced refresh. Raises `Throttled` if the last one is too recent."""
        last = int(await self._memory.get("forced_refresh_at") or -FORCED_SPACING)
        wait = last + FORCED_SPACING - self._now()
        if wait > 0:
            raise Throttled(
                "the platform refuses its own token, and it is too early to force a new one", retry_after=wait / 1000
            )
        await self._memory.put("forced_refresh_at", str(self._now()), ttl=60.0)

    async def _stable_token(self, *, force: bool) -> Grant:
        asked_at = self._now()
        reply = await call(
            self._http,
            "POST",
            f"{self._base}/cgi-bin/stable_token",
            repeatable=True,
            timeout=TOKEN_TIMEOUT,
            max_answer=MAX_JSON,
            json={
                "grant_type": "client_credential",
                "appid": self._app_id,
                "secret": self._secret.get_secret_value(),
                "force_refresh": force,
            },
        )
        answer = read(reply, repeatable=True)
        if answer.errcode:
            raise refusal(answer.errcode, self._now())
        if not answer.access_token or answer.expires_in <= 0:
            raise Unreachable("the platform answered a token request without a token")
        return Grant(answer.access_token, asked_at + answer.expires_in * 1000)


def read(reply: Reply, *, repeatable: bool) -> Answer:
    """Read the JSON in *reply*, whatever its content type says; a file is an answer without errcode.

    Raises `Uncertain` (or `Unreachable`, if the call may be repeated) when a JSON answer cannot be read.
    """
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    # Errors of media/get are JSON that calls itself text/plain.
    if not (reply.body.lstrip()[:1] == b"{" or kind in ("application/json", "text/plain", "text/html")):
        return Answer()
    try:
        return msgspec.json.decode(reply.body, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        lost = Unreachable if repeatable else Uncertain
        raise lost("the platform answered with something that is not its JSON") from None


def refusal(errcode: int, now: int) -> SendError:
    """Return the `SendError` for *errcode*; one that is not in the table is final."""
    error, reason = REFUSALS.get(errcode, (Rejected, "the platform refuses the message"))
    text, code = f"{reason} (errcode {errcode})", str(errcode)
    if error is Throttled:
        return Throttled(text, retry_after=until_reset(now) if errcode == 45009 else 60.0, code=code)
    return error(text, code=code)


def until_reset(now: int) -> float:
    """Return the seconds until the daily quotas start anew, at midnight in Beijing (UTC+8 all year)."""
    return max(60.0, (DAY - (now + 8 * HOUR) % DAY) / 1000)


def trusted(url: str, base: str, hosts: tuple[str, ...]) -> bool:
    """Tell whether *url* lies on the host of *base* or below one of *hosts*."""
    try:
        parts, home = urlsplit(url), urlsplit(base)
        host = (parts.hostname or "").lower()
        if (parts.scheme, host, parts.port) == (home.scheme, (home.hostname or "").lower(), home.port):
            return True
        return parts.scheme in ("http", "https") and any(host == own or host.endswith(f".{own}") for own in hosts)
    except ValueError:
        return False
