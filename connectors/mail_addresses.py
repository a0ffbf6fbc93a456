"""Mail addresses and names in headers (RFC 5322 §3.4), read leniently, in linear time and up to a limit."""

from __future__ import annotations

import re

from msgspec import Struct

from connectors.base import mail_address
from connectors.mail_charset import decode, decode_words, line, readable

LONGEST = 64 << 10
LONGEST_NAME = 10
"""A name with more commas than this is none."""

TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"?|<([^<>]*)>?|([,;()])|([^"<,;()]+)', re.DOTALL)
ADDRESS = re.compile(r"[^\s<>@,;:\"()\[\]\\]{1,64}@[^\s<>@,;:\"()\\]{1,255}")
ANGLE = re.compile(r"<([^<>]*)>")
QUOTES = "\"'“”‘’ "


class Person(Struct, frozen=True):
    """A name ("" if none is given) and a lower-case address."""

    name: str
    address: str


def read_people(raw: bytes, limit: int, hint: str = "", *, thorough: bool = True) -> list[Person]:
    """Return up to *limit* people of a header value; an entry without an address belongs to the next one."""
    raw = raw[:LONGEST]
    text = raw.decode("ascii") if raw.isascii() else decode(raw, readable(raw, hint), thorough=thorough)
    people: list[Person] = []
    entry = _Entry()
    depth = 0
    for match in TOKEN.finditer(text):
        quoted, angle, mark, atom = match.groups()
        if mark in ("(", ")"):
            depth = max(0, depth + (1 if mark == "(" else -1))
        elif depth:
            entry.comments.append(match[0])
        elif mark:
            entry = entry.close(people, thorough=thorough)
            if len(people) >= limit:
                return people
        elif quoted is not None:
            entry.names.append(re.sub(r"\\(.)", r"\1", quoted))
        elif angle is not None:
            entry.address = entry.address or _address(angle)
        elif atom:
            entry.names.append(atom.rpartition(":")[2] if atom.isascii() and "=?" not in atom else atom)
    entry.close(people, thorough=thorough)
    return people or _anybody(text, thorough=thorough)


def _anybody(text: str, *, thorough: bool) -> list[Person]:
    """Return whom a broken header value (a parenthesis never closed) names last in brackets, else first without."""
    for match in reversed(list(ANGLE.finditer(text))):
        if address := _address(match[1]):
            return [Person(_name([text[: match.start()]], address, thorough=thorough), address)]
    address = _address(line(text, LONGEST))
    return [Person("", address)] if address else []


class _Entry:
    """What has been read of one person."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.comments: list[str] = []
        self.address = ""

    def close(self, people: list[Person], *, thorough: bool) -> _Entry:
        """Add the person to *people* and return an entry for the next one; without an address yet, go on with this."""
        address = self.address or _bare_address(self.names)
        if not address:
            return self if len(self.names) <= LONGEST_NAME else _Entry()
        name = _name(self.names, address, thorough=thorough) or _name(self.comments, address, thorough=thorough)
        people.append(Person(name, address))
        return _Entry()


def _address(text: str) -> str:
    match = ADDRESS.search(text if text.isprintable() else "")
    return mail_address(match[0]) if match else ""


def _bare_address(names: list[str]) -> str:
    """Return an address written without angle brackets, or hidden inside an encoded word by a careless mailer."""
    text = " ".join(names)
    if "=?" in text:
        text = decode_words(text.encode(), "utf-8")
    return _address(line(text, 2000))


def _name(parts: list[str], address: str, *, thorough: bool) -> str:
    text = " ".join(part.strip() for part in parts if part.strip())
    name = line(decode_words(text.encode(), "utf-8", thorough=thorough), 200)
    name = ADDRESS.sub("", name).replace("<>", "").strip(QUOTES) if "@" in name else name.strip(QUOTES)
    return "" if name.lower() == address else name
