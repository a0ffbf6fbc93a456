"""Teams as assignment sees them: what an agent says of themselves goes before what the team says."""

from __future__ import annotations

from pathlib import Path

import pytest

import hub
from config.loading import load
from router.crews import Member, Roster, primary, roster

HEAD = """
locale: zh-CN
hours:
  early: {timezone: Asia/Shanghai, week: {mon-sun: ["08:00-16:00"]}}
  late: {timezone: Asia/Shanghai, week: {mon-sun: ["16:00-24:00"]}}
channels:
  site-chat: {kind: webchat}
  twilio-sms: {kind: webchat}
"""
MORNING = 1_795_305_600_000  # 2026-11-22T00:00:00Z, 08:00 in Shanghai
EVENING = MORNING + 8 * 3_600_000


def read(folder: Path, assign: str, agent: str) -> Roster:
    """Return the roster of one team with one agent."""
    path = folder / "huiliu.yaml"
    teams = f"teams:\n  front: {{name: 前台, members: [lilei], assign: {assign}}}\n"
    path.write_text(f"{HEAD}{teams}agents:\n  lilei: {{name: 李雷{agent}}}\n", encoding="utf-8")
    return roster(load(path, hub.kinds, prove=None).settings)


MEMBERS = [
    pytest.param("{}", "", Member("lilei", 8, languages=("zh",)), id="nothing said"),
    pytest.param("{capacity: 3}", "", Member("lilei", 3, languages=("zh",)), id="the team's capacity"),
    pytest.param("{capacity: 3}", ", capacity: 0", Member("lilei", 0, languages=("zh",)), id="their own"),
    pytest.param(
        "{capacity: {total: 9, site-chat: 2}}",
        ", capacity: {twilio-sms: 4}",
        Member("lilei", 9, (("c:site-chat", 2), ("c:twilio-sms", 4)), languages=("zh",)),
        id="channels; a name that is a channel and might be a kind means the channel",
    ),
    pytest.param(
        "{capacity: {webchat: 2}}", "", Member("lilei", 8, (("k:webchat", 2),), languages=("zh",)), id="a kind"
    ),
    pytest.param(
        "{capacity: {total: 5, webchat: 2}}",
        ", capacity: {total: 7, webchat: 1}",
        Member("lilei", 7, (("k:webchat", 1),), languages=("zh",)),
        id="their own limits go before the team's",
    ),
    pytest.param(
        "{shifts: early}",
        ", languages: [zh-TW, en, zh], skills: [refund], weight: 3",
        Member("lilei", 8, (), 3, ("refund",), ("zh", "en"), ("early",)),
        id="what they can, and when they work",
    ),
    pytest.param(
        "{shifts: early}", ", shifts: [late]", Member("lilei", 8, languages=("zh",), shifts=("late",)), id="own shifts"
    ),
]


@pytest.mark.parametrize(("assign", "agent", "expected"), MEMBERS)
def test_members(tmp_path: Path, assign: str, agent: str, expected: Member) -> None:
    """Both sections of the file give one member."""
    assert (expected,) == read(tmp_path, assign, agent).crews["front"].members


def test_what_the_team_wants(tmp_path: Path) -> None:
    """Times are in milliseconds, and what is not said does not happen."""
    plain = read(tmp_path, "{}", "").crews["front"]
    assign = "{strategy: weighted, language: require, sticky: 7d, reassign: {after: 5m}, offline: release}"
    crew = read(tmp_path, assign, "").crews["front"]

    assert (0, 0, 0, False, "prefer") == (
        plain.sticky,
        plain.overflow_after,
        plain.reassign_after,
        plain.release,
        plain.language,
    )
    assert ("weighted", "require", 604_800_000, 300_000, True) == (
        crew.strategy,
        crew.language,
        crew.sticky,
        crew.reassign_after,
        crew.release,
    )


@pytest.mark.parametrize(
    ("shifts", "at", "on"),
    [("early", MORNING, True), ("early", EVENING, False), ("[early, late]", EVENING, True), ("[]", EVENING, True)],
)
def test_shifts(tmp_path: Path, shifts: str, at: int, on: bool) -> None:
    """Somebody works while one of their shifts is on, and always without any."""
    one = read(tmp_path, "{}", f", shifts: {shifts}")
    [member] = one.crews["front"].members

    assert on is one.on(at)[member.shifts]


@pytest.mark.parametrize(("tag", "expected"), [("zh-CN", "zh"), ("EN", "en"), ("", ""), ("pt-BR", "pt")])
def test_languages_are_compared_by_their_first_part(tag: str, expected: str) -> None:
    """zh-CN and zh-TW are both zh."""
    assert expected == primary(tag)
