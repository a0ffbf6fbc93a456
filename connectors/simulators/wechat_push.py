"""How WeChat wraps what it pushes: XML or JSON, in the clear or sealed.

Written from developers.weixin.qq.com, "server-ability/message-push", and on purpose not from the hub's own code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 32  # WeChat pads to 32 bytes, not to AES' 16

Mode = Literal["plain", "compat", "safe"]
Style = Literal["xml", "json"]


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A push as it goes over the wire: query parameters and body."""

    query: Mapping[str, str]
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Wrapper:
    """The message-push settings of one account; *aes_key* is the 43-character EncodingAESKey."""

    app_id: str
    token: str
    aes_key: str | None = None
    mode: Mode = "plain"
    style: Style = "xml"

    def wrap(self, fields: Mapping[str, Any], timestamp: int, nonce: str = "", salt: bytes = b"") -> Wrapped:
        """Wrap *fields*; *timestamp* is in seconds, *nonce* and the 16-byte *salt* are random unless given."""
        nonce = nonce or str(secrets.randbelow(10**10))
        query = {"signature": digest(self.token, str(timestamp), nonce), "timestamp": str(timestamp), "nonce": nonce}
        query["openid"] = str(fields.get("FromUserName", ""))
        plain = write(fields, self.style)
        if self.mode == "plain" or self.aes_key is None:
            return Wrapped(query, plain.encode(), self._content_type())
        sealed = seal(plain.encode(), self.aes_key, self.app_id, salt or secrets.token_bytes(16))
        query["encrypt_type"] = "aes"
        query["msg_signature"] = digest(self.token, str(timestamp), nonce, sealed)
        shown = fields if self.mode == "compat" else {"ToUserName": fields.get("ToUserName", "")}
        return Wrapped(query, write({**shown, "Encrypt": sealed}, self.style).encode(), self._content_type())

    def _content_type(self) -> str:
        return "text/xml" if self.style == "xml" else "application/json"


def digest(*parts: str) -> str:
    """Return the signature over *parts*."""
    joined = "".join(sorted(parts))
    return hashlib.new("sha1", joined.encode()).hexdigest()


def seal(plain: bytes, aes_key: str, app_id: str, salt: bytes) -> str:
    """Return *plain* encrypted: AES-256-CBC over salt, length, text and app id."""
    key = base64.b64decode(aes_key + "=")
    data = salt + len(plain).to_bytes(4, "big") + plain + app_id.encode()
    fill = BLOCK - len(data) % BLOCK
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(data + bytes([fill]) * fill) + encryptor.finalize()).decode()


def unseal(sealed: str, aes_key: str) -> tuple[bytes, bytes, str]:
    """Return salt, text and app id of what `seal` made."""
    key = base64.b64decode(aes_key + "=")
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).decryptor()
    data = decryptor.update(base64.b64decode(sealed)) + decryptor.finalize()
    data = data[: -data[-1]]
    end = 20 + int.from_bytes(data[16:20], "big")
    return data[:16], data[20:end], data[end:].decode()


def write(fields: Mapping[str, Any], style: Style) -> str:
    """Return *fields* as the platform writes them."""
    if style == "json":
        return json.dumps(fields, ensure_ascii=False)
    return f"<xml>{''.join(element(name, value) for name, value in fields.items())}</xml>"


def element(name: str, value: Any) -> str:
    """Return one XML element: numbers bare, text in CDATA, a list as repeated elements."""
    if isinstance(value, list):
        return "".join(element(name, item) for item in value)
    if isinstance(value, Mapping):
        return f"<{name}>{''.join(element(key, item) for key, item in value.items())}</{name}>"
    if isinstance(value, int | float):
        return f"<{name}>{value}</{name}>"
    # "]]>" would end the section early, so it is spread over two.
    return f"<{name}><![CDATA[{str(value).replace(']]>', ']]]]><![CDATA[>')}]]></{name}>"
