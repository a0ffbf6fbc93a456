"""What WeChat remembers about one account, tokens, customers with their reply windows, files, and its rules.

No HTTP here: whatever breaks a rule raises `Refused` with the platform's errcode.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from connectors.simulators.faults import Refused

DAY = 24 * 3600
TOKEN_LIFE = 7200
TOKEN_OVERLAP = 300
FORCED_SPACING = 30
FORCED_PER_DAY = 20
MEDIA_LIFE = 3 * DAY
TEXT_LIMIT = 2048

Kind = Literal["service", "subscription", "miniprogram"]

# What a trigger lets the account send: seconds, messages.
QUOTAS: dict[str, dict[str, tuple[int, int]]] = {
    "service": {"message": (2 * DAY, 5), "menu": (60, 3), "follow": (60, 3), "scan": (60, 3)},
    "subscription": {"message": (2 * DAY, 5), "menu": (60, 3), "follow": (60, 3), "scan": (60, 3)},
    "miniprogram": {"message": (2 * DAY, 5), "enter": (60, 2)},
}
MESSAGE_TYPES = {
    "service": {"text", "image", "voice", "video", "music", "news", "msgmenu", "wxcard", "miniprogrampage"},
    "subscription": {"text", "image", "voice", "video", "music", "news", "msgmenu", "wxcard", "miniprogrampage"},
    "miniprogram": {"text", "image", "link", "miniprogrampage"},
}
# Bytes, and how a file of the family begins.
UPLOADS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "image": (10 << 20, (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")),
    "voice": (2 << 20, (b"#!AMR", b"ID3", b"\xff\xfb")),
    "video": (10 << 20, (b"ftyp",)),
    "thumb": (64 << 10, (b"\xff\xd8\xff",)),
}
ERRORS = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40004: "invalid media type",
    40005: "invalid file type",
    40007: "invalid media_id",
    40008: "invalid message type",
    40013: "invalid appid",
    40033: "invalid charset. please check your request, if include \\uxxxx will create fail!",
    40037: "invalid template_id",
    40125: "invalid appsecret",
    41001: "access_token missing",
    42001: "access_token expired",
    44004: "empty content",
    45001: "media size out of limit",
    45002: "content size out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit  must slower  retry next minute",
    45015: "response out of time limit or subscription is canceled",
    45047: "out of response count limit",
    45072: "invalid command",
    45081: "already in typing status",
    47001: "data format error",
    65401: "invalid custom service account",
}
# A JSON escape \uXXXX, as opposed to an escaped backslash before a "u".
ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{4}")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a customer sees of a message: *content* is what the request held under its msgtype."""

    type: str
    content: Mapping[str, Any]
    at: int

    @property
    def text(self) -> str:
        """The words of a text message, and those above a menu; "" for any other."""
        return str(self.content.get("content", "") or self.content.get("head_content", ""))

    @property
    def menu(self) -> dict[str, str]:
        """The entries of a menu: words by id."""
        return {entry["id"]: entry["content"] for entry in self.content.get("list", ())}


@dataclass(slots=True)
class Customer:
    """One openid: whether it follows, and what the account may still send by trigger (until ms, messages left)."""

    follows: bool = True
    rights: dict[str, tuple[int, int]] = field(default_factory=dict)
    typing: bool = False


class Tokens:
    """The access tokens of one account; *now* returns milliseconds since 1970 UTC."""

    def __init__(self, app_id: str, secret: str, now: Callable[[], int]) -> None:
        self._app_id = app_id
        self._secret = secret
        self._now = now
        self._stable = ""
        self._ends: dict[str, int] = {}
        self._revoked: set[str] = set()
        self._forced: list[int] = []

    def expire(self) -> None:
        """End every token now; asking for the stable one gives a new one."""
        self._ends = dict.fromkeys(self._ends, self._now())

    def revoke(self) -> None:
        """Refuse the current token from now on, but go on handing it out until a new one is forced."""
        self._revoked.add(self._stable)

    def stable(self, asked: Mapping[str, Any]) -> tuple[str, int]:
        """Return the stable token and the seconds it has left, a new one if it is due or forced."""
        self._check_account(asked)
        now = self._now()
        if asked.get("force_refresh") is True:
            self._force(now)
            self._ends.pop(self._stable, None)
            self._stable = self.issue()
        elif self._ends.get(self._stable, 0) - TOKEN_OVERLAP * 1000 <= now:
            self._stable = self.issue()
        return self._stable, (self._ends[self._stable] - now) // 1000

    def legacy(self, asked: Mapping[str, Any]) -> tuple[str, int]:
        """Return a token of the older interface, which is apart from the stable one."""
        self._check_account(asked)
        return self.issue(), TOKEN_LIFE

    def issue(self) -> str:
        """Return a new token that is valid from now."""
        token = secrets.token_urlsafe(120)
        self._ends[token] = self._now() + TOKEN_LIFE * 1000
        return token

    def check(self, token: str) -> None:
        """Refuse a token that is missing, unknown, revoked or over."""
        if not token:
            raise Refused(41001)
        if token not in self._ends or token in self._revoked:
            raise Refused(40001)
        if self._ends[token] <= self._now():
            raise Refused(42001)

    def _check_account(self, asked: Mapping[str, Any]) -> None:
        if asked.get("grant_type") != "client_credential":
            raise Refused(40002)
        if asked.get("appid") != self._app_id:
            raise Refused(40013)
        if asked.get("secret") != self._secret:
            raise Refused(40125)

    def _force(self, now: int) -> None:
        if self._forced and now - self._forced[-1] < FORCED_SPACING * 1000:
            raise Refused(45011)
        if sum(now - at < DAY * 1000 for at in self._forced) >= FORCED_PER_DAY:
            raise Refused(45009)
        self._forced.append(now)


class Account:
    """The customers, files and rules of one account; *now* returns milliseconds since 1970 UTC."""

    def __init__(self, kind: Kind, now: Callable[[], int]) -> None:
        self.kind = kind
        self.customers: dict[str, Customer] = {}
        self.received: defaultdict[str, list[Delivered]] = defaultdict(list)
        self.kf_accounts: set[str] = set()
        self.files: dict[str, tuple[str, bytes, int]] = {}
        self._now = now

    def customer(self, openid: str) -> Customer:
        """Return the customer *openid*, who is known from now on."""
        return self.customers.setdefault(openid, Customer())

    def grant(self, openid: str, trigger: str) -> None:
        """Note that *openid* did what *trigger* names; it replaces what was left of an earlier right of that name."""
        customer = self.customer(openid)
        if trigger in QUOTAS[self.kind]:
            seconds, messages = QUOTAS[self.kind][trigger]
            customer.rights[trigger] = (self._now() + seconds * 1000, messages)

    def known(self, asked: Mapping[str, Any]) -> Customer:
        """Return the customer that *asked* is for."""
        customer = self.customers.get(str(asked.get("touser")))
        if customer is None:
            raise Refused(40003)
        return customer

    def send(self, body: bytes) -> None:
        """Deliver the message in *body*, a request to custom/send."""
        if ESCAPED.search(body):
            raise Refused(40033)
        asked = read(body)
        customer = self.known(asked)
        kind = str(asked.get("msgtype"))
        content = asked.get(kind)
        if kind not in MESSAGE_TYPES[self.kind] or not isinstance(content, dict):
            raise Refused(40008)
        self._check_content(kind, content)
        staff = asked.get("customservice", {}).get("kf_account")
        if staff is not None and staff not in self.kf_accounts:
            raise Refused(65401)
        self._spend(customer)
        self.received[asked["touser"]].append(Delivered(kind, content, self._now()))

    def typing(self, body: bytes) -> None:
        """Show or hide "typing", as *body*, a request to custom/typing, says."""
        asked = read(body)
        customer = self.known(asked)
        if asked.get("command") not in ("Typing", "CancelTyping"):
            raise Refused(45072)
        on = asked["command"] == "Typing"
        if on and customer.typing:
            raise Refused(45081)
        customer.typing = on

    def upload(self, family: str, mime: str, data: bytes) -> str:
        """Keep an uploaded file and return its media_id."""
        if family not in UPLOADS:
            raise Refused(40004)
        limit, marks = UPLOADS[family]
        if len(data) > limit:
            raise Refused(45001)
        if not (data[4:] if family == "video" else data).startswith(marks):
            raise Refused(40005)
        return self.keep(mime, data)

    def keep(self, mime: str, data: bytes) -> str:
        """Store a file for 3 days and return its media_id."""
        media_id = secrets.token_urlsafe(32)
        self.files[media_id] = (mime, data, self._now() + MEDIA_LIFE * 1000)
        return media_id

    def file(self, media_id: str, family: str = "") -> tuple[str, bytes]:
        """Return type and bytes of a file, which must be of *family* if given."""
        mime, data, until = self.files.get(media_id, ("", b"", 0))
        kind = mime.partition("/")[0].replace("audio", "voice")
        if self._now() >= until or (family and family != kind):
            raise Refused(40007)
        return mime, data

    def _check_content(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "text":
            text = content.get("content")
            if not isinstance(text, str) or not text:
                raise Refused(44004)
            if len(text.encode()) > TEXT_LIMIT:
                raise Refused(45002)
        if kind == "msgmenu":
            self._check_menu(content)
        if kind in ("image", "voice", "video"):
            self.file(str(content.get("media_id")), kind)

    @staticmethod
    def _check_menu(content: Mapping[str, Any]) -> None:
        """A menu has words above it, and entries that each have an id of their own and words."""
        entries = content.get("list")
        if not content.get("head_content") or not isinstance(entries, list) or not entries:
            raise Refused(44004)
        ids = [entry.get("id") for entry in entries if isinstance(entry, dict)]
        words = [entry.get("content") for entry in entries if isinstance(entry, dict)]
        if len(ids) < len(entries) or not all(isinstance(one, str) and one for one in (*ids, *words)):
            raise Refused(47001)
        if len(set(ids)) < len(ids) or len(json.dumps(content, ensure_ascii=False).encode()) > 2 * TEXT_LIMIT:
            raise Refused(45002)

    def _spend(self, customer: Customer) -> None:
        """Use one message of what the customer's last acts allow, the shortest-lived right first."""
        now = self._now()
        alive = sorted((until, name) for name, (until, _) in customer.rights.items() if until > now)
        if not alive:
            raise Refused(45015)
        for until, name in alive:
            left = customer.rights[name][1]
            if left > 0:
                customer.rights[name] = (until, left - 1)
                return
        raise Refused(45047)


def read(body: bytes) -> dict[str, Any]:
    """Return the JSON object in *body*."""
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(47001) from None
    if not isinstance(value, dict):
        raise Refused(47001)
    return value
