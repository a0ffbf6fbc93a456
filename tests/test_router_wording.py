"""Texts that the hub sends by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loading import Loaded, load
from hub import kinds
from inbox.conversations import Conversation
from router.wording import fill, span
from tests.hubs import configuration, write

SATURDAY_NIGHT = 1_795_270_800_000  # 2026-11-21 23:00 in Shanghai
MORE = """
hours:
  office: {timezone: Asia/Shanghai, week: {mon-fri: ["09:00-18:00"]}}
sla:
  standard: {first_reply: 30m, resolution: 24h}
teams:
  aftersales: {name: 售后组, members: [lilei], sla: standard, hours: office}
agents:
  lilei: {name: 李雷, email: lilei@example.com}
"""
TEMPLATE = "{{ contact.name }}|{{ team.name }}|{{ agent.name }}|{{ hours.next_open }}|{{ sla.first_reply }}"


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    text = configuration("", more=MORE)
    path = write(tmp_path, text, routes="default: {team: aftersales}", templates=f'all: "{TEMPLATE}"')
    return load(path, kinds)


def conversation(*, team: str = "aftersales", name: str = "小王", agent: str = "") -> Conversation:
    return Conversation("c1-1-0", "shop", "wechat", "wechat:o1", "k1-1-0", team=team, name=name, agent=agent)


def test_every_variable_is_filled(loaded: Loaded) -> None:
    """A template knows the customer, the team, its agent, its next opening and its promise."""
    filled = fill(loaded, "all", conversation(agent="lilei"), SATURDAY_NIGHT)

    assert filled is not None
    assert ("小王|售后组|李雷|11月23日 09:00|30 分钟", ()) == (filled.text, filled.missing)


def test_what_nobody_knows_is_named(loaded: Loaded) -> None:
    """A conversation without a team has no hours and no promise: the text says what it lacks, and is not sent."""
    filled = fill(loaded, "all", conversation(team="", name=""), SATURDAY_NIGHT)

    assert filled is not None
    assert ("contact.name", "team.name", "agent.name", "hours.next_open", "sla.first_reply") == filled.missing


def test_a_missing_template_is_none(loaded: Loaded) -> None:
    """A name without a text gives None, so the caller can say so."""
    assert fill(loaded, "nothing", conversation(), SATURDAY_NIGHT) is None


@pytest.mark.parametrize(
    ("milliseconds", "locale", "words"),
    [
        (1_800_000, "zh-CN", "30 分钟"),
        (86_400_000, "zh-CN", "24 小时"),
        (3_600_000, "en", "1 hour"),
        (60_000, "en", "1 minute"),
    ],
)
def test_spans_are_said_as_people_say_them(milliseconds: int, locale: str, words: str) -> None:
    """Whole hours are hours, the rest is minutes."""
    assert words == span(milliseconds, locale)
