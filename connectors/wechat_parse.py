"""From the text of a verified WeChat push (XML or JSON) to events. Pure: no clock, no network, no store.

Sources: developers.weixin.qq.com, "Receiving standard messages", "Receiving event pushes" (Official Account)
and "Receive messages and events" (Mini Program).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from connectors.base import Event, Malformed, Notice, Receipt, Window
from connectors.pushes import Fields, Value, created, distinction, message, position, read, rest, short, word

Windows: TypeAlias = Mapping[str, Window]

SCHEME = "wechat:"
OPENID = re.compile(r"[A-Za-z0-9_.@-]{1,128}")

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

GONE = Window(0, 0)
"""Who unfollows cannot be written to any more."""


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
    # Tapping an entry of a msgmenu arrives as text, but the platform counts it as a menu click.
    window = windows.get("menu" if "bizmsgmenuid" in fields else "message")
    return [message(fields, kind, SCHEME, openid, at, window)]


def sender(fields: Fields) -> str:
    """Return the openid of whoever caused the push. Raises `Malformed` if there is none."""
    openid = word(fields, "FromUserName")
    if OPENID.fullmatch(openid):
        return openid
    if "Encrypt" in fields and not openid:
        raise Malformed("the push is encrypted, but the channel has no encoding_aes_key")
    raise Malformed("FromUserName of the push is missing or no openid")


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
            window=GONE if kind == "unsubscribe" else windows.get(GRANTS.get(kind, "")),
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
