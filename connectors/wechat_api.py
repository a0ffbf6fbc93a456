"""WeChat's HTTP interface as seen by one account: the shared token, the errcodes, uploads and downloads.

Sources: developers.weixin.qq.com, "api_getstableaccesstoken", "api_sendcustommessage", "Global return codes",
"New temporary materials".
"""

from __future__ import annotations

from urllib.parse import urlsplit

from connectors import errcodes, tencent
from connectors.base import (
    BadOptions,
    Kit,
    Rejected,
    SecretStr,
    SendError,
    Throttled,
    Unreachable,
    WindowClosed,
)
from connectors.calls import Reply, call
from connectors.tencent import Interface
from connectors.tokens import Grant

# The platform renews a stable token 5 minutes before it ends and honours both until then. Asking a little
# later than that never brings back the token that is about to end.
EARLY = 240_000
FORCED_SPACING = 30_000
HOUR = 3_600_000
DAY = 24 * HOUR

TOKEN_REFUSED = frozenset({40001, 40014, 42001})
MEDIA_GONE = 40007

# errcode -> what may be done, and a sentence for people.
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
    40037: (BadOptions, "the platform does not know this template_id"),
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
    61004: (BadOptions, "the hub's IP address is not on the account's allow-list"),
    61451: (BadOptions, "the platform refuses kf_account, or another parameter"),
    61452: (BadOptions, "the platform does not know this kf_account"),
    65401: (BadOptions, "the platform does not know this kf_account"),
    87014: (Rejected, "the platform's content check refuses this message"),
    89501: (BadOptions, "the hub's IP address waits for the account's administrator to confirm it"),
    89503: (BadOptions, "the account's administrator must confirm the hub's IP address"),
    89506: (BadOptions, "the account's administrator has refused the hub's IP address for 24 hours"),
    89507: (BadOptions, "the account's administrator has refused the hub's IP address for one hour"),
}


class Answer(tencent.Answer, frozen=True):
    """What the interfaces that we call answer with."""

    msgid: int | str = ""
    video_url: str = ""


class Api(Interface[Answer]):
    """Calls for one account, see `Interface`."""

    def __init__(self, kit: Kit, base: str, app_id: str, secret: SecretStr) -> None:
        super().__init__(kit, base, Answer, TOKEN_REFUSED, early=EARLY)
        self._memory = kit.memory
        self._app_id = app_id
        self._secret = secret
        self._refused: set[str] = set()

    def refusal(self, errcode: int) -> SendError:
        return refusal(errcode, self._now())

    def _spurned(self, token: str) -> None:
        self._refused.add(token)

    async def download(self, media_id: str, media_hosts: tuple[str, ...]) -> Reply:
        """Return the bytes of a file that a customer sent; a video comes from the address that the platform names.

        Raises `Rejected` when that address is neither the platform's own nor below *media_hosts*: anything
        else would let a forged answer send the hub to hosts inside the shop's network.
        """
        reply, answer = await self._fetch(media_id)
        if not answer.video_url:
            return reply
        if not trusted(answer.video_url, self._base, media_hosts):
            raise Rejected("the platform names a video address outside its own domains")
        return await call(self._http, "GET", answer.video_url, repeatable=True, timeout=60.0)

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
        return await self._granted(
            "POST",
            "/cgi-bin/stable_token",
            json={
                "grant_type": "client_credential",
                "appid": self._app_id,
                "secret": self._secret.get_secret_value(),
                "force_refresh": force,
            },
        )


def refusal(errcode: int, now: int) -> SendError:
    """Return the `SendError` for *errcode*; one that is not in the table is final."""
    return errcodes.refusal(errcode, REFUSALS, until_reset(now) if errcode == 45009 else 60.0)


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
