"""What a pydantic model's annotations say about a place in the data: which keys exist there, and what is secret."""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, RootModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from config.faults import Path

_SECRETS = (SecretStr, SecretBytes)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pydantic error is, in the data's own terms.

    *path* has no union tags in it; *branches* are the tags, each with the length of the path before it. *key* says
    that the error is about the last step itself. *models* are the models that the parent of the last step may be.
    *secret* says that the value there, or one around it, is a secret.
    """

    path: Path
    key: bool
    branches: tuple[tuple[int, str], ...]
    models: tuple[type[BaseModel], ...]
    secret: bool


def members(annotation: Any) -> list[Any]:
    """Return the types that *annotation* may be, without None, unions and `Annotated` taken apart."""
    if hasattr(annotation, "__value__"):
        return members(annotation.__value__)
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        return [member for part in get_args(annotation) for member in members(part)]
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return members(annotation.model_fields["root"].annotation)
    return [] if annotation is type(None) or annotation is None else [annotation]


def models(annotations: Iterable[Any]) -> list[type[BaseModel]]:
    """Return the models among what *annotations* may be."""
    return [
        member
        for annotation in annotations
        for member in members(annotation)
        if isinstance(member, type) and issubclass(member, BaseModel)
    ]


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of *model* by the keys that files may use for them."""
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    known: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        alias = info.validation_alias
        words = (
            [word for word in alias.choices if isinstance(word, str)] if isinstance(alias, AliasChoices) else [alias]
        )
        for word in words:
            if isinstance(word, str):
                known[word] = info
        if by_name or not any(isinstance(word, str) for word in words):
            known[name] = info
    return known


def known_keys(candidates: Iterable[type[BaseModel]]) -> list[str]:
    """Return every key that one of *candidates* knows, in the models' order."""
    return list(dict.fromkeys(key for model in candidates for key in keys(model)))


def is_secret(annotation: Any) -> bool:
    """Tell whether *annotation* is one secret (not a list of them)."""
    return any(isinstance(member, type) and issubclass(member, _SECRETS) for member in members(annotation))


def secret_keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of *model* that are secrets, which may be given by file as well."""
    return [key for key, info in keys(model).items() if is_secret(info.annotation)]


def holds_secret(annotation: Any) -> bool:
    """Tell whether *annotation* is a secret or a list or mapping of secrets."""
    return is_secret(annotation) or any(
        holds_secret(part)
        for member in members(annotation)
        if get_origin(member) is not None and get_origin(member) is not Literal
        for part in get_args(member)
        if part is not Ellipsis
    )


@cache
def guards_secrets(model: type[BaseModel]) -> bool:
    """Tell whether there is a secret anywhere in *model*."""
    seen: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for info in current.model_fields.values():
            if holds_secret(info.annotation):
                return True
            waiting += [inner for inner in inner_models(info.annotation) if inner not in seen]
    return False


def inner_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that values of *annotation* may be or directly hold."""
    found = models([annotation])
    for member in members(annotation):
        if get_origin(member) is not None and get_origin(member) is not Literal:
            found += [inner for part in get_args(member) if part is not Ellipsis for inner in inner_models(part)]
    return found


def below(annotations: Iterable[Any], step: str | int) -> list[Any]:
    """Return the annotations of the value at *step* inside values of *annotations*; empty when they do not say."""
    found: list[Any] = []
    for annotation in annotations:
        for member in members(annotation):
            if isinstance(member, type) and issubclass(member, BaseModel):
                info = keys(member).get(str(step))
                found += [info.annotation] if info is not None else []
                continue
            arguments = get_args(member)
            if get_origin(member) is Literal or not arguments:
                continue
            if isinstance(step, str):
                found += arguments[1:2]
            elif len(arguments) > step and Ellipsis not in arguments and get_origin(member) is tuple:
                found.append(arguments[step])
            else:
                found.append(arguments[0])
    return found


def locate(model: Any, loc: Sequence[str | int], data: Any, *, missing: bool = False) -> Place:
    """Translate pydantic's *loc* for *data*, in which union tags stand between the real steps."""
    annotations: list[Any] = [model]
    node = data
    path: list[str | int] = []
    branches: list[tuple[int, str]] = []
    parents: list[Any] = []
    secret = False
    for number, step in enumerate(loc):
        last = number == len(loc) - 1
        if step == "[key]" and last and path:
            return Place(tuple(path), True, tuple(branches), (), secret)
        real = _fits(node, step) or (missing and last)
        choices = [member for annotation in annotations for member in members(annotation)]
        if not real or (len(choices) > 1 and _is_tag(choices, step)):
            branches.append((len(path), str(step)))
            annotations = _branch(choices, str(step))
            continue
        parents = annotations
        annotations = below(annotations, step)
        secret = secret or any(map(holds_secret, annotations))
        node = node[step] if _fits(node, step) else None
        path.append(step)
    return Place(tuple(path), False, tuple(branches), tuple(models(parents)), secret)


def at_place(model: Any, path: Path) -> tuple[type[BaseModel], ...]:
    """Return the models that the value at *path* may be."""
    annotations = [model]
    for step in path:
        annotations = below(annotations, step)
    return tuple(models(annotations))


def _fits(node: Any, step: str | int) -> bool:
    if isinstance(node, dict):
        return step in node
    return isinstance(node, list) and isinstance(step, int) and 0 <= step < len(node)


def _is_tag(choices: Sequence[Any], step: str | int) -> bool:
    return isinstance(step, str) and any(step in _tags(choice) for choice in choices)


def _tags(choice: Any) -> list[Any]:
    if isinstance(choice, type) and issubclass(choice, BaseModel):
        literals = [
            word
            for info in choice.model_fields.values()
            for member in members(info.annotation)
            if get_origin(member) is Literal
            for word in get_args(member)
        ]
        return [choice.__name__, *literals]
    return [choice.__name__] if isinstance(choice, type) else []


def _branch(choices: list[Any], tag: str) -> list[Any]:
    chosen = [choice for choice in choices if tag in _tags(choice)]
    if not chosen:
        opening = tag.partition("[")[0]
        chosen = [choice for choice in choices if getattr(get_origin(choice), "__name__", "") == opening]
    return chosen or choices
