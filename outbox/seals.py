"""Tokens of unsubscribe links: they say for whom they are to nobody but the hub, and no store has to keep them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

TOKEN = re.compile(r"[a-z2-7]{32,1000}")


class Recipient(msgspec.Struct, frozen=True, array_like=True):
    """Whom a link was given to, with a message of which *lane* on which *channel*."""

    channel: str
    address: str
    lane: str


class BadSeal(ValueError):
    """The token was not made by this hub, or not all of it has come."""


class Seals:
    """Makes and opens tokens with a *key* that the hub's processes share.

    The same recipient always has the same token (AES-SIV, RFC 5297). Small letters and digits alone, so that it
    survives mail addresses and subjects.
    """

    def __init__(self, key: str) -> None:
        self._cipher = AESSIV(hashlib.blake2b(key.encode(), digest_size=32, person=b"unsubscribe").digest())

    def seal(self, recipient: Recipient) -> str:
        """Return the token of *recipient*."""
        return _written(self._cipher.encrypt(msgspec.msgpack.encode(recipient), None))

    def open(self, token: str) -> Recipient:
        """Return whose token it is. Raises `BadSeal`."""
        token = token.lower()
        if not TOKEN.fullmatch(token):
            raise BadSeal("this is no token")
        try:
            sealed = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
            if _written(sealed) != token:  # spare bits of the last letter
                raise BadSeal("this is no token")
            return msgspec.msgpack.decode(self._cipher.decrypt(sealed, None), type=Recipient)
        except (binascii.Error, InvalidTag, msgspec.MsgspecError, ValueError):
            raise BadSeal("this token was not made here") from None


def _written(sealed: bytes) -> str:
    return base64.b32encode(sealed).decode().rstrip("=").lower()
