"""Texts that the hub sends by itself or agents answer with, per language, channel and kind. Rendering is pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from config.faults import Path, Wrong, listed, nearest
from config.lookups import FIELD
from config.values import Label, Language, Name, Named, Section

VARIABLES = {
    "agent.name": "display name of the agent who answers",
    "channel.name": "name of the channel the customer writes on",
    "contact.name": "name of the customer, as far as known",
    "conversation.id": "id of the conversation, for questions about it",
    "hours.next_open": "when the team is open again, in its time zone",
    "reply.text": "what the agent wrote, where a template takes its place",
    "sla.first_reply": "within what time somebody will answer",
    "team.name": "display name of the team",
}
ORDER = "order."
"""Before a field of `facts.order`: what an existing tool knows of the customer's order."""

ANY_LANGUAGE = ""
SUBJECT_LIMIT = 200

_VARIABLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_OWN = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_declared: ContextVar[frozenset[str]] = ContextVar("declared", default=frozenset())


@dataclass(frozen=True, slots=True)
class Variable:
    """A place in a text that a value fills, or *otherwise* where there is none ("" = there must be one)."""

    name: str
    otherwise: str = ""


Parts = tuple[str | Variable, ...]


def parts(text: str) -> Parts:
    """Cut *text* at its variables, ``{{ contact.name || 您 }}``. Raises `Wrong` for one that does not exist."""
    found: list[str | Variable] = []
    for number, piece in enumerate(_VARIABLE.split(text)):
        if number % 2:
            name, _, otherwise = (word.strip() for word in piece.partition("||"))
            found.append(Variable(_known(name), otherwise))
        elif "{{" in piece or "}}" in piece:
            raise Wrong("the braces of a variable do not match", expected="variables like {{ contact.name }}")
        elif piece:
            found.append(piece)
    return tuple(found)


def _known(name: str) -> str:
    """Accept the name of a variable: one of ours, a field of the order, or one that the template declares."""
    own = _declared.get()
    if name in VARIABLES or name in own or (name.startswith(ORDER) and FIELD.fullmatch(name.removeprefix(ORDER))):
        return name
    known = (*own, *VARIABLES)
    raise Wrong(f"there is no variable {name}"[:120], expected=listed(known), nearest=nearest(name, known))


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is cut at its variables."""

    parts: Parts

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls.parsed, handler.generate_schema(str))

    @classmethod
    def parsed(cls, value: str) -> Text:
        """Cut a text that is not empty. Raises `Wrong`."""
        if not value.strip():
            raise Wrong("this text is empty")
        return cls(parts(value))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Its variables, in order."""
        return tuple(part for part in self.parts if isinstance(part, Variable))

    def filled(self, values: Mapping[str, str], missing: list[str]) -> str:
        """Return it with *values* by variable name; names without one are added to *missing*."""
        words = []
        for part in self.parts:
            word = part if isinstance(part, str) else values.get(part.name, "").strip() or part.otherwise
            if isinstance(part, Variable) and not word:
                missing.append(part.name)
            words.append(word)
        return "".join(words)


@dataclass(frozen=True, slots=True)
class Wording:
    """One text in one or more languages; "" stands for any language."""

    texts: Mapping[str, Text]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        single = core_schema.no_info_after_validator_function(cls.single, handler.generate_schema(Text))
        several = core_schema.no_info_after_validator_function(
            cls.several, handler.generate_schema(dict[Language, Text])
        )
        return core_schema.union_schema([(single, "text"), (several, "languages")])

    @classmethod
    def single(cls, text: Text) -> Wording:
        """Use one *text* for every language."""
        return cls({ANY_LANGUAGE: text})

    @classmethod
    def several(cls, texts: dict[str, Text]) -> Wording:
        """Use a text for each language. Raises `Wrong` when there is none."""
        if not texts:
            raise Wrong("there is no text", expected="a text for each language, like {zh: …, en: …}")
        return cls(texts)

    def language(self, *wanted: str) -> str:
        """Return the first of the *wanted* languages that there is, each also by its main language.

        Failing that a text for any language, or the first there is.
        """
        for tag in wanted:
            for name in (tag, tag.partition("-")[0]):
                if name and name in self.texts:
                    return name
        return ANY_LANGUAGE if ANY_LANGUAGE in self.texts else next(iter(self.texts))


class Approved(Section):
    """A template that the platform has approved."""

    template_id: Label
    """Its id on the platform."""
    data: Mapping[Label, Text] = {}
    """The text of each of its places."""
    url: Text | None = None
    """The page that it leads to."""


class _Full(Section):
    """A text with everything that can be said about it."""

    variables: tuple[str, ...] = ()
    """Names that a reply gives values for."""
    text: Wording | None = None
    """What is sent where nothing below fits better."""
    by_language: Mapping[Language, Text] = {}
    """The same, one language each."""
    by_kind: Mapping[Name, Wording] = {}
    """What is sent on channels of a kind."""
    by_channel: Mapping[Name, Wording] = {}
    """What is sent on a channel."""
    subject: Wording | None = None
    """Subject of a mail."""
    platform: Mapping[Name, Approved] = {}
    """What the platform of a kind has approved; it may be sent where the reply window is closed."""
    for_agents: bool = False
    """Whether agents answer with it; then no route needs to send it."""

    @model_validator(mode="wrap")
    @classmethod
    def _with_its_variables(cls, value: Any, handler: Callable[[Any], _Full]) -> _Full:
        names = value.get("variables") if isinstance(value, dict) else None
        known = frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
        mark = _declared.set(known)  # its texts are checked against what stands beside them
        try:
            return handler(value)
        finally:
            _declared.reset(mark)

    @model_validator(mode="after")
    def _says_something(self) -> _Full:
        for name in self.variables:
            if not _OWN.fullmatch(name):
                raise Wrong(
                    f'"{name}" is no name of a variable'[:120],
                    expected="small letters, digits and _, a letter first",
                )
        if self.text is not None and self.by_language:
            raise Wrong("both {} and {} are given".format("text", "by_language"), expected="one of them")
        if self.text is None and not self.by_language:
            raise Wrong("there is no text", expected="text or by_language")
        return self


@dataclass(frozen=True, slots=True)
class Template:
    """A text by language, with variants for single *kinds* and *channels*, and what *platforms* have approved, by kind.

    *variables* are those that whoever sends it must give a value.
    """

    wording: Wording
    kinds: Mapping[str, Wording] = field(default_factory=dict)
    channels: Mapping[str, Wording] = field(default_factory=dict)
    subject: Wording | None = None
    platforms: Mapping[str, Approved] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    for_agents: bool = False

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Which of the two it is shows in its keys: no language has the name of one.
        short = core_schema.no_info_after_validator_function(cls, handler.generate_schema(Wording))
        full = core_schema.no_info_after_validator_function(cls.written, handler.generate_schema(_Full))

        def which(value: Any) -> str:
            return "full" if isinstance(value, dict) and not _Full.model_fields.keys().isdisjoint(value) else "short"

        return core_schema.tagged_union_schema({"short": short, "full": full}, which)

    @classmethod
    def written(cls, full: _Full) -> Template:
        """Take a text with everything that is said about it."""
        wording = full.text if full.text is not None else Wording(full.by_language)
        return cls(
            wording,
            full.by_kind,
            full.by_channel,
            full.subject,
            full.platform,
            full.variables,
            full.for_agents,
        )

    @property
    def texts(self) -> Mapping[str, Text]:
        """The text that is sent where no channel has its own, by language."""
        return self.wording.texts

    def variant(self, channel: str, kind: str) -> Wording:
        """Return the text for a channel: its own, else that of its kind, else the common one."""
        return self.channels.get(channel) or self.kinds.get(kind) or self.wording

    def variants(self) -> Iterator[tuple[Path, Wording]]:
        """Yield every text with the path at which it stands, the common one at ()."""
        yield (), self.wording
        yield from ((("by_kind", name), one) for name, one in self.kinds.items())
        yield from ((("by_channel", name), one) for name, one in self.channels.items())


class TemplateFile(Named[dict[Name, Template]]):
    """A file of texts by name."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A template with its values. *missing* are the variables without one: then it is not fit to be sent.

    *approved*, if the platform has approved one, is its id, the text of each place and the page. *used* are the
    variables in it, *unknown* the values given for none.
    """

    text: str
    language: str = ANY_LANGUAGE
    subject: str = ""
    approved: tuple[str, Mapping[str, str], str] | None = None
    missing: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()


def render(
    template: Template,
    values: Mapping[str, str],
    *languages: str,
    channel: str = "",
    kind: str = "",
    own: Mapping[str, str] = MappingProxyType({}),
) -> Filled:
    """Fill *template* for a channel in the first of *languages* that it has.

    *values* are by variable name; those of its *own* variables come apart, and only for those that it declares. A
    value is never read as a template itself.
    """
    values = {**values, **{name: value for name, value in own.items() if name in template.variables}}
    missing: list[str] = []
    wording = template.variant(channel, kind)
    chosen = wording.language(*languages)
    text = wording.texts[chosen].filled(values, missing)
    subject = template.subject
    titled = subject.texts[subject.language(chosen, *languages)].filled(values, missing) if subject is not None else ""
    given = None
    if approved := template.platforms.get(kind):
        data = {name: place.filled(values, missing) for name, place in approved.data.items()}
        given = (approved.template_id, data, approved.url.filled(values, missing) if approved.url is not None else "")
    return Filled(
        text,
        chosen,
        titled[:SUBJECT_LIMIT],
        given,
        tuple(dict.fromkeys(missing)),
        frozenset(variable.name for variable in wording.texts[chosen].variables),
        tuple(name for name in own if name not in template.variables),
    )


def needed(template: Template) -> tuple[str, ...]:
    """Return the variables for which a template has nothing else to say, in the order in which they first come."""
    texts = [text for _, wording in template.variants() for text in wording.texts.values()]
    texts += template.subject.texts.values() if template.subject is not None else ()
    for approved in template.platforms.values():
        texts += [*approved.data.values(), *([approved.url] if approved.url is not None else [])]
    found = (variable for text in texts for variable in text.variables)
    return tuple(dict.fromkeys(variable.name for variable in found if not variable.otherwise))
