"""``facts:`` as admins write it: what is accepted, what is refused and how, and that secrets stay secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import chinese
from config.loading import attempt, load
from config.lookups import brief, steps
from tests.config_kinds import kinds

URL = "https://erp.example.com/orders?phone={sender.value}&no={order_number}"
GOOD = f"""\
facts:
  order:
    url: "{URL}"
    headers: {{X-Api-Key: key-that-is-secret}}
    token: token-that-is-secret
    timeout: 1500ms
    cache: 2m
    fields: {{status: $.data.status, amount: "$['total amount'][0].value", first: "$[-1]"}}
    fallback: {{status: unknown}}
    numbers: ['\\bDD(\\d{{8}})\\b']
"""


def faults(tmp_path: Path, text: str) -> list[str]:
    """Return what an admin reads about a configuration."""
    file = tmp_path / "huiliu.yaml"
    file.write_text(text, encoding="utf-8")
    return [str(fault).removeprefix(f"{file}:") for fault in attempt(file, kinds, environ={}).faults]


def test_what_is_written_is_ready_to_use(tmp_path: Path) -> None:
    """Durations are milliseconds, paths are steps, and what is not written has its default."""
    file = tmp_path / "huiliu.yaml"
    file.write_text(GOOD, encoding="utf-8")
    order = load(file, kinds, environ={}).settings.facts.order

    assert order is not None
    assert (order.timeout, order.cache) == (1500, 120_000)
    assert order.fields == {
        "status": ("data", "status"),
        "amount": ("total amount", 0, "value"),
        "first": (-1,),
    }
    file.write_text(f"facts: {{order: {{url: '{URL}', fields: {{a: $.a}}}}}}", encoding="utf-8")
    order = load(file, kinds, environ={}).settings.facts.order
    assert order is not None
    assert (order.timeout, order.cache, order.fallback, order.token) == (800, 60_000, {}, None)


def test_secrets_stay_secret(tmp_path: Path) -> None:
    """Token, headers and address show in no repr; the token may stand in a file."""
    file = tmp_path / "huiliu.yaml"
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text("token-that-is-secret\n", encoding="utf-8")
    file.write_text(GOOD.replace("token: token-that-is-secret", "token_file: token"), encoding="utf-8")
    loaded = load(file, kinds, environ={})

    assert loaded.settings.facts.order is not None
    assert loaded.settings.facts.order.token is not None
    assert loaded.settings.facts.order.token.get_secret_value() == "token-that-is-secret"
    assert "secret" not in repr(loaded.settings.facts).replace("SecretStr", "")
    assert "erp.example.com" not in repr(loaded.settings.facts)


BRACES = ("the braces of a variable do not match", "variables like {sender.value}", "")
NAMES = "order_number, sender.value, sender.scheme, sender, contact.id, channel or kind"
ADDRESS = "an address like https://erp.example.com/orders?phone={sender.value}"
PATH = "a path like $.data.status or $.orders[0].amount"
URL_AT = "3:10: facts.order.url"
STATUS_AT = "8:22: facts.order.fields.status"
FAULTS: list[tuple[str, str, str, tuple[str, str, str]]] = [
    ("{order_number}", "{order_nubmer}", URL_AT, ('there is no variable "order_nubmer"', NAMES, "order_number")),
    ("{order_number}", "{order_number", URL_AT, BRACES),
    ("{order_number}", "{order_number!r}", URL_AT, BRACES),
    ("{order_number}", "{order_number:9}", URL_AT, BRACES),
    (URL, "ftp://erp.example.com/", URL_AT, ('"ftp://erp.example.com/" is not a web address', ADDRESS, "")),
    (URL, "https://", URL_AT, ('"https://" is not a web address', ADDRESS, "")),
    *(
        (URL, bad, URL_AT, (f'"{bad}" has a user, a fragment, or a variable in its host', ADDRESS, ""))
        for bad in ("https://{channel}.cn/o", "https://me@example.cn/o", "https://example.cn/o#x")
    ),
    (
        *("X-Api-Key", "Host", "4:15: facts.order.headers.Host"),
        ('"Host" cannot be a header here', "a name like X-Api-Key", ""),
    ),
    (
        *("key-that-is-secret", '"a\\nb-secret"', "4:26: facts.order.headers.X-Api-Key"),
        ("this cannot stand in a header", "one line of ASCII", ""),
    ),
    (
        *("1500ms", "11s", "6:14: facts.order.timeout"),
        ('"11s" is too long: the customer\'s next messages wait as well', "at most 10s", ""),
    ),
    (
        *("1500ms", "1500", "6:14: facts.order.timeout"),
        ("1500 is not a duration (the unit is missing)", "a duration like 90s, 30m, 24h or 7d", ""),
    ),
    (
        *("2m", "0ms", "7:12: facts.order.cache"),
        ('"0ms" is not a useful duration', "more than nothing and at most ten years", ""),
    ),
    *(
        ("$.data.status", bad, STATUS_AT, (f'"{bad}" is no path in JSON', PATH, ""))
        for bad in ("data.status", "$.data..status", "$.", "$.a'b")
    ),
    (
        *("{status: $.data.status", "{Status: $.a, status: $.b", "8:14: facts.order.fields.Status"),
        ('"Status" cannot be a field', "small letters, digits and _, a letter first", ""),
    ),
    (
        *("{status: unknown}", "{statsu: unknown}", "2:3: facts.order"),
        ('the fallback "statsu" is no field', "status, amount or first", "status"),
    ),
    (
        *("(\\d{8})", "(\\d{8}", "10:15: facts.order.numbers[0]"),
        ('"\\bDD(\\d{8}\\b" is no regular expression', "a regular expression of RE2", ""),
    ),
]


@pytest.mark.parametrize(("old", "new", "place", "said"), FAULTS)
def test_says_what_is_wrong(tmp_path: Path, old: str, new: str, place: str, said: tuple[str, str, str]) -> None:
    """Each slip is one fault with its place and what was expected, in Chinese as well, and shows no secret."""
    assert old in GOOD
    found = faults(tmp_path, GOOD.replace(old, new, 1))
    what, expected, near = said

    assert found == [f"{place}: {what}; expected {expected}" + (f"; did you mean {near}?" if near else "")]
    assert "secret" not in "".join(found)
    (one,) = attempt(tmp_path / "huiliu.yaml", kinds, environ={}).faults
    assert chinese.translated(one.what) != one.what


@pytest.mark.parametrize(("text", "milliseconds"), [("800ms", 800), ("2s", 2000), ("1m30s", 90_000), ("1ms", 1)])
def test_short_times(text: str, milliseconds: int) -> None:
    """Milliseconds have a unit of their own here."""
    assert brief(text) == milliseconds


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", ()),
        ("$.a", ("a",)),
        ("$.a.b[0].c", ("a", "b", 0, "c")),
        ("$[0]", (0,)),
        ("$['a.b'][\"c]\"]", ("a.b", "c]")),
        ("$.订单.状态", ("订单", "状态")),
    ],
)
def test_paths(path: str, found: tuple[Any, ...]) -> None:
    """Keys with dots, keys in quotes, places in lists and Chinese keys can all be reached."""
    assert steps(path) == found
