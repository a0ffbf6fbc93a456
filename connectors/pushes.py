"""What pushes of WeChat and WeCom have in common: from their text (XML or JSON) to fields, and from fields to contents.

Pure: no clock, no network, no store. Sources: developers.weixin.qq.com, "Receiving standard messages";
developer.work.weixin.qq.com, path/90239 (message formats).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias
from xml.parsers import expat

import msgspec

from connectors.base import Malformed, Media, Message, MessageType, Window

MAX_BODY = 64 << 10
MAX_DEPTH = 16
MAX_KEY = 128

Value: TypeAlias = "str | dict[str, Value] | list[Value]"
Fields: TypeAlias = dict[str, Value]

SECONDS = re.compile(r"[0-9]{1,11}")

ENVELOPE = frozenset({"ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "AgentID", "Event", "Encrypt"})
VOICES = {"amr": "audio/amr", "mp3": "audio/mpeg", "speex": "audio/speex"}


def read(text: str) -> Fields:
    """Parse *text*, whichever of XML and JSON it is. Numbers become text, so 64-bit ids stay intact.

    Raises `Malformed` for anything else, for a DOCTYPE, and for more than MAX_DEPTH levels.
    """
    if len(text) > MAX_BODY:
        raise Malformed(f"the push is longer than {MAX_BODY} characters")
    text = text.lstrip("\ufeff \t\r\n")
    if text.startswith("{"):
        return read_json(text)
    if text.startswith("<"):
        return read_xml(text)
    raise Malformed("the push is neither XML nor JSON")


def read_json(text: str) -> Fields:
    """Parse a JSON push, also one in whose strings a customer's control characters stand as they are.

    Raises `Malformed`.
    """
    try:
        try:
            tree = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError:
            tree = _lenient(text)
        return {key: _plain(item, 2) for key, item in tree.items()}
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise Malformed("the push is not well-formed JSON") from None


def _lenient(text: str) -> dict[str, Any]:
    """Return *text* as JSON that may hold control characters. Raises `ValueError` or `msgspec.DecodeError`."""
    tree = json.loads(FORBIDDEN.sub("", text), strict=False)
    # All else that the lenient reader lets pass (NaN, half a surrogate pair) is refused as ever.
    return msgspec.json.decode(json.dumps(tree), type=dict[str, Any])


def _plain(value: Any, depth: int) -> Value:
    if isinstance(value, str):
        return value
    if depth > MAX_DEPTH:
        raise Malformed(f"the push is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def read_xml(text: str) -> Fields:
    """Parse an XML push, also one that is none because of what the customer wrote in it.

    WeChat leaves in Content what a customer typed: control characters, which XML has no place for, and "]]>".
    Raises `Malformed`, for a DOCTYPE at its first byte.
    """
    flat = read_flat(text)
    if flat is not None:
        return flat
    text = FORBIDDEN.sub("", text)
    mended = requoted(text)
    if mended == text:
        return read_deep(text)
    try:
        fields = read_deep(text)
    except Malformed:
        return read_deep(mended)
    return read_deep(mended) if isinstance(fields.get("Content"), list) else fields


def requoted(text: str) -> str:
    """Return *text* with all that stands between the first beginning and the last end of Content as its CDATA."""
    start, end = text.find(CONTENT) + len(CONTENT), text.rfind(CONTENT_END)
    if start < len(CONTENT) or "]]>" not in text[start:end]:
        return text
    return text[:start] + text[start:end].replace("]]>", "]]]]><![CDATA[>") + text[end:]


def read_flat(text: str) -> Fields | None:
    """Return the fields of a push whose elements all lie below the root and need nothing resolved, None for others."""
    if not FLAT.fullmatch(text):
        return None
    pairs = ELEMENT.findall(text)
    fields: Fields = {name: words or plain for name, words, plain in pairs}
    return fields if len(fields) == len(pairs) else None  # repeated elements make a list


def read_deep(text: str) -> Fields:
    """Return the fields of any push. Raises `Malformed`."""
    parser = expat.ParserCreate()
    tree = _Tree()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = tree.refuse
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.characters
    parser.StartCdataSectionHandler = tree.quote
    parser.EndCdataSectionHandler = tree.unquote
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, UnicodeError):
        raise Malformed("the push is not well-formed XML") from None
    return tree.fields


# What nearly all pushes look like: elements without children in CDATA or plain characters, in which XML has nothing to
# resolve (no entity, no carriage return) and nothing to refuse. Read so, they cost a quarter; all others go to expat.
# The two readings are compared in test_connectors_wechat_parse.
_PART = (
    r"<([A-Za-z_][A-Za-z0-9_]*+)>"
    r"(?:<!\[CDATA\[([^\x00-\x08\x0b-\x1f\]\ud800-\udfff\ufffe\uffff]*+)\]\]>|([A-Za-z0-9_.:@ -]*+))</\1>"
)
ELEMENT = re.compile(_PART)
FLAT = re.compile(rf"<xml>[ \t\n]*+(?:{_PART}[ \t\n]*+)++</xml>[ \t\n]*+")
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # XML 1.0 §2.2
CONTENT, CONTENT_END = "<Content><![CDATA[", "]]></Content>"


class _Tree:
    """Collects expat's events into nested fields; repeated elements become a list."""

    def __init__(self) -> None:
        self.fields: Fields = {}
        self._open: list[Fields] = []
        self._text: list[tuple[str, bool]] = []
        self._quoted = False

    def refuse(self, *_declaration: object) -> None:
        raise Malformed("the push has a DOCTYPE, which the platform never sends")

    def start(self, name: str, _attributes: Mapping[str, str]) -> None:
        if not self._open and name != "xml":
            raise Malformed("the root element of the push is not <xml>")
        if len(self._open) >= MAX_DEPTH:
            raise Malformed(f"the push is nested deeper than {MAX_DEPTH} levels")
        self._open.append({})
        self._text.clear()

    def characters(self, text: str) -> None:
        self._text.append((text, self._quoted))

    def quote(self) -> None:
        self._quoted = True
        self._text.append(("", True))

    def unquote(self) -> None:
        self._quoted = False

    def end(self, name: str) -> None:
        children = self._open.pop()
        value: Value = children or spoken(self._text)
        self._text.clear()
        if not self._open:
            self.fields = children
            return
        siblings = self._open[-1]
        if name not in siblings:
            siblings[name] = value
        elif isinstance(known := siblings[name], list):
            known.append(value)
        else:
            siblings[name] = [known, value]


def spoken(text: Sequence[tuple[str, bool]]) -> str:
    """Return the text of an element out of its pieces, each with whether it stood in a CDATA section.

    Blanks around such a section are layout: "Coupons, Vouchers and Cards Event Push Messages" shows pushes with some.
    """
    around = "".join(piece for piece, quoted in text if not quoted)
    layout = not around.strip() and any(quoted for _, quoted in text)
    return "".join(piece for piece, quoted in text if quoted or not layout)


def word(fields: Fields, name: str) -> str:
    """Return the text of field *name*, "" if it is missing or empty. Raises `Malformed` if it has structure."""
    value = fields.get(name, "")
    if isinstance(value, str):
        return value
    if not value:
        return ""
    raise Malformed(f"field {name} of the push is not a plain value")


def created(fields: Fields) -> int:
    """Return CreateTime in milliseconds. Raises `Malformed`."""
    seconds = word(fields, "CreateTime").strip()
    if not SECONDS.fullmatch(seconds):
        raise Malformed("CreateTime of the push is missing or no number of seconds")
    return int(seconds) * 1000


class Shape(NamedTuple):
    """How a message type maps: our type, the fields that make up the text, further fields with a place of their own."""

    type: MessageType
    texts: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()


FILE = frozenset({"MediaId"})
POINT = frozenset({"Location_X", "Location_Y", "Label"})
SHAPES = {
    "text": Shape("text", ("Content",), frozenset({"Content"})),
    "image": Shape("image", (), FILE),
    "voice": Shape("voice", ("Recognition",), FILE | {"Recognition", "Format"}),
    "video": Shape("video", (), FILE),
    "shortvideo": Shape("video", (), FILE),
    "location": Shape("location", ("Label",), POINT),
    "link": Shape("link", ("Title", "Description", "Url")),
    "file": Shape("file", ("Title", "Description")),  # names a file that no interface hands out
    "miniprogrampage": Shape("card", ("Title",)),
}
OTHER = Shape("other")


def message(fields: Fields, kind: str, scheme: str, who: str, at: int, window: Window | None = None) -> Message:
    """Return what *who* wrote; a *kind* that is not known keeps all its fields in the details. Raises `Malformed`."""
    shape = SHAPES.get(kind, OTHER)
    details = rest(fields, shape.used)
    if shape is OTHER or kind == "shortvideo":
        details["MsgType"] = kind
    if kind == "location":
        details |= position(fields, "Location_X", "Location_Y")
    return Message(
        external_id=short(word(fields, "MsgId")) or f"{who}:{at // 1000}:{digest(msgspec.json.encode(fields))}",
        address=scheme + who,
        at=at,
        text="\n".join(filter(None, (word(fields, name) for name in shape.texts))),
        type=shape.type,
        media=media(fields, kind) if "MediaId" in shape.used else (),
        window=window,
        details=details,
        choice=word(fields, "bizmsgmenuid"),
    )


def media(fields: Fields, kind: str) -> tuple[Media, ...]:
    """Return the file of a picture, voice or video message, by reference."""
    ref = word(fields, "MediaId")
    if not ref:
        return ()
    if kind == "voice":
        return (Media(type=VOICES.get(word(fields, "Format").lower(), "audio/amr"), ref=ref),)
    return (Media(type="image/jpeg" if kind == "image" else "video/mp4", ref=ref),)


def rest(fields: Fields, used: frozenset[str]) -> dict[str, Any]:
    """Return the fields that have no place of their own, under the platform's names."""
    return {name: value for name, value in fields.items() if name not in ENVELOPE and name not in used and value != ""}


def position(fields: Fields, latitude: str, longitude: str) -> dict[str, Any]:
    """Return latitude and longitude in degrees. Raises `Malformed` if they are none."""
    found = [degrees(word(fields, name)) for name in (latitude, longitude)]
    if not all(map(math.isfinite, found)):
        raise Malformed(f"{latitude} and {longitude} of the push are not numbers")
    return {"latitude": found[0], "longitude": found[1]}


def degrees(text: str) -> float:
    """Return the number that *text* is, NaN if it is none; a ValueError would carry the customer's place along."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def distinction(fields: Fields) -> str:
    """Return what tells two events of one kind, customer and second apart; a repeat is byte for byte the same."""
    key = word(fields, "EventKey") or word(fields, "MsgID")
    structure = {name: value for name, value in fields.items() if not isinstance(value, str)}
    return short(key) + (f":{digest(msgspec.json.encode(structure))}" if structure else "")


def short(value: str) -> str:
    """Return *value*, or its digest if it is too long for a key."""
    return value if len(value) <= MAX_KEY else digest(value.encode())


def digest(data: bytes) -> str:
    """Return a short name for *data* that two different data do not share."""
    return hashlib.sha256(data).hexdigest()[:32]
