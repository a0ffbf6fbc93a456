"""A bulk send as somebody writes it: what, to whom, how fast, and when to stop by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from config.conditions import Words, several
from config.faults import Wrong, listed, nearest
from config.templates import Variable
from config.values import Label, Language, Millis, Name, Section, percent

FIXED = ("contact.name", "channel.name", "unsubscribe.url")
"""Variables that every row has."""

FASTEST = 60_000
_VARIABLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_COLUMN = re.compile(r"row\.[a-z0-9_]{1,40}")

Pieces = tuple[str | Variable, ...]


def pieces(text: str) -> Pieces:
    """Cut *text* at its variables: {{ contact.name }}, {{ row.coupon }}. Raises `Wrong`."""
    found: list[str | Variable] = []
    for number, piece in enumerate(_VARIABLE.split(text)):
        if number % 2:
            name = piece.strip()
            if name not in FIXED and not _COLUMN.fullmatch(name):
                expected = listed([*FIXED, "row.<column>"])
                raise Wrong(f"there is no variable {name}"[:120], expected=expected, nearest=nearest(name, FIXED))
            found.append(Variable(name))
        elif "{{" in piece or "}}" in piece:
            raise Wrong("the braces of a variable do not match", expected="variables like {{ contact.name }}")
        elif piece:
            found.append(piece)
    return tuple(found)


def _text(value: str) -> str:
    if not value.strip():
        raise Wrong("this text is empty")
    pieces(value)
    return value


_Text = Annotated[str, AfterValidator(_text)]
Texts = _Text | Mapping[Language, _Text]
_Percent = Annotated[int, PlainValidator(percent), WithJsonSchema({"type": "string", "examples": ["5%"]})]


class Segment(Section):
    """Customers who have written, chosen by what is known of them; what is left out does not narrow it."""

    tags: Words = ()
    """Contacts with one of these tags."""
    without_tags: Words = ()
    """Contacts with none of these tags."""
    tiers: Words = ()
    """Contacts of one of these tiers."""
    languages: Words = ()
    """Contacts of one of these languages: zh stands for zh-CN too."""
    channels: tuple[Name, ...] = ()
    """Who has written on one of these channels."""
    kinds: tuple[Name, ...] = ()
    """Who has written on a channel of one of these kinds."""
    seen_within: Millis | None = None
    """Who has written within this time."""
    not_seen_within: Millis | None = None
    """Who has not written within this time."""
    consent: Literal["consented", "any"] = "any"
    """consented: only who has agreed, also where the policy does not ask for it."""


class Brake(Section):
    """When a bulk send stops by itself."""

    failed: _Percent = 10
    """More than this share of the messages failed."""
    opted_out: _Percent = 5
    """More than this share of the recipients opted out."""
    after: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """So many must have gone out before shares say anything."""


class CampaignFile(Section):
    """A bulk send."""

    name: Label
    """What people call it."""
    template: Name | None = None
    """The template that is sent; or `text`."""
    text: Texts | None = None
    """What is sent, in one language or several."""
    subject: Texts | None = None
    """The subject of mails; by default the name."""
    segment: Segment | None = None
    """Customers who have written; or `list`."""
    addresses: Annotated[str | None, Field(alias="list", min_length=1)] = None
    """A list as CSV: a column `address`, `phone` or `email`; `name`, `language`, and others for {{ row.<column> }}. In
    a file for the command line the name of another file."""
    channel: Name | None = None
    """The channel that carries it; by default the one that the customer wrote on, or the first that reaches the
    address."""
    per_minute: Annotated[int, Field(ge=1, le=FASTEST)] = 60
    """How many go out in a minute."""
    seed: int = 0
    """The order is random; the same seed gives the same order."""
    hours: Name | None = None
    """Opening hours in which it goes out; by default always."""
    brake: Brake = Brake()
    """When it stops by itself."""
    consent_source: Annotated[str, Field(max_length=200)] = ""
    """Where the people of the list agreed to be written to; kept as the evidence, for who has said nothing yet."""
    client_id: Annotated[str, Field(max_length=100)] = ""
    """Makes it safe to create it twice."""

    @model_validator(mode="after")
    def _whole(self) -> CampaignFile:
        if (self.template is None) == (self.text is None):
            raise Wrong("a bulk send has one text", expected="template or text")
        if (self.segment is None) == (self.addresses is None):
            raise Wrong("a bulk send goes to one audience", expected="segment or list")
        if self.segment is not None and self.consent_source:
            raise Wrong("consent_source is about a list", expected="list")
        if self.segment is not None and (column := next(iter(self.columns()), None)):
            raise Wrong(f"only a list has {column}", expected=listed(FIXED))
        return self

    def columns(self) -> tuple[str, ...]:
        """Return the variables that come out of the list."""
        names = [part.name for text in self._all() for part in pieces(text) if isinstance(part, Variable)]
        return tuple(dict.fromkeys(name for name in names if name.startswith("row.")))

    def _all(self) -> Iterator[str]:
        for texts in (self.text, self.subject):
            if texts is not None:
                yield from [texts] if isinstance(texts, str) else texts.values()


def fill(texts: Texts, values: Mapping[str, str], language: str) -> str:
    """Return the text for *language* with *values* in it; a value is never read as a variable itself."""
    if isinstance(texts, str):
        chosen = texts
    else:
        wanted = (language, language.partition("-")[0], next(iter(texts)))
        chosen = next(texts[name] for name in wanted if name in texts)
    return "".join(values.get(part.name, "") if isinstance(part, Variable) else part for part in pieces(chosen))


def wants(words: Words, value: str) -> bool:
    """Tell whether *value* is among *words*, or nothing is asked for."""
    return not several(words) or value in several(words)
