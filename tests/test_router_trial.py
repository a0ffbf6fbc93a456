"""The tests inside route files: what their messages mean, what they compare, and that they gate loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from config import loading
from config.faults import ConfigError
from router.rules import ConversationFacts, compile_routes
from router.trial import AT, TestResult, imagine, prove, run_tests
from tests.routing import OFFICE, SHANGHAI, WEDNESDAY, at, load

ROUTES = """
default: {team: frontdesk, sla: standard}
routes:
  - name: night
    when: {hours: {office: closed}}
    set: {acknowledge: after-hours, tags: [night]}
    continue: true
  - name: refund
    when: {text: 退款}
    set: {team: aftersales, tags: [refund, money]}
    routes: [{name: big, when: {text: {regex: '\\d{4,}'}}, set: {priority: high, agent: lilei}}]
tests:
"""


def tried(tmp_path: Path, message: str, expect: str) -> TestResult:
    file = load(tmp_path, f"{ROUTES}  - {{name: it, message: {{{message}}}, expect: {{{expect}}}}}\n")
    (result,) = run_tests(compile_routes([file], {"office": OFFICE}), [file], kinds={"shop-wechat": "wechat"})
    return result


PASSING = [
    ("text: 你好", "team: frontdesk, route: default, sla: standard, priority: normal"),
    ("text: 我要退款", "team: aftersales, route: refund"),
    ("text: 退款", "tags: [money, refund]"),
    ("text: 退款", "agent: null, acknowledge: null, skills: null, ignore: null, stage: null"),
    ("text: 退款2000元", "route: big, agent: lilei, priority: high, team: aftersales"),
    ("text: 你好, at: '2026-06-03T23:00'", "acknowledge: after-hours, team: frontdesk, route: night"),
    ("text: 你好, at: 2026-06-06", "acknowledge: [after-hours], tags: night"),
]


@pytest.mark.parametrize(("message", "expect"), PASSING)
def test_passes(tmp_path: Path, message: str, expect: str) -> None:
    """What is given is compared and nothing else; tags as a set; null means that nothing was decided."""
    assert tried(tmp_path, message, expect).differences == ()


FAILING: list[tuple[str, str, list[tuple[str, Any, Any]]]] = [
    ("text: 退款", "team: frontdesk", [("team", "frontdesk", "aftersales")]),
    ("text: 退款", "route: big", [("route", "big", "refund")]),
    ("text: 退款", "tags: [refund]", [("tags", ("refund",), ("refund", "money"))]),
    ("text: 退款", "team: null", [("team", None, "aftersales")]),
    ("text: 你好", "team: legal, sla: complaint", [("team", "legal", "frontdesk"), ("sla", "complaint", "standard")]),
]


@pytest.mark.parametrize(("message", "expect", "differences"), FAILING)
def test_fails(tmp_path: Path, message: str, expect: str, differences: list[tuple[str, Any, Any]]) -> None:
    """Every field that differs is told, with what was expected and what came out."""
    result = tried(tmp_path, message, expect)

    assert not result.passed
    assert [(each.field, each.expected, each.got) for each in result.differences] == differences


CONVERSATIONS = [
    ("new", ConversationFacts(opened_at=WEDNESDAY)),
    ("reopened", ConversationFacts(new=False, reopened=True, status="resolved", messages=2)),
    ("{team: legal, age: 2h}", ConversationFacts(False, status="open", team="legal", opened_at=WEDNESDAY - 7_200_000)),
    ("{new: true, messages: 1}", ConversationFacts(opened_at=WEDNESDAY)),
    ("{reopened: true}", ConversationFacts(False, reopened=True, status="resolved")),
    (
        "{status: pending, priority: high, messages: 4}",
        ConversationFacts(False, False, "pending", None, "high", None, 4),
    ),
]


@pytest.mark.parametrize(("written", "expected"), CONVERSATIONS)
def test_conversations(tmp_path: Path, written: str, expected: ConversationFacts) -> None:
    """A test's conversation is new unless the test says otherwise, and then what the test says."""
    assert tried(tmp_path, f"conversation: {written}", "team: null").facts.conversation == expected


def test_message_fields(tmp_path: Path) -> None:
    """Every field of a test's message reaches the conditions; the kind is that of the channel."""
    facts = tried(
        tmp_path,
        "channel: shop-wechat, text: 甲, subject: 乙, sender: a@b.cn, attachments: [image, application/pdf],"
        " language: zh, contact: {tag: [vip], tier: gold, language: en}, at: '2026-01-01T08:00Z', event: score",
        "team: null",
    ).facts

    assert (facts.channel, facts.kind, facts.text, facts.subject) == ("shop-wechat", "wechat", "甲", "乙")
    assert (facts.sender, facts.attachments, facts.language) == ("a@b.cn", ("image/jpeg", "application/pdf"), "zh")
    assert (facts.contact_tags, facts.contact_tier, facts.contact_language) == (frozenset({"vip"}), "gold", "en")
    assert (facts.at, facts.event) == (at("2026-01-01T16:00"), "score")


def test_time_of_day_does_not_decide_whether_tests_pass(tmp_path: Path) -> None:
    """A message without `at` is always written at the same moment, a Wednesday at 10:00, or at a given one."""
    file = load(tmp_path, ROUTES + "  - {name: it, message: {text: 你好}, expect: {route: default}}\n")
    tree = compile_routes([file], {"office": OFFICE})

    assert at(AT) == WEDNESDAY
    assert imagine(file.tests[0].message, {}, SHANGHAI, WEDNESDAY).at == WEDNESDAY
    assert [result.passed for result in run_tests(tree, [file])] == [True]
    assert [result.passed for result in run_tests(tree, [file], at=at("2026-06-03T23:00"))] == [False]


CONFIGURATION = """
timezone: Asia/Shanghai
hours: {office: {week: {mon-fri: ["09:00-18:00"]}}}
sla: {standard: {first_reply: 30m}}
teams: {frontdesk: {name: 前台}, aftersales: {name: 售后组}}
agents: {lilei: {name: 李雷}}
templates: templates.yaml
routes: routes.yaml
"""


def no_kind(kind: str) -> type[BaseModel]:
    raise AssertionError(kind)


def test_failing_tests_refuse_the_configuration(tmp_path: Path) -> None:
    """A file whose own tests fail is not loaded, and the fault names the test, its place and what came out."""
    (tmp_path / "huiliu.yaml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "templates.yaml").write_text("after-hours: 我们已下班\n", encoding="utf-8")
    good = ROUTES + "  - {name: fine, message: {text: 退款}, expect: {team: aftersales}}\n"
    bad = good + "  - name: wrong\n    message: {text: 退款}\n    expect:\n      team: frontdesk\n      route: refund\n"
    routes = tmp_path / "routes.yaml"
    routes.write_text(good, encoding="utf-8")
    loaded = loading.load(tmp_path / "huiliu.yaml", no_kind, environ={}, prove=prove)
    routes.write_text(bad, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        loading.load(tmp_path / "huiliu.yaml", no_kind, environ={}, prove=prove)

    assert len(loaded.routes) == 1
    (fault,) = refused.value.faults
    assert str(fault).removeprefix(f"{tmp_path}/") == (
        'routes.yaml:17:13: tests[1].expect.team: test "wrong" fails: team is aftersales by route refund; '
        "expected frontdesk"
    )
