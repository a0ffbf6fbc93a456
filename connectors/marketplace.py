"""What marketplace connectors share: concatenated signatures, single-use refresh tokens and the habits of pushes.

Nothing here speaks to a platform; each function names the platforms whose rule it is.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from connectors.base import Echo, Malformed, Media, Memory, Message, MessageType, Window
from connectors.tokens import Grant

SAFE_INTEGER = 2**53
"""Integers from here on lose digits in every reader that keeps numbers as doubles (RFC 8259 §6)."""

SKEW = 86_400_000
"""An ordering index this close (in milliseconds) to the time of writing is a time itself."""

_ID = re.compile(r"[!-~]{1,128}")

NEVER = 1 << 53
"""Expiry of a token whose end nobody told us: it is renewed when the platform refuses it."""


def canonical(fields: Mapping[str, str], *, unsigned: frozenset[str] = frozenset({"sign"})) -> str:
    """Join key and value of all *fields* but the *unsigned* ones, without separators, sorted by key."""
    return "".join(f"{key}{fields[key]}" for key in sorted(fields) if key not in unsigned)


def sign_call(secret: str, *parts: str) -> str:
    """Sign the bare concatenation of *parts*: Shopee's rule (partner id, path, timestamp, access token, shop id)."""
    return _hmac_sha256(secret, "".join(parts).encode())


def sign_path(secret: str, path: str, fields: Mapping[str, str]) -> str:
    """Sign path and sorted *fields* in upper-case hex: Lazada's rule; the access token is one of the fields."""
    return _hmac_sha256(secret, (path + canonical(fields)).encode()).upper()


def sign_enclosed(secret: str, path: str, query: Mapping[str, str], body: bytes = b"") -> str:
    """Sign path, sorted *query* and *body* between two copies of the secret: TikTok Shop's rule.

    A multipart body is not signed: leave *body* out.
    """
    text = path + canonical(query, unsigned=frozenset({"sign", "access_token"}))
    return _hmac_sha256(secret, b"".join((secret.encode(), text.encode(), body, secret.encode())))


def sign_push(secret: str, prefix: str, body: bytes) -> str:
    """Sign a push: *prefix* is the app key (TikTok Shop, Lazada) or the callback URL and "|" (Shopee)."""
    return _hmac_sha256(secret, prefix.encode() + body)


def matches(expected: str, given: str) -> bool:
    """Compare two signatures in constant time; *given* may hold anything that a header can."""
    return hmac.compare_digest(expected.encode(), given.encode(errors="backslashreplace"))


def decode(body: bytes) -> dict[str, Any]:
    """Decode a push whose top level is a JSON object, with `exact` numbers. Raises `Malformed`."""
    try:
        tree = exact(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("the push is not JSON") from None
    if not isinstance(tree, dict):
        raise Malformed("the push is not a JSON object")
    return tree


def unwrap(content: object) -> dict[str, Any]:
    """Decode content that is a JSON object inside a string; what is no such thing is kept as {"raw": content}."""
    if isinstance(content, dict):
        return content
    if not isinstance(content, str):
        return {} if content is None else {"raw": content}
    try:
        tree = exact(msgspec.json.decode(content))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {"raw": content}
    return tree if isinstance(tree, dict) else {"raw": content}


def exact(tree: Any) -> Any:
    """Return *tree* with integers that a double cannot hold as strings: marketplace ids are larger than 2^53."""
    if isinstance(tree, dict):
        return {key: exact(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [exact(value) for value in tree]
    if isinstance(tree, int) and abs(tree) >= SAFE_INTEGER:
        return str(tree)
    return str(tree) if isinstance(tree, float) and not math.isfinite(tree) else tree


def identifier(value: object) -> str:
    """Return an id (1 to 128 printable ASCII characters) as text, "" if *value* is none.

    Platforms send the same id now as a number, now as a string.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def milliseconds(value: object) -> int:
    """Return a time given in seconds or milliseconds since 1970 UTC as milliseconds, 0 if *value* is none."""
    digits = identifier(value)
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 13):
        return 0
    number = int(digits)
    return number if number >= 10**11 else number * 1000


def moment(index: str, written: int) -> int:
    """Return the time to order a message by: its *index* where that is a time near *written*, else *written*.

    The index tells apart messages written in the same second (TikTok Shop); *written* is in milliseconds.
    """
    time = milliseconds(index)
    return time if len(index) == 13 and abs(time - written) <= SKEW else written


def said(
    *,
    own: bool,
    external_id: str,
    address: str,
    at: int,
    handle: str,
    text: str = "",
    type: MessageType = "text",
    media: tuple[Media, ...] = (),
    author: str = "",
    details: dict[str, Any] | None = None,
    window: Window | None = None,
) -> Message | Echo:
    """Return what a push reports as said: marketplaces push our *own* side's messages too, and those are echoes.

    *address* is the customer's in both cases. *window* is the right to answer that a customer's message grants.
    """
    known = details or {}
    if own:
        return Echo(external_id, address, at, text, type, media, author=author, handle=handle, details=known)
    return Message(
        external_id, address, at, text, type, name=author, media=media, handle=handle, window=window, details=known
    )


@dataclass(slots=True)
class Succession:
    """Refreshes by single-use refresh tokens, for `Tokens.fetch`: no answer of the platform is asked for twice.

    *first* is the grant of the configuration. *ask* trades a refresh token for the next grant and is
    called once per token: an answer that could not be stored is kept here and given again, so that a
    store that is away for a while does not cost the channel its authorization. Only a process that
    dies between the platform's answer and the store loses it.
    """

    first: Grant
    ask: Callable[[str], Awaitable[Grant]]
    _spent: str = field(default="", repr=False)
    _next: Grant | None = field(default=None, repr=False)

    async def fetch(self, known: Grant | None) -> Grant:
        """Return the grant after *known*; the first one if there is none. Raises what *ask* raises."""
        if known is None:
            return self.first
        if self._next is not None and self._spent == known.refresh_token:
            return self._next
        answer = await self.ask(known.refresh_token)
        fresh = msgspec.structs.replace(answer, refresh_token=answer.refresh_token or known.refresh_token)
        rotated = fresh.refresh_token != known.refresh_token
        self._spent, self._next = (known.refresh_token, fresh) if rotated else ("", None)
        return fresh


def chain_name(*configured: str) -> str:
    """Name the stored chain of grants that begins with the *configured* tokens.

    New tokens in the configuration begin a new chain, so a channel that was authorized again never
    goes on with what the old chain left in the store. The name gives nothing away.
    """
    return "grant-" + hashlib.sha256("\n".join(configured).encode()).hexdigest()[:16]


@dataclass(slots=True)
class Counterparts:
    """Who is the customer in a conversation, for pushes that name only our own side.

    Shared by all processes for *keep* seconds after a process first heard the customer.
    """

    memory: Memory
    keep: float = 30 * 86400.0
    most: int = 10_000
    _known: OrderedDict[str, str] = field(default_factory=OrderedDict, repr=False)

    async def note(self, conversation: str, address: str) -> None:
        """Remember that the customer in *conversation* is *address*."""
        if self._known.get(conversation) != address:
            await self.memory.put(f"customer-{conversation}", address, ttl=self.keep)
        self._hold(conversation, address)

    async def find(self, conversation: str) -> str:
        """Return the customer's address, "" if nobody heard the customer yet."""
        address = self._known.get(conversation) or await self.memory.get(f"customer-{conversation}") or ""
        if address:
            self._hold(conversation, address)
        return address

    def _hold(self, conversation: str, address: str) -> None:
        self._known[conversation] = address
        self._known.move_to_end(conversation)
        if len(self._known) > self.most:
            self._known.popitem(last=False)


def _hmac_sha256(secret: str, base: bytes) -> str:
    return hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
