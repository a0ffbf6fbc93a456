"""A strict OpenID provider on loopback: checks what a hub sends as the standard has it, and can lie on demand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "hub of the shop", "s3cret:of/the hub"


@dataclass
class Provider:
    """Knows one person. *lie* changes what it says: claims of the token, or how it is signed."""

    base: str = ""
    lie: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, parameters={"kid": "one"}))
    faults: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        """Return what serves it."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self.describe)
        app.router.add_get("/keys", self.keys)
        app.router.add_post("/token", self.token)
        return app

    async def describe(self, _: web.Request) -> web.Response:
        said = {
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "jwks_uri": f"{self.base}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
        }
        return web.json_response({**said, **self.lie.get("description", {})})

    async def keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})

    def authorize(self, address: str) -> str:
        """Return where a browser is sent back to after its person has agreed."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        expected = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        self.faults += [name for name, value in expected.items() if asked.get(name) != value]
        self.faults += [name for name in ("state", "nonce", "code_challenge") if len(asked.get(name, "")) < 20]
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        issuer = self.lie.get("iss parameter", self.base)
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}&iss={issuer}"

    async def token(self, request: web.Request) -> web.Response:
        """Give a token for a code, once, to the right client with the right verifier."""
        form = dict(await request.post())
        user, _, password = base64.b64decode(request.headers["Authorization"].split()[1]).decode().partition(":")
        asked = self.codes.pop(str(form.get("code")), None)
        digest = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        right = (
            asked is not None
            and (unquote(user), unquote(password)) == (CLIENT, SECRET)
            and form.get("grant_type") == "authorization_code"
            and form.get("redirect_uri") == asked["redirect_uri"]
            and challenge == asked["code_challenge"]
        )
        if not right or asked is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        said = {"iss": self.base, "sub": "42", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        said |= self.claims | self.lie.get("claims", {})
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": self._signed(said)})

    def _signed(self, said: dict[str, Any]) -> str:
        said = {name: value for name, value in said.items() if value is not None}
        match self.lie.get("signature"):
            case "none":
                return _by_hand({"alg": "none"}, said, b"")
            case "hmac":  # with the public key as the secret, which some libraries took for good
                return _by_hand({"alg": "HS256", "kid": "one"}, said, self.key.as_pem(private=False))
            case "other":
                return jwt.encode({"alg": "RS256", "kid": "one"}, said, RSAKey.generate_key(2048))
            case "cut":
                return jwt.encode({"alg": "RS256", "kid": "one"}, said, self.key)[:-8]
        algorithm = "ES256" if isinstance(self.key, ECKey) else "RS256"
        return jwt.encode({"alg": algorithm, "kid": self.key.kid}, said, self.key)


def _by_hand(head: dict[str, str], said: dict[str, Any], secret: bytes) -> str:
    """Return a token that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, said)]
    body = ".".join(parts)
    mark = hmac.new(secret, body.encode(), hashlib.sha256).digest() if secret else b""
    return f"{body}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"
