"""Routes, explanations and results as people read them."""

from __future__ import annotations

import json
from pathlib import Path

from router.rendering import listing, narrate, report, show
from router.rules import explain
from router.trial import run_tests
from tests.routing import SHANGHAI, load, message, plant

ROUTES = """\
default: {team: frontdesk, sla: standard}
routes:
  - name: night
    when: {hours: {office: closed}, conversation: new}
    set: {acknowledge: after-hours}
    continue: true
  - name: complaint
    when: {any: [{text: {any_of: [投诉, 差评]}}, {not: {contact: {tier: [gold, silver]}}, subject: 差评}]}
    set: {team: complaints, priority: urgent, tags: [complaint, hot]}
    routes:
      - {name: legal, when: {text: 律师}, set: {agent: team-lead}}
  - {name: rest, set: {tags: [rest]}, routes: [{name: never, when: {attachments: true}, set: {risk: high}}]}
tests:
  - {name: complaints go to complaints, message: {text: 投诉}, expect: {team: complaints}}
  - {name: lawyers, message: {text: 律师}, expect: {agent: team-lead, tags: [legal]}}
"""

SHOWN = """\
├─ night  → acknowledge=after-hours  (goes on)
│  ├─ ? hours: office closed
│  └─ ? conversation: new
├─ complaint  → team=complaints priority=urgent tags=complaint | hot
│  ├─ ? any of
│  │  ├─ ? text: any_of 投诉 | 差评
│  │  └─ ? all of
│  │     ├─ ? subject: 差评
│  │     └─ ? not
│  │        └─ ? contact: tier gold | silver
│  └─ legal  → agent=team-lead
│     └─ ? text: 律师
├─ rest  → tags=rest
│  ├─ always
│  └─ never  → risk=high
│     └─ ? attachments: true
└─ default  → team=frontdesk sla=standard"""

TOLD = """\
├─ ✗ night  (goes on)
│  ├─ ✓ event: message  [found: message]
│  ├─ ✗ hours.office: closed  [found: open]
│  └─ ✓ conversation.new: true  [found: true]
└─ ✓ complaint  → team=complaints priority=urgent tags=complaint | hot
   ├─ ✓ event: message  [found: message]
   ├─ ✓ any of
   │  ├─ ✓ text.any_of: 投诉 | 差评  [found: 投诉]
   │  └─ ✗ all of
   │     ├─ ✗ subject.any_of: 差评  [found: nothing]
   │     └─ ✓ not
   │        └─ ✗ contact.tier: gold | silver  [found: nothing]
   └─ ✗ legal
      └─ ✗ text.any_of: 律师  [found: nothing]
2 routes were not tried: the matter was settled before

route: complaint
decision: team=complaints priority=urgent tags=complaint | hot
time: 2026-06-03T10:00+08:00  rules: """


def test_show(tmp_path: Path) -> None:
    """The tree shows every route with its condition and what it sets, and the default last."""
    assert show([load(tmp_path, ROUTES)]) == SHOWN


def test_show_in_chinese(tmp_path: Path) -> None:
    """In Chinese the same tree has Chinese words."""
    shown = show([load(tmp_path, ROUTES)], locale="zh-CN")

    assert [line for line in shown.splitlines() if "默认" in line] == ["└─ 默认  → team=frontdesk sla=standard"]
    assert "(继续往下)" in shown


def test_narrate(tmp_path: Path) -> None:
    """An explanation shows every route that was tried with each condition's value and verdict, then the decision."""
    tree = plant(tmp_path, ROUTES)
    told = narrate(explain(tree, message("我要投诉")), SHANGHAI)

    assert told == TOLD + tree.hash[:12]


def test_narrate_the_default(tmp_path: Path) -> None:
    """What came from the default is said to."""
    told = narrate(explain(plant(tmp_path, ROUTES), message("你好")), SHANGHAI, locale="zh-CN")

    assert "规则: rest" in told
    assert "来自默认: team=frontdesk sla=standard" in told


def test_what_customers_write_cannot_draw(tmp_path: Path) -> None:
    """Line breaks and escape sequences in a customer's words do not reach the terminal."""
    tree = plant(
        tmp_path, "default: {team: legal}\nroutes: [{name: a, when: {text: {regex: '(?s)投.*诉'}}, set: {tags: x}}]"
    )
    told = narrate(explain(tree, message("投\n\x1b[31m\u202e诉")), SHANGHAI)

    assert "[found: 投␣␣[31m诉]" in told


def test_report(tmp_path: Path) -> None:
    """Results list every test, and for a failed one what differs and by which routes."""
    results = run_tests(plant(tmp_path, ROUTES), [load(tmp_path, ROUTES)])

    assert report(results).splitlines() == [
        "✓ complaints go to complaints",
        "✗ lawyers",
        "    agent: expected team-lead, got nothing",
        "    tags: expected legal, got rest",
        "    route: rest",
        "1 of 2 tests passed",
    ]
    assert report(results, locale="zh-CN").splitlines()[-1] == "2 个测试中通过 1 个"


def test_listing(tmp_path: Path) -> None:
    """For programs the routes are what the files say, as JSON."""
    data = json.loads(json.dumps(listing([load(tmp_path, ROUTES)])))

    assert data["default"] == {"team": "frontdesk", "sla": "standard"}
    assert data["routes"][0]["continue"] is True
    assert data["routes"][1]["when"]["any"][1]["not"] == {"contact": {"tier": ["gold", "silver"]}}
