"""Mail addresses and names in headers (RFC 5322 §3.4), read leniently, in linear time and up to a limit."""

from __future__ import annotations

import re

from msgspec import Struct

from connectors.mail_charset import decode, decode_words, line

LONGEST = 64 << 10
LONGEST_NAME = 10
"""A name with more commas than this is none."""

TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"?|<([^<>]*)>?|([,;()])|([^"<,;()]+)', re.DOTALL)
ADDRESS = re.compile(r"[^\s<>@,;:\"()\[\]\\]{1,64}@[^\s<>@,;:\"()\\]{1,255}")
QUOTES = "\"'“”‘’ "


class Person(Struct, frozen=True):
    """A name ("" if none is given) and a lower-case address."""

    name: str
    address: str


def read_people(raw: bytes, limit: int, hint: str = "", *, thorough: bool = True) -> list[Person]:
    """Return up to *limit* people of a header value; an entry without an address belongs to the next one."""
    raw = raw[:LONGEST]
    text = raw.decode("ascii") if raw.isascii() else decode(raw, hint, thorough=thorough)
    people: list[Person] = []
    names: list[str] = []
    comments: list[str] = []
    address = ""
    depth = 0
    for match in TOKEN.finditer(text + ","):
        quoted, angle, mark, atom = match.groups()
        if mark in ("(", ")"):
            depth = max(0, depth + (1 if mark == "(" else -1))
        elif depth:
            comments.append(match[0])
        elif mark:
            found = address or _bare_address(names)
            if found:
                people.append(Person(_name(names, comments, found, thorough=thorough), found))
                names, comments, address = [], [], ""
                if len(people) >= limit:
                    break
            elif len(names) > LONGEST_NAME:
                names = []
        elif quoted is not None:
            names.append(re.sub(r"\\(.)", r"\1", quoted))
        elif angle is not None:
            address = address or _address(angle)
        elif atom:
            names.append(atom.rpartition(":")[2] if atom.isascii() and "=?" not in atom else atom)
    return people


def _address(text: str) -> str:
    match = ADDRESS.search(text if text.isprintable() else "")
    return match[0].strip(".").lower() if match else ""


def _bare_address(names: list[str]) -> str:
    """Return an address written without angle brackets, or hidden inside an encoded word by a careless mailer."""
    text = " ".join(names)
    if "=?" in text:
        text = decode_words(text.encode(), "utf-8")
    return _address(line(text, 2000))


def _name(names: list[str], comments: list[str], address: str, *, thorough: bool) -> str:
    text = " ".join(part.strip() for part in names if part.strip()) or " ".join(comments)
    name = line(decode_words(text.encode(), "utf-8", thorough=thorough), 200)
    name = ADDRESS.sub("", name).replace("<>", "").strip(QUOTES) if "@" in name else name.strip(QUOTES)
    return "" if name.lower() == address else name
