"""Signing in with a provider: OpenID Connect, code flow with PKCE; the provider's word is checked, not believed.

Core 1.0 section 3.1, RFC 7636 (PKCE), RFC 9207 (issuer in the answer).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec

from config.settings import Provider

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Signatures that anybody can check and only the provider can make; never `none`, never a shared secret."""

LEEWAY = 60
PATIENCE = 10.0
MOST = 1 << 20
FRESH = 3_600_000
"""How long a provider's description is believed, in milliseconds."""

AGAIN = 30_000
"""How soon an unknown key has the provider asked again, in milliseconds."""


class Away(Exception):
    """The provider does not answer, or not as it should."""


class Distrusted(Exception):
    """What came in the provider's name does not hold."""


class Flow(msgspec.Struct):
    """One sign-in that is under way; *browser* is the hash of what the browser holds."""

    provider: str
    nonce: str
    verifier: str
    browser: str


class Discovered(msgspec.Struct):
    """What is needed of a provider's description of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Granted(msgspec.Struct):
    """A provider's answer at its token endpoint."""

    id_token: str


class Claims(msgspec.Struct):
    """Who a provider says it is."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    iat: float
    nonce: str = ""
    azp: str = ""
    nbf: float = 0
    email: str = ""
    email_verified: bool | str = False
    preferred_username: str = ""


@dataclass
class Known:
    """What a process knows of a provider."""

    description: Discovered
    keys: KeySet
    at: int
    asked: int = field(default=0)


class Providers:
    """Speaks with providers. *now* is in milliseconds."""

    def __init__(self, http: Callable[[], aiohttp.ClientSession], now: Callable[[], int]) -> None:
        self._http = http
        self._now = now
        self._known: dict[tuple[str, str], Known] = {}

    async def begin(self, name: str, one: Provider, back: str, browser: str) -> tuple[str, str, Flow]:
        """Return (address to send the browser to, state, what must be remembered). Raises `Away`."""
        known = await self._discover(name, one)
        state = secrets.token_urlsafe(24)
        flow = Flow(name, secrets.token_urlsafe(24), secrets.token_urlsafe(48), browser)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": one.client_id,
            "redirect_uri": back,
            "scope": " ".join(dict.fromkeys(("openid", *one.scopes))),
            "state": state,
            "nonce": flow.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = known.description.authorization_endpoint
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", state, flow

    async def finish(self, one: Provider, flow: Flow, back: str, query: Mapping[str, str]) -> Claims:
        """Return who signed in, from what the browser brought back. Raises `Away`, `Distrusted`."""
        known = await self._discover(flow.provider, one)
        issuer = query.get("iss")
        if issuer != known.description.issuer and (
            issuer is not None or known.description.authorization_response_iss_parameter_supported
        ):
            raise Distrusted("the answer is another provider's")
        form = {
            "grant_type": "authorization_code",
            "code": query.get("code", ""),
            "redirect_uri": back,
            "code_verifier": flow.verifier,
        }
        granted = await self._grant(one, known.description, form)
        claims = await self._verified(flow.provider, one, granted.id_token)
        if not hmac.compare_digest(claims.nonce.encode(), flow.nonce.encode()):
            raise Distrusted("the word is for another sign-in")
        return claims

    async def _grant(self, one: Provider, description: Discovered, form: dict[str, str]) -> Granted:
        headers = {"Accept": "application/json"}
        secret = one.client_secret.get_secret_value() if one.client_secret is not None else ""
        if not secret:
            form["client_id"] = one.client_id
        elif "client_secret_basic" in description.token_endpoint_auth_methods_supported:
            pair = f"{quote(one.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": one.client_id, "client_secret": secret}
        granted: Granted = await self._fetch("POST", description.token_endpoint, Granted, headers=headers, data=form)
        return granted

    async def _verified(self, name: str, one: Provider, token: str) -> Claims:
        """Check a provider's word: signature, from whom, for whom, when."""
        from joserfc import errors, jwt  # noqa: PLC0415  # the daemon starts faster without it

        for last in (False, True):
            known = await self._discover(name, one, anew=last)
            try:
                decoded = jwt.decode(token, known.keys, algorithms=list(ALGORITHMS))
                break
            except (errors.JoseError, ValueError) as error:
                if last:  # even with keys of this moment
                    raise Distrusted(f"the signature does not hold ({type(error).__name__})") from None
        try:
            claims = msgspec.convert(decoded.claims, Claims)
        except msgspec.ValidationError:
            raise Distrusted("the word lacks what it must have") from None
        now = self._now() / 1000
        audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if claims.iss != known.description.issuer or one.client_id not in audience:
            raise Distrusted("the word is another provider's, or for another hub")
        if (len(audience) > 1 or claims.azp) and claims.azp != one.client_id:
            raise Distrusted("the word is for another hub")
        if claims.exp < now - LEEWAY or max(claims.iat, claims.nbf) > now + LEEWAY:
            raise Distrusted("the word is too old, or from the future")
        return claims

    async def _discover(self, name: str, one: Provider, *, anew: bool = False) -> Known:
        """Return what a provider says of itself and its keys. Raises `Away`."""
        from joserfc import errors, jwk  # noqa: PLC0415  # the daemon starts faster without it

        place, now = (name, one.issuer), self._now()
        known = self._known.get(place)
        if known is not None and now - known.at < FRESH and not (anew and now - known.asked > AGAIN):
            return known
        safe(one.issuer)
        description = await self._fetch("GET", f"{one.issuer}/.well-known/openid-configuration", Discovered)
        if description.issuer.rstrip("/") != one.issuer:
            raise Away("the provider calls itself otherwise")
        for address in (description.authorization_endpoint, description.token_endpoint, description.jwks_uri):
            safe(address)
        keys = await self._fetch("GET", description.jwks_uri, dict[str, Any])
        usable = [key for key in keys.get("keys", []) if key.get("kty") in ("RSA", "EC", "OKP")]
        try:
            known = Known(description, jwk.KeySet.import_key_set({"keys": usable}), now, now if anew else 0)
        except (errors.JoseError, ValueError, KeyError, TypeError):
            raise Away("the provider's keys cannot be read") from None
        self._known[place] = known
        return known

    async def _fetch(self, method: str, address: str, kind: Any, **options: Any) -> Any:
        limit = aiohttp.ClientTimeout(total=PATIENCE)
        try:
            async with self._http().request(
                method, address, timeout=limit, allow_redirects=False, **options
            ) as response:
                data = await response.content.read(MOST)
                if response.status != 200:
                    raise Away(f"the provider answers {response.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Away(f"the provider does not answer ({type(error).__name__})") from None
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Away("the provider's answer cannot be read") from None


def login_of(one: Provider, claims: Claims) -> str:
    """Return the claim that says who it is, "" if it does not count."""
    if one.claim == "email":
        return claims.email if claims.email_verified in (True, "true") else ""
    return claims.sub if one.claim == "sub" else claims.preferred_username


def safe(address: str) -> None:
    """Accept https, and http on this machine. Raises `Away`."""
    parts = urlsplit(address)
    here = re.fullmatch(r"localhost|127\.[0-9.]+|::1", parts.hostname or "")
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise Away("the provider is not reached by https")
