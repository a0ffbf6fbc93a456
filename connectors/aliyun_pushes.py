"""What Alibaba Cloud's short message service pushes: reports (SmsReport) and what people wrote (SmsUp).

Sources: help.aliyun.com, documents 101867 (SmsReport) and 101847 (SmsUp). Both are JSON arrays; one push may hold many
elements, comes at least once, and is not signed. Pure: no clock, no network, no store.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from typing import Any

import phonenumbers

from connectors import sms
from connectors.aliyun_codes import reason
from connectors.base import Answer, Event, Ignored, Leftover, Malformed, Message, Receipt, Received

DONE = Answer(200, '{"code":0,"msg":"接收成功"}'.encode(), "application/json; charset=utf-8")

BEIJING = dt.timezone(dt.timedelta(hours=8))
"""All times are Beijing's, and none says so."""

MOBILE = re.compile(r"1[3-9][0-9]{9}")
LEAVE = frozenset({"r", "n"})
"""What texts must offer to leave here ("拒收请回复R", document 44357), and what others offer, beside `sms.LEAVE`."""

OK = {"true": True, "1": True, "false": False, "0": False}
READ = frozenset({"phone_number", "send_time", "content", "sequence_id"})
LONGEST_ID = 64

Element = dict[str, Any]


def parse(body: bytes, channel: str, now: int) -> Received:
    """Return what a push says; what cannot be understood of it is left over, and hinders nothing else.

    *channel* is the one that reports are for: an account tells of all that was sent from it, by whomever. *now* stands
    in for a time that is missing. Raises `Malformed` for what is no array with something in it.
    """
    events: list[Event] = []
    broken: list[Any] = []
    first = ""
    for element in _elements(body):
        try:
            events += _events(element, channel, now)
        except Malformed as error:
            broken.append(element)
            first = first or str(error)
    left = Leftover(json.dumps(broken).encode(), first) if broken else None
    return Received(events, DONE, left)


def out_id(channel: str, name: str) -> str:
    """Return the OutId of the message *name*: it comes back in its report, and tells whose it is."""
    return f"{channel}:{name}"


def address(number: str) -> str:
    """Return the address of *number* as the platform writes it: mainland numbers bare, others with their country.

    Raises `ValueError`, also for a number of which digits are hidden.
    """
    plain = number.strip()
    digits = re.sub(r"^(\+|00)", "", plain)
    if not digits.isascii() or not digits.isdigit():
        raise ValueError("phone_number is no number")
    if MOBILE.fullmatch(digits.removeprefix("86")):
        return f"tel:+86{digits.removeprefix('86')}"
    try:
        abroad = phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}"))
    except phonenumbers.NumberParseException:
        abroad = False
    return sms.address(f"+{digits}" if abroad else digits)


def _elements(body: bytes) -> list[Any]:
    push = _read(body)
    if not isinstance(push, list) or not push:
        raise Malformed("the push is no JSON array with anything in it")
    return push


def _read(body: bytes) -> Any:
    """Return what *body* is as JSON, None if it is none: an error of a decoder would carry people's words along."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def _events(element: Any, channel: str, now: int) -> tuple[Event, ...]:
    if not isinstance(element, dict):
        raise Malformed("an element of the push is no object")
    if "success" in element:
        return (_report(element, channel, now),)
    if "content" in element:
        return _message(element, now)
    raise Malformed("an element of the push is neither a report nor a message")


def _report(element: Element, channel: str, now: int) -> Event:
    ours, theirs = _word(element, "out_id"), _word(element, "biz_id")
    name = ours.removeprefix(f"{channel}:")
    if not ours.startswith(f"{channel}:") or not name:
        return Ignored(theirs or _digest(element), "a report about what another sender has sent")
    arrived = OK.get(_word(element, "success").lower())
    if arrived is None:
        raise Malformed("success of a report is neither true nor false")
    at = _time(element, "report_time") or _time(element, "send_time") or now
    if arrived:
        return Receipt(name, "delivered", at)
    return Receipt(name, "failed", at, error=reason(_word(element, "err_code")) or "failed")


def _message(element: Element, now: int) -> tuple[Event, ...]:
    try:
        sender = address(_word(element, "phone_number"))
    except ValueError:
        raise Malformed("phone_number of a message is no number that could be answered") from None
    given = _word(element, "sequence_id")
    message = Message(
        external_id=given if 0 < len(given) <= LONGEST_ID else _digest(element),
        address=sender,
        at=_time(element, "send_time") or now,
        text=_word(element, "content"),
        details={name: _told(value) for name, value in element.items() if name not in READ},
    )
    leaves = sms.keyword(message.text) in LEAVE
    notice = sms.notice(message, "opt_out" if leaves else None)
    # The notice goes first, so that nothing is sent in answer to a message of somebody who has just left.
    return (message,) if notice is None else (notice, message)


def _word(element: Element, name: str) -> str:
    """Return a field as text, "" where it is missing: numbers come as numbers or as text. Raises `Malformed`."""
    value = element.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise Malformed(f"{name} is not a plain value")
    return json.dumps(value)


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _time(element: Element, name: str) -> int:
    """Return a time in milliseconds since 1970 UTC, 0 where there is none that can be read."""
    try:
        read = dt.datetime.strptime(_word(element, name), "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        return 0
    return max(0, int(read.timestamp() * 1000))


def _digest(element: Element) -> str:
    """Return a name for what the platform gave none: the same whenever it is repeated."""
    return hashlib.sha256(json.dumps(element, sort_keys=True).encode()).hexdigest()[:32]
