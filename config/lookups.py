"""``facts:`` in ``huiliu.yaml``: what is asked of an existing tool while a message is routed, as written."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import re2
from pydantic import AfterValidator, Field, PlainValidator, SecretStr, WithJsonSchema, model_validator

from config.faults import Wrong, listed, nearest
from config.values import Section, duration

Scalar = str | int | float | bool
Step = str | int
VARIABLES = ("order_number", "sender.value", "sender.scheme", "sender", "contact.id", "channel", "kind")
LONGEST = 10_000  # milliseconds; a customer's messages wait in line for the answer
# Numbers as the shops of China write them: named as such, Pinduoduo's with a hyphen, and long ones. Eleven digits
# are a phone number, and letters before the digits a parcel.
NUMBERS = (
    (
        r"(?i)(?:订单(?:编号|号码|号)?|訂單(?:編號|號碼|號)?|單號|order(?: number| no\.?)?)[^0-9A-Za-z]{0,4}"
        r"([0-9A-Za-z-]*[0-9][0-9A-Za-z-]{4,31})"
    ),
    r"(?:^|[^0-9A-Za-z-])([0-9]{6}-[0-9]{12,18})(?:$|[^0-9A-Za-z-])",
    r"(?:^|[^0-9A-Za-z-])([0-9]{12,20})(?:$|[^0-9A-Za-z-])",
)

_BRIEF = re.compile(r"([0-9]{1,6})ms", re.ASCII)
FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_STEP = re.compile(r"\.([^.\[\]'\"\s]+)|\[(-?[0-9]{1,4})\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")


def brief(value: Any) -> int:
    """Parse ``800ms``, or a duration such as ``2s``, into milliseconds. Raises `Wrong`."""
    found = _BRIEF.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return duration(value)
    if not int(found[1]):
        raise Wrong("{value} is not a useful duration", expected="more than nothing and at most ten years")
    return int(found[1])


def patience(value: Any) -> int:
    """Parse how long an answer is waited for. Raises `Wrong`."""
    if (time := brief(value)) > LONGEST:
        raise Wrong("{value} is too long: the customer's next messages wait as well", expected="at most 10s")
    return time


def keeping(value: Any) -> int | None:
    """Parse how long an answer is kept; None for not at all. Raises `Wrong`."""
    return None if value is None else brief(value)


def url(value: str) -> str:
    """Accept an address with variables in braces behind the host. Raises `Wrong`."""
    expected = "an address like https://erp.example.com/orders?phone={sender.value}"
    try:
        parts = [(name, spec or conversion) for _, name, spec, conversion in string.Formatter().parse(value)]
    except ValueError:
        parts = [("", "}")]
    if any(more for _, more in parts):
        raise Wrong("the braces of a variable do not match", expected="variables like {sender.value}")
    names = [name for name, _ in parts if name is not None]
    for name in names:
        if name not in VARIABLES:
            raise Wrong(f'there is no variable "{name}"', expected=listed(VARIABLES), nearest=nearest(name, VARIABLES))
    try:
        address = urlsplit(value)
        usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", value):
        raise Wrong("{value} is not a web address", expected=expected)
    if "{" in address.netloc or "@" in address.netloc or address.fragment:
        raise Wrong("{value} has a user, a fragment, or a variable in its host", expected=expected)
    return value


def steps(path: Any) -> tuple[Step, ...]:
    """Parse ``$.data.items[0].status`` into keys and places of a list. Raises `Wrong`."""
    found: list[Step] = []
    at = 1
    while isinstance(path, str) and path[:1] == "$" and at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            break
        name, place, *quoted = step.groups()
        found.append(int(place) if place is not None else next(each for each in (name, *quoted) if each is not None))
        at = step.end()
    if not isinstance(path, str) or path[:1] != "$" or at != len(path):
        raise Wrong("{value} is no path in JSON", expected="a path like $.data.status or $.orders[0].amount")
    return tuple(found)


def field_name(value: str) -> str:
    """Accept the name of a field, as conditions use it. Raises `Wrong`."""
    if not FIELD.fullmatch(value):
        raise Wrong("{value} cannot be a field", expected="small letters, digits and _, a letter first")
    return value


def header(value: str) -> str:
    """Accept the name of a header that the hub does not set itself. Raises `Wrong`."""
    if not _HEADER.fullmatch(value) or value.lower() in ("host", "content-length", "connection", "transfer-encoding"):
        raise Wrong("{value} cannot be a header here", expected="a name like X-Api-Key")
    return value


def header_value(value: SecretStr) -> SecretStr:
    """Accept what can stand in a header. Raises `Wrong`, which never shows it."""
    if not value.get_secret_value().isascii() or not value.get_secret_value().isprintable():
        raise Wrong("this cannot stand in a header", expected="one line of ASCII")
    return value


def number(value: str) -> str:
    """Accept a regular expression that finds order numbers. Raises `Wrong`."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error:
        raise Wrong("{value} is no regular expression", expected="a regular expression of RE2") from None
    return value


FieldName = Annotated[str, AfterValidator(field_name)]
JsonPath = Annotated[
    tuple[Step, ...], PlainValidator(steps), WithJsonSchema({"type": "string", "examples": ["$.data.status"]})
]
_DURATION = {"type": "string", "pattern": "^([0-9]+ms|([0-9]+[smhdw])+)$", "examples": ["800ms"]}
_KEEPING = {"anyOf": [_DURATION, {"type": "null"}]}


class Lookup(Section):
    """A question to an existing tool by HTTP GET, answered in JSON."""

    url: Annotated[str, AfterValidator(url), Field(repr=False)]
    """The address; {order_number}, {sender.value} and other variables are filled in and escaped."""
    headers: Mapping[Annotated[str, AfterValidator(header)], Annotated[SecretStr, AfterValidator(header_value)]] = {}
    """Further headers, which are kept as secret as a token."""
    token: Annotated[SecretStr, AfterValidator(header_value)] | None = None
    """Sent as `Authorization: Bearer …`."""
    timeout: Annotated[int, PlainValidator(patience), WithJsonSchema(_DURATION)] = 800
    """How long an answer is waited for, like 800ms; at most 10s."""
    cache: Annotated[int | None, PlainValidator(keeping), WithJsonSchema(_KEEPING)] = 60_000
    """How long an answer is used again, like 60s; null: never."""
    fields: Annotated[Mapping[FieldName, JsonPath], Field(min_length=1)]
    """What is taken from the answer: a name for conditions, and the path in the JSON, like $.data.status."""
    fallback: Mapping[FieldName, Scalar] = {}
    """What holds while the tool does not answer; fields that are not here are unknown then."""
    numbers: tuple[Annotated[str, AfterValidator(number)], ...] = NUMBERS
    """Regular expressions (RE2) that find an order number in a text: its first group, else the whole match."""

    @model_validator(mode="after")
    def _falls_back_to_its_fields(self) -> Lookup:
        for name in self.fallback:
            if name not in self.fields:
                raise Wrong(
                    f'the fallback "{name}" is no field',
                    expected=listed(self.fields),
                    nearest=nearest(name, self.fields),
                )
        return self


class Lookups(Section):
    """Facts that are fetched from existing tools when a route asks for them."""

    order: Lookup | None = None
    """What is known of the customer's order."""
