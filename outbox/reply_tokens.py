"""Words that let an agent answer a notice: signed, bound to one agent and one conversation, and of limited life.

A token is read back without a look into the store: it says which conversation, when it was made and what its reader had
seen; the signature says for whom. Small letters and digits only, for mail servers do not keep the case of an address.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from inbox.partitions import COUNT

EPOCH = 1_577_836_800
"""2020-01-01 in seconds since 1970: with four bytes for the seconds since then, tokens can be made until 2156."""

FORM = struct.Struct("!BIHHIHI")
"""Partition, conversation (milliseconds in 4 + 2 bytes, sequence), seen (milliseconds in 4 + 2 bytes), made (s)."""

SIGNATURE = 9
KEY = re.compile(r"(\d{1,15})-(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says. Times are in milliseconds since 1970 UTC: *seen* by the store's clock, *made* by the hub's."""

    agent: str
    conversation: str
    seen: int
    made: int


def write(secret: str, agent: str, conversation: str, seen: int, now: int) -> str:
    """Return the token with which *agent* answers in *conversation*; "" for one whose id does not fit.

    *seen* is the time of the last thing in the conversation that the notice tells of.
    """
    partition, _, name = conversation.removeprefix("c").partition("-")
    match = KEY.fullmatch(name)
    if match is None:
        return ""
    opened, number = int(match[1]), int(match[2])
    if number >= 1 << 16 or max(opened, seen) >= 1 << 48:
        return ""
    head = FORM.pack(
        int(partition), opened >> 16, opened & 0xFFFF, number, seen >> 16, seen & 0xFFFF, now // 1000 - EPOCH
    )
    return base64.b32encode(head + _signature(secret, agent, head)).decode().lower().rstrip("=")


def read(secret: str, text: str, agents: Iterable[str]) -> Token | None:
    """Return what the token *text* says, None if it was made for none of *agents*, or not by us."""
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return None
    if len(data) != FORM.size + SIGNATURE:
        return None
    head, signature = data[: FORM.size], data[FORM.size :]
    partition, high, low, number, seen_high, seen_low, made = FORM.unpack(head)
    for agent in agents:
        if hmac.compare_digest(signature, _signature(secret, agent, head)) and partition < COUNT:
            conversation = f"c{partition}-{high << 16 | low}-{number}"
            return Token(agent, conversation, seen_high << 16 | seen_low, (made + EPOCH) * 1000)
    return None


def _signature(secret: str, agent: str, head: bytes) -> bytes:
    key = hashlib.sha256(f"agents' answers\0{secret}".encode()).digest()
    return hashlib.blake2b(head + agent.encode(), digest_size=SIGNATURE, key=key).digest()
