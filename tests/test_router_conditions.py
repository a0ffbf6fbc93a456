"""Every condition and operator, one table each: what holds, what does not, and what missing values do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router.rules import OrderFacts, decide, explain
from tests.routing import at, message, plant

OLD = {"new": False, "status": "open"}

TEXT: list[tuple[str, str, bool]] = [
    ("text: 退款", "我要退款", True),
    ("text: 退款", "我要换货", False),
    ("text: [退款, 退货]", "我要退货", True),
    ("text: {any_of: [退款, 退货]}", "退款！", True),
    ("text: {any_of: 退款}", "", False),
    ("text: {all_of: [退款, 投诉]}", "不退款就投诉", True),
    ("text: {all_of: [退款, 投诉]}", "退款", False),
    ("text: {all_of: [退, 退款]}", "退款", True),
    ("text: {none_of: [退款]}", "你好", True),
    ("text: {none_of: [退款]}", "我要退款", False),
    ("text: {none_of: [退款]}", "", True),
    ("text: {equals: 退款}", "退款", True),
    ("text: {equals: 退款}", "  退款\n", True),
    ("text: {equals: 退款}", "退款吧", False),
    ("text: {equals: [在吗, 你好]}", "你好", True),
    ("text: {starts_with: 退}", "退款", True),
    ("text: {starts_with: 退}", " 退款", True),
    ("text: {starts_with: [退, 换]}", "我要退款", False),
    ("text: {starts_with: [退, 换]}", "换货", True),
    ("text: {regex: '退(款|货|钱)|refund'}", "REFUND please", True),
    ("text: {regex: '退(款|货|钱)'}", "退回", False),
    ("text: {regex: ['退款', '\\d{11}']}", "13800138000", True),
    ("text: {regex: '^你好$'}", "你好", True),
    ("text: {regex: '^你好$'}", "你好啊", False),
    ("text: {regex: '.*'}", "", True),
    ("text: {regex: '订单\\d+.{0,5}没到'}", "订单123还没到", True),
    ("text: {regex: '订单\\d+.{0,5}没到'}", "订单没到", False),
    ("text: {any_of: [退款], none_of: [不退款]}", "我要退款", True),
    ("text: {any_of: [退款], none_of: [不退款]}", "我不退款了", False),
    ("text: {any_of: [退款, 退货], starts_with: 我, regex: '\\d'}", "我要退款100元", True),
    # case, width, simplified and traditional, invisible characters
    ("text: refund", "I want a ReFuNd", True),
    ("text: REFUND", "refund", True),
    ("text: refund", "ｒｅｆｕｎｄ", True),
    ("text: '12315'", "我打１２３１５", True),
    ("text: 退货", "我要退貨", True),
    ("text: 退貨", "我要退货", True),
    ("text: 头发", "頭髮", True),
    ("text: 著名", "這是著名的", True),
    ("text: 乾坤", "乾坤", True),
    ("text: 退款", "退\u200b款", True),
    ("text: straße", "STRASSE", True),
    ("text: {equals: 退貨！}", "退货!", True),
    ("text: {starts_with: ＡＢ}", "abc", True),
    ("text: {regex: '退(款|貨)'}", "我要退货", True),
    ("text: {regex: '[Ａ-Ｃ]\\d'}", "b7", True),
    ("text: {regex: '訂單\\w+'}", "订单ABC", True),
    # exact
    ("text: {any_of: Refund, exact: true}", "refund", False),
    ("text: {any_of: Refund, exact: true}", "Refund", True),
    ("text: {any_of: 退貨, exact: true}", "退货", False),
    ("text: {any_of: 退貨, exact: true}", "要退貨", True),
    ("text: {equals: A, exact: true}", "A ", False),
    ("text: {starts_with: A, exact: true}", "Ab", True),
    ("text: {starts_with: A, exact: true}", "ab", False),
    ("text: {regex: 'Ab', exact: true}", "ab", False),
    ("text: {regex: '(?i)Ab', exact: true}", "xaB", True),
    ("text: {none_of: VIP, exact: true}", "vip", True),
]


@pytest.mark.parametrize(("condition", "text", "holds"), TEXT)
def test_text(tmp_path: Path, condition: str, text: str, holds: bool) -> None:
    """Each operator on the text holds exactly when its documentation says so."""
    assert holds == matches(tmp_path, condition, text=text)


OTHERS: list[tuple[str, dict[str, Any], bool]] = [
    ("channel: shop-wechat", {}, True),
    ("channel: [sms-cn, service-mail]", {}, False),
    ("kind: wechat", {}, True),
    ("kind: [email, twilio-sms]", {}, False),
    ("subject: 发票", {"subject": "關於發票"}, True),
    ("subject: 发票", {"text": "发票"}, False),
    ("subject: {none_of: 发票}", {}, True),
    ("subject: {regex: '^re:'}", {"subject": "Re: 发票"}, True),
    ("subject: {equals: 'RE: Invoice', exact: true}", {"subject": "Re: invoice"}, False),
    # sender
    ("sender: boss@example.com", {"sender": "mailto:Boss@Example.com"}, True),
    ("sender: mailto:boss@example.com", {"sender": "mailto:boss@example.com"}, True),
    ("sender: boss@example.com", {"sender": "boss@example.com"}, True),
    ("sender: oss@example.com", {"sender": "mailto:boss@example.com"}, False),
    ("sender: '@example.com'", {"sender": "mailto:boss@example.com"}, True),
    ("sender: '@example.com'", {"sender": "mailto:boss@mail.example.com"}, False),
    ("sender: example.com", {"sender": "mailto:boss@mail.example.com"}, True),
    ("sender: example.com", {"sender": "mailto:boss@notexample.com"}, False),
    ("sender: example.com", {"sender": "mailto:boss@example.com.evil.org"}, False),
    ("sender: com", {"sender": "mailto:boss@example.com"}, False),
    ("sender: buyer-7", {"sender": "tiktok-shop:buyer-7"}, True),
    ("sender: '+8613800138000'", {"sender": "tel:+8613800138000"}, True),
    ("sender: {starts_with: '+86'}", {"sender": "tel:+8613800138000"}, True),
    ("sender: {starts_with: 'tel:'}", {"sender": "tel:+8613800138000"}, True),
    ("sender: {starts_with: '+1'}", {"sender": "tel:+8613800138000"}, False),
    ("sender: {regex: '^no-?reply@'}", {"sender": "mailto:noreply@shop.cn"}, True),
    ("sender: {regex: 'reply$'}", {"sender": "mailto:noreply@shop.cn"}, False),
    ("sender: {equals: a@b.cn}", {"sender": "mailto:a@b.cn"}, True),
    ("sender: {equals: '@b.cn'}", {"sender": "mailto:a@b.cn"}, False),
    ("sender: {none_of: ['@b.cn']}", {"sender": "mailto:a@b.cn"}, False),
    ("sender: {none_of: ['@b.cn']}", {"sender": "mailto:a@c.cn"}, True),
    ("sender: {none_of: ['@b.cn']}", {}, True),
    ("sender: a@b.cn", {}, False),
    # sentiment
    ("sentiment: negative", {"text": "太失望了"}, True),
    ("sentiment: negative", {"text": "在吗"}, False),
    ("sentiment: negative", {}, False),
    ("sentiment: neutral", {}, True),
    ("sentiment: [neutral, positive]", {"text": "谢谢，很满意"}, True),
    ("sentiment: negative", {"subject": "太失望了"}, True),
    ("sentiment: negative", {"subject": "太失望了", "text": "谢谢，很满意"}, False),
    ("sentiment: {is: negative, below: -0.9}", {"text": "太失望了"}, True),
    ("sentiment: {is: negative, below: -0.9}", {"text": "有点失望"}, False),
    ("sentiment: {above: 0.5}", {"text": "非常满意"}, True),
    ("sentiment: {above: 0.5}", {}, False),
    ("sentiment: {below: 0.5}", {}, True),
    ("sentiment: {is: [negative, neutral], above: -0.5}", {"text": "你好"}, True),
    ("not: {sentiment: negative}", {"text": "骗子"}, False),
    # order
    ("order: {status: shipped}", {"order": OrderFacts({"status": "shipped"})}, True),
    ("order: {status: Shipped}", {"order": OrderFacts({"status": " ＳＨＩＰＰＥＤ "})}, True),
    ("order: {status: 已發貨}", {"order": OrderFacts({"status": "已发货"})}, True),
    ("order: {status: shipped}", {"order": OrderFacts({"status": "ship"})}, False),
    ("order: {status: [paid, shipped]}", {"order": OrderFacts({"status": "shipped"})}, True),
    ("order: {status: shipped}", {"order": OrderFacts({"amount": 1})}, False),
    ("order: {status: shipped}", {"order": OrderFacts(outcome="timeout")}, False),
    ("order: {status: shipped}", {}, False),
    ("not: {order: {status: shipped}}", {}, True),
    ("order: {status: unknown}", {"order": OrderFacts({"status": "unknown"}, "timeout")}, True),
    ("order: {amount: 500}", {"order": OrderFacts({"amount": "500.00"})}, True),
    ("order: {amount: '500.0'}", {"order": OrderFacts({"amount": 500})}, True),
    ("order: {amount: '>= 500'}", {"order": OrderFacts({"amount": 500})}, True),
    ("order: {amount: '>= 500'}", {"order": OrderFacts({"amount": 499.99})}, False),
    ("order: {amount: '> 10, < 20'}", {"order": OrderFacts({"amount": "15.5"})}, True),
    ("order: {amount: '> 10, < 20'}", {"order": OrderFacts({"amount": 20})}, False),
    ("order: {amount: ['< 10', '> 20', 15]}", {"order": OrderFacts({"amount": 15})}, True),
    ("order: {amount: ['< 10', '> 20', 15]}", {"order": OrderFacts({"amount": 16})}, False),
    ("order: {amount: '> 0'}", {"order": OrderFacts({"amount": "a lot"})}, False),
    ("order: {amount: '> 0'}", {"order": OrderFacts({"amount": True})}, False),
    ("order: {amount: '= -5'}", {"order": OrderFacts({"amount": -5})}, True),
    ("order: {paid: true}", {"order": OrderFacts({"paid": True})}, True),
    ("order: {paid: true}", {"order": OrderFacts({"paid": 1})}, False),
    ("order: {paid: false}", {"order": OrderFacts({"paid": "False"})}, True),
    ("order: {paid: false}", {"order": OrderFacts()}, False),
    ("order: {labels: gift}", {"order": OrderFacts({"labels": ("rush", "gift")})}, True),
    ("order: {labels: gift}", {"order": OrderFacts({"labels": ("rush",)})}, False),
    ("order: {status: shipped, amount: '> 5'}", {"order": OrderFacts({"status": "shipped", "amount": 5})}, False),
    ("order: true", {"order": OrderFacts({"status": "shipped"}, "cached")}, True),
    ("order: true", {"order": OrderFacts({"status": "unknown"}, "refused")}, False),
    ("order: true", {}, False),
    ("order: false", {"order": OrderFacts(outcome="none")}, True),
    ("order: false", {}, True),
    # language
    ("language: zh", {"language": "zh"}, True),
    ("language: zh", {"language": "zh-TW"}, True),
    ("language: zh-CN", {"language": "zh"}, False),
    ("language: [en, JA]", {"language": "ja"}, True),
    ("language: zh", {}, False),
    ("not: {language: zh}", {}, True),
    # contact
    ("contact: {tag: vip}", {"contact_tags": frozenset({"vip", "old"})}, True),
    ("contact: {tag: [vip, blocked]}", {"contact_tags": frozenset({"blocked"})}, True),
    ("contact: {tag: vip}", {}, False),
    ("not: {contact: {tag: vip}}", {}, True),
    ("contact: {tier: [gold, silver]}", {"contact_tier": "gold"}, True),
    ("contact: {tier: gold}", {}, False),
    ("not: {contact: {tier: gold}}", {}, True),
    ("contact: {language: en}", {"contact_language": "en-US"}, True),
    ("contact: {tag: vip, tier: gold}", {"contact_tags": frozenset({"vip"})}, False),
    # attachments
    ("attachments: true", {"attachments": ("image/png",)}, True),
    ("attachments: true", {}, False),
    ("attachments: false", {}, True),
    ("attachments: false", {"attachments": ("image/png",)}, False),
    ("attachments: image", {"attachments": ("application/pdf", "image/png")}, True),
    ("attachments: image/*", {"attachments": ("image/png",)}, True),
    ("attachments: image/jpeg", {"attachments": ("image/png",)}, False),
    ("attachments: [voice, video]", {"attachments": ("audio/amr",)}, True),
    ("attachments: file", {"attachments": ("application/pdf",)}, True),
    ("attachments: application/pdf", {"attachments": ("Application/PDF; name=a.pdf",)}, True),
    ("attachments: {none_of: image}", {"attachments": ("image/png",)}, False),
    ("attachments: {none_of: image}", {}, True),
    ("attachments: {any_of: image, count: '>= 2'}", {"attachments": ("image/png",)}, False),
    ("attachments: {count: 2}", {"attachments": ("image/png", "text/plain")}, True),
    # hours: office is open on weekdays 09:00-12:00 and 13:30-18:00
    ("hours: {office: open}", {"at": at("2026-06-03T09:00")}, True),
    ("hours: {office: open}", {"at": at("2026-06-03T12:00")}, False),
    ("hours: {office: closed}", {"at": at("2026-06-03T12:00")}, True),
    ("hours: {office: closed}", {"at": at("2026-10-02T10:00")}, True),
    ("hours: {office: open}", {"at": at("2026-10-10T10:00")}, True),
    # conversation
    ("conversation: new", {}, True),
    ("conversation: new", {"conversation": OLD}, False),
    ("conversation: {new: false}", {"conversation": OLD}, True),
    ("conversation: reopened", {"conversation": {"new": False, "reopened": True}}, True),
    ("conversation: reopened", {}, False),
    ("conversation: {status: pending}", {"conversation": {**OLD, "status": "pending"}}, True),
    ("conversation: {status: [open, snoozed]}", {"conversation": OLD}, True),
    ("conversation: {status: open}", {}, False),
    ("not: {conversation: {status: open}}", {}, True),
    ("conversation: {team: aftersales}", {"conversation": {**OLD, "team": "aftersales"}}, True),
    ("conversation: {team: aftersales}", {}, False),
    ("conversation: {messages: '>= 3'}", {"conversation": {**OLD, "messages": 3}}, True),
    ("conversation: {messages: '> 3, < 9'}", {"conversation": {**OLD, "messages": 9}}, False),
    ("conversation: {messages: 1}", {}, True),
    ("conversation: {age: '> 2h'}", {"conversation": {"opened_at": at("2026-06-03T07:59")}}, True),
    ("conversation: {age: '> 2h'}", {"conversation": {"opened_at": at("2026-06-03T08:00")}}, False),
    ("conversation: {age: '<= 2h'}", {"conversation": {"opened_at": at("2026-06-03T08:00")}}, True),
    ("conversation: {age: '< 1d'}", {}, False),
    ("not: {conversation: {age: '< 1d'}}", {}, True),
    # event
    ("event: message", {}, True),
    ("event: sla_breach", {}, False),
    ("event: [message, sla_breach]", {"event": "sla_breach"}, True),
    ("channel: shop-wechat", {"event": "sla_breach"}, False),
    ("not: {event: message}", {"event": "follow"}, True),
    # at
    ("at: {after: 2026-06-03}", {}, True),
    ("at: {after: 2026-06-03T10:00}", {}, True),
    ("at: {before: 2026-06-03T10:00}", {}, False),
    ("at: {after: '2026-06-03T10:00', timezone: America/New_York}", {}, False),
    ("at: {after: '2026-06-03T01:59:00Z', before: '2026-06-03T10:01:00+08:00'}", {}, True),
    ("at: {days: mon-fri}", {}, True),
    ("at: {days: [sat, sun]}", {}, False),
    ("at: {time: '09:00-12:00'}", {}, True),
    ("at: {time: ['22:00-06:00']}", {"at": at("2026-06-03T03:00")}, True),
    ("at: {time: ['22:00-06:00']}", {"at": at("2026-06-03T06:00")}, False),
    ("at: {days: fri, time: '22:00-06:00'}", {"at": at("2026-06-06T03:00")}, True),
    ("at: {days: sat, time: '22:00-06:00'}", {"at": at("2026-06-06T03:00")}, False),
    # composition
    ("all: [{text: 退款}, {channel: shop-wechat}]", {"text": "退款"}, True),
    ("all: [{text: 退款}, {channel: sms-cn}]", {"text": "退款"}, False),
    ("any: [{text: 退款}, {channel: sms-cn}]", {"text": "退款"}, True),
    ("any: [{text: 退款}, {channel: sms-cn}]", {}, False),
    ("not: {text: 退款}", {"text": "退款"}, False),
    ("not: {not: {text: 退款}}", {"text": "退款"}, True),
    ("{text: 退款, channel: shop-wechat}", {"text": "退款"}, True),
    ("{text: 退款, channel: sms-cn}", {"text": "退款"}, False),
    ("not: {text: 退款, channel: sms-cn}", {"text": "退款"}, True),
    ("any: [{all: [{text: 甲}, {not: {text: 乙}}]}, {any: [{subject: 丙}]}]", {"text": "甲"}, True),
    ("any: [{all: [{text: 甲}, {not: {text: 乙}}]}, {any: [{subject: 丙}]}]", {"text": "甲乙"}, False),
    ("{channel: shop-wechat, any: [{text: 甲}, {text: 乙}], not: {text: 丙}}", {"text": "乙"}, True),
    ("{channel: shop-wechat, any: [{text: 甲}, {text: 乙}], not: {text: 丙}}", {"text": "乙丙"}, False),
]


@pytest.mark.parametrize(("condition", "facts", "holds"), OTHERS)
def test_conditions(tmp_path: Path, condition: str, facts: dict[str, Any], holds: bool) -> None:
    """Each condition holds exactly when its documentation says so; one on something unknown does not."""
    assert holds == matches(tmp_path, condition, **facts)


def matches(tmp_path: Path, condition: str, **facts: Any) -> bool:
    inner = condition if condition.startswith("{") else f"{{{condition}}}"
    tree = plant(
        tmp_path,
        f"""
        default: {{team: frontdesk}}
        routes:
          - name: tried
            when: {inner}
            set: {{team: aftersales}}
        """,
    )
    decision = decide(tree, message(**facts))
    explanation = explain(tree, message(**facts))

    assert decision == explanation.decision
    assert (decision.route == "tried") == explanation.tried[0].matched
    return decision.route == "tried"
