"""Route files out of text, for the tests of routing: loaded by the same reader as the real ones."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from config.conditions import moment
from config.documents import Document, read, validate
from config.faults import Problem
from config.hours import Hours
from config.lookups import Lookups
from config.routes import RouteFile, problems
from config.wordlists import Wordlists
from router.rules import ConversationFacts, Facts, Tree, compile_routes

SHANGHAI = ZoneInfo("Asia/Shanghai")
OFFICE = Hours.model_validate_json(
    '{"timezone": "Asia/Shanghai", "week": {"mon-fri": ["09:00-12:00", "13:30-18:00"]},'
    ' "closed": ["2026-10-01..2026-10-07"], "open": ["2026-10-10"]}',
    strict=True,
)


@dataclass(frozen=True)
class Channel:
    """As much of a configured channel as routes look at."""

    kind: str


@dataclass(frozen=True)
class Names:
    """As much of the settings as routes look at."""

    teams: Mapping[str, Any] = field(
        default_factory=lambda: dict.fromkeys(["frontdesk", "aftersales", "complaints", "legal", "vip-desk"])
    )
    agents: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(["lilei", "team-lead"]))
    hours: Mapping[str, Any] = field(default_factory=lambda: {"office": OFFICE})
    sla: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(["standard", "complaint"]))
    channels: Mapping[str, Any] = field(
        default_factory=lambda: {
            "shop-wechat": Channel("wechat"),
            "service-mail": Channel("email"),
            "sms-cn": Channel("twilio-sms"),
        }
    )
    facts: Lookups = field(
        default_factory=lambda: Lookups.model_validate(
            {
                "order": {
                    "url": "https://erp.example.com/orders?phone={sender.value}",
                    "fields": {name: f"$.{name}" for name in ("status", "amount", "paid", "labels")},
                }
            }
        )
    )


def document(path: Path, text: str) -> Document:
    """Write *text* as a route file to *path* and read it."""
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return read(path, environ={})


def load(tmp_path: Path, text: str) -> RouteFile:
    """Return *text* as a route file; only its shape is checked."""
    written = document(tmp_path / "routes.yaml", text)
    return validate(written, RouteFile, context={"words": Wordlists().beside(written.file)})


def plant(tmp_path: Path, text: str) -> Tree:
    """Return the tree of *text*, which must be free of problems."""
    file = load(tmp_path, text)
    assert found(file) == []
    return compile_routes([file], {"office": OFFICE})


def found(*files: RouteFile, **known: Any) -> list[Problem]:
    """Return what is wrong with *files* in a hub with the usual names."""
    return [problem for _, problem in problems(files, Names(), **known)]


def at(text: str) -> int:
    """Return a moment in Shanghai in milliseconds since 1970 UTC."""
    return int(moment(text).replace(tzinfo=SHANGHAI).timestamp()) * 1000


WEDNESDAY = at("2026-06-03T10:00")


def message(text: str = "", *, conversation: Mapping[str, Any] | None = None, **facts: Any) -> Facts:
    """Return a message on shop-wechat, on a Wednesday morning, in a new conversation unless told otherwise."""
    known = {"channel": "shop-wechat", "kind": "wechat", "at": WEDNESDAY, **facts}
    return Facts(text=text, conversation=ConversationFacts(**(conversation or {})), **known)
