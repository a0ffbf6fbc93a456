"""Random route files and messages that have a chance to meet: every condition, operator and field, at any depth."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from router.rules import ConversationFacts, Facts
from tests.routing import WEDNESDAY, at

Data = dict[str, Any]

CHANNELS = {"shop-wechat": "wechat", "service-mail": "email", "sms-cn": "twilio-sms"}
WORDS = ["退款", "退貨", "Refund", "VIP", "12315", "投诉", "律師", "谢", "ＯＫ", "a b", "退", "😡", "ß", "乾"]
REGEXES = [
    "退(款|貨|钱)",
    r"\d{3,}",
    r"^我要\w+",
    "谢谢$",
    "[一二三]天",
    "投.{0,2}诉",
    "vip|refund",
    r"\w+[!?]",
    "(ab)+c?",
    "退",
    r"[^\w\s]",
    r"退\s款",
    "^$",
    ".*",
    r"\brefund\b",
    r"^\p{Han}{2}$",
    "👍?退",
]
EXACT_REGEXES = ["退(款|貨)", r"\d+", "^VIP", r"Refund\w*$", "[A-Z]{2}"]
PIECES = [
    *WORDS, "我要", "退货", "refund", "谢谢", "三天", "投了诉", "１２３４", "abab", "!", "，", " ", "律师", "ok", "　",
    "👍🏽", "👨‍👩‍👧", "❤️", "退\u200b款", "Ｒｅｆｕｎｄ", "錢", "\n", "Ⅷ", "ﬀ",
]  # fmt: skip
SENDERS = [
    "mailto:a@example.com", "mailto:b@mail.example.com", "mailto:A@Other.cn", "tel:+8613800138000", "wechat:oABC", "",
]  # fmt: skip
NAMES = ["a@example.com", "@example.com", "example.com", "other.cn", "+8613800138000", "oABC", "mailto:a@example.com"]
STARTS = ["+86", "tel:", "a@", "wechat:o", "B"]
PATTERNS = ["^no-?reply@", r"^\+86\d+$", r"example\.com$", "^o", "@"]
MIMES = ["image/png", "image/jpeg", "audio/amr", "video/mp4", "application/pdf"]
MEDIA = ["image", "voice", "video", "file", "image/*", "application/pdf", "image/png"]
EVENTS = ["message", "message", "message", "sla_breach", "score"]
TIMES = [
    WEDNESDAY, WEDNESDAY + 1, WEDNESDAY - 1000, at("2026-06-06T23:30"), at("2026-10-10T10:00"), at("2026-06-03T12:30"),
    at("2026-10-05T10:00"), at("2026-06-08T00:00"), at("2026-06-07T05:59:59"), at("2026-11-11T00:00"),
]  # fmt: skip
MOMENTS: list[Data] = [
    {"after": "2026-06-03T10:00"},
    {"before": "2026-06-03T10:00"},
    {"after": "2026-06-04", "before": "2026-11-11"},
    {"after": "2026-06-03T10:00:00+08:00", "before": "2026-06-03T02:01:00+00:00"},
    {"days": "mon-fri"},
    {"days": ["sat", "sun"], "time": "22:00-06:00"},
    {"time": ["09:00-12:00", "22:00-06:00"]},
    {"days": "sun", "time": "23:00-24:00"},
    {"days": "wed", "timezone": "America/New_York"},
    {"timezone": "Europe/Berlin", "after": "2026-06-03T04:00"},
]
CONVERSATIONS: list[Any] = [
    "new", "reopened", {"new": False}, {"new": True, "reopened": False}, {"team": "legal"}, {"messages": ">= 2"},
    {"messages": 1}, {"messages": "> 1, < 3"}, {"age": "> 1h"}, {"age": "<= 2h"}, {"status": ["open", "pending"]},
    {"status": "resolved", "messages": ">= 1"}, {"team": ["legal", "aftersales"], "age": ">= 2h"},
]  # fmt: skip
SHANGHAI = ZoneInfo("Asia/Shanghai")


def is_open(moment: int) -> bool:
    """Tell whether the office of `tests.routing` is open: weekdays 9-12 and 13:30-18, but for a week in October."""
    local = dt.datetime.fromtimestamp(moment / 1000, SHANGHAI)
    clock, date = local.hour * 60 + local.minute, (local.year, local.month, local.day)
    working = local.weekday() < 5 and not (2026, 10, 1) <= date <= (2026, 10, 7)
    return (working or date == (2026, 10, 10)) and (540 <= clock < 720 or 810 <= clock < 1080)


class Grower:
    """Makes route files, as plain data, and messages; the same ones for the same *seed*."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.names = 0

    def some(self, words: list[str], most: int = 3) -> str | list[str]:
        """Return one word, or a list of a few."""
        chosen = self.rng.sample(words, self.rng.randint(1, most))
        return chosen[0] if len(chosen) == 1 and self.rng.random() < 0.5 else chosen

    def text(self) -> Any:
        """Return what may stand behind `text:`."""
        if self.rng.random() < 0.3:
            return self.some(WORDS)
        exact = self.rng.random() < 0.15
        operators: dict[str, Callable[[], Any]] = {
            "any_of": lambda: self.some(WORDS),
            "all_of": lambda: self.some(WORDS, 2),
            "none_of": lambda: self.some(WORDS),
            "regex": lambda: self.some(EXACT_REGEXES if exact else REGEXES, 2),
            "equals": lambda: self.some(["", *PIECES[:-4]]),
            "starts_with": lambda: self.some(WORDS),
        }
        rule = {key: operators[key]() for key in self.rng.sample(sorted(operators), self.rng.randint(1, 2))}
        return {**rule, "exact": True} if exact else rule

    def sender(self) -> Any:
        """Return what may stand behind `sender:`."""
        if self.rng.random() < 0.5:
            return self.some(NAMES)
        key = self.rng.choice(["any_of", "none_of", "equals", "starts_with", "regex"])
        return {key: self.some({"starts_with": STARTS, "regex": PATTERNS}.get(key, NAMES), 2)}

    def attachments(self) -> Any:
        """Return what may stand behind `attachments:`."""
        kind = self.rng.random()
        if kind < 0.6:
            return self.rng.choice([True, False, self.some(MEDIA)])
        keys = {"any_of": self.some(MEDIA), "none_of": self.some(MEDIA), "count": self.rng.choice([0, ">= 1", "< 2"])}
        return {key: keys[key] for key in self.rng.sample(sorted(keys), self.rng.randint(1, 2))}

    def contact(self) -> Data:
        """Return what may stand behind `contact:`."""
        words = ["vip", "gold", "blocked"]
        keys = {"tag": self.some(words), "tier": self.some(words), "language": self.some(["zh", "EN", "zh-tw"], 2)}
        return {key: keys[key] for key in self.rng.sample(sorted(keys), self.rng.choice([1, 1, 2]))}

    def condition(self, depth: int = 0) -> Data:
        """Return what may stand behind `when:`."""
        choices: dict[str, Callable[[], Any]] = {
            "channel": lambda: self.some([*CHANNELS]),
            "kind": lambda: self.some([*CHANNELS.values()]),
            "text": self.text,
            "subject": self.text,
            "sender": self.sender,
            "contact": self.contact,
            "language": lambda: self.some(["zh", "en", "zh-TW"]),
            "attachments": self.attachments,
            "hours": lambda: {"office": self.rng.choice(["open", "closed"])},
            "conversation": lambda: self.rng.choice(CONVERSATIONS),
            "at": lambda: self.rng.choice(MOMENTS),
        }
        if depth < 4:
            choices |= {
                "all": lambda: [self.condition(depth + 1) for _ in range(self.rng.randint(1, 3))],
                "any": lambda: [self.condition(depth + 1) for _ in range(self.rng.randint(1, 3))],
                "not": lambda: self.condition(depth + 1),
            }
        weights = [6 if key == "text" else 1 for key in choices]
        keys = set(self.rng.choices([*choices], weights, k=self.rng.choice([1, 1, 1, 2])))
        return {key: choices[key]() for key in sorted(keys)}

    def fields(self) -> Data:
        """Return what may stand behind `set:`; now and then a null takes something back."""
        choices: dict[str, Callable[[], Any]] = {
            "team": lambda: self.rng.choice(["frontdesk", "aftersales", "complaints"]),
            "agent": lambda: self.rng.choice(["lilei", "team-lead"]),
            "priority": lambda: self.rng.choice(["low", "normal", "high", "urgent"]),
            "stage": lambda: self.rng.choice(["presale", "order"]),
            "tags": lambda: self.some(["one", "two", "three", "four"]),
            "sla": lambda: self.rng.choice(["standard", "complaint"]),
            "risk": lambda: self.rng.choice(["high", "low"]),
            "acknowledge": lambda: self.some(["hello", "wait", "sorry"]),
            "survey": lambda: self.rng.choice(["csat", "nps"]),
            "skills": lambda: self.some(["english", "refund"], 2),
            "ignore": lambda: "spam",
        }
        keys = [
            key
            for key in self.rng.sample(sorted(choices), self.rng.randint(1, 5))
            if key != "ignore" or self.rng.random() < 0.2
        ]
        return {key: None if self.rng.random() < 0.12 else choices[key]() for key in keys}

    def route(self, depth: int = 0) -> Data:
        """Return a route, with routes inside it as the dice have it."""
        self.names += 1
        route: Data = {"name": f"r{self.names}"}
        if self.rng.random() < 0.95:
            route["when"] = self.condition()
            if depth == 0 and self.rng.random() < 0.15:
                route["when"]["event"] = self.some(["message", "sla_breach", "score"])
        if self.rng.random() < 0.3:
            route["continue"] = True
        if depth < 3 and self.rng.random() < 0.3:
            route["routes"] = [self.route(depth + 1) for _ in range(self.rng.randint(1, 4))]
        if "routes" not in route or self.rng.random() < 0.8:
            route["set"] = self.fields() or {"tags": "one"}
        return route

    def file(self) -> Data:
        """Return a route file."""
        default = {"team": "frontdesk", **{key: value for key, value in self.fields().items() if value is not None}}
        return {"default": default, "routes": [self.route() for _ in range(self.rng.randint(1, 12))]}

    def message(self) -> Facts:
        """Return a message of which some things are not known."""
        channel = self.rng.choice([*CHANNELS])
        new = self.rng.random() < 0.5
        reopened = not new and self.rng.random() < 0.3
        old = "resolved" if reopened else self.rng.choice(["open", "pending", "snoozed", None])
        return Facts(
            channel=channel,
            kind=CHANNELS[channel],
            at=self.rng.choice(TIMES),
            event=self.rng.choice(EVENTS),
            text="".join(self.rng.choices(PIECES, k=self.rng.randint(0, 4))),
            subject="".join(self.rng.choices(PIECES, k=self.rng.randint(0, 2))),
            sender=self.rng.choice(SENDERS),
            attachments=tuple(self.rng.sample(MIMES, self.rng.choice([0, 0, 1, 2]))),
            language=self.rng.choice([None, "zh", "zh-TW", "en"]),
            contact_tags=frozenset(self.rng.sample(["vip", "gold", "blocked"], self.rng.choice([0, 0, 1, 2]))),
            contact_tier=self.rng.choice([None, "gold", "vip"]),
            contact_language=self.rng.choice([None, "zh-TW", "en-GB"]),
            conversation=ConversationFacts(
                new=new,
                reopened=reopened,
                status=None if new else old,
                team=self.rng.choice([None, None, "legal"]),
                priority=self.rng.choice(["normal", "high"]),
                opened_at=self.rng.choice([None, WEDNESDAY - 7_200_000, WEDNESDAY + 10**12]),
                messages=self.rng.randint(1, 3),
            ),
        )
