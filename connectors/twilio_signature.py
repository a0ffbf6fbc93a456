"""Whether a webhook call comes from Twilio: X-Twilio-Signature, with the account's token or a shared key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlsplit

import msgspec

from connectors.base import Malformed, Unverified, WebhookCall

SIGNATURE = "X-Twilio-Signature"
SIGNATURE_SETTINGS = "X-Twilio-Webhooks-Signature-Settings"
"""Present when a shared key signed: ``key=<id>,algorithm=HMAC_SHA256`` (webhook-shared-keys, public beta 2026-09)."""

HASHES = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
MAX_FIELDS = 500


def verified(call: WebhookCall, auth_token: bytes, signing_keys: Sequence[bytes] = ()) -> dict[str, str]:
    """Return the fields of a call that Twilio signed (twilio.com/docs/usage/webhooks/webhooks-security).

    The signature covers the URL and every form field, or for JSON the URL with a digest of the
    body. *signing_keys* are the shared keys that may be used instead of *auth_token*. Of a repeated
    field the first value is returned. Raises `Unverified`, or `Malformed` for a
    signed body that is no object of strings.
    """
    secrets, hash_name = _keys(call, auth_token, signing_keys)
    at, port = _split(call.url)
    digest = parse_qs(at.query).get("bodySHA256", [""])[0]
    pairs: list[tuple[str, str]] = []
    if digest:
        if not _equal(hashlib.sha256(call.body).hexdigest(), digest):
            raise Unverified("bodySHA256 does not fit the body")
    elif call.method != "GET":
        pairs = _pairs(call.body.decode("utf-8", "replace"))
    signed = "".join(name + value for name, value in sorted(set(pairs)))
    given = call.headers.get(SIGNATURE, "")
    proofs = [
        base64.b64encode(hmac.digest(secret, (url + signed).encode("utf-8", "replace"), HASHES[hash_name])).decode()
        for secret in secrets
        for url in {call.url, *_spellings(at, port)}
    ]
    if not any([_equal(proof, given) for proof in proofs]):  # noqa: C419  # all are compared: no early way out
        raise Unverified(f"{SIGNATURE} is missing or does not fit; is public_url the address that Twilio calls?")
    if digest:
        return _json_fields(call.body)
    return dict(reversed(pairs or _pairs(at.query)))


def _keys(call: WebhookCall, auth_token: bytes, signing_keys: Sequence[bytes]) -> tuple[Sequence[bytes], str]:
    """Return the secrets that may have signed *call* and the name of the hash. Raises `Unverified`."""
    settings = call.headers.get(SIGNATURE_SETTINGS)
    if not settings:
        return [auth_token], "HMAC_SHA1"
    named = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in settings.split(","))}
    hash_name = named.get("algorithm", "HMAC_SHA1").upper()
    if hash_name not in HASHES:
        raise Unverified(f"{SIGNATURE_SETTINGS} names an algorithm other than {' and '.join(HASHES)}")
    if not signing_keys:
        raise Unverified("the call is signed with a shared key but this channel has no signing_key")
    return signing_keys, hash_name


def _split(url: str) -> tuple[SplitResult, int]:
    """Return the parts of *url* and its port. Raises `Unverified` for one that nobody can have signed."""
    try:
        at = urlsplit(url)
        port = at.port
    except ValueError:
        raise Unverified("the address that was called is not valid") from None
    return at, port or (443 if at.scheme == "https" else 80)


def _spellings(at: SplitResult, port: int) -> set[str]:
    """Return the address as it is, with its port and without: Twilio's own libraries accept either."""
    host = re.sub(r":\d*$", "", at.netloc)
    return {at._replace(netloc=netloc).geturl() for netloc in (at.netloc, host, f"{host}:{port}")}


def _pairs(form: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(form, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Unverified(f"more than {MAX_FIELDS} fields") from None


def _json_fields(body: bytes) -> dict[str, str]:
    try:
        return msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("the body is not a JSON object of strings") from None


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
