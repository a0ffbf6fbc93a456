"""How a call to an API of Alibaba Cloud is signed: ACS3-HMAC-SHA256, RPC style, all parameters in the query.

Source: help.aliyun.com, "V3版本请求体&签名机制" (document 2593177). Pure: time and nonce are arguments.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

ALGORITHM = "ACS3-HMAC-SHA256"
EMPTY_BODY = hashlib.sha256(b"").hexdigest()


def query_string(parameters: Mapping[str, str]) -> str:
    """Return *parameters* as they are signed and as they are sent: by RFC 3986, in the order of their names."""
    pairs = [(_encoded(name), _encoded(value)) for name, value in parameters.items()]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def signed_headers(
    host: str,
    action: str,
    version: str,
    query: str,
    *,
    now: int,
    nonce: str,
    key_id: str,
    secret: str,
) -> dict[str, str]:
    """Return the headers of a POST to the root of *host* with no body.

    *host* is the Host header with the port if that is sent, *query* comes from `query_string`, *now* is in
    milliseconds since 1970 UTC. The platform takes a *nonce* once, and a time that is at most 15 minutes off.
    """
    headers = {
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": EMPTY_BODY,
        "x-acs-date": dt.datetime.fromtimestamp(now // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"POST\n/\n{query}\n{lines}\n{names}\n{EMPTY_BODY}"
    text = f"{ALGORITHM}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(secret.encode(), text.encode(), "sha256").hex()
    headers["Authorization"] = f"{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}"
    return headers


def _encoded(text: str) -> str:
    return quote(text, safe="~", errors="replace")
