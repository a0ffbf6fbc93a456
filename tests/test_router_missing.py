"""Every condition and operator on a message of which nothing is known: it does not hold by accident."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from config import conditions
from config.routes import Fields
from router.rules import ConversationFacts, Facts, decide, explain
from tests.routing import WEDNESDAY, plant

# What the connector always knows is the channel, its kind and the time; everything else is missing here.
BARE = Facts(
    "shop-wechat",
    "wechat",
    WEDNESDAY,
    conversation=ConversationFacts(new=False, reopened=False, status=None, team=None, opened_at=None, messages=1),
)

MISSING: list[tuple[str, bool]] = [
    ("channel: shop-wechat", True),
    ("kind: wechat", True),
    ("event: message", True),
    # a text is never unknown: it is empty
    ("text: 退款", False),
    ("text: {any_of: 退款}", False),
    ("text: {all_of: 退款}", False),
    ("text: {none_of: 退款}", True),
    ("text: {regex: 退}", False),
    ("text: {regex: '^$'}", True),
    ("text: {regex: '.*'}", True),
    ("text: {equals: 退款}", False),
    ("text: {equals: ''}", True),
    ("text: {starts_with: 退}", False),
    ("text: {any_of: 退款, exact: true}", False),
    ("text: {none_of: 退款, exact: true}", True),
    ("text: {equals: '', exact: true}", True),
    ("subject: 发票", False),
    ("subject: {any_of: 发票}", False),
    ("subject: {all_of: 发票}", False),
    ("subject: {none_of: 发票}", True),
    ("subject: {regex: 发票}", False),
    ("subject: {equals: ''}", True),
    ("subject: {starts_with: 发}", False),
    # whom it came from
    ("sender: a@example.com", False),
    ("sender: {any_of: '@example.com'}", False),
    ("sender: {none_of: '@example.com'}", True),
    ("sender: {equals: a@example.com}", False),
    ("sender: {starts_with: '+86'}", False),
    ("sender: {regex: '.'}", False),
    ("sender: {regex: '.*'}", False),
    # the customer
    ("contact: {tag: vip}", False),
    ("contact: {tier: gold}", False),
    ("contact: {language: zh}", False),
    ("language: zh", False),
    ("language: [zh, en]", False),
    # files
    ("attachments: true", False),
    ("attachments: false", True),
    ("attachments: image", False),
    ("attachments: {any_of: file}", False),
    ("attachments: {none_of: file}", True),
    ("attachments: {count: 0}", True),
    ("attachments: {count: '>= 1'}", False),
    # the conversation
    ("conversation: new", False),
    ("conversation: reopened", False),
    ("conversation: {new: false}", True),
    ("conversation: {reopened: false}", True),
    ("conversation: {status: [open, pending, snoozed, resolved]}", False),
    ("conversation: {team: [frontdesk, legal]}", False),
    ("conversation: {age: '> 1s'}", False),
    ("conversation: {age: '< 10w'}", False),
    ("conversation: {messages: '>= 1'}", True),
    ("conversation: {messages: '> 1'}", False),
    # the time is always known
    ("hours: {office: open}", True),
    ("hours: {office: closed}", False),
    ("at: {after: 2026-06-03}", True),
    ("at: {before: 2026-06-03}", False),
    ("at: {days: mon-fri}", True),
    ("at: {time: '22:00-06:00'}", False),
    # what is put together of missing things
    ("all: [{language: zh}, {channel: shop-wechat}]", False),
    ("any: [{language: zh}, {channel: shop-wechat}]", True),
    ("any: [{language: zh}, {contact: {tier: gold}}]", False),
    ("not: {language: zh}", True),
    ("not: {not: {contact: {tier: gold}}}", False),
    ("not: {any: [{sender: a@example.com}, {attachments: true}]}", True),
]


def holds(tmp_path: Path, condition: str) -> bool:
    """Tell whether a condition holds for the bare message; decision and explanation must agree."""
    tree = plant(
        tmp_path, f"default: {{team: frontdesk}}\nroutes: [{{name: tried, when: {{{condition}}}, set: {{tags: x}}}}]"
    )
    decision = decide(tree, BARE)

    assert decision == explain(tree, BARE).decision
    return decision.route == "tried"


@pytest.mark.parametrize(("condition", "expected"), MISSING)
def test_what_is_not_known(tmp_path: Path, condition: str, expected: bool) -> None:
    """A condition on something unknown does not hold; its `not` does, and is always its opposite."""
    assert expected == holds(tmp_path, condition)
    assert expected != holds(tmp_path, f"not: {{{condition}}}")


def test_every_condition_and_operator_is_in_the_table() -> None:
    """None is left out: a new one comes with a line about what it does when nothing is known."""
    sections = (
        conditions.Condition, conditions.TextCondition, conditions.SenderCondition, conditions.AttachmentCondition,
        conditions.ContactCondition, conditions.ConversationCondition,
    )  # fmt: skip
    keys = {info.alias or name for section in sections for name, info in section.model_fields.items()}
    table = " ".join(condition for condition, _ in MISSING)

    assert {key for key in keys if f"{key}:" not in table} <= {"sentiment", "order"}


NULLS = [name for name in Fields.model_fields if name not in ("team", "ignore")]


@pytest.mark.parametrize("field", NULLS)
def test_a_field_that_is_taken_back_is_missing(tmp_path: Path, field: str) -> None:
    """For every field of `set`, null leaves the decision as if nothing had been said."""
    kind = Fields.model_fields[field].annotation
    value = next((word for part in get_args(kind) for word in get_args(part) if isinstance(word, str)), "lilei")
    value = {"sla": "standard"}.get(field, value)
    text = """
        default: {{team: frontdesk}}
        routes:
          - name: outer
            set: {{team: legal, {outer}}}
            routes: [{{name: inner, set: {{{inner}}}}}]
    """
    taken = decide(plant(tmp_path, text.format(outer=f"{field}: {value}", inner=f"{field}: null")), BARE)
    never = decide(plant(tmp_path, text.format(outer="stage: null", inner="stage: null")), BARE)

    if field == "tags":
        assert taken.tags == (value,), "tags are collected: null adds none and takes none back"
    else:
        assert taken == never
