"""Texts that the hub sends by itself, with a fixed list of variables. Rendering is a pure function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, RootModel
from pydantic_core import CoreSchema, core_schema

from config.faults import Wrong, listed, nearest
from config.values import Language, Name

VARIABLES = {
    "agent.name": "display name of the agent who answers",
    "channel.name": "name of the channel the customer writes on",
    "contact.name": "name of the customer, as far as known",
    "conversation.id": "id of the conversation, for questions about it",
    "hours.next_open": "when the team is open again, in its time zone",
    "sla.first_reply": "within what time somebody will answer",
    "team.name": "display name of the team",
}
ANY_LANGUAGE = ""

_VARIABLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Variable:
    """A place in a text that a value fills."""

    name: str


Parts = tuple[str | Variable, ...]


def parts(text: str) -> Parts:
    """Cut *text* at its variables, ``{{ contact.name }}``. Raises `Wrong` for one that does not exist."""
    found: list[str | Variable] = []
    for number, piece in enumerate(_VARIABLE.split(text)):
        if number % 2:
            name = piece.strip()
            if name not in VARIABLES:
                raise Wrong(
                    f"there is no variable {name}"[:120], expected=listed(VARIABLES), nearest=nearest(name, VARIABLES)
                )
            found.append(Variable(name))
        elif "{{" in piece or "}}" in piece:
            raise Wrong("the braces of a variable do not match", expected="variables like {{ contact.name }}")
        elif piece:
            found.append(piece)
    return tuple(found)


def _text(value: str) -> Parts:
    if not value.strip():
        raise Wrong("this text is empty")
    return parts(value)


_Text = Annotated[str, AfterValidator(_text)]


@dataclass(frozen=True, slots=True)
class Template:
    """A text in one or more languages, each cut into its parts; "" stands for any language."""

    texts: Mapping[str, Parts]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        single = core_schema.no_info_after_validator_function(cls.single, handler.generate_schema(_Text))
        several = core_schema.no_info_after_validator_function(
            cls.several, handler.generate_schema(dict[Language, _Text])
        )
        return core_schema.union_schema([(single, "text"), (several, "languages")])

    @classmethod
    def single(cls, text: Parts) -> Template:
        """Use one *text* for every language."""
        return cls({ANY_LANGUAGE: text})

    @classmethod
    def several(cls, texts: dict[str, Parts]) -> Template:
        """Use a text for each language. Raises `Wrong` when there is none."""
        if not texts:
            raise Wrong("there is no text", expected="a text for each language, like {zh: …, en: …}")
        return cls(texts)


class TemplateFile(RootModel[dict[Name, Template]]):
    """A file of texts by name."""


def render(template: Template, values: Mapping[str, str], language: str) -> str:
    """Return the text of *template* in *language* (or, failing that, its main language, or the first there is).

    *values* are by variable name; one that is missing leaves nothing. A value is never read as a template itself.
    """
    texts = template.texts
    wanted = (language, language.partition("-")[0], ANY_LANGUAGE, next(iter(texts)))
    chosen = next(texts[name] for name in wanted if name in texts)
    return "".join(values.get(part.name, "") if isinstance(part, Variable) else part for part in chosen)
