"""What an agent writes from where they work, taken apart: a command, words for the customer, and which conversation.

Pure. A command is the first line of a message, or what follows the conversation's number in it. What only looks like a
command is never taken for words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from config.faults import nearest
from config.values import DURATIONS
from outbox.notices import MARKS

NAMES: Mapping[str, tuple[str, ...]] = {
    "note": ("note", "备注"),
    "assign": ("assign", "转交", "转给"),
    "resolve": ("resolve", "解决"),
    "reopen": ("reopen", "重开"),
    "snooze": ("snooze", "稍后"),
    "tag": ("tag", "标签"),
    "take": ("take", "接下"),
    "next": ("next", "下一个"),
    "status": ("status", "状态"),
    "approve": ("approve", "批准"),
    "discard": ("discard", "丢弃"),
    "help": ("help", "帮助", "?", "？"),
}
KNOWN = {word: name for name, words in NAMES.items() for word in words}
TARGET = re.compile(r"\s*[#＃]\s*(\d{1,6})(?!\d)[\s:：,，、]*")
BARE_TARGET = re.compile(r"\s*(\d{2,6})(?:[\s:：,，、]+|$)")
SUBJECT_TARGET = re.compile(r"\[#(\d{1,6})\]")
SPAN = re.compile(r"(\d{1,4})\s*(分钟|小时|个小时|天|周|minutes?|mins?|hours?|days?|weeks?|[smhdw])", re.IGNORECASE)
UNITS = {"分钟": "m", "小时": "h", "个小时": "h", "天": "d", "周": "w", "mi": "m", "ho": "h", "da": "d", "we": "w"}
SIGNATURE = re.compile(r"^-- ?$", re.MULTILINE)
DEVICE = re.compile(r"\n\s*(?:发自|來自|来自|Sent from |Get Outlook for )[^\n]{0,60}\s*$", re.IGNORECASE)
INTRODUCTION = re.compile(r".*(?:@.*|\d{4}.*|写道|寫道|wrote)[:：]\s*$", re.IGNORECASE)
LONGEST_SNOOZE = 365 * DURATIONS["d"]


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a message asks for: *name* is a command, "" for words to the customer, "unknown" for what is no command.

    *code* is the conversation's number if it names one. *more* is what stands below a command and is not part of it.
    """

    name: str
    argument: str = ""
    code: str = ""
    more: str = ""
    near: str = ""


def read(text: str, prefix: str, *, bare: bool = False) -> Instruction:
    """Take what an agent wrote apart. *bare*: a number in front names the conversation, also without #."""
    words, code = text.strip(), ""
    match = TARGET.match(words) or (BARE_TARGET.match(words) if bare else None)
    if match is not None:
        code, words = match[1], words[match.end() :].strip()
    first, _, below = words.partition("\n")
    head = unicodedata.normalize("NFKC", first[: len(prefix)])
    if head != prefix:
        return Instruction("", words, code)
    rest = first[len(prefix) :].strip()
    name, argument = _command(rest)
    if not name:
        word = rest.split()[0] if rest.split() else ""
        return Instruction("unknown", word[:40], code, near=nearest(word.lower(), list(KNOWN)) or "")
    if name == "note":
        return Instruction(name, f"{argument}\n{below}".strip(), code)
    named = TARGET.match(argument)
    if named is not None and not code:
        code, argument = named[1], argument[named.end() :].strip()
    return Instruction(name, argument, code, below.strip())


def _command(rest: str) -> tuple[str, str]:
    """Return the command with which *rest* begins, and its argument; Chinese needs no blank between them."""
    word, _, argument = rest.partition(" ")
    name = KNOWN.get(word.lower().strip("　"))
    if name is not None:
        return name, argument.strip()
    for known in sorted(KNOWN, key=len, reverse=True):
        if not known.isascii() and rest.startswith(known):
            return KNOWN[known], rest[len(known) :].strip(" 　:：")
    return "", ""


def span(text: str) -> int:
    """Return a duration such as ``2h``, ``30m``, ``1d``, ``2小时`` or ``半小时`` in milliseconds, 0 if it is none."""
    plain = unicodedata.normalize("NFKC", text).strip()
    if plain in ("半小时", "半个小时"):
        return 30 * DURATIONS["m"]
    total, end = 0, 0
    for match in SPAN.finditer(plain):
        if plain[end : match.start()].strip():
            return 0
        unit = match[2].lower()
        total += int(match[1]) * DURATIONS[UNITS.get(unit) or UNITS.get(unit[:2]) or unit[0]]
        end = match.end()
    return total if end == len(plain) and 0 < total <= LONGEST_SNOOZE else 0


def tags(text: str) -> tuple[list[str], list[str]]:
    """Return the tags to add and those to take away (``-name``)."""
    words = [word for word in re.split(r"[\s,，、]+", text) if word]
    return [one.lstrip("+") for one in words if not one.startswith("-")], [one[1:] for one in words if one[0] == "-"]


def own_words(text: str) -> str:
    """Return what of a mail to a notice is the agent's own: nothing of the notice, nothing of a signature.

    Everything from the notice's line on goes, wherever a mail program put it: what an agent writes below is lost to
    the customer rather than the notice shown to them.
    """
    rows = text.replace("\r\n", "\n").split("\n")
    cut = next((number for number, row in enumerate(rows) if any(mark in row for mark in MARKS)), len(rows))
    kept = rows[:cut]
    while kept and cut < len(rows) and (not kept[-1].strip(" >\t") or INTRODUCTION.fullmatch(kept[-1].strip("> \t"))):
        kept.pop()
    words = "\n".join(kept)
    signature = SIGNATURE.search(words)
    if signature is not None and words[: signature.start()].strip():
        words = words[: signature.start()]
    return DEVICE.sub("", f"\n{words.rstrip()}").strip()
