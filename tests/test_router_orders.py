"""What is asked about an order, safely, and what is taken from the answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from config.lookups import NUMBERS, Lookup, steps
from router.orders import address, fields, order_number, variables
from tests.routing import message

EMPTY = dict.fromkeys(["order_number", "sender", "sender.value", "sender.scheme", "contact.id", "channel", "kind"], "")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("我的订单20261103887还没到", "20261103887"),
        ("订单号：DD-20261103", "DD-20261103"),
        ("訂單編號 A1B2C3D4", "A1B2C3D4"),
        ("Order No. SO-99812 please", "SO-99812"),
        ("查一下 260101-123456789012345", "260101-123456789012345"),
        ("3045678901234567890 到哪了", "3045678901234567890"),
        ("３０４５６７８９０１２３４５６７８９０ 到哪了", "3045678901234567890"),
        ("我的手机13800138000", ""),
        ("快递SF1234567890123", ""),
        ("订单什么时候到", ""),
        ("my order is late", ""),
        ("", ""),
    ],
)
def test_finds_order_numbers(text: str, number: str) -> None:
    """Numbers of orders are found as customers write them; phones and parcels are none."""
    assert order_number(NUMBERS, text) == number


@pytest.mark.parametrize(("pattern", "number"), [(r"\bDD(\d{4})\b", "1234"), (r"DD\d{4}", "DD1234"), ("x(y)?|DD", "")])
def test_patterns_of_the_admin(pattern: str, number: str) -> None:
    """The first group counts, or the whole match where there is none; a group that took no part is nothing."""
    assert order_number((pattern,), "DD1234") == number


@pytest.mark.parametrize(
    ("template", "known", "url"),
    [
        ("http://e/o?p={sender.value}", {"sender.value": "+86 138&a=b#c"}, "http://e/o?p=%2B86%20138%26a%3Db%23c"),
        ("http://e/o?p={sender.value}&n={order_number}", {"order_number": "1"}, "http://e/o?p=&n=1"),
        ("http://e/o?p={sender.value}&n={order_number}", {"channel": "c"}, None),
        ("http://e/{channel}/o?n={order_number}", {"order_number": "1", "channel": "微"}, "http://e/%E5%BE%AE/o?n=1"),
        ("http://e/o/{order_number}", {"sender": "a"}, None),
        ("http://e/o/{order_number}?p={sender}", {"sender": "a"}, None),
        ("http://e/o/{sender.value}", {"sender.value": ".."}, None),
        ("http://e/o/{sender.value}/x", {"sender.value": "../a?b"}, "http://e/o/..%2Fa%3Fb/x"),
        ("http://e/o?p={sender}", {"sender": "x" * 201}, None),
        ("http://e/o?kind={kind}", {}, "http://e/o?kind="),
        ("http://e/latest", {}, "http://e/latest"),
        ("http://e/o?{{p}}={sender}", {"sender": "a"}, "http://e/o?{p}=a"),
    ],
)
def test_addresses(template: str, known: dict[str, str], url: str | None) -> None:
    """Values are escaped; without one to ask by, or with a path that would be another one, nothing is asked."""
    assert address(template, {**EMPTY, **known}) == url


@settings(deadline=None)
@given(st.text(min_size=1, max_size=100), st.text(max_size=100))
def test_no_value_leaves_its_place(value: str, number: str) -> None:
    """Whatever a customer is called or writes, host, path and the other parameters of the question stay."""
    value, number = (each.encode("utf-8", "replace").decode() for each in (value, number))
    known = {**EMPTY, "sender.value": value, "order_number": number}
    url = address("https://erp.example.com/a/{sender.value}/b?n={order_number}&k=1", known)

    if url is not None:
        parsed = URL(url, encoded=True)
        assert (parsed.host, parsed.raw_path.count("/"), parsed.raw_fragment) == ("erp.example.com", 3, "")
        assert list(parsed.query) == ["n", "k"]
        assert parsed.query["n"] == number


def test_variables() -> None:
    """The address of the sender is there whole and in parts; the subject is searched for numbers, too."""
    lookup = Lookup.model_validate({"url": "http://e/", "fields": {"a": "$.a"}})
    known = variables(lookup, message("", subject="订单号 2026110388", sender="tel:+8613800138000"), "k1-2")

    assert known == {
        "order_number": "2026110388",
        "sender": "tel:+8613800138000",
        "sender.scheme": "tel",
        "sender.value": "+8613800138000",
        "contact.id": "k1-2",
        "channel": "shop-wechat",
        "kind": "wechat",
    }


@pytest.mark.parametrize(
    ("path", "answer", "value"),
    [
        ("$.a.b", {"a": {"b": "x"}}, "x"),
        ("$.a[1]", {"a": [1, 2]}, 2),
        ("$.a[-1]", {"a": [1, 2]}, 2),
        ("$.a[2]", {"a": [1, 2]}, None),
        ("$.a[-3]", {"a": [1, 2]}, None),
        ("$.a", {"a": None}, None),
        ("$.a", {"a": {}}, None),
        ("$.a", {"a": []}, None),
        ("$.a", {"a": [True, "x", None, {}, 3]}, (True, "x", 3)),
        ("$.a", [], None),
        ("$[0]", {}, None),
        ("$.a.b", {"a": "text"}, None),
        ("$", "plain", "plain"),
        ("$.a", {"a": "x" * 999}, "x" * 200),
        ("$.a", {"a": 10**30}, None),
        ("$.a", {"a": False}, False),
    ],
)
def test_takes_values_from_answers(path: str, answer: Any, value: Any) -> None:
    """Texts, numbers, truth values and lists of them count; whatever else is there is no value."""
    assert fields({"a": steps(path)}, answer) == ({} if value is None else {"a": value})
