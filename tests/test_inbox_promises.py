"""Which promise holds, what it is worth, and how a conversation shows it."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from config.loading import load
from config.settings import Settings
from inbox.conversations import Conversation
from inbox.promises import Promises, due_times
from inbox.reckoning import reckon
from tests.config_kinds import kinds
from tests.routing import SHANGHAI, at

MINUTE = 60_000
TEXT = """
timezone: Asia/Shanghai
hours:
  office: {week: {mon-fri: ["09:00-12:00", "13:30-18:00"]}, closed: [2026-10-01..2026-10-07], open: [2026-10-10]}
  night: {week: {mon-sun: ["22:00-06:00"]}}
sla:
  standard: {first_reply: 30m, next_reply: 20m, resolution: 8h, hours: office}
  own: {first_reply: 30m, hours: team}
  shop: {preset: marketplace}
  promise: {preset: service, next_reply: null, first_reply: 1h}
  whole: {resolution: 10h, warn_at: 9h}
teams:
  day: {name: 日班, sla: own, hours: office}
  late: {name: 夜班, sla: own, hours: night}
  any: {name: 全天, sla: own}
  none: {name: 无}
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    path: Path = tmp_path_factory.mktemp("config") / "huiliu.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return load(path, kinds, environ={}).settings


@pytest.fixture(scope="module")
def promises(settings: Settings) -> Promises:
    return Promises.of(settings)


def conversation(start: str = "2026-06-03T11:50", course: str = "", **known: Any) -> Conversation:
    opened = at(start)
    values = {"opened_at": opened, "course": f"W{opened}{course}", **known}
    return Conversation("c1-1-0", "shop", "wechat", "wechat:a", "k1-1-0", **values)


DUE = [
    ({"sla": "standard"}, "first_reply_due", "2026-06-03T13:50"),
    ({"sla": "standard"}, "resolution_due", "2026-06-04T13:50"),
    ({"sla": "standard", "course": " a60000"}, "resolution_due", None),
    ({"sla": "standard", "course": " a60000 w60000"}, "next_reply_due", "2026-06-03T13:42"),
    ({"sla": "standard", "start": "2026-09-30T17:50"}, "first_reply_due", "2026-10-08T09:20"),
    ({"sla": "standard", "start": "2026-10-09T17:50"}, "first_reply_due", "2026-10-10T09:20"),
    ({"team": "day"}, "first_reply_due", "2026-06-03T13:50"),
    ({"team": "late"}, "first_reply_due", "2026-06-03T22:30"),
    ({"team": "any"}, "first_reply_due", "2026-06-03T12:20"),
    ({"team": "day", "sla": "shop"}, "first_reply_due", "2026-06-03T11:53"),
    ({"team": "none"}, "first_reply_due", None),
    ({"sla": "gone"}, "first_reply_due", None),
    ({}, "first_reply_due", None),
]


@pytest.mark.parametrize(("known", "clock", "expected"), DUE)
def test_due_times(promises: Promises, known: dict[str, Any], clock: str, expected: str | None) -> None:
    """What a route set goes before the team's promise; `team` means the hours of the team that has it now."""
    one = conversation(**{"start": "2026-06-03T11:50", **known})
    shown = due_times(promises, one)[clock]

    assert expected is None or shown is not None
    assert expected == (None if shown is None else _shanghai(shown))


LIMITS = [
    ("shop", {"first_reply": (180, 100), "next_reply": (180, 100)}),
    ("promise", {"first_reply": (3600, 2880), "resolution": (86400, 69120)}),
    ("standard", {"first_reply": (1800, 1440), "next_reply": (1200, 960), "resolution": (28800, 23040)}),
    ("whole", {"resolution": (36000, 32400)}),
]


@pytest.mark.parametrize(("name", "expected"), LIMITS)
def test_limits_and_warnings(promises: Promises, name: str, expected: dict[str, tuple[int, int]]) -> None:
    """Presets give their times unless they are overwritten; `warn_at` is a share, or a time that holds for replies."""
    limits = promises.by_name[name].limits
    assert expected == {clock: (limit.time // 1000, limit.warn // 1000) for clock, limit in limits.items()}


CHANGES = [
    ("first_reply: 30m, next_reply: 20m", "first_reply: 31m, next_reply: 20m", True),
    ("first_reply: 30m, hours: team", "first_reply: 30m, hours: office", True),
    ('"13:30-18:00"', '"13:30-18:30"', True),
    ("open: [2026-10-10]", "open: [2026-10-11]", True),
    ("closed: [2026-10-01..2026-10-07]", "closed: [2026-10-01..2026-10-08]", True),
    ("timezone: Asia/Shanghai", "timezone: Asia/Tokyo", True),
    ("sla: own, hours: office", "sla: own, hours: night", True),
    ("name: 日班", "name: 白班", False),
]


@pytest.mark.parametrize(("before", "after", "differs"), CHANGES)
def test_the_digest_tells_of_every_change(
    tmp_path: Path, promises: Promises, before: str, after: str, differs: bool
) -> None:
    """What may move a deadline changes the digest, and nothing else does."""
    assert before in TEXT
    (tmp_path / "huiliu.yaml").write_text(TEXT.replace(before, after), encoding="utf-8")
    changed = Promises.of(load(tmp_path / "huiliu.yaml", kinds, environ={}).settings)
    assert differs == (changed.digest != promises.digest)


def test_flags_are_of_the_latest_run(promises: Promises) -> None:
    """A warning of an earlier wait is no warning of this one; the first reply stays what it was."""
    opened = at("2026-06-03T10:00")
    first = conversation(
        "2026-06-03T10:00", " a60000 w60000", sla="standard", told=f"0 f{opened}wb n{opened + 120000}w"
    )
    later = conversation(
        "2026-06-03T10:00", " a60000 w60000 a60000 w60000", sla="standard", told=f"0 f{opened}wb n{opened + 120000}w"
    )

    assert (["first_reply", "next_reply"], ["first_reply"]) == _flags(promises, first)
    assert (["first_reply"], ["first_reply"]) == _flags(promises, later)


def test_an_account_adds_up(promises: Promises) -> None:
    """Spans that counted and spans that did not follow each other without gap or overlap, each with its reason."""
    one = conversation("2026-06-03T11:30", " a600000 s60000 o36000000 r600000 o600000", sla="standard")
    now = at("2026-06-04T10:00")
    holds = promises.holds(one)
    found = reckon(holds, one, now)

    assert ("standard", "office", "Asia/Shanghai") == (found["policy"], found["hours"], found["timezone"])
    for clock in found["clocks"]:
        spans = sorted([*clock["counted"], *clock["left_out"]], key=lambda span: span["from"])
        assert clock["since"] == spans[0]["from"]
        assert all(before["to"] == after["from"] for before, after in pairwise(spans))
        assert clock["used_seconds"] == sum(span["seconds"] for span in clock["counted"])
    resolution, reply = found["clocks"]
    assert {"waiting", "resolved", "closed"} == {span["why"] for span in resolution["left_out"]}
    assert ("answered", "met", 600.0) == (reply["state"], reply["outcome"], reply["used_seconds"])


def test_an_account_of_nothing(promises: Promises) -> None:
    """Where nothing is promised there are no clocks."""
    assert [] == reckon(promises.holds(conversation()), conversation(), at("2026-06-04T10:00"))["clocks"]


def _flags(promises: Promises, one: Conversation) -> tuple[list[str], list[str]]:
    shown = due_times(promises, one)
    return shown["warned"], shown["breached"]


def _shanghai(text: str) -> str:
    return dt.datetime.fromisoformat(text).astimezone(SHANGHAI).strftime("%Y-%m-%dT%H:%M")
