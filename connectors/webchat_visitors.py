"""Who writes in a web chat: signed visitor tokens of ours, and signed identities of a shop's own customers.

Both are checked by their signature before anything in them is parsed. A token is
``<base64url of JSON>.<base64url of HMAC-SHA256>``; an identity is a JSON Web Token (RFC 7519)
signed with HS256, which every language of a shop's site can make.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

import msgspec
from msgspec import Struct

from connectors.base import Unverified

LIFE = 400 * 86_400
"""Seconds for which a token is good; an open page renews it long before."""

MOST = 4096
_USER = re.compile(r"[A-Za-z0-9._@+:-]{1,100}")


class Visitor(Struct, frozen=True, omit_defaults=True):
    """One visitor: *id* ("a-…" anonymous, "u-…" known to the shop), *at* when his token was made, in seconds."""

    id: str
    at: int
    name: str = ""
    email: str = ""

    def __repr__(self) -> str:
        return f"Visitor(known={self.id.startswith('u-')})"


class _Claims(Struct):
    sub: str | int
    exp: int | float
    name: str | None = None
    email: str | None = None
    nbf: int | float | None = None


class _Header(Struct):
    alg: str


def sign(visitor: Visitor, key: bytes) -> str:
    """Return the token of *visitor*."""
    payload = _encode(msgspec.json.encode(visitor))
    return f"{payload}.{_proof(key, payload)}"


def check(token: str, key: bytes, now: int) -> Visitor:
    """Return the visitor whose *token* it is at *now* (ms). Raises `Unverified`."""
    payload, _, proof = token.partition(".")
    if len(token) > MOST or not hmac.compare_digest(_raw(proof), _proof(key, payload).encode()):
        raise Unverified("the visitor's token is not ours")
    visitor = msgspec.json.decode(_decode(payload), type=Visitor)
    if not now // 1000 - LIFE < visitor.at <= now // 1000 + 3600:
        raise Unverified("the visitor's token has expired")
    return visitor


def identify(token: str, key: bytes, now: int) -> Visitor:
    """Return the shop's customer whom the JSON Web *token* names at *now* (ms). Raises `Unverified`.

    Claims: `sub` (the shop's id of the customer: 1 to 100 letters, digits or ``._@+:-``), `exp`
    (required: a stolen identity must not last), `nbf`, `name`, `email`. Times are in seconds, with
    fractions if the shop likes (RFC 7519 §2); null is as good as left out.
    """
    signed, _, proof = token.rpartition(".")
    expected = _encode(hmac.digest(key, _raw(signed), hashlib.sha256))
    if len(token) > MOST or not hmac.compare_digest(_raw(proof), expected.encode()):
        raise Unverified("the customer's identity is not signed with the identity_secret")
    head, _, body = signed.partition(".")
    try:
        header = msgspec.json.decode(_decode(head), type=_Header)
        claims = msgspec.json.decode(_decode(body), type=_Claims)
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error):
        raise Unverified("the customer's identity is no JSON Web Token with sub and exp") from None
    user = str(claims.sub)
    if header.alg != "HS256" or not _USER.fullmatch(user):
        raise Unverified("the customer's identity needs alg HS256 and a sub of 1 to 100 plain characters")
    if not (claims.nbf or 0) - 60 <= now / 1000 < claims.exp:
        raise Unverified("the customer's identity has expired")
    return Visitor(f"u-{user}", now // 1000, _line(claims.name or "", 80), _line(claims.email or "", 200))


def _line(text: str, most: int) -> str:
    """Return *text* as one line without control characters, at most *most* characters."""
    return "".join(char for char in text if char.isprintable())[:most].strip()


def _proof(key: bytes, payload: str) -> str:
    # The prefix keeps a token from ever being taken for anything else that the same key signs.
    return _encode(hmac.digest(key, b"huiliu.visitor." + _raw(payload), hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
