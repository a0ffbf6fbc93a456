"""Which connector speaks for a kind of channel: ours by a table, others by entry points.

A connector is imported only when a channel asks for its kind. One that cannot be used is `Broken`
with a reason that an admin can act on; that takes its channel down, not the hub.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from connectors.base import Capabilities, Connector, Options

GROUPS = ("huiliu.connectors", "huiliu")
"""The entry-point groups in which others offer theirs; the second is short for the first."""

OURS = "huiliu"

BUILT_IN: Mapping[str, str] = {
    "aliyun-sms": "connectors.aliyun:AliyunSms",
    "email": "connectors.mail:Mail",
    "tiktok-shop": "connectors.tiktok:TikTokShop",
    "twilio-sms": "connectors.twilio:TwilioSms",
    "webchat": "connectors.webchat:WebChat",
    "wechat": "connectors.wechat:WeChat",
    "wecom-app": "connectors.wecom_app:WeComApp",
    "wecom-robot": "connectors.wecom_robot:WeComRobot",
}


class KindError(LookupError):
    """A channel's kind gives no connector."""


class UnknownKind(KindError):
    """No installed connector is of this *kind*; *known* are those that are."""

    def __init__(self, kind: str, known: list[str]) -> None:
        near = difflib.get_close_matches(kind, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        super().__init__(f"no connector of kind {kind!r}; kinds are {', '.join(known)}{hint}")
        self.kind = kind
        self.known = known


class Broken(KindError):
    """A connector of this *kind* is installed but cannot be used; *reason* says why in one line."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"the connector of kind {kind!r} cannot be used: {reason}")
        self.kind = kind
        self.reason = reason


def known() -> list[str]:
    """Return every kind that is installed, sorted, without importing any connector."""
    return sorted({*BUILT_IN, *(point.name for group in GROUPS for point in entry_points(group=group))})


def find(kind: str) -> type[Connector]:
    """Return the connector class of *kind*. Raises `UnknownKind` or `Broken`."""
    offers = _offers(kind)
    if not offers:
        raise UnknownKind(kind, known())
    if len(offers) > 1:
        owners = " and ".join(owner for owner, _ in offers)
        raise Broken(kind, f"it is offered by both {owners}; uninstall one of them")
    where = offers[0][1]
    return _checked(kind, where, _load(kind, where))


def _offers(kind: str) -> list[tuple[str, str]]:
    """Return who offers *kind* and where it is: distribution and "module:Class"."""
    ours = [(OURS, BUILT_IN[kind])] if kind in BUILT_IN else []
    points = (point for group in GROUPS for point in entry_points(group=group, name=kind))
    theirs = {(_distribution(point), point.value) for point in points}
    return [*ours, *sorted(theirs)]


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unnamed distribution"


def _load(kind: str, where: str) -> Any:
    module, _, name = where.partition(":")
    try:
        return getattr(import_module(module), name)
    except (Exception, SystemExit) as error:  # other people's code may fail at import in any way
        raise Broken(kind, f"{where} cannot be imported: {type(error).__name__}: {_first_line(error)}") from error


def _checked(kind: str, where: str, found: Any) -> type[Connector]:
    """Return *found* if it has what the contract asks of a class. Raises `Broken`."""
    if not isinstance(found, type):
        raise Broken(kind, f"{where} is not a class")
    named = getattr(found, "kind", None)
    if named != kind:
        raise Broken(kind, f"{where} calls itself {named!r}; the kind and the entry point's name must be equal")
    options = getattr(found, "Options", None)
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise Broken(kind, f"{where}.Options must be a subclass of connectors.base.Options")
    if not isinstance(getattr(found, "capabilities", None), Capabilities):
        raise Broken(kind, f"{where}.capabilities must be a connectors.base.Capabilities")
    if not callable(getattr(found, "send", None)):
        raise Broken(kind, f"{where} has no send()")
    return found


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "no message")
