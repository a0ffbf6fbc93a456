"""What a tree of routes decides: order, inheritance, collecting, the default, and the explanation of it all."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.rules import Decision, Verdict, compile_routes, decide, explain
from tests.routing import OFFICE, at, load, message, plant

TREE = """
default: {team: frontdesk, sla: standard, tags: [unsorted]}
routes:
  - name: spam
    when: {text: 刷单}
    set: {ignore: advertising}
  - name: vip
    when: {contact: {tag: vip}}
    set: {priority: high, tags: [vip], acknowledge: vip-welcome, skills: [vip]}
    continue: true
  - name: complaint
    when: {text: {any_of: [投诉, 差评, "12315"]}}
    set: {team: complaints, agent: lilei, stage: complaint, priority: urgent, tags: [complaint], sla: complaint,
          acknowledge: complaint-received, risk: medium, survey: csat, skills: [complaint]}
    routes:
      - name: legal
        when: {text: {any_of: [律师, 起诉]}}
        set: {agent: team-lead, tags: [legal], risk: high, acknowledge: legal-received}
        routes:
          - {name: court, when: {text: 法院}, set: {team: legal, tags: [court, legal]}}
      - {name: media, when: {text: 曝光}, set: {tags: [media], agent: null}, continue: true}
      - {name: loud, when: {text: "！！！"}, set: {tags: [loud], acknowledge: calm-down}}
  - name: refund
    when: {text: {regex: "退(款|货|钱)"}}
    set: {team: aftersales, stage: aftersale, tags: [refund]}
  - name: thanks
    when: {text: 谢谢}
    set: {priority: low}
  - name: night
    when: {hours: {office: closed}, conversation: new}
    set: {acknowledge: after-hours}
    continue: true
  - {name: late, when: {event: [sla_warning, sla_breach]}, set: {priority: urgent, tags: [late]}}
"""

DECISIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("你好", {}, {"team": "frontdesk", "sla": "standard", "tags": ("unsorted",), "route": "default", "routes": ()}),
    ("我要退款", {}, {"team": "aftersales", "stage": "aftersale", "tags": ("refund",), "sla": None, "route": "refund"}),
    (
        "不退款我就投诉",
        {},
        {"team": "complaints", "priority": "urgent", "route": "complaint", "routes": ("complaint",)},
    ),
    (
        "投诉，我要找律师",
        {},
        {
            "team": "complaints",
            "agent": "team-lead",
            "tags": ("complaint", "legal"),
            "risk": "high",
            "sla": "complaint",
            "stage": "complaint",
            "survey": "csat",
            "acknowledge": ("legal-received",),
            "skills": ("complaint",),
            "routes": ("complaint", "legal"),
        },
    ),
    ("投诉！律师！法院！", {}, {"team": "legal", "agent": "team-lead", "tags": ("complaint", "legal", "court")}),
    ("投诉，曝光", {}, {"agent": None, "tags": ("complaint", "media"), "route": "media"}),
    (
        "投诉，曝光！！！",
        {},
        {"route": "loud", "routes": ("complaint", "media", "loud"), "acknowledge": ("calm-down",)},
    ),
    ("法院", {}, {"route": "default"}),
    ("刷单", {}, {"ignore": "advertising", "team": None, "sla": None, "tags": (), "route": "spam"}),
    # continue collects
    (
        "投诉",
        {"contact_tags": frozenset({"vip"})},
        {
            "priority": "urgent",
            "tags": ("vip", "complaint"),
            "acknowledge": ("vip-welcome", "complaint-received"),
            "skills": ("vip", "complaint"),
            "routes": ("vip", "complaint"),
            "route": "complaint",
        },
    ),
    (
        "你好",
        {"contact_tags": frozenset({"vip"})},
        {
            "team": "frontdesk",
            "sla": "standard",
            "priority": "high",
            "tags": ("vip", "unsorted"),
            "route": "vip",
            "routes": ("vip",),
        },
    ),
    ("你好", {"at": at("2026-06-03T03:00")}, {"team": "frontdesk", "acknowledge": ("after-hours",), "route": "night"}),
    ("我要退款", {"at": at("2026-06-03T03:00")}, {"acknowledge": (), "routes": ("refund",)}),
    # a route that names no team: the default's team, with what belongs to it, and nothing else of the default
    ("谢谢", {}, {"team": "frontdesk", "sla": "standard", "priority": "low", "tags": (), "route": "thanks"}),
    # a conversation that a team owns
    ("你好", {"conversation": {"new": False, "team": "legal"}}, {"team": None, "sla": None, "tags": ()}),
    ("谢谢", {"conversation": {"new": False, "team": "legal"}}, {"team": None, "priority": "low"}),
    ("退款", {"conversation": {"new": False, "team": "legal"}}, {"team": "aftersales"}),
    ("你好", {"conversation": {"new": False, "team": "legal", "priority": "urgent"}}, {"priority": "urgent"}),
    # events
    ("投诉", {"event": "sla_breach"}, {"team": None, "priority": "urgent", "tags": ("late",), "route": "late"}),
    ("投诉", {"event": "follow"}, {"team": None, "tags": (), "route": "default"}),
]


@pytest.mark.parametrize(("text", "facts", "expected"), DECISIONS)
def test_decides(tmp_path: Path, text: str, facts: dict[str, Any], expected: dict[str, Any]) -> None:
    """The first match wins, inner routes refine it, `continue` collects, and the default takes what is left."""
    decision = decide(plant(tmp_path, TREE), message(text, **facts))

    assert expected == {name: getattr(decision, name) for name in expected}


@pytest.mark.parametrize(("text", "facts", "expected"), DECISIONS)
def test_explains_the_same_decision(tmp_path: Path, text: str, facts: dict[str, Any], expected: dict[str, Any]) -> None:
    """An explanation holds the very decision that is taken, and is plain JSON."""
    tree = plant(tmp_path, TREE)
    explanation = explain(tree, message(text, **facts))

    assert decide(tree, message(text, **facts)) == explanation.decision
    assert json.loads(json.dumps(dataclasses.asdict(explanation))) == msgspec.json.decode(
        msgspec.json.encode(explanation)
    )


def test_explanation_shows_every_route_that_was_tried(tmp_path: Path) -> None:
    """Routes before the match are there with their verdicts, those inside it too, those after it are counted."""
    explanation = explain(plant(tmp_path, TREE), message("投诉，律师"))

    assert [tried.name for tried in explanation.tried] == ["spam", "vip", "complaint"]
    assert [tried.matched for tried in explanation.tried] == [False, False, True]
    assert [tried.name for tried in explanation.tried[2].routes] == ["legal"]
    assert [tried.name for tried in explanation.tried[2].routes[0].routes] == ["court"]
    assert explanation.untried == 6


def test_explanation_gives_each_conditions_value_and_verdict(tmp_path: Path) -> None:
    """Each condition tells its name, what was expected, what was found and its verdict, also after a failed one."""
    tree = plant(
        tmp_path,
        """
        default: {team: frontdesk}
        routes:
          - name: tried
            when:
              channel: sms-cn
              text: {any_of: [退款, 退貨], none_of: 谢谢, regex: "\\\\d{3,}元"}
              hours: {office: closed}
              conversation: {age: "> 2h", messages: ">= 2"}
              not: {contact: {tier: gold}}
              any: [{language: en}, {attachments: image}]
            set: {team: aftersales}
        """,
    )
    facts = message("我要退货，谢谢，退我2000元", attachments=("image/png",))
    condition = explain(tree, facts).tried[0].condition

    assert [(each.name, each.expected, each.value, each.holds) for each in _inside_out(condition)] == [
        ("event", "message", "message", True),
        ("channel", ["sms-cn"], "shop-wechat", False),
        ("text.any_of", ["退款", "退貨"], ["退貨"], True),
        ("text.none_of", ["谢谢"], ["谢谢"], False),
        ("text.regex", r"\d{3,}元", "2000元", True),
        ("hours.office", "closed", "open", False),
        ("conversation.age", "> 2h", None, False),
        ("conversation.messages", ">= 2", 1, False),
        ("language", ["en"], None, False),
        ("attachments", ["image"], ["image/png"], True),
        ("any", None, None, True),
        ("contact.tier", ["gold"], None, False),
        ("not", None, None, True),
        ("all", None, None, False),
    ]


def _inside_out(verdict: Verdict | None) -> Iterator[Verdict]:
    assert verdict is not None
    for part in verdict.parts:
        yield from _inside_out(part)
    yield verdict


def test_explanation_says_what_the_default_gave(tmp_path: Path) -> None:
    """Fields that no route set but the default are named as such."""
    explanation = explain(plant(tmp_path, TREE), message("谢谢"))

    assert explanation.default == {"team": "frontdesk", "sla": "standard"}


FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("team: aftersales", {"team": "aftersales"}),
    ("agent: lilei", {"agent": "lilei"}),
    *((f"priority: {name}", {"priority": name}) for name in ("low", "normal", "high", "urgent")),
    *((f"stage: {name}", {"stage": name}) for name in ("presale", "order", "aftersale", "complaint", "feedback")),
    ("tags: one", {"tags": ("one",)}),
    ("tags: [one, two, one]", {"tags": ("one", "two")}),
    ("sla: complaint", {"sla": "complaint"}),
    ("risk: high", {"risk": "high"}),
    ("acknowledge: welcome", {"acknowledge": ("welcome",)}),
    ("acknowledge: [welcome, wait]", {"acknowledge": ("welcome", "wait")}),
    ("survey: csat", {"survey": "csat"}),
    ("skills: [english, refund]", {"skills": ("english", "refund")}),
    ("ignore: an advertisement", {"ignore": "an advertisement"}),
]


@pytest.mark.parametrize(("written", "expected"), FIELDS)
def test_sets(tmp_path: Path, written: str, expected: dict[str, Any]) -> None:
    """Every field of `set` reaches the decision as it was written."""
    tree = plant(tmp_path, f"default: {{team: frontdesk}}\nroutes: [{{name: only, set: {{{written}}}}}]")
    decision = decide(tree, message("你好"))
    # Without a team of its own it is the default's, unless nobody is to work on it or an agent is named.
    whole = expected if {"team", "agent", "ignore"} & expected.keys() else {"team": "frontdesk", **expected}

    assert Decision(**whole, route="only", routes=("only",)) == decision


@pytest.mark.parametrize(("written", "expected"), FIELDS)
def test_default_sets(tmp_path: Path, written: str, expected: dict[str, Any]) -> None:
    """Every field of `default` reaches the decision about a message that no route matches."""
    extra = "" if {"team", "agent", "ignore"} & expected.keys() else ", team: frontdesk"
    decision = decide(plant(tmp_path, f"default: {{{written}{extra}}}"), message("你好"))

    assert Decision(**{**({"team": "frontdesk"} if extra else {}), **expected}) == decision


def test_null_takes_back(tmp_path: Path) -> None:
    """A null in an inner route takes back what the outer one set, for single values and for lists."""
    tree = plant(
        tmp_path,
        """
        default: {team: frontdesk}
        routes:
          - name: outer
            set: {team: legal, agent: lilei, priority: urgent, acknowledge: welcome, skills: [law], risk: high}
            routes:
              - name: inner
                set: {agent: null, priority: null, acknowledge: null, skills: null, risk: null}
        """,
    )

    assert Decision(team="legal", route="inner", routes=("outer", "inner")) == decide(tree, message())


def test_several_files_are_one_list(tmp_path: Path) -> None:
    """The routes of a later file are tried after those of an earlier one."""
    first = load(tmp_path, "routes: [{name: first, when: {text: 退款}, set: {team: aftersales}}]")
    second = load(tmp_path, "default: {team: frontdesk}\nroutes: [{name: second, set: {team: legal}}]")
    tree = compile_routes([first, second], {})

    assert (decide(tree, message("退款")).route, decide(tree, message("")).route) == ("first", "second")


def test_hash_is_of_what_the_files_say(tmp_path: Path) -> None:
    """Comments and layout do not change the hash of a rule set; any word of it does."""
    texts = [
        "default: {team: frontdesk}\nroutes: [{name: a, set: {team: legal}}]",
        "# a comment\nroutes:\n  - set:\n      team: legal\n    name: a\ndefault:\n  team: frontdesk\n",
        "default: {team: frontdesk}\nroutes: [{name: a, set: {team: aftersales}}]",
    ]
    same, again, other = (compile_routes([load(tmp_path, text)], {}).hash for text in texts)

    assert len(same) == 64
    assert same == again != other


def test_routes_that_ask_about_the_conversation_are_known(tmp_path: Path) -> None:
    """A tree names the routes whose condition is about the conversation itself."""
    assert frozenset({"night"}) == plant(tmp_path, TREE).about_conversation


def test_half_a_character_and_a_long_text_do_no_harm(tmp_path: Path) -> None:
    """Text that is no valid Unicode, or longer than is looked at, is decided like any other."""
    tree = plant(tmp_path, TREE)

    assert decide(tree, message("\ud83d投诉\udc00")).route == "complaint"
    assert decide(tree, message("投诉" + "长" * 1_000_000)).route == "complaint"
    assert decide(tree, message("长" * 6_000 + "投诉")).route == "default"


def test_rules_are_pure() -> None:
    """Importing the rules brings in no store, no HTTP and no event loop."""
    code = (
        "import sys, router.rules, router.text, router.hours\n"
        "print([name for name in ('redis', 'aiohttp', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


def test_unknown_hours_are_an_error(tmp_path: Path) -> None:
    """A tree cannot be compiled with hours that nobody defined."""
    file = load(tmp_path, "routes: [{name: a, when: {hours: {nowhere: open}}, set: {team: legal}}]")

    with pytest.raises(KeyError, match="nowhere"):
        compile_routes([file], {"office": OFFICE})
