"""What is asked about a customer's order, and what the answer says. Pure: `router.lookups` does the asking."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import re2

from config.lookups import Lookup, Scalar, Step
from router.facts import Facts
from router.text import clip

IDENTIFYING = frozenset({"order_number", "sender", "sender.value", "contact.id"})
LONGEST = 200  # characters of a value, both in a question and in an answer
MOST = 50  # values of a list in an answer
LARGEST = 10**18  # numbers beyond are no amounts

Value = Scalar | tuple[Scalar, ...]


def order_number(patterns: Sequence[str], text: str) -> str:
    """Return the first order number that one of *patterns* finds in *text*, "" if none does."""
    plain = unicodedata.normalize("NFKC", clip(text))
    for pattern in patterns:
        found = _compiled(pattern).search(plain)
        if found is not None:
            number: str | None = found.group(1 if found.re.groups else 0)
            return number or ""  # a group may have had no part in the match
    return ""


@lru_cache(maxsize=200)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def variables(lookup: Lookup, facts: Facts, contact: str) -> dict[str, str]:
    """Return what the variables of the address stand for; "" where nothing is known."""
    scheme, colon, value = facts.sender.partition(":")
    return {
        "order_number": order_number(lookup.numbers, f"{facts.subject}\n{facts.text}"),
        "sender": facts.sender,
        "sender.scheme": scheme if colon else "",
        "sender.value": value if colon else facts.sender,
        "contact.id": contact,
        "channel": facts.channel,
        "kind": facts.kind,
    }


def address(template: str, values: Mapping[str, str]) -> str | None:
    """Fill *values* into the address *template*, escaped; None if there is nothing to ask by.

    A variable in the path needs a value, and so does one of those that say whom or what it is about.
    """
    url, known, asked = "", False, False
    for literal, name, _, _ in string.Formatter().parse(template):
        url += literal
        if name is None:
            continue
        value = values[name] if len(values[name]) <= LONGEST else ""
        if "?" not in url and value.strip(".") == "":
            return None  # the address would be another one: /orders/ lists all orders, and /orders/.. is not an order
        asked = asked or name in IDENTIFYING
        known = known or (name in IDENTIFYING and value != "")
        url += quote(value, safe="")
    return url if known or not asked else None


def fields(paths: Mapping[str, Sequence[Step]], answer: Any) -> dict[str, Value]:
    """Return the fields that *answer*, which was JSON, has a value for."""
    found = {name: _value(_at(answer, steps)) for name, steps in paths.items()}
    return {name: value for name, value in found.items() if value is not None}


def _at(answer: Any, steps: Sequence[Step]) -> Any:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(answer, list) or not -len(answer) <= step < len(answer):
                return None
            answer = answer[step]
        elif isinstance(answer, dict):
            answer = answer.get(step)
        else:
            return None
    return answer


def _value(found: Any) -> Value | None:
    """Return a value that conditions can compare, or a list of such; None for anything else."""
    if isinstance(found, list):
        return tuple(value for each in found[:MOST] if (value := _scalar(each)) is not None) or None
    return _scalar(found)


def _scalar(found: Any) -> Scalar | None:
    if isinstance(found, str):
        return found[:LONGEST]
    if isinstance(found, bool):
        return found
    return found if isinstance(found, int | float) and abs(found) < LARGEST else None
