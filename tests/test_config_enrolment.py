"""Enrolment: which addresses are whose, and which channel carries what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from config.enrolment import Reach, carrier, enrolment
from config.loading import load
from config.staff import Notify, TeamNotify, dialled

CHANNELS = {
    "service-mail": "email",
    "sms-cn": "aliyun-sms",
    "sms-us": "twilio-sms",
    "desk": "wecom-app",
    "group": "wecom-robot",
}
TEXT = """
channels: {desk: {kind: wecom-app}, service-mail: {kind: email}}
teams:
  frontdesk: {name: 前台, notify: [{kind: email, address: Team@Example.com}]}
agents:
  lilei:
    name: 李雷
    email: LiLei@Example.com
    notify: [{kind: wecom, userid: LiLei}, {kind: email}, {kind: sms, number: "13800138000"}]
  lucy: {name: Lucy, email: lucy@example.com}
"""


class Anything(BaseModel):
    """The options of a channel, which do not matter here."""


@pytest.mark.parametrize(
    ("way", "channel"),
    [
        ({"kind": "email"}, "service-mail"),
        ({"kind": "wecom", "userid": "LiLei"}, "desk"),
        ({"kind": "sms", "number": "1"}, ""),
        ({"kind": "sms", "number": "1", "channel": "sms-us"}, "sms-us"),
        ({"kind": "feishu", "userid": "x"}, ""),
        ({"kind": "messenger", "channel": "desk", "address": "line:U1"}, "desk"),
        ({"kind": "email", "channel": "gone"}, ""),
    ],
)
def test_which_channel_carries_it(way: dict[str, Any], channel: str) -> None:
    """The one that is named, else the only one of a fitting kind, else none."""
    assert channel == carrier(Notify.model_validate(way), CHANNELS)


def test_a_group_is_carried_by_its_robot() -> None:
    """An app that writes to members is no group, and the other way round."""
    assert "group" == carrier(TeamNotify.model_validate({"kind": "wecom-robot"}), CHANNELS)


def test_who_is_enrolled(tmp_path: Path) -> None:
    """Every address of an agent is theirs, whether a channel carries it or not; mailboxes know no capitals."""
    (tmp_path / "huiliu.yaml").write_text(TEXT, encoding="utf-8")
    found = enrolment(load(tmp_path / "huiliu.yaml", lambda _: Anything).settings)

    assert {
        "mailto:lilei@example.com": "lilei",
        "wecom:LiLei": "lilei",
        "tel:+8613800138000": "lilei",
        "mailto:lucy@example.com": "lucy",
    } == found.owners
    assert (
        Reach("wecom", "desk", "wecom:LiLei"),
        Reach("email", "service-mail", "mailto:lilei@example.com"),
    ) == found.agents["lilei"]
    assert [Reach("email", "service-mail", "mailto:team@example.com")] == [one for _, one in found.teams["frontdesk"]]
    assert "lucy" == found.owner("mailto:Lucy@Example.com")
    assert not found.silent


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("13800138000", "+8613800138000"),
        ("138 0013-8000", "+8613800138000"),
        ("+1 (500) 555-0006", "+15005550006"),
        ("0044 20 7946 0000", "+442079460000"),
    ],
)
def test_numbers_as_people_write_them(number: str, expected: str) -> None:
    """They end up as the channels write them."""
    assert expected == dialled(number)
