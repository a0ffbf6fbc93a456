"""What a mail says and what it brings: its parts sorted into text, HTML and files."""

from __future__ import annotations

import html as markup
import mimetypes
import re

from msgspec import Struct

from connectors.base import Media
from connectors.mail_charset import decode_words, line
from connectors.mail_html import Tokens, sanitise, to_text, tokens
from connectors.mail_mime import MEDIA_TYPE, Limits, Part, TooComplex

ALWAYS_FILES = frozenset({
    "text/calendar", "text/x-vcard", "text/vcard", "text/csv", "text/xml", "text/x-amp-html", "text/rtf",
    "text/rfc822-headers",
})  # fmt: skip
NAMES = {
    "text/calendar": "invite.ics",
    "message/delivery-status": "report.txt",
    "text/rfc822-headers": "header.txt",
    "message/rfc822-headers": "header.txt",
}
ENDINGS = {"image/jpg": ".jpg", "image/pjpeg": ".jpg", "image/x-png": ".png"}
"""Types that no register knows, as mail programs write them."""
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
UNSAFE = re.compile(r'[/\\:*?"<>|]')


def safe_name(name: str, kind: str, number: int) -> str:
    """Return a file name that can do no harm: no path, control or direction characters, at most 200 bytes."""
    name = UNSAFE.sub("_", line(name.replace("\\", "/").rpartition("/")[2], 1000)).strip(". ")
    if not name:
        return f"attachment-{number}{ENDINGS.get(kind) or mimetypes.guess_extension(kind) or '.bin'}"
    if RESERVED.match(name):
        name = "_" + name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 10:
        stem, dot, ending = name, "", ""
    return stem.encode()[: 200 - len(dot + ending)].decode("utf-8", "ignore") + dot + ending


class Section(Struct):
    """One run of body: its plain and its HTML form, either may be empty."""

    plain: str = ""
    html: str = ""


class Body:
    """Collects what a mail says and what it brings, walking its parts in order."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sections: list[Section] = []
        self._files: list[Media] = []
        self._html = ""
        self._extra: list[Media] = []

    def read(self, part: Part, *, alone: bool = True) -> None:
        """Read *part*, which stands *alone* unless it is one of several things."""
        if part.type == "multipart/alternative":
            self._alternative(part)
        elif part.parts:
            for child in part.parts:
                self.read(child, alone=False)
        elif self._is_text(part, alone=alone):
            self._sections.append(self._section(part))
        else:
            self._attach(part)

    def text(self) -> str:
        """Return the whole text: the plain form of each run, or its HTML turned into text."""
        runs: list[str] = []
        cleaned: list[str] = []
        rich = any(section.html for section in self._sections)
        for section in self._sections:
            plain = section.plain.strip()
            parts = tokens(section.html)
            runs.append(plain or to_text(parts))
            if section.html:
                cleaned.append(self._clean(section.html, parts))
            elif rich:
                cleaned.append(f"<pre>{markup.escape(section.plain)}</pre>")
        self._html = "\n".join(cleaned) if all(cleaned) else ""
        text = "\n\n".join(run for run in runs if run)
        if len(text) > self._limits.text:
            data = text.encode()
            self._extra.append(Media("text/plain", "body.txt", len(data), data))
            text = text[: self._limits.text]
        return text

    def html(self) -> str:
        """Return the sanitised HTML form, "" if there is none that can be shown. Call `text` first."""
        return self._html

    def media(self) -> tuple[Media, ...]:
        """Return the files of the mail, and parts of its body that could not be shown. Call `text` first."""
        return (*self._files, *self._extra)

    def _alternative(self, part: Part) -> None:
        """Take the plain and the richest form of one thing, and whatever else stands among them as files."""
        section = Section()
        for child in part.parts:
            if self._is_text(child, alone=True):
                found = self._section(child)
                section.plain = section.plain or found.plain
                section.html = found.html or section.html
            elif child.parts:
                inner = Body(self._limits)
                inner._files = self._files
                inner.read(child)
                section.plain = section.plain or "\n\n".join(each.plain for each in inner._sections if each.plain)
                section.html = "\n".join(each.html for each in inner._sections if each.html) or section.html
            else:
                self._attach(child)
        self._sections.append(section)

    def _is_text(self, part: Part, *, alone: bool) -> bool:
        """Tell whether *part* is what the mail says: one *alone* or one form of it may bear a name ("body.txt")."""
        if part.parts or not part.type.startswith("text/") or part.type in ALWAYS_FILES:
            return False
        if alone and not part.disposition:
            return True
        return part.disposition != "attachment" and not part.filename

    def _section(self, part: Part) -> Section:
        text = part.text()
        if part.type == "text/html":
            return Section(html=text)
        if part.parameters.get("format", "").lower() == "flowed":
            text = _unflow(text, gap=part.parameters.get("delsp", "").lower() != "yes")
        return Section(plain=text)

    def _clean(self, source: str, parts: Tokens) -> str:
        """Sanitise *source*; what is too large or too deep for that is kept as a file."""
        cleaned = sanitise(source, parts) if len(source) <= self._limits.html else None
        if cleaned is None:
            data = source.encode()
            self._extra.append(Media("text/html", "body.html", len(data), data))
        return cleaned or ""

    def _attach(self, part: Part) -> None:
        if len(self._files) >= self._limits.attachments:
            raise TooComplex(f"more than {self._limits.attachments} attachments")
        content = part.content()
        if not content and not part.filename:
            return
        kind = part.type if MEDIA_TYPE.fullmatch(part.type) else "application/octet-stream"
        name = part.filename
        if kind == "message/rfc822":
            name = name or self._subject_of(content)
            name += "" if name.lower().endswith(".eml") else ".eml"
        name = safe_name(name or NAMES.get(kind, ""), kind, len(self._files) + 1)
        if kind == "application/octet-stream":
            kind = mimetypes.guess_type(name)[0] or kind
        self._files.append(Media(kind, name, len(content), content, cid=part.cid))

    def _subject_of(self, content: bytes) -> str:
        head = content[:20_000].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
        found = re.search(rb"^subject:([^\n]*(?:\n[ \t][^\n]*)*)", head, re.IGNORECASE | re.MULTILINE)
        return line(decode_words(found[1].replace(b"\n", b"")), 80) if found else "mail"


def _unflow(text: str, *, gap: bool) -> str:
    """Join the lines that a mailer broke only to keep them short (RFC 3676 §4): those that end with a space."""
    rows: list[str] = []
    open_row: list[str] = []
    mark = ""
    for row in text.split("\n"):
        depth = len(row) - len(row.lstrip(">"))
        quote, rest = row[:depth], row[depth:].removeprefix(" ")
        if open_row and quote != mark:
            rows.append("".join(open_row))
            open_row = []
        if not open_row:
            open_row.append(quote + " " if quote else "")
        mark = quote
        if rest.endswith(" ") and rest != "-- ":
            open_row.append(rest if gap else rest[:-1])
        else:
            open_row.append(rest)
            rows.append("".join(open_row))
            open_row = []
    if open_row:
        rows.append("".join(open_row))
    return "\n".join(rows)
