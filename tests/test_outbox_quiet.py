"""Quiet hours end when the clock on the wall says so."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from config.delivery import Quiet
from config.hours import interval
from outbox.quiet import quiet_until

SHANGHAI, BERLIN = "Asia/Shanghai", "Europe/Berlin"


def at(text: str, zone: str = SHANGHAI) -> int:
    """Return an instant that is said in local time."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


CASES = [
    ("22:00-08:00", SHANGHAI, "2026-11-22T21:59:59", ""),
    ("22:00-08:00", SHANGHAI, "2026-11-22T22:00:00", "2026-11-23T08:00"),
    ("22:00-08:00", SHANGHAI, "2026-11-23T00:00:00", "2026-11-23T08:00"),
    ("22:00-08:00", SHANGHAI, "2026-11-23T07:59:59", "2026-11-23T08:00"),
    ("22:00-08:00", SHANGHAI, "2026-11-23T08:00:00", ""),
    ("12:00-14:00", SHANGHAI, "2026-11-23T13:00:00", "2026-11-23T14:00"),
    ("12:00-14:00", SHANGHAI, "2026-11-23T11:00:00", ""),
    ("00:00-24:00", SHANGHAI, "2026-11-23T11:00:00", "2026-11-24T00:00"),
    ("22:00-08:00", BERLIN, "2026-03-29T01:30:00", "2026-03-29T08:00"),  # the night in which an hour is left out
    ("22:00-08:00", BERLIN, "2026-10-25T01:30:00", "2026-10-25T08:00"),  # the night in which one comes twice
]


@pytest.mark.parametrize(("hours", "zone", "now", "end"), CASES)
def test_ends(hours: str, zone: str, now: str, end: str) -> None:
    """Over midnight, within a day, all day, and on the nights in which clocks change."""
    quiet = Quiet.model_validate({"hours": hours, "timezone": zone})

    assert (at(end, zone) if end else 0) == quiet_until(quiet, "survey", at(now, zone))


@pytest.mark.parametrize(("lanes", "lane", "kept"), [(("survey",), "campaign", False), (("notice",), "notice", True)])
def test_lanes(lanes: tuple[str, ...], lane: str, kept: bool) -> None:
    """Only what is listed keeps them, and without a configuration nothing does."""
    quiet = Quiet.model_validate({"hours": "00:00-24:00", "lanes": lanes})

    assert kept == bool(quiet_until(quiet, lane, at("2026-11-23T11:00:00")))
    assert 0 == quiet_until(None, lane, at("2026-11-23T11:00:00"))
    assert interval("22:00-08:00").end > interval("22:00-08:00").start
