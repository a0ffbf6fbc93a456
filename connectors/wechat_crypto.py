"""WeChat's proof of origin: the SHA-1 signature of a push and the AES envelope of safe and compat mode.

Source: developers.weixin.qq.com, "server-ability/message-push". The cipher itself is wechatpy's; what
wechatpy leaves out is done here: constant-time comparison, rotation, and one kind of error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

from wechatpy.crypto import PrpCrypto
from wechatpy.exceptions import InvalidAppIdException

from connectors.base import Malformed, Unverified

# A safe-mode push proves itself by a signature over the text inside <Encrypt>, so that text has to be found
# before anything is trusted. Scanning for it keeps every parser behind the signature check.
SEALED_XML = re.compile(rb"<Encrypt>\s*+(?:<!\[CDATA\[)?+([A-Za-z0-9+/=]++)(?:\]\]>)?+\s*+</Encrypt>")
SEALED_JSON = re.compile(rb'"Encrypt"\s*+:\s*+"((?:[A-Za-z0-9+/=]|\\/)++)"')


def sign(*parts: str) -> str:
    """Return the hex SHA-1 of *parts*, sorted and joined: the signature of every WeChat push."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def genuine(signature: str, tokens: Iterable[str], *parts: str) -> bool:
    """Tell whether *signature* is that of *parts* under one of *tokens*, in constant time."""
    if not signature.isascii() or not "".join(parts).isascii():
        return False
    matches = [hmac.compare_digest(signature, sign(token, *parts)) for token in tokens]
    return True in matches


def sealed(body: bytes) -> list[str]:
    """Return every text in *body* that may be the encrypted part.

    A compat-mode body also carries the customer's own words, which may imitate the element; only the
    signature tells which candidate is real.
    """
    if body.lstrip()[:1] == b"{":
        return [found.replace(b"\\/", b"/").decode("ascii") for found in SEALED_JSON.findall(body)]
    return [found.decode("ascii") for found in SEALED_XML.findall(body)]


class Opener:
    """Decrypts pushes for one account with any of its EncodingAESKeys (43 characters each)."""

    def __init__(self, encoding_aes_keys: Sequence[str], app_id: str) -> None:
        self._ciphers = [PrpCrypto(base64.b64decode(key + "=")) for key in encoding_aes_keys]
        self._app_id = app_id

    def open(self, encrypted: str) -> str:
        """Return the push inside *encrypted*.

        Raises `Unverified` when it was sealed for another account and `Malformed` when no key opens it.
        """
        foreign = False
        for cipher in self._ciphers:
            try:
                return str(cipher.decrypt(encrypted, self._app_id))
            except InvalidAppIdException:
                foreign = True
            except Exception:  # noqa: BLE001, S112  # wechatpy lets through whatever a bad ciphertext causes
                continue
        if foreign:
            raise Unverified("the push was encrypted for another app_id")
        raise Malformed("the push cannot be decrypted: encoding_aes_key is not the one set on the platform")
