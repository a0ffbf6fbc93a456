"""What customers read in surveys: one text for all, or one for each language, with the variables of templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from config.faults import Wrong
from config.templates import ANY_LANGUAGE, Parts, parts
from config.values import Language


def _text(value: str) -> Parts:
    if not value.strip():
        raise Wrong("this text is empty")
    return parts(value)


_Text = Annotated[str, AfterValidator(_text)]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text in one or more languages, each cut at its variables; "" stands for any language."""

    texts: Mapping[str, Parts]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        single = core_schema.no_info_after_validator_function(cls.single, handler.generate_schema(_Text))
        several = core_schema.no_info_after_validator_function(
            cls.several, handler.generate_schema(dict[Language, _Text])
        )
        return core_schema.union_schema([(single, "text"), (several, "languages")])

    @classmethod
    def single(cls, text: Parts) -> Phrase:
        """Use one *text* for every language."""
        return cls({ANY_LANGUAGE: text})

    @classmethod
    def several(cls, texts: dict[str, Parts]) -> Phrase:
        """Use a text for each language. Raises `Wrong` when there is none."""
        if not texts:
            raise Wrong("there is no text", expected="a text for each language, like {zh: …, en: …}")
        return cls(texts)

    def speaks(self, language: str) -> bool:
        """Tell whether there is a text in *language*, in its main language, or one for all."""
        return any(name in self.texts for name in (language, language.partition("-")[0], ANY_LANGUAGE))

    def said(self, language: str, values: Mapping[str, str]) -> str:
        """Return the text in *language*, or in its main language, or the first there is, with *values* filled in.

        A variable without a value leaves nothing. A value is never read as a text with variables itself.
        """
        wanted = (language, language.partition("-")[0], ANY_LANGUAGE, next(iter(self.texts)))
        chosen = next(self.texts[name] for name in wanted if name in self.texts)
        return "".join(part if isinstance(part, str) else values.get(part.name, "") for part in chosen)

    def written(self) -> dict[str, str]:
        """Return the texts as admins write them, by language, "*" for any."""
        return {
            language or "*": "".join(part if isinstance(part, str) else f"{{{{ {part.name} }}}}" for part in text)
            for language, text in self.texts.items()
        }
