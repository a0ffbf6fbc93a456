"""The structure of a mail (RFC 5322, RFC 2045, RFC 2231), taken apart on bytes within fixed limits; it judges nothing.

Our own rather than the standard library's, whose parser needs more than 30 s for some mails of a
few kilobytes (20,000 parameters, a megabyte of quotes) and recurses as deep as the sender likes.
Every step here is linear in the size of the mail.
"""

from __future__ import annotations

import binascii
import re
from itertools import groupby
from urllib.parse import unquote_to_bytes

from msgspec import Struct, field

from connectors.mail_charset import codec, decode, decode_words, readable, unbase64

FIELD_NAME = re.compile(rb"[!-9;-~]{1,100}")
EMPTY = re.compile(rb"[\r\n]+")
EMPTY_LINE = re.compile(rb"\n\r?\n")
PEOPLE = re.compile(rb"^(?:from|to)[ \t]{0,9}:", re.IGNORECASE | re.MULTILINE)
PARAMETER = re.compile(rb'\s*([^=;\s"]{1,80})\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
NEEDED = re.compile(rb'\\(["\\])')
"""The escapes that quotes need; in names beyond ASCII a backslash before anything else is one that was meant."""

SECTION = re.compile(r"([^*]+)(?:\*(\d{1,4}))?(\*)?")
MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,100}", re.ASCII)
UNFOLDED = re.compile(rb"[\w.-]{1,40}\*?(?:\d{1,4}\*?)?=")
BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
TRANSFER = re.compile(r"""\s*(?:\([^()]{0,200}\)\s*)*["']?\s*([\w-]+)""", re.ASCII)
"""The name of a transfer encoding, be it in quotes or behind a comment."""

META = re.compile(rb"""<meta\s[^<>]{0,200}?\bcharset\s{0,9}=\s{0,9}["']?\s{0,9}([\w.:-]{1,40})""", re.IGNORECASE)
PRESCANNED = 4096
"""Bytes of HTML that are searched for its charset; the HTML standard asks for 1024."""

LOOKED_AT = 40
"""Rows that show whether a text is in base64."""


class TooComplex(ValueError):
    """The mail exceeds a limit; the message names it."""


class Limits(Struct, frozen=True):
    """What a mail may consist of. Sizes are in bytes, *text* in characters."""

    size: int = 25 << 20
    header_bytes: int = 256 << 10
    headers: int = 1000
    parts: int = 300
    depth: int = 20
    parameters: int = 100
    addresses: int = 200
    attachments: int = 100
    text: int = 500_000
    html: int = 1 << 20


class Headers(Struct, frozen=True):
    """The fields of one header in their order: lower-case name, unfolded raw value."""

    fields: tuple[tuple[str, bytes], ...] = ()

    def first(self, name: str) -> bytes:
        """Return the value of the first field called *name* (lower case), empty if there is none."""
        return next((value for key, value in self.fields if key == name), b"")

    def all(self, name: str) -> list[bytes]:
        """Return the values of every field called *name* (lower case)."""
        return [value for key, value in self.fields if key == name]

    def text(self, name: str) -> str:
        """Return the first field called *name* as lower-case ASCII, for comparing keywords."""
        return self.first(name).decode("ascii", "replace").strip().lower()


class Part(Struct, frozen=True):
    """One node of the mail's tree: a leaf with *body* still in its transfer encoding, or a multipart with *parts*."""

    headers: Headers
    type: str
    parameters: dict[str, str]
    disposition: str
    filename: str
    cid: str
    body: bytes = b""
    parts: list[Part] = field(default_factory=list)

    def content(self) -> bytes:
        """Return the body with its transfer encoding undone; what is damaged is read as far as it goes."""
        named = TRANSFER.match(self.headers.text("content-transfer-encoding"))
        encoding = named[1] if named else ""
        if encoding == "base64":
            # Some mailers promise base64 and send the words as they are.
            return self.body if self.type.startswith("text/") and not _is_base64(self.body) else unbase64(self.body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(self.body)
        return self.body

    def text(self) -> str:
        """Return the body as text; HTML may name its charset itself where the header does not."""
        content, label = self.content(), self.parameters.get("charset", "")
        if self.type == "text/html" and not codec(label) and (meta := META.search(content[:PRESCANNED])):
            label = readable(content, meta[1].decode("ascii"))
        return decode(content, label)


def read(raw: bytes, limits: Limits) -> Part:
    """Take *raw* apart. Raises `TooComplex`."""
    if len(raw) > limits.size:
        raise TooComplex(f"mail of {len(raw)} bytes; at most {limits.size}")
    return _Reader(raw, limits).read(0, len(raw), 0, "text/plain")


def read_headers(raw: bytes, start: int, end: int, limits: Limits) -> tuple[Headers, int]:
    """Read the header at *start*; return it and where the body begins. Raises `TooComplex`.

    At 0 a whole mail begins: there empty lines before the header, and lines in it that are none, are forgiven
    as long as who wrote it, or to whom, comes only after them.
    """
    fields: list[tuple[str, list[bytes]]] = []
    position = start
    forgiven = 0  # up to where lines belong to the header, whatever they look like
    if start == 0 and (skipped := EMPTY.match(raw, 0, end)) and _people(raw, skipped.end(), end, limits):
        position = skipped.end()
    while position < end:
        found = raw.find(b"\n", position, end)
        stop = end if found < 0 else found + 1
        if stop - start > limits.header_bytes:
            raise TooComplex(f"header of more than {limits.header_bytes} bytes")
        row = raw[position:stop].rstrip(b"\r\n")
        if not row:
            position = stop
            break
        name, colon, value = row.partition(b":")
        if row[0] in b" \t" and fields:
            fields[-1][1].append(row)
        elif fields and UNFOLDED.match(row) and fields[-1][1][-1].rstrip().endswith(b";"):
            fields[-1][1].append(b" " + row)  # a parameter on a row of its own, the blank before it forgotten
        elif colon and FIELD_NAME.fullmatch(name.rstrip()):
            fields.append((name.rstrip().decode("ascii").lower(), [value]))
        elif fields or not row.startswith((b"From ", b">From ")):
            if start == 0 and position >= forgiven and not any(name == "from" for name, _ in fields):
                forgiven = _people(raw, position, end, limits)
            if position >= forgiven:
                break  # no blank line: the body begins where the header stops looking like one
            if fields:
                fields[-1][1].append(b" " + row)
        if len(fields) > limits.headers:
            raise TooComplex(f"more than {limits.headers} header fields")
        position = stop
    return Headers(tuple((name, b"".join(rows).strip()) for name, rows in fields)), position


def _people(raw: bytes, start: int, end: int, limits: Limits) -> int:
    """Return where the last From or To begins before the next empty line, 0 if none does."""
    stop = min(end, limits.header_bytes)
    empty = EMPTY_LINE.search(raw, start, stop)
    return max((match.start() for match in PEOPLE.finditer(raw, start, empty.start() if empty else stop)), default=0)


def read_value(raw: bytes, limits: Limits, hint: str = "") -> tuple[str, dict[str, str]]:
    """Split a structured field into its value and parameters, RFC 2231 pieces joined. Raises `TooComplex`.

    *hint* is the charset of letters that come without one, if the field has no charset of its own.
    """
    value, pieces = _pieces(raw, limits)
    if not raw.isascii():
        # The second byte of a letter in Big5 or GBK may look like a backslash, so letters are read before quotes.
        hint = readable(raw, _assemble(pieces.get("charset", [])) or hint)
        value, pieces = _pieces(decode(raw, hint).encode(), limits)
    return value.decode("ascii", "replace").strip().lower(), {name: _assemble(parts) for name, parts in pieces.items()}


def _pieces(raw: bytes, limits: Limits) -> tuple[bytes, dict[str, list[tuple[int, bool, bytes]]]]:
    """Return the value, and the pieces of each parameter: number, percent-encoded, content."""
    value, _, rest = raw.partition(b";")
    words = value.split(None, 1)
    if len(words) == 2 and b"=" in words[1]:  # no semicolon before the first parameter
        value, rest = words[0], words[1] + b";" + rest
    pieces: dict[str, list[tuple[int, bool, bytes]]] = {}
    position = count = 0
    while position < len(rest):
        count += 1
        if count > limits.parameters:
            raise TooComplex(f"more than {limits.parameters} parameters in one field")
        match = PARAMETER.match(rest, position)
        section = SECTION.fullmatch(match[1].decode("ascii", "replace").lower()) if match else None
        if match and section:
            pieces.setdefault(section[1], []).append((int(section[2] or 0), bool(section[3]), _unquote(match[2])))
        found = rest.find(b";", match.end() if match else position)
        position = len(rest) if found < 0 else found + 1
    return value, pieces


def _unquote(raw: bytes) -> bytes:
    if not raw.startswith(b'"'):
        return raw.strip()
    return (ESCAPE if raw.isascii() else NEEDED).sub(rb"\1", raw[1:].removesuffix(b'"'))


def _is_base64(body: bytes) -> bool:
    """Tell whether *body* may be base64: its first paragraph looks like it, or most of its first rows do.

    What stands behind does not count alone: lists and virus scanners add words below.
    """
    rows = [row.strip() for row in body[: LOOKED_AT * 1000].strip().split(b"\n", LOOKED_AT)]
    first = rows[0]
    alone = len(rows) == 1 or not rows[1]
    if BASE64.fullmatch(first) and len(first) % 4 == 0 and (len(first) >= 20 or first.endswith(b"=") or alone):
        return True
    filled = [row.split() for row in rows if row]
    good = sum(
        1 for row in filled if all(BASE64.fullmatch(word) and (len(word) >= 20 or len(word) % 4 == 0) for word in row)
    )
    return 2 * good >= len(filled)


def _assemble(pieces: list[tuple[int, bool, bytes]]) -> str:
    """Join the pieces of one parameter; the form with a charset (RFC 2231) wins over the plain one for old readers.

    Of pieces that come twice the first counts.
    """
    pieces = list({piece[:2]: piece for piece in reversed(pieces)}.values())[::-1]
    encoded = [piece for piece in pieces if piece[1]]
    if not encoded:
        return decode_words(b"".join(value for _, _, value in sorted(pieces)), "utf-8")
    if len({number for number, _, _ in pieces}) < len(pieces):
        pieces = encoded
    charset, data = "", b""
    for percent, run in groupby(sorted(pieces), key=lambda piece: piece[1]):
        text = b"".join(value for _, _, value in run)
        if percent and not data and text.count(b"'") >= 2:  # charset'language'text
            label, _, text = text.split(b"'", 2)
            charset = label.decode("ascii", "replace")
        data += unquote_to_bytes(text) if percent else text
    return decode(data, charset)


class _Reader:
    """One pass over one mail, counting its parts."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self._raw = raw
        self._limits = limits
        self._count = 0
        self._charset = ""
        """What the first text says of its charset: file names are hardly ever in another one."""

    def read(self, start: int, end: int, depth: int, usual: str) -> Part:
        self._count += 1
        if self._count > self._limits.parts:
            raise TooComplex(f"more than {self._limits.parts} parts")
        if depth > self._limits.depth:
            raise TooComplex(f"parts nested deeper than {self._limits.depth}")
        headers, body = read_headers(self._raw, start, end, self._limits)
        kind, parameters = read_value(headers.first("content-type"), self._limits, self._charset)
        if kind.startswith("text/") and not self._charset:
            self._charset = parameters.get("charset", "")
        hint = parameters.get("charset", "") or self._charset
        disposition, named = read_value(headers.first("content-disposition"), self._limits, hint)
        filename = named.get("filename", "") or parameters.get("name", "")
        if not MEDIA_TYPE.fullmatch(kind):
            # A file whose type nobody can read is known by its name.
            kind = "application/octet-stream" if filename and usual == "text/plain" else usual
        children = self._children(body, end, parameters.get("boundary", ""), kind, depth)
        if kind.startswith("multipart/") and not children:
            kind, parameters = "text/plain", {}  # its boundary never comes: show what there is
        return Part(
            headers=headers,
            type=kind,
            parameters=parameters,
            disposition=disposition,
            filename=filename,
            cid=headers.first("content-id").decode("ascii", "replace").strip().strip("<>"),
            body=b"" if children else self._raw[body:end],
            parts=children,
        )

    def _children(self, start: int, end: int, boundary: str, kind: str, depth: int) -> list[Part]:
        mark = boundary.rstrip().encode("utf-8", "replace")
        if not kind.startswith("multipart/") or not mark or len(mark) > 200:
            return []
        usual = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        return [self.read(first, last, depth + 1, usual) for first, last in self._split(start, end, b"--" + mark)]

    def _split(self, start: int, end: int, delimiter: bytes) -> list[tuple[int, int]]:
        """Return where the parts between lines of *delimiter* begin and end; a missing last delimiter is forgiven."""
        raw = self._raw
        spans: list[tuple[int, int]] = []
        begin = -1
        found = raw.find(delimiter, start, end)
        seen = 0
        while found >= 0:
            seen += 1
            if seen > 20 * self._limits.parts:
                raise TooComplex(f"more than {20 * self._limits.parts} lines that could be delimiters")
            after = found + len(delimiter)
            if found == start or raw[found - 1] == 0x0A:
                newline = raw.find(b"\n", after, end)
                stop = end if newline < 0 else newline
                tail = raw[after:stop].strip()
                if tail in (b"", b"--"):  # else it is the delimiter of a longer boundary
                    if begin >= 0:
                        spans.append((begin, max(begin, found - (2 if raw[found - 2 : found] == b"\r\n" else 1))))
                    # What comes behind the last delimiter counts if more parts do: some mailers use
                    # the boundary of an inner multipart for the outer one too.
                    begin = -1 if tail else min(stop + 1, end)
                    if len(spans) > self._limits.parts:
                        break
            found = raw.find(delimiter, after, end)
        if begin >= 0:
            spans.append((begin, end))
        return spans
