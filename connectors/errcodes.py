"""Calls of WeChat and WeCom: JSON without escapes out, JSON with an errcode back, whatever status and type say.

Makes no request itself. What an errcode means is each platform's own table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from connectors.base import Media, Rejected, SendError, Throttled, Uncertain, Unreachable
from connectors.calls import Reply
from connectors.uploads import OCTETS, sniff

MAX_JSON = 1 << 20
FILE_NAME = re.compile(r'filename="?([^";]+)"?', re.IGNORECASE)
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}


class Answer(msgspec.Struct, frozen=True):
    """What every interface answers with; *errcode* is absent or 0 when all is well."""

    errcode: int | None = None


T = TypeVar("T", bound=Answer)


def encode(payload: Mapping[str, Any]) -> bytes:
    r"""Return *payload* as JSON in UTF-8: the platforms answer 40033 to \uXXXX escapes."""
    return json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")


def decode(reply: Reply, kind: type[T], *, repeatable: bool) -> T:
    """Read the JSON in *reply*, whatever its content type says; a file is an answer without errcode.

    Raises `Uncertain` (or `Unreachable`, if the call may be repeated) when a JSON answer cannot be read.
    """
    mime = content_type(reply)
    # Errors of media/get are JSON that calls itself text/plain, and so do some of its files.
    told = reply.body.lstrip()[:1] == b"{" or mime in ("application/json", "text/plain", "text/html")
    if not told or sniff(reply.body, "") != OCTETS:
        return kind()
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        lost = Unreachable if repeatable else Uncertain
        raise lost("the platform answered with something that is not its JSON") from None


def refusal(errcode: int, table: Mapping[int, tuple[type[SendError], str]], wait: float) -> SendError:
    """Return the `SendError` for *errcode* by *table*; one that is not in it is final.

    *wait* is how many seconds to hold back if it is `Throttled`. The platform's errmsg is not repeated: its
    wording changes, and it may hold an id or an address.
    """
    error, reason = table.get(errcode, (Rejected, "the platform refuses the message"))
    text, code = f"{reason} (errcode {errcode})", str(errcode)
    if error is Throttled:
        return Throttled(text, retry_after=wait, code=code)
    return error(text, code=code)


def filled(media: Media, reply: Reply) -> Media:
    """Return *media* with the file that *reply* is, and what its headers say of type and name."""
    mime = content_type(reply)
    named = FILE_NAME.search(reply.headers.get("Content-Disposition", ""))
    known = "/" in mime and mime not in ("application/octet-stream", "text/plain")
    return msgspec.structs.replace(
        media,
        type=mime if known else media.type,
        name=named.group(1) if named else media.name,
        size=len(reply.body),
        data=reply.body,
    )


def content_type(reply: Reply) -> str:
    """Return the MIME type of *reply* without parameters, in lower case; "" if it names none."""
    return reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
