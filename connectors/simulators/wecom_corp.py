"""What WeCom remembers about one company and one of its apps: members, tokens, files, cards, limits, and its rules.

No HTTP here: whatever breaks a rule raises `Refused` with the platform's errcode.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.simulators.faults import Refused

TOKEN_LIFE = 7200
DAY = 24 * 3600
MEDIA_LIFE = 3 * DAY
CODE_LIFE = 3 * DAY
TEXT_LIMIT = 2048
PER_MINUTE, PER_HOUR = 30, 1000

USERID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
TASK_ID = re.compile(r"[A-Za-z0-9_@-]{1,128}")
# A JSON escape \uXXXX, as opposed to an escaped backslash before a "u".
ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{4}")
# Bytes, and how a file of the family begins (a video after its first 4 bytes).
UPLOADS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "image": (10 << 20, (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")),
    "voice": (2 << 20, (b"#!AMR",)),
    "video": (10 << 20, (b"ftyp",)),
    "file": (20 << 20, (b"",)),
}
ERRORS = {
    -1: "system busy",
    40001: "invalid credential",
    40003: "invalid userid",
    40004: "invalid media type",
    40005: "invalid file type",
    40006: "invalid file size",
    40007: "invalid media_id",
    40008: "invalid message type",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40033: "invalid charset. please check your request, if include \\uxxxx will create fail!",
    40056: "invalid agentid",
    40058: "invalid Request Parameter",
    41001: "access_token missing",
    42001: "access_token expired",
    42014: "taskid has existed or empty or exceed max len",
    44004: "empty content",
    45001: "media size out of limit",
    45002: "content size out of limit",
    45009: "api freq out of limit",
    47001: "data format error",
    60020: "not allow to access from your ip",
    81013: "user & party & tag all invalid",
    93000: "invalid webhook url",
    301002: "not allow operate another agent with this accesstoken.",
}


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a member sees of one message: its type, its content, and when it came (milliseconds)."""

    type: str
    content: Mapping[str, Any]
    at: int

    @property
    def text(self) -> str:
        """The words of it: of a card its title and what stands below."""
        if self.type == "template_card":
            title = self.content["main_title"]["title"]
            below = self.content.get("sub_title_text", "")
            return f"{title}\n{below}" if below else str(title)
        return str(self.content.get("content", ""))


@dataclass(slots=True)
class Card:
    """A card with buttons that a member has: its buttons (key to label), and what stands there once they are greyed."""

    userid: str
    buttons: dict[str, str]
    codes: dict[str, int] = field(default_factory=dict)
    shown: str = ""


class Corp:
    """One company with one app; *now* returns milliseconds since 1970 UTC."""

    def __init__(self, corp_id: str, agent_id: int, secret: str, now: Callable[[], int]) -> None:
        self.corp_id = corp_id
        self.agent_id = agent_id
        self.members: set[str] = set()
        self.received: defaultdict[str, list[Delivered]] = defaultdict(list)
        self.dropped: defaultdict[str, list[Delivered]] = defaultdict(list)
        self.cards: dict[str, Card] = {}
        self.files: dict[str, tuple[str, bytes, int, str]] = {}
        self._secret = secret
        self._now = now
        self._token = ""
        self._ends: dict[str, int] = {}
        self._revoked: set[str] = set()
        self._paces: defaultdict[str, deque[int]] = defaultdict(deque)

    def expire_tokens(self) -> None:
        """End every token now; asking again gives a new one."""
        self._ends = dict.fromkeys(self._ends, self._now())

    def revoke_token(self) -> None:
        """Refuse the current token from now on, but go on handing it out, as until its end the platform does."""
        self._revoked.add(self._token)

    def token(self, corp_id: str, secret: str) -> tuple[str, int]:
        """Return the app's token, the same until it ends, and the seconds it has left."""
        if corp_id != self.corp_id:
            raise Refused(40013)
        if secret != self._secret:
            raise Refused(40001)
        now = self._now()
        if self._ends.get(self._token, 0) <= now:
            self._token = secrets.token_urlsafe(120)
            self._ends[self._token] = now + TOKEN_LIFE * 1000
        return self._token, (self._ends[self._token] - now) // 1000

    def check(self, token: str) -> None:
        """Refuse a token that is missing, unknown, revoked or over."""
        if not token:
            raise Refused(41001)
        if token not in self._ends or token in self._revoked:
            raise Refused(40014)
        if self._ends[token] <= self._now():
            raise Refused(42001)

    def send(self, body: bytes) -> dict[str, Any]:
        """Deliver the message in *body*, a request to message/send, and return the platform's answer to it."""
        asked = read(body)
        self._check_agent(asked)
        users = [user for user in str(asked.get("touser", "")).split("|") if user]
        known = [self.member(user) for user in users if self.member(user)]
        invalid = "|".join(user.lower() for user in users if not self.member(user))
        if not known:
            raise Refused(81013, invaliduser=invalid)
        kind = str(asked.get("msgtype"))
        content = asked.get(kind)
        if not isinstance(content, dict):
            raise Refused(40008)
        answer = {"errcode": 0, "errmsg": "ok", "invaliduser": invalid, "msgid": secrets.token_urlsafe(24)}
        if kind == "template_card":
            self._take_card(content, known[0])
            answer["response_code"] = self._code(content["task_id"])
        else:
            self._check_content(kind, content)
        for user in known:
            self._deliver(user, Delivered(kind, content, self._now()))
        return answer

    def member(self, userid: str) -> str:
        """Return the member *userid* as the directory writes it, whatever the case; "" if there is none."""
        return next((name for name in self.members if name.lower() == userid.lower()), "")

    def update(self, body: bytes) -> dict[str, Any]:
        """Replace the buttons of a card as *body*, a request to update_template_card, says."""
        asked = read(body)
        self._check_agent(asked)
        users, name = asked.get("userids"), asked.get("button", {}).get("replace_name")
        if not isinstance(users, list) or not isinstance(name, str) or not name:
            raise Refused(40058)
        code = str(asked.get("response_code", ""))
        for card in self.cards.values():
            if card.codes.get(code, 0) > self._now():
                del card.codes[code]
                if card.userid not in users:
                    return {"errcode": 0, "errmsg": "ok", "invaliduser": users}
                card.shown = name
                return {"errcode": 0, "errmsg": "ok", "invaliduser": []}
        raise Refused(40058)

    def press(self, userid: str, label: str) -> dict[str, Any]:
        """Let *userid* press the button *label* of the latest card that has one; return the fields of the event."""
        for task, card in reversed(self.cards.items()):
            if card.userid == userid and not card.shown and label in card.buttons.values():
                key = next(key for key, text in card.buttons.items() if text == label)
                kind = "button_interaction"
                return {"EventKey": key, "TaskId": task, "CardType": kind, "ResponseCode": self._code(task)}
        raise AssertionError(f"no card of this member has a button {label!r} that can be pressed")

    def upload(self, family: str, name: str, mime: str, data: bytes) -> str:
        """Keep an uploaded file and return its media_id."""
        if family not in UPLOADS:
            raise Refused(40004)
        limit, marks = UPLOADS[family]
        if len(data) > limit:
            raise Refused(45001)
        if len(data) <= 5:
            raise Refused(40006)
        if not name or not (data[4:] if family == "video" else data).startswith(marks):
            raise Refused(40005)
        return self.keep(mime, data, name)

    def keep(self, mime: str, data: bytes, name: str = "") -> str:
        """Store a file for 3 days and return its media_id."""
        media_id = secrets.token_urlsafe(32)
        self.files[media_id] = (mime, data, self._now() + MEDIA_LIFE * 1000, name)
        return media_id

    def file(self, media_id: str) -> tuple[str, bytes, str]:
        """Return type, bytes and name of a file."""
        mime, data, until, name = self.files.get(media_id, ("", b"", 0, ""))
        if self._now() >= until:
            raise Refused(40007)
        return mime, data, name

    def _check_agent(self, asked: Mapping[str, Any]) -> None:
        agent = asked.get("agentid")
        if not isinstance(agent, int):
            raise Refused(40056)
        if agent != self.agent_id:
            raise Refused(301002)

    def _check_content(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind in ("text", "markdown"):
            check_text(content.get("content"), TEXT_LIMIT)
        elif kind == "textcard":
            check_text(content.get("url"), 2048)
            words = [content.get("title"), content.get("description")]
            if not all(words) or not str(content["url"]).startswith(("http://", "https://")):
                raise Refused(40058)
            if len(str(words[0])) > 128 or len(str(words[1])) > 512:
                raise Refused(45002)
        elif kind in UPLOADS:
            self.file(str(content.get("media_id")))
        else:
            raise Refused(40008)

    def _take_card(self, content: Mapping[str, Any], userid: str) -> None:
        if content.get("card_type") != "button_interaction":
            raise Refused(40058)
        task = content.get("task_id")
        if not isinstance(task, str) or not TASK_ID.fullmatch(task) or task in self.cards:
            raise Refused(42014)
        title, below = content.get("main_title", {}).get("title", ""), content.get("sub_title_text", "")
        buttons = content.get("button_list")
        # The documents only advise these lengths; what is longer is not seen, and so counts as wrong here.
        if not (title or below) or len(title) > 36 or len(below) > 160 or not isinstance(buttons, list):
            raise Refused(40058)
        keys = [str(button.get("key", "")) for button in buttons]
        if not 1 <= len(keys) <= 6 or len(set(keys)) < len(keys) or not all(button.get("text") for button in buttons):
            raise Refused(40058)
        if not all(0 < len(key.encode()) <= 1024 for key in keys):
            raise Refused(40058)
        self.cards[task] = Card(userid, {key: button["text"] for key, button in zip(keys, buttons, strict=True)})

    def _code(self, task: str) -> str:
        code = secrets.token_urlsafe(32)
        self.cards[task].codes[code] = self._now() + CODE_LIFE * 1000
        return code

    def _deliver(self, userid: str, message: Delivered) -> None:
        """Show *message* to a member, unless the app has sent too many: what is over is thrown away without a word."""
        pace = self._paces[userid]
        while pace and pace[0] <= message.at - 3_600_000:
            pace.popleft()
        in_minute = sum(at > message.at - 60_000 for at in pace)
        pace.append(message.at)
        over = in_minute >= PER_MINUTE or len(pace) > PER_HOUR
        (self.dropped if over else self.received)[userid].append(message)


def check_text(text: object, most: int) -> None:
    """Refuse a text that is none, empty, or longer than *most* bytes (the platform would cut it)."""
    if not isinstance(text, str) or not text:
        raise Refused(44004)
    if len(text.encode()) > most:
        raise Refused(45002)


def read(body: bytes) -> dict[str, Any]:
    """Return the JSON object in *body*."""
    if ESCAPED.search(body):
        raise Refused(40033)
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(47001) from None
    if not isinstance(value, dict):
        raise Refused(47001)
    return value
