"""What the errcodes of WeCom mean, and what all its interfaces ask of a text and a file.

Sources: developer.work.weixin.qq.com, path/90313 (errcodes), path/90312 (limits), path/90253 (files).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from connectors.base import BadOptions, OutboundMedia, Rejected, SendError, Throttled, Unreachable
from connectors.errcodes import refusal

TEXT_LIMIT = 2048
TOKEN_REFUSED = frozenset({40014, 42001})
TASK_TAKEN = 42014
MEDIA_GONE = 40007

REFUSALS: Mapping[int, tuple[type[SendError], str]] = {
    -1: (Unreachable, "the platform is busy"),
    40001: (BadOptions, "the platform refuses secret"),
    40003: (Rejected, "the platform does not know this member"),
    40004: (Rejected, "the platform does not take this type of file"),
    40005: (Rejected, "the platform does not take this type of file"),
    40006: (Rejected, "the platform does not take a file of this size"),
    MEDIA_GONE: (Rejected, "the platform does not know the file, even when it has just been uploaded"),
    40008: (Rejected, "the platform does not take this type of message"),
    40009: (Rejected, "the picture is too large for the platform"),
    40011: (Rejected, "the video is too large for the platform"),
    40013: (BadOptions, "the platform does not know this corp_id"),
    40014: (BadOptions, "the platform refuses a token that it has just issued"),
    40031: (Rejected, "the platform does not know this member"),
    40056: (BadOptions, "the platform does not know this agent_id"),
    40058: (Rejected, "the platform refuses a part of the message"),
    40063: (Rejected, "the platform misses a part of the message"),
    40091: (BadOptions, "the platform refuses secret"),
    42001: (BadOptions, "the platform calls a token expired that it has just issued"),
    TASK_TAKEN: (Rejected, "the platform already has a card of this delivery"),
    43004: (Rejected, "the member has not activated WeCom"),
    44001: (Rejected, "the file is empty"),
    44004: (Rejected, "the text is empty"),
    45001: (Rejected, "the file is too large for the platform"),
    45002: (Rejected, "the text is too long for the platform"),
    45007: (Rejected, "the voice clip is too long for the platform"),
    45009: (Throttled, "too many calls"),
    45033: (Throttled, "too many calls at the same time"),
    47001: (Rejected, "the platform cannot read the request"),
    48002: (BadOptions, "the app may not use this interface"),
    50001: (BadOptions, "the app's trusted domain is missing"),
    50003: (BadOptions, "the app is disabled; enable it in the console of WeCom"),
    60011: (BadOptions, "the app may not write to this member, party or tag"),
    60020: (BadOptions, "the hub's IP address is not on the app's list of trusted addresses"),
    60111: (Rejected, "the platform does not know this member"),
    81013: (Rejected, "the member does not exist or cannot see the app"),
    82001: (Rejected, "the member does not exist or cannot see the app"),
    93000: (BadOptions, "the platform does not know this key, or the robot was taken out of its group"),
    130101: (Throttled, "too many messages in this minute"),
    301002: (BadOptions, "secret belongs to another app than agent_id"),
    301025: (Rejected, "the platform refuses a part of the message"),
}
# A limit per minute shuts the caller out for 60 s. The code does not say which limit it was.
# A robot that went on was seen to be shut out for ten minutes with 130101.
WAITS = {45033: 5.0, 130101: 600.0}

# Bytes, and types of what a family carries; anything else goes as a "file".
CARRIED = {
    "image": (10 << 20, {"image/jpeg": "jpg", "image/png": "png"}),
    "voice": (2 << 20, {"audio/amr": "amr"}),
    "video": (10 << 20, {"video/mp4": "mp4"}),
}
FILE_LIMIT = 20 << 20
LEAST = 6  # bytes: "more than 5"

# In the texts of apps and robots "<a href" makes a link that reads like something else, and "<@" calls members.
# Much of a notice is a customer's words, who shall be able to do neither. As many bytes as before.
ACTIVE = re.compile(r"<(?=a[\s/]|@)", re.IGNORECASE)
# JSON can only write control characters as \uXXXX, which the platform refuses.
CONTROLS = {code: None for code in range(32) if chr(code) not in "\t\n\r"}


def refused(errcode: int) -> SendError:
    """Return the `SendError` for *errcode*."""
    return refusal(errcode, REFUSALS, WAITS.get(errcode, 60.0))


def harmless(text: str) -> str:
    """Return *text* as it may be sent. Raises `Rejected` when it is empty or too long: it is never cut."""
    text = ACTIVE.sub("(", text.translate(CONTROLS))
    if not text.strip():
        raise Rejected("the text is empty", code="44004")
    if len(text.encode("utf-8", "replace")) > TEXT_LIMIT:
        raise Rejected(f"the text is longer than {TEXT_LIMIT} bytes", code="45002")
    return text


def family(media: OutboundMedia, limits: Mapping[str, int]) -> tuple[str, str]:
    """Return as what *media* goes and under which ending; "" for a file that the platform does not carry at all.

    *limits* names the families there are, with their most bytes.
    """
    if not LEAST <= media.size <= FILE_LIMIT:
        return "", ""
    mime = media.type.partition(";")[0].strip().lower()
    for name, most in limits.items():
        endings = CARRIED[name][1]
        if mime in endings and media.size <= most:
            return name, endings[mime]
    return "file", ""


def address_of(media: OutboundMedia) -> str:
    """Return the public address of a file that the platform does not carry. Raises `Rejected` if it has none."""
    if not media.url:
        raise Rejected("WeCom does not carry a file of this size, and there is no public address to link to")
    return media.url
