"""From the text of a verified WeChat push (XML or JSON) to events. Pure: no clock, no network, no store.

Sources: developers.weixin.qq.com, "Receiving standard messages", "Receiving event pushes" (Official Account)
and "Receive messages and events" (Mini Program).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias
from xml.parsers import expat

import msgspec

from connectors.base import Event, Malformed, Media, Message, MessageType, Notice, Receipt, Window

MAX_BODY = 64 << 10
MAX_DEPTH = 16
MAX_KEY = 128

Value: TypeAlias = "str | dict[str, Value] | list[Value]"
Fields: TypeAlias = dict[str, Value]
Windows: TypeAlias = Mapping[str, Window]

SCHEME = "wechat:"
OPENID = re.compile(r"[A-Za-z0-9_.@-]{1,128}")
SECONDS = re.compile(r"[0-9]{1,11}")

ENVELOPE = frozenset({"ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "Event", "Encrypt"})
VOICES = {"amr": "audio/amr", "mp3": "audio/mpeg", "speex": "audio/speex"}

# Theirs (lower case: the platform writes SCAN, scan and Scan) -> ours.
EVENTS = {
    "subscribe": "follow",
    "unsubscribe": "unfollow",
    "scan": "scan",
    "location": "location",
    "click": "click",
    "view": "view",
    "user_enter_tempsession": "enter",
}
# Which quota of `Windows` an event opens. VIEW is missing on purpose: of the menu buttons only those
# that push an event or scan a code give the right to answer.
GRANTS = {
    "subscribe": "follow",
    "scan": "scan",
    "click": "menu",
    "scancode_push": "menu",
    "scancode_waitmsg": "menu",
    "user_enter_tempsession": "enter",
}


def parse(text: str, windows: Windows) -> list[Event]:
    """Return the events that the push *text* means; *windows* are the account's quotas by trigger.

    Raises `Malformed` and nothing else. The same push always gives the same external ids.
    """
    fields = read(text)
    openid, at = sender(fields), created(fields)
    kind = word(fields, "MsgType").lower()
    if not kind:
        raise Malformed("the push has no MsgType")
    if kind == "event":
        return events(fields, openid, at, windows)
    return [message(fields, kind, openid, at, windows)]


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
    """Parse a JSON push. Raises `Malformed`."""
    try:
        return {key: _plain(item, 2) for key, item in msgspec.json.decode(text, type=dict[str, Any]).items()}
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise Malformed("the push is not well-formed JSON") from None


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
    """Parse an XML push. Raises `Malformed`, for a DOCTYPE at its first byte."""
    flat = read_flat(text)
    return read_deep(text) if flat is None else flat


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


class _Tree:
    """Collects expat's events into nested fields; repeated elements become a list."""

    def __init__(self) -> None:
        self.fields: Fields = {}
        self._open: list[Fields] = []
        self._text: list[str] = []

    def refuse(self, *_declaration: object) -> None:
        raise Malformed("the push has a DOCTYPE, which WeChat never sends")

    def start(self, name: str, _attributes: Mapping[str, str]) -> None:
        if not self._open and name != "xml":
            raise Malformed("the root element of the push is not <xml>")
        if len(self._open) >= MAX_DEPTH:
            raise Malformed(f"the push is nested deeper than {MAX_DEPTH} levels")
        self._open.append({})
        self._text.clear()

    def characters(self, text: str) -> None:
        self._text.append(text)

    def end(self, name: str) -> None:
        children = self._open.pop()
        value: Value = children or "".join(self._text)
        self._text.clear()
        if not self._open:
            self.fields = children
            return
        siblings = self._open[-1]
        known = siblings.setdefault(name, value)
        if known is value:
            return
        if isinstance(known, list):
            known.append(value)
        else:
            siblings[name] = [known, value]


def word(fields: Fields, name: str) -> str:
    """Return the text of field *name*, "" if it is missing or empty. Raises `Malformed` if it has structure."""
    value = fields.get(name, "")
    if isinstance(value, str):
        return value
    if not value:
        return ""
    raise Malformed(f"field {name} of the push is not a plain value")


def sender(fields: Fields) -> str:
    """Return the openid of whoever caused the push. Raises `Malformed` if there is none."""
    openid = word(fields, "FromUserName")
    if OPENID.fullmatch(openid):
        return openid
    if "Encrypt" in fields and not openid:
        raise Malformed("the push is encrypted, but the channel has no encoding_aes_key")
    raise Malformed("FromUserName of the push is missing or no openid")


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
    "miniprogrampage": Shape("card", ("Title",)),
}
OTHER = Shape("other")


def message(fields: Fields, kind: str, openid: str, at: int, windows: Windows) -> Message:
    """Return what the customer wrote; a *kind* that is not known keeps all its fields in the details."""
    shape = SHAPES.get(kind, OTHER)
    details = rest(fields, shape.used)
    if shape is OTHER or kind == "shortvideo":
        details["MsgType"] = kind
    if kind == "location":
        details |= position(fields, "Location_X", "Location_Y")
    return Message(
        external_id=short(word(fields, "MsgId")) or f"{openid}:{at // 1000}:{digest(msgspec.json.encode(fields))}",
        address=SCHEME + openid,
        at=at,
        text="\n".join(filter(None, (word(fields, name) for name in shape.texts))),
        type=shape.type,
        media=media(fields, kind) if "MediaId" in shape.used else (),
        # Tapping an entry of a msgmenu arrives as text, but the platform counts it as a menu click.
        window=windows.get("menu" if "bizmsgmenuid" in fields else "message"),
        details=details,
    )


def media(fields: Fields, kind: str) -> tuple[Media, ...]:
    """Return the file of a picture, voice or video message, by reference."""
    ref = word(fields, "MediaId")
    if not ref:
        return ()
    if kind == "voice":
        return (Media(type=VOICES.get(word(fields, "Format").lower(), "audio/amr"), ref=ref),)
    return (Media(type="image/jpeg" if kind == "image" else "video/mp4", ref=ref),)


def events(fields: Fields, openid: str, at: int, windows: Windows) -> list[Event]:
    """Return what an event push means: receipts for what we sent, else one notice."""
    theirs = word(fields, "Event")
    if not theirs:
        raise Malformed("the event push has no Event")
    kind = theirs.lower()
    if kind == "templatesendjobfinish":
        return [receipt(fields, "MsgID", word(fields, "Status"), at)]
    if kind == "subscribe_msg_sent_event":
        return [receipt(entry, "MsgID", word(entry, "ErrorStatus"), at) for entry in entries(fields, theirs)]
    details = rest(fields, frozenset())
    if kind == "location":
        details = rest(fields, frozenset({"Latitude", "Longitude"})) | position(fields, "Latitude", "Longitude")
    if kind.startswith("subscribe_msg_"):
        details = {"List": entries(fields, theirs)}
    return [
        Notice(
            external_id=f"{openid}:{at // 1000}:{short(theirs)}:{distinction(fields)}",
            address=SCHEME + openid,
            at=at,
            name=EVENTS.get(kind, theirs),
            window=windows.get(GRANTS.get(kind, "")),
            details=details,
        )
    ]


def receipt(fields: Fields, field: str, status: str, at: int) -> Receipt:
    """Return what became of the template or subscription message that *field* names."""
    message_id = word(fields, field)
    if not message_id:
        raise Malformed(f"the result of a template message has no {field}")
    if status.lower() == "success":
        return Receipt(message_id=message_id, state="delivered", at=at)
    return Receipt(message_id=message_id, state="failed", at=at, error=status[:200])


def entries(fields: Fields, name: str) -> list[Fields]:
    """Return the entries of a subscribe_msg_* event, which has at least one. Raises `Malformed`.

    XML nests List below an element, JSON has it on top, and in both a single entry may stand there bare.
    """
    holder: Value = fields
    if "List" not in fields:
        holder = next((value for value in fields.values() if isinstance(value, dict) and "List" in value), {})
    found = holder["List"] if isinstance(holder, dict) and "List" in holder else []
    listed = [entry for entry in (found if isinstance(found, list) else [found]) if isinstance(entry, dict)]
    if not listed:
        raise Malformed(f"the push {name} has no List")
    return listed


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
