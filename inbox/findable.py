"""What of a log entry and of a conversation can be found: their words, names, numbers and ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.folding import traced
from inbox import log as logbook
from inbox.conversations import Conversation
from inbox.grams import Query
from inbox.log import Entry

DIRECTIONS = {logbook.MESSAGE: "inbound", logbook.ECHO: "outbound", logbook.REPLY: "outbound", logbook.NOTE: "note"}
"""The entries that can be found, and how the API calls them."""

MOST_DETAILS = 40
LONGEST_DETAIL = 200
BEFORE = 24
"""So many characters of a message are shown before the first hit, …"""

SHOWN = 160
"""… and so many in all."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a snippet; *hit*: it is what was looked for."""

    text: str
    hit: bool = False


def parts(entry: Entry) -> list[str]:
    """Return what can be found of a message: text, subject, its id on the platform, names of files, details."""
    fields, body = entry.fields, entry.rest()
    media = (str(one.get("name", "")) for one in body.get("media", ()))
    found = [fields.get("tx", ""), str(body.get("subject", "")), fields.get("x", ""), *media]
    return [one for one in [*found, *_leaves(body.get("details"))] if one]


def _leaves(details: Any) -> list[str]:
    """Return the texts and numbers of what a platform told besides, such as an order's number."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            for one in value.values():
                yield from walk(one)
        elif isinstance(value, list | tuple):
            for one in value:
                yield from walk(one)
        elif isinstance(value, str | int) and not isinstance(value, bool):
            yield str(value)[:LONGEST_DETAIL]

    return [text for text, _ in zip(walk(details), range(MOST_DETAILS), strict=False)]


def card(one: Conversation, contact: Mapping[str, str]) -> list[str]:
    """Return what can be found of a conversation itself: subject, names, addresses, ids."""
    addresses = contact.get("addresses", "").split("\n")
    names = dict.fromkeys([one.subject, contact.get("name", ""), one.name, one.address, *addresses])
    return [*filter(None, names), one.id, one.contact]


def snippet(found: list[str], query: Query) -> list[Piece]:
    """Return the place of a message where the first hit is, with every hit in it marked; its beginning if none is."""
    pattern = re.compile("|".join(map(_loose, sorted(query.words, key=len, reverse=True))))
    for text in found:
        trace = traced(text)
        first = pattern.search(trace.text)
        if first is not None:
            start = max(0, trace.span(*first.span())[0] - BEFORE)
            return _cut(text, start, [trace.span(*one.span()) for one in pattern.finditer(trace.text)])
    return _cut(found[0], 0, []) if found else []


def _loose(word: str) -> str:
    """Return a pattern of *word* in which a blank is any white space."""
    return r"\s+".join(map(re.escape, word.split(" ")))


def _cut(text: str, start: int, hits: list[tuple[int, int]]) -> list[Piece]:
    end = min(len(text), start + SHOWN)
    pieces = [Piece("…")] if start else []
    at = start
    for begin, stop in hits:
        if begin < at or begin >= end:
            continue
        if begin > at:
            pieces.append(Piece(text[at:begin]))
        pieces.append(Piece(text[begin : min(stop, end)], hit=True))
        at = min(stop, end)
    if at < end:
        pieces.append(Piece(text[at:end]))
    return [*pieces, Piece("…")] if end < len(text) else pieces
