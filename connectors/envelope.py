"""How pushes of WeChat and WeCom prove where they come from: a SHA-1 signature, and an AES envelope.

Sources: developers.weixin.qq.com, "server-ability/message-push"; developer.work.weixin.qq.com, path/90968. The cipher
itself is wechatpy's; what wechatpy leaves out is done here: constant-time comparison, rotation, and one kind of error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wechatpy.crypto import PrpCrypto
from wechatpy.exceptions import InvalidAppIdException

from connectors.base import Malformed, SecretStr, Unverified, WebhookCall

# An encrypted push proves itself by a signature over the text inside <Encrypt>, so that text has to be found
# before anything is trusted. Scanning for it keeps every parser behind the signature check.
SEALED_XML = re.compile(rb"<Encrypt>\s*+(?:<!\[CDATA\[)?+([A-Za-z0-9+/=]++)(?:\]\]>)?+\s*+</Encrypt>")
SEALED_JSON = re.compile(rb'"Encrypt"\s*+:\s*+"((?:[A-Za-z0-9+/=]|\\/)++)"')


def sign(*parts: str) -> str:
    """Return the hex SHA-1 of *parts*, sorted and joined: the signature of every push."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def signer(signature: str, tokens: Iterable[str], *parts: str) -> str | None:
    """Return the one of *tokens* under which *signature* is that of *parts*, None if there is none."""
    if not signature.isascii() or not "".join(parts).isascii():
        return None
    matches = [token for token in tokens if hmac.compare_digest(signature, sign(token, *parts))]
    return matches[0] if matches else None


def genuine(signature: str, tokens: Iterable[str], *parts: str) -> bool:
    """Tell whether *signature* is that of *parts* under one of *tokens*, in constant time."""
    return signer(signature, tokens, *parts) is not None


def sealed(body: bytes) -> list[str]:
    """Return every text in *body* that may be the encrypted part.

    A compat-mode body also carries the customer's own words, which may imitate the element; only the
    signature tells which candidate is real.
    """
    if body.lstrip()[:1] == b"{":
        return [found.replace(b"\\/", b"/").decode("ascii") for found in SEALED_JSON.findall(body)]
    return [found.decode("ascii") for found in SEALED_XML.findall(body)]


def single(call: WebhookCall, name: str) -> str:
    """Return the query parameter *name*. Raises `Unverified` if it is missing, empty or there twice."""
    value = call.query.get(name, "")
    if not value:
        raise Unverified(f"the call has no {name}")
    if call.url.count(f"{name}=") > 1 and (call.url.count(f"&{name}=") + call.url.count(f"?{name}=") > 1):
        raise Unverified(f"the call has more than one {name}")
    return value


def usable_key(value: str) -> bool:
    """Tell whether *value* can be an EncodingAESKey: 43 letters and digits that stand for 32 bytes."""
    return bool(re.fullmatch(r"[A-Za-z0-9]{43}", value)) and len(base64.b64decode(value + "=")) == 32


def revealed(*secrets: SecretStr | None) -> list[str]:
    """Return the values of those *secrets* that are set, in their order."""
    return [secret.get_secret_value() for secret in secrets if secret is not None]


@dataclass(frozen=True, slots=True)
class Opened:
    """A push out of its envelope, and the key that opened it."""

    text: str
    cipher: PrpCrypto
    receiver: str

    def seal(self, text: str) -> str:
        """Return *text* in an envelope that whoever sealed the push can open."""
        return bytes(self.cipher.encrypt(text, self.receiver)).decode("ascii")


class Opener:
    """Decrypts pushes for one *receiver* with any of its EncodingAESKeys (43 characters each).

    *receiver* is the id that stands in the envelope: WeChat's app_id, WeCom's corp id.
    """

    def __init__(self, encoding_aes_keys: Sequence[str], receiver: str) -> None:
        self._ciphers = [PrpCrypto(base64.b64decode(key + "=")) for key in encoding_aes_keys]
        self._receiver = receiver

    def open(self, encrypted: str) -> str:
        """Return the push inside *encrypted*.

        Raises `Unverified` when it was sealed for another account and `Malformed` when no key opens it.
        """
        return self.unfold(encrypted).text

    def unfold(self, encrypted: str) -> Opened:
        """Return the push inside *encrypted*, ready to be answered in the same envelope. Raises what `open` raises."""
        foreign = False
        for cipher in self._ciphers:
            try:
                return Opened(str(cipher.decrypt(encrypted, self._receiver)), cipher, self._receiver)
            except InvalidAppIdException:
                foreign = True
            except Exception:  # noqa: BLE001, S112  # wechatpy lets through whatever a bad ciphertext causes
                continue
        if foreign:
            raise Unverified("the push was encrypted for another receiver than this channel's app_id or corp_id")
        raise Malformed("the push cannot be decrypted: encoding_aes_key is not the one set on the platform")
